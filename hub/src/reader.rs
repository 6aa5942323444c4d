//! A reader: a position in a room's log, and nothing else.

use std::sync::Arc;

use bytes::Bytes;
use common::{Epoch, MemberId, Offset, Position, SessionId};
use tokio::{
    sync::watch,
    time::{Duration, Instant, sleep_until},
};

use crate::{
    broker::{Broker, BrokerError, Part},
    room::{Room, Seen},
    tail::Entry,
};

/// How much a reader takes at once: enough to make a burst one write, and a constant bound on what a
/// reader holds however far behind it is.
const BATCH_MESSAGES: usize = 256;
const BATCH_BYTES: usize = 128 * 1024;

/// Who reads, as far as audiences go.
#[derive(Clone, Debug)]
pub struct Viewer {
    /// The reading session; none while a page is rendered.
    pub session: Option<SessionId>,
    /// The reading member.
    pub member: MemberId,
}

/// What came since the last read. Never empty.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// Where reading starts again, when what the reader had not read yet is gone. To be told before
    /// anything else.
    pub reset: Option<Position>,
    /// The messages, in order.
    pub messages: Vec<Delivered>,
    /// The present `members` frame, if that changed.
    pub members: Option<Bytes>,
    /// The present `typing` frame, if that changed.
    pub typing: Option<Bytes>,
}

/// A message on its way to a reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// Its offset.
    pub offset: Offset,
    /// The `message` frame; all readers share the bytes.
    pub frame: Bytes,
}

/// A position in a room's log that moves on as it reads: from the broker while it is far behind, from
/// the tail in memory once it has caught up.
#[derive(Debug)]
pub struct Reader {
    room: Arc<Room>,
    broker: Arc<dyn Broker>,
    epoch: Epoch,
    viewer: Viewer,
    offset: Offset,
    bell: watch::Receiver<()>,
    state: Option<State>,
}

/// How far a reader that wants presence frames has got with them.
#[derive(Debug)]
struct State {
    seen: Seen,
    /// Not before this moment, so that a thousand arrivals in a second are four frames, not a
    /// thousand to each of a thousand readers.
    next: Instant,
    interval: Duration,
}

/// What a reader takes at once.
struct Batch {
    messages: Vec<Delivered>,
    bytes: usize,
    limit: usize,
}

impl Batch {
    fn new(limit: usize) -> Self {
        Self { messages: Vec::new(), bytes: 0, limit: limit.clamp(1, BATCH_MESSAGES) }
    }

    fn is_full(&self) -> bool {
        self.messages.len() >= self.limit || self.bytes >= BATCH_BYTES
    }

    fn add(&mut self, entry: &Entry) {
        self.bytes += entry.frame.len();
        self.messages.push(Delivered { offset: entry.offset, frame: entry.frame.clone() });
    }
}

impl Reader {
    pub(crate) fn new(
        room: Arc<Room>,
        broker: Arc<dyn Broker>,
        viewer: Viewer,
        offset: Offset,
    ) -> Self {
        let (bell, epoch) = (room.listen(), broker.epoch());
        Self { room, broker, epoch, viewer, offset, bell, state: None }
    }

    /// The same reader, taking presence frames too, at most one of each per `interval`.
    #[must_use]
    pub fn with_state(mut self, interval: Duration) -> Self {
        self.state = Some(State { seen: Seen::default(), next: Instant::now(), interval });
        self
    }

    /// Takes presence once more, changed or not: a sign of life to whoever sees frames only.
    pub fn repeat_state(&mut self) {
        if let Some(state) = &mut self.state {
            state.seen = Seen::default();
        }
    }

    /// Everything up to here was read.
    pub fn position(&self) -> Position {
        Position { epoch: self.epoch.clone(), offset: self.offset }
    }

    /// Waits until there is something to read and takes it.
    ///
    /// Cancel-safe: a read that was not returned was not made.
    ///
    /// # Errors
    ///
    /// [`BrokerError`] when what is behind the tail can't be read now; the position has not moved.
    pub async fn next(&mut self) -> Result<Delivery, BrokerError> {
        loop {
            let delivery = self.ready(BATCH_MESSAGES).await?;
            if delivery != Delivery::default() {
                return Ok(delivery);
            }
            self.rung().await;
        }
    }

    /// Takes what there is to read now, at most `limit` messages; empty if that is nothing.
    ///
    /// # Errors
    ///
    /// As [`Reader::next`].
    pub async fn ready(&mut self, limit: usize) -> Result<Delivery, BrokerError> {
        // Before looking, so that what comes while looking rings again.
        self.bell.borrow_and_update();
        let mut delivery = Delivery::default();
        while delivery == Delivery::default() {
            if let Some(messages) = self.take_from_tail(limit) {
                delivery.messages = messages;
                break;
            }
            (delivery.reset, delivery.messages) = self.take_from_broker(limit).await?;
        }
        self.take_state(&mut delivery);
        Ok(delivery)
    }

    /// Waits until there may be something to take that was not there at the last look.
    pub async fn rung(&mut self) {
        let held_back = self.state.as_ref().map(|state| state.next);
        match held_back.filter(|next| *next > Instant::now()) {
            Some(next) => tokio::select! {
                _ = self.bell.changed() => {}
                () = sleep_until(next) => {}
            },
            // The bell can't be dropped: this reader holds its room.
            None => _ = self.bell.changed().await,
        }
    }

    /// Takes presence, unless it is held back.
    fn take_state(&mut self, delivery: &mut Delivery) {
        let now = Instant::now();
        let Some(state) = self.state.as_mut().filter(|state| state.next <= now) else { return };
        (delivery.members, delivery.typing) = self.room.take_state(&mut state.seen);
        if delivery.members.is_some() || delivery.typing.is_some() {
            state.next = now + state.interval;
        }
    }

    /// `None` if the broker has to be asked.
    fn take_from_tail(&mut self, limit: usize) -> Option<Vec<Delivered>> {
        let tail = self.room.tail.read();
        let mut batch = Batch::new(limit);
        for entry in tail.behind(self.offset)? {
            if batch.is_full() {
                break;
            }
            self.offset = entry.offset;
            if entry.is_for(&self.viewer) {
                batch.add(entry);
            }
        }
        Some(batch.messages)
    }

    async fn take_from_broker(
        &mut self,
        limit: usize,
    ) -> Result<(Option<Position>, Vec<Delivered>), BrokerError> {
        // Before reading: everything up to here is in the broker, or gone.
        let start = self.room.tail.read().start();
        let part = Part::After(self.offset);
        let page = self.broker.read(&self.room.name, part, BATCH_MESSAGES).await?;
        let mut reset = None;
        if self.offset < page.floor {
            self.offset = page.floor;
            reset = Some(self.position());
        }
        let complete = page.records.len() < BATCH_MESSAGES;
        let mut batch = Batch::new(limit);
        for entry in page.records.iter().map(Entry::from) {
            if batch.is_full() {
                return Ok((reset, batch.messages));
            }
            self.offset = entry.offset;
            if entry.is_for(&self.viewer) {
                batch.add(&entry);
            }
        }
        if complete {
            self.offset = self.offset.max(start);
        }
        Ok((reset, batch.messages))
    }
}
