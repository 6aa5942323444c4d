//! A time of day.

use leptos::prelude::*;

use crate::time::{iso, zone};

/// The time `at` (milliseconds since 1970), where the reader is.
#[component]
pub(crate) fn Clock(at: u64) -> impl IntoView {
    let zone = zone();
    view! { <time datetime=iso(at)>{move || zone.get().clock(at)}</time> }
}
