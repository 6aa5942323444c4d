//! Whether one wants to be called while one looks elsewhere.

use leptos::{html, prelude::*, task::spawn_local};

use crate::{browser, shell::strings};

/// A box to tick, where the browser can.
#[component]
pub(crate) fn Notices() -> impl IntoView {
    let strings = strings();
    let (can, on, denied) = (RwSignal::new(false), RwSignal::new(false), RwSignal::new(false));
    let field = NodeRef::<html::Input>::new();
    Effect::new(move || {
        can.set(browser::can_notify());
        on.set(browser::can_notify() && browser::notifies());
    });
    let change = move |_| {
        let wanted = field.get_untracked().is_some_and(|field| field.checked());
        if !wanted {
            browser::stop_notifying();
            return on.set(false);
        }
        spawn_local(async move {
            let may = browser::ask_to_notify().await;
            denied.try_set(!may);
            on.try_set(may);
            // It was ticked by the click already.
            if let Some(field) = field.try_get_untracked().flatten() {
                field.set_checked(may);
            }
        });
    };
    let sound = NodeRef::<html::Input>::new();
    let hear = move |_| {
        browser::set_sounds(sound.get_untracked().is_some_and(|field| field.checked()));
    };
    view! {
        <Show when=move || can.get()>
            <label class="choice">
                <input type="checkbox" node_ref=field prop:checked=move || on.get() on:change=change/>
                {strings.notify_me}
            </label>
            <Show when=move || on.get()>
                <label class="choice">
                    <input type="checkbox" node_ref=sound prop:checked=browser::sounds() on:change=hear/>
                    {strings.sound_too}
                </label>
            </Show>
            <p class="quiet-text" role="status">{move || denied.get().then_some(strings.notify_denied)}</p>
        </Show>
    }
}
