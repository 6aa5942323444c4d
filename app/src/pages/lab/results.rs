//! What came of a race, in numbers.

use lab::{Figures, Outcome, Percentile, Plan, csv};
use leptos::prelude::*;

use super::Lab;
use crate::{
    browser,
    lang::{LabStrings, grouped, ms},
    shell::strings,
};

#[component]
pub(super) fn Results() -> impl IntoView {
    let texts = strings().lab;
    let lab = expect_context::<Lab>();
    let rows = move || {
        let race = lab.race.read();
        race.outcomes.iter().map(|outcome| row(outcome, &race.plan, texts)).collect_view()
    };
    let notes = move || {
        let race = lab.race.read();
        let order: Vec<_> = race.outcomes.iter().map(|of| (texts.road)(of.road)).collect();
        let together = match race.plan.together {
            true => texts.together_text.to_owned(),
            false => (texts.order)(&order.join(", ")),
        };
        let notes = race.outcomes.iter().filter_map(|outcome| note(outcome, texts));
        std::iter::once(together).chain(notes).map(|note| view! { <li>{note}</li> }).collect_view()
    };
    let save = move |as_json: bool| {
        let race = lab.race.read_untracked();
        if as_json {
            // A race is numbers, strings and lists, which always encode.
            let json = serde_json::to_string_pretty(&*race).unwrap_or_default();
            browser::download(&json, "hubbub-lab.json");
        } else {
            browser::download(&csv(&race), "hubbub-lab.csv");
        }
    };
    view! {
        <div class="results">
            <h2 id="results">{texts.results}</h2>
            <div class="table" role="region" aria-labelledby="results" tabindex="0">
                <table>
                    <thead>
                        <tr>
                            {texts.columns.map(|name| view! { <th scope="col">{name}</th> }).collect_view()}
                        </tr>
                    </thead>
                    <tbody>{rows}</tbody>
                </table>
            </div>
            <ul class="notes">{notes}</ul>
            <p class="quiet-text">{texts.late_text}</p>
            <p class="quiet-text">{texts.wire_text}</p>
            <p class="row downloads">
                <button type="button" class="needs-script" on:click=move |_| save(true)>
                    {texts.json}
                </button>
                <button type="button" class="needs-script" on:click=move |_| save(false)>
                    {texts.csv}
                </button>
                <a href=move || lab.address(&lab.race.read().plan)>{texts.repeat}</a>
            </p>
        </div>
    }
}

fn row(outcome: &Outcome, plan: &Plan, texts: &'static LabStrings) -> impl IntoView + use<> {
    let figures = Figures::of(outcome, plan);
    let time = |value: Option<f64>| value.map_or("–".to_owned(), ms);
    let number = |value: Option<u64>| value.map_or("–".to_owned(), grouped);
    let p99 = match figures.p99 {
        Some(Percentile::Longest(value)) => format!("{} ({})", ms(value), texts.longest),
        p99 => time(p99.map(Percentile::value)),
    };
    let cells = [
        figures.sent.to_string(),
        figures.lost.to_string(),
        figures.doubled.to_string(),
        time(figures.p50),
        time(figures.p95),
        p99,
        time(figures.late),
        figures.requests.map_or("–".to_owned(), |value| format!("{value:.1}")),
        number(figures.up),
        number(figures.down),
        figures.overhead.map_or("–".to_owned(), |value| grouped(value.max(0.0).round() as u64)),
    ];
    let name = (texts.road)(outcome.road);
    view! {
        <tr data-road=outcome.road.word()>
            <th scope="row">{name}</th>
            {cells.map(|cell| view! { <td>{cell}</td> }).collect_view()}
        </tr>
    }
}

/// What has to be known about a road's numbers.
fn note(outcome: &Outcome, texts: &LabStrings) -> Option<String> {
    let notes = [
        outcome.failed.map(|failed| (texts.failed)(failed).to_owned()),
        outcome.carried.map(|road| (texts.carried)((texts.road)(road))),
        outcome.echo.map(|echo| (texts.echo)(echo).to_owned()),
        outcome.disturbed.then(|| texts.disturbed.to_owned()),
    ];
    let notes: Vec<_> = notes.into_iter().flatten().collect();
    (!notes.is_empty()).then(|| format!("{}: {}", (texts.road)(outcome.road), notes.join(" ")))
}
