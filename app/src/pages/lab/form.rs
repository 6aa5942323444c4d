//! What to race. Without JavaScript it still fills in itself from its address.

use std::ops::RangeInclusive;

use lab::{Plan, Road};
use leptos::{ev::SubmitEvent, html, prelude::*};

use super::{Lab, Stage, meeting_code};
use crate::{base, browser, shell::strings};

#[component]
pub(super) fn Form() -> impl IntoView {
    let strings = strings();
    let texts = strings.lab;
    let lab = expect_context::<Lab>();
    let form = NodeRef::<html::Form>::new();
    // None is chosen: an address without roads means all, but whoever has chosen none did not mean that.
    let no_road = RwSignal::new(false);
    let start = move |event: SubmitEvent| {
        let Some(form) = form.get_untracked() else { return };
        event.prevent_default();
        if lab.stage.get_untracked() == Stage::Running {
            return lab.stop();
        }
        let values = browser::values(&form);
        no_road.set(!values.iter().any(|(name, _)| name == "roads"));
        if no_road.get_untracked() {
            return;
        }
        let pairs = values.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let (plan, clamped) = Plan::read(pairs);
        lab.start(plan, clamped);
    };
    let is_running = move || lab.stage.get() == Stage::Running;
    let plan = lab.plan.get_untracked();
    let weather = plan.weather.clone();
    let clamped = move || {
        let clamped = lab.clamped.get();
        clamped.iter().map(|one| view! { <li>{(texts.clamped)(one)}</li> }).collect_view()
    };
    let progress = move || {
        let (race, plan) = (lab.race.read(), lab.plan.read());
        let running = lab.running.get();
        let one = |road: Road| {
            let outcome = race.outcomes.iter().find(|outcome| outcome.road == road)?;
            let name = (texts.road)(road);
            Some(view! {
                <label class="row">
                    <span>{name}</span>
                    <progress max=plan.count.to_string() value=outcome.trips.len().to_string()></progress>
                </label>
            })
        };
        running.into_iter().filter_map(one).collect_view()
    };
    let told = move || match lab.stage.get() {
        Stage::Idle => String::new(),
        Stage::Running => {
            let running = lab.running.get();
            let names: Vec<_> = running.iter().map(|road| (texts.road)(*road)).collect();
            (texts.running)(&names.join(", "))
        }
        Stage::Over => texts.over.to_owned(),
        Stage::Stopped => texts.stopped.to_owned(),
    };
    let meeting = lab.view.with_value(|view| meeting_code(view).map(str::to_owned));
    let has_meeting = meeting.is_some();
    // Scheme and host are only known in the browser, once the page is live.
    let origin = RwSignal::new(String::new());
    Effect::new(move || origin.set(browser::origin()));
    let own_address = move || origin.get() + &lab.address(&lab.plan.read());
    view! {
        <form node_ref=form class="lab-form" action=base::path("/lab") method="get" on:submit=start>
            <fieldset>
                <legend>{texts.roads}</legend>
                <div class="choices">
                    {Road::ALL.map(|road| choice("roads", road, plan.roads.contains(&road), texts.road)).collect_view()}
                </div>
            </fieldset>
            <div class="numbers">
                {number("n", texts.count, plan.count, Plan::COUNT)}
                {number("size", texts.size, plan.size, Plan::SIZE)}
                {number("rate", texts.rate, plan.rate, Plan::RATE)}
                {number("poll", texts.poll, plan.poll, Plan::POLL)}
            </div>
            <label class="choice">
                <input type="checkbox" name="together" value="1" checked=plan.together/>
                {texts.together}
            </label>
            <details open=!weather.is_fair()>
                <summary>{texts.weather}</summary>
                <p class="quiet-text">{texts.weather_text}</p>
                <div class="numbers">
                    {number("latency", texts.latency, weather.latency, Plan::LATENCY)}
                    {number("loss", texts.loss, weather.loss, Plan::LOSS)}
                    {number("seed", texts.seed, plan.seed, 0..=u32::MAX)}
                </div>
                <fieldset>
                    <legend>{texts.blocked}</legend>
                    <div class="choices">
                        {Plan::BLOCKABLE
                            .map(|road| choice("block", road, weather.blocked.contains(&road), texts.road))
                            .collect_view()}
                    </div>
                </fieldset>
            </details>
            <details open=has_meeting>
                <summary>{texts.other_device}</summary>
                <p class="quiet-text">{texts.other_device_text}</p>
                {match meeting {
                    Some(code) => view! {
                        <input type="hidden" name="with" value=code/>
                        <p class="quiet-text">{texts.other_device_here}</p>
                        <p><code class="address">{own_address}</code></p>
                        <p>
                            <button
                                type="button"
                                class="needs-script"
                                aria-pressed=move || lab.answers.get().to_string()
                                on:click=move |_| lab.answer()
                            >
                                {texts.answer}
                            </button>
                        </p>
                        <p class="quiet-text" role="status">
                            {move || lab.answers.get().then_some(texts.answering)}
                        </p>
                    }
                    .into_any(),
                    None => view! { <p><OtherDevice/></p> }.into_any(),
                }}
            </details>
            <div role="status">
                <ul class="clamped">{clamped}</ul>
                <p class="problem" hidden=move || !no_road.get()>{texts.no_road}</p>
            </div>
            <div class="row">
                <button class="primary needs-script">
                    {move || if is_running() { texts.stop } else { texts.start }}
                </button>
                <span class="grow"></span>
            </div>
            <div class="progress">{progress}</div>
            <p class="quiet-text" role="status">{told}</p>
        </form>
    }
}

/// Goes to a lab where another device can come, too.
#[component]
fn OtherDevice() -> impl IntoView {
    let lab = expect_context::<Lab>();
    let go = move |_| {
        let code = format!("{:010x}", browser::seed() & 0xff_ffff_ffff);
        let address =
            base::path(&format!("/lab?{}&with={code}", lab.plan.read_untracked().query()));
        // It fails for an address that can't be one.
        let _ = window().location().assign(&address);
    };
    view! {
        <button type="button" class="needs-script" on:click=go>
            {strings().lab.other_device}
        </button>
    }
}

fn choice(
    name: &'static str,
    road: Road,
    checked: bool,
    text: fn(Road) -> &'static str,
) -> impl IntoView {
    view! {
        <label class="choice">
            <input type="checkbox" name=name value=road.word() checked=checked/>
            {text(road)}
        </label>
    }
}

fn number(
    name: &'static str,
    text: &'static str,
    value: u32,
    bounds: RangeInclusive<u32>,
) -> impl IntoView {
    view! {
        <label class="number">
            <span>{text}</span>
            <input
                type="number"
                inputmode="numeric"
                name=name
                value=value.to_string()
                min=bounds.start().to_string()
                max=bounds.end().to_string()
                required
            />
        </label>
    }
}
