//! What is written past a connection's own task: whole, once and in order, however its client reads.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use support::*;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::sleep,
};
use tokio_tungstenite::{client_async, tungstenite::Message};

/// So many messages of so many bytes: more than a socket holds, and less than the log keeps.
const COUNT: usize = 1_600;
const LONG: usize = 4_000;

/// A connection that takes little at once.
async fn narrow(server: &TestServer) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(32 * 1024).unwrap();
    socket.connect(server.address).await.unwrap()
}

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
    let stream = narrow(&server).await;
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
    let mut stream = narrow(&server).await;
    let head = "GET /api/rooms/tea/events HTTP/1.1\r\nhost: localhost\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let saying = say_all(&server);
    let reading = async {
        let (mut bytes, mut next, mut looks) = (Vec::new(), 0, 0);
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
            if looks == 1 {
                let head = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
                bytes.drain(..head + 4);
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
    let stream = narrow(&server).await;
    let url = format!("ws://{}/socket.io/?EIO=4&transport=websocket&room=tea", server.address);
    let (mut ada, _) = client_async(url, stream).await.unwrap();
    ada.send("40".into()).await.unwrap();
    let is_in = |leg: &Message| leg.to_text().is_ok_and(|text| text.starts_with("40{"));
    while !is_in(&ada.next().await.unwrap().unwrap()) {}
    let saying = say_all(&server);
    let reading = async {
        let (mut next, mut acks, mut asked) = (0, 0, 0);
        while next < COUNT || acks < asked {
            let Message::Text(text) = ada.next().await.unwrap().unwrap() else { panic!() };
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

#[tokio::test]
async fn nothing_comes_behind_a_close_frame() {
    let server = server().await;
    for _ in 0..20 {
        let ada = server.join_plain("?room=tea").await;
        let mut bob = server.join("?room=tea").await;
        let saying = async {
            for n in 0..200 {
                bob.say(&n.to_string()).await;
            }
        };
        // The library complains about anything but the end of the connection.
        let closing = async {
            sleep(Duration::from_millis(2)).await;
            ada.leave().await;
        };
        tokio::join!(saying, closing);
    }
}
