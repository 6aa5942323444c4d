//! What is left of a race: all that its figures and drawings are made from, so that it can be kept and read again.

use serde::{Deserialize, Serialize};

use crate::{Plan, Road, Step};

/// A race, as it was run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Race {
    /// The version of this form.
    pub v: u32,
    /// What was asked for.
    pub plan: Plan,
    /// When it began: milliseconds since 1970, UTC.
    pub at: u64,
    /// What it ran in, in its own words.
    pub by: String,
    /// How often its clock ticks, in milliseconds.
    pub tick: f64,
    /// One for each road, in the order they were run.
    pub outcomes: Vec<Outcome>,
}

/// A race that was run once on one machine: to look at where none was run yet, or can be.
pub fn recorded() -> Race {
    serde_json::from_str(include_str!("../recorded.json"))
        .expect("a test has read it, and it does not change")
}

/// What came of one road.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Which.
    pub road: Road,
    /// How long it took until the road was open, in milliseconds.
    pub opened: Option<f64>,
    /// Why it ended before its time.
    pub failed: Option<Failed>,
    /// It was blocked: the client found this one instead.
    pub carried: Option<Road>,
    /// One for each message that was due.
    pub trips: Vec<Trip>,
    /// How often a message came that had come before.
    pub doubled: u32,
    /// What the hub has counted at its sockets.
    pub hub: Option<Traffic>,
    /// What browsers have counted between them, with an estimate for the headers below.
    pub between: Option<Traffic>,
    /// Who sent the messages back; the hub, if nobody is named.
    pub echo: Option<Echo>,
    /// The page was not in sight for a while, and its timers were slow.
    pub disturbed: bool,
    /// What happened for one message of middling luck.
    pub steps: Vec<Step>,
}

impl Outcome {
    /// Of a road on which nothing was sent yet.
    pub fn none(road: Road) -> Self {
        Self {
            road,
            opened: None,
            failed: None,
            carried: None,
            trips: Vec::new(),
            doubled: 0,
            hub: None,
            between: None,
            echo: None,
            disturbed: false,
            steps: Vec::new(),
        }
    }
}

/// Why a road ended before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failed {
    /// It did not open.
    NotOpened,
    /// There is no way from one browser to the other.
    NoWay,
    /// This browser does not have it.
    Missing,
    /// It was stopped.
    Stopped,
}

/// One message, there and back. Milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trip {
    /// When it was due, from the beginning of this road's run.
    pub due: f64,
    /// How much later it was handed over: whoever sends was busy.
    pub late: f64,
    /// How long after it was due it was back.
    pub took: Option<f64>,
}

/// What went over the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// How many requests were made; between browsers, packets.
    pub requests: u64,
    /// Bytes that were sent, headers and all.
    pub up: u64,
    /// Bytes that came.
    pub down: u64,
}

/// Who sends the messages back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Echo {
    /// The page that sent them, through a second session of its own: no network is between.
    SamePage,
    /// Another page.
    OtherPage,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Figures;

    #[test]
    fn the_recorded_race_is_one_of_all_roads_on_which_nothing_was_lost() {
        let race = recorded();
        assert_eq!((race.v, race.outcomes.len()), (1, Road::ALL.len()));
        for outcome in &race.outcomes {
            let figures = Figures::of(outcome, &race.plan);
            assert_eq!((figures.lost, figures.doubled), (0, 0), "{:?}", outcome.road);
            assert_eq!(figures.sent, race.plan.count as usize);
            assert!(outcome.hub.is_some() && !outcome.steps.is_empty());
        }
    }
}
