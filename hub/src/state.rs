//! What can be said of a room's members now: latest state, never a backlog.
//!
//! Start at [`States::mark`]: everything here is a member marked with a [`StateKind`], for good or for a
//! while. What is to be told of it is worked out now and then ([`States::tick`]), not at each change,
//! and shared by all readers; [`listing`] does that. The rule to keep: a change costs what changed, not
//! how many are here. Pure: no clock, no wake-up.

mod listing;
mod sessions;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Instant,
};

use common::{
    Listed, Member, MemberId, MemberName, Members, SessionId, StateKind, limits::CALL_SESSIONS,
};

use self::{listing::Listing, sessions::Sessions};
use crate::{StateFrame, Who, mailbox::Mailbox};

const KINDS: usize = StateKind::ALL.len();

/// The versions of a room's lists that a reader has taken; none at first.
pub(crate) type Seen = [Option<u64>; KINDS];

#[derive(Debug, Default)]
pub(crate) struct States {
    here: HashMap<MemberId, Here>,
    lists: [Listing; KINDS],
    /// When which mark is gone unless it is made again, or a session forgotten.
    ends: BTreeSet<(Instant, MemberId, Ending)>,
    /// Whose sessions take what others send to them alone.
    mailboxes: HashMap<SessionId, MemberId>,
}

#[derive(Debug)]
struct Here {
    name: MemberName,
    sessions: Sessions,
    marks: [Mark; KINDS],
    /// When one of the sessions is to be forgotten.
    forget: Option<Instant>,
}

impl Here {
    /// What a list of this kind tells of it.
    fn listed(&self, id: &MemberId, kind: StateKind) -> Listed {
        let member = Member { id: id.clone(), name: self.name.clone() };
        match kind {
            StateKind::Direct => Listed { member, sessions: self.sessions.direct() },
            StateKind::Call => Listed { member, sessions: self.sessions.in_call() },
            _ => member.into(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Ending {
    Mark(usize),
    Session,
}

/// Whether a member is marked with a kind of state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mark {
    #[default]
    Off,
    /// Until it is taken off.
    On,
    /// Until then.
    Until(Instant),
}

impl States {
    /// One connection more.
    pub(crate) fn enter(&mut self, Who { member, session, .. }: &Who) {
        let known = self.here.get(&member.id);
        // Whoever is connected goes by the name of now, whatever a later connection was told before.
        if known.is_some_and(|here| !here.sessions.is_connected()) {
            self.rename(&member.id, member.name.clone());
        }
        self.here_or_new(member).sessions.enter(session.as_ref());
        self.mark(&member.id, StateKind::Members, Mark::On);
        self.look(&member.id);
    }

    /// One connection less; after the last one the member is listed `until` then. Nobody sees that.
    pub(crate) fn leave(&mut self, id: &MemberId, session: Option<&SessionId>, until: Instant) {
        let Some(here) = self.here.get_mut(id) else { return };
        here.sessions.leave(session, until);
        if !here.sessions.is_connected() {
            self.mark(id, StateKind::Members, Mark::Until(until));
        }
        self.look(id);
    }

    /// Lists a member that has not come yet, `until` then.
    pub(crate) fn expect(&mut self, member: &Member, until: Instant) {
        if !self.here.contains_key(&member.id) {
            self.here_or_new(member);
            self.mark(&member.id, StateKind::Members, Mark::Until(until));
        }
    }

    pub(crate) fn rename(&mut self, id: &MemberId, name: MemberName) {
        let Some(here) = self.here.get_mut(id) else { return };
        here.name = name.clone();
        for kind in
            StateKind::ALL.into_iter().filter(|kind| here.marks[*kind as usize] != Mark::Off)
        {
            self.lists[kind as usize].insert(here.listed(id, kind));
        }
    }

    /// `id` is writing, until then; `None` is no longer.
    pub(crate) fn set_typing(&mut self, id: &MemberId, until: Option<Instant>) {
        self.mark(id, StateKind::Typing, until.map_or(Mark::Off, Mark::Until));
    }

    /// Nobody looks at this session of `id`, or somebody does again.
    pub(crate) fn set_idle(&mut self, id: &MemberId, session: Option<&SessionId>, idle: bool) {
        let Some(here) = self.here.get_mut(id) else { return };
        here.sessions.of(session).idle = idle;
        self.look(id);
    }

    /// This session of `id` can be reached directly, or can't any more.
    pub(crate) fn set_direct(&mut self, id: &MemberId, session: Option<&SessionId>, direct: bool) {
        let Some(here) = self.here.get_mut(id) else { return };
        here.sessions.of(session).direct = direct;
        self.look(id);
    }

    /// This session of `id` is in the room's call, or is no more; false if too many are in it already.
    pub(crate) fn set_call(
        &mut self,
        id: &MemberId,
        session: Option<&SessionId>,
        call: bool,
    ) -> bool {
        let in_call = self.lists[StateKind::Call as usize].present().members;
        let count: usize = in_call.iter().map(|listed| listed.sessions.len()).sum();
        let Some(here) = self.here.get_mut(id) else { return false };
        let session = here.sessions.of(session);
        if call && !session.call && count >= CALL_SESSIONS {
            return false;
        }
        session.call = call;
        self.look(id);
        true
    }

    /// Where this session of `id` finds what others send to it alone; from now on they can.
    pub(crate) fn open_mailbox(&mut self, id: &MemberId, session: &SessionId) -> Arc<Mailbox> {
        self.mailboxes.insert(session.clone(), id.clone());
        let here = self.here.get_mut(id);
        let mailbox = here.map(|here| &mut here.sessions.of(Some(session)).mailbox);
        mailbox.map(|mailbox| mailbox.get_or_insert_default().clone()).unwrap_or_default()
    }

    /// Where others leave something for `session`.
    pub(crate) fn mailbox(&self, session: &SessionId) -> Option<Arc<Mailbox>> {
        let here = self.here.get(self.mailboxes.get(session)?)?;
        here.sessions.mailbox(session).cloned()
    }

    /// Sees what follows from how the sessions of `id` are now. A member is idle as long as nobody looks at any of
    /// them; while none is connected it is what it was.
    fn look(&mut self, id: &MemberId) {
        let Some(here) = self.here.get_mut(id) else { return };
        let forget = here.sessions.until();
        let before = std::mem::replace(&mut here.forget, forget);
        let idle = here.sessions.is_connected().then(|| here.sessions.are_idle());
        let told = [StateKind::Direct, StateKind::Call].map(|kind| (kind, here.listed(id, kind)));
        if before != forget {
            before.map(|until| self.ends.remove(&(until, id.clone(), Ending::Session)));
            forget.map(|until| self.ends.insert((until, id.clone(), Ending::Session)));
        }
        if let Some(idle) = idle {
            self.mark(id, StateKind::Idle, if idle { Mark::On } else { Mark::Off });
        }
        for (kind, listed) in told {
            match listed.sessions.is_empty() {
                true => self.mark(id, kind, Mark::Off),
                false => {
                    self.mark(id, kind, Mark::On);
                    self.lists[kind as usize].insert(listed);
                }
            }
        }
    }

    /// Takes off the marks whose time has come. Whoever is not here any more has no others.
    pub(crate) fn expire(&mut self, now: Instant) {
        let mut gone = false;
        while let Some((until, id, ending)) = self.ends.first().cloned()
            && until <= now
        {
            self.ends.pop_first();
            gone |= !matches!(ending, Ending::Mark(kind) if kind != StateKind::Members as usize);
            match ending {
                Ending::Mark(kind) if StateKind::ALL[kind] == StateKind::Members => {
                    StateKind::ALL.into_iter().for_each(|kind| self.mark(&id, kind, Mark::Off));
                    if let Some(Here { forget: Some(until), .. }) = self.here.remove(&id) {
                        self.ends.remove(&(until, id.clone(), Ending::Session));
                    }
                }
                Ending::Mark(kind) => self.mark(&id, StateKind::ALL[kind], Mark::Off),
                Ending::Session => {
                    if let Some(here) = self.here.get_mut(&id) {
                        here.sessions.forget(now);
                    }
                    self.look(&id);
                }
            }
        }
        if !gone {
            return;
        }
        let here = &self.here;
        self.mailboxes.retain(|session, id| {
            here.get(id).is_some_and(|here| here.sessions.mailbox(session).is_some())
        });
    }

    fn here_or_new(&mut self, member: &Member) -> &mut Here {
        self.here.entry(member.id.clone()).or_insert_with(|| Here {
            name: member.name.clone(),
            sessions: Sessions::default(),
            marks: Default::default(),
            forget: None,
        })
    }

    fn mark(&mut self, id: &MemberId, kind: StateKind, mark: Mark) {
        let Some(here) = self.here.get_mut(id) else { return };
        let before = std::mem::replace(&mut here.marks[kind as usize], mark);
        let ending = |until| (until, id.clone(), Ending::Mark(kind as usize));
        if let Mark::Until(until) = before {
            self.ends.remove(&ending(until));
        }
        if let Mark::Until(until) = mark {
            self.ends.insert(ending(until));
        }
        match (before, mark) {
            (Mark::Off, Mark::Off) => {}
            (_, Mark::Off) => self.lists[kind as usize].remove(id),
            (Mark::Off, _) => self.lists[kind as usize].insert(here.listed(id, kind)),
            _ => {}
        }
    }

    pub(crate) fn name_of(&self, id: &MemberId) -> Option<&MemberName> {
        self.here.get(id).map(|here| &here.name)
    }

    pub(crate) fn count(&self) -> usize {
        self.here.len()
    }

    /// Whether nobody is told who is here.
    pub(crate) fn hide(&mut self, hidden: bool) {
        self.lists.iter_mut().for_each(|list| list.hide(hidden));
    }

    /// How many are here, as far as that is told.
    pub(crate) fn shown_count(&self) -> usize {
        self.lists[StateKind::Members as usize].shown_count()
    }

    /// Who is here, by name, as far as that is told.
    pub(crate) fn members(&self) -> Members {
        self.lists[StateKind::Members as usize].shown()
    }

    /// All who are here.
    pub(crate) fn all_members(&self) -> Vec<Member> {
        self.lists[StateKind::Members as usize].all()
    }

    /// Whether there may be something to tell.
    pub(crate) fn has_changed(&self) -> bool {
        self.lists.iter().any(Listing::has_changed)
    }

    /// Works out what is to be told; true if there is anything.
    pub(crate) fn tick(&mut self) -> bool {
        StateKind::ALL
            .into_iter()
            .zip(&mut self.lists)
            .fold(false, |any, (kind, list)| list.tick(kind) || any)
    }

    /// What is newer than what `seen` says was taken, which is brought up to date.
    pub(crate) fn take(&mut self, seen: &mut Seen) -> Vec<Arc<StateFrame>> {
        let kinds = StateKind::ALL.into_iter().zip(&mut self.lists).zip(seen);
        kinds.flat_map(|((kind, list), seen)| list.take(kind, seen)).collect()
    }
}
