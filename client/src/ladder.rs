//! Which transport to use: down a rung when one does not carry, up again when a better one does.
//!
//! A transport is judged by the frames it delivers, never by opening: middleboxes let sockets open and
//! then swallow or kill them (phoenix#6766). And nothing is for ever: better ones are tried in the
//! background as long as the client lives (phoenix#5741).

use crate::{Millis, Transport};

/// A transport that lives this long after its hello carries, in milliseconds.
const STEADY_MS: Millis = 5_000;
/// How long a transport that is tried in the background may take to say hello, in milliseconds.
const HELLO_WITHIN_MS: Millis = 10_000;
/// How often in a row a transport may die young.
const DEATHS: u32 = 3;
/// When a better one is first tried, and then how often, in milliseconds.
const FIRST_PROBE_MS: Millis = 10_000;
const PROBE_EVERY_MS: Millis = 30_000;

/// Where on the ladder a page is.
#[derive(Clone, Debug)]
pub(crate) struct Ladder {
    transport: Transport,
    chosen: bool,
    deaths: u32,
    /// When the present one said hello.
    hello: Option<Millis>,
    /// It was told to close, which says nothing about it.
    dismissed: bool,
    probe: Probe,
}

/// A better transport, tried in the background.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Probe {
    /// Next at this time, this one; `None` until the present one carries.
    Next(Option<Millis>, Transport),
    /// Since this time.
    Trying(Millis, Transport),
    /// It has said hello at this time.
    Answered(Millis, Transport),
}

/// What to do about a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProbeAction {
    /// Nothing.
    None,
    /// Open this transport beside the present one.
    Open(Transport),
    /// It carries: it is the present one now.
    Promote,
    /// It does not: close it.
    Close,
}

impl Ladder {
    /// Starts on `transport`.
    pub(crate) fn new(transport: Transport) -> Self {
        let probe = Probe::Next(None, Transport::WebSocket);
        Self { transport, chosen: false, deaths: 0, hello: None, dismissed: false, probe }
    }

    /// The transport to use.
    pub(crate) fn transport(&self) -> Transport {
        self.transport
    }

    /// What the person chose, if they did.
    pub(crate) fn chosen(&self) -> Option<Transport> {
        self.chosen.then_some(self.transport)
    }

    /// The person chooses a transport, or leaves the choice to the ladder; true if the present one is to
    /// be left.
    pub(crate) fn choose(&mut self, choice: Option<Transport>) -> bool {
        let transport = choice.unwrap_or(Transport::WebSocket);
        let other = transport != self.transport;
        let hello = self.hello.filter(|_| !other);
        *self = Self { chosen: choice.is_some(), hello, ..Self::new(transport) };
        other
    }

    /// The present transport has said hello.
    pub(crate) fn connected(&mut self, now: Millis) {
        self.hello = Some(now);
        self.dismissed = false;
        if let Probe::Next(at, transport) = self.probe {
            self.probe = Probe::Next(at.or(Some(now + FIRST_PROBE_MS)), transport);
        }
    }

    /// It is about to be closed as announced.
    pub(crate) fn dismissed(&mut self) {
        self.dismissed = true;
    }

    /// It has closed; true if another is to be taken.
    pub(crate) fn died(&mut self, now: Millis) -> bool {
        let steady = self.hello.take().is_some_and(|hello| now - hello >= STEADY_MS)
            || std::mem::take(&mut self.dismissed);
        // The probe goes with it: the client connects anew.
        self.probe_failed(now);
        self.deaths = if steady { 0 } else { self.deaths + 1 };
        self.deaths >= DEATHS && self.step_down()
    }

    /// It said nothing for too long; true if another is to be taken.
    pub(crate) fn mute(&mut self) -> bool {
        self.hello = None;
        self.step_down()
    }

    fn step_down(&mut self) -> bool {
        self.deaths = 0;
        if self.chosen {
            return false;
        }
        self.transport = self.transport.below();
        self.probe = Probe::Next(None, Transport::WebSocket);
        true
    }

    /// Looks after the probe.
    pub(crate) fn tick(&mut self, now: Millis) -> ProbeAction {
        match self.probe {
            _ if self.chosen || self.transport == Transport::WebSocket => ProbeAction::None,
            Probe::Next(Some(at), transport) if now >= at && self.hello.is_some() => {
                self.probe = Probe::Trying(now, transport);
                ProbeAction::Open(transport)
            }
            Probe::Trying(since, _) if now - since >= HELLO_WITHIN_MS => {
                self.probe_failed(now);
                ProbeAction::Close
            }
            Probe::Answered(hello, transport) if now - hello >= STEADY_MS => {
                self.transport = transport;
                self.hello = Some(hello);
                self.deaths = 0;
                self.probe = Probe::Next(Some(now + PROBE_EVERY_MS), Transport::WebSocket);
                ProbeAction::Promote
            }
            Probe::Next(..) | Probe::Trying(..) | Probe::Answered(..) => ProbeAction::None,
        }
    }

    /// The network, or the page, is back: a good time to try.
    pub(crate) fn wake(&mut self, now: Millis) {
        if let Probe::Next(Some(_), transport) = self.probe {
            self.probe = Probe::Next(Some(now), transport);
        }
    }

    /// The probe has said hello.
    pub(crate) fn probe_answered(&mut self, now: Millis) {
        if let Probe::Trying(_, transport) = self.probe {
            self.probe = Probe::Answered(now, transport);
        }
    }

    /// The probe has closed; the next one tries the next better transport.
    pub(crate) fn probe_failed(&mut self, now: Millis) {
        if let Probe::Trying(_, transport) | Probe::Answered(_, transport) = self.probe {
            let next = transport.below();
            let next = if next < self.transport { next } else { Transport::WebSocket };
            self.probe = Probe::Next(Some(now + PROBE_EVERY_MS), next);
        }
    }

    /// When [`Ladder::tick`] has something to do.
    pub(crate) fn deadline(&self) -> Option<Millis> {
        match self.probe {
            _ if self.chosen || self.transport == Transport::WebSocket => None,
            Probe::Next(at, _) => at.filter(|_| self.hello.is_some()),
            Probe::Trying(since, _) => Some(since + HELLO_WITHIN_MS),
            Probe::Answered(hello, _) => Some(hello + STEADY_MS),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn below(transport: Transport) -> Ladder {
        let mut ladder = Ladder::new(transport);
        ladder.connected(0);
        ladder
    }

    #[test]
    fn a_transport_that_opens_and_dies_three_times_is_left() {
        let mut ladder = Ladder::new(Transport::WebSocket);
        for n in 0..3 {
            ladder.connected(9_000);
            assert_eq!(ladder.died(9_200), n == 2);
        }
        assert_eq!(ladder.transport(), Transport::Events);
    }

    #[test]
    fn a_transport_that_never_opens_is_left_too_and_one_that_says_nothing_at_once() {
        let mut ladder = Ladder::new(Transport::WebSocket);
        assert_eq!([0; 3].map(|now| ladder.died(now)), [false, false, true]);
        assert!(ladder.mute());
        assert_eq!(ladder.transport(), Transport::LongPoll);
    }

    #[test]
    fn a_transport_that_carried_for_a_while_may_be_lost_as_often_as_it_likes() {
        let mut ladder = Ladder::new(Transport::WebSocket);
        for _ in 0..10 {
            ladder.connected(0);
            assert!(!ladder.died(STEADY_MS));
        }
    }

    #[test]
    fn a_restart_that_was_announced_says_nothing_about_the_transport() {
        let mut ladder = Ladder::new(Transport::WebSocket);
        for _ in 0..10 {
            ladder.connected(0);
            ladder.dismissed();
            assert!(!ladder.died(100));
        }
        assert_eq!(ladder.transport(), Transport::WebSocket);
    }

    #[test]
    fn behind_the_last_transport_comes_the_first() {
        let mut ladder = Ladder::new(Transport::Poll);
        ladder.mute();
        assert_eq!(ladder.transport(), Transport::WebSocket);
    }

    #[test]
    fn a_better_transport_is_tried_in_the_background_and_taken_when_it_carries() {
        let mut ladder = below(Transport::LongPoll);
        assert_eq!(ladder.tick(9_999), ProbeAction::None);
        assert_eq!(ladder.tick(10_000), ProbeAction::Open(Transport::WebSocket));
        ladder.probe_answered(10_100);
        assert_eq!(ladder.tick(15_099), ProbeAction::None);
        assert_eq!(ladder.tick(15_100), ProbeAction::Promote);
        assert_eq!(ladder.transport(), Transport::WebSocket);
        assert_eq!(ladder.tick(1_000_000_000), ProbeAction::None);
    }

    #[test]
    fn every_better_transport_has_its_turn_again_and_again() {
        let mut ladder = below(Transport::Poll);
        let mut tried = Vec::new();
        for second in 0..120 {
            let now = second * 1_000;
            if let ProbeAction::Open(transport) = ladder.tick(now) {
                tried.push(transport);
                ladder.probe_failed(now);
            }
        }
        let better = [Transport::WebSocket, Transport::Events, Transport::LongPoll];
        assert_eq!(tried, [&better[..], &better[..1]].concat());
    }

    #[test]
    fn a_probe_that_dies_young_or_stays_mute_changes_nothing() {
        let mut ladder = below(Transport::Events);
        assert_eq!(ladder.tick(10_000), ProbeAction::Open(Transport::WebSocket));
        assert_eq!(ladder.tick(20_000), ProbeAction::Close);
        assert_eq!(ladder.tick(50_000), ProbeAction::Open(Transport::WebSocket));
        ladder.probe_answered(50_100);
        ladder.probe_failed(50_300);
        assert_eq!(ladder.tick(60_000), ProbeAction::None);
        assert_eq!(ladder.transport(), Transport::Events);
    }

    #[test]
    fn a_probe_does_not_outlive_the_transport_beside_it() {
        let mut ladder = below(Transport::Events);
        assert_eq!(ladder.tick(10_000), ProbeAction::Open(Transport::WebSocket));
        ladder.probe_answered(10_100);
        ladder.died(12_000);
        ladder.connected(13_000);
        assert_eq!(ladder.tick(16_000), ProbeAction::None);
        assert_eq!(ladder.transport(), Transport::Events);
    }

    #[test]
    fn waking_up_tries_a_better_transport_at_once_but_not_before_the_present_one_carries() {
        let mut ladder = Ladder::new(Transport::Events);
        ladder.wake(5);
        assert_eq!((ladder.deadline(), ladder.tick(5)), (None, ProbeAction::None));
        ladder.connected(10);
        assert_eq!(ladder.deadline(), Some(10 + FIRST_PROBE_MS));
        ladder.wake(20);
        assert_eq!(ladder.tick(20), ProbeAction::Open(Transport::WebSocket));
        // Saying hello again does not put off what is due.
        ladder.probe_failed(30);
        ladder.connected(40);
        assert_eq!(ladder.deadline(), Some(30 + PROBE_EVERY_MS));
    }

    #[test]
    fn after_a_change_for_the_better_the_next_try_is_a_while_off() {
        let mut ladder = below(Transport::Poll);
        ladder.probe_failed(0);
        for transport in [Transport::WebSocket, Transport::Events] {
            let at = ladder.deadline().unwrap();
            assert_eq!(ladder.tick(at), ProbeAction::Open(transport));
            match transport {
                Transport::WebSocket => ladder.probe_failed(at),
                _ => ladder.probe_answered(at),
            }
        }
        let at = ladder.deadline().unwrap();
        assert_eq!(ladder.tick(at), ProbeAction::Promote);
        assert_eq!(ladder.transport(), Transport::Events);
        assert_eq!(ladder.deadline(), Some(at + PROBE_EVERY_MS));
        // It has been there since its hello: it carries.
        for _ in 0..5 {
            assert!(!ladder.died(at));
            ladder.connected(at - STEADY_MS);
        }
    }

    #[test]
    fn what_the_person_chose_is_kept_until_they_leave_it_to_the_page() {
        let mut ladder = Ladder::new(Transport::WebSocket);
        assert!(ladder.choose(Some(Transport::Poll)));
        ladder.connected(0);
        assert!(!ladder.mute());
        assert_eq!(
            (ladder.tick(1_000_000_000), ladder.transport()),
            (ProbeAction::None, Transport::Poll)
        );
        assert_eq!((ladder.chosen(), ladder.deadline()), (Some(Transport::Poll), None));
        assert!(!ladder.choose(Some(Transport::Poll)));
        assert!(ladder.choose(None));
        assert_eq!((ladder.chosen(), ladder.transport()), (None, Transport::WebSocket));
    }

    #[test]
    fn what_the_one_before_has_carried_says_nothing_about_the_one_that_is_chosen() {
        for (before, deaths) in [(Transport::Poll, 3), (Transport::WebSocket, 4)] {
            let mut ladder = below(before);
            ladder.choose(None);
            // It has carried for a while only if it is the same.
            let left = (1..=deaths).map(|_| ladder.died(STEADY_MS)).position(|left| left);
            assert_eq!(left, Some(deaths - 1), "{before:?}");
        }
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Connected,
        Dismissed,
        Died,
        Mute,
        Wake,
        Answered,
        Failed,
        Tick,
        Choose(Option<Transport>),
    }

    proptest! {
        #[test]
        fn what_is_due_at_a_time_is_done_then_and_no_sooner(
            story in prop::collection::vec((steps(), 0..20_000_u64), 0..30)
        ) {
            let (mut ladder, mut now) = (Ladder::new(Transport::Poll), 0);
            for (step, passes) in story {
                now += passes;
                match step {
                    Step::Connected => ladder.connected(now),
                    Step::Dismissed => ladder.dismissed(),
                    Step::Died => drop(ladder.died(now)),
                    Step::Mute => drop(ladder.mute()),
                    Step::Wake => ladder.wake(now),
                    Step::Answered => ladder.probe_answered(now),
                    Step::Failed => ladder.probe_failed(now),
                    Step::Tick => drop(ladder.tick(now)),
                    Step::Choose(choice) => drop(ladder.choose(choice)),
                }
            }
            match ladder.deadline() {
                None => prop_assert_eq!(ladder.tick(now + 1_000_000), ProbeAction::None),
                Some(at) => {
                    if at > 0 {
                        prop_assert_eq!(ladder.tick(at - 1), ProbeAction::None);
                    }
                    prop_assert_ne!(ladder.tick(at), ProbeAction::None);
                }
            }
        }
    }

    fn steps() -> impl Strategy<Value = Step> {
        prop::sample::select(&[
            Step::Connected,
            Step::Connected,
            Step::Dismissed,
            Step::Died,
            Step::Mute,
            Step::Wake,
            Step::Answered,
            Step::Failed,
            Step::Tick,
            Step::Tick,
            Step::Choose(None),
            Step::Choose(Some(Transport::Events)),
        ])
    }
}
