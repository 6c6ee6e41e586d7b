//! The form of a case: one JSON file of `corpus/`, described in this crate's README.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::{Map, Value};

/// One case: steps on a connection of its own.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// The file's name without extension: a sentence.
    #[serde(skip)]
    pub name: String,
    /// Where the expectation comes from: an RFC section, or what an identity provider does.
    pub why: String,
    /// Changes made to the case's connection before the first step: the body of a PATCH of it.
    #[serde(default)]
    pub connection: Map<String, Value>,
    /// Requests, in order.
    pub steps: Vec<Step>,
}

impl Case {
    /// Whether all its requests are those of an identity provider, so that it runs where there is nobody else.
    pub fn is_scim_only(&self) -> bool {
        self.steps.iter().all(|step| step.identity == Identity::Idp)
    }
}

/// A request and what must come back.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Step {
    /// Method and path, such as `GET /Users?filter=userName eq "ada"`.
    pub request: String,
    /// Who asks, and so where the path starts.
    #[serde(default, rename = "as")]
    pub identity: Identity,
    /// More header fields; a list sends the field several times, null takes away one that is sent otherwise.
    #[serde(default)]
    pub headers: BTreeMap<String, Value>,
    /// JSON body.
    pub body: Option<Value>,
    /// Body as it is, for what is no JSON.
    pub text: Option<String>,
    /// How often the step runs, with `${n}` counting from 1.
    #[serde(default = "once")]
    pub times: usize,
    /// Whether the request is repeated, for up to five seconds, until the answer is as expected.
    #[serde(default)]
    pub eventually: bool,
    /// What must come back.
    pub response: Expected,
    /// Variables to set from the answer: a JSON pointer into the body, or `header:name`.
    #[serde(default)]
    pub capture: BTreeMap<String, String>,
}

/// Who sends a step's request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Identity {
    /// The identity provider: paths start at the connection's SCIM base, and its token is sent.
    #[default]
    Idp,
    /// The vendor: paths start at the root, and a vendor token is sent.
    Vendor,
    /// Nobody: paths start at the root, and no credential is sent.
    Anyone,
}

/// What must come back; what is not named may be anything.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// Status code, or a list of acceptable ones.
    pub status: Value,
    /// Header fields.
    #[serde(default)]
    pub headers: BTreeMap<String, Value>,
    /// Body: fields that are not named are not compared.
    pub body: Option<Value>,
}

fn once() -> usize {
    1
}

/// Reads every case of a directory.
///
/// # Errors
/// A file cannot be read or is no case; the error names it.
pub fn load(directory: &Path) -> Result<Vec<Case>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory).with_context(|| format!("{} cannot be read", directory.display()))? {
        paths.push(entry?.path());
    }
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    ensure!(!paths.is_empty(), "no case in {}", directory.display());
    paths.iter().map(|path| read(path).with_context(|| format!("{} is no case", path.display()))).collect()
}

fn read(path: &Path) -> Result<Case> {
    let mut case: Case = serde_json::from_slice(&std::fs::read(path)?)?;
    case.name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    ensure!(!case.steps.is_empty() && !case.why.is_empty(), "it needs steps and a reason");
    Ok(case)
}
