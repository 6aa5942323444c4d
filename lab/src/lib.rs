//! A race of the roads that a message can take: what is sent, what is counted, and what can be said of it.
//!
//! Start at [`Plan`], what is asked for; a [`Run`] is one road while its messages go out and come back, an [`Outcome`] what
//! is left of it, [`Figures`] what is said of that. Pure: no clock, no network; whoever has them drives it. The rule to
//! keep: a trip counts from when its message was *due*, so whatever holds it up shows.

mod figures;
mod outcome;
mod plan;
mod road;
mod run;
mod steps;
mod verdict;
mod weather;

pub use self::{
    figures::{Figures, Percentile, csv, ecdf, table},
    outcome::{Echo, Failed, Outcome, Race, Traffic, Trip, recorded},
    plan::{Clamped, Plan},
    road::Road,
    run::{PATIENCE_MS, Run, round},
    steps::{MOST_STEPS, Step, What},
    verdict::{Verdict, verdict},
    weather::{Queue, Weather},
};
