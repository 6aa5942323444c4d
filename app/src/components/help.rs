//! The keys there are, and a sheet that lists them.

use leptos::{ev::KeyboardEvent, html, prelude::*};

use crate::{browser, shell::strings};

/// A button that opens the sheet, and the keys that work wherever nothing is written.
#[component]
pub(crate) fn Help(
    /// Where one searches.
    search: String,
) -> impl IntoView {
    let strings = strings();
    let sheet = NodeRef::<html::Dialog>::new();
    let show = move || {
        if let Some(sheet) = sheet.get_untracked()
            && !sheet.open()
        {
            // It fails where it is open already.
            let _ = sheet.show_modal();
        }
    };
    Effect::new(move || {
        let search = search.clone();
        let listener = window_event_listener(leptos::ev::keydown, move |event: KeyboardEvent| {
            let modified = event.ctrl_key() || event.meta_key() || event.alt_key();
            if modified || event.is_composing() || browser::is_within_any(&event, WRITTEN) {
                return;
            }
            match event.key().as_str() {
                "?" => show(),
                "/" => browser::go(&search),
                "End" => browser::focus_newest(),
                _ => return,
            }
            event.prevent_default();
        });
        on_cleanup(move || listener.remove());
    });
    let keys = strings.keys.iter().map(|(keys, what)| {
        let keys = keys.split(' ').map(|key| view! { <kbd>{key}</kbd> }).collect_view();
        view! { <div><dt>{keys}</dt><dd>{*what}</dd></div> }
    });
    view! {
        <p class="help-line">
            <button type="button" class="link needs-script" on:click=move |_| show()>
                {strings.help}
            </button>
        </p>
        <dialog class="help" node_ref=sheet aria-labelledby="help-title">
            // It is read from its beginning, also where it is higher than the screen.
            <h2 id="help-title" tabindex="-1" autofocus>{strings.help}</h2>
            <dl>{keys.collect_view()}</dl>
            <form method="dialog">
                <button class="primary">{strings.close}</button>
            </form>
        </dialog>
    }
}

/// Where keys write.
const WRITTEN: &str = "input, textarea, select, [contenteditable], dialog";
