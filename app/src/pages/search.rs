//! What was found in a room: each result leads to where it was said. It needs no JavaScript.

use std::sync::Arc;

use common::Message;
use leptos::prelude::*;

use crate::{
    components::{Avatar, Bar, Moment, Preferences, SearchForm},
    markup::parts,
    page::{PageData, SearchView, message_path, room_path, search_path},
    shell::strings,
};

/// How much of a long message is shown around what was found, in characters.
const AROUND: usize = 160;

#[component]
pub(crate) fn SearchPage(data: PageData, view: Arc<SearchView>) -> impl IntoView {
    let strings = strings();
    let SearchView { room, query, messages, before, refused } = Arc::unwrap_or_clone(view);
    let reason = refused.map(|refused| strings.refusal(&refused.refusal));
    let words: Vec<_> = query.split_whitespace().map(str::to_owned).collect();
    let (none, is_all) = (messages.is_empty(), before.is_none());
    let nothing = (none && reason.is_none()).then_some(match is_all {
        true => strings.nothing_found,
        false => strings.nothing_found_yet,
    });
    let older = before.map(|before| search_path(&room, &query, Some(before)));
    // The newest is what is looked for most.
    let found: Vec<_> = messages.into_iter().rev().collect();
    let (back, title, home) = (room_path(&room), room.to_string(), room_path(&room));
    view! {
        <div class="page">
            <Bar>
                <h1 class="room-title" dir="auto">
                    <a href=home>{title}</a>
                </h1>
                <span class="grow"></span>
                <Preferences theme=data.theme path=data.path/>
            </Bar>
            <main class="sheet search">
                <SearchForm room query autofocus=true/>
                <p class="problem" role="alert">{reason}</p>
                <p class="quiet-text" role="status">{nothing}</p>
                <ol class="found">
                    {found
                        .into_iter()
                        .map(|message| view! { <Item message words=words.clone()/> })
                        .collect_view()}
                </ol>
                {older.map(|path| view! { <p><a class="button" href=path>{strings.search_on}</a></p> })}
                <p><a href=back>{strings.back_to_room}</a></p>
            </main>
        </div>
    }
}

#[component]
fn Item(message: Message, words: Vec<String>) -> impl IntoView {
    let shown =
        parts(&message.text(), &words, AROUND).into_iter().map(|(part, is_found)| match is_found {
            true => view! { <mark>{part}</mark> }.into_any(),
            false => part.into_any(),
        });
    let (at, name) = (message.at, message.from.name.to_string());
    view! {
        <li>
            <a class="found-message" href=message_path(&message.room, message.offset)>
                <Avatar id=message.from.id.to_string() name=name.clone()/>
                <span class="author" dir="auto">{name}</span>
                <Moment at/>
                <span class="text" dir="auto">{shown.collect_view()}</span>
            </a>
        </li>
    }
}
