//! What is said: the log, its scroll position, and the word for screen readers.

use client::{Row, Status};
use common::{Audience, Message};
use leptos::{html, prelude::*};
use reactive_stores::Store;
use serde_json::Value;

use crate::{
    browser,
    components::{Clock, member_list::Avatar},
    markup::{Block, Span, blocks, is_emoji},
    page::room_path,
    room::{Past, RoomState, RoomStateStoreFields, forget_older, oldest, room},
    room_client::room_client,
    shell::strings,
    time::{Zone, iso, zone},
};

/// Closer to the end than this is at the end, in pixels.
const AT_END: i32 = 80;
/// Closer to the first row than this, older ones are asked for.
const NEAR_TOP: i32 = 600;

#[component]
pub(crate) fn MessageList() -> impl IntoView {
    let strings = strings();
    let room = room();
    let log = NodeRef::<html::Div>::new();
    let client = room_client();
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
    Effect::new(move |before: Option<Option<u64>>| {
        let mine = room.rows().with(|rows| {
            let last = rows.last()?;
            last.row.with_untracked(|row| row.status != Status::Sent).then_some(last.key)
        });
        // What I have just said I see, wherever I was; and close to the end is at the end.
        let is_new = mine.is_some() && before.is_some_and(|before| before != mine);
        if is_new || at_end.get_untracked() {
            request_animation_frame(to_end);
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
            forget_older(room);
        } else if log.scroll_height() - log.client_height() + log.scroll_top() < NEAR_TOP {
            client.show_older(room);
        }
    };
    let rows = move || {
        let older = room.older().get();
        older.into_iter().chain(room.rows().get()).collect::<Vec<_>>()
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
            >
                <Show when=move || room.rows().with(Vec::is_empty)>
                    <p class="empty">{strings.empty_room}</p>
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
                    <For each=rows key=|row| row.key let(row)>
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

/// One row. What was said stays; the rest may change under it: how far it has got, and what the row
/// before it is.
#[component]
fn Line(row: ArcRwSignal<Row>) -> impl IntoView {
    let (strings, room, zone) = (strings(), room(), zone());
    let Some(message) = row.with_untracked(|row| row.message.clone()) else {
        return view! { <li class="gap" role="note">{strings.gap}</li> }.into_any();
    };
    let (placed, reached, said) = (row.clone(), row.clone(), row.clone());
    let grouped = move || is_grouped(&placed, zone.get());
    let mine = room.me().with_untracked(|me| me.member.id == message.from.id);
    let state = move || match reached.with(|row| row.status.clone()) {
        Status::Sent => "sent",
        Status::Queued | Status::Sending => "pending",
        Status::Unknown => "unknown",
        Status::Parked(_) => "failed",
    };
    let offset =
        move || said.with(|row| row.message.as_ref().map(|message| message.offset.to_string()));
    let audience = match &message.to {
        Audience::All => None,
        Audience::Others => Some(strings.to_others.to_owned()),
        Audience::Own => Some(strings.to_self.to_owned()),
        Audience::Only(ids) => Some(to_whom(&message, ids)),
    };
    let is_private = matches!(message.to, Audience::Only(_));
    let event = message.event.as_ref().map(ToString::to_string);
    view! {
        <li
            class="message"
            class:grouped=grouped
            class:mine=mine
            data-state=state
            data-id=message.id.to_string()
            data-offset=offset
        >
            <Day row=row.clone()/>
            <Head row=row.clone()/>
            {audience.map(|whom| view! { <span class="tag" dir="auto">{whom}</span> })}
            {is_private.then(|| view! { <Way row=row.clone()/> })}
            {event.map(|event| view! { <span class="tag event">{event}</span> })}
            <Body value=message.value.clone()/>
            <Fate row/>
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
fn Way(row: ArcRwSignal<Row>) -> impl IntoView {
    let strings = strings();
    move || {
        let direct = row.with(|row| (row.status == Status::Sent).then_some(row.direct));
        direct.map(|direct| {
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

/// Whether it is the first message of a day, where the reader is.
fn begins_day(row: &Row, zone: Zone) -> bool {
    let Some(message) = &row.message else { return false };
    row.before.is_none_or(|before| !zone.is_same_day(before, message.at))
}

fn is_grouped(row: &ArcRwSignal<Row>, zone: Zone) -> bool {
    row.with(|row| row.grouped && !begins_day(row, zone))
}

/// Which day it is, above its first message.
#[component]
fn Day(row: ArcRwSignal<Row>) -> impl IntoView {
    let (strings, zone) = (strings(), zone());
    move || {
        let at = row.with(|row| {
            let at = row.message.as_ref().map(|message| message.at);
            at.filter(|_| begins_day(row, zone.get()))
        });
        at.map(|at| {
            let day = zone.get().day(at, strings);
            view! { <p class="day"><time datetime=iso(at)[..10].to_owned()>{day}</time></p> }
        })
    }
}

/// Who said it and when, above the first message of a group.
#[component]
fn Head(row: ArcRwSignal<Row>) -> impl IntoView {
    let zone = zone();
    let head = Memo::new(move |_| {
        let first = row.with(|row| row.message.clone())?;
        (!is_grouped(&row, zone.get())).then(|| (first.from.clone(), first.at))
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
        Value::String(text) => blocks(&text)
            .into_iter()
            .map(|block| match block {
                Block::Text(spans) => {
                    let spans: Vec<_> = spans.into_iter().map(span).collect();
                    view! { <p class="text" class:large=is_emoji(&text) dir="auto">{spans}</p> }
                        .into_any()
                }
                Block::Code(code) => listing(code),
            })
            .collect_view()
            .into_any(),
        value => {
            // Indented, a value can be a hundred times as long.
            let plain = value.to_string();
            let code = match plain.len() {
                ..=2000 => serde_json::to_string_pretty(&value).unwrap_or(plain),
                _ => plain,
            };
            listing(code)
        }
    }
}

/// Code in lines of its own. It may be wider than the page, and then scrolls, by keyboard too.
fn listing(code: String) -> AnyView {
    view! { <pre class="code" tabindex="0" dir="ltr"><code>{code}</code></pre> }.into_any()
}

fn span(span: Span) -> AnyView {
    match span {
        Span::Plain(text) => text.into_any(),
        Span::Code(code) => view! { <code dir="ltr">{code}</code> }.into_any(),
        Span::Link(address) => {
            let shown = address.clone();
            view! {
                <a href=address target="_blank" rel="noopener nofollow ugc" dir="ltr">
                    {shown}
                </a>
            }
            .into_any()
        }
    }
}

/// How far a message of mine has got, and what can be done about it.
#[component]
fn Fate(row: ArcRwSignal<Row>) -> impl IntoView {
    let strings = strings();
    let client = room_client();
    move || {
        let word = match row.with(|row| row.status.clone()) {
            Status::Sent => return ().into_any(),
            Status::Queued | Status::Sending => {
                return view! { <p class="fate">{strings.sending}</p> }.into_any();
            }
            Status::Unknown => strings.unknown.to_owned(),
            Status::Parked(refusal) => {
                format!("{}: {}", strings.not_sent, strings.refusal(&refusal))
            }
        };
        let Some(message) = row.with_untracked(|row| row.message.clone()) else {
            return ().into_any();
        };
        let (again, gone) = (message.id.clone(), message.id.clone());
        view! {
            <p class="fate problem" role="alert">
                <span>{word}</span>
                <button type="button" on:click=move |_| client.retry(again.clone())>
                    {strings.retry}
                </button>
                <button type="button" on:click=move |_| browser::copy(&spoken(&message.value))>
                    {strings.copy}
                </button>
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
