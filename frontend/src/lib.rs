//! Where the page starts in the browser.

// A view is one deeply nested type.
#![recursion_limit = "256"]
// The macro's output, not ours, has no docs.
#![allow(missing_docs)]

use wasm_bindgen::prelude::wasm_bindgen;

/// Takes over the page the server rendered.
#[wasm_bindgen]
pub fn hydrate() {
    console_error_panic_hook::set_once();
    leptos::mount::hydrate_body(app::App);
}
