//! A pair of sessions that talk without the hub, or try to: when a connection is begun, how long it may take, when it is
//! given up.
//!
//! Whatever fails is begun anew, three times; then what is said goes through the hub, and it is tried again now and then. Who
//! of the two is polite follows from their ids, so both know it. What is sent says by which life of a page, to which,
//! and at which try: so what was meant for a page before its reload does nothing to the one after. The rule to keep: a
//! channel counts only once the other side has answered on it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::link::{Description, Link, Step};
use crate::Millis;

/// How long a connection may take to open.
const OPEN_MS: Millis = 15_000;
/// How often what was said is said once more while it is not open.
const REPEAT_MS: Millis = 2_500;
/// How long a connection may be interrupted: that comes and goes.
const SHAKY_MS: Millis = 4_000;
/// How long finding another way may take.
const RESTART_MS: Millis = 8_000;
/// How often another way is looked for.
const RESTARTS: u32 = 3;
/// How often a connection is begun before it is said that there is none.
const TRIES: u32 = 3;
/// When it is tried again after that: a network that is too slow now need not be later. The wait doubles, so often.
const LATER_MS: Millis = 60_000;
const DOUBLES: u32 = 4;
/// How often the other page may have a connection made anew, or be answered that one is over.
const ANEW_MS: Millis = 1_000;
/// Whatever was open for so long was no failure.
const LASTED_MS: Millis = 60_000;

/// What one page sends to another through the hub: the `data` of `signalling`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Letter {
    /// When the sender's page was loaded: of two the later one is there.
    life: Millis,
    /// That of the receiver, as far as it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<Millis>,
    /// At which try.
    attempt: u32,
    #[serde(flatten)]
    what: What,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum What {
    Description(Description),
    Candidates {
        of: u32,
        list: Vec<Value>,
    },
    /// The other side is to look for another way.
    Restart,
    /// This try is over.
    Over,
    /// Who is here, and at which try.
    Here,
}

/// What is to be done for a pair.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Action {
    /// Make a connection, with its channel.
    Connect,
    /// Let go of it.
    Disconnect,
    /// One step of agreeing on it.
    Step(Step),
    /// Send this to the other page, through the hub.
    Send(Letter),
    /// Ask the other side, on the channel, whether it hears.
    Ping,
}

/// How what is said to the other side goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Road {
    /// Through the hub; nothing else was tried.
    #[default]
    Hub,
    /// Through the hub while a direct connection is tried.
    Trying,
    /// Directly.
    Direct,
    /// Through the hub, for there is no way from one browser to the other.
    Relayed,
}

#[derive(Clone, Debug)]
struct Held {
    link: Link,
    begun: Millis,
    repeat_at: Millis,
    /// Since when the other side has answered on the channel.
    up: Option<Millis>,
    /// The browser has said that the two reach each other.
    reached: bool,
    /// When another way is looked for, unless the old one comes back.
    restart_at: Option<Millis>,
    restarts: u32,
}

impl Held {
    /// It is open, and the two have agreed on all of it.
    fn is_at_rest(&self) -> bool {
        self.up.is_some() && self.restart_at.is_none() && self.link.is_settled()
    }
}

#[derive(Clone, Debug)]
pub(super) struct Peer {
    polite: bool,
    life: Millis,
    theirs: Option<Millis>,
    attempt: u32,
    /// The last one that was given up here.
    over: u32,
    wanted: bool,
    held: Option<Held>,
    failures: u32,
    /// When the other page may bring about another connection, and when it is answered again that one is over.
    anew_at: Millis,
    answer_at: Millis,
    retry_at: Option<Millis>,
    actions: Vec<Action>,
}

impl Peer {
    pub(super) fn new(polite: bool, life: Millis) -> Self {
        Self {
            polite,
            life,
            theirs: None,
            attempt: 0,
            over: 0,
            wanted: false,
            held: None,
            failures: 0,
            anew_at: 0,
            answer_at: 0,
            retry_at: None,
            actions: Vec::new(),
        }
    }

    /// What is to be done, in this order.
    pub(super) fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    pub(super) fn road(&self) -> Road {
        match &self.held {
            Some(Held { up: Some(_), restart_at: None, .. }) => Road::Direct,
            _ if self.failures >= TRIES => Road::Relayed,
            Some(_) => Road::Trying,
            None if self.retry_at.is_some() => Road::Trying,
            None => Road::Hub,
        }
    }

    /// Somebody wants to say something to the other side.
    pub(super) fn want(&mut self, now: Millis) {
        self.wanted = true;
        if self.held.is_some() || self.retry_at.is_some() {
            return;
        }
        match self.failures {
            TRIES.. => self.retry_at = Some(now + self.pause()),
            _ => self.begin(now),
        }
    }

    /// How long to wait before the next try.
    fn pause(&self) -> Millis {
        match self.failures.checked_sub(TRIES) {
            Some(more) => LATER_MS << more.min(DOUBLES),
            None => 1_000 << self.failures,
        }
    }

    /// Whether somebody wants a connection.
    pub(super) fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// Nobody wants one any more; of one that is there nothing changes.
    pub(super) fn let_be(&mut self) {
        (self.wanted, self.retry_at) = (false, None);
    }

    /// The two sides are to agree anew on what goes over their connection, if there is one: the impolite one says so.
    pub(super) fn renegotiate(&mut self, now: Millis) {
        if let Some(held) = self.held.as_mut().filter(|_| !self.polite) {
            held.repeat_at = now + REPEAT_MS;
            self.step(|link| link.want(false));
        }
    }

    /// The network has changed: what did not go may go now.
    pub(super) fn wake(&mut self, now: Millis) {
        self.failures = 0;
        match &mut self.held {
            Some(held) if held.restart_at.is_some() => held.restart_at = Some(now),
            Some(_) => {}
            None if self.wanted => self.retry_at = Some(now),
            None => {}
        }
    }

    fn begin(&mut self, now: Millis) {
        self.attempt = self.attempt.saturating_add(1);
        self.hold(now);
        self.step(|link| link.want(false));
    }

    fn hold(&mut self, now: Millis) {
        self.retry_at = None;
        self.held = Some(Held {
            link: Link::new(self.polite),
            begun: now,
            repeat_at: now + REPEAT_MS,
            up: None,
            reached: false,
            restart_at: None,
            restarts: 0,
        });
        self.actions.push(Action::Connect);
    }

    fn step(&mut self, step: impl FnOnce(&mut Link) -> Vec<Step>) {
        let Some(held) = &mut self.held else { return };
        for step in step(&mut held.link) {
            match step {
                Step::Describe(description) => self.send(What::Description(description)),
                Step::Candidates { of, candidates: list } => {
                    self.send(What::Candidates { of, list });
                }
                Step::Afresh => self.actions.extend([Action::Disconnect, Action::Connect]),
                step => self.actions.push(Action::Step(step)),
            }
        }
    }

    fn send(&mut self, what: What) {
        let Self { life, theirs: to, attempt, .. } = *self;
        self.actions.push(Action::Send(Letter { life, to, attempt, what }));
    }

    /// This session is no more.
    pub(super) fn drop_link(&mut self) {
        self.let_go();
        self.actions.retain(|action| *action == Action::Disconnect);
    }

    /// Tells the other page what it does not know; not as often as it may ask.
    fn answer(&mut self, what: What, now: Millis) {
        if now >= self.answer_at {
            self.answer_at = now + ANEW_MS;
            self.send(what);
        }
    }

    fn let_go(&mut self) {
        if self.held.take().is_some() {
            self.actions.push(Action::Disconnect);
        }
    }

    /// The connection is of no use: another, unless there were enough.
    pub(super) fn fail(&mut self, now: Millis) {
        let Some(held) = &self.held else { return };
        let lasted = held.up.is_some_and(|up| now - up >= LASTED_MS);
        self.let_go();
        self.over = self.attempt;
        self.send(What::Over);
        self.failures = if lasted { 1 } else { self.failures + 1 };
        self.retry_at = self.wanted.then(|| now + self.pause());
    }

    /// One of the two is another page than before.
    fn start_over(&mut self, now: Millis) {
        self.let_go();
        // Tries count on: what is still on its way is of one before.
        (self.over, self.failures) = (self.attempt, 0);
        self.retry_at = self.wanted.then_some(now);
    }

    /// What the other page is told, with which there is to be no connection: its try is over.
    pub(super) fn decline(letter: Letter, life: Millis) -> Option<Letter> {
        let Letter { life: to, attempt, what, .. } = letter;
        let is_offer = matches!(&what, What::Description(theirs) if theirs.answers.is_none());
        is_offer.then_some(Letter { life, to: Some(to), attempt, what: What::Over })
    }

    /// Something came from the other page.
    pub(super) fn hear(&mut self, letter: Letter, now: Millis) {
        let Letter { life, to, attempt, what } = letter;
        let is_offer = matches!(&what, What::Description(theirs) if theirs.answers.is_none());
        let is_new = self.theirs.is_some_and(|known| known < life) || attempt > self.attempt;
        if is_new && self.held.is_some() && now < self.anew_at {
            // Connections cost the browser much; whoever means it says it again.
            return;
        }
        self.anew_at = if is_new { now + ANEW_MS } else { self.anew_at };
        if self.theirs.is_none_or(|known| known < life) {
            let before = self.theirs.replace(life);
            // That page is gone, and with it what it had.
            before.into_iter().for_each(|_| self.start_over(now));
        }
        if to.is_some_and(|to| to > self.life) {
            // By a clock that was set back we would be a page that is gone. No other page finds the same way out.
            let out = 1 + self.life % 1_000;
            self.life = to.map_or(self.life, |to| to.saturating_add(out));
            return self.start_over(now);
        }
        let late = self.theirs != Some(life) || to.is_some_and(|to| to < self.life);
        if late || attempt < self.attempt {
            // It is of a page, or was meant for one, or for a try, that is over; who sends it may not know.
            return if is_offer {
                self.answer(What::Here, now)
            };
        }
        if attempt > self.attempt {
            self.let_go();
            self.attempt = attempt;
            self.retry_at = self.wanted.then_some(now);
        }
        if self.held.is_none() && (is_offer || matches!(what, What::Candidates { .. })) {
            if attempt == self.over {
                return if is_offer {
                    self.answer(What::Over, now)
                };
            }
            self.hold(now);
        }
        match what {
            What::Description(theirs) => self.step(|link| link.described(theirs)),
            What::Candidates { of, list } => self.step(|link| link.told_ways(of, list)),
            What::Restart if !self.polite => {
                if self.held.as_ref().is_some_and(|held| held.link.is_settled()) {
                    self.step(|link| link.want(true));
                }
            }
            What::Over => self.fail(now),
            What::Restart | What::Here => {}
        }
    }

    /// The browser has made a description, or can't.
    pub(super) fn made(&mut self, sdp: Option<String>, now: Millis) {
        match sdp {
            Some(sdp) => self.step(|link| link.made(sdp)),
            None => self.fail(now),
        }
    }

    /// The browser has taken an answer, or can't.
    pub(super) fn accepted(&mut self, ok: bool, now: Millis) {
        match ok {
            true => self.step(Link::accepted),
            false => self.fail(now),
        }
    }

    pub(super) fn found_way(&mut self, candidate: Value) {
        self.step(|link| link.found_way(candidate));
    }

    /// The channel is open.
    pub(super) fn opened(&mut self) {
        self.actions.push(Action::Ping);
        self.step(Link::opened);
    }

    /// The other side has answered on it.
    pub(super) fn answered(&mut self, now: Millis) {
        let Some(held) = &mut self.held else { return };
        held.up.get_or_insert(now);
        // There is a way after all; one that does not last is still looked for less often.
        self.failures = self.failures.min(TRIES - 1);
        let reached = held.reached;
        self.reach(reached, false, now);
    }

    /// The two reach each other, or do so no more: for now, or `for_good`.
    pub(super) fn reach(&mut self, reached: bool, for_good: bool, now: Millis) {
        let Some(held) = &mut self.held else { return };
        held.reached = reached;
        match (held.up, reached) {
            // How long opening may take is another matter.
            (None, _) => {}
            (Some(_), true) => (held.restart_at, held.restarts) = (None, 0),
            (Some(_), false) if for_good && held.restarts == 0 => held.restart_at = Some(now),
            (Some(_), false) => {
                held.restart_at.get_or_insert(now + SHAKY_MS);
            }
        }
    }

    pub(super) fn deadline(&self) -> Option<Millis> {
        let held = self.held.as_ref().map(|held| match (held.up, held.restart_at) {
            (None, _) => held.repeat_at.min(held.begun + OPEN_MS),
            (Some(_), Some(restart_at)) => held.repeat_at.max(held.begun).min(restart_at),
            (Some(_), None) if held.link.is_settled() => Millis::MAX,
            (Some(_), None) => held.repeat_at,
        });
        held.filter(|at| *at < Millis::MAX).into_iter().chain(self.retry_at).min()
    }

    pub(super) fn tick(&mut self, now: Millis) {
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
            if self.held.is_none() {
                self.begin(now);
            }
        }
        let Some(held) = &mut self.held else { return };
        let late = held.up.is_none() && now >= held.begun + OPEN_MS;
        let lost = held.up.is_some() && held.restart_at.is_some_and(|at| at <= now);
        if late || (lost && held.restarts >= RESTARTS) {
            return self.fail(now);
        }
        if lost {
            held.restarts += 1;
            held.restart_at = Some(now + RESTART_MS);
            held.repeat_at = now + REPEAT_MS;
            match self.polite {
                true => self.send(What::Restart),
                false => self.step(|link| link.want(true)),
            }
        } else if held.repeat_at <= now && !held.is_at_rest() {
            held.repeat_at = now + REPEAT_MS;
            self.step(|link| link.repeat());
        }
    }
}
