//! The rooms there are, and a form to open one. It needs no JavaScript.

use common::RoomName;
use leptos::prelude::*;

use crate::{
    base, browser,
    components::{Bar, Moment, Preferences, Wordmark},
    page::{PageData, Refused, RoomCard, room_path},
    shell::strings,
};

#[component]
pub(crate) fn HomePage(
    data: PageData,
    rooms: Vec<RoomCard>,
    fresh: RoomName,
    refused: Option<Refused>,
) -> impl IntoView {
    let strings = strings();
    let rooms = RwSignal::new(rooms);
    Effect::new(move || browser::look_again(rooms));
    let (reason, typed) = match refused {
        Some(Refused { refusal, text }) => (Some(strings.refusal(&refusal)), text),
        None => (None, String::new()),
    };
    let described_by = reason.is_some().then_some("room-problem");
    view! {
        <div class="page">
            <Bar>
                <span class="grow"></span>
                <Preferences theme=data.theme path=data.path/>
            </Bar>
            <main class="sheet">
                <h1 class="hero">
                    <span class="wordmark">
                        <span class="visually-hidden">"Hubbub"</span>
                        <Wordmark/>
                    </span>
                </h1>
                <p class="lead">{strings.tagline}</p>
                <form class="open-room" action=base::path("/rooms") method="get">
                    <label for="room">{strings.open_room}</label>
                    <div class="row">
                        <input
                            id="room"
                            name="room"
                            required
                            maxlength="64"
                            autocomplete="off"
                            placeholder=strings.room_name
                            value=typed
                            aria-describedby=described_by
                            aria-invalid=described_by.map(|_| "true")
                            dir="auto"
                        />
                        <button class="primary">{strings.open}</button>
                    </div>
                    {reason.map(|reason| view! {
                        <p class="problem" id="room-problem" role="alert">{reason}</p>
                    })}
                    <p class="row home-links">
                        <a class="button" href=room_path(&fresh)>{strings.fresh_room}</a>
                        <a href=base::path("/rooms/lobby")>{strings.lobby_hint}</a>
                    </p>
                </form>
                <Recent/>
                <p class="quiet-text"><a href=base::path("/lab")>{strings.lab.hint}</a></p>
                <h2>{strings.rooms}</h2>
                <Show when=move || rooms.with(Vec::is_empty)>
                    <p class="quiet-text">{strings.no_rooms}</p>
                </Show>
                <ul class="room-cards">
                    <For each=move || rooms.get() key=|room| room.name.clone() let(room)>
                        <Card room rooms/>
                    </For>
                </ul>
            </main>
        </div>
    }
}

/// Rooms this browser has been in, the last one first.
#[component]
fn Recent() -> impl IntoView {
    let strings = strings();
    let recent = RwSignal::new(Vec::<RoomName>::new());
    Effect::new(move || recent.set(browser::recent_rooms()));
    view! {
        <Show when=move || recent.with(|recent| !recent.is_empty())>
            <nav class="recent" aria-label=strings.recent_rooms>
                <span class="quiet-text">{strings.recent_rooms}</span>
                <For each=move || recent.get() key=Clone::clone let(room)>
                    <a class="button" href=room_path(&room) dir="auto">{room.to_string()}</a>
                </For>
            </nav>
        </Show>
    }
}

/// A room; what is said of it changes, its link stays.
#[component]
fn Card(room: RoomCard, rooms: RwSignal<Vec<RoomCard>>) -> impl IntoView {
    let strings = strings();
    let (path, name) = (room_path(&room.name), room.name.to_string());
    let now = Memo::new(move |_| {
        let found = rooms.with(|rooms| rooms.iter().find(|one| one.name == room.name).cloned());
        found.unwrap_or_else(|| room.clone())
    });
    let facts = move || {
        let RoomCard { members, last_at, last, .. } = now.get();
        let said = match last_at {
            0 => view! { <span>{strings.quiet}</span> }.into_any(),
            at => view! { <span>{strings.last_message}" "<Moment at/></span> }.into_any(),
        };
        let last = last.map(|(who, words)| {
            view! { <span class="room-last" dir="auto"><b>{who}</b>" "{words}</span> }
        });
        view! {
            <span class="room-facts">
                <span class:lively=members != 0>{(strings.people)(members)}</span>
                {said}
            </span>
            {last}
        }
    };
    view! {
        <li>
            <a class="room-card" href=path>
                <span class="room-name" dir="auto">{name}</span>
                {facts}
            </a>
        </li>
    }
}
