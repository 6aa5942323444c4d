//! What can be said of a room's members now: latest state, never a backlog.
//!
//! Start at [`States::mark`]: everything here is a member marked with a [`StateKind`], for good or for a
//! while. What is to be told of it is worked out now and then ([`States::tick`]), not at each change,
//! and shared by all readers; [`listing`] does that. The rule to keep: a change costs what changed, not
//! how many are here. Pure: no clock, no wake-up.

mod listing;
mod sessions;
mod share;

pub(crate) use self::share::Place;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Instant,
};

use common::{
    Listed, Member, MemberId, MemberName, Members, SessionId, StateKind, limits::CALL_SESSIONS,
};

use self::{listing::Listing, sessions::Sessions, share::Share};
use crate::{
    StateFrame, Who,
    mailbox::Mailbox,
    peers::{HubId, Shown},
};

const KINDS: usize = StateKind::ALL.len();

/// The versions of a room's lists that a reader has taken; none at first.
pub(crate) type Seen = [Option<u64>; KINDS];
/// What a reader has taken of a room's lists, at whichever hub; none of those of which more was told since.
pub(crate) type Digests = [Option<u64>; KINDS];

#[derive(Debug, Default)]
pub(crate) struct States {
    here: HashMap<MemberId, Here>,
    lists: [Listing; KINDS],
    /// When which mark is gone unless it is made again, or a session forgotten.
    ends: BTreeSet<(Instant, MemberId, Ending)>,
    /// Whose sessions take what others send to them alone.
    mailboxes: HashMap<SessionId, MemberId>,
    /// What other hubs are told, where there are any.
    share: Option<Share>,
}

#[derive(Debug)]
struct Here {
    name: MemberName,
    /// How often the name has changed.
    named: u64,
    sessions: Sessions,
    marks: [Mark; KINDS],
    /// When one of the sessions is to be forgotten.
    forget: Option<Instant>,
    /// What other hubs tell of it.
    elsewhere: Vec<(HubId, Shown)>,
}

impl Here {
    /// Whether a list of this kind tells of it.
    fn is(&self, kind: StateKind) -> bool {
        let own = self.marks[kind as usize] != Mark::Off;
        let mut elsewhere = self.elsewhere.iter().map(|(_, shown)| shown);
        match kind {
            StateKind::Members => own || !self.elsewhere.is_empty(),
            StateKind::Typing => own || elsewhere.any(|shown| shown.typing),
            // Nobody looks at any of its sessions, wherever they are.
            StateKind::Idle => {
                let is_here = own || !self.is_own() && !self.elsewhere.is_empty();
                is_here && elsewhere.all(|shown| shown.idle)
            }
            StateKind::Direct => !self.direct().is_empty(),
            StateKind::Call => !self.in_call().is_empty(),
        }
    }

    /// Whether it is here at this hub.
    fn is_own(&self) -> bool {
        self.marks[StateKind::Members as usize] != Mark::Off
    }

    /// All its sessions, if each can be reached directly.
    fn direct(&self) -> Vec<SessionId> {
        let mut all = self.sessions.direct();
        if all.is_empty() && !self.sessions.is_empty() {
            return all;
        }
        for (_, shown) in &self.elsewhere {
            let Some(direct) = &shown.direct else { return Vec::new() };
            extend_by_new(&mut all, direct);
        }
        all
    }

    /// Its sessions that are in the room's call.
    fn in_call(&self) -> Vec<SessionId> {
        let mut all = self.sessions.in_call();
        self.elsewhere.iter().for_each(|(_, shown)| extend_by_new(&mut all, &shown.call));
        all
    }

    /// What a list of this kind tells of it.
    fn listed(&self, id: &MemberId, kind: StateKind) -> Listed {
        let member = Member { id: id.clone(), name: self.name.clone() };
        match kind {
            StateKind::Direct => Listed { member, sessions: self.direct() },
            StateKind::Call => Listed { member, sessions: self.in_call() },
            _ => member.into(),
        }
    }
}

/// A session that came from another hub is known at both for a while.
fn extend_by_new(all: &mut Vec<SessionId>, more: &[SessionId]) {
    for session in more {
        if !all.contains(session) {
            all.push(session.clone());
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
        let is_away = |here: &Here| !here.sessions.is_connected() && here.elsewhere.is_empty();
        // Whoever is connected goes by the name of now, whatever a later connection was told before.
        if known.is_some_and(is_away) {
            self.rename(&member.id, member.name.clone());
        }
        let here = self.here_or_new(member);
        here.sessions.enter(session.as_ref());
        here.hear();
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
        if here.name != name {
            (here.name, here.named) = (name, here.named + 1);
            self.touch(id);
            self.list_anew(id);
        }
    }

    /// Has all lists tell of a member what is so now.
    fn list_anew(&mut self, id: &MemberId) {
        let here = self.here.get(id);
        for (kind, list) in StateKind::ALL.into_iter().zip(&mut self.lists) {
            match here.filter(|here| here.is(kind)) {
                Some(here) => list.insert(here.listed(id, kind)),
                None => list.remove(id),
            }
        }
    }

    /// Something has changed of a member here, of which other hubs are to be told.
    fn touch(&mut self, id: &MemberId) {
        if let Some(share) = &mut self.share {
            share.touch(id);
        }
    }

    /// `id` is writing, until then; `None` is no longer.
    pub(crate) fn set_typing(&mut self, id: &MemberId, until: Option<Instant>) {
        self.mark(id, StateKind::Typing, until.map_or(Mark::Off, Mark::Until));
    }

    /// Nobody looks at this session of `id`, or somebody does again: so it is declared `at` a time, milliseconds since 1970,
    /// as is what follows here.
    pub(crate) fn set_idle(
        &mut self,
        id: &MemberId,
        session: Option<&SessionId>,
        at: u64,
        idle: bool,
    ) {
        let Some(here) = self.here.get_mut(id) else { return };
        here.declare(session, at, |session| session.idle = idle);
        self.look(id);
    }

    /// This session of `id` can be reached directly, or can't any more.
    pub(crate) fn set_direct(
        &mut self,
        id: &MemberId,
        session: Option<&SessionId>,
        at: u64,
        direct: bool,
    ) {
        let Some(here) = self.here.get_mut(id) else { return };
        here.declare(session, at, |session| session.direct = direct);
        self.look(id);
    }

    /// This session of `id` is in the room's call, or is no more; false if too many are in it already.
    pub(crate) fn set_call(
        &mut self,
        id: &MemberId,
        session: Option<&SessionId>,
        at: u64,
        call: bool,
    ) -> bool {
        let in_call = self.lists[StateKind::Call as usize].present().members;
        let count: usize = in_call.iter().map(|listed| listed.sessions.len()).sum();
        let Some(here) = self.here.get_mut(id) else { return false };
        if call && !here.sessions.of(session).call && count >= CALL_SESSIONS {
            return false;
        }
        here.declare(session, at, |session| session.call = call);
        self.look(id);
        true
    }

    /// Where this session of `id` finds what others send to it alone; from now on they can.
    pub(crate) fn open_mailbox(&mut self, id: &MemberId, session: &SessionId) -> Arc<Mailbox> {
        self.mailboxes.insert(session.clone(), id.clone());
        self.touch(id);
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
        if before != forget {
            before.map(|until| self.ends.remove(&(until, id.clone(), Ending::Session)));
            forget.map(|until| self.ends.insert((until, id.clone(), Ending::Session)));
        }
        if let Some(idle) = idle {
            self.mark(id, StateKind::Idle, if idle { Mark::On } else { Mark::Off });
        }
        self.touch(id);
        let Some(here) = self.here.get(id) else { return };
        if !here.elsewhere.is_empty() {
            return self.list_anew(id);
        }
        for kind in [StateKind::Direct, StateKind::Call] {
            match here.is(kind) {
                true => self.lists[kind as usize].insert(here.listed(id, kind)),
                false => self.lists[kind as usize].remove(id),
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
                    let Some(here) = self.here.get_mut(&id) else { continue };
                    here.sessions = Sessions::default();
                    if let Some(until) = here.forget.take() {
                        self.ends.remove(&(until, id.clone(), Ending::Session));
                    }
                    if here.elsewhere.is_empty() {
                        self.here.remove(&id);
                    }
                    self.list_anew(&id);
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
            named: 0,
            sessions: Sessions::default(),
            marks: Default::default(),
            forget: None,
            elsewhere: Vec::new(),
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
        if (before == Mark::Off) == (mark == Mark::Off) {
            return;
        }
        match here.is(kind) {
            true => self.lists[kind as usize].insert(here.listed(id, kind)),
            false => self.lists[kind as usize].remove(id),
        }
        self.touch(id);
    }

    pub(crate) fn name_of(&self, id: &MemberId) -> Option<&MemberName> {
        self.here.get(id).map(|here| &here.name)
    }

    pub(crate) fn count(&self) -> usize {
        self.here.len()
    }

    /// How many are here at this hub.
    pub(crate) fn own_count(&self) -> usize {
        match self.share {
            None => self.here.len(),
            Some(_) => self.here.values().filter(|here| here.is_own()).count(),
        }
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
            || self.share.as_ref().is_some_and(Share::has_changed)
    }

    /// Works out what is to be told; true if there is anything.
    pub(crate) fn tick(&mut self) -> bool {
        StateKind::ALL
            .into_iter()
            .zip(&mut self.lists)
            .fold(false, |any, (kind, list)| list.tick(kind) || any)
    }

    /// What was taken of each list, if nothing was told of it since.
    pub(crate) fn digests(&mut self, seen: &Seen) -> Digests {
        let mut lists = self.lists.iter_mut().zip(seen);
        std::array::from_fn(|_| lists.next().and_then(|(list, seen)| list.digest((*seen)?)))
    }

    /// What was taken of each list at another hub, as if it had been here: where that is not what is told here, it is nothing
    /// that is known.
    pub(crate) fn seen_elsewhere(&mut self, taken: &Digests) -> Seen {
        let mut lists = self.lists.iter_mut().zip(taken);
        std::array::from_fn(|_| {
            let (list, taken) = lists.next()?;
            Some(taken.and_then(|digest| list.version_of(digest)).unwrap_or(u64::MAX))
        })
    }

    /// What is newer than what `seen` says was taken, which is brought up to date.
    pub(crate) fn take(&mut self, seen: &mut Seen) -> Vec<Arc<StateFrame>> {
        let kinds = StateKind::ALL.into_iter().zip(&mut self.lists).zip(seen);
        kinds.flat_map(|((kind, list), seen)| list.take(kind, seen)).collect()
    }
}
