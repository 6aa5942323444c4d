//! What a hub has to do with the others of the same log.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::Instant,
};

use common::{Members, RoomName};

use super::{Hub, Room};
use crate::{
    Letter, TooManyRooms, Undelivered,
    broker::Following,
    mailbox::LETTERS,
    peers::{Others, Post, Posted},
    state::Place,
};

/// Hears what other hubs tell of their rooms, and takes letters that they have for sessions at this one.
pub(super) fn hear(others: &Arc<Others>, hub: Weak<Hub>) -> [Following; 2] {
    let known = others.clone();
    let hear =
        Arc::new(move |text: &[u8]| known.hear(text, tokio::time::Instant::now().into_std()));
    let answer = Arc::new(move |text: &[u8]| {
        let put = hub.upgrade().ok_or(Undelivered::NotHere).and_then(|hub| hub.take_post(text));
        // Words and numbers always encode.
        serde_json::to_vec(&Posted::from(put)).unwrap_or_default().into()
    });
    [others.peers.listen(None, hear), others.peers.answer(others.own, answer)]
}

impl Hub {
    /// Who is in `room` now, at whichever hub.
    ///
    /// # Errors
    ///
    /// [`TooManyRooms`] when the room would have to be opened to know it and can't be.
    pub async fn members(&self, room: &RoomName) -> Result<Members, TooManyRooms> {
        let elsewhere = self.others.as_ref().map(|others| others.with(room)).unwrap_or_default();
        let open = self.rooms.lock().get(room).cloned();
        let room = match open {
            None if elsewhere.is_empty() => return Ok(Members::default()),
            None => self.room(room)?,
            Some(room) => room,
        };
        room.hears_of(&elsewhere).await;
        Ok(room.look(|states| states.members()))
    }

    /// The rooms somebody is in at other hubs, of those that `may_see` lets pass, and how many as far as that is told.
    pub(super) fn elsewhere(&self, may_see: &impl Fn(&RoomName) -> bool) -> Vec<(RoomName, usize)> {
        let rooms = self.others.iter().flat_map(|others| others.rooms());
        let rooms = rooms.filter(|(room, _)| may_see(room));
        rooms
            .map(|(room, count)| match self.rules.settings(&room).hide_members {
                true => (room, 0),
                false => (room, count),
            })
            .collect()
    }

    /// Tells the others what they may have missed, and forgets those that are gone.
    pub(super) fn tell_others(&self, rooms: &[Arc<Room>], now: Instant) {
        let Some(others) = &self.others else { return };
        let counts =
            rooms.iter().map(|room| (room.name.clone(), room.look(|states| states.own_count())));
        let counts: BTreeMap<_, _> = counts.filter(|(_, count)| *count > 0).collect();
        others.tell(counts, now);
        rooms.iter().for_each(|room| room.tell_others_again(now));
        let (gone, until) = (others.gone(now), now + self.limits.lost);
        gone.iter().for_each(|hub| tracing::warn!(hub = hub.0, "another hub is gone"));
        for room in rooms {
            // One that tells nothing of this room any more has let go of it.
            let silent = room.look(|states| states.silent(now));
            for hub in gone.iter().chain(&silent) {
                room.change(|states| states.lose(*hub, until));
            }
        }
    }

    /// Leaves a letter of another hub for a session at this one.
    fn take_post(&self, text: &[u8]) -> Result<(), Undelivered> {
        let post: Post<'_> = serde_json::from_slice(text).map_err(|_| Undelivered::NotHere)?;
        let room = self.rooms.lock().get(&post.room).cloned().ok_or(Undelivered::NotHere)?;
        let Some(Place::Here(mailbox)) = room.look(|states| states.place(&post.to)) else {
            return Err(Undelivered::NotHere);
        };
        let others = self.others.as_ref().ok_or(Undelivered::NotHere)?;
        let held = others.room_for(post.text.len()).ok_or(Undelivered::Full(LETTERS))?;
        mailbox.put(Letter { text: post.text.into_owned(), held: Box::new(held) })
    }
}
