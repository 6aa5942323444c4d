//! When to connect, when to wait, when to give up a try: the client's state machine, without a
//! browser and without a clock.
//!
//! Feed it [`Input`]s with the time; it answers what to do. The rule to keep: it alone decides, so
//! two paths can never open two sockets.

use crate::Millis;

/// How long a connection may take to open, in milliseconds.
const OPEN_WITHIN_MS: Millis = 10_000;
/// How long an open connection may be silent, in milliseconds. The server says something every 25
/// seconds.
const SILENT_MS: Millis = 60_000;
/// How long it may have been silent when the page wakes up, in milliseconds: a line that slept longer
/// is not trusted.
const SILENT_AT_WAKE_MS: Millis = 30_000;
/// The first wait is drawn from 0 to this, in milliseconds; each next one from twice as much.
const FIRST_WAIT_MS: Millis = 1_000;
/// No wait is longer, in milliseconds.
const LONGEST_WAIT_MS: Millis = 30_000;
/// How many doublings reach the longest wait.
const DOUBLINGS: u32 = 5;

/// Where the connection is. Times are in milliseconds on one clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Phase {
    /// Nothing was tried yet.
    Idle,
    /// A socket is opening.
    Connecting {
        /// Since when.
        since: Millis,
        /// Whether a connection was lost before.
        again: bool,
    },
    /// The server has said hello.
    Open {
        /// When anything was last heard from it.
        heard: Millis,
    },
    /// Waiting before the next try.
    Waiting {
        /// When that will be.
        until: Millis,
    },
    /// The server lets us in no more, unless something is changed outside of here.
    Over,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Input {
    /// The page is ready.
    Start,
    /// The server said hello: the connection does what it is for. An `open` event alone proves
    /// nothing (phoenix#6766).
    Hello,
    /// The server said anything else.
    Heard,
    /// The server said when to come back, in milliseconds.
    Bye {
        /// That long from now.
        reconnect_in_ms: Millis,
    },
    /// The server said that coming back like this would be in vain.
    Over,
    /// The socket closed, whatever the reason.
    Closed,
    /// Time passed.
    Tick,
    /// The network, or the page, is back: `online`, `pageshow`, or visible again.
    Wake,
    /// The person asks to try now.
    RetryNow,
    /// Another transport is to be taken, whatever there is.
    Switch,
}

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Nothing.
    None,
    /// Open a new socket, dropping what there is.
    Connect,
    /// Drop the socket that does not open, or is open and silent.
    Abandon,
    /// Drop the socket.
    Leave,
}

/// The state machine.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    phase: Phase,
    /// Tries since the last hello; the wait grows with it.
    failures: u32,
    bye: Option<Millis>,
}

impl Default for Connection {
    fn default() -> Self {
        Self { phase: Phase::Idle, failures: 0, bye: None }
    }
}

impl Connection {
    /// Where the connection is.
    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// Takes in what happened at `now` (milliseconds) and says what to do. `random` is a fresh
    /// number from 0 to 1, for the jitter.
    pub(crate) fn step(&mut self, input: Input, now: Millis, random: f64) -> Action {
        match (self.phase, input) {
            (Phase::Idle, Input::Start) => self.connect(now, false),
            (Phase::Connecting { .. }, Input::Hello) => {
                self.phase = Phase::Open { heard: now };
                self.failures = 0;
                Action::None
            }
            (Phase::Open { .. }, Input::Heard | Input::Hello) => {
                self.phase = Phase::Open { heard: now };
                Action::None
            }
            (Phase::Open { heard }, Input::Tick) if now - heard >= SILENT_MS => {
                self.wait(now, random);
                Action::Abandon
            }
            (Phase::Open { heard }, Input::Wake) if now - heard >= SILENT_AT_WAKE_MS => {
                self.connect(now, true)
            }
            (Phase::Open { .. }, Input::Bye { reconnect_in_ms }) => {
                self.bye = Some(reconnect_in_ms);
                Action::None
            }
            (Phase::Connecting { .. } | Phase::Open { .. }, Input::Over) => {
                self.phase = Phase::Over;
                Action::Leave
            }
            (Phase::Over, Input::RetryNow) => self.connect(now, true),
            (Phase::Connecting { .. } | Phase::Open { .. }, Input::Closed) => {
                self.wait(now, random);
                Action::None
            }
            (Phase::Connecting { since, .. }, Input::Tick) if now - since >= OPEN_WITHIN_MS => {
                self.wait(now, random);
                Action::Abandon
            }
            (
                Phase::Connecting { .. } | Phase::Open { .. } | Phase::Waiting { .. },
                Input::Switch,
            ) => self.connect(now, true),
            (Phase::Waiting { until }, Input::Tick) if now >= until => self.connect(now, true),
            // A try that fails after this waits as long as it would have: pressing the button does
            // not make the page knock more often (zulip#34050).
            (Phase::Waiting { .. }, Input::Wake | Input::RetryNow) => self.connect(now, true),
            _ => Action::None,
        }
    }

    /// When [`Input::Tick`] has something to do.
    pub(crate) fn deadline(&self) -> Option<Millis> {
        match self.phase {
            Phase::Idle | Phase::Over => None,
            Phase::Connecting { since, .. } => Some(since + OPEN_WITHIN_MS),
            Phase::Open { heard } => Some(heard + SILENT_MS),
            Phase::Waiting { until } => Some(until),
        }
    }

    /// Whole seconds until the next try, rounded up; `None` unless waiting.
    pub(crate) fn seconds_left(&self, now: Millis) -> Option<u64> {
        match self.phase {
            Phase::Waiting { until } => Some(until.saturating_sub(now).div_ceil(1_000)),
            Phase::Idle | Phase::Connecting { .. } | Phase::Open { .. } | Phase::Over => None,
        }
    }

    /// When there is a second less.
    pub(crate) fn next_second(&self, now: Millis) -> Option<Millis> {
        let Phase::Waiting { until } = self.phase else { return None };
        Some(until - self.seconds_left(now)?.checked_sub(1)? * 1_000)
    }

    fn connect(&mut self, now: Millis, again: bool) -> Action {
        self.phase = Phase::Connecting { since: now, again };
        Action::Connect
    }

    /// Full jitter: anything from 0 to the bound, so that a thousand pages that lost one server do
    /// not return together. A server that said when to come back is obeyed.
    fn wait(&mut self, now: Millis, random: f64) {
        let bound = (FIRST_WAIT_MS << self.failures.min(DOUBLINGS)).min(LONGEST_WAIT_MS);
        let wait = self.bye.take().unwrap_or((bound as f64 * random) as Millis);
        self.failures += 1;
        self.phase = Phase::Waiting { until: now.saturating_add(wait) };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn open() -> Connection {
        let mut connection = Connection::default();
        assert_eq!(connection.step(Input::Start, 0, 0.5), Action::Connect);
        connection.step(Input::Hello, 0, 0.5);
        assert_eq!(connection.phase(), Phase::Open { heard: 0 });
        connection
    }

    #[test]
    fn a_lost_connection_is_tried_again_after_a_wait() {
        let mut connection = open();
        assert_eq!(connection.step(Input::Closed, 1_000, 0.5), Action::None);
        assert_eq!(connection.phase(), Phase::Waiting { until: 1_500 });
        assert_eq!(connection.step(Input::Tick, 1_499, 0.5), Action::None);
        assert_eq!(connection.step(Input::Tick, 1_500, 0.5), Action::Connect);
    }

    #[test]
    fn each_failure_doubles_the_bound_of_the_wait_up_to_thirty_seconds() {
        let mut connection = open();
        let mut waits = Vec::new();
        for _ in 0..8 {
            connection.step(Input::Closed, 0, 1.0);
            let Phase::Waiting { until } = connection.phase() else { panic!() };
            waits.push(until / 1_000);
            connection.step(Input::Tick, until, 1.0);
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30, 30]);
    }

    #[test]
    fn opening_alone_does_not_count_as_success() {
        let mut connection = open();
        connection.step(Input::Closed, 0, 1.0);
        connection.step(Input::RetryNow, 0, 1.0);
        connection.step(Input::Closed, 0, 1.0);
        assert_eq!(connection.phase(), Phase::Waiting { until: 2_000 });
    }

    #[test]
    fn the_server_says_when_to_come_back_and_is_obeyed_once() {
        let mut connection = open();
        connection.step(Input::Bye { reconnect_in_ms: 7_000 }, 0, 0.1);
        connection.step(Input::Closed, 0, 0.1);
        assert_eq!(connection.phase(), Phase::Waiting { until: 7_000 });
        connection.step(Input::Tick, 7_000, 0.1);
        connection.step(Input::Closed, 7_000, 0.1);
        assert_eq!(connection.phase(), Phase::Waiting { until: 7_200 });
    }

    #[test]
    fn whoever_is_let_in_no_more_comes_back_when_asked_to_and_not_by_itself() {
        let mut connection = open();
        assert_eq!(connection.step(Input::Over, 0, 0.5), Action::Leave);
        for input in [Input::Closed, Input::Tick, Input::Wake, Input::Switch] {
            assert_eq!(connection.step(input, 100_000, 0.5), Action::None);
        }
        assert_eq!(connection.deadline(), None);
        assert_eq!(connection.step(Input::RetryNow, 100_000, 0.5), Action::Connect);
    }

    #[test]
    fn coming_back_or_asking_tries_at_once() {
        for input in [Input::Wake, Input::RetryNow] {
            let mut connection = open();
            connection.step(Input::Closed, 0, 1.0);
            assert_eq!(connection.step(input, 1, 1.0), Action::Connect);
        }
    }

    #[test]
    fn waking_up_does_not_disturb_a_connection_that_was_lively() {
        assert_eq!(open().step(Input::Wake, 1, 0.5), Action::None);
    }

    #[test]
    fn waking_up_after_a_long_silence_connects_anew() {
        let mut connection = open();
        connection.step(Input::Heard, 40_000, 0.5);
        assert_eq!(connection.step(Input::Wake, 69_999, 0.5), Action::None);
        assert_eq!(connection.step(Input::Wake, 70_000, 0.5), Action::Connect);
    }

    #[test]
    fn an_open_connection_that_says_nothing_is_given_up() {
        let mut connection = open();
        connection.step(Input::Heard, 10_000, 0.5);
        assert_eq!(connection.step(Input::Tick, 69_999, 0.5), Action::None);
        assert_eq!(connection.step(Input::Tick, 70_000, 0.5), Action::Abandon);
        assert!(matches!(connection.phase(), Phase::Waiting { .. }));
    }

    #[test]
    fn a_socket_that_does_not_open_is_given_up() {
        let mut connection = Connection::default();
        connection.step(Input::Start, 0, 0.5);
        assert_eq!(connection.step(Input::Tick, 9_999, 0.5), Action::None);
        assert_eq!(connection.step(Input::Tick, 10_000, 0.5), Action::Abandon);
        assert!(matches!(connection.phase(), Phase::Waiting { .. }));
    }

    #[test]
    fn the_countdown_is_in_whole_seconds_and_never_negative() {
        let mut connection = open();
        connection.step(Input::Closed, 0, 1.0);
        assert_eq!(connection.seconds_left(1), Some(1));
        assert_eq!(connection.seconds_left(5_000), Some(0));
    }

    #[test]
    fn the_next_second_of_the_countdown_is_known() {
        let mut connection = open();
        connection.step(Input::Bye { reconnect_in_ms: 2_500 }, 0, 1.0);
        connection.step(Input::Closed, 0, 1.0);
        assert_eq!((connection.seconds_left(0), connection.next_second(0)), (Some(3), Some(500)));
        assert_eq!(connection.next_second(500), Some(1_500));
        assert_eq!(connection.next_second(2_500), None);
    }

    fn inputs() -> impl Strategy<Value = Input> {
        prop_oneof![
            Just(Input::Start),
            Just(Input::Hello),
            Just(Input::Heard),
            Just(Input::Bye { reconnect_in_ms: 500 }),
            Just(Input::Over),
            Just(Input::Closed),
            Just(Input::Tick),
            Just(Input::Wake),
            Just(Input::RetryNow),
            Just(Input::Switch),
        ]
    }

    proptest! {
        #[test]
        fn what_is_due_at_a_time_is_done_then_and_no_sooner(
            story in prop::collection::vec((inputs(), 0..20_000_u64), 0..30)
        ) {
            let (mut connection, mut now) = (Connection::default(), 0);
            for (input, passes) in story {
                now += passes;
                connection.step(input, now, 0.5);
            }
            match connection.deadline() {
                None => prop_assert!(matches!(connection.phase(), Phase::Idle | Phase::Over)),
                Some(at) => {
                    let before = at.saturating_sub(1);
                    prop_assert_eq!(connection.step(Input::Tick, before, 0.5), Action::None);
                    prop_assert_ne!(connection.step(Input::Tick, at, 0.5), Action::None);
                }
            }
        }

        #[test]
        fn whatever_happens_there_is_one_socket_at_most_and_waiting_ends(
            story in prop::collection::vec((inputs(), 0..20_000_u64, 0.0..1_f64), 0..200)
        ) {
            let mut connection = Connection::default();
            let (mut now, mut sockets) = (0, 0);
            for (input, passes, random) in story {
                // A socket that is not there says nothing.
                let from_socket =
                    matches!(input, Input::Hello | Input::Heard | Input::Bye { .. } | Input::Over | Input::Closed);
                if from_socket && sockets == 0 {
                    continue;
                }
                now += passes;
                let action = connection.step(input, now, random);
                if input == Input::Closed || matches!(action, Action::Abandon | Action::Leave) {
                    sockets -= 1;
                }
                if action == Action::Connect {
                    // In place of the one there may be.
                    sockets = 1;
                }
                prop_assert!((0..=1).contains(&sockets));
                let has_socket =
                    matches!(connection.phase(), Phase::Connecting { .. } | Phase::Open { .. });
                prop_assert_eq!(has_socket, sockets == 1);
                if let Phase::Waiting { until } = connection.phase() {
                    prop_assert!(until <= now + LONGEST_WAIT_MS);
                }
            }
        }
    }
}
