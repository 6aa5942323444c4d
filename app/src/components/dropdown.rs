//! A `<details>` that lies over the page: what closes it.

use leptos::{ev::KeyboardEvent, html, prelude::*};

use crate::browser;

/// Closes it.
pub(crate) fn close(details: NodeRef<html::Details>) {
    if let Some(details) = details.get_untracked() {
        details.set_open(false);
    }
}

/// Has a click beside it close it, and returns what is to hear its keys: Escape does so too, and has the focus go back to
/// the element `opener`.
pub(crate) fn closes(
    details: NodeRef<html::Details>,
    opener: &'static str,
) -> impl Fn(KeyboardEvent) + Copy {
    Effect::new(move || {
        let listener = window_event_listener_untyped("pointerdown", move |event| {
            let Some(details) = details.get_untracked() else { return };
            if !browser::is_within(&event, &details) {
                details.set_open(false);
            }
        });
        on_cleanup(move || listener.remove());
    });
    move |event| {
        let is_open = || details.get_untracked().is_some_and(|details| details.open());
        if event.key() == "Escape" && is_open() {
            event.prevent_default();
            close(details);
            browser::focus(opener);
        }
    }
}
