//! The packets of Engine.IO 4 and how they are written: one a WebSocket frame, or several in the
//! payload of one HTTP request.
//!
//! Start at [`Packet`]. The rule to keep: this is a pure codec, which takes whatever a stranger sends
//! and answers with packets or a [`PacketError`], never with a panic.

use axum::extract::ws::Utf8Bytes;
use base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;
use thiserror::Error;

/// What stands between the packets of a payload.
pub const SEPARATOR: char = '\x1e';

/// Padding is written; a packet without it is read too, as the reference does.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What an application says or hears.
///
/// A text that holds [`SEPARATOR`] arrives in pieces at a client on long-polling: the protocol has no
/// escape for it. JSON never holds it unescaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// A text.
    Text(Utf8Bytes),
    /// Bytes; in a payload they are written as base64.
    Binary(Bytes),
}

impl Message {
    /// Its size in bytes, before any encoding.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<Utf8Bytes> for Message {
    fn from(text: Utf8Bytes) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<Bytes> for Message {
    fn from(bytes: Bytes) -> Self {
        Self::Binary(bytes)
    }
}

/// One packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    /// `0`: the server's first, with the handshake as JSON.
    Open(String),
    /// `1`: the session ends.
    Close,
    /// `2`: the server's heartbeat, without a text, or a client's `probe` of a new transport.
    Ping(String),
    /// `3`: the answer to [`Packet::Ping`], with the same text.
    Pong(String),
    /// `4`, or bytes.
    Message(Message),
    /// `5`: the client moves over to the transport that this arrives on.
    Upgrade,
    /// `6`: ends a request that waits for packets.
    Noop,
}

/// Why something is no packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PacketError {
    /// There is not even a type.
    #[error("the packet is empty")]
    Empty,
    /// The first character is no type.
    #[error("{0:?} is no packet type")]
    UnknownType(char),
    /// What follows a `b` is not base64.
    #[error("the binary packet is not base64")]
    Base64,
}

impl Packet {
    /// Reads a packet from a text frame, or from its part of a payload.
    ///
    /// # Errors
    /// If there is no type at its beginning, or a `b` is not followed by base64.
    pub fn decode(text: &str) -> Result<Self, PacketError> {
        let mut chars = text.chars();
        let kind = chars.next().ok_or(PacketError::Empty)?;
        let data = chars.as_str();
        Ok(match kind {
            '0' => Self::Open(data.to_owned()),
            '1' => Self::Close,
            '2' => Self::Ping(data.to_owned()),
            '3' => Self::Pong(data.to_owned()),
            '4' => Self::Message(data.into()),
            '5' => Self::Upgrade,
            '6' => Self::Noop,
            'b' => {
                let bytes = BASE64.decode(data).map_err(|_| PacketError::Base64)?;
                Self::Message(Message::Binary(bytes.into()))
            }
            unknown => return Err(PacketError::UnknownType(unknown)),
        })
    }

    /// Writes the packet behind what `text` holds already, bytes as base64.
    pub fn encode_into(&self, text: &mut String) {
        let (kind, data) = match self {
            Self::Open(handshake) => ('0', handshake.as_str()),
            Self::Close => ('1', ""),
            Self::Ping(data) => ('2', data.as_str()),
            Self::Pong(data) => ('3', data.as_str()),
            Self::Message(Message::Text(data)) => ('4', data.as_str()),
            Self::Upgrade => ('5', ""),
            Self::Noop => ('6', ""),
            Self::Message(Message::Binary(bytes)) => {
                text.push('b');
                BASE64.encode_string(bytes, text);
                return;
            }
        };
        text.reserve(1 + data.len());
        text.push(kind);
        text.push_str(data);
    }

    /// The packet as a text, bytes as base64.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = String::new();
        self.encode_into(&mut text);
        text
    }
}

/// Reads the packets of a payload one by one, so that no more of them are in memory than their reader
/// wants. The first error is the last item.
pub fn decode_payload(payload: &str) -> impl Iterator<Item = Result<Packet, PacketError>> {
    let mut failed = false;
    payload.split(SEPARATOR).map_while(move |part| {
        let packet = (!failed).then(|| Packet::decode(part))?;
        failed = packet.is_err();
        Some(packet)
    })
}

/// Writes packets into one payload.
#[must_use]
pub fn encode_payload(packets: &[Packet]) -> String {
    let mut payload = String::new();
    for (index, packet) in packets.iter().enumerate() {
        if index > 0 {
            payload.push(SEPARATOR);
        }
        packet.encode_into(&mut payload);
    }
    payload
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packet() -> impl Strategy<Value = Packet> {
        // JSON and everything else that may stand in a payload.
        let text = "[^\x1e]*";
        prop_oneof![
            text.prop_map(Packet::Open),
            Just(Packet::Close),
            text.prop_map(Packet::Ping),
            text.prop_map(Packet::Pong),
            text.prop_map(|text| Packet::Message(text.into())),
            any::<Vec<u8>>().prop_map(|bytes| Packet::Message(Bytes::from(bytes).into())),
            Just(Packet::Upgrade),
            Just(Packet::Noop),
        ]
    }

    proptest! {
        #[test]
        fn no_text_makes_the_decoder_panic(text in ".*") {
            let _ = Packet::decode(&text);
            let _ = decode_payload(&text).count();
        }

        #[test]
        fn a_packet_survives_the_wire(packet in packet()) {
            prop_assert_eq!(Packet::decode(&packet.encode()), Ok(packet));
        }

        #[test]
        fn a_payload_survives_the_wire(packets in prop::collection::vec(packet(), 1..8)) {
            let read: Result<Vec<_>, _> = decode_payload(&encode_payload(&packets)).collect();
            prop_assert_eq!(read, Ok(packets));
        }
    }

    #[test]
    fn a_payload_is_read_up_to_its_first_error() {
        let read: Vec<_> = decode_payload("4a\x1ex\x1e4b").collect();
        let expected =
            [Ok(Packet::Message("a".into())), Err(PacketError::UnknownType('x'))].to_vec();
        assert_eq!(read, expected);
    }

    #[test]
    fn base64_is_read_without_its_padding() {
        let four = Packet::Message(Bytes::from_static(&[1, 2, 3, 4]).into());
        assert_eq!(Packet::decode("bAQIDBA"), Ok(four.clone()));
        assert_eq!(four.encode(), "bAQIDBA==");
        assert_eq!(Packet::decode("b*"), Err(PacketError::Base64));
        assert_eq!(Packet::decode(""), Err(PacketError::Empty));
    }
}
