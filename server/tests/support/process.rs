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
    dir: PathBuf,
    pub address: String,
    flags: Vec<String>,
    process: Child,
    started: watch::Sender<u32>,
}

impl Hubbub {
    /// With no limit to what is published.
    pub async fn start(dir: PathBuf, address: &str) -> Self {
        Self::start_with(dir, address, &["--publish-rate", "0"]).await
    }

    pub async fn start_with(dir: PathBuf, address: &str, flags: &[&str]) -> Self {
        let flags = flags.iter().map(|flag| flag.to_string()).collect();
        Self::start_again(dir, address, flags, watch::Sender::new(0), Stdio::inherit()).await
    }

    /// What it logs goes to a file.
    pub async fn start_logging(dir: PathBuf, log: &Path, flags: &[&str]) -> Self {
        let flags = flags.iter().map(|flag| flag.to_string()).collect();
        let log = std::fs::File::create(log).unwrap();
        Self::start_again(dir, "127.0.0.1:0", flags, watch::Sender::new(0), log.into()).await
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

    async fn start_again(
        dir: PathBuf,
        address: &str,
        flags: Vec<String>,
        started: watch::Sender<u32>,
        log: Stdio,
    ) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_hubbub"))
            .args(["--listen", address, "--data"])
            .arg(&dir)
            .args(&flags)
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let line = timeout(Duration::from_secs(10), lines.next_line()).await.unwrap().unwrap();
        let line = line.expect("the server says where it listens");
        let (_, address) = line.split_once("://").unwrap();
        let address = address.to_owned();
        started.send_modify(|times| *times += 1);
        Self { dir, address, flags, process, started }
    }

    pub async fn kill_and_start(self) -> Self {
        let Self { dir, address, flags, mut process, started } = self;
        process.kill().await.unwrap();
        Self::start_again(dir, &address, flags, started, Stdio::inherit()).await
    }

    /// Stops it as the system does.
    pub async fn stop(&mut self) {
        let id = self.process.id().unwrap().to_string();
        Command::new("kill").args(["-TERM", &id]).status().await.unwrap();
        assert!(self.process.wait().await.unwrap().success());
    }

    /// Stops it as an upgrade does, and starts it again.
    pub async fn restart(mut self) -> Self {
        self.stop().await;
        let Self { dir, address, flags, started, .. } = self;
        Self::start_again(dir, &address, flags, started, Stdio::inherit()).await
    }
}
