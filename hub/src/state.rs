//! What can be said of a room's members now: latest state, never a backlog.
//!
//! Start at [`States::mark`]: everything here is a member marked with a [`StateKind`], for good or for a
//! while. What is to be told of it is worked out now and then ([`States::tick`]), not at each change,
//! and shared by all readers; [`listing`] does that. The rule to keep: a change costs what changed, not
//! how many are here. Pure: no clock, no wake-up.

mod listing;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Instant,
};

use common::{Member, MemberId, MemberName, Members, SessionId, StateKind};

use self::listing::Listing;
use crate::{StateFrame, Who};

const KINDS: usize = StateKind::ALL.len();
/// With so many sessions of a member those are forgotten that are not connected.
const SESSIONS: usize = 16;

/// The versions of a room's lists that a reader has taken; none at first.
pub(crate) type Seen = [Option<u64>; KINDS];

#[derive(Debug, Default)]
pub(crate) struct States {
    here: HashMap<MemberId, Here>,
    lists: [Listing; KINDS],
    /// When which mark is gone unless it is made again.
    ends: BTreeSet<(Instant, MemberId, usize)>,
}

#[derive(Debug)]
struct Here {
    name: MemberName,
    connections: usize,
    sessions: Vec<Connected>,
    marks: [Mark; KINDS],
}

/// A session of a member. One that polls is connected now and then, so it is remembered for a while.
#[derive(Debug)]
struct Connected {
    session: Option<SessionId>,
    connections: usize,
    /// Nobody looks at it.
    idle: bool,
}

impl Here {
    fn session(&mut self, session: Option<&SessionId>) -> &mut Connected {
        let known = self.sessions.iter().position(|known| known.session.as_ref() == session);
        let index = known.unwrap_or_else(|| {
            if self.sessions.len() >= SESSIONS {
                self.sessions.retain(|known| known.connections > 0);
            }
            let session = session.cloned();
            self.sessions.push(Connected { session, connections: 0, idle: false });
            self.sessions.len() - 1
        });
        &mut self.sessions[index]
    }
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
        if known.is_some_and(|here| here.connections == 0) {
            self.rename(&member.id, member.name.clone());
        }
        let here = self.here_or_new(member);
        here.connections += 1;
        here.session(session.as_ref()).connections += 1;
        self.mark(&member.id, StateKind::Members, Mark::On);
        self.look_idle(&member.id);
    }

    /// One connection less; after the last one the member is listed `until` then. Nobody sees that.
    pub(crate) fn leave(&mut self, id: &MemberId, session: Option<&SessionId>, until: Instant) {
        let Some(here) = self.here.get_mut(id) else { return };
        here.connections -= 1;
        here.session(session).connections -= 1;
        if here.connections == 0 {
            self.mark(id, StateKind::Members, Mark::Until(until));
        }
        self.look_idle(id);
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
        for (list, mark) in self.lists.iter_mut().zip(here.marks) {
            if mark != Mark::Off {
                list.insert(Member { id: id.clone(), name: name.clone() });
            }
        }
    }

    /// `id` is writing, until then; `None` is no longer.
    pub(crate) fn set_typing(&mut self, id: &MemberId, until: Option<Instant>) {
        self.mark(id, StateKind::Typing, until.map_or(Mark::Off, Mark::Until));
    }

    /// Nobody looks at this session of `id`, or somebody does again.
    pub(crate) fn set_idle(&mut self, id: &MemberId, session: Option<&SessionId>, idle: bool) {
        let Some(here) = self.here.get_mut(id) else { return };
        here.session(session).idle = idle;
        self.look_idle(id);
    }

    /// A member is idle as long as nobody looks at any of its sessions. While none is connected it is what
    /// it was.
    fn look_idle(&mut self, id: &MemberId) {
        let Some(here) = self.here.get(id).filter(|here| here.connections > 0) else { return };
        let mut connected = here.sessions.iter().filter(|known| known.connections > 0);
        let idle = connected.all(|known| known.idle);
        self.mark(id, StateKind::Idle, if idle { Mark::On } else { Mark::Off });
    }

    /// Takes off the marks whose time has come. Whoever is not here any more has no others.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some((until, id, kind)) = self.ends.first().cloned()
            && until <= now
        {
            self.ends.pop_first();
            match StateKind::ALL[kind] {
                StateKind::Members => {
                    StateKind::ALL.into_iter().for_each(|kind| self.mark(&id, kind, Mark::Off));
                    self.here.remove(&id);
                }
                kind => self.mark(&id, kind, Mark::Off),
            }
        }
    }

    fn here_or_new(&mut self, member: &Member) -> &mut Here {
        self.here.entry(member.id.clone()).or_insert_with(|| Here {
            name: member.name.clone(),
            connections: 0,
            sessions: Vec::new(),
            marks: Default::default(),
        })
    }

    fn mark(&mut self, id: &MemberId, kind: StateKind, mark: Mark) {
        let Some(here) = self.here.get_mut(id) else { return };
        let kind = kind as usize;
        let before = std::mem::replace(&mut here.marks[kind], mark);
        if let Mark::Until(until) = before {
            self.ends.remove(&(until, id.clone(), kind));
        }
        if let Mark::Until(until) = mark {
            self.ends.insert((until, id.clone(), kind));
        }
        match (before, mark) {
            (Mark::Off, Mark::Off) => {}
            (_, Mark::Off) => self.lists[kind].remove(id),
            (Mark::Off, _) => {
                self.lists[kind].insert(Member { id: id.clone(), name: here.name.clone() });
            }
            _ => {}
        }
    }

    pub(crate) fn name_of(&self, id: &MemberId) -> Option<&MemberName> {
        self.here.get(id).map(|here| &here.name)
    }

    pub(crate) fn count(&self) -> usize {
        self.here.len()
    }

    /// Who is here, by name.
    pub(crate) fn members(&self) -> Members {
        self.lists[StateKind::Members as usize].present()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_member_only_so_many_sessions_are_remembered_and_none_that_is_connected_is_forgotten() {
        let member =
            Member { id: MemberId::parse("ada").unwrap(), name: MemberName::parse("Ada").unwrap() };
        let session = |n: usize| SessionId::parse(&format!("tab{n}")).unwrap();
        let mut states = States::default();
        for n in 0..100 {
            states.enter(&Who::new(member.clone(), &session(n)));
            if n >= SESSIONS {
                states.leave(&member.id, Some(&session(n)), Instant::now());
            }
        }
        let sessions = &states.here[&member.id].sessions;
        assert_eq!(sessions.len(), SESSIONS + 1);
        let connected = sessions.iter().filter(|known| known.connections > 0);
        assert!(
            connected
                .map(|known| known.session.clone())
                .eq((0..SESSIONS).map(|n| Some(session(n))))
        );
    }
}
