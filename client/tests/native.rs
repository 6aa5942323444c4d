//! The shell on tokio, against servers that are made up for the test.
#![cfg(feature = "native")]
#![allow(missing_docs, clippy::unwrap_used)]

use client::{
    Change, Transport,
    native::{SayError, join},
};
use common::{
    After, ClientFrame, ErrorCode, Hello, Member, MemberId, MemberName, Message, Offset, Publish,
    Recovery, Refusal, RoomName, ServerFrame, SessionId,
};
use futures_util::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async,
    tungstenite::{
        self,
        handshake::server::{Request, Response},
    },
};

fn ada() -> Member {
    Member { id: MemberId::parse("a").unwrap(), name: MemberName::parse("Ada").unwrap() }
}

fn hello(recovery: Recovery) -> ServerFrame {
    ServerFrame::Hello(Hello {
        session: SessionId::parse("s.x").unwrap(),
        member: ada(),
        room: RoomName::parse("tea").unwrap(),
        position: "e:0".parse().unwrap(),
        recovery,
        terms: common::Terms::default(),
    })
}

fn said(publish: Publish, offset: u64) -> Message {
    Message {
        offset: Offset(offset),
        value: publish.value,
        id: publish.id.unwrap(),
        room: RoomName::parse("tea").unwrap(),
        at: 0,
        from: ada(),
        event: None,
        to: publish.to,
        of: None,
        edited: None,
        reactions: Vec::new(),
    }
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    (listener, origin)
}

/// The server's end of a WebSocket, and what was asked of it.
struct Socket {
    socket: WebSocketStream<TcpStream>,
    query: String,
}

// The callback's type is the library's.
#[allow(clippy::result_large_err)]
async fn accept(listener: &TcpListener) -> Socket {
    let (stream, _) = listener.accept().await.unwrap();
    let mut query = String::new();
    let look = |request: &Request, mut response: Response| {
        query = request.uri().query().unwrap().to_owned();
        let protocol = request.headers()["sec-websocket-protocol"].clone();
        response.headers_mut().insert("sec-websocket-protocol", protocol);
        Ok(response)
    };
    let socket = accept_hdr_async(stream, look).await.unwrap();
    Socket { socket, query }
}

impl Socket {
    async fn send(&mut self, frame: ServerFrame) {
        self.socket.send(tungstenite::Message::text(frame.encode())).await.unwrap();
    }

    /// The next frame of the client.
    async fn frame(&mut self) -> ClientFrame {
        let frame = self.socket.next().await.unwrap().unwrap();
        ClientFrame::parse(frame.to_text().unwrap()).unwrap()
    }

    /// The next message that the client says.
    async fn heard(&mut self) -> Publish {
        loop {
            if let ClientFrame::Message(publish) = self.frame().await {
                return publish;
            }
        }
    }

    async fn take(&mut self, publish: Publish, offset: u64) {
        let message = said(publish, offset);
        self.send(ServerFrame::Ack { id: message.id.clone(), offset: message.offset }).await;
        self.send(ServerFrame::Message(message)).await;
    }
}

#[tokio::test]
async fn what_is_said_is_acknowledged_and_read_and_the_position_follows_the_reading() {
    let (listener, origin) = listen().await;
    let server = tokio::spawn(async move {
        let mut socket = accept(&listener).await;
        socket.send(hello(Recovery::Fresh)).await;
        let publish = socket.heard().await;
        socket.take(publish, 7).await;
        assert!(matches!(socket.socket.next().await, Some(Ok(tungstenite::Message::Close(_)))));
        socket.query
    });
    let mut room = join(&origin, "tea").await.unwrap();
    assert_eq!(room.say("hi").await, Ok(Offset(7)));
    assert_eq!(room.position().to_string(), "e:0");
    assert_eq!(room.next().await.unwrap().value, "hi");
    assert_eq!(room.position().to_string(), "e:7");
    room.leave().await;
    assert_eq!(server.await.unwrap(), "room=tea");
}

#[tokio::test]
async fn what_was_not_acknowledged_is_said_again_over_the_next_connection_under_its_id() {
    let (listener, origin) = listen().await;
    let server = tokio::spawn(async move {
        let mut first = accept(&listener).await;
        first.send(hello(Recovery::Fresh)).await;
        let lost = first.heard().await;
        drop(first);
        let mut second = accept(&listener).await;
        second.send(hello(Recovery::Replayed)).await;
        let again = second.heard().await;
        assert_eq!(again, lost);
        assert_eq!(second.query, "room=tea&after=e%3A0&session=s.x");
        second.take(again, 1).await;
        second
    });
    let mut room = join(&origin, "tea").await.unwrap();
    assert_eq!(room.say("hi").await, Ok(Offset(1)));
    assert_eq!(room.next().await.unwrap().value, "hi");
    drop(server.await.unwrap());
}

#[tokio::test]
async fn a_speaker_speaks_and_whoever_is_typing_is_told_under_the_name_that_was_asked_for() {
    let (listener, origin) = listen().await;
    let server = tokio::spawn(async move {
        let mut socket = accept(&listener).await;
        socket.send(hello(Recovery::Fresh)).await;
        let rename = ClientFrame::Rename { name: MemberName::parse("Countess").unwrap() };
        assert_eq!(socket.frame().await, rename);
        assert_eq!(socket.frame().await, ClientFrame::Typing { typing: true });
        for offset in [3, 9] {
            let publish = socket.heard().await;
            socket.take(publish, offset).await;
        }
        let ServerFrame::Hello(gap) = hello(Recovery::Reset) else { panic!() };
        socket.send(ServerFrame::Hello(Hello { position: "e:20".parse().unwrap(), ..gap })).await;
        socket
    });
    let mut room = join(&origin, "tea").token("t").name("Countess").await.unwrap();
    room.tell(client::Event::Typing(true)).await;
    let speaker = room.speaker();
    assert_eq!(speaker.say("one").await, Ok(Offset(3)));
    assert_eq!(speaker.publish(Publish::text("two").unwrap()).await, Ok(Offset(9)));
    assert!(matches!(speaker.say("").await, Err(SayError::Refused(_))));
    while room.position().to_string() != "e:20" {
        room.event().await.unwrap();
    }
    assert_eq!(server.await.unwrap().query, "room=tea&token=t");
}

#[tokio::test]
async fn whoever_gives_a_name_and_no_token_is_given_one_of_that_name() {
    let (listener, origin) = listen().await;
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (line, body) = request(&mut stream).await;
        assert_eq!(
            (line.as_str(), body.as_str()),
            ("POST /api/token HTTP/1.1", r#"{"name":"Ada"}"#)
        );
        answer(&mut stream, "200 OK", "application/json", r#"{"token":"given"}"#).await;
        let mut socket = accept(&listener).await;
        socket.send(hello(Recovery::Fresh)).await;
        socket
    });
    let _room = join(&origin, "tea").name("Ada").await.unwrap();
    assert_eq!(server.await.unwrap().query, "room=tea&token=given");
}

#[tokio::test]
async fn whoever_does_not_listen_need_not_read() {
    let (listener, origin) = listen().await;
    let server = tokio::spawn(async move {
        let mut socket = accept(&listener).await;
        socket.send(hello(Recovery::Fresh)).await;
        let publish = Publish::text("x").unwrap();
        for n in 1..=3_000 {
            let id = Some(common::MessageId::parse(&n.to_string()).unwrap());
            socket.send(ServerFrame::Message(said(Publish { id, ..publish.clone() }, n))).await;
        }
        let publish = socket.heard().await;
        socket.take(publish, 3_001).await;
        socket
    });
    let mut room = join(&origin, "tea").listens(false).await.unwrap();
    assert_eq!(room.say("hi").await, Ok(Offset(3_001)));
    drop(server.await.unwrap());
}

#[tokio::test]
async fn a_server_that_has_no_time_now_is_asked_again() {
    let (listener, origin) = listen().await;
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        request(&mut stream).await;
        let problem = r#"{"code":"shutting_down","detail":"in a moment"}"#;
        answer(&mut stream, "503 Service Unavailable", "application/problem+json", problem).await;
        drop(stream);
        let mut socket = accept(&listener).await;
        socket.send(hello(Recovery::Fresh)).await;
        socket
    });
    let room = join(&origin, "tea").await.unwrap();
    assert_eq!(room.hello().member, ada());
    drop(server.await.unwrap());
}

#[test]
fn why_something_was_not_said_can_be_read() {
    let refusal = Refusal::new(ErrorCode::Unavailable, "the disk is full");
    assert_eq!(SayError::Refused(refusal).to_string(), "the disk is full");
    assert_eq!(SayError::Unread.to_string(), "too much is unread to wait for the answer");
    assert_eq!(SayError::Left.to_string(), "the room was left");
}

#[tokio::test]
async fn a_refused_message_says_why_and_the_next_one_goes() {
    let (listener, origin) = listen().await;
    let refusal = Refusal::new(ErrorCode::Unavailable, "the disk is full");
    let why = refusal.clone();
    let server = tokio::spawn(async move {
        let mut socket = accept(&listener).await;
        socket.send(hello(Recovery::Fresh)).await;
        let refused = socket.heard().await.id.unwrap();
        socket.send(ServerFrame::Error(why.about(Some(refused.as_str())))).await;
        let publish = socket.heard().await;
        socket.take(publish, 1).await;
        socket
    });
    let mut room = join(&origin, "tea").listens(false).await.unwrap();
    let Err(SayError::Refused(refused)) = room.say("no").await else { panic!() };
    assert_eq!(Refusal { id: None, ..refused }, refusal);
    assert_eq!(room.say("yes").await, Ok(Offset(1)));
    drop(server.await.unwrap());
}

#[tokio::test]
async fn whoever_does_not_read_is_not_written_to_and_misses_nothing() {
    const MANY: u64 = 20_000;
    let (listener, origin) = listen().await;
    let server = tokio::spawn(async move {
        let mut socket = accept(&listener).await;
        socket.send(hello(Recovery::Fresh)).await;
        let publish = Publish::text(&"x".repeat(1_000)).unwrap();
        for n in 1..=MANY {
            let id = Some(common::MessageId::parse(&n.to_string()).unwrap());
            socket.send(ServerFrame::Message(said(Publish { id, ..publish.clone() }, n))).await;
        }
        socket
    });
    let mut room = join(&origin, "tea").await.unwrap();
    // What fits between the two is much less than all.
    assert!(!server.is_finished());
    for n in 1..=MANY {
        assert_eq!(room.next().await.unwrap().offset, Offset(n));
    }
    drop(server.await.unwrap());
}

/// Reads one request; returns its first line and its body.
async fn request(stream: &mut TcpStream) -> (String, String) {
    let mut text = String::new();
    loop {
        let mut bytes = [0; 4096];
        let count = stream.read(&mut bytes).await.unwrap();
        text.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
            return (head.lines().next().unwrap().to_owned(), body.to_owned());
        }
    }
}

async fn answer(stream: &mut TcpStream, status: &str, kind: &str, body: &str) {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\nconnection: close");
    let text = format!("{head}\r\ncontent-length: {length}\r\n\r\n{body}");
    stream.write_all(text.as_bytes()).await.unwrap();
}

#[tokio::test]
async fn a_long_poll_reads_and_a_post_says() {
    let (listener, origin) = listen().await;
    let page = |n: u64, frames: &[ServerFrame]| {
        let frames: Vec<_> = frames.iter().map(ServerFrame::encode).collect();
        format!(r#"{{"position":"e:{n}","state":"st","frames":[{}]}}"#, frames.join(","))
    };
    let server = tokio::spawn(async move {
        let (mut first, _) = listener.accept().await.unwrap();
        let (line, _) = request(&mut first).await;
        assert_eq!(line, "GET /api/rooms/tea/frames?after=0&limit=200 HTTP/1.1");
        answer(&mut first, "200 OK", "application/json", &page(0, &[hello(Recovery::Replayed)]))
            .await;
        let (mut waits, _) = listener.accept().await.unwrap();
        let (line, _) = request(&mut waits).await;
        assert!(line.contains("state=st&wait=25"), "{line}");
        let (mut post, _) = listener.accept().await.unwrap();
        let (line, body) = request(&mut post).await;
        assert_eq!(line, "POST /api/rooms/tea/frames?session=s.x HTTP/1.1");
        let Ok(ClientFrame::Message(publish)) = ClientFrame::parse(&body) else { panic!() };
        let message = said(publish, 1);
        let ack = ServerFrame::Ack { id: message.id.clone(), offset: Offset(1) };
        answer(&mut post, "200 OK", "application/json", &ack.encode()).await;
        let news = page(1, &[ServerFrame::Message(message)]);
        answer(&mut waits, "200 OK", "application/json", &news).await;
    });
    let mut room =
        join(&origin, "tea").after(After::Oldest).transport(Transport::LongPoll).await.unwrap();
    assert_eq!(room.say("hi").await, Ok(Offset(1)));
    assert_eq!(room.next().await.unwrap().value, "hi");
    server.await.unwrap();
}

#[tokio::test]
async fn an_event_stream_reads() {
    let (listener, origin) = listen().await;
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (line, _) = request(&mut stream).await;
        assert_eq!(line, "GET /api/rooms/tea/events HTTP/1.1");
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
        let hello = hello(Recovery::Fresh).encode();
        let text = format!("{head}event: hello\ndata: {hello}\n\n");
        stream.write_all(text.as_bytes()).await.unwrap();
        stream
    });
    let mut room = join(&origin, "tea").transport(Transport::Events).await.unwrap();
    assert_eq!(room.hello().member, ada());
    let sees_hello = async { while !matches!(room.event().await, Some(Change::Hello(_))) {} };
    sees_hello.await;
    drop(server.await.unwrap());
}

#[tokio::test]
async fn a_refusal_for_good_ends_the_joining() {
    let (listener, origin) = listen().await;
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        request(&mut stream).await;
        let problem = r#"{"code":"invalid_token","detail":"the token has expired"}"#;
        answer(&mut stream, "401 Unauthorized", "application/problem+json", problem).await;
    });
    let refusal = join(&origin, "tea").token("old").await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::InvalidToken);
    let refusal = join(&origin, "a/b").await.unwrap_err();
    assert_eq!(refusal.field.as_deref(), Some("room"));
}
