//! Whether what was measured bears out what is said of a road everywhere.

use client::Transport;

use crate::{Figures, Plan, Road};

/// What the numbers say of the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As the rule has it.
    Agrees,
    /// Not here.
    Disagrees,
    /// There is nothing to compare with.
    Unknown,
}

/// How much slower than another a road has to be to be called slower.
const SLOWER: f64 = 1.5;

/// Holds the rule of `road` against the numbers of a race:
///
/// - polling is for where real time does not matter: what comes takes about half an interval;
/// - long polling is for where it does and data is rare: it is faster than polling, and takes requests for each message;
/// - Server-Sent Events are for one direction: what comes is as fast as on a WebSocket, and what goes costs more bytes;
/// - a WebSocket is for both directions: no road through the hub is faster, or costs fewer bytes;
/// - WebRTC is for where immediacy is all: no road is faster.
pub fn verdict(road: Road, all: &[Figures], plan: &Plan) -> Verdict {
    let of = |road: Road| all.iter().find(|figures| figures.road == road);
    let over = |transport| of(Road::Over(transport));
    let p50 = |figures: Option<&Figures>| figures.and_then(|figures| figures.p50);
    let overhead = |figures: Option<&Figures>| figures.and_then(|figures| figures.overhead);
    let mine = of(road);
    let socket = over(Transport::WebSocket);
    let holds = match road {
        Road::Over(Transport::Poll) => p50(mine).map(|mine| mine >= f64::from(plan.poll) / 4.0),
        Road::Over(Transport::LongPoll) => {
            let faster =
                p50(mine).zip(p50(over(Transport::Poll))).map(|(mine, poll)| mine * SLOWER <= poll);
            let requests = mine.and_then(|mine| mine.requests).map(|requests| requests >= 1.0);
            faster.zip(requests).map(|(faster, requests)| faster && requests)
        }
        Road::Over(Transport::Events) => {
            let as_fast = p50(mine).zip(p50(socket)).map(|(mine, socket)| mine <= socket * SLOWER);
            let dearer = overhead(mine).zip(overhead(socket)).map(|(mine, socket)| mine > socket);
            as_fast.zip(dearer).map(|(as_fast, dearer)| as_fast && dearer)
        }
        Road::Over(Transport::WebSocket) => {
            let others: Vec<_> = all
                .iter()
                .filter(|other| other.road != road && other.road != Road::Direct)
                .collect();
            let first = p50(mine).map(|mine| {
                others.iter().all(|other| other.p50.is_none_or(|other| mine <= other * SLOWER))
            });
            let cheap = overhead(mine).map(|mine| {
                others.iter().all(|other| other.overhead.is_none_or(|other| mine <= other))
            });
            first.zip(cheap).map(|(first, cheap)| first && cheap).filter(|_| !others.is_empty())
        }
        Road::Direct => {
            let others: Vec<_> = all.iter().filter(|other| other.road != road).collect();
            p50(mine)
                .map(|mine| others.iter().all(|other| other.p50.is_none_or(|other| mine <= other)))
                .filter(|_| others.iter().any(|other| other.p50.is_some()))
        }
    };
    match holds {
        Some(true) => Verdict::Agrees,
        Some(false) => Verdict::Disagrees,
        None => Verdict::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Outcome;

    fn figures(word: &str, p50: f64, overhead: f64) -> Figures {
        let road = Road::parse(word).unwrap();
        Figures {
            p50: Some(p50),
            overhead: Some(overhead),
            requests: Some(2.0),
            ..Figures::of(&Outcome::none(road), &Plan::default())
        }
    }

    fn verdicts(all: &[Figures]) -> Vec<Verdict> {
        let plan = Plan { poll: 1_000, ..Plan::default() };
        all.iter().map(|figures| verdict(figures.road, all, &plan)).collect()
    }

    #[test]
    fn the_rules_hold_where_the_numbers_are_as_they_say() {
        let all = [
            figures("poll", 500.0, 900.0),
            figures("longpoll", 3.0, 1_500.0),
            figures("sse", 2.1, 900.0),
            figures("websocket", 2.0, 300.0),
            figures("webrtc", 0.6, 200.0),
        ];
        assert_eq!(verdicts(&all), [Verdict::Agrees; 5]);
    }

    #[test]
    fn where_they_are_not_that_is_said() {
        let all = [
            figures("poll", 20.0, 900.0),
            figures("longpoll", 30.0, 1_500.0),
            figures("sse", 2.0, 200.0),
            figures("websocket", 9.0, 300.0),
            figures("webrtc", 5.0, 200.0),
        ];
        assert_eq!(verdicts(&all), [Verdict::Disagrees; 5]);
    }

    #[test]
    fn alone_a_road_proves_nothing() {
        for word in ["longpoll", "sse", "websocket", "webrtc"] {
            assert_eq!(verdicts(&[figures(word, 2.0, 300.0)]), [Verdict::Unknown], "{word}");
        }
        assert_eq!(verdicts(&[]), []);
    }
}
