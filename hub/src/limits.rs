//! How much a hub keeps, in one place.

use std::time::Duration;

/// Limits of one hub. What is over them goes, oldest first; a reader that still wanted it is told.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Messages kept in a room. Default 10 000.
    pub room_messages: usize,
    /// Bytes of encoded messages kept in a room. Default 4 MiB.
    pub room_bytes: usize,
    /// Rooms at one time. Default 10 000; publishing to or reading one more is refused.
    pub rooms: usize,
    /// How long a room that nobody reads is kept after its last message. Default one hour.
    pub idle_room: Duration,
    /// How long a message id is remembered at the least, so that a retry stores nothing. Default one
    /// hour.
    pub remember_ids: Duration,
    /// How long a member counts as typing without saying so again. Default 6 seconds.
    pub typing: Duration,
    /// The shortest time between two presence frames to one reader. Default 250 milliseconds.
    pub state_interval: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            room_messages: 10_000,
            room_bytes: 4 * 1024 * 1024,
            rooms: 10_000,
            idle_room: Duration::from_secs(3600),
            remember_ids: Duration::from_secs(3600),
            typing: Duration::from_secs(6),
            state_interval: Duration::from_millis(250),
        }
    }
}
