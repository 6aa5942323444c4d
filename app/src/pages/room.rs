//! A room: what is said, who is here, a form to say something, and the inspector.
//!
//! Rendered whole by the server; the browser takes over where it stands.

use leptos::prelude::*;

use crate::{
    client::{browser, room_client::RoomClient},
    components::{
        Banner, Bar, Composer, Inspector, MemberList, MessageList, NameForm, Preferences,
    },
    page::{PageData, RoomView},
    shell::strings,
};

#[component]
pub(crate) fn RoomPage(data: PageData, view: RoomView) -> impl IntoView {
    let strings = strings();
    let client = RoomClient::new(&view, data.me, data.lang);
    Effect::new(move || client.start());
    let inspecting = RwSignal::new(false);
    let title = view.room.to_string();
    tab_title(client, title.clone());
    let refused = view.refused.clone();
    view! {
        <div class="page room">
            <Bar>
                <h1 class="room-title" dir="auto">{title}</h1>
                <span class="grow"></span>
                <NameForm client path=data.path.clone()/>
                <button
                    id="open-inspector"
                    class="icon needs-script"
                    type="button"
                    aria-label=strings.open_inspector
                    title=strings.open_inspector
                    aria-expanded=move || inspecting.get().to_string()
                    aria-controls="inspector"
                    on:click=move |_| inspecting.update(|on| *on = !*on)
                >
                    <span class="dot" data-state=move || client.ready_state.get()></span>
                    <span aria-hidden="true">"</>"</span>
                </button>
                <Preferences theme=data.theme path=data.path/>
            </Bar>
            <Banner client/>
            <div class="room-body">
                <main class="conversation">
                    <MessageList client/>
                    <p class="no-script">{strings.static_page}</p>
                    <Composer client view refused/>
                </main>
                <MemberList client/>
                <Inspector client shown=inspecting/>
            </div>
        </div>
    }
}

/// Counts what came while the page could not be seen.
fn tab_title(client: RoomClient, room: String) {
    let unseen = StoredValue::new(0_usize);
    let show = move |count: usize| {
        unseen.set_value(count);
        let count = if count == 0 { String::new() } else { format!("({count}) ") };
        document().set_title(&format!("{count}{room} — Hubbub"));
    };
    let seen = show.clone();
    Effect::new(move |before: Option<usize>| {
        let arrived = client.arrived.with(|arrived| arrived.count);
        if browser::is_hidden() {
            show(unseen.get_value() + arrived.saturating_sub(before.unwrap_or_default()));
        }
        arrived
    });
    Effect::new(move || {
        let seen = seen.clone();
        let listener = window_event_listener_untyped("visibilitychange", move |_| {
            if !browser::is_hidden() {
                seen(0);
            }
        });
        on_cleanup(move || listener.remove());
    });
}
