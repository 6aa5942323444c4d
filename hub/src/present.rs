//! Being in a room, over one connection.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use common::{MemberId, MemberName, ServerFrame, SessionId, limits::CALL_SESSIONS};

use crate::{Letter, Limits, Undelivered, Who, mailbox::Mailbox, room::Room, state::States};

/// A member being in a room over one connection. Dropping it is losing the connection: the member is
/// listed for [`Limits::lost`] more, unless it has another or comes back.
#[derive(Debug)]
pub struct Present {
    room: Arc<Room>,
    member: MemberId,
    session: Option<SessionId>,
    mailbox: Option<Arc<Mailbox>>,
    lost: Duration,
}

impl Present {
    pub(crate) fn enter(room: Arc<Room>, who: &Who, limits: &Limits) -> Self {
        room.change(|states| states.enter(who));
        let Who { member, session, .. } = who.clone();
        Self { room, member: member.id, session, mailbox: None, lost: limits.lost }
    }

    /// The same connection, taking also what others send to its session alone.
    #[must_use]
    pub fn with_mailbox(mut self) -> Self {
        self.mailbox = self
            .session
            .as_ref()
            .map(|session| self.room.change(|states| states.open_mailbox(&self.member, session)));
        self
    }

    /// Sends something to one other session in the room alone, by its public part.
    ///
    /// # Errors
    ///
    /// [`Undelivered`].
    pub fn send(
        &self,
        to: &SessionId,
        letter: Letter,
    ) -> impl Future<Output = Result<(), Undelivered>> + use<> {
        let (room, to) = (self.room.clone(), to.clone());
        async move { room.post(&to, letter).await }
    }

    /// Waits until others have sent something to this session alone.
    pub async fn mail(&self) {
        match &self.mailbox {
            Some(mailbox) => mailbox.came().await,
            None => std::future::pending().await,
        }
    }

    /// What they have sent, the oldest first, as much as may be written at once.
    pub fn take_mail(&self) -> Vec<ServerFrame> {
        self.mailbox.as_ref().map(|mailbox| mailbox.take()).unwrap_or_default()
    }

    /// The member has closed the connection itself: once this is dropped it is listed for [`Limits::closed`] more.
    pub fn leave(&mut self, limits: &Limits) {
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
        let (member, session) = (&self.member, self.session.as_ref());
        self.room.change(|states| states.set_idle(member, session, now(), idle));
    }

    /// Whether another browser can reach this session directly.
    pub fn set_direct(&self, direct: bool) {
        let (member, session) = (&self.member, self.session.as_ref());
        self.room.change(|states| states.set_direct(member, session, now(), direct));
    }

    /// Whether this session is in the room's call.
    ///
    /// # Errors
    ///
    /// When [`CALL_SESSIONS`] others are; the number.
    pub fn set_call(&self, call: bool) -> Result<(), usize> {
        let (member, session) = (&self.member, self.session.as_ref());
        let set = |states: &mut States| states.set_call(member, session, now(), call);
        self.room.change(set).then_some(()).ok_or(CALL_SESSIONS)
    }
}

/// Milliseconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

impl Drop for Present {
    fn drop(&mut self) {
        let until = tokio::time::Instant::now().into_std() + self.lost;
        self.room.change(|states| states.leave(&self.member, self.session.as_ref(), until));
    }
}
