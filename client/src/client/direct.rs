//! What is for one person goes to them directly where it can: to their one page, from this one.
//!
//! One that has several pages open, or another one of mine, would miss it there: then it goes through the hub, which
//! keeps it. The rule to keep: whichever way, under the same id, so that going both shows it once.

use std::collections::{HashMap, HashSet};

use common::{
    Audience, ClientFrame, Member, MemberId, Message, MessageId, Offset, SessionId, StateKind,
};

use super::Client;
use crate::{
    Change, Effect, FileEvent, Millis, Road,
    direct::{Direct, Out},
};

/// How long something that has come directly waits for what was said before it, in milliseconds.
const EARLY_MS: Millis = 5_000;
/// How much of it waits at the most.
const EARLY: usize = 100;

/// Something that has come directly, before what its sender has said through the hub.
#[derive(Clone, Debug)]
pub(super) struct Early {
    /// Its offset is that of what was said before it.
    message: Message,
    pub(super) until: Millis,
}

impl Client {
    /// What is written now is for this member alone, or for all again.
    pub(super) fn address(&mut self, member: Option<MemberId>) {
        self.addressee = member;
        self.reach_addressee();
    }

    /// Has a connection made to the one that is written to.
    pub(super) fn reach_addressee(&mut self) {
        let Some((session, member)) = self.addressee.as_ref().and_then(|id| self.page_of(id))
        else {
            return;
        };
        self.direct(|direct, now| direct.want(&session, &member, now));
    }

    /// Nobody tries to reach pages that are gone.
    pub(super) fn forget_who_left(&mut self) {
        let direct = &self.told.rosters.of(StateKind::Direct).members;
        let there: HashSet<_> = direct.iter().flat_map(|listed| listed.sessions.clone()).collect();
        let pages = direct.iter().filter_map(|listed| self.page_of(&listed.id));
        let pages: HashMap<_, _> = pages.map(|(session, member)| (member.id, session)).collect();
        let page_of = |member: &MemberId| pages.get(member).cloned();
        self.direct(|direct, now| direct.keep(|session| there.contains(session), page_of, now));
    }

    /// How what is written to them goes.
    pub(super) fn road(&self) -> Road {
        let page = self.addressee.as_ref().and_then(|id| self.page_of(id));
        let road = page.and_then(|(page, _)| Some(self.direct.as_ref()?.road(&page)));
        road.unwrap_or_default()
    }

    /// The one page that somebody has, if it can be reached directly, and mine is the only one of me.
    pub(super) fn page_of(&self, id: &MemberId) -> Option<(SessionId, Member)> {
        let listed = |id: &MemberId| {
            let mut direct = self.told.rosters.of(StateKind::Direct).members.iter();
            let found = direct.find(|listed| listed.id == *id)?;
            let [session] = found.sessions.as_slice() else { return None };
            Some((session.clone(), found.member.clone()))
        };
        let me = self.me.as_ref().filter(|me| me.id != *id)?;
        listed(&me.id).and_then(|_| listed(id))
    }

    /// The page that all of an audience but me are at, if there is a way to it now.
    fn way_to(&self, to: &Audience) -> Option<SessionId> {
        let (Audience::Only(ids), Some(me)) = (to, &self.me) else { return None };
        let mut others = ids.iter().filter(|id| *id != me.id.as_str());
        let (Some(other), None) = (others.next(), others.next()) else { return None };
        let (page, _) = self.page_of(&MemberId::parse(other).ok()?)?;
        (self.direct.as_ref()?.road(&page) == Road::Direct).then_some(page)
    }

    /// Sends what is next in the outbox directly, if it may go so.
    pub(super) fn pump_direct(&mut self) {
        let to = self.outbox.next_for(self.now).cloned();
        if let Some(page) = to.and_then(|to| self.way_to(&to))
            && let Some(publish) = self.outbox.next_direct(self.now)
        {
            // What was said before arrives before; if the other side gets it at all.
            let same =
                |to: &Audience| matches!(to, Audience::All | Audience::Others) || *to == publish.to;
            let after = self.said_last.as_ref().filter(|(_, to)| same(to));
            let after = after.map_or(Offset(0), |(offset, _)| *offset);
            self.direct(|direct, _| direct.say(&page, publish, after));
        }
    }

    /// Takes what has come directly once what was said before it has come through the hub, or will not.
    pub(super) fn take_early(&mut self) {
        while let Some(early) = self.early.pop_front() {
            let after = early.message.offset;
            let is_ahead = after > Offset(0) && self.timeline.is_ahead(after);
            if is_ahead && self.now < early.until && self.early.len() < EARLY {
                return self.early.push_front(early);
            }
            let mut message = early.message;
            if is_ahead && self.is_open() {
                // It was never there.
                message.offset = Offset(0);
            }
            if self.timeline.direct(message.clone()) {
                let message = message.into();
                self.tell(Change::Arrived { message, mine: false });
            }
        }
    }

    /// Something happened with a file, or is wanted with it.
    pub(super) fn file(&mut self, id: &MessageId, event: FileEvent) {
        let to = match &event {
            FileEvent::Offer { to, .. } => {
                let page = self.page_of(&to.id);
                Some((page.map(|(session, _)| session), to.clone()))
            }
            _ => None,
        };
        self.direct(|direct, now| direct.file(id, event, to, now));
    }

    /// Tells the machine something, and does what comes of it.
    pub(super) fn direct(&mut self, tell: impl FnOnce(&mut Direct, Millis)) {
        let Some(direct) = &mut self.direct else { return };
        tell(direct, self.now);
        for out in direct.take() {
            match out {
                Out::Link(link, what) => self.effects.push_back(Effect::Link { link, what }),
                Out::Signal(to, data) => self.send(ClientFrame::Signalling { to, data }),
                Out::Said(from, publish, after) => {
                    let (Some(id), Some(me)) = (publish.id, self.me.clone()) else { continue };
                    // It may go by another name by now.
                    let members = &self.told.rosters.of(StateKind::Members).members;
                    let listed = members.iter().find(|listed| listed.id == from.id);
                    let from = listed.map_or(from, |listed| listed.member.clone());
                    let message = Message {
                        offset: after,
                        value: publish.value,
                        id,
                        room: self.place.room.clone(),
                        at: self.now - self.set_back,
                        event: publish.event,
                        // Whatever the other page says: nobody else has it.
                        to: Audience::Only(vec![from.id.to_string(), me.id.to_string()]),
                        from,
                        of: None,
                        edited: None,
                        reactions: Vec::new(),
                    };
                    self.early.push_back(Early { message, until: self.now + EARLY_MS });
                    self.take_early();
                }
                Out::Taken(id) => {
                    if let Some(message) = self.outbox.taken(&id) {
                        self.timeline.direct(Message::clone(&message));
                    }
                }
                Out::Lost => self.outbox.relay(),
                Out::File(id, what) => self.effects.push_back(Effect::File { id, what }),
                Out::Files(files) => self.tell(Change::Files(files)),
            }
        }
        self.pump();
    }
}

#[cfg(test)]
mod tests;
