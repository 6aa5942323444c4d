//! What is read of all rooms at once, and which rooms there are.

use std::{collections::HashMap, time::Duration};

use common::{Offset, RoomName};
use hub::broker::{BrokerError, KeptRoom, Page};
use tokio::time::Instant;

use crate::{
    names,
    shard::{BYTES, ITEMS, Shard},
    stored::Stored,
    stream::Item,
};

/// How long a list of rooms is as good as a new one.
const LISTED: Duration = Duration::from_secs(1);
/// How many windows of so many messages are looked through for rooms.
const WINDOWS: usize = 20;

impl Shard {
    /// The records among what was read of all rooms.
    fn item(item: &Item) -> Option<(RoomName, Stored)> {
        let room = RoomName::parse(&names::decode(&item.token)?).ok()?;
        let stored = Stored::decode(&room, &item.payload);
        let stored = stored.inspect_err(|why| {
            tracing::error!(offset = item.offset.0, why, "a message is damaged");
        });
        Some((room, stored.ok()?))
    }

    pub(crate) async fn read_all(
        &self,
        after: Offset,
        records: usize,
        bytes: usize,
    ) -> Result<Page, BrokerError> {
        let last = self.facts().await?.last;
        // Whoever asks behind the end learns where that is.
        let (mut read, mut head, mut size, mut complete) =
            (Vec::new(), after.min(last), 0, after >= last);
        'reading: while !complete {
            let (items, more) = self.log.read(None, head, ITEMS.min(records), BYTES).await?;
            complete = !more;
            for item in items {
                if read.len() == records || size >= bytes {
                    complete = false;
                    break 'reading;
                }
                head = item.offset;
                let Some((_, Stored::Said { draft, .. })) = Self::item(&item) else { continue };
                let record = draft.numbered(item.offset);
                size += record.frame.bytes().len();
                read.push(record);
            }
        }
        let facts = self.facts().await?;
        if complete {
            // Nothing before that is there any more. Whether something behind it was erased, or that copy does not have it yet,
            // is not to be known: whoever asks for more asks from there.
            head = head.max(Offset(facts.first.0.saturating_sub(1)));
        }
        let gone = self.kept.gone(self.number).await?;
        let floor = gone.max(Offset(facts.first.0.saturating_sub(1)));
        Ok(Page { epoch: self.epoch(), records: read, complete, floor, head })
    }

    /// As they were a moment ago: one looks for all who ask.
    pub(crate) async fn rooms(&self, limit: usize) -> Result<Vec<KeptRoom>, BrokerError> {
        let mut listed = self.listed.lock().await;
        if let Some((at, most, rooms)) = &*listed
            && at.elapsed() < LISTED
            && *most >= limit
        {
            return Ok(rooms.iter().take(limit).cloned().collect());
        }
        let rooms = self.look_for_rooms(limit).await?;
        *listed = Some((Instant::now(), limit, rooms.clone()));
        Ok(rooms)
    }

    async fn look_for_rooms(&self, limit: usize) -> Result<Vec<KeptRoom>, BrokerError> {
        let facts = self.facts().await?;
        let mut newest: HashMap<RoomName, u64> = HashMap::new();
        let mut end = facts.last;
        for _ in 0..WINDOWS {
            if newest.len() >= limit || end < facts.first || end == Offset(0) {
                break;
            }
            let start = Offset(end.0.saturating_sub(ITEMS as u64));
            let (mut window, mut after) = (HashMap::new(), start);
            while after < end {
                let (items, more) = self.log.read(None, after, ITEMS, BYTES).await?;
                let Some(last) = items.last() else { break };
                after = last.offset;
                for item in items.iter().filter(|item| item.offset <= end) {
                    if let Some((room, Stored::Said { draft, .. })) = Self::item(item) {
                        window.insert(room, draft.envelope.at);
                    }
                }
                if !more {
                    break;
                }
            }
            for (room, at) in window {
                newest.entry(room).or_insert(at);
            }
            end = start;
        }
        let rooms = newest.into_iter().map(|(name, last_at)| KeptRoom { name, last_at });
        let mut rooms: Vec<_> = rooms.collect();
        rooms.sort_by(|a, b| (b.last_at, &a.name).cmp(&(a.last_at, &b.name)));
        rooms.truncate(limit);
        Ok(rooms)
    }
}
