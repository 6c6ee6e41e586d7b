//! The one `check` of the corpus: a case against a deployment.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::case::{Case, Identity, Step};
use crate::deployment::{Connection, Deployment};
use crate::matching::difference;
use crate::message::{Answer, Request};
use crate::variables::Variables;

/// How long a step marked `eventually` may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Runs a case on a fresh connection.
///
/// # Errors
/// An answer is not as expected; the error names the step, the place, and shows the whole answer.
pub fn check(case: &Case, deployment: &Deployment) -> Result<()> {
    let connection = deployment.connect(&case.connection)?;
    let mut variables = Variables::default();
    variables.set("connection", connection.id.as_str());
    variables.set("token", connection.token.as_str());
    for (index, step) in case.steps.iter().enumerate() {
        for n in 1..=step.times {
            variables.set("n", n);
            let ran = run(step, deployment, &connection, &mut variables);
            ran.with_context(|| format!("step {} `{}` ({})", index + 1, step.request, case.why))?;
        }
    }
    Ok(())
}

fn run(step: &Step, deployment: &Deployment, connection: &Connection, variables: &mut Variables) -> Result<()> {
    let request = request(step, deployment, connection, variables)?;
    let start = Instant::now();
    let answer = loop {
        let answer = deployment.send(&request)?;
        match expect(step, &answer, variables) {
            Ok(()) => break answer,
            Err(_) if step.eventually && start.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(50)),
            Err(error) => return Err(error.context(format!("answered {}", answer.brief()))),
        }
    };
    for (name, place) in &step.capture {
        let value = match place.strip_prefix("header:") {
            Some(header) => answer.header(header).map(Value::from),
            None => answer.json().pointer(place).cloned(),
        };
        variables.set(name, value.with_context(|| format!("nothing to capture at `{place}`: {}", answer.brief()))?);
    }
    Ok(())
}

fn request(step: &Step, deployment: &Deployment, connection: &Connection, variables: &Variables) -> Result<Request> {
    let line = variables.text(&step.request)?;
    let (method, path) = line.split_once(' ').context("a request is a method, a blank and a path")?;
    let rooted = step.identity != Identity::Idp || path.starts_with("http");
    let base = if rooted { String::new() } else { connection.base() };
    let mut request = Request::new(method, &(base + &encode(path)));
    let bearer = match step.identity {
        Identity::Idp => Some(connection.token.as_str()),
        Identity::Vendor => Some(deployment.vendor_token()),
        Identity::Anyone => None,
    };
    let given = |name: &str| step.headers.keys().any(|key| key.eq_ignore_ascii_case(name));
    if let Some(token) = bearer.filter(|_| !given("authorization")) {
        request = request.bearer(token);
    }
    if step.body.is_some() && !given("content-type") {
        request = request.header("content-type", "application/scim+json");
    }
    for (name, value) in &step.headers {
        let values = match value {
            Value::Null => Vec::new(),
            Value::Array(values) => values.clone(),
            one => vec![one.clone()],
        };
        for value in values {
            let text = value.as_str().context("a header field is a text")?;
            request = request.header(name, &variables.text(text)?);
        }
    }
    if let Some(body) = &step.body {
        request.body = variables.json(body)?.to_string().into_bytes();
    }
    if let Some(text) = &step.text {
        request.body = variables.text(text)?.into_bytes();
    }
    Ok(request)
}

/// Percent-encodes what a URL may not hold, so that cases can show filters as they read.
fn encode(path: &str) -> String {
    let keep = |byte: u8| {
        byte.is_ascii_graphic()
            && !matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' | b'[' | b']')
    };
    path.bytes().map(|byte| if keep(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

fn expect(step: &Step, answer: &Answer, variables: &Variables) -> Result<()> {
    let accepted = step.response.status.as_array().cloned().unwrap_or_else(|| vec![step.response.status.clone()]);
    ensure!(accepted.contains(&answer.status.into()), "expected status {}", step.response.status);
    for (name, expected) in &step.response.headers {
        let actual = answer.header(&name.to_ascii_lowercase()).map(Value::from);
        if let Some(difference) = difference(&variables.json(expected)?, actual.as_ref()) {
            bail!("header {name} {difference}");
        }
    }
    if let Some(body) = &step.response.body {
        let actual = if answer.body.is_empty() { None } else { Some(answer.json()) };
        if let Some(difference) = difference(&variables.json(body)?, actual.as_ref()) {
            bail!("{difference}");
        }
    }
    match step.identity {
        Identity::Idp => scim_form(step, answer),
        Identity::Vendor | Identity::Anyone => Ok(()),
    }
}

/// What holds for every SCIM answer (RFC 7644 sections 3.1, 3.6 and 3.12), whatever the case.
fn scim_form(step: &Step, answer: &Answer) -> Result<()> {
    if matches!(answer.status, 204 | 304) || step.request.starts_with("HEAD ") {
        ensure!(answer.body.is_empty(), "expected no body");
        return Ok(());
    }
    let media_type = answer.header("content-type").unwrap_or_default();
    let asks_for_json = step.headers.get("accept").is_some_and(|accept| accept == "application/json");
    let is_json = asks_for_json && media_type.starts_with("application/json");
    ensure!(is_json || media_type.starts_with("application/scim+json"), "content-type is `{media_type}`");
    let body: Value = serde_json::from_slice(&answer.body).context("the body is no json")?;
    ensure!(!mentions(&body, "password"), "a password was returned");
    if answer.status >= 400 {
        let form = serde_json::json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
            "status": answer.status.to_string(),
            "detail": "$text",
        });
        if let Some(difference) = difference(&form, Some(&body)) {
            bail!("no SCIM error: {difference}");
        }
    }
    if answer.status == 401 {
        let challenge = answer.header("www-authenticate").unwrap_or_default();
        ensure!(challenge.starts_with("Bearer"), "www-authenticate is `{challenge}`");
    }
    Ok(())
}

/// Whether a resource, or one in a list, has an attribute of that name.
fn mentions(body: &Value, attribute: &str) -> bool {
    let listed = body.get("Resources").and_then(Value::as_array).into_iter().flatten();
    let is_schema = |value: &Value| value.get("attributes").is_some();
    std::iter::once(body).chain(listed).filter(|v| !is_schema(v)).any(|resource| resource.get(attribute).is_some())
}
