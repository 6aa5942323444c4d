//! Stock Socket.IO clients: readers of a room like any other, over the crate `socketio`.
//!
//! Start at [`engine`], then [`Visit::talk`]. An event of a client is a message of that event; a message
//! comes as `(value, meta, position)`, meta being its other fields. The position is what the client
//! brings back after a drop (connection state recovery, Socket.IO 4.6): it is served from the log, so
//! it outlives the process. The rule to keep: nothing is queued for a client but one delivery.

use std::{collections::VecDeque, convert::Infallible};

use axum::http::Uri;
use common::{
    After, ClientFrame, Epoch, ErrorCode, MemberName, Position, Publish, Recovery, Refusal,
    RoomName, ServerFrame, limits::FRAME_BYTES,
};
use futures_util::{StreamExt, future::BoxFuture, stream::FuturesOrdered};
use hub::{Author, Delivered, Delivery, Reader};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json, value::RawValue};
use socketio::{
    CloseReason, Config, Engine, Handshake, Incoming, SendError, Socket, SocketConfig, SocketSender,
};
use tokio::sync::watch;

use crate::{
    origin,
    problem::{Problem, refusal},
    seat::{Outcome, Seat},
    state::ServerState,
};

/// The one namespace there is; rooms are named in the handshake.
const NAMESPACE: &str = "/";
/// How much of what a client says may be on its way to the log; then it is not heard on.
const APPENDING: usize = 64;
/// How much may wait for a client: one delivery, and answers. With more it is not heard on.
const WAITING: usize = 512;
/// Events that mean something to the clients' libraries themselves; no message may pass for one.
const RESERVED: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

/// The engine that serves `/socket.io/`.
pub(crate) fn engine(server: &ServerState) -> Engine {
    let config = Config {
        ping_interval: server.config.timing.ping_interval,
        // Several packets may come in one POST.
        max_payload: 2 * FRAME_BYTES,
        // What one client may have us hold: this many of those.
        incoming: 4,
        ..Config::default()
    };
    let (app, gate) = (server.clone(), server.clone());
    Engine::new(config, move |handshake, socket| serve(app.clone(), handshake, socket)).accept(
        move |headers, uri| {
            origin::check(headers, &gate.config.allow_origins)?;
            match *gate.stopping.borrow() && is_new(uri) {
                true => Err(Refusal::new(ErrorCode::ShuttingDown, "the server is stopping").into()),
                false => Ok::<_, Problem>(()),
            }
        },
    )
}

/// Whether a request begins a session; those that there are may end in peace.
fn is_new(uri: &Uri) -> bool {
    let pairs = uri.query().unwrap_or_default().split('&');
    !pairs.into_iter().any(|pair| pair.starts_with("sid=") && pair.len() > "sid=".len())
}

/// One session, from its first request to its end.
async fn serve(server: ServerState, handshake: Handshake, engine: socketio::EngineSocket) {
    let mut stopping = server.stopping.subscribe();
    let limits = SocketConfig { max_attachment_bytes: FRAME_BYTES, ..SocketConfig::default() };
    let mut socket = Socket::new(engine, &limits);
    loop {
        let incoming = tokio::select! {
            incoming = socket.recv() => incoming,
            () = stopped(&mut stopping) => return,
        };
        let (namespace, auth) = match incoming {
            Some(Incoming::Connect { namespace, auth }) => (namespace, auth),
            Some(_) => continue,
            None => return,
        };
        let visit = match namespace.as_str() {
            NAMESPACE => enter(&server, &handshake, &auth).await,
            _ => {
                if socket.sender().refuse(&namespace, "Invalid namespace", None).await.is_err() {
                    return;
                }
                continue;
            }
        };
        let sender = socket.sender().clone();
        let mut visit = match visit {
            Ok(visit) => visit,
            Err(refusal) => {
                let data = serde_json::to_value(&refusal).ok();
                if sender.refuse(NAMESPACE, &refusal.message, data).await.is_err() {
                    return;
                }
                continue;
            }
        };
        let session = visit.session.clone();
        let accepted = sender.accept(NAMESPACE, session.public(), Some(session.as_str())).await;
        let Err(end) = match accepted {
            Ok(()) => visit.talk(&mut socket, &mut stopping).await,
            Err(_) => Err(End::Lost),
        };
        visit.finish(&sender).await;
        match end {
            // It may come back over the same connection.
            End::Left => visit.seat.leave(),
            End::Closed => return visit.seat.leave(),
            End::Lost => return,
            End::Stopping => {
                let bye = to_json(&server.bye());
                let _ = sender.emit_raw(NAMESPACE, &format!(r#"["hubbub:bye",{bye}]"#)).await;
                return;
            }
        }
    }
}

/// What a client brings to get into a room.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Wanted {
    room: Option<String>,
    after: Option<String>,
    token: Option<String>,
    pid: Option<String>,
    offset: Option<String>,
}

/// Lets a client into its room: where it was, if the log still goes back that far.
async fn enter(
    server: &ServerState,
    handshake: &Handshake,
    auth: &Map<String, Value>,
) -> Result<Visit, Refusal> {
    let wanted: Wanted = serde_json::from_value(Value::Object(auth.clone()))
        .map_err(|error| Refusal::field("auth", format!("`auth` can't be read: {error}")))?;
    let asked =
        |own: Option<String>, name: &str| own.or_else(|| handshake.query(name).map(str::to_owned));
    let room = asked(wanted.room, "room");
    let room = room.map_or_else(|| Ok(RoomName::lobby()), |room| RoomName::parse(&room))?;
    let after = asked(wanted.after, "after").map_or(Ok(After::Now), |after| after.parse())?;
    let token = asked(wanted.token, "token");
    let known = server.identity.caller(&handshake.headers, token.as_deref())?;

    // A position that can't be read is one that is gone.
    let left_at: Option<After> = wanted.offset.and_then(|offset| offset.parse().ok());
    if let (Some(pid), Some(left_at)) = (&wanted.pid, left_at) {
        let (visitor, session) = server.identity.recognise(known.clone(), Some(pid));
        if session.as_str() == pid {
            let author = Author { session, member: visitor.member() };
            let visit = Visit::open(server, &room, author, &left_at).await?;
            if visit.recovery == Recovery::Replayed {
                return Ok(visit);
            }
        }
    }
    // Another session than before tells the client that it is not recovered.
    let (visitor, session) = server.identity.recognise(known, None);
    Visit::open(server, &room, Author { session, member: visitor.member() }, &after).await
}

/// A client in a room.
struct Visit {
    seat: Seat,
    session: common::SessionId,
    reader: Reader,
    recovery: Recovery,
    epoch: Epoch,
    /// What is to be sent, in order.
    waiting: VecDeque<Out>,
    /// What is being kept, in the order it was said.
    appending: FuturesOrdered<BoxFuture<'static, (Option<u64>, ServerFrame)>>,
}

/// Something to send.
enum Out {
    /// An event: a JSON array with its name first.
    Event(String),
    /// An answer: the id it answers, and a JSON array.
    Ack(u64, String),
}

/// Why a visit ends.
enum End {
    /// The connection is gone.
    Lost,
    /// The client has left the room.
    Left,
    /// The client has closed the connection.
    Closed,
    /// The server stops.
    Stopping,
}

impl From<SendError> for End {
    fn from(_: SendError) -> Self {
        Self::Lost
    }
}

impl Visit {
    async fn open(
        server: &ServerState,
        room: &RoomName,
        author: Author,
        after: &After,
    ) -> Result<Self, Refusal> {
        let session = author.session.clone();
        let seat = Seat::take(server, room, author).map_err(refusal)?;
        let (reader, recovery) = seat.read(after, true).await.map_err(refusal)?;
        let position = reader.position();
        let (waiting, appending) = (VecDeque::new(), FuturesOrdered::new());
        let epoch = position.epoch.clone();
        let mut visit = Self { seat, session, reader, recovery, epoch, waiting, appending };
        visit.greet(position, recovery);
        Ok(visit)
    }

    /// Also gives the client a position to come back to before anything was said.
    fn greet(&mut self, position: Position, recovery: Recovery) {
        let hello = self.seat.hello(position.clone(), recovery).encode();
        if let Some(hello) = ServerFrame::params_of(hello.as_bytes()) {
            let event = format!(r#"["hubbub:hello",{hello},"{position}"]"#);
            self.waiting.push_back(Out::Event(event));
        }
    }

    /// Never returns but with the reason for the end.
    async fn talk(
        &mut self,
        socket: &mut Socket,
        stopping: &mut watch::Receiver<bool>,
    ) -> Result<Infallible, End> {
        let sender = socket.sender().clone();
        loop {
            let hears = self.appending.len() < APPENDING && self.waiting.len() < WAITING;
            tokio::select! {
                sent = send(&sender, self.waiting.front()), if !self.waiting.is_empty() => {
                    sent?;
                    self.waiting.pop_front();
                }
                delivery = self.reader.next(), if self.waiting.is_empty() => {
                    self.deliver(delivery.map_err(|_| End::Lost)?);
                }
                Some((ack, answer)) = self.appending.next() => self.answer(ack, &answer),
                incoming = socket.recv(), if hears => match incoming {
                    Some(Incoming::Event { args, ack, attachments, .. }) => {
                        self.hear(args, ack, !attachments.is_empty());
                    }
                    Some(Incoming::Disconnect { namespace }) if namespace == NAMESPACE => {
                        return Err(End::Left);
                    }
                    Some(Incoming::Connect { namespace, .. }) => {
                        sender.refuse(&namespace, "Invalid namespace", None).await?;
                    }
                    Some(Incoming::Disconnect { .. } | Incoming::Ack { .. }) => {}
                    None if socket.close_reason() == Some(CloseReason::ClientClosed) => {
                        return Err(End::Closed);
                    }
                    None => return Err(End::Lost),
                },
                () = stopped(stopping) => return Err(End::Stopping),
            }
        }
    }

    /// What was heard is kept and answered, as far as the client still takes it.
    async fn finish(&mut self, sender: &SocketSender) {
        while let Some((ack, answer)) = self.appending.next().await {
            self.answer(ack, &answer);
        }
        while let Some(out) = self.waiting.pop_front() {
            if send(sender, Some(&out)).await.is_err() {
                break;
            }
        }
    }

    fn deliver(&mut self, delivery: Delivery) {
        if let Some(position) = delivery.reset {
            self.greet(position, Recovery::Reset);
        }
        let events = delivery.messages.iter().filter_map(|message| event(message, &self.epoch));
        self.waiting.extend(events.map(Out::Event));
        for (name, frame) in [("members", delivery.members), ("typing", delivery.typing)] {
            if let Some(params) = frame.as_deref().and_then(ServerFrame::params_of) {
                self.waiting.push_back(Out::Event(format!(r#"["hubbub:{name}",{params}]"#)));
            }
        }
    }

    fn hear(&mut self, args: Vec<Value>, ack: Option<u64>, binary: bool) {
        let frame = match binary {
            true => Err(Refusal::new(ErrorCode::BinaryFrame, "bytes are no value; encode them")),
            false => read(args),
        };
        match self.seat.handle_parsed(frame) {
            Outcome::Done => {
                if let Some(ack) = ack {
                    self.waiting.push_back(Out::Ack(ack, "[]".to_owned()));
                }
            }
            Outcome::Answer(answer) => self.answer(ack, &answer),
            Outcome::Keeping(answer) => {
                self.appending.push_back(Box::pin(async move { (ack, answer.await) }));
            }
        }
    }

    /// Answers what was said: the acknowledgement that was asked for, or an event for what was refused.
    fn answer(&mut self, ack: Option<u64>, answer: &ServerFrame) {
        let out = match (answer, ack) {
            (ServerFrame::Ack { id, offset }, Some(ack)) => {
                let position = Position { epoch: self.epoch.clone(), offset: *offset };
                let taken = json!([{"id": id, "offset": offset, "position": position}]);
                Out::Ack(ack, taken.to_string())
            }
            (ServerFrame::Error(refusal), Some(ack)) => {
                Out::Ack(ack, json!([{"error": refusal}]).to_string())
            }
            (ServerFrame::Error(refusal), None) => {
                Out::Event(format!(r#"["hubbub:error",{}]"#, to_json(refusal)))
            }
            _ => return,
        };
        self.waiting.push_back(out);
    }
}

/// Waits until the server stops.
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // The sender lives as long as the server.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

async fn send(sender: &SocketSender, out: Option<&Out>) -> Result<(), SendError> {
    match out {
        Some(Out::Event(args)) => sender.emit_raw(NAMESPACE, args).await,
        Some(Out::Ack(id, args)) => sender.ack_with(NAMESPACE, *id, args, Vec::new()).await,
        None => Ok(()),
    }
}

/// `emit(event, value, {id, to}?)` as the frame it stands for.
fn read(args: Vec<Value>) -> Result<ClientFrame, Refusal> {
    let mut args = args.into_iter();
    // Some clients number their events.
    let event = match args.next() {
        Some(Value::String(event)) => event,
        Some(other) => other.to_string(),
        None => return Err(Refusal::field("event", "`event` is missing")),
    };
    let value = args.next();
    match event.as_str() {
        "hubbub:typing" => return Ok(ClientFrame::Typing {}),
        "hubbub:rename" => {
            let name = value.as_ref().and_then(|params| params.get("name")?.as_str());
            let name = name.ok_or_else(|| Refusal::field("name", "`name` is missing"))?;
            return Ok(ClientFrame::Rename { name: MemberName::parse(name)? });
        }
        _ => {}
    }
    let mut params = match args.next() {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(options)) => options,
        Some(_) => return Err(Refusal::field("to", "after the value only `{id, to}` may come")),
    };
    if args.next().is_some() {
        return Err(Refusal::field("value", "an event has one value; put several into an array"));
    }
    params.insert("event".to_owned(), event.into());
    params.remove("value");
    if let Some(value) = value {
        params.insert("value".to_owned(), value);
    }
    Publish::from_params(params.into()).map(ClientFrame::Message)
}

/// A message as `[event, value, meta, position]`. Nothing is encoded again: meta is the rest of the
/// frame, which begins with the value.
fn event(message: &Delivered, epoch: &Epoch) -> Option<String> {
    #[derive(Deserialize)]
    struct Frame<'a> {
        #[serde(borrow)]
        params: Params<'a>,
    }
    #[derive(Deserialize)]
    struct Params<'a> {
        #[serde(borrow)]
        value: &'a RawValue,
        event: Option<String>,
    }
    const BEFORE: &str = r#"{"type":"message","params":{"value":"#;
    let text = str::from_utf8(&message.frame).ok()?;
    let Frame { params: Params { value, event } } = serde_json::from_str(text).ok()?;
    let value = value.get();
    let meta = text.strip_prefix(BEFORE)?.get(value.len()..)?.strip_prefix(',')?;
    let meta = meta.strip_suffix('}')?;
    let name =
        event.filter(|name| !RESERVED.contains(&name.as_str()) && !name.starts_with("hubbub:"));
    let name = to_json(&name.as_deref().unwrap_or("message"));
    Some(format!(r#"[{name},{value},{{{meta},"{epoch}:{}"]"#, message.offset))
}

fn to_json(what: &impl Serialize) -> String {
    // Strings, numbers and maps with string keys always encode.
    serde_json::to_string(what).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use common::Offset;

    use super::*;

    fn message(frame: &'static str) -> Delivered {
        Delivered { offset: Offset(7), frame: Bytes::from_static(frame.as_bytes()) }
    }

    #[test]
    fn a_message_is_its_event_with_value_rest_and_position() {
        let epoch = Epoch::parse("e").unwrap();
        let plain = r#"{"type":"message","params":{"value":{"a":[1,"}"]},"id":"m1","offset":7}}"#;
        let expected = r#"["message",{"a":[1,"}"]},{"id":"m1","offset":7},"e:7"]"#;
        assert_eq!(event(&message(plain), &epoch).unwrap(), expected);
        let named = r#"{"type":"message","params":{"value":1,"id":"m1","event":"\"move\""}}"#;
        let expected = r#"["\"move\"",1,{"id":"m1","event":"\"move\""},"e:7"]"#;
        assert_eq!(event(&message(named), &epoch).unwrap(), expected);
    }

    #[test]
    fn no_message_passes_for_what_the_library_or_the_server_says() {
        let epoch = Epoch::parse("e").unwrap();
        for frame in [
            r#"{"type":"message","params":{"value":1,"id":"m1","event":"disconnect"}}"#,
            r#"{"type":"message","params":{"value":1,"id":"m1","event":"hubbub:members"}}"#,
        ] {
            assert!(event(&message(frame), &epoch).unwrap().starts_with(r#"["message",1,"#));
        }
    }

    #[test]
    fn what_is_emitted_is_read_as_a_message_of_that_event() {
        let read = |args: Value| match args {
            Value::Array(args) => read(args),
            _ => unreachable!(),
        };
        let ClientFrame::Message(publish) =
            read(json!(["move", [3, 4], {"id": "m1", "to": "others"}])).unwrap()
        else {
            panic!()
        };
        assert_eq!(publish.value, json!([3, 4]));
        assert_eq!(publish.event.unwrap().as_str(), "move");
        assert_eq!((publish.id.unwrap().as_str(), publish.to), ("m1", common::Audience::Others));
        for (args, field) in [
            (json!(["x"]), "value"),
            (json!(["x", 1, 2]), "to"),
            (json!(["x", 1, {}, 2]), "value"),
            (json!(["x", ""]), "value"),
            (json!(["hubbub:rename", {}]), "name"),
        ] {
            assert_eq!(read(args.clone()).unwrap_err().field.as_deref(), Some(field), "{args}");
        }
    }
}
