//! What hubs tell each other of a room: each those who are here with it.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Instant,
};

use common::{Member, MemberId, SessionId, StateKind};

use super::{Here, Mark, States, sessions::Session};
use crate::{
    mailbox::Mailbox,
    peers::{AGAIN, HubId, Known, Shown, Step, Telling, Told},
};

/// What this hub tells the others, and how far it knows theirs.
#[derive(Debug)]
pub(super) struct Share {
    telling: Telling,
    /// Who is to be told of.
    untold: BTreeSet<MemberId>,
    is_asked: bool,
    told_at: Option<Instant>,
    /// How far the share of each other hub is known.
    known: HashMap<HubId, Known<MemberId>>,
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

    /// A hub tells another list of sessions that take letters than before. One that came to another hub since is there.
    fn list_mail(
        &mut self,
        hub: HubId,
        before: &[SessionId],
        now: &[SessionId],
        others: &[(HubId, Shown)],
    ) {
        for session in before.iter().filter(|session| !now.contains(session)) {
            if self.mailboxes.get(session) != Some(&hub) {
                continue;
            }
            match others.iter().find(|(at, shown)| *at != hub && shown.mail.contains(session)) {
                Some((at, _)) => _ = self.mailboxes.insert(session.clone(), *at),
                None => _ = self.mailboxes.remove(session),
            }
        }
        for session in now.iter().filter(|session| !before.contains(session)) {
            self.mailboxes.insert(session.clone(), hub);
        }
    }
}

impl Here {
    /// Takes what its sessions here have declared elsewhere, where that was later; whether it was.
    pub(super) fn hear(&mut self) -> bool {
        let Self { sessions, elsewhere, .. } = self;
        let heard = elsewhere.iter().map(|(_, shown)| sessions.hear(&shown.declared));
        heard.fold(false, |any, is_new| any | is_new)
    }

    /// What a session here declares of itself.
    pub(super) fn declare(
        &mut self,
        session: Option<&SessionId>,
        at: u64,
        declare: impl FnOnce(&mut Session),
    ) {
        let known = self.elsewhere.iter().flat_map(|(_, shown)| &shown.declared);
        let known = known.filter(|known| Some(&known.session) == session).map(|known| known.at);
        let known = known.max().unwrap_or(0);
        self.sessions.declare(session, at, known, declare);
    }

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
            declared: self.sessions.declared(),
        })
    }
}

impl States {
    /// From now on other hubs are to be told of who is here.
    pub(crate) fn share(&mut self, own: HubId, life: u64) {
        self.share = Some(Share {
            telling: Telling::new(own, life),
            untold: self.here.keys().cloned().collect(),
            is_asked: false,
            told_at: None,
            known: HashMap::new(),
            mailboxes: HashMap::new(),
        });
    }

    /// Somebody wants to know all of it.
    pub(crate) fn ask(&mut self) {
        if let Some(share) = &mut self.share {
            share.is_asked = true;
        }
    }

    /// What others are to be told now, or told again, in parts; nothing where nobody was ever here.
    pub(crate) fn take_share(&mut self, now: Instant) -> Vec<ToldOfMembers> {
        let Some(share) = self.share.as_mut() else { return Vec::new() };
        let is_again = share.told_at.is_some_and(|at| now.duration_since(at) >= AGAIN);
        let is_new = share.telling.is_new();
        if is_new && share.untold.is_empty() {
            share.is_asked = false;
            return Vec::new();
        }
        if !share.has_changed() && !is_again {
            return Vec::new();
        }
        let is_whole = std::mem::take(&mut share.is_asked) || is_new;
        let untold = std::mem::take(&mut share.untold);
        share.told_at = Some(now);
        let ids: Vec<_> =
            if is_whole { self.here.keys().cloned().collect() } else { Vec::from_iter(untold) };
        let (mut set, mut gone) = (Vec::new(), Vec::new());
        for id in ids {
            match self.here.get(&id).and_then(Here::shown) {
                Some(shown) => set.push((id, shown)),
                None if is_whole => {}
                None => gone.push(id),
            }
        }
        share.telling.tell(is_whole, set, gone)
    }

    /// Hears of whom another hub tells; whether something before it was missed.
    pub(crate) fn hear(&mut self, told: ToldOfMembers, now: Instant) -> bool {
        let Some(share) = &mut self.share else { return false };
        let hub = told.hub;
        let known = share.known.entry(hub).or_insert_with(|| Known::nothing(now));
        let all = match known.hear(&told, now) {
            Step::Missed => return true,
            Step::Old => return false,
            Step::Last(all) => Some(all),
            Step::Next => None,
        };
        told.set.into_iter().for_each(|(id, shown)| self.show(hub, &id, Some(shown)));
        told.gone.iter().for_each(|id| self.show(hub, id, None));
        if let Some(all) = all {
            // Nobody else is there.
            let gone = self.of_hub(hub).filter(|(id, _)| !all.contains(*id));
            let gone: Vec<_> = gone.map(|(id, _)| id.clone()).collect();
            gone.iter().for_each(|id| self.show(hub, id, None));
        }
        false
    }

    fn of_hub(&self, hub: HubId) -> impl Iterator<Item = (&MemberId, &Here)> {
        self.here.iter().filter(move |(_, here)| here.elsewhere.iter().any(|(at, _)| *at == hub))
    }

    /// The hubs that have not told of this room for so long that they do not any more.
    pub(crate) fn silent(&self, now: Instant) -> Vec<HubId> {
        let known = self.share.iter().flat_map(|share| &share.known);
        let is_silent = |known: &Known<_>| now.saturating_duration_since(known.at) >= 3 * AGAIN;
        let silent = known.filter(|(_, known)| is_silent(known));
        silent.map(|(hub, _)| *hub).collect()
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
        let knows = |share: &Share, hub| share.known.get(hub).is_some_and(Known::is_any);
        self.share.as_ref().is_none_or(|share| hubs.iter().all(|hub| knows(share, hub)))
    }

    /// Where others leave something for `session`: where it is connected, if it has been at several hubs.
    pub(crate) fn place(&self, session: &SessionId) -> Option<Place> {
        let there = self.share.as_ref().and_then(|share| share.mailboxes.get(session));
        let there = there.map(|hub| Place::At(*hub));
        if there.is_some() && !self.is_connected(session) {
            return there;
        }
        self.mailbox(session).map(Place::Here).or(there)
    }

    fn is_connected(&self, session: &SessionId) -> bool {
        let here = self.mailboxes.get(session).and_then(|id| self.here.get(id));
        here.is_some_and(|here| here.sessions.is_connected_as(session))
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
            let mail =
                |shown: Option<&Shown>| shown.map(|shown| shown.mail.clone()).unwrap_or_default();
            share.list_mail(hub, &mail(before.as_ref()), &mail(shown.as_ref()), &here.elsewhere);
        }
        here.elsewhere.extend(shown.map(|shown| (hub, shown)));
        let is_new = here.hear();
        if here.elsewhere.is_empty() && !here.is_own() {
            self.here.remove(id);
        }
        if is_new {
            self.look(id);
        }
        self.list_anew(id);
    }
}
