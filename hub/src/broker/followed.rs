//! Who follows which room, for brokers that hand on what they append themselves.

use std::{collections::HashMap, fmt, sync::Arc};

use common::{Offset, RoomName};
use parking_lot::Mutex;

use super::{Follower, Heard};
use crate::Record;

/// The rooms that are followed, and how far what was appended has been handed on.
#[derive(Default)]
pub struct Followed {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    head: Offset,
    rooms: HashMap<RoomName, Follower>,
}

impl fmt::Debug for Followed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Followed").field("head", &self.head()).finish_non_exhaustive()
    }
}

/// A room being followed. Dropping it ends that.
pub struct Following(Option<Box<dyn FnOnce() + Send + Sync>>);

impl fmt::Debug for Following {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Following")
    }
}

impl Following {
    /// Calls `end` when it is dropped.
    pub fn new(end: impl FnOnce() + Send + Sync + 'static) -> Self {
        Self(Some(Box::new(end)))
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        if let Some(end) = self.0.take() {
            end();
        }
    }
}

impl Followed {
    /// Nobody follows anything, and offsets up to `head` were given before.
    pub fn new(head: Offset) -> Self {
        Self { state: Mutex::new(State { head, rooms: HashMap::new() }) }
    }

    /// The highest offset given so far.
    pub fn head(&self) -> Offset {
        self.state.lock().head
    }

    /// Follows `room`. Everything up to the offset it returns is to be read; `follower` hears what is
    /// behind it.
    pub fn open(self: &Arc<Self>, room: &RoomName, follower: Follower) -> (Offset, Following) {
        let mut state = self.state.lock();
        state.rooms.insert(room.clone(), follower.clone());
        let (followed, room) = (self.clone(), room.clone());
        let following = Following::new(move || {
            let mut state = followed.state.lock();
            // It may have been opened again meanwhile.
            if state.rooms.get(&room).is_some_and(|now| Arc::ptr_eq(now, &follower)) {
                state.rooms.remove(&room);
            }
        });
        (state.head, following)
    }

    /// Records were kept, in offset order. Nobody has heard of them when this returns: that is for
    /// [`News::tell`], and whoever appended need not wait for it.
    pub fn kept(&self, records: Vec<Arc<Record>>) -> News {
        let mut state = self.state.lock();
        if let Some(newest) = records.last() {
            state.head = newest.offset;
        }
        let mut rooms: Vec<(Follower, Vec<Arc<Record>>)> = Vec::new();
        for record in records {
            let Some(follower) = state.rooms.get(&record.envelope.room) else { continue };
            match rooms.iter_mut().find(|(known, _)| Arc::ptr_eq(known, follower)) {
                Some((_, records)) => records.push(record),
                None => rooms.push((follower.clone(), vec![record])),
            }
        }
        News(rooms)
    }
}

/// What is to be handed on. To be told before anything that is kept later.
#[must_use = "nobody has heard of it yet"]
pub struct News(Vec<(Follower, Vec<Arc<Record>>)>);

impl fmt::Debug for News {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "News of {} rooms", self.0.len())
    }
}

impl News {
    /// Tells those who follow.
    pub fn tell(self) {
        for (follower, records) in self.0 {
            follower(Heard::Records(records));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_followed_until_that_is_dropped_and_not_by_whoever_came_before() {
        let followed = Arc::new(Followed::new(Offset(7)));
        assert_eq!(followed.head(), Offset(7));
        let follower: Follower = Arc::new(|_| {});
        let (at, first) = followed.open(&RoomName::lobby(), follower.clone());
        assert_eq!((at, Arc::strong_count(&follower)), (Offset(7), 3));
        let other: Follower = Arc::new(|_| {});
        let (_, second) = followed.open(&RoomName::lobby(), other.clone());
        // The first ends, and the second goes on.
        drop(first);
        assert_eq!((Arc::strong_count(&follower), Arc::strong_count(&other)), (1, 3));
        drop(second);
        assert_eq!(Arc::strong_count(&other), 1);
    }

    #[test]
    fn they_say_what_they_are() {
        let followed = Arc::new(Followed::new(Offset(7)));
        let (_, following) = followed.open(&RoomName::lobby(), Arc::new(|_| {}));
        assert_eq!(format!("{followed:?}"), "Followed { head: Offset(7), .. }");
        assert_eq!(format!("{following:?}"), "Following");
        assert_eq!(format!("{:?}", followed.kept(Vec::new())), "News of 0 rooms");
    }
}
