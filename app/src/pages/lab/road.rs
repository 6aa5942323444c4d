//! What is said of each road: how it works, what it costs, when it is appropriate; with the numbers just measured.

use lab::{Figures, Race, Road, verdict};
use leptos::prelude::*;

use super::{Lab, diagram::diagram};
use crate::{lang::LabStrings, shell::strings};

#[component]
pub(super) fn Roads() -> impl IntoView {
    let texts = strings().lab;
    let lab = expect_context::<Lab>();
    // Only once it is over: nobody reads what changes four times a second.
    let is_over = Memo::new(move |_| lab.running.read().is_empty());
    let roads = move || {
        is_over.get().then(|| {
            let race = lab.race.read_untracked();
            let all: Vec<_> =
                race.outcomes.iter().map(|outcome| Figures::of(outcome, &race.plan)).collect();
            Road::ALL.map(|road| section(road, &race, &all, texts)).collect_view()
        })
    };
    view! { <div class="road-texts">{roads}</div> }
}

fn section(
    road: Road,
    race: &Race,
    all: &[Figures],
    texts: &'static LabStrings,
) -> impl IntoView + use<> {
    let figures = all.iter().find(|figures| figures.road == road && figures.p50.is_some());
    let outcome = race.outcomes.iter().find(|outcome| outcome.road == road);
    let cost = figures.map_or(texts.not_measured.to_owned(), |figures| (texts.cost)(figures));
    let verdict = figures.map(|figures| {
        let verdict = verdict(road, all, &race.plan);
        let word = format!("{verdict:?}").to_lowercase();
        view! { <p class="verdict" data-verdict=word>{(texts.verdict)(verdict, figures, &race.plan)}</p> }
    });
    let drawn = outcome.zip(figures).filter(|(outcome, _)| !outcome.steps.is_empty());
    let drawn = drawn.map(|(outcome, figures)| diagram(outcome, figures, texts));
    let id = format!("road-{}", road.word());
    let label = id.clone();
    view! {
        <section class="road" data-road=road.word() aria-labelledby=label>
            <h2 id=id>{(texts.road)(road)}</h2>
            <h3>{texts.how_title}</h3>
            <p>{(texts.how)(road)}</p>
            {drawn}
            <h3>{texts.cost_title}</h3>
            <p>{cost}</p>
            <h3>{texts.when_title}</h3>
            <p>{(texts.when)(road)}</p>
            {verdict}
        </section>
    }
}
