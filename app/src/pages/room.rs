//! A room: what is said, who is here, a form to say something, and the inspector.
//!
//! Rendered whole by the server; the browser takes over where it stands.

use std::sync::Arc;

use leptos::{html, prelude::*};
use reactive_stores::Store;

use crate::{
    browser,
    components::{
        Banner, Bar, Call, CallButton, Composer, FileList, Inspector, MemberList, MessageList,
        NameForm, Preferences,
    },
    page::{PageData, RoomView, room_path},
    room::{RoomState, RoomStateStoreFields},
    room_client::RoomClient,
    shell::strings,
};

#[component]
pub(crate) fn RoomPage(data: PageData, view: Arc<RoomView>) -> impl IntoView {
    let strings = strings();
    let room = Store::new(RoomState::new(&view, data.me));
    let client = RoomClient::new();
    provide_context(room);
    provide_context(client);
    let (position, ice) = (view.position.clone(), view.ice.clone());
    Effect::new(move || client.start(room, position.clone(), ice.clone()));
    let opener = NodeRef::<html::Button>::new();
    let inspecting = RwSignal::new(false);
    let title = view.room.to_string();
    tab_title(room, title.clone());
    let refused = view.refused.clone();
    view! {
        <div class="page room">
            <Bar>
                <h1 class="room-title" dir="auto">{title}</h1>
                <span class="grow"></span>
                <NameForm path=data.path.clone()/>
                <CallButton/>
                <button
                    id="open-inspector"
                    node_ref=opener
                    class="icon needs-script"
                    type="button"
                    aria-label=strings.open_inspector
                    title=strings.open_inspector
                    aria-expanded=move || inspecting.get().to_string()
                    aria-controls="inspector"
                    on:click=move |_| inspecting.update(|on| *on = !*on)
                >
                    <span class="dot" data-state=move || if room.offline().get() { 3 } else { room.ready().get() }></span>
                    <span aria-hidden="true">"</>"</span>
                </button>
                <Preferences theme=data.theme path=data.path/>
            </Bar>
            <Banner/>
            <div class="room-body">
                <main class="conversation">
                    <Call/>
                    <MessageList/>
                    {view.past.then(|| view! {
                        <p class="past">
                            <a href=room_path(&view.room)>{strings.to_newest}</a>
                        </p>
                    })}
                    <FileList/>
                    <p class="no-script">{strings.static_page}</p>
                    <Composer view refused/>
                </main>
                <MemberList/>
                <Inspector shown=inspecting opener/>
            </div>
        </div>
    }
}

/// Counts what came while the page could not be seen.
fn tab_title(room: Store<RoomState>, name: String) {
    let unseen = StoredValue::new(0_usize);
    let show = move |count: usize| {
        unseen.set_value(count);
        let count = if count == 0 { String::new() } else { format!("({count}) ") };
        document().set_title(&format!("{count}{name} — Hubbub"));
    };
    let seen = show.clone();
    Effect::new(move |before: Option<usize>| {
        let arrived = room.arrived().with(|arrived| arrived.count);
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

#[cfg(test)]
#[cfg(feature = "ssr")]
mod tests {
    use common::{Member, MemberId, MemberName, Members, MessageId, RoomName};

    use crate::{
        Talk,
        lang::Lang,
        page::{Me, Page, PageData, RoomView, Theme, Zone},
    };
    use leptos::prelude::*;

    fn page() -> PageData {
        let id = MemberId::parse("a").unwrap();
        let member = Member { id, name: MemberName::parse("Ada").unwrap() };
        let view = RoomView {
            room: RoomName::lobby(),
            messages: Vec::new(),
            older: false,
            past: false,
            position: "e:0".parse().unwrap(),
            members: Members { count: 1, members: vec![member.clone().into()] },
            form_id: MessageId::parse("f").unwrap(),
            refused: None,
            ice: None,
        };
        PageData {
            lang: Lang::En,
            theme: Theme::System,
            zone: Zone::Utc,
            me: Me { member, named: true },
            path: "/rooms/lobby".to_owned(),
            page: Page::Room(view.into()),
        }
    }

    #[test]
    fn a_page_that_one_thread_has_rendered_another_may_drop() {
        let owner = Owner::new();
        let html = owner.with(|| {
            provide_context(page());
            Talk().to_html()
        });
        assert!(html.contains(r#"class="member-name""#), "{html}");
        std::thread::spawn(move || drop(owner)).join().unwrap();
    }
}
