//! One row of the log: a message, or what stands for those that are missing.
//!
//! A page has hundreds of them, and what waits for a change costs more than what it draws. So a row waits once for what it is,
//! and is drawn whole: Leptos compares that with what is there, and touches what is not the same.

use std::sync::Arc;

use client::{Row, Status};
use common::{Audience, Member, Message};
use leptos::prelude::*;
use serde_json::Value;

use crate::{
    browser,
    components::{
        member_list::Avatar,
        tools::{is_kept, reactions, tools},
    },
    markup::{Block, Span, blocks, is_emoji, names},
    room::{RoomStateStoreFields, room},
    room_client::room_client,
    shell::strings,
    time::{self, Zone, iso, zone},
};

/// JSON that is longer than this, in bytes, is shown in several lines.
const LINE: usize = 72;

/// To whom it is stays; the rest may change under it: what was said, how far it has got, what the row before it is, and when
/// and by whom it was said, which the server knows better than whoever wrote it.
#[component]
pub(crate) fn Line(row: ArcRwSignal<Row>) -> impl IntoView {
    let (strings, room) = (strings(), room());
    let Some(first) = row.with_untracked(|row| row.message.clone()) else {
        return view! { <li class="gap" role="note">{strings.gap}</li> }.into_any();
    };
    let (offset, whom) = (first.offset, audience_word(&first));
    let is_open = ArcRwSignal::new(false);
    let is_unread = Memo::new(move |_| room.unread().get() == Some(offset));
    let draw = move || {
        let row = row.get();
        let message = row.message.clone().unwrap_or_else(|| first.clone());
        draw(&row, message, whom.clone(), is_unread.get(), is_open.clone())
    };
    draw.into_any()
}

/// A message as it is now.
fn draw(
    row: &Row,
    message: Arc<Message>,
    whom: Option<String>,
    is_unread: bool,
    is_open: ArcRwSignal<bool>,
) -> impl IntoView + use<> {
    let (room, zone) = (room(), time::of(zone()));
    // Rows don't wait for another name.
    let me = room.me().with_untracked(|me| me.member.clone());
    let mine = me.id == message.from.id;
    let names_me =
        !mine && message.value.as_str().is_some_and(|text| names(text, me.name.as_str()));
    let state = match &row.status {
        Status::Sent => "sent",
        Status::Queued | Status::Sending => "pending",
        Status::Unknown => "unknown",
        Status::Parked(_) => "failed",
    };
    let begins_day = begins_day(row, zone);
    let grouped = row.grouped && !begins_day;
    let below: Vec<_> =
        reactions(&message).into_iter().chain(fate(&row.status, &message)).collect();
    let classes = [
        ("grouped", grouped),
        ("mine", mine),
        ("program", is_for_programs(&message)),
        ("mentions-me", names_me),
    ];
    let classes = classes.into_iter().filter(|(_, is_so)| *is_so);
    let class = classes.fold("message".to_owned(), |all, (class, _)| all + " " + class);
    view! {
        <li
            class=class
            data-state=state
            id=format!("m-{}", message.offset)
            data-id=message.id.to_string()
            data-offset=message.offset.to_string()
            data-kept=is_kept(row).then_some("")
        >
            {above(row, &message, whom, (is_unread, begins_day, !grouped), zone)}
            {said(&message)}
            {below}
            {tools(&message, is_open)}
        </li>
    }
}

/// What has a name of its own, or is no text, is for programs.
fn is_for_programs(message: &Message) -> bool {
    message.event.is_some() || !message.value.is_string()
}

/// What stands above what was said: whether it is the first that came while nobody looked, of a day, of a group; for whom it
/// is, which way it went, and what a program calls it.
fn above(
    row: &Row,
    message: &Message,
    whom: Option<String>,
    (is_unread, begins_day, begins_group): (bool, bool, bool),
    zone: Zone,
) -> Vec<AnyView> {
    let strings = strings();
    let mut parts = Vec::new();
    if is_unread {
        parts.push(view! { <p class="unread" role="separator">{strings.new_since}</p> }.into_any());
    }
    if begins_day {
        let day = zone.day(message.at, strings);
        let date = iso(message.at)[..10].to_owned();
        parts.push(view! { <p class="day"><time datetime=date>{day}</time></p> }.into_any());
    }
    if begins_group {
        parts.push(head(&message.from, message.at, is_for_programs(message), zone).into_any());
    }
    if let Some(whom) = whom {
        parts.push(view! { <span class="tag" dir="auto">{whom}</span> }.into_any());
    }
    // How it went is known once it has gone.
    if matches!(&message.to, Audience::Only(ids) if ids.len() > 1) && row.status == Status::Sent {
        parts.push(way(row.direct).into_any());
    }
    if let Some(event) = &message.event {
        parts.push(view! { <span class="tag event">{event.to_string()}</span> }.into_any());
    }
    parts
}

/// Who said it and when.
fn head(from: &Member, at: u64, is_program: bool, zone: Zone) -> impl IntoView + use<> {
    view! {
        <div class="head">
            <Avatar id=from.id.to_string() name=from.name.to_string() is_program/>
            <span class="author" dir="auto">{from.name.to_string()}</span>
            <time datetime=iso(at)>{zone.clock(at)}</time>
        </div>
    }
}

/// Which way something went that is for some alone: whether the server has it.
fn way(direct: bool) -> impl IntoView {
    let strings = strings();
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
}

/// Whether it is the first message of a day, where the reader is.
fn begins_day(row: &Row, zone: Zone) -> bool {
    let Some(message) = &row.message else { return false };
    row.before.is_none_or(|before| !zone.is_same_day(before, message.at))
}

/// For whom something is, if not for all.
pub(crate) fn audience_word(message: &Message) -> Option<String> {
    let strings = strings();
    match &message.to {
        Audience::All => None,
        Audience::Others => Some(strings.to_others.to_owned()),
        Audience::Own => Some(strings.to_self.to_owned()),
        Audience::Only(ids) => Some(to_whom(message, ids)),
    }
}

/// For whom something is that is not for all: those who are named, if all of them are known.
fn to_whom(message: &Message, ids: &[String]) -> String {
    let (strings, room) = (strings(), room());
    let me = room.me().with_untracked(|me| me.member.id.clone());
    let is_mine = message.from.id == me;
    let others = ids.iter().filter(|id| *id != me.as_str() && *id != message.from.id.as_str());
    let names: Option<Vec<String>> = room.members().with_untracked(|members| {
        let name = |id: &String| {
            let found = members.members.iter().find(|member| member.id.as_str() == id);
            found.map(|found| found.name.to_string())
        };
        others.map(name).collect()
    });
    match names {
        Some(names) if names.is_empty() && is_mine => strings.to_self.to_owned(),
        Some(names) if names.is_empty() => strings.to_you.to_owned(),
        Some(names) if is_mine => (strings.to_one)(&names.join(", ")),
        Some(names) => (strings.to_you_and)(&names.join(", ")),
        None => strings.to_some.to_owned(),
    }
}

/// What was said, and whether it was edited.
fn said(message: &Message) -> Vec<AnyView> {
    let mut parts = body(&message.value);
    if message.edited.is_some() {
        parts.push(view! { <span class="edited">{strings().edited}</span> }.into_any());
    }
    parts
}

/// What was said: text as text, whatever else as code.
fn body(value: &Value) -> Vec<AnyView> {
    match value {
        Value::String(text) => {
            let block = |block| match block {
                Block::Text(spans) => paragraph(spans, is_emoji(text)),
                Block::Code(code) => listing(code),
            };
            blocks(text).into_iter().map(block).collect()
        }
        value => {
            // What fits a line stays in one; indented, a value can be a hundred times as long.
            let plain = value.to_string();
            let code = match plain.len() {
                LINE..=2000 => serde_json::to_string_pretty(value).unwrap_or(plain),
                _ => plain,
            };
            vec![listing(code)]
        }
    }
}

fn paragraph(spans: Vec<Span>, large: bool) -> AnyView {
    let mut spans: Vec<_> = spans.into_iter().map(span).collect();
    // Most have one, and a list of them ends in a comment.
    let class = if large { "text large" } else { "text" };
    if spans.len() == 1
        && let Some(only) = spans.pop()
    {
        return view! { <p class=class dir="auto">{only}</p> }.into_any();
    }
    view! { <p class=class dir="auto">{spans}</p> }.into_any()
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
fn fate(status: &Status, message: &Arc<Message>) -> Option<AnyView> {
    let (strings, client) = (strings(), room_client());
    let word = match status {
        Status::Sent => return None,
        Status::Queued | Status::Sending => {
            return Some(view! { <p class="fate">{strings.sending}</p> }.into_any());
        }
        Status::Unknown => strings.unknown.to_owned(),
        Status::Parked(refusal) => format!("{}: {}", strings.not_sent, strings.refusal(refusal)),
    };
    let (again, gone, message) = (message.id.clone(), message.id.clone(), message.clone());
    let view = view! {
        <p class="fate problem" role="alert">
            <span>{word}</span>
            <button type="button" on:click=move |_| client.retry(again.clone())>
                {strings.retry}
            </button>
            <button type="button" on:click=move |_| _ = browser::copy(&message.text())>
                {strings.copy}
            </button>
            <button type="button" on:click=move |_| client.discard(gone.clone())>
                {strings.discard}
            </button>
        </p>
    };
    Some(view.into_any())
}
