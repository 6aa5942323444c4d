//! One row of the log: a message, or what stands for those that are missing.
//!
//! A page has hundreds of them, and Leptos leaves a comment in the page wherever something may come to be. So there are few
//! such places in a row: one above what was said, one for that, one for what is below it, one for the tools.

use std::sync::Arc;

use client::{Row, Status};
use common::{Audience, Member, Message};
use leptos::prelude::*;
use serde_json::Value;

use crate::{
    browser,
    components::{
        Clock,
        member_list::Avatar,
        tools::{Tools, is_kept, reactions},
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
    let (strings, room, zone) = (strings(), room(), zone());
    let Some(message) = row.with_untracked(|row| row.message.clone()) else {
        return view! { <li class="gap" role="note">{strings.gap}</li> }.into_any();
    };
    let (placed, reached, said, kept) = (row.clone(), row.clone(), row.clone(), row.clone());
    let grouped = move || is_grouped(&placed, time::of(zone));
    let mine = room.me().with_untracked(|me| me.member.id == message.from.id);
    let named = row.clone();
    let names_me = move || {
        // Rows don't wait for another name: of what hundreds wait for, each that goes costs.
        let name = room.me().with_untracked(|me| me.member.name.to_string());
        !mine
            && named.with(|row| {
                let text = row.message.as_ref().and_then(|message| message.value.as_str());
                text.is_some_and(|text| names(text, &name))
            })
    };
    let state = move || match reached.with(|row| row.status.clone()) {
        Status::Sent => "sent",
        Status::Queued | Status::Sending => "pending",
        Status::Unknown => "unknown",
        Status::Parked(_) => "failed",
    };
    let offset = move || said.with(|row| row.message.as_ref().map(|message| message.offset));
    let number = offset.clone();
    let anchor = move || number().map(|offset| format!("m-{offset}"));
    let is_kept = move || kept.with(is_kept).then_some("");
    let (id, is_program) = (message.id.to_string(), is_for_programs(&message));
    view! {
        <li
            class="message"
            class:grouped=grouped
            class:mine=mine
            class:program=is_program
            class:mentions-me=names_me
            data-state=state
            id=anchor
            data-id=id
            data-offset=move || offset().map(|offset| offset.to_string())
            data-kept=is_kept
        >
            {above(row.clone(), message)}
            {said_now(row.clone())}
            {below(row.clone())}
            <Tools row/>
        </li>
    }
    .into_any()
}

/// What has a name of its own, or is no text, is for programs.
fn is_for_programs(message: &Message) -> bool {
    message.event.is_some() || !message.value.is_string()
}

/// What stands above what was said, as far as it may change.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Above {
    from: Member,
    at: u64,
    /// It is the first that came while nobody looked.
    is_unread: bool,
    /// It is the first of a day.
    begins_day: bool,
    /// It is the first of a group.
    begins_group: bool,
    /// Whether it went directly, if it is known how it went.
    direct: Option<bool>,
}

fn above(row: ArcRwSignal<Row>, message: Arc<Message>) -> impl IntoView {
    let (strings, room, zone) = (strings(), room(), zone());
    let whom = audience_word(&message);
    let offset = message.offset;
    let (is_program, event) =
        (is_for_programs(&message), message.event.as_ref().map(ToString::to_string));
    let is_private = matches!(&message.to, Audience::Only(ids) if ids.len() > 1);
    let shown = Memo::new(move |_| {
        let is_unread = room.unread().get() == Some(offset);
        row.with(|row| {
            let now = row.message.as_ref().unwrap_or(&message);
            let begins_day = begins_day(row, time::of(zone));
            Above {
                from: now.from.clone(),
                at: now.at,
                is_unread,
                begins_day,
                begins_group: !row.grouped || begins_day,
                direct: (is_private && row.status == Status::Sent).then_some(row.direct),
            }
        })
    });
    move || {
        let shown = shown.get();
        let mut parts = Vec::new();
        if shown.is_unread {
            parts.push(
                view! { <p class="unread" role="separator">{strings.new_since}</p> }.into_any(),
            );
        }
        if shown.begins_day {
            let day = time::of(zone).day(shown.at, strings);
            let date = iso(shown.at)[..10].to_owned();
            parts.push(view! { <p class="day"><time datetime=date>{day}</time></p> }.into_any());
        }
        if shown.begins_group {
            parts.push(head(&shown.from, shown.at, is_program).into_any());
        }
        if let Some(whom) = whom.clone() {
            parts.push(view! { <span class="tag" dir="auto">{whom}</span> }.into_any());
        }
        if let Some(direct) = shown.direct {
            parts.push(way(direct).into_any());
        }
        if let Some(event) = event.clone() {
            parts.push(view! { <span class="tag event">{event}</span> }.into_any());
        }
        parts
    }
}

/// Who said it and when.
fn head(from: &Member, at: u64, is_program: bool) -> impl IntoView + use<> {
    view! {
        <div class="head">
            <Avatar id=from.id.to_string() name=from.name.to_string() is_program/>
            <span class="author" dir="auto">{from.name.to_string()}</span>
            <Clock at/>
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

fn is_grouped(row: &ArcRwSignal<Row>, zone: Zone) -> bool {
    row.with(|row| row.grouped && !begins_day(row, zone))
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

/// What was said, as it is now.
fn said_now(row: ArcRwSignal<Row>) -> impl IntoView {
    let strings = strings();
    let said = Memo::new(move |_| {
        row.with(|row| row.message.as_ref().map(|said| (said.value.clone(), said.edited.is_some())))
    });
    move || {
        let Some((value, is_edited)) = said.get() else { return Vec::new() };
        let mut parts = body(value);
        if is_edited {
            parts.push(view! { <span class="edited">{strings.edited}</span> }.into_any());
        }
        parts
    }
}

/// What was said: text as text, whatever else as code.
fn body(value: Value) -> Vec<AnyView> {
    match value {
        Value::String(text) => {
            let block = |block| match block {
                Block::Text(spans) => paragraph(spans, is_emoji(&text)),
                Block::Code(code) => listing(code),
            };
            blocks(&text).into_iter().map(block).collect()
        }
        value => {
            // What fits a line stays in one; indented, a value can be a hundred times as long.
            let plain = value.to_string();
            let code = match plain.len() {
                LINE..=2000 => serde_json::to_string_pretty(&value).unwrap_or(plain),
                _ => plain,
            };
            vec![listing(code)]
        }
    }
}

fn paragraph(spans: Vec<Span>, large: bool) -> AnyView {
    let mut spans: Vec<_> = spans.into_iter().map(span).collect();
    // Most have one, and a list of them ends in a comment.
    if spans.len() == 1
        && let Some(only) = spans.pop()
    {
        return view! { <p class="text" class:large=large dir="auto">{only}</p> }.into_any();
    }
    view! { <p class="text" class:large=large dir="auto">{spans}</p> }.into_any()
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

/// What others have reacted with; of a message of mine that has not arrived, how far it has got. It is never both.
fn below(row: ArcRwSignal<Row>) -> impl IntoView {
    let (reactions, fate) = (reactions(row.clone()), fate(row));
    move || reactions().into_iter().chain(fate()).collect::<Vec<_>>()
}

/// How far a message of mine has got, and what can be done about it.
fn fate(row: ArcRwSignal<Row>) -> impl Fn() -> Option<AnyView> {
    let strings = strings();
    let client = room_client();
    let reached = row.clone();
    let status = Memo::new(move |_| reached.with(|row| row.status.clone()));
    move || {
        let word = match status.get() {
            Status::Sent => return None,
            Status::Queued | Status::Sending => {
                return Some(view! { <p class="fate">{strings.sending}</p> }.into_any());
            }
            Status::Unknown => strings.unknown.to_owned(),
            Status::Parked(refusal) => {
                format!("{}: {}", strings.not_sent, strings.refusal(&refusal))
            }
        };
        let message = row.with_untracked(|row| row.message.clone())?;
        let (again, gone) = (message.id.clone(), message.id.clone());
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
}
