//! A server to measure: the real binary, in a directory of its own, gone when dropped.

use std::{path::Path, process::Stdio};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpStream,
    process::{Child, Command},
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{client::IntoClientRequest, http::HeaderValue},
};

use crate::Result;

pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

#[derive(Debug)]
pub(crate) struct Hubbub {
    pub(crate) address: String,
    _process: Child,
}

impl Hubbub {
    pub(crate) async fn start(binary: &str, data: &Path, args: &[&str]) -> Result<Self> {
        let mut process = Command::new(binary)
            .args(["--listen", "127.0.0.1:0", "--publish-rate", "0", "--log", "warn", "--data"])
            .arg(data)
            .args(args)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let out = process.stdout.take().ok_or("no standard output")?;
        let line = BufReader::new(out).lines().next_line().await?.ok_or("it did not start")?;
        let address = line.strip_prefix("listening on http://").ok_or("not hubbub")?.to_owned();
        Ok(Self { address, _process: process })
    }

    /// A client that gets all frames.
    pub(crate) async fn join(&self, room: &str) -> Result<Socket> {
        let url = format!("ws://{}/ws?room={room}", self.address);
        let mut request = url.into_client_request()?;
        let protocol = HeaderValue::from_static("hubbub.v1");
        request.headers_mut().insert("sec-websocket-protocol", protocol);
        Ok(connect_async(request).await?.0)
    }
}
