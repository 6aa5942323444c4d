//! Invariants 1 to 4 on made-up histories of several hubs: the broker, the hubs, their rooms and readers that ship; only NATS,
//! the network, the clocks and people's patience are simulated.
//!
//! Servers of NATS die and come back, leaders change and know too little, hubs die, are cut off or too slow, answers are
//! lost, the log is put back to an older copy or made anew, clocks differ. Whoever reads or writes goes from hub to hub as it
//! likes. Nothing sleeps and nothing is random but by seed: a history that fails names its number, and
//! `HUBBUB_SEED=n cargo test -p jetstream --test simulation` plays that one again. `HUBBUB_HISTORIES` is how many there are.
#![allow(missing_docs, unreachable_pub, missing_debug_implementations, clippy::unwrap_used)]

mod people;
mod truth;
mod world;

use hub::histories;
use world::World;

/// How many histories there are unless told.
const HISTORIES: u64 = 100;
/// What is played besides: it has found what few others do.
const REMEMBERED: &[u64] = &[222];

/// What is to happen in that many histories, or they show nothing.
const TO_HAPPEN: &[&str] = &[
    "acknowledged",
    "answers lost",
    "answers of a copy that is behind",
    "answers of a leader that is behind",
    "answers of a leader that is none",
    "arrays",
    "batches refused as too many",
    "batches refused for an id",
    "connections lost",
    "done to messages",
    "hops",
    "hubs cut off",
    "hubs cut off in silence",
    "hubs cut off one way, down",
    "hubs cut off one way, up",
    "hubs killed",
    "ids known",
    "leaders chosen",
    "leaders stopped",
    "leases",
    "lives ended by a hub",
    "logs made anew",
    "logs put back",
    "majorities lost",
    "news dropped by a slow hub",
    "news lost",
    "news out of order",
    "news that can't be told",
    "news told twice",
    "no responders",
    "read",
    "refused",
    "requests lost",
    "resets",
    "rooms cleared",
    "servers killed",
    "told to webhooks",
];

#[test]
fn whatever_nats_and_the_network_do_the_invariants_hold_at_every_hub() {
    let live = |seed| async move { World::new(seed).await.live().await };
    histories::play(HISTORIES, REMEMBERED, TO_HAPPEN, live);
}
