//! The last two minutes, drawn. What a drawing shows is said in its caption, too.

use std::fmt::Write;

use leptos::prelude::*;

use super::{Admin, SECONDS, Second};
use crate::shell::strings;

/// The size of a plot, in units of the drawing.
const WIDTH: f64 = 240.0;
const HEIGHT: f64 = 64.0;

#[component]
pub(super) fn Plots() -> impl IntoView {
    let texts = strings().admin;
    view! {
        <div class="admin-plots">
            <Plot name=texts.messages of=|second| Some(second.messages) unit=""/>
            <Plot name=texts.publish of=|second| second.publish unit=" ms"/>
            <Plot name=texts.sessions of=|second| Some(second.sessions) unit=""/>
            <Plot name=texts.memory of=|second| Some(second.memory) unit=" MiB"/>
        </div>
    }
}

#[component]
fn Plot(name: &'static str, of: fn(&Second) -> Option<f64>, unit: &'static str) -> impl IntoView {
    let texts = strings().admin;
    let admin = expect_context::<Admin>();
    let values = Memo::new(move |_| {
        admin.seconds.with(|seconds| seconds.iter().map(of).collect::<Vec<_>>())
    });
    let most = move || values.with(|values| values.iter().flatten().copied().fold(0.0, f64::max));
    let now = move || values.with(|values| values.last().copied().flatten());
    let said = move |value: f64| match value {
        value if value < 10.0 && value.fract() != 0.0 => format!("{value:.1}{unit}"),
        value => format!("{value:.0}{unit}"),
    };
    let caption = move || {
        let now = now().map_or("–".to_owned(), said);
        (texts.now_and_most)(&now, &said(most()))
    };
    let line = move || values.with(|values| path(values, most().max(f64::MIN_POSITIVE)));
    view! {
        <figure>
            <svg viewBox=format!("0 0 {WIDTH} {HEIGHT}") preserveAspectRatio="none" aria-hidden="true">
                <path class="curve" d=line/>
            </svg>
            <figcaption><b>{name}</b>" "{caption}</figcaption>
        </figure>
    }
}

/// From the right, where now is; a second of which there is nothing to say is a gap.
fn path(values: &[Option<f64>], most: f64) -> String {
    let mut path = String::new();
    let mut is_drawing = false;
    for (n, value) in values.iter().enumerate() {
        let Some(value) = value else {
            is_drawing = false;
            continue;
        };
        let x = WIDTH - (values.len() - 1 - n) as f64 * WIDTH / (SECONDS - 1) as f64;
        let y = HEIGHT - 2.0 - value / most * (HEIGHT - 4.0);
        let command = if is_drawing { 'L' } else { 'M' };
        // Writing to a string does not fail. A line to itself shows where there is one value alone.
        let _ = match is_drawing {
            true => write!(path, "{command}{x:.1} {y:.1}"),
            false => write!(path, "{command}{x:.1} {y:.1}h.1"),
        };
        is_drawing = true;
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_without_a_value_is_a_gap_and_now_is_at_the_right() {
        let drawn = path(&[Some(0.0), None, Some(5.0), Some(10.0)], 10.0);
        assert_eq!(drawn.matches('M').count(), 2);
        assert!(drawn.ends_with("L240.0 2.0"), "{drawn}");
        assert_eq!(path(&[], 1.0), "");
    }
}
