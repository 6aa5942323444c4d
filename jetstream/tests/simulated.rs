//! What can't be had of a real server at will: what is told late, clocks that are wrong, lives that change in between.
#![allow(missing_docs, clippy::unwrap_used)]

use std::{sync::Arc, time::Duration};

use common::{Mend, Mends, MessageId, Offset, RoomName};
use fastrand::Rng;
use futures_util::{FutureExt, future::join_all};
use hub::{
    Draft,
    broker::{Broker, Heard, Page, Part, Read, Retention},
    contract::draft,
};
use jetstream::{
    JetStreamBroker,
    simulated::{Cut, Faults, SimulatedNats},
};
use parking_lot::Mutex;
use tokio::time::{sleep, timeout};

const BEGIN: u64 = 1_795_424_700_000;
const DAY: u64 = 24 * 60 * 60 * 1_000;
const WINDOW: Duration = Duration::from_secs(120);

fn nats(seed: u64, faults: Faults) -> SimulatedNats {
    SimulatedNats::new(Rng::with_seed(seed), faults, BEGIN)
}

async fn hub(nats: &SimulatedNats) -> JetStreamBroker {
    nats.hub(Retention::default(), WINDOW).await.unwrap().1
}

fn room(name: &str) -> RoomName {
    RoomName::parse(name).unwrap()
}

async fn all(hub: &JetStreamBroker, name: &str, at_least: Offset) -> Option<Page> {
    let part = Part::After(Offset(0));
    let read = Read { part, records: usize::MAX, bytes: usize::MAX, at_least };
    hub.read(&room(name), read).await.ok()
}

fn ids(page: &Page) -> Vec<(String, Offset)> {
    let of = |record: &Arc<hub::Record>| (record.envelope.id.to_string(), record.offset);
    page.records.iter().map(of).collect()
}

fn many(life: &str, count: usize) -> Vec<Draft> {
    (0..count).map(|n| draft("tea", &format!("{life}-{n}"), BEGIN)).collect()
}

#[tokio::test(start_paused = true)]
async fn an_array_over_many_rooms_is_settled_however_late_it_is_heard() {
    for (seed, unheard) in [(0, 0), (1, 500), (2, 1_000)] {
        let nats = nats(seed, Faults { delay: 3_000, unheard, disordered: 300, ..Faults::NONE });
        let hub = hub(&nats).await;
        let say = |n: usize| draft(&format!("room-{n}"), &format!("m{n}"), BEGIN);
        let array = |from, to| (from..to).map(say).collect::<Vec<_>>();
        let first = hub.append(array(0, 30)).await.unwrap().offsets;
        // Half of it again, with as much that is new.
        let second = hub.append(array(15, 45)).await.unwrap().offsets;
        assert_eq!(first, (1..=30).map(Offset).collect::<Vec<_>>(), "seed {seed}");
        assert_eq!(second, (16..=45).map(Offset).collect::<Vec<_>>(), "seed {seed}");
        for n in 0..45 {
            let offset = Offset(n + 1);
            let page = all(&hub, &format!("room-{n}"), offset).await.unwrap();
            assert_eq!(ids(&page), [(format!("m{n}"), offset)], "seed {seed}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_hub_whose_clock_is_far_ahead_when_it_starts_lets_go_of_nothing_that_is_young() {
    let nats = nats(0, Faults::NONE);
    let one = hub(&nats).await;
    one.append(many("m", 3)).await.unwrap();
    let ahead = hub(&nats).await;
    let is_there = async |hub: &JetStreamBroker| all(hub, "tea", Offset(0)).await.unwrap();
    assert_eq!(is_there(&ahead).await.records.len(), 3);
    for hours in 0..20 {
        ahead.tidy(BEGIN + 40 * DAY + hours).await.unwrap();
        sleep(Duration::from_secs(60 * 60)).await;
    }
    for hub in [&ahead, &one] {
        let page = is_there(hub).await;
        assert_eq!((page.records.len(), page.floor), (3, Offset(0)));
    }
    // And what is as old as that goes by a clock that is right.
    one.tidy(BEGIN + 20 * DAY).await.unwrap();
    assert_eq!(is_there(&one).await.records.len(), 3);
}

/// Two pages of each life; the second begins at any time while a hub reads the first.
#[tokio::test(start_paused = true)]
async fn no_two_lives_are_in_one_read_of_a_room() {
    let (mut old, mut new, mut neither) = (0, 0, 0);
    for ms in (0..30).step_by(2) {
        let nats = nats(ms, Faults { delay: 6, ..Faults::NONE });
        let hub = Arc::new(hub(&nats).await);
        nats.store(many("old", 1_200));
        let reads = hub.clone();
        let reading = tokio::spawn(async move { all(&reads, "tea", Offset(0)).await });
        sleep(Duration::from_millis(ms)).await;
        let before = nats.epoch();
        nats.make_anew();
        nats.store(many("new", 1_300));
        let page = reading.await.unwrap();
        let Some(page) = page else {
            neither += 1;
            continue;
        };
        let (life, count) = if page.epoch == before { ("old", 1_200) } else { ("new", 1_300) };
        *(if life == "old" { &mut old } else { &mut new }) += 1;
        let ids = ids(&page);
        assert!(ids.iter().all(|(id, _)| id.starts_with(life)), "after {ms} ms, {life}");
        assert_eq!(ids.len(), count, "after {ms} ms");
    }
    assert!(old > 0 && new > 0 && neither > 0, "{old} {new} {neither}");
}

#[tokio::test(start_paused = true)]
async fn whoever_follows_a_room_is_told_of_another_life_before_anything_of_it() {
    for ms in 0..30 {
        let nats = nats(ms, Faults { delay: 6, ..Faults::NONE });
        let hub = hub(&nats).await;
        let heard: Arc<Mutex<Vec<Heard>>> = Arc::default();
        let hears = heard.clone();
        let follower = Arc::new(move |news| hears.lock().push(news));
        let _opened = hub.open(&room("tea"), follower).await.unwrap();
        nats.store(many("old", 40));
        sleep(Duration::from_secs(10)).await;
        nats.cut(0, Cut::Down);
        nats.store(many("old-too", 40));
        nats.join(0);
        // It reads what it has not heard of.
        let reading = all(&hub, "tea", Offset(80));
        let upheaval = async {
            sleep(Duration::from_millis(95 + ms)).await;
            nats.make_anew();
            nats.store(many("new", 100));
        };
        tokio::join!(reading, upheaval);
        sleep(Duration::from_secs(30)).await;
        let mut life = "old";
        for news in &*heard.lock() {
            match news {
                Heard::Epoch(_) => life = "new",
                Heard::LetGo(_) => {}
                Heard::Records(records) => {
                    let mut ids = records.iter().map(|record| record.envelope.id.as_str());
                    assert!(ids.all(|id| id.starts_with(life)), "after {ms} ms: {news:?}");
                }
            }
        }
        assert_eq!(life, "new");
    }
}

/// Whoever asked may be busy for long with a client that reads nothing.
#[tokio::test(start_paused = true)]
async fn an_append_that_nobody_looks_at_holds_up_no_other() {
    let broker = hub(&nats(1, Faults::NONE)).await;
    broker.append(vec![draft("tea", "a", BEGIN)]).await.unwrap();
    let mut left = broker.append(vec![draft("tea", "b", BEGIN)]);
    assert!((&mut left).now_or_never().is_none());
    let _begun = broker.append(vec![draft("tea", "c", BEGIN)]);
    let mut back = draft("tea", "d", BEGIN);
    let mends = Mends { of: MessageId::parse("a").unwrap(), how: Mend::Retract };
    back.envelope.mends = Some(mends);
    timeout(Duration::from_secs(60), broker.append(vec![back])).await.unwrap().unwrap();
    // In the order in which they were begun, also what nobody has looked at.
    let offsets = join_all(["b", "c", "d"].map(|id| broker.append(vec![draft("tea", id, BEGIN)])));
    let offsets: Vec<_> =
        offsets.await.into_iter().map(|done| done.map(|done| done.offsets)).collect();
    assert_eq!(offsets, [2, 3, 4].map(|offset| Ok(vec![Offset(offset)])));
}
