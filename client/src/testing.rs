//! What the tests of this crate have in common.

use common::{Audience, Member, MemberId, MemberName, Message, MessageId, Offset, RoomName};

pub(crate) fn id(text: &str) -> MessageId {
    MessageId::parse(text).unwrap()
}

pub(crate) fn ada() -> Member {
    Member { id: MemberId::parse("a").unwrap(), name: MemberName::parse("Ada").unwrap() }
}

/// Ada says its own id.
pub(crate) fn message(text: &str, offset: u64) -> Message {
    Message {
        value: text.into(),
        id: id(text),
        room: RoomName::lobby(),
        offset: Offset(offset),
        at: 0,
        from: ada(),
        event: None,
        to: Audience::All,
        of: None,
        edited: None,
        reactions: Vec::new(),
    }
}
