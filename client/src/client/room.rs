//! What is said in the room, and what is known of it: what a person does, and what the server tells.

use std::sync::Arc;

use common::{
    ClientFrame, Hello, Member, MemberId, MemberName, Message, MessageId, Offset, Publish,
    Recovery, Roster, ServerFrame, StateKind, name::public_part,
};

use super::{Client, kept::SESSION};
use crate::{Change, Happening, connection::Input};

impl Client {
    pub(super) fn say(&mut self, publish: Publish) {
        let Some(id) = publish.id else { return };
        if self.outbox.has(&id) {
            return;
        }
        if self.timeline.knows(&id) {
            let said = self.timeline.offset_of(&id).map(|offset| Change::Taken { id, offset });
            return said.into_iter().for_each(|taken| self.tell(taken));
        }
        let message = Message {
            offset: Offset(0),
            value: publish.value,
            id,
            room: self.place.room.clone(),
            at: self.now - self.set_back,
            from: self.me.clone().unwrap_or_else(nobody),
            event: publish.event,
            to: publish.to,
            of: publish.of,
            edited: None,
            reactions: Vec::new(),
        };
        self.outbox.push(message);
        self.habits.said();
        self.pump();
    }

    pub(super) fn typing(&mut self, typing: bool) {
        let is_news = match typing {
            true => self.is_open() && self.habits.typing(self.now),
            false => self.habits.cleared() && self.is_open(),
        };
        if is_news {
            self.send(ClientFrame::Typing { typing });
        }
    }

    pub(super) fn look(&mut self, idle: bool) {
        if self.habits.look(idle) {
            self.send(ClientFrame::Idle { idle });
        }
    }

    pub(super) fn rename(&mut self, name: MemberName) {
        self.name = Some(name.clone());
        if let Some(me) = &self.me {
            let me = Member { name: name.clone(), ..me.clone() };
            self.i_am(me);
        }
        self.send(ClientFrame::Rename { name: name.clone() });
        self.tell(Change::Renamed(name));
    }

    /// Sends what is next in the outbox, and keeps what is in it.
    pub(super) fn pump(&mut self) {
        self.pump_direct();
        if self.is_open()
            && let Some(publish) = self.outbox.next(self.now)
        {
            self.send(ClientFrame::Message(publish));
        }
        self.keep_outbox();
    }

    pub(super) fn send(&mut self, frame: ClientFrame) {
        if !self.is_open() {
            return;
        }
        if self.view {
            self.note(Happening::Sent(frame.encode()));
        }
        if let Some(leg) = &mut self.present {
            leg.send(frame, &mut self.effects);
        }
    }

    /// Takes a frame of the present leg, or of one beside it that reads the same log.
    pub(super) fn take(&mut self, frame: ServerFrame) {
        match frame {
            ServerFrame::Message(message) => self.take_message(message),
            ServerFrame::Ack { id, offset } => {
                if let Some(mut message) = self.outbox.taken(&id) {
                    self.said_last = Some((offset, message.to.clone()));
                    let said = Arc::make_mut(&mut message);
                    said.offset = offset;
                    // It may have been written before it was known who we are.
                    said.from = self.me.clone().unwrap_or_else(nobody);
                    self.timeline.acked(message);
                    self.tell(Change::Taken { id, offset });
                }
                self.pump();
            }
            ServerFrame::Error(refusal) => {
                let parked = self.outbox.refused(&refusal, self.now);
                let names_mine =
                    |id: &String| MessageId::parse(id).is_ok_and(|id| self.outbox.has(&id));
                match parked {
                    Some(id) => self.tell(Change::Parked { id, refusal }),
                    None if refusal.id.as_ref().is_some_and(names_mine) => {}
                    None => self.refused(refusal),
                }
                self.pump();
            }
            ServerFrame::Bye(bye) if bye.is_final() => self.step(Input::Over),
            ServerFrame::Bye(bye) => self.step(Input::Bye { reconnect_in_ms: bye.reconnect_in_ms }),
            // These belong to the leg they came on.
            ServerFrame::Hello(_) | ServerFrame::State(..) | ServerFrame::Beat {} => {}
            ServerFrame::Terms(terms) => self.tell(Change::Terms(terms)),
            ServerFrame::Signalling(signalling) => {
                self.direct(|direct, now| direct.signalled(signalling, now));
            }
        }
    }

    fn take_message(&mut self, message: Message) {
        let mine = self.me.as_ref().is_some_and(|me| me.id == message.from.id);
        let ahead = self.timeline.is_ahead(message.offset);
        let (id, offset, to) = (message.id.clone(), message.offset, message.to.clone());
        // It may have come directly before.
        let shown = self.timeline.has_direct(&id);
        let taken = self.outbox.taken(&id).is_some();
        self.timeline.receive(message.clone());
        if taken {
            self.said_last = Some((offset, to));
            self.tell(Change::Taken { id, offset });
        }
        if ahead && !shown {
            self.tell(Change::Arrived { message: message.into(), mine });
        }
        self.take_early();
        self.pump();
    }

    /// The server has said hello on the present leg; `fresh` if for the first time.
    pub(super) fn take_hello(&mut self, hello: Hello, fresh: bool) {
        if !fresh && self.timeline.has_read(&hello.position) {
            // What is gone there was read on the leg beside it.
            return;
        }
        if hello.recovery == Recovery::Reset {
            // Numbers may begin again.
            self.said_last = None;
        }
        self.timeline.hello(hello.position.clone(), hello.recovery);
        if fresh {
            self.outbox.reconnected();
        }
        self.step(Input::Hello);
        self.carries();
        if self.session.as_deref() != Some(hello.session.as_str()) {
            self.session = Some(hello.session.to_string());
            self.keep(SESSION, hello.session.as_str());
        }
        let lost = self.me.as_ref().is_some_and(|me| me.id != hello.member.id);
        let member = hello.member.clone();
        self.tell(Change::Terms(hello.terms));
        self.tell(Change::Hello(hello));
        self.i_am(member.clone());
        match &self.name {
            Some(name) if *name == member.name => {}
            // A server that has lost its key knows me neither by id nor by name.
            Some(name) if lost || !self.name_is_kept => self.rename(name.clone()),
            Some(_) => self.name = Some(member.name),
            None => {}
        }
        let me = self.session.as_deref().map(public_part).unwrap_or_default().to_owned();
        self.direct(|direct, now| direct.be(&me, now));
        if fresh {
            self.greet();
        }
        self.pump();
    }

    /// Tells a leg that has become the present one what it does not know, and shows what it told.
    pub(super) fn greet(&mut self) {
        if let Some(idle) = self.habits.idle() {
            self.send(ClientFrame::Idle { idle });
        }
        if self.direct.is_some() {
            self.send(ClientFrame::Direct { direct: true });
        }
        // Without me in it the list is not whole; those who are in it are told soon.
        match self.in_call {
            true => self.send(ClientFrame::Call { call: true }),
            false => self.show_roster(StateKind::Call),
        }
        for kind in [StateKind::Typing, StateKind::Idle, StateKind::Direct] {
            self.show_roster(kind);
        }
    }

    /// Something is told of the members on the present leg (`is_present`) or beside it.
    pub(super) fn take_roster(&mut self, kind: StateKind, roster: Roster, is_present: bool) {
        let leg = if is_present { &mut self.present } else { &mut self.probe };
        if let Some(leg) = leg {
            leg.rosters.apply(kind, roster);
        }
        if is_present {
            self.show_roster(kind);
        }
    }

    /// Tells a list as the present leg has it; nobody is known to write where there is none.
    pub(super) fn show_roster(&mut self, kind: StateKind) {
        let none = Default::default();
        let now = self.present.as_ref().map_or(&none, |leg| &leg.rosters);
        if !self.told.rosters.copy(kind, now) {
            return;
        }
        let members = self.told.rosters.of(kind).clone();
        // Another tab of mine may have changed my name.
        let me = self.me.as_ref().map(|me| &me.id);
        if let Some(found) = members.members.iter().find(|member| Some(&member.id) == me) {
            let found = found.member.clone();
            if self.name_is_kept && self.name.is_some() {
                self.name = Some(found.name.clone());
            }
            self.i_am(found);
        }
        self.tell(Change::Roster(kind, members));
        if kind == StateKind::Direct {
            self.forget_who_left();
            self.reach_addressee();
        }
        if kind == StateKind::Call {
            self.hear_of_call();
        }
    }

    fn i_am(&mut self, member: Member) {
        if self.me.as_ref() != Some(&member) {
            self.me = Some(member.clone());
            self.tell(Change::Me(member));
        }
    }
}

/// Who says something before the server has said who that is.
fn nobody() -> Member {
    let id = MemberId::parse("me").expect("it is neither empty nor long");
    let name = MemberName::parse("me").expect("it is neither empty nor long");
    Member { id, name }
}
