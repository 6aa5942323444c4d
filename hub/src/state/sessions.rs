//! The sessions of one member. One that polls is connected now and then, so each is remembered for a while after its
//! last connection.

use std::{sync::Arc, time::Instant};

use common::SessionId;

use crate::{mailbox::Mailbox, peers::Declared};

/// With so many sessions of a member those are forgotten that are not connected.
const SESSIONS: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Sessions(Vec<Session>);

#[derive(Debug, Default)]
pub(super) struct Session {
    id: Option<SessionId>,
    connections: usize,
    /// When it is forgotten, unless it comes back.
    until: Option<Instant>,
    /// Nobody looks at it.
    pub(super) idle: bool,
    /// Another browser can reach it directly.
    pub(super) direct: bool,
    /// It is in the room's call.
    pub(super) call: bool,
    /// When it declared any of that last, in milliseconds since 1970; 0 if it never did.
    at: u64,
    /// There if it takes what others send to it alone.
    pub(super) mailbox: Option<Arc<Mailbox>>,
}

impl Sessions {
    /// The session of this id; a new one if it is not known.
    pub(super) fn of(&mut self, id: Option<&SessionId>) -> &mut Session {
        let known = self.0.iter().position(|known| known.id.as_ref() == id);
        let index = known.unwrap_or_else(|| {
            if self.0.len() >= SESSIONS {
                self.0.retain(|known| known.connections > 0);
            }
            // Most have one, and room for four would be made.
            self.0.reserve_exact(1);
            self.0.push(Session { id: id.cloned(), ..Session::default() });
            self.0.len() - 1
        });
        &mut self.0[index]
    }

    /// What a session declares of itself, at that time; later than what it was `known` to have declared before.
    pub(super) fn declare(
        &mut self,
        id: Option<&SessionId>,
        at: u64,
        known: u64,
        declare: impl FnOnce(&mut Session),
    ) {
        let session = self.of(id);
        session.at = at.max(session.at.max(known) + 1);
        declare(session);
    }

    /// What they have declared of themselves.
    pub(super) fn declared(&self) -> Vec<Declared> {
        let declared = self.0.iter().filter(|session| session.at > 0);
        let declared = declared.filter_map(|session| {
            let Session { idle, direct, call, at, .. } = *session;
            Some(Declared { session: session.id.clone()?, at, idle, direct, call })
        });
        declared.collect()
    }

    /// What one of these has declared at another hub holds here, if that was later; whether it was.
    pub(super) fn hear(&mut self, declared: &[Declared]) -> bool {
        let mut is_new = false;
        for Declared { session, at, idle, direct, call } in declared {
            let known = self.0.iter_mut().find(|known| known.id.as_ref() == Some(session));
            if let Some(known) = known.filter(|known| known.at < *at) {
                (known.idle, known.direct, known.call, known.at) = (*idle, *direct, *call, *at);
                is_new = true;
            }
        }
        is_new
    }

    pub(super) fn enter(&mut self, id: Option<&SessionId>) {
        let session = self.of(id);
        session.connections += 1;
        session.until = None;
    }

    /// One connection less; after its last one a session is remembered `until` then.
    pub(super) fn leave(&mut self, id: Option<&SessionId>, until: Instant) {
        let session = self.of(id);
        session.connections -= 1;
        session.until = (session.connections == 0).then_some(until);
    }

    pub(super) fn forget(&mut self, now: Instant) {
        self.0.retain(|session| session.until.is_none_or(|until| until > now));
    }

    /// When the next one is to be forgotten.
    pub(super) fn until(&self) -> Option<Instant> {
        self.0.iter().filter_map(|session| session.until).min()
    }

    pub(super) fn is_connected(&self) -> bool {
        self.0.iter().any(|session| session.connections > 0)
    }

    pub(super) fn is_connected_as(&self, id: &SessionId) -> bool {
        self.0.iter().any(|session| session.id.as_ref() == Some(id) && session.connections > 0)
    }

    /// Whether nobody looks at any that is connected.
    pub(super) fn are_idle(&self) -> bool {
        self.0.iter().filter(|session| session.connections > 0).all(|session| session.idle)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that take what others send to them alone.
    pub(super) fn with_mailbox(&self) -> Vec<SessionId> {
        let with = self.0.iter().filter(|session| session.mailbox.is_some());
        with.filter_map(|session| session.id.clone()).collect()
    }

    /// All of them, if each can be reached directly; none if one can't, for it would miss what goes directly, or if they
    /// are many.
    pub(super) fn direct(&self) -> Vec<SessionId> {
        match self.0.len() <= SESSIONS && self.0.iter().all(|session| session.direct) {
            true => self.0.iter().filter_map(|session| session.id.clone()).collect(),
            false => Vec::new(),
        }
    }

    /// Those that are in the room's call.
    pub(super) fn in_call(&self) -> Vec<SessionId> {
        let called = self.0.iter().filter(|session| session.call);
        called.filter_map(|session| session.id.clone()).collect()
    }

    pub(super) fn mailbox(&self, id: &SessionId) -> Option<&Arc<Mailbox>> {
        let session = self.0.iter().find(|session| session.id.as_ref() == Some(id))?;
        session.mailbox.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_member_only_so_many_sessions_are_remembered_and_none_that_is_connected_is_forgotten() {
        let session = |n: usize| SessionId::parse(&format!("tab{n}")).unwrap();
        let mut sessions = Sessions::default();
        for n in 0..100 {
            sessions.enter(Some(&session(n)));
            if n >= SESSIONS {
                sessions.leave(Some(&session(n)), Instant::now());
            }
        }
        assert_eq!(sessions.0.len(), SESSIONS + 1);
        let connected = sessions.0.iter().filter(|known| known.connections > 0);
        assert!(
            connected.map(|known| known.id.clone()).eq((0..SESSIONS).map(|n| Some(session(n))))
        );
    }
}
