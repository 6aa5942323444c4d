//! A reader: a position in a room's log, and nothing else.

use std::{future::poll_fn, sync::Arc};

use common::{Offset, Position};

use crate::{
    Outlet, Record, StateFrame, Who,
    broker::BrokerError,
    history::{BATCH_BYTES, BATCH_RECORDS, History},
    line::Line,
    room::Room,
    state::{Digests, Seen},
};

/// What came since the last read.
#[derive(Debug, Default)]
pub struct Delivery {
    /// Where reading starts again, when what the reader had not read yet is gone. To be told before
    /// anything else.
    pub reset: Option<Position>,
    /// The messages, in order.
    pub records: Vec<Arc<Record>>,
    /// What is new of the members, in order.
    pub states: Vec<Arc<StateFrame>>,
}

impl Delivery {
    /// Whether nothing came.
    pub fn is_empty(&self) -> bool {
        self.reset.is_none() && self.records.is_empty() && self.states.is_empty()
    }
}

/// A position in a room's log that moves on as it reads: from the broker while it is far behind, from
/// the tail in memory once it has caught up.
#[derive(Debug)]
pub struct Reader {
    room: Arc<Room>,
    history: Arc<History>,
    line: Arc<Line>,
    /// Where the room has it listed.
    key: usize,
    position: Position,
    /// What it pushes to keeps the rest of something, which has to be written.
    is_stuck: bool,
    /// How many messages it takes at once.
    limit: usize,
    /// How far a reader that wants to know of the members has got with that.
    state: Option<State>,
}

#[derive(Debug, Default)]
struct State {
    seen: Seen,
    told: Option<u64>,
}

impl Reader {
    pub(crate) fn new(
        room: Arc<Room>,
        history: Arc<History>,
        who: Who,
        position: Position,
    ) -> Self {
        let line = Arc::new(Line::new(who));
        let key = room.list(line.clone());
        let (is_stuck, limit, state) = (false, BATCH_RECORDS, None);
        Self { room, history, line, key, position, is_stuck, limit, state }
    }

    /// The same reader, with somewhere to push messages to as soon as they are there, while it waits in [`Reader::next`]
    /// or after that, until it looks again.
    #[must_use]
    pub fn pushing_to(self, outlet: Arc<dyn Outlet>) -> Self {
        self.line.set_outlet(outlet);
        self
    }

    /// From now on nothing is pushed any more.
    pub fn stop_pushing(&mut self) {
        let looked = self.line.look(self.position.offset, self.is_stuck);
        self.position.offset = looked.read.unwrap_or(self.position.offset);
        self.is_stuck |= looked.is_stuck;
    }

    /// The same reader, taking at most `limit` messages at once, from 1 to 256.
    #[must_use]
    pub fn taking(mut self, limit: usize) -> Self {
        self.limit = limit.clamp(1, BATCH_RECORDS);
        self
    }

    /// The same reader, taking also what is told of the members: from the beginning, or from where a
    /// reader was whose [`Reader::state`] was `known`.
    #[must_use]
    pub fn with_state(mut self, known: Option<&str>) -> Self {
        let seen = known.map(|known| {
            let (life, seen, taken) = read_state(known);
            // What was told at another hub, or in another life of the room, is known if it is what is told here.
            if life == Some(self.room.life) { seen } else { self.room.seen_elsewhere(&taken) }
        });
        let seen = seen.unwrap_or_default();
        self.state = Some(State { seen, told: None });
        self.line.want_state();
        self
    }

    /// How far it has got with what is told of the members, for [`Reader::with_state`].
    pub fn state(&self) -> String {
        let seen = self.state.as_ref().map(|state| state.seen).unwrap_or_default();
        let taken = self.room.digests(&seen);
        let written =
            seen.iter().chain(&taken).map(|number| number.map(|number| format!("{number:x}")));
        let written: Vec<_> = written.map(Option::unwrap_or_default).collect();
        format!("{:x}.{}", self.room.life, written.join("."))
    }

    /// Everything up to here was read; what was pushed since the last look is not counted in.
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// Waits until there is something to read and takes it. Empty only where [`Pushed::Some`](crate::Pushed) was, and the
    /// rest is to be written now.
    ///
    /// Cancel-safe: a read that was not returned was not made.
    ///
    /// # Errors
    ///
    /// [`BrokerError`] when what is behind the tail can't be read now; the position has not moved.
    pub async fn next(&mut self) -> Result<Delivery, BrokerError> {
        loop {
            let delivery = self.ready().await?;
            if !delivery.is_empty() || self.is_stuck {
                self.is_stuck = false;
                return Ok(delivery);
            }
            self.rung().await;
        }
    }

    /// Takes what there is to read now; empty if that is nothing.
    ///
    /// # Errors
    ///
    /// As [`Reader::next`].
    pub async fn ready(&mut self) -> Result<Delivery, BrokerError> {
        // Before looking, so that what comes while looking rings again.
        self.stop_pushing();
        let mut delivery = Delivery::default();
        while delivery.is_empty() {
            if let Some(records) = self.take_from_tail() {
                delivery.records = records;
                break;
            }
            // Seldom, and much larger than all else that a reader which waits is made of.
            let Some(taken) = Box::pin(self.take_from_broker()).await? else { break };
            (delivery.reset, delivery.records) = taken;
        }
        if let Some(oldest) = delivery.records.first() {
            self.line.take(oldest.envelope.at);
        }
        if let Some(State { seen, told }) = &mut self.state {
            delivery.states = self.room.take_state(seen, told);
        }
        Ok(delivery)
    }

    /// Waits until there may be something to take that was not there at the last look.
    pub async fn rung(&mut self) {
        let position = &self.position;
        self.line.go_live(position, || {
            let tail = self.room.tail.read();
            tail.head() == position.offset && tail.epoch() == Some(&position.epoch)
        });
        poll_fn(|cx| self.line.poll_rung(cx)).await;
    }

    /// `None` if the broker has to be asked.
    fn take_from_tail(&mut self) -> Option<Vec<Arc<Record>>> {
        let tail = self.room.tail.read();
        let Position { epoch, offset } = &mut self.position;
        Some(take(tail.behind(epoch, *offset)?, &self.line.who, self.limit, offset))
    }

    /// A gap, and what follows it; `None` where that is to be seen once it is rung again.
    async fn take_from_broker(
        &mut self,
    ) -> Result<Option<(Option<Position>, Vec<Arc<Record>>)>, BrokerError> {
        // Before reading: everything up to here is in the broker, or gone.
        let (start, life) = {
            let tail = self.room.tail.read();
            (tail.start(), tail.epoch().cloned())
        };
        if let Some(life) = life.filter(|life| *life != self.position.epoch) {
            let page = self.history.behind(&self.room.name, &life, Offset(0), start).await?;
            if page.epoch == self.position.epoch {
                // It is ahead of the room, which is about to hear of that life.
                return Ok(None);
            }
            self.position = Position { epoch: page.epoch.clone(), offset: page.floor };
            return Ok(Some((Some(self.position.clone()), Vec::new())));
        }
        let Position { epoch, offset } = &self.position;
        let page = self.history.behind(&self.room.name, epoch, *offset, start).await?;
        let mut reset = None;
        if page.epoch != *epoch {
            // The log has just begun another life, and the room is about to hear of it.
            return Ok(None);
        }
        if *offset < page.floor {
            self.position.offset = page.floor;
            reset = Some(self.position.clone());
        }
        let offset = &mut self.position.offset;
        let records = take(page.records.iter(), &self.line.who, self.limit, offset);
        let last = page.records.last().map_or(Offset(0), |record| record.offset);
        if page.complete && *offset >= last {
            *offset = (*offset).max(start);
        }
        Ok(Some((reset, records)))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.line.look(self.position.offset, self.is_stuck);
        self.room.unlist(self.key);
    }
}

/// Takes those of `records` that `who` may read, until it is enough, and moves `offset` on to the last one
/// that was looked at.
fn take<'a>(
    records: impl Iterator<Item = &'a Arc<Record>>,
    who: &Who,
    limit: usize,
    offset: &mut Offset,
) -> Vec<Arc<Record>> {
    let (mut taken, mut bytes) = (Vec::new(), 0);
    for record in records {
        if taken.len() >= limit || bytes >= BATCH_BYTES {
            break;
        }
        *offset = record.offset;
        if record.envelope.is_for(who) {
            bytes += record.frame.bytes().len();
            taken.push(record.clone());
        }
    }
    taken
}

/// Reads what [`Reader::state`] wrote: in which life of the room, the versions that were taken, and what was in them.
fn read_state(known: &str) -> (Option<u64>, Seen, Digests) {
    let mut numbers = known.split('.').map(|number| u64::from_str_radix(number, 16).ok());
    let life = numbers.next().flatten();
    let mut next = |_| numbers.next().flatten();
    (life, std::array::from_fn(&mut next), std::array::from_fn(&mut next))
}
