//! Many clients join one room by each road, once as the smallest client there is and else as one that is told who is here;
//! and other servers, which tell nothing to whoever joins.
//!
//! The server has one core for itself, the clients the other. The plain face is the yardstick: it has the same connections
//! and the same room, and is told nothing of the others.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::{
    Result,
    crowd::{Crowd, Face},
    fan_out::Who,
    hubbub::{allow_files, members},
    process::{CLIENTS, Pinned},
    report::{Report, figure},
};

/// After the count is right: what is told late is told by then.
const QUIET: Duration = Duration::from_secs(6);
/// A server that has not counted everybody by then never will.
const PATIENCE: Duration = Duration::from_secs(120);
const ROOM: &str = "joins";

/// Measures the others, and each binary on each road.
pub(crate) async fn run(report: &mut Report, servers: &[String], clients: usize) -> Result {
    allow_files(clients)?;
    let _pinned = Pinned::to(CLIENTS)?;
    report.table(
        &format!("{clients} clients join one room"),
        &[
            "server",
            "road",
            "all in, s",
            "all counted, s",
            "server CPU, s",
            "bytes a client",
            "peak, MiB",
            "KiB a client, idle",
        ],
    );
    let peers = [
        (Who::MicroWebSockets, Face::Plain),
        (Who::Nchan, Face::Plain),
        (Who::SocketIo, Face::SocketIo),
    ];
    for (who, face) in peers {
        if let Err(error) = measure(report, who, face, clients).await {
            println!("{}: {error}", who.name());
        }
    }
    for server in servers {
        for face in [Face::Plain, Face::All, Face::Events, Face::SocketIo] {
            measure(report, Who::Memory(server), face, clients).await?;
        }
    }
    Ok(())
}

/// Waits until a server counts so many members in a room, and looks so often.
pub(crate) async fn all_counted(
    address: &str,
    room: &str,
    clients: usize,
    often: Duration,
) -> Result {
    let started = Instant::now();
    while members(address, room).await? != clients {
        if started.elapsed() > PATIENCE {
            return Err(format!("it has not counted {clients} after {PATIENCE:?}").into());
        }
        sleep(often).await;
    }
    Ok(())
}

async fn measure(report: &mut Report, who: Who<'_>, face: Face, clients: usize) -> Result {
    let dir = tempfile::tempdir()?;
    let server = who.start(dir.path()).await?;
    let (started, before, empty) = (Instant::now(), server.cpu()?, server.resident()?);
    let crowd = Crowd::join(server.address.parse()?, ROOM, face, clients).await?;
    let mut counted = f64::NAN;
    if let Who::Memory(_) = who {
        all_counted(&server.address, ROOM, clients, Duration::from_millis(500)).await?;
        counted = started.elapsed().as_secs_f64();
        sleep(QUIET).await;
    }
    if crowd.gone() > 0 {
        return Err(format!("it has hung up on {} clients", crowd.gone()).into());
    }
    report.row([
        who.name().as_str().into(),
        face.name().into(),
        figure(crowd.joined_in.as_secs_f64(), 1),
        figure(counted, 1),
        figure((server.cpu()? - before).as_secs_f64(), 2),
        figure(crowd.bytes() as f64 / clients.max(1) as f64, 0),
        figure(server.peak()? / 1024.0, 0),
        figure((server.resident()? - empty) / clients.max(1) as f64, 1),
    ]);
    Ok(())
}
