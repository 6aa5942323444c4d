//! The log in memory: nothing outlives the process. For tests, and for `--ephemeral`.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap},
    future::ready,
    sync::Arc,
};

use common::{Epoch, Offset, Position, RoomName};
use parking_lot::Mutex;

use super::{
    Ages, Appended, BoxFuture, Broker, BrokerError, Followed, Follower, Keep, KeptRoom, Opened,
    Page, Read, Retention, RoomLog, aim, new_epoch, taken,
};
use crate::Draft;

/// A broker that keeps nothing beyond its own life.
pub struct MemoryBroker {
    epoch: Epoch,
    retention: Retention,
    followed: Arc<Followed>,
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
    rooms: HashMap<RoomName, RoomLog>,
    /// Bytes of all rooms.
    bytes: usize,
    /// The highest floor of any room that was let go of. A room that comes back starts behind it, so
    /// that a reader who comes back to it learns that messages are gone.
    gone: Offset,
    ages: Ages,
    /// What is kept beside messages.
    kept: BTreeMap<String, String>,
}

impl MemoryBroker {
    /// An empty log in an epoch of its own.
    pub fn new(retention: Retention) -> Self {
        let followed = Arc::new(Followed::default());
        Self { epoch: new_epoch(), retention, followed, state: Mutex::default() }
    }
}

impl Broker for MemoryBroker {
    fn open(
        &self,
        room: &RoomName,
        follower: Follower,
    ) -> BoxFuture<'_, Result<Opened, BrokerError>> {
        let (offset, following) = self.followed.open(room, follower);
        let position = Position { epoch: self.epoch.clone(), offset };
        Box::pin(ready(Ok(Opened { position, following })))
    }

    fn append(&self, drafts: Vec<Draft>) -> BoxFuture<'_, Result<Appended, BrokerError>> {
        let mut state = self.state.lock();
        let State { head, rooms, bytes, gone, .. } = &mut *state;
        if let Some(id) = taken(|room| rooms.get(room), &drafts) {
            return Box::pin(ready(Err(BrokerError::IdTaken(id))));
        }
        let drafts = match aim(|room| rooms.get(room), drafts) {
            Ok(drafts) => drafts,
            Err(refusal) => return Box::pin(ready(Err(refusal.into()))),
        };
        let (mut offsets, mut new) = (Vec::with_capacity(drafts.len()), Vec::new());
        for draft in drafts {
            let floor = *gone;
            let log =
                rooms.entry(draft.envelope.room.clone()).or_insert_with(|| RoomLog::behind(floor));
            let offset = log.offset_of(&draft.envelope.id).unwrap_or_else(|| {
                head.0 += 1;
                let guest = draft.guest.clone();
                let record = draft.numbered(*head);
                let before = log.bytes();
                log.push(record.clone(), guest, &self.retention);
                *bytes = (*bytes + log.bytes()) - before;
                new.push(record);
                *head
            });
            offsets.push(offset);
        }
        if *bytes > self.retention.total_bytes {
            *bytes -= trim_all(rooms, *bytes - self.retention.total_after_trim());
        }
        // Under the lock: what is appended next is handed on next.
        self.followed.kept(new).tell();
        drop(state);
        Box::pin(ready(Ok(Appended { epoch: self.epoch.clone(), offsets })))
    }

    fn read(&self, room: &RoomName, read: Read) -> BoxFuture<'_, Result<Page, BrokerError>> {
        let state = self.state.lock();
        let (records, complete, floor) = match state.rooms.get(room) {
            Some(log) => log.read(read),
            None => (Vec::new(), true, state.gone),
        };
        let page = Page { epoch: self.epoch.clone(), records, complete, floor, head: state.head };
        Box::pin(ready(Ok(page)))
    }

    fn read_all(
        &self,
        _shard: usize,
        after: Offset,
        records: usize,
        bytes: usize,
    ) -> BoxFuture<'_, Result<Page, BrokerError>> {
        let state = self.state.lock();
        let logs = state.rooms.values();
        let behind =
            |log: &RoomLog| log.records_behind(after).take(records).cloned().collect::<Vec<_>>();
        let mut all: Vec<_> = logs.clone().flat_map(behind).collect();
        all.sort_by_key(|record| record.offset);
        let (count, mut size) = (all.len(), 0);
        all.truncate(records);
        let fits = all.iter().take_while(|record| {
            let fits = size < bytes;
            size += record.frame.bytes().len();
            fits
        });
        let fitting = fits.count();
        all.truncate(fitting);
        // Of each room at most so many were looked at.
        let complete = all.len() == count && count < records;
        let floor = logs.map(RoomLog::floor).max().unwrap_or(Offset(0)).max(state.gone);
        let page =
            Page { epoch: self.epoch.clone(), records: all, complete, floor, head: state.head };
        Box::pin(ready(Ok(page)))
    }

    fn rooms(&self, limit: usize) -> BoxFuture<'_, Result<Vec<KeptRoom>, BrokerError>> {
        let state = self.state.lock();
        let kept = state.rooms.iter().filter_map(|(name, log)| {
            let newest = log.records().next_back()?;
            Some(KeptRoom { name: name.clone(), last_at: newest.envelope.at })
        });
        let mut kept: Vec<_> = kept.collect();
        kept.sort_by(|a, b| (b.last_at, &a.name).cmp(&(a.last_at, &b.name)));
        kept.truncate(limit);
        Box::pin(ready(Ok(kept)))
    }

    fn let_go(&self, room: &RoomName, keep: Keep) -> BoxFuture<'_, Result<Offset, BrokerError>> {
        let mut state = self.state.lock();
        let State { rooms, bytes, .. } = &mut *state;
        let gone = rooms.get_mut(room).and_then(|log| {
            let before = log.bytes();
            let gone = log.let_go(keep);
            *bytes -= before - log.bytes();
            gone
        });
        Box::pin(ready(Ok(gone.unwrap_or(Offset(0)))))
    }

    fn keep(&self, key: &str, value: Option<&str>) -> BoxFuture<'_, Result<(), BrokerError>> {
        let mut state = self.state.lock();
        match value {
            Some(value) => _ = state.kept.insert(key.to_owned(), value.to_owned()),
            None => _ = state.kept.remove(key),
        }
        Box::pin(ready(Ok(())))
    }

    fn kept(&self) -> BoxFuture<'_, Result<Vec<(String, String)>, BrokerError>> {
        let kept = self.state.lock().kept.clone();
        Box::pin(ready(Ok(kept.into_iter().collect())))
    }

    fn check(&self) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(ready(Ok(())))
    }

    fn tidy(&self, at: u64) -> BoxFuture<'_, Result<u64, BrokerError>> {
        let mut state = self.state.lock();
        let State { rooms, bytes, gone, ages, .. } = &mut *state;
        let at = ages.at(at);
        let oldest = at.saturating_sub(self.retention.age.as_millis() as u64);
        rooms.retain(|_, log| {
            *bytes -= log.let_go_before(oldest);
            log.forget_ids(at, &self.retention);
            let empty = log.is_forgotten();
            if empty {
                *gone = (*gone).max(log.floor());
            }
            !empty
        });
        Box::pin(ready(Ok(at)))
    }
}

/// Lets go of the oldest messages of all rooms until `bytes` are free; returns how many that made.
fn trim_all(rooms: &mut HashMap<RoomName, RoomLog>, bytes: usize) -> usize {
    let oldest = |log: &RoomLog| log.records().next().map(|record| Reverse(record.offset));
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use common::{Member, MemberId, MemberName, Message, MessageId};

    use super::{super::Part, *};

    fn draft(room: &str, id: u64, at: u64) -> Draft {
        let name = MemberName::parse("Ada").unwrap();
        let message = Message {
            offset: Offset(0),
            value: "x".into(),
            id: MessageId::parse(&format!("{id:04}")).unwrap(),
            room: RoomName::parse(room).unwrap(),
            at,
            from: Member { id: MemberId::parse("a").unwrap(), name },
            event: None,
            to: common::Audience::All,
            of: None,
            edited: None,
            reactions: Vec::new(),
        };
        Draft::new(message, None)
    }

    /// How many bytes each of these takes, at any time below ten.
    fn one() -> usize {
        draft("tea", 1, 1).body.len()
    }

    async fn append(broker: &MemoryBroker, room: &str, id: u64, at: u64) -> Offset {
        broker.append(vec![draft(room, id, at)]).await.unwrap().offsets[0]
    }

    async fn kept(broker: &MemoryBroker, room: &str) -> (Vec<u64>, Offset) {
        let (part, at_least) = (Part::After(Offset(0)), Offset(0));
        let read = Read { part, records: 100, bytes: usize::MAX, at_least };
        let page = broker.read(&RoomName::parse(room).unwrap(), read).await.unwrap();
        (page.records.iter().map(|record| record.offset.0).collect(), page.floor)
    }

    #[tokio::test]
    async fn as_much_is_kept_as_may_be_and_no_more() {
        let all = Retention::default();
        for (retention, first) in [
            (Retention { room_messages: 3, ..all.clone() }, 4),
            (Retention { room_bytes: 3 * one(), ..all.clone() }, 4),
            (Retention { room_bytes: 3 * one() - 1, ..all.clone() }, 5),
            // However little may be kept, the newest is.
            (Retention { room_bytes: 1, ..all.clone() }, 6),
            // Of all rooms nothing goes until there is too much; then a sixty-fourth more than that.
            (Retention { total_bytes: 6 * one(), ..all.clone() }, 1),
            (Retention { total_bytes: 6 * one() - 1, ..all.clone() }, 2),
            (Retention { total_bytes: 5 * one(), ..all }, 3),
        ] {
            let broker = MemoryBroker::new(retention.clone());
            for n in 1..=6 {
                append(&broker, "tea", n, 1).await;
            }
            let expected: Vec<_> = (first..=6).collect();
            assert_eq!(kept(&broker, "tea").await, (expected, Offset(first - 1)), "{retention:?}");
        }
    }

    #[tokio::test]
    async fn what_is_let_go_of_for_its_age_makes_room() {
        let age = Duration::from_millis(2);
        let retention = Retention { age, total_bytes: 4 * one(), ..Retention::default() };
        let broker = MemoryBroker::new(retention);
        for (n, at) in [(1, 1), (2, 1), (3, 1), (4, 4)] {
            append(&broker, "tea", n, at).await;
        }
        // Just as old as they may be.
        broker.tidy(3).await.unwrap();
        assert_eq!(kept(&broker, "tea").await.0.len(), 4);
        broker.tidy(4).await.unwrap();
        assert_eq!(kept(&broker, "tea").await, (vec![4], Offset(3)));
        let bytes = |broker: &MemoryBroker| -> usize {
            broker.state.lock().rooms.values().map(RoomLog::bytes).sum()
        };
        assert_eq!(bytes(&broker), one());
        for n in 5..=7 {
            append(&broker, "tea", n, 4).await;
        }
        assert_eq!(kept(&broker, "tea").await, (vec![4, 5, 6, 7], Offset(3)));
        // Their ids are known.
        assert_eq!(append(&broker, "tea", 1, 4).await, Offset(1));
    }

    #[tokio::test]
    async fn ids_of_what_was_edited_again_are_forgotten_too() {
        let retention = Retention { room_ids: 16, ..Retention::default() };
        let broker = MemoryBroker::new(retention);
        append(&broker, "tea", 1, 1).await;
        let mut ids = 0;
        for n in 2..100 {
            let mut edit = draft("tea", n, 1);
            let of = MessageId::parse("0001").unwrap();
            edit.envelope.mends = Some(common::Mends { of, how: common::Mend::Edit });
            broker.append(vec![edit]).await.unwrap();
            let state = broker.state.lock();
            ids = state.rooms.values().map(RoomLog::ids).max().unwrap();
            assert!(ids <= 18, "{ids} after {n}");
        }
        assert!(ids >= 16);
        assert_eq!(kept(&broker, "tea").await.0, [1, 99]);
        // What is kept is known, and so is what was said last.
        for n in [1, 98, 99] {
            assert_eq!(append(&broker, "tea", n, 1).await, Offset(n));
        }
    }

    #[tokio::test]
    async fn a_page_ends_with_the_record_that_reaches_the_bytes() {
        let broker = MemoryBroker::new(Retention::default());
        for n in 1..=3 {
            append(&broker, "tea", n, 1).await;
        }
        let frame = draft("tea", 1, 1).numbered(Offset(1)).frame.bytes().len();
        for (bytes, expected) in [(frame, 1), (frame + 1, 2)] {
            let read =
                Read { part: Part::After(Offset(0)), records: 9, bytes, at_least: Offset(0) };
            let page = broker.read(&RoomName::lobby(), read).await.unwrap();
            assert!(page.records.is_empty() && page.complete);
            let page = broker.read(&RoomName::parse("tea").unwrap(), read).await.unwrap();
            assert_eq!((page.records.len(), page.complete), (expected, false));
        }
    }

    #[tokio::test]
    async fn a_room_that_was_forgotten_and_comes_back_tells_of_what_is_gone() {
        let (age, ids) = (Duration::ZERO, Duration::ZERO);
        let broker = MemoryBroker::new(Retention { age, ids, ..Retention::default() });
        append(&broker, "tea", 1, 1).await;
        broker.tidy(9).await.unwrap();
        assert!(broker.state.lock().rooms.is_empty());
        append(&broker, "tea", 2, 9).await;
        assert_eq!(kept(&broker, "tea").await, (vec![2], Offset(1)));
        assert!(format!("{broker:?}").starts_with("MemoryBroker { epoch: Epoch("), "{broker:?}");
    }
}
