//! Many clients join one room by each road, once as the smallest client there is and else as one that is told who is here.
//!
//! The plain face is the yardstick: it has the same connections and the same room, and is told nothing of the others.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::{
    Result,
    crowd::{Crowd, Face},
    hubbub::{Hubbub, allow_files},
    report::{Report, figure},
};

/// After the count is right: what is told late is told by then.
const QUIET: Duration = Duration::from_secs(6);
/// A server that has not counted everybody by then never will.
const PATIENCE: Duration = Duration::from_secs(120);
const ROOM: &str = "joins";

/// Measures each binary on each road.
pub(crate) async fn run(report: &mut Report, servers: &[String], clients: usize) -> Result {
    allow_files(clients)?;
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
    for server in servers {
        for face in [Face::Plain, Face::All, Face::Events, Face::SocketIo] {
            measure(report, server, face, clients).await?;
        }
    }
    Ok(())
}

async fn measure(report: &mut Report, server: &str, face: Face, clients: usize) -> Result {
    let hubbub = Hubbub::ephemeral(server).await?;
    let (started, before, empty) = (Instant::now(), hubbub.cpu()?, hubbub.resident()?);
    let crowd = Crowd::join(hubbub.address.parse()?, ROOM, face, clients).await?;
    while hubbub.members(ROOM).await? != clients {
        if started.elapsed() > PATIENCE {
            return Err(format!("{server} has not counted {clients} after {PATIENCE:?}").into());
        }
        sleep(Duration::from_millis(500)).await;
    }
    let counted = started.elapsed();
    sleep(QUIET).await;
    if crowd.gone() > 0 {
        return Err(format!("{server} has hung up on {} clients", crowd.gone()).into());
    }
    report.row([
        server.into(),
        face.name().into(),
        figure(crowd.joined_in.as_secs_f64(), 1),
        figure(counted.as_secs_f64(), 1),
        figure((hubbub.cpu()? - before).as_secs_f64(), 2),
        figure(crowd.bytes() as f64 / clients.max(1) as f64, 0),
        figure(hubbub.peak()? / 1024.0, 0),
        figure((hubbub.resident()? - empty) / clients.max(1) as f64, 1),
    ]);
    Ok(())
}
