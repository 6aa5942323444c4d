//! A server that is measured: a process that says where it listens, and is gone when dropped.

use std::{fs, process::Stdio, time::Duration};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::Result;

#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: String,
    process: Child,
}

impl Server {
    /// Starts it, and waits until it says `listening on http://…`.
    pub(crate) async fn start(command: &mut Command) -> Result<Self> {
        let mut process = command.stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let out = process.stdout.take().ok_or("no standard output")?;
        let line = BufReader::new(out).lines().next_line().await?.ok_or("it did not start")?;
        let address = line.strip_prefix("listening on http://").ok_or(line.clone())?.to_owned();
        Ok(Self { address, process })
    }

    /// Kills it, and waits until it is gone.
    pub(crate) async fn kill(mut self) -> Result {
        Ok(self.process.kill().await?)
    }

    /// Seconds of processor it has used, in its own code and in the kernel's.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        cpu_of(&self.pid()?)
    }

    /// The most memory it ever had resident, in KiB.
    pub(crate) fn peak(&self) -> Result<f64> {
        memory_of(&self.pid()?, "VmHWM:")
    }

    /// The memory it has resident, in KiB.
    pub(crate) fn resident(&self) -> Result<f64> {
        memory_of(&self.pid()?, "VmRSS:")
    }

    fn pid(&self) -> Result<String> {
        Ok(self.process.id().ok_or("the server is gone")?.to_string())
    }
}

/// Seconds of processor a process has used, in its own code and in the kernel's.
pub(crate) fn cpu_of(pid: &str) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold blanks; utime and stime are the 12th and 13th field behind it, in hundredths.
    let (_, fields) = stat.rsplit_once(") ").ok_or("an unknown /proc/PID/stat")?;
    let ticks = fields
        .split(' ')
        .skip(11)
        .take(2)
        .map(str::parse::<u64>)
        .sum::<std::result::Result<u64, std::num::ParseIntError>>()?;
    Ok(Duration::from_millis(ticks * 10))
}

fn memory_of(pid: &str, key: &str) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let kib = line.and_then(|line| line.split_whitespace().next()).ok_or(key)?;
    Ok(kib.parse()?)
}

/// This thread runs on one core alone, until this is dropped. What it starts meanwhile does, too, unless told otherwise.
#[derive(Debug)]
pub(crate) struct Pinned(CpuSet);

impl Pinned {
    pub(crate) fn to(core: usize) -> Result<Self> {
        let before = sched_getaffinity(None)?;
        let mut alone = CpuSet::new();
        alone.set(core);
        sched_setaffinity(None, &alone)?;
        Ok(Self(before))
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // They were allowed before.
        let _ = sched_setaffinity(None, &self.0);
    }
}

/// The core of a server that is measured.
pub(crate) const SERVER: usize = 0;
/// The core of its clients.
pub(crate) const CLIENTS: usize = 1;

/// This program, on the core of servers alone (`taskset`, of util-linux): server and clients do not move each other about.
pub(crate) fn on_core(program: &str) -> Command {
    on_cores(program, &[SERVER])
}

/// This program, on these cores alone.
pub(crate) fn on_cores(program: &str, cores: &[usize]) -> Command {
    let cores: Vec<_> = cores.iter().map(usize::to_string).collect();
    let mut command = Command::new("taskset");
    command.args(["-c", &cores.join(","), program]);
    command
}
