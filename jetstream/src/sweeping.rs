//! What is done now and then: it is looked whether something was not heard of, and let go of what is too old.

use std::{
    collections::HashMap,
    sync::{Arc, Weak, atomic::Ordering},
    time::Duration,
};

use common::{Epoch, Offset};
use hub::broker::BrokerError;
use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout},
};

use crate::{
    kept::Kept,
    names,
    room::Room,
    shard::{BYTES, ECHO, Shard},
    stored::Stored,
    stream::{Failure, New},
};

/// How often it is looked whether something was not heard of.
const SWEEP: Duration = Duration::from_secs(5);
/// How long it is not looked after it was.
const PAUSE: Duration = Duration::from_millis(250);
/// How long a room that nobody follows stays in memory.
const IDLE: Duration = Duration::from_secs(60);
/// How long a log may not go as far as it once did, before that is another life: whoever has just become its leader may not
/// have read all of it yet.
const PUT_BACK: Duration = Duration::from_secs(10);

impl Shard {
    pub(crate) async fn tidy(&self, at: u64) -> Result<u64, BrokerError> {
        let age = self.retention.age.as_millis() as u64;
        let now = self.ages.lock().at(at);
        let oldest = now.saturating_sub(age);
        self.oldest.store(oldest, Ordering::Relaxed);
        let facts = self.facts().await?;
        let rooms: Vec<_> = self.rooms.lock().values().cloned().collect();
        let mut gone_first = Offset(0);
        for room in rooms {
            if room.is_over(&self.retention) {
                // What the stream let go of by itself, whoever reads all rooms is to know, too.
                let (first, _) = self.log.read(Some(&room.token), Offset(0), 1, BYTES).await?;
                let first = first.first().map_or(0, |first| first.offset.0);
                gone_first = gone_first.max(Offset(first.saturating_sub(1)));
            }
            if let Some(gone) = room.tidy(now, oldest, facts.first, &self.retention) {
                // A newcomer is to know it, too; of several hubs that say so one is stored.
                let payload = Stored::LetGo(gone).encode();
                let id = Some(format!("{} let go {gone}", room.token));
                let line = New { token: room.token.clone(), id, payload };
                self.let_go_of(&room, line, gone).await?;
            }
        }
        if gone_first > Offset(0) {
            self.kept.let_go(self.number, gone_first).await?;
        }
        Ok(now)
    }

    /// Looks whether something was not heard of, and lets go of rooms that nobody asks for.
    async fn sweep(&self) -> Result<(), Failure> {
        self.rooms.lock().retain(|_, room| {
            // Nobody else may have it by now, and nobody can get it while this is locked.
            !(Arc::strong_count(room) == 1 && room.is_idle(IDLE))
        });
        let rooms: Vec<_> = self.rooms.lock().values().cloned().collect();
        let facts = self.facts().await.inspect_err(|_| self.doubt())?;
        let epoch = self.epoch();
        *self.given.lock() = facts.last;
        if self.is_shorter(facts.last, &rooms) && self.gives_again().await? {
            self.put_back(&epoch).await?;
        }
        let tokens: Vec<_> = rooms.iter().map(|room| room.token.clone()).collect();
        let lasts: HashMap<_, _> = self.log.lasts(&tokens).await?.into_iter().collect();
        for room in rooms {
            let last = lasts.get(&room.token).copied().unwrap_or(Offset(0));
            self.erase(&room).await;
            // It may just be on its way.
            let is_behind = !room.reaches(last, ECHO).await;
            if is_behind || !room.is_of(&self.epoch()) {
                self.counts.found.fetch_add(u64::from(is_behind), Ordering::Relaxed);
                self.catch_up(&room, last).await?;
            }
        }
        Ok(())
    }

    /// It is not known what became of the log: what is heard of it is looked into, until it is swept.
    pub(crate) fn doubt(&self) {
        *self.given.lock() = Offset(u64::MAX);
        self.newest.lock().1 = None;
    }

    /// Whether the log, as it is said to be, has not gone as far as it did for so long that it may have been put back.
    fn is_shorter(&self, last: Offset, rooms: &[Arc<Room>]) -> bool {
        let have = rooms.iter().map(|room| room.have()).max();
        let mut newest = self.newest.lock();
        newest.0 = newest.0.max(have.unwrap_or(Offset(0)));
        if last >= newest.0 {
            newest.1 = None;
            return false;
        }
        newest.1.get_or_insert_with(Instant::now).elapsed() >= PUT_BACK
    }

    /// Whether a number is given that was given before. Who says how far the log goes may have been stopped, or cut off, and not
    /// know that another leads; but a number is given by most of the servers.
    async fn gives_again(&self) -> Result<bool, Failure> {
        // It says nothing: there is no room of this name.
        let (token, payload) = (names::encode("/"), Stored::LetGo(Offset(0)).encode());
        let (given, _) = self.log.send(vec![New { token, id: None, payload }]).await?.await?;
        let mut newest = self.newest.lock();
        let is_again = given <= newest.0;
        if !is_again {
            newest.1 = None;
        }
        Ok(is_again)
    }

    /// The log was put back to what it was before, in this life of it, unless it is in another by now: what this hub has of it is
    /// no part of it any more.
    pub(crate) async fn put_back(&self, epoch: &Epoch) -> Result<(), Failure> {
        let facts = self.facts().await?;
        if self.epoch() != *epoch {
            return Ok(());
        }
        tracing::error!("the log was put back to an older copy");
        self.log.end_life(&facts.life).await?;
        self.facts().await.map(drop)
    }
}

/// Sweeps now and then, and when the connection has changed.
pub(crate) async fn sweep_on(shards: Weak<[Arc<Shard>]>, kept: Arc<Kept>, changed: Arc<Notify>) {
    let failed = |error: Failure| {
        tracing::warn!(%error, "it is not known whether something was not heard of");
    };
    loop {
        // Either way it is time.
        let _ = timeout(SWEEP, changed.notified()).await;
        let Some(shards) = shards.upgrade() else { return };
        if !kept.stream.is_connected() {
            shards.iter().for_each(|shard| shard.doubt());
            continue;
        }
        kept.catch_up().await.unwrap_or_else(failed);
        for shard in &*shards {
            shard.sweep().await.unwrap_or_else(failed);
        }
        // However much goes wrong.
        sleep(PAUSE).await;
    }
}
