//! Sessions: a cookie that holds the credential itself, so that nothing is stored.
//!
//! The dashboard's cookie holds an environment token, renewed with every page; the portal's holds the user's token and
//! ends with it. Before the credential stands a random name, from which each form's proof is derived: only our own pages
//! can know it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use scim_engine::env::Env;
use scim_engine::http::Request;
use scim_engine::scim;
use sha2::Sha256;

/// Where a session is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Area {
    /// The vendor's pages.
    Dashboard,
    /// The customers' pages, which may stand in a frame of another site.
    Portal,
}

/// A session as the browser presents it; the API proves the credential.
#[derive(Clone, Debug)]
pub struct Session {
    pub(crate) name: String,
    /// Environment token or user's token.
    pub credential: String,
}

impl Area {
    /// Path of its first page, which all its pages begin with.
    pub fn base(self) -> &'static str {
        match self {
            Self::Dashboard => "/dashboard",
            Self::Portal => "/portal",
        }
    }

    /// A cookie of this area that lives `age` seconds; 0 removes it.
    pub fn cookie(self, name: &str, value: &str, age: u64, request: &Request, env: &Env<'_>) -> String {
        let origin = scim::origin(request, env);
        let secure = origin.starts_with("https://");
        // Browsers trust the machine they run on, so a frame can be tried out without a certificate.
        let local = ["http://127.0.0.1", "http://localhost"].iter().any(|start| origin.starts_with(start));
        let site = match self {
            Self::Portal if secure || local => "; SameSite=None; Secure; Partitioned",
            Self::Dashboard if secure => "; SameSite=Lax; Secure",
            Self::Portal | Self::Dashboard => "; SameSite=Lax",
        };
        format!("{name}={value}; Path={}; HttpOnly; Max-Age={age}{site}", self.base())
    }
}

impl Session {
    /// Name of the cookie.
    pub const COOKIE: &'static str = "session";

    /// A new session.
    pub fn start(credential: String, env: &Env<'_>) -> Self {
        Self { name: URL_SAFE_NO_PAD.encode(env.entropy()), credential }
    }

    /// The session of a request.
    pub fn of(request: &Request) -> Option<Self> {
        let (name, credential) = cookie(request, Self::COOKIE)?.split_once('.')?;
        let valid = name.len() == 43;
        valid.then(|| Self { name: name.to_owned(), credential: credential.to_owned() })
    }

    /// The cookie's value.
    pub fn value(&self) -> String {
        format!("{}.{}", self.name, self.credential)
    }

    /// What every form of this session carries.
    pub fn proof(&self) -> String {
        let mac = Hmac::<Sha256>::new_from_slice(self.name.as_bytes()).map(|mac| mac.chain_update("form"));
        mac.map(|mac| URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())).unwrap_or_default()
    }

    /// Whether a form carries it.
    pub fn proves(&self, given: &str) -> bool {
        let mac = Hmac::<Sha256>::new_from_slice(self.name.as_bytes()).map(|mac| mac.chain_update("form"));
        let given = URL_SAFE_NO_PAD.decode(given).unwrap_or_default();
        mac.is_ok_and(|mac| mac.verify_slice(&given).is_ok())
    }
}

/// A cookie of a request.
pub fn cookie<'r>(request: &'r Request, name: &str) -> Option<&'r str> {
    let values = request.headers.iter().filter(|(header, _)| header == "cookie");
    let mut pairs = values.filter_map(|(_, value)| std::str::from_utf8(value).ok()).flat_map(|text| text.split(';'));
    pairs.find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;
    use scim_engine::env::{Config, Timestamp};

    #[test]
    fn only_the_session_itself_proves_a_form() {
        let config = Config::default();
        let env = Env::new(Timestamp(1), [1; 32], 0, &config);
        let (mine, other) = (Session::start("a.b".into(), &env), Session::start("a.b".into(), &env));
        let headers = vec![("cookie".into(), format!("x=y; session={}", mine.value()).into_bytes())];
        let read = Session::of(&Request { headers, ..Request::default() }).unwrap();
        assert_eq!(read.credential, "a.b");
        assert!(read.proves(&mine.proof()));
        assert!(!read.proves(&other.proof()));
        assert!(!read.proves(""));
    }
}
