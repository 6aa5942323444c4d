//! Where connections come in, as an operator may choose it: TLS, a Unix socket, one that the system hands on, and behind a
//! proxy that says at the begin of a connection whom it speaks for.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::{
    fs,
    io::{BufRead, BufReader as Lines},
    os::fd::OwnedFd,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use futures_util::StreamExt;
use server::ProxyHeader;
use support::{TestServer, secure::Secure};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpStream, UnixStream},
};
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest};

fn new_dir() -> PathBuf {
    let dir = std::env::temp_dir().join(format!("hubbub-listening-{}", uuid::Uuid::new_v4()));
    fs::create_dir(&dir).unwrap();
    dir
}

impl Secure {
    /// Says each of these by a request of its own, over one connection.
    async fn say(&self, texts: std::ops::Range<usize>) {
        let mut stream = BufReader::new(self.connect(&[]).await);
        for text in texts {
            let request = format!(
                "POST /api/rooms/tea/messages HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/plain\r\n\
                 content-length: {}\r\n\r\n{text}",
                text.to_string().len()
            );
            stream.write_all(request.as_bytes()).await.unwrap();
            assert!(answer(&mut stream).await.starts_with("HTTP/1.1 200"));
        }
    }
}

/// The status and the fields of an answer whose body has a length, which is read, too.
async fn answer(stream: &mut (impl AsyncBufReadExt + Unpin)) -> String {
    let (mut head, mut length) = (String::new(), 0);
    while !head.ends_with("\r\n\r\n") {
        let begin = head.len();
        assert_ne!(stream.read_line(&mut head).await.unwrap(), 0, "it ended at {head:?}");
        if let Some(bytes) = head[begin..].to_ascii_lowercase().strip_prefix("content-length:") {
            length = bytes.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    head + &String::from_utf8(body).unwrap()
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")
}

/// How many messages there are at first, and how many come then.
const EACH: usize = 300;

#[tokio::test]
async fn over_tls_a_websocket_has_all_that_was_said_and_all_that_is() {
    let secure = Secure::start(|_| ()).await;
    secure.say(0..EACH).await;
    let request = "wss://localhost/ws?room=tea&after=0".into_client_request().unwrap();
    let stream = secure.connect(&[]).await;
    let (mut socket, _) = tokio_tungstenite::client_async(request, stream).await.unwrap();
    let hear = async {
        for n in 0..2 * EACH {
            let Message::Text(text) = socket.next().await.unwrap().unwrap() else { panic!() };
            assert!(text.contains(&format!("\"value\":\"{n}\"")), "{n}: {text}");
        }
    };
    tokio::join!(hear, secure.say(EACH..2 * EACH));
}

#[tokio::test]
async fn over_tls_an_event_stream_has_all_that_was_said_and_all_that_is() {
    let secure = Secure::start(|_| ()).await;
    secure.say(0..EACH).await;
    let mut stream = BufReader::new(secure.connect(&[]).await);
    let request = get("/api/rooms/tea/events?after=0&fields=value");
    stream.write_all(request.as_bytes()).await.unwrap();
    let hear = async {
        let mut line = String::new();
        let mut heard = 0;
        while heard < 2 * EACH {
            line.clear();
            assert_ne!(stream.read_line(&mut line).await.unwrap(), 0);
            if line.contains("\"value\"") {
                assert!(line.contains(&format!("\"value\":\"{heard}\"")), "{heard}: {line}");
                heard += 1;
            }
        }
    };
    tokio::join!(hear, secure.say(EACH..2 * EACH));
}

#[tokio::test]
async fn over_tls_links_and_cookies_are_for_tls() {
    let secure = Secure::start(|_| ()).await;
    let mut stream = BufReader::new(secure.connect(&[]).await);
    let request = "POST /api/rooms/tea/messages HTTP/1.1\r\nhost: localhost\r\naccept: text/html\r\n\
        content-type: application/x-www-form-urlencoded\r\nx-forwarded-proto: http\r\n\
        content-length: 20\r\n\r\nname=Ada&message=tea";
    stream.write_all(request.as_bytes()).await.unwrap();
    let head = answer(&mut stream).await;
    assert!(head.contains("set-cookie: __Host-hubbub="), "{head}");
    assert!(head.contains("Secure"), "{head}");
}

#[tokio::test]
async fn who_does_not_shake_hands_is_let_go_and_others_are_served() {
    let secure =
        Secure::start(|config| config.timing.head = std::time::Duration::from_millis(300)).await;
    let mut plain = TcpStream::connect(secure.server.address).await.unwrap();
    plain.write_all(get("/healthz").as_bytes()).await.unwrap();
    let mut silent = TcpStream::connect(secure.server.address).await.unwrap();
    let mut answer = Vec::new();
    // Nothing is told in the clear; the silent one is let go of after a while.
    let _ = plain.read_to_end(&mut answer).await;
    assert!(!String::from_utf8_lossy(&answer).contains("HTTP/1.1 200"));
    assert_eq!(silent.read(&mut [0; 1]).await.unwrap_or_default(), 0);
    secure.say(0..1).await;
}

/// What is answered to this over a connection of its own; nothing, if it is closed.
async fn sent(server: &TestServer, bytes: &str) -> String {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let _ = BufReader::new(stream).read_line(&mut answer).await;
    answer
}

#[tokio::test]
async fn the_proxy_protocol_is_spoken_by_all_or_nobody() {
    let server = TestServer::with(|config| {
        config.proxy_header = ProxyHeader::ProxyProtocol;
        config.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
        config.connections_per_address = 1;
    })
    .await;
    let ask = get("/healthz");
    let by = |client: &str| format!("PROXY TCP4 {client} 192.0.2.1 5000 443\r\n{ask}");
    assert_eq!(sent(&server, &ask).await, "");
    // The first stays, and its address may have no other.
    let mut first = BufReader::new(TcpStream::connect(server.address).await.unwrap());
    first.write_all(by("198.51.100.7").as_bytes()).await.unwrap();
    assert!(answer(&mut first).await.starts_with("HTTP/1.1 200"));
    assert_eq!(sent(&server, &by("198.51.100.7")).await, "");
    assert!(sent(&server, &by("198.51.100.8")).await.starts_with("HTTP/1.1 200"));

    let strange = TestServer::with(|config| config.proxy_header = ProxyHeader::ProxyProtocol).await;
    assert_eq!(sent(&strange, &by("198.51.100.7")).await, "");
}

/// The real binary, killed when it is dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Process {
    /// Once it has said where it listens.
    fn start(mut command: Command) -> (Self, String) {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        Lines::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        (Self(child), line)
    }
}

const EXE: &str = env!("CARGO_BIN_EXE_hubbub");

#[tokio::test]
async fn a_unix_socket_is_served() {
    let dir = new_dir();
    let path = dir.join("s");
    let mut command = Command::new(EXE);
    command.arg("--ephemeral").arg("--listen").arg(format!("unix:{}", path.display()));
    let (process, line) = Process::start(command);
    assert_eq!(line, format!("listening on unix:{}\n", path.display()));
    let stream = UnixStream::connect(&path).await.unwrap();
    let request = "ws://localhost/ws?room=tea".into_client_request().unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async(request, stream).await.unwrap();
    let mut stream = BufReader::new(UnixStream::connect(&path).await.unwrap());
    let say = "POST /api/rooms/tea/messages HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/plain\r\n\
               content-length: 2\r\n\r\nhi";
    stream.write_all(say.as_bytes()).await.unwrap();
    assert!(answer(&mut stream).await.starts_with("HTTP/1.1 200"));
    let heard = socket.next().await.unwrap().unwrap();
    assert!(heard.to_text().unwrap().contains("\"value\":\"hi\""));
    drop(process);
    fs::remove_dir_all(dir).unwrap();
}

/// The real binary on a socket that was opened before, as systemd starts it: as descriptor 3 (`sd_listen_fds`).
fn handed(listener: &std::net::TcpListener) -> (Process, String) {
    let mut command = Command::new("sh");
    let script = "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" --ephemeral --listen 127.0.0.1:1";
    command.args(["-c", script, EXE]);
    command.stdin(OwnedFd::from(listener.try_clone().unwrap()));
    Process::start(command)
}

#[tokio::test]
async fn nobody_is_refused_while_a_server_is_replaced_whose_socket_is_handed_on() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (first, line) = handed(&listener);
    assert_eq!(line, format!("listening on http://{address}\n"));
    let ask = async || {
        let mut stream = BufReader::new(TcpStream::connect(address).await.unwrap());
        stream.write_all(get("/healthz").as_bytes()).await.unwrap();
        stream
    };
    assert!(answer(&mut ask().await).await.starts_with("HTTP/1.1 200"));
    drop(first);
    // There is no server now, and still they get in.
    let mut waiting = Vec::new();
    for _ in 0..20 {
        waiting.push(ask().await);
    }
    let _second = handed(&listener);
    for mut stream in waiting {
        assert!(answer(&mut stream).await.starts_with("HTTP/1.1 200"));
    }
}
