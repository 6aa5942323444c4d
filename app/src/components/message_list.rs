//! What is said: the log, its scroll position, and the word for screen readers.

use client::Status;
use common::{Audience, Member, Message, MessageId};
use leptos::{html, prelude::*};
use serde_json::Value;

use crate::{
    browser,
    components::{Clock, member_list::Avatar},
    room::{RoomStateStoreFields, RowField, RowStateStoreFields, room},
    room_client::room_client,
    shell::strings,
};

/// Closer to the end than this is at the end, in pixels.
const AT_END: i32 = 80;

#[component]
pub(crate) fn MessageList() -> impl IntoView {
    let strings = strings();
    let room = room();
    let log = NodeRef::<html::Div>::new();
    let at_end = RwSignal::new(true);
    let seen = RwSignal::new(0_usize);
    let arrived = move || room.arrived().with(|arrived| arrived.count);
    let unseen = move || if at_end.get() { 0 } else { arrived() - seen.get().min(arrived()) };
    let to_end = move || {
        if let Some(log) = log.get_untracked() {
            log.set_scroll_top(log.scroll_height());
        }
    };
    // The scroll position is the reader's: it follows the end only while it is there.
    Effect::new(move || {
        room.rows().track();
        if at_end.get_untracked() {
            request_animation_frame(to_end);
        }
    });
    // A smaller window, or a keyboard on a phone, must not hide the end.
    Effect::new(move || {
        let listener = window_event_listener_untyped("resize", move |_| {
            if at_end.get_untracked() {
                to_end();
            }
        });
        on_cleanup(move || listener.remove());
    });
    let scrolled = move |_| {
        let Some(log) = log.get_untracked() else { return };
        let end = log.scroll_height() - log.scroll_top() - log.client_height() < AT_END;
        if end != at_end.get_untracked() {
            seen.set(room.arrived().with_untracked(|arrived| arrived.count));
            at_end.set(end);
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
                class="log"
                role="log"
                // The whole timeline as a live region floods screen readers (element-web#5696);
                // the announcer below speaks instead.
                aria-live="off"
                aria-label=strings.messages
                tabindex="0"
                node_ref=log
                on:scroll=scrolled
            >
                <Show when=move || room.rows().with(Vec::is_empty)>
                    <p class="empty">{strings.empty_room}</p>
                </Show>
                <ol class="messages">
                    <For each=move || room.rows() key=|row| row.key() let(row)>
                        <Line row/>
                    </For>
                </ol>
            </div>
            <Show when=move || { unseen() > 0 }>
                <button
                    type="button"
                    class="pill"
                    on:click=move |_| {
                        at_end.set(true);
                        to_end();
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

/// One row. What was said stays; the rest may change under it: how far it has got, and what the row
/// before it is.
#[component]
fn Line(row: RowField) -> impl IntoView {
    let strings = strings();
    let Some(message) = row.message().get_untracked() else {
        return view! { <li class="gap" role="note">{strings.gap}</li> }.into_any();
    };
    // A row that is gone may be asked once more before it is taken down.
    let status = move || row.status().try_get().unwrap_or(Status::Sent);
    let grouped = move || row.grouped().try_get().unwrap_or_default();
    let state = move || match status() {
        Status::Sent => "sent",
        Status::Queued | Status::Sending => "pending",
        Status::Unknown => "unknown",
        Status::Parked(_) => "failed",
    };
    let offset = move || {
        let message = row.message().try_get().flatten();
        message.map(|message| message.offset.to_string())
    };
    let audience = match &message.to {
        Audience::All => None,
        Audience::Others => Some(strings.to_others.to_owned()),
        Audience::Own => Some(strings.to_self.to_owned()),
        Audience::Only(ids) => Some(to_whom(&message, ids)),
    };
    let event = message.event.as_ref().map(ToString::to_string);
    let said = spoken(&message.value);
    view! {
        <li
            class="message"
            class:grouped=grouped
            data-state=state
            data-id=message.id.to_string()
            data-offset=offset
        >
            <Head row/>
            {audience.map(|whom| view! { <span class="tag" dir="auto">{whom}</span> })}
            <Way row/>
            {event.map(|event| view! { <span class="tag event">{event}</span> })}
            <Body value=message.value.clone()/>
            <Fate id=message.id.clone() status said/>
        </li>
    }
    .into_any()
}

/// For whom something is that is not for all: one is named, if they are known.
fn to_whom(message: &Message, ids: &[String]) -> String {
    let (strings, room) = (strings(), room());
    let me = room.me().with_untracked(|me| me.member.id.clone());
    let mut others = ids.iter().filter(|id| *id != me.as_str() && *id != message.from.id.as_str());
    match (others.next(), others.next()) {
        (None, _) if message.from.id != me => strings.to_you.to_owned(),
        (None, _) => strings.to_self.to_owned(),
        (Some(one), None) if message.from.id == me => {
            let name = room.members().with_untracked(|members| {
                let found = members.members.iter().find(|member| member.id.as_str() == one);
                found.map(|found| found.name.to_string())
            });
            name.map_or_else(|| strings.to_some.to_owned(), |name| (strings.to_one)(&name))
        }
        _ => strings.to_some.to_owned(),
    }
}

/// Which way something went that is for one alone: whether the server has it.
#[component]
fn Way(row: RowField) -> impl IntoView {
    let strings = strings();
    let way = Memo::new(move |_| {
        let message = row.message().try_get().flatten()?;
        let is_sent = row.status().try_get() == Some(Status::Sent);
        let is_private = matches!(message.to, Audience::Only(_));
        (is_private && is_sent).then(|| row.direct().try_get().unwrap_or_default())
    });
    move || {
        way.get().map(|direct| {
            let (word, title) = match direct {
                true => (strings.went_directly, strings.went_directly_text),
                false => (strings.went_by_server, strings.went_by_server_text),
            };
            view! {
                <span class="tag way" class:direct=direct title=title>
                    {word}
                    <span class="visually-hidden">": "{title}</span>
                </span>
            }
        })
    }
}

/// Who said it and when, above the first message of a group.
#[component]
fn Head(row: RowField) -> impl IntoView {
    let head = Memo::new(move |_| -> Option<(Member, u64)> {
        let message = row.message().try_get().flatten()?;
        let first = !row.grouped().try_get().unwrap_or_default();
        first.then(|| (message.from.clone(), message.at))
    });
    move || {
        head.get().map(|(from, at)| {
            view! {
                <div class="head">
                    <Avatar id=from.id.to_string() name=from.name.to_string()/>
                    <span class="author" dir="auto">{from.name.to_string()}</span>
                    <Clock at/>
                </div>
            }
        })
    }
}

/// What was said: text as text, whatever else as code.
#[component]
fn Body(value: Value) -> impl IntoView {
    match value {
        Value::String(text) => view! { <p class="text" dir="auto">{text}</p> }.into_any(),
        value => {
            // Indented, a value can be a hundred times as long.
            let plain = value.to_string();
            let code = match plain.len() {
                ..=2000 => serde_json::to_string_pretty(&value).unwrap_or(plain),
                _ => plain,
            };
            view! { <pre class="code" tabindex="0"><code>{code}</code></pre> }.into_any()
        }
    }
}

/// How far a message of mine has got, and what can be done about it.
#[component]
fn Fate(
    id: MessageId,
    status: impl Fn() -> Status + Send + Sync + 'static,
    said: String,
) -> impl IntoView {
    let strings = strings();
    let client = room_client();
    let status = Memo::new(move |_| status());
    move || {
        let word = match status.get() {
            Status::Sent => return ().into_any(),
            Status::Queued | Status::Sending => {
                return view! { <p class="fate">{strings.sending}</p> }.into_any();
            }
            Status::Unknown => strings.unknown.to_owned(),
            Status::Parked(refusal) => {
                format!("{}: {}", strings.not_sent, strings.refusal(&refusal))
            }
        };
        let (again, gone, said) = (id.clone(), id.clone(), said.clone());
        view! {
            <p class="fate problem" role="alert">
                <span>{word}</span>
                <button type="button" on:click=move |_| client.retry(again.clone())>
                    {strings.retry}
                </button>
                <button type="button" on:click=move |_| browser::copy(&said)>{strings.copy}</button>
                <button type="button" on:click=move |_| client.discard(gone.clone())>
                    {strings.discard}
                </button>
            </p>
        }
        .into_any()
    }
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
                format!("{}{whom}: {}", message.from.name, spoken(&message.value))
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

fn spoken(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
