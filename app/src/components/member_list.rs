//! Who is here.

use leptos::prelude::*;

use crate::{client::room_client::RoomClient, shell::strings};

#[component]
pub(crate) fn MemberList(client: RoomClient) -> impl IntoView {
    let strings = strings();
    let count = move || client.members.with(|members| members.count);
    let more = move || {
        client.members.with(|members| {
            let more = members.count - members.members.len().min(members.count);
            (more > 0).then(|| (strings.and_more)(more))
        })
    };
    let is_me = move |id: &common::MemberId| client.me.with(|me| me.member.id == *id);
    view! {
        <aside class="members" aria-labelledby="members-title">
            <h2 id="members-title">
                {strings.here}" "<span class="count">{count}</span>
            </h2>
            // Scrolls sideways on a phone, and must then do so by keyboard too.
            <ul tabindex="0" aria-labelledby="members-title">
                <For
                    each=move || client.members.with(|members| members.members.clone())
                    key=|member| member.clone()
                    let(member)
                >
                    <li>
                        <Avatar id=member.id.to_string() name=member.name.to_string()/>
                        <span class="member-name" dir="auto">{member.name.to_string()}</span>
                        {is_me(&member.id).then(|| view! { <span class="tag">{strings.you}</span> })}
                    </li>
                </For>
            </ul>
            <p class="quiet-text">{more}</p>
        </aside>
    }
}

/// A letter on a colour, both from who it is.
#[component]
pub(crate) fn Avatar(id: String, name: String) -> impl IntoView {
    let hue =
        id.bytes().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into())) % 8;
    let letter: String = name.chars().take(1).flat_map(char::to_uppercase).collect();
    view! { <span class="avatar" data-hue=hue.to_string() aria-hidden="true">{letter}</span> }
}
