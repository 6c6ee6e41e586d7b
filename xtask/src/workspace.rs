//! The workspace's packages, so that a new one is tested and linted without being listed anywhere.

use anyhow::{Context, Result};
use serde_json::Value;

use crate::command::{cargo, output};
use crate::tools::{PLUGIN_TARGET, SPIN_TARGET};

/// A package of the workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// The WebAssembly target it is built for; `None` for the machine this runs on.
    pub target: Option<&'static str>,
    /// Whether it is a library whose examples are tests.
    pub documented: bool,
}

/// Every package: the workspace's default members run here, those below `spin/` in Spin, the others in Envoy.
///
/// # Errors
/// The workspace cannot be read.
pub fn packages() -> Result<Vec<Package>> {
    let metadata = output(cargo().args(["metadata", "--format-version", "1", "--no-deps"]))?;
    let metadata: Value = serde_json::from_str(&metadata).context("`cargo metadata` gave no json")?;
    Ok(read(&metadata))
}

fn read(metadata: &Value) -> Vec<Package> {
    let here = metadata["workspace_default_members"].as_array().cloned().unwrap_or_default();
    let root = metadata["workspace_root"].as_str().unwrap_or_default();
    let package = |package: &Value| {
        let path = package["manifest_path"].as_str()?.strip_prefix(root)?.trim_start_matches('/');
        let target = match path.starts_with("spin/") {
            _ if here.contains(&package["id"]) => None,
            true => Some(SPIN_TARGET),
            false => Some(PLUGIN_TARGET),
        };
        let kinds = package["targets"].as_array().into_iter().flatten().flat_map(|target| target["kind"].as_array());
        let documented = target.is_none() && kinds.flatten().any(|kind| kind == "lib");
        Some(Package { name: package["name"].as_str()?.to_owned(), target, documented })
    };
    metadata["packages"].as_array().into_iter().flatten().filter_map(package).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Package, read};

    #[test]
    fn a_package_runs_where_its_place_in_the_tree_says() {
        let package = |id: &str, kind: &str| json!({ "id": id, "name": id, "manifest_path": format!("/r/{id}/Cargo.toml"), "targets": [{ "kind": [kind] }] });
        let metadata = json!({
            "workspace_root": "/r",
            "workspace_default_members": ["engine", "spin/jwks"],
            "packages": [package("engine", "lib"), package("spin/jwks", "lib"), package("spin/kv", "lib"), package("plugin", "cdylib")],
        });
        let expected = [
            ("engine", None, true),
            ("spin/jwks", None, true),
            ("spin/kv", Some("wasm32-wasip2"), false),
            ("plugin", Some("wasm32-wasip1"), false),
        ];
        let expected = expected.map(|(name, target, documented)| Package { name: name.to_owned(), target, documented });
        assert_eq!(read(&metadata), expected);
    }
}
