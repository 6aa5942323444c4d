//! The newest part of a room's log, in memory, encoded once for all readers.
//!
//! Everything behind [`Tail::start`] is in here; what is before it is read from the broker. Pure: no
//! lock, no clock, no wake-up; [`Room`](crate::room::Room) adds those.

use std::collections::VecDeque;

use bytes::Bytes;
use common::{Audience, MemberId, Message, Offset, ServerFrame, SessionId};

use crate::{Limits, Viewer, broker::Record};

/// One message, ready to be written to its readers.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) offset: Offset,
    /// When it was taken, milliseconds since 1970.
    pub(crate) at: u64,
    /// The `message` frame; cloning shares the bytes.
    pub(crate) frame: Bytes,
    /// Who may read it, where not everyone may.
    private: Option<Box<Private>>,
}

/// The audience of a message that is not for all, and who counts as its sender.
#[derive(Clone, Debug)]
struct Private {
    to: Audience,
    session: SessionId,
    member: MemberId,
}

impl From<&Record> for Entry {
    fn from(record: &Record) -> Self {
        let Record { session, message } = record;
        let private = (message.to != Audience::All).then(|| {
            Box::new(Private {
                to: message.to.clone(),
                session: session.clone(),
                member: message.from.id.clone(),
            })
        });
        let (offset, at) = (message.offset, message.at);
        let frame = ServerFrame::Message(message.clone()).encode().into();
        Self { offset, at, frame, private }
    }
}

impl Entry {
    /// Whether `viewer` may read this message: the one place where audiences are decided.
    pub(crate) fn is_for(&self, viewer: &Viewer) -> bool {
        let Some(private) = &self.private else { return true };
        match (&private.to, &viewer.session) {
            (Audience::All, _) => true,
            (Audience::Others, Some(session)) => *session != private.session,
            // Whoever has no session (a page being rendered) is known by member alone.
            (Audience::Others, None) => viewer.member != private.member,
            (Audience::Own, session) => session.as_ref() == Some(&private.session),
            (Audience::Only(ids), session) => ids.iter().any(|id| {
                id == viewer.member.as_str()
                    || session
                        .as_ref()
                        .is_some_and(|session| id == session.as_str() || id == session.public())
            }),
        }
    }

    /// The message in the frame.
    pub(crate) fn message(&self) -> Option<Message> {
        match ServerFrame::parse(std::str::from_utf8(&self.frame).ok()?) {
            Ok(Some(ServerFrame::Message(message))) => Some(message),
            _ => None,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Tail {
    entries: VecDeque<Entry>,
    bytes: usize,
    start: Offset,
    head: Offset,
    last_at: u64,
}

impl Tail {
    /// An empty tail: everything up to and including `start` is to be read from the broker.
    pub(crate) fn new(start: Offset) -> Self {
        Self { entries: VecDeque::new(), bytes: 0, start, head: start, last_at: 0 }
    }

    pub(crate) fn push(&mut self, entry: Entry, limits: &Limits) {
        self.head = entry.offset;
        self.last_at = entry.at;
        self.bytes += entry.frame.len();
        self.entries.push_back(entry);
        while self.entries.len() > 1
            && (self.entries.len() > limits.tail_messages || self.bytes > limits.tail_bytes)
        {
            if let Some(gone) = self.entries.pop_front() {
                self.bytes -= gone.frame.len();
                self.start = gone.offset;
            }
        }
    }

    /// The entries behind `offset`, oldest first; `None` if the broker has to be asked for some.
    pub(crate) fn behind(&self, offset: Offset) -> Option<impl Iterator<Item = &Entry>> {
        (offset >= self.start).then(|| {
            let start = self.entries.partition_point(|entry| entry.offset <= offset);
            self.entries.range(start..)
        })
    }

    /// Everything behind this offset is in here.
    pub(crate) fn start(&self) -> Offset {
        self.start
    }

    /// The newest offset in here; the start, if it is empty.
    pub(crate) fn head(&self) -> Offset {
        self.head
    }

    /// When the newest message in here was taken, milliseconds since 1970; 0 if it is empty.
    pub(crate) fn last_at(&self) -> u64 {
        self.last_at
    }
}
