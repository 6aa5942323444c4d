//! The room's call: who is in it is told by the server, and each of them is connected with each.
//!
//! The rule to keep: nobody is connected for it who has not joined it.

use std::collections::HashMap;

use common::{ClientFrame, ErrorCode, Member, Refusal, SessionId, StateKind, name::public_part};

use super::Client;
use crate::{Change, Media, Party};

impl Client {
    /// Is in the call from now on, or no more.
    pub(super) fn call(&mut self, call: bool) {
        if self.direct.is_some() && self.in_call != call {
            self.in_call = call;
            self.send(ClientFrame::Call { call });
            self.meet_call();
        }
    }

    /// Others hear and see this of me.
    pub(super) fn present_media(&mut self, media: Media) {
        self.direct(|direct, _| direct.show(media));
    }

    /// Something was refused: if that was being in the call, I am not.
    pub(super) fn refused(&mut self, refusal: Refusal) {
        if refusal.code == ErrorCode::CallFull {
            self.in_call = false;
            self.meet_call();
        }
        self.tell(Change::Refused(refusal));
    }

    /// Connects with those who are in it, if I am, and with nobody else.
    pub(super) fn meet_call(&mut self) {
        let with = self.in_call.then(|| self.others_in_call());
        let page = self.addressee.as_ref().and_then(|id| self.page_of(id));
        let page = page.map(|(session, _)| session);
        self.direct(|direct, now| direct.call(with.as_ref(), page.as_ref(), now));
    }

    /// Who is in it is told. If that is I, and I am not, it is this page before it was loaded again.
    pub(super) fn hear_of_call(&mut self) {
        let is_listed = self.all_in_call().any(|(session, _)| self.is_mine(session));
        if !self.in_call && is_listed {
            self.send(ClientFrame::Call { call: false });
        }
        self.meet_call();
    }

    fn others_in_call(&self) -> HashMap<SessionId, Member> {
        let others = self.all_in_call().filter(|(session, _)| !self.is_mine(session));
        others.map(|(session, member)| (session.clone(), member.clone())).collect()
    }

    fn all_in_call(&self) -> impl Iterator<Item = (&SessionId, &Member)> {
        let listed = self.told.rosters.of(StateKind::Call).members.iter();
        listed.flat_map(|listed| listed.sessions.iter().map(|session| (session, &listed.member)))
    }

    fn is_mine(&self, session: &SessionId) -> bool {
        self.session.as_deref().map(public_part) == Some(session.public())
    }

    /// The others, as they are to be shown; by name.
    pub(super) fn parties(&self) -> Option<Vec<Party>> {
        let direct = self.direct.as_ref().filter(|_| self.in_call)?;
        let party = |(session, member)| {
            let (link, road, media) = direct.called(&session);
            Party { session, member, link, road, media }
        };
        let mut parties: Vec<_> = self.others_in_call().into_iter().map(party).collect();
        parties.sort_unstable_by(|a, b| {
            let key = |party: &Party| (party.member.name.to_string(), party.session.to_string());
            key(a).cmp(&key(b))
        });
        Some(parties)
    }
}
