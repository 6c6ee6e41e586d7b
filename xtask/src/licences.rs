//! Licences of what ships: everything the guests and the program link.

use std::collections::{BTreeMap, HashMap, HashSet};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::command::{cargo, output};

/// Licences that allow what Apache-2.0 allows; an expression needs one whole alternative of them.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Packages that ship.
const SHIPPED: &[&str] = &[
    "scim-edge",
    "scim-plugin-origin",
    "scim-plugin-local",
    "scim-spin-directory",
    "scim-spin-connections",
    "scim-spin-pages",
];

/// Checks the licence of every package that ships.
///
/// # Errors
/// A package has no licence, or one that is not allowed.
pub fn check() -> Result<()> {
    let metadata = output(cargo().args(["metadata", "--format-version", "1", "--locked"]))?;
    let metadata: Value = serde_json::from_str(&metadata).context("`cargo metadata` gave no json")?;
    let licences = licences(&metadata);
    let refused: Vec<_> = shipped(&metadata)
        .into_iter()
        .filter_map(|id| licences.get(id))
        .filter(|(_, licence)| !is_allowed(licence))
        .map(|(name, licence)| format!("{name} ({licence})"))
        .collect();
    ensure!(refused.is_empty(), "licences that are not allowed: {}", refused.join(", "));
    Ok(())
}

fn licences(metadata: &Value) -> BTreeMap<&str, (&str, &str)> {
    let packages = metadata["packages"].as_array().into_iter().flatten();
    packages
        .filter_map(|package| {
            let licence = package["license"].as_str().unwrap_or("none");
            Some((package["id"].as_str()?, (package["name"].as_str()?, licence)))
        })
        .collect()
}

/// Ids of all packages reachable from the shipped ones by normal dependencies.
fn shipped(metadata: &Value) -> HashSet<&str> {
    let nodes = metadata["resolve"]["nodes"].as_array().into_iter().flatten();
    let nodes: HashMap<&str, &Value> = nodes.filter_map(|node| Some((node["id"].as_str()?, node))).collect();
    let is_root =
        |id: &str| SHIPPED.iter().any(|name| id.contains(&format!("{name}@")) || id.contains(&format!("/{name}#")));
    let mut open: Vec<&str> = nodes.keys().copied().filter(|id| is_root(id)).collect();
    let mut seen = HashSet::new();
    while let Some(id) = open.pop() {
        if !seen.insert(id) {
            continue;
        }
        let dependencies = nodes.get(id).into_iter().flat_map(|node| node["deps"].as_array().into_iter().flatten());
        let normal = dependencies
            .filter(|dep| dep["dep_kinds"].as_array().into_iter().flatten().any(|kind| kind["kind"].is_null()));
        open.extend(normal.filter_map(|dep| dep["pkg"].as_str()));
    }
    seen
}

/// Whether one alternative of an SPDX expression consists of allowed licences only.
fn is_allowed(expression: &str) -> bool {
    let flat = expression.replace(['(', ')'], " ").replace('/', " OR ");
    let joined = expression.contains('(') && expression.contains(" AND ");
    let allowed = |licence: &str| ALLOWED.contains(&licence.trim());
    if joined {
        // Both `A AND (B OR C)` and `(A OR B) AND C`: every factor needs an allowed alternative.
        return expression.split(" AND ").all(|factor| is_allowed(factor.trim().trim_matches(['(', ')'])));
    }
    flat.split(" OR ").any(|alternative| alternative.split(" AND ").all(allowed))
}

#[cfg(test)]
mod tests {
    use super::is_allowed;

    #[track_caller]
    fn check(expression: &str, expected: bool) {
        assert_eq!(is_allowed(expression), expected, "{expression}");
    }

    #[test]
    fn one_allowed_alternative_is_enough() {
        check("GPL-3.0 OR MIT", true);
        check("MIT/Apache-2.0", true);
        check("Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT", true);
    }

    #[test]
    fn every_joined_licence_must_be_allowed() {
        check("MIT AND GPL-3.0", false);
        check("(MIT OR Apache-2.0) AND Unicode-3.0", true);
        check("(MIT OR Apache-2.0) AND GPL-3.0", false);
    }

    #[test]
    fn no_licence_is_refused() {
        check("none", false);
    }
}
