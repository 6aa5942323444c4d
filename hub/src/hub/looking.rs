//! Looking at a room without reading on in it: its newest messages, those around one, those that are searched for.
//!
//! What is done to messages is not shown: they are as it has left them. The rule to keep: a look has an end, however long the
//! room, and opens none.

use std::sync::Arc;

use common::{Offset, Position, RoomName};

use super::Hub;
use crate::{
    Query, Record, Who,
    broker::{BrokerError, Part, Read},
};

/// How many bytes of messages somebody gets who looks at a room; the last may go beyond.
const LOOK_BYTES: usize = 128 * 1024;
/// How many messages are looked at at a time, at the least, where the first were not enough.
const LOOK_RECORDS: usize = 100;
/// How many pages of a room are looked through for messages that somebody may read.
const PAGES: usize = 5;

/// How many messages are looked through at once for what somebody searches.
const SEARCHED: usize = 10_000;
/// How many of them are read at a time, and how many bytes.
const SEARCHED_PAGE: usize = 500;
const SEARCHED_PAGE_BYTES: usize = 512 * 1024;

/// A stretch of a room's messages, and the position behind them.
#[derive(Clone, Debug)]
pub struct Stretch {
    /// Oldest first.
    pub records: Vec<Arc<Record>>,
    /// Reading on from here misses nothing.
    pub position: Position,
    /// There may be older ones.
    pub older: bool,
}

/// What was found in a room.
#[derive(Clone, Debug)]
pub struct Found {
    /// Oldest first.
    pub records: Vec<Arc<Record>>,
    /// Everything up to here was there to be found.
    pub position: Position,
    /// Looking on before this offset may find more; nothing, if all was looked through.
    pub before: Option<Offset>,
}

impl Hub {
    /// The newest `limit` messages of `room` that `who` may read; those before an offset, if one is given;
    /// fewer if there are many bytes of them.
    ///
    /// # Errors
    ///
    /// [`BrokerError`] when the log can't be read now.
    pub async fn latest(
        &self,
        room: &RoomName,
        who: &Who,
        before: Option<Offset>,
        limit: usize,
    ) -> Result<Stretch, BrokerError> {
        let (mut records, mut behind, mut bytes, mut older) = (Vec::new(), None, 0, true);
        let mut end = before.unwrap_or(Offset(u64::MAX));
        for _ in 0..PAGES {
            let (part, at_least) = (Part::Before(end), Offset(0));
            // Mostly the first are enough; else what is for others, or done to messages, stands between them.
            let more = if behind.is_none() { limit } else { limit.max(LOOK_RECORDS) };
            let read = Read { part, records: more, bytes: LOOK_BYTES, at_least };
            let page = self.history.broker().read(room, read).await?;
            behind.get_or_insert_with(|| {
                // More may have been kept between the look at the head and the reading.
                let read = page.records.last().map_or(page.head, |last| page.head.max(last.offset));
                let last =
                    before.map_or(read, |before| Offset(before.0.saturating_sub(1)).min(read));
                Position { epoch: page.epoch.clone(), offset: last }
            });
            older = !page.complete;
            for record in page.records.iter().rev().filter(|record| is_shown(record, who)) {
                if records.len() < limit && bytes < LOOK_BYTES {
                    bytes += record.frame.bytes().len();
                    records.push(record.clone());
                } else {
                    older = true;
                }
            }
            end = page.records.first().map_or(end, |oldest| oldest.offset);
            if records.len() == limit || bytes >= LOOK_BYTES || page.complete {
                break;
            }
        }
        records.reverse();
        let nowhere = || BrokerError::Unavailable("nothing was read".to_owned());
        Ok(Stretch { records, position: behind.ok_or_else(nowhere)?, older })
    }

    /// The messages of `room` that `who` may read around an offset: up to `limit` up to it, and as many behind
    /// it.
    ///
    /// # Errors
    ///
    /// [`BrokerError`] when the log can't be read now.
    pub async fn around(
        &self,
        room: &RoomName,
        who: &Who,
        at: Offset,
        limit: usize,
    ) -> Result<Stretch, BrokerError> {
        let before = Some(Offset(at.0.saturating_add(1)));
        let mut stretch = self.latest(room, who, before, limit).await?;
        let (mut behind, mut bytes) = (0, 0);
        for _ in 0..PAGES {
            let (part, at_least) = (Part::After(stretch.position.offset), Offset(0));
            let read = Read { part, records: limit, bytes: LOOK_BYTES, at_least };
            let page = self.history.broker().read(room, read).await?;
            for record in page.records {
                stretch.position.offset = record.offset;
                if is_shown(&record, who) {
                    (behind, bytes) = (behind + 1, bytes + record.frame.bytes().len());
                    stretch.records.push(record);
                }
                if behind >= limit || bytes >= LOOK_BYTES {
                    return Ok(stretch);
                }
            }
            if page.complete {
                break;
            }
        }
        Ok(stretch)
    }

    /// The newest `limit` messages of `room` that `who` may read and `query` finds; those before an offset, if one is given. Not
    /// without end: only so many are looked through at once, fewer come if there are many bytes of them, and [`Found::before`] says where to look on.
    ///
    /// # Errors
    ///
    /// [`BrokerError`] when the log can't be read now.
    pub async fn search(
        &self,
        room: &RoomName,
        who: &Who,
        query: &Query,
        before: Option<Offset>,
        limit: usize,
    ) -> Result<Found, BrokerError> {
        let (mut found, mut looked, mut bytes, mut position) = (Vec::new(), 0, 0, None);
        let mut end = before.unwrap_or(Offset(u64::MAX));
        let before = 'all: loop {
            let (part, at_least) = (Part::Before(end), Offset(0));
            let read = Read { part, records: SEARCHED_PAGE, bytes: SEARCHED_PAGE_BYTES, at_least };
            let page = self.history.broker().read(room, read).await?;
            position
                .get_or_insert_with(|| Position { epoch: page.epoch.clone(), offset: page.head });
            for record in page.records.iter().rev() {
                (end, looked) = (record.offset, looked + 1);
                if is_shown(record, who) && query.is_in(&record.text()) {
                    found.push(record.clone());
                    bytes += record.frame.bytes().len();
                    if found.len() >= limit || bytes >= LOOK_BYTES {
                        break 'all Some(end);
                    }
                }
            }
            if page.complete {
                break None;
            }
            if looked >= SEARCHED {
                break Some(end);
            }
            // Others are at work, too.
            tokio::task::yield_now().await;
        };
        found.reverse();
        let nowhere = || BrokerError::Unavailable("nothing was read".to_owned());
        Ok(Found { records: found, position: position.ok_or_else(nowhere)?, before })
    }
}

/// Whether it is a message that `who` may read, and not something that is done to one.
fn is_shown(record: &Record, who: &Who) -> bool {
    record.envelope.mends.is_none() && record.envelope.is_for(who)
}
