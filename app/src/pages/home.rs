//! The rooms there are, and a form to open one. It needs no JavaScript.

use leptos::prelude::*;

use crate::{
    components::{Bar, Moment, Preferences},
    page::{PageData, Refused, RoomCard, room_path},
    shell::strings,
};

#[component]
pub(crate) fn HomePage(
    data: PageData,
    rooms: Vec<RoomCard>,
    refused: Option<Refused>,
) -> impl IntoView {
    let strings = strings();
    let none = rooms.is_empty();
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
                    <span class="wordmark">"Hubbub"</span>
                </h1>
                <p class="lead">{strings.tagline}</p>
                <form class="open-room" action="/rooms" method="get">
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
                    <p class="quiet-text"><a href="/rooms/lobby">{strings.lobby_hint}</a></p>
                </form>
                <p class="quiet-text"><a href="/lab">{strings.lab.hint}</a></p>
                <h2>{strings.rooms}</h2>
                {none.then(|| view! { <p class="quiet-text">{strings.no_rooms}</p> })}
                <ul class="room-cards">
                    {rooms.into_iter().map(|room| view! { <Card room/> }).collect_view()}
                </ul>
            </main>
        </div>
    }
}

#[component]
fn Card(room: RoomCard) -> impl IntoView {
    let strings = strings();
    let said = (room.last_at > 0).then(|| {
        view! { <span>{strings.last_message}" "<Moment at=room.last_at/></span> }
    });
    let quiet = said.is_none().then(|| view! { <span>{strings.quiet}</span> });
    view! {
        <li>
            <a class="room-card" href=room_path(&room.name)>
                <span class="room-name" dir="auto">{room.name.to_string()}</span>
                <span class="room-facts">
                    <span class:lively=room.members != 0>{(strings.people)(room.members)}</span>
                    {said}
                    {quiet}
                </span>
            </a>
        </li>
    }
}
