//! The server that the official test suite of Socket.IO 5 expects: namespaces `/` and `/custom`,
//! `message` comes back as `message-back`, `message-with-ack` as its acknowledgement.
//!
//! Run it with a port, or without for 3000, and then the suite. The rule to keep: times, path and
//! behaviour are those of the suite's own description.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use socketio::{Config, Engine, Incoming, SendError, Sid, Socket, SocketConfig, SocketSender};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(3000_u16);
    let config = Config {
        ping_interval: Duration::from_millis(300),
        ping_timeout: Duration::from_millis(200),
        ..Config::default()
    };
    let engine = Engine::new(config, |_, engine| async move {
        let config =
            SocketConfig { connect_timeout: Duration::from_secs(1), ..SocketConfig::default() };
        let mut socket = Socket::new(engine, &config);
        let sender = socket.sender().clone();
        while let Some(incoming) = socket.recv().await {
            if answer(&sender, incoming).await == Err(SendError::Closed) {
                break;
            }
        }
    });
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    axum::serve(listener, engine.router("/socket.io/")).await
}

async fn answer(sender: &SocketSender, incoming: Incoming) -> Result<(), SendError> {
    match incoming {
        Incoming::Connect { namespace, auth } => match namespace.as_str() {
            "/" | "/custom" => {
                sender.accept(&namespace, Sid::random().as_str(), None).await?;
                sender.emit(&namespace, &[json!("auth"), auth.into()]).await
            }
            _ => sender.refuse(&namespace, "Invalid namespace", None).await,
        },
        Incoming::Event { namespace, args, ack, attachments } if namespace == "/" => {
            event(sender, &namespace, args, ack, attachments).await
        }
        Incoming::Event { .. } | Incoming::Ack { .. } | Incoming::Disconnect { .. } => Ok(()),
    }
}

async fn event(
    sender: &SocketSender,
    namespace: &str,
    mut args: Vec<Value>,
    ack: Option<u64>,
    attachments: Vec<Bytes>,
) -> Result<(), SendError> {
    match (args[0].as_str(), ack) {
        (Some("message"), _) => {
            args[0] = "message-back".into();
            let args = Value::from(args).to_string();
            sender.emit_with(namespace, &args, None, attachments).await
        }
        (Some("message-with-ack"), Some(id)) => {
            args.remove(0);
            sender.ack_with(namespace, id, &Value::from(args).to_string(), attachments).await
        }
        _ => Ok(()),
    }
}
