//! A node of a test: the real binary on a data folder, ended by its process id.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

/// A running `sammen`.
pub struct Node {
    child: Child,
    /// What it printed once it was ready.
    pub card: Value,
    /// What it logs from then on.
    log: Option<std::sync::mpsc::Receiver<String>>,
}

impl Node {
    /// `sammen try --json --data DIR`, once everything listens.
    pub fn tries(data: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sammen"))
            .args(["try", "--json", "--data"])
            .arg(data)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let card = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?}"));
        Self {
            child,
            card,
            log: None,
        }
    }

    /// `sammen serve --config FILE`, once it says on its standard error that it is ready.
    pub fn serves(config: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_sammen"))
            .args(["serve", "--config"])
            .arg(config)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let ready = lines
            .by_ref()
            .map_while(Result::ok)
            .find(|line| line.starts_with("sammen is ready"))
            .expect("it ended before it was ready");
        // Somebody has to read what it logs.
        let (tells, log) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let _ = tells.send(line);
            }
        });
        Self {
            child,
            card: ready.into(),
            log: Some(log),
        }
    }

    /// Waits until it logged this.
    pub fn logged(&self, what: &str) {
        let log = self.log.as_ref().expect("it runs with `serve`");
        assert!(log.iter().any(|line| line.contains(what)), "{what}");
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// A signal by name, to this process alone.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill")
            .args(["-s", name, &pid])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// SIGTERM, and what it ended with.
    pub fn stops(mut self) -> Option<i32> {
        self.signal("TERM");
        self.child.wait().unwrap().code()
    }

    /// The port of a listener of the card.
    pub fn address(&self, pointer: &str) -> String {
        let value = self.card.pointer(pointer).and_then(Value::as_str);
        value.unwrap_or_else(|| panic!("no {pointer}")).to_owned()
    }

    /// What an HTTP GET of the metrics listener answers.
    pub fn get(&self, path: &str) -> String {
        let url = self.address("/listeners/metrics");
        let mut stream = TcpStream::connect(url.trim_start_matches("http://")).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // A test that failed leaves nothing running.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command to its end, with a line for its standard input.
pub fn command(data: &Path, words: &str, input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_sammen"))
        .args(words.split_whitespace())
        .arg("--data")
        .arg(data)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that reads nothing may be gone already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

/// Runs a command that must succeed and returns its JSON.
pub fn told(data: &Path, words: &str, input: &str) -> Value {
    let out = command(data, &format!("{words} --json"), input);
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{words}: {errors}");
    serde_json::from_slice(&out.stdout).unwrap()
}

/// Runs a command that must fail and returns what it says.
pub fn refused(data: &Path, words: &str, input: &str) -> String {
    let out = command(data, words, input);
    assert!(!out.status.success(), "{words} succeeded");
    String::from_utf8_lossy(&out.stderr).into_owned()
}

/// The names of all accounts.
pub fn names(data: &Path) -> Vec<String> {
    let list = told(data, "account list", "");
    let name = |a: &Value| a["name"].as_str().unwrap().to_owned();
    list.as_array().unwrap().iter().map(name).collect()
}

/// A data folder of a test, in a temporary one.
pub fn folder() -> (tempfile::TempDir, PathBuf) {
    let temporary = tempfile::tempdir().unwrap();
    let data = temporary.path().join("data");
    (temporary, data)
}
