//! A stream of the log: the rooms of it that are in memory, and how they are kept up with it.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use common::{Epoch, Offset, RoomName};
use futures_util::StreamExt;
use hub::broker::{Ages, BrokerError, Keep, KeptRoom, Page, Read, Retention};
use parking_lot::Mutex;
use tokio::{
    sync::{Mutex as Turn, Semaphore},
    time::{Instant, sleep},
};

use crate::{
    kept::Kept,
    room::{Gap, Listening, Room},
    stored::Stored,
    stream::{Facts, Failure, Hearing, New, Stream},
};

/// How long what was acknowledged may take to be heard of, before it is asked for.
pub(crate) const ECHO: Duration = Duration::from_millis(100);
/// How long until it is asked again how far the log goes, which went further before.
const AGAIN: Duration = Duration::from_millis(100);
/// What is read at once.
pub(crate) const ITEMS: usize = 1_000;
pub(crate) const BYTES: usize = 4 * 1024 * 1024;
/// How many batches one hub has under way. The server allows fifty of all hubs together; beyond that they are sent again.
const BATCHES: usize = 12;

/// One of the streams of the log, and the rooms whose messages are in it.
pub(crate) struct Shard {
    /// Which of them it is.
    pub(crate) number: usize,
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
    pub(crate) bytes: AtomicU64,
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

impl Shard {
    /// Over a stream that is there.
    pub(crate) async fn open(
        number: usize,
        log: Arc<dyn Stream>,
        kept: Arc<Kept>,
        retention: Retention,
        counts: Arc<Counts>,
    ) -> Result<Self, Failure> {
        let facts = log.facts().await?;
        Ok(Self {
            number,
            wait: log.wait(),
            log,
            kept,
            retention,
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
            counts,
            bytes: AtomicU64::new(facts.bytes),
        })
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch.lock().clone()
    }

    /// The room in memory, whatever of it is there.
    pub(crate) fn in_memory(&self, name: &RoomName) -> Arc<Room> {
        let room = {
            let mut rooms = self.rooms.lock();
            let new = || Arc::new(Room::new(name.clone()));
            rooms.entry(name.clone()).or_insert_with(new).clone()
        };
        room.touch();
        room
    }

    /// The room, in memory with all that is stored of it by now, and heard of from now on.
    pub(crate) async fn room(self: &Arc<Self>, name: &RoomName) -> Result<Arc<Room>, Failure> {
        let room = self.in_memory(name);
        let listen = async || {
            let heard = self.log.listen(&room.token).await?;
            let (shard, weak) = (Arc::downgrade(self), Arc::downgrade(&room));
            let task = tokio::spawn(hear_on(shard, weak, heard));
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

    /// Reads what is stored of a room; whether that goes as far as this.
    async fn reads(&self, room: &Room, offset: Offset) -> bool {
        match self.catch_up(room, offset).await {
            Ok(_) => room.have() >= offset,
            Err(_) => {
                self.doubt();
                false
            }
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
        // What is heard may still be of the life before.
        *self.given.lock() = Offset(u64::MAX);
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

    pub(crate) async fn read(
        self: &Arc<Self>,
        room: &RoomName,
        read: Read,
    ) -> Result<Page, BrokerError> {
        let room = self.room(room).await?;
        let at_least = read.at_least.max(room.acknowledged());
        let head = match room.have() >= at_least {
            true => Offset(0),
            false => self.reach(&room, at_least).await?,
        };
        Ok(room.read(read, head).ok_or_else(begun)?)
    }

    pub(crate) async fn let_go(
        self: &Arc<Self>,
        name: &RoomName,
        keep: Keep,
    ) -> Result<Offset, BrokerError> {
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
        self.kept.let_go(self.number, up_to).await?;
        if !self.is_all_there().await {
            return Err(behind());
        }
        // Last: until then whoever reads on is told by what was stored.
        self.log.purge(&room.token, Offset(up_to.0 + 1)).await
    }
}

/// Hears what is stored of a room, as long as there are both.
async fn hear_on(shard: Weak<Shard>, room: Weak<Room>, heard: Hearing) {
    let mut heard = heard.ready_chunks(256);
    while let Some(news) = heard.next().await {
        let (Some(shard), Some(room)) = (shard.upgrade(), room.upgrade()) else { return };
        let mut news = VecDeque::from(news);
        loop {
            let gap = room.hear(&mut news, &shard.retention, *shard.given.lock());
            let Some(next) = news.front().filter(|_| gap != Gap::None) else { break };
            let goes_on = match gap {
                Gap::Before => {
                    shard.counts.gaps.fetch_add(1, Ordering::Relaxed);
                    shard.reads(&room, next.previous).await
                }
                Gap::Odd => shard.reads(&room, next.item.offset).await,
                Gap::Twofold => {
                    if shard.put_back(&shard.epoch()).await.is_err() {
                        shard.doubt();
                    }
                    false
                }
                Gap::None => break,
            };
            // What is still missing is found by sweeping.
            if !goes_on {
                news.pop_front();
            }
        }
    }
}
