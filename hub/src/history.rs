//! Reading what is not in memory any more. Readers that are equally far behind, as a herd that comes back
//! after a restart is, read each page once.

use std::sync::Arc;

use common::{Epoch, Offset, RoomName};
use quick_cache::{Weighter, sync::Cache};
use tokio::time::{Duration, Instant};

use crate::broker::{Broker, BrokerError, Page, Part, Read};

/// How much a reader takes at once: enough to make a burst one write, and a constant bound on what a
/// reader holds however far behind it is.
pub(crate) const BATCH_RECORDS: usize = 256;
/// The same, in bytes; the last record may go beyond.
pub(crate) const BATCH_BYTES: usize = 128 * 1024;
/// How many bytes of pages are held for whoever asks next.
const HELD_BYTES: u64 = 16 * 1024 * 1024;

/// How long a page is as good as read just now: longer, and it could have what is let go of meanwhile.
const FRESH: Duration = Duration::from_secs(1);

/// Where a page begins.
type Key = (RoomName, Epoch, Offset);

/// A page, and when it was read.
#[derive(Clone, Debug)]
struct Held {
    page: Arc<Page>,
    at: Instant,
}

impl Held {
    /// Whether it may serve whoever has to see as far as `at_least`.
    fn serves(&self, at_least: Offset) -> bool {
        let goes_on = !self.page.complete || self.page.head >= at_least;
        goes_on && self.at.elapsed() < FRESH
    }
}

#[derive(Debug)]
pub(crate) struct History {
    broker: Arc<dyn Broker>,
    pages: Cache<Key, Held, Bytes>,
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
        Self { broker, pages: Cache::with_weighter(pages, HELD_BYTES, Bytes) }
    }

    pub(crate) fn broker(&self) -> &Arc<dyn Broker> {
        &self.broker
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
            let read = Read { part: Part::After(offset), records, bytes, at_least };
            let page = Arc::new(self.broker.read(room, read).await?);
            Ok::<_, BrokerError>(Held { page, at })
        };
        let held = self.pages.get_or_insert_async(&key, read()).await?;
        if held.serves(at_least) {
            return Ok(held.page);
        }
        // The first who sees that takes it out; the others find what that one reads.
        self.pages.remove_if(&key, |held| !held.serves(at_least));
        let held = self.pages.get_or_insert_async(&key, read()).await?;
        if held.serves(at_least) {
            return Ok(held.page);
        }
        // That one need not have seen as far as this reader must.
        Ok(read().await?.page)
    }

    /// What was read says nothing any more.
    pub(crate) fn forget(&self) {
        self.pages.clear();
    }
}
