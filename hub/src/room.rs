//! One open room: the tail of its log, who is in it, and the bell that wakes its readers.

use bytes::Bytes;
use common::{Member, MemberId, MemberName, Members, Offset, RoomName};
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use crate::{presence::Presence, tail::Tail};

#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) name: RoomName,
    pub(crate) tail: RwLock<Tail>,
    presence: Mutex<Presence>,
    /// Rung after every change, with no lock held. It says only *that* something changed: a reader
    /// looks for itself, so being rung twice, or late, does no harm.
    bell: watch::Sender<()>,
}

impl Room {
    /// An open room; everything up to and including `start` is to be read from the broker.
    pub(crate) fn new(name: RoomName, start: Offset) -> Self {
        Self {
            name,
            tail: RwLock::new(Tail::new(start)),
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

    /// Makes a change that says whether it changed anything.
    pub(crate) fn change_presence(&self, change: impl FnOnce(&mut Presence) -> bool) {
        let changed = change(&mut self.presence.lock());
        if changed {
            self.ring();
        }
    }

    pub(crate) fn name_of(&self, id: &MemberId) -> Option<MemberName> {
        self.presence.lock().name_of(id)
    }

    pub(crate) fn all_members(&self) -> Vec<Member> {
        self.presence.lock().all()
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

/// The versions of a room's presence that a reader has taken; none at first.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    members: u64,
    typing: u64,
}
