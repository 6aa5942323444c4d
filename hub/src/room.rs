//! One open room: the tail of its log, what can be said of who is in it, and the lines of its readers.
//!
//! After every change a pass goes over the lines, with no lock of the room held. It pushes what is new where it can, and
//! wakes whoever has to look for itself: being woken twice, or late, does no harm.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use common::{Epoch, MemberId, Offset, RoomName, SessionId};
use futures_util::{FutureExt, future::join_all};
use parking_lot::{Mutex, MutexGuard, RwLock};
use slab::Slab;
use tokio::{
    runtime::Handle,
    sync::{Notify, OnceCell},
    task::yield_now,
    time::{Instant, sleep_until, timeout},
};

use crate::{
    Letter, Limits, StateFrame, Undelivered,
    broker::{BrokerError, Following, Heard},
    history::{BATCH_BYTES, BATCH_RECORDS, History},
    lag::Lag,
    line::{Batch, Faces, Line},
    peers::{HubId, Others, Said, Shown},
    state::{Digests, Place, Seen, States},
    tail::Tail,
};

#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) name: RoomName,
    pub(crate) tail: RwLock<Tail>,
    limits: Limits,
    /// There once the log is followed.
    following: OnceCell<Following>,
    /// The other hubs, where there are any, and what hears of them.
    others: Option<Arc<Others>>,
    hearing: OnceLock<Following>,
    heard: Notify,
    states: Mutex<Told>,
    /// Grows with each state that is told, so that whoever has taken it all need not ask.
    told: AtomicU64,
    /// Tells one life of the room from the next: versions of states begin anew.
    pub(crate) life: u64,
    lines: Mutex<Slab<Arc<Line>>>,
    passed: Mutex<Passed>,
    /// How many changes the passes have not seen.
    changes: AtomicUsize,
    runtime: Handle,
}

type SaidOfMembers = Said<MemberId, Shown>;

/// How far the passes have got.
#[derive(Debug, Default)]
struct Passed {
    log: Option<(Epoch, Offset)>,
    told: u64,
}

/// How many lines a pass goes over before others get their turn.
const STRETCH: usize = 64;

/// With so many lines for each, a pass is made by several workers: waking one costs as much as a few writes.
const WORTH_A_WORKER: usize = 256;
/// How long other hubs have to tell who is there with them, where that is asked for and not known yet.
const TELLING: Duration = Duration::from_millis(500);

/// What one pass brings, and how far it is.
#[derive(Default)]
struct Round {
    /// `None` where a part of that is not in memory any more: everybody looks for themselves.
    batch: Option<Batch>,
    /// There is something new of the members, too.
    told: bool,
    /// The first line that nobody goes over yet.
    next: AtomicUsize,
}

#[derive(Debug)]
struct Told {
    states: States,
    /// When something was told last.
    at: Instant,
    /// The next telling is on its way.
    due: bool,
}

impl Room {
    pub(crate) fn new(
        name: RoomName,
        limits: &Limits,
        runtime: Handle,
        others: Option<Arc<Others>>,
    ) -> Self {
        let long_ago = Instant::now() - interval(usize::MAX, limits);
        let (life, _) = uuid::Uuid::new_v4().as_u64_pair();
        let mut states = States::default();
        if let Some(others) = &others {
            states.share(others.own, life);
        }
        Self {
            name,
            tail: RwLock::default(),
            limits: limits.clone(),
            following: OnceCell::new(),
            others,
            hearing: OnceLock::new(),
            heard: Notify::new(),
            states: Mutex::new(Told { states, at: long_ago, due: false }),
            told: AtomicU64::new(0),
            life,
            lines: Mutex::default(),
            passed: Mutex::default(),
            changes: AtomicUsize::new(0),
            runtime,
        }
    }

    /// Follows the log, unless that was done already.
    pub(crate) async fn follow(
        self: &Arc<Self>,
        history: &Arc<History>,
    ) -> Result<(), BrokerError> {
        let follow = async || {
            let (room, pages) = (Arc::downgrade(self), Arc::downgrade(history));
            let follower = Arc::new(move |heard| {
                if let (Some(room), Some(pages)) = (room.upgrade(), pages.upgrade()) {
                    if changes_what_was_read(&heard) {
                        pages.forget(&room.name);
                    }
                    room.hear(heard);
                }
            });
            let opened = history.broker().open(&self.name, follower).await?;
            let mut tail = self.tail.write();
            // Unless the log has begun another life meanwhile, of which the follower has heard.
            if tail.epoch().is_none() {
                tail.begin(opened.position);
            }
            Ok(opened.following)
        };
        self.following.get_or_try_init(follow).await.map(drop)
    }

    fn hear(self: &Arc<Self>, heard: Heard) {
        let mut tail = self.tail.write();
        match heard {
            Heard::Records(records) => {
                records.into_iter().for_each(|record| tail.push(record, &self.limits));
            }
            Heard::Epoch(position) => tail.begin(position),
            Heard::LetGo(offset) => tail.let_go(offset),
        }
        drop(tail);
        self.ring();
    }

    /// Has the readers get what is new, soon: whoever has something to tell does not wait for thousands of them.
    fn ring(self: &Arc<Self>) {
        if self.changes.fetch_add(1, Ordering::AcqRel) > 0 {
            return;
        }
        let room = Arc::downgrade(self);
        self.runtime.spawn(async move {
            // Whoever reads holds the room: one that is gone has nobody to wake.
            let Some(room) = room.upgrade() else { return };
            let mut is_busy = false;
            loop {
                let seen = room.changes.load(Ordering::Acquire);
                while room.pass(is_busy).await {
                    is_busy = true;
                }
                if room.changes.fetch_sub(seen, Ordering::AcqRel) == seen {
                    return;
                }
            }
        });
    }

    /// Goes over all lines with what has come since the last time; whether there may be more. Several workers do so, unless
    /// the room is busy: then one does, and what comes meanwhile goes out together, in fewer writes.
    async fn pass(self: &Arc<Self>, is_busy: bool) -> bool {
        let (batch, told) = {
            let mut passed = self.passed.lock();
            let told = self.told.load(Ordering::Acquire);
            let is_new = std::mem::replace(&mut passed.told, told) != told;
            (self.take_batch(&mut passed), is_new)
        };
        let is_empty = batch.as_ref().is_some_and(|batch| batch.records.is_empty());
        if is_empty && !told {
            return false;
        }
        let is_more = batch.is_some() && !is_empty;
        let round = Arc::new(Round { batch, told, ..Round::default() });
        let worth = self.lines.lock().len() / WORTH_A_WORKER;
        let workers = worth.min(self.runtime.metrics().num_workers());
        let go = || self.clone().go_round(round.clone());
        let is_whole = if is_busy || workers < 2 {
            AssertUnwindSafe(go()).catch_unwind().await.is_ok()
        } else {
            let all: Vec<_> = (0..workers).map(|_| self.runtime.spawn(go())).collect();
            join_all(all).await.iter().all(Result::is_ok)
        };
        if !is_whole {
            // Somebody's push has panicked, and whom that has kept from this round is not told again what it brought.
            self.clone().go_round(Arc::default()).await;
        }
        is_more
    }

    /// Goes over lines of a round until none is left that nobody has gone over.
    async fn go_round(self: Arc<Self>, round: Arc<Round>) {
        let (faces, mut lines) = (Faces::default(), Vec::with_capacity(STRETCH));
        loop {
            if !self.add_stretch(round.next.fetch_add(STRETCH, Ordering::Relaxed), &mut lines) {
                return;
            }
            if lines.is_empty() {
                continue;
            }
            for line in lines.drain(..) {
                match &round.batch {
                    Some(batch) => line.hear(batch, &faces, round.told),
                    None => line.call(),
                }
            }
            yield_now().await;
        }
    }

    /// Adds the lines of the stretch that begins at `start`; whether there may be some from there on.
    fn add_stretch(&self, start: usize, lines: &mut Vec<Arc<Line>>) -> bool {
        let all = self.lines.lock();
        let end = all.capacity().min(start + STRETCH);
        lines.extend((start..end).filter_map(|key| all.get(key).cloned()));
        start < end
    }

    /// Counts the readers that are behind; `at` is now, in milliseconds since 1970.
    pub(crate) async fn add_lag(&self, lag: &mut Lag, at: u64) {
        let (mut start, mut lines) = (0, Vec::with_capacity(STRETCH));
        while self.add_stretch(start, &mut lines) {
            // Before looking at the readers: what comes while looking is nobody's fault.
            let head = self.tail.read().head();
            let all = lines.drain(..).filter_map(|line| line.progress());
            let behind = all.filter(|reader| reader.written < head || reader.writing.is_some());
            for reader in behind.collect::<Vec<_>>() {
                let unread = self.tail.read().unread(reader.written);
                lag.add(&reader, unread, at);
            }
            start += STRETCH;
            yield_now().await;
        }
    }

    /// What has come since the last pass, up to a limit; `None` where a part of that is not in memory any more.
    fn take_batch(&self, passed: &mut Passed) -> Option<Batch> {
        let tail = self.tail.read();
        let Some((epoch, offset)) = &mut passed.log else {
            passed.log = tail.epoch().map(|epoch| (epoch.clone(), tail.head()));
            return None;
        };
        let Some(behind) = tail.behind(epoch, *offset) else {
            passed.log = tail.epoch().map(|epoch| (epoch.clone(), tail.head()));
            return None;
        };
        let (mut records, mut bytes) = (Vec::new(), 0);
        for record in behind.take(BATCH_RECORDS) {
            if bytes >= BATCH_BYTES {
                break;
            }
            bytes += record.frame.bytes().len();
            *offset = record.offset;
            records.push(record.clone());
        }
        Some(Batch::new(epoch.clone(), records))
    }

    /// Lists a reader; by what it is taken off again.
    pub(crate) fn list(&self, line: Arc<Line>) -> usize {
        self.lines.lock().insert(line)
    }

    pub(crate) fn unlist(&self, key: usize) {
        self.lines.lock().remove(key);
    }

    /// Looks at what can be said of the members.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&States) -> T) -> T {
        look(&self.states.lock().states)
    }

    /// Changes what can be said of the members. It is told at once, or a while after what was told last.
    pub(crate) fn change<T>(self: &Arc<Self>, change: impl FnOnce(&mut States) -> T) -> T {
        let mut told = self.states.lock();
        let changed = change(&mut told.states);
        self.tell_soon(told);
        changed
    }

    fn tell_soon(self: &Arc<Self>, mut told: MutexGuard<'_, Told>) {
        if told.due || !told.states.has_changed() {
            return;
        }
        let next = told.at + interval(told.states.count(), &self.limits);
        if next <= Instant::now() {
            return self.tell(&mut told);
        }
        told.due = true;
        let room = Arc::downgrade(self);
        self.runtime.spawn(async move {
            sleep_until(next).await;
            if let Some(room) = room.upgrade() {
                let mut told = room.states.lock();
                told.due = false;
                room.tell(&mut told);
            }
        });
    }

    fn tell(self: &Arc<Self>, told: &mut Told) {
        self.tell_others(told, Instant::now().into_std());
        if told.states.tick() {
            told.at = Instant::now();
            self.told.fetch_add(1, Ordering::Release);
            self.ring();
        }
    }

    fn tell_others(&self, told: &mut Told, now: std::time::Instant) {
        let Some(others) = &self.others else { return };
        for share in told.states.take_share(now) {
            told.at = Instant::now();
            others.peers.tell(Some(&self.name), SaidOfMembers::Told(share).encode());
        }
    }

    /// Tells the other hubs again, if it is time, how far what they were told goes; to be called now and then.
    pub(crate) fn tell_others_again(&self, now: std::time::Instant) {
        self.tell_others(&mut self.states.lock(), now);
    }

    /// Hears of other hubs who is there, from now on.
    pub(crate) fn hear_others(self: &Arc<Self>) {
        let Some(others) = &self.others else { return };
        let room = Arc::downgrade(self);
        let hear = Arc::new(move |text: &[u8]| {
            if let Some(room) = room.upgrade() {
                room.hear_other(text);
            }
        });
        self.hearing.get_or_init(|| others.peers.listen(Some(&self.name), hear));
        self.ask_others(others);
    }

    fn ask_others(&self, others: &Others) {
        others.peers.tell(Some(&self.name), SaidOfMembers::Ask(others.own).encode());
    }

    fn hear_other(self: &Arc<Self>, text: &[u8]) {
        let Some(others) = &self.others else { return };
        match SaidOfMembers::decode(text) {
            Some(Said::Ask(hub)) if hub != others.own => self.change(States::ask),
            Some(Said::Told(told)) if told.hub != others.own => {
                let now = Instant::now().into_std();
                if self.change(|states| states.hear(told, now)) {
                    self.ask_others(others);
                }
                self.heard.notify_waiters();
            }
            _ => {}
        }
    }

    /// Waits until these hubs have told who is there, for a moment at the most.
    pub(crate) async fn hears_of(&self, hubs: &[HubId]) {
        let hears = async {
            loop {
                let heard = self.heard.notified();
                if self.look(|states| states.knows(hubs)) {
                    return;
                }
                heard.await;
            }
        };
        // Who has not told by then is missing.
        let _ = timeout(TELLING, hears).await;
    }

    /// Leaves a letter for a session, wherever that is.
    pub(crate) async fn post(&self, to: &SessionId, letter: Letter) -> Result<(), Undelivered> {
        match (self.place(to).await, &self.others) {
            (Some(Place::Here(mailbox)), _) => mailbox.put(letter),
            (Some(Place::At(hub)), Some(others)) => others.post(hub, &self.name, to, letter).await,
            _ => Err(Undelivered::NotHere),
        }
    }

    /// Where others leave something for a session. It may have come to another hub just now, which is about to tell of it.
    async fn place(&self, session: &SessionId) -> Option<Place> {
        let place = || self.look(|states| states.place(session));
        if self.others.is_none() {
            return place();
        }
        let told = async {
            loop {
                let heard = self.heard.notified();
                if let Some(place) = place() {
                    return place;
                }
                heard.await;
            }
        };
        timeout(TELLING, told).await.ok()
    }

    /// What was taken of each list, if nothing was told of it since.
    pub(crate) fn digests(&self, seen: &Seen) -> Digests {
        self.states.lock().states.digests(seen)
    }

    /// What was taken at another hub, as if it had been here.
    pub(crate) fn seen_elsewhere(&self, taken: &Digests) -> Seen {
        self.states.lock().states.seen_elsewhere(taken)
    }

    /// What was told of the members since `seen` and `told`, which are brought up to date.
    pub(crate) fn take_state(
        &self,
        seen: &mut Seen,
        told: &mut Option<u64>,
    ) -> Vec<Arc<StateFrame>> {
        let now = self.told.load(Ordering::Acquire);
        if told.replace(now) == Some(now) {
            return Vec::new();
        }
        self.states.lock().states.take(seen)
    }
}

/// Whether a page that was read before has what is no more, or is not so any more.
fn changes_what_was_read(heard: &Heard) -> bool {
    match heard {
        Heard::Records(records) => records.iter().any(|record| record.envelope.mends.is_some()),
        Heard::LetGo(_) => true,
        // A page is of one life.
        Heard::Epoch(_) => false,
    }
}

/// How long to wait between telling a room of so many members of two changes: the more there are, the
/// more often something changes, and the more are told.
fn interval(members: usize, limits: &Limits) -> Duration {
    match members {
        ..=100 => limits.state_interval,
        101..=5_000 => 4 * limits.state_interval,
        _ => 20 * limits.state_interval,
    }
}
