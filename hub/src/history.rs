//! Reading what is not in memory any more. Readers that are equally far behind, as a herd that comes back
//! after a restart is, read each page once.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use common::{Epoch, Offset, RoomName};
use quick_cache::{Weighter, sync::Cache};
use tokio::time::{Duration, Instant};

use crate::broker::{Broker, BrokerError, Page, Part, Read};

/// How much a reader takes at once: enough to make a burst one write, and a constant bound on what a
/// reader holds however far behind it is.
pub(crate) const BATCH_RECORDS: usize = 256;
/// The same, in bytes; the last record may go beyond. A client that reads slowly, or not at all, holds so much.
pub(crate) const BATCH_BYTES: usize = 32 * 1024;
/// How many bytes of pages are held for whoever asks next.
const HELD_BYTES: u64 = 16 * 1024 * 1024;

/// How long a page is as good as read just now: longer, and it could have what is let go of meanwhile.
const FRESH: Duration = Duration::from_secs(1);

/// Where a page begins.
type Key = (RoomName, Epoch, Offset);

/// A page, when it was begun to be read, and how often pages had been forgotten then.
#[derive(Clone, Debug)]
struct Held {
    page: Arc<Page>,
    at: Instant,
    forgotten: u64,
}

impl Held {
    /// Whether it may serve whoever has to see as far as `at_least`, when pages were `forgotten` so often.
    fn serves(&self, at_least: Offset, forgotten: u64) -> bool {
        let goes_on = !self.page.complete || self.page.head >= at_least;
        goes_on && self.forgotten == forgotten && self.at.elapsed() < FRESH
    }
}

#[derive(Debug)]
pub(crate) struct History {
    broker: Arc<dyn Broker>,
    pages: Cache<Key, Held, Bytes>,
    /// How often pages of a room were forgotten, or of another that shares its number: one that was being read meanwhile is
    /// no good either.
    forgotten: [AtomicU64; 64],
}

#[derive(Clone, Debug)]
struct Bytes;

impl Weighter<Key, Held> for Bytes {
    fn weight(&self, _: &Key, held: &Held) -> u64 {
        // A record is more than its frame; a page of none is something too.
        held.page.records.iter().map(|record| record.frame.bytes().len() as u64 + 512).sum::<u64>()
            + 512
    }
}

impl History {
    pub(crate) fn new(broker: Arc<dyn Broker>) -> Self {
        let pages = (HELD_BYTES / (BATCH_BYTES as u64)) as usize;
        let pages = Cache::with_weighter(pages, HELD_BYTES, Bytes);
        Self { broker, pages, forgotten: [const { AtomicU64::new(0) }; 64] }
    }

    pub(crate) fn broker(&self) -> &Arc<dyn Broker> {
        &self.broker
    }

    /// Holds no page of `room` any more.
    pub(crate) fn forget(&self, room: &RoomName) {
        self.forgotten(room).fetch_add(1, Ordering::SeqCst);
        self.pages.retain(|(of, ..), _| of != room);
    }

    fn forgotten(&self, room: &RoomName) -> &AtomicU64 {
        let mut hasher = DefaultHasher::new();
        room.hash(&mut hasher);
        &self.forgotten[hasher.finish() as usize % self.forgotten.len()]
    }

    /// The page behind `offset`, which must go as far as `at_least` unless it is full.
    pub(crate) async fn behind(
        &self,
        room: &RoomName,
        epoch: &Epoch,
        offset: Offset,
        at_least: Offset,
    ) -> Result<Arc<Page>, BrokerError> {
        let key = (room.clone(), epoch.clone(), offset);
        let read = async || {
            let (records, bytes, at) = (BATCH_RECORDS, BATCH_BYTES, Instant::now());
            let forgotten = self.forgotten(room).load(Ordering::SeqCst);
            let read = Read { part: Part::After(offset), records, bytes, at_least };
            let page = Arc::new(self.broker.read(room, read).await?);
            Ok::<_, BrokerError>(Held { page, at, forgotten })
        };
        let held = self.pages.get_or_insert_async(&key, read()).await?;
        let serves =
            |held: &Held| held.serves(at_least, self.forgotten(room).load(Ordering::SeqCst));
        if serves(&held) {
            return Ok(held.page);
        }
        // The first who sees that takes it out; the others find what that one reads. That is read after all of
        // them have found the old one, so it goes as far as any of them must see.
        self.pages.remove_if(&key, |held| !serves(held));
        Ok(self.pages.get_or_insert_async(&key, read()).await?.page)
    }
}

#[cfg(test)]
mod tests {
    use common::{Member, MemberId, MemberName, Message, MessageId};

    use super::*;
    use crate::{
        Draft,
        broker::{Keep, Retention, memory::MemoryBroker},
    };

    fn draft(n: usize, length: usize) -> Draft {
        let id = MemberId::parse("a").unwrap();
        let message = Message {
            offset: Offset(0),
            value: "x".repeat(length).into(),
            id: MessageId::parse(&n.to_string()).unwrap(),
            room: RoomName::lobby(),
            at: 0,
            from: Member { id, name: MemberName::parse("A").unwrap() },
            event: None,
            to: common::Audience::All,
            of: None,
            edited: None,
            reactions: Vec::new(),
        };
        Draft::new(message, None)
    }

    #[tokio::test]
    async fn pages_are_held_for_whoever_asks_next_up_to_a_number_of_bytes() {
        let retention = Retention { room_bytes: usize::MAX, ..Retention::default() };
        let history = History::new(Arc::new(MemoryBroker::new(retention)));
        let drafts = (0..300).map(|n| draft(n, 16_000)).collect();
        let epoch = history.broker().append(drafts).await.unwrap().epoch;
        let read = async |room: RoomName, offset| {
            history.behind(&room, &epoch, Offset(offset), Offset(0)).await.unwrap()
        };
        let page = read(RoomName::lobby(), 0).await;
        let bytes: usize = page.records.iter().map(|record| record.frame.bytes().len()).sum();
        assert_eq!(page.records.len(), BATCH_BYTES / 16_000 + 1);
        assert_eq!(history.pages.weight(), (bytes + 512 * page.records.len() + 512) as u64);
        // One of no records is held as well, and is not free.
        let weight = history.pages.weight();
        read(RoomName::parse("empty").unwrap(), 0).await;
        assert_eq!(history.pages.weight(), weight + 512);
        for offset in 1..290 {
            read(RoomName::lobby(), offset).await;
        }
        let held = history.pages.weight();
        assert!(held > HELD_BYTES / 2 && held <= HELD_BYTES, "{held}");
        assert_eq!(HELD_BYTES, 16 << 20);
    }

    #[tokio::test]
    async fn a_page_that_was_being_read_while_it_was_let_go_of_serves_nobody_after_that() {
        let history = History::new(Arc::new(MemoryBroker::new(Retention::default())));
        let broker = history.broker().clone();
        let epoch = broker.append(vec![draft(0, 1)]).await.unwrap().epoch;
        let room = RoomName::lobby();
        let key = (room.clone(), epoch.clone(), Offset(0));
        let page = history.behind(&room, &epoch, Offset(0), Offset(0)).await.unwrap();
        let before = history.pages.get(&key).unwrap();
        broker.let_go(&room, Keep::NOTHING).await.unwrap();
        history.forget(&room);
        // Its reader was slow.
        history.pages.insert(key, before);
        let after = history.behind(&room, &epoch, Offset(0), Offset(0)).await.unwrap();
        assert_eq!((page.records.len(), after.records.len()), (1, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_page_is_held_for_a_second() {
        let history = History::new(Arc::new(MemoryBroker::new(Retention::default())));
        let epoch = history.broker().append(vec![draft(0, 1)]).await.unwrap().epoch;
        let room = RoomName::lobby();
        let read = async || history.behind(&room, &epoch, Offset(0), Offset(0)).await.unwrap();
        let first = read().await;
        history.broker().append(vec![draft(1, 1)]).await.unwrap();
        tokio::time::advance(FRESH - Duration::from_millis(1)).await;
        assert!(Arc::ptr_eq(&read().await, &first));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(read().await.records.len(), 2);
    }
}
