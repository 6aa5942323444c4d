//! One list of members, and what is told of it: the whole, or the difference to what was told before.
//!
//! Of a long list those are told who have been on it longest: whoever comes to it then changes its count, and
//! nothing else.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque},
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use common::{Listed, Member, MemberId, Members, Roster, StateKind, state::LISTED};

use crate::StateFrame;

/// Lists of up to so many members are always told whole: then a client need not keep one.
const WHOLE: usize = 16;
/// How many differences are kept for readers that take them late; after that they get the whole list.
const KEPT: usize = 8;

#[derive(Debug, Default)]
pub(super) struct Listing {
    /// In the order in which they came.
    members: BTreeMap<u64, Listed>,
    came: HashMap<MemberId, u64>,
    next: u64,
    changed: bool,
    /// Nothing is told of it.
    hidden: bool,
    /// What was told last, and how often something was.
    told: Members,
    version: u64,
    /// What tells what was told last from any other; worked out when somebody asks for it.
    digest: Option<u64>,
    /// What was told last, whole; made when somebody asks for it.
    whole: Option<Arc<StateFrame>>,
    /// What was told when, the newest last.
    changes: VecDeque<Arc<StateFrame>>,
}

impl Listing {
    /// Puts a member on the list, or has this told of one that is there.
    pub(super) fn insert(&mut self, member: Listed) {
        let came = *self.came.entry(member.id.clone()).or_insert_with(|| {
            self.next += 1;
            self.next
        });
        let before = self.members.insert(came, member);
        self.changed |= before.as_ref() != self.members.get(&came);
    }

    pub(super) fn remove(&mut self, id: &MemberId) {
        if let Some(came) = self.came.remove(id) {
            self.members.remove(&came);
            self.changed = true;
        }
    }

    /// Whether nothing is told of it, as if nobody were on it.
    pub(super) fn hide(&mut self, hidden: bool) {
        self.changed |= self.hidden != hidden;
        self.hidden = hidden;
    }

    pub(super) fn has_changed(&self) -> bool {
        self.changed
    }

    /// How many there are, and those who came first, by name.
    pub(super) fn present(&self) -> Members {
        let mut members: Vec<_> = self.members.values().take(LISTED).cloned().collect();
        members.sort_unstable_by(|a, b| a.sort_key().cmp(&b.sort_key()));
        Members { count: self.members.len(), members }
    }

    /// What may be told of them.
    pub(super) fn shown(&self) -> Members {
        if self.hidden { Members::default() } else { self.present() }
    }

    pub(super) fn shown_count(&self) -> usize {
        if self.hidden { 0 } else { self.members.len() }
    }

    pub(super) fn all(&self) -> Vec<Member> {
        self.members.values().map(|listed| listed.member.clone()).collect()
    }

    /// Works out what is to be told now; false if that is nothing.
    pub(super) fn tick(&mut self, kind: StateKind) -> bool {
        if !std::mem::take(&mut self.changed) {
            return false;
        }
        let now = self.shown();
        if now == self.told {
            return false;
        }
        let before = std::mem::replace(&mut self.told, now);
        self.version += 1;
        (self.whole, self.digest) = (None, None);
        let frame = match self.told.members.len() {
            ..=WHOLE => self.whole(kind),
            _ => {
                let change = StateFrame::new(kind, change(&before, &self.told));
                let whole = self.whole(kind);
                if change.frame.bytes().len() < whole.frame.bytes().len() { change } else { whole }
            }
        };
        self.changes.push_back(frame);
        if self.changes.len() > KEPT {
            self.changes.pop_front();
        }
        true
    }

    /// What a reader that has taken this version has taken, if nothing was told since: another hub that tells just that has
    /// the same.
    pub(super) fn digest(&mut self, version: u64) -> Option<u64> {
        (version == self.version).then(|| *self.digest.get_or_insert_with(|| digest(&self.told)))
    }

    /// The version in which a reader has taken all that was told, which at another hub had this digest.
    pub(super) fn version_of(&mut self, digest: u64) -> Option<u64> {
        let version = self.version;
        (self.digest(version) == Some(digest)).then_some(version)
    }

    fn whole(&mut self, kind: StateKind) -> Arc<StateFrame> {
        let told = &self.told;
        let make = || StateFrame::new(kind, Roster::whole(told.clone()));
        self.whole.get_or_insert_with(make).clone()
    }

    /// What is newer than what `seen` says was taken: the differences since, or the whole list for whoever
    /// has taken none, or not for long.
    pub(super) fn take(&mut self, kind: StateKind, seen: &mut Option<u64>) -> Vec<Arc<StateFrame>> {
        let before = seen.replace(self.version);
        let missed = before.and_then(|before| self.version.checked_sub(before));
        match missed {
            Some(missed) if missed <= self.changes.len() as u64 => {
                let taken = self.changes.len() - missed as usize;
                self.changes.range(taken..).cloned().collect()
            }
            // What is not so of anybody need not be said, except of being here.
            None if before.is_none() && self.told.count == 0 && kind != StateKind::Members => {
                Vec::new()
            }
            _ => vec![self.whole(kind)],
        }
    }
}

/// The same for the same members with the same sessions, whichever came first.
fn digest(told: &Members) -> u64 {
    let mut hasher = DefaultHasher::new();
    told.count.hash(&mut hasher);
    for Listed { member, sessions } in &told.members {
        let sessions: BTreeSet<_> = sessions.iter().collect();
        (member, sessions).hash(&mut hasher);
    }
    hasher.finish()
}

/// What makes `now` of `before`.
fn change(before: &Members, now: &Members) -> Roster {
    let known: HashSet<&Listed> = before.members.iter().collect();
    let ids: HashSet<&MemberId> = now.members.iter().map(|member| &member.id).collect();
    Roster {
        count: now.count,
        members: None,
        came: now.members.iter().filter(|member| !known.contains(member)).cloned().collect(),
        went: before
            .members
            .iter()
            .filter(|member| !ids.contains(&member.id))
            .map(|member| member.id.clone())
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use common::{MemberName, ServerFrame};
    use proptest::prelude::*;

    use super::*;

    fn member(n: usize) -> Listed {
        Member { id: id(n), name: MemberName::parse(&format!("guest-{n:05}")).unwrap() }.into()
    }

    fn id(n: usize) -> MemberId {
        MemberId::parse(&format!("{n:032}")).unwrap()
    }

    fn read(frame: &StateFrame) -> Roster {
        let text = std::str::from_utf8(frame.frame.bytes()).unwrap();
        match ServerFrame::parse(text).unwrap().unwrap() {
            ServerFrame::State(StateKind::Members, roster) => roster,
            other => panic!("{other:?}"),
        }
    }

    const KIND: StateKind = StateKind::Members;

    #[test]
    fn a_join_in_a_large_room_is_told_in_a_few_bytes() {
        let mut list = Listing::default();
        (0..10_000).rev().for_each(|n| list.insert(member(n)));
        list.tick(KIND);
        let mut seen = None;
        assert_eq!(read(&list.take(KIND, &mut seen)[0]).members.unwrap().len(), LISTED);
        list.insert(member(20_000));
        assert!(list.tick(KIND));
        let told = list.take(KIND, &mut seen);
        assert_eq!(told[0].frame.bytes(), r#"{"type":"members","params":{"count":10001}}"#);
        assert_eq!(list.take(KIND, &mut seen).len(), 0);
        // Only who is on the list is told by name.
        list.remove(&id(9_990));
        list.tick(KIND);
        let Roster { count, members, came, went } = read(&list.take(KIND, &mut seen)[0]);
        assert_eq!(
            (count, members, came, went),
            (10_000, None, vec![member(9_899)], vec![id(9_990)])
        );
    }

    #[test]
    fn a_small_list_is_always_told_whole_and_an_empty_one_only_of_being_here() {
        let mut list = Listing::default();
        assert_eq!(list.take(StateKind::Idle, &mut None).len(), 0);
        assert_eq!(read(&list.take(KIND, &mut None)[0]).members, Some(vec![]));
        // Whoever knows something that is not so any more is told.
        assert_eq!(list.take(StateKind::Idle, &mut Some(u64::MAX)).len(), 1);
        let mut seen = Some(0);
        for n in 0..WHOLE {
            list.insert(member(n));
            list.tick(KIND);
            assert_eq!(read(&list.take(KIND, &mut seen)[0]).members.unwrap().len(), n + 1);
        }
    }

    #[test]
    fn whoever_missed_a_few_changes_gets_those_and_whoever_missed_more_the_whole() {
        for (missed, told) in [(1, 1), (KEPT, KEPT), (KEPT + 1, 1)] {
            let mut list = Listing::default();
            (0..200).for_each(|n| list.insert(member(n)));
            list.tick(KIND);
            // As many changes as are kept came before.
            for n in 0..KEPT + missed {
                list.insert(member(1_000 + n));
                list.tick(KIND);
            }
            let mut seen = Some(list.version - missed as u64);
            let frames = list.take(KIND, &mut seen);
            assert_eq!((frames.len(), seen), (told, Some(list.version)));
            assert_eq!(read(&frames[0]).members.is_some(), missed > KEPT);
        }
    }

    #[test]
    fn what_changes_back_before_it_is_told_is_not_told() {
        let mut list = Listing::default();
        list.insert(member(1));
        list.remove(&id(1));
        assert!(!list.tick(KIND));
    }

    proptest! {
        /// Whenever and however late a reader takes what is told, it has the list as it was told last.
        #[test]
        fn differences_lead_to_the_whole(
            steps in prop::collection::vec((0..300_usize, any::<bool>(), 0..20_u8), 1..150),
            start in 0..250_usize,
        ) {
            let mut list = Listing::default();
            (0..start).for_each(|n| list.insert(member(n)));
            let mut readers = vec![(None, Members::default()); 3];
            for (n, comes, what) in steps {
                match comes {
                    true => list.insert(member(n)),
                    false => list.remove(&id(n)),
                }
                if what > 4 {
                    list.tick(KIND);
                }
                if let Some((seen, members)) = readers.get_mut(usize::from(what / 5)) {
                    list.take(KIND, seen).iter().for_each(|frame| members.apply(read(frame)));
                    prop_assert_eq!(&*members, &list.told);
                }
            }
        }
    }
}
