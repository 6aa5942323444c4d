//! Where the page starts in the browser.

// A view is one deeply nested type.
#![recursion_limit = "256"]
// The macro's output, not ours, has no docs.
#![allow(missing_docs)]

use leptos::mount::hydrate_body;
use wasm_bindgen::prelude::wasm_bindgen;

/// Takes over the page the server rendered.
#[wasm_bindgen]
pub fn hydrate() {
    console_error_panic_hook::set_once();
    app::take_base();
    match app::part() {
        Some(app::Part::Lab) => wasm_bindgen_futures::spawn_local(lab()),
        Some(app::Part::Admin) => wasm_bindgen_futures::spawn_local(admin()),
        None => hydrate_body(app::Talk),
    }
}

/// Takes over the lab. What only this needs is a file of its own (docs/decisions/0022-the-lab-s-own-file.md).
#[cfg_attr(feature = "split", leptos::lazy)]
async fn lab() {
    hydrate_body(app::Lab);
}

/// Takes over the operator's page, which has a file of its own as well.
#[cfg_attr(feature = "split", leptos::lazy)]
async fn admin() {
    hydrate_body(app::Admin);
}
