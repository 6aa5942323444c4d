//! Bytes over TCP, from an address of one's own.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::timeout,
};

/// Nothing that is to happen takes this long.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A connection from `127.0.0.{from}`; what it does not read stays on the other side.
pub async fn connect(address: &str, from: u8) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(4 * 1024)?;
    socket.bind(SocketAddr::from(([127, 0, 0, from], 0)))?;
    timeout(PATIENCE, socket.connect(address.parse().unwrap())).await?
}

pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")
}

pub fn post(path: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
}

pub fn upgrade(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

/// Sends a request and reads its answer: the status and the body.
pub async fn ask(stream: &mut TcpStream, request: &str) -> std::io::Result<(u16, String)> {
    let asked = async {
        stream.write_all(request.as_bytes()).await?;
        let (mut text, mut bytes) = (Vec::new(), [0; 16 * 1024]);
        loop {
            let count = stream.read(&mut bytes).await?;
            text.extend_from_slice(&bytes[..count]);
            let all = String::from_utf8_lossy(&text);
            if let Some((head, body)) = all.split_once("\r\n\r\n") {
                let length = head.lines().find_map(|line| {
                    line.to_ascii_lowercase().strip_prefix("content-length:").map(str::to_owned)
                });
                let length = length.map_or(0, |length| length.trim().parse::<usize>().unwrap());
                if body.len() >= length {
                    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
                    return Ok((status, body.to_owned()));
                }
            }
            if count == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
    };
    timeout(PATIENCE, asked).await?
}

/// As [`ask`], over a connection of its own.
pub async fn ask_once(address: &str, from: u8, request: &str) -> (u16, String) {
    let mut stream = connect(address, from).await.unwrap();
    ask(&mut stream, request).await.unwrap()
}

/// `count` connections from ninety addresses. Each sends `bytes`, and reads no more of its answer than that it begins
/// with `status`; without one it waits for none.
pub async fn crowd(
    address: &str,
    count: usize,
    bytes: &[u8],
    status: Option<&'static str>,
) -> Vec<TcpStream> {
    let mut crowd = JoinSet::new();
    for n in 0..count {
        let (address, bytes) = (address.to_owned(), bytes.to_vec());
        crowd.spawn(async move {
            let mut stream = connect(&address, 1 + (n % 90) as u8).await.unwrap();
            let met = async {
                let sent = stream.write_all(&bytes).await;
                let Some(status) = status else { return };
                // Whoever expects no answer may be refused before all is sent.
                sent.unwrap();
                let expected = format!("HTTP/1.1 {status}");
                let mut begin = vec![0; expected.len()];
                stream.read_exact(&mut begin).await.unwrap();
                assert_eq!(String::from_utf8_lossy(&begin), expected);
            };
            timeout(PATIENCE, met).await.expect("neither taken nor refused");
            stream
        });
    }
    crowd.join_all().await
}

/// Whether somebody new from an address that attacks nobody gets in: to a page, into a room that is open and one
/// that is not, by Socket.IO too, and is heard.
pub async fn serves_others(address: &str) {
    for room in ["lobby", "a-new-one"] {
        let path = format!("/api/rooms/{room}/messages");
        let (status, body) = ask_once(address, 200, &post(&path, r#"{"value":"hi"}"#)).await;
        assert_eq!(status, 200, "{body}");
        let (status, body) = ask_once(address, 200, &get(&path)).await;
        assert!(status == 200 && body.contains("\"hi\""), "{status} {body}");
    }
    let (status, _) = ask_once(address, 200, &get("/rooms/lobby")).await;
    assert_eq!(status, 200);
    let mut stream = connect(address, 200).await.unwrap();
    let polling = "/socket.io/?EIO=4&transport=polling";
    let (status, body) = ask(&mut stream, &get(polling)).await.unwrap();
    assert_eq!(status, 200, "{body}");
    let sid = body.split("\"sid\":\"").nth(1).unwrap().split('"').next().unwrap();
    let polling = format!("{polling}&sid={sid}");
    ask(&mut stream, &post(&polling, "40")).await.unwrap();
    let (status, body) = ask(&mut stream, &get(&polling)).await.unwrap();
    assert!(status == 200 && body.starts_with("40{"), "{status} {body}");
    let (status, _) = ask(&mut stream, &post(&polling, "1")).await.unwrap();
    assert_eq!(status, 200);
}
