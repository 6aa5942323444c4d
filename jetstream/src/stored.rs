//! What is stored of a room: messages, and that something of it was let go of.
//!
//! A line of JSON that says what it is; of a message its [`Draft::body`] comes behind that, which nobody looks into.

use bytes::Bytes;
use common::{Audience, MemberId, Mend, Mends, MessageId, Offset, RoomName, SessionId};
use hub::{Draft, Envelope};
use serde::{Deserialize, Serialize};

/// Something in the log of a room.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Stored {
    /// Something was said.
    Said {
        draft: Draft,
        /// Where the message is that it names.
        target: Option<Offset>,
    },
    /// All up to this offset was let go of.
    LetGo(Offset),
}

/// The line before the body.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Said(Said),
    LetGo(Offset),
}

#[derive(Serialize, Deserialize)]
struct Said {
    id: MessageId,
    at: u64,
    member: MemberId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    session: Option<SessionId>,
    #[serde(default, skip_serializing_if = "is_all")]
    to: Audience,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    of: Option<MessageId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    how: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target: Option<Offset>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    guest: Option<String>,
}

fn is_all(to: &Audience) -> bool {
    *to == Audience::All
}

impl Stored {
    pub(crate) fn encode(&self) -> Bytes {
        let (line, body) = match self {
            Self::LetGo(up_to) => (Line::LetGo(*up_to), &b""[..]),
            Self::Said { draft: Draft { envelope, body, guest }, target } => {
                let Envelope { id, at, member, session, to, mends, .. } = envelope.clone();
                let how = mends.as_ref().map(|mends| mends.how.word().to_owned());
                let (of, guest) = (mends.map(|mends| mends.of), guest.clone());
                let said = Said { id, at, member, session, to, of, how, target: *target, guest };
                (Line::Said(said), &body[..])
            }
        };
        // Texts and numbers always encode.
        let mut bytes = serde_json::to_vec(&line).unwrap_or_default();
        bytes.push(b'\n');
        bytes.extend_from_slice(body);
        bytes.into()
    }

    /// What `bytes` are, in `room`.
    ///
    /// # Errors
    ///
    /// In words, what is wrong with them.
    pub(crate) fn decode(room: &RoomName, bytes: &Bytes) -> Result<Self, String> {
        let end = bytes.iter().position(|byte| *byte == b'\n').ok_or("it has no line")?;
        let line = serde_json::from_slice(&bytes[..end]).map_err(|error| error.to_string())?;
        let said = match line {
            Line::LetGo(up_to) => return Ok(Self::LetGo(up_to)),
            Line::Said(said) => said,
        };
        let Said { id, at, member, session, to, of, how, target, guest } = said;
        let mends = match (of, how) {
            (Some(of), Some(how)) => {
                let how = Mend::parse(&how).ok_or_else(|| format!("nothing is done by {how}"))?;
                Some(Mends { of, how })
            }
            _ => None,
        };
        let envelope = Envelope { room: room.clone(), id, at, member, session, to, mends };
        let body = bytes.slice(end + 1..);
        Ok(Self::Said { draft: Draft { envelope, body, guest }, target })
    }
}

#[cfg(test)]
mod tests {
    use hub::contract::message;

    use super::*;

    #[test]
    fn what_is_stored_comes_back() {
        let room = RoomName::parse("tea").unwrap();
        let session = SessionId::parse("tab.secret").unwrap();
        let mut said = message("tea", "m1", 7);
        said.value = "two\nlines".into();
        said.to = Audience::Only(vec!["bob".to_owned()]);
        let mut back = message("tea", "b1", 8);
        back.event = common::EventName::parse("retract").ok();
        back.of = MessageId::parse("m1").ok();
        for (draft, target) in [
            (Draft::from_guest(said, Some(&session), Some("here")), None),
            (Draft::new(back, None), Some(Offset(3))),
        ] {
            let stored = Stored::Said { draft, target };
            assert_eq!(Stored::decode(&room, &stored.encode()), Ok(stored));
        }
        let gone = Stored::LetGo(Offset(12));
        assert_eq!(Stored::decode(&room, &gone.encode()), Ok(gone));
        for bad in ["", "{}\n", "{\"said\":{\"id\":\"m1\"}}\n", "{\"let_go\":-1}\n"] {
            assert!(Stored::decode(&room, &Bytes::from(bad)).is_err(), "{bad}");
        }
    }
}
