//! The harness: starts the real binary on a free port, and runs the Node side of the tests.

use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

/// The folder of the project.
pub(crate) const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// The server under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_switchboard");

/// Longest time until a server listens.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// Longest time for one file of Node tests; each waits at most some seconds for each event, so this is for hangs.
const NODE_TIMEOUT: Duration = Duration::from_secs(300);

/// A running server. Dropping it ends the process.
pub(crate) struct Server {
    child: Child,
    url: String,
}

impl Server {
    /// Starts the binary with `environment` and nothing else, and returns once it says where it listens.
    pub(crate) fn start(environment: &[(&str, &str)]) -> Self {
        let mut child = Command::new(BINARY)
            .current_dir(env!("CARGO_TARGET_TMPDIR"))
            .env_clear()
            .envs([("HOST", "127.0.0.1"), ("PORT", "0"), ("METRICS_PORT", "0")])
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let output = child.stdout.take().expect("standard output is piped");
        let found = first_url(output).recv_timeout(START_TIMEOUT);
        // Owns the child before anything can fail, so that it is ended in any case.
        let mut server = Self { child, url: String::new() };
        server.url = found.expect("the server says on its standard output where it listens");
        server
    }

    /// `http://127.0.0.1:PORT`.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself, which the test will have noticed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads `output` to its end, so that its writer is never held up, and reports the first address in it.
fn first_url(output: impl Read + Send + 'static) -> Receiver<String> {
    let (found, url) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if let Some(start) = line.find("http://127.0.0.1:") {
                let rest = &line[start..];
                let end = rest.find(|c: char| c.is_whitespace() || c == '"').unwrap_or(rest.len());
                // Only the first one is waited for.
                let _ = found.send(rest[..end].trim_end_matches('/').to_owned());
            }
        }
    });
    url
}

/// Runs `tests/node/<file>` with `environment` added. Fails with Node's output unless tests were run and all passed.
pub(crate) fn run_node_tests(file: &str, environment: &[(&str, &str)]) {
    let output = run_node(&["--test", "--test-reporter=tap", file], environment);
    for (name, fits) in [
        ("tests", (|n| n > 0) as fn(u32) -> bool),
        ("pass", |n| n > 0),
        ("fail", |n| n == 0),
        ("cancelled", |n| n == 0),
        ("skipped", |n| n == 0),
        ("todo", |n| n == 0),
    ] {
        let count = summary(&output, name).unwrap_or_else(|| panic!("{file}: node counted no {name:?}:\n{output}"));
        assert!(fits(count), "{file}: {count} {name}:\n{output}");
    }
}

/// Runs `node <arguments>` in `tests/node` with `environment` added, and answers with what it wrote. Fails with that unless it
/// succeeds.
pub(crate) fn run_node(arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let folder = Path::new(ROOT).join("tests/node");
    assert!(folder.join("node_modules").is_dir(), "tests/node/node_modules is missing: tests/run installs it");
    let child = Command::new("node")
        .args(arguments)
        .current_dir(folder)
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let child = match child {
        Ok(child) => child,
        Err(error) if error.kind() == ErrorKind::NotFound => panic!("Node.js is missing: tests/run installs it"),
        Err(error) => panic!("node does not start: {error}"),
    };
    let (passed, output) = finish(child);
    assert!(passed, "node {} failed:\n{output}", arguments.join(" "));
    output
}

/// The number on the line `# <name> <number>` that closes node's report.
fn summary(output: &str, name: &str) -> Option<u32> {
    output.lines().rev().find_map(|line| line.strip_prefix("# ")?.strip_prefix(name)?.trim().parse().ok())
}

/// Waits for `child`, or kills it after [`NODE_TIMEOUT`]; whether it succeeded, and all it wrote.
fn finish(mut child: Child) -> (bool, String) {
    let output = child.stdout.take().map(read_to_end).expect("standard output is piped");
    let errors = child.stderr.take().map(read_to_end).expect("standard error is piped");
    let written = output.recv_timeout(NODE_TIMEOUT);
    if written.is_err() {
        // The report of the hang is what matters; a child that is gone needs no killing.
        let _ = child.kill();
    }
    let status = child.wait().expect("node is our child");
    let hang = format!("node was still running after {NODE_TIMEOUT:?}");
    let text = written.as_ref().unwrap_or(&hang).clone() + &errors.recv_timeout(START_TIMEOUT).unwrap_or_default();
    (written.is_ok() && status.success(), text)
}

fn read_to_end(mut stream: impl Read + Send + 'static) -> Receiver<String> {
    let (done, text) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before a failure is worth reporting.
        let _ = stream.read_to_end(&mut bytes);
        let _ = done.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    text
}

#[test]
fn the_closing_lines_of_node_are_understood() {
    let report = "TAP version 13\n# tests are fun\nok 1 - x\n1..1\n# tests 12\n# pass 11\n# fail 1\n";
    assert_eq!(summary(report, "tests"), Some(12));
    assert_eq!(summary(report, "fail"), Some(1));
    assert_eq!(summary(report, "skipped"), None);
}
