//! A server to measure: the real binary, in a directory of its own, gone when dropped.

use std::{fs, path::Path, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    process::{Child, Command},
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{
        client::IntoClientRequest,
        http::{HeaderValue, Request},
    },
};

use crate::Result;

pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

#[derive(Debug)]
pub(crate) struct Hubbub {
    pub(crate) address: String,
    process: Child,
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

    async fn spawn(command: &mut Command) -> Result<Self> {
        let mut process = command
            .args(["--listen", "127.0.0.1:0", "--publish-rate", "0", "--log", "warn"])
            // All come from one address. A variable, for older binaries don't know the flag.
            .env("HUBBUB_CONNECTIONS_PER_ADDRESS", "0")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let out = process.stdout.take().ok_or("no standard output")?;
        let line = BufReader::new(out).lines().next_line().await?.ok_or("it did not start")?;
        let address = line.strip_prefix("listening on http://").ok_or("not hubbub")?.to_owned();
        Ok(Self { address, process })
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

    /// How many members a room has.
    pub(crate) async fn members(&self, room: &str) -> Result<usize> {
        let mut stream = TcpStream::connect(&self.address).await?;
        let request = format!(
            "GET /api/rooms/{room}/members HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.address
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let (_, body) = answer.split_once("\r\n\r\n").ok_or("no answer")?;
        let body: serde_json::Value = serde_json::from_str(body)?;
        let count = body["count"].as_u64().ok_or("no `count` in the answer")?;
        Ok(usize::try_from(count)?)
    }

    /// Seconds of processor it has used, in its own code and in the kernel's.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let stat = self.proc("stat")?;
        // The name in parentheses may hold blanks; utime and stime are the 12th and 13th field behind it, in hundredths.
        let (_, fields) = stat.rsplit_once(") ").ok_or("an unknown /proc/PID/stat")?;
        let ticks = fields
            .split(' ')
            .skip(11)
            .take(2)
            .map(str::parse::<u64>)
            .sum::<std::result::Result<u64, std::num::ParseIntError>>()?;
        Ok(Duration::from_millis(ticks * 10))
    }

    /// The most memory it ever had resident.
    pub(crate) fn peak_mib(&self) -> Result<f64> {
        let status = self.proc("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next()).ok_or("no VmHWM")?;
        Ok(kib.parse::<f64>()? / 1024.0)
    }

    fn proc(&self, file: &str) -> Result<String> {
        let id = self.process.id().ok_or("the server is gone")?;
        Ok(fs::read_to_string(format!("/proc/{id}/{file}"))?)
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
