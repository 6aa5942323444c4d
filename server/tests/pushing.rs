//! What is written past a connection's own task: whole, once and in order, however its client reads.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use support::*;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::sleep,
};
use tokio_tungstenite::{client_async, tungstenite::Message};

/// So many messages of so many bytes: more than a socket holds, and less than the log keeps.
const COUNT: usize = 1_600;
const LONG: usize = 4_000;

async fn server() -> TestServer {
    TestServer::with(|config| config.publish_rate = 0).await
}

/// Says all of them, as fast as they are taken.
async fn say_all(server: &TestServer) {
    let mut bob = server.join("?room=tea").await;
    for n in 0..COUNT {
        bob.say(&format!("{n} {}", "x".repeat(LONG))).await;
        if n % 16 == 15 {
            for _ in 0..16 {
                bob.next_of("ack").await;
            }
        }
    }
}

/// The number at the beginning of a message's text.
fn number(frame: &serde_json::Value) -> usize {
    let text = frame["params"]["value"].as_str().unwrap();
    assert!(text.ends_with("xxx"), "it is cut off");
    text.split_once(' ').unwrap().0.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_that_is_read_in_fits_and_starts_gets_each_message_whole_and_in_order() {
    let server = server().await;
    let stream = server.connect_narrowly().await;
    let url = format!("ws://{}/ws?room=tea", server.address);
    let (mut ada, _) = client_async(url, stream).await.unwrap();
    let saying = say_all(&server);
    let reading = async {
        let (mut next, mut pongs) = (0, 0);
        while next < COUNT || pongs < COUNT / 100 {
            match ada.next().await.unwrap().unwrap() {
                Message::Text(text) => {
                    assert_eq!(number(&serde_json::from_str(&text).unwrap()), next);
                    next += 1;
                    if next % 100 == 0 {
                        // It is answered in between.
                        ada.send(Message::Ping(next.to_string().into())).await.unwrap();
                    }
                    if next % 150 == 0 {
                        sleep(Duration::from_millis(100)).await;
                    }
                }
                Message::Pong(_) => pongs += 1,
                other => panic!("{other:?}"),
            }
        }
    };
    tokio::join!(saying, reading);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_stream_that_is_read_in_fits_and_starts_has_each_chunk_whole_and_in_order() {
    let server = server().await;
    let mut stream = server.connect_narrowly().await;
    let head = "GET /api/rooms/tea/events HTTP/1.1\r\nhost: localhost\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    // It starts where the log is when it comes in: what is said before is not for it.
    let mut bytes = Vec::new();
    read_until(&mut stream, &mut bytes, b"event: hello").await;
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    bytes.drain(..head + 4);
    let saying = say_all(&server);
    let reading = async {
        let (mut next, mut looks) = (0, 0);
        let mut events = String::new();
        while next < COUNT {
            let mut more = [0; 16 * 1024];
            let count = stream.read(&mut more).await.unwrap();
            assert!(count > 0, "the stream ended");
            bytes.extend_from_slice(&more[..count]);
            looks += 1;
            if looks % 50 == 0 {
                sleep(Duration::from_millis(100)).await;
            }
            while let Some(chunk) = take_chunk(&mut bytes) {
                events.push_str(&chunk);
            }
            while let Some((event, rest)) = events.split_once("\n\n") {
                let data = event.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
                if event.contains("event: message") {
                    assert_eq!(number(&serde_json::from_str(data).unwrap()), next);
                    next += 1;
                }
                events = rest.to_owned();
            }
        }
    };
    tokio::join!(saying, reading);
}

/// A whole chunk from the beginning of a body (RFC 9112 section 7.1), once it is there.
fn take_chunk(bytes: &mut Vec<u8>) -> Option<String> {
    let line = bytes.windows(2).position(|two| two == b"\r\n")?;
    let size = usize::from_str_radix(std::str::from_utf8(&bytes[..line]).unwrap(), 16).unwrap();
    let (start, end) = (line + 2, line + 2 + size);
    if bytes.len() < end + 2 {
        return None;
    }
    assert_eq!(&bytes[end..end + 2], b"\r\n", "a chunk is as long as it says");
    let chunk = String::from_utf8(bytes[start..end].to_vec()).unwrap();
    bytes.drain(..end + 2);
    Some(chunk)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn socket_io_that_is_read_in_fits_and_starts_gets_each_packet_whole_and_in_order() {
    let server = server().await;
    let stream = server.connect_narrowly().await;
    let url = format!("ws://{}/socket.io/?EIO=4&transport=websocket&room=tea", server.address);
    let (mut ada, _) = client_async(url, stream).await.unwrap();
    ada.send("40".into()).await.unwrap();
    let is_in = |leg: &Message| leg.to_text().is_ok_and(|text| text.starts_with("40{"));
    while !is_in(&ada.next().await.unwrap().unwrap()) {}
    let saying = say_all(&server);
    let reading = async {
        let (mut next, mut acks, mut asked, mut pongs) = (0, 0, 0, 0);
        while next < COUNT || acks < asked || pongs < asked {
            let text = match ada.next().await.unwrap().unwrap() {
                Message::Text(text) => text,
                Message::Pong(_) => {
                    pongs += 1;
                    continue;
                }
                other => panic!("{other:?}"),
            };
            if let Some(args) = text.strip_prefix("42") {
                let args: serde_json::Value = serde_json::from_str(args).unwrap();
                if args[0] != "message" {
                    continue;
                }
                let frame = serde_json::json!({"params": {"value": args[1]}});
                assert_eq!(number(&frame), next);
                next += 1;
                if next % 100 == 0 {
                    // It is answered in between, behind what waits for it.
                    ada.send(format!(r#"42{asked}["hubbub:typing",{{}}]"#).into()).await.unwrap();
                    ada.send(Message::Ping(asked.to_string().into())).await.unwrap();
                    asked += 1;
                }
                if next % 150 == 0 {
                    sleep(Duration::from_millis(100)).await;
                }
            } else if let Some(ack) = text.strip_prefix("43") {
                assert_eq!(ack, format!("{acks}[]"));
                acks += 1;
            } else if &*text == "2" {
                ada.send("3".into()).await.unwrap();
            }
        }
    };
    tokio::join!(saying, reading);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_comes_behind_a_close_frame() {
    let server = server().await;
    for road in ["/ws?room=tea", "/socket.io/?EIO=4&transport=websocket&room=tea"] {
        for _ in 0..3 {
            let mut bob = server.join("?room=tea").await;
            let ada = come_in(&server, road).await;
            let saying = async {
                for n in 0..64 {
                    bob.say(&n.to_string()).await;
                }
                for _ in 0..64 {
                    bob.next_of("ack").await;
                }
            };
            let (_, all) = tokio::join!(saying, be_closed(ada));
            assert_eq!(kinds(&all).last(), Some(&CLOSE), "{road}");
        }
    }
}

const CLOSE: u8 = 0x8;

/// Comes in by hand; what has come behind the head.
async fn come_in(server: &TestServer, path: &str) -> (TcpStream, Vec<u8>) {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    read_until(&mut stream, &mut bytes, b"\r\n\r\n").await;
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    bytes.drain(..head + 4);
    if path.starts_with("/socket.io") {
        stream.write_all(&[0x81, 0x82, 0, 0, 0, 0, b'4', b'0']).await.unwrap();
        read_until(&mut stream, &mut bytes, b"hubbub:hello").await;
    }
    (stream, bytes)
}

/// Once a message has come, begins a frame that is too long, for which the server closes, and reads to the end of the
/// connection.
async fn be_closed((mut stream, mut bytes): (TcpStream, Vec<u8>)) -> Vec<u8> {
    read_until(&mut stream, &mut bytes, b"\"at\"").await;
    stream.write_all(&[0x81, 0xff, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0]).await.unwrap();
    stream.read_to_end(&mut bytes).await.unwrap();
    bytes
}

/// What kinds of frames a server has sent (RFC 6455 section 5.2).
fn kinds(mut bytes: &[u8]) -> Vec<u8> {
    let mut kinds = Vec::new();
    while let [first, second, rest @ ..] = bytes {
        let (wide, short) = match second {
            126 => (2, 0),
            127 => (8, 0),
            short => (0, usize::from(*short)),
        };
        let long = rest[..wide].iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        kinds.push(first & 0x0f);
        bytes = &rest[wide + short + long..];
    }
    assert!(bytes.is_empty(), "the last frame is cut off");
    kinds
}
