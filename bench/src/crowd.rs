//! Many clients that only count: a TCP connection each, an upgrade written by hand, and a reader without a buffer of its own.
//!
//! The rule to keep: a client costs a fraction of what the server spends on it.

use std::{
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    net::{TcpSocket, TcpStream},
    sync::{Notify, Semaphore, mpsc},
    task::JoinSet,
    time::{Instant, timeout},
};

use crate::{
    Result,
    frames::{self, Events, Frames, Seen},
};

/// How a client reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Face {
    /// A WebSocket without a subprotocol: messages only.
    Plain,
    /// A WebSocket with `hubbub.v1`: all frames.
    All,
    /// An event stream.
    Events,
    /// Socket.IO over a WebSocket.
    SocketIo,
}

impl Face {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "websocket",
            Self::All => "websocket, all frames",
            Self::Events => "sse",
            Self::SocketIo => "socket.io",
        }
    }

    /// What is waited for before a client is in, and the text that answers it.
    fn welcome(self) -> &'static [(&'static [u8], &'static str)] {
        match self {
            Self::Plain => &[],
            Self::All => &[(b"hello", "")],
            Self::Events => &[(b"event: hello", "")],
            Self::SocketIo => &[(b"0{", "40"), (b"40{", "")],
        }
    }

    fn counter(self) -> Counter {
        match self {
            Self::Plain | Self::All => Counter::Frames(Frames::default()),
            Self::SocketIo => Counter::Frames(Frames::of(b"42[\"message\"")),
            Self::Events => Counter::Events(Events::default()),
        }
    }
}

#[derive(Debug)]
enum Counter {
    Frames(Frames),
    Events(Events),
}

impl Counter {
    fn feed(&mut self, bytes: &[u8]) -> Seen {
        match self {
            Self::Frames(frames) => frames.feed(bytes),
            Self::Events(events) => events.feed(bytes),
        }
    }
}

/// Clients of one room. They leave when this is dropped.
#[derive(Debug)]
pub(crate) struct Crowd {
    /// How long it took until the last one was in.
    pub(crate) joined_in: Duration,
    counts: Arc<Counts>,
    _clients: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Counts {
    bytes: AtomicU64,
    texts: AtomicU64,
    gone: AtomicU64,
    /// At so many texts somebody is woken.
    awaited: AtomicU64,
    heard: Notify,
}

impl Counts {
    fn count(&self, bytes: usize, texts: u64) {
        self.bytes.fetch_add(bytes as u64, Relaxed);
        let before = self.texts.fetch_add(texts, Relaxed);
        let awaited = self.awaited.load(Relaxed);
        if before < awaited && awaited <= before + texts {
            self.heard.notify_one();
        }
    }
}

/// Upgrades under way at once: fewer than a listening socket lets wait.
const AT_ONCE: usize = 200;
/// Clients per source address: fewer than it has ports.
const PER_ADDRESS: usize = 20_000;
/// A server that needs longer to let everybody in is not measured.
const PATIENCE: Duration = Duration::from_secs(180);

impl Crowd {
    /// Connects so many clients, and returns when each is in: it got an answer, and `hello` where there is one.
    pub(crate) async fn join(
        server: SocketAddr,
        room: &str,
        face: Face,
        clients: usize,
    ) -> Result<Self> {
        Self::spread(&[server], room, face, clients).await
    }

    /// The same, one client to each of these servers in turn.
    pub(crate) async fn spread(
        servers: &[SocketAddr],
        room: &str,
        face: Face,
        clients: usize,
    ) -> Result<Self> {
        let counts = Arc::new(Counts::default());
        let (joined, mut joining) = mpsc::unbounded_channel();
        let turns = Arc::new(Semaphore::new(AT_ONCE));
        let requests: Vec<Arc<[u8]>> =
            servers.iter().map(|server| request(*server, room, face).into_bytes().into()).collect();
        let started = Instant::now();
        let mut tasks = JoinSet::new();
        for n in 0..clients {
            let (server, request) = (servers[n % servers.len()], &requests[n % servers.len()]);
            let (counts, request, turns, joined) =
                (counts.clone(), request.clone(), turns.clone(), joined.clone());
            tasks.spawn(async move {
                let entered = async {
                    let _turn = turns.acquire().await?;
                    enter(server, n, &request, face, &counts).await
                };
                match entered.await {
                    Ok((stream, counter)) => {
                        let _ = joined.send(Ok(()));
                        drop(joined);
                        let _ = listen(&stream, counter, &counts).await;
                        counts.gone.fetch_add(1, Relaxed);
                    }
                    Err(error) => drop(joined.send(Err(format!("client {n}: {error}")))),
                }
            });
        }
        drop(joined);
        timeout(PATIENCE, async {
            while let Some(one) = joining.recv().await {
                one?;
            }
            Ok::<_, String>(())
        })
        .await
        .map_err(|_| format!("not everybody was in after {PATIENCE:?}"))??;
        Ok(Self { joined_in: started.elapsed(), counts, _clients: tasks })
    }

    /// Bytes that came so far, of all clients.
    pub(crate) fn bytes(&self) -> u64 {
        self.counts.bytes.load(Relaxed)
    }

    /// Texts that came so far, of all clients.
    pub(crate) fn texts(&self) -> u64 {
        self.counts.texts.load(Relaxed)
    }

    /// Waits until so many texts have come, of all clients; all on one thread.
    pub(crate) async fn heard(&self, texts: u64) -> Result {
        self.counts.awaited.store(texts, Relaxed);
        let wait = async {
            while self.texts() < texts {
                self.counts.heard.notified().await;
            }
        };
        let missing = || format!("{} of {texts} texts came", self.texts());
        timeout(PATIENCE, wait).await.map_err(|_| missing().into())
    }

    /// Clients that lost their connection.
    pub(crate) fn gone(&self) -> u64 {
        self.counts.gone.load(Relaxed)
    }
}

/// So many clients that are in, the last one last, and read nothing: what comes for them waits in their sockets.
pub(crate) async fn silent(
    server: SocketAddr,
    room: &str,
    face: Face,
    clients: usize,
) -> Result<Vec<std::net::TcpStream>> {
    let (request, counts) = (request(server, room, face), Counts::default());
    let mut streams = Vec::with_capacity(clients);
    for n in 0..clients {
        let (stream, _) = enter(server, n, request.as_bytes(), face, &counts).await?;
        streams.push(stream.into_std()?);
    }
    Ok(streams)
}

/// Somebody who says things to a room, and does not listen.
#[derive(Debug)]
pub(crate) struct Speaker {
    stream: Arc<TcpStream>,
    listening: tokio::task::JoinHandle<()>,
}

impl Drop for Speaker {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Speaker {
    pub(crate) async fn join(server: SocketAddr, room: &str, face: Face) -> Result<Self> {
        let counts = Arc::new(Counts::default());
        let request = request(server, room, face);
        let (stream, counter) = enter(server, 0, request.as_bytes(), face, &counts).await?;
        stream.set_nodelay(true)?;
        let stream = Arc::new(stream);
        let listening = tokio::spawn({
            let stream = stream.clone();
            async move { drop(listen(&stream, counter, &counts).await) }
        });
        Ok(Self { stream, listening })
    }

    /// Sends these texts in one go.
    pub(crate) async fn say(&self, texts: &[String]) -> Result {
        let frames: Vec<u8> = texts.iter().flat_map(|text| frames::text(text)).collect();
        write(&self.stream, &frames).await
    }
}

/// Connects one client and reads until it is in.
async fn enter(
    server: SocketAddr,
    n: usize,
    request: &[u8],
    face: Face,
    counts: &Counts,
) -> Result<(TcpStream, Counter)> {
    let socket = TcpSocket::new_v4()?;
    if n >= PER_ADDRESS {
        let last = u8::try_from(1 + n / PER_ADDRESS)?;
        socket.bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)), 0))?;
    }
    let stream = socket.connect(server).await?;
    write(&stream, request).await?;
    let mut head = Vec::new();
    let end = loop {
        if let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        read(&stream, |bytes| head.extend_from_slice(bytes)).await?;
    };
    if !head.starts_with(b"HTTP/1.1 101") && !head.starts_with(b"HTTP/1.1 200") {
        return Err(String::from_utf8_lossy(&head[..end]).into());
    }
    let mut said = head.split_off(end);
    for (expected, answer) in face.welcome() {
        while !said.windows(expected.len()).any(|some| some == *expected) {
            read(&stream, |bytes| said.extend_from_slice(bytes)).await?;
        }
        if !answer.is_empty() {
            write(&stream, &frames::text(answer)).await?;
        }
    }
    let mut counter = face.counter();
    let seen = counter.feed(&said);
    counts.count(said.len(), seen.texts);
    write(&stream, &seen.answer).await?;
    Ok((stream, counter))
}

/// Reads and counts until the server hangs up.
async fn listen(stream: &TcpStream, mut counter: Counter, counts: &Counts) -> Result {
    loop {
        let mut seen = None;
        read(stream, |bytes| seen = Some((bytes.len(), counter.feed(bytes)))).await?;
        let Some((bytes, seen)) = seen else { continue };
        counts.count(bytes, seen.texts);
        if !seen.answer.is_empty() {
            write(stream, &seen.answer).await?;
        }
        if seen.closed {
            return Ok(());
        }
    }
}

/// Waits for bytes and shows them. The buffer is on the stack, and gone before the next wait.
async fn read(stream: &TcpStream, show: impl FnOnce(&[u8])) -> Result {
    loop {
        stream.readable().await?;
        let mut buffer = [0; 16 * 1024];
        match stream.try_read(&mut buffer) {
            Ok(0) => return Err("the server has hung up".into()),
            Ok(length) => {
                show(&buffer[..length]);
                return Ok(());
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
}

async fn write(stream: &TcpStream, mut bytes: &[u8]) -> Result {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(bytes) {
            Ok(length) => bytes = &bytes[length..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn request(server: SocketAddr, room: &str, face: Face) -> String {
    let (path, protocol) = match face {
        Face::Plain => (format!("/ws?room={room}"), ""),
        Face::All => (format!("/ws?room={room}"), "Sec-WebSocket-Protocol: hubbub.v1\r\n"),
        Face::SocketIo => (format!("/socket.io/?EIO=4&transport=websocket&room={room}"), ""),
        Face::Events => {
            return format!("GET /api/rooms/{room}/events HTTP/1.1\r\nHost: {server}\r\n\r\n");
        }
    };
    format!(
        "GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{protocol}\r\n"
    )
}
