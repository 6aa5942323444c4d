//! Three servers of NATS, of which one after the other is killed or stopped: what was acknowledged is at every reader once,
//! in one order. `HUBBUB_FAULTS` is how many faults there are, and `HUBBUB_SEED` which.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use common::Offset;
use futures_util::future::join_all;
use hub::{
    broker::{Broker, BrokerError, Retention},
    contract::draft,
};
use jetstream::JetStreamBroker;
use tokio::time::{Instant, sleep};

use support::{Ear, Nats, hub_on, page};

fn from_env(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

/// Says one thing after the other, each until it is acknowledged, until it is told to stop; where each is.
async fn write(
    hub: Arc<JetStreamBroker>,
    who: usize,
    stop: Arc<AtomicBool>,
) -> (Vec<Offset>, usize) {
    let (mut offsets, mut refused) = (Vec::new(), 0);
    while !stop.load(Ordering::Relaxed) {
        let id = format!("{who}-{}", offsets.len());
        loop {
            match hub.append(vec![draft("tea", &id, 0)]).await {
                Ok(appended) => break offsets.push(appended.offsets[0]),
                Err(BrokerError::Unavailable(_)) => refused += 1,
                Err(other) => panic!("{other}"),
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
    (offsets, refused)
}

/// Who leads the stream.
async fn leader(client: &async_nats::jetstream::Context) -> Option<usize> {
    let mut stream = client.get_stream("one").await.ok()?;
    let leader = stream.info().await.ok()?.cluster.as_ref()?.leader.clone()?;
    leader.strip_prefix('n')?.parse().ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whichever_server_fails_what_is_acknowledged_is_there_once_and_in_order() {
    let (faults, seed) = (from_env("HUBBUB_FAULTS", 4), from_env("HUBBUB_SEED", 1));
    let mut random = fastrand::Rng::with_seed(seed);
    let mut nats = Nats::cluster();
    let urls: Vec<_> = nats.iter().map(Nats::url).collect();
    let mut hubs = Vec::new();
    for n in 0..3 {
        // Each is connected to another first.
        let mut urls = urls.clone();
        urls.rotate_left(n);
        hubs.push(Arc::new(
            hub_on(
                urls,
                "one",
                3,
                Retention {
                    room_messages: 1_000_000,
                    room_ids: 1_000_000,
                    room_bytes: usize::MAX,
                    ..Retention::default()
                },
            )
            .await,
        ));
    }
    let ears = join_all(hubs.iter().map(|hub| Ear::open(hub))).await;
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> =
        (0..6).map(|who| tokio::spawn(write(hubs[who % 3].clone(), who, stop.clone()))).collect();
    let client = async_nats::ConnectOptions::new().connect(&urls[..]).await.unwrap();
    let client = async_nats::jetstream::new(client);

    let started = Instant::now();
    for fault in 0..faults {
        let is_again = ears[0].ids().len() + 50;
        ears[0].until("it goes on", |ear| ear.ids().len() >= is_again).await;
        let leads = loop {
            match leader(&client).await {
                Some(leads) => break leads,
                None => sleep(Duration::from_millis(50)).await,
            }
        };
        // Mostly whoever leads.
        let who = if random.u8(0..4) > 0 { leads } else { random.usize(0..3) };
        let away = Duration::from_millis(random.u64(500..6_000));
        let is_kill = fault % 2 == 0;
        println!(
            "{:.1?}: n{who} (n{leads} leads) is {} for {away:.1?}",
            started.elapsed(),
            if is_kill { "killed" } else { "stopped" }
        );
        if is_kill {
            nats[who].kill();
            sleep(away).await;
            nats[who].start_again();
        } else {
            nats[who].signal("STOP");
            sleep(away).await;
            nats[who].signal("CONT");
        }
    }
    stop.store(true, Ordering::Relaxed);
    let (mut acked, mut refused) = (HashMap::new(), 0);
    for (who, writer) in writers.into_iter().enumerate() {
        let (offsets, times) = writer.await.unwrap();
        assert!(offsets.is_sorted_by(|a, b| a < b), "writer {who}");
        refused += times;
        acked.extend(
            offsets.into_iter().enumerate().map(|(n, offset)| (format!("{who}-{n}"), offset)),
        );
    }
    let last = acked.values().copied().max().unwrap();
    let expected = page(&hubs[0], last).await;
    for (n, hub) in hubs.iter().enumerate() {
        let page = page(hub, last).await;
        let kept: Vec<_> = page
            .records
            .iter()
            .map(|record| (record.envelope.id.to_string(), record.offset))
            .collect();
        let by_id: HashMap<_, _> = kept.iter().cloned().collect();
        assert_eq!(by_id.len(), kept.len(), "hub {n}: twice");
        assert!(kept.is_sorted_by_key(|(_, offset)| *offset));
        let missing: Vec<_> =
            acked.iter().filter(|(id, offset)| by_id.get(*id) != Some(offset)).collect();
        assert!(missing.is_empty(), "hub {n}, seed {seed}: {missing:?}");
        assert_eq!(kept.len(), expected.records.len(), "hub {n}");
        let ids: Vec<_> = kept.into_iter().map(|(id, _)| id).collect();
        ears[n].until("all is heard", |ear| ear.ids().len() >= ids.len()).await;
        assert_eq!(ears[n].ids(), ids, "hub {n}: heard");
        assert!(ears[n].lives().is_empty(), "hub {n}: nobody is told that it begins anew");
    }
    println!(
        "seed {seed}: {faults} faults in {:.0?}, {} acknowledged, each at 3 readers once and in order, {refused} times refused",
        started.elapsed(),
        acked.len()
    );
}
