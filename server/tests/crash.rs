//! Invariants 1 to 3 against the real binary and a real file: writers and readers under load, the
//! server killed with SIGKILL at random moments. Every acknowledged message is at every reader, once,
//! in order.
//!
//! `HUBBUB_KILLS=300 cargo test -p server --test crash -- --nocapture` is a longer version;
//! `HUBBUB_SEED` replays the moments of another run.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use support::process::Hubbub;
use tokio::{
    net::TcpStream,
    sync::watch,
    time::{sleep, timeout},
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, client::IntoClientRequest, http::HeaderValue},
};

const WRITERS: usize = 4;
const READERS: usize = 3;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// What all share: where the server is, when it is up again, and when it is enough.
struct Run {
    address: String,
    starts: watch::Receiver<u32>,
    enough: AtomicBool,
    acked: watch::Sender<usize>,
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Connects, as soon as the server is up.
async fn connect(run: &Run, query: &str) -> Socket {
    let mut starts = run.starts.clone();
    loop {
        starts.mark_unchanged();
        let url = format!("ws://{}/ws?room=crash{query}", run.address);
        let mut request = url.into_client_request().unwrap();
        let protocol = HeaderValue::from_static("hubbub.v1");
        request.headers_mut().insert("sec-websocket-protocol", protocol);
        match connect_async(request).await {
            Ok((socket, _)) => return socket,
            Err(_) => starts.changed().await.unwrap(),
        }
    }
}

/// Says one thing after the other, each until it is acknowledged; returns the ids with their offsets.
async fn write(run: Arc<Run>, who: usize) -> HashMap<String, u64> {
    let mut acked = HashMap::new();
    let mut n = 0;
    while !run.enough.load(Ordering::Relaxed) {
        let mut socket = connect(&run, "").await;
        'connected: while !run.enough.load(Ordering::Relaxed) {
            // A few at a time, so that a kill falls between some that are kept and some that are not.
            let ids: Vec<_> = (n..n + 5).map(|n| format!("{who}-{n}")).collect();
            for id in &ids {
                let frame = json!({"type": "message", "params": {"value": id, "id": id}});
                if socket.send(Message::text(frame.to_string())).await.is_err() {
                    break 'connected;
                }
            }
            let mut waiting: HashSet<_> = ids.into_iter().collect();
            while !waiting.is_empty() {
                let text = match socket.next().await {
                    Some(Ok(Message::Text(text))) => text,
                    Some(Ok(Message::Ping(_))) => continue,
                    _ => break 'connected,
                };
                let frame: Value = serde_json::from_str(&text).unwrap();
                assert_ne!(frame["type"], "error", "{frame}");
                if frame["type"] == "ack" {
                    let id = frame["params"]["id"].as_str().unwrap().to_owned();
                    let offset = frame["params"]["offset"].as_u64().unwrap();
                    waiting.remove(&id);
                    let first = *acked.entry(id).or_insert(offset);
                    assert_eq!(first, offset, "an id has one offset, however often it is sent");
                    run.acked.send_modify(|acked| *acked += 1);
                }
            }
            n += 5;
        }
    }
    acked
}

/// Reads on from its position, whatever happens, until it has read `last`. Once its connection is gone
/// it stays away for `pause` messages.
async fn read(
    run: Arc<Run>,
    mut last: watch::Receiver<Option<u64>>,
    pause: usize,
) -> Vec<(u64, String)> {
    let (mut epoch, mut offset) = (String::new(), 0);
    let mut read: Vec<(u64, String)> = Vec::new();
    loop {
        let after = if epoch.is_empty() { "0".to_owned() } else { format!("{epoch}:{offset}") };
        let mut socket = connect(&run, &format!("&after={after}")).await;
        loop {
            let is_last = last.borrow_and_update().is_some_and(|last| offset >= last);
            if is_last {
                return read;
            }
            let leg = tokio::select! {
                leg = socket.next() => leg,
                told = last.changed() => {
                    told.unwrap();
                    continue;
                }
            };
            let text = match leg {
                Some(Ok(Message::Text(text))) => text,
                Some(Ok(Message::Ping(_))) => continue,
                _ => break,
            };
            let frame: Value = serde_json::from_str(&text).unwrap();
            let params = &frame["params"];
            match frame["type"].as_str() {
                Some("hello") => {
                    assert_eq!(params["recovery"], "replayed", "nothing is ever missing");
                    let position = params["position"].as_str().unwrap();
                    let life = position.split(':').next().unwrap();
                    assert!(epoch.is_empty() || epoch == life, "the log lives on");
                    life.clone_into(&mut epoch);
                }
                Some("message") => {
                    offset = params["offset"].as_u64().unwrap();
                    read.push((offset, params["id"].as_str().unwrap().to_owned()));
                }
                _ => {}
            }
        }
        let (mut acked, until) = (run.acked.subscribe(), *run.acked.borrow() + pause);
        tokio::select! {
            _ = acked.wait_for(|acked| *acked >= until) => {}
            // Nothing more is said.
            _ = last.wait_for(Option::is_some) => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_at_every_reader_once_in_order_however_often_the_server_is_killed()
{
    let kills = setting("HUBBUB_KILLS", 30);
    let seed = setting("HUBBUB_SEED", std::process::id().into());
    println!("HUBBUB_SEED={seed} HUBBUB_KILLS={kills}");
    let mut random = fastrand::Rng::with_seed(seed);
    let dir = std::env::temp_dir().join(format!("hubbub-crash-{}", uuid::Uuid::new_v4()));
    let mut server = Hubbub::start(dir.clone(), "127.0.0.1:0").await;
    let run = Arc::new(Run {
        address: server.address.clone(),
        starts: server.starts(),
        enough: AtomicBool::new(false),
        acked: watch::Sender::new(0),
    });
    let (tell_last, last) = watch::channel(None);
    let writers: Vec<_> = (0..WRITERS).map(|who| tokio::spawn(write(run.clone(), who))).collect();
    // The last of them stays away for more messages than the tail in memory holds, 1 000.
    let readers: Vec<_> =
        (0..READERS).map(|n| tokio::spawn(read(run.clone(), last.clone(), n * 600))).collect();

    for _ in 0..kills {
        // Load first: a kill of an idle server shows nothing.
        let (mut acked, enough) = (run.acked.subscribe(), *run.acked.borrow() + 50);
        acked.wait_for(|acked| *acked >= enough).await.unwrap();
        // Nothing is waited for: this is the random moment.
        sleep(Duration::from_micros(random.u64(..50_000))).await;
        server = server.kill_and_start().await;
    }
    run.enough.store(true, Ordering::Relaxed);
    let mut acked = HashMap::new();
    for writer in writers {
        acked.extend(writer.await.unwrap());
    }
    tell_last.send(acked.values().copied().max()).unwrap();

    for reader in readers {
        let read = timeout(Duration::from_secs(30), reader).await.unwrap().unwrap();
        assert!(read.is_sorted_by(|a, b| a.0 < b.0), "in offset order, none twice");
        let ids: HashSet<_> = read.iter().map(|(_, id)| id).collect();
        assert_eq!(ids.len(), read.len(), "no message twice under two offsets");
        let missing: Vec<_> = acked.keys().filter(|id| !ids.contains(id)).collect();
        assert!(missing.is_empty(), "acknowledged and missing: {missing:?}");
        assert!(read.iter().all(|(offset, id)| acked.get(id).is_none_or(|acked| acked == offset)));
        println!("read {} messages, {} of them acknowledged, 0 twice", read.len(), acked.len());
    }
    drop(server);
    std::fs::remove_dir_all(dir).unwrap();
}
