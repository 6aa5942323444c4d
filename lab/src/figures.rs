//! What is said of an outcome, in numbers: exact, from all its trips.

use std::fmt::Write;

use crate::{Outcome, Plan, Race, Road};

/// The numbers of one road. Milliseconds and bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    /// Which.
    pub road: Road,
    /// How many messages were sent.
    pub sent: usize,
    /// How many of them did not come back.
    pub lost: usize,
    /// How often one came that had come before.
    pub doubled: u32,
    /// How many are behind the following: those that came back, without the first, which warmed up.
    pub counted: usize,
    /// Half were faster.
    pub p50: Option<f64>,
    /// Of a hundred 95 were faster.
    pub p95: Option<f64>,
    /// Of a hundred 99.
    pub p99: Option<Percentile>,
    /// Of a hundred sent, 95 were less late in setting out.
    pub late: Option<f64>,
    /// How many requests, or packets between browsers, one message took.
    pub requests: Option<f64>,
    /// All that was sent, headers and all.
    pub up: Option<u64>,
    /// All that came.
    pub down: Option<u64>,
    /// How much there is for one message beside its text, which goes once each way.
    pub overhead: Option<f64>,
}

/// A percentile, and whether there were enough for one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Percentile {
    /// It is one.
    Is(f64),
    /// There were so few that it is just the longest.
    Longest(f64),
}

impl Percentile {
    /// The number.
    pub fn value(self) -> f64 {
        match self {
            Self::Is(value) | Self::Longest(value) => value,
        }
    }
}

impl Figures {
    /// The numbers of `outcome`.
    pub fn of(outcome: &Outcome, plan: &Plan) -> Self {
        let sent = outcome.trips.len();
        let lost = outcome.trips.iter().filter(|trip| trip.took.is_none()).count();
        let took = counted(outcome, plan);
        let mut late: Vec<_> = outcome.trips.iter().map(|trip| trip.late).collect();
        late.sort_by(f64::total_cmp);
        let p99 = nearest_rank(&took, 99).map(|value| match took.len() {
            100.. => Percentile::Is(value),
            _ => Percentile::Longest(value),
        });
        // Between browsers the hub only helps; what it has counted is told beside it.
        let wire = outcome.between.or(outcome.hub);
        let each = |total: f64| (sent > 0).then(|| total / sent as f64);
        let texts = 2.0 * f64::from(plan.size) * sent as f64;
        Self {
            road: outcome.road,
            sent,
            lost,
            doubled: outcome.doubled,
            counted: took.len(),
            p50: nearest_rank(&took, 50),
            p95: nearest_rank(&took, 95),
            p99,
            late: nearest_rank(&late, 95),
            requests: wire.and_then(|wire| each(wire.requests as f64)),
            up: wire.map(|wire| wire.up),
            down: wire.map(|wire| wire.down),
            overhead: wire.and_then(|wire| each((wire.up + wire.down) as f64 - texts)),
        }
    }
}

/// How long the trips took that count, shortest first.
fn counted(outcome: &Outcome, plan: &Plan) -> Vec<f64> {
    let counted = outcome.trips.iter().skip(plan.warm_up() as usize);
    let mut took: Vec<_> = counted.filter_map(|trip| trip.took).collect();
    took.sort_by(f64::total_cmp);
    took
}

/// The smallest value that so many of a hundred don't exceed; of values in order.
fn nearest_rank(sorted: &[f64], percent: usize) -> Option<f64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.checked_sub(1)?).copied()
}

/// How many of a hundred came back within which time: points of a curve that only rises, at most `most` of them.
pub fn ecdf(outcome: &Outcome, plan: &Plan, most: usize) -> Vec<(f64, f64)> {
    let took = counted(outcome, plan);
    let count = took.len();
    let step = count.div_ceil(most.max(1)).max(1);
    let point = |index: usize| (took[index], (index + 1) as f64 * 100.0 / count as f64);
    let mut points: Vec<_> = (0..count).step_by(step).map(point).collect();
    if let Some(last) = count.checked_sub(1)
        && last % step != 0
    {
        points.push(point(last));
    }
    points
}

const COLUMNS: [&str; 12] = [
    "road",
    "sent",
    "lost",
    "doubled",
    "p50_ms",
    "p95_ms",
    "p99_ms",
    "late_p95_ms",
    "requests_per_message",
    "bytes_up",
    "bytes_down",
    "overhead_bytes_per_message",
];

fn cells(figures: &Figures) -> [String; COLUMNS.len()] {
    let ms = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.3}"));
    let number = |value: Option<u64>| value.map_or(String::new(), |value| value.to_string());
    [
        figures.road.word().to_owned(),
        figures.sent.to_string(),
        figures.lost.to_string(),
        figures.doubled.to_string(),
        ms(figures.p50),
        ms(figures.p95),
        ms(figures.p99.map(Percentile::value)),
        ms(figures.late),
        figures.requests.map_or(String::new(), |value| format!("{value:.2}")),
        number(figures.up),
        number(figures.down),
        figures.overhead.map_or(String::new(), |value| format!("{value:.0}")),
    ]
}

fn rows(race: &Race) -> impl Iterator<Item = [String; COLUMNS.len()]> {
    race.outcomes.iter().map(|outcome| cells(&Figures::of(outcome, &race.plan)))
}

/// The numbers of a race as comma-separated values, with names in the first line ([RFC 4180]).
///
/// [RFC 4180]: https://www.rfc-editor.org/rfc/rfc4180
pub fn csv(race: &Race) -> String {
    let lines = std::iter::once(COLUMNS.join(",")).chain(rows(race).map(|row| row.join(",")));
    lines.map(|line| line + "\r\n").collect()
}

/// The numbers of a race for a terminal.
pub fn table(race: &Race) -> String {
    let names = [
        "road",
        "sent",
        "lost",
        "doubled",
        "p50 ms",
        "p95 ms",
        "p99 ms",
        "late ms",
        "requests",
        "up B",
        "down B",
        "overhead B",
    ];
    let rows: Vec<_> = std::iter::once(names.map(str::to_owned)).chain(rows(race)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or_default();
    let mut table = String::new();
    for row in &rows {
        for (column, cell) in row.iter().enumerate() {
            let width = width(column);
            // Words to the left, numbers to the right. Writing to a string does not fail.
            let _ = match column {
                0 => write!(table, "{cell:<width$}"),
                _ => write!(table, "  {cell:>width$}"),
            };
        }
        table.push('\n');
    }
    table
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Traffic, Trip};

    fn outcome(took: &[Option<f64>]) -> Outcome {
        let trips = took.iter().map(|took| Trip { due: 0.0, late: 0.0, took: *took }).collect();
        Outcome { trips, ..Outcome::none(Road::Direct) }
    }

    fn plan(count: u32) -> Plan {
        Plan { count, size: 100, ..Plan::default() }
    }

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let took: Vec<_> = (1..=200).map(|ms| Some(f64::from(ms))).collect();
        let figures = Figures::of(&outcome(&took), &plan(200));
        // The first ten warm up: 11 to 200.
        assert_eq!((figures.counted, figures.p50, figures.p95), (190, Some(105.0), Some(191.0)));
        assert_eq!(figures.p99, Some(Percentile::Is(199.0)));
        let few = Figures::of(&outcome(&[Some(3.0), None, Some(1.0)]), &plan(3));
        assert_eq!((few.sent, few.lost, few.p50), (3, 1, Some(1.0)));
        assert_eq!(few.p99, Some(Percentile::Longest(3.0)));
    }

    #[test]
    fn overhead_is_what_is_left_when_the_texts_are_taken_away() {
        let hub = Some(Traffic { requests: 4, up: 1_000, down: 600 });
        let figures = Figures::of(&Outcome { hub, ..outcome(&[Some(1.0); 2]) }, &plan(2));
        assert_eq!((figures.requests, figures.overhead), (Some(2.0), Some(600.0)));
        assert_eq!((figures.up, figures.down), (Some(1_000), Some(600)));
    }

    #[test]
    fn the_table_and_the_values_have_a_line_for_each_road() {
        let outcomes = vec![outcome(&[Some(1.5)]), Outcome::none(Road::ALL[0])];
        let race = Race { v: 1, plan: plan(1), at: 0, by: String::new(), tick: 1.0, outcomes };
        let values = csv(&race);
        assert_eq!(values.lines().count(), 3);
        assert_eq!(values.lines().nth(1), Some("webrtc,1,0,0,1.500,1.500,1.500,0.000,,,,"));
        assert!(table(&race).lines().nth(2).unwrap().starts_with("poll "));
        let json = serde_json::to_string(&race).unwrap();
        assert_eq!(serde_json::from_str::<Race>(&json).unwrap(), race);
    }

    proptest! {
        #[test]
        fn percentiles_rise_and_the_curve_ends_with_all(
            took in proptest::collection::vec(0.0..1e4, 1..300),
            most in 1..50_usize,
        ) {
            let (plan, took) = (plan(took.len() as u32), took.into_iter().map(Some).collect::<Vec<_>>());
            let figures = Figures::of(&outcome(&took), &plan);
            prop_assert!(figures.p50 <= figures.p95);
            prop_assert!(figures.p95 <= figures.p99.map(Percentile::value));
            let curve = ecdf(&outcome(&took), &plan, most);
            prop_assert!(curve.is_sorted() && curve.len() <= most + 1);
            prop_assert_eq!(curve.last().unwrap().1, 100.0);
        }
    }
}
