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
    match app::is_lab() {
        true => wasm_bindgen_futures::spawn_local(lab()),
        false => hydrate_body(app::Talk),
    }
}

/// Takes over the lab. What only this needs is a file of its own (docs/decisions/0022-the-lab-s-own-file.md).
#[cfg_attr(feature = "split", leptos::lazy)]
async fn lab() {
    hydrate_body(app::Lab);
}
