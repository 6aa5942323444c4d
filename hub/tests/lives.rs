//! A log that begins another life under a running hub, and a herd that reads the same of it.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use common::{After, Offset, Position, Recovery, RoomName};
use futures_util::FutureExt;
use hub::{
    Burst, Draft, Hub, Limits, Outlet, Pushed, Record,
    broker::{
        Appended, BoxFuture, Broker, BrokerError, Follower, Heard, Keep, KeptRoom, Opened, Page,
        Read, Retention, memory::MemoryBroker,
    },
};
use parking_lot::Mutex;
use support::*;
use tokio::sync::RwLock;

/// A log that can be put away for an empty one, as a replicated engine's stream can be made anew. It counts how
/// often it is read.
#[derive(Debug)]
struct Renewed {
    now: Mutex<Arc<MemoryBroker>>,
    followers: Mutex<Vec<(RoomName, Following)>>,
    reads: AtomicUsize,
    /// Whoever writes here holds back the answers to all who read.
    answers: RwLock<()>,
}

struct Following(Follower);

impl std::fmt::Debug for Following {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Following")
    }
}

impl Renewed {
    fn new() -> Arc<Self> {
        let memory = Arc::new(MemoryBroker::new(Retention::default()));
        Arc::new(Self {
            now: Mutex::new(memory),
            followers: Mutex::default(),
            reads: AtomicUsize::default(),
            answers: RwLock::default(),
        })
    }

    fn now(&self) -> Arc<MemoryBroker> {
        self.now.lock().clone()
    }

    async fn renew(&self) {
        let other = Arc::new(MemoryBroker::new(Retention::default()));
        *self.now.lock() = other.clone();
        let followers: Vec<_> = self
            .followers
            .lock()
            .iter()
            .map(|(room, follower)| (room.clone(), follower.0.clone()))
            .collect();
        for (room, follower) in followers {
            let opened = other.open(&room, follower.clone()).await.unwrap();
            follower(Heard::Epoch(opened.position));
            std::mem::forget(opened.following);
        }
    }
}

impl Broker for Renewed {
    fn open(
        &self,
        room: &RoomName,
        follower: Follower,
    ) -> BoxFuture<'_, Result<Opened, BrokerError>> {
        self.followers.lock().push((room.clone(), Following(follower.clone())));
        let (now, room) = (self.now(), room.clone());
        Box::pin(async move { now.open(&room, follower).await })
    }

    fn append(&self, drafts: Vec<Draft>) -> BoxFuture<'_, Result<Appended, BrokerError>> {
        let now = self.now();
        Box::pin(async move { now.append(drafts).await })
    }

    fn read(&self, room: &RoomName, read: Read) -> BoxFuture<'_, Result<Page, BrokerError>> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let (now, room) = (self.now(), room.clone());
        Box::pin(async move {
            let page = now.read(&room, read).await;
            // Slow enough for others to ask meanwhile.
            tokio::task::yield_now().await;
            let _may_answer = self.answers.read().await;
            page
        })
    }

    fn rooms(&self, limit: usize) -> BoxFuture<'_, Result<Vec<KeptRoom>, BrokerError>> {
        let now = self.now();
        Box::pin(async move { now.rooms(limit).await })
    }

    fn read_all(
        &self,
        shard: usize,
        after: Offset,
        records: usize,
        bytes: usize,
    ) -> BoxFuture<'_, Result<Page, BrokerError>> {
        let now = self.now();
        Box::pin(async move { now.read_all(shard, after, records, bytes).await })
    }

    fn let_go(&self, room: &RoomName, keep: Keep) -> BoxFuture<'_, Result<Offset, BrokerError>> {
        let (now, room) = (self.now(), room.clone());
        Box::pin(async move { now.let_go(&room, keep).await })
    }

    fn keep(&self, key: &str, value: Option<&str>) -> BoxFuture<'_, Result<(), BrokerError>> {
        let (now, key, value) = (self.now(), key.to_owned(), value.map(str::to_owned));
        Box::pin(async move { now.keep(&key, value.as_deref()).await })
    }

    fn kept(&self) -> BoxFuture<'_, Result<Vec<(String, String)>, BrokerError>> {
        let now = self.now();
        Box::pin(async move { now.kept().await })
    }

    fn check(&self) -> BoxFuture<'_, Result<(), BrokerError>> {
        let now = self.now();
        Box::pin(async move { now.check().await })
    }

    fn tidy(&self, at: u64) -> BoxFuture<'_, Result<u64, BrokerError>> {
        let now = self.now();
        Box::pin(async move { now.tidy(at).await })
    }
}

/// Remembers what is pushed to it.
#[derive(Default)]
struct Pushes(Mutex<Vec<Position>>);

impl Outlet for Pushes {
    fn push(&self, burst: &Burst<'_>) -> Pushed {
        let position =
            |record: &Arc<Record>| Position { epoch: burst.epoch.clone(), offset: record.offset };
        self.0.lock().extend(burst.records.iter().map(position));
        Pushed::All
    }
}

#[tokio::test]
async fn what_is_of_one_life_is_not_pushed_to_who_reads_another() {
    let log = Renewed::new();
    let hub = Hub::new(log.clone(), Limits::default());
    // So many that a pass lets others in several times before it comes to the last.
    let mut crowd = Vec::new();
    for _ in 0..1_000 {
        crowd.push(reader(&hub, "eve", &After::Now).await);
    }
    let pushes = Arc::new(Pushes::default());
    let mut ada = reader(&hub, "ada", &After::Now).await.pushing_to(pushes.clone());
    say(&hub, "bob", "first").await;
    assert_eq!(texts(&mut ada).await, ["first"]);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    say(&hub, "bob", "before").await;
    // The pass has begun.
    tokio::task::yield_now().await;
    log.renew().await;
    let told = ada.next().await.unwrap().reset.expect("the gap is told");
    assert!(is_quiet(&mut ada).await);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(*pushes.0.lock(), []);
    let after = say(&hub, "bob", "after").await.position;
    let mut read = Vec::new();
    while read.is_empty() && pushes.0.lock().is_empty() {
        tokio::task::yield_now().await;
        if let Some(delivery) = ada.next().now_or_never() {
            read.extend(messages(&delivery.unwrap()));
        }
    }
    let mut all: Vec<_> = read.iter().map(|message| message.offset).collect();
    all.extend(pushes.0.lock().iter().map(|position| position.offset));
    assert_eq!((all, after.epoch), (vec![after.offset], told.epoch));
}

#[tokio::test]
async fn readers_of_a_log_that_begins_another_life_are_told_before_anything_of_it() {
    let log = Renewed::new();
    let hub = Hub::new(log.clone(), Limits::default());
    let mut ada = reader(&hub, "ada", &After::Now).await;
    say(&hub, "bob", "before").await;
    assert_eq!(texts(&mut ada).await, ["before"]);
    let before = ada.position().clone();

    log.renew().await;
    say(&hub, "bob", "after").await;
    let mut delivery = ada.next().await.unwrap();
    let told = delivery.reset.clone().expect("the gap is told");
    assert_ne!(told.epoch, before.epoch);
    assert_eq!(told.offset, Offset(0));
    if delivery.records.is_empty() {
        delivery = ada.next().await.unwrap();
    }
    let values: Vec<_> = messages(&delivery).into_iter().map(|message| message.value).collect();
    assert_eq!(values, ["after"]);
    assert_eq!(ada.position().epoch, told.epoch);

    let after = After::Position(before);
    let (mut late, recovery) = hub.read(&room("tea"), who("cy"), &after).await.unwrap();
    assert_eq!(recovery, Recovery::Reset);
    assert_eq!(texts(&mut late).await, ["after"]);
}

#[tokio::test]
async fn a_herd_that_comes_back_reads_each_page_once() {
    let log = Renewed::new();
    let before = Hub::new(log.clone(), Limits::default());
    let start = say(&before, "bob", "first").await.position;
    for n in 0..600 {
        say(&before, "bob", &n.to_string()).await;
    }
    // A restart: nothing of it is in memory.
    let hub = Hub::new(log.clone(), Limits::default());
    say(&hub, "bob", "last").await;
    log.reads.store(0, Ordering::Relaxed);
    let mut herd = tokio::task::JoinSet::new();
    for n in 0..100 {
        let (hub, start) = (hub.clone(), After::Position(start.clone()));
        herd.spawn(async move {
            let mut reader = reader(&hub, &format!("r{n}"), &start).await;
            let mut read = Vec::new();
            while read.len() < 601 {
                read.extend(reader.next().await.unwrap().records);
            }
            read
        });
    }
    let read = herd.join_all().await;
    for one in &read {
        assert!(one.iter().zip(&read[0]).all(|(a, b)| Arc::ptr_eq(a, b)), "they share the records");
    }
    assert_eq!(log.reads.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn a_page_that_was_not_full_is_read_again_when_there_is_more() {
    let log = Renewed::new();
    let hub = Hub::new(log.clone(), Limits { tail_messages: 1, ..Limits::default() });
    let oldest: Position = say(&hub, "bob", "0").await.position;
    for n in 1..4 {
        say(&hub, "bob", &n.to_string()).await;
        let mut ada = reader(&hub, "ada", &After::Position(oldest.clone())).await;
        let mut read = Vec::new();
        while read.len() < n {
            read.extend(texts(&mut ada).await);
        }
        assert_eq!(read, (1..=n).map(|n| n.to_string()).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_page_that_another_has_been_waiting_for_does_not_hide_what_was_said_meanwhile() {
    let log = Renewed::new();
    let hub = Hub::new(log.clone(), Limits { tail_messages: 1, ..Limits::default() });
    let start = say(&hub, "bob", "0").await.position;
    for text in ["1", "2"] {
        say(&hub, "bob", text).await;
    }
    let held_back = log.answers.write().await;
    let mut herd = tokio::task::JoinSet::new();
    for n in 3..=6 {
        let (its_hub, start) = (hub.clone(), After::Position(start.clone()));
        herd.spawn(async move {
            let mut reader = reader(&its_hub, "ada", &start).await;
            let mut read = Vec::new();
            while read.len() < 5 {
                read.extend(texts(&mut reader).await);
            }
            read
        });
        tokio::task::yield_now().await;
        if n < 6 {
            say(&hub, "bob", &n.to_string()).await;
        }
    }
    drop(held_back);
    for read in herd.join_all().await {
        assert_eq!(read, ["1", "2", "3", "4", "5"]);
    }
}

#[tokio::test]
async fn a_position_of_another_life_says_nothing_about_this_one() {
    let hub = hub();
    for n in 0..4 {
        say(&hub, "bob", &n.to_string()).await;
    }
    // Its offset is one that this log has as well.
    let other = After::Position("elsewhere:3".parse().unwrap());
    let (mut ada, recovery) = hub.read(&room("tea"), who("ada"), &other).await.unwrap();
    assert_eq!((recovery, ada.position().offset), (Recovery::Reset, Offset(0)));
    assert_eq!(texts(&mut ada).await, ["0", "1", "2", "3"]);
}

#[tokio::test]
async fn a_look_reads_no_more_pages_than_it_needs() {
    let log = Renewed::new();
    let hub = Hub::new(log.clone(), Limits::default());
    let long = "x".repeat(16_000);
    for _ in 0..20 {
        say(&hub, "bob", &long).await;
    }
    for limit in [2, 20, 30] {
        log.reads.store(0, Ordering::Relaxed);
        hub.latest(&room("tea"), &who("ada"), None, limit).await.unwrap();
        // Enough of them, or enough bytes.
        assert_eq!(log.reads.load(Ordering::Relaxed), 1, "{limit}");
    }
    log.reads.store(0, Ordering::Relaxed);
    hub.latest(&room("empty"), &who("ada"), None, 2).await.unwrap();
    assert_eq!(log.reads.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_reader_that_has_caught_up_does_not_ask_the_broker_again() {
    let log = Renewed::new();
    let before = Hub::new(log.clone(), Limits::default());
    say(&before, "bob", "hi").await;
    let publish = common::Publish::text("elsewhere").unwrap();
    let last = before.publish(&room("coffee"), &who("bob"), publish, 0).await.unwrap().position;
    // A restart: the room is followed from the last number of all rooms.
    let hub = Hub::new(log.clone(), Limits::default());
    let mut ada = reader(&hub, "ada", &After::Oldest).await;
    assert_eq!(texts(&mut ada).await, ["hi"]);
    assert_eq!(*ada.position(), last);
    let reads = log.reads.load(Ordering::Relaxed);
    assert!(ada.ready().await.unwrap().is_empty());
    assert_eq!(log.reads.load(Ordering::Relaxed), reads);
}
