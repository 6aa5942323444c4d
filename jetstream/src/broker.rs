//! The broker: how it is opened, and to which shard what is asked of it goes.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use async_nats::Event;
use common::{Offset, RoomName};
use hub::{
    Draft,
    broker::{
        Appended, BoxFuture, Broker, BrokerError, Follower, Following, Health, Keep, KeptRoom,
        Opened, Page, Read, Retention, Troubles, Watcher,
    },
    peers::Peers,
};
use parking_lot::Mutex;
use tokio::{sync::Notify, time::sleep};

use crate::{
    OpenError, Options,
    kept::Kept,
    lease::Leases,
    names,
    nats::NatsStream,
    peers::NatsPeers,
    room::Listening,
    shape::Shape,
    shard::{Counts, Shard},
    stream::{Failure, Stream},
    sweeping::sweep_on,
};

/// How long a connection may be silent until it is asked whether it is alive; after two such times without an answer another is
/// taken. That is sooner than other hubs take this one for gone.
const PING: Duration = Duration::from_secs(2);
/// How often it is looked whether others have appended anything, by whoever waits for that.
const LOOK: Duration = Duration::from_millis(250);

/// A log on NATS JetStream.
pub struct JetStreamBroker {
    /// Each has a stream of its own, and what is said in some of the rooms.
    shards: Arc<[Arc<Shard>]>,
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
        let shape =
            |shard, streams| Shape::of_shard(&name, shard, streams, replicas, window, &retention);
        let first = open(shape(0, streams)).await?;
        // As whoever made the first has it, so are the others.
        let streams = first.facts().await?.streams;
        let mut logs = vec![first];
        for shard in 1..streams {
            logs.push(open(shape(shard, streams)).await?);
        }
        let kept = open(Shape::of_kept(&name, replicas, window)).await?;
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
            let shard = Shard::open(shard, log, kept.clone(), retention.clone(), counts.clone());
            shards.push(Arc::new(shard.await?));
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

    fn shard(&self, room: &RoomName) -> &Arc<Shard> {
        &self.shards[self.shard_of(room)]
    }

    /// Appends to several shards, one after the other: `of` says to which each draft goes.
    async fn append_to_several(
        &self,
        drafts: Vec<Draft>,
        of: Vec<usize>,
    ) -> Result<Appended, BrokerError> {
        let first = of[0];
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
        let of: Vec<_> = drafts.iter().map(|draft| self.shard_of(&draft.envelope.room)).collect();
        let first = of.first().copied().unwrap_or(0);
        if of.iter().any(|shard| *shard != first) {
            return Box::pin(async { self.noted(self.append_to_several(drafts, of).await) });
        }
        let begun = self.shards[first].append(drafts);
        Box::pin(async { self.noted(begun.await) })
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

    fn tidy(&self, at: u64) -> BoxFuture<'_, Result<u64, BrokerError>> {
        Box::pin(async move {
            let mut believed = at;
            for shard in &*self.shards {
                believed = believed.min(shard.tidy(at).await?);
            }
            Ok(believed)
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
