//! What is kept of a message: an [`Envelope`], by which it is found and its audience is decided, and
//! bytes that nobody looks into.
//!
//! A message is encoded once in its life, by whoever publishes it. All but its offset is known then;
//! that comes first in a frame, so the frame of a [`Record`] is what was encoded with the number put
//! before it.

use std::sync::Arc;

use bytes::Bytes;
use common::{
    Audience, ErrorCode, Member, MemberId, Mend, Mends, Message, MessageId, Offset, Refusal,
    RoomName, ServerFrame, SessionId, limits::REACTIONS, name::public_part,
};

use serde::Deserialize;
use serde_json::value::RawValue;

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
    /// What it does to another message.
    pub mends: Option<Mends>,
}

impl Envelope {
    /// Whether `later` lets go of this: takes it back, or does the same to the same message again.
    pub fn is_replaced_by(&self, later: &Self) -> bool {
        let Some(Mends { of, how }) = &later.mends else { return false };
        match &self.mends {
            None => *how == Mend::Retract && self.id == *of,
            Some(own) => {
                let again = own.how == *how && self.member == later.member;
                own.of == *of && (*how == Mend::Retract || again)
            }
        }
    }

    /// Whether `who` may read the message: the one place where audiences are decided.
    pub fn is_for(&self, who: &Who) -> bool {
        self.is_for_one(&who.member.id, who.session.as_ref())
    }

    fn is_for_one(&self, member: &MemberId, session: Option<&SessionId>) -> bool {
        match (&self.to, &self.session, session) {
            (Audience::All, ..) => true,
            (Audience::Others, Some(from), Some(session)) => from != session,
            // Whoever has no session (a page being rendered) is known by member alone.
            (Audience::Others, ..) => *member != self.member,
            (Audience::Own, from, session) => from.is_some() && from.as_ref() == session,
            (Audience::Only(ids), _, session) => ids.iter().any(|id| {
                let id = id.as_str();
                id == member.as_str() || session.is_some_and(|session| id == session.as_str())
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
        let guest = from.map(|from| {
            let said = (from, &message.value, &message.event, &message.to);
            let said = serde_json::to_vec(&said).unwrap_or_default();
            uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, &said).simple().to_string()
        });
        let (body, mends) = (body_of(&mut message), message.mends());
        let Message { id, room, at, from, to, .. } = message;
        let session = session.map(SessionId::to_public);
        Self {
            envelope: Envelope { room, id, at, member: from.id, session, to, mends },
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

    /// The draft, which names the message `target`, as it may be done to that: it is for those who may read the other, and
    /// nobody else. Nothing, where there is no such message.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] about the field `of`, or `value`: there is no such message for whoever says this, it is somebody else's,
    /// is itself done to another, or has as many reactions as it may.
    pub fn aimed(mut self, target: Option<&Record>) -> Result<Self, Refusal> {
        let Some(Mends { of, how }) = &self.envelope.mends else { return Ok(self) };
        let field = |field: &str, refusal: Refusal| {
            Err(Refusal { field: Some(field.to_owned()), ..refusal }
                .about(Some(self.envelope.id.as_str())))
        };
        let (member, session) = (&self.envelope.member, self.envelope.session.as_ref());
        // Whoever has said it knows of it, also where it is for others only.
        let is_known = |target: &&Record| {
            target.envelope.member == *member || target.envelope.is_for_one(member, session)
        };
        let Some(target) = target.filter(is_known) else {
            // Nobody learns of one that is for others.
            let message = format!("`of`: there is no message {of} that you can read");
            return field("of", Refusal::new(ErrorCode::NotFound, message));
        };
        if target.envelope.mends.is_some() {
            let message = format!("`of`: {of} is done to another message itself");
            return field("of", Refusal::new(ErrorCode::InvalidField, message));
        }
        if how.is_own() && target.envelope.member != *member {
            let message = format!("`of`: {of} was said by somebody else");
            return field("of", Refusal::new(ErrorCode::NotYours, message));
        }
        if *how == Mend::Reaction && self.would_be_too_many(target) {
            let unit = "reactions, with those of others";
            return field("value", Refusal::too_long("value", REACTIONS, unit));
        }
        if self.envelope.to != target.envelope.to
            && let Some(mut message) = self.message()
        {
            message.to = target.envelope.to.clone();
            self.body = body_of(&mut message).into();
        }
        self.envelope.to = target.envelope.to.clone();
        self.envelope.session = target.envelope.session.clone();
        Ok(self)
    }

    /// Whether `target` would have more reactions than a message may.
    fn would_be_too_many(&self, target: &Record) -> bool {
        let (Some(own), Some(target)) = (self.message(), target.message()) else { return false };
        let others = target.reactions.iter().flat_map(|reaction| &reaction.from);
        let others = others.filter(|from| from.id != self.envelope.member).count();
        others + own.value.as_array().map_or(0, Vec::len) > REACTIONS
    }

    fn message(&self) -> Option<Message> {
        let parts = [UNNUMBERED.as_bytes(), &self.body, b"}"];
        serde_json::from_slice(&parts.concat()).ok()
    }

    /// The draft with its number.
    pub fn numbered(self, offset: Offset) -> Arc<Record> {
        Record::new(self.envelope, offset, &self.body)
    }
}

/// The params of the frame of a message, from behind the offset to the closing brace.
fn body_of(message: &mut Message) -> Vec<u8> {
    message.offset = Offset(0);
    // Strings, numbers and maps with string keys always encode.
    let mut body = serde_json::to_vec(message).unwrap_or_default();
    body.drain(..UNNUMBERED.len().min(body.len()));
    body.pop();
    body
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

    /// The record as it is once `by`, which names it, is kept.
    pub fn mended(&self, by: &Self) -> Arc<Self> {
        let body = match (self.message(), by.message()) {
            (Some(mut message), Some(by)) => {
                message.mend(&by);
                body_of(&mut message)
            }
            // What is damaged stays as it is.
            _ => self.body().to_vec(),
        };
        Self::new(self.envelope.clone(), self.offset, &body)
    }

    /// What was said, as text: JSON, unless it is a text. Empty, if what was kept is damaged.
    pub fn text(&self) -> String {
        #[derive(Deserialize)]
        struct Said<'a> {
            #[serde(borrow)]
            value: &'a RawValue,
        }
        let said = serde_json::from_str::<Said<'_>>(self.params());
        let json = said.map(|said| said.value.get()).unwrap_or_default();
        serde_json::from_str(json).unwrap_or_else(|_| json.to_owned())
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
            of: None,
            edited: None,
            reactions: Vec::new(),
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
    fn what_was_said_is_text_or_json() {
        let text = |value: serde_json::Value| {
            Draft::new(Message { value, ..message() }, None).numbered(Offset(1)).text()
        };
        assert_eq!(text("회의\n\"록\"".into()), "회의\n\"록\"");
        assert_eq!(text(serde_json::json!({"b": "회의", "a": 1})), r#"{"b":"회의","a":1}"#);
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
