//! A sequence diagram of what really happened for one message, and the same as a list.

use lab::{Figures, Outcome, Step, What};
use leptos::prelude::*;

use crate::lang::{LabStrings, grouped, ms};

/// Where the two lanes are, and how far below each other two arrows: in units of the drawing.
const LEFT: usize = 110;
const RIGHT: usize = 430;
const WIDTH: usize = 480;
const TOP: usize = 44;
const STEP: usize = 34;

pub(super) fn diagram(
    outcome: &Outcome,
    figures: &Figures,
    texts: &'static LabStrings,
) -> impl IntoView + use<> {
    let steps = &outcome.steps;
    let height = TOP + STEP * steps.len() + 12;
    let title = (texts.diagram)(&figures.p50.map(ms).unwrap_or_default());
    let list = steps.iter().map(|step| {
        let text = format!("{}: {} {}", time(step), arrow(step), words(step, texts));
        view! { <li>{text}</li> }
    });
    let lanes = (texts.lanes)(outcome.road);
    let lane = |x: usize, name: &'static str| {
        view! {
            <text class="lane-name" x=x.to_string() y="16" text-anchor="middle">{name}</text>
            <line class="lane" x1=x.to_string() x2=x.to_string() y1="26" y2=height.to_string()/>
        }
    };
    let arrows = steps.iter().enumerate().map(|(index, step)| {
        let y = TOP + STEP * index + STEP / 2;
        let (from, to) = if goes_up(step.what) { (LEFT, RIGHT) } else { (RIGHT, LEFT) };
        let head = if goes_up(step.what) {
            format!("M{} {}l10 5l-10 5z", to - 10, y - 5)
        } else {
            format!("M{} {}l-10 5l10 5z", to + 10, y - 5)
        };
        let middle = (LEFT + RIGHT) / 2;
        view! {
            <text class="at" x=(LEFT - 12).to_string() y=(y + 4).to_string() text-anchor="end">
                {time(step)}
            </text>
            <text x=middle.to_string() y=(y - 6).to_string() text-anchor="middle">
                {words(step, texts)}
            </text>
            <line
                class="arrow"
                class:empty=step.empty != 0
                x1=from.to_string()
                x2=to.to_string()
                y1=y.to_string()
                y2=y.to_string()
            />
            <path class="head-of-arrow" d=head/>
        }
    });
    view! {
        <figure class="diagram">
            <figcaption>{title}</figcaption>
            <svg viewBox=format!("0 0 {WIDTH} {height}") aria-hidden="true">
                {lane(LEFT, lanes[0])}
                {lane(RIGHT, lanes[1])}
                {arrows.collect_view()}
            </svg>
            <ol class="visually-hidden">{list.collect_view()}</ol>
        </figure>
    }
}

fn goes_up(what: What) -> bool {
    matches!(what, What::Get | What::Post | What::Send | What::SendDirect)
}

fn arrow(step: &Step) -> &'static str {
    if goes_up(step.what) { "→" } else { "←" }
}

fn time(step: &Step) -> String {
    // What was asked before it was due says so by its sign.
    match step.at {
        ..0.0 => format!("−{}", ms(-step.at)),
        at => ms(at),
    }
}

fn words(step: &Step, texts: &LabStrings) -> String {
    let what = (texts.step)(step.what);
    match (step.empty, step.what) {
        (0, What::Get) => what.to_owned(),
        (0, _) => format!("{what}, {} B", grouped(step.bytes as u64)),
        (empty, _) => format!("{what}, {}", (texts.empty_steps)(empty)),
    }
}
