//! The form to look for something in a room. It needs no JavaScript.

use common::RoomName;
use leptos::prelude::*;

use crate::{page::room_path, shell::strings};

#[component]
pub(crate) fn SearchForm(room: RoomName, query: String, autofocus: bool) -> impl IntoView {
    let strings = strings();
    view! {
        <form class="search-form" role="search" action=room_path(&room) method="get">
            <label for="search">{strings.search_in_room}</label>
            <div class="row">
                <input
                    id="search"
                    type="search"
                    name="q"
                    maxlength="100"
                    autofocus=autofocus
                    value=query
                    dir="auto"
                />
                <button class="primary">{strings.search}</button>
            </div>
        </form>
    }
}
