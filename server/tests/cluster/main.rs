//! Three servers of NATS and three hubs, while for a time one after the other of them is killed, stopped or cut off, or a link
//! between two of them: what was acknowledged is at every reader once and in order. `HUBBUB_SECONDS` says for how long, and
//! `HUBBUB_SEED` which faults.
#![allow(missing_docs, missing_debug_implementations, unreachable_pub)]
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod faults;
#[path = "../../../jetstream/tests/support/link.rs"]
mod link;
mod load;
mod machines;
#[path = "../support/mod.rs"]
mod support;

/// Tests that need a server of NATS; `cargo xtask test` leaves them out by this name where there is none.
mod on_nats {
    use std::{
        sync::{Arc, atomic::Ordering},
        time::Duration,
    };

    use fastrand::Rng;
    use tokio::{
        sync::watch,
        task::JoinSet,
        time::{Instant, timeout},
    };

    use crate::{
        faults::{Done, hubs_fail, nats_fails},
        load::{Journal, Load, Reader, Writer, kept},
        machines::Cluster,
    };

    const ROOMS: [&str; 3] = ["coffee", "tea", "water"];
    const WRITERS: usize = 6;
    const READERS: usize = 6;
    /// So many messages of a room are kept at the least; a little less than what is kept at the most.
    const KEPT: usize = 9_000;
    /// How long it may take to read to the end, when everything is well again.
    const TO_THE_END: Duration = Duration::from_secs(60);

    fn from_env(name: &str, default: u64) -> u64 {
        std::env::var(name).map_or(default, |value| value.parse().unwrap())
    }

    /// Whether they are alike; if not, it is said where they begin to differ.
    fn is_same(read: &Journal, said: &Journal, whose: &str) {
        if let Some((read, said)) = read.iter().zip(said).find(|(read, said)| read != said) {
            panic!("{whose}: {read:?} where {said:?} was said");
        }
        assert_eq!(read.len(), said.len(), "{whose}");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn whatever_fails_what_is_acknowledged_is_at_every_reader_once_and_in_order() {
        let (seconds, seed) = (from_env("HUBBUB_SECONDS", 20), from_env("HUBBUB_SEED", 1));
        let cluster = Arc::new(Cluster::start().await);
        println!("seed {seed}; what the hubs log is in {}", cluster.logs());
        let load = Arc::new(Load::at(cluster.addresses.clone()));
        let ends = ROOMS.map(|_| watch::Sender::new(None));
        let random = |who: usize| Rng::with_seed(seed * 100 + who as u64);
        let room = |who: usize| ROOMS[who % ROOMS.len()].to_owned();
        let (mut readers, mut writers) = (JoinSet::new(), JoinSet::new());
        for who in 0..READERS {
            let (load, end) = (load.clone(), ends[who % ROOMS.len()].subscribe());
            let reader = Reader { load, room: room(who), random: random(who), end };
            readers.spawn(async move { (who, reader.read().await) });
        }
        for who in 0..WRITERS {
            let random = random(READERS + who);
            let writer = Writer { load: load.clone(), who, room: room(who), random };
            writers.spawn(async move { (who, writer.write().await) });
        }

        let (done, until) =
            (Arc::new(Done::default()), Instant::now() + Duration::from_secs(seconds));
        let nats = nats_fails(cluster.clone(), load.clone(), done.clone(), seed, until);
        let hubs = hubs_fail(cluster.clone(), load.clone(), done.clone(), !seed, until);
        let hands = async { tokio::try_join!(tokio::spawn(nats), tokio::spawn(hubs)) };
        // None of the others ends before; but whoever fails ends it at once.
        tokio::select! {
            done = hands => { done.unwrap(); }
            Some(ended) = readers.join_next() => panic!("a reader: {:?}", ended.map(|_| ())),
            Some(ended) = writers.join_next() => panic!("a writer: {:?}", ended.map(|_| ())),
        }
        load.stop.store(true, Ordering::Relaxed);
        let mut said = ROOMS.map(|_| Journal::new());
        for (who, journal) in writers.join_all().await {
            let room = &mut said[who % ROOMS.len()];
            let count = room.len() + journal.len();
            room.extend(journal);
            assert_eq!(room.len(), count, "one number was given twice");
        }
        for (end, said) in ends.iter().zip(&said) {
            end.send_replace(Some(*said.last_key_value().unwrap().0));
        }
        for (room, said) in ROOMS.iter().zip(&said) {
            let last = *said.last_key_value().unwrap().0;
            for address in &cluster.addresses {
                let kept =
                    timeout(TO_THE_END, kept(address, room, last)).await.expect("it is not read");
                let floor = *kept.first_key_value().unwrap().0;
                assert!(kept.len() >= said.len().min(KEPT), "{} of {}", kept.len(), said.len());
                let said = said.range(floor..).map(|(at, id)| (*at, id.clone())).collect();
                is_same(&kept, &said, &format!("{room} at {address}"));
            }
        }
        let read = timeout(TO_THE_END, readers.join_all()).await;
        for (who, read) in read.expect("readers do not get to the end") {
            is_same(&read, &said[who % ROOMS.len()], &format!("reader {who}"));
        }
        println!(
            "seed {seed}: {} in {:.0?}; {} acknowledged, each at {} readers once and in order, {} said again and known, {} times \
             not answered, {} hops, at most {:.1?} without an acknowledgement",
            done.counts(),
            load.since(),
            said.iter().map(Journal::len).sum::<usize>(),
            READERS / ROOMS.len(),
            load.repeated.load(Ordering::Relaxed),
            load.refused.load(Ordering::Relaxed),
            load.hops.load(Ordering::Relaxed),
            load.longest(),
        );
        Arc::into_inner(cluster).unwrap().end();
    }
}
