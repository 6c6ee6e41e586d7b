//! `envoy/origin.yaml` with its marks taken away: TLS for clients, mutual TLS to the origin. Other Envoys play both.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use libtest_mimic::Trial;
use scim_host_tests::deployment::{Deployment, Http, Target};
use scim_host_tests::envoy::{Changes, Envoy};
use scim_host_tests::idp::{Idp, user};
use scim_host_tests::message::Request;
use scim_host_tests::server::{Front, Server};
use serde_json::{Map, Value, json};

use crate::scene::eventually;
use crate::shared::trial;

/// One trial.
pub fn trials() -> Vec<Trial> {
    vec![trial("tls::clients_come_by_tls_and_the_origin_lets_only_the_edge_in", speaks_tls)]
}

/// An authority and what it has certified.
pub struct Certificates(PathBuf);

impl Certificates {
    /// An authority, a certificate of it for the edge and one for the origin; and a stranger's, of no authority.
    pub fn make(directory: &Path) -> Result<Self> {
        let made = Self(directory.to_owned());
        made.certify("ca", &["-addext", "basicConstraints=critical,CA:TRUE"])?;
        let (ca, key) = (made.file("ca.pem"), made.file("ca.key"));
        for name in ["edge", "origin"] {
            let names = format!("subjectAltName=DNS:{name}.test,IP:127.0.0.1");
            made.certify(
                name,
                &["-CA", &ca, "-CAkey", &key, "-addext", &names, "-addext", "basicConstraints=CA:FALSE"],
            )?;
        }
        made.certify("stranger", &["-addext", "subjectAltName=DNS:edge.test"])?;
        Ok(made)
    }

    fn certify(&self, name: &str, arguments: &[&str]) -> Result<()> {
        let mut openssl = Command::new("openssl");
        openssl.args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ]);
        openssl.args(["-subj", &format!("/CN={name}.test"), "-keyout", &self.file(&format!("{name}.key"))]);
        openssl.args(["-out", &self.file(&format!("{name}.pem"))]).args(arguments);
        let output = openssl.output().context("`openssl` cannot be run: run `apt-get install openssl`")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// Path of a file of it.
    pub fn file(&self, name: &str) -> String {
        self.0.join(name).to_string_lossy().into_owned()
    }

    /// What shows that one is `name`.
    fn shown(&self, name: &str) -> Value {
        json!([{ "certificate_chain": { "filename": self.file(&format!("{name}.pem")) },
                 "private_key": { "filename": self.file(&format!("{name}.key")) } }])
    }

    /// Takes TLS from those the authority has certified only, and shows the origin's certificate.
    fn server(&self) -> Value {
        json!({
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                "require_client_certificate": true,
                "common_tls_context": {
                    "tls_certificates": self.shown("origin"),
                    "validation_context": { "trusted_ca": { "filename": self.file("ca.pem") } },
                },
            },
        })
    }

    /// Speaks TLS to `name`, showing a certificate if there is one to show.
    fn client(&self, name: &str, shown: Option<&str>) -> Value {
        let mut common = json!({ "validation_context": {
            "trusted_ca": { "filename": self.file("ca.pem") },
            "match_typed_subject_alt_names": [{ "san_type": "DNS", "matcher": { "exact": name } }],
        } });
        if let Some(shown) = shown {
            common["tls_certificates"] = self.shown(shown);
        }
        json!({
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
                "sni": name,
                "common_tls_context": common,
            },
        })
    }
}

/// An Envoy that only takes requests in one way and passes them on in another; its log tells id and path of each.
fn bridge(directory: &Path, name: &str, to: &str, taken: Option<Value>, passed: Option<Value>) -> Result<Envoy> {
    let address = |address: &str| {
        let (ip, port) = address.rsplit_once(':').context("no port")?;
        Ok::<_, anyhow::Error>(json!({ "socket_address": { "address": ip, "port_value": port.parse::<u16>()? } }))
    };
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "access_log": [{ "name": "envoy.access_loggers.stdout", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
            "log_format": { "json_format": { "id": "%REQ(X-REQUEST-ID)%", "path": "%PATH(NQ)%" } },
        } }],
        "route_config": { "virtual_hosts": [{ "name": "all", "domains": ["*"], "routes": [
            { "match": { "prefix": "/" }, "route": { "cluster": "next" } } ] }] },
        "http_filters": [{ "name": "envoy.filters.http.router", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" } }],
    });
    let mut chain =
        json!({ "filters": [{ "name": "envoy.filters.network.http_connection_manager", "typed_config": manager }] });
    let mut cluster = json!({ "name": "next", "type": "STATIC", "load_assignment": { "cluster_name": "next", "endpoints": [
        { "lb_endpoints": [{ "endpoint": { "address": address(to)? } }] } ] } });
    for (place, socket) in [(&mut chain, taken), (&mut cluster, passed)] {
        if let Some(socket) = socket {
            place["transport_socket"] = socket;
        }
    }
    let configuration = json!({
        "node": { "id": name, "cluster": name },
        "admin": { "address": address("127.0.0.1:0")? },
        "static_resources": {
            "listeners": [{ "name": name, "address": address("127.0.0.1:0")?, "filter_chains": [chain] }],
            "clusters": [cluster],
        },
    });
    Envoy::launch(directory, name, &configuration.to_string(), &["--concurrency", "1"])
}

fn speaks_tls() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let here = directory.path();
    let certificates = Certificates::make(here)?;
    let server = Server::start(&here.join("data"), Front::None)?;
    let origin = bridge(here, "origin", server.origin_address(), Some(certificates.server()), None)?;
    let edge = |name: &str, client: &str, origin_name: &str| {
        let file = |kind: &str, name: &str| certificates.file(&format!("{name}.{kind}"));
        let (chain, key, ca) = (file("pem", "edge"), file("key", "edge"), file("pem", "ca"));
        let (client_chain, client_key) = (file("pem", client), file("key", client));
        let text = [
            ("#tls ", ""),
            ("@TLS_CERTIFICATE@", &chain),
            ("@TLS_KEY@", &key),
            ("@CLIENT_CERTIFICATE@", &client_chain),
            ("@CLIENT_KEY@", &client_key),
            ("@ORIGIN_CA@", &ca),
            ("@ORIGIN_NAME@", origin_name),
        ];
        let origin = origin.url.trim_start_matches("http://");
        let edge = Envoy::start(here, name, &server, origin, &Changes { text: &text, ..Changes::default() })?;
        let to = edge.url.trim_start_matches("http://").to_owned();
        let client =
            bridge(here, &format!("client-of-{name}"), &to, None, Some(certificates.client("edge.test", None)))?;
        Ok::<_, anyhow::Error>((edge, client))
    };
    let (right, client) = edge("edge", "edge", "origin.test")?;
    let deployment = Deployment::new(Box::new(Http::new(&client.url)), &server.ready.client_id, &server.ready.secret)?;
    let idp = Idp { target: Http::new(&client.url), connection: deployment.connect(&Map::new())? };
    let made = idp.create("ada")?;
    ensure!(made.status == 201, "{}", made.brief());
    let location = made.header("location").context("no location")?;
    ensure!(location.starts_with("https://"), "the client came by TLS, but its location is {location}");
    let read = idp.get("/Users?filter=userName%20eq%20%22ada%22")?;
    ensure!(read.json()["totalResults"] == 1, "{}", read.brief());
    // The filter's own calls carry the id of the request they were made for.
    let id = read.header("x-request-id").context("no request id")?.to_owned();
    eventually("a call with that id", || {
        let log = origin.log()?;
        Ok(log.lines().any(|line| line.contains(&id) && line.contains("/edge/v1/")).then_some(()))
    })?;
    right.has_not_trapped()?;
    let plain = Http::new(&right.url).send(&idp.request("GET", "/Users", None));
    ensure!(plain.is_err(), "the edge answers without TLS");

    for (what, client, name) in
        [("a stranger's certificate", "stranger", "origin.test"), ("another origin", "edge", "other.test")]
    {
        let (_edge, client) = edge(&name.replace('.', "-"), client, name)?;
        let answer = Http::new(&client.url).send(&idp.request("POST", "/Users", Some(&user("eve"))))?;
        ensure!(answer.status == 503, "{what}: {}", answer.brief());
    }
    let nobody = bridge(
        here,
        "nobody",
        origin.url.trim_start_matches("http://"),
        None,
        Some(certificates.client("origin.test", None)),
    )?;
    match Http::new(&nobody.url).send(&Request::new("GET", "/")) {
        Ok(answer) if answer.status == 503 => Ok(()),
        Ok(answer) => bail!("the origin lets in who shows no certificate: {}", answer.brief()),
        Err(error) => Err(error),
    }
}
