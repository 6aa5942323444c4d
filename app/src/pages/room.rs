//! A room: what is said, who is here, a form to say something, and the inspector.
//!
//! Rendered whole by the server; the browser takes over where it stands.

use std::sync::Arc;

use common::Offset;
use leptos::prelude::*;
use reactive_stores::Store;

use crate::{
    browser,
    components::{
        Banner, Bar, Call, CallButton, Composer, FileList, Help, HereCount, Icon, Inspector, MENU,
        MemberList, MessageList, NameForm, Preferences,
    },
    page::{PageData, Refused, RoomView, room_path, search_path},
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
    Effect::new(move || {
        browser::visited(&room.name().get_untracked());
        client.start(room, position.clone(), ice.clone());
    });
    let inspecting = RwSignal::new(false);
    let title = view.room.to_string();
    tab_title(room, title.clone());
    let refused = view.refused.clone();
    let found = search_path(&view.room, "", None);
    let search = found.clone();
    view! {
        <div class="page room" data-read-only=move || room.read_only().get().then_some("")>
            <Bar>
                <h1 class="room-title" dir="auto">{title}</h1>
                <span class="grow"></span>
                <HereCount/>
                <button
                    type="button"
                    class="icon open-menu"
                    popovertarget=MENU
                    aria-label=strings.more
                    title=strings.more
                >
                    {Icon::Menu.draw()}
                </button>
                <div id=MENU class="bar-menu" popover>
                <NameForm path=data.path.clone()/>
                <a
                    class="button icon"
                    href=found
                    aria-label=strings.search_in_room
                    title=strings.search_in_room
                >
                    {Icon::Search.draw()}
                    <span class="label" aria-hidden="true">{strings.search_in_room}</span>
                </a>
                <CallButton/>
                <button
                    id="open-inspector"
                    class="icon needs-script"
                    type="button"
                    aria-label=strings.open_inspector
                    title=strings.open_inspector
                    aria-expanded=move || inspecting.get().to_string()
                    aria-controls="inspector"
                    popovertarget=MENU
                    popovertargetaction="hide"
                    on:click=move |_| inspecting.update(|on| *on = !*on)
                >
                    <span class="dot" data-state=move || if room.offline().get() { 3 } else { room.ready().get() }></span>
                    <span aria-hidden="true">"</>"</span>
                    <span class="label" aria-hidden="true">{strings.open_inspector}</span>
                </button>
                <Preferences theme=data.theme path=data.path/>
                </div>
            </Bar>
            <Banner/>
            <div class="room-body">
                <main class="conversation">
                    <Call/>
                    <MessageList origin=view.origin.clone()/>
                    {view.missing.then(|| view! {
                        <p class="past" role="status">{strings.message_missing}</p>
                    })}
                    {view.past.then(|| view! {
                        <p class="past">
                            <a href=room_path(&view.room)>{strings.to_newest}</a>
                        </p>
                    })}
                    <FileList/>
                    <p class="no-script">{strings.static_page}</p>
                    <Saying view=view.clone() refused/>
                    <Help search/>
                    <Notice/>
                </main>
                <MemberList origin=view.origin.clone()/>
                <Inspector shown=inspecting/>
            </div>
        </div>
    }
}

/// The form to say something, for whoever may.
#[component]
fn Saying(view: Arc<RoomView>, refused: Option<Refused>) -> impl IntoView {
    let (strings, room) = (strings(), crate::room::room());
    move || {
        if room.read_only().get() {
            view! { <p class="read-only">{strings.read_only}</p> }.into_any()
        } else {
            view! { <Composer view=view.clone() refused=refused.clone()/> }.into_any()
        }
    }
}

/// What was just done, for a few seconds.
#[component]
fn Notice() -> impl IntoView {
    let room = crate::room::room();
    Effect::new(move || {
        if !room.notice().get().is_empty() {
            let clear = move || _ = room.notice().try_set("");
            set_timeout(clear, std::time::Duration::from_secs(4));
        }
    });
    view! {
        <p class="toast" role="status" data-says=move || (!room.notice().get().is_empty()).then_some("")>
            {move || room.notice().get()}
        </p>
    }
}

/// Counts what came while the page could not be seen.
fn tab_title(room: Store<RoomState>, name: String) {
    let unseen = StoredValue::new(0_usize);
    let show = move |count: usize| {
        unseen.set_value(count);
        let count = if count == 0 { String::new() } else { format!("({count}) ") };
        document().set_title(&format!("{count}{name} — Hubbub"));
        browser::show_unseen(unseen.get_value());
    };
    let seen = show.clone();
    Effect::new(move |before: Option<usize>| {
        let arrived = room.arrived().with(|arrived| arrived.count);
        if browser::is_hidden() {
            show(unseen.get_value() + arrived.saturating_sub(before.unwrap_or_default()));
        }
        arrived
    });
    // Whoever looks elsewhere and has asked for it is told of what calls them.
    Effect::new(move |before: Option<Option<Offset>>| {
        let call = room.arrived().with(|arrived| arrived.call.clone());
        let at = call.as_ref().map(|call| call.offset);
        if let Some(call) = call
            && before.is_some_and(|before| before != at)
            && browser::is_hidden()
            && browser::notifies()
        {
            browser::notify(call.from.name.as_str(), &call.text(), call.room.as_str());
        }
        at
    });
    Effect::new(move || {
        let seen = seen.clone();
        let listener = window_event_listener_untyped("visibilitychange", move |_| {
            if !browser::is_hidden() {
                seen(0);
                if room.at_end().get_untracked() {
                    room.all_seen().set(true);
                }
            }
        });
        on_cleanup(move || listener.remove());
    });
}

#[cfg(test)]
#[cfg(feature = "ssr")]
mod tests {
    use common::{Member, MemberId, MemberName, Members, MessageId, Offset, RoomName};

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
            origin: "http://localhost".to_owned(),
            messages: Vec::new(),
            older: false,
            past: false,
            missing: false,
            read_only: false,
            position: "e:0".parse().unwrap(),
            head: Offset(0),
            members: Members { count: 1, members: vec![member.clone().into()] },
            form_id: MessageId::parse("f").unwrap(),
            refused: None,
            ice: None,
        };
        PageData {
            lang: Lang::En,
            theme: Theme::System,
            zone: Zone::Utc,
            me: Me { member, named: true, asked: true },
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
