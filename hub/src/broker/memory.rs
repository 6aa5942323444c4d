//! The log in memory: nothing outlives the process. For tests, and for `--ephemeral`.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap, VecDeque},
    future::ready,
    sync::Arc,
};

use common::{Epoch, MemberId, Mend, Mends, MessageId, Offset, Position, Refusal, RoomName};
use parking_lot::Mutex;

use super::{
    Ages, Appended, BoxFuture, Broker, BrokerError, Followed, Follower, Keep, KeptRoom, Opened,
    Page, Part, Read, Retention, mend, new_epoch,
};
use crate::{Draft, Envelope, Record};

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
    rooms: HashMap<RoomName, Log>,
    /// Bytes of all rooms.
    bytes: usize,
    /// The highest floor of any room that was let go of. A room that comes back starts behind it, so
    /// that a reader who comes back to it learns that messages are gone.
    gone: Offset,
    ages: Ages,
    /// What is kept beside messages.
    kept: BTreeMap<String, String>,
}

/// The log of one room.
#[derive(Default)]
struct Log {
    records: VecDeque<Arc<Record>>,
    bytes: usize,
    floor: Offset,
    ids: HashMap<MessageId, Known>,
    /// Ids by age, with the time each was taken.
    ids_by_age: VecDeque<(u64, MessageId)>,
}

/// What is remembered of an id.
struct Known {
    offset: Offset,
    member: MemberId,
    guest: Option<String>,
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
        if let Some(id) = taken(rooms, &drafts) {
            return Box::pin(ready(Err(BrokerError::IdTaken(id))));
        }
        let drafts = match aim(rooms, drafts) {
            Ok(drafts) => drafts,
            Err(refusal) => return Box::pin(ready(Err(refusal.into()))),
        };
        let (mut offsets, mut new) = (Vec::with_capacity(drafts.len()), Vec::new());
        for draft in drafts {
            let floor = *gone;
            let log = rooms
                .entry(draft.envelope.room.clone())
                .or_insert_with(|| Log { floor, ..Log::default() });
            let known = log.ids.get(&draft.envelope.id).map(|known| known.offset);
            let offset = known.unwrap_or_else(|| {
                head.0 += 1;
                let guest = draft.guest.clone();
                let record = draft.numbered(*head);
                let before = log.bytes;
                log.push(record.clone(), guest, &self.retention);
                *bytes = (*bytes + log.bytes) - before;
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
        after: Offset,
        records: usize,
        bytes: usize,
    ) -> BoxFuture<'_, Result<Page, BrokerError>> {
        let state = self.state.lock();
        let logs = state.rooms.values();
        let behind = |log: &Log| {
            let start = log.records.partition_point(|record| record.offset <= after);
            log.records.range(start..).take(records).cloned().collect::<Vec<_>>()
        };
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
        let floor = logs.map(|log| log.floor).max().unwrap_or(Offset(0)).max(state.gone);
        let page =
            Page { epoch: self.epoch.clone(), records: all, complete, floor, head: state.head };
        Box::pin(ready(Ok(page)))
    }

    fn rooms(&self, limit: usize) -> BoxFuture<'_, Result<Vec<KeptRoom>, BrokerError>> {
        let state = self.state.lock();
        let kept = state.rooms.iter().filter_map(|(name, log)| {
            let newest = log.records.back()?;
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
            let mut gone = None;
            while log.records.len() > keep.messages
                || log.records.front().is_some_and(|oldest| oldest.envelope.at < keep.since)
            {
                *bytes -= log.pop();
                gone = Some(log.floor);
            }
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

    fn tidy(&self, at: u64) -> BoxFuture<'_, Result<(), BrokerError>> {
        let mut state = self.state.lock();
        let State { rooms, bytes, gone, ages, .. } = &mut *state;
        let at = ages.at(at);
        let oldest = at.saturating_sub(self.retention.age.as_millis() as u64);
        rooms.retain(|_, log| {
            *bytes -= log.let_go_before(oldest);
            log.forget_ids(at, &self.retention);
            let empty = log.records.is_empty() && log.ids.is_empty();
            if empty {
                *gone = (*gone).max(log.floor);
            }
            !empty
        });
        Box::pin(ready(Ok(())))
    }
}

/// The first id under which somebody else has said something already.
fn taken(rooms: &HashMap<RoomName, Log>, drafts: &[Draft]) -> Option<MessageId> {
    let mut own: HashMap<_, &Draft> = HashMap::new();
    let clash = drafts.iter().find(|draft| {
        let (room, id) = (&draft.envelope.room, &draft.envelope.id);
        let kept = rooms.get(room).and_then(|log| log.ids.get(id));
        let said = own.insert((room, id), draft);
        let kept = kept.map(|kept| (&kept.member, &kept.guest));
        let said = kept.or(said.map(|said| (&said.envelope.member, &said.guest)));
        said.is_some_and(|(member, guest)| !draft.is_by(member.as_str(), guest.as_deref()))
    })?;
    Some(clash.envelope.id.clone())
}

/// The drafts as they may be done to what is kept, and to what of them comes before. What was said before needs nothing.
fn aim(rooms: &HashMap<RoomName, Log>, drafts: Vec<Draft>) -> Result<Vec<Draft>, Refusal> {
    if drafts.iter().all(|draft| draft.envelope.mends.is_none()) {
        return Ok(drafts);
    }
    // What of them is said, and what is gone by then.
    let mut now: HashMap<(RoomName, MessageId), Option<Arc<Record>>> = HashMap::new();
    let mut aimed = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let Envelope { room, id, mends, .. } = draft.envelope.clone();
        let log = rooms.get(&room);
        let is_known = log.is_some_and(|log| log.ids.contains_key(&id));
        let draft = match mends {
            Some(Mends { of, how })
                if !is_known && !now.contains_key(&(room.clone(), id.clone())) =>
            {
                let key = (room.clone(), of);
                let target = match now.get(&key) {
                    Some(target) => target.clone(),
                    None => log.and_then(|log| log.find(&key.1)).cloned(),
                };
                let draft = draft.aimed(target.as_deref())?;
                let by = draft.clone().numbered(Offset(0));
                let left = target.filter(|_| how != Mend::Retract).map(|target| target.mended(&by));
                now.insert(key, left);
                draft
            }
            _ => draft,
        };
        now.entry((room, id)).or_insert_with(|| Some(draft.clone().numbered(Offset(0))));
        aimed.push(draft);
    }
    Ok(aimed)
}

/// Lets go of the oldest messages of all rooms until `bytes` are free; returns how many that made.
fn trim_all(rooms: &mut HashMap<RoomName, Log>, bytes: usize) -> usize {
    let oldest = |log: &Log| log.records.front().map(|record| Reverse(record.offset));
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
    fn push(&mut self, record: Arc<Record>, guest: Option<String>, retention: &Retention) {
        let (id, at) = (record.envelope.id.clone(), record.envelope.at);
        self.bytes += record.body().len();
        let member = record.envelope.member.clone();
        self.ids.insert(id.clone(), Known { offset: record.offset, member, guest });
        self.ids_by_age.push_back((at, id));
        if mend(&mut self.records, &record) {
            self.bytes = self.records.iter().map(|record| record.body().len()).sum::<usize>()
                + record.body().len();
        }
        self.records.push_back(record);
        self.forget_ids_between(retention);
        while self.records.len() > 1
            && (self.records.len() > retention.room_messages || self.bytes > retention.room_bytes)
        {
            self.pop();
        }
        self.forget_ids(at, retention);
    }

    fn find(&self, id: &MessageId) -> Option<&Arc<Record>> {
        let offset = self.ids.get(id)?.offset;
        let at = self.records.binary_search_by_key(&offset, |record| record.offset).ok()?;
        self.records.get(at)
    }

    /// Lets go of the oldest message; returns how many bytes that were.
    fn pop(&mut self) -> usize {
        let Some(record) = self.records.pop_front() else { return 0 };
        let bytes = record.body().len();
        self.bytes -= bytes;
        self.floor = record.offset;
        bytes
    }

    /// Lets go of all messages that are older, wherever they are; returns how many bytes that were.
    fn let_go_before(&mut self, oldest: u64) -> usize {
        let before = self.bytes;
        let (bytes, floor) = (&mut self.bytes, &mut self.floor);
        self.records.retain(|record| {
            let old = record.envelope.at < oldest;
            if old {
                *bytes -= record.body().len();
                *floor = (*floor).max(record.offset);
            }
            !old
        });
        before - self.bytes
    }

    /// An id is remembered while its message is kept, and a while longer unless there are too many.
    fn forget_ids(&mut self, now: u64, retention: &Retention) {
        while let Some((at, id)) = self.ids_by_age.front() {
            let kept = self.find(id).is_some();
            let young = now.saturating_sub(*at) <= retention.ids.as_millis() as u64;
            if kept || (young && self.ids.len() <= retention.room_ids) {
                return;
            }
            self.ids.remove(id);
            self.ids_by_age.pop_front();
        }
    }

    /// What was taken back, or edited again, leaves ids among those of what is kept: the oldest go, some at a time.
    fn forget_ids_between(&mut self, retention: &Retention) {
        let most = retention.room_ids.max(self.records.len());
        let Some(mut over) = self.ids.len().checked_sub(most).filter(|over| *over > most / 8)
        else {
            return;
        };
        let mut ids_by_age = std::mem::take(&mut self.ids_by_age);
        ids_by_age.retain(|(_, id)| {
            let goes = over > 0 && self.find(id).is_none();
            if goes {
                self.ids.remove(id);
                over -= 1;
            }
            !goes
        });
        self.ids_by_age = ids_by_age;
    }

    /// The records to read, whether they are all there are, and the floor.
    fn read(&self, read: Read) -> (Vec<Arc<Record>>, bool, Offset) {
        let end = |offset| self.records.partition_point(|record| record.offset < offset);
        let mut bytes = 0;
        let mut fits = |record: &&Arc<Record>| {
            let fits = bytes < read.bytes;
            bytes += record.frame.bytes().len();
            fits
        };
        let (found, all) = match read.part {
            Part::After(offset) => {
                let behind = self.records.range(end(Offset(offset.0.saturating_add(1)))..);
                let all = behind.len();
                (behind.take(read.records).take_while(&mut fits).cloned().collect::<Vec<_>>(), all)
            }
            Part::Before(offset) => {
                let before = self.records.range(..end(offset)).rev();
                let all = before.len();
                let mut found: Vec<_> =
                    before.take(read.records).take_while(&mut fits).cloned().collect();
                found.reverse();
                (found, all)
            }
        };
        let complete = found.len() == all;
        (found, complete, self.floor)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use common::{Member, MemberName, Message};

    use super::*;

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
            broker.state.lock().rooms.values().map(|log| log.bytes).sum()
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
            ids = state.rooms.values().map(|log| log.ids.len()).max().unwrap();
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
