//! The packets of Socket.IO 5, as they stand in the messages of Engine.IO.
//!
//! Start at [`Packet`]. Binary attachments follow their packet as messages of their own;
//! [`decoder`](crate::decoder) puts them together. The rule to keep: this is a pure codec, which takes
//! whatever a stranger sends and answers with a packet or a [`PacketError`], never with a panic.

use serde::Serialize;
use serde_json::{Map, Value};
use thiserror::Error;

/// The namespace that every client has.
pub const MAIN: &str = "/";

/// The longest name of a namespace that is read, in bytes.
pub const NAMESPACE_BYTES: usize = 256;

/// Names that mean something to the libraries on either side, so no event can have them.
const RESERVED: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

/// One packet.
#[derive(Debug, Clone, PartialEq)]
pub enum Packet {
    /// `0`: a client asks for a namespace, or the server lets it in.
    Connect {
        /// The namespace.
        namespace: String,
        /// What the client brings to be let in, or what the server says about it.
        data: Option<Map<String, Value>>,
    },
    /// `1`: either side leaves a namespace.
    Disconnect {
        /// The namespace.
        namespace: String,
    },
    /// `2`, and `5` with attachments: something happened.
    Event {
        /// The namespace.
        namespace: String,
        /// The id to acknowledge it with, if the sender wants that.
        ack: Option<u64>,
        /// The name of the event and its arguments; there is at least the name.
        args: Vec<Value>,
        /// How many binary messages follow.
        attachments: usize,
    },
    /// `3`, and `6` with attachments: acknowledges an event.
    Ack {
        /// The namespace.
        namespace: String,
        /// The id of the event.
        id: u64,
        /// What is answered.
        args: Vec<Value>,
        /// How many binary messages follow.
        attachments: usize,
    },
    /// `4`: the server does not let a client in.
    ConnectError {
        /// The namespace.
        namespace: String,
        /// Why: an object with a `message`, or a text.
        data: Value,
    },
}

/// Why something is no packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PacketError {
    /// The first character is no type.
    #[error("unknown packet type")]
    UnknownType,
    /// A binary packet does not say how many attachments it has.
    #[error("illegal attachments")]
    Attachments,
    /// There are more attachments than are taken.
    #[error("too many attachments")]
    TooManyAttachments,
    /// The name of the namespace is over [`NAMESPACE_BYTES`].
    #[error("the namespace's name is too long")]
    Namespace,
    /// The id is no number, or missing from an acknowledgement.
    #[error("illegal acknowledgement id")]
    AckId,
    /// The payload is not JSON, or not what this type of packet has.
    #[error("invalid payload")]
    Payload,
}

impl Packet {
    /// Reads a packet that has no more attachments than `max_attachments`.
    ///
    /// # Errors
    /// If it is none: where the reference closes the connection, and in addition for an event without
    /// a name, an acknowledgement without an id and an endless namespace.
    pub fn decode(text: &str, max_attachments: usize) -> Result<Self, PacketError> {
        let mut chars = text.chars();
        let kind = chars.next().filter(|kind| ('0'..='6').contains(kind));
        let kind = kind.ok_or(PacketError::UnknownType)?;
        let mut rest = chars.as_str();

        let mut attachments = 0;
        if matches!(kind, '5' | '6') {
            let (count, behind) = rest.split_once('-').ok_or(PacketError::Attachments)?;
            attachments = number(count).ok_or(PacketError::Attachments)?;
            rest = behind;
        }
        let attachments = usize::try_from(attachments)
            .ok()
            .filter(|count| *count <= max_attachments)
            .ok_or(PacketError::TooManyAttachments)?;

        let (namespace, rest) = match rest.starts_with('/') {
            true => rest.split_once(',').unwrap_or((rest, "")),
            false => (MAIN, rest),
        };
        if namespace.len() > NAMESPACE_BYTES {
            return Err(PacketError::Namespace);
        }
        let namespace = namespace.to_owned();

        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (id, payload) = rest.split_at(digits);
        let id = match id {
            "" => None,
            id => Some(number(id).ok_or(PacketError::AckId)?),
        };
        let payload = match payload {
            "" => None,
            json => Some(serde_json::from_str(json).map_err(|_| PacketError::Payload)?),
        };

        match (kind, payload) {
            ('0', None) => Ok(Self::Connect { namespace, data: None }),
            ('0', Some(Value::Object(data))) => Ok(Self::Connect { namespace, data: Some(data) }),
            ('1', None) => Ok(Self::Disconnect { namespace }),
            ('2' | '5', Some(Value::Array(args))) if names_event(&args) => {
                Ok(Self::Event { namespace, ack: id, args, attachments })
            }
            ('3' | '6', None) => {
                let id = id.ok_or(PacketError::AckId)?;
                Ok(Self::Ack { namespace, id, args: Vec::new(), attachments })
            }
            ('3' | '6', Some(Value::Array(args))) => {
                let id = id.ok_or(PacketError::AckId)?;
                Ok(Self::Ack { namespace, id, args, attachments })
            }
            ('4', Some(data @ (Value::Object(_) | Value::String(_)))) => {
                Ok(Self::ConnectError { namespace, data })
            }
            _ => Err(PacketError::Payload),
        }
    }

    /// Writes the packet, without its attachments.
    #[must_use]
    pub fn encode(&self) -> String {
        match self {
            Self::Connect { namespace, data } => {
                let data = data.as_ref().map_or_else(String::new, json);
                write(Head { kind: '0', namespace, ..Head::default() }, &data)
            }
            Self::Disconnect { namespace } => {
                write(Head { kind: '1', namespace, ..Head::default() }, "")
            }
            Self::Event { namespace, ack, args, attachments } => {
                encode_event(namespace, *ack, &json(args), *attachments)
            }
            Self::Ack { namespace, id, args, attachments } => {
                encode_ack(namespace, *id, &json(args), *attachments)
            }
            Self::ConnectError { namespace, data } => {
                write(Head { kind: '4', namespace, ..Head::default() }, &json(data))
            }
        }
    }
}

/// Writes an event whose name and arguments are a JSON array already.
#[must_use]
pub fn encode_event(namespace: &str, ack: Option<u64>, args: &str, attachments: usize) -> String {
    let kind = if attachments == 0 { '2' } else { '5' };
    write(Head { kind, attachments, namespace, id: ack }, args)
}

/// Writes an acknowledgement whose arguments are a JSON array already.
#[must_use]
pub fn encode_ack(namespace: &str, id: u64, args: &str, attachments: usize) -> String {
    let kind = if attachments == 0 { '3' } else { '6' };
    write(Head { kind, attachments, namespace, id: Some(id) }, args)
}

/// What stands before the payload.
#[derive(Default)]
struct Head<'a> {
    kind: char,
    attachments: usize,
    namespace: &'a str,
    id: Option<u64>,
}

fn write(head: Head<'_>, payload: &str) -> String {
    let mut text = String::with_capacity(32 + head.namespace.len() + payload.len());
    text.push(head.kind);
    if head.attachments > 0 {
        text.push_str(&head.attachments.to_string());
        text.push('-');
    }
    if head.namespace != MAIN {
        text.push_str(head.namespace);
        text.push(',');
    }
    if let Some(id) = head.id {
        text.push_str(&id.to_string());
    }
    text.push_str(payload);
    text
}

fn json(value: &impl Serialize) -> String {
    // Can't fail: these are JSON values, and written to memory.
    serde_json::to_string(value).unwrap_or_default()
}

fn number(digits: &str) -> Option<u64> {
    // `parse` would read a sign too.
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

/// Whether an array begins with what an event may be called.
fn names_event(args: &[Value]) -> bool {
    match args.first() {
        Some(Value::String(name)) => !RESERVED.contains(&name.as_str()),
        Some(Value::Number(_)) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::{MAIN, Map, Packet, PacketError, Value};

    fn namespace() -> impl Strategy<Value = String> {
        prop_oneof![Just(MAIN.to_owned()), "/[a-z0-9?=&-]{0,20}"]
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                object(inner).prop_map(Value::Object),
            ]
        })
    }

    fn object(inner: impl Strategy<Value = Value>) -> impl Strategy<Value = Map<String, Value>> {
        prop::collection::btree_map(".*", inner, 0..4).prop_map(|map| map.into_iter().collect())
    }

    fn args() -> impl Strategy<Value = Vec<Value>> {
        prop::collection::vec(value(), 0..4)
    }

    fn packet() -> impl Strategy<Value = Packet> {
        prop_oneof![
            (namespace(), prop::option::of(object(value())))
                .prop_map(|(namespace, data)| Packet::Connect { namespace, data }),
            namespace().prop_map(|namespace| Packet::Disconnect { namespace }),
            (namespace(), any::<Option<u64>>(), "[A-Z]+", args(), 0..=10_usize).prop_map(
                |(namespace, ack, name, mut args, attachments)| {
                    args.insert(0, name.into());
                    Packet::Event { namespace, ack, args, attachments }
                }
            ),
            (namespace(), any::<u64>(), args(), 0..=10_usize).prop_map(
                |(namespace, id, args, attachments)| Packet::Ack {
                    namespace,
                    id,
                    args,
                    attachments
                }
            ),
            (namespace(), object(value())).prop_map(|(namespace, data)| Packet::ConnectError {
                namespace,
                data: data.into()
            }),
        ]
    }

    proptest! {
        #[test]
        fn no_text_makes_the_decoder_panic(
            text in ".*",
            near in r#"[0-7][0-9]{0,3}-?(/[a-z]*,?)?[0-9]{0,30}[\[\{"a]{0,3}.*"#,
        ) {
            let _ = Packet::decode(&text, 10);
            let _ = Packet::decode(&near, 10);
        }

        #[test]
        fn a_packet_survives_the_wire(packet in packet()) {
            prop_assert_eq!(Packet::decode(&packet.encode(), 10), Ok(packet));
        }
    }

    #[test]
    fn the_namespace_of_a_connect_may_end_without_a_comma() {
        let namespace = "/custom".to_owned();
        assert_eq!(Packet::decode("0/custom", 0), Ok(Packet::Connect { namespace, data: None }));
    }

    #[test]
    fn a_binary_event_is_written_as_the_protocol_shows_it() {
        let event = Packet::Event {
            namespace: "/admin".to_owned(),
            ack: Some(456),
            args: vec![json!("project:delete"), json!({ "_placeholder": true, "num": 0 })],
            attachments: 1,
        };
        let text = r#"51-/admin,456["project:delete",{"_placeholder":true,"num":0}]"#;
        assert_eq!(event.encode(), text);
    }

    #[test]
    fn what_is_no_packet_is_told_apart() {
        let error = |text: &str| Packet::decode(text, 10).err();
        assert_eq!(error(""), Some(PacketError::UnknownType));
        assert_eq!(error("abc"), Some(PacketError::UnknownType));
        assert_eq!(error("7"), Some(PacketError::UnknownType));
        assert_eq!(error("2{}"), Some(PacketError::Payload));
        assert_eq!(error("2[]"), Some(PacketError::Payload));
        assert_eq!(error(r#"2["connect"]"#), Some(PacketError::Payload));
        assert_eq!(error("0[]"), Some(PacketError::Payload));
        assert_eq!(error("1{}"), Some(PacketError::Payload));
        assert_eq!(error("3[]"), Some(PacketError::AckId));
        assert_eq!(error(r#"299999999999999999999["a"]"#), Some(PacketError::AckId));
        assert_eq!(error(r#"5["a"]"#), Some(PacketError::Attachments));
        assert_eq!(error(r#"5-["a"]"#), Some(PacketError::Attachments));
        assert_eq!(error(r#"5+1-["a"]"#), Some(PacketError::Attachments));
        assert_eq!(error(r#"511-["a"]"#), Some(PacketError::TooManyAttachments));
        assert_eq!(error(&format!("0/{}", "a".repeat(300))), Some(PacketError::Namespace));
    }
}
