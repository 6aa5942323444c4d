//! What is said: the log, its scroll position, and the word for screen readers.

use common::{Audience, MessageId, Offset};
use leptos::{html, prelude::*};
use serde_json::Value;

use crate::{
    client::{
        browser,
        room_client::RoomClient,
        timeline::{Row, Status, Timeline},
    },
    components::{Clock, member_list::Avatar},
    shell::strings,
};

/// Closer to the end than this is at the end, in pixels.
const AT_END: i32 = 80;

#[component]
pub(crate) fn MessageList(client: RoomClient) -> impl IntoView {
    let strings = strings();
    let log = NodeRef::<html::Div>::new();
    let at_end = RwSignal::new(true);
    let seen = RwSignal::new(0_usize);
    let arrived = move || client.arrived.with(|arrived| arrived.count);
    let unseen = move || if at_end.get() { 0 } else { arrived() - seen.get().min(arrived()) };
    let to_end = move || {
        if let Some(log) = log.get_untracked() {
            log.set_scroll_top(log.scroll_height());
        }
    };
    // The scroll position is the reader's: it follows the end only while it is there.
    Effect::new(move || {
        client.timeline.track();
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
            seen.set(client.arrived.with_untracked(|arrived| arrived.count));
            at_end.set(end);
        }
    };
    let typing = move || {
        let names: Vec<_> =
            client.typing.with(|all| all.iter().map(|member| member.name.to_string()).collect());
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
                <Show when=move || client.timeline.with(Timeline::is_empty)>
                    <p class="empty">{strings.empty_room}</p>
                </Show>
                <ol class="messages">
                    <For each=move || client.timeline.with(Timeline::rows) key=key let(row)>
                        <Line client row/>
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
            <Announcer client/>
        </div>
    }
}

/// A row is drawn anew when its status or its place in a group changes.
fn key(row: &Row) -> (Result<(MessageId, Offset), usize>, Status, bool) {
    match row {
        Row::Message { message, status, grouped } => {
            (Ok((message.id.clone(), message.offset)), status.clone(), *grouped)
        }
        Row::Gap { number } => (Err(*number), Status::Sent, false),
    }
}

#[component]
fn Line(client: RoomClient, row: Row) -> impl IntoView {
    let strings = strings();
    match row {
        Row::Gap { .. } => view! { <li class="gap" role="note">{strings.gap}</li> }.into_any(),
        Row::Message { message, status, grouped } => {
            let state = match status {
                Status::Sent => "sent",
                Status::Pending => "pending",
                Status::Unknown => "unknown",
                Status::Failed(_) => "failed",
            };
            let head = (!grouped).then(|| {
                view! {
                    <div class="head">
                        <Avatar id=message.from.id.to_string() name=message.from.name.to_string()/>
                        <span class="author" dir="auto">{message.from.name.to_string()}</span>
                        <Clock at=message.at/>
                    </div>
                }
            });
            let (event, id, value) =
                (message.event.clone(), message.id.clone(), message.value.clone());
            let said = spoken(&message.value);
            let audience = match &message.to {
                Audience::All => None,
                Audience::Others => Some(strings.to_others),
                Audience::Own => Some(strings.to_self),
                Audience::Only(_) => Some(strings.to_some),
            };
            view! {
                <li
                    class="message"
                    class:grouped=grouped
                    data-state=state
                    data-id=message.id.to_string()
                    data-offset=message.offset.to_string()
                >
                    {head}
                    {audience.map(|whom| view! { <span class="tag">{whom}</span> })}
                    {event.map(|event| view! { <span class="tag event">{event.to_string()}</span> })}
                    <Body value/>
                    <Fate client id status said/>
                </li>
            }
            .into_any()
        }
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
fn Fate(client: RoomClient, id: MessageId, status: Status, said: String) -> impl IntoView {
    let strings = strings();
    let word = match status {
        Status::Sent => return ().into_any(),
        Status::Pending => return view! { <p class="fate">{strings.sending}</p> }.into_any(),
        Status::Unknown => strings.unknown.to_owned(),
        Status::Failed(reason) => format!("{}: {reason}", strings.not_sent),
    };
    let again = id.clone();
    view! {
        <p class="fate problem" role="alert">
            <span>{word}</span>
            <button type="button" on:click=move |_| client.retry(&again)>{strings.retry}</button>
            <button type="button" on:click=move |_| browser::copy(&said)>{strings.copy}</button>
            <button type="button" on:click=move |_| client.discard(&id)>{strings.discard}</button>
        </p>
    }
    .into_any()
}

/// Tells screen readers what others say: politely, at most once a second, never history.
#[component]
fn Announcer(client: RoomClient) -> impl IntoView {
    let strings = strings();
    let text = RwSignal::new(String::new());
    let told = StoredValue::new(0_usize);
    let waiting = StoredValue::new(false);
    let tell = move || {
        waiting.try_set_value(false);
        let Some(arrived) = client.arrived.try_get_untracked() else { return };
        let new = arrived.count - told.get_value();
        told.set_value(arrived.count);
        let words = match arrived.last {
            Some(message) if new == 1 => {
                format!("{}: {}", message.from.name, spoken(&message.value))
            }
            _ => (strings.new_messages)(new),
        };
        text.try_set(words);
    };
    Effect::new(move || {
        if client.arrived.with(|arrived| arrived.count) > told.get_value() && !waiting.get_value() {
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
