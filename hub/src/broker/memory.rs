//! The log in memory: nothing outlives the process. For tests, and for `--ephemeral`.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, VecDeque},
    future::ready,
    time::Duration,
};

use common::{Epoch, MessageId, Offset, RoomName};
use parking_lot::Mutex;

use super::{
    BoxFuture, Broker, BrokerError, Follower, KeptRoom, Page, Part, Record, Retention, new_epoch,
};

/// A broker that keeps nothing beyond its own life.
pub struct MemoryBroker {
    epoch: Epoch,
    retention: Retention,
    state: Mutex<State>,
}

impl std::fmt::Debug for MemoryBroker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryBroker").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct State {
    head: Offset,
    rooms: HashMap<RoomName, Log>,
    /// Bytes of all rooms.
    bytes: usize,
    /// The highest floor of any room that was let go of. A room that comes back starts behind it, so
    /// that a reader who comes back to it learns that messages are gone.
    gone: Offset,
    follower: Option<Follower>,
}

/// The log of one room.
#[derive(Default)]
struct Log {
    records: VecDeque<(Record, usize)>,
    bytes: usize,
    floor: Offset,
    ids: HashMap<MessageId, Offset>,
    /// Ids by age, with the time each was taken.
    ids_by_age: VecDeque<(u64, MessageId)>,
}

impl MemoryBroker {
    /// An empty log in an epoch of its own.
    pub fn new(retention: Retention) -> Self {
        Self { epoch: new_epoch(), retention, state: Mutex::default() }
    }
}

impl Broker for MemoryBroker {
    fn epoch(&self) -> Epoch {
        self.epoch.clone()
    }

    fn head(&self) -> Offset {
        self.state.lock().head
    }

    fn follow(&self, follower: Follower) {
        self.state.lock().follower = Some(follower);
    }

    fn append(&self, records: Vec<Record>) -> BoxFuture<'_, Result<Vec<Offset>, BrokerError>> {
        let mut state = self.state.lock();
        let State { head, rooms, bytes, gone, follower } = &mut *state;
        let (mut offsets, mut new) = (Vec::with_capacity(records.len()), Vec::new());
        for mut record in records {
            let floor = *gone;
            let log = rooms
                .entry(record.message.room.clone())
                .or_insert_with(|| Log { floor, ..Log::default() });
            let offset = log.ids.get(&record.message.id).copied().unwrap_or_else(|| {
                head.0 += 1;
                record.message.offset = *head;
                let before = log.bytes;
                log.push(record.clone(), &self.retention);
                *bytes = *bytes + log.bytes - before;
                new.push(record);
                *head
            });
            offsets.push(offset);
        }
        if *bytes > self.retention.total_bytes {
            *bytes -= trim_all(rooms, *bytes - self.retention.total_after_trim());
        }
        // Under the lock: what is appended next is handed on next.
        if let Some(follower) = follower {
            follower(&new);
        }
        drop(state);
        Box::pin(ready(Ok(offsets)))
    }

    fn read(
        &self,
        room: &RoomName,
        part: Part,
        limit: usize,
    ) -> BoxFuture<'_, Result<Page, BrokerError>> {
        let state = self.state.lock();
        let page = match state.rooms.get(room) {
            Some(log) => log.read(part, limit),
            None => Page { records: Vec::new(), floor: state.gone },
        };
        Box::pin(ready(Ok(page)))
    }

    fn rooms(&self, limit: usize) -> BoxFuture<'_, Result<Vec<KeptRoom>, BrokerError>> {
        let state = self.state.lock();
        let kept = state.rooms.iter().filter_map(|(name, log)| {
            let (newest, _) = log.records.back()?;
            Some(KeptRoom { name: name.clone(), last_at: newest.message.at })
        });
        let mut kept: Vec<_> = kept.collect();
        kept.sort_by(|a, b| (b.last_at, &a.name).cmp(&(a.last_at, &b.name)));
        kept.truncate(limit);
        Box::pin(ready(Ok(kept)))
    }

    fn tidy(&self, at: u64) -> BoxFuture<'_, Result<(), BrokerError>> {
        let oldest = at.saturating_sub(self.retention.age.as_millis() as u64);
        let mut state = self.state.lock();
        let State { rooms, bytes, gone, .. } = &mut *state;
        rooms.retain(|_, log| {
            while log.records.front().is_some_and(|(record, _)| record.message.at < oldest) {
                *bytes -= log.pop();
            }
            log.forget_ids(at, self.retention.ids);
            let empty = log.records.is_empty() && log.ids.is_empty();
            if empty {
                *gone = (*gone).max(log.floor);
            }
            !empty
        });
        Box::pin(ready(Ok(())))
    }
}

/// Lets go of the oldest messages of all rooms until `bytes` are free; returns how many that made.
fn trim_all(rooms: &mut HashMap<RoomName, Log>, bytes: usize) -> usize {
    let oldest = |log: &Log| log.records.front().map(|(record, _)| Reverse(record.message.offset));
    let mut logs: Vec<_> = rooms.values_mut().collect();
    let mut next: BinaryHeap<_> =
        logs.iter().enumerate().filter_map(|(n, log)| Some((oldest(log)?, n))).collect();
    let mut freed = 0;
    while freed < bytes
        && let Some((_, n)) = next.pop()
    {
        freed += logs[n].pop();
        next.extend(oldest(logs[n]).map(|offset| (offset, n)));
    }
    freed
}

impl Log {
    /// Appends, and lets go of the oldest that are over the limits; the newest stays whatever its
    /// size.
    fn push(&mut self, record: Record, retention: &Retention) {
        let (id, at) = (record.message.id.clone(), record.message.at);
        let bytes = serde_json::to_vec(&record.message).map_or(0, |json| json.len());
        self.bytes += bytes;
        self.ids.insert(id.clone(), record.message.offset);
        self.ids_by_age.push_back((at, id));
        self.records.push_back((record, bytes));
        while self.records.len() > 1
            && (self.records.len() > retention.room_messages || self.bytes > retention.room_bytes)
        {
            self.pop();
        }
        self.forget_ids(at, retention.ids);
    }

    /// Lets go of the oldest message; returns how many bytes that were.
    fn pop(&mut self) -> usize {
        let Some((record, bytes)) = self.records.pop_front() else { return 0 };
        self.bytes -= bytes;
        self.floor = record.message.offset;
        bytes
    }

    /// An id is remembered while its message is kept, and for `remember` at the least.
    fn forget_ids(&mut self, now: u64, remember: Duration) {
        while let Some((at, id)) = self.ids_by_age.front() {
            let kept = self.ids.get(id).is_some_and(|offset| *offset > self.floor);
            if kept || now.saturating_sub(*at) <= remember.as_millis() as u64 {
                return;
            }
            self.ids.remove(id);
            self.ids_by_age.pop_front();
        }
    }

    fn read(&self, part: Part, limit: usize) -> Page {
        let behind = |offset| self.records.partition_point(|(r, _)| r.message.offset <= offset);
        let range = match part {
            Part::After(offset) => {
                let start = behind(offset);
                start..self.records.len().min(start.saturating_add(limit))
            }
            Part::Before(offset) => {
                let end = self.records.partition_point(|(r, _)| r.message.offset < offset);
                end.saturating_sub(limit)..end
            }
        };
        let records = self.records.range(range).map(|(record, _)| record.clone()).collect();
        Page { records, floor: self.floor }
    }
}
