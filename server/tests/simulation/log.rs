//! A log in memory that writes down the truth, and fails now and then: before it has kept something, or after,
//! when nobody can know.

use std::sync::Arc;

use common::{Message, Offset, RoomName};
use fastrand::Rng;
use hub::{
    Draft, Envelope,
    broker::{
        Appended, BoxFuture, Broker, BrokerError, Follower, KeptRoom, Opened, Page, Read,
        Retention, memory::MemoryBroker,
    },
};
use parking_lot::Mutex;

/// What was kept.
#[derive(Clone, Debug)]
pub struct Kept {
    pub offset: Offset,
    pub envelope: Envelope,
    pub message: Message,
}

#[derive(Debug)]
pub struct Log {
    memory: MemoryBroker,
    pub truth: Mutex<Vec<Arc<Kept>>>,
    luck: Mutex<(Rng, bool)>,
}

impl Log {
    pub fn new(kept: usize, rng: Rng) -> Self {
        let retention = Retention { room_messages: kept, ..Retention::default() };
        let memory = MemoryBroker::new(retention);
        Self { memory, truth: Mutex::default(), luck: Mutex::new((rng, true)) }
    }

    /// From now on it does not fail.
    pub fn heal(&self) {
        self.luck.lock().1 = false;
    }
}

impl Broker for Log {
    fn open(
        &self,
        room: &RoomName,
        follower: Follower,
    ) -> BoxFuture<'_, Result<Opened, BrokerError>> {
        self.memory.open(room, follower)
    }

    fn append(&self, drafts: Vec<Draft>) -> BoxFuture<'_, Result<Appended, BrokerError>> {
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
            let appended = self.memory.append(drafts.clone()).await?;
            let mut truth = self.truth.lock();
            for (draft, offset) in drafts.into_iter().zip(&appended.offsets) {
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
        self.memory.read(room, read)
    }

    fn rooms(&self, limit: usize) -> BoxFuture<'_, Result<Vec<KeptRoom>, BrokerError>> {
        self.memory.rooms(limit)
    }

    fn tidy(&self, at: u64) -> BoxFuture<'_, Result<(), BrokerError>> {
        self.memory.tidy(at)
    }
}
