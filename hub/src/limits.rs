//! How much a hub holds in memory, and how often it tells; in one place.

use std::time::Duration;

/// Limits of one hub.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Messages of an open room held in memory; older ones are read from the broker. Default 1 000.
    pub tail_messages: usize,
    /// Bytes of them. Default 512 KiB.
    pub tail_bytes: usize,
    /// Bytes of them in all rooms together; those of the rooms that were silent longest go first. Default 64 MiB.
    pub tails_bytes: usize,
    /// Rooms open at one time. Default 10 000; publishing to or reading one more is refused.
    pub rooms: usize,
    /// How long a room that nobody is in stays open after its last message. Default one minute.
    pub idle_room: Duration,
    /// How long a member whose last connection was lost is still listed: time to come back from a lift.
    /// Default 20 seconds.
    pub lost: Duration,
    /// How long one who has closed its last connection is: time for a reload. Default 2 seconds.
    pub closed: Duration,
    /// How long those who were here before a restart are listed, until they have come back. Default 40
    /// seconds: the latest is told to come back after half a minute.
    pub expected: Duration,
    /// How long a member counts as typing without saying so again. Default 6 seconds.
    pub typing: Duration,
    /// How long after telling of one change of who is here, or writes, the next is told at the soonest: four
    /// times as long in a room of more than 100, twenty times in one of more than 5 000. Default 250
    /// milliseconds.
    pub state_interval: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            tail_messages: 1_000,
            tail_bytes: 512 * 1024,
            tails_bytes: 64 * 1024 * 1024,
            rooms: 10_000,
            idle_room: Duration::from_secs(60),
            lost: Duration::from_secs(20),
            closed: Duration::from_secs(2),
            expected: Duration::from_secs(40),
            typing: Duration::from_secs(6),
            state_interval: Duration::from_millis(250),
        }
    }
}
