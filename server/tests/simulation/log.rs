//! What keeps the log of a history: memory, the SQLite broker that ships on a disk that fails, or a simulated NATS. Beside it
//! stands the truth, and the first two say no now and then: before they have kept something, or after, when nobody can know.

use std::{
    collections::{HashMap, HashSet},
    future::Future,
    path::PathBuf,
    sync::Arc,
};

use common::{Epoch, Message, MessageId, Offset, Position, RoomName};
use fastrand::Rng;
use faultdisk::Disk;
use hub::{
    Draft, Envelope,
    broker::{
        Appended, BoxFuture, Broker, BrokerError, Follower, Keep, KeptRoom, Opened, Page, Part,
        Read, Retention, memory::MemoryBroker,
    },
};
use jetstream::simulated::{Faults, SimulatedNats};
use parking_lot::{Mutex, MutexGuard};
use server::{OpenError, SqliteBroker, Sync};

/// What was kept.
#[derive(Clone, Debug)]
pub struct Kept {
    pub offset: Offset,
    pub envelope: Envelope,
    pub message: Message,
}

/// How a process ends that does not stop by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    Killed,
    PowerCut,
}

#[derive(Debug)]
pub struct Log {
    pub retention: Retention,
    store: Mutex<Store>,
    truth: Mutex<Vec<Arc<Kept>>>,
    /// What was the truth at the end of each earlier life of the log; some of it may still be on its way.
    earlier: Mutex<HashMap<Epoch, Vec<Arc<Kept>>>>,
    /// What a power cut has taken; some of it was acknowledged.
    pub lost: Mutex<HashSet<MessageId>>,
    luck: Mutex<(Rng, bool)>,
}

#[derive(Debug)]
enum Store {
    Memory(Arc<MemoryBroker>),
    File(File),
    Nats(SimulatedNats),
}

/// A file on a disk that fails.
#[derive(Debug)]
struct File {
    broker: Option<Arc<SqliteBroker>>,
    disk: Disk,
    sync: Sync,
    failing: u16,
}

impl Log {
    /// A log in memory.
    pub fn in_memory(kept: usize, rng: Rng) -> Self {
        let retention = Retention { room_messages: kept, ..Retention::default() };
        let store = Store::Memory(Arc::new(MemoryBroker::new(retention.clone())));
        Self::over(retention, store, rng)
    }

    /// A log in a file.
    pub fn in_a_file(kept: usize, mut rng: Rng) -> Self {
        faultdisk::install();
        let retention = Retention { room_messages: kept, ..Retention::default() };
        let disk = Disk::new(empty_dir(), rng.fork()).unwrap();
        let sync = if rng.bool() { Sync::Full } else { Sync::Normal };
        let failing = [0, 5, 50][rng.usize(..3)];
        let file = File { broker: None, disk, sync, failing };
        let log = Self::over(retention, Store::File(file), rng);
        log.start();
        log
    }

    /// A log on a NATS that fails.
    pub fn on_nats(kept: usize, mut rng: Rng, now_ms: u64) -> Self {
        let retention = Retention { room_messages: kept, ..Retention::default() };
        // Whoever knows too little tells of gaps where none are, as jetstream's own simulation has it.
        let faults = Faults::on_the_way(&mut rng);
        let nats = SimulatedNats::new(rng.fork(), faults, now_ms);
        Self::over(retention, Store::Nats(nats), rng)
    }

    /// NATS, where it is there.
    pub fn nats(&self) -> Option<SimulatedNats> {
        match &*self.store.lock() {
            Store::Nats(nats) => Some(nats.clone()),
            _ => None,
        }
    }

    /// What was kept until now.
    pub fn truth(&self) -> MutexGuard<'_, Vec<Arc<Kept>>> {
        let mut truth = self.truth.lock();
        if let Some(nats) = self.nats() {
            let newest = truth.last().map_or(Offset(0), |kept| kept.offset);
            let stored = nats.stored(&nats.epoch());
            let begin = stored.partition_point(|entry| entry.offset <= newest);
            for entry in &stored[begin..] {
                if let (Some(draft), true) = (&entry.draft, entry.room == super::world::room()) {
                    let (offset, envelope) = (entry.offset, draft.envelope.clone());
                    let message =
                        draft.clone().numbered(offset).message().expect("it is a message");
                    truth.push(Arc::new(Kept { offset, envelope, message }));
                }
            }
        }
        truth
    }

    fn over(retention: Retention, store: Store, rng: Rng) -> Self {
        let (truth, earlier, lost) = Default::default();
        let (store, luck) = (Mutex::new(store), Mutex::new((rng, true)));
        Self { retention, store, truth, earlier, lost, luck }
    }

    /// What was kept behind `from` up to `to`, in the life of the log that `from` belongs to.
    pub fn between(&self, from: &Position, to: Offset) -> Vec<Arc<Kept>> {
        let (earlier, truth) = (self.earlier.lock(), self.truth());
        let truth = earlier.get(&from.epoch).unwrap_or(&truth);
        let begin = truth.partition_point(|kept| kept.offset <= from.offset);
        truth[begin..].iter().take_while(|kept| kept.offset <= to).cloned().collect()
    }

    /// Nothing was let go of for its age.
    pub async fn has_all(&self) {
        let Ok(page) = Broker::read(self, &super::world::room(), everything()).await else {
            return;
        };
        let truth = self.truth.lock().len();
        assert!(page.records.len() >= truth, "{} of {truth} are left", page.records.len());
    }

    /// From now on it does not fail.
    pub fn heal(&self) {
        self.luck.lock().1 = false;
        match &mut *self.store.lock() {
            Store::Memory(_) => {}
            Store::File(file) => {
                file.failing = 0;
                file.disk.fail(0);
            }
            Store::Nats(nats) => nats.heal(),
        }
    }

    /// Whether something of the process that has the file is still there.
    pub fn is_in_use(&self) -> bool {
        match &*self.store.lock() {
            Store::File(file) => {
                file.broker.as_ref().is_some_and(|broker| Arc::strong_count(broker) > 1)
            }
            Store::Memory(_) | Store::Nats(_) => false,
        }
    }

    /// The process stops as it should, and is started again.
    pub fn restart(&self) {
        if let Store::File(file) = &mut *self.store.lock() {
            file.broker = None;
        }
        self.start();
    }

    /// The process dies, or all of the machine; a log that is no file is elsewhere.
    pub fn crash(&self, crash: Crash) {
        let Store::File(file) = &mut *self.store.lock() else { return };
        let epoch = epoch_of(file.broker.as_deref().unwrap());
        let left = match crash {
            Crash::Killed => file.disk.killed(empty_dir()).unwrap(),
            Crash::PowerCut => file.disk.cut_off(empty_dir()).unwrap(),
        };
        // It may write what it likes by now.
        file.broker = None;
        let has_lost = file.disk.has_lost();
        file.disk = left;
        let mut is_witnessed = true;
        if crash == Crash::PowerCut {
            is_witnessed = self.luck.lock().0.u8(..4) > 0;
            file.boot_anew(is_witnessed);
        }
        match file.try_open(&self.retention) {
            // Of what was committed and is synced later a part was lost by a sync that failed, and SQLite has gone on with the
            // rest: that is told, and the operator begins with an empty file.
            Err(OpenError::Damaged(_))
                if has_lost && crash == Crash::PowerCut && file.sync == Sync::Normal =>
            {
                file.disk = Disk::new(empty_dir(), self.luck.lock().0.fork()).unwrap();
                file.open(&self.retention);
            }
            opened => opened.unwrap(),
        }
        let goes_on = epoch == epoch_of(file.broker.as_deref().unwrap());
        if !goes_on {
            self.earlier.lock().insert(epoch, self.truth.lock().clone());
        }
        let keeps_all = is_witnessed && (crash == Crash::Killed || file.sync == Sync::Full);
        assert!(goes_on || !keeps_all, "{crash:?} with {:?} begins another life", file.sync);
        let lost = self.reconcile(file.broker.as_deref().unwrap());
        assert!(
            lost == 0 || !keeps_all,
            "invariant 2: {crash:?} with {:?} takes {lost}",
            file.sync
        );
        assert!(lost == 0 || !goes_on, "invariant 4: {lost} are lost, and readers are not told");
    }

    fn start(&self) {
        if let Store::File(file) = &mut *self.store.lock() {
            file.open(&self.retention);
            let lost = self.reconcile(file.broker.as_deref().unwrap());
            assert_eq!(lost, 0, "invariant 2: a restart takes messages");
        }
    }

    /// Makes the truth what is in the file: how much less that is. Of what could not be written for certain some
    /// may be there.
    fn reconcile(&self, broker: &SqliteBroker) -> usize {
        let page = all(broker);
        let mut truth = self.truth.lock();
        let found: HashSet<_> = page.records.iter().map(|record| &record.envelope.id).collect();
        let (mut lost, before) = (self.lost.lock(), truth.len());
        truth.retain(|kept| {
            let is_there = kept.offset <= page.floor || found.contains(&kept.envelope.id);
            if !is_there {
                lost.insert(kept.envelope.id.clone());
            }
            is_there
        });
        let gone = before - truth.len();
        let known: HashSet<_> = truth.iter().map(|kept| kept.envelope.id.clone()).collect();
        for record in page.records.iter().filter(|record| !known.contains(&record.envelope.id)) {
            let (offset, envelope) = (record.offset, record.envelope.clone());
            let message = record.message().expect("it is a message");
            truth.push(Arc::new(Kept { offset, envelope, message }));
        }
        truth.sort_by_key(|kept| kept.offset);
        gone
    }

    /// Does `work` with what keeps the log, and is done when this returns: threads of its own leave nothing to chance.
    fn with<T: Send + 'static>(
        &self,
        work: impl for<'a> FnOnce(&'a dyn Broker) -> BoxFuture<'a, Result<T, BrokerError>>
        + Send
        + 'static,
    ) -> BoxFuture<'static, Result<T, BrokerError>> {
        match &*self.store.lock() {
            Store::Memory(memory) => {
                let memory = memory.clone();
                Box::pin(async move { work(&*memory).await })
            }
            Store::File(file) => {
                let broker = file.broker.clone().expect("it is open");
                Box::pin(async move { block(work(&*broker)) })
            }
            Store::Nats(_) => unreachable!("each hub has a broker of its own"),
        }
    }
}

impl File {
    fn open(&mut self, retention: &Retention) {
        self.try_open(retention).unwrap();
    }

    fn try_open(&mut self, retention: &Retention) -> Result<(), OpenError> {
        // Whether it comes up on a disk that fails is not in question here.
        self.disk.fail(0);
        let broker = SqliteBroker::open(self.disk.dir(), retention.clone(), self.sync)?;
        self.broker = Some(Arc::new(broker));
        self.disk.fail(self.failing);
        Ok(())
    }

    /// The system was started anew; of what it did not sync, the witness may be gone.
    fn boot_anew(&self, is_witnessed: bool) {
        let witness = self.disk.dir().join("hubbub.head");
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
        let text = std::fs::read_to_string(&witness).unwrap();
        let text = if is_witnessed { &text[..] } else { &text[..text.len() / 3] };
        std::fs::write(witness, text.replace(boot.trim(), "another")).unwrap();
    }
}

fn empty_dir() -> PathBuf {
    // In memory where there is such a place: what a disk takes is no part of it.
    let shm = PathBuf::from("/dev/shm");
    let base = if shm.is_dir() { shm } else { std::env::temp_dir() };
    base.join(format!("hubbub-simulation-{}", uuid::Uuid::new_v4()))
}

fn block<T>(work: impl Future<Output = T>) -> T {
    futures_executor::block_on(tokio::task::unconstrained(work))
}

/// All of the room.
fn all(broker: &SqliteBroker) -> Page {
    block(broker.read(&super::world::room(), everything())).unwrap()
}

fn everything() -> Read {
    let (part, at_least) = (Part::After(Offset(0)), Offset(0));
    Read { part, records: usize::MAX, bytes: usize::MAX, at_least }
}

fn epoch_of(broker: &SqliteBroker) -> Epoch {
    let open = block(Broker::open(broker, &RoomName::parse("nobody").unwrap(), Arc::new(|_| {})));
    open.unwrap().position.epoch
}

/// Followers have heard of it, too, when this is done: the writer hands on before it takes anything else.
fn append_and_hand_on(
    drafts: Vec<Draft>,
) -> impl FnOnce(&dyn Broker) -> BoxFuture<'_, Result<Appended, BrokerError>> + Send + 'static {
    move |broker| {
        Box::pin(async move {
            let appended = broker.append(drafts).await;
            let _ = broker.append(Vec::new()).await;
            appended
        })
    }
}

impl Broker for Log {
    fn open(
        &self,
        room: &RoomName,
        follower: Follower,
    ) -> BoxFuture<'_, Result<Opened, BrokerError>> {
        let room = room.clone();
        self.with(move |broker| broker.open(&room, follower))
    }

    fn append(&self, mut drafts: Vec<Draft>) -> BoxFuture<'_, Result<Appended, BrokerError>> {
        // The server has the real time. By it other pages of a file would be written each time.
        for draft in &mut drafts {
            draft.envelope.at = super::world::BEGIN + self.truth.lock().len() as u64;
        }
        let error = || Err(BrokerError::Unavailable("bad luck".to_owned()));
        let (before, after) = {
            let (rng, fails) = &mut *self.luck.lock();
            let luck = rng.u8(..);
            (*fails && luck < 3, *fails && (3..6).contains(&luck))
        };
        if before {
            return Box::pin(async move { error() });
        }
        Box::pin(async move {
            let said = drafts.clone();
            let appended = self.with(append_and_hand_on(drafts)).await?;
            let mut truth = self.truth.lock();
            for (draft, offset) in said.into_iter().zip(&appended.offsets) {
                if truth.last().is_none_or(|newest| newest.offset < *offset) {
                    let envelope = draft.envelope.clone();
                    let message = draft.numbered(*offset).message().expect("it is a message");
                    truth.push(Arc::new(Kept { offset: *offset, envelope, message }));
                }
            }
            if after { error() } else { Ok(appended) }
        })
    }

    fn read(&self, room: &RoomName, read: Read) -> BoxFuture<'_, Result<Page, BrokerError>> {
        let room = room.clone();
        self.with(move |broker| broker.read(&room, read))
    }

    fn rooms(&self, limit: usize) -> BoxFuture<'_, Result<Vec<KeptRoom>, BrokerError>> {
        self.with(move |broker| broker.rooms(limit))
    }

    fn read_all(
        &self,
        shard: usize,
        after: Offset,
        records: usize,
        bytes: usize,
    ) -> BoxFuture<'_, Result<Page, BrokerError>> {
        self.with(move |broker| broker.read_all(shard, after, records, bytes))
    }

    fn let_go(&self, room: &RoomName, keep: Keep) -> BoxFuture<'_, Result<Offset, BrokerError>> {
        let room = room.clone();
        self.with(move |broker| broker.let_go(&room, keep))
    }

    fn keep(&self, key: &str, value: Option<&str>) -> BoxFuture<'_, Result<(), BrokerError>> {
        let (key, value) = (key.to_owned(), value.map(str::to_owned));
        self.with(move |broker| broker.keep(&key, value.as_deref()))
    }

    fn kept(&self) -> BoxFuture<'_, Result<Vec<(String, String)>, BrokerError>> {
        self.with(move |broker| broker.kept())
    }

    fn check(&self) -> BoxFuture<'_, Result<(), BrokerError>> {
        self.with(move |broker| broker.check())
    }

    fn tidy(&self, at: u64) -> BoxFuture<'_, Result<u64, BrokerError>> {
        self.with(move |broker| broker.tidy(at))
    }
}
