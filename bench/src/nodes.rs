//! Hubs and the log they share, as real processes: one hub with a log of its own, or several on real servers of NATS.
//!
//! All of them share the machine with the clients, and none has a core of its own.

#[path = "../../jetstream/tests/support/nats.rs"]
mod nats;

use std::{net::SocketAddr, process::Stdio};

use clap::ValueEnum;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::Command,
};

use self::nats::Nats;
use crate::{Result, hubbub::Hubbub, process::cpu_of, used::Used};

/// Where messages are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Log {
    /// In memory
    Memory,
    /// In SQLite, with --sync normal
    SqliteNormal,
    /// In SQLite, with --sync full
    SqliteFull,
    /// On one server of NATS
    R1,
    /// On three, with three replicas
    R3,
    /// The same with `sync_interval: always`
    R3Always,
}

impl Log {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::SqliteNormal => "SQLite `normal`",
            Self::SqliteFull => "SQLite `full`",
            Self::R1 => "JetStream R1",
            Self::R3 => "JetStream R3",
            Self::R3Always => "JetStream R3 `always`",
        }
    }

    /// Whether several hubs can share it.
    pub(crate) fn is_shared(self) -> bool {
        matches!(self, Self::R1 | Self::R3 | Self::R3Always)
    }
}

/// Whether there is a server of NATS to start.
pub(crate) fn has_nats() -> bool {
    let mut nats = std::process::Command::new(nats::program());
    nats.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    nats.status().is_ok_and(|status| status.success())
}

/// Hubs that are one. They end with this.
#[derive(Debug)]
pub(crate) struct Nodes {
    // Hubs end before what they are over.
    pub(crate) hubs: Vec<Hubbub>,
    nats: Vec<Server>,
    _data: TempDir,
}

/// A server of NATS, and where it tells what it has done.
struct Server {
    nats: Nats,
    monitor: String,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("monitor", &self.monitor).finish_non_exhaustive()
    }
}

impl Nodes {
    /// So many hubs of this binary over this log; they are told this beside, where they share it.
    pub(crate) async fn start(
        binary: &str,
        log: Log,
        hubs: usize,
        beside: &[String],
    ) -> Result<Self> {
        let data = tempfile::tempdir()?;
        let nats = servers(log, &data)?;
        let mut nodes = Self { hubs: Vec::new(), nats, _data: data };
        for n in 0..hubs {
            let mut command = Command::new(binary);
            match log {
                Log::Memory => command.arg("--ephemeral"),
                Log::SqliteNormal | Log::SqliteFull => {
                    let sync = if log == Log::SqliteFull { "full" } else { "normal" };
                    command.arg("--data").arg(nodes._data.path()).args(["--sync", sync])
                }
                Log::R1 | Log::R3 | Log::R3Always => {
                    // Hub and server by turns, as if each were near.
                    let near = &nodes.nats[n % nodes.nats.len()].nats;
                    let replicas = nodes.nats.len().to_string();
                    let broker = ["--broker", &near.url(), "--broker-replicas", &replicas];
                    command.args(broker).args(beside)
                }
            };
            nodes.hubs.push(Hubbub::spawn(&mut command).await?);
        }
        Ok(nodes)
    }

    pub(crate) fn addresses(&self) -> Result<Vec<SocketAddr>> {
        self.hubs.iter().map(|hub| Ok(hub.address.parse()?)).collect()
    }

    /// What was used since they were started; not what went to clients, which those count.
    pub(crate) async fn used(&self) -> Result<Used> {
        let mut used = Used::default();
        for hub in &self.hubs {
            used.hubs += hub.cpu()?.as_secs_f64() * 1e6;
            used.memory += hub.resident()?;
        }
        for Server { nats, monitor } in &self.nats {
            used.nats += cpu_of(nats.pid())?.as_secs_f64() * 1e6;
            let hubs = tell(monitor, "connz?limit=1024").await?;
            used.to_nats += sum(&hubs["connections"], "in_bytes");
            used.from_nats += sum(&hubs["connections"], "out_bytes");
            let others = tell(monitor, "routez").await?;
            used.between += sum(&others["routes"], "out_bytes");
            used.disks += tell(monitor, "jsz").await?["storage"].as_f64().unwrap_or_default();
        }
        Ok(used)
    }
}

/// Those of NATS that a log needs.
fn servers(log: Log, data: &TempDir) -> Result<Vec<Server>> {
    let count = match log {
        Log::Memory | Log::SqliteNormal | Log::SqliteFull => 0,
        Log::R1 => 1,
        Log::R3 | Log::R3Always => 3,
    };
    let config = data.path().join("nats.conf");
    std::fs::write(&config, "jetstream { sync_interval: always }\n")?;
    let routes: Vec<_> =
        (0..count).map(|_| format!("nats://127.0.0.1:{}", nats::free_port())).collect();
    let start = |n: usize| {
        let monitor = nats::free_port();
        let mut args = vec![format!("--http_port={monitor}")];
        if count > 1 {
            args.extend([
                format!("--name=n{n}"),
                "--cluster_name=hubbub".to_owned(),
                format!("--cluster={}", routes[n]),
                format!("--routes={}", routes.join(",")),
            ]);
        }
        if log == Log::R3Always {
            args.push(format!("--config={}", config.display()));
        }
        Server { nats: Nats::start_with(args), monitor: format!("127.0.0.1:{monitor}") }
    };
    Ok((0..count).map(start).collect())
}

/// What a server of NATS tells of itself.
async fn tell(monitor: &str, what: &str) -> Result<Value> {
    let mut stream = TcpStream::connect(monitor).await?;
    // Of HTTP/1.0, so that the answer comes in one piece and ends with the connection.
    stream.write_all(format!("GET /{what} HTTP/1.0\r\n\r\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let (_, body) = answer.split_once("\r\n\r\n").ok_or("NATS does not tell what it does")?;
    Ok(serde_json::from_str(body)?)
}

fn sum(of: &Value, field: &str) -> f64 {
    of.as_array().into_iter().flatten().filter_map(|one| one[field].as_f64()).sum()
}
