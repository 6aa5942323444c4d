//! HTTP/2: every road over one connection, and what a connection may take.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod support;

use std::{ops::Range, time::Duration};

use futures_util::{FutureExt, SinkExt, Stream, StreamExt};
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http2,
    ext::Protocol,
    http::request::Builder,
    upgrade::Upgraded,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use support::{PATIENCE, secure::Secure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    task::JoinHandle,
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::Role},
};

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// One connection. Its clones share it.
#[derive(Clone)]
struct Client(http2::SendRequest<Full<Bytes>>);

impl Client {
    /// Connects as a browser does; and says how it ended, once it has.
    async fn open(secure: &Secure) -> (Self, JoinHandle<hyper::Result<()>>) {
        let stream = secure.connect(&[b"h2", b"http/1.1"]).await;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (send, connection) = http2::Builder::new(TokioExecutor::new())
            // Whoever does not read is sent no more than this.
            .initial_stream_window_size(64 * 1024)
            .handshake(TokioIo::new(stream))
            .await
            .unwrap();
        let ended = tokio::spawn(connection);
        let client = Self(send);
        // From here on what the server can do is known.
        assert_eq!(client.send(get("/healthz"), "").await.status(), 200);
        (client, ended)
    }

    async fn send(&self, request: Builder, body: &str) -> Response<Incoming> {
        let request = request.body(Full::from(body.to_owned())).unwrap();
        timeout(PATIENCE, self.0.clone().send_request(request)).await.unwrap().unwrap()
    }

    /// The body of the answer, which must be 200.
    async fn get(&self, path: &str) -> String {
        let answer = self.send(get(path), "").await;
        assert_eq!(answer.status(), 200, "{path}");
        read(answer).await
    }

    async fn say(&self, texts: Range<usize>) {
        for text in texts {
            let request = post("/api/rooms/tea/messages").header("content-type", "text/plain");
            assert_eq!(self.send(request, &text.to_string()).await.status(), 200);
        }
    }

    async fn socket(&self, request: Builder) -> Socket {
        let answer = self.send(request, "").await;
        assert_eq!(answer.status(), 200);
        let upgraded = hyper::upgrade::on(answer).await.unwrap();
        WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Client, None).await
    }
}

fn ask(method: Method, path: &str) -> Builder {
    Request::builder().method(method).uri(format!("https://localhost{path}"))
}

fn get(path: &str) -> Builder {
    ask(Method::GET, path)
}

fn post(path: &str) -> Builder {
    ask(Method::POST, path)
}

/// An extended CONNECT (RFC 8441).
fn connect(path: &str) -> Builder {
    ask(Method::CONNECT, path)
        .extension(Protocol::from_static("websocket"))
        .header("sec-websocket-version", "13")
}

async fn read(answer: Response<Incoming>) -> String {
    let body = timeout(PATIENCE, answer.into_body().collect()).await.unwrap().unwrap();
    String::from_utf8(body.to_bytes().to_vec()).unwrap()
}

/// The next text.
async fn text(socket: &mut Socket) -> String {
    loop {
        match timeout(PATIENCE, socket.next()).await.unwrap() {
            Some(Ok(Message::Text(text))) => return text.to_string(),
            Some(Ok(Message::Ping(_))) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// The lines of a body.
fn lines(answer: Response<Incoming>) -> impl Stream<Item = String> + Unpin {
    let body = answer.into_body().into_data_stream();
    let read = futures_util::stream::unfold((body, Vec::new()), async |(mut body, mut rest)| {
        loop {
            if let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line = rest.drain(..=end).collect();
                return Some((String::from_utf8(line).unwrap(), (body, rest)));
            }
            rest.extend(timeout(PATIENCE, body.next()).await.unwrap()?.unwrap());
        }
    });
    Box::pin(read)
}

/// How many messages there are at first, and how many come then.
const EACH: usize = 300;

/// Whether this is the message `n`, as all roads but Socket.IO write it.
fn is_message(text: &str, n: usize) -> bool {
    text.contains(&format!("\"value\":\"{n}\""))
}

async fn hear_by_events(answer: Response<Incoming>) {
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let mut messages = lines(answer).filter(|line| std::future::ready(line.contains("\"value\"")));
    for n in 0..2 * EACH {
        let line = messages.next().await.unwrap();
        assert!(is_message(&line, n), "{n}: {line}");
    }
}

/// Hears the messages, then says one, has it acknowledged, and closes.
async fn hear_by_socket(mut socket: Socket) {
    let mut heard = 0;
    while heard < 2 * EACH {
        let frame: Value = serde_json::from_str(&text(&mut socket).await).unwrap();
        if frame["type"] == "message" {
            assert_eq!(frame["params"]["value"], heard.to_string());
            heard += 1;
        }
    }
    let said = json!({"type": "message", "params": {"value": "by it", "id": "m1"}});
    socket.send(Message::text(said.to_string())).await.unwrap();
    loop {
        let frame: Value = serde_json::from_str(&text(&mut socket).await).unwrap();
        if frame["type"] == "ack" {
            assert_eq!(frame["params"]["id"], "m1");
            break;
        }
    }
    socket.close(None).await.unwrap();
    while socket.next().await.is_some_and(|leg| leg.is_ok()) {}
}

async fn hear_by_plain_socket(mut socket: Socket) {
    for n in 0..2 * EACH {
        let text = text(&mut socket).await;
        assert!(is_message(&text, n), "{n}: {text}");
    }
}

/// Hears the messages, then says one and has it acknowledged.
async fn hear_by_socket_io(mut socket: Socket) {
    let mut heard = 0;
    while heard < 2 * EACH {
        let packet = text(&mut socket).await;
        if packet == "2" {
            socket.send(Message::text("3")).await.unwrap();
        } else if packet.starts_with(r#"42["message""#) {
            assert!(packet.starts_with(&format!(r#"42["message","{heard}","#)), "{packet}");
            heard += 1;
        }
    }
    socket.send(Message::text(r#"4217["message","by it",{"id":"m2"}]"#)).await.unwrap();
    while !text(&mut socket).await.starts_with(r#"4317[{"id":"m2""#) {}
}

/// Begins by polling, as stock clients do; then moves to a WebSocket.
async fn socket_io(client: &Client) -> Socket {
    let open = client.get("/socket.io/?EIO=4&transport=polling").await;
    let open: Value = serde_json::from_str(open.strip_prefix('0').unwrap()).unwrap();
    assert_eq!(open["upgrades"], json!(["websocket"]));
    let sid = open["sid"].as_str().unwrap();
    let at = |transport: &str| format!("/socket.io/?EIO=4&transport={transport}&sid={sid}");
    let join = client.send(post(&at("polling")), r#"40{"room":"tea","after":"0"}"#).await;
    assert_eq!(read(join).await, "ok");
    let mut socket = client.socket(connect(&at("websocket"))).await;
    socket.send(Message::text("2probe")).await.unwrap();
    assert_eq!(text(&mut socket).await, "3probe");
    // What waits for a poll comes by it; the rest by the socket.
    socket.send(Message::text("5")).await.unwrap();
    socket
}

async fn hear_by_long_poll(client: &Client) {
    let (mut heard, mut after) = (0, "0".to_owned());
    while heard < 2 * EACH {
        let path = format!("/api/rooms/tea/messages?after={after}&wait=9");
        let answer: Value = serde_json::from_str(&client.get(&path).await).unwrap();
        for message in answer["messages"].as_array().unwrap() {
            assert_eq!(message["value"], heard.to_string());
            heard += 1;
        }
        after = answer["position"].as_str().unwrap().to_owned();
    }
}

#[tokio::test]
async fn every_road_carries_over_one_connection() {
    let secure = Secure::start(|config| config.address_rate = Some(0)).await;
    let (client, _) = Client::open(&secure).await;
    let page = client.get("/rooms/tea").await;
    assert!(page.contains("</html>"));
    client.say(0..EACH).await;
    let events = client.send(get("/api/rooms/tea/events?after=0"), "").await;
    let all = connect("/ws?room=tea&after=0").header("sec-websocket-protocol", "hubbub.v1");
    let (all, plain) =
        (client.socket(all).await, client.socket(connect("/ws?room=tea&after=0")).await);
    let by_socket_io = socket_io(&client).await;
    let at_once = connect("/socket.io/?EIO=4&transport=websocket");
    let mut at_once = client.socket(at_once).await;
    assert!(text(&mut at_once).await.starts_with("0{"));
    at_once.send(Message::text(r#"40{"room":"tea","after":"0"}"#)).await.unwrap();
    tokio::join!(
        client.say(EACH..2 * EACH),
        hear_by_events(events),
        hear_by_long_poll(&client),
        hear_by_plain_socket(plain),
        hear_by_socket(all),
        hear_by_socket_io(by_socket_io),
        hear_by_socket_io(at_once),
    );
}

#[tokio::test]
async fn a_stream_that_is_not_read_holds_up_no_other() {
    let secure = Secure::start(|config| config.address_rate = Some(0)).await;
    let (client, _) = Client::open(&secure).await;
    let unread = client.send(get("/api/rooms/tea/events?after=0"), "").await;
    let mut socket = client.socket(connect("/ws?room=tea&after=0")).await;
    let long = "x".repeat(8 * 1024);
    for n in 0..100 {
        let request = post("/api/rooms/tea/messages").header("content-type", "text/plain");
        assert_eq!(client.send(request, &format!("{n} {long}")).await.status(), 200);
        assert!(text(&mut socket).await.contains(&format!("\"value\":\"{n} x")));
    }
    let mut messages = lines(unread).filter(|line| std::future::ready(line.contains("\"value\"")));
    for n in 0..100 {
        assert!(messages.next().await.unwrap().contains(&format!("\"value\":\"{n} x")));
    }
}

#[tokio::test]
async fn a_cookie_that_comes_in_crumbs_is_read_whole_and_is_for_tls() {
    let secure = Secure::start(|_| ()).await;
    let (client, _) = Client::open(&secure).await;
    let given = client.send(get("/rooms/tea"), "").await;
    let cookie = given.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(cookie.starts_with("__Host-hubbub=") && cookie.contains("Secure"), "{cookie}");
    // RFC 9113 section 8.2.3.
    let crumbs = ["a=b", cookie.split(';').next().unwrap()];
    let crumbs = crumbs.iter().fold(get("/rooms/tea"), |get, crumb| get.header("cookie", *crumb));
    assert!(!client.send(crumbs, "").await.headers().contains_key("set-cookie"));
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused_and_the_connection_goes_on() {
    let secure = Secure::start(|_| ()).await;
    let (client, _) = Client::open(&secure).await;
    let long = client.send(get("/healthz").header("x-long", "x".repeat(20 * 1024)), "").await;
    assert_eq!(long.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    let many = (0..101).fold(get("/healthz"), |get, n| get.header(format!("x-{n}"), "x"));
    let many = client.send(many, "").await;
    assert_eq!(many.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    assert_eq!(client.get("/healthz").await, "ok\n");
}

#[tokio::test]
async fn only_pages_of_this_server_open_sockets_and_only_under_its_name() {
    let secure = Secure::start(|_| ()).await;
    let (client, _) = Client::open(&secure).await;
    let evil = |request: Builder| request.uri("https://evil.example/ws?room=tea");
    for (request, status, code) in [
        (connect("/ws?room=tea").header("origin", "https://evil.example"), 403, "foreign_origin"),
        (
            connect("/socket.io/?EIO=4&transport=websocket")
                .header("origin", "https://evil.example"),
            403,
            "foreign_origin",
        ),
        (evil(connect("/")), 421, "wrong_host"),
        (evil(get("/")), 421, "wrong_host"),
        (get("/").header("host", "evil.example"), 400, "invalid_field"),
        (connect("/elsewhere"), 404, "not_found"),
        (get("/ws?room=tea"), 426, "upgrade_required"),
        (
            ask(Method::CONNECT, "/ws?room=tea").extension(Protocol::from_static("other")),
            426,
            "upgrade_required",
        ),
    ] {
        let asked = format!("{:?} {:?}", request.method_ref(), request.uri_ref());
        let answer = client.send(request, "").await;
        assert_eq!(answer.status(), status, "{asked}");
        let problem: Value = serde_json::from_str(&read(answer).await).unwrap();
        assert_eq!(problem["code"], code, "{asked}");
    }
    let own = connect("/ws?room=tea").header("origin", "https://localhost");
    client.socket(own).await;
}

#[tokio::test]
async fn nothing_is_counted_for_the_lab() {
    let secure = Secure::start(|_| ()).await;
    let (client, _) = Client::open(&secure).await;
    client.get("/api/rooms/tea/messages?lab=a1").await;
    let answer = client.send(get("/api/lab/a1"), "").await;
    assert_eq!(answer.status(), 404);
    assert!(read(answer).await.contains("HTTP/2"));
}

#[tokio::test]
async fn a_connection_without_streams_is_let_go_and_one_with_a_socket_is_not() {
    let secure = Secure::start(|config| {
        config.timing.head = Duration::from_millis(300);
        config.timing.write = Duration::from_millis(300);
    })
    .await;
    let (busy, mut busy_ended) = Client::open(&secure).await;
    let mut socket = busy.socket(connect("/ws?room=tea")).await;
    let (idle, ended) = Client::open(&secure).await;
    timeout(PATIENCE, ended).await.unwrap().unwrap().unwrap();
    assert!(idle.0.is_closed());
    // One that never begins.
    let mut silent = secure.connect(&[b"h2"]).await;
    let mut said = Vec::new();
    let _ = timeout(PATIENCE, silent.read_to_end(&mut said)).await.unwrap();
    assert!((&mut busy_ended).now_or_never().is_none());
    busy.say(7..8).await;
    assert!(is_message(&text(&mut socket).await, 7));
    // Once the last stream has ended, it goes as well.
    socket.close(None).await.unwrap();
    while socket.next().await.is_some_and(|leg| leg.is_ok()) {}
    timeout(PATIENCE, busy_ended).await.unwrap().unwrap().unwrap();
}

/// What a client begins with: a preface, and SETTINGS without any (RFC 9113 section 3.4).
const BEGIN: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// Types of frames (RFC 9113 section 6).
const PING: u8 = 6;
const GOAWAY: u8 = 7;

/// The types of these frames.
fn types(mut bytes: &[u8]) -> Vec<u8> {
    let mut types = Vec::new();
    while let [a, b, c, kind, ..] = *bytes {
        types.push(kind);
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        bytes = bytes.get(9 + length..).unwrap_or_default();
    }
    types
}

#[tokio::test]
async fn a_client_that_answers_no_ping_is_let_go() {
    let secure = Secure::start(|config| {
        config.timing.ping_interval = Duration::from_millis(100);
        config.timing.silence = Duration::from_millis(300);
    })
    .await;
    let mut dead = secure.connect(&[b"h2"]).await;
    dead.write_all(BEGIN).await.unwrap();
    let mut said = Vec::new();
    let _ = timeout(PATIENCE, dead.read_to_end(&mut said)).await.unwrap();
    assert!(types(&said).contains(&PING), "{:?}", types(&said));
    // Whoever answers stays for longer than that.
    let (client, _) = Client::open(&secure).await;
    let mut socket = client.socket(connect("/ws?room=tea")).await;
    for n in 0..10 {
        let ping = timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap();
        assert!(ping.is_ping(), "{n}: {ping:?}");
    }
}

#[tokio::test]
async fn a_stop_is_told_on_every_stream_and_to_the_connection() {
    let mut secure = Secure::start(|_| ()).await;
    let mut bare = secure.connect(&[b"h2"]).await;
    bare.write_all(BEGIN).await.unwrap();
    let (client, ended) = Client::open(&secure).await;
    let all = connect("/ws?room=tea").header("sec-websocket-protocol", "hubbub.v1");
    let mut socket = client.socket(all).await;
    let events = client.send(get("/api/rooms/tea/events"), "").await;
    let waiting = client.send(get("/api/rooms/tea/messages?after=0&wait=9"), "");
    let stop = async {
        assert!(text(&mut socket).await.contains("hello"));
        secure.server.stop();
        while !text(&mut socket).await.contains(r#""type":"bye""#) {}
        loop {
            match timeout(PATIENCE, socket.next()).await.unwrap() {
                Some(Ok(Message::Close(frame))) => break frame.unwrap(),
                Some(Ok(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    };
    let (close, events, _) = tokio::join!(stop, read(events), waiting);
    assert_eq!(u16::from(close.code), 1012);
    assert!(events.contains("event: bye"));
    drop(socket);
    timeout(PATIENCE, ended).await.unwrap().unwrap().unwrap();
    let mut said = Vec::new();
    let _ = timeout(PATIENCE, bare.read_to_end(&mut said)).await.unwrap();
    assert!(types(&said).contains(&GOAWAY), "{:?}", types(&said));
    timeout(PATIENCE, secure.server.serving).await.unwrap().unwrap().unwrap();
}
