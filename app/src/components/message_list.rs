//! What is said: the log, its scroll position, and the word for screen readers.

use client::Status;
use common::Audience;
use leptos::{html, prelude::*};
use reactive_stores::Store;

use crate::{
    browser,
    components::{
        invitation::Invitation,
        row::Line,
        steps::in_steps,
        tools::{Opened, close_by_click},
    },
    page::room_path,
    room::{RoomState, RoomStateStoreFields, room},
    room_client::room_client,
    rows::{Past, draw_more, drawn, forget_older, oldest},
    shell::strings,
};

/// Closer to the end than this is at the end, in pixels.
const AT_END: i32 = 80;
/// Closer to the first row than this, older ones are asked for.
const NEAR_TOP: i32 = 600;

#[component]
pub(crate) fn MessageList(
    /// The scheme and host of the server.
    origin: String,
) -> impl IntoView {
    let origin = StoredValue::new(origin);
    let strings = strings();
    let room = room();
    let log = NodeRef::<html::Div>::new();
    let client = room_client();
    let opened = Opened::new();
    provide_context(opened);
    Effect::new(move || close_by_click(opened));
    let at_end = room.at_end();
    let seen = RwSignal::new(0_usize);
    let arrived = move || room.arrived().with(|arrived| arrived.count);
    let unseen = move || if at_end.get() { 0 } else { arrived() - seen.get().min(arrived()) };
    // The log's origin is its end (`column-reverse`): the browser keeps what is seen where it is, whatever comes or goes on
    // either side, and follows the end while it is there, also without any script.
    let to_end = move || {
        at_end.set(true);
        if let Some(log) = log.get_untracked() {
            log.set_scroll_top(0);
        }
    };
    // Whoever has scrolled away meanwhile is left where they are.
    let follow = move || {
        if at_end.get_untracked() {
            to_end();
        }
    };
    Effect::new(move |before: Option<Option<u64>>| {
        let mine = room.rows().with(|rows| {
            let last = rows.last()?;
            last.row.with_untracked(|row| row.status != Status::Sent).then_some(last.key)
        });
        // What I have just said I see, wherever I was; and close to the end is at the end.
        let is_new = mine.is_some() && before.is_some_and(|before| before != mine);
        if is_new {
            request_animation_frame(to_end);
        } else if at_end.get_untracked() {
            request_animation_frame(follow);
        }
        mine
    });
    let scrolled = move |_| {
        let Some(log) = log.get_untracked() else { return };
        let end = -log.scroll_top() < AT_END;
        if end != at_end.get_untracked() {
            seen.set(room.arrived().with_untracked(|arrived| arrived.count));
            at_end.set(end);
        }
        if end {
            room.all_seen().set(true);
            forget_older(room);
            return;
        }
        draw_more(room, usize::MAX);
        if log.scroll_height() - log.client_height() + log.scroll_top() < NEAR_TOP {
            client.show_older(room);
        }
    };
    let typing = move || {
        let me = room.me().with(|me| me.member.id.clone());
        let names: Vec<_> = room.typing().with(|typing| {
            let others = typing.members.iter().filter(|member| member.id != me);
            others.map(|member| member.name.to_string()).collect()
        });
        (strings.typing)(&names)
    };
    view! {
        <div class="log-frame">
            <div
                id="log"
                class="log"
                role="log"
                // The whole timeline as a live region floods screen readers (element-web#5696);
                // the announcer below speaks instead.
                aria-live="off"
                aria-label=strings.messages
                tabindex="0"
                data-placing=move || (room.past().get() == Past::Placing).then_some("")
                node_ref=log
                on:scroll=scrolled
                on:keydown=move |event| opened.press(&event)
            >
                <Show when=move || room.rows().with(Vec::is_empty)>
                    <Invitation origin=origin.get_value()/>
                </Show>
                <ol class="messages">
                    <Show when=move || room.past().get() != Past::None>
                        <li class="older">
                            <a
                                href=move || older_path(room)
                                on:click=move |event| {
                                    event.prevent_default();
                                    client.show_older(room);
                                }
                            >
                                {strings.older_messages}
                            </a>
                        </li>
                    </Show>
                    <For each=in_steps(move || drawn(room)) key=|row| row.key let(row)>
                        <Line row=row.row/>
                    </For>
                </ol>
            </div>
            <Show when=move || { unseen() > 0 }>
                <button
                    type="button"
                    class="pill"
                    on:click=move |_| {
                        to_end();
                        browser::focus("log");
                    }
                >
                    {move || (strings.new_messages)(unseen())}" ↓"
                </button>
            </Show>
            <p class="typing" aria-hidden="true">{typing}</p>
            <Announcer/>
        </div>
    }
}

/// The page with what is older than all rows, for browsers without JavaScript.
fn older_path(room: Store<RoomState>) -> String {
    let before = oldest(room).unwrap_or_default();
    format!("{}?before={before}", room_path(&room.name().get_untracked()))
}

/// Tells screen readers what others say: politely, at most once a second, never history.
#[component]
fn Announcer() -> impl IntoView {
    let strings = strings();
    let room = room();
    let text = RwSignal::new(String::new());
    let told = StoredValue::new(0_usize);
    let waiting = StoredValue::new(false);
    let tell = move || {
        waiting.try_set_value(false);
        let Some(arrived) = room.arrived().try_get_untracked() else { return };
        let new = arrived.count - told.get_value();
        told.set_value(arrived.count);
        let words = match arrived.last {
            Some(message) if new == 1 => {
                let whom = match message.to {
                    Audience::All | Audience::Others => String::new(),
                    _ => format!(" ({})", strings.to_you),
                };
                format!("{}{whom}: {}", message.from.name, message.text())
            }
            _ => (strings.new_messages)(new),
        };
        text.try_set(words);
    };
    Effect::new(move || {
        if room.arrived().with(|arrived| arrived.count) > told.get_value() && !waiting.get_value() {
            waiting.set_value(true);
            set_timeout(tell, std::time::Duration::from_secs(1));
        }
    });
    view! {
        <p class="visually-hidden" role="status" aria-live="polite" aria-atomic="true">{text}</p>
    }
}
