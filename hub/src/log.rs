//! The log of one room: numbered, append-only, bounded by count and bytes.
//!
//! Pure: no lock, no clock, no wake-up; [`Room`](crate::room::Room) adds those.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use bytes::Bytes;
use common::{Audience, MemberId, MessageId, Offset, SessionId};

use crate::{Limits, Viewer};

/// One message in the log.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) offset: Offset,
    /// The `message` frame, encoded once for all readers.
    pub(crate) frame: Bytes,
    /// Who may read it, where not everyone may.
    pub(crate) private: Option<Box<Private>>,
}

/// The audience of a message that is not for all, and who counts as its sender.
#[derive(Debug)]
pub(crate) struct Private {
    pub(crate) to: Audience,
    pub(crate) session: SessionId,
    pub(crate) member: MemberId,
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
                    || session.as_ref().is_some_and(|session| id == session.as_str())
            }),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Log {
    entries: VecDeque<Entry>,
    bytes: usize,
    /// Everything up to and including this offset is gone.
    floor: Offset,
    head: Offset,
    ids: HashMap<MessageId, Offset>,
    /// Ids by age, with the time each was taken (milliseconds since 1970).
    ids_by_age: VecDeque<(u64, MessageId)>,
    last_at: u64,
}

impl Log {
    /// An empty log behind `floor`.
    pub(crate) fn new(floor: Offset) -> Self {
        Self {
            entries: VecDeque::new(),
            bytes: 0,
            floor,
            head: floor,
            ids: HashMap::new(),
            ids_by_age: VecDeque::new(),
            last_at: 0,
        }
    }

    /// The offset under which `id` was stored, while it is remembered.
    pub(crate) fn offset_of(&self, id: &MessageId) -> Option<Offset> {
        self.ids.get(id).copied()
    }

    /// Appends a message that was taken `at` milliseconds since 1970, and lets go of the oldest that
    /// are over the limits. The newest message stays, whatever its size.
    pub(crate) fn push(&mut self, entry: Entry, id: MessageId, at: u64, limits: &Limits) {
        self.head = entry.offset;
        self.last_at = at;
        self.bytes += entry.frame.len();
        self.ids.insert(id.clone(), entry.offset);
        self.ids_by_age.push_back((at, id));
        self.entries.push_back(entry);
        while self.entries.len() > 1
            && (self.entries.len() > limits.room_messages || self.bytes > limits.room_bytes)
        {
            if let Some(gone) = self.entries.pop_front() {
                self.bytes -= gone.frame.len();
                self.floor = gone.offset;
            }
        }
        self.forget_ids(at, limits.remember_ids);
    }

    /// An id is remembered while its message is kept, and for `remember` at the least.
    fn forget_ids(&mut self, now: u64, remember: Duration) {
        let remember = remember.as_millis() as u64;
        while let Some((at, id)) = self.ids_by_age.front() {
            let kept = self.ids.get(id).is_some_and(|offset| *offset > self.floor);
            if kept || now.saturating_sub(*at) <= remember {
                return;
            }
            self.ids.remove(id);
            self.ids_by_age.pop_front();
        }
    }

    /// The entries behind `offset`, oldest first.
    pub(crate) fn behind(
        &self,
        offset: Offset,
    ) -> impl DoubleEndedIterator<Item = &Entry> + ExactSizeIterator {
        let start = self.entries.partition_point(|entry| entry.offset <= offset);
        self.entries.range(start..)
    }

    /// Everything up to and including this offset is gone.
    pub(crate) fn floor(&self) -> Offset {
        self.floor
    }

    /// The newest offset; the floor in an empty log.
    pub(crate) fn head(&self) -> Offset {
        self.head
    }

    /// When the newest message was taken, milliseconds since 1970; 0 before the first.
    pub(crate) fn last_at(&self) -> u64 {
        self.last_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(log: &mut Log, offset: u64, at: u64, limits: &Limits) {
        let frame = Bytes::from(vec![b'x'; 10]);
        let entry = Entry { offset: Offset(offset), frame, private: None };
        log.push(entry, MessageId::parse(&format!("m{offset}")).unwrap(), at, limits);
    }

    fn offsets(log: &Log, after: u64) -> Vec<u64> {
        log.behind(Offset(after)).map(|entry| entry.offset.0).collect()
    }

    #[test]
    fn a_log_keeps_no_more_messages_than_its_limit() {
        let limits = Limits { room_messages: 3, ..Limits::default() };
        let mut log = Log::new(Offset(0));
        (1..=5).for_each(|offset| push(&mut log, offset, 0, &limits));
        assert_eq!(offsets(&log, 0), [3, 4, 5]);
        assert_eq!(log.floor(), Offset(2));
    }

    #[test]
    fn a_log_keeps_no_more_bytes_than_its_limit() {
        let limits = Limits { room_bytes: 25, ..Limits::default() };
        let mut log = Log::new(Offset(0));
        (1..=5).for_each(|offset| push(&mut log, offset, 0, &limits));
        assert_eq!(offsets(&log, 0), [4, 5]);
    }

    #[test]
    fn the_newest_message_is_kept_even_if_it_alone_is_over_the_limit() {
        let limits = Limits { room_bytes: 5, ..Limits::default() };
        let mut log = Log::new(Offset(0));
        (1..=2).for_each(|offset| push(&mut log, offset, 0, &limits));
        assert_eq!(offsets(&log, 0), [2]);
    }

    #[test]
    fn a_read_starts_behind_the_position_even_where_numbers_are_missing() {
        let mut log = Log::new(Offset(0));
        for offset in [2, 5, 9] {
            push(&mut log, offset, 0, &Limits::default());
        }
        assert_eq!(offsets(&log, 0), [2, 5, 9]);
        assert_eq!(offsets(&log, 3), [5, 9]);
        assert_eq!(offsets(&log, 5), [9]);
        assert_eq!(offsets(&log, 9), [0_u64; 0]);
    }

    #[test]
    fn an_id_is_remembered_for_an_hour_although_its_message_is_gone() {
        let limits = Limits { room_messages: 1, ..Limits::default() };
        let hour = 3_600_000;
        let id = MessageId::parse("m1").unwrap();
        let mut log = Log::new(Offset(0));
        push(&mut log, 1, 0, &limits);
        push(&mut log, 2, hour, &limits);
        assert_eq!(log.offset_of(&id), Some(Offset(1)));
        push(&mut log, 3, hour + 1, &limits);
        assert_eq!(log.offset_of(&id), None);
    }
}
