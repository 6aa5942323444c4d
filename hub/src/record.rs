//! What is kept of a message: an [`Envelope`], by which it is found and its audience is decided, and
//! bytes that nobody looks into.
//!
//! A message is encoded once in its life, by whoever publishes it. All but its offset is known then;
//! that comes first in a frame, so the frame of a [`Record`] is what was encoded with the number put
//! before it.

use std::sync::Arc;

use bytes::Bytes;
use common::{
    Audience, Member, MemberId, Message, MessageId, Offset, RoomName, ServerFrame, SessionId,
    name::public_part,
};

use crate::Frame;

/// What a message frame has before the offset, and between that and the rest.
const BEFORE: &str = r#"{"type":"message","params":{"offset":"#;
/// What an encoded message begins with that has no offset yet.
const UNNUMBERED: &str = r#"{"offset":0,"#;

/// Somebody in a room, or looking into one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// Who it is.
    pub member: Member,
    /// The public part of the session; none while a page is rendered.
    pub session: Option<SessionId>,
    /// Where a guest comes from, who shows no token: without its session it is another member each time.
    pub guest_from: Option<String>,
}

impl Who {
    /// `member` by `session`, of which only the public part is kept.
    pub fn new(member: Member, session: &SessionId) -> Self {
        Self { member, session: Some(session.to_public()), guest_from: None }
    }
}

/// What of a message the hub and the brokers look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The room it was said in.
    pub room: RoomName,
    /// Its id.
    pub id: MessageId,
    /// When it was taken: milliseconds since 1970, UTC.
    pub at: u64,
    /// The member who said it.
    pub member: MemberId,
    /// The public part of the session that did.
    pub session: Option<SessionId>,
    /// Whom it is for.
    pub to: Audience,
}

impl Envelope {
    /// Whether `who` may read the message: the one place where audiences are decided.
    pub fn is_for(&self, who: &Who) -> bool {
        match (&self.to, &self.session, &who.session) {
            (Audience::All, ..) => true,
            (Audience::Others, Some(from), Some(session)) => from != session,
            // Whoever has no session (a page being rendered) is known by member alone.
            (Audience::Others, ..) => who.member.id != self.member,
            (Audience::Own, from, session) => from.is_some() && from == session,
            (Audience::Only(ids), _, session) => ids.iter().any(|id| {
                let id = id.as_str();
                id == who.member.id.as_str()
                    || session.as_ref().is_some_and(|session| id == session.as_str())
            }),
        }
    }
}

/// A message that is to be kept: it has no offset yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// What is looked at.
    pub envelope: Envelope,
    /// The params of its frame from behind the offset to the closing brace.
    pub body: Bytes,
    /// Of what a guest says: a digest of where it comes from and of what it says. One who shows no token and tries
    /// again is known by it.
    pub guest: Option<String>,
}

impl Draft {
    /// Encodes `message`, which `session` says; its offset does not count. Sessions are kept and shown
    /// by their public part only.
    pub fn new(message: Message, session: Option<&SessionId>) -> Self {
        Self::from_guest(message, session, None)
    }

    /// As [`Draft::new`], of somebody who shows no token and comes `from` there.
    pub fn from_guest(
        mut message: Message,
        session: Option<&SessionId>,
        from: Option<&str>,
    ) -> Self {
        if let Audience::Only(ids) = &mut message.to {
            ids.iter_mut().for_each(|id| *id = public_part(id).to_owned());
        }
        message.offset = Offset(0);
        let guest = from.map(|from| {
            let said = (from, &message.value, &message.event, &message.to);
            let said = serde_json::to_vec(&said).unwrap_or_default();
            uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, &said).simple().to_string()
        });
        // Strings, numbers and maps with string keys always encode.
        let mut body = serde_json::to_vec(&message).unwrap_or_default();
        body.drain(..UNNUMBERED.len().min(body.len()));
        body.pop();
        let Message { id, room, at, from, to, .. } = message;
        let session = session.map(SessionId::to_public);
        Self {
            envelope: Envelope { room, id, at, member: from.id, session, to },
            body: body.into(),
            guest,
        }
    }

    /// Whether this is by `member`, or by a guest with that digest, who said something under the same id before. If
    /// not, one of the two has the id from somewhere.
    pub fn is_by(&self, member: &str, guest: Option<&str>) -> bool {
        self.envelope.member.as_str() == member
            || (guest.is_some() && self.guest.as_deref() == guest)
    }

    /// The draft with its number.
    pub fn numbered(self, offset: Offset) -> Arc<Record> {
        Record::new(self.envelope, offset, &self.body)
    }
}

/// A message that is kept; all its readers share it.
#[derive(Debug)]
pub struct Record {
    /// Its number.
    pub offset: Offset,
    /// What is looked at.
    pub envelope: Envelope,
    /// The `message` frame.
    pub frame: Frame,
}

impl Record {
    /// Puts together what a broker has kept: [`Draft::body`] and the rest of it.
    pub fn new(envelope: Envelope, offset: Offset, body: &[u8]) -> Arc<Self> {
        let number = offset.to_string();
        let parts = [BEFORE.as_bytes(), number.as_bytes(), b",", body, b"}}"];
        Arc::new(Self { offset, envelope, frame: Frame::new(parts.concat().into()) })
    }

    /// What [`Draft::body`] was.
    pub fn body(&self) -> &[u8] {
        let frame = self.frame.bytes();
        let before = BEFORE.len() + self.offset.to_string().len() + 1;
        &frame[before..frame.len() - 2]
    }

    /// The params of the `message` frame, as they are written there.
    pub fn params(&self) -> &str {
        ServerFrame::params_of(self.frame.bytes()).unwrap_or_default()
    }

    /// The message in the frame; `None` if what was kept is damaged.
    pub fn message(&self) -> Option<Message> {
        serde_json::from_str(self.params()).ok()
    }
}

#[cfg(test)]
mod tests {
    use common::{EventName, MemberName};

    use super::*;

    fn message() -> Message {
        Message {
            offset: Offset(7),
            value: serde_json::json!({"a": "}"}),
            id: MessageId::parse("m1").unwrap(),
            room: RoomName::parse("tea").unwrap(),
            at: 3,
            from: Member {
                id: MemberId::parse("ada").unwrap(),
                name: MemberName::parse("Ada").unwrap(),
            },
            event: Some(EventName::parse("move").unwrap()),
            to: Audience::Only(vec!["bob".to_owned()]),
        }
    }

    #[test]
    fn a_record_has_the_very_frame_that_encoding_the_message_gives() {
        let record = Draft::new(message(), None).numbered(Offset(7));
        let frame = ServerFrame::Message(message()).encode();
        assert_eq!(record.frame.bytes(), frame.as_bytes());
        assert_eq!(record.message(), Some(message()));
    }

    #[test]
    fn what_is_kept_of_a_record_makes_the_same_record_again() {
        let record = Draft::new(message(), None).numbered(Offset(120));
        let again = Record::new(record.envelope.clone(), record.offset, record.body());
        assert_eq!(again.frame.bytes(), record.frame.bytes());
    }

    #[test]
    fn of_a_session_only_the_public_part_is_kept_or_shown() {
        let secret = SessionId::parse("tab.secret").unwrap();
        let to = Audience::Only(vec![secret.to_string(), "bob".to_owned()]);
        let draft = Draft::new(Message { to, ..message() }, Some(&secret));
        let shown = ["tab".to_owned(), "bob".to_owned()];
        assert_eq!(draft.envelope.session.as_ref().unwrap().as_str(), "tab");
        assert_eq!(draft.envelope.to, Audience::Only(shown.to_vec()));
        assert!(!String::from_utf8_lossy(&draft.body).contains("secret"));
        let tab = Who::new(message().from, &secret);
        assert!(draft.envelope.is_for(&tab));
    }
}
