//! The parts of a Spin manifest (version 2) this host acts on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use serde::Deserialize;

use super::outbound::AllowedHost;

/// A `spin.toml`.
#[derive(Debug, Deserialize)]
pub struct Manifest {
    spin_manifest_version: u32,
    /// Variables of the application, by name.
    #[serde(default)]
    pub variables: BTreeMap<String, Variable>,
    trigger: Triggers,
    /// Components, by name.
    pub component: BTreeMap<String, Component>,
    #[serde(skip)]
    directory: PathBuf,
}

/// A variable of the application.
#[derive(Debug, Deserialize)]
pub struct Variable {
    /// Its value when none is given.
    pub default: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Triggers {
    http: Vec<HttpTrigger>,
}

#[derive(Debug, Deserialize)]
struct HttpTrigger {
    route: String,
    component: String,
}

/// A component: where it is and what it is granted.
#[derive(Debug, Deserialize)]
pub struct Component {
    source: PathBuf,
    /// Labels of the key-value stores it may open.
    #[serde(default)]
    pub key_value_stores: BTreeSet<String>,
    /// Its variables, as templates over those of the application.
    #[serde(default)]
    pub variables: BTreeMap<String, String>,
    /// Hosts it may send requests to, as templates over the application's variables.
    #[serde(default)]
    allowed_outbound_hosts: Vec<String>,
}

impl Manifest {
    /// Reads `directory/spin.toml`.
    ///
    /// # Errors
    /// The file is missing or says something this host does not know.
    pub fn read(directory: &Path) -> anyhow::Result<Self> {
        let path = directory.join("spin.toml");
        let text = std::fs::read_to_string(&path).with_context(|| {
            format!("can not read `{}`: name the directory of `spin.toml` with `--app`", path.display())
        })?;
        Self::parse(&text, directory).with_context(|| format!("`{}` is refused", path.display()))
    }

    fn parse(text: &str, directory: &Path) -> anyhow::Result<Self> {
        let mut manifest: Self = toml::from_str(text).context("not a Spin manifest")?;
        ensure!(manifest.spin_manifest_version == 2, "`spin_manifest_version` has to be 2");
        manifest.directory = directory.to_owned();
        for trigger in &manifest.trigger.http {
            ensure!(manifest.component.contains_key(&trigger.component), "no component `{}`", trigger.component);
            ensure!(!trigger.route.contains(':'), "route `{}` has a named segment", trigger.route);
        }
        Ok(manifest)
    }

    /// The component's file.
    pub fn source(&self, component: &Component) -> PathBuf {
        self.directory.join(&component.source)
    }

    /// The component a path leads to: of the routes that match, the longest.
    pub fn route(&self, path: &str) -> Option<&str> {
        let matching = self.trigger.http.iter().filter(|trigger| matches(&trigger.route, path));
        matching.max_by_key(|trigger| trigger.route.len()).map(|trigger| trigger.component.as_str())
    }

    /// The component's variables, from values of the application's variables.
    ///
    /// # Errors
    /// A value for a variable that is not declared, or none for one without a default.
    pub fn resolve(
        &self,
        component: &Component,
        values: &BTreeMap<String, String>,
    ) -> anyhow::Result<BTreeMap<String, String>> {
        let resolve = |(name, template): (&String, &String)| Ok((name.clone(), self.render(template, values)?));
        component.variables.iter().map(resolve).collect()
    }

    /// Hosts the component may send requests to.
    ///
    /// # Errors
    /// As [`Self::resolve`], and for an entry that is none.
    pub fn allowed_hosts(
        &self,
        component: &Component,
        values: &BTreeMap<String, String>,
    ) -> anyhow::Result<Vec<AllowedHost>> {
        let read = |template: &String| {
            AllowedHost::parse(&self.render(template, values)?).context("`allowed_outbound_hosts` is refused")
        };
        component.allowed_outbound_hosts.iter().map(read).collect()
    }

    fn render(&self, template: &str, values: &BTreeMap<String, String>) -> anyhow::Result<String> {
        let mut rendered = String::new();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once("{{") {
            let Some((name, after)) = after.split_once("}}") else { bail!("template `{template}` is not closed") };
            let name = name.trim();
            let Some(variable) = self.variables.get(name) else { bail!("variable `{name}` is not declared") };
            let value = values.get(name).or(variable.default.as_ref());
            rendered.push_str(before);
            rendered.push_str(value.with_context(|| format!("variable `{name}` has no value"))?);
            rest = after;
        }
        rendered.push_str(rest);
        Ok(rendered)
    }
}

/// `/a` matches itself; `/a/...` matches `/a` and everything below it.
fn matches(route: &str, path: &str) -> bool {
    match route.strip_suffix("/...") {
        None => route == path,
        Some(prefix) => path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = r#"
        spin_manifest_version = 2
        application = { name = "a", version = "1" }
        [variables]
        secret = { required = true, secret = true }
        url = { default = "none" }
        [[trigger.http]]
        route = "/scim/..."
        component = "directory"
        [[trigger.http]]
        route = "/health"
        component = "directory"
        [[trigger.http]]
        route = "/..."
        component = "rest"
        [component.directory]
        source = "d.wasm"
        key_value_stores = ["default"]
        [component.directory.variables]
        both = "{{ secret }} at {{url}}"
        [component.rest]
        source = "r.wasm"
    "#;

    fn manifest() -> Manifest {
        Manifest::parse(MANIFEST, Path::new("/app")).unwrap()
    }

    #[test]
    fn the_longest_matching_route_wins() {
        let manifest = manifest();
        let check = |path, component| assert_eq!(manifest.route(path), Some(component), "{path}");
        check("/scim", "directory");
        check("/scim/", "directory");
        check("/scim/a/Users", "directory");
        check("/scimitar", "rest");
        check("/health", "directory");
        check("/health/deep", "rest");
        check("/", "rest");
    }

    #[test]
    fn variables_are_filled_in_from_values_and_defaults() {
        let manifest = manifest();
        let directory = &manifest.component["directory"];
        let values = BTreeMap::from([("secret".to_owned(), "s".to_owned())]);
        assert_eq!(manifest.resolve(directory, &values).unwrap()["both"], "s at none");
        let refusal = manifest.resolve(directory, &BTreeMap::new()).unwrap_err();
        assert_eq!(refusal.to_string(), "variable `secret` has no value");
    }

    #[test]
    fn a_source_is_relative_to_the_manifest() {
        let manifest = manifest();
        assert_eq!(manifest.source(&manifest.component["rest"]), Path::new("/app/r.wasm"));
    }

    #[test]
    fn a_route_to_nowhere_is_refused() {
        let text = MANIFEST.replace("[component.rest]", "[component.other]");
        let refusal = Manifest::parse(&text, Path::new("/app")).unwrap_err();
        assert_eq!(refusal.to_string(), "no component `rest`");
    }
}
