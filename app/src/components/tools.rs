//! What can be done with a message: react to it, edit it, take it back, link to it; and what others have reacted with.
//!
//! One message at a time has its tools open. Its button is in the tab order only by way of the log: Enter there goes to the
//! newest, arrows go on from one to the next.

use std::sync::Arc;

use client::{Row, Status};
use common::Message;
use leptos::{ev::KeyboardEvent, prelude::*};

use crate::{
    browser,
    page::message_path,
    room::{RoomStateStoreFields, room},
    room_client::room_client,
    shell::strings,
};

/// What one reacts with in one click.
const QUICK: [&str; 6] = ["👍", "❤️", "😂", "🎉", "😮", "🙏"];

/// The buttons that open the tools, in the order of the log.
const OPENERS: &str = "#log .more";

/// The tools that are open, if some are. Given as context beside the room's state.
#[derive(Clone, Copy)]
pub(crate) struct Opened {
    /// Those of this row, to which alone it is said so.
    row: StoredValue<Option<ArcRwSignal<bool>>>,
    /// One more click takes the message back.
    sure: RwSignal<bool>,
}

impl Opened {
    /// None has.
    pub(crate) fn new() -> Self {
        Self { row: StoredValue::new(None), sure: RwSignal::new(false) }
    }

    /// The row of this signal has them open, and no other.
    fn open(self, row: ArcRwSignal<bool>) {
        self.shut();
        self.sure.set(false);
        row.set(true);
        self.row.set_value(Some(row));
        // As soon as they are there: the next key is for them.
        queue_microtask(|| browser::focus_first("#log .tools button"));
    }

    /// No row has.
    fn shut(self) {
        if let Some(row) = self.row.try_update_value(Option::take).flatten() {
            row.try_set(false);
        }
    }

    /// Closes the tools that are open, and has the focus go back to where they were opened from.
    fn close(self) {
        if self.is_open() {
            browser::focus_first("#log .more[aria-expanded=true]");
            self.shut();
        }
    }

    fn is_open(self) -> bool {
        self.row.with_value(Option::is_some)
    }

    /// A key was pressed in the log.
    pub(crate) fn press(self, event: &KeyboardEvent) {
        let done = match event.key().as_str() {
            "Escape" if self.is_open() => {
                self.close();
                true
            }
            "Escape" => {
                browser::focus("composer-text");
                true
            }
            "Enter" if browser::has_focus("#log") => browser::focus_last(OPENERS),
            "ArrowUp" => browser::focus_beside(OPENERS, false),
            "ArrowDown" => browser::focus_beside(OPENERS, true),
            _ => false,
        };
        if done {
            event.prevent_default();
        }
    }
}

/// A click beside the tools closes them. Browser only.
pub(crate) fn close_by_click(opened: Opened) {
    let listener = window_event_listener_untyped("pointerdown", move |event| {
        if !browser::is_within_any(&event, "#log .tools, #log .more") {
            opened.shut();
        }
    });
    on_cleanup(move || listener.remove());
}

/// The button that opens the tools of a message, and the tools if they are open.
pub(crate) fn tools(message: &Arc<Message>, is_open: ArcRwSignal<bool>) -> impl IntoView + use<> {
    let (strings, opened) = (strings(), expect_context::<Opened>());
    let is_shown = is_open.get();
    let toggle = move |_| match is_open.get_untracked() {
        true => opened.shut(),
        false => opened.open(is_open.clone()),
    };
    view! {
        <button
            type="button"
            class="icon more needs-script"
            tabindex="-1"
            aria-label=strings.message_tools
            aria-expanded=is_shown.to_string()
            on:click=toggle
        >
        </button>
        {is_shown.then(|| menu(message, opened))}
    }
}

fn menu(message: &Arc<Message>, opened: Opened) -> AnyView {
    let (strings, room, client) = (strings(), room(), room_client());
    let me = room.me().with_untracked(|me| me.member.clone());
    let is_mine = message.from.id == me.id;
    let quick = QUICK.map(|emoji| {
        let (message, me) = (message.clone(), me.clone());
        let is_on = message.reactions_of(&me).any(|one| one == emoji);
        view! {
            <button
                type="button"
                class="icon"
                aria-label=(strings.react_with)(emoji)
                aria-pressed=is_on.to_string()
                on:click=move |_| {
                    client.react(&message, &me, emoji);
                    opened.close();
                }
            >
                {emoji}
            </button>
        }
    });
    let own = is_mine.then(|| {
        let (edited, gone) = (message.clone(), message.clone());
        let is_sure = opened.sure.get();
        view! {
            {message.value.is_string().then(|| view! {
                <button
                    type="button"
                    on:click=move |_| {
                        opened.shut();
                        room.editing().set(Some(edited.clone()));
                    }
                >
                    {strings.edit_message}
                </button>
            })}
            <button
                type="button"
                class:danger=is_sure
                on:click=move |_| {
                    if is_sure {
                        opened.shut();
                        client.take_back(&gone);
                        // The row is about to go.
                        browser::focus("composer-text");
                    } else {
                        opened.sure.set(true);
                    }
                }
            >
                {if is_sure { strings.take_back_sure } else { strings.take_back }}
            </button>
        }
    });
    let path = message_path(&message.room, message.offset);
    let copied = path.clone();
    view! {
        <div class="tools" role="group" aria-label=strings.message_tools>
            {quick.into_iter().collect_view()}
            {own}
            <a
                class="button"
                href=path
                on:click=move |event| {
                    // Where it can't be copied it is gone to.
                    if browser::copy(&format!("{}{copied}", browser::origin())) {
                        event.prevent_default();
                        room.notice().set(strings.link_copied);
                        opened.close();
                    }
                }
            >
                {strings.copy_link}
            </a>
        </div>
    }
    .into_any()
}

/// What others have reacted with, and how many: a click does so too, or no more.
pub(crate) fn reactions(message: &Arc<Message>) -> Option<AnyView> {
    if message.reactions.is_empty() {
        return None;
    }
    let (strings, room, client) = (strings(), room(), room_client());
    let me = room.me().with_untracked(|me| me.member.clone());
    let reactions = message.reactions.iter().map(|reaction| {
        let names: Vec<_> = reaction.from.iter().map(|from| from.name.to_string()).collect();
        let names = names.join(", ");
        let is_on = reaction.from.iter().any(|from| from.id == me.id);
        let (emoji, message, me) = (reaction.emoji.clone(), message.clone(), me.clone());
        let label = (strings.reacted)(&emoji, reaction.from.len(), &names);
        let shown = emoji.clone();
        view! {
            <li>
                <button
                    type="button"
                    class="reaction"
                    aria-pressed=is_on.to_string()
                    aria-label=label
                    title=names
                    on:click=move |_| client.react(&message, &me, &emoji)
                >
                    {shown}
                    <span class="count">{reaction.from.len()}</span>
                </button>
            </li>
        }
    });
    let view = view! {
        <ul class="reactions" aria-label=strings.reactions>
            {reactions.collect_view()}
        </ul>
    };
    Some(view.into_any())
}

/// Whether anything can be done with it: it is kept.
pub(crate) fn is_kept(row: &Row) -> bool {
    row.status == Status::Sent && !row.direct && row.message.is_some()
}
