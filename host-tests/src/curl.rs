//! The `curl` program, for what the other client cannot do: choose its own address, speak HTTP/2, send a body in chunks.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::deployment::Target;
use crate::message::{Answer, Request};

/// A server reached by `curl`, each request on a connection of its own.
#[derive(Clone, Debug)]
pub struct Curl {
    base: String,
    arguments: Vec<String>,
    streamed: bool,
}

impl Curl {
    /// The server at a base URL.
    pub fn new(base: &str) -> Self {
        let arguments = ["--silent", "--show-error", "--include", "--path-as-is", "--max-time", "40", "--noproxy", "*"];
        Self {
            base: base.trim_end_matches('/').to_owned(),
            arguments: arguments.map(str::to_owned).to_vec(),
            streamed: false,
        }
    }

    /// The same with more arguments.
    #[must_use]
    pub fn with(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }

    /// The same from another address of this machine, such as `127.0.0.9`.
    #[must_use]
    pub fn from(self, address: &str) -> Self {
        self.with(&["--interface", address])
    }

    /// The same with bodies whose length is not said first.
    #[must_use]
    pub fn streamed(self) -> Self {
        Self { streamed: true, ..self }
    }

    /// The same over HTTP/2, without TLS and without asking first.
    #[must_use]
    pub fn http2(self) -> Self {
        self.with(&["--http2-prior-knowledge"])
    }
}

impl Target for Curl {
    fn send(&self, request: &Request) -> Result<Answer> {
        let mut command = Command::new("curl");
        command.args(&self.arguments).args(["--request", &request.method]);
        // Not `Expect`, which makes it wait, nor what it adds of itself.
        for header in ["Expect:", "User-Agent:", "Accept:", "Content-Type:"] {
            command.args(["--header", header]);
        }
        for (name, value) in &request.headers {
            command.args(["--header", &format!("{name}: {value}")]);
        }
        if !request.body.is_empty() {
            command.args(if self.streamed { ["--upload-file", "-"] } else { ["--data-binary", "@-"] });
        }
        command.arg(format!("{}{}", self.base, request.target));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().context("`curl` cannot be started: run `apt-get install curl`")?;
        if let Some(mut input) = process.stdin.take() {
            // A server may answer before it has read everything.
            let _ = input.write_all(&request.body);
        }
        let output = process.wait_with_output()?;
        let answer = answer(&output.stdout);
        // What was answered before curl found something to complain of, such as a body nobody read, is an answer.
        answer.with_context(|| format!("no answer: {}", String::from_utf8_lossy(&output.stderr).trim()))
    }
}

/// What curl printed: heads of interim answers, the head, the body.
fn answer(mut printed: &[u8]) -> Result<Answer> {
    loop {
        let end = printed.windows(4).position(|window| window == b"\r\n\r\n").context("no head")?;
        let (head, rest) = printed.split_at(end);
        let head = std::str::from_utf8(head).context("the head is not UTF-8")?;
        let (line, fields) = head.split_once("\r\n").unwrap_or((head, ""));
        let status = line.split(' ').nth(1).context("no status")?.parse()?;
        ensure!(line.starts_with("HTTP/"), "`{line}` is no status line");
        printed = rest.get(4..).unwrap_or_default();
        if status >= 200 {
            let field =
                |line: &str| line.split_once(':').map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()));
            return Ok(Answer {
                status,
                headers: fields.split("\r\n").filter_map(field).collect(),
                body: printed.to_vec(),
            });
        }
    }
}
