//! What it costs a server to hand one text to many readers: processor time a delivery, beside others in the same run.
//!
//! Each server has core 0 for itself, the clients core 1. So many texts are said at once, and the next ones when every
//! reader has them all. The floor is one `write` for each reader and text, and nothing else.

use std::{collections::HashMap, fmt, path::Path, str::FromStr};

use clap::Args;
use tokio::{
    process::Command,
    time::{Duration, Instant},
};

use crate::{
    Result,
    crowd::{Crowd, Face, Speaker},
    hubbub::{Hubbub, TEXT, allow_files},
    process::{CLIENTS, Pinned, Server, on_core},
    report::{Report, count, figure},
};

const READERS: [usize; 2] = [200, 1_000];
const FLIGHT: [usize; 2] = [1, 32];
const ROADS: [Road; 3] = [Road(Face::Plain), Road(Face::Events), Road(Face::SocketIo)];

/// A road by its name.
#[derive(Debug, Clone, Copy)]
struct Road(Face);

impl fmt::Display for Road {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}

impl FromStr for Road {
    type Err = String;

    fn from_str(name: &str) -> std::result::Result<Self, String> {
        let road = ROADS.into_iter().find(|road| road.0.name() == name);
        road.ok_or_else(|| format!("`{name}` is none of websocket, sse, socket.io"))
    }
}

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct FanOut {
    /// Readers in the room
    #[arg(long, value_delimiter = ',', default_values_t = READERS)]
    clients: Vec<usize>,
    /// Texts that are said at once
    #[arg(long, value_delimiter = ',', default_values_t = FLIGHT)]
    flight: Vec<usize>,
    /// How they read: websocket, sse, socket.io
    #[arg(long, value_delimiter = ',', default_values_t = ROADS)]
    roads: Vec<Road>,
    /// Seconds for each figure
    #[arg(long, default_value_t = 5)]
    seconds: u64,
}

impl FanOut {
    /// The usual one; a quick one leaves the small rooms out.
    pub(crate) fn new(quick: bool, seconds: u64) -> Self {
        let clients = READERS[usize::from(quick)..].to_vec();
        Self { clients, flight: FLIGHT.to_vec(), roads: ROADS.to_vec(), seconds }
    }
}

const ROOM: &str = "fan-out";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who<'a> {
    Floor,
    MicroWebSockets,
    Nchan,
    NodeWs,
    SocketIo,
    Memory(&'a str),
    Sqlite(&'a str),
}

impl Who<'_> {
    pub(crate) fn name(self) -> String {
        match self {
            Self::Floor => "floor".to_owned(),
            Self::MicroWebSockets => "uWebSockets".to_owned(),
            Self::Nchan => "nchan".to_owned(),
            Self::NodeWs => "Node ws".to_owned(),
            Self::SocketIo => "socket.io".to_owned(),
            Self::Memory(binary) => format!("{binary}, memory"),
            Self::Sqlite(binary) => format!("{binary}, SQLite `normal`"),
        }
    }

    pub(crate) async fn start(self, data: &Path) -> Result<Server> {
        let peers = concat!(env!("CARGO_MANIFEST_DIR"), "/peers");
        let port = free_port()?.to_string();
        match self {
            Self::Floor => {
                let own = std::env::current_exe()?;
                let own = own.to_str().ok_or("a path that is no text")?;
                Server::start(on_core(own).arg("floor")).await
            }
            Self::MicroWebSockets => {
                let packages = socketify().await?;
                let mut command = on_core("python3");
                let command = command.env("PYTHONPATH", packages);
                Server::start(command.arg(format!("{peers}/uws.py")).arg(port)).await
            }
            Self::Nchan => {
                let mut command = on_core("bash");
                Server::start(command.arg(format!("{peers}/nchan.sh")).arg(port).arg(data)).await
            }
            Self::NodeWs => {
                let mut command = on_core("node");
                Server::start(command.arg(format!("{peers}/ws.mjs")).arg(port)).await
            }
            Self::SocketIo => {
                let packages = socket_io().await?;
                let mut command = on_core("node");
                let command = command.arg(format!("{peers}/socket.io.mjs"));
                Server::start(command.arg(port).arg(packages)).await
            }
            Self::Memory(binary) => {
                let mut command = on_core(binary);
                Hubbub::spawn(command.arg("--ephemeral")).await.map(Into::into)
            }
            Self::Sqlite(binary) => {
                let mut command = on_core(binary);
                let command = command.arg("--data").arg(data).args(["--sync", "normal"]);
                Hubbub::spawn(command).await.map(Into::into)
            }
        }
    }

    pub(crate) fn says(self) -> String {
        match self {
            Self::Memory(_) | Self::Sqlite(_) => {
                format!(r#"{{"type":"message","params":{{"value":"{TEXT}"}}}}"#)
            }
            Self::SocketIo => format!(r#"42["message","{TEXT}"]"#),
            _ => TEXT.to_owned(),
        }
    }

    /// By which roads it hands on what is said.
    fn roads(self) -> &'static [Face] {
        match self {
            Self::SocketIo => &[Face::SocketIo],
            Self::Memory(_) => &[Face::Plain, Face::Events, Face::SocketIo],
            _ => &[Face::Plain],
        }
    }

    /// By which road it is said.
    fn hears(self) -> Face {
        match self {
            Self::SocketIo => Face::SocketIo,
            _ => Face::Plain,
        }
    }
}

/// Measures all of them.
pub(crate) async fn run(report: &mut Report, servers: &[String], fan_out: &FanOut) -> Result {
    allow_files(fan_out.clients.iter().copied().max().unwrap_or_default())?;
    let _pinned = Pinned::to(CLIENTS)?;
    report.table(
        "Processor time of the server for each text of 64 bytes that a reader gets",
        &["server", "road", "readers", "at once", "µs", "of the floor", "deliveries/s", "bytes"],
    );
    let peers = [Who::Floor, Who::MicroWebSockets, Who::Nchan, Who::NodeWs, Who::SocketIo];
    let hubbubs = servers.iter().flat_map(|binary| [Who::Memory(binary), Who::Sqlite(binary)]);
    let mut floor = HashMap::new();
    let all = peers.into_iter().chain(hubbubs);
    let asked = |road: Face| fan_out.roads.iter().any(|asked| asked.0 == road);
    let roads = |who: Who<'_>| who.roads().iter().copied().filter(|road| asked(*road));
    for (who, road) in
        all.flat_map(|who| roads(who).map(move |road| (who, road)).collect::<Vec<_>>())
    {
        for clients in &fan_out.clients {
            let rows = match measure(who, road, *clients, fan_out).await {
                Ok(rows) => rows,
                Err(error) => {
                    println!("{}, {clients} readers: {error}", who.name());
                    continue;
                }
            };
            for (flight, row) in rows {
                if who == Who::Floor {
                    floor.insert((*clients, flight), row.micros);
                }
                let floor = floor.get(&(*clients, flight)).copied().unwrap_or(f64::NAN);
                report.row([
                    who.name().as_str().into(),
                    road.name().into(),
                    count(*clients),
                    count(flight),
                    figure(row.micros, 2),
                    figure(row.micros / floor, 2),
                    figure(row.rate, 0),
                    figure(row.bytes, 0),
                ]);
            }
        }
    }
    Ok(())
}

struct Row {
    micros: f64,
    rate: f64,
    bytes: f64,
}

async fn measure(
    who: Who<'_>,
    road: Face,
    clients: usize,
    fan_out: &FanOut,
) -> Result<Vec<(usize, Row)>> {
    let dir = tempfile::tempdir()?;
    let server = who.start(dir.path()).await?;
    let address = server.address.parse()?;
    let crowd = Crowd::join(address, ROOM, road, clients).await?;
    let speaker = Speaker::join(address, ROOM, who.hears()).await?;
    let mut rows = Vec::new();
    for flight in &fan_out.flight {
        let texts = vec![who.says(); *flight];
        // What is warm already is not measured twice.
        volley(&crowd, &speaker, &texts, clients, Duration::from_millis(500)).await?;
        let (cpu, bytes, started) = (server.cpu()?, crowd.bytes(), Instant::now());
        let length = Duration::from_secs(fan_out.seconds);
        let volleys = volley(&crowd, &speaker, &texts, clients, length).await?.len();
        let delivered = (volleys * flight * clients) as f64;
        rows.push((
            *flight,
            Row {
                micros: (server.cpu()? - cpu).as_secs_f64() * 1e6 / delivered,
                rate: delivered / started.elapsed().as_secs_f64(),
                bytes: (crowd.bytes() - bytes) as f64 / delivered,
            },
        ));
    }
    if crowd.gone() > 0 {
        return Err(format!("it has hung up on {} readers", crowd.gone()).into());
    }
    Ok(rows)
}

/// Says these texts again and again, each time when all have heard; how long each time took.
pub(crate) async fn volley(
    crowd: &Crowd,
    speaker: &Speaker,
    texts: &[String],
    clients: usize,
    length: Duration,
) -> Result<Vec<Duration>> {
    let (mut heard, started) = (crowd.texts(), Instant::now());
    let mut took = Vec::new();
    while started.elapsed() < length {
        let said = Instant::now();
        speaker.say(texts).await?;
        heard += (texts.len() * clients) as u64;
        crowd.heard(heard).await?;
        took.push(said.elapsed());
    }
    Ok(took)
}

fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Where the package is that Socket.IO's own server is in.
async fn socket_io() -> Result<String> {
    let packages = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/socket.io");
    if !Path::new(packages).exists() {
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--prefix", packages, "socket.io@4.8.4"]);
        let installed = npm.output().await?;
        if !installed.status.success() {
            return Err(String::from_utf8_lossy(&installed.stderr).into());
        }
    }
    Ok(packages.to_owned())
}

/// Where the Python package is that has uWebSockets in it.
async fn socketify() -> Result<String> {
    let packages = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/socketify");
    if !Path::new(packages).exists() {
        let mut pip = Command::new("python3");
        pip.args(["-m", "pip", "install", "--quiet", "--target", packages, "socketify==0.0.31"]);
        let installed = pip.output().await?;
        if !installed.status.success() {
            return Err(String::from_utf8_lossy(&installed.stderr).into());
        }
    }
    Ok(packages.to_owned())
}
