//! A reader: a position in a room's log, and nothing else.

use std::sync::Arc;

use bytes::Bytes;
use common::{Epoch, MemberId, Offset, Position, SessionId};
use tokio::{
    sync::watch,
    time::{Duration, Instant, sleep_until},
};

use crate::room::{Room, Seen};

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
    /// The `message` frames, in order.
    pub messages: Vec<Bytes>,
    /// The present `members` frame, if that changed.
    pub members: Option<Bytes>,
    /// The present `typing` frame, if that changed.
    pub typing: Option<Bytes>,
}

/// A position in a room's log that moves on as it reads.
#[derive(Debug)]
pub struct Reader {
    room: Arc<Room>,
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

impl Reader {
    pub(crate) fn new(room: Arc<Room>, epoch: Epoch, viewer: Viewer, offset: Offset) -> Self {
        let bell = room.listen();
        Self { room, epoch, viewer, offset, bell, state: None }
    }

    /// The same reader, taking presence frames too, at most one of each per `interval`.
    #[must_use]
    pub fn with_state(mut self, interval: Duration) -> Self {
        self.state = Some(State { seen: Seen::default(), next: Instant::now(), interval });
        self
    }

    /// Everything up to here was read.
    pub fn position(&self) -> Position {
        Position { epoch: self.epoch.clone(), offset: self.offset }
    }

    /// Waits until there is something to read and takes it.
    ///
    /// Cancel-safe: a read that was not returned was not made.
    pub async fn next(&mut self) -> Delivery {
        loop {
            // Before looking, so that what comes while looking rings again.
            self.bell.borrow_and_update();
            let (delivery, look_again) = self.take();
            if delivery != Delivery::default() {
                return delivery;
            }
            match look_again {
                Some(at) => tokio::select! {
                    _ = self.bell.changed() => {}
                    () = sleep_until(at) => {}
                },
                // The bell can't be dropped: this reader holds its room.
                None => _ = self.bell.changed().await,
            }
        }
    }

    /// Takes what is there now, and says when presence may be looked at again if that is held back.
    fn take(&mut self) -> (Delivery, Option<Instant>) {
        let mut delivery = Delivery::default();
        self.take_messages(&mut delivery);
        let now = Instant::now();
        match &mut self.state {
            Some(state) if state.next <= now => {
                (delivery.members, delivery.typing) = self.room.take_state(&mut state.seen);
                if delivery.members.is_some() || delivery.typing.is_some() {
                    state.next = now + state.interval;
                }
                (delivery, None)
            }
            Some(state) => (delivery, Some(state.next)),
            None => (delivery, None),
        }
    }

    fn take_messages(&mut self, delivery: &mut Delivery) {
        let log = self.room.log.read();
        if self.offset < log.floor() {
            self.offset = log.floor();
            delivery.reset = Some(self.position());
        }
        let mut bytes = 0;
        for entry in log.behind(self.offset) {
            if delivery.messages.len() == BATCH_MESSAGES || bytes >= BATCH_BYTES {
                break;
            }
            self.offset = entry.offset;
            if entry.is_for(&self.viewer) {
                bytes += entry.frame.len();
                delivery.messages.push(entry.frame.clone());
            }
        }
    }
}
