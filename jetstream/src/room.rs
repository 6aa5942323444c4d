//! A room as this hub has it: its log, made of what is stored, in the order in which that is stored.
//!
//! Every hub makes the same of the same. So who may do what to which message is decided here, and no hub asks another.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use common::{Epoch, Mend, Mends, MessageId, Offset, Position, RoomName};
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
    stored::Stored,
    stream::{Item, News},
};

/// A room that this hub has in memory.
pub(crate) struct Room {
    pub(crate) name: RoomName,
    /// Its name in subjects.
    pub(crate) token: String,
    /// What is sent is sent in the order in which it was asked for.
    pub(crate) turn: Turn<()>,
    /// Shared by what is sent and not answered yet. What is done to a message has it alone: that message may be among them.
    pub(crate) under_way: RwLock<()>,
    /// One at a time reads what is missing.
    pub(crate) catching_up: Turn<()>,
    /// There once what is stored from then on is heard.
    pub(crate) listening: OnceCell<Listening>,
    state: Mutex<State>,
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
    follower: Option<Follower>,
    /// What was acknowledged to this hub up to here is to be read by it.
    acknowledged: Offset,
    /// What this hub is doing to other messages, and what is to be erased for it.
    pub(crate) mending: HashMap<MessageId, Vec<Offset>>,
    /// What was let go of, and since when.
    let_go: (Offset, Instant),
    used: Instant,
}

/// Whether something is missing before what was heard.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Gap {
    None,
    /// The next that was heard comes behind something that was not.
    Before,
}

impl Room {
    pub(crate) fn new(name: RoomName) -> Self {
        let token = names::encode(name.as_str());
        let now = Instant::now();
        let state = State {
            log: RoomLog::default(),
            epoch: None,
            follower: None,
            acknowledged: Offset(0),
            mending: HashMap::new(),
            let_go: (Offset(0), now),
            used: now,
        };
        Self {
            name,
            token,
            turn: Turn::default(),
            under_way: RwLock::default(),
            catching_up: Turn::default(),
            listening: OnceCell::new(),
            state: Mutex::new(state),
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

    /// Hears what was stored, up to the first behind something that is missing here.
    pub(crate) fn hear(&self, news: &mut VecDeque<News>, retention: &Retention) -> Gap {
        let mut state = self.state.lock();
        let mut have = self.have();
        let (mut heard, mut gap) = (Vec::new(), Gap::None);
        while let Some(next) = news.front() {
            if next.item.offset > have {
                if state.epoch.is_none() || next.previous > have {
                    gap = Gap::Before;
                    break;
                }
                have = next.item.offset;
            }
            heard.extend(news.pop_front().map(|news| news.item));
        }
        self.take_into(&mut state, heard, retention);
        gap
    }

    /// Takes what was read behind what it has. What is to be erased for it, and may not have been.
    pub(crate) fn take(&self, items: Vec<Item>, retention: &Retention) -> Vec<Offset> {
        let mut state = self.state.lock();
        self.take_into(&mut state, items, retention)
    }

    fn take_into(&self, state: &mut State, items: Vec<Item>, retention: &Retention) -> Vec<Offset> {
        let (mut heard, mut records, mut erased) = (Vec::new(), Vec::new(), Vec::new());
        let mut have = self.have();
        for Item { offset, payload, .. } in items {
            if offset <= have {
                continue;
            }
            have = offset;
            match Stored::decode(&self.name, &payload) {
                Ok(Stored::LetGo(up_to)) => {
                    state.log.let_go_up_to(up_to);
                    heard.extend([
                        Heard::Records(std::mem::take(&mut records)),
                        Heard::LetGo(up_to),
                    ]);
                }
                Ok(Stored::Said { draft, target }) => {
                    let (record, gone) = state.take(offset, draft, target, retention);
                    records.extend(record);
                    erased.extend(gone);
                }
                Err(why) => tracing::error!(offset = offset.0, why, "a message is damaged"),
            }
        }
        // Under the lock: what is taken next is handed on next.
        heard.push(Heard::Records(records));
        heard.retain(|heard| !matches!(heard, Heard::Records(records) if records.is_empty()));
        if state.epoch.is_some()
            && let Some(follower) = &state.follower
        {
            heard.into_iter().for_each(|heard| follower(heard));
        }
        self.have.send_if_modified(|now| std::mem::replace(now, have) != have);
        erased
    }

    /// All of it was read: it belongs to this life of the log, of which everything before `first` is gone.
    pub(crate) fn begin(&self, epoch: &Epoch, first: Offset, oldest: u64) {
        let mut state = self.state.lock();
        state.log.let_go_up_to(Offset(first.0.saturating_sub(1)));
        state.log.let_go_before(oldest);
        state.epoch = Some(epoch.clone());
        let position = Position { epoch: epoch.clone(), offset: self.have() };
        if let Some(follower) = &state.follower {
            follower(Heard::Epoch(position));
        }
    }

    /// The log has begun another life, and nothing of it was read yet.
    pub(crate) fn forget(&self) {
        let mut state = self.state.lock();
        (state.log, state.epoch, state.acknowledged) = (RoomLog::default(), None, Offset(0));
        self.have.send_replace(Offset(0));
    }

    /// Hands on what comes from now on; everything before is up to the position that it returns. `None` if not all of it was
    /// read yet.
    pub(crate) fn follow(&self, follower: Follower) -> Option<Position> {
        let mut state = self.state.lock();
        let epoch = state.epoch.clone()?;
        state.follower = Some(follower);
        Some(Position { epoch, offset: self.have() })
    }

    pub(crate) fn unfollow(&self, follower: &Follower) {
        let mut state = self.state.lock();
        // It may have been opened again meanwhile.
        if state.follower.as_ref().is_some_and(|now| Arc::ptr_eq(now, follower)) {
            state.follower = None;
            state.used = Instant::now();
        }
    }

    /// Something is asked of it.
    pub(crate) fn touch(&self) {
        self.state.lock().used = Instant::now();
    }

    /// Whether nobody follows it, and nothing was asked of it for so long.
    pub(crate) fn is_idle(&self, since: Duration) -> bool {
        let state = self.state.lock();
        state.follower.is_none() && state.used.elapsed() >= since
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
    /// Makes what was said part of the log: the record that there is of it for readers, and what it lets go of.
    fn take(
        &mut self,
        offset: Offset,
        draft: Draft,
        target: Option<Offset>,
        retention: &Retention,
    ) -> (Option<Arc<Record>>, Vec<Offset>) {
        let id = draft.envelope.id.clone();
        // Said twice, further apart than ids are known to NATS; or done to what was taken back meanwhile.
        if self.log.offset_of(&id).is_some() || self.is_late(&draft) {
            return (None, vec![offset]);
        }
        let guest = draft.guest.clone();
        let (at, member) = (draft.envelope.at, draft.envelope.member.clone());
        let record = draft.numbered(offset);
        let mut gone = Vec::new();
        if let Some(Mends { of, how }) = &record.envelope.mends {
            let replaced =
                self.log.records().filter(|old| old.envelope.is_replaced_by(&record.envelope));
            gone.extend(replaced.map(|old| old.offset));
            if let (Mend::Retract, Some(offset)) = (how, target) {
                // Sent again, it stays away; also where it was erased before this hub came.
                self.log.remember(at, of.clone(), Known { offset, member, guest: None });
            }
        }
        self.log.push(record.clone(), guest, retention);
        if let Some(erased) = self.mending.get_mut(&id) {
            erased.extend(&gone);
        }
        (Some(record), gone)
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
