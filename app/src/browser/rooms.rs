//! Rooms as the home page knows them: those that are lively now, and those this browser has been in.

use client::Method;
use common::RoomName;
use leptos::{prelude::*, task::spawn_local};
use serde::Deserialize;

use super::{is_hidden, keep, kept, shell::ask};
use crate::base;
use crate::page::RoomCard;

/// How often the list is asked for again, while somebody looks.
const EVERY: std::time::Duration = std::time::Duration::from_secs(10);
/// Under which key the rooms are kept that this browser has been in, and how many.
const RECENT: &str = "recent-rooms";
const MOST_RECENT: usize = 6;

/// Keeps `rooms` as they are on the server, as long as the page is there.
pub(crate) fn look_again(rooms: RwSignal<Vec<RoomCard>>) {
    let look = move || {
        if !is_hidden() {
            spawn_local(take(rooms));
        }
    };
    if let Ok(every) = set_interval_with_handle(look, EVERY) {
        on_cleanup(move || every.clear());
    }
}

/// What the server says of the rooms.
async fn take(rooms: RwSignal<Vec<RoomCard>>) {
    #[derive(Deserialize)]
    struct Now {
        rooms: Vec<Room>,
    }
    #[derive(Deserialize)]
    struct Room {
        name: RoomName,
        members: usize,
        last_at: u64,
    }
    let Ok((200, _, body)) = ask(Method::Get, &base::path("/api/rooms"), None, None).await else {
        return;
    };
    let Ok(now) = serde_json::from_str::<Now>(&body) else { return };
    let Some(before) = rooms.try_get_untracked() else { return };
    let card = |Room { name, members, last_at }: Room| {
        // Words that are not the last any more are not shown as such.
        let same = before.iter().find(|card| card.name == name && card.last_at == last_at);
        let last = same.and_then(|card| card.last.clone());
        RoomCard { name, members, last_at, last }
    };
    let now: Vec<_> = now.rooms.into_iter().map(card).collect();
    if now != before {
        rooms.try_set(now);
    }
}

/// Rooms this browser has been in, the last one first.
pub(crate) fn recent_rooms() -> Vec<RoomName> {
    let kept = kept(RECENT).unwrap_or_default();
    kept.lines().filter_map(|name| RoomName::parse(name).ok()).take(MOST_RECENT).collect()
}

/// Has this browser been in `room`.
pub(crate) fn visited(room: &RoomName) {
    let before = recent_rooms().into_iter().filter(|before| before != room);
    let names: Vec<_> =
        [room.clone()].into_iter().chain(before).map(|name| name.to_string()).collect();
    keep(RECENT, &names.join("\n"));
}
