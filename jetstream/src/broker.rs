//! The broker: how it is opened, the rooms that are in memory, and how they are kept up with the stream.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    fmt,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_nats::Event;
use common::{Epoch, Offset, RoomName};
use futures_util::StreamExt;
use hub::{
    Draft,
    broker::{
        Ages, Appended, BoxFuture, Broker, BrokerError, Follower, Following, Health, Keep,
        KeptRoom, Opened, Page, Read, Retention, Troubles, Watcher,
    },
    peers::Peers,
};
use parking_lot::Mutex;
use tokio::{
    sync::{Mutex as Turn, Notify, Semaphore},
    time::{Instant, sleep},
};

use crate::{
    OpenError, Options,
    kept::Kept,
    lease::Leases,
    names,
    nats::NatsStream,
    peers::NatsPeers,
    room::{Gap, Listening, Room},
    stored::Stored,
    stream::{Facts, Failure, Hearing, New, Shape, Stream},
    sweeping::sweep_on,
};

/// How long a connection may be silent until it is asked whether it is alive; after two such times without an answer another is
/// taken. That is sooner than other hubs take this one for gone.
const PING: Duration = Duration::from_secs(2);
/// How often it is looked whether others have appended anything, by whoever waits for that.
const LOOK: Duration = Duration::from_millis(250);
/// How long what was acknowledged may take to be heard of, before it is asked for.
pub(crate) const ECHO: Duration = Duration::from_millis(100);
/// How long until it is asked again how far the log goes, which went further before.
const AGAIN: Duration = Duration::from_millis(100);
/// What is read at once.
pub(crate) const ITEMS: usize = 1_000;
pub(crate) const BYTES: usize = 4 * 1024 * 1024;
/// How many batches one hub has under way. The server allows fifty of all hubs together; beyond that they are sent again.
const BATCHES: usize = 12;
/// Messages are kept for so much longer than their age allows, so that which go is decided by when they were said.
const AGE_MARGIN: Duration = Duration::from_secs(60 * 60);

/// A log on NATS JetStream.
pub struct JetStreamBroker {
    /// Each has a stream of its own, and what is said in some of the rooms.
    shards: Arc<[Arc<Inner>]>,
    kept: Arc<Kept>,
    leases: Leases,
    peers: Arc<dyn Peers>,
    /// What is answered with in place of what was asked for.
    troubles: Mutex<Troubles>,
    _sweeping: Listening,
}

impl fmt::Debug for JetStreamBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JetStreamBroker")
            .field("shards", &self.shards.len())
            .finish_non_exhaustive()
    }
}

pub(crate) struct Inner {
    /// Which of the shards it is.
    pub(crate) shard: usize,
    pub(crate) log: Arc<dyn Stream>,
    pub(crate) kept: Arc<Kept>,
    pub(crate) retention: Retention,
    /// By name, so that a simulation that is played again does the same in the same order.
    pub(crate) rooms: Mutex<BTreeMap<RoomName, Arc<Room>>>,
    epoch: Mutex<Epoch>,
    /// Those that it was in before.
    lives: Mutex<HashSet<Epoch>>,
    pub(crate) ages: Mutex<Ages>,
    /// What was said before then is too old: milliseconds since 1970.
    pub(crate) oldest: AtomicU64,
    /// The newest that was given in this life of the log, as far as is known here, and since when the log has not gone that far.
    pub(crate) newest: Mutex<(Offset, Option<Instant>)>,
    /// How far the log went when it was last swept; beyond all numbers, where it could not be.
    pub(crate) given: Mutex<Offset>,
    /// The rooms that were found last, at most so many, and when.
    pub(crate) listed: Turn<Option<(Instant, usize, Vec<KeptRoom>)>>,
    pub(crate) batches: Semaphore,
    pub(crate) wait: Duration,
    pub(crate) counts: Arc<Counts>,
    /// Bytes of the log.
    bytes: AtomicU64,
}

/// What is told by [`JetStreamBroker::observed`] and [`Broker::health`].
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) gaps: AtomicU64,
    pub(crate) found: AtomicU64,
    pub(crate) acked: OnceLock<Acked>,
}

type Acked = Box<dyn Fn(Duration) + Send + Sync>;

impl Counts {
    /// This was acknowledged, sent so long ago.
    pub(crate) fn acked(&self, after: Duration) {
        if let Some(acked) = self.acked.get() {
            acked(after);
        }
    }
}

impl JetStreamBroker {
    /// Opens the log, and makes its streams if there are none.
    ///
    /// # Errors
    ///
    /// [`OpenError`]: NATS does not answer, is too old, or has something else under this name.
    pub async fn open(options: Options, retention: Retention) -> Result<Self, OpenError> {
        let Options { servers, credentials, name, replicas, wait, window, streams, make } = options;
        let sweep = Arc::new(Notify::new());
        let (changed, troubles) = (sweep.clone(), Mutex::new(Troubles::default()));
        let mut who = servers.identified();
        if let Some(file) = credentials {
            let failed = |error| OpenError::Credentials { file: file.clone(), error };
            who = who.credentials_file(&file).await.map_err(failed)?;
        }
        let client = who
            .name("hubbub")
            .connection_timeout(wait)
            .ping_interval(PING)
            .event_callback(move |event| {
                match event {
                    // Once for each message that was not heard.
                    Event::SlowConsumer(_) => troubles.lock().error(format_args!("NATS: {event}")),
                    _ => tracing::info!(%event, "NATS"),
                }
                // Back again, or too slow: something may not have been heard of.
                changed.notify_one();
                std::future::ready(())
            })
            .connect(servers.addresses())
            .await
            .map_err(|error| OpenError::Away(error.to_string()))?;
        let open = async |shape| {
            let stream = NatsStream::open(client.clone(), shape, wait, make).await?;
            Ok::<_, OpenError>(Arc::new(stream) as Arc<dyn Stream>)
        };
        let shape = |shard, streams| shape(&name, shard, streams, replicas, window, &retention);
        let first = open(shape(0, streams)).await?;
        // As whoever made the first has it, so are the others.
        let streams = first.facts().await?.streams;
        let mut logs = vec![first];
        for shard in 1..streams {
            logs.push(open(shape(shard, streams)).await?);
        }
        let kept = open(shape_of_kept(&name, replicas, window)).await?;
        let peers = Arc::new(NatsPeers::new(client.clone(), name.clone()));
        Ok(Self::over(logs, kept, peers, sweep, retention).await?)
    }

    /// Over streams that are there, one for each shard; it is swept, too, when `sweep` is notified.
    pub(crate) async fn over(
        logs: Vec<Arc<dyn Stream>>,
        kept: Arc<dyn Stream>,
        peers: Arc<dyn Peers>,
        sweep: Arc<Notify>,
        retention: Retention,
    ) -> Result<Self, Failure> {
        let (kept, counts) = (Arc::new(Kept::new(kept)), Arc::<Counts>::default());
        let mut shards = Vec::with_capacity(logs.len());
        for (shard, log) in logs.into_iter().enumerate() {
            let facts = log.facts().await?;
            shards.push(Arc::new(Inner {
                shard,
                wait: log.wait(),
                log,
                kept: kept.clone(),
                retention: retention.clone(),
                rooms: Mutex::default(),
                epoch: Mutex::new(epoch_of(&facts)),
                lives: Mutex::default(),
                // By when something was stored last: a clock that is far ahead of that is not believed.
                ages: Mutex::new(Ages::since(facts.last_at)),
                oldest: AtomicU64::new(0),
                newest: Mutex::default(),
                given: Mutex::new(facts.last),
                listed: Turn::default(),
                batches: Semaphore::new(BATCHES),
                counts: counts.clone(),
                bytes: AtomicU64::new(facts.bytes),
            }));
        }
        let shards: Arc<[_]> = shards.into();
        let sweeping = tokio::spawn(sweep_on(Arc::downgrade(&shards), kept.clone(), sweep));
        let sweeping = Listening(sweeping.abort_handle());
        Ok(Self {
            shards,
            kept,
            leases: Leases::new(),
            peers,
            troubles: Mutex::default(),
            _sweeping: sweeping,
        })
    }

    /// Says why something was not done that is to be tried again.
    fn noted<T>(&self, done: Result<T, BrokerError>) -> Result<T, BrokerError> {
        if let Err(error @ (BrokerError::Full | BrokerError::Unavailable(_))) = &done {
            self.troubles.lock().error(format_args!("{error}"));
        }
        done
    }

    fn shard_of(&self, room: &RoomName) -> usize {
        names::shard_of(room.as_str(), self.shards.len())
    }

    fn shard(&self, room: &RoomName) -> &Arc<Inner> {
        &self.shards[self.shard_of(room)]
    }

    async fn append(&self, drafts: Vec<Draft>) -> Result<Appended, BrokerError> {
        let of: Vec<_> = drafts.iter().map(|draft| self.shard_of(&draft.envelope.room)).collect();
        let first = of.first().copied().unwrap_or(0);
        if of.iter().all(|shard| *shard == first) {
            return self.shards[first].append(drafts).await;
        }
        let (mut epoch, mut offsets) = (self.shards[first].epoch(), vec![Offset(0); of.len()]);
        for (number, shard) in self.shards.iter().enumerate() {
            let is_there = |place: &usize| of[*place] == number;
            let places: Vec<_> = (0..of.len()).filter(is_there).collect();
            if places.is_empty() {
                continue;
            }
            let own = places.iter().map(|place| drafts[*place].clone()).collect();
            let appended = shard.append(own).await?;
            for (place, offset) in places.into_iter().zip(appended.offsets) {
                offsets[place] = offset;
            }
            if number == first {
                epoch = appended.epoch;
            }
        }
        Ok(Appended { epoch, offsets })
    }

    async fn rooms(&self, limit: usize) -> Result<Vec<KeptRoom>, BrokerError> {
        let mut rooms = Vec::new();
        for shard in &*self.shards {
            rooms.extend(shard.rooms(limit).await?);
        }
        rooms.sort_by(|a, b| (b.last_at, &a.name).cmp(&(a.last_at, &b.name)));
        rooms.truncate(limit);
        Ok(rooms)
    }

    /// The way from this hub to the others of the same log.
    pub fn peers(&self) -> Arc<dyn Peers> {
        self.peers.clone()
    }

    /// Tells `acked` how long each acknowledgement took, from when it was sent.
    #[must_use]
    pub fn observed(self, acked: impl Fn(Duration) + Send + Sync + 'static) -> Self {
        // Whoever was first is told.
        let _ = self.shards[0].counts.acked.set(Box::new(acked));
        self
    }

    /// The secret of this name, of letters, digits and `-`, that all hubs of this log have: `new`, if there was none before.
    ///
    /// # Errors
    ///
    /// [`BrokerError`] when NATS does not answer.
    pub async fn secret(&self, name: &str, new: &[u8]) -> Result<Vec<u8>, BrokerError> {
        Ok(self.kept.secret(name, new).await?)
    }
}

/// How the stream of a shard is made.
pub(crate) fn shape(
    name: &str,
    shard: usize,
    streams: usize,
    replicas: usize,
    window: Duration,
    retention: &Retention,
) -> Shape {
    let limit = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    let (name, subjects) = match shard {
        0 => (name.to_owned(), format!("{name}.log")),
        shard => (format!("{name}-{shard}"), format!("{name}.log-{shard}")),
    };
    Shape {
        name,
        subjects,
        replicas,
        streams,
        // Of what is let go of in a room a part stays, by which its ids are known.
        per_subject: limit(retention.room_ids.max(retention.room_messages)),
        max_bytes: limit(retention.total_bytes / streams),
        max_age: retention.age + AGE_MARGIN,
        window,
    }
}

/// How the stream is made of what is kept beside messages.
pub(crate) fn shape_of_kept(name: &str, replicas: usize, window: Duration) -> Shape {
    Shape {
        name: format!("{name}-kept"),
        subjects: format!("{name}.kept"),
        replicas,
        streams: 1,
        per_subject: 1,
        max_bytes: -1,
        max_age: Duration::ZERO,
        window,
    }
}

fn epoch_of(facts: &Facts) -> Epoch {
    epoch_of_life(&facts.life)
}

pub(crate) fn epoch_of_life(life: &str) -> Epoch {
    let life = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, life.as_bytes());
    Epoch::parse(&life.simple().to_string()[20..])
        .expect("hexadecimal digits are letters or digits")
}

fn begun() -> Failure {
    Failure::Away("the log has begun another life just now".to_owned())
}

pub(crate) fn put_back() -> Failure {
    Failure::Away("the log was put back".to_owned())
}

fn behind() -> Failure {
    Failure::Away("NATS: its copies of the log lag behind".to_owned())
}

impl Inner {
    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch.lock().clone()
    }

    /// The room, in memory with all that is stored of it by now, and heard of from now on.
    pub(crate) async fn room(self: &Arc<Self>, name: &RoomName) -> Result<Arc<Room>, Failure> {
        let room = {
            let mut rooms = self.rooms.lock();
            let new = || Arc::new(Room::new(name.clone()));
            rooms.entry(name.clone()).or_insert_with(new).clone()
        };
        room.touch();
        let listen = async || {
            let heard = self.log.listen(&room.token).await?;
            let (inner, weak) = (Arc::downgrade(self), Arc::downgrade(&room));
            let task = tokio::spawn(hear_on(inner, weak, heard));
            Ok(Listening(task.abort_handle()))
        };
        room.listening.get_or_try_init(listen).await?;
        while !room.is_of(&self.epoch()) {
            self.catch_up(&room, Offset(0)).await?;
        }
        Ok(room)
    }

    /// Reads what is stored of a room and is not in its log yet; unless that goes as far as `enough`, if that is known.
    /// Returns how far the whole log goes; less than `enough`, if it does not go so far for as long as an answer may take.
    pub(crate) async fn catch_up(&self, room: &Room, enough: Offset) -> Result<Offset, Failure> {
        let _one = room.catching_up.lock().await;
        if enough > Offset(0) && room.is_of(&self.epoch()) && room.have() >= enough {
            return Ok(enough);
        }
        let started = Instant::now();
        loop {
            let before = self.facts().await?;
            let epoch = self.epoch();
            self.read_up(room, &epoch, started).await?;
            if room.is_of(&epoch) && room.have() >= enough {
                return Ok(before.last);
            }
            // Asked behind reading: what was gone by then may have been missing.
            let facts = self.facts().await?;
            if !room.is_of(&epoch) {
                if epoch_of(&facts) != epoch {
                    // What was read is of two lives.
                    room.forget();
                    return Err(begun());
                }
                room.begin(&epoch, facts.first, self.oldest.load(Ordering::Relaxed));
            }
            // Whoever leads, or thinks so, may not have that yet. Who has more than that, before and behind, has told all.
            let last = before.last.min(facts.last);
            if room.have() >= enough || last >= enough || started.elapsed() > self.wait {
                return Ok(last);
            }
            sleep(AGAIN).await;
        }
    }

    /// Reads a room up to the newest that whoever leads has of it.
    async fn read_up(&self, room: &Room, epoch: &Epoch, started: Instant) -> Result<(), Failure> {
        let mut last = self.log.last(&room.token).await?;
        while let Some(newest) = last
            && room.have() < newest
        {
            let after = room.have();
            let (items, _) = self.log.read(Some(&room.token), after, ITEMS, BYTES).await?;
            if !items.is_empty() {
                // Followers are told of it at once: so it is to be known that it is of this life.
                if room.is_of(epoch) && epoch_of(&self.facts().await?) != *epoch {
                    return Err(begun());
                }
                room.take(after, items, &self.retention);
                continue;
            }
            // That copy does not have it yet; or it is gone by now.
            last = self.log.last(&room.token).await?;
            if started.elapsed() > self.wait {
                return Err(behind());
            }
            sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }

    /// Erases in the stream what a room says is to be. What can't be erased now is later.
    pub(crate) async fn erase(&self, room: &Room) {
        let to_erase = room.take_to_erase();
        if !to_erase.is_empty() && !self.is_all_there().await {
            return room.erase_later(&to_erase);
        }
        for (at, offset) in to_erase.iter().enumerate() {
            if let Err(error) = self.log.erase(*offset).await {
                tracing::warn!(%error, "what was taken back or edited is not erased yet");
                return room.erase_later(&to_erase[at..]);
            }
        }
    }

    /// What is known of the log; if it has begun another life, its rooms are read anew.
    pub(crate) async fn facts(&self) -> Result<Facts, Failure> {
        let facts = self.log.facts().await?;
        self.bytes.store(facts.bytes, Ordering::Relaxed);
        let epoch = epoch_of(&facts);
        let was = self.epoch();
        if was == epoch {
            let mut newest = self.newest.lock();
            if facts.last >= newest.0 {
                *newest = (facts.last, None);
            }
            return Ok(facts);
        }
        if self.lives.lock().contains(&epoch) {
            // Whoever has a position of that would go on from there, whatever there is now.
            tracing::error!(%epoch, "the log was put back to a copy from before it began another life");
            self.log.end_life(&facts.life).await?;
            return Err(begun());
        }
        tracing::warn!(%epoch, "the log has begun another life");
        self.lives.lock().insert(was);
        *self.epoch.lock() = epoch;
        self.rooms.lock().values().for_each(|room| room.forget());
        *self.newest.lock() = (facts.last, None);
        *self.given.lock() = facts.last;
        self.kept.doubt();
        Ok(facts)
    }

    /// Whether the log goes as far as is known here, so that numbers mean in it what they mean here.
    async fn is_all_there(&self) -> bool {
        let (epoch, newest) = (self.epoch(), self.newest.lock().0);
        matches!(self.facts().await, Ok(facts) if facts.last >= newest) && self.epoch() == epoch
    }

    /// This number was given in this life of the log.
    pub(crate) fn saw(&self, offset: Offset) {
        let mut newest = self.newest.lock();
        newest.0 = newest.0.max(offset);
    }

    /// Waits until the room has what is known to be kept up to there.
    pub(crate) async fn reach(&self, room: &Room, offset: Offset) -> Result<Offset, Failure> {
        if room.reaches(offset, ECHO).await {
            return Ok(offset);
        }
        self.catch_up(room, offset).await
    }

    /// Waits until the room has what this hub was told is kept.
    pub(crate) async fn reach_acknowledged(&self, room: &Room) -> Result<(), Failure> {
        let acknowledged = room.acknowledged();
        match self.reach(room, acknowledged).await? >= acknowledged {
            true => Ok(()),
            false => Err(behind()),
        }
    }

    async fn read(self: &Arc<Self>, room: &RoomName, read: Read) -> Result<Page, BrokerError> {
        let room = self.room(room).await?;
        let at_least = read.at_least.max(room.acknowledged());
        let head = match room.have() >= at_least {
            true => Offset(0),
            false => self.reach(&room, at_least).await?,
        };
        Ok(room.read(read, head).ok_or_else(begun)?)
    }

    async fn let_go(self: &Arc<Self>, name: &RoomName, keep: Keep) -> Result<Offset, BrokerError> {
        let room = self.room(name).await?;
        self.reach_acknowledged(&room).await?;
        let Some(up_to) = room.state().log.going(keep) else { return Ok(Offset(0)) };
        let payload = Stored::LetGo(up_to).encode();
        self.let_go_of(&room, New { token: room.token.clone(), id: None, payload }, up_to).await?;
        Ok(up_to)
    }

    /// Has everybody let go of a room up to there, by what is stored, and then lets go of it in the stream.
    pub(crate) async fn let_go_of(
        &self,
        room: &Room,
        line: New,
        up_to: Offset,
    ) -> Result<(), Failure> {
        let (epoch, had) = (self.epoch(), self.newest.lock().0);
        let (offset, is_known) = self.log.send(vec![line]).await?.await?;
        if offset <= had && !is_known {
            self.put_back(&epoch).await?;
            return Err(put_back());
        }
        self.saw(offset);
        room.acknowledge(offset);
        self.reach(room, offset).await?;
        self.kept.let_go(self.shard, up_to).await?;
        if !self.is_all_there().await {
            return Err(behind());
        }
        // Last: until then whoever reads on is told by what was stored.
        self.log.purge(&room.token, Offset(up_to.0 + 1)).await
    }
}

/// Hears what is stored of a room, as long as there are both.
async fn hear_on(inner: Weak<Inner>, room: Weak<Room>, heard: Hearing) {
    let mut heard = heard.ready_chunks(256);
    while let Some(news) = heard.next().await {
        let (Some(inner), Some(room)) = (inner.upgrade(), room.upgrade()) else { return };
        let mut news = VecDeque::from(news);
        let mut is_sure = false;
        loop {
            let gap = room.hear(&mut news, &inner.retention, *inner.given.lock(), is_sure);
            let Some(next) = news.front().filter(|_| gap != Gap::None) else { break };
            let goes_on = match gap {
                Gap::Before => {
                    let missing = next.previous;
                    inner.counts.gaps.fetch_add(1, Ordering::Relaxed);
                    inner.catch_up(&room, missing).await.is_ok() && room.have() >= missing
                }
                Gap::Odd => {
                    is_sure = inner.facts().await.is_ok();
                    is_sure
                }
                Gap::Twofold => {
                    is_sure = inner.put_back(&inner.epoch()).await.is_ok();
                    false
                }
                Gap::None => break,
            };
            if matches!(gap, Gap::Odd | Gap::Twofold) && !is_sure {
                inner.doubt();
            }
            // What is still missing is found by sweeping.
            if !goes_on {
                news.pop_front();
            }
        }
    }
}

impl Broker for JetStreamBroker {
    fn open(
        &self,
        room: &RoomName,
        follower: Follower,
    ) -> BoxFuture<'_, Result<Opened, BrokerError>> {
        let room = room.clone();
        Box::pin(async move {
            let (room, position) = loop {
                let shard = self.shard(&room);
                let room = shard.room(&room).await?;
                shard.reach_acknowledged(&room).await?;
                if let Some(position) = room.follow(follower.clone()) {
                    break (room, position);
                }
            };
            let following = Following::new(move || room.unfollow(&follower));
            Ok(Opened { position, following })
        })
    }

    fn append(&self, drafts: Vec<Draft>) -> BoxFuture<'_, Result<Appended, BrokerError>> {
        Box::pin(async { self.noted(self.append(drafts).await) })
    }

    fn read(&self, room: &RoomName, read: Read) -> BoxFuture<'_, Result<Page, BrokerError>> {
        let room = room.clone();
        Box::pin(async move { self.noted(self.shard(&room).read(&room, read).await) })
    }

    fn shards(&self) -> usize {
        self.shards.len()
    }

    fn read_all(
        &self,
        shard: usize,
        after: Offset,
        records: usize,
        bytes: usize,
    ) -> BoxFuture<'_, Result<Page, BrokerError>> {
        Box::pin(self.shards[shard].read_all(after, records, bytes))
    }

    fn rooms(&self, limit: usize) -> BoxFuture<'_, Result<Vec<KeptRoom>, BrokerError>> {
        Box::pin(self.rooms(limit))
    }

    fn tidy(&self, at: u64) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(async move {
            for shard in &*self.shards {
                shard.tidy(at).await?;
            }
            Ok(())
        })
    }

    fn let_go(&self, room: &RoomName, keep: Keep) -> BoxFuture<'_, Result<Offset, BrokerError>> {
        let room = room.clone();
        Box::pin(async move { self.shard(&room).let_go(&room, keep).await })
    }

    fn keep(&self, key: &str, value: Option<&str>) -> BoxFuture<'_, Result<(), BrokerError>> {
        let (key, value) = (key.to_owned(), value.map(str::to_owned));
        Box::pin(async move { Ok(self.kept.keep(&key, value.as_deref()).await?) })
    }

    fn kept(&self) -> BoxFuture<'_, Result<Vec<(String, String)>, BrokerError>> {
        Box::pin(async move { Ok(self.kept.all().await?) })
    }

    fn watch_kept(&self, watcher: Watcher) -> BoxFuture<'_, Result<bool, BrokerError>> {
        Box::pin(async move {
            self.kept.watch(watcher).await?;
            Ok(true)
        })
    }

    fn lease(&self, name: &str) -> BoxFuture<'_, Result<bool, BrokerError>> {
        let name = name.to_owned();
        Box::pin(async move { Ok(self.leases.lease(&*self.kept.stream, &name).await?) })
    }

    fn give_up(&self, name: &str) -> BoxFuture<'_, Result<(), BrokerError>> {
        let name = name.to_owned();
        Box::pin(async move { Ok(self.leases.give_up(&*self.kept.stream, &name).await?) })
    }

    fn appended(&self, shard: usize, after: Offset) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            // To hear of all rooms would be to receive all of the log; one look has the same cost however much is said.
            loop {
                sleep(LOOK).await;
                if matches!(self.shards[shard].log.facts().await, Ok(facts) if facts.last > after) {
                    return;
                }
            }
        })
    }

    fn health(&self) -> Health {
        let Counts { gaps, found, .. } = &*self.shards[0].counts;
        let bytes = self.shards.iter().map(|shard| shard.bytes.load(Ordering::Relaxed));
        Health {
            is_connected: self.shards[0].log.is_connected(),
            gaps: gaps.load(Ordering::Relaxed),
            found: found.load(Ordering::Relaxed),
            bytes: Some(bytes.sum()),
        }
    }

    fn check(&self) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(async move { Ok(self.kept.check().await?) })
    }
}
