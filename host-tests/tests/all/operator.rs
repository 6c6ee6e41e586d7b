//! The command line for operators, against running deployments.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use scim_engine::env::Timestamp;
use scim_host_tests::message::{Answer, Request};
use scim_host_tests::place;
use scim_host_tests::server::{Front, Server};
use serde_json::{Value, json};

use crate::shared::{server, trial};

/// The trials.
pub fn trials() -> Vec<Trial> {
    let doctor = |front| move || healthy(front);
    vec![
        trial("operator::a_connection_is_made_shown_paused_and_resumed", lifecycle),
        trial("operator::a_rotation_overlaps_until_it_is_finished", rotation),
        trial("operator::a_deletion_shows_what_goes_and_asks", deletion),
        trial("operator::logs_are_a_table_or_json_and_filtered", logs),
        trial("operator::a_mistake_is_one_line", mistakes),
        trial("operator::proxy_wasm::a_healthy_deployment_passes_the_doctor", doctor(Front::Embedded)),
        trial("operator::envoy::a_healthy_deployment_passes_the_doctor", doctor(Front::Envoy)),
        trial("operator::the_doctor_says_what_is_wrong_and_what_to_do", sick),
        trial("operator::the_readme_has_a_row_for_every_command", documented),
    ]
}

/// The command line at one server.
struct Operator<'s> {
    server: &'s Server,
}

impl Operator<'_> {
    fn command(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(place::program()?);
        command.args(arguments).stdin(Stdio::null());
        for variable in ["SCIM_EDGE_URL", "SCIM_EDGE_ORIGIN", "SCIM_EDGE_CLIENT_ID", "SCIM_EDGE_CLIENT_SECRET"] {
            command.env_remove(variable);
        }
        command.env("SCIM_EDGE_URL", &self.server.ready.origin);
        command.arg("--data").arg(&self.server.data);
        Ok(command)
    }

    fn run(&self, arguments: &[&str]) -> Result<Output> {
        self.command(arguments)?.output().context("`scim-edge` cannot be started")
    }

    fn text(&self, arguments: &[&str]) -> Result<String> {
        let output = self.run(arguments)?;
        ensure!(output.status.success(), "{arguments:?}: {}", said(&output));
        Ok(String::from_utf8(output.stdout)?)
    }

    fn json(&self, arguments: &[&str]) -> Result<Value> {
        Ok(serde_json::from_str(&self.text(&[arguments, &["--json"]].concat())?)?)
    }

    /// A SCIM request at the origin.
    fn scim(&self, method: &str, connection: &Value, token: &Value, body: &Value) -> Result<Answer> {
        let path = format!("/directory/resources/scim/v2.0/{}/Users", text(connection)?);
        let request = Request::new(method, &path).json(body).bearer(text(token)?);
        self.server.origin()?.send(&request)
    }
}

fn text(value: &Value) -> Result<&str> {
    value.as_str().with_context(|| format!("no text: {value}"))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn user(name: &str) -> Value {
    json!({ "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": name })
}

fn lifecycle() -> Result<()> {
    let running = server(Front::Embedded)?;
    let operator = Operator { server: &running.server };
    let create = ["connection", "create", "--tenant", "operators", "--name", "staff", "--source", "OKTA"];
    let made = operator.json(&create)?;
    let (id, token) = (&made["id"], &made["token"]);
    ensure!(text(&made["provisioningUrl"])?.ends_with(text(id)?), "{made}");
    let taken = operator.run(&create)?;
    ensure!(
        taken.status.code() == Some(2) && said(&taken).contains("is taken in this account (409)"),
        "{}",
        said(&taken)
    );

    let listed = operator.json(&["connection", "list", "--tenant", "operators"])?;
    ensure!(listed.as_array().is_some_and(|list| list.len() == 1 && list[0]["id"] == *id), "{listed}");
    ensure!(operator.json(&["connection", "list", "--tenant", "nobody"])? == json!([]), "another account's is listed");
    let table = operator.text(&["connection", "list", "--tenant", "operators"])?;
    let mut lines = table.lines();
    ensure!(lines.next().is_some_and(|line| line.starts_with("ID ") && line.contains("STATUS")), "{table}");
    ensure!(
        lines.next().is_some_and(|line| line.starts_with(text(id).unwrap_or("-")) && line.contains("pending")),
        "{table}"
    );

    let written = operator.scim("POST", id, token, &user("ada"))?;
    ensure!(written.status == 201, "{}", written.brief());
    let paused = operator.text(&["connection", "pause", text(id)?])?;
    ensure!(paused == "staff is paused\n", "{paused}");
    ensure!(operator.scim("POST", id, token, &user("grace"))?.status == 403, "a paused connection takes writes");
    let resumed = operator.text(&["connection", "resume", text(id)?])?;
    ensure!(resumed == "staff is linked\n", "{resumed}");
    ensure!(operator.scim("POST", id, token, &user("grace"))?.status == 201, "a resumed connection takes no writes");

    let shown = operator.json(&["connection", "show", text(id)?])?;
    ensure!((&shown["users"], &shown["groups"]) == (&json!(2), &json!(0)), "{shown}");
    ensure!(shown["tokens"].as_array().is_some_and(|tokens| tokens.len() == 1), "{shown}");
    ensure!(!shown.to_string().contains(text(token)?), "a token is shown again");
    let people = operator.text(&["connection", "show", text(id)?])?;
    ensure!(people.contains("name       staff\n") && people.contains("\nTOKEN "), "{people}");
    Ok(())
}

fn rotation() -> Result<()> {
    let running = server(Front::Embedded)?;
    let operator = Operator { server: &running.server };
    let made = operator.json(&["connection", "create", "--tenant", "rotation"])?;
    let (id, first) = (text(&made["id"])?, &made["token"]);
    let live =
        |token: &Value| Ok::<_, anyhow::Error>(operator.scim("GET", &made["id"], token, &Value::Null)?.status == 200);

    let rotated = operator.json(&["connection", "rotate", id, "--name", "second"])?;
    let second = &rotated["token"];
    ensure!(rotated["stillLive"].as_array().is_some_and(|old| old.len() == 1), "{rotated}");
    ensure!(live(first)? && live(second)?, "the tokens do not overlap");
    let finished = operator.text(&["connection", "rotate", id, "--finish"])?;
    ensure!(finished == "1 old tokens revoked\n", "{finished}");
    ensure!(!live(first)? && live(second)?, "the wrong token was revoked");

    let third = operator.text(&["connection", "rotate", id, "--revoke-old"])?;
    let third = third.lines().find_map(|line| line.strip_prefix("token")).context("no token is shown")?;
    ensure!(!live(second)? && live(&third.trim().into())?, "the old token goes on");
    let both = operator.run(&["connection", "rotate", id, "--revoke-old", "--finish"])?;
    ensure!(both.status.code() == Some(2), "contradicting options are taken");

    let bounded = operator.json(&["connection", "rotate", id, "--expires", "90d"])?;
    let end = Timestamp::parse(text(&bounded["expiresAt"])?).context("no time")?.0 / 1000;
    let days = end.saturating_sub(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs()).div_ceil(24 * 3600);
    ensure!(days == 90 && live(&bounded["token"])?, "{bounded}");
    let dated = operator.json(&["connection", "rotate", id, "--expires", "2099-12-31T00:00:00Z"])?;
    ensure!(dated["expiresAt"] == "2099-12-31T00:00:00.000Z", "{dated}");
    for wrong in ["soon", "2001-01-01T00:00:00Z", "90", "d"] {
        let refused = operator.run(&["connection", "rotate", id, "--expires", wrong])?;
        ensure!(refused.status.code() == Some(2), "{wrong}: {:?} {}", refused.status, said(&refused));
    }
    Ok(())
}

fn deletion() -> Result<()> {
    let running = server(Front::Embedded)?;
    let operator = Operator { server: &running.server };
    let create = |name| operator.json(&["connection", "create", "--tenant", "deletion", "--name", name]);
    let made = create("leaver")?;
    let id = text(&made["id"])?;
    ensure!(operator.scim("POST", &made["id"], &made["token"], &user("ada"))?.status == 201, "no user");

    let asked = operator.run(&["connection", "delete", id])?;
    let question = said(&asked);
    ensure!(asked.status.code() == Some(2), "it is deleted without a yes");
    ensure!(
        question.contains("`leaver` of `deletion` has 1 users, 0 groups and 1 tokens; all of it is removed"),
        "{question}"
    );
    ensure!(operator.json(&["connection", "show", id])?["users"] == 1, "something is gone");

    let deleted = operator.json(&["connection", "delete", id, "--yes"])?;
    ensure!(deleted["users"] == 1 && deleted["kept"] == false, "{deleted}");
    let gone = operator.run(&["connection", "show", id])?;
    ensure!(gone.status.code() == Some(2) && said(&gone).contains("no such connection (404)"), "{}", said(&gone));

    let made = create("keeper")?;
    ensure!(operator.scim("POST", &made["id"], &made["token"], &user("ada"))?.status == 201, "no user");
    operator.text(&["connection", "delete", text(&made["id"])?, "--yes", "--keep-users"])?;
    let left = operator.json(&["connection", "list", "--tenant", "deletion", "--residue"])?;
    ensure!(left.as_array().is_some_and(|left| left.len() == 1 && left[0]["id"] == made["id"]), "{left}");
    Ok(())
}

fn logs() -> Result<()> {
    let running = server(Front::Embedded)?;
    let operator = Operator { server: &running.server };
    let made = operator.json(&["connection", "create", "--tenant", "logs"])?;
    let id = text(&made["id"])?;
    for name in ["ada", "grace", "ada"] {
        operator.scim("POST", &made["id"], &made["token"], &user(name))?;
    }
    let all = operator.json(&["logs", id])?;
    ensure!(all.as_array().is_some_and(|entries| entries.len() == 3), "{all}");
    ensure!((&all[0]["status"], &all[0]["scimType"]) == (&json!(409), &json!("uniqueness")), "{all}");
    let latest = operator.json(&["logs", id, "--limit", "2", "--outcome", "success"])?;
    ensure!(latest.as_array().is_some_and(|e| e.len() == 2 && e.iter().all(|e| e["status"] == 201)), "{latest}");
    let table = operator.text(&["logs", id, "--operation", "post user", "--outcome", "failure"])?;
    let lines: Vec<_> = table.lines().collect();
    ensure!(lines.len() == 2 && lines[0].starts_with("TIME ") && lines[1].contains("failure"), "{table}");
    Ok(())
}

fn mistakes() -> Result<()> {
    let running = server(Front::Embedded)?;
    let operator = Operator { server: &running.server };
    let refused = |arguments: &[&str], variables: &[(&str, &str)], expected: &str| -> Result<()> {
        let mut command = operator.command(arguments)?;
        let output = command.envs(variables.iter().copied()).output()?;
        let said = said(&output);
        ensure!(output.status.code() == Some(2) && said.lines().count() == 1, "{arguments:?}: {said}");
        ensure!(said.contains(expected), "{arguments:?}: {said}");
        Ok(())
    };
    refused(&["connection", "show", "../scim2"], &[], "`../scim2` is no connection id")?;
    refused(&["connection", "show", "nobody"], &[], "no such connection (404)")?;
    refused(&["connection", "create", "--source", "paper"], &[], "`source` must be")?;
    let nobody = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    refused(&["connection", "list", "--url", &format!("http://{nobody}")], &[], "does not answer: is it running")?;
    refused(&["connection", "list", "--url", "ftp://127.0.0.1"], &[], "is no URL of HTTP")?;
    let wrong = [("SCIM_EDGE_CLIENT_ID", "x"), ("SCIM_EDGE_CLIENT_SECRET", "y")];
    refused(&["connection", "list"], &wrong, "refuses the client id and secret")?;
    let empty = tempfile::tempdir()?;
    let mut command = Command::new(place::program()?);
    command.args(["connection", "list", "--data"]).arg(empty.path()).stdin(Stdio::null());
    let output = command.env_remove("SCIM_EDGE_CLIENT_ID").env_remove("SCIM_EDGE_CLIENT_SECRET").output()?;
    ensure!(said(&output).contains("no credential: set SCIM_EDGE_CLIENT_ID"), "{}", said(&output));
    ensure!(!empty.path().join("credentials.json").exists(), "credentials were made up");
    Ok(())
}

/// State of a check in a doctor's report.
fn state<'r>(report: &'r Value, check: &str) -> &'r str {
    let checks = report["checks"].as_array().into_iter().flatten();
    let found = checks.into_iter().find(|finding| finding["check"] == check);
    found.and_then(|finding| finding["state"].as_str()).unwrap_or("absent")
}

fn healthy(front: Front) -> Result<()> {
    let running = server(front)?;
    let operator = Operator { server: &running.server };
    let ready = &running.server.ready;
    let url = ready.front.as_deref().context("no front")?;
    let report = operator.json(&["doctor", "--url", url, "--origin", &ready.origin])?;
    ensure!(report["healthy"] == true, "{report:#}");
    for check in [
        "edge",
        "origin",
        "credential",
        "token",
        "edge credential",
        "clock of the origin",
        "clock of the edge",
        "versions",
    ] {
        ensure!(state(&report, check) == "good", "{check} is {}: {report:#}", state(&report, check));
    }
    let people = operator.text(&["doctor", "--url", url])?;
    ensure!(
        people.starts_with("CHECK ") && people.contains("edge credential") && people.contains("skipped"),
        "{people}"
    );
    Ok(())
}

fn sick() -> Result<()> {
    let running = server(Front::Embedded)?;
    let operator = Operator { server: &running.server };
    let ready = &running.server.ready;
    let (url, origin) = (ready.front.as_deref().context("no front")?, ready.origin.as_str());
    let report = |arguments: &[&str], code: i32| -> Result<Value> {
        let output = operator.run(&[&["doctor", "--json"], arguments].concat())?;
        ensure!(output.status.code() == Some(code), "{arguments:?}: {:?} {}", output.status, said(&output));
        Ok(serde_json::from_slice(&output.stdout)?)
    };
    let bare = report(&["--url", origin], 0)?;
    ensure!(state(&bare, "edge") == "warning" && state(&bare, "versions") == "good", "{bare:#}");

    let wrong = report(&["--url", url, "--client-id", "x", "--client-secret", "y"], 1)?;
    ensure!((state(&wrong, "origin"), state(&wrong, "credential")) == ("good", "bad"), "{wrong:#}");
    ensure!(state(&wrong, "token") == "absent", "{wrong:#}");

    let nobody = format!("http://{}", TcpListener::bind("127.0.0.1:0")?.local_addr()?);
    let down = report(&["--url", &nobody, "--origin", origin], 1)?;
    ensure!((state(&down, "edge"), state(&down, "origin")) == ("bad", "good"), "{down:#}");
    let lost = report(&["--url", url, "--origin", &nobody], 1)?;
    ensure!((state(&lost, "edge"), state(&lost, "origin")) == ("good", "bad"), "{lost:#}");
    ensure!(lost.to_string().contains("start the origin"), "{lost:#}");

    let late = answering("HTTP/1.1 401 Unauthorized\r\ndate: Thu, 01 Jan 2026 00:00:00 GMT\r\nx-scim-edge: 0.0.1\r\n")?;
    let late = report(&["--url", &late, "--origin", origin], 1)?;
    ensure!((state(&late, "clock of the edge"), state(&late, "clock of the origin")) == ("bad", "good"), "{late:#}");
    ensure!(state(&late, "versions") == "warning" && late.to_string().contains("edge 0.0.1"), "{late:#}");

    let other = answering("HTTP/1.1 200 OK\r\n")?;
    let other = report(&["--url", &other], 1)?;
    ensure!((state(&other, "edge"), state(&other, "origin")) == ("bad", "bad"), "{other:#}");

    let people = operator.run(&["doctor", "--url", url, "--origin", &nobody])?;
    let people = String::from_utf8(people.stdout)?;
    ensure!(
        people.contains("\norigin: start the origin (`scim-edge serve`, `spin up`), or correct `--origin`\n"),
        "{people}"
    );
    Ok(())
}

/// A server that gives every request the same answer; it ends with the tests.
fn answering(head: &'static str) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}", listener.local_addr()?);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(format!("{head}content-length: 0\r\nconnection: close\r\n\r\n").as_bytes());
        }
    });
    Ok(url)
}

/// What `--help` lists, `README.md` has a row for.
fn documented() -> Result<()> {
    let readme = std::fs::read_to_string(place::root().join("README.md"))?;
    let commands = |arguments: &[&str]| -> Result<Vec<String>> {
        let output = Command::new(place::program()?).args(arguments).arg("--help").output()?;
        let help = String::from_utf8(output.stdout)?;
        let list = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
        let names = list.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
        Ok(names
            .filter_map(|line| line.split_whitespace().next())
            .filter(|name| *name != "help")
            .map(str::to_owned)
            .collect())
    };
    let (all, connection) = (commands(&[])?, commands(&["connection"])?);
    ensure!(all.len() >= 8 && connection.len() == 7, "{all:?} {connection:?}");
    let single = all.into_iter().filter(|name| name != "connection");
    for name in single.chain(connection.into_iter().map(|name| format!("connection {name}"))) {
        ensure!(readme.contains(&format!("| `scim-edge {name}")), "README.md has no row for `scim-edge {name}`");
    }
    Ok(())
}
