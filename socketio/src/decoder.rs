//! Puts packets and the attachments that follow them together.
//!
//! Start at [`Decoder::add`]. The rule to keep: what waits for its last attachment is bounded, in
//! number and in bytes.

use axum::extract::ws::Utf8Bytes;
use bytes::Bytes;
use serde_json::Value;
use thiserror::Error;

use crate::{
    engine::Message,
    packet::{Packet, PacketError},
};

/// Reads one client's messages.
#[derive(Debug)]
pub struct Decoder {
    max_attachments: usize,
    max_bytes: usize,
    waiting: Option<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    /// The packet as it came: read, it can be forty times as large.
    text: Utf8Bytes,
    missing: usize,
    bytes: usize,
    attachments: Vec<Bytes>,
}

/// Why a client's messages can't be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// A text is no packet.
    #[error(transparent)]
    Packet(#[from] PacketError),
    /// A text came while attachments were missing.
    #[error("a text instead of an attachment")]
    Text,
    /// Bytes came that belong to nothing.
    #[error("an attachment without its packet, or another parser's packet")]
    Stray,
    /// The attachments of one packet are too many bytes.
    #[error("the attachments are too big")]
    TooBig,
    /// A placeholder stands for no attachment.
    #[error("a placeholder without its attachment")]
    Placeholder,
}

impl Decoder {
    /// A decoder that takes so many attachments a packet, and so many bytes of them.
    #[must_use]
    pub fn new(max_attachments: usize, max_bytes: usize) -> Self {
        Self { max_attachments, max_bytes, waiting: None }
    }

    /// Takes the next message; comes to a packet with all its attachments, once it is complete. The
    /// placeholders `{"_placeholder":true,"num":0}` stay where they are and are good indices.
    ///
    /// # Errors
    /// If the client must be closed for it. The reference ends a connection for all of these.
    pub fn add(&mut self, message: Message) -> Result<Option<(Packet, Vec<Bytes>)>, DecodeError> {
        let waiting = match (message, self.waiting.take()) {
            (Message::Text(_), Some(_)) => return Err(DecodeError::Text),
            (Message::Binary(_), None) => return Err(DecodeError::Stray),
            (Message::Text(text), None) => {
                let packet = Packet::decode(&text, self.max_attachments)?;
                let missing = match &packet {
                    Packet::Event { attachments, .. } | Packet::Ack { attachments, .. } => {
                        *attachments
                    }
                    _ => 0,
                };
                if missing == 0 {
                    return Ok(Some((packet, Vec::new())));
                }
                self.waiting = Some(Waiting { text, missing, bytes: 0, attachments: Vec::new() });
                return Ok(None);
            }
            (Message::Binary(bytes), Some(mut waiting)) => {
                waiting.missing -= 1;
                waiting.bytes += bytes.len();
                if waiting.bytes > self.max_bytes {
                    return Err(DecodeError::TooBig);
                }
                waiting.attachments.push(bytes);
                waiting
            }
        };
        if waiting.missing > 0 {
            self.waiting = Some(waiting);
            return Ok(None);
        }
        let packet = Packet::decode(&waiting.text, self.max_attachments)?;
        if let Packet::Event { args, attachments, .. } | Packet::Ack { args, attachments, .. } =
            &packet
            && !args.iter().all(|arg| has_its_attachments(arg, *attachments))
        {
            return Err(DecodeError::Placeholder);
        }
        Ok(Some((packet, waiting.attachments)))
    }
}

/// The depth is bounded: `serde_json` reads no more than 128 levels.
fn has_its_attachments(value: &Value, count: usize) -> bool {
    match value {
        Value::Array(items) => items.iter().all(|item| has_its_attachments(item, count)),
        Value::Object(object) if object.get("_placeholder") == Some(&Value::Bool(true)) => {
            let index = object.get("num").and_then(Value::as_u64);
            index.and_then(|index| usize::try_from(index).ok()).is_some_and(|index| index < count)
        }
        Value::Object(object) => object.values().all(|item| has_its_attachments(item, count)),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(bytes: &'static [u8]) -> Message {
        Bytes::from_static(bytes).into()
    }

    #[test]
    fn a_packet_is_complete_with_its_last_attachment() {
        let mut decoder = Decoder::new(10, 100);
        let text = r#"52-["a",{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]"#;
        assert_eq!(decoder.add(text.into()), Ok(None));
        assert_eq!(decoder.add(bytes(b"x")), Ok(None));
        let complete = decoder.add(bytes(b"y"));
        let attachments = vec![Bytes::from_static(b"x"), Bytes::from_static(b"y")];
        assert!(matches!(complete, Ok(Some((Packet::Event { .. }, got))) if got == attachments));
        assert_eq!(decoder.add(bytes(b"z")), Err(DecodeError::Stray));
    }

    #[test]
    fn what_does_not_belong_together_is_refused() {
        let add = |messages: &[Message]| {
            let mut decoder = Decoder::new(10, 3);
            messages.iter().map(|message| decoder.add(message.clone())).find_map(Result::err)
        };
        let waits = Message::from(r#"51-["a"]"#);
        assert_eq!(add(&[waits.clone(), "2[\"b\"]".into()]), Some(DecodeError::Text));
        assert_eq!(add(&[waits, bytes(b"four")]), Some(DecodeError::TooBig));
        let wrong = Message::from(r#"51-["a",[{"_placeholder":true,"num":1}]]"#);
        assert_eq!(add(&[wrong, bytes(b"x")]), Some(DecodeError::Placeholder));
    }

    proptest! {
        #[test]
        fn no_sequence_makes_the_decoder_panic(
            messages in prop::collection::vec(
                prop_oneof![
                    ".*".prop_map(Message::from),
                    r#"5[0-3]-\["a"\]"#.prop_map(Message::from),
                    Just(Message::from(Bytes::from_static(b"x"))),
                ],
                0..16,
            )
        ) {
            let mut decoder = Decoder::new(2, 100);
            for message in messages {
                let _ = decoder.add(message);
            }
        }
    }
}
