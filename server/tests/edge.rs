//! Connections at the edge: how many there may be, how long they may take, and by which name they may ask.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::time::{Duration, Instant};

use serde_json::Value;
use server::config::HostName;
use support::{Client, PATIENCE, Refused, TestServer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::{sleep, timeout},
};

const SHORT: Duration = Duration::from_millis(300);

async fn hurried() -> TestServer {
    TestServer::with(|config| {
        config.timing.head = SHORT;
        config.timing.body = SHORT;
    })
    .await
}

/// Sends `text` and reads until the other side closes.
async fn answer(server: &TestServer, text: &str) -> String {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    rest(&mut stream).await
}

async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset is an end, too.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("it is closed");
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn a_connection_that_says_nothing_or_half_of_something_is_closed() {
    let server = hurried().await;
    assert_eq!(answer(&server, "").await, "");
    assert_eq!(answer(&server, "GET / HTTP/1.1\r\nhost: lo").await, "");
}

#[tokio::test]
async fn a_head_that_trickles_in_is_not_waited_for() {
    let server = hurried().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let begun = Instant::now();
    for byte in "GET / HTTP/1.1\r\nhost: localhost\r\nx: ".bytes().chain(std::iter::repeat(b'x')) {
        if stream.write_all(&[byte]).await.is_err() {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "it is still read");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_connection_idles_no_longer_than_a_head_may_take() {
    let server = hurried().await;
    let text = answer(&server, "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(text.starts_with("HTTP/1.1 200") && text.ends_with("ok\n"), "{text}");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let server = hurried().await;
    for path in ["/api/rooms/tea/messages", "/api/rooms/tea/frames", "/api/token", "/settings"] {
        let text = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             content-length: 100\r\n\r\n{{"
        );
        let text = answer(&server, &text).await;
        assert!(text.starts_with("HTTP/1.1 408"), "{path}: {text}");
        assert!(text.contains(r#""code":"too_slow""#), "{path}: {text}");
    }
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused_in_words() {
    let server = hurried().await;
    let long = format!("GET / HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "x".repeat(20_000));
    let many = format!("GET / HTTP/1.1\r\nhost: localhost\r\n{}\r\n", "x: y\r\n".repeat(100));
    for head in [long, many] {
        let text = answer(&server, &head).await;
        assert!(text.starts_with("HTTP/1.1 431"), "{text}");
    }
    let fits = "x: y\r\n".repeat(90);
    let request =
        format!("GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{fits}\r\n");
    assert!(answer(&server, &request).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_stream_that_nobody_reads_is_let_go_of() {
    let server = TestServer::with(|config| {
        config.publish_rate = 0;
        config.timing.silence = Duration::from_secs(1);
        config.hub.lost = Duration::ZERO;
    })
    .await;
    let mut watcher = server.join("?room=tea").await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 * 1024).unwrap();
    let mut unread = socket.connect(server.address).await.unwrap();
    let request = "GET /api/rooms/tea/events HTTP/1.1\r\nhost: localhost\r\n\r\n";
    unread.write_all(request.as_bytes()).await.unwrap();
    while watcher.next_of("members").await["count"] != 2 {}
    // More than the system holds on the way.
    let value = "x".repeat(16_000);
    let mut members = 2;
    for _ in 0..1_000 {
        watcher.say(&value).await;
        loop {
            let frame = watcher.next().await;
            match frame["type"].as_str() {
                Some("ack") => break,
                Some("members") => members = frame["params"]["count"].as_u64().unwrap(),
                _ => {}
            }
        }
        if members == 1 {
            return;
        }
    }
    while watcher.next_of("members").await["count"] != 1 {}
}

#[tokio::test]
async fn a_connection_too_many_is_told_and_the_others_stay() {
    let server = TestServer::with(|config| {
        config.connections = 2;
        config.connections_per_address = 0;
    })
    .await;
    let mut first = server.join_plain("").await;
    let _second = server.join_plain("").await;
    let text = answer(&server, "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(text.starts_with("HTTP/1.1 503"), "{text}");
    assert!(text.contains(r#""code":"too_many_connections""#), "{text}");
    first.say("still here").await;
    assert_eq!(first.hear().await, "still here");
    // Whoever leaves makes room.
    first.leave().await;
    let begun = Instant::now();
    while Client::open(&server, "", &[]).await.is_err() {
        assert!(begun.elapsed() < PATIENCE);
    }
}

#[tokio::test]
async fn one_address_has_half_of_what_there_is_and_a_proxy_speaks_for_many() {
    let server = TestServer::with(|config| {
        config.connections = 4;
        config.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    })
    .await;
    let from =
        async |address: &str| Client::open(&server, "", &[("x-forwarded-for", address)]).await;
    let (_one, _two) = (from("192.0.2.1").await.unwrap(), from("192.0.2.1").await.unwrap());
    let refused = from("203.0.113.9, 192.0.2.1").await.err();
    let expected = Refused { status: 503, code: "too_many_connections".to_owned(), field: None };
    assert_eq!(refused, Some(expected));
    let _other = from("192.0.2.2").await.unwrap();
}

#[tokio::test]
async fn a_request_names_one_host_and_it_is_ours() {
    let server = TestServer::with(|config| {
        config.hosts = vec![HostName { name: "hub.example".to_owned(), port: None }]
    })
    .await;
    let ask = async |hosts: &str| {
        let request = format!("GET / HTTP/1.1\r\n{hosts}connection: close\r\n\r\n");
        let text = answer(&server, &request).await;
        text.split(' ').nth(1).unwrap().parse::<u16>().unwrap()
    };
    for (hosts, status) in [
        ("host: 127.0.0.1:3000\r\n", 200),
        ("host: localhost\r\n", 200),
        ("host: hub.example\r\n", 200),
        ("", 400),
        ("host: localhost\r\nhost: localhost\r\n", 400),
        ("host: evil.example\r\n", 421),
    ] {
        assert_eq!(ask(hosts).await, status, "{hosts:?}");
    }
    // Neither a WebSocket nor an API goes by it.
    let refused = Client::open(&server, "", &[("host", "evil.example")]).await.err().unwrap();
    assert_eq!((refused.status, refused.code.as_str()), (421, "wrong_host"));
    let request =
        "GET http://evil.example/ HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n";
    assert!(answer(&server, request).await.contains("--host"));
}

#[tokio::test]
async fn whoever_goes_on_saying_too_much_is_put_out_and_nobody_else() {
    let server = TestServer::with(|config| {
        config.publish_rate = 10;
        config.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    })
    .await;
    let mut flooder = server.join("?room=tea").await;
    for _ in 0..3_000 {
        flooder.say("me").await;
    }
    let mut refused = 0;
    let frame = loop {
        match flooder.leg().await {
            Ok(text) => {
                let frame: Value = serde_json::from_str(&text).unwrap();
                refused += usize::from(frame["params"]["code"] == "rate_limited");
            }
            Err(frame) => break frame,
        }
    };
    assert!((2_000..2_200).contains(&refused), "{refused}");
    assert_eq!(frame.map(|frame| u16::from(frame.code)), Some(1008));
    let elsewhere = [("x-forwarded-for", "192.0.2.1")];
    let mut other = Client::open(&server, "?room=tea", &elsewhere).await.unwrap();
    other.say("hello").await;
    assert_eq!(other.next().await["params"]["value"], "hello");
}

#[tokio::test]
async fn members_are_free_and_so_what_they_say_is_counted_by_address() {
    let server = TestServer::with(|config| config.publish_rate = 10).await;
    let mut said = 0;
    for _ in 0..20 {
        let token = reqwest::Client::new().post(server.url("/api/token")).send().await.unwrap();
        let token: Value = serde_json::from_str(&token.text().await.unwrap()).unwrap();
        let token = token["token"].as_str().unwrap();
        let mut session = server.join(&format!("?room=tea&token={token}")).await;
        for _ in 0..50 {
            session.say("me").await;
        }
        for _ in 0..50 {
            let params = loop {
                let frame = session.next().await;
                if frame["type"] == "ack" || frame["type"] == "error" {
                    break frame;
                }
            };
            said += usize::from(params["type"] == "ack");
        }
    }
    // Ten times as much as a session, and a burst of five times that; some more while it takes.
    assert!((500..800).contains(&said), "{said} of 1000");
}

/// Reads until `end` has come.
async fn until(stream: &mut TcpStream, end: &str) -> String {
    let mut bytes = Vec::new();
    let read = async {
        while !bytes.ends_with(end.as_bytes()) {
            bytes.push(stream.read_u8().await.unwrap());
        }
    };
    timeout(PATIENCE, read).await.expect("it comes");
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn a_stream_follows_what_was_asked_before_and_ends_whole() {
    let mut server = TestServer::start().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let asked = ["/healthz", "/healthz", "/api/rooms/tea/events", "/healthz"];
    let asked = asked.map(|path| format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n"));
    stream.write_all(asked.concat().as_bytes()).await.unwrap();
    for _ in 0..2 {
        assert!(until(&mut stream, "ok\n").await.starts_with("HTTP/1.1 200 OK\r\n"));
    }
    let head = until(&mut stream, "\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    for field in [
        "content-type: text/event-stream",
        "transfer-encoding: chunked",
        "connection: close",
        "x-content-type-options: nosniff",
        "date: ",
    ] {
        assert!(head.contains(&format!("\r\n{field}")), "{field}: {head}");
    }
    until(&mut stream, "\n\n\r\n").await;
    // What is asked behind a stream is never answered.
    server.stop();
    let rest = rest(&mut stream).await;
    assert!(rest.contains("event: bye\n") && rest.ends_with("\n\n\r\n0\r\n\r\n"), "{rest}");
    assert!(!rest.contains("HTTP/1.1"), "{rest}");
}

#[tokio::test]
async fn a_stream_of_http_1_0_has_no_chunks() {
    let mut server = TestServer::start().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let asked = "GET /api/rooms/tea/events HTTP/1.0\r\nhost: localhost\r\n\r\n";
    stream.write_all(asked.as_bytes()).await.unwrap();
    let head = until(&mut stream, "\r\n\r\n").await;
    assert!(!head.contains("chunked"), "{head}");
    assert!(until(&mut stream, "\n\n").await.starts_with("retry: 1000\nid: "));
    server.stop();
    assert!(rest(&mut stream).await.contains("event: bye\n"));
}
