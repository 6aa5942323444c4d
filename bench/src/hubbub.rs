//! Hubbub as it is measured: the real binary, in a directory of its own.

use std::{ops::Deref, path::Path};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream},
    net::TcpStream,
    process::Command,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{
        client::IntoClientRequest,
        http::{HeaderValue, Request},
    },
};

use crate::{Result, process::Server};

pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

#[derive(Debug)]
pub(crate) struct Hubbub(Server);

impl Deref for Hubbub {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}

impl From<Hubbub> for Server {
    fn from(hubbub: Hubbub) -> Self {
        hubbub.0
    }
}

impl Hubbub {
    /// One that keeps its messages in `data`.
    pub(crate) async fn start(binary: &str, data: &Path, args: &[&str]) -> Result<Self> {
        Self::spawn(Command::new(binary).arg("--data").arg(data).args(args)).await
    }

    /// One that keeps nothing.
    pub(crate) async fn ephemeral(binary: &str) -> Result<Self> {
        Self::spawn(Command::new(binary).arg("--ephemeral")).await
    }

    /// As this command has it.
    pub(crate) async fn spawn(command: &mut Command) -> Result<Self> {
        let command = command
            .args(["--listen", "127.0.0.1:0", "--publish-rate", "0", "--log", "error"])
            // All come from one address. A variable, for older binaries don't know the flag.
            .env("HUBBUB_CONNECTIONS_PER_ADDRESS", "0");
        Server::start(command).await.map(Self)
    }

    /// What a client that gets all frames asks for.
    pub(crate) fn request(&self, room: &str) -> Result<Request<()>> {
        let mut request = format!("ws://{}/ws?room={room}", self.address).into_client_request()?;
        let protocol = HeaderValue::from_static("hubbub.v1");
        request.headers_mut().insert("sec-websocket-protocol", protocol);
        Ok(request)
    }

    /// A client that gets all frames.
    pub(crate) async fn join(&self, room: &str) -> Result<Socket> {
        Ok(connect_async(self.request(room)?).await?.0)
    }
}

/// How many members a room has.
pub(crate) async fn members(address: &str, room: &str) -> Result<usize> {
    let mut http = Http::connect(address).await?;
    let body = http.ask(&format!("GET /api/rooms/{room}/members"), "", "").await?;
    let body: serde_json::Value = serde_json::from_slice(&body)?;
    let count = body["count"].as_u64().ok_or("no `count` in the answer")?;
    Ok(usize::try_from(count)?)
}

/// What is said where nothing else is told: 64 bytes.
pub(crate) const TEXT: &str = "I think we should leave at eight, if nobody minds the early bus.";

/// How many messages a request may have.
pub(crate) const AT_ONCE: usize = 100;

/// A connection that asks for one thing after the other. By hand, for what it costs is not the server's.
#[derive(Debug)]
pub(crate) struct Http {
    stream: BufStream<TcpStream>,
    address: String,
}

impl Http {
    pub(crate) async fn connect(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufStream::new(stream), address: address.to_owned() })
    }

    /// Posts this to a room.
    pub(crate) async fn post(&mut self, room: &str, body: &str) -> Result {
        let target = format!("POST /api/rooms/{room}/messages");
        self.ask(&target, "Content-Type: application/json\r\n", body).await.map(drop)
    }

    /// Sends a request, and reads the body of the answer, which must be 200.
    pub(crate) async fn ask(&mut self, target: &str, fields: &str, body: &str) -> Result<Vec<u8>> {
        let Self { stream, address } = self;
        let head = format!(
            "{target} HTTP/1.1\r\nHost: {address}\r\n{fields}Content-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(body.as_bytes()).await?;
        stream.flush().await?;
        let (mut line, mut length) = (String::new(), 0);
        stream.read_line(&mut line).await?;
        if !line.starts_with("HTTP/1.1 200") {
            return Err(line.into());
        }
        while line.trim_end() != "" {
            line.clear();
            stream.read_line(&mut line).await?;
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse()?;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        Ok(body)
    }
}

/// Lets this process, and servers it starts, have a socket for each of so many clients.
pub(crate) fn allow_files(clients: usize) -> Result {
    let wanted = clients as u64 + 500;
    let allowed = rlimit::increase_nofile_limit(wanted)?;
    if allowed < wanted {
        return Err(format!(
            "{clients} clients need {wanted} open files, and the limit is {allowed}: raise it (`ulimit -Hn`), or ask \
             for fewer with --clients"
        )
        .into());
    }
    Ok(())
}
