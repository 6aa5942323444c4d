//! A room as this hub has it: its log, made of what is stored, in the order in which that is stored.
//!
//! Every hub makes the same of the same. So who may do what to which message is decided here, and no hub asks another.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use common::{Epoch, Mend, Mends, Offset, Position, RoomName};
use hub::{
    Draft, Record,
    broker::{Follower, Heard, Known, Page, Read, Retention, RoomLog},
};
use parking_lot::{Mutex, MutexGuard};
use tokio::{
    sync::{Mutex as Turn, OnceCell, RwLock, watch},
    task::AbortHandle,
    time::Instant,
};

use crate::{
    names,
    shape::Shape,
    stored::Stored,
    stream::{Item, News},
};

/// A room that this hub has in memory.
pub(crate) struct Room {
    pub(crate) name: RoomName,
    /// Its name in subjects.
    pub(crate) token: String,
    /// What is sent is sent in the order in which it was asked for.
    pub(crate) turn: Arc<Turn<()>>,
    /// Shared by what is sent and waits for its answer. What is done to a message has it alone: that message may be among them.
    pub(crate) under_way: RwLock<()>,
    /// One at a time reads what is missing.
    pub(crate) catching_up: Turn<()>,
    /// There once what is stored from then on is heard.
    pub(crate) listening: OnceCell<Listening>,
    state: Mutex<State>,
    /// Who is told; with a lock of its own, for whoever is told may stop following by that.
    follower: Mutex<Option<Follower>>,
    used: Mutex<Instant>,
    /// Everything of this room up to here is in its log.
    have: watch::Sender<Offset>,
}

/// What hears of a room; it ends with this.
#[derive(Debug)]
pub(crate) struct Listening(pub(crate) AbortHandle);

impl Drop for Listening {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl std::fmt::Debug for Room {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Room").field("have", &self.have()).finish_non_exhaustive()
    }
}

pub(crate) struct State {
    pub(crate) log: RoomLog,
    /// The life of the log it is of; none until all of it was read.
    epoch: Option<Epoch>,
    /// What was acknowledged to this hub up to here is to be read by it.
    acknowledged: Offset,
    /// What is to be erased in the stream: it was taken back, or edited again.
    to_erase: Vec<Offset>,
    /// What was let go of, and since when.
    let_go: (Offset, Instant),
    /// How much was stored of it, as far as it was read.
    stored: usize,
}

/// What is to be found out before more can be heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gap {
    None,
    /// The next that was heard comes behind something that was not.
    Before,
    /// What came last here is not there any more, or it has a number that was given a while ago: it is late, or of another
    /// life of the log.
    Odd,
    /// There is something else under that number: it was given twice.
    Twofold,
}

impl Room {
    pub(crate) fn new(name: RoomName) -> Self {
        let token = names::encode(name.as_str());
        let now = Instant::now();
        let state = State {
            log: RoomLog::default(),
            epoch: None,
            acknowledged: Offset(0),
            to_erase: Vec::new(),
            let_go: (Offset(0), now),
            stored: 0,
        };
        Self {
            name,
            token,
            turn: Arc::default(),
            under_way: RwLock::default(),
            catching_up: Turn::default(),
            listening: OnceCell::new(),
            state: Mutex::new(state),
            follower: Mutex::default(),
            used: Mutex::new(now),
            have: watch::Sender::new(Offset(0)),
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Everything of this room up to here is in its log.
    pub(crate) fn have(&self) -> Offset {
        *self.have.borrow()
    }

    /// Whether all of it was read, and it belongs to this life of the log.
    pub(crate) fn is_of(&self, epoch: &Epoch) -> bool {
        self.state.lock().epoch.as_ref() == Some(epoch)
    }

    /// Waits until it has everything up to there, for so long at the most; whether it has.
    pub(crate) async fn reaches(&self, offset: Offset, within: Duration) -> bool {
        let mut have = self.have.subscribe();
        let reached = have.wait_for(|have| *have >= offset);
        matches!(tokio::time::timeout(within, reached).await, Ok(Ok(_)))
    }

    /// Hears what was stored, up to the first of which something is to be found out before. All up to `given` is known to have
    /// been stored a while ago.
    pub(crate) fn hear(
        &self,
        news: &mut VecDeque<News>,
        retention: &Retention,
        given: Offset,
    ) -> Gap {
        let mut state = self.state.lock();
        let mut have = self.have();
        let (mut heard, mut gap) = (Vec::new(), Gap::None);
        while let Some(next) = news.front() {
            let is_new = next.item.offset > have;
            gap = match state.epoch {
                None if is_new => Gap::Before,
                Some(_) if !is_new && self.has_other(&state, &next.item) => Gap::Twofold,
                _ if !is_new => Gap::None,
                Some(_) if next.previous > have => Gap::Before,
                Some(_) if next.previous < have || next.item.offset <= given => Gap::Odd,
                _ => Gap::None,
            };
            if gap != Gap::None {
                break;
            }
            have = have.max(next.item.offset);
            heard.extend(news.pop_front().map(|news| news.item));
        }
        self.take_into(&mut state, heard, retention);
        gap
    }

    /// Whether something else is kept where that was stored.
    fn has_other(&self, state: &State, item: &Item) -> bool {
        let kept = state.log.records().rev().find(|record| record.offset <= item.offset);
        let Some(kept) = kept.filter(|record| record.offset == item.offset) else { return false };
        match Stored::decode(&self.name, &item.payload) {
            Ok(Stored::Said { draft, .. }) => draft.envelope.id != kept.envelope.id,
            Ok(Stored::LetGo(_)) => true,
            Err(_) => false,
        }
    }

    /// Takes what was read behind `after`, unless it has begun another life since.
    pub(crate) fn take(&self, after: Offset, items: Vec<Item>, retention: &Retention) {
        let mut state = self.state.lock();
        if self.have() >= after {
            self.take_into(&mut state, items, retention);
        }
    }

    fn take_into(&self, state: &mut State, items: Vec<Item>, retention: &Retention) {
        let (mut heard, mut records) = (Vec::new(), Vec::new());
        let mut have = self.have();
        for Item { offset, payload, .. } in items {
            if offset <= have {
                continue;
            }
            have = offset;
            state.stored += 1;
            match Stored::decode(&self.name, &payload) {
                Ok(Stored::LetGo(up_to)) => {
                    state.log.let_go_up_to(up_to);
                    heard.extend([
                        Heard::Records(std::mem::take(&mut records)),
                        Heard::LetGo(up_to),
                    ]);
                }
                Ok(Stored::Said { draft, target }) => {
                    records.extend(state.take(offset, draft, target, retention));
                }
                Err(why) => tracing::error!(offset = offset.0, why, "a message is damaged"),
            }
        }
        // Under the lock: what is taken next is handed on next.
        heard.push(Heard::Records(records));
        heard.retain(|heard| !matches!(heard, Heard::Records(records) if records.is_empty()));
        if state.epoch.is_some() {
            heard.into_iter().for_each(|heard| self.tell(heard));
        }
        self.have.send_if_modified(|now| std::mem::replace(now, have) != have);
    }

    fn tell(&self, heard: Heard) {
        let follower = self.follower.lock().clone();
        if let Some(follower) = follower {
            follower(heard);
        }
    }

    /// All of it was read: it belongs to this life of the log, of which everything before `first` is gone.
    pub(crate) fn begin(&self, epoch: &Epoch, first: Offset, oldest: u64) {
        let mut state = self.state.lock();
        state.log.let_go_up_to(Offset(first.0.saturating_sub(1)));
        state.log.let_go_before(oldest);
        state.epoch = Some(epoch.clone());
        self.tell(Heard::Epoch(Position { epoch: epoch.clone(), offset: self.have() }));
    }

    /// The log has begun another life, and nothing of it was read yet.
    pub(crate) fn forget(&self) {
        let mut state = self.state.lock();
        (state.log, state.epoch, state.acknowledged) = (RoomLog::default(), None, Offset(0));
        // Those numbers mean other messages now.
        (state.to_erase, state.let_go) = (Vec::new(), (Offset(0), Instant::now()));
        state.stored = 0;
        self.have.send_replace(Offset(0));
    }

    /// Hands on what comes from now on; everything before is up to the position that it returns. `None` if not all of it was
    /// read yet.
    pub(crate) fn follow(&self, follower: Follower) -> Option<Position> {
        let state = self.state.lock();
        let epoch = state.epoch.clone()?;
        *self.follower.lock() = Some(follower);
        Some(Position { epoch, offset: self.have() })
    }

    pub(crate) fn unfollow(&self, follower: &Follower) {
        let mut now = self.follower.lock();
        // It may have been opened again meanwhile.
        if now.as_ref().is_some_and(|now| Arc::ptr_eq(now, follower)) {
            *now = None;
            self.touch();
        }
    }

    /// Something is asked of it.
    pub(crate) fn touch(&self) {
        *self.used.lock() = Instant::now();
    }

    /// Whether nobody follows it, and nothing was asked of it for so long.
    pub(crate) fn is_idle(&self, since: Duration) -> bool {
        self.follower.lock().is_none() && self.used.lock().elapsed() >= since
    }

    /// What is to be erased in the stream by now.
    pub(crate) fn take_to_erase(&self) -> Vec<Offset> {
        std::mem::take(&mut self.state.lock().to_erase)
    }

    /// Of that, what could not be.
    pub(crate) fn erase_later(&self, offsets: &[Offset]) {
        self.state.lock().to_erase.extend(offsets);
    }

    /// What this hub was told is kept, up to there.
    pub(crate) fn acknowledge(&self, offset: Offset) {
        let mut state = self.state.lock();
        state.acknowledged = state.acknowledged.max(offset);
    }

    pub(crate) fn acknowledged(&self) -> Offset {
        self.state.lock().acknowledged
    }

    /// A part of it; `head` is what the page could have, if more than is kept.
    pub(crate) fn read(&self, read: Read, head: Offset) -> Option<Page> {
        let state = self.state.lock();
        let epoch = state.epoch.clone()?;
        let (records, complete, floor) = state.log.read(read);
        Some(Page { epoch, records, complete, floor, head: self.have().max(floor).max(head) })
    }

    /// Whether more of it was stored than the stream keeps of one room.
    pub(crate) fn is_over(&self, retention: &Retention) -> bool {
        self.state.lock().stored > Shape::of_one_room(retention)
    }

    /// Lets go of what is too old, and of what is gone from the stream. What may be purged there: it was let go of for
    /// longer than ids are remembered.
    pub(crate) fn tidy(
        &self,
        at: u64,
        oldest: u64,
        first: Offset,
        retention: &Retention,
    ) -> Option<Offset> {
        let mut state = self.state.lock();
        let gone = state.log.records().take_while(|record| record.offset < first).last();
        if let Some(gone) = gone.map(|record| record.offset) {
            state.log.let_go_up_to(gone);
        }
        state.log.let_go_before(oldest);
        state.log.forget_ids(at, retention);
        let (gone, since) = state.let_go;
        let floor = state.log.floor();
        if gone == floor || since.elapsed() < retention.ids {
            return None;
        }
        state.let_go = (floor, Instant::now());
        (gone > Offset(0)).then_some(gone)
    }
}

impl State {
    /// Makes what was said part of the log: the record that there is of it for readers.
    fn take(
        &mut self,
        offset: Offset,
        draft: Draft,
        target: Option<Offset>,
        retention: &Retention,
    ) -> Option<Arc<Record>> {
        let id = draft.envelope.id.clone();
        // Said twice, further apart than ids are known to NATS.
        if self.log.offset_of(&id).is_some() {
            return None;
        }
        if self.is_late(&draft) {
            self.to_erase.push(offset);
            return None;
        }
        let guest = draft.guest.clone();
        let (at, member) = (draft.envelope.at, draft.envelope.member.clone());
        let record = draft.numbered(offset);
        if let Some(Mends { of, how }) = &record.envelope.mends {
            let replaced =
                self.log.records().filter(|old| old.envelope.is_replaced_by(&record.envelope));
            self.to_erase.extend(replaced.map(|old| old.offset));
            if let (Mend::Retract, Some(offset)) = (how, target) {
                // Sent again, it stays away; also where it was erased before this hub came.
                self.log.remember(at, of.clone(), Known { offset, member, guest: None });
            }
        }
        self.log.push(record.clone(), guest, retention);
        Some(record)
    }

    /// Whether it is done to a message that was taken back, as is known by what took it back.
    fn is_late(&self, draft: &Draft) -> bool {
        let Some(Mends { of, .. }) = &draft.envelope.mends else { return false };
        self.log.records().any(|record| {
            record
                .envelope
                .mends
                .as_ref()
                .is_some_and(|mends| mends.how == Mend::Retract && mends.of == *of)
        })
    }
}
