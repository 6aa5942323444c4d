//! The numbers as drawings: of our own making, in SVG, so that the server draws them too; see
//! docs/decisions/0021-lab.md.
//!
//! Each road has a colour and a pattern, so that colour alone says nothing; what a drawing shows is said in its caption,
//! and the table has the numbers.

use std::fmt::Write;

use lab::{Figures, Outcome, Race, ecdf};
use leptos::prelude::*;

use super::Lab;
use crate::{
    lang::{LabStrings, grouped, ms},
    shell::strings,
};

/// The size of a plot, and of the strips beside it that the axes take: in units of the drawing.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 56.0;
const BOTTOM: f64 = 40.0;
const TOP: f64 = 12.0;
const RIGHT: f64 = 28.0;
/// How many points a curve has at the most: more can't be told apart.
const POINTS: usize = 300;

#[component]
pub(super) fn Plots() -> impl IntoView {
    let texts = strings().lab;
    let lab = expect_context::<Lab>();
    let plots = move || {
        let race = lab.race.read();
        let has_any =
            race.outcomes.iter().any(|of| of.trips.iter().any(|trip| trip.took.is_some()));
        has_any.then(|| {
            let figures: Vec<_> =
                race.outcomes.iter().map(|outcome| Figures::of(outcome, &race.plan)).collect();
            (curves(&race, &figures, texts), dots(&race, texts), bars(&race, &figures, texts))
        })
    };
    view! { <div class="plots">{plots}</div> }
}

/// A scale on which each mark is ten times the one before.
#[derive(Clone, Copy)]
struct Log {
    from: i32,
    to: i32,
}

impl Log {
    /// One that holds all of these.
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let (mut least, mut most) = (f64::MAX, f64::MIN);
        for value in values.map(|value| value.max(0.01)) {
            (least, most) = (least.min(value), most.max(value));
        }
        if least > most {
            return Self { from: 0, to: 3 };
        }
        let (from, to) = (least.log10().floor() as i32, most.log10().ceil() as i32);
        Self { from, to: to.max(from + 1) }
    }

    /// Where a value is, from 0 to 1.
    fn place(self, value: f64) -> f64 {
        (value.max(0.01).log10() - f64::from(self.from)) / f64::from(self.to - self.from)
    }

    fn marks(self) -> impl Iterator<Item = f64> {
        (self.from..=self.to).map(|power| 10_f64.powi(power))
    }
}

fn mark(value: f64) -> String {
    if value < 1.0 { format!("{value}") } else { grouped(value as u64) }
}

fn x(place: f64) -> f64 {
    LEFT + place * (WIDTH - LEFT - RIGHT)
}

fn y(place: f64) -> f64 {
    HEIGHT - BOTTOM - place * (HEIGHT - BOTTOM - TOP)
}

fn took(race: &Race) -> impl Iterator<Item = f64> {
    race.outcomes.iter().flat_map(|of| &of.trips).filter_map(|trip| trip.took)
}

/// How many came back within which time.
fn curves(race: &Race, figures: &[Figures], texts: &'static LabStrings) -> AnyView {
    let log = Log::of(took(race));
    let curve = |outcome: &Outcome| {
        let mut path = String::new();
        let mut before = 0.0;
        for (ms, percent) in ecdf(outcome, &race.plan, POINTS) {
            let (at, from, to) = (x(log.place(ms)), y(before / 100.0), y(percent / 100.0));
            let command = if path.is_empty() { 'M' } else { 'L' };
            // Writing to a string does not fail.
            let _ = write!(path, "{command}{at:.1} {from:.1}L{at:.1} {to:.1}");
            before = percent;
        }
        view! { <path class="curve" data-road=outcome.road.word() d=path/> }
    };
    let across = log.marks().map(|value| {
        let at = x(log.place(value));
        upright(at, mark(value))
    });
    let up = [0.0, 50.0, 95.0, 100.0]
        .map(|percent| level(y(percent / 100.0), format!("{percent:.0} %")));
    let medians: Vec<_> =
        figures.iter().filter_map(|of| Some(((texts.road)(of.road), of.p50?))).collect();
    let curves = race.outcomes.iter().map(curve).collect_view();
    figure(
        texts.ecdf_title,
        (texts.ecdf_finding)(&medians),
        (across.collect_view(), up.collect_view(), curves, axis(texts.ecdf_axis)).into_any(),
        legend(race, figures, texts),
    )
}

/// When each message was due, and how long it took.
fn dots(race: &Race, texts: &'static LabStrings) -> AnyView {
    let log = Log::of(took(race));
    let last = race.plan.due(race.plan.count).max(1.0);
    let dots = |outcome: &Outcome| {
        let path = |from: usize, to: usize| {
            let trips = outcome.trips.iter().take(to).skip(from);
            let mut path = String::new();
            for (due, ms) in trips.filter_map(|trip| Some((trip.due, trip.took?))) {
                // A line of no length with round ends is a dot.
                let _ = write!(path, "M{:.1} {:.1}h0", x(due / last), y(log.place(ms)));
            }
            path
        };
        let warm_up = race.plan.warm_up() as usize;
        let road = outcome.road.word();
        view! {
            <path class="dots warm-up" data-road=road d=path(0, warm_up)/>
            <path class="dots" data-road=road d=path(warm_up, usize::MAX)/>
        }
    };
    let up = log.marks().map(|value| level(y(log.place(value)), mark(value)));
    let across = [0.0, 0.25, 0.5, 0.75, 1.0]
        .map(|place| upright(x(place), format!("{:.1}", place * last / 1_000.0)));
    let dots = race.outcomes.iter().map(dots).collect_view();
    figure(
        texts.time_title,
        (texts.time_finding)(race.plan.warm_up()),
        (across.collect_view(), up.collect_view(), dots, axis(texts.time_axis)).into_any(),
        ().into_any(),
    )
}

/// What of the bytes is text, and what is not.
fn bars(race: &Race, figures: &[Figures], texts: &'static LabStrings) -> AnyView {
    const BAR: f64 = 22.0;
    const NAMES: f64 = 150.0;
    const NUMBERS: f64 = 80.0;
    let text = 2.0 * f64::from(race.plan.size);
    let costs: Vec<_> =
        figures.iter().filter_map(|of| Some((of.road, of.overhead?.max(0.0) + text))).collect();
    if costs.is_empty() {
        return ().into_any();
    }
    let most = costs.iter().map(|(_, cost)| *cost).fold(1.0, f64::max);
    let room = WIDTH - NAMES - NUMBERS;
    let named: Vec<_> = costs.iter().map(|(road, cost)| ((texts.road)(*road), *cost)).collect();
    let height = (BAR + 12.0) * costs.len() as f64 + 12.0;
    let bar = |(index, (road, cost)): (usize, &(lab::Road, f64))| {
        let top = 6.0 + index as f64 * (BAR + 12.0);
        let (text, all) = (text / most * room, cost / most * room);
        let middle = format!("{:.1}", top + BAR / 2.0 + 5.0);
        view! {
            <text x=(NAMES - 10.0).to_string() y=middle.clone() text-anchor="end">{(texts.road)(*road)}</text>
            <rect
                class="rest"
                x=NAMES.to_string()
                y=format!("{top:.1}")
                width=format!("{all:.1}")
                height=BAR.to_string()
            />
            <rect
                class="text-part"
                x=NAMES.to_string()
                y=format!("{top:.1}")
                width=format!("{text:.1}")
                height=BAR.to_string()
            />
            <text x=format!("{:.1}", NAMES + all + 8.0) y=middle>
                {format!("{} B", grouped(cost.round() as u64))}
            </text>
        }
    };
    let bars = costs.iter().enumerate().map(bar).collect_view();
    let (text_part, rest) = texts.bytes_parts;
    view! {
        <figure class="plot">
            <h2>{texts.bytes_title}</h2>
            <figcaption>{(texts.bytes_finding)(&named, f64::from(race.plan.size))}</figcaption>
            <svg viewBox=format!("0 0 {WIDTH} {height}") aria-hidden="true">{bars}</svg>
            <ul class="legend" aria-hidden="true">
                <li><span class="patch text-part"></span>{text_part}</li>
                <li><span class="patch rest"></span>{rest}</li>
            </ul>
        </figure>
    }
    .into_any()
}

fn figure(title: &'static str, finding: String, inside: AnyView, legend: AnyView) -> AnyView {
    view! {
        <figure class="plot">
            <h2>{title}</h2>
            <figcaption>{finding}</figcaption>
            <svg viewBox=format!("0 0 {WIDTH} {HEIGHT}") aria-hidden="true">{inside}</svg>
            {legend}
        </figure>
    }
    .into_any()
}

/// Which line is which road, with its numbers.
fn legend(race: &Race, figures: &[Figures], texts: &'static LabStrings) -> AnyView {
    let lines = race.outcomes.iter().zip(figures).filter_map(|(outcome, of)| {
        let (p50, p95) = (ms(of.p50?), ms(of.p95?));
        Some(view! {
            <li>
                <svg class="sample" viewBox="0 0 40 8" aria-hidden="true">
                    <path class="curve" data-road=outcome.road.word() d="M0 4H40"/>
                </svg>
                {format!("{}: p50 {p50}, p95 {p95}", (texts.road)(outcome.road))}
            </li>
        })
    });
    view! { <ul class="legend">{lines.collect_view()}</ul> }.into_any()
}

/// A mark on the axis across.
fn upright(at: f64, text: String) -> impl IntoView {
    let at = format!("{at:.1}");
    view! {
        <line class="grid" x1=at.clone() x2=at.clone() y1=TOP.to_string() y2=(HEIGHT - BOTTOM).to_string()/>
        <text class="tick" x=at y=(HEIGHT - BOTTOM + 16.0).to_string() text-anchor="middle">{text}</text>
    }
}

/// A mark on the axis up.
fn level(at: f64, text: String) -> impl IntoView {
    let line = format!("{at:.1}");
    view! {
        <line class="grid" x1=LEFT.to_string() x2=(WIDTH - RIGHT).to_string() y1=line.clone() y2=line/>
        <text class="tick" x=(LEFT - 6.0).to_string() y=format!("{:.1}", at + 4.0) text-anchor="end">{text}</text>
    }
}

/// What the marks mean.
fn axis(text: &'static str) -> impl IntoView {
    view! {
        <text class="axis" x=((LEFT + WIDTH) / 2.0).to_string() y=(HEIGHT - 6.0).to_string() text-anchor="middle">
            {text}
        </text>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_holds_all_its_values_and_has_at_least_two_marks() {
        let log = Log::of([0.4, 3.0, 1_200.0].into_iter());
        assert_eq!(log.marks().collect::<Vec<_>>(), [0.1, 1.0, 10.0, 100.0, 1_000.0, 10_000.0]);
        assert!([0.4, 1_200.0].iter().all(|value| (0.0..=1.0).contains(&log.place(*value))));
        assert_eq!(Log::of([1.0].into_iter()).marks().count(), 2);
        assert_eq!(Log::of(std::iter::empty()).marks().count(), 4);
    }
}
