//! What a room knows of a reader: whether it has caught up and waits, and if so, where what comes can be written without it.
//!
//! A reader that has an [`Outlet`] need not be woken for each message: as long as it has read everything, and its outlet
//! takes more, the room's pass over its lines writes the ready bytes there. The rule to keep: of a reader and the pass
//! only one reads on at a time. While the line is live that is the pass, and [`Line::look`] takes the position back.
//!
//! | by | | |
//! |---|---|---|
//! | the reader | [`Line::look`] | reads on by itself: the line is not live, and nothing has rung since |
//! | | [`Line::go_live`] | has read everything: the line is live, unless it was rung meanwhile |
//! | | [`Line::poll_rung`] | waits until it is rung |
//! | | [`Line::take`] | has something to write, and comes back once that is done |
//! | the pass | [`Line::hear`] | pushes if the line is live; rings if it is not, or is no more after that |
//! | | [`Line::call`] | rings: there is something that the pass has not got |

use std::{
    cell::RefCell,
    fmt,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use common::{Epoch, Offset, Position};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{Record, Who};

/// Where messages are written as soon as they are there, without waiting.
pub trait Outlet: Send + Sync {
    /// Writes all of `burst`, or says how far that got. Must not wait.
    fn push(&self, burst: &Burst<'_>) -> Pushed;
}

/// How far pushing got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// It is written.
    All,
    /// Its beginning is, and the outlet keeps the rest: whoever reads has to see to it.
    Some,
    /// Nothing is.
    None,
}

/// Messages that follow one another, for one reader.
#[derive(Debug)]
pub struct Burst<'a> {
    /// The life of the log they are of.
    pub epoch: &'a Epoch,
    /// The messages, in order; never none.
    pub records: &'a [Arc<Record>],
    /// Shared by all who get the same.
    faces: Option<&'a Faces>,
}

/// What was made of a burst, by the number of the face; few of them.
pub(crate) type Faces = RefCell<Vec<(u16, Bytes)>>;

impl Burst<'_> {
    /// The messages in the shape that some transport writes them in: made by the first who asks for face `n`.
    pub fn face(&self, n: u16, make: impl FnOnce(&Self) -> Bytes) -> Bytes {
        let Some(faces) = self.faces else { return make(self) };
        if let Some((_, made)) = faces.borrow().iter().find(|(known, _)| *known == n) {
            return made.clone();
        }
        let made = make(self);
        faces.borrow_mut().push((n, made.clone()));
        made
    }
}

/// What has come in a room since the last pass.
pub(crate) struct Batch {
    pub(crate) epoch: Epoch,
    pub(crate) records: Vec<Arc<Record>>,
    /// All of it is for everybody.
    is_public: bool,
}

impl Batch {
    pub(crate) fn new(epoch: Epoch, records: Vec<Arc<Record>>) -> Self {
        let is_public =
            records.iter().all(|record| matches!(record.envelope.to, common::Audience::All));
        Self { epoch, records, is_public }
    }

    /// Pushes what `who` has not read and may, from behind `offset`.
    fn push(&self, faces: &Faces, who: &Who, offset: Offset, outlet: &dyn Outlet) -> Pushed {
        let unread = self.behind(offset);
        if self.is_public {
            let faces = (unread.len() == self.records.len()).then_some(faces);
            return self.push_all(unread, faces, outlet);
        }
        let for_it = unread.iter().filter(|record| record.envelope.is_for(who)).cloned();
        self.push_all(&for_it.collect::<Vec<_>>(), None, outlet)
    }

    fn behind(&self, offset: Offset) -> &[Arc<Record>] {
        let start = self.records.partition_point(|record| record.offset <= offset);
        &self.records[start..]
    }

    fn push_all(
        &self,
        records: &[Arc<Record>],
        faces: Option<&Faces>,
        outlet: &dyn Outlet,
    ) -> Pushed {
        match records.is_empty() {
            true => Pushed::All,
            false => outlet.push(&Burst { epoch: &self.epoch, records, faces }),
        }
    }
}

/// One reader.
pub(crate) struct Line {
    pub(crate) who: Who,
    began: Instant,
    stand: Mutex<Stand>,
}

#[derive(Default)]
struct Stand {
    /// There may be something that was not there when the reader looked last.
    rung: bool,
    waker: Option<Waker>,
    /// It wants to know of the members, too.
    wants_state: bool,
    outlet: Option<Arc<dyn Outlet>>,
    /// What comes is pushed.
    is_live: bool,
    /// Up to here everything was pushed or read, since the reader looked last: in the life of the log that it reads.
    read: Option<Offset>,
    epoch: Option<Epoch>,
    /// The outlet keeps the rest of something.
    is_stuck: bool,
    /// Up to here everything is written, if that is not where [`Stand::read`] is; none before the reader has looked for
    /// the first time.
    written: Option<Offset>,
    /// When the oldest message was kept that was taken to be written since: milliseconds since 1970.
    writing: Option<u64>,
}

/// What a reader finds when it looks.
#[derive(Debug)]
pub(crate) struct Looked {
    /// How far was pushed meanwhile, if anything was.
    pub(crate) read: Option<Offset>,
    /// The outlet keeps the rest of something.
    pub(crate) is_stuck: bool,
}

/// How far a reader's client has got, as far as can be known: what is with the system counts as read.
#[derive(Debug)]
pub(crate) struct Progress {
    /// Up to here everything is written.
    pub(crate) written: Offset,
    /// When the oldest message was kept that is being written: milliseconds since 1970.
    pub(crate) writing: Option<u64>,
    /// Since when the reader reads.
    pub(crate) began: Instant,
}

impl Line {
    pub(crate) fn new(who: Who) -> Self {
        Self { who, began: Instant::now(), stand: Mutex::default() }
    }

    pub(crate) fn set_outlet(&self, outlet: Arc<dyn Outlet>) {
        self.stand.lock().outlet = Some(outlet);
    }

    pub(crate) fn want_state(&self) {
        self.stand.lock().wants_state = true;
    }

    /// The reader, which is there, reads on by itself: what it took before is written, unless it knows of a rest that is not.
    /// What comes from now on rings again.
    pub(crate) fn look(&self, position: Offset, is_stuck: bool) -> Looked {
        let mut stand = self.stand.lock();
        (stand.rung, stand.is_live) = (false, false);
        let looked =
            Looked { read: stand.read.take(), is_stuck: std::mem::take(&mut stand.is_stuck) };
        if !is_stuck && !looked.is_stuck {
            (stand.written, stand.writing) = (Some(looked.read.unwrap_or(position)), None);
        }
        looked
    }

    /// The reader has taken messages to be written, the oldest of which was kept then: milliseconds since 1970.
    pub(crate) fn take(&self, at: u64) {
        self.stand.lock().writing.get_or_insert(at);
    }

    /// How far the client has got; `None` if nobody reads for it.
    pub(crate) fn progress(&self) -> Option<Progress> {
        let stand = self.stand.lock();
        let written = stand.written?;
        let read = stand.read.filter(|_| stand.writing.is_none());
        let written = read.unwrap_or(written);
        Some(Progress { written, writing: stand.writing, began: self.began })
    }

    /// The reader has read everything up to there and will wait; `is_all` says whether that is still all there is.
    pub(crate) fn go_live(&self, position: &Position, is_all: impl FnOnce() -> bool) {
        let mut stand = self.stand.lock();
        // What was not for it is behind it as well.
        stand.written = Some(position.offset);
        if stand.outlet.is_some() && !stand.rung && is_all() {
            (stand.is_live, stand.read) = (true, Some(position.offset));
            if stand.epoch.as_ref() != Some(&position.epoch) {
                stand.epoch = Some(position.epoch.clone());
            }
        }
    }

    /// Waits until there may be something to take that was not there at the last look.
    pub(crate) fn poll_rung(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut stand = self.stand.lock();
        if stand.rung {
            stand.waker = None;
            return Poll::Ready(());
        }
        match &mut stand.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            waker => *waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Hands it what has come, or wakes its reader for that; `faces` are those made so far. Where `told`, there is something
    /// new of the members, too.
    pub(crate) fn hear(&self, batch: &Batch, faces: &Faces, told: bool) {
        let mut stand = self.stand.lock();
        // The pass may have begun in one life of the log, and the reader have gone on to another.
        stand.is_live &= stand.epoch.as_ref() == Some(&batch.epoch);
        if stand.is_live
            && let (Some(outlet), Some(read)) = (&stand.outlet, stand.read)
            && let Some(last) = batch.records.last()
        {
            let pushed = batch.push(faces, &self.who, read, &**outlet);
            stand.is_live = pushed == Pushed::All;
            stand.is_stuck = pushed == Pushed::Some;
            if stand.is_stuck {
                stand.written = Some(read);
                stand.writing = batch.behind(read).first().map(|record| record.envelope.at);
            }
            if pushed != Pushed::None {
                stand.read = Some(last.offset.max(read));
            }
        }
        if (!stand.is_live && !batch.records.is_empty()) || (told && stand.wants_state) {
            ring(stand);
        }
    }

    /// Wakes the reader to look for itself.
    pub(crate) fn call(&self) {
        let mut stand = self.stand.lock();
        stand.is_live = false;
        ring(stand);
    }
}

fn ring(mut stand: parking_lot::MutexGuard<'_, Stand>) {
    stand.rung = true;
    let waker = stand.waker.take();
    drop(stand);
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Line({})", self.who.member.id)
    }
}
