//! Invariants 1 to 7 on thousands of made-up histories: the clients, sessions, handlers, readers and rooms that
//! ship; only the network, the clock, the log and people's patience are simulated.
//!
//! Frames are delayed, lost with their connection, doubled, and arrive from legs that were given up; networks
//! let some transports through and not others; servers restart, the log fails before or after it has kept
//! something, pages reload. In every fourth history the log is a file, by the SQLite broker that ships, on a disk
//! that fails: it has errors, is full, tears what it writes, and loses its power. Others have three hubs over one log, by the
//! JetStream broker that ships, on a simulated NATS that fails: each leg and each request comes to any of them, hubs die, are
//! cut off or too slow, servers of NATS die, its leaders change. Nothing sleeps and nothing is
//! random but by seed: a history that fails names its number, and
//! `HUBBUB_SEED=n cargo test -p server --test simulation` plays that one again, of one hub and of three.
//! `HUBBUB_HISTORIES` is how many there are of each.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used)]

mod far;
mod hubs;
mod log;
mod network;
mod tab;
mod world;

use hub::histories;
use world::World;

#[test]
fn whatever_the_network_does_the_invariants_hold() {
    histories::play(500, &[], &[], |seed| async move { World::new(seed, 1).await.live().await });
}

/// What is to happen in the histories of several hubs, or they show nothing.
const TO_HAPPEN: &[&str] = &[
    "acknowledged",
    "answers lost",
    "answers of a copy that is behind",
    "answers of a leader that is none",
    "connections lost",
    "gaps told",
    "hubs cut off",
    "hubs cut off in silence",
    "hubs cut off one way, down",
    "hubs cut off one way, up",
    "hubs killed",
    "hubs stopped",
    "ids known",
    "leaders chosen",
    "leaders stopped",
    "majorities lost",
    "news dropped by a slow hub",
    "news lost",
    "news out of order",
    "news told twice",
    "read",
    "requests lost",
    "servers killed",
];

#[test]
fn whatever_nats_and_the_network_do_the_invariants_hold_over_several_hubs() {
    let live = |seed| async move { World::new(seed, 3).await.live().await };
    histories::play(40, &[], TO_HAPPEN, live);
}
