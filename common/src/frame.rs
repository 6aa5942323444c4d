//! Everything that crosses the wire: `{"type": T, "params": {…}}`.
//!
//! [`ClientFrame::parse`] reads what a client sends, [`ServerFrame`] is what it gets. Fields that
//! are not known are ignored on both sides, so either may be newer than the other.

use serde::{Deserialize, Serialize, Serializer, ser::SerializeStruct};
use serde_json::{Value, value::RawValue};

use crate::{
    ErrorCode, Member, MemberName, Message, MessageId, Offset, Position, Publish, Refusal,
    RoomName, Roster, SessionId, StateKind, limits::SIGNALLING_BYTES, message::check_json,
    name::public_part,
};

/// What a client sends.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", content = "params", rename_all = "snake_case")]
pub enum ClientFrame {
    /// Say something.
    Message(Publish),
    /// I am writing; worth sending again every few seconds while it is so. Or no more, and what was written was not said.
    Typing {
        /// Whether I am. True unless it is there.
        #[serde(skip_serializing_if = "is_usual")]
        typing: bool,
    },
    /// From now on I go by this name.
    Rename {
        /// The new name.
        name: MemberName,
    },
    /// Nobody looks at this client now, or somebody does again.
    Idle {
        /// Whether nobody does.
        idle: bool,
    },
    /// This session can be reached directly, by another browser, or can't any more.
    Direct {
        /// Whether it can.
        direct: bool,
    },
    /// This session is in the room's call, or is no more.
    Call {
        /// Whether it is.
        call: bool,
    },
    /// Something for one other session in the room, by which two browsers agree on a connection of their own. It is
    /// handed on and not kept.
    Signalling {
        /// The public part of that session.
        to: SessionId,
        /// Any JSON but null, at most [`SIGNALLING_BYTES`] long.
        data: Value,
    },
    /// From now on this is what I show. It must name the same member.
    Token {
        /// The token.
        token: String,
    },
}

impl ClientFrame {
    /// Reads one text frame.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] to send back as an `error` frame: not JSON, another shape, an unknown type, or
    /// a field that is wrong.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let frame: Value = serde_json::from_str(text)
            .map_err(|error| Refusal::new(ErrorCode::InvalidJson, format!("not JSON: {error}")))?;
        let shape = || {
            Refusal::new(
                ErrorCode::InvalidFrame,
                r#"not a frame: one looks like {"type":"message","params":{"value":"hi"}}"#,
            )
        };
        let Value::Object(mut frame) = frame else { return Err(shape()) };
        let Some(Value::String(kind)) = frame.remove("type") else { return Err(shape()) };
        let params = frame.remove("params");
        let mut params = params.unwrap_or_else(|| Value::Object(Default::default()));
        match kind.as_str() {
            "message" => Publish::from_params(params).map(Self::Message),
            "typing" => match params.get("typing") {
                None => Ok(Self::Typing { typing: true }),
                Some(_) => flag(&params, "typing").map(|typing| Self::Typing { typing }),
            },
            "rename" => match params.get("name") {
                Some(Value::String(name)) => Ok(Self::Rename { name: MemberName::parse(name)? }),
                _ => Err(Refusal::field("name", "`name` is missing or not a string")),
            },
            "idle" => flag(&params, "idle").map(|idle| Self::Idle { idle }),
            "direct" => flag(&params, "direct").map(|direct| Self::Direct { direct }),
            "call" => flag(&params, "call").map(|call| Self::Call { call }),
            "signalling" => {
                let to = params.get("to").and_then(Value::as_str);
                let to = to.ok_or_else(|| Refusal::field("to", "`to` is missing or not a string"));
                // Whoever writes the whole of a session means the part that names it.
                let to = to.and_then(|to| named("to", SessionId::parse(public_part(to))))?;
                let data = params.get_mut("data").map(Value::take);
                let data = data.ok_or_else(|| Refusal::field("data", "`data` is missing"))?;
                check_json("data", &data, SIGNALLING_BYTES)?;
                Ok(Self::Signalling { to, data })
            }
            "token" => match params.get_mut("token").map(Value::take) {
                Some(Value::String(token)) => Ok(Self::Token { token }),
                _ => Err(Refusal::field("token", "`token` is missing or not a string")),
            },
            _ => Err(Refusal {
                field: Some("type".to_owned()),
                ..Refusal::new(
                    ErrorCode::UnknownType,
                    "`type` is none of `message`, `typing`, `rename`, `idle`, `direct`, `call`, `signalling`, `token`",
                )
            }),
        }
    }

    /// The frame as text.
    pub fn encode(&self) -> String {
        // Strings, numbers and maps with string keys always encode.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// What is usual is not written.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_usual(typing: &bool) -> bool {
    *typing
}

fn flag(params: &Value, field: &str) -> Result<bool, Refusal> {
    let wrong = || Refusal::field(field, format!("`{field}` is missing or not true or false"));
    params.get(field).and_then(Value::as_bool).ok_or_else(wrong)
}

/// What was read, or the refusal of it under the name that it has in the frame.
fn named<T>(field: &str, read: Result<T, Refusal>) -> Result<T, Refusal> {
    read.map_err(|refusal| {
        let own = refusal.field.as_deref().unwrap_or_default();
        let message = refusal.message.replace(&format!("`{own}`"), &format!("`{field}`"));
        Refusal { field: Some(field.to_owned()), message, ..refusal }
    })
}

/// What a client gets.
#[derive(Clone, Debug, PartialEq)]
pub enum ServerFrame {
    /// First on every connection, and again when a reader's position was lost on the way.
    Hello(Hello),
    /// Something was said.
    Message(Message),
    /// What this connection sent is taken and has a number.
    Ack {
        /// The message's id.
        id: MessageId,
        /// Its offset; the first one, if it was sent before.
        offset: Offset,
    },
    /// Who is here, who is writing, … now: one type a [`StateKind`].
    State(StateKind, Roster),
    /// What another session in the room sends to this one alone.
    Signalling(Signalling),
    /// From now on you are here on these terms: the token that was sent holds, or the room has been changed.
    Terms(Terms),
    /// The line is alive. Nothing is to be done about it.
    Beat {},
    /// What this connection sent was refused; the connection is well.
    Error(Refusal),
    /// The server is about to close this connection.
    Bye(Bye),
}

/// The params of an `ack`.
#[derive(Serialize, Deserialize)]
struct Ack<Id> {
    id: Id,
    offset: Offset,
}

#[derive(Serialize, Deserialize)]
struct Nothing {}

impl Serialize for ServerFrame {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut frame = serializer.serialize_struct("ServerFrame", 2)?;
        frame.serialize_field("type", self.kind())?;
        match self {
            Self::Hello(hello) => frame.serialize_field("params", hello),
            Self::Message(message) => frame.serialize_field("params", message),
            Self::Ack { id, offset } => {
                frame.serialize_field("params", &Ack { id, offset: *offset })
            }
            Self::State(_, roster) => frame.serialize_field("params", roster),
            Self::Signalling(signalling) => frame.serialize_field("params", signalling),
            Self::Terms(terms) => frame.serialize_field("params", terms),
            Self::Beat {} => frame.serialize_field("params", &Nothing {}),
            Self::Error(refusal) => frame.serialize_field("params", refusal),
            Self::Bye(bye) => frame.serialize_field("params", bye),
        }?;
        frame.end()
    }
}

impl ServerFrame {
    /// The word in `type`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Hello(_) => "hello",
            Self::Message(_) => "message",
            Self::Ack { .. } => "ack",
            Self::State(kind, _) => kind.word(),
            Self::Signalling(_) => "signalling",
            Self::Terms(_) => "terms",
            Self::Beat {} => "beat",
            Self::Error(_) => "error",
            Self::Bye(_) => "bye",
        }
    }

    /// The frame as text.
    pub fn encode(&self) -> String {
        // Strings, numbers and maps with string keys always encode.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The params of a frame that [`ServerFrame::encode`] wrote, as they are written there: for an
    /// answer that has them in another shape around them. Nothing is parsed.
    pub fn params_of(frame: &[u8]) -> Option<&str> {
        let text = std::str::from_utf8(frame).ok()?;
        text.split_once(r#","params":"#)?.1.strip_suffix('}')
    }

    /// Reads one text frame; `None` for a type this side does not know.
    ///
    /// # Errors
    ///
    /// When the text is no frame at all.
    pub fn parse(text: &str) -> Result<Option<Self>, serde_json::Error> {
        #[derive(Deserialize)]
        struct Raw<'a> {
            #[serde(rename = "type")]
            kind: String,
            #[serde(borrow)]
            params: &'a RawValue,
        }
        let Raw { kind, params } = serde_json::from_str(text)?;
        let params = params.get();
        Ok(Some(match kind.as_str() {
            "hello" => Self::Hello(serde_json::from_str(params)?),
            "message" => Self::Message(serde_json::from_str(params)?),
            "ack" => {
                let Ack { id, offset } = serde_json::from_str(params)?;
                Self::Ack { id, offset }
            }
            "signalling" => Self::Signalling(serde_json::from_str(params)?),
            "terms" => Self::Terms(serde_json::from_str(params)?),
            "beat" => Self::Beat {},
            "error" => Self::Error(serde_json::from_str(params)?),
            "bye" => Self::Bye(serde_json::from_str(params)?),
            word => match StateKind::parse(word) {
                Some(kind) => Self::State(kind, serde_json::from_str(params)?),
                None => return Ok(None),
            },
        }))
    }
}

/// Who you are, where you are, and how the reading starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// This tab or program.
    pub session: SessionId,
    /// You, as the others see you.
    pub member: Member,
    /// The room.
    pub room: RoomName,
    /// Where the reading starts: the messages that follow are those behind it.
    pub position: Position,
    /// How that compares with what was asked for.
    pub recovery: Recovery,
    /// On which terms you are here.
    #[serde(flatten)]
    pub terms: Terms,
}

/// On which terms somebody is in a room. Where nothing is told, it may say things for as long as it likes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// For how long what it showed still holds, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_ms: Option<u64>,
    /// It may read here and say nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
}

/// The params of `signalling`, as it comes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Signalling {
    /// Who sends it.
    pub from: Member,
    /// By which session, its public part: an answer goes there.
    pub session: SessionId,
    /// What is sent.
    pub data: Value,
}

/// How a reader's start compares with the `after` it asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Recovery {
    /// None was asked for: it starts now.
    #[default]
    Fresh,
    /// Nothing is missing behind the position asked for.
    Replayed,
    /// The position asked for is gone: what is still kept follows, something may be missing.
    Reset,
}

/// Why the server closes the connection, and when to come back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Bye {
    /// The close code that follows (RFC 6455 section 7.4). From 4003 to 4099 one comes back with another token, or
    /// not at all.
    pub code: u16,
    /// Why, in English.
    pub reason: String,
    /// How long to wait before connecting again, in milliseconds.
    pub reconnect_in_ms: u64,
}

impl Bye {
    /// Whether coming back with what was shown would be in vain: a token has expired, or gives no right any more.
    pub fn is_final(&self) -> bool {
        matches!(self.code, 4003..4100)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_smallest_frame_there_is_says_hi() {
        let frame = ClientFrame::parse(r#"{"type":"message","params":{"value":"hi"}}"#).unwrap();
        assert_eq!(frame, ClientFrame::Message(Publish::text("hi").unwrap()));
    }

    #[test]
    fn what_is_no_frame_is_refused_with_its_reason() {
        for (text, code) in [
            ("", ErrorCode::InvalidJson),
            ("hi", ErrorCode::InvalidJson),
            ("{", ErrorCode::InvalidJson),
            (r#"{"type":"message","params":{"value":"\ud800"}}"#, ErrorCode::InvalidJson),
            ("[]", ErrorCode::InvalidFrame),
            ("1", ErrorCode::InvalidFrame),
            ("null", ErrorCode::InvalidFrame),
            ("{}", ErrorCode::InvalidFrame),
            (r#"{"type":1}"#, ErrorCode::InvalidFrame),
            (r#"{"type":"shout","params":{}}"#, ErrorCode::UnknownType),
            (r#"{"type":"message"}"#, ErrorCode::InvalidField),
            (r#"{"type":"message","params":[]}"#, ErrorCode::InvalidField),
            (r#"{"type":"rename","params":{"name":"a\u0000"}}"#, ErrorCode::InvalidField),
            (r#"{"type":"rename"}"#, ErrorCode::InvalidField),
            (r#"{"type":"idle","params":{"idle":1}}"#, ErrorCode::InvalidField),
            (r#"{"type":"direct","params":{}}"#, ErrorCode::InvalidField),
            (r#"{"type":"call","params":{"call":"yes"}}"#, ErrorCode::InvalidField),
            (r#"{"type":"signalling"}"#, ErrorCode::InvalidField),
            (r#"{"type":"signalling","params":{"to":1,"data":1}}"#, ErrorCode::InvalidField),
            (r#"{"type":"signalling","params":{"to":"a"}}"#, ErrorCode::InvalidField),
            (r#"{"type":"signalling","params":{"to":"a","data":null}}"#, ErrorCode::InvalidField),
            (r#"{"type":"signalling","params":{"to":"","data":1}}"#, ErrorCode::InvalidField),
            (r#"{"type":"token","params":{"token":1}}"#, ErrorCode::InvalidField),
        ] {
            assert_eq!(ClientFrame::parse(text).unwrap_err().code, code, "{text}");
        }
    }

    #[test]
    fn a_refused_type_is_named_as_the_field() {
        let refusal = ClientFrame::parse(r#"{"type":"shout"}"#).unwrap_err();
        assert_eq!(refusal.field.as_deref(), Some("type"));
    }

    #[test]
    fn signalling_names_the_public_part_of_a_session_and_has_a_limit_of_its_own() {
        let frame = |to: &str, data: &str| {
            let frame =
                format!(r#"{{"type":"signalling","params":{{"to":"{to}","data":{data}}}}}"#);
            ClientFrame::parse(&frame)
        };
        let to = SessionId::parse("tab").unwrap();
        let data = serde_json::json!({"a": 1});
        assert_eq!(frame("tab.secret", r#"{"a":1}"#), Ok(ClientFrame::Signalling { to, data }));
        assert!(frame("tab", &format!("\"{}\"", "x".repeat(SIGNALLING_BYTES - 2))).is_ok());
        let long = frame("tab", &format!("\"{}\"", "x".repeat(SIGNALLING_BYTES - 1))).unwrap_err();
        assert_eq!((long.field.as_deref(), long.limit), (Some("data"), Some(16_384)));
        let long = frame(&"x".repeat(65), "1").unwrap_err();
        assert_eq!((long.field.as_deref(), long.limit), (Some("to"), Some(64)));
        assert_eq!(long.message, "`to` is longer than 64 characters");
    }

    #[test]
    fn json_nested_deeper_than_a_parser_may_go_is_refused() {
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        assert_eq!(ClientFrame::parse(&deep).unwrap_err().code, ErrorCode::InvalidJson);
    }

    #[test]
    fn unknown_fields_are_ignored() {
        let frame = r#"{"v":2,"type":"typing","params":{"since":1}}"#;
        assert_eq!(ClientFrame::parse(frame).unwrap(), ClientFrame::Typing { typing: true });
    }

    #[test]
    fn one_is_typing_unless_one_says_that_one_is_not() {
        for typing in [true, false] {
            let frame = ClientFrame::Typing { typing };
            assert_eq!(ClientFrame::parse(&frame.encode()).unwrap(), frame);
        }
        assert_eq!(
            ClientFrame::Typing { typing: true }.encode(),
            r#"{"type":"typing","params":{}}"#
        );
        let frame = r#"{"type":"typing","params":{"typing":"no"}}"#;
        assert_eq!(ClientFrame::parse(frame).unwrap_err().field.as_deref(), Some("typing"));
    }

    #[test]
    fn the_params_of_a_frame_are_its_very_bytes() {
        let frame = ServerFrame::State(StateKind::Typing, Roster::default()).encode();
        assert_eq!(ServerFrame::params_of(frame.as_bytes()), Some(r#"{"count":0}"#));
        assert_eq!(ServerFrame::params_of(b"{}"), None);
    }

    #[test]
    fn the_params_may_come_before_the_type() {
        let frame = r#"{"params":{"value":1,"id":"m","room":"r","offset":1,"at":0,
            "from":{"id":"a","name":"Ada"}},"type":"message"}"#;
        assert!(matches!(ServerFrame::parse(frame).unwrap(), Some(ServerFrame::Message(_))));
    }

    #[test]
    fn a_frame_of_a_newer_server_is_skipped() {
        assert_eq!(ServerFrame::parse(r#"{"type":"confetti","params":{}}"#).unwrap(), None);
    }

    proptest! {
        #[test]
        fn no_frame_makes_the_parser_panic(
            kind in "message|typing|rename|idle|direct|call|signalling|token|other",
            field in "value|id|event|to|name|idle|direct|call|data|token|x",
            value in "null|true|-1e999|\"\\PC{0,70}\"|\\[(1,){0,3}\"a\"\\]|\\{\\}|\\PC{0,9}",
        ) {
            let text = format!(r#"{{"type":"{kind}","params":{{"value":1,"{field}":{value}}}}}"#);
            let _ = ClientFrame::parse(&text);
            let _ = ServerFrame::parse(&text);
        }

        #[test]
        fn what_can_be_said_survives_the_wire(text in "\\PC{1,60}") {
            if let Ok(publish) = Publish::text(&text) {
                let frame = ClientFrame::Message(publish);
                prop_assert_eq!(ClientFrame::parse(&frame.encode()).unwrap(), frame);
            }
        }
    }
}
