//! Real servers of NATS, which end with the test. The tests of other crates have this file as well, and so does the bench.
#![allow(
    dead_code,
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    clippy::unwrap_used
)]

use std::{
    io::{BufRead, BufReader},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// A server on a port of its own, with an empty directory.
pub struct Nats {
    pub port: u16,
    dir: PathBuf,
    /// What it is told beside.
    args: Vec<String>,
    process: Child,
    pid: String,
}

/// The program: `HUBBUB_NATS`, or what the path has.
pub fn program() -> String {
    std::env::var("HUBBUB_NATS").unwrap_or_else(|_| "nats-server".to_owned())
}

/// A port that nobody has, and that the system gives nobody by itself until this one listens there, or does so again.
pub fn free_port() -> u16 {
    loop {
        let port = fastrand::u16(10_000..30_000);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

impl Nats {
    pub fn start() -> Self {
        Self::start_with(Vec::new())
    }

    /// One that is told this beside.
    pub fn start_with(args: Vec<String>) -> Self {
        Self::start_at(free_port(), args)
    }

    /// One on this port.
    pub fn start_at(port: u16, args: Vec<String>) -> Self {
        let dir = std::env::temp_dir().join(format!("hubbub-nats-{}", uuid::Uuid::new_v4()));
        let (process, pid) = spawn(port, &dir, &args);
        let nats = Self { port, process, pid, dir, args };
        nats.wait();
        nats
    }

    fn wait(&self) {
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(started.elapsed() < Duration::from_secs(20), "NATS does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Its process.
    pub fn pid(&self) -> &str {
        &self.pid
    }

    /// Where it keeps what it is told.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Kills it at once.
    pub fn kill(&mut self) {
        drop(self.process.stdin.take());
        self.process.wait().unwrap();
    }

    /// Starts it again on what it has kept.
    pub fn start_again(&mut self) {
        (self.process, self.pid) = spawn(self.port, &self.dir, &self.args);
        self.wait();
    }

    /// Sends it a signal: `STOP`, `CONT`.
    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([&format!("-{signal}"), &self.pid]).status().unwrap();
        assert!(sent.success());
    }
}

/// The shell ends it when this process does, however that ends.
fn spawn(port: u16, dir: &Path, args: &[String]) -> (Child, String) {
    let mut process = Command::new("sh")
        .args(["-c", r#""$@" >&2 & echo $!; read -r _; kill -9 $!; wait"#, "sh"])
        .arg(program())
        .args(["-js", "-a", "127.0.0.1", "-p", &port.to_string(), "-sd"])
        .arg(dir)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("nats-server can't be started");
    let mut pid = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut pid).unwrap();
    (process, pid.trim().to_owned())
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}
