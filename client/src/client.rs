//! The client: a thin router between the machines that decide.
//!
//! Start at [`Client::handle`]; `room` is what is said and who says it, `legs` how it travels, `kept` what
//! outlives the page. The rule to keep: what is due at a time is done before anything else is
//! told at that time, so a deadline is never in the past.

mod call;
mod direct;
pub(crate) mod kept;
mod legs;
mod room;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use common::{After, Audience, Member, MemberId, MemberName, MessageId, Offset};

use crate::{
    Change, Effect, Event, Happening, LegId, Line, Millis, Party, Road, Setup, Transport,
    connection::{Connection, Input, Phase},
    direct::Direct,
    habits::Habits,
    ladder::Ladder,
    leg::Leg,
    outbox::Outbox,
    rosters::Rosters,
    seed::Seed,
    tabs::Tabs,
    timeline::Timeline,
    transport::Place,
};

/// Why a client wants to be told the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// A connection that does not open, or is silent, is given up; or the next one is due.
    Connection,
    /// A second less until the next try.
    Countdown,
    /// A better transport is tried, or shows whether it carries.
    Probe,
    /// A request is made again, or the next poll is due.
    Request,
    /// An answer is late, or what was too much may be sent again.
    Outbox,
    /// The tab says that its outbox is its own.
    Touch,
    /// Another tab's outbox is taken over, if nobody touches it.
    Adopt,
    /// A connection to another browser is tried again, or given up.
    Direct,
}

/// A client in a room: [`Event`]s in, [`Effect`]s out.
///
/// After each [`Client::handle`], [`Client::poll`] until it is empty and carry out what comes, then set
/// one timer to [`Client::deadline`] and tell [`Event::Time`] when it is over.
#[derive(Clone, Debug)]
pub struct Client {
    place: Place,
    me: Option<Member>,
    name: Option<MemberName>,
    name_is_kept: bool,
    view: bool,
    now: Millis,
    /// How much the clock outside was ever set back.
    set_back: Millis,
    connection: Connection,
    ladder: Ladder,
    timeline: Timeline,
    outbox: Outbox,
    tabs: Tabs,
    habits: Habits,
    /// Connections to other browsers, where there may be some.
    direct: Option<Direct>,
    /// What has come on them and waits.
    early: VecDeque<direct::Early>,
    /// Where in the log is what I have said last, and whom it was for.
    said_last: Option<(Offset, Audience)>,
    /// Whom what is written now is for, if for one alone.
    addressee: Option<MemberId>,
    /// I am in the room's call.
    in_call: bool,
    session: Option<String>,
    present: Option<Leg>,
    /// A better transport that is tried beside the present one.
    probe: Option<Leg>,
    last_leg: LegId,
    seed: Seed,
    /// For the next wait.
    jitter: f64,
    told: Told,
    effects: VecDeque<Effect>,
}

/// What was told last, so that only changes are.
#[derive(Clone, Debug)]
struct Told {
    line: Line,
    transport: (Transport, Option<Transport>),
    ready: u16,
    rosters: Rosters,
    road: Road,
    call: Option<Vec<Party>>,
}

impl Client {
    /// A client that does nothing yet: [`Event::Start`] sets it off.
    pub fn new(setup: Setup) -> Self {
        let mut seed = Seed(setup.seed);
        let first = Transport::WebSocket;
        let tabs = Tabs::new(&setup.room, seed.number());
        Self {
            place: Place {
                origin: setup.origin,
                room: setup.room,
                token: setup.token,
                meter: setup.meter,
                poll_every: setup.poll_every,
            },
            me: setup.me,
            name: setup.name,
            name_is_kept: setup.name_is_kept,
            view: setup.view,
            now: 0,
            set_back: 0,
            connection: Connection::default(),
            ladder: Ladder::new(first),
            timeline: Timeline::new(setup.messages, setup.after),
            outbox: Outbox::new(!setup.view),
            tabs,
            habits: Habits::default(),
            direct: setup.direct.then(Direct::default),
            early: VecDeque::new(),
            said_last: None,
            addressee: None,
            in_call: false,
            session: None,
            present: None,
            probe: None,
            last_leg: 0,
            jitter: seed.fraction(),
            seed,
            told: Told {
                line: Line::Idle,
                transport: (first, None),
                ready: first.closed(),
                rosters: Rosters::default(),
                road: Road::default(),
                call: None,
            },
            effects: VecDeque::new(),
        }
    }

    /// Where to read on: everything up to here was told.
    pub fn after(&self) -> &After {
        self.timeline.after()
    }

    /// What is not sent yet, oldest first.
    pub fn unsent(&self) -> impl Iterator<Item = &MessageId> {
        self.outbox.unsent().map(|(message, _)| &message.id)
    }

    /// Takes in what happened at `now`. What is due then is done too.
    ///
    /// All effects of what was handled before must have been taken: else they could be carried out in
    /// another order than the one that was meant. Debug builds check it.
    pub fn handle(&mut self, now: Millis, event: Event) {
        debug_assert!(self.effects.is_empty(), "poll until it is empty before the next event");
        // A clock that is set back must not stop what waits for a time.
        self.set_back += self.now.saturating_sub(now + self.set_back);
        self.now = now + self.set_back;
        self.route(event);
        self.tend();
        self.show();
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// When to tell the time next, and why; later than all times handled so far.
    pub fn deadline(&self) -> Option<(Millis, Why)> {
        self.due().map(|(at, why)| (at - self.set_back, why))
    }

    fn route(&mut self, event: Event) {
        match event {
            Event::Start { tab, shared } => self.start(tab, shared),
            Event::Say(publish) => self.say(publish),
            Event::Retry(id) => {
                self.outbox.retry(&id);
                self.pump();
            }
            Event::Discard(id) => {
                self.outbox.discard(&id);
                self.pump();
            }
            Event::Address(member) => self.address(member),
            Event::Link { link, event } => {
                self.direct(|direct, now| direct.happened(link, event, now))
            }
            Event::File { id, event } => self.file(&id, event),
            Event::Call(call) => self.call(call),
            Event::Show(media) => self.present_media(media),
            Event::Typing(typing) => self.typing(typing),
            Event::Idle(idle) => self.look(idle),
            Event::Rename(name) => self.rename(name),
            Event::RetryNow => self.step(Input::RetryNow),
            Event::Wake => {
                self.ladder.wake(self.now);
                self.step(Input::Wake);
                self.direct(Direct::wake);
                self.pump();
            }
            Event::Choose(choice) => self.choose(choice),
            Event::Kept { key, text } => self.found(&key, &text),
            Event::Leaving => {
                let left = self.tabs.leave();
                self.keep_shared(left);
            }
            Event::Time => {}
            of_a_leg => self.hear(of_a_leg),
        }
    }

    /// Does what is due. Each of these moves its own deadline on, so this comes to an end.
    fn tend(&mut self) {
        while let Some((at, why)) = self.due()
            && at <= self.now
        {
            match why {
                Why::Connection => self.step(Input::Tick),
                Why::Countdown => {}
                Why::Probe => self.tend_probe(),
                Why::Request => {
                    for leg in [&mut self.present, &mut self.probe].into_iter().flatten() {
                        leg.tick(self.now, &mut self.effects);
                    }
                }
                Why::Outbox => {
                    self.outbox.expire(self.now);
                    self.pump();
                }
                Why::Touch => self.keep_outbox(),
                Why::Adopt => self.adopt(),
                Why::Direct => {
                    self.take_early();
                    self.direct(Direct::tick);
                }
            }
        }
    }

    fn due(&self) -> Option<(Millis, Why)> {
        let legs = [&self.present, &self.probe];
        let outbox = self.outbox.deadline(self.is_open());
        [
            (self.connection.deadline(), Why::Connection),
            (self.connection.next_second(self.now), Why::Countdown),
            (self.ladder.deadline(), Why::Probe),
            (legs.into_iter().flatten().filter_map(Leg::deadline).min(), Why::Request),
            (outbox, Why::Outbox),
            (self.tabs.touch_at(), Why::Touch),
            (self.tabs.adopt_at(), Why::Adopt),
            (self.direct.as_ref().and_then(Direct::deadline), Why::Direct),
            (self.early.front().map(|early| early.until), Why::Direct),
        ]
        .into_iter()
        .filter_map(|(at, why)| Some((at?, why)))
        .min_by_key(|(at, _)| *at)
    }

    /// Tells what is different from what was told last.
    fn show(&mut self) {
        self.timeline.show_unsent(&self.outbox);
        let rows = self.timeline.take_changes();
        if self.view {
            self.effects.extend(rows.into_iter().map(|row| Effect::Tell(Change::Row(row))));
        }
        let line = match self.connection.phase() {
            Phase::Idle => Line::Idle,
            Phase::Connecting { again, .. } => Line::Connecting { again },
            Phase::Open { .. } => Line::Open,
            Phase::Waiting { .. } => Line::Waiting {
                seconds: self.connection.seconds_left(self.now).unwrap_or_default(),
            },
            Phase::Over => Line::Over,
        };
        if self.told.line != line {
            self.told.line = line;
            self.tell(Change::Line(line));
        }
        let road = self.road();
        if self.told.road != road {
            self.told.road = road;
            self.tell(Change::Road(road));
        }
        let call = self.parties();
        if self.told.call != call {
            self.told.call.clone_from(&call);
            self.tell(Change::Call(call));
        }
        let closed = self.ladder.transport().closed();
        let ready = self.present.as_ref().map_or(closed, |leg| leg.ready);
        if self.told.ready != ready {
            self.told.ready = ready;
            self.tell(Change::Ready(ready));
        }
    }

    fn tell(&mut self, change: Change) {
        self.effects.push_back(Effect::Tell(change));
    }

    fn note(&mut self, happening: Happening) {
        if self.view {
            self.tell(Change::Happened(happening));
        }
    }
}
