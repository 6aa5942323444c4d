//! Clients that come back at once after the server was killed, each to what it missed.
//!
//! The server has one core for itself, the clients the other. The log is in SQLite, and nothing of it is in memory when
//! they come.

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    Result,
    crowd::{Crowd, Face},
    hubbub::{AT_ONCE, Http, Hubbub, TEXT, allow_files},
    process::{CLIENTS, Pinned, Server, on_core},
    report::{Report, count, figure},
};

/// How many come back, and how many messages each has missed.
const CASES: [(usize, usize); 2] = [(10_000, 20), (1_000, 10_000)];
const ROOM: &str = "returning";

/// Measures each binary, with a tenth of the clients where few are wanted.
pub(crate) async fn run(report: &mut Report, servers: &[String], few: bool) -> Result {
    let part = if few { 10 } else { 1 };
    allow_files(CASES[0].0)?;
    let _pinned = Pinned::to(CLIENTS)?;
    report.table(
        "Clients come back after a restart, each to what it missed",
        &["server", "clients", "missed", "all caught up, s", "server CPU, s", "peak, MiB"],
    );
    for server in servers {
        for (clients, missed) in CASES {
            measure(report, server, clients / part, missed).await?;
        }
    }
    Ok(())
}

async fn measure(report: &mut Report, server: &str, clients: usize, missed: usize) -> Result {
    let dir = tempfile::tempdir()?;
    let start = async || {
        let mut command = on_core(server);
        command.arg("--data").arg(dir.path()).args(["--sync", "normal"]);
        Hubbub::spawn(&mut command).await
    };
    let hubbub = start().await?;
    let mut http = Http::connect(&hubbub.address).await?;
    let texts = vec![json!({ "value": TEXT }); missed];
    for some in texts.chunks(AT_ONCE) {
        http.post(ROOM, &Value::from(some).to_string()).await?;
    }
    Server::from(hubbub).kill().await?;
    let hubbub = start().await?;
    let (started, before) = (Instant::now(), hubbub.cpu()?);
    // A part of the query.
    let room = format!("{ROOM}&after=0");
    let crowd = Crowd::join(hubbub.address.parse()?, &room, Face::Plain, clients).await?;
    crowd.heard((clients * missed) as u64).await?;
    let took = started.elapsed();
    if crowd.gone() > 0 {
        return Err(format!("{server} has hung up on {} clients", crowd.gone()).into());
    }
    report.row([
        server.into(),
        count(clients),
        count(missed),
        figure(took.as_secs_f64(), 2),
        figure((hubbub.cpu()? - before).as_secs_f64(), 2),
        figure(hubbub.peak()? / 1024.0, 0),
    ]);
    Ok(())
}
