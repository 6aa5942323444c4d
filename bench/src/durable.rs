//! Durable publishes a second, and how long an ack takes: 1, 16 and 256 publishers over WebSocket, each
//! waiting for its ack before it says the next thing, in either `--sync` mode; and where nothing is kept, which is what
//! the road alone takes.
//!
//! The peer is what SQLite itself does: a loop that commits the same rows, one a transaction, into the
//! same tables with the same settings, with no server, no socket and nobody listening.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{SinkExt, StreamExt};
use rusqlite::{Connection, params};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::{
    Error, Result,
    hubbub::{AT_ONCE, Http, Hubbub, Socket},
    report::{Report, count, figure, millis},
};

/// As long as what people say in a chat.
const TEXT: &str = "I think we should leave at eight, if nobody minds the early train.";

/// Measures each binary, for so long a figure.
pub(crate) async fn run(report: &mut Report, servers: &[String], length: Duration) -> Result {
    report.table(
        "Durable publishes, kept a second, and the 99th percentile of the ack",
        &["server", "--sync", "publishers", "acked/s", "p99 ack, ms", "SQLite alone", "ratio"],
    );
    for server in servers {
        for kept in [None, Some("full"), Some("normal")] {
            for publishers in [1, 16, 256] {
                let dir = tempfile::tempdir()?;
                let hubbub = match kept {
                    None => Hubbub::ephemeral(server).await?,
                    Some(sync) => Hubbub::start(server, dir.path(), &["--sync", sync]).await?,
                };
                let waits = publish(&[&hubbub], "bench", publishers, length).await?;
                drop(hubbub);
                let rate = waits.len() as f64 / length.as_secs_f64();
                // Right after it, on the same disk.
                let alone = kept.map(|sync| commit(dir.path(), sync, length)).transpose()?;
                let alone = alone.unwrap_or(f64::NAN);
                report.row([
                    server.as_str().into(),
                    kept.unwrap_or("nothing kept").into(),
                    count(publishers),
                    figure(rate, 0),
                    figure(millis(&waits, 99), 2),
                    figure(alone, 0),
                    figure(rate / alone, 2),
                ]);
            }
        }
    }
    report.table(
        &format!("{AT_ONCE} messages a request over HTTP, kept a second"),
        &["server", "--sync", "publishers", "kept/s", "SQLite alone", "ratio"],
    );
    for server in servers {
        for sync in ["full", "normal"] {
            for publishers in [1, 8] {
                let dir = tempfile::tempdir()?;
                let hubbub = Hubbub::start(server, dir.path(), &["--sync", sync]).await?;
                let rate = post_arrays(&hubbub.address, publishers, length).await?;
                drop(hubbub);
                let alone = commit(dir.path(), sync, length)?;
                report.row([
                    server.as_str().into(),
                    sync.into(),
                    count(publishers),
                    figure(rate, 0),
                    figure(alone, 0),
                    figure(rate / alone, 2),
                ]);
            }
        }
    }
    Ok(())
}

/// How many messages are kept a second that so many post, each in a room of its own.
async fn post_arrays(address: &str, publishers: usize, length: Duration) -> Result<f64> {
    let started = Instant::now();
    let mut posting = tokio::task::JoinSet::new();
    for who in 0..publishers {
        let address = address.to_owned();
        posting.spawn(async move {
            let mut http = Http::connect(&address).await?;
            let (room, mut kept) = (format!("bench-{who}"), 0);
            while started.elapsed() < length {
                let one = |n| json!({"value": TEXT, "id": format!("bench-{who}-{}", kept + n)});
                let body = Value::from_iter((0..AT_ONCE).map(one)).to_string();
                http.post(&room, &body).await?;
                kept += AT_ONCE;
            }
            Ok::<_, Error>(kept)
        });
    }
    let kept: usize = posting.join_all().await.into_iter().sum::<Result<usize>>()?;
    Ok(kept as f64 / started.elapsed().as_secs_f64())
}

/// How long each ack took, sorted: of so many publishers, one at each hub in turn, in rooms whose names begin so.
pub(crate) async fn publish(
    hubs: &[&Hubbub],
    rooms: &str,
    publishers: usize,
    length: Duration,
) -> Result<Vec<Duration>> {
    let mut sockets = Vec::new();
    for (n, hub) in (0..publishers).zip(hubs.iter().cycle()) {
        // A room each: delivering to one another is another measure.
        sockets.push(hub.join(&format!("{rooms}-{n}")).await?);
    }
    let enough = Arc::new(AtomicBool::new(false));
    let running: Vec<_> = sockets
        .into_iter()
        .enumerate()
        .map(|(n, socket)| tokio::spawn(publish_one(socket, n, enough.clone())))
        .collect();
    tokio::time::sleep(length).await;
    enough.store(true, Ordering::Relaxed);
    let mut waits = Vec::new();
    for one in running {
        waits.extend(one.await??);
    }
    waits.sort_unstable();
    Ok(waits)
}

async fn publish_one(
    mut socket: Socket,
    who: usize,
    enough: Arc<AtomicBool>,
) -> Result<Vec<Duration>> {
    let mut waits = Vec::new();
    while !enough.load(Ordering::Relaxed) {
        let id = format!("bench-{who}-{}", waits.len());
        let frame = format!(r#"{{"type":"message","params":{{"value":"{TEXT}","id":"{id}"}}}}"#);
        let sent = Instant::now();
        socket.send(Message::text(frame)).await?;
        loop {
            match socket.next().await.ok_or("the server has hung up")?? {
                Message::Text(text) if text.starts_with(r#"{"type":"ack""#) => break,
                Message::Text(text) if text.starts_with(r#"{"type":"error""#) => {
                    return Err(text.as_str().into());
                }
                _ => {}
            }
        }
        waits.push(sent.elapsed());
    }
    Ok(waits)
}

/// Commits a second, by SQLite alone.
fn commit(dir: &Path, sync: &str, length: Duration) -> Result<f64> {
    let mut connection = Connection::open(dir.join("hubbub.db"))?;
    connection.pragma_update(None, "synchronous", sync)?;
    let body: Vec<u8> = connection.query_row(
        "SELECT body FROM messages WHERE body IS NOT NULL LIMIT 1",
        [],
        |row| row.get(0),
    )?;
    let (started, mut commits) = (Instant::now(), 0);
    while started.elapsed() < length {
        let transaction = connection.transaction()?;
        transaction
            .prepare_cached("INSERT INTO messages (room, id, at, body) VALUES (1, ?, 0, ?)")?
            .execute(params![format!("alone-{commits}"), body])?;
        transaction.commit()?;
        commits += 1;
    }
    Ok(f64::from(commits) / started.elapsed().as_secs_f64())
}
