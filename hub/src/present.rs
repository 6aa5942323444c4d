//! Being in a room, over one connection.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use common::{MemberId, MemberName, SessionId};

use crate::{Limits, Who, room::Room};

/// A member being in a room over one connection. Dropping it is losing the connection: the member is
/// listed for [`Limits::lost`] more, unless it has another or comes back.
#[derive(Debug)]
pub struct Present {
    room: Arc<Room>,
    member: MemberId,
    session: Option<SessionId>,
    lost: Duration,
}

impl Present {
    pub(crate) fn enter(room: Arc<Room>, who: &Who, limits: &Limits) -> Self {
        room.change(|states| states.enter(who));
        let Who { member, session, .. } = who.clone();
        Self { room, member: member.id, session, lost: limits.lost }
    }

    /// The member has closed the connection itself: it is listed for [`Limits::closed`] more.
    pub fn leave(mut self, limits: &Limits) {
        self.lost = limits.closed;
    }

    /// The member goes by `name` from now on.
    pub fn rename(&self, name: MemberName) {
        self.room.change(|states| states.rename(&self.member, name));
    }

    /// What the member goes by now; another of its connections may have changed it.
    pub fn name(&self) -> Option<MemberName> {
        self.room.look(|states| states.name_of(&self.member).cloned())
    }

    /// The member is writing, until then unless it says so again; `None` is no longer.
    pub fn set_typing(&self, until: Option<Instant>) {
        self.room.change(|states| states.set_typing(&self.member, until));
    }

    /// Whether nobody looks at this session.
    pub fn set_idle(&self, idle: bool) {
        self.room.change(|states| states.set_idle(&self.member, self.session.as_ref(), idle));
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        let until = Instant::now() + self.lost;
        self.room.change(|states| states.leave(&self.member, self.session.as_ref(), until));
    }
}
