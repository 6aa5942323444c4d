//! Several hubs on one NATS are one.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::{collections::BTreeSet, fs, path::PathBuf, process::Command, sync::Arc, time::Duration};

use common::{EventName, Mend, Message, MessageId, Offset, RoomName};
use futures_util::future::join_all;
use hub::{
    Draft,
    broker::{Broker, BrokerError, Keep, Opened, Part, Read, Retention},
    contract::{draft, message},
};
use jetstream::{JetStreamBroker, Options};
use parking_lot::Mutex;

use support::{Ear, Link, Nats, Trouble, hub, hub_on, page, said, tea};

/// What Ada does to the message `of`.
fn mend(id: &str, how: Mend, of: &str, value: serde_json::Value) -> Draft {
    let message = Message {
        value,
        event: Some(EventName::parse(how.word()).unwrap()),
        of: Some(MessageId::parse(of).unwrap()),
        ..message("tea", id, 0)
    };
    Draft::new(message, None)
}

async fn append(broker: &dyn Broker, draft: Draft) -> Offset {
    broker.append(vec![draft]).await.unwrap().offsets[0]
}

#[tokio::test]
async fn what_is_said_at_one_is_heard_at_all_in_one_order() {
    let nats = Nats::start();
    let hubs = [(); 3].map(|()| hub(&nats, "one", Retention::default()));
    let hubs: Vec<_> = join_all(hubs).await.into_iter().map(Arc::new).collect();
    let ears = join_all(hubs.iter().map(|hub| Ear::open(hub))).await;
    let writers = hubs.iter().enumerate().map(|(at, hub)| {
        let hub = hub.clone();
        tokio::spawn(async move {
            for n in 0..100 {
                append(&*hub, draft("tea", &format!("{at}-{n}"), 0)).await;
            }
        })
    });
    for written in join_all(writers).await {
        written.unwrap();
    }
    for ear in &ears {
        ear.until("all is heard", |ear| ear.ids().len() == 300).await;
        assert_eq!(ear.ids(), ears[0].ids());
    }
    let read = page(&hubs[1], Offset(0)).await;
    let ids: Vec<_> = read.records.iter().map(|record| record.envelope.id.to_string()).collect();
    assert_eq!(ids, ears[0].ids());
}

#[tokio::test]
async fn what_one_has_acknowledged_another_reads_at_once() {
    let nats = Nats::start();
    let (one, other) = (
        hub(&nats, "one", Retention::default()).await,
        hub(&nats, "one", Retention::default()).await,
    );
    for n in 0..100 {
        let offset = append(&one, draft("tea", &n.to_string(), 0)).await;
        assert_eq!(page(&other, offset).await.records.last().unwrap().offset, offset);
    }
}

#[tokio::test]
async fn one_id_said_at_two_at_once_is_kept_once() {
    let nats = Nats::start();
    let (one, other) = (
        hub(&nats, "one", Retention::default()).await,
        hub(&nats, "one", Retention::default()).await,
    );
    for n in 0..50 {
        let id = format!("m{n}");
        let said = || draft("tea", &id, 0);
        let other_id = || draft("tea", &format!("n{n}"), 0);
        // Alone, in arrays, and an array against one alone.
        let (first, second) = match n % 3 {
            0 => (vec![said()], vec![said()]),
            1 => (vec![said(), other_id()], vec![other_id(), said()]),
            _ => (vec![other_id(), said()], vec![said()]),
        };
        let (first, second) = tokio::join!(one.append(first), other.append(second));
        let at = |appended: &hub::broker::Appended, place: usize| appended.offsets[place];
        let (first, second) = (first.unwrap(), second.unwrap());
        match n % 3 {
            0 => assert_eq!(at(&first, 0), at(&second, 0)),
            1 => assert_eq!((at(&first, 0), at(&first, 1)), (at(&second, 1), at(&second, 0))),
            _ => assert_eq!(at(&first, 1), at(&second, 0)),
        }
    }
    let last = append(&one, draft("tea", "last", 0)).await;
    for hub in [&one, &other] {
        assert_eq!(
            page(hub, last).await.records.len(),
            50 + 34 - 1 + 1,
            "{:?}",
            page(hub, last).await
        );
    }
}

/// Hubs do at random what may be done, at once; then all of them, and one that has just come, have the same.
#[tokio::test]
async fn every_hub_makes_the_same_of_what_is_stored() {
    let nats = Nats::start();
    for seed in 0..6 {
        let retention = || Retention { room_messages: 40, ..Retention::default() };
        let name = format!("seed-{seed}");
        let hubs = [(); 2].map(|()| hub(&nats, &name, retention()));
        let hubs: Vec<_> = join_all(hubs).await.into_iter().map(Arc::new).collect();
        let writers = hubs.iter().enumerate().map(|(at, hub)| {
            let (hub, mut random) = (hub.clone(), fastrand::Rng::with_seed(seed * 10 + at as u64));
            tokio::spawn(async move {
                for n in 0..120 {
                    let id = format!("{at}-{n}");
                    let of = format!("{}-{}", random.u8(0..2), random.usize(0..=n));
                    let done = match random.u8(0..20) {
                        0..12 => hub.append(vec![draft("tea", &id, 0)]).await,
                        12..14 => {
                            hub.append(vec![mend(&id, Mend::Edit, &of, id.as_str().into())]).await
                        }
                        14..16 => {
                            hub.append(vec![mend(
                                &id,
                                Mend::Reaction,
                                &of,
                                serde_json::json!(["👍"]),
                            )])
                            .await
                        }
                        16..18 => {
                            hub.append(vec![mend(&id, Mend::Retract, &of, serde_json::json!({}))])
                                .await
                        }
                        18 => {
                            hub.append(
                                ["a", "b"]
                                    .map(|part| draft("tea", &format!("{id}{part}"), 0))
                                    .into(),
                            )
                            .await
                        }
                        _ => {
                            let keep = Keep { messages: 20, since: 0 };
                            hub.let_go(&tea(), keep).await.unwrap();
                            continue;
                        }
                    };
                    assert!(matches!(done, Ok(_) | Err(BrokerError::Refused(_))), "{done:?}");
                }
            })
        });
        for written in join_all(writers).await {
            written.unwrap();
        }
        let last = append(&*hubs[0], draft("tea", "last", 0)).await;
        let expected = page(&hubs[0], last).await;
        let newcomer = hub(&nats, &name, retention()).await;
        for (who, hub) in [("the other", &*hubs[1]), ("a newcomer", &newcomer)] {
            let page = page(hub, last).await;
            assert_eq!(said(&page), said(&expected), "{who}, seed {seed}");
            assert!(
                page.floor >= expected.floor,
                "{who}, seed {seed}: {} {}",
                page.floor,
                expected.floor
            );
        }
    }
}

#[tokio::test]
async fn what_was_taken_back_stays_away_wherever_it_is_said_again() {
    let nats = Nats::start();
    let one = hub(&nats, "one", Retention::default()).await;
    let said = append(&one, draft("tea", "m1", 0)).await;
    append(&one, mend("b1", Mend::Retract, "m1", serde_json::json!({}))).await;
    // It has never had it.
    let newcomer = hub(&nats, "one", Retention::default()).await;
    assert_eq!(append(&newcomer, draft("tea", "m1", 0)).await, said);
    assert_eq!(page(&newcomer, Offset(0)).await.records.len(), 1);
}

#[tokio::test]
async fn of_what_was_taken_back_not_a_word_is_left_in_the_files() {
    let nats = Nats::start();
    let one = hub(&nats, "one", Retention::default()).await;
    let text =
        |id, text: &str| Draft::new(Message { value: text.into(), ..message("tea", id, 0) }, None);
    append(&one, text("m1", "hippopotamus")).await;
    append(&one, text("m2", "rhinoceros")).await;
    let is_there = |word: &str| {
        Command::new("grep").args(["-rqa", word]).arg(nats.dir()).status().unwrap().success()
    };
    assert_eq!((is_there("hippopotamus"), is_there("rhinoceros")), (true, true));
    append(&one, mend("b1", Mend::Retract, "m1", serde_json::json!({}))).await;
    assert_eq!((is_there("hippopotamus"), is_there("rhinoceros")), (false, true));
    one.let_go(&tea(), Keep::NOTHING).await.unwrap();
    assert_eq!(page(&one, Offset(0)).await.records.len(), 0);
}

#[tokio::test]
async fn while_nats_is_away_nothing_is_promised_and_what_is_in_memory_is_read() {
    let mut nats = Nats::start();
    let (one, other) = (
        hub(&nats, "one", Retention::default()).await,
        hub(&nats, "one", Retention::default()).await,
    );
    let ear = Ear::open(&other).await;
    let first = append(&one, draft("tea", "m1", 0)).await;
    let epoch = page(&one, first).await.epoch;
    ear.until("it is heard", |ear| ear.ids() == ["m1"]).await;
    nats.kill();
    let started = std::time::Instant::now();
    let refused = one.append(vec![draft("tea", "m2", 0)]).await;
    assert!(matches!(refused, Err(BrokerError::Unavailable(_))), "{refused:?}");
    assert!(one.check().await.is_err());
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    assert_eq!(page(&one, Offset(0)).await.records.len(), 1);
    // What is not in memory can't be read, and nobody waits for it for good.
    let unknown = RoomName::parse("coffee").unwrap();
    let read = Read { part: Part::After(Offset(0)), records: 1, bytes: 1, at_least: Offset(0) };
    assert!(matches!(one.read(&unknown, read).await, Err(BrokerError::Unavailable(_))));
    nats.start_again();
    // By itself; what was not promised may be there, and is there once.
    let second = loop {
        match one.append(vec![draft("tea", "m2", 0)]).await {
            Ok(appended) => break appended.offsets[0],
            Err(refused) => assert!(matches!(refused, BrokerError::Unavailable(_)), "{refused}"),
        }
    };
    ear.until("it is heard", |ear| ear.ids() == ["m1", "m2"]).await;
    let read = page(&one, second).await;
    assert_eq!((read.records.len(), read.epoch), (2, epoch));
    assert!(ear.lives().is_empty());
}

#[tokio::test]
async fn a_log_that_is_made_anew_is_told_as_another_life() {
    let nats = Nats::start();
    let one = hub(&nats, "one", Retention::default()).await;
    let ear = Ear::open(&one).await;
    append(&one, draft("tea", "m1", 0)).await;
    let before = page(&one, Offset(0)).await.epoch;
    let client = async_nats::connect(nats.url()).await.unwrap();
    async_nats::jetstream::new(client).delete_stream("one").await.unwrap();
    // Somebody else makes it: a hub that has it goes on with what is there, and makes nothing by itself.
    let other = hub(&nats, "one", Retention::default()).await;
    ear.until("it is told", |ear| !ear.lives().is_empty()).await;
    append(&other, draft("tea", "m2", 0)).await;
    ear.until("it goes on", |ear| ear.ids() == ["m1", "m2"]).await;
    let read = page(&one, Offset(0)).await;
    assert_ne!(read.epoch, before);
    assert_eq!((read.records.len(), ear.lives()), (1, vec![read.epoch]));
}

/// A copy of all that the server has, made while it does not run.
fn copy_of(nats: &mut Nats) -> PathBuf {
    nats.kill();
    let copy = nats.dir().with_extension("copy");
    let copied = Command::new("cp").arg("-a").arg(nats.dir()).arg(&copy).status().unwrap();
    assert!(copied.success());
    nats.start_again();
    copy
}

/// The server goes on with what it had then.
fn put_back(nats: &mut Nats, copy: PathBuf) {
    nats.kill();
    fs::remove_dir_all(nats.dir()).unwrap();
    fs::rename(copy, nats.dir()).unwrap();
    nats.start_again();
}

#[tokio::test]
async fn a_log_that_is_put_back_is_told_as_another_life() {
    let mut nats = Nats::start();
    let one = hub(&nats, "one", Retention::default()).await;
    append(&one, draft("tea", "m1", 0)).await;
    let copy = copy_of(&mut nats);
    let ear = Ear::open(&one).await;
    while one.append(vec![draft("tea", "m2", 0)]).await.is_err() {}
    ear.until("it is heard", |ear| ear.ids() == ["m2"]).await;
    let before = page(&one, Offset(0)).await.epoch;
    put_back(&mut nats, copy);
    ear.until("it is told", |ear| !ear.lives().is_empty()).await;
    // That the number 2 is given once more has shown it.
    while one.append(vec![draft("tea", "m3", 0)]).await.is_err() {}
    ear.until("it goes on", |ear| ear.ids() == ["m2", "m3"]).await;
    let read = page(&one, Offset(0)).await;
    assert_ne!(read.epoch, before);
    assert_eq!(said(&read).iter().map(|(offset, _)| offset.0).collect::<Vec<_>>(), [1, 3]);
}

/// While messages come and go its numbers are soon as high as they were.
#[tokio::test]
async fn a_log_that_is_put_back_acknowledges_nothing_under_numbers_that_were_given() {
    let mut nats = Nats::start();
    let one = hub(&nats, "one", Retention::default()).await;
    append(&one, draft("tea", "m1", 0)).await;
    let copy = copy_of(&mut nats);
    let ear = Ear::open(&one).await;
    for n in 2..20 {
        while one.append(vec![draft("tea", &format!("m{n}"), 0)]).await.is_err() {}
    }
    ear.until("all is heard", |ear| ear.ids().len() == 18).await;
    let before = page(&one, Offset(0)).await.epoch;
    put_back(&mut nats, copy);
    let mut acked = Vec::new();
    for n in 0..40 {
        let id = format!("n{n}");
        loop {
            if let Ok(appended) = one.append(vec![draft("tea", &id, 0)]).await {
                acked.push(appended.offsets[0]);
                break;
            }
        }
    }
    let read = page(&one, *acked.last().unwrap()).await;
    assert_ne!(read.epoch, before);
    let there: Vec<_> = said(&read).into_iter().map(|(offset, _)| offset).collect();
    assert!(acked.iter().all(|offset| there.contains(offset)), "{acked:?} {there:?}");
    assert_eq!(there.len(), 41);
}

#[tokio::test]
async fn what_was_let_go_of_is_known_to_a_newcomer_too() {
    let nats = Nats::start();
    let age = Duration::from_millis(10);
    let retention = || Retention { age, ids: Duration::ZERO, ..Retention::default() };
    let one = hub(&nats, "one", retention()).await;
    // The oldest of all rooms stays.
    append(&one, draft("coffee", "c1", 5_000)).await;
    for n in 1..=3 {
        append(&one, draft("tea", &format!("m{n}"), 1_000)).await;
    }
    let gone = page(&one, Offset(0)).await.head;
    one.tidy(1_020).await.unwrap();
    append(&one, draft("tea", "m4", 1_040)).await;
    one.tidy(1_060).await.unwrap();
    let newcomer = hub(&nats, "one", retention()).await;
    let page = page(&newcomer, Offset(0)).await;
    assert!(page.floor >= gone, "{} {gone}", page.floor);
}

#[tokio::test]
async fn whoever_hears_may_stop_following_by_that() {
    let nats = Nats::start();
    let one = hub(&nats, "one", Retention::default()).await;
    let own: Arc<Mutex<Option<Opened>>> = Arc::default();
    let drops = own.clone();
    let opened = one.open(&tea(), Arc::new(move |_| drop(drops.lock().take()))).await.unwrap();
    *own.lock() = Some(opened);
    for id in ["m1", "m2"] {
        let offset = append(&one, draft("tea", id, 0)).await;
        let read = page(&one, offset);
        tokio::time::timeout(Duration::from_secs(10), read).await.expect("it is locked");
    }
    assert!(own.lock().is_none());
}

#[tokio::test]
async fn what_one_hub_does_alone_it_gives_up_at_once_when_it_wants_to() {
    let nats = Nats::start();
    let (one, other) = (
        hub(&nats, "one", Retention::default()).await,
        hub(&nats, "one", Retention::default()).await,
    );
    assert!(one.lease("hook").await.unwrap());
    assert!(!other.lease("hook").await.unwrap());
    // Not what is another's.
    other.give_up("hook").await.unwrap();
    assert!(one.lease("hook").await.unwrap());
    assert!(!other.lease("hook").await.unwrap());
    one.give_up("hook").await.unwrap();
    assert!(other.lease("hook").await.unwrap());
    assert!(!one.lease("hook").await.unwrap());
}

#[tokio::test]
async fn rooms_are_spread_over_as_many_streams_as_the_log_was_made_with() {
    let nats = Nats::start();
    let open = async |streams| {
        let options =
            Options { streams, name: "one".to_owned(), ..Options::at(nats.url().parse().unwrap()) };
        JetStreamBroker::open(options, Retention { total_bytes: 64 << 20, ..Retention::default() })
            .await
            .unwrap()
    };
    // The other takes the number that is there.
    let (one, other) = (open(3).await, open(1).await);
    assert_eq!((one.shards(), other.shards()), (3, 3));
    let drafts: Vec<_> =
        (0..30).map(|n| draft(&format!("room-{}", n % 10), &n.to_string(), n)).collect();
    let appended = one.append(drafts.clone()).await.unwrap();
    assert_eq!(other.append(drafts).await.unwrap().offsets, appended.offsets);
    // Each is in its room, where its offset says.
    let mut epochs = BTreeSet::new();
    for room in 0..10 {
        let name = RoomName::parse(&format!("room-{room}")).unwrap();
        let read = Read {
            part: Part::After(Offset(0)),
            records: 100,
            bytes: usize::MAX,
            at_least: Offset(0),
        };
        let page = other.read(&name, read).await.unwrap();
        let read: Vec<_> = page
            .records
            .iter()
            .map(|record| (record.envelope.id.to_string(), record.offset))
            .collect();
        let said =
            [room, room + 10, room + 20].map(|n: usize| (n.to_string(), appended.offsets[n]));
        assert_eq!(read, said);
        epochs.insert(page.epoch.to_string());
    }
    assert_eq!(epochs.len(), 3, "each stream has its own lives");
    // All of it is in the shards together, and in each is a part.
    let mut ids = BTreeSet::new();
    for shard in 0..3 {
        let page = other.read_all(shard, Offset(0), 100, usize::MAX).await.unwrap();
        assert!((1..30).contains(&page.records.len()), "{shard}: {}", page.records.len());
        assert!(page.complete && page.records.is_sorted_by_key(|record| record.offset));
        ids.extend(page.records.iter().map(|record| record.envelope.id.to_string()));
    }
    assert_eq!(ids.len(), 30);
    let rooms = other.rooms(4).await.unwrap();
    let rooms: Vec<_> = rooms.iter().map(|room| (room.name.as_str(), room.last_at)).collect();
    assert_eq!(rooms, [("room-9", 29), ("room-8", 28), ("room-7", 27), ("room-6", 26)]);
    // What is let go of in one is no matter of another.
    let gone = one.let_go(&RoomName::parse("room-0").unwrap(), Keep::NOTHING).await.unwrap();
    assert_eq!(gone, appended.offsets[20]);
    let floors = join_all(
        (0..3).map(async |shard| one.read_all(shard, Offset(0), 1, 1).await.unwrap().floor),
    )
    .await;
    assert_eq!(floors.iter().filter(|floor| **floor > Offset(0)).collect::<Vec<_>>(), [&gone]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_whose_way_to_nats_is_silent_takes_another() {
    let nats = Nats::start();
    let ways = [Link::to(nats.port).await, Link::to(nats.port).await];
    let urls = ways.iter().map(|way| format!("nats://127.0.0.1:{}", way.port)).collect();
    let hub = hub_on(urls, "one", 1, Retention::default()).await;
    let ear = Ear::open(&hub).await;
    append(&hub, draft("tea", "before", 0)).await;
    for way in ways.iter().filter(|way| way.carries() > 0) {
        way.suffer(Trouble { mute: true, deaf: true, ..Trouble::default() });
    }
    let after = async { while hub.append(vec![draft("tea", "after", 0)]).await.is_err() {} };
    tokio::time::timeout(Duration::from_secs(20), after).await.expect("it takes no other");
    ear.until("it is heard", |ear| ear.ids() == ["before", "after"]).await;
}

/// NATS 2.12 took what several hubs asked for at once for one, if it was the same, and after a restart had another time at which
/// the stream was made: to all readers that was another life of the log.
#[tokio::test]
async fn no_two_hubs_ask_for_the_same_stream_when_they_make_one() {
    let nats = Nats::start();
    let client = async_nats::connect(nats.url()).await.unwrap();
    let client = async_nats::jetstream::new(client);
    let mut lives = BTreeSet::new();
    for name in ["one", "other"] {
        let _hub = hub(&nats, name, Retention::default()).await;
        for stream in [name.to_owned(), format!("{name}-kept")] {
            let stream = client.get_stream(stream).await.unwrap();
            lives.insert(stream.cached_info().config.metadata["hubbub.life"].clone());
        }
    }
    assert_eq!(lives.len(), 4);
}

#[tokio::test]
async fn whoever_reads_all_rooms_is_told_that_the_stream_let_go_of_too_much_in_one() {
    let nats = Nats::start();
    let retention = Retention { room_messages: 10, room_ids: 20, ..Retention::default() };
    let hub = hub(&nats, "one", retention).await;
    append(&hub, draft("coffee", "stays", 0)).await;
    let mut last = Offset(0);
    for n in 0..20 {
        last = append(&hub, draft("tea", &n.to_string(), 0)).await;
    }
    let floor = async || {
        hub.tidy(0).await.unwrap();
        hub.read_all(0, Offset(0), 100, usize::MAX).await.unwrap().floor
    };
    page(&hub, last).await;
    assert_eq!(floor().await, Offset(0), "all of it is there");
    for n in 20..25 {
        last = append(&hub, draft("tea", &n.to_string(), 0)).await;
    }
    page(&hub, last).await;
    assert_eq!(floor().await, Offset(last.0 - 20), "five are not");
}
