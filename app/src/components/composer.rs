//! The form to say something. It works by itself, by POST and redirect; with JavaScript it sends over
//! the socket and keeps the draft.
//!
//! The field belongs to the person: it is never written to but to empty it after sending, so what was
//! typed before the page came alive is still there after.

use std::sync::Arc;

use client::{Road, encode_component};
use common::{Audience, MemberName};
use leptos::{
    ev::{CompositionEvent, KeyboardEvent, SubmitEvent},
    html,
    prelude::*,
};

use super::{
    enter::{Decision, EnterPress, EnterRule},
    file_list::SendFiles,
};
use crate::{
    browser,
    page::{Refused, RoomView},
    room::{RoomStateStoreFields, room},
    room_client::room_client,
    shell::{raw_text, strings},
};

#[component]
pub(crate) fn Composer(view: Arc<RoomView>, refused: Option<Refused>) -> impl IntoView {
    let strings = strings();
    let (room, client) = (room(), room_client());
    let first_name = NodeRef::<html::Input>::new();
    let field = NodeRef::<html::Textarea>::new();
    let (reason, typed) = match refused {
        Some(Refused { refusal, text }) => (Some(strings.refusal(&refusal)), text),
        None => (None, String::new()),
    };
    let problem = RwSignal::new(reason);
    let draft_key = format!("draft:{}", view.room);
    let key = draft_key.clone();
    Effect::new(move || {
        if let Some(field) = field.get()
            && field.value().is_empty()
            && let Some(draft) = browser::kept(&key)
        {
            field.set_value(&draft);
        }
    });

    let key = draft_key.clone();
    Effect::new(move || {
        if room.addressee().with(Option::is_some) {
            browser::keep(&key, "");
        }
    });
    let take_name = move || {
        if let Some(name) = first_name.get_untracked()
            && let Ok(name) = MemberName::parse(&name.value())
        {
            client.rename(name);
        }
    };
    // Enter in the field for the name is enough to go by it.
    let name_press = move |event: KeyboardEvent| {
        if event.key() == "Enter" && !event.is_composing() {
            event.prevent_default();
            take_name();
            browser::focus("composer-text");
        }
    };
    let rule = StoredValue::new(EnterRule::default());
    let key = draft_key.clone();
    let send = move || {
        let Some(field) = field.get_untracked() else { return };
        let text = field.value();
        let text = text.trim_end_matches(['\n', '\r']);
        if text.trim().is_empty() {
            return;
        }
        take_name();
        let to = room.addressee().with_untracked(|to| {
            let to = to.as_ref()?;
            let me = room.me().with_untracked(|me| me.member.id.to_string());
            // Mine, too: then it is there in my other pages, and after a reload.
            Some(Audience::Only(vec![to.id.to_string(), me]))
        });
        match client.say(text, to.unwrap_or_default()) {
            Ok(()) => {
                field.set_value("");
                browser::keep(&key, "");
                problem.set(None);
            }
            Err(refusal) => problem.set(Some(strings.refusal(&refusal))),
        }
        let _ = field.focus();
    };
    let submit = {
        let send = send.clone();
        move |event: SubmitEvent| {
            event.prevent_default();
            send();
        }
    };
    let press = {
        let send = send.clone();
        move |event: KeyboardEvent| {
            let addressed = room.addressee().with_untracked(Option::is_some);
            let is_empty = field.get_untracked().is_none_or(|field| field.value().is_empty());
            // What is written for one must not become for all by a key.
            if event.key() == "Escape" && addressed && is_empty {
                return client.address(room, None);
            }
            if event.key() != "Enter" || browser::is_touch() {
                return;
            }
            let press = EnterPress {
                modified: event.shift_key() || event.alt_key(),
                composing: event.is_composing(),
                key_code: event.key_code(),
            };
            let decision = rule.try_update_value(|rule| rule.press(press, event.time_stamp()));
            match decision.unwrap_or(Decision::Leave) {
                Decision::Leave => {}
                Decision::Swallow | Decision::SendAfterComposing => event.prevent_default(),
                Decision::Send => {
                    event.prevent_default();
                    send();
                }
            }
        }
    };
    let composing = move |event: CompositionEvent| {
        let text = event.data().unwrap_or_default();
        rule.update_value(|rule| rule.composing(&text));
    };
    let composed = move |event: CompositionEvent| {
        let text = event.data().unwrap_or_default();
        let now = event.time_stamp();
        if rule.try_update_value(|rule| rule.composed(&text, now)) == Some(true) {
            // After the browser has put the last syllable into the field.
            set_timeout(send.clone(), std::time::Duration::ZERO);
        }
    };
    let input = move |_| {
        let Some(field) = field.get_untracked() else { return };
        let text = field.value();
        // Who it is for is not kept, so neither is what is for one alone.
        let is_for_all = room.addressee().with_untracked(Option::is_none);
        browser::keep(&draft_key, if is_for_all { &text } else { "" });
        if !text.trim().is_empty() {
            client.typing();
        }
    };
    let action = format!("/api/rooms/{}/messages", encode_component(view.room.as_str()));
    view! {
        <form class="composer" name="publish" action=action method="post" on:submit=submit>
            <input type="hidden" name="id" value=view.form_id.to_string()/>
            <Show when=move || !room.me().with(|me| me.named)>
                <input
                    id="first-name"
                    node_ref=first_name
                    class="first-name"
                    name="name"
                    maxlength="64"
                    autocomplete="nickname"
                    on:keydown=name_press
                    placeholder=strings.your_name_optional
                    aria-label=strings.your_name_optional
                    dir="auto"
                />
            </Show>
            <Addressee/>
            <div class="row">
                <textarea
                    id="composer-text"
                    name="message"
                    rows="1"
                    required
                    placeholder=strings.write_here
                    aria-label=strings.message
                    aria-describedby="composer-to composer-problem composer-keys"
                    autocomplete="off"
                    dir="auto"
                    node_ref=field
                    on:keydown=press
                    on:compositionstart=composing
                    on:compositionupdate=composing
                    on:compositionend=composed
                    on:input=input
                    // Leptos writes the children of a textarea unescaped (tachys 0.2.19).
                    inner_html=raw_text(&typed)
                ></textarea>
                <button class="primary send" aria-label=strings.send title=strings.send>
                    <span aria-hidden="true">"➤"</span>
                </button>
            </div>
            <p class="problem" id="composer-problem" role="alert">{problem}</p>
            <p class="keys-hint" id="composer-keys">{strings.keys_hint}</p>
        </form>
    }
}

/// Whom what is written is for, if for one alone, and how it goes there.
#[component]
fn Addressee() -> impl IntoView {
    let strings = strings();
    let (room, client) = (room(), room_client());
    let name = move || {
        let to = room.addressee().get()?;
        // Their name of now, as long as they are here.
        let named = room.members().with(|members| {
            let found = members.members.iter().find(|listed| listed.id == to.id);
            found.map(|listed| listed.name.to_string())
        });
        Some(named.unwrap_or_else(|| to.name.to_string()))
    };
    let to_all = move |_| {
        client.address(room, None);
        browser::focus("composer-text");
    };
    view! {
        <div id="composer-to" aria-live="polite">
            <Show when=move || name().is_some()>
                <p class="addressee" data-road=move || road_word(room.road().get())>
                    <span class="tag" dir="auto">
                        {move || (strings.to_one)(&name().unwrap_or_default())}
                    </span>
                    <span class="quiet-text">{move || (strings.road)(room.road().get())}</span>
                    <Show when=browser::reaches_browsers>
                        <SendFiles to=room.addressee()/>
                    </Show>
                    <button
                        type="button"
                        class="icon"
                        aria-label=strings.write_to_all
                        title=strings.write_to_all
                        on:click=to_all
                    >
                        <span aria-hidden="true">"✕"</span>
                    </button>
                </p>
            </Show>
        </div>
    }
}

fn road_word(road: Road) -> &'static str {
    match road {
        Road::Hub => "hub",
        Road::Trying => "trying",
        Road::Direct => "direct",
        Road::Relayed => "relayed",
    }
}
