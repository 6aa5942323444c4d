//! What must hold of what is read and acknowledged, by what was ever stored.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use common::{Epoch, Mend, MessageId, Offset, Position, RoomName};
use hub::{Record, broker::Page};
use jetstream::simulated::{Entry, SimulatedNats};
use parking_lot::Mutex;

pub struct Truth {
    nats: SimulatedNats,
    /// Whether whoever leads knows all that is there: who is told of a gap for nothing was told wrong then.
    leaders_know: bool,
    /// Whether nothing is let go of.
    keeps_all: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    happened: BTreeMap<&'static str, u64>,
    failures: Vec<String>,
    acknowledged: Vec<(RoomName, MessageId, Offset)>,
    /// What was in the log, and was taken with a life of it.
    lost: HashSet<(RoomName, MessageId, Offset)>,
    /// What was taken back or edited again, by something that was lost: it may be gone as well, or there.
    doubtful: HashSet<(RoomName, MessageId)>,
    /// Lives in which numbers were given twice, until a hub has seen that.
    twofold: HashSet<Epoch>,
}

impl Truth {
    pub fn new(nats: SimulatedNats, leaders_know: bool, keeps_all: bool) -> Self {
        Self { nats, leaders_know, keeps_all, state: Mutex::default() }
    }

    pub fn happens(&self, what: &'static str) {
        *self.state.lock().happened.entry(what).or_default() += 1;
    }

    pub fn happened(&self) -> BTreeMap<&'static str, u64> {
        self.state.lock().happened.clone()
    }

    /// The log loses something by this, and may give the same numbers again.
    pub fn loses(&self, is_twofold: bool, by: impl FnOnce()) {
        let said = || {
            let stored = self.nats.stored(&self.nats.epoch()).into_iter();
            let said = stored.filter_map(|entry| {
                let own = entry.draft.as_ref()?.envelope.clone();
                Some(((own.room.clone(), own.id.clone(), entry.offset), own))
            });
            said.collect::<HashMap<_, _>>()
        };
        let (epoch, before) = (self.nats.epoch(), said());
        by();
        let after = said();
        let mut state = self.state.lock();
        for (id, own) in before.iter().filter(|(id, _)| !after.contains_key(id)) {
            state.lost.insert(id.clone());
            let gone = before.iter().filter(|(_, other)| other.is_replaced_by(own));
            state.doubtful.extend(gone.map(|((room, id, _), _)| (room.clone(), id.clone())));
        }
        // Whose numbers were given again before they were looked at can't be told from those of another life, until it is swept:
        // what of that can be told is in tests/simulated.rs.
        state.twofold.insert(epoch);
        if is_twofold {
            // Also those that some hub still takes it to be in.
            state.twofold.extend(self.nats.epochs());
        }
    }

    /// This was acknowledged.
    pub fn acknowledge(&self, room: &RoomName, id: &MessageId, offset: Offset) {
        self.happens("acknowledged");
        self.state.lock().acknowledged.push((room.clone(), id.clone(), offset));
    }

    /// What was stored of a room in a life of the log.
    fn stored(&self, room: &RoomName, epoch: &Epoch) -> Vec<Arc<Entry>> {
        let mut stored = self.nats.stored(epoch);
        stored.retain(|entry| entry.room == *room);
        stored
    }

    /// What is between two offsets that a reader has to get.
    fn missing(
        &self,
        stored: &[Arc<Entry>],
        after: Offset,
        before: Offset,
    ) -> Vec<(Offset, MessageId)> {
        let state = self.state.lock();
        let is_doubtful =
            |room: &RoomName, id: &MessageId| state.doubtful.contains(&(room.clone(), id.clone()));
        let room = stored.first().map(|entry| entry.room.clone()).unwrap_or_else(RoomName::lobby);
        let mut missing = missing(stored, after, before);
        missing.retain(|(_, id)| !is_doubtful(&room, id));
        missing
    }

    /// Somebody who has read all up to `from` is handed these.
    pub fn check_read(&self, room: &RoomName, from: &Position, records: &[Arc<Record>]) {
        let is_twofold = self.is_twofold(&from.epoch);
        let stored = self.stored(room, &from.epoch);
        let mut after = from.offset;
        for record in records {
            assert!(record.offset > after, "invariants 1 and 3: {after}, then {record:?}");
            if !is_twofold {
                let missing = self.missing(&stored, after, record.offset);
                assert_eq!(missing, [], "invariants 2 and 4: {room}, read on from {after}");
                let there = stored.iter().find(|entry| entry.offset == record.offset);
                let there = there.and_then(|entry| entry.draft.as_ref());
                let id = there.map(|draft| &draft.envelope.id);
                assert_eq!(id, Some(&record.envelope.id), "{room} at {}", record.offset);
            }
            after = record.offset;
            self.happens("read");
        }
    }

    /// Somebody is told to go on from elsewhere.
    pub fn check_reset(&self, room: &RoomName, from: &Position, to: &Position, keeps_all: bool) {
        self.happens("resets");
        if to.epoch == from.epoch && !self.is_twofold(&from.epoch) {
            let is_gap = to.offset > from.offset || !self.leaders_know;
            assert!(is_gap, "a gap where none is: {from} {to}");
            let behind = Offset(to.offset.0 + 1);
            let missing = self.missing(&self.stored(room, &from.epoch), from.offset, behind);
            assert!(!keeps_all || missing.is_empty(), "a gap where all is kept: {missing:?}");
        }
        assert!(self.nats.epochs().contains(&to.epoch), "there is no life {}", to.epoch);
    }

    /// Whether numbers of this life may mean something else than they did.
    pub fn is_twofold(&self, epoch: &Epoch) -> bool {
        self.state.lock().twofold.contains(epoch)
    }

    /// Whether the log was put back to an older copy.
    pub fn was_put_back(&self) -> bool {
        !self.state.lock().twofold.is_empty()
    }

    /// Whoever tells webhooks has told all up to `from`, and reads on.
    pub fn check_told(&self, from: &Position, page: &Page) {
        // What the stream itself has let go of in one room is told to nobody who reads all of them.
        if self.is_twofold(&from.epoch) || !self.keeps_all {
            return;
        }
        let stored = self.nats.stored(&from.epoch);
        let there: Vec<_> = page.records.iter().map(|record| record.offset).collect();
        assert!(there.is_sorted(), "invariant 1: {there:?}");
        for room in super::world::rooms() {
            let of_room = stored.iter().filter(|entry| entry.room == room);
            let of_room: Vec<_> = of_room.cloned().collect();
            let missing = self.missing(&of_room, from.offset, Offset(page.head.0 + 1));
            let missing: Vec<_> = missing.iter().filter(|(at, _)| !there.contains(at)).collect();
            assert!(missing.is_empty(), "invariant 2: from {} to {}, {missing:?}", from, page.head);
        }
        page.records.iter().for_each(|_| self.happens("told to webhooks"));
    }

    /// What a hub has at the end.
    pub fn check_page(&self, room: &RoomName, page: &Page, keeps_all: bool) {
        let ids: BTreeSet<_> = page.records.iter().map(|record| &record.envelope.id).collect();
        assert_eq!(ids.len(), page.records.len(), "invariant 3: an id is in the log twice");
        if self.is_twofold(&page.epoch) {
            // No hub has noticed: none was there from before, or all numbers were given again before they looked.
            return;
        }
        let stored = self.stored(room, &page.epoch);
        let end = Offset(u64::MAX);
        let there: BTreeSet<_> = page.records.iter().map(|record| record.offset).collect();
        let floor = if keeps_all { Offset(0) } else { page.floor };
        let missing = self.missing(&stored, floor, end);
        let missing: Vec<_> = missing.iter().filter(|(at, _)| !there.contains(at)).collect();
        assert!(missing.is_empty(), "invariant 2: {room} lacks {missing:?}");
        let was_put_back = self.was_put_back();
        let state = self.state.lock();
        for (_, id, offset) in state.acknowledged.iter().filter(|(of, ..)| of == room) {
            if !was_put_back && !state.lost.contains(&(room.clone(), id.clone(), *offset)) {
                // Where it came again later than ids are known, its second place is as good: everybody leaves that out.
                let is_there = stored.iter().any(|entry| {
                    let own = entry.draft.as_ref();
                    entry.offset == *offset && own.is_some_and(|own| own.envelope.id == *id)
                });
                assert!(is_there, "invariant 2: {id} was acknowledged in {room} at {offset}");
            }
        }
    }

    /// Something must not be.
    pub fn fails(&self, what: String) {
        self.state.lock().failures.push(what);
    }

    pub fn check_failures(&self) {
        assert_eq!(self.state.lock().failures, [""; 0]);
    }

    /// Nobody has begun another life of the log without need.
    pub fn check_lives(&self, has_lives: bool) {
        let lives = self.nats.epochs().len();
        assert!(has_lives || lives == 1, "invariant 4: the log has begun {lives} lives");
    }
}

/// What is between two offsets that a reader has to get.
fn missing(stored: &[Arc<Entry>], after: Offset, before: Offset) -> Vec<(Offset, MessageId)> {
    let between = stored.iter().enumerate();
    let between = between.filter(|(_, entry)| entry.offset > after && entry.offset < before);
    let missing = between.filter_map(|(at, entry)| {
        let own = &entry.draft.as_ref()?.envelope;
        // Stored twice, further apart than ids are known, or taken back, or edited again.
        let envelopes = |entries: &'_ [Arc<Entry>]| {
            let drafts = entries.iter().filter_map(|entry| entry.draft.as_ref());
            drafts.map(|draft| draft.envelope.clone()).collect::<Vec<_>>()
        };
        let is_again = envelopes(&stored[..at]).iter().any(|other| other.id == own.id);
        let is_gone = envelopes(&stored[at + 1..]).iter().any(|later| own.is_replaced_by(later));
        let of = own.mends.as_ref().map(|mends| &mends.of);
        let is_late = envelopes(&stored[..at]).iter().any(|other| {
            let mends = other.mends.as_ref();
            mends.is_some_and(|mends| mends.how == Mend::Retract && Some(&mends.of) == of)
        });
        (!is_again && !is_gone && !is_late).then(|| (entry.offset, own.id.clone()))
    });
    missing.collect()
}
