//! Real servers of NATS, which end with the test, and hubs on them.
#![allow(dead_code, missing_debug_implementations, unreachable_pub, clippy::unwrap_used)]

use std::{
    io::{BufRead, BufReader},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use common::{Epoch, Offset, RoomName};
use hub::broker::{Broker, Heard, Opened, Page, Part, Read, Retention};
use jetstream::{JetStreamBroker, Options};
use parking_lot::Mutex;
use tokio::sync::Notify;

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
fn program() -> String {
    std::env::var("HUBBUB_NATS").unwrap_or_else(|_| "nats-server".to_owned())
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Nats {
    pub fn start() -> Self {
        Self::start_with(Vec::new())
    }

    /// Three that are one cluster.
    pub fn cluster() -> [Self; 3] {
        let ports = [(); 3].map(|()| free_port());
        let routes = ports.map(|port| format!("nats://127.0.0.1:{port}"));
        [0, 1, 2].map(|n| {
            let args = ["-n", &format!("n{n}"), "--cluster_name", "hubbub", "--cluster"];
            let args = args.into_iter().chain([routes[n].as_str(), "--routes"]).map(str::to_owned);
            Self::start_with(args.chain([routes.join(",")]).collect())
        })
    }

    fn start_with(args: Vec<String>) -> Self {
        let dir = std::env::temp_dir().join(format!("hubbub-nats-{}", uuid::Uuid::new_v4()));
        let port = free_port();
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

/// A hub of this name on this server.
pub async fn hub(nats: &Nats, name: &str, retention: Retention) -> JetStreamBroker {
    hub_on(vec![nats.url()], name, 1, retention).await
}

/// A hub of this name on these servers, each message at so many of them.
pub async fn hub_on(
    servers: Vec<String>,
    name: &str,
    replicas: usize,
    retention: Retention,
) -> JetStreamBroker {
    let (name, wait) = (name.to_owned(), Duration::from_secs(2));
    let servers = servers.join(",").parse().unwrap();
    let options = Options { name, replicas, wait, ..Options::at(servers) };
    let started = Instant::now();
    loop {
        match JetStreamBroker::open(options.clone(), retention.clone()).await {
            Ok(broker) => return broker,
            // A cluster chooses who leads first.
            Err(error) => assert!(started.elapsed() < Duration::from_secs(60), "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Somebody who follows the room `tea`.
pub struct Ear {
    _opened: Opened,
    heard: Arc<(Mutex<Vec<Heard>>, Notify)>,
}

impl Ear {
    pub async fn open(broker: &JetStreamBroker) -> Self {
        let heard: Arc<(Mutex<Vec<Heard>>, Notify)> = Arc::default();
        let hears = heard.clone();
        let follower = Arc::new(move |news| {
            hears.0.lock().push(news);
            hears.1.notify_one();
        });
        Self { _opened: broker.open(&tea(), follower).await.unwrap(), heard }
    }

    /// The ids of what it has heard.
    pub fn ids(&self) -> Vec<String> {
        let heard = self.heard.0.lock();
        let records = heard.iter().filter_map(|news| match news {
            Heard::Records(records) => Some(records),
            Heard::Epoch(_) => None,
        });
        records.flatten().map(|record| record.envelope.id.to_string()).collect()
    }

    /// The lives of the log it has heard of.
    pub fn lives(&self) -> Vec<Epoch> {
        let heard = self.heard.0.lock();
        let lives = heard.iter().filter_map(|news| match news {
            Heard::Epoch(position) => Some(position.epoch.clone()),
            Heard::Records(_) => None,
        });
        lives.collect()
    }

    /// Waits until that is true of it.
    pub async fn until(&self, what: &str, is: impl Fn(&Self) -> bool) {
        while !is(self) {
            let news = self.heard.1.notified();
            let heard = tokio::time::timeout(Duration::from_secs(30), news).await;
            heard.unwrap_or_else(|_| panic!("{what}: {:?}", self.heard.0.lock()));
        }
    }
}

pub fn tea() -> RoomName {
    RoomName::parse("tea").unwrap()
}

/// All of the room `tea`, with what was acknowledged.
pub async fn page(broker: &JetStreamBroker, at_least: Offset) -> Page {
    let part = Part::After(Offset(0));
    broker.read(&tea(), Read { part, records: 100_000, bytes: usize::MAX, at_least }).await.unwrap()
}

/// What a page has, as far as hubs have to agree on it.
pub fn said(page: &Page) -> Vec<(Offset, String)> {
    page.records.iter().map(|record| (record.offset, record.params().to_owned())).collect()
}
