//! One room with many readers is flooded; how long do acks take in another?
//!
//! Who is timed, and who floods, has a thread of its own and blocks on its socket, so that the many readers of this process
//! are not in the way. They share the processors with the server all the same: compare with the line without a flood.

use std::{
    net::TcpStream,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use clap::Args;
use tokio_tungstenite::tungstenite::{Message, WebSocket, client::client};

use crate::{
    Result,
    crowd::{Crowd, Face},
    hubbub::{Hubbub, TEXT, allow_files, members},
    report::{Report, count, figure, millis},
};

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct Flood {
    /// Readers in the flooded room
    #[arg(long, default_value_t = 10_000)]
    clients: usize,
    /// Messages a second into the flooded room, of 64 bytes; 0 is one after the other, as fast as acks come
    #[arg(long, default_value_t = 0)]
    rate: u32,
    /// Seconds without the flood, and again with it
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Keep messages in memory only, instead of in SQLite as usual
    #[arg(long)]
    ephemeral: bool,
}

impl Flood {
    /// The usual one.
    pub(crate) fn new(clients: usize, seconds: u64) -> Self {
        Self { clients, rate: 0, seconds, ephemeral: false }
    }
}

/// Messages a second in the other room: one as people write, and one for more samples.
const PACES: [u32; 2] = [1, 20];

/// Measures each binary.
pub(crate) async fn run(report: &mut Report, servers: &[String], flood: &Flood) -> Result {
    allow_files(flood.clients)?;
    report.table(
        &format!("Acks in one room while another, with {} readers, is flooded", flood.clients),
        &[
            "server",
            "flood, msg/s",
            "delivered/s",
            "server CPU, %",
            "paced, msg/s",
            "acks",
            "p50, ms",
            "p99, ms",
            "max, ms",
        ],
    );
    for server in servers {
        measure(report, server, flood).await?;
    }
    Ok(())
}

async fn measure(report: &mut Report, server: &str, flood: &Flood) -> Result {
    let dir = tempfile::tempdir()?;
    let hubbub = if flood.ephemeral {
        Hubbub::ephemeral(server).await?
    } else {
        Hubbub::start(server, dir.path(), &[]).await?
    };
    // All frames: a plain reader that falls behind is closed.
    let crowd = Crowd::join(hubbub.address.parse()?, "flooded", Face::All, flood.clients).await?;
    while members(&hubbub.address, "flooded").await? != flood.clients {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    tokio::time::sleep(Duration::from_secs(6)).await;
    for flooding in [false, true] {
        let (cpu, texts, started) = (hubbub.cpu()?, crowd.texts(), Instant::now());
        let (published, paced) = tokio::task::block_in_place(|| time(&hubbub, flood, flooding))?;
        let seconds = started.elapsed().as_secs_f64();
        let cpu = (hubbub.cpu()? - cpu).as_secs_f64() / seconds;
        let delivered = (crowd.texts() - texts) as f64 / seconds;
        for (pace, waits) in PACES.into_iter().zip(paced) {
            report.row([
                server.into(),
                figure(published as f64 / seconds, 0),
                figure(delivered, 0),
                figure(cpu * 100.0, 0),
                figure(pace.into(), 0),
                count(waits.len()),
                figure(millis(&waits, 50), 2),
                figure(millis(&waits, 99), 2),
                figure(millis(&waits, 100), 2),
            ]);
        }
    }
    if crowd.gone() > 0 {
        println!("{server} has hung up on {} readers", crowd.gone());
    }
    Ok(())
}

/// How many messages went into the flooded room, and for each pace how long the acks took, sorted.
fn time(hubbub: &Hubbub, flood: &Flood, flooding: bool) -> Result<(u64, Vec<Vec<Duration>>)> {
    let length = Duration::from_secs(flood.seconds);
    let (enough, published) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        let flooder = flooding.then(|| {
            scope.spawn(|| {
                let mut publisher = Publisher::join(hubbub, "flooded", "flood")?;
                let started = Instant::now();
                while !enough.load(Relaxed) {
                    pause(flood.rate, published.load(Relaxed), started);
                    publisher.publish()?;
                    published.fetch_add(1, Relaxed);
                }
                Ok::<_, crate::Error>(())
            })
        });
        let timed = PACES.map(|pace| {
            scope.spawn(move || {
                let name = format!("paced-{pace}-{flooding}");
                let mut publisher = Publisher::join(hubbub, &name, &name)?;
                let (started, mut waits) = (Instant::now(), Vec::new());
                while started.elapsed() < length {
                    pause(pace, waits.len() as u64, started);
                    waits.push(publisher.publish()?);
                }
                waits.sort_unstable();
                Ok::<_, crate::Error>(waits)
            })
        });
        let paced = timed.map(|one| one.join().map_err(|_| "a thread has panicked")).into_iter();
        let paced = paced.map(|one| one?).collect::<Result<Vec<_>>>();
        enough.store(true, Relaxed);
        if let Some(flooder) = flooder {
            flooder.join().map_err(|_| "a thread has panicked")??;
        }
        Ok((published.load(Relaxed), paced?))
    })
}

/// Waits until the message after `done` is due.
fn pause(rate: u32, done: u64, started: Instant) {
    if rate > 0 {
        let due = Duration::from_secs_f64(done as f64 / f64::from(rate));
        thread::sleep(due.saturating_sub(started.elapsed()));
    }
}

/// Says one thing after the other, and waits for the ack of each.
struct Publisher {
    socket: WebSocket<TcpStream>,
    name: String,
    said: u64,
}

impl Publisher {
    fn join(hubbub: &Hubbub, room: &str, name: &str) -> Result<Self> {
        let stream = TcpStream::connect(&hubbub.address)?;
        stream.set_nodelay(true)?;
        // A server that acks nothing for so long is not measured.
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let (socket, _) =
            client(hubbub.request(room)?, stream).map_err(|error| error.to_string())?;
        Ok(Self { socket, name: name.to_owned(), said: 0 })
    }

    /// How long the ack took.
    fn publish(&mut self) -> Result<Duration> {
        self.said += 1;
        let Self { name, said, .. } = self;
        let frame =
            format!(r#"{{"type":"message","params":{{"value":"{TEXT}","id":"{name}-{said}"}}}}"#);
        let sent = Instant::now();
        self.socket.send(Message::text(frame))?;
        loop {
            match self.socket.read()? {
                Message::Text(text) if text.starts_with(r#"{"type":"ack""#) => {
                    return Ok(sent.elapsed());
                }
                Message::Text(text) if text.starts_with(r#"{"type":"error""#) => {
                    return Err(text.as_str().into());
                }
                _ => {}
            }
        }
    }
}
