//! Who is in a room and who is writing: latest state, never a backlog.
//!
//! A reader remembers the version it has seen and, when woken, takes the present; what happened in
//! between is conflated. Whoever has no connection any more is listed a little longer, so that a
//! reload, a lift or a restart is not leaving and coming for all to see.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use common::{Member, MemberId, MemberName, Members, ServerFrame, Typing};

use crate::{Limits, room::Room};

/// How many members a `members` frame lists; the count is of all.
const LISTED: usize = 100;

#[derive(Debug, Default)]
pub(crate) struct Presence {
    here: HashMap<MemberId, Here>,
    typing: BTreeMap<MemberId, Instant>,
    members_version: u64,
    typing_version: u64,
    /// The `members` frame of the current version, encoded once for all readers.
    members_frame: Option<Bytes>,
    typing_frame: Option<Bytes>,
}

#[derive(Debug)]
struct Here {
    name: MemberName,
    connections: usize,
    /// Until when to list a member that has no connection.
    until: Option<Instant>,
}

impl Presence {
    fn enter(&mut self, member: &Member) -> bool {
        let mut changed = false;
        let here = self.here.entry(member.id.clone()).or_insert_with(|| {
            changed = true;
            Here { name: member.name.clone(), connections: 0, until: None }
        });
        // Whoever is connected goes by the name of now, whatever a later connection was told before.
        if here.connections == 0 && here.name != member.name {
            changed = true;
            here.name = member.name.clone();
        }
        here.until = None;
        here.connections += 1;
        if changed {
            self.members_changed();
        }
        changed
    }

    /// One connection less; after the last one the member is listed `until` then. Nobody sees that.
    fn leave(&mut self, id: &MemberId, until: Instant) {
        if let Some(here) = self.here.get_mut(id) {
            here.connections -= 1;
            here.until = (here.connections == 0).then_some(until);
        }
    }

    /// Lists a member that has not come yet, `until` then.
    pub(crate) fn expect(&mut self, member: Member, until: Instant) -> bool {
        let mut new = false;
        self.here.entry(member.id).or_insert_with(|| {
            new = true;
            Here { name: member.name, connections: 0, until: Some(until) }
        });
        if new {
            self.members_changed();
        }
        new
    }

    /// Lets go of who is gone, and of who has not said to be writing since; true where that changed
    /// anything.
    pub(crate) fn expire(&mut self, now: Instant) -> bool {
        let before = self.here.len();
        self.here.retain(|_, here| here.until.is_none_or(|until| until > now));
        let gone = self.here.len() != before;
        if gone {
            self.members_changed();
        }
        self.expire_typing(now) || gone
    }

    fn rename(&mut self, id: &MemberId, name: MemberName) -> bool {
        let Some(here) = self.here.get_mut(id) else { return false };
        here.name = name;
        self.members_changed();
        if self.typing.contains_key(id) {
            self.typing_changed();
        }
        true
    }

    pub(crate) fn name_of(&self, id: &MemberId) -> Option<MemberName> {
        self.here.get(id).map(|here| here.name.clone())
    }

    /// Says until when `id` is writing; `None` is no longer.
    fn set_typing(&mut self, id: &MemberId, until: Option<Instant>) -> bool {
        let before = match until {
            Some(until) => self.typing.insert(id.clone(), until).is_some(),
            None => self.typing.remove(id).is_some(),
        };
        let changed = before != until.is_some();
        if changed {
            self.typing_changed();
        }
        changed
    }

    fn expire_typing(&mut self, now: Instant) -> bool {
        let before = self.typing.len();
        self.typing.retain(|id, until| *until > now && self.here.contains_key(id));
        let changed = self.typing.len() != before;
        if changed {
            self.typing_changed();
        }
        changed
    }

    fn members_changed(&mut self) {
        self.members_version += 1;
        self.members_frame = None;
    }

    fn typing_changed(&mut self) {
        self.typing_version += 1;
        self.typing_frame = None;
    }

    pub(crate) fn count(&self) -> usize {
        self.here.len()
    }

    /// All who are here, in no order.
    pub(crate) fn all(&self) -> Vec<Member> {
        let member =
            |(id, here): (&MemberId, &Here)| Member { id: id.clone(), name: here.name.clone() };
        self.here.iter().map(member).collect()
    }

    /// Who is here, by name.
    pub(crate) fn members(&self) -> Members {
        let mut members = self.all();
        members.sort_unstable_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        members.truncate(LISTED);
        Members { count: self.here.len(), members }
    }

    /// The `members` frame, if it is newer than what `seen` says was taken.
    pub(crate) fn take_members(&mut self, seen: &mut u64) -> Option<Bytes> {
        if std::mem::replace(seen, self.members_version) == self.members_version {
            return None;
        }
        let frame = self
            .members_frame
            .take()
            .unwrap_or_else(|| ServerFrame::Members(self.members()).encode().into());
        self.members_frame = Some(frame.clone());
        Some(frame)
    }

    /// The `typing` frame, if it is newer than what `seen` says was taken.
    pub(crate) fn take_typing(&mut self, seen: &mut u64) -> Option<Bytes> {
        if std::mem::replace(seen, self.typing_version) == self.typing_version {
            return None;
        }
        let frame = self.typing_frame.take().unwrap_or_else(|| {
            let members = self
                .typing
                .keys()
                .take(LISTED)
                .filter_map(|id| {
                    self.here.get(id).map(|here| Member { id: id.clone(), name: here.name.clone() })
                })
                .collect();
            ServerFrame::Typing(Typing { members }).encode().into()
        });
        self.typing_frame = Some(frame.clone());
        Some(frame)
    }
}

/// A member being in a room over one connection. Dropping it is losing the connection: the member is
/// listed for [`Limits::lost`] more, unless it has another or comes back.
#[derive(Debug)]
pub struct Present {
    room: Arc<Room>,
    member: MemberId,
    lost: Duration,
}

impl Present {
    pub(crate) fn enter(room: Arc<Room>, member: &Member, limits: &Limits) -> Self {
        room.change_presence(|presence| presence.enter(member));
        Self { room, member: member.id.clone(), lost: limits.lost }
    }

    /// The member has closed the connection itself: it is listed for [`Limits::closed`] more.
    pub fn leave(mut self, limits: &Limits) {
        self.lost = limits.closed;
    }

    /// The member goes by `name` from now on.
    pub fn rename(&self, name: MemberName) {
        self.room.change_presence(|presence| presence.rename(&self.member, name));
    }

    /// What the member goes by now; another of its connections may have changed it.
    pub fn name(&self) -> Option<MemberName> {
        self.room.name_of(&self.member)
    }

    /// The member is writing, until `until` unless it says so again.
    pub fn typing(&self, until: Instant) {
        self.room.change_presence(|presence| presence.set_typing(&self.member, Some(until)));
    }

    /// The member has stopped writing.
    pub fn stopped_typing(&self) {
        self.room.change_presence(|presence| presence.set_typing(&self.member, None));
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        let until = Instant::now() + self.lost;
        self.room.change_presence(|presence| {
            presence.leave(&self.member, until);
            false
        });
    }
}
