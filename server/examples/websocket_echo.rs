//! An echo over the `WebSocket` that Hubbub uses, for conformance suites ([Autobahn's
//! cases](https://github.com/crossbario/autobahn-testsuite)): what comes goes back, up to 16 MiB.
//!
//! `cargo run --release -p server --example websocket_echo [PORT]`; see docs/conformance.md.

use axum::{
    Router,
    extract::ws::{Message, WebSocket, WebSocketUpgrade},
    routing::any,
};
use tokio::net::TcpListener;

/// The largest message of the suite.
const MOST: usize = 16 * 1024 * 1024;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(9001_u16);
    let app = Router::new().route(
        "/",
        any(async |upgrade: WebSocketUpgrade| {
            server::tune_websocket(upgrade, MOST).on_upgrade(echo)
        }),
    );
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    axum::serve(listener, app).await
}

async fn echo(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        // The library answers pings and closes by itself.
        let echoed = match message {
            Message::Text(_) | Message::Binary(_) => socket.send(message).await,
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) => Ok(()),
        };
        if echoed.is_err() {
            break;
        }
    }
}
