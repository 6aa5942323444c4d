//! What a Socket.IO client and its application can count on, over real connections.
//!
//! Start anywhere: each test is a promise. The rule to keep: packets are compared whole.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

mod support;

use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use socketio::{
    CloseReason, Config, Engine, Incoming, SendError, Socket, SocketConfig, SocketSender,
};
use support::{Client, Leg, serve};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

struct Server {
    client: Client,
    hears: UnboundedReceiver<(Incoming, SocketSender)>,
    ends: UnboundedReceiver<Option<CloseReason>>,
}

/// A server that passes on all that it hears.
async fn server(config: SocketConfig) -> Server {
    let (heard, hears) = unbounded_channel();
    let (ended, ends) = unbounded_channel();
    let engine = Engine::new(Config::default(), move |_, engine| {
        let (heard, ended, config) = (heard.clone(), ended.clone(), config.clone());
        async move {
            let mut socket = Socket::new(engine, &config);
            while let Some(incoming) = socket.recv().await {
                heard.send((incoming, socket.sender().clone())).unwrap();
            }
            ended.send(socket.close_reason()).unwrap();
        }
    });
    Server { client: serve(&engine).await, hears, ends }
}

impl Server {
    /// A client in the namespace `/`.
    async fn joined(&mut self) -> (support::Socket, SocketSender) {
        let mut socket = self.client.websocket("EIO=4&transport=websocket").await;
        socket.text().await;
        socket.send(r#"40{"token":"t"}"#).await;
        let (incoming, sender) = self.hears.recv().await.unwrap();
        let auth = json!({ "token": "t" }).as_object().unwrap().clone();
        assert_eq!(incoming, Incoming::Connect { namespace: "/".to_owned(), auth });
        assert_eq!(sender.emit("/", &[json!("early")]).await, Err(SendError::NotThere));
        sender.accept("/", "public", Some("private")).await.unwrap();
        assert_eq!(socket.text().await, r#"40{"sid":"public","pid":"private"}"#);
        (socket, sender)
    }
}

#[tokio::test]
async fn bytes_go_both_ways_in_one_piece() {
    let mut server = server(SocketConfig::default()).await;
    let (mut socket, sender) = server.joined().await;
    socket.send(r#"451-7["file",{"_placeholder":true,"num":0}]"#).await;
    futures_util::SinkExt::send(&mut socket.0, Leg::binary(vec![1, 2])).await.unwrap();
    let (incoming, _) = server.hears.recv().await.unwrap();
    let placeholder = json!({ "_placeholder": true, "num": 0 });
    let bytes = Bytes::from_static(&[1, 2]);
    let expected = Incoming::Event {
        namespace: "/".to_owned(),
        args: vec![json!("file"), placeholder.clone()],
        ack: Some(7),
        attachments: vec![bytes.clone()],
    };
    assert_eq!(incoming, expected);
    let args = json!([placeholder]).to_string();
    sender.ack_with("/", 7, &args, vec![bytes.clone()]).await.unwrap();
    sender.emit_raw("/", r#"["next"]"#).await.unwrap();
    assert_eq!(socket.text().await, r#"461-7[{"_placeholder":true,"num":0}]"#);
    assert_eq!(socket.next().await, Some(Leg::Binary(bytes)));
    assert_eq!(socket.text().await, r#"42["next"]"#);
}

#[tokio::test]
async fn a_refused_client_may_ask_elsewhere() {
    let mut server = server(SocketConfig::default()).await;
    let (mut socket, sender) = server.joined().await;
    socket.send("40/no,").await;
    server.hears.recv().await.unwrap();
    sender.refuse("/no", "not here", Some(json!({ "code": 7 }))).await.unwrap();
    assert_eq!(socket.text().await, r#"44/no,{"message":"not here","data":{"code":7}}"#);
    assert_eq!(sender.accept("/no", "sid", None).await, Err(SendError::NotThere));
    socket.send("40/yes").await;
    server.hears.recv().await.unwrap();
    sender.accept("/yes", "sid", None).await.unwrap();
    assert_eq!(socket.text().await, r#"40/yes,{"sid":"sid"}"#);
    socket.send("41/yes").await;
    let (left, _) = server.hears.recv().await.unwrap();
    assert_eq!(left, Incoming::Disconnect { namespace: "/yes".to_owned() });
    assert_eq!(sender.emit("/yes", &[json!("x")]).await, Err(SendError::NotThere));
}

#[tokio::test]
async fn what_a_client_says_before_it_knows_that_it_is_out_is_not_heard() {
    let mut server = server(SocketConfig::default()).await;
    let (mut socket, sender) = server.joined().await;
    sender.disconnect("/").await.unwrap();
    socket.send(r#"42["late"]"#).await;
    socket.send("40").await;
    let (incoming, _) = server.hears.recv().await.unwrap();
    assert!(matches!(incoming, Incoming::Connect { .. }));
    assert_eq!(socket.text().await, "41");
}

#[tokio::test]
async fn whoever_speaks_where_it_is_not_is_closed() {
    let mut server = server(SocketConfig::default()).await;
    let (mut socket, sender) = server.joined().await;
    socket.send(r#"42/other,["x"]"#).await;
    assert_eq!(socket.next().await, None);
    server.ends.recv().await.unwrap();
    sender.clone().emit("/", &[json!("x")]).await.unwrap_err();
}

#[tokio::test]
async fn a_client_in_no_namespace_is_closed_in_time() {
    let config =
        SocketConfig { connect_timeout: Duration::from_millis(50), ..SocketConfig::default() };
    let mut server = server(config).await;
    let mut socket = server.client.websocket("EIO=4&transport=websocket").await;
    assert!(socket.text().await.starts_with('0'));
    assert_eq!(socket.next().await, None);
    server.ends.recv().await.unwrap();
}
