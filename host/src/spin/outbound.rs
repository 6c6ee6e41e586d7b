//! Requests a component makes: to the hosts its manifest allows, as Spin does, and to no other.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use http::{Request, Response, Uri};
use http_body_util::BodyExt;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::TokioExecutor;
use rustls::{ClientConfig, RootCertStore};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

/// How long an answer may take to begin, unless the component asks for less.
const PATIENCE: Duration = Duration::from_secs(30);

/// Makes requests for one component.
#[derive(Clone)]
pub struct Outbound {
    allowed: Arc<[AllowedHost]>,
    client: Client<HttpsConnector<HttpConnector>, WasiBody>,
}

/// An entry of `allowed_outbound_hosts`: `scheme://host[:port]`, where `*` is any, and `*.` before a host any name below
/// it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedHost {
    scheme: String,
    host: String,
    ports: Option<std::ops::Range<u32>>,
}

impl Outbound {
    /// Requests to these hosts; certificates are held against those this machine trusts (`SSL_CERT_FILE` names others).
    pub fn new(allowed: Vec<AllowedHost>) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let config = config.with_root_certificates(roots).with_no_client_auth();
        let connector = HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1().build();
        Ok(Self { allowed: allowed.into(), client: Client::builder(TokioExecutor::new()).build(connector) })
    }
}

type Transmission = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl WasiHttpHooks for Outbound {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _transmission: Transmission,
    ) -> Box<dyn Future<Output = Result<(Response<WasiBody>, Transmission), Error>> + Send> {
        if !self.allowed.iter().any(|allowed| allowed.admits(request.uri())) {
            eprintln!("a component may not ask `{}`: `allowed_outbound_hosts` does not name it", origin(request.uri()));
            return Box::new(async { Err(Error::HttpRequestDenied) });
        }
        let patience = options.and_then(|options| options.first_byte_timeout).unwrap_or(PATIENCE);
        let asked = self.client.request(request);
        Box::new(async move {
            let answer = tokio::time::timeout(patience, asked).await.map_err(|_| Error::HttpResponseTimeout)?;
            let response =
                answer.map_err(|error| failure(&error))?.map(|body| body.map_err(Error::from).boxed_unsync());
            Ok((response, Box::new(async { Ok(()) }) as Transmission))
        })
    }
}

impl AllowedHost {
    /// Reads an entry.
    ///
    /// # Errors
    /// Spin would not take it either.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let (scheme, rest) =
            text.split_once("://").with_context(|| format!("`{text}` does not begin with a scheme"))?;
        let rest = rest.trim_end_matches('/');
        ensure!(!rest.contains('/'), "`{text}` has a path");
        let bare = rest.ends_with(']') || !rest.contains(':');
        let (host, port) =
            if bare { (rest, None) } else { rest.rsplit_once(':').map_or((rest, None), |(h, p)| (h, Some(p))) };
        let name = host.strip_prefix("*.").unwrap_or(host);
        ensure!(!name.is_empty() && (host == "*" || !name.contains('*')), "`{text}` does not name a host");
        Ok(Self { scheme: scheme.to_owned(), host: host.to_owned(), ports: ports(scheme, port)? })
    }

    fn admits(&self, uri: &Uri) -> bool {
        let (Some(scheme), Some(host)) = (uri.scheme_str(), uri.host()) else { return false };
        let port = uri.port_u16().map(u32::from).or_else(|| usual_port(scheme));
        let named = match self.host.strip_prefix('*') {
            Some(suffix) => host.ends_with(suffix),
            None => host == self.host,
        };
        named
            && (self.scheme == "*" || self.scheme == scheme)
            && self.ports.as_ref().is_none_or(|ports| port.is_some_and(|port| ports.contains(&port)))
    }
}

/// The ports of an entry; `None` is any.
fn ports(scheme: &str, port: Option<&str>) -> anyhow::Result<Option<std::ops::Range<u32>>> {
    let number = |text: &str| text.parse::<u16>().map(u32::from).with_context(|| format!("`{text}` is no port"));
    Ok(match port {
        Some("*") => None,
        Some(port) => Some(match port.split_once("..") {
            Some((start, end)) => number(start)?..number(end)?,
            None => number(port)?..number(port)? + 1,
        }),
        None => match usual_port(scheme) {
            Some(port) => Some(port..port + 1),
            None => bail!("scheme `{scheme}` has no usual port: name one"),
        },
    })
}

fn usual_port(scheme: &str) -> Option<u32> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

fn origin(uri: &Uri) -> String {
    let (scheme, authority) = (uri.scheme_str().unwrap_or_default(), uri.authority().map_or("", |of| of.as_str()));
    format!("{scheme}://{authority}")
}

/// What the component is told.
fn failure(error: &ClientError) -> Error {
    let mut cause = error.source();
    while let Some(error) = cause {
        if error
            .downcast_ref::<rustls::Error>()
            .is_some_and(|error| matches!(error, rustls::Error::InvalidCertificate(_)))
        {
            return Error::TlsCertificateError;
        }
        match error.downcast_ref::<std::io::Error>() {
            Some(io) if io.kind() == std::io::ErrorKind::ConnectionRefused => return Error::ConnectionRefused,
            // What a connector wraps shows only here.
            Some(io) => cause = io.get_ref().map(|inner| inner as &dyn std::error::Error).or_else(|| error.source()),
            None => cause = error.source(),
        }
    }
    Error::InternalError(Some(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_admits_its_scheme_host_and_port_and_no_other() {
        let check = |entry: &str, url: &str, admitted: bool| {
            let uri: Uri = url.parse().unwrap();
            assert_eq!(AllowedHost::parse(entry).unwrap().admits(&uri), admitted, "{entry} {url}");
        };
        check("https://id.test", "https://id.test/jwks", true);
        check("https://id.test/", "https://id.test:443/jwks", true);
        check("https://id.test", "http://id.test/jwks", false);
        check("https://id.test", "https://id.test:8443/jwks", false);
        check("https://id.test", "https://x.id.test/jwks", false);
        check("https://id.test", "https://id.test.evil.test/jwks", false);
        check("https://*.id.test", "https://x.id.test/", true);
        check("https://*.id.test", "https://id.test/", false);
        check("https://*.id.test", "https://evilid.test/", false);
        check("http://127.0.0.1:8080", "http://127.0.0.1:8080/", true);
        check("http://127.0.0.1:8080", "http://127.0.0.1:8081/", false);
        check("http://127.0.0.1:8000..8002", "http://127.0.0.1:8001/", true);
        check("http://127.0.0.1:8000..8002", "http://127.0.0.1:8002/", false);
        check("http://[::1]:8080", "http://[::1]:8080/", true);
        check("http://[::1]", "http://[::1]/", true);
        check("*://*:*", "http://anything.test:1/", true);
    }

    #[test]
    fn what_spin_would_not_take_is_refused() {
        for entry in ["", "*", "id.test", "https://", "https://id.test/path", "https://a*b.test", "https://*.*.test"] {
            assert!(AllowedHost::parse(entry).is_err(), "{entry}");
        }
        for entry in ["https://id.test:x", "https://id.test:70000", "*://id.test"] {
            assert!(AllowedHost::parse(entry).is_err(), "{entry}");
        }
    }
}
