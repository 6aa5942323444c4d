//! The form to say something. It works by itself, by POST and redirect; with JavaScript it sends over
//! the socket and keeps the draft.
//!
//! The field belongs to the person: it is never written to but to empty it after sending, and to have in it what they
//! want to edit, so what was typed before the page came alive is still there after.

use std::sync::Arc;

use client::{Row, encode_component};
use common::{MemberName, Message, limits::VALUE_BYTES};
use leptos::{
    ev::{CompositionEvent, KeyboardEvent, SubmitEvent},
    html,
    prelude::*,
};
use reactive_stores::Store;

use super::{
    enter::{Decision, EnterPress, EnterRule},
    icon::Icon,
    mention::{Mention, Mentions, before_caret},
    row::audience_word,
    tools::is_kept,
    whom::{Addressed, Choice},
};
use crate::{
    base, browser,
    page::{ASKED_COOKIE, Refused, RoomView},
    room::{RoomState, RoomStateStoreFields, Whom, room},
    room_client::room_client,
    shell::{raw_text, strings},
};

/// From here on it is said how long the text is, in bytes as they are counted.
const NEAR_LIMIT: usize = VALUE_BYTES / 10 * 9;

/// How many bytes a text is as JSON: so they are counted.
fn json_bytes(text: &str) -> usize {
    let escaped = |letter: char| match letter {
        '"' | '\\' | '\n' | '\r' | '\t' => 2,
        other => other.len_utf8(),
    };
    text.chars().map(escaped).sum::<usize>() + 2
}

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
        if room.whom().with(|whom| *whom != Whom::All) {
            browser::keep(&key, "");
        }
    });
    let length = RwSignal::new(0_usize);
    // What was being written stays aside while something else is edited.
    let aside = StoredValue::new(String::new());
    Effect::new(move |before: Option<bool>| {
        let text = room.editing().with(|editing| {
            editing.as_ref().and_then(|said| said.value.as_str().map(str::to_owned))
        });
        let (was, is) = (before.unwrap_or_default(), text.is_some());
        if let Some(field) = field.get_untracked() {
            match text {
                Some(text) => {
                    if !was {
                        aside.set_value(field.value());
                    }
                    field.set_value(&text);
                    let _ = field.focus();
                }
                None if was => field.set_value(&aside.get_value()),
                None => {}
            }
            length.set(json_bytes(&field.value()));
        }
        is
    });
    let is_editing = move || room.editing().with_untracked(Option::is_some);
    // Whether it can be gone on: the name that was given is one, or none was.
    let take_name = move || {
        // The field that was there is known also when it is gone.
        if room.me().with_untracked(|me| me.named || me.asked) {
            problem.set(None);
            return true;
        }
        let given = first_name.get_untracked().map(|name| name.value()).unwrap_or_default();
        match MemberName::parse(&given) {
            Ok(name) => client.rename(name),
            Err(_) if given.trim().is_empty() => {}
            Err(refusal) => {
                problem.set(Some(strings.refusal(&refusal)));
                return false;
            }
        }
        // It is asked once.
        room.me().update(|me| me.asked = true);
        browser::set_cookie(ASKED_COOKIE, "1");
        problem.set(None);
        true
    };
    // Enter in the field for the name is enough to go by it.
    let name_press = move |event: KeyboardEvent| {
        if event.key() == "Enter" && !event.is_composing() {
            event.prevent_default();
            if take_name() {
                browser::focus("composer-text");
            }
        }
    };
    let rule = StoredValue::new(EnterRule::default());
    let mention = Mention::new();
    let key = draft_key.clone();
    let send = move || {
        let Some(field) = field.get_untracked() else { return };
        let text = field.value();
        let text = text.trim_end_matches(['\n', '\r']);
        if text.trim().is_empty() {
            return;
        }
        if let Some(said) = room.editing().get_untracked() {
            let is_same = said.value.as_str() == Some(text);
            match if is_same { Ok(()) } else { client.edit(&said, text) } {
                Ok(()) => {
                    problem.set(None);
                    room.editing().set(None);
                }
                Err(refusal) => problem.set(Some(strings.refusal(&refusal))),
            }
            return;
        }
        if !take_name() {
            return;
        }
        let me = room.me().with_untracked(|me| me.member.id.clone());
        let to = room.whom().with_untracked(|whom| whom.audience(&me));
        match client.say(text, to) {
            Ok(()) => {
                field.set_value("");
                length.set(0);
                mention.close();
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
            if mention.press(&event, field) {
                return;
            }
            let addressed = room.whom().with_untracked(|whom| *whom != Whom::All);
            let is_empty = field.get_untracked().is_none_or(|field| field.value().is_empty());
            if event.key() == "Escape" && is_editing() && !event.is_composing() {
                return room.editing().set(None);
            }
            if event.key() == "ArrowUp" && is_empty && !is_editing() {
                let last = last_of_mine(room);
                if last.is_some() {
                    event.prevent_default();
                    room.editing().set(last);
                }
                return;
            }
            // What is written for one must not become for all by a key.
            if event.key() == "Escape" && addressed && is_empty {
                return client.address(room, Whom::All);
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
            // After the browser has put the last syllable into the field. Where a name is offered, Enter takes that.
            let send = send.clone();
            let act = move || {
                // Meanwhile the field may have gone.
                if field.try_get_untracked().flatten().is_some() && !mention.take_chosen(field) {
                    send();
                }
            };
            set_timeout(act, std::time::Duration::ZERO);
        }
    };
    let input = move |_| {
        let Some(field) = field.get_untracked() else { return };
        let text = field.value();
        mention.look(&before_caret(&field));
        length.set(json_bytes(&text));
        // Who it is for is not kept, so neither is what is for one alone.
        let is_for_all = room.whom().with_untracked(|whom| *whom == Whom::All);
        if !is_editing() {
            browser::keep(&draft_key, if is_for_all { &text } else { "" });
        }
        client.typing(!text.trim().is_empty());
    };
    // The caret is elsewhere.
    let look_again = move || {
        if let Some(field) = field.get_untracked() {
            mention.look(&before_caret(&field));
        }
    };
    let action =
        base::path(&format!("/api/rooms/{}/messages", encode_component(view.room.as_str())));
    view! {
        <form class="composer" name="publish" action=action method="post" on:submit=submit>
            <input type="hidden" name="id" value=view.form_id.to_string()/>
            <Show when=move || room.me().with(|me| !me.named && !me.asked)>
                <div class="first">
                    <label for="first-name">{strings.first_name}</label>
                    <div class="row">
                        <input
                            id="first-name"
                            node_ref=first_name
                            name="name"
                            maxlength="64"
                            autocomplete="nickname"
                            on:keydown=name_press
                            placeholder=strings.your_name
                            aria-describedby="first-name-or"
                            dir="auto"
                        />
                        <button
                            type="button"
                            class="primary needs-script"
                            on:click=move |_| {
                                if take_name() {
                                    browser::focus("composer-text");
                                }
                            }
                        >
                            {strings.take_name}
                        </button>
                    </div>
                    <p class="quiet-text" id="first-name-or" dir="auto">
                        {move || room.me().with(|me| (strings.or_stay)(me.member.name.as_str()))}
                    </p>
                </div>
            </Show>
            <Addressed/>
            <Show when=move || room.editing().with(Option::is_some)>
                <p class="editing">
                    {move || {
                        let said = room.editing().get()?;
                        audience_word(&said).map(|whom| view! { <span class="tag" dir="auto">{whom}</span> })
                    }}
                    <span class="quiet-text">{strings.editing}</span>
                    <button
                        type="button"
                        on:click=move |_| {
                            room.editing().set(None);
                            browser::focus("composer-text");
                        }
                    >
                        {strings.cancel}
                    </button>
                </p>
            </Show>
            <Mentions mention field/>
            <div class="row">
                <Choice/>
                <textarea
                    id="composer-text"
                    name="message"
                    rows="1"
                    required
                    placeholder=strings.write_here
                    aria-label=strings.message
                    aria-describedby="composer-to composer-problem composer-keys"
                    aria-autocomplete="list"
                    aria-controls=move || mention.active().map(|_| "mentions")
                    aria-activedescendant=move || mention.active()
                    on:blur=move |_| mention.close()
                    autocomplete="off"
                    dir="auto"
                    node_ref=field
                    on:keydown=press
                    on:compositionstart=composing
                    on:compositionupdate=composing
                    on:compositionend=composed
                    on:input=input
                    on:click=move |_| look_again()
                    on:keyup=move |event| {
                        if ["ArrowLeft", "ArrowRight", "Home", "End"].contains(&event.key().as_str()) {
                            look_again();
                        }
                    }
                    // Leptos writes the children of a textarea unescaped (tachys 0.2.19).
                    inner_html=raw_text(&typed)
                ></textarea>
                <button class="primary send" aria-label=strings.send title=strings.send>
                    {Icon::Send.draw()}
                </button>
            </div>
            <p class="problem" id="composer-problem" role="alert">{problem}</p>
            <Show when=move || { length.get() > NEAR_LIMIT }>
                <p class="quiet-text" role="status" class:problem=move || { length.get() > VALUE_BYTES }>
                    {move || (strings.length)(length.get(), VALUE_BYTES)}
                </p>
            </Show>
            <p class="keys-hint" id="composer-keys">{strings.keys_hint}</p>
        </form>
    }
}

/// The last text of mine that is on the page and can be edited.
fn last_of_mine(room: Store<RoomState>) -> Option<Arc<Message>> {
    let me = room.me().with_untracked(|me| me.member.id.clone());
    let mine = |row: &Row| {
        let message = row.message.as_ref().filter(|_| is_kept(row))?;
        (message.from.id == me && message.value.is_string()).then(|| message.clone())
    };
    room.rows()
        .with_untracked(|rows| rows.iter().rev().find_map(|row| row.row.with_untracked(mine)))
}
