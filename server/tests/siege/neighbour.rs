//! Somebody who talks in a room of its own while the attack is on.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_tungstenite::{client_async, tungstenite::Message};

use super::attack::{PATIENCE, ask, connect, post};

/// From here nobody attacks.
const FROM: u8 = 201;
const EVERY: Duration = Duration::from_millis(60);

pub struct Neighbour {
    task: JoinHandle<Vec<Duration>>,
    enough: Arc<AtomicBool>,
}

impl Neighbour {
    pub fn at(address: &str) -> Self {
        let enough = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(talk(address.to_owned(), enough.clone()));
        Self { task, enough }
    }

    /// How long each of its messages took from being said to being heard, the quickest first.
    pub async fn took(self) -> Vec<Duration> {
        self.enough.store(true, Ordering::Relaxed);
        let mut took = self.task.await.unwrap();
        took.sort();
        took
    }
}

/// What it says is taken, and heard once and in order.
async fn talk(address: String, enough: Arc<AtomicBool>) -> Vec<Duration> {
    let stream = connect(&address, FROM).await.unwrap();
    let mut reader = client_async(format!("ws://{address}/ws?room=home"), stream).await.unwrap().0;
    let mut stream = connect(&address, FROM).await.unwrap();
    let mut took = Vec::new();
    while !enough.load(Ordering::Relaxed) {
        let (begun, said) = (Instant::now(), took.len());
        let body = json!({"value": said, "id": format!("n{said}")}).to_string();
        let (status, answer) =
            ask(&mut stream, &post("/api/rooms/home/messages", &body)).await.unwrap();
        assert_eq!(status, 200, "{answer}");
        let heard = loop {
            match timeout(PATIENCE, reader.next()).await.unwrap().unwrap().unwrap() {
                Message::Text(text) => {
                    let frame: Value = serde_json::from_str(&text).unwrap();
                    if frame["type"] == "message" {
                        break frame;
                    }
                }
                Message::Ping(bytes) => reader.send(Message::Pong(bytes)).await.unwrap(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(heard["params"]["value"], said);
        took.push(begun.elapsed());
        sleep(EVERY).await;
    }
    took
}
