//! Many small rooms: what it costs the server to hand a text to the few readers of each.
//!
//! The server has one core for itself, the clients the other. In each room one text is said, and the next ones when all have
//! been heard.

use tokio::time::{Duration, Instant};

use crate::{
    Result,
    crowd::{Crowd, Face, Speaker},
    fan_out::Who,
    hubbub::allow_files,
    process::{CLIENTS, Pinned},
    report::{Report, count, figure},
};

/// How many readers a room has.
const READERS: usize = 5;

/// Measures each binary with so many rooms, for so long.
pub(crate) async fn run(
    report: &mut Report,
    servers: &[String],
    rooms: usize,
    length: Duration,
) -> Result {
    allow_files(rooms * (READERS + 1))?;
    let _pinned = Pinned::to(CLIENTS)?;
    report.table(
        &format!("Processor time of the server for each text in one of many rooms of {READERS}"),
        &["server", "rooms", "µs a delivery", "deliveries/s", "KiB a room and its clients"],
    );
    for who in servers.iter().flat_map(|binary| [Who::Memory(binary), Who::Sqlite(binary)]) {
        let dir = tempfile::tempdir()?;
        let server = who.start(dir.path()).await?;
        let (address, empty) = (server.address.parse()?, server.resident()?);
        let mut all = Vec::with_capacity(rooms);
        for n in 0..rooms {
            let room = format!("room-{n}");
            let crowd = Crowd::join(address, &room, Face::Plain, READERS).await?;
            all.push((crowd, Speaker::join(address, &room, Face::Plain).await?));
        }
        let memory = (server.resident()? - empty) / rooms as f64;
        let (cpu, started) = (server.cpu()?, Instant::now());
        let mut rounds = 0_u64;
        while started.elapsed() < length {
            rounds += 1;
            for (_, speaker) in &all {
                speaker.say(&[who.says()]).await?;
            }
            for (crowd, _) in &all {
                crowd.heard(rounds * READERS as u64).await?;
            }
        }
        let delivered = (rounds as usize * rooms * READERS) as f64;
        report.row([
            who.name().as_str().into(),
            count(rooms),
            figure((server.cpu()? - cpu).as_secs_f64() * 1e6 / delivered, 2),
            figure(delivered / started.elapsed().as_secs_f64(), 0),
            figure(memory, 1),
        ]);
    }
    Ok(())
}
