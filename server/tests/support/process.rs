//! The real binary as a process of its own.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    sync::watch,
    time::timeout,
};

/// The real binary, on a directory and a port that it keeps over restarts.
pub struct Hubbub {
    pub address: String,
    how: How,
    process: Child,
    started: watch::Sender<u32>,
}

/// How long it may take until it listens, where servers of NATS have to agree first.
const STARTED: Duration = Duration::from_secs(60);

/// How it is started.
struct How {
    dir: PathBuf,
    flags: Vec<String>,
    /// Where what it logs goes, if not to the test's own.
    log: Option<PathBuf>,
}

impl How {
    fn spawn(&self, address: &str) -> Child {
        let log = self.log.as_ref().map_or_else(Stdio::inherit, |log| {
            std::fs::File::options().create(true).append(true).open(log).unwrap().into()
        });
        Command::new(env!("CARGO_BIN_EXE_hubbub"))
            .args(["--listen", address, "--data"])
            .arg(&self.dir)
            .args(&self.flags)
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }
}

/// Where it listens, once it does; `None` if it ends before.
async fn listens(process: &mut Child) -> Option<String> {
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let line = timeout(STARTED, lines.next_line()).await.expect("it does not listen").unwrap()?;
    Some(line.split_once("://").unwrap().1.to_owned())
}

impl Hubbub {
    /// With no limit to what is published.
    pub async fn start(dir: PathBuf, address: &str) -> Self {
        Self::start_with(dir, address, &["--publish-rate", "0"]).await
    }

    pub async fn start_with(dir: PathBuf, address: &str, flags: &[&str]) -> Self {
        let flags = flags.iter().map(|flag| flag.to_string()).collect();
        Self::begin(How { dir, flags, log: None }, address, watch::Sender::new(0)).await
    }

    /// What it logs goes to a file.
    pub async fn start_logging(dir: PathBuf, log: &Path, flags: &[&str]) -> Self {
        let flags = flags.iter().map(|flag| flag.to_string()).collect();
        std::fs::File::create(log).unwrap();
        let how = How { dir, flags, log: Some(log.to_owned()) };
        Self::begin(how, "127.0.0.1:0", watch::Sender::new(0)).await
    }

    /// What the system says of the process (proc(5), `status`), in KiB: `VmRSS` is the memory it has, `RssAnon` what of it is
    /// its own and no file's, `VmHWM` the most it had.
    pub fn memory(&self, what: &str) -> u64 {
        let id = self.process.id().unwrap();
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(what)).unwrap();
        line.trim_start_matches(':').trim().trim_end_matches(" kB").trim().parse().unwrap()
    }

    /// Changes each time it is up.
    pub fn starts(&self) -> watch::Receiver<u32> {
        self.started.subscribe()
    }

    /// `VmHWM` begins anew (proc(5), `clear_refs`).
    pub fn forget_peak(&self) {
        std::fs::write(format!("/proc/{}/clear_refs", self.process.id().unwrap()), "5").unwrap();
    }

    /// How many descriptors the process has.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.process.id().unwrap())).unwrap().count()
    }

    async fn begin(how: How, address: &str, started: watch::Sender<u32>) -> Self {
        let mut process = how.spawn(address);
        let address = listens(&mut process).await;
        let address = address.expect("the server says where it listens");
        started.send_modify(|times| *times += 1);
        Self { address, how, process, started }
    }

    pub async fn kill_and_start(mut self) -> Self {
        self.kill().await;
        Self::begin(self.how, &self.address, self.started).await
    }

    /// Kills it at once.
    pub async fn kill(&mut self) {
        self.process.kill().await.unwrap();
    }

    /// Sends it a signal: `STOP`, `CONT`.
    pub async fn signal(&self, signal: &str) {
        let id = self.process.id().unwrap().to_string();
        let sent = Command::new("kill").args([&format!("-{signal}"), &id]).status().await.unwrap();
        assert!(sent.success());
    }

    /// Stops it as the system does.
    pub async fn stop(&mut self) {
        self.signal("TERM").await;
        assert!(self.process.wait().await.unwrap().success());
    }

    /// Stops it as an upgrade does, and starts it again.
    pub async fn restart(mut self) -> Self {
        self.stop().await;
        Self::begin(self.how, &self.address, self.started).await
    }

    /// Starts it once it has ended; where its log can't be reached it ends, and is started again, as a service would.
    pub async fn rise(&mut self) {
        loop {
            self.process = self.how.spawn(&self.address);
            if listens(&mut self.process).await.is_some() {
                return self.started.send_modify(|times| *times += 1);
            }
        }
    }
}
