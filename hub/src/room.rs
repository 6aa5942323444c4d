//! One room: its log, who is in it, and the bell that wakes its readers.

use bytes::Bytes;
use common::{Members, Offset, RoomName};
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use crate::{log::Log, presence::Presence};

#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) name: RoomName,
    /// Appending takes the write lock, so offsets are given and stored in one order.
    pub(crate) log: RwLock<Log>,
    presence: Mutex<Presence>,
    /// Rung after every change, with no lock held. It says only *that* something changed: a reader
    /// looks for itself, so being rung twice, or late, does no harm.
    bell: watch::Sender<()>,
}

impl Room {
    pub(crate) fn new(name: RoomName, floor: Offset) -> Self {
        Self {
            name,
            log: RwLock::new(Log::new(floor)),
            presence: Mutex::default(),
            bell: watch::Sender::new(()),
        }
    }

    pub(crate) fn ring(&self) {
        self.bell.send_replace(());
    }

    pub(crate) fn listen(&self) -> watch::Receiver<()> {
        self.bell.subscribe()
    }

    pub(crate) fn change_presence(&self, change: impl FnOnce(&mut Presence)) {
        change(&mut self.presence.lock());
        self.ring();
    }

    pub(crate) fn expire_typing(&self, now: std::time::Instant) {
        let changed = self.presence.lock().expire_typing(now);
        if changed {
            self.ring();
        }
    }

    pub(crate) fn member_count(&self) -> usize {
        self.presence.lock().count()
    }

    pub(crate) fn members(&self) -> Members {
        self.presence.lock().members()
    }

    /// The presence frames newer than `seen`, which is brought up to date.
    pub(crate) fn take_state(&self, seen: &mut Seen) -> (Option<Bytes>, Option<Bytes>) {
        let mut presence = self.presence.lock();
        (presence.take_members(&mut seen.members), presence.take_typing(&mut seen.typing))
    }
}

/// The versions of a room's presence that a reader has taken.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    members: u64,
    typing: u64,
}
