//! Made-up histories, many of them: how the simulations of hubs are played.

use std::{collections::BTreeMap, panic::AssertUnwindSafe, thread};

use parking_lot::Mutex;
use tokio::runtime::Builder;

/// How often what happened, by what it is called.
pub type Happened = BTreeMap<&'static str, u64>;

/// Plays the histories 0 to `count`, and those that are `remembered`, by `live`, each by a clock of its own that waits for nothing;
/// then says what happened in them. By the environment, `HUBBUB_HISTORIES` is how many there are in place of `count`, and
/// `HUBBUB_SEED` plays one alone.
///
/// # Panics
/// If one of them fails; the panic names it. If there were at least `count`, and something of what is `to_happen` never did: then they
/// show nothing.
#[expect(clippy::print_stdout, reason = "what happened is for whoever runs the test")]
pub fn play<F: Future<Output = Happened>>(
    count: u64,
    remembered: &[u64],
    to_happen: &[&str],
    live: impl Fn(u64) -> F + Sync,
) {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse().expect(name));
    let histories = number("HUBBUB_HISTORIES").unwrap_or(count);
    let seeds: Vec<u64> = match number("HUBBUB_SEED") {
        Some(seed) => vec![seed],
        None => {
            let besides = remembered.iter().copied().filter(|seed| *seed >= histories);
            (0..histories).chain(besides).collect()
        }
    };
    let all: Mutex<Happened> = Mutex::default();
    let play = |seed: &u64| {
        let lived = std::panic::catch_unwind(AssertUnwindSafe(|| {
            let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
            runtime.expect("a runtime").block_on(async { live(*seed).await })
        }));
        let Ok(happened) = lived else {
            panic!("history {seed} fails; HUBBUB_SEED={seed} plays it again");
        };
        for (what, times) in happened {
            *all.lock().entry(what).or_default() += times;
        }
    };
    let (odd, even): (Vec<_>, Vec<_>) = seeds.iter().partition(|seed| *seed % 2 == 1);
    thread::scope(|scope| {
        scope.spawn(|| odd.into_iter().for_each(play));
        even.into_iter().for_each(play);
    });
    let all = all.into_inner();
    let report: Vec<_> = all.iter().map(|(what, times)| format!("{times:>9} {what}")).collect();
    println!("{} histories:\n{}", seeds.len(), report.join("\n"));
    let missing: Vec<_> = to_happen.iter().filter(|what| !all.contains_key(*what)).collect();
    assert!((seeds.len() as u64) < count || missing.is_empty(), "never: {missing:?}");
}
