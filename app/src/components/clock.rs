//! A time with its day.

use leptos::prelude::*;

use crate::{
    shell::strings,
    time::{self, iso, zone},
};

/// The day and the time `at` (milliseconds since 1970), where the reader is: for what may be long ago.
#[component]
pub(crate) fn Moment(at: u64) -> impl IntoView {
    let (strings, zone) = (strings(), zone());
    let text = move || format!("{} {}", time::of(zone).day(at, strings), time::of(zone).clock(at));
    view! { <time datetime=iso(at)>{text}</time> }
}
