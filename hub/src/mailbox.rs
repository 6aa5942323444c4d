//! What other sessions have sent to one session and it has not taken yet.
//!
//! Signalling is no message: it is not kept, and means nothing to whoever comes later. So it is the one thing that
//! waits in a queue, and the queue has an end: whoever finds it full is told.

use std::{any::Any, collections::VecDeque, fmt};

use common::ServerFrame;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// How many letters wait at the most.
pub(crate) const LETTERS: usize = 64;
/// How many bytes of them one taking takes; the last may go beyond.
const TAKEN_BYTES: usize = 32 * 1024;

/// A frame for one session alone.
pub struct Letter {
    /// The frame, written: parsed, it may be a hundred times as large.
    pub text: String,
    /// Given back when it was taken, or nobody can take it any more.
    pub held: Box<dyn Any + Send>,
}

impl fmt::Debug for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Letter({} bytes)", self.text.len())
    }
}

/// Why a letter was not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undelivered {
    /// No such session is in the room, or it takes none.
    #[error("that session is not in the room, or takes no signalling")]
    NotHere,
    /// So many wait for it already.
    #[error("{0} frames wait for that session already")]
    Full(usize),
}

#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    letters: Mutex<VecDeque<Letter>>,
    came: Notify,
}

impl Mailbox {
    pub(crate) fn put(&self, letter: Letter) -> Result<(), Undelivered> {
        let mut letters = self.letters.lock();
        if letters.len() >= LETTERS {
            return Err(Undelivered::Full(LETTERS));
        }
        letters.push_back(letter);
        drop(letters);
        self.came.notify_one();
        Ok(())
    }

    /// What waits, the oldest first, as much as may be written at once.
    pub(crate) fn take(&self) -> Vec<ServerFrame> {
        let (mut letters, mut bytes, mut taken) = (self.letters.lock(), 0, Vec::new());
        while bytes < TAKEN_BYTES
            && let Some(letter) = letters.pop_front()
        {
            bytes += letter.text.len();
            // It was a frame when it was written.
            taken.extend(ServerFrame::parse(&letter.text).ok().flatten());
        }
        taken
    }

    /// Waits until something may be there that was not when [`Mailbox::take`] was called last.
    pub(crate) async fn came(&self) {
        loop {
            let came = self.came.notified();
            if !self.letters.lock().is_empty() {
                return;
            }
            came.await;
        }
    }
}
