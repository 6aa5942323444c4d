//! The server that the official test suite of Engine.IO 4 expects: every message comes back.
//!
//! Run it with a port, or without for 3000, and then the suite. The rule to keep: times, path and
//! behaviour are those of the suite's own description.

use std::time::Duration;

use socketio::{Config, Engine};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(3000_u16);
    let config = Config {
        ping_interval: Duration::from_millis(300),
        ping_timeout: Duration::from_millis(200),
        ..Config::default()
    };
    let engine = Engine::new(config, |_, mut socket| async move {
        while let Some(message) = socket.recv().await {
            if socket.send(message).await.is_err() {
                break;
            }
        }
    });
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    axum::serve(listener, engine.router("/engine.io/")).await
}
