//! Messages as Socket.IO's events, and back.
//!
//! A message is `(value, meta, position)` of its event, meta being its other fields; every other frame is an
//! event `hubbub:` and its type, with its params.

use std::any::Any;

use axum::extract::ws::Utf8Bytes;
use bytes::Bytes;
use common::{ClientFrame, Epoch, Offset, Position, Publish, Refusal, ServerFrame};
use hub::{Burst, Outlet, Pushed, Record};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json, value::RawValue};
use socketio::{
    SocketSender,
    packet::{encode_ack, encode_event},
};

use super::NAMESPACE;
use crate::{
    fields::Fields,
    session::{Answer, Out, Session},
    transport::websocket::{frame, shared},
    wire::Wire,
};

/// Events that mean something to the clients' libraries themselves; no message may pass for one.
const RESERVED: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];
/// What our own events begin with.
const OURS: &str = "hubbub:";
/// The face of a frame that is a packet already.
const FACE: usize = 1;

/// The packets that tell what there is to tell.
pub(super) fn packets(session: &Session, out: Out) -> Vec<Utf8Bytes> {
    match out {
        Out::Message(record) => {
            text(of_message(&session.position().epoch, &record, session.fields()))
        }
        Out::State(state) => {
            let packet = |frame: &Bytes| {
                let params = ServerFrame::params_of(frame);
                packet(params.map(|params| format!(r#"["{OURS}{}",{params}]"#, state.kind.word())))
            };
            text(state.frame.face(FACE, packet))
        }
        // The library has pings of its own.
        Out::Frame(ServerFrame::Beat {}) => Vec::new(),
        Out::Frame(frame) => {
            let encoded = frame.encode();
            let params = ServerFrame::params_of(encoded.as_bytes()).unwrap_or_default();
            // With hello the client has a position to come back to before anything was said.
            let args = match &frame {
                ServerFrame::Hello(hello) => {
                    format!(r#"["{OURS}hello",{params},"{}"]"#, hello.position)
                }
                _ => format!(r#"["{OURS}{}",{params}]"#, frame.kind()),
            };
            text(packet(Some(args)))
        }
        Out::Answer(answer) => self::answer(session, answer),
    }
}

/// The packet of a message.
fn of_message(epoch: &Epoch, record: &Record, fields: Fields) -> Bytes {
    let packet = |meta| packet(message(record.params(), meta, epoch, record.offset));
    match fields.are_all() {
        true => record.frame.face(FACE, |_| packet(None)),
        false => packet(Some(&fields.without_value().params(record, epoch))),
    }
}

/// Where messages are pushed to: each a packet in a frame of its own, past the crate's WebSocket.
pub(super) struct Packets {
    pub(super) sender: SocketSender,
    pub(super) fields: Fields,
}

impl Outlet for Packets {
    fn push(&self, burst: &Burst<'_>) -> Pushed {
        /// A message of Engine.IO.
        const MESSAGE: &[u8] = b"4";
        let frames = || {
            burst.face(self.fields.face(FACE), |burst| {
                let mut bytes = Vec::new();
                let packet = |record| of_message(burst.epoch, record, self.fields);
                let packets = burst.records.iter().map(|record| packet(record));
                // What could not be made is not sent.
                for packet in packets.filter(|packet| !packet.is_empty()) {
                    frame([MESSAGE, &packet], &mut bytes);
                }
                shared(bytes)
            })
        };
        let pushed = self.sender.when_idle(NAMESPACE, |wire| {
            (wire as &dyn Any)
                .downcast_ref::<Wire>()
                .map_or(Pushed::None, |wire| wire.push(&frames()))
        });
        pushed.unwrap_or(Pushed::None)
    }
}

/// What answers what was said: the acknowledgement that was asked for, or an event for what was refused.
pub(super) fn answer(session: &Session, answer: Answer) -> Vec<Utf8Bytes> {
    let args = match (&answer.frame, answer.ticket) {
        (None, _) => "[]".to_owned(),
        (Some(ServerFrame::Ack { id, offset }), _) => {
            let epoch = session.position().epoch.clone();
            let position = Position { epoch, offset: *offset };
            json!([{"id": id, "offset": offset, "position": position}]).to_string()
        }
        (Some(ServerFrame::Error(refusal)), Some(_)) => json!([{"error": refusal}]).to_string(),
        (Some(ServerFrame::Error(refusal)), None) => {
            return text(packet(Some(format!(r#"["{OURS}error",{}]"#, to_json(refusal)))));
        }
        (Some(ServerFrame::Terms(terms)), Some(_)) => json!([terms]).to_string(),
        (Some(ServerFrame::Terms(terms)), None) => {
            return text(packet(Some(format!(r#"["{OURS}terms",{}]"#, to_json(terms)))));
        }
        (Some(_), _) => return Vec::new(),
    };
    let ack = answer.ticket.map(|ticket| encode_ack(NAMESPACE, ticket, &args, 0).into());
    ack.into_iter().collect()
}

fn packet(args: Option<String>) -> Bytes {
    args.map(|args| encode_event(NAMESPACE, None, &args, 0)).unwrap_or_default().into()
}

/// It was text before; what could not be made is not sent.
fn text(packet: Bytes) -> Vec<Utf8Bytes> {
    Utf8Bytes::try_from(packet).ok().filter(|packet| !packet.is_empty()).into_iter().collect()
}

/// `emit(event, value, {id, to}?)` as the frame it stands for.
pub(super) fn read(args: Vec<Value>) -> Result<ClientFrame, Refusal> {
    let mut args = args.into_iter();
    // Some clients number their events.
    let event = match args.next() {
        Some(Value::String(event)) => event,
        Some(other) => other.to_string(),
        None => return Err(Refusal::field("event", "`event` is missing")),
    };
    let value = args.next();
    if let Some(kind) = event.strip_prefix(OURS) {
        // What is no message is the frame of that type.
        let frame = json!({"type": kind, "params": value.unwrap_or_default()});
        return match kind {
            "message" => Err(Refusal::field("event", "a message has an event of its own")),
            _ => ClientFrame::parse(&frame.to_string()),
        };
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

/// The params of a message as `[event, value, meta, position]`; `meta` is all there is besides the value, unless
/// another is given. The value is found, and nothing is encoded again.
fn message(params: &str, meta: Option<&str>, epoch: &Epoch, offset: Offset) -> Option<String> {
    #[derive(Deserialize)]
    struct Params<'a> {
        #[serde(borrow)]
        value: &'a RawValue,
        event: Option<String>,
    }
    let Params { value, event } = serde_json::from_str(params).ok()?;
    let value = value.get();
    let (before, from) = params.split_once(r#""value":"#)?;
    let after = from.get(value.len()..)?.strip_prefix(',')?;
    let name = event.filter(|name| !RESERVED.contains(&name.as_str()) && !name.starts_with(OURS));
    let name = to_json(&name.as_deref().unwrap_or("message"));
    let [before, after] = meta.map_or([before, after], |meta| [meta, ""]);
    Some(format!(r#"[{name},{value},{before}{after},"{epoch}:{offset}"]"#))
}

fn to_json(what: &impl Serialize) -> String {
    // Strings, numbers and maps with string keys always encode.
    serde_json::to_string(what).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(params: &str) -> String {
        message(params, None, &Epoch::parse("e").unwrap(), Offset(7)).unwrap()
    }

    #[test]
    fn a_message_is_its_event_with_value_rest_and_position() {
        let plain = r#"{"offset":7,"value":{"a":[1,"}"]},"id":"m1"}"#;
        assert_eq!(event(plain), r#"["message",{"a":[1,"}"]},{"offset":7,"id":"m1"},"e:7"]"#);
        let named = r#"{"offset":7,"value":1,"id":"m1","event":"\"move\""}"#;
        let expected = r#"["\"move\"",1,{"offset":7,"id":"m1","event":"\"move\""},"e:7"]"#;
        assert_eq!(event(named), expected);
    }

    #[test]
    fn no_message_passes_for_what_the_library_or_the_server_says() {
        for reserved in ["disconnect", "hubbub:members"] {
            let params = format!(r#"{{"offset":7,"value":1,"id":"m1","event":"{reserved}"}}"#);
            assert!(event(&params).starts_with(r#"["message",1,"#));
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
            (json!([]), "event"),
            (json!(["x"]), "value"),
            (json!(["x", 1, 2]), "to"),
            (json!(["x", 1, {}, 2]), "value"),
            (json!(["x", ""]), "value"),
            (json!(["hubbub:rename", {}]), "name"),
            (json!(["hubbub:idle"]), "idle"),
        ] {
            assert_eq!(read(args.clone()).unwrap_err().field.as_deref(), Some(field), "{args}");
        }
    }
}
