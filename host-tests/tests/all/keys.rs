//! Users' tokens against the keys their issuer publishes: a server of keys, tokens signed here, the real components.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::pkcs8::{EncodePrivateKey as _, KeypairBytes};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use libtest_mimic::Trial;
use rsa::pkcs1::EncodeRsaPrivateKey as _;
use rsa::rand_core::{OsRng, RngCore as _};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use scim_host_tests::deployment::Deployment;
use scim_host_tests::message::Request;
use scim_host_tests::server::{Front, Server};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::shared::{fresh, trial};
use crate::tls::Certificates;

const CONNECTIONS: &str = "/directory/resources/v1/configurations/scim2";
const ISSUER: &str = "https://id.test";
const AUDIENCE: &str = "provisioning";

/// One trial for each thing an issuer, or somebody who would like to be one, may do.
pub fn trials() -> Vec<Trial> {
    vec![
        trial("keys::users_are_known_by_the_published_keys_and_by_nothing_else", published),
        trial("keys::a_key_that_came_later_is_fetched_once_and_invented_ones_are_not_run_after", rolled_over),
        trial("keys::a_key_that_came_later_is_found_by_tokens_that_name_none", rolled_over_unnamed),
        trial("keys::users_go_on_while_their_issuer_is_down_and_over_a_restart", down),
        trial("keys::an_issuer_that_misbehaves_leaves_users_out_until_it_does_better", misbehaving),
        trial("keys::a_host_that_is_not_allowed_is_never_asked", not_allowed),
        trial("keys::keys_come_over_tls_from_whom_this_machine_trusts_only", over_tls),
    ]
}

/// A private key, and its public half as an issuer shows it.
struct Signer {
    algorithm: Algorithm,
    key: EncodingKey,
    id: &'static str,
    shown: Value,
}

static RSA: LazyLock<Signer> = LazyLock::new(|| {
    let key = rsa::RsaPrivateKey::new(&mut OsRng, 2048).unwrap();
    Signer::new("rsa", Algorithm::RS256, EncodingKey::from_rsa_der(key.to_pkcs1_der().unwrap().as_bytes()))
});
static EC: LazyLock<Signer> = LazyLock::new(|| {
    let key = p256::SecretKey::random(&mut OsRng);
    Signer::new("ec", Algorithm::ES256, EncodingKey::from_ec_der(key.to_pkcs8_der().unwrap().as_bytes()))
});
static ED: LazyLock<Signer> = LazyLock::new(|| edwards("ed"));
static LATE: LazyLock<Signer> = LazyLock::new(|| edwards("late"));

fn edwards(id: &'static str) -> Signer {
    let mut secret_key = [0; 32];
    OsRng.fill_bytes(&mut secret_key);
    let key = KeypairBytes { secret_key, public_key: None }.to_pkcs8_der().unwrap();
    Signer::new(id, Algorithm::EdDSA, EncodingKey::from_ed_der(key.as_bytes()))
}

impl Signer {
    fn new(id: &'static str, algorithm: Algorithm, key: EncodingKey) -> Self {
        let mut shown = serde_json::to_value(Jwk::from_encoding_key(&key, algorithm).unwrap()).unwrap();
        shown["kid"] = id.into();
        shown["use"] = "sig".into();
        Self { algorithm, key, id, shown }
    }

    /// A token of an administrator of an account, with some claims changed; null takes one away.
    fn token(&self, change: Value) -> String {
        self.token_as(self.id, change)
    }

    /// The same under another key's name.
    fn token_as(&self, id: &str, change: Value) -> String {
        self.signed(Some(id.to_owned()), change)
    }

    /// The same under no name.
    fn token_unnamed(&self) -> String {
        self.signed(None, Value::Null)
    }

    fn signed(&self, kid: Option<String>, change: Value) -> String {
        let header = Header { kid, ..Header::new(self.algorithm) };
        jsonwebtoken::encode(&header, &claims(change), &self.key).unwrap()
    }
}

fn claims(change: Value) -> Value {
    let mut claims = json!({
        "sub": "ann", "tenantId": "acme", "permissions": ["fe.secure.*"], "exp": now() + 300, "iss": ISSUER, "aud": AUDIENCE,
    });
    let fields = claims.as_object_mut().unwrap();
    for (name, value) in change.as_object().cloned().unwrap_or_default() {
        fields.insert(name, value);
    }
    fields.retain(|_, value| !value.is_null());
    claims
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A compact JWS of any header, signed with a shared secret or not at all.
fn forged(header: &Value, secret: Option<&[u8]>) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(header), part(&claims(Value::Null)));
    let signature = secret.map(|secret| {
        jsonwebtoken::crypto::sign(signed.as_bytes(), &EncodingKey::from_secret(secret), Algorithm::HS256).unwrap()
    });
    format!("{signed}.{}", signature.unwrap_or_default())
}

/// What an issuer answers.
#[derive(Clone)]
enum Answer {
    Keys(Vec<&'static Signer>),
    Text(u16, String),
    /// It takes the question and never answers.
    Silence,
    /// It hangs up.
    Nothing,
}

/// A server of keys.
struct Issuer {
    address: SocketAddr,
    answer: Arc<Mutex<Answer>>,
    asked: Arc<AtomicUsize>,
    scheme: &'static str,
}

impl Issuer {
    fn start(answer: Answer) -> Result<Self> {
        Self::listen(answer, None)
    }

    fn listen(answer: Answer, tls: Option<Arc<rustls::ServerConfig>>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let (answer, asked) = (Arc::new(Mutex::new(answer)), Arc::new(AtomicUsize::new(0)));
        let scheme = if tls.is_some() { "https" } else { "http" };
        let issuer =
            Self { address: listener.local_addr()?, answer: Arc::clone(&answer), asked: Arc::clone(&asked), scheme };
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(std::io::Result::ok) {
                let (answer, asked, tls) = (Arc::clone(&answer), Arc::clone(&asked), tls.clone());
                std::thread::spawn(move || match tls {
                    None => serve(stream, &answer, &asked),
                    Some(config) => {
                        let connection = rustls::ServerConnection::new(config).unwrap();
                        serve(rustls::StreamOwned::new(connection, stream), &answer, &asked);
                    }
                });
            }
        });
        Ok(issuer)
    }

    fn now(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn origin(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.address.port())
    }
}

/// One question and its answer; whoever asks may hang up at any time.
fn serve(mut stream: impl Read + Write, answer: &Mutex<Answer>, asked: &AtomicUsize) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return,
        }
    }
    asked.fetch_add(1, Ordering::SeqCst);
    let answer = answer.lock().unwrap().clone();
    let (status, body) = match answer {
        Answer::Keys(signers) => {
            let keys: Vec<_> = signers.iter().map(|signer| signer.shown.clone()).collect();
            (200, json!({ "keys": keys }).to_string())
        }
        Answer::Text(status, body) => (status, body),
        Answer::Silence => return std::thread::sleep(Duration::from_secs(60)),
        Answer::Nothing => return,
    };
    let length = body.len();
    let _gone = write!(
        stream,
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nlocation: /elsewhere\r\nconnection: close\r\n\
         content-length: {length}\r\n\r\n{body}"
    );
}

/// A deployment whose users come from an issuer, with self-service on.
struct World {
    _server: Server,
    deployment: Deployment,
}

impl World {
    fn start(data: &TempDir, url: &str, host: &str, environment: &[(&str, &str)]) -> Result<Self> {
        let variables = [
            format!("user_jwks_url={url}/keys"),
            format!("user_jwks_host={host}"),
            format!("user_jwt_issuer={ISSUER}"),
            format!("user_jwt_audience={AUDIENCE}"),
        ];
        let arguments: Vec<&str> = variables.iter().flat_map(|variable| ["--variable", variable]).collect();
        let server = Server::start_in(&data.path().join("data"), Front::None, &arguments, environment)?;
        let deployment = server.origin()?;
        let toggle = Request::new("PUT", "/directory/resources/v1/configurations/self-service");
        let toggle = toggle.json(&json!({ "enabled": true })).bearer(deployment.vendor_token());
        let answer = deployment.send(&toggle)?;
        ensure!(answer.status == 200, "{}", answer.brief());
        Ok(Self { _server: server, deployment })
    }

    fn of(issuer: &Issuer) -> Result<(TempDir, Self)> {
        let data = fresh()?;
        let world = Self::start(&data, &issuer.origin(), &issuer.origin(), &[])?;
        Ok((data, world))
    }

    fn status(&self, token: &str) -> Result<u16> {
        Ok(self.deployment.send(&Request::new("GET", CONNECTIONS).bearer(token))?.status)
    }

    fn expect(&self, why: &str, token: &str, status: u16) -> Result<()> {
        let answer = self.deployment.send(&Request::new("GET", CONNECTIONS).bearer(token))?;
        ensure!(answer.status == status, "{why}: expected {status}, got {}", answer.brief());
        Ok(())
    }

    /// Asks until it is as expected, for what takes a while.
    fn eventually(&self, why: &str, mut met: impl FnMut(&Self) -> Result<bool>) -> Result<()> {
        for _ in 0..300 {
            if met(self)? {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Err(anyhow!("{why}: it did not come to pass"))
    }
}

fn published() -> Result<()> {
    let issuer = Issuer::start(Answer::Keys(vec![&RSA, &EC, &ED]))?;
    let (_data, world) = World::of(&issuer)?;
    for signer in [&*RSA, &*EC, &*ED] {
        world.expect(signer.id, &signer.token(Value::Null), 200)?;
    }
    world.expect("several audiences", &ED.token(json!({ "aud": ["x", AUDIENCE] })), 200)?;
    ensure!(issuer.asked() == 1, "the issuer was asked {} times", issuer.asked());

    let public = |field: &str| RSA.shown[field].as_str().unwrap_or_default().as_bytes().to_vec();
    let shown = RSA.shown.to_string();
    let exponent = public("e");
    let signed = ED.token(Value::Null);
    let (unsigned, _) = signed.rsplit_once('.').context("no signature")?;
    let hs = json!({ "alg": "HS256", "typ": "JWT", "kid": "rsa" });
    let refused = [
        ("no algorithm", forged(&json!({ "alg": "none", "kid": "rsa" }), None)),
        ("no algorithm, in capitals", forged(&json!({ "alg": "NONE" }), None)),
        ("a public modulus as a secret", forged(&hs, Some(&public("n")))),
        ("a public key as a secret", forged(&hs, Some(shown.as_bytes()))),
        ("modulus and exponent as a secret", forged(&hs, Some(&[public("n"), exponent].concat()))),
        (
            "an x coordinate as a secret",
            forged(&json!({ "alg": "HS256", "kid": "ed" }), ED.shown["x"].as_str().map(str::as_bytes)),
        ),
        ("an empty secret", forged(&hs, Some(b""))),
        ("another key's name", ED.token_as("ec", Value::Null)),
        ("another type of key's name", EC.token_as("rsa", Value::Null)),
        ("a key that is not published", LATE.token_as("ed", Value::Null)),
        ("no signature", format!("{unsigned}.")),
        ("half a signature", signed.get(..signed.len() - 40).unwrap_or_default().to_owned()),
        ("another issuer", ED.token(json!({ "iss": "https://evil.test" }))),
        ("no issuer", ED.token(json!({ "iss": null }))),
        ("another audience", ED.token(json!({ "aud": "billing" }))),
        ("no audience", ED.token(json!({ "aud": null }))),
        ("expired", ED.token(json!({ "exp": now() - 1 }))),
        ("no expiry", ED.token(json!({ "exp": null }))),
        ("not valid yet", ED.token(json!({ "nbf": now() + 600 }))),
        ("no account", ED.token(json!({ "tenantId": null }))),
        ("an empty account", ED.token(json!({ "tenantId": "" }))),
    ];
    for (why, token) in &refused {
        world.expect(why, token, 401)?;
    }
    world.expect("no permission", &ED.token(json!({ "permissions": [] })), 403)?;
    world.expect("still good", &ED.token(Value::Null), 200)
}

fn rolled_over() -> Result<()> {
    let issuer = Issuer::start(Answer::Keys(vec![&ED]))?;
    let (_data, world) = World::of(&issuer)?;
    world.expect("the first key", &ED.token(Value::Null), 200)?;
    issuer.now(Answer::Keys(vec![&LATE]));
    world.expect("the old key, nobody has noticed", &ED.token(Value::Null), 200)?;
    world.expect("the key that came later", &LATE.token(Value::Null), 200)?;
    ensure!(issuer.asked() == 2, "the issuer was asked {} times", issuer.asked());
    for number in 0..20 {
        world.expect("an invented key", &LATE.token_as(&format!("invented-{number}"), Value::Null), 401)?;
    }
    ensure!(issuer.asked() == 2, "invented keys were run after: {} times", issuer.asked());
    world.expect("the old key, which is gone", &ED.token(Value::Null), 401)?;
    world.expect("the new key", &LATE.token(Value::Null), 200)
}

fn rolled_over_unnamed() -> Result<()> {
    let issuer = Issuer::start(Answer::Keys(vec![&ED]))?;
    let (_data, world) = World::of(&issuer)?;
    world.expect("the first key", &ED.token_unnamed(), 200)?;
    issuer.now(Answer::Keys(vec![&LATE]));
    world.expect("the old key, nobody has noticed", &ED.token_unnamed(), 200)?;
    world.expect("the key that came later", &LATE.token_unnamed(), 200)?;
    for _ in 0..20 {
        world.expect("a key that is gone", &ED.token_unnamed(), 401)?;
        world.expect("a key nobody publishes", &RSA.token_unnamed(), 401)?;
    }
    ensure!(issuer.asked() == 2, "the issuer was asked {} times", issuer.asked());
    world.expect("the new key", &LATE.token_unnamed(), 200)
}

fn down() -> Result<()> {
    let issuer = Issuer::start(Answer::Keys(vec![&RSA, &EC]))?;
    let (data, world) = World::of(&issuer)?;
    world.expect("the issuer is up", &EC.token(Value::Null), 200)?;
    issuer.now(Answer::Nothing);
    world.expect("a key it cannot be asked for", &LATE.token(Value::Null), 401)?;
    ensure!(issuer.asked() == 2, "the issuer was asked {} times", issuer.asked());
    world.expect("a key that is known", &RSA.token(Value::Null), 200)?;
    drop(world);
    let world = World::start(&data, &issuer.origin(), &issuer.origin(), &[])?;
    world.expect("a key that was known before the restart", &EC.token(Value::Null), 200)?;
    ensure!(issuer.asked() == 2, "the issuer was asked {} times", issuer.asked());
    Ok(())
}

fn misbehaving() -> Result<()> {
    let issuer = Issuer::start(Answer::Nothing)?;
    let (_data, world) = World::of(&issuer)?;
    let token = ED.token(Value::Null);
    let vendor = world.deployment.vendor_token().to_owned();
    let answers = [
        ("hangs up", Answer::Nothing),
        ("answers nonsense", Answer::Text(200, "<html>".to_owned())),
        ("has no keys", Answer::Text(200, r#"{"keys":[]}"#.to_owned())),
        ("answers without end", Answer::Text(200, " ".repeat(1 << 20))),
        ("fails", Answer::Text(500, "{}".to_owned())),
        ("sends elsewhere", Answer::Text(302, String::new())),
        ("says nothing", Answer::Silence),
    ];
    for (what, answer) in answers {
        issuer.now(answer);
        let before = issuer.asked();
        let why = format!("an issuer that {what}");
        world.eventually(&why, |world| {
            world.expect(&why, &token, 401)?;
            world.expect("the vendor does not mind", &vendor, 200)?;
            Ok(issuer.asked() > before)
        })?;
    }
    issuer.now(Answer::Keys(vec![&ED]));
    world.eventually("an issuer that does better", |world| Ok(world.status(&token)? == 200))
}

fn not_allowed() -> Result<()> {
    let issuer = Issuer::start(Answer::Keys(vec![&ED]))?;
    let data = fresh()?;
    let world = World::start(&data, &issuer.origin(), "https://id.test", &[])?;
    world.expect("an issuer that may not be asked", &ED.token(Value::Null), 401)?;
    ensure!(issuer.asked() == 0, "it was asked");
    let log = std::fs::read_to_string(data.path().join("data.log"))?;
    ensure!(log.contains("`user_jwks_host`"), "the log does not say what to do: {log}");
    Ok(())
}

fn over_tls() -> Result<()> {
    let data = fresh()?;
    let certificates = Certificates::make(data.path())?;
    let issuer = |name: &str| -> Result<Issuer> {
        let certificate = CertificateDer::from_pem_file(certificates.file(&format!("{name}.pem")))?;
        let key = PrivateKeyDer::from_pem_file(certificates.file(&format!("{name}.key")))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let config = config.with_no_client_auth().with_single_cert(vec![certificate], key)?;
        Issuer::listen(Answer::Keys(vec![&ED]), Some(Arc::new(config)))
    };
    let (stranger, known) = (issuer("stranger")?, issuer("origin")?);
    let authority = certificates.file("ca.pem");
    let trusting = [("SSL_CERT_FILE", authority.as_str())];
    for (why, issuer, environment) in [
        ("an issuer nobody vouches for", &stranger, &trusting[..]),
        ("an issuer whose authority this machine does not know", &known, &[]),
    ] {
        let world = World::start(&data, &issuer.origin(), &issuer.origin(), environment)?;
        world.expect(why, &ED.token(Value::Null), 401)?;
        ensure!(issuer.asked() == 0, "{why} was told something all the same");
    }
    let world = World::start(&data, &known.origin(), &known.origin(), &trusting)?;
    world.eventually("an issuer this machine trusts", |world| Ok(world.status(&ED.token(Value::Null))? == 200))
}
