//! A time of day.

use leptos::prelude::*;

use crate::{lang::Lang, time};

/// The time `at` (milliseconds since 1970): UTC while rendered, local once the page is live.
#[component]
pub(crate) fn Clock(at: u64) -> impl IntoView {
    let lang = expect_context::<Lang>();
    let text = RwSignal::new(time::utc_clock(at));
    Effect::new(move || text.set(time::local_clock(at, lang)));
    view! { <time datetime=time::iso(at)>{text}</time> }
}
