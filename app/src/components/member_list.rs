//! Who is here.

use common::Member;
use leptos::prelude::*;

use crate::{
    browser,
    initials::initials,
    room::{RoomStateStoreFields, room},
    room_client::room_client,
    shell::strings,
};

#[component]
pub(crate) fn MemberList() -> impl IntoView {
    let strings = strings();
    let room = room();
    let count = move || room.members().with(|members| members.count);
    let more = move || {
        room.members().with(|members| {
            let more = members.count - members.members.len().min(members.count);
            (more > 0).then(|| (strings.and_more)(more))
        })
    };
    view! {
        <aside class="members" aria-labelledby="members-title">
            <h2 id="members-title">
                {strings.here}" "<span class="count" data-count=move || count().to_string()>{count}</span>
            </h2>
            // Scrolls sideways on a phone, and must then do so by keyboard too.
            <ul tabindex="0" aria-labelledby="members-title">
                <For
                    each=move || room.members().with(|members| members.members.clone())
                    key=|member| member.clone()
                    let(member)
                >
                    <Item member=member.member/>
                </For>
            </ul>
            <p class="quiet-text">{more}</p>
        </aside>
    }
}

/// One of them: dimmed while nobody looks at any of their pages.
#[component]
fn Item(member: Member) -> impl IntoView {
    let strings = strings();
    let room = room();
    let (id, it) = (member.id.to_string(), member.id.clone());
    let idle = Memo::new(move |_| {
        room.idle().with(|idle| idle.members.iter().any(|member| member.id == it))
    });
    let is_me = room.me().with_untracked(|me| me.member.id == member.id);
    let client = room_client();
    let (name, it) = (member.name.to_string(), member.id.clone());
    let is_addressed =
        move || room.addressee().with(|to| to.as_ref().is_some_and(|to| to.id == it));
    let is_addressed = Memo::new(move |_| is_addressed());
    let write = move |_| {
        let to = (!is_addressed.get_untracked()).then(|| member.clone());
        client.address(room, to);
        browser::focus("composer-text");
    };
    view! {
        <li class:idle=idle>
            <Avatar id=id name=name.clone()/>
            <span class="member-name" dir="auto">{name.clone()}</span>
            {match is_me {
                true => view! { <span class="tag">{strings.you}</span> }.into_any(),
                false => {
                    let label = (strings.write_to_one)(&name);
                    view! {
                        <button
                            type="button"
                            class="icon write-to needs-script"
                            aria-label=label.clone()
                            title=label
                            aria-pressed=move || is_addressed.get().to_string()
                            on:click=write
                        >
                            <span aria-hidden="true">"✉"</span>
                        </button>
                    }
                        .into_any()
                }
            }}
            <Show when=move || idle.get()>
                <span class="visually-hidden">", "{strings.away}</span>
            </Show>
        </li>
    }
}

/// Initials on a colour, both from who it is.
#[component]
pub(crate) fn Avatar(id: String, name: String) -> impl IntoView {
    let hue =
        id.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into())) % 8;
    view! {
        <span class="avatar" data-hue=hue.to_string() aria-hidden="true">{initials(&name)}</span>
    }
}
