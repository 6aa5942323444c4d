//! A server on a port of its own, and a client that speaks the protocol by hand.
//!
//! Start at [`serve`]. The rule to keep: no helper hides a packet from a test.

use std::{net::SocketAddr, time::Duration};

use futures_util::{SinkExt, StreamExt};
use socketio::{Config, Engine};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite};

pub(crate) use tungstenite::Message as Leg;

/// Times so short that a test can wait for them.
#[allow(dead_code, reason = "each test binary uses some of these")]
pub(crate) fn short() -> Config {
    Config {
        ping_interval: Duration::from_millis(100),
        ping_timeout: Duration::from_millis(100),
        ..Config::default()
    }
}

pub(crate) async fn serve(engine: &Engine) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let router = engine.router("/io/");
    tokio::spawn(async move { axum::serve(listener, router).await });
    Client { addr, http: reqwest::Client::new() }
}

#[derive(Debug, Clone)]
pub(crate) struct Client {
    addr: SocketAddr,
    http: reqwest::Client,
}

#[allow(dead_code, reason = "each test binary uses some of these")]
impl Client {
    pub(crate) fn url(&self, query: &str) -> String {
        format!("http://{}/io/?{query}", self.addr)
    }

    /// Opens a session on polling, and comes to the query that its requests have.
    pub(crate) async fn open(&self) -> String {
        let (status, open) = self.get("EIO=4&transport=polling").await;
        assert_eq!(status, 200, "{open}");
        let open: serde_json::Value = serde_json::from_str(&open[1..]).unwrap();
        format!("EIO=4&transport=polling&sid={}", open["sid"].as_str().unwrap())
    }

    pub(crate) async fn get(&self, query: &str) -> (u16, String) {
        let answer = self.http.get(self.url(query)).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    pub(crate) async fn post(&self, query: &str, body: impl Into<reqwest::Body>) -> (u16, String) {
        let answer = self.http.post(self.url(query)).body(body).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    pub(crate) async fn websocket(&self, query: &str) -> Socket {
        let query = query.replace("polling", "websocket");
        let (socket, _) = connect_async(format!("ws://{}/io/?{query}", self.addr)).await.unwrap();
        Socket(socket)
    }
}

pub(crate) struct Socket(pub(crate) WebSocketStream<MaybeTlsStream<TcpStream>>);

#[allow(dead_code, reason = "each test binary uses some of these")]
impl Socket {
    pub(crate) async fn send(&mut self, text: impl Into<tungstenite::Utf8Bytes>) {
        self.0.send(Leg::Text(text.into())).await.unwrap();
    }

    /// The next frame; none when the server has closed.
    pub(crate) async fn next(&mut self) -> Option<Leg> {
        match self.0.next().await? {
            Ok(Leg::Close(_)) | Err(_) => None,
            Ok(leg) => Some(leg),
        }
    }

    pub(crate) async fn text(&mut self) -> String {
        self.next().await.unwrap().into_text().unwrap().to_string()
    }
}
