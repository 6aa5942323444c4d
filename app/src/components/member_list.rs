//! Who is here.

use common::Member;
use leptos::prelude::*;

use super::{icon::Icon, invitation::InvitePeople};
use crate::{
    browser,
    hues::hue_of,
    initials::initials,
    room::{RoomStateStoreFields, Whom, room},
    room_client::room_client,
    shell::strings,
};

#[component]
pub(crate) fn MemberList(
    /// The scheme and host of the server.
    origin: String,
) -> impl IntoView {
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
        // Lies over the page where there is no room beside it.
        <aside id="members" class="members" popover aria-labelledby="members-title">
            <div class="row">
                <h2 id="members-title" class="grow">
                    {strings.here}" "<span class="count" data-count=move || count().to_string()>{count}</span>
                </h2>
                <button type="button" class="link" popovertarget="invite">{strings.invite_people}</button>
            </div>
            <ul aria-labelledby="members-title">
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
        <div id="invite" class="card" popover role="dialog" aria-label=strings.invite_people>
            <InvitePeople origin/>
        </div>
    }
}

/// How many are here; who they are lies behind it.
#[component]
pub(crate) fn HereCount() -> impl IntoView {
    let strings = strings();
    let room = room();
    let count = move || room.members().with(|members| members.count);
    view! {
        <button
            type="button"
            class="icon here-count"
            popovertarget="members"
            aria-label=move || match count() {
                0 => strings.here.to_owned(),
                count => format!("{}: {count}", strings.here),
            }
        >
            {Icon::People.draw()}
            <span class="count" data-count=move || count().to_string()>{count}</span>
        </button>
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
    let is_addressed = move || room.whom().with(|whom| whom.only().is_some_and(|to| to.id == it));
    let is_addressed = Memo::new(move |_| is_addressed());
    let write = move |_| {
        let whom = match is_addressed.get_untracked() {
            true => Whom::All,
            false => Whom::Some(vec![member.clone()]),
        };
        client.address(room, whom);
        browser::focus("composer-text");
    };
    view! {
        <li class:idle=idle>
            <Avatar id=id name=name.clone()/>
            <span>
                <span class="member-name" dir="auto">{name.clone()}</span>
                {is_me.then(|| view! { " "<span class="tag">{strings.you}</span> })}
                <Show when=move || idle.get()>" "<span class="away">{strings.away}</span></Show>
            </span>
            {match is_me {
                true => ().into_any(),
                false => {
                    let label = (strings.write_to_one)(&name);
                    view! {
                        <button
                            type="button"
                            class="icon write-to needs-script"
                            aria-label=label.clone()
                            title=label
                            aria-pressed=move || is_addressed.get().to_string()
                            popovertarget="members"
                            popovertargetaction="hide"
                            on:click=write
                        >
                            {Icon::Envelope.draw()}
                        </button>
                    }
                        .into_any()
                }
            }}
        </li>
    }
}

/// Initials on a colour, both from who it is.
#[component]
pub(crate) fn Avatar(
    id: String,
    name: String,
    /// What it says is for programs.
    #[prop(optional)]
    is_program: bool,
) -> impl IntoView {
    let hue = hue_of(&id).to_string();
    let class = if is_program { "avatar program" } else { "avatar" };
    view! { <span class=class data-hue=hue aria-hidden="true">{initials(&name)}</span> }
}
