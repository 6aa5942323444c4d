//! Which road to take: down a rung when one does not carry, up again when a better one does. Pure: no
//! browser, no clock.
//!
//! A road is judged by the frames it delivers, never by opening: middleboxes let sockets open and
//! then swallow or kill them (phoenix#6766). And nothing is for ever: better roads are tried in the
//! background as long as the page lives (phoenix#5741).

/// A road that lives this long after its hello carries, in milliseconds.
const STEADY_MS: f64 = 5_000.0;
/// How long a road that is tried in the background may take to say hello, in milliseconds.
const HELLO_WITHIN_MS: f64 = 10_000.0;
/// How often in a row a road may die young.
const DEATHS: u32 = 3;
/// When a better road is first tried, and then how often, in milliseconds.
const FIRST_PROBE_MS: f64 = 10_000.0;
const PROBE_EVERY_MS: f64 = 30_000.0;

/// A road, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rung {
    /// Both ways over one connection.
    WebSocket,
    /// Server-Sent Events, and a POST for each frame of ours.
    Events,
    /// A request that waits until something comes, and the next; POST for ours.
    LongPoll,
    /// A request every few seconds; POST for ours.
    Poll,
}

impl Rung {
    /// All, the best first.
    pub const ALL: [Self; 4] = [Self::WebSocket, Self::Events, Self::LongPoll, Self::Poll];

    /// Its word in the page and in the browser's storage.
    pub fn word(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Events => "sse",
            Self::LongPoll => "longpoll",
            Self::Poll => "poll",
        }
    }

    /// Reads that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rung| rung.word() == word)
    }

    /// Its states by number: `readyState` where the browser has one.
    pub fn states(self) -> &'static [&'static str] {
        match self {
            Self::WebSocket => &["CONNECTING", "OPEN", "CLOSING", "CLOSED"],
            Self::Events => &["CONNECTING", "OPEN", "CLOSED"],
            Self::LongPoll | Self::Poll => &["ASKING", "ANSWERED", "CLOSED"],
        }
    }

    /// The next one down; from the last the first, for then nothing is known to be better.
    fn below(self) -> Self {
        let index = Self::ALL.iter().position(|rung| *rung == self).unwrap_or_default();
        Self::ALL[(index + 1) % Self::ALL.len()]
    }
}

/// Where on the ladder a page is.
#[derive(Clone, Debug)]
pub struct Ladder {
    rung: Rung,
    chosen: bool,
    deaths: u32,
    /// When the present road said hello.
    hello: Option<f64>,
    /// It was told to close, which says nothing about it.
    dismissed: bool,
    probe: Probe,
}

/// A better road, tried in the background.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Probe {
    /// Next at this time, this one; `None` until the present road carries.
    Next(Option<f64>, Rung),
    /// Since this time.
    Trying(f64, Rung),
    /// It has said hello at this time.
    Answered(f64, Rung),
}

/// What to do about a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeAction {
    /// Nothing.
    None,
    /// Open this road beside the present one.
    Open(Rung),
    /// It carries: it is the present one now.
    Promote,
    /// It does not: close it.
    Close,
}

impl Ladder {
    /// Starts on `rung`.
    pub fn new(rung: Rung) -> Self {
        let probe = Probe::Next(None, Rung::WebSocket);
        Self { rung, chosen: false, deaths: 0, hello: None, dismissed: false, probe }
    }

    /// The road to take.
    pub fn rung(&self) -> Rung {
        self.rung
    }

    /// What the person chose, if they did.
    pub fn chosen(&self) -> Option<Rung> {
        self.chosen.then_some(self.rung)
    }

    /// The person chooses a road, or leaves it to the page; true if the present one is to be left.
    pub fn choose(&mut self, choice: Option<Rung>) -> bool {
        let rung = choice.unwrap_or(Rung::WebSocket);
        let other = rung != self.rung;
        *self = Self { chosen: choice.is_some(), hello: self.hello, ..Self::new(rung) };
        other
    }

    /// The present road has said hello.
    pub fn connected(&mut self, now: f64) {
        self.hello = Some(now);
        self.dismissed = false;
        if let Probe::Next(at, rung) = self.probe {
            self.probe = Probe::Next(at.or(Some(now + FIRST_PROBE_MS)), rung);
        }
    }

    /// It is about to be closed as announced.
    pub fn dismissed(&mut self) {
        self.dismissed = true;
    }

    /// It has closed; true if another is to be taken.
    pub fn died(&mut self, now: f64) -> bool {
        let steady = self.hello.take().is_some_and(|hello| now - hello >= STEADY_MS)
            || std::mem::take(&mut self.dismissed);
        // The probe went with it, for the page connects anew.
        self.probe_failed(now);
        self.deaths = if steady { 0 } else { self.deaths + 1 };
        self.deaths >= DEATHS && self.step_down()
    }

    /// It said nothing for too long; true if another is to be taken.
    pub fn mute(&mut self) -> bool {
        self.hello = None;
        self.step_down()
    }

    fn step_down(&mut self) -> bool {
        self.deaths = 0;
        if self.chosen {
            return false;
        }
        self.rung = self.rung.below();
        self.probe = Probe::Next(None, Rung::WebSocket);
        true
    }

    /// Looks after the probe.
    pub fn tick(&mut self, now: f64) -> ProbeAction {
        match self.probe {
            _ if self.chosen || self.rung == Rung::WebSocket => ProbeAction::None,
            Probe::Next(Some(at), rung) if now >= at && self.hello.is_some() => {
                self.probe = Probe::Trying(now, rung);
                ProbeAction::Open(rung)
            }
            Probe::Trying(since, _) if now - since >= HELLO_WITHIN_MS => {
                self.probe_failed(now);
                ProbeAction::Close
            }
            Probe::Answered(hello, rung) if now - hello >= STEADY_MS => {
                self.rung = rung;
                self.hello = Some(hello);
                self.deaths = 0;
                self.probe = Probe::Next(Some(now + PROBE_EVERY_MS), Rung::WebSocket);
                ProbeAction::Promote
            }
            Probe::Next(..) | Probe::Trying(..) | Probe::Answered(..) => ProbeAction::None,
        }
    }

    /// The network, or the page, is back: a good time to try.
    pub fn wake(&mut self, now: f64) {
        if let Probe::Next(Some(_), rung) = self.probe {
            self.probe = Probe::Next(Some(now), rung);
        }
    }

    /// The probe has said hello.
    pub fn probe_answered(&mut self, now: f64) {
        if let Probe::Trying(_, rung) = self.probe {
            self.probe = Probe::Answered(now, rung);
        }
    }

    /// The probe has closed; the next one tries the next better road.
    pub fn probe_failed(&mut self, now: f64) {
        if let Probe::Trying(_, rung) | Probe::Answered(_, rung) = self.probe {
            let next = rung.below();
            let next = if next < self.rung { next } else { Rung::WebSocket };
            self.probe = Probe::Next(Some(now + PROBE_EVERY_MS), next);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn below(rung: Rung) -> Ladder {
        let mut ladder = Ladder::new(rung);
        ladder.connected(0.0);
        ladder
    }

    #[test]
    fn a_road_that_opens_and_dies_three_times_is_left() {
        let mut ladder = Ladder::new(Rung::WebSocket);
        for n in 0..3 {
            ladder.connected(0.0);
            assert_eq!(ladder.died(200.0), n == 2);
        }
        assert_eq!(ladder.rung(), Rung::Events);
    }

    #[test]
    fn a_road_that_never_opens_is_left_too_and_one_that_says_nothing_at_once() {
        let mut ladder = Ladder::new(Rung::WebSocket);
        assert_eq!([0.0; 3].map(|now| ladder.died(now)), [false, false, true]);
        assert!(ladder.mute());
        assert_eq!(ladder.rung(), Rung::LongPoll);
    }

    #[test]
    fn a_road_that_carried_for_a_while_may_be_lost_as_often_as_it_likes() {
        let mut ladder = Ladder::new(Rung::WebSocket);
        for _ in 0..10 {
            ladder.connected(0.0);
            assert!(!ladder.died(STEADY_MS));
        }
    }

    #[test]
    fn a_restart_that_was_announced_says_nothing_about_the_road() {
        let mut ladder = Ladder::new(Rung::WebSocket);
        for _ in 0..10 {
            ladder.connected(0.0);
            ladder.dismissed();
            assert!(!ladder.died(100.0));
        }
        assert_eq!(ladder.rung(), Rung::WebSocket);
    }

    #[test]
    fn behind_the_last_road_comes_the_first() {
        let mut ladder = Ladder::new(Rung::Poll);
        ladder.mute();
        assert_eq!(ladder.rung(), Rung::WebSocket);
    }

    #[test]
    fn a_better_road_is_tried_in_the_background_and_taken_when_it_carries() {
        let mut ladder = below(Rung::LongPoll);
        assert_eq!(ladder.tick(9_999.0), ProbeAction::None);
        assert_eq!(ladder.tick(10_000.0), ProbeAction::Open(Rung::WebSocket));
        ladder.probe_answered(10_100.0);
        assert_eq!(ladder.tick(15_099.0), ProbeAction::None);
        assert_eq!(ladder.tick(15_100.0), ProbeAction::Promote);
        assert_eq!(ladder.rung(), Rung::WebSocket);
        assert_eq!(ladder.tick(1e9), ProbeAction::None);
    }

    #[test]
    fn every_better_road_has_its_turn_again_and_again() {
        let mut ladder = below(Rung::Poll);
        let mut tried = Vec::new();
        for second in 0..120 {
            let now = f64::from(second) * 1_000.0;
            if let ProbeAction::Open(rung) = ladder.tick(now) {
                tried.push(rung);
                ladder.probe_failed(now);
            }
        }
        let better = [Rung::WebSocket, Rung::Events, Rung::LongPoll];
        assert_eq!(tried, [&better[..], &better[..1]].concat());
    }

    #[test]
    fn a_probe_that_dies_young_or_stays_mute_changes_nothing() {
        let mut ladder = below(Rung::Events);
        assert_eq!(ladder.tick(10_000.0), ProbeAction::Open(Rung::WebSocket));
        assert_eq!(ladder.tick(20_000.0), ProbeAction::Close);
        assert_eq!(ladder.tick(50_000.0), ProbeAction::Open(Rung::WebSocket));
        ladder.probe_answered(50_100.0);
        ladder.probe_failed(50_300.0);
        assert_eq!(ladder.tick(60_000.0), ProbeAction::None);
        assert_eq!(ladder.rung(), Rung::Events);
    }

    #[test]
    fn a_probe_does_not_outlive_the_road_beside_it() {
        let mut ladder = below(Rung::Events);
        assert_eq!(ladder.tick(10_000.0), ProbeAction::Open(Rung::WebSocket));
        ladder.probe_answered(10_100.0);
        ladder.died(12_000.0);
        ladder.connected(13_000.0);
        assert_eq!(ladder.tick(16_000.0), ProbeAction::None);
        assert_eq!(ladder.rung(), Rung::Events);
    }

    #[test]
    fn what_the_person_chose_is_kept_until_they_leave_it_to_the_page() {
        let mut ladder = Ladder::new(Rung::WebSocket);
        assert!(ladder.choose(Some(Rung::Poll)));
        ladder.connected(0.0);
        assert!(!ladder.mute());
        assert_eq!((ladder.tick(1e9), ladder.rung()), (ProbeAction::None, Rung::Poll));
        assert!(ladder.choose(None));
        assert_eq!(ladder.rung(), Rung::WebSocket);
    }
}
