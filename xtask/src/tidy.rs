//! Documents are tested: every path they name exists.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::command::root;

/// Documents that speak of the tree.
const DOCUMENTS: &[&str] = &["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "host-tests/README.md"];

/// First components of paths that must exist; anything else in backticks is a route, a command or a name.
const TREE: &[&str] =
    &["engine", "plugin", "spin", "host", "host-tests", "envoy", "xtask", "bench", "fuzz", ".ci", ".cargo"];

/// Compares the documents with the tree.
///
/// # Errors
/// A document is missing, or names a path that is not there.
pub fn check() -> Result<()> {
    let mut missing = Vec::new();
    for document in DOCUMENTS {
        let text =
            std::fs::read_to_string(root().join(document)).with_context(|| format!("`{document}` is missing"))?;
        let absent = paths(&text).filter(|path| !root().join(path).exists());
        missing.extend(absent.map(|path| format!("`{path}` (in {document})")));
    }
    ensure!(missing.is_empty(), "documents name what is not there: {}", missing.join(", "));
    Ok(())
}

/// The paths of our tree that a text names in backticks.
fn paths(text: &str) -> impl Iterator<Item = &str> {
    let spans = text.split("```").step_by(2).flat_map(|prose| prose.split('`').skip(1).step_by(2));
    spans.filter(|span| {
        let first = Path::new(span).components().next().map(|c| c.as_os_str().to_string_lossy().into_owned());
        let is_path = !span.contains([' ', '*', '{', '<']) && (span.contains('/') || span.ends_with(".md"));
        is_path && first.is_some_and(|first| TREE.contains(&first.as_str()) || span.ends_with(".md"))
    })
}

#[cfg(test)]
mod tests {
    use super::paths;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        assert_eq!(paths(text).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn paths_of_the_tree_are_found_in_prose() {
        check("See `engine/src/lib.rs`, `CHANGELOG.md` and `spin/`.", &["engine/src/lib.rs", "CHANGELOG.md", "spin/"]);
    }

    #[test]
    fn routes_commands_and_patterns_are_no_paths() {
        check("`/edge/v1/heads`, `cargo xtask up`, `host-tests/corpus/*.json`, `a/b`", &[]);
    }

    #[test]
    fn code_blocks_are_left_alone() {
        check("```text\n`engine/gone`\n```\n`xtask/src`", &["xtask/src"]);
    }
}
