//! Who is connected, and how: for those who manage.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use common::{MemberId, RoomName, SessionId};
use parking_lot::Mutex;

use crate::{clock::now_ms, telemetry::Carrier};

/// A session that is connected.
#[derive(Clone, Debug)]
pub(crate) struct Connected {
    pub(crate) room: RoomName,
    pub(crate) member: MemberId,
    /// The part of its id that everybody may see.
    pub(crate) session: SessionId,
    pub(crate) carrier: Carrier,
    /// Since when: milliseconds since 1970.
    pub(crate) since: u64,
}

/// All that are.
#[derive(Default)]
pub(crate) struct Roster {
    next: AtomicU64,
    /// In the order in which they came.
    connected: Mutex<BTreeMap<u64, Connected>>,
}

impl fmt::Debug for Roster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Roster").field("connected", &self.connected.lock().len()).finish()
    }
}

/// A session is on the roster as long as this is.
#[derive(Debug)]
pub(crate) struct Entry {
    roster: Arc<Roster>,
    number: u64,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.roster.connected.lock().remove(&self.number);
    }
}

impl Roster {
    /// Puts one on it.
    pub(crate) fn enter(
        self: &Arc<Self>,
        room: RoomName,
        member: MemberId,
        session: SessionId,
        carrier: Carrier,
    ) -> Entry {
        let number = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        let connected = Connected { room, member, session, carrier, since: now_ms() };
        self.connected.lock().insert(number, connected);
        Entry { roster: self.clone(), number }
    }

    /// At most `limit` of those that came behind the one with the number `behind` and `is_wanted`, with their numbers; and how many there are.
    pub(crate) fn list(
        &self,
        behind: u64,
        limit: usize,
        is_wanted: impl Fn(&Connected) -> bool,
    ) -> (Vec<(u64, Connected)>, usize) {
        let connected = self.connected.lock();
        let wanted = connected.iter().filter(|(_, one)| is_wanted(one));
        let count = wanted.clone().count();
        let listed = wanted.filter(|(number, _)| **number > behind).take(limit);
        (listed.map(|(number, one)| (*number, one.clone())).collect(), count)
    }
}
