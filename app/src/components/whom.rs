//! Whom what is written is for: chosen in the composer, and said above it as long as it is not for everyone.

use client::Road;
use common::Member;
use leptos::{html, prelude::*};
use reactive_stores::Store;

use super::{
    dropdown::{close, closes},
    file_list::SendFiles,
    icon::Icon,
};
use crate::{
    browser,
    room::{RoomState, RoomStateStoreFields, Whom, room},
    room_client::room_client,
    shell::strings,
};

/// The choice: everyone, all but me, only me, or some of those who are here.
#[component]
pub(crate) fn Choice() -> impl IntoView {
    let strings = strings();
    let (room, client) = (room(), room_client());
    let details = NodeRef::<html::Details>::new();
    let press = closes(details, "whom");
    let words = [
        (Whom::All, strings.for_all),
        (Whom::Others, strings.for_others),
        (Whom::Own, strings.for_me),
    ];
    let words = words.map(|(whom, word)| {
        let chosen = whom.clone();
        view! {
            <label class="choice">
                <input
                    type="radio"
                    name="whom"
                    prop:checked=move || room.whom().with(|now| *now == chosen)
                    on:change=move |_| {
                        client.address(room, whom.clone());
                        close(details);
                        browser::focus("composer-text");
                    }
                />
                {word}
            </label>
        }
    });
    let others = move || {
        let me = room.me().with(|me| me.member.id.clone());
        room.members().with(|members| {
            let others = members.members.iter().filter(|listed| listed.id != me);
            others.map(|listed| listed.member.clone()).collect::<Vec<_>>()
        })
    };
    let is_some = move || room.whom().with(|whom| *whom != Whom::All);
    view! {
        <details class="whom needs-script" node_ref=details on:keydown=press>
            <summary
                id="whom"
                class="button icon"
                class:chosen=is_some
                aria-label=strings.for_whom
                title=strings.for_whom
            >
                {Icon::People.draw()}
            </summary>
            <fieldset class="card">
                <legend>{strings.for_whom}</legend>
                {words.into_iter().collect_view()}
                <div class="people">
                    <For each=others key=Clone::clone let(member)>
                        <Person member/>
                    </For>
                </div>
            </fieldset>
        </details>
    }
}

/// Somebody who is here.
#[component]
fn Person(member: Member) -> impl IntoView {
    let (room, client) = (room(), room_client());
    let (id, name) = (member.id.clone(), member.name.to_string());
    let is_named = move || room.whom().with(|whom| whom.named().iter().any(|to| to.id == id));
    let toggle = move |_| {
        let mut named = room.whom().with_untracked(|whom| whom.named().to_vec());
        match named.iter().position(|to| to.id == member.id) {
            Some(at) => _ = named.remove(at),
            None => named.push(member.clone()),
        }
        client.address(room, Whom::some(named));
    };
    view! {
        <label class="choice">
            <input type="checkbox" prop:checked=is_named on:change=toggle/>
            <span dir="auto">{name}</span>
        </label>
    }
}

/// Whom what is written is for, if not for everyone, and how it goes there if it is for one alone.
#[component]
pub(crate) fn Addressed() -> impl IntoView {
    let strings = strings();
    let (room, client) = (room(), room_client());
    let to_all = move |_| {
        client.address(room, Whom::All);
        browser::focus("composer-text");
    };
    // What is edited is for whom it was for.
    let is_shown = Memo::new(move |_| {
        room.whom().with(|whom| *whom != Whom::All) && room.editing().with(Option::is_none)
    });
    let only = Memo::new(move |_| room.whom().with(|whom| whom.only().cloned()));
    view! {
        <div id="composer-to" aria-live="polite">
            <Show when=move || is_shown.get()>
                <p class="addressee" data-road=move || only.get().map(|_| road_word(room.road().get()))>
                    <span class="tag" dir="auto">{move || whom_word(room)}</span>
                    <span class="quiet-text">
                        {move || only.get().map(|_| (strings.road)(room.road().get()))}
                    </span>
                    {move || {
                        only.get()
                            .filter(|_| browser::reaches_browsers())
                            .map(|member| view! { <SendFiles to=member/> })
                    }}
                    <button
                        type="button"
                        class="icon"
                        aria-label=strings.write_to_all
                        title=strings.write_to_all
                        on:click=to_all
                    >
                        {Icon::Close.draw()}
                    </button>
                </p>
            </Show>
        </div>
    }
}

/// In words, with the names of now of those who are still here.
fn whom_word(room: Store<RoomState>) -> String {
    let strings = strings();
    let name = |to: &Member| {
        let named = room.members().with(|members| {
            let found = members.members.iter().find(|listed| listed.id == to.id);
            found.map(|listed| listed.name.to_string())
        });
        named.unwrap_or_else(|| to.name.to_string())
    };
    room.whom().with(|whom| match whom {
        Whom::All => strings.for_all.to_owned(),
        Whom::Others => strings.for_others.to_owned(),
        Whom::Own => strings.for_me.to_owned(),
        Whom::Some(members) => {
            (strings.to_one)(&members.iter().map(name).collect::<Vec<_>>().join(", "))
        }
    })
}

fn road_word(road: Road) -> &'static str {
    match road {
        Road::Hub => "hub",
        Road::Trying => "trying",
        Road::Direct => "direct",
        Road::Relayed => "relayed",
    }
}
