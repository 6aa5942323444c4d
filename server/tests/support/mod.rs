//! A real server on a free port, and people who talk to it over real sockets.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used)]

#[path = "../../../jetstream/tests/support/nats.rs"]
pub mod nats;
pub mod place;
pub mod process;
pub mod road;
pub mod secure;
pub mod toy;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use server::{
    Config, Listen, Listener, Server,
    identity::{Identity, Visitor},
    rights::{Grant, Rights},
};
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpSocket, TcpStream},
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{
        Error, Message,
        client::IntoClientRequest,
        http::{HeaderValue, Response, header},
        protocol::CloseFrame,
    },
};

/// Nothing in these tests takes this long; what does is a failure.
pub const PATIENCE: Duration = Duration::from_secs(10);

pub struct TestServer {
    pub address: SocketAddr,
    /// Where the tests' own transport is served.
    pub toy: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    pub serving: JoinHandle<std::io::Result<()>>,
    /// Another hub on the same log, at the same addresses.
    beside: Option<Box<TestServer>>,
}

impl TestServer {
    pub async fn start() -> Self {
        Self::with(|_| ()).await
    }

    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::ephemeral();
        change(&mut config);
        let server = Server::open(config.clone()).await.unwrap();
        Self::of(config, |_| server).await
    }

    pub async fn of(config: Config, open: impl FnOnce(Config) -> Server) -> Self {
        let listener = Listener::open(&config).await.unwrap();
        let Listen::Tcp(address) = listener.address().unwrap() else { panic!("not of TCP") };
        let (stop, stopped) = oneshot::channel();
        let stopped = async { stopped.await.unwrap_or_default() };
        let server = open(config);
        let toy_listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let toy = toy_listener.local_addr().unwrap();
        tokio::spawn(toy::serve(toy_listener, server.door()));
        let serving = tokio::spawn(server.serve(listener, stopped));
        Self { address, toy, stop: Some(stop), serving, beside: None }
    }

    pub fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        if let Some(beside) = &mut self.beside {
            beside.stop();
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A connection that takes little at once.
    pub async fn connect_narrowly(&self) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(32 * 1024).unwrap();
        socket.connect(self.address).await.unwrap()
    }

    /// Someone who sees all frames, in the room of `query`.
    pub async fn join(&self, query: &str) -> Client {
        Client::open(self, query, &[("sec-websocket-protocol", "hubbub.v1")]).await.unwrap()
    }

    /// The smallest client there is.
    pub async fn join_plain(&self, query: &str) -> Client {
        Client::open(self, query, &[]).await.unwrap()
    }
}

/// Reads on until this is among what was read.
pub async fn read_until(stream: &mut TcpStream, bytes: &mut Vec<u8>, expected: &[u8]) {
    let mut looked = 0;
    while !bytes[looked..].windows(expected.len()).any(|some| some == expected) {
        looked = bytes.len().saturating_sub(expected.len());
        let read = timeout(PATIENCE, stream.read_buf(bytes)).await.expect("nothing comes");
        assert!(read.unwrap() > 0, "the connection ended");
    }
}

/// A token of `identity`'s that lets its bearer manage all rooms.
pub fn manager(identity: &Identity) -> String {
    let rights = Rights::of(&[], &[], &["*".to_owned()]).unwrap();
    let grant = Some(Arc::new(Grant { rights, exp: u64::MAX / 2_000 }));
    identity.issue(&Visitor { grant, ..Visitor::guest() })
}

pub struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

/// The status, code and field of an upgrade that was refused.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    pub status: u16,
    pub code: String,
    pub field: Option<String>,
}

impl Client {
    pub async fn open(
        server: &TestServer,
        query: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, Refused> {
        Self::open_at(server, &format!("/ws{query}"), headers).await
    }

    pub async fn open_at(
        server: &TestServer,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, Refused> {
        let url = format!("ws://{}{path}", server.address);
        let mut request = url.into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, HeaderValue::from_str(value).unwrap());
        }
        let opened = timeout(PATIENCE, tokio_tungstenite::connect_async(request)).await.unwrap();
        match opened {
            Ok((socket, _)) => Ok(Self { socket }),
            Err(Error::Http(response)) => Err(refused(&response)),
            Err(other) => panic!("{other}"),
        }
    }

    pub async fn send(&mut self, text: &str) {
        self.send_message(Message::text(text)).await;
    }

    pub async fn send_message(&mut self, message: Message) {
        self.socket.send(message).await.unwrap();
    }

    /// Closes the connection, as a page does that is closed.
    pub async fn leave(mut self) {
        self.socket.close(None).await.unwrap();
        // Reads to the end: with something unread, the reset that follows could overtake the close.
        self.closed().await;
    }

    /// Sends while reading, as browsers do, until the server closes; returns how it did.
    pub async fn send_until_closed(self, message: Message) -> Option<CloseFrame> {
        let (mut write, read) = self.socket.split();
        let closed = async {
            let legs = read.filter_map(async |leg| match leg {
                Ok(Message::Close(frame)) => Some(frame),
                _ => None,
            });
            std::pin::pin!(legs).next().await.flatten()
        };
        let sent = write.send(message);
        timeout(PATIENCE, async { tokio::join!(closed, sent).0 }).await.unwrap()
    }

    pub async fn say(&mut self, text: &str) {
        let value = serde_json::to_string(text).unwrap();
        self.send(&format!(r#"{{"type":"message","params":{{"value":{value}}}}}"#)).await;
    }

    /// The next text frame.
    pub async fn next(&mut self) -> Value {
        match self.next_leg().await {
            Some(Ok(Message::Text(text))) => serde_json::from_str(&text).unwrap(),
            other => panic!("not a text frame: {other:?}"),
        }
    }

    /// The next text frame, or how the server closed.
    pub async fn leg(&mut self) -> Result<String, Option<CloseFrame>> {
        match self.next_leg().await {
            Some(Ok(Message::Text(text))) => Ok(text.to_string()),
            Some(Ok(Message::Close(frame))) => Err(frame),
            other => panic!("neither text nor close: {other:?}"),
        }
    }

    /// The next frame of this type; others are skipped.
    pub async fn next_of(&mut self, kind: &str) -> Value {
        loop {
            let frame = self.next().await;
            if frame["type"] == kind {
                return frame["params"].clone();
            }
        }
    }

    /// The text of the next message.
    pub async fn hear(&mut self) -> String {
        self.next_of("message").await["value"].as_str().unwrap().to_owned()
    }

    /// Reads on until the server closes, and returns how it did.
    pub async fn closed(&mut self) -> Option<CloseFrame> {
        loop {
            match self.next_leg().await {
                Some(Ok(Message::Close(frame))) => return frame,
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }

    async fn next_leg(&mut self) -> Option<Result<Message, Error>> {
        loop {
            let leg = timeout(PATIENCE, self.socket.next()).await.expect("the server said nothing");
            if !matches!(leg, Some(Ok(Message::Ping(_) | Message::Pong(_)))) {
                return leg;
            }
        }
    }
}

fn refused(response: &Response<Option<Vec<u8>>>) -> Refused {
    let body = response.body().as_deref().unwrap_or_default();
    let problem: Value = serde_json::from_slice(body).unwrap_or_default();
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json; charset=utf-8");
    Refused {
        status: response.status().as_u16(),
        code: problem["code"].as_str().unwrap_or_default().to_owned(),
        field: problem["field"].as_str().map(str::to_owned),
    }
}
