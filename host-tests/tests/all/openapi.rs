//! The description of the API against the real server: schemathesis makes requests of it, right and wrong ones, and holds
//! every answer against it.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use scim_host_tests::place;
use scim_host_tests::server::{Front, Server};
use serde_json::Map;

use crate::shared::{fresh, trial};

/// What is held: no answer of 500 or above, none whose status, media type, headers or form is not described, and no way in
/// without a credential.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
                      response_schema_conformance,ignored_auth";

/// One trial for each half of the document.
pub fn trials() -> Vec<Trial> {
    vec![
        trial("openapi::schemathesis_finds_the_management_api_as_it_is_described", || check("^(?!.*v2.0)")),
        // `/Me` answers 501, which is what RFC 7644 section 3.11 wants and schemathesis does not.
        trial("openapi::schemathesis_finds_scim_as_it_is_described", || check("v2.0(?!.*/Me$)")),
    ]
}

fn check(paths: &str) -> Result<()> {
    let data = fresh()?;
    let server = Server::start(&data.path().join("data"), Front::None)?;
    let deployment = server.origin()?;
    let connection = deployment.connect(&Map::new())?;
    let settings = data.path().join("schemathesis.toml");
    std::fs::write(
        &settings,
        format!(
            "[auth.openapi.vendor]\nbearer = \"{}\"\n[auth.openapi.vendorHeader]\napi_key = \"{0}\"\n\
             [auth.openapi.connection]\nbearer = \"{}\"\n[parameters]\n\"path.connection\" = \"{}\"\n",
            deployment.vendor_token(),
            connection.token,
            connection.id
        ),
    )?;
    let schemathesis = place::python()?.with_file_name("schemathesis");
    let mut run = Command::new(schemathesis);
    run.arg("--config-file").arg(&settings).arg("run").arg(format!("{}/openapi.json", server.ready.origin));
    run.args(["--include-path-regex", paths, "--checks", CHECKS, "--phases", "coverage,fuzzing,stateful"]);
    run.args(["--max-examples", "15", "--max-time", "25", "--generation-deterministic"]);
    run.args(["--workers", "1", "--request-timeout", "20", "--no-color", "--warnings", "off", "--max-failures", "10"]);
    let output = run
        .current_dir(data.path())
        .output()
        .context("schemathesis cannot be started: run `cargo xtask test`, which installs it")?;
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{said}");
    ensure!(said.contains("passed"), "nothing was tried: {said}");
    Ok(())
}
