//! The newest part of a room's log, in memory.
//!
//! Everything behind [`Tail::start`] is in here; what is before it is read from the broker. Pure: no
//! lock, no clock, no wake-up; [`Room`](crate::room::Room) adds those.

use std::{collections::VecDeque, sync::Arc};

use common::{Epoch, Offset, Position};

use crate::{Limits, Record, broker::mend};

#[derive(Debug, Default)]
pub(crate) struct Tail {
    /// The life of the log it is part of; none before the room is followed.
    epoch: Option<Epoch>,
    records: VecDeque<Arc<Record>>,
    bytes: usize,
    start: Offset,
    head: Offset,
}

impl Tail {
    /// The room is followed from here on: what is before is to be read from the broker. Something may
    /// have been heard already.
    pub(crate) fn begin(&mut self, position: Position) {
        if self.epoch.as_ref().is_some_and(|epoch| *epoch != position.epoch) {
            *self = Self::default();
        }
        (self.epoch, self.start) = (Some(position.epoch), self.start.max(position.offset));
        self.head = self.head.max(position.offset);
    }

    /// Puts a record at the end, and lets go of the oldest that are too many. One that it has, or is
    /// behind of, is not heard again.
    pub(crate) fn push(&mut self, record: Arc<Record>, limits: &Limits) {
        if record.offset <= self.head {
            return;
        }
        self.head = record.offset;
        if mend(&mut self.records, &record) {
            self.bytes = self.records.iter().map(|record| record.frame.bytes().len()).sum();
        }
        self.bytes += record.frame.bytes().len();
        self.records.push_back(record);
        self.shrink(limits.tail_messages, limits.tail_bytes);
    }

    /// Lets go of the oldest records that are too many; the newest stays.
    pub(crate) fn shrink(&mut self, messages: usize, bytes: usize) {
        while self.records.len() > 1 && (self.records.len() > messages || self.bytes > bytes) {
            if let Some(gone) = self.records.pop_front() {
                self.bytes -= gone.frame.bytes().len();
                self.start = gone.offset;
            }
        }
    }

    /// Lets go of everything up to and including `gone`.
    pub(crate) fn let_go(&mut self, gone: Offset) {
        while let Some(first) = self.records.pop_front_if(|first| first.offset <= gone) {
            self.bytes -= first.frame.bytes().len();
        }
        self.start = self.start.max(gone);
        self.head = self.head.max(gone);
    }

    /// How many bytes of frames are in here.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The records behind `offset` of this life of the log, oldest first; `None` if the broker has to be
    /// asked for some.
    pub(crate) fn behind(
        &self,
        epoch: &Epoch,
        offset: Offset,
    ) -> Option<impl Iterator<Item = &Arc<Record>>> {
        (offset >= self.start && self.epoch.as_ref() == Some(epoch)).then(|| {
            let start = self.records.partition_point(|record| record.offset <= offset);
            self.records.range(start..)
        })
    }

    /// How many of the records in here are behind `offset`, and when the first of those was taken: milliseconds since 1970.
    pub(crate) fn unread(&self, offset: Offset) -> (usize, Option<u64>) {
        let start = self.records.partition_point(|record| record.offset <= offset);
        (self.records.len() - start, self.records.get(start).map(|record| record.envelope.at))
    }

    /// The life of the log.
    pub(crate) fn epoch(&self) -> Option<&Epoch> {
        self.epoch.as_ref()
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
        self.records.back().map_or(0, |record| record.envelope.at)
    }
}

#[cfg(test)]
mod tests {
    use common::{Member, MemberId, MemberName, Message, MessageId, RoomName};

    use super::*;
    use crate::Draft;

    fn record(offset: u64) -> Arc<Record> {
        let message = Message {
            offset: Offset(0),
            value: 1.into(),
            id: MessageId::parse(&offset.to_string()).unwrap(),
            room: RoomName::lobby(),
            at: offset,
            from: Member {
                id: MemberId::parse("a").unwrap(),
                name: MemberName::parse("A").unwrap(),
            },
            event: None,
            to: common::Audience::All,
            of: None,
            edited: None,
            reactions: Vec::new(),
        };
        Draft::new(message, None).numbered(Offset(offset))
    }

    fn offsets(tail: &Tail, epoch: &str, after: u64) -> Option<Vec<u64>> {
        let epoch = Epoch::parse(epoch).unwrap();
        let records = tail.behind(&epoch, Offset(after))?;
        Some(records.map(|record| record.offset.0).collect())
    }

    #[test]
    fn what_is_heard_while_a_room_is_being_opened_is_not_lost() {
        let mut tail = Tail::default();
        tail.push(record(7), &Limits::default());
        tail.begin("e:5".parse().unwrap());
        assert_eq!(offsets(&tail, "e", 5), Some(vec![7]));
        assert_eq!((offsets(&tail, "e", 4), offsets(&tail, "other", 5)), (None, None));
    }

    #[test]
    fn what_no_longer_fits_before_the_room_is_open_is_to_be_read() {
        let limits = Limits { tail_messages: 1, ..Limits::default() };
        let mut tail = Tail::default();
        (7..=8).for_each(|offset| tail.push(record(offset), &limits));
        tail.begin("e:5".parse().unwrap());
        assert_eq!((offsets(&tail, "e", 6), offsets(&tail, "e", 7)), (None, Some(vec![8])));
    }

    #[test]
    fn what_is_heard_twice_is_in_it_once() {
        let mut tail = Tail::default();
        tail.begin("e:5".parse().unwrap());
        for offset in [5, 6, 8, 6, 8] {
            tail.push(record(offset), &Limits::default());
        }
        assert_eq!(offsets(&tail, "e", 5), Some(vec![6, 8]));
        assert_eq!((tail.head(), tail.last_at()), (Offset(8), 8));
    }

    #[test]
    fn another_life_of_the_log_begins_with_an_empty_tail() {
        let mut tail = Tail::default();
        tail.begin("e:5".parse().unwrap());
        tail.push(record(9), &Limits::default());
        tail.begin("f:2".parse().unwrap());
        assert_eq!((tail.start(), tail.head()), (Offset(2), Offset(2)));
        assert_eq!(offsets(&tail, "f", 2), Some(vec![]));
    }

    #[test]
    fn as_much_is_held_as_may_be_and_it_is_known_how_much_that_is() {
        let frame = record(1).frame.bytes().len();
        for (messages, bytes, held) in [(2, 1 << 20, 2), (9, 2 * frame, 2), (9, 2 * frame - 1, 1)] {
            let limits = Limits { tail_messages: messages, tail_bytes: bytes, ..Limits::default() };
            let mut tail = Tail::default();
            tail.begin("e:0".parse().unwrap());
            (1..=5).for_each(|offset| tail.push(record(offset), &limits));
            assert_eq!((tail.records.len(), tail.bytes()), (held, held * frame));
        }
    }

    #[test]
    fn the_newest_record_stays_however_long_it_is() {
        let limits = Limits { tail_messages: 2, tail_bytes: 1, ..Limits::default() };
        let mut tail = Tail::default();
        tail.begin("e:0".parse().unwrap());
        (1..=3).for_each(|offset| tail.push(record(offset), &limits));
        assert_eq!((tail.start(), offsets(&tail, "e", 2)), (Offset(2), Some(vec![3])));
    }
}
