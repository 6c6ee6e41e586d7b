//! What each part may know: the engine's dependencies, and what the components ask of Spin.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use scim_host_tests::place;
use wasmparser::{Parser, Payload};

use crate::shared::trial;

/// Crates the engine may use: pure functions of their arguments.
const ENGINE: &[&str] = &["base64", "crc32fast", "hmac", "serde", "serde_json", "sha2", "subtle", "time", "uuid"];

/// Interfaces real Spin offers a component; a version may follow.
const SPIN: &[&str] = &[
    "wasi:http/",
    "wasi:io/",
    "wasi:clocks/",
    "wasi:random/",
    "wasi:cli/",
    "wasi:filesystem/",
    "wasi:sockets/",
    "wasi:keyvalue/atomics@0.2.0-draft2",
    "wasi:keyvalue/batch@0.2.0-draft2",
    "wasi:keyvalue/store@0.2.0-draft2",
    "fermyon:spin/key-value@",
    "fermyon:spin/variables@",
    "spin:key-value/key-value@",
    "spin:variables/variables@",
    "wasi:config/",
];

/// Modules the filter may import from: Envoy offers nothing else.
const PROXY_WASM: &[&str] = &["env", "wasi_snapshot_preview1"];

/// One trial for each boundary.
pub fn trials() -> Vec<Trial> {
    vec![
        trial("boundary::the_engine_depends_on_pure_crates_only", engine),
        trial("boundary::the_directory_component_imports_only_what_spin_offers", || component("scim_spin_directory")),
        trial("boundary::the_connections_component_imports_only_what_spin_offers", || {
            component("scim_spin_connections")
        }),
        trial("boundary::the_pages_component_imports_only_what_spin_offers", || component("scim_spin_pages")),
        trial("boundary::the_filter_imports_only_what_envoy_offers", || plugin(&place::plugin())),
        trial("boundary::the_filter_for_local_mode_imports_only_what_envoy_offers", || plugin(&place::local_plugin())),
    ]
}

fn engine() -> Result<()> {
    let mut tree = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    tree.args(["tree", "--package", "scim-engine", "--edges", "normal", "--depth", "1", "--prefix", "none"]);
    let output = tree.args(["--format", "{p}"]).current_dir(place::root()).output()?;
    ensure!(output.status.success(), "cargo tree failed: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    let names = text.lines().skip(1).filter_map(|line| line.split_whitespace().next());
    let found: BTreeSet<_> = names.collect();
    ensure!(!found.is_empty(), "no dependency was listed");
    let foreign: Vec<_> = found.iter().filter(|name| !ENGINE.contains(name)).collect();
    ensure!(foreign.is_empty(), "not on the engine's list: {foreign:?}");
    Ok(())
}

fn component(name: &str) -> Result<()> {
    check(&place::component(name), |import| SPIN.iter().any(|offered| import.starts_with(offered)))
}

fn plugin(file: &Path) -> Result<()> {
    check(file, |import| PROXY_WASM.contains(&import))
}

fn check(file: &Path, offered: impl Fn(&str) -> bool) -> Result<()> {
    let bytes = std::fs::read(file).with_context(|| format!("{} is missing", file.display()))?;
    let imports = imports(&bytes)?;
    ensure!(!imports.is_empty(), "no import was found: the file was not understood");
    let foreign: Vec<_> = imports.iter().filter(|import| !offered(import)).collect();
    ensure!(foreign.is_empty(), "imports that are not offered: {foreign:?}");
    Ok(())
}

/// Imports of the outermost component or module: interfaces of the one, modules of the other.
fn imports(bytes: &[u8]) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    found.insert(import?.name.name.to_owned());
                }
            }
            Payload::ImportSection(section) if depth == 0 => {
                for import in section.into_imports() {
                    found.insert(import?.module.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(found)
}
