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
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::print_stdout)]

mod far;
mod hubs;
mod log;
mod network;
mod tab;
mod world;

use parking_lot::Mutex;
use world::{Happened, World};

/// Plays so many histories, of so many hubs; what happened in them, unless it was one alone.
fn play(histories: u64, hubs: usize) -> Option<Happened> {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let (seeds, is_one) = match number("HUBBUB_SEED") {
        Some(seed) => (seed..seed + 1, true),
        None => (0..number("HUBBUB_HISTORIES").unwrap_or(histories), false),
    };
    let all: Mutex<Happened> = Mutex::default();
    let live = |seed: u64| {
        let lived = std::panic::catch_unwind(|| {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_time().start_paused(true).build().unwrap();
            runtime.block_on(async { World::new(seed, hubs).await.live().await })
        });
        let Ok(happened) = lived else {
            panic!("history {seed} of {hubs} fails; HUBBUB_SEED={seed} plays it again");
        };
        for (what, times) in happened {
            *all.lock().entry(what).or_default() += times;
        }
    };
    let (odd, even): (Vec<_>, Vec<_>) = seeds.clone().partition(|seed| seed % 2 == 1);
    std::thread::scope(|scope| {
        scope.spawn(|| odd.into_iter().for_each(live));
        even.into_iter().for_each(live);
    });
    let all = all.into_inner();
    let report: Vec<_> = all.iter().map(|(what, times)| format!("{times:>9} {what}")).collect();
    println!("{} histories of {hubs}:\n{}", seeds.end - seeds.start, report.join("\n"));
    (!is_one && seeds.end >= histories).then_some(all)
}

#[test]
fn whatever_the_network_does_the_invariants_hold() {
    play(500, 1);
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
    let Some(happened) = play(40, 3) else { return };
    let missing: Vec<_> = TO_HAPPEN.iter().filter(|what| !happened.contains_key(*what)).collect();
    assert!(missing.is_empty(), "never: {missing:?}");
}
