//! Which leg the client is on: opening one, hearing it, and changing over to a better one.
//!
//! Two legs may be there at once: the present one, and one with a better transport that is tried beside
//! it. Events of any other are late, and are not heard.

use common::{ErrorCode, Recovery, ServerFrame, StateKind};

use super::{
    Client,
    kept::{CARRIED, CHOSEN},
};
use crate::{
    Change, Effect, Event, Happening, Transport,
    connection::{Action, Input, Phase},
    ladder::ProbeAction,
    leg::{Heard, Leg},
    posts,
};

impl Client {
    pub(super) fn is_open(&self) -> bool {
        matches!(self.connection.phase(), Phase::Open { .. })
    }

    /// Tells the connection, and does what it says.
    pub(super) fn step(&mut self, input: Input) {
        let (now, before) = (self.now, self.connection.phase());
        let action = self.connection.step(input, now, self.jitter);
        let waits = matches!(self.connection.phase(), Phase::Waiting { .. });
        if waits && self.connection.phase() != before {
            self.jitter = self.seed.fraction();
        }
        let other_transport = match (input, action) {
            (_, Action::Abandon) => self.ladder.mute(),
            (Input::Closed, _) => self.ladder.died(now),
            (Input::Bye { .. }, _) => {
                self.ladder.dismissed();
                false
            }
            (Input::Hello, _) => {
                self.ladder.connected(now);
                false
            }
            _ => false,
        };
        match action {
            Action::None => {}
            Action::Connect => self.connect(),
            Action::Abandon => {
                self.note(Happening::Abandoned);
                self.drop_legs();
            }
            Action::Leave => self.drop_legs(),
        }
        if other_transport {
            self.step(Input::Switch);
        }
    }

    /// Uses the transport the person chooses, or leaves the choice to the ladder.
    pub(super) fn choose(&mut self, choice: Option<Transport>) {
        self.keep(CHOSEN, choice.map_or("", Transport::word));
        self.keep(CARRIED, "");
        self.drop_probe();
        let left = self.ladder.choose(choice);
        self.show_transport();
        if left {
            self.step(Input::Switch);
        }
    }

    fn connect(&mut self) {
        self.drop_legs();
        self.ladder.probe_failed(self.now);
        self.show_transport();
        self.present = Some(self.open(self.ladder.transport()));
    }

    /// Opens a leg from where the timeline is.
    fn open(&mut self, transport: Transport) -> Leg {
        self.last_leg += 1;
        let (leg, url) = Leg::open(
            self.last_leg,
            transport,
            &self.place,
            self.timeline.after(),
            self.session.as_deref(),
            &mut self.effects,
        );
        self.note(Happening::Connect(url));
        leg
    }

    fn drop_legs(&mut self) {
        let present = self.present.take();
        self.close(present);
        self.drop_probe();
    }

    fn drop_probe(&mut self) {
        let probe = self.probe.take();
        self.close(probe);
    }

    fn close(&mut self, leg: Option<Leg>) {
        self.effects.extend(leg.map(|leg| Effect::Close { leg: leg.id }));
    }

    fn show_transport(&mut self) {
        let (transport, chosen) = (self.ladder.transport(), self.ladder.chosen());
        if self.told.transport.0 != transport {
            self.note(Happening::Transport(transport));
        }
        if self.told.transport != (transport, chosen) {
            self.told.transport = (transport, chosen);
            self.tell(Change::Transport { transport, chosen });
        }
    }

    /// The present transport has shown that it carries: a reload begins with it.
    pub(super) fn carries(&mut self) {
        self.keep(CARRIED, self.ladder.transport().word());
    }

    /// Tries a better transport now and then, and changes over when it carries.
    pub(super) fn tend_probe(&mut self) {
        match self.ladder.tick(self.now) {
            ProbeAction::None => {}
            ProbeAction::Open(transport) => self.probe = Some(self.open(transport)),
            ProbeAction::Close => self.drop_probe(),
            ProbeAction::Promote => {
                let probe = self.probe.take();
                let left = std::mem::replace(&mut self.present, probe);
                self.close(left);
                self.show_transport();
                self.carries();
                // What was under way on the old leg is sent again, under its id.
                self.outbox.reconnected();
                self.step(Input::Heard);
                self.show_roster(StateKind::Members);
                self.greet();
                self.pump();
            }
        }
    }

    /// Something happened on a leg.
    pub(super) fn hear(&mut self, event: Event) {
        let id = match &event {
            Event::Opened { leg, .. }
            | Event::Received { leg, .. }
            | Event::Failed { leg, .. }
            | Event::Refused { leg, .. }
            | Event::Closed { leg, .. }
            | Event::Answered { leg, .. }
            | Event::Unanswered { leg, .. } => *leg,
            _ => return,
        };
        let is_present = self.present.as_ref().is_some_and(|leg| leg.id == id);
        let leg = if is_present { &mut self.present } else { &mut self.probe };
        let Some(leg) = leg.as_mut().filter(|leg| leg.id == id) else { return };
        let heard = match event {
            Event::Opened { protocol, .. } => vec![leg.opened(protocol)],
            Event::Received { text, .. } => vec![Heard::Frame(text)],
            Event::Failed { what, .. } => leg.failed(what),
            Event::Refused { body, .. } => vec![Heard::Refused(posts::refusal(&body))],
            Event::Closed { code, reason, was_clean, .. } => {
                vec![Heard::Closed { code, reason, was_clean }]
            }
            Event::Answered { request, status, problem, body, .. } => {
                leg.answered(request, Some(posts::Answer { status, problem, body }), self.now)
            }
            Event::Unanswered { request, .. } => leg.answered(request, None, self.now),
            _ => Vec::new(),
        };
        for heard in heard {
            // What came before may have put an end to this leg, or made it the present one.
            if self.present.as_ref().is_some_and(|leg| leg.id == id) {
                self.hear_present(heard);
            } else if self.probe.as_ref().is_some_and(|leg| leg.id == id) {
                self.hear_probe(heard);
            }
        }
    }

    fn hear_present(&mut self, heard: Heard) {
        match heard {
            Heard::Alive => self.step(Input::Heard),
            Heard::Opened(what) => self.note(Happening::Open(what)),
            Heard::Frame(text) => {
                self.step(Input::Heard);
                match self.read(text) {
                    Some(ServerFrame::Hello(hello)) => {
                        if let Some(leg) = &mut self.present {
                            leg.session = Some(hello.session.to_string());
                        }
                        let fresh = !self.is_open();
                        self.take_hello(hello, fresh);
                    }
                    Some(ServerFrame::State(kind, roster)) => self.take_roster(kind, roster, true),
                    Some(frame) => self.take(frame),
                    None => {}
                }
            }
            Heard::Failed(fault) => self.note(Happening::Failed(fault)),
            Heard::Refused(refusal) => {
                let is_over =
                    matches!(refusal.code, ErrorCode::InvalidToken | ErrorCode::Forbidden);
                self.tell(Change::Refused(refusal));
                if is_over {
                    self.step(Input::Over);
                }
            }
            Heard::Closed { code, reason, was_clean } => {
                self.note(Happening::Close { code, reason, was_clean });
                self.drop_legs();
                self.step(Input::Closed);
                self.show_roster(StateKind::Typing);
            }
        }
    }

    /// The leg beside the present one starts from a position that was read: what it brings is the same,
    /// or comes sooner. It is only not asked where the reading starts.
    fn hear_probe(&mut self, heard: Heard) {
        let failed = match heard {
            Heard::Alive => false,
            Heard::Opened(what) => {
                self.note(Happening::Open(what));
                false
            }
            Heard::Frame(text) => match self.read(text) {
                Some(ServerFrame::Hello(hello)) if hello.recovery == Recovery::Replayed => {
                    if let Some(leg) = &mut self.probe {
                        leg.session = Some(hello.session.to_string());
                    }
                    self.ladder.probe_answered(self.now);
                    false
                }
                Some(ServerFrame::Hello(_) | ServerFrame::Bye(_)) => true,
                Some(ServerFrame::State(kind, roster)) => {
                    self.take_roster(kind, roster, false);
                    false
                }
                Some(frame) => {
                    self.take(frame);
                    false
                }
                None => false,
            },
            Heard::Failed(fault) => {
                self.note(Happening::Failed(fault));
                false
            }
            Heard::Refused(_) => true,
            Heard::Closed { code, reason, was_clean } => {
                self.note(Happening::Close { code, reason, was_clean });
                true
            }
        };
        if failed {
            self.ladder.probe_failed(self.now);
            self.drop_probe();
        }
    }

    /// Notes a frame that came on a leg, and reads it.
    fn read(&mut self, text: String) -> Option<ServerFrame> {
        let parsed = ServerFrame::parse(&text).ok().flatten();
        if self.view {
            self.note(Happening::Received(text));
        }
        parsed
    }
}
