//! What hubs tell each other of a room: each those who are here with it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Instant,
};

use common::{Member, MemberId, SessionId, StateKind};

use super::{Here, Mark, States};
use crate::{
    mailbox::Mailbox,
    peers::{AGAIN, HubId, Known, Shown, Step, Told},
};

/// What this hub tells the others, and how far it knows theirs.
#[derive(Debug)]
pub(super) struct Share {
    own: HubId,
    life: u64,
    version: u64,
    /// Who is to be told of.
    untold: BTreeSet<MemberId>,
    is_asked: bool,
    told_at: Option<Instant>,
    known: HashMap<HubId, Known>,
    /// At which other hub a session takes what others send to it alone.
    mailboxes: HashMap<SessionId, HubId>,
}

/// Where a session takes what others send to it alone.
pub(crate) enum Place {
    Here(Arc<Mailbox>),
    At(HubId),
}

type ToldOfMembers = Told<MemberId, Shown>;

impl Share {
    pub(super) fn touch(&mut self, id: &MemberId) {
        self.untold.insert(id.clone());
    }

    pub(super) fn has_changed(&self) -> bool {
        self.is_asked || !self.untold.is_empty()
    }
}

impl Here {
    /// What other hubs are told of it; nothing, if it is not here at this one.
    fn shown(&self) -> Option<Shown> {
        let is = |kind: StateKind| self.marks[kind as usize] != Mark::Off;
        let direct = self.sessions.direct();
        let all_direct = !direct.is_empty() || self.sessions.is_empty();
        self.is_own().then(|| Shown {
            name: self.name.clone(),
            named: self.named,
            typing: is(StateKind::Typing),
            idle: is(StateKind::Idle),
            direct: all_direct.then_some(direct),
            call: self.sessions.in_call(),
            mail: self.sessions.with_mailbox(),
        })
    }
}

impl States {
    /// From now on other hubs are to be told of who is here.
    pub(crate) fn share(&mut self, own: HubId, life: u64) {
        let (known, mailboxes) = (HashMap::new(), HashMap::new());
        let untold = self.here.keys().cloned().collect();
        let (version, is_asked, told_at) = (0, false, None);
        self.share =
            Some(Share { own, life, version, untold, is_asked, told_at, known, mailboxes });
    }

    /// Somebody wants to know all of it.
    pub(crate) fn ask(&mut self) {
        if let Some(share) = &mut self.share {
            share.is_asked = true;
        }
    }

    /// What others are to be told now, or told again; nothing where nobody was ever here.
    pub(crate) fn take_share(&mut self, now: Instant) -> Option<ToldOfMembers> {
        let share = self.share.as_mut()?;
        let is_again = share.told_at.is_some_and(|at| now.duration_since(at) >= AGAIN);
        let is_new = share.version == 0;
        if is_new && share.untold.is_empty() {
            share.is_asked = false;
            return None;
        }
        if !share.has_changed() && !is_again {
            return None;
        }
        let is_whole = std::mem::take(&mut share.is_asked) || is_new;
        let untold = std::mem::take(&mut share.untold);
        let base = if is_whole { 0 } else { share.version };
        share.version += u64::from(is_whole || !untold.is_empty());
        share.told_at = Some(now);
        let ids: Vec<_> =
            if is_whole { self.here.keys().cloned().collect() } else { Vec::from_iter(untold) };
        let (mut set, mut gone) = (Vec::new(), Vec::new());
        for id in ids {
            match self.here.get(&id).and_then(Here::shown) {
                Some(shown) => set.push((id, shown)),
                None => gone.push(id),
            }
        }
        if is_whole {
            gone.clear();
        }
        Some(Told { hub: share.own, life: share.life, base, version: share.version, set, gone })
    }

    /// Hears of whom another hub tells; whether something before it was missed.
    pub(crate) fn hear(&mut self, told: ToldOfMembers) -> bool {
        let Some(share) = &mut self.share else { return false };
        let hub = told.hub;
        match told.step(share.known.get(&hub).copied()) {
            Step::Old => return false,
            Step::Missed => return true,
            Step::Next => {}
            Step::Whole => {
                let still: HashSet<_> = told.set.iter().map(|(id, _)| id).collect();
                let of_hub = |here: &Here| here.elsewhere.iter().any(|(at, _)| *at == hub);
                let gone =
                    self.here.iter().filter(|(id, here)| !still.contains(id) && of_hub(here));
                let gone: Vec<_> = gone.map(|(id, _)| id.clone()).collect();
                gone.iter().for_each(|id| self.show(hub, id, None));
            }
        }
        if let Some(share) = &mut self.share {
            share.known.insert(hub, (told.life, told.version));
        }
        for (id, shown) in told.set {
            self.show(hub, &id, Some(shown));
        }
        told.gone.iter().for_each(|id| self.show(hub, id, None));
        false
    }

    /// Another hub is gone. Who was there is expected here or elsewhere until then.
    pub(crate) fn lose(&mut self, hub: HubId, until: Instant) {
        let of_hub = |here: &Here| here.elsewhere.iter().any(|(at, _)| *at == hub);
        let lost = self.here.iter().filter(|(_, here)| of_hub(here));
        let lost: Vec<_> =
            lost.map(|(id, here)| Member { id: id.clone(), name: here.name.clone() }).collect();
        for member in lost {
            let is_own = self.here.get(&member.id).is_some_and(Here::is_own);
            if !is_own {
                self.mark(&member.id, StateKind::Members, Mark::Until(until));
            }
            self.show(hub, &member.id, None);
        }
        if let Some(share) = &mut self.share {
            share.known.remove(&hub);
        }
    }

    /// Whether all of these hubs have told of who is there with them.
    pub(crate) fn knows(&self, hubs: &[HubId]) -> bool {
        self.share.as_ref().is_none_or(|share| hubs.iter().all(|hub| share.known.contains_key(hub)))
    }

    /// Where others leave something for `session`.
    pub(crate) fn place(&self, session: &SessionId) -> Option<Place> {
        if let Some(mailbox) = self.mailbox(session) {
            return Some(Place::Here(mailbox));
        }
        Some(Place::At(*self.share.as_ref()?.mailboxes.get(session)?))
    }

    /// What another hub tells of a member; nothing, if it is not there any more.
    fn show(&mut self, hub: HubId, id: &MemberId, shown: Option<Shown>) {
        if let Some(shown) = &shown {
            self.here_or_new(&Member { id: id.clone(), name: shown.name.clone() });
        }
        let Some(here) = self.here.get_mut(id) else { return };
        let before = here.elsewhere.iter().position(|(at, _)| *at == hub);
        let before = before.map(|at| here.elsewhere.swap_remove(at).1);
        // The name that came later counts, wherever that was; of two at once all choose the same.
        if let Some(shown) = &shown
            && (shown.named, &shown.name) > (here.named, &here.name)
        {
            (here.named, here.name) = (shown.named, shown.name.clone());
        }
        if let Some(share) = &mut self.share {
            let mail = |shown: &Shown| {
                BTreeMap::from_iter(shown.mail.iter().map(|session| (session.clone(), hub)))
            };
            for session in before.iter().flat_map(|before| &before.mail) {
                share.mailboxes.remove(session);
            }
            share.mailboxes.extend(shown.iter().flat_map(mail));
        }
        here.elsewhere.extend(shown.map(|shown| (hub, shown)));
        if here.elsewhere.is_empty() && !here.is_own() {
            self.here.remove(id);
        }
        self.list_anew(id);
    }
}
