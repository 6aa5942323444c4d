//! What an empty room shows: how others, people and programs, come into it.

use leptos::prelude::*;

use crate::{
    browser,
    page::room_path,
    room::{RoomStateStoreFields, room},
    shell::strings,
    snippets::snippets,
};

#[component]
pub(crate) fn Invitation(
    /// The scheme and host of the server.
    origin: String,
) -> impl IntoView {
    let strings = strings();
    let name = room().name().get_untracked();
    let curl = snippets(&origin, name.as_str()).swap_remove(0).code;
    view! {
        <div class="invitation">
            <p class="empty">{strings.empty_room}</p>
            <div class="ways">
                <section aria-labelledby="invite-people">
                    <h2 id="invite-people">{strings.invite_people}</h2>
                    <InvitePeople origin=origin.clone()/>
                </section>
                <section aria-labelledby="invite-programs">
                    <h2 id="invite-programs">{strings.invite_programs}</h2>
                    <p class="quiet-text">{strings.invite_programs_text}</p>
                    <Copied text=curl/>
                </section>
            </div>
        </div>
    }
}

/// The room's address, as a link, for a camera, and for the system to pass on.
#[component]
pub(crate) fn InvitePeople(
    /// The scheme and host of the server.
    origin: String,
) -> impl IntoView {
    let strings = strings();
    let name = room().name().get_untracked();
    let path = room_path(&name);
    let link = format!("{origin}{path}");
    let shares = RwSignal::new(false);
    Effect::new(move || shares.set(browser::can_share()));
    let shared = link.clone();
    let share = StoredValue::new(move || browser::share(&format!("{name} — Hubbub"), &shared));
    view! {
        <img src=format!("{path}/qr.svg") alt=strings.qr width="132" height="132" loading="lazy"/>
        <Copied text=link/>
        <Show when=move || shares.get()>
            <button type="button" class="primary" on:click=move |_| share.with_value(|share| share())>
                {strings.share}
            </button>
        </Show>
    }
}

/// A text to be copied.
#[component]
fn Copied(text: String) -> impl IntoView {
    let (strings, room) = (strings(), room());
    let copied = text.clone();
    view! {
        <p class="copied">
            <code dir="ltr" translate="no">{text}</code>
            <button
                type="button"
                class="needs-script"
                on:click=move |_| {
                    if browser::copy(&copied) {
                        room.notice().set(strings.copied);
                    }
                }
            >
                {strings.copy}
            </button>
        </p>
    }
}
