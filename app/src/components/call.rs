//! The room's call: who is in it, what they show, and what I let them hear and see.
//!
//! The rule to keep: no microphone, camera or sound before somebody has pressed a button for it.

use std::{collections::HashMap, time::Duration};

use client::{LinkId, Media, Party, Road};
use common::SessionId;
use leptos::{html, prelude::*, task::spawn_local};

use super::{bar::MENU, icon::Icon, member_list::Avatar};
use crate::{
    browser::{self, Denied, Device, Source},
    room::{RoomStateStoreFields, room},
    room_client::room_client,
    shell::strings,
};

/// How often it is looked who speaks, and how long after that somebody still does: a border that flickers disturbs.
const LOOK: Duration = Duration::from_millis(200);
const SPEAKS: u32 = 4;
/// From which level on it is speech.
const LOUD: f64 = 0.03;

/// The buttons that are there before the call, and in it.
const JOIN: &str = "join-call";
const MUTE: &str = "call-microphone";

/// The button that begins a call, or joins the one there is.
#[component]
pub(crate) fn CallButton() -> impl IntoView {
    let strings = strings();
    let (room, client) = (room(), room_client());
    let is_in = move || room.call().with(|call| call.parties.is_some());
    let label = move || match room.in_call().with(|all| all.count) {
        0 => strings.start_call,
        _ => strings.join_call,
    };
    // Not disabled while the browser asks: focus comes back here when that is given up.
    let join = move |_| {
        if room.call().with_untracked(|call| call.asking.is_none()) {
            client.open_source(Source::Microphone);
        }
    };
    view! {
        <Show when=move || !is_in()>
            <button
                type="button"
                id=JOIN
                class="icon needs-script"
                aria-label=label
                title=label
                popovertarget=MENU
                popovertargetaction="hide"
                on:click=join
            >
                {Icon::Call.draw()}
                <span class="label" aria-hidden="true">{label}</span>
            </button>
        </Show>
    }
}

/// What there is of the call in the room: an invitation, or the call.
#[component]
pub(crate) fn Call() -> impl IntoView {
    let strings = strings();
    let (room, client) = (room(), room_client());
    let is_in = Memo::new(move |_| room.call().with(|call| call.parties.is_some()));
    let others = Memo::new(move |_| {
        let me = room.me().with(|me| me.member.id.clone());
        let names = |all: &common::Members| {
            let others = all.members.iter().filter(|listed| listed.id != me);
            others.map(|listed| listed.name.to_string()).collect::<Vec<_>>()
        };
        room.in_call().with(names)
    });
    let invitation = move || {
        let others = others.get();
        (!is_in.get() && !others.is_empty()).then(|| (strings.are_in_call)(&others))
    };
    let asking = move || room.call().with(|call| call.asking);
    let denied = move || {
        room.call().with(|call| match call.denied {
            _ if call.is_full => Some(strings.call_full.to_owned()),
            Some((source, why)) => Some((strings.denied)(source, why)),
            None => None,
        })
    };
    let may_listen = move || {
        let denied = room.call().with(|call| call.denied);
        let can_call = denied.is_some_and(|(_, why)| why != Denied::Alone);
        !is_in.get() && can_call && matches!(denied, Some((Source::Microphone, _)))
    };
    let listen = move |_| {
        room.call().update(|call| call.denied = None);
        client.call(true);
    };
    // What was pressed is gone then: focus goes to what there is of the call.
    let focus = move || browser::focus(if is_in.get_untracked() { MUTE } else { JOIN });
    let dismiss = move |_| {
        room.call().update(|call| (call.denied, call.is_full) = (None, false));
        focus();
    };
    let cancel = move |_| {
        client.give_up_asking();
        focus();
    };
    // In a place that is always there, or nobody hears it.
    let said = move || match (asking(), denied()) {
        (Some(source), _) => (strings.asking)(source).to_owned(),
        (None, Some(denied)) => denied,
        (None, None) => invitation().unwrap_or_default(),
    };
    let join = move |_| client.open_source(Source::Microphone);
    view! {
        <p class="visually-hidden" id="call-said" role="status">{said}</p>
        <section
            class="call"
            aria-label=strings.call
            hidden=move || {
                !is_in.get() && invitation().is_none() && asking().is_none() && denied().is_none()
            }
        >
            <div class="call-word">
                <Show when=move || invitation().is_some() && asking().is_none()>
                    <p dir="auto">{invitation}</p>
                    <button type="button" class="primary join" on:click=join>{strings.join_call}</button>
                </Show>
                <Show when=move || asking().is_some()>
                    <p>{move || asking().map(strings.asking)}</p>
                    <button type="button" on:click=cancel>
                        {strings.cancel}
                    </button>
                </Show>
                <Show when=move || denied().is_some()>
                    <p class="problem">{denied}</p>
                    <Show when=may_listen>
                        <button type="button" class="listen" on:click=listen>{strings.only_listen}</button>
                    </Show>
                    <button type="button" on:click=dismiss>{strings.dismiss}</button>
                </Show>
            </div>
            <Show when=move || is_in.get()>
                <Tiles/>
                <Controls/>
            </Show>
        </section>
    }
}

/// The faces, mine first.
#[component]
fn Tiles() -> impl IntoView {
    let strings = strings();
    let (room, client) = (room(), room_client());
    let parties = move || room.call().with(|call| call.parties.clone().unwrap_or_default());
    let sessions = move || parties().into_iter().map(|party| party.session).collect::<Vec<_>>();
    let mine = Memo::new(move |_| room.call().with(|call| call.mine));
    let me = room.me().get_untracked().member;
    let view = NodeRef::<html::Video>::new();
    Effect::new(move || {
        let stream = mine.get().camera.then(|| client.my_view()).flatten();
        if let Some(view) = view.get() {
            view.set_src_object(stream.as_ref());
        }
    });
    let quiet = RwSignal::new(HashMap::<LinkId, u32>::new());
    let looking = set_interval_with_handle(
        move || {
            let levels = client.levels();
            quiet.maybe_update(|quiet| {
                let before = quiet.clone();
                for (link, level) in levels {
                    let since = quiet.entry(link).or_insert(SPEAKS);
                    *since = if level > LOUD { 0 } else { SPEAKS.min(*since + 1) };
                }
                before != *quiet
            });
        },
        LOOK,
    );
    on_cleanup(move || {
        if let Ok(looking) = looking {
            looking.clear();
        }
    });
    view! {
        <ul class="tiles" tabindex="0" aria-label=strings.in_call>
            <li class="tile mine">
                <video node_ref=view autoplay playsinline prop:muted=true hidden=move || !mine.get().camera></video>
                <Show when=move || !mine.get().camera>
                    <Avatar id=me.id.to_string() name=me.name.to_string()/>
                </Show>
                <p class="tile-name">{strings.you}<Muted media=mine/></p>
            </li>
            <For each=sessions key=SessionId::clone let(session)>
                <Tile session quiet/>
            </For>
        </ul>
    }
}

/// Somebody else.
#[component]
fn Tile(session: SessionId, quiet: RwSignal<HashMap<LinkId, u32>>) -> impl IntoView {
    let strings = strings();
    let (room, client) = (room(), room_client());
    let find = {
        let session = session.clone();
        move || {
            room.call().with(|call| {
                let mut parties = call.parties.iter().flatten();
                parties.find(|party| party.session == session).cloned()
            })
        }
    };
    let Some(first) = find() else { return ().into_any() };
    let last = first.clone();
    // One that has left may be asked once more before it is taken down.
    let party = Memo::new(move |before: Option<&Party>| {
        find().unwrap_or_else(|| before.unwrap_or(&last).clone())
    });
    let media = Memo::new(move |_| party.with(|party| party.media));
    let link = Memo::new(move |_| party.with(|party| party.link));
    let road = Memo::new(move |_| party.with(|party| party.road));
    let speaks = move || {
        let since = link.get().and_then(|link| quiet.with(|quiet| quiet.get(&link).copied()));
        media.get().microphone && since.is_some_and(|since| since < SPEAKS)
    };
    let (face, screen) = (NodeRef::<html::Video>::new(), NodeRef::<html::Video>::new());
    Effect::new(move || {
        let views = link.get().and_then(|link| client.their_view(link));
        let (of_face, of_screen) = match &views {
            Some([face, screen]) => (Some(face), Some(screen)),
            None => (None, None),
        };
        if let Some(face) = face.get() {
            face.set_src_object(of_face);
        }
        if let Some(screen) = screen.get() {
            screen.set_src_object(of_screen);
        }
    });
    let name = first.member.name.to_string();
    let shown = name.clone();
    view! {
        <li class="tile" class:speaks=speaks data-road=move || format!("{:?}", road.get()).to_lowercase()>
            // Its sound comes from here as well, so it stays when there is nothing to be seen.
            <video class="face" node_ref=face autoplay playsinline class:unseen=move || !media.get().camera></video>
            <Show when=move || !media.get().camera>
                <Avatar id=first.member.id.to_string() name=name.clone()/>
            </Show>
            <p class="tile-name">
                <span dir="auto">{shown.clone()}</span>
                <Muted media/>
                <Show when=speaks>
                    <span class="visually-hidden">", "{strings.speaks}</span>
                </Show>
            </p>
            <Show when=move || road.get() != Road::Direct>
                <p class="tile-word">
                    {move || match road.get() {
                        Road::Relayed => strings.no_way_to_them,
                        _ => strings.connecting,
                    }}
                </p>
            </Show>
        </li>
        <li class="tile screen" hidden=move || !media.get().screen>
            <video node_ref=screen autoplay playsinline prop:muted=true></video>
            <p class="tile-name" dir="auto">{(strings.screen_of)(&shown)}</p>
        </li>
    }
    .into_any()
}

#[component]
fn Muted(#[prop(into)] media: Signal<Media>) -> impl IntoView {
    let strings = strings();
    view! {
        <Show when=move || !media.get().microphone>
            <span class="tag">{strings.muted}</span>
        </Show>
    }
}

/// What I let the others hear and see.
#[component]
fn Controls() -> impl IntoView {
    let strings = strings();
    let (room, client) = (room(), room_client());
    let mine = Memo::new(move |_| room.call().with(|call| call.mine));
    let devices = RwSignal::new(Vec::<Device>::new());
    // What was pressed to come in is gone.
    Effect::new(|| browser::focus(MUTE));
    // They have names once something was opened.
    Effect::new(move || {
        mine.track();
        spawn_local(async move {
            let found = browser::list_devices().await;
            devices.try_set(found);
        });
    });
    let toggle = move |source: Source, is_on: bool| match is_on {
        true => client.close_source(source),
        false => client.open_source(source),
    };
    let leave = move |_| {
        client.call(false);
        browser::focus("composer-text");
    };
    view! {
        <div class="call-controls" role="group" aria-label=strings.call>
            <button
                type="button"
                id=MUTE
                class="microphone"
                on:click=move |_| client.mute(mine.get_untracked().microphone)
            >
                {move || if mine.get().microphone { strings.mute } else { strings.unmute }}
            </button>
            <button
                type="button"
                class="camera"
                on:click=move |_| toggle(Source::Camera, mine.get_untracked().camera)
            >
                {move || if mine.get().camera { strings.camera_off } else { strings.camera_on }}
            </button>
            <button
                type="button"
                class="screen"
                on:click=move |_| toggle(Source::Screen, mine.get_untracked().screen)
            >
                {move || if mine.get().screen { strings.stop_sharing } else { strings.share_screen }}
            </button>
            <details class="devices">
                <summary>{strings.devices}</summary>
                <Devices source=Source::Microphone devices/>
                <Devices source=Source::Camera devices/>
            </details>
            <button type="button" class="leave" on:click=leave>{strings.leave_call}</button>
        </div>
    }
}

/// The microphones, or the cameras, there are to choose from.
#[component]
fn Devices(source: Source, devices: RwSignal<Vec<Device>>) -> impl IntoView {
    let strings = strings();
    let client = room_client();
    let of_source = move || {
        let all = devices.get();
        all.into_iter().filter(|device| device.source == source).collect::<Vec<_>>()
    };
    let choose = move |event| client.choose_device(source, event_target_value(&event));
    let is_used = move |device: &Device| client.device(source).as_ref() == Some(&device.id);
    view! {
        <label>
            {(strings.source)(source)}
            <select on:change=choose>
                <For each=of_source key=move |device| (device.id.clone(), is_used(device)) let(device)>
                    <option value=device.id.clone() prop:selected=is_used(&device)>{device.name.clone()}</option>
                </For>
            </select>
        </label>
    }
}
