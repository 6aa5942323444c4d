//! What can be done with a message: react to it, edit it, take it back, link to it; and what others have reacted with.
//!
//! One message at a time has its tools open. Its button is in the tab order only by way of the log: Enter there goes to the
//! newest, arrows go on from one to the next.

use std::sync::Arc;

use client::{Row, Status};
use common::Message;
use leptos::{ev::KeyboardEvent, html, prelude::*};

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

/// Which row has its tools open, if one has: what says so to that row alone. Given as context beside the room's state.
#[derive(Clone, Copy)]
pub(crate) struct Opened(StoredValue<Option<ArcRwSignal<bool>>>);

impl Opened {
    /// None has.
    pub(crate) fn new() -> Self {
        Self(StoredValue::new(None))
    }

    /// The row of this signal has them open, and no other.
    fn open(self, row: ArcRwSignal<bool>) {
        self.shut();
        row.set(true);
        self.0.set_value(Some(row));
    }

    /// No row has.
    fn shut(self) {
        if let Some(row) = self.0.try_update_value(Option::take).flatten() {
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
        self.0.with_value(Option::is_some)
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

/// The button that opens the tools of a message, and the tools.
#[component]
pub(crate) fn Tools(row: ArcRwSignal<Row>) -> impl IntoView {
    let (strings, opened) = (strings(), expect_context::<Opened>());
    let is_open = ArcRwSignal::new(false);
    let (expanded, own) = (is_open.clone(), is_open.clone());
    let toggle = move |_| match own.get_untracked() {
        true => opened.shut(),
        false => opened.open(own.clone()),
    };
    view! {
        <button
            type="button"
            class="icon more needs-script"
            tabindex="-1"
            aria-label=strings.message_tools
            aria-expanded=move || expanded.get().to_string()
            on:click=toggle
        >
        </button>
        {move || is_open.get().then(|| view! { <Menu row=row.clone()/> })}
    }
}

#[component]
fn Menu(row: ArcRwSignal<Row>) -> impl IntoView {
    let (strings, room, client) = (strings(), room(), room_client());
    let opened = expect_context::<Opened>();
    let first = NodeRef::<html::Div>::new();
    Effect::new(move || {
        if first.get().is_some() {
            browser::focus_first("#log .tools button");
        }
    });
    let Some(message) = row.with_untracked(|row| row.message.clone()) else {
        return ().into_any();
    };
    let me = room.me().with_untracked(|me| me.member.clone());
    let is_mine = message.from.id == me.id;
    let quick = QUICK.map(|emoji| {
        let (row, me) = (row.clone(), me.clone());
        let is_on = message.reactions_of(&me).any(|one| one == emoji);
        view! {
            <button
                type="button"
                class="icon"
                aria-label=(strings.react_with)(emoji)
                aria-pressed=is_on.to_string()
                on:click=move |_| {
                    if let Some(message) = row.with_untracked(|row| row.message.clone()) {
                        client.react(&message, &me, emoji);
                    }
                    opened.close();
                }
            >
                {emoji}
            </button>
        }
    });
    let sure = RwSignal::new(false);
    let own = is_mine.then(|| {
        let is_text = message.value.is_string();
        let (edited, gone) = (row.clone(), message.clone());
        view! {
            {is_text.then(|| view! {
                <button
                    type="button"
                    on:click=move |_| {
                        opened.shut();
                        room.editing().set(edited.with_untracked(|row| row.message.clone()));
                    }
                >
                    {strings.edit_message}
                </button>
            })}
            <button
                type="button"
                class:danger=sure
                on:click=move |_| {
                    if sure.get_untracked() {
                        opened.shut();
                        client.take_back(&gone);
                        // The row is about to go.
                        browser::focus("composer-text");
                    } else {
                        sure.set(true);
                    }
                }
            >
                {move || if sure.get() { strings.take_back_sure } else { strings.take_back }}
            </button>
        }
    });
    let path = message_path(&message.room, message.offset);
    let copied = path.clone();
    view! {
        <div class="tools" role="group" aria-label=strings.message_tools node_ref=first>
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
pub(crate) fn reactions(row: ArcRwSignal<Row>) -> impl Fn() -> Option<AnyView> {
    let (strings, room, client) = (strings(), room(), room_client());
    let message = move || row.with(|row| row.message.clone());
    let shown = Memo::new(move |_| {
        message().filter(|message| !message.reactions.is_empty()).map(ByReactions)
    });
    move || {
        let ByReactions(message) = shown.get()?;
        let me = room.me().with_untracked(|me| me.member.clone());
        let reactions = message.reactions.clone().into_iter().map(|reaction| {
            let names: Vec<_> = reaction.from.iter().map(|from| from.name.to_string()).collect();
            let names = names.join(", ");
            let is_on = reaction.from.iter().any(|from| from.id == me.id);
            let (emoji, message, me) = (reaction.emoji, message.clone(), me.clone());
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
}

/// A message that is another only if its reactions are.
#[derive(Clone, Debug)]
struct ByReactions(Arc<Message>);

impl PartialEq for ByReactions {
    fn eq(&self, other: &Self) -> bool {
        self.0.reactions == other.0.reactions
    }
}

/// Whether anything can be done with it: it is kept.
pub(crate) fn is_kept(row: &Row) -> bool {
    row.status == Status::Sent && !row.direct && row.message.is_some()
}
