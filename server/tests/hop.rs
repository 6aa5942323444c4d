//! Ten thousand messages, one reader that changes the road all the time, and a server that is stopped
//! once and killed once: each message once, in order.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::{
    process::Hubbub,
    road::{ROADS, Traveller},
};
use tokio::{sync::watch, time::timeout};

const MESSAGES: usize = 10_000;
const AT_ONCE: usize = 20;

/// Publishes all, a few at a time, each until it is acknowledged; says how far it is.
async fn publish(
    address: String,
    mut starts: watch::Receiver<u32>,
    published: watch::Sender<usize>,
) {
    let http = reqwest::Client::new();
    for first in (0..MESSAGES).step_by(AT_ONCE) {
        let messages = first..first + AT_ONCE;
        let body: Value =
            messages.map(|n| json!({"value": n.to_string(), "id": format!("m{n}")})).collect();
        loop {
            starts.mark_unchanged();
            let request = http.post(format!("http://{address}/api/rooms/hop/messages"));
            let request = request.header("content-type", "application/json");
            match request.body(body.to_string()).send().await {
                Ok(answer) if answer.status().is_success() => break,
                // The server is away; the ids make it safe to say it again.
                Ok(_) | Err(_) => starts.changed().await.unwrap(),
            }
        }
        published.send_replace(first + AT_ONCE);
    }
}

/// Reads all, on every road in turn, a few hundred messages on each at the most.
async fn read(address: String, mut starts: watch::Receiver<u32>) -> Vec<String> {
    let (mut read, mut query) = (Vec::new(), "after=0".to_owned());
    let mut random = fastrand::Rng::with_seed(7);
    for road in ROADS.into_iter().cycle() {
        starts.mark_unchanged();
        let Ok(mut traveller) = Traveller::join(&address, road, "hop", &query).await else {
            starts.changed().await.unwrap();
            continue;
        };
        assert_eq!(traveller.recovery(), "replayed");
        for _ in 0..random.usize(1..200) {
            let Ok(message) = traveller.message().await else { break };
            read.push(message["value"].as_str().unwrap().to_owned());
            if read.len() == MESSAGES {
                return read;
            }
        }
        query = format!("after={}&session={}", traveller.position, traveller.session());
    }
    unreachable!("the roads go round and round")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_hops_over_all_roads_while_the_server_restarts_gets_each_message_once_in_order() {
    let dir = std::env::temp_dir().join(format!("hubbub-hop-{}", uuid::Uuid::new_v4()));
    let mut server = Hubbub::start(dir.clone(), "127.0.0.1:0").await;
    let (tell, mut published) = watch::channel(0);
    let publisher = tokio::spawn(publish(server.address.clone(), server.starts(), tell));
    let reader = tokio::spawn(read(server.address.clone(), server.starts()));
    for (part, kill) in [(3, false), (2, true)] {
        published.wait_for(|published| *published >= MESSAGES / part).await.unwrap();
        server = if kill { server.kill_and_start().await } else { server.restart().await };
    }
    publisher.await.unwrap();
    let read = timeout(Duration::from_secs(60), reader).await.unwrap().unwrap();
    let expected: Vec<_> = (0..MESSAGES).map(|n| n.to_string()).collect();
    assert!(read == expected, "{:?}", read.iter().zip(&expected).find(|(a, b)| a != b));
    drop(server);
    std::fs::remove_dir_all(dir).unwrap();
}
