//! The real binary as a process of its own.

use std::{path::PathBuf, process::Stdio, time::Duration};

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
    process: Child,
    started: watch::Sender<u32>,
}

impl Hubbub {
    pub async fn start(dir: PathBuf, address: &str) -> Self {
        Self::start_again(dir, address, watch::Sender::new(0)).await
    }

    /// Changes each time it is up.
    pub fn starts(&self) -> watch::Receiver<u32> {
        self.started.subscribe()
    }

    async fn start_again(dir: PathBuf, address: &str, started: watch::Sender<u32>) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_hubbub"))
            .args(["--listen", address, "--publish-rate", "0", "--data"])
            .arg(&dir)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let line = timeout(Duration::from_secs(10), lines.next_line()).await.unwrap().unwrap();
        let line = line.expect("the server says where it listens");
        let address = line.strip_prefix("listening on http://").unwrap().to_owned();
        started.send_modify(|times| *times += 1);
        Self { dir, address, process, started }
    }

    pub async fn kill_and_start(self) -> Self {
        let Self { dir, address, mut process, started } = self;
        process.kill().await.unwrap();
        Self::start_again(dir, &address, started).await
    }

    /// Stops it as an upgrade does, and starts it again.
    pub async fn restart(self) -> Self {
        let Self { dir, address, mut process, started } = self;
        let id = process.id().unwrap().to_string();
        Command::new("kill").args(["-TERM", &id]).status().await.unwrap();
        assert!(process.wait().await.unwrap().success());
        Self::start_again(dir, &address, started).await
    }
}
