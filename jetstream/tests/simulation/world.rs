//! Hubs on a simulated NATS, those who use them, and what happens to all of them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use common::{Epoch, Offset, RoomName};
use fastrand::Rng;
use futures_util::future::join_all;
use hub::{
    Hub, Limits,
    broker::{Broker, Keep, LEASE, Part, Read, Retention},
    histories::Happened,
};
use jetstream::{
    JetStreamBroker,
    simulated::{Cut, Faults, SimulatedNats, Snapshot},
};
use parking_lot::Mutex;
use tokio::{
    sync::watch,
    task::{AbortHandle, JoinHandle},
    time::{Instant, sleep, timeout},
};

use super::{
    people::{Listener, Speaker, Teller},
    truth::Truth,
};

const HUBS: usize = 3;
const STEPS: usize = 60;
/// When a history begins, on everybody's clock.
const BEGIN: u64 = 1_795_424_700_000;
const HOUR: u64 = 60 * 60 * 1_000;
/// How long an id is known to the servers, whatever became of its message.
const WINDOW: Duration = Duration::from_secs(120);
/// By then everything is well where nothing goes wrong any more.
const SETTLED: Duration = Duration::from_secs(120);

/// A hub that is up.
pub struct Node {
    pub hub: Arc<Hub>,
    pub broker: Arc<JetStreamBroker>,
    /// By which the simulation knows it.
    place: usize,
    /// How far its clock is ahead, in milliseconds.
    ahead: i64,
    began: Instant,
    /// What it was told is kept beside messages.
    told: Arc<Mutex<BTreeMap<String, String>>>,
    work: Vec<AbortHandle>,
    died: watch::Sender<bool>,
}

impl Node {
    /// The time at this hub, in milliseconds since 1970.
    pub fn now_ms(&self) -> u64 {
        (BEGIN + self.began.elapsed().as_millis() as u64).saturating_add_signed(self.ahead)
    }

    /// Done when it has died.
    pub async fn dies(&self) {
        // It is told before it is dropped.
        let _ = self.died.subscribe().wait_for(|died| *died).await;
    }

    fn die(&self) {
        self.died.send_replace(true);
        self.work.iter().for_each(AbortHandle::abort);
    }
}

/// What all of them share.
pub struct Shared {
    pub nats: SimulatedNats,
    pub truth: Truth,
    pub nodes: Mutex<Vec<Arc<Node>>>,
    pub retention: Retention,
    /// Whether nothing is let go of.
    pub keeps_all: bool,
    /// Where each room ends, once nothing more is said.
    pub ends: watch::Sender<Option<BTreeMap<RoomName, Offset>>>,
    began: Instant,
    /// Who has the lease, and until when that may be relied on.
    leased: Mutex<Option<(usize, Instant)>>,
}

pub struct World {
    shared: Arc<Shared>,
    rng: Rng,
    copy: Option<Vec<Snapshot>>,
    /// Whether the log is put back, or made anew, in this history.
    has_lives: bool,
    was_put_back: bool,
    speakers: Vec<JoinHandle<()>>,
    listeners: Vec<JoinHandle<()>>,
}

pub fn rooms() -> [RoomName; 2] {
    ["tea", "coffee"].map(|name| RoomName::parse(name).unwrap())
}

impl World {
    pub async fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let on_the_way = Faults::on_the_way(&mut rng);
        let faults = Faults {
            busy: if rng.bool() { rng.u16(..300) } else { 0 },
            ignorant: [0, 5_000][rng.usize(..2)],
            ..on_the_way
        };
        let nats = SimulatedNats::new(rng.fork(), faults, BEGIN);
        let keeps_all = rng.bool();
        let mut retention = Retention::default();
        if !keeps_all {
            retention.room_messages = rng.usize(5..40);
            // As by default, there are more, so that some of what is let go of stays in the stream.
            retention.room_ids = [4 * retention.room_messages, 1_000][rng.usize(..2)];
            // Longer than clocks differ: by their clocks hubs know how old an id is.
            retention.ids = Duration::from_secs(24 * 60 * 60);
            retention.age = [retention.age, Duration::from_secs(60 * 60)][rng.usize(..2)];
        }
        let shared = Arc::new(Shared {
            truth: Truth::new(nats.clone(), faults.ignorant == 0, keeps_all),
            nats,
            nodes: Mutex::default(),
            retention,
            keeps_all,
            ends: watch::Sender::new(None),
            began: Instant::now(),
            leased: Mutex::default(),
        });
        let (speakers, listeners) = (Vec::new(), Vec::new());
        let has_lives = seed.is_multiple_of(3);
        Self { shared, rng, copy: None, has_lives, was_put_back: false, speakers, listeners }
    }

    pub async fn live(mut self) -> Happened {
        for _ in 0..HUBS {
            self.start_hub().await;
        }
        for n in 0..3 {
            let speaker = Speaker::new(n, self.shared.clone(), self.rng.fork());
            self.speakers.push(tokio::spawn(speaker.live()));
        }
        for n in 0..4 {
            let listener = Listener::new(n, self.shared.clone(), self.rng.fork());
            self.listeners.push(tokio::spawn(listener.live()));
        }
        let teller = Teller::new(self.shared.clone(), self.rng.fork());
        self.listeners.push(tokio::spawn(teller.live()));
        for _ in 0..STEPS {
            self.something_happens().await;
            let pause = if self.rng.u8(..50) == 0 { 70_000 } else { 2_000 };
            sleep(Duration::from_millis(self.rng.u64(..pause))).await;
        }
        self.heal().await;
        self.check_the_end().await;
        let mut happened = self.shared.truth.happened();
        happened.extend(self.shared.nats.happened());
        happened
    }

    async fn something_happens(&mut self) {
        let nats = self.shared.nats.clone();
        let server = self.rng.usize(..3);
        let place = self.any().place;
        match self.rng.u8(..100) {
            0..8 => nats.kill(server),
            8..24 => nats.start(server),
            24..30 => nats.change_leader(),
            30..33 => nats.stop_leader(Duration::from_millis(self.rng.u64(..9_000))),
            33..43 => {
                let cuts = [Cut::Up, Cut::Down, Cut::Silent, Cut::Known];
                nats.cut(place, cuts[self.rng.usize(..cuts.len())]);
            }
            43..58 => nats.join(place),
            58..62 => nats.slow_down(place),
            62..68 => nats.hurry(place),
            68..74 => self.kill_hub(),
            74..84 => self.start_hub().await,
            84..87 => self.let_go(),
            87..92 => self.tidy(),
            92..94 if self.has_lives && !self.was_put_back => self.copy = Some(nats.copy()),
            94..96 if self.has_lives => {
                // Once in a history.
                if let Some(copy) = self.copy.take() {
                    self.was_put_back = true;
                    self.shared.truth.loses(true, || nats.put_back(copy));
                }
            }
            96 if self.has_lives => {
                self.shared.truth.loses(false, || nats.make_anew());
            }
            _ => {}
        }
    }

    fn any(&mut self) -> Arc<Node> {
        self.shared.any(&mut self.rng)
    }

    /// One of the hubs dies, unless it is the last.
    fn kill_hub(&mut self) {
        let mut nodes = self.shared.nodes.lock();
        if nodes.len() > 1 {
            let at = self.rng.usize(..nodes.len());
            nodes.swap_remove(at).die();
            self.shared.truth.happens("hubs killed");
        }
    }

    async fn start_hub(&mut self) {
        if self.shared.nodes.lock().len() == HUBS {
            return;
        }
        let (place, broker) = loop {
            match self.shared.nats.hub(self.shared.retention.clone(), WINDOW).await {
                Ok(hub) => break hub,
                // Nobody may lead now, and nobody is started meanwhile.
                Err(_) => self.shared.nats.start(self.rng.usize(..3)),
            }
        };
        let broker = Arc::new(broker);
        let mut limits = Limits { tail_messages: self.rng.usize(1..40), ..Limits::default() };
        limits.tails_bytes = [0, 2_000, limits.tails_bytes][self.rng.usize(..3)];
        let hub = Hub::among(Some(broker.peers()), broker.clone(), limits);
        // Some are right, some minutes or hours ahead or behind.
        let most = [0, HOUR / 10, 5 * HOUR][self.rng.usize(..3)] as i64;
        let ahead = self.rng.i64(-most..=most);
        let (told, (died, _)) = (Arc::default(), watch::channel(false));
        let mut node =
            Node { hub, broker, place, ahead, began: self.shared.began, told, work: vec![], died };
        node.work = self.shared.work_at(&node);
        self.shared.nodes.lock().push(Arc::new(node));
    }

    fn let_go(&mut self) {
        if self.shared.keeps_all {
            return;
        }
        let (node, shared) = (self.any(), self.shared.clone());
        let room = rooms()[self.rng.usize(..2)].clone();
        let keep = Keep { messages: self.rng.usize(..10), since: 0 };
        tokio::spawn(async move {
            if let Ok(Offset(1..)) = node.broker.let_go(&room, keep).await {
                shared.truth.happens("rooms cleared");
            }
        });
    }

    fn tidy(&mut self) {
        let node = self.any();
        tokio::spawn(async move {
            // It may be that nobody answers.
            let _ = node.hub.tidy(node.now_ms()).await;
        });
    }

    /// Everything is well from now on.
    async fn heal(&mut self) {
        self.shared.nats.heal();
        while self.shared.nodes.lock().len() < HUBS {
            self.start_hub().await;
        }
        let said = timeout(10 * SETTLED, join_all(self.speakers.drain(..))).await;
        let said = said.expect("invariant 2: somebody can't say what is to be said");
        said.into_iter().for_each(|said| said.expect("a speaker failed"));
        // A log that was put back is seen to be.
        sleep(Duration::from_secs(30)).await;
        let mut ends = BTreeMap::new();
        for room in rooms() {
            let node = self.any();
            let draft = hub::contract::draft(room.as_str(), "end", BEGIN);
            let appended = node.broker.append(vec![draft]).await.expect("nothing is wrong");
            ends.insert(room, appended.offsets[0]);
        }
        self.shared.ends.send_replace(Some(ends));
        let read = timeout(SETTLED, join_all(self.listeners.drain(..))).await;
        let read = read.expect("invariant 2: somebody does not get what was said");
        read.into_iter().for_each(|read| read.expect("a listener failed"));
    }

    /// All hubs, and one that has just come, have the same; what was acknowledged is there.
    async fn check_the_end(&mut self) {
        let mut nodes = self.shared.nodes.lock().clone();
        sleep(Duration::from_secs(10)).await;
        self.shared.nodes.lock().pop();
        self.start_hub().await;
        nodes.extend(self.shared.nodes.lock().last().cloned());
        for room in rooms() {
            let mut first: Option<Vec<_>> = None;
            for node in &nodes {
                let part = Part::After(Offset(0));
                let read =
                    Read { part, records: usize::MAX, bytes: usize::MAX, at_least: Offset(0) };
                let page = node.broker.read(&room, read).await.expect("nothing is wrong");
                assert_eq!(page.epoch, self.shared.nats.epoch());
                self.shared.truth.check_page(&room, &page, self.shared.keeps_all);
                let said = page.records.iter();
                let said: Vec<_> =
                    said.map(|record| (record.offset, record.params().to_owned())).collect();
                if self.shared.keeps_all && !self.shared.truth.is_twofold(&page.epoch) {
                    let first = first.get_or_insert_with(|| said.clone());
                    assert_eq!(said, *first, "hubs make something else of the same: {room}");
                }
            }
        }
        self.shared.truth.check_lives(self.has_lives);
        self.shared.truth.check_failures();
        let kept: BTreeMap<_, _> =
            nodes[0].broker.kept().await.expect("nothing is wrong").into_iter().collect();
        for node in &nodes {
            assert_eq!(*node.told.lock(), kept, "what is kept is told to every hub");
        }
    }
}

impl Shared {
    pub fn any(&self, rng: &mut Rng) -> Arc<Node> {
        let nodes = self.nodes.lock();
        nodes[rng.usize(..nodes.len())].clone()
    }

    /// What a hub does by itself.
    fn work_at(self: &Arc<Self>, node: &Node) -> Vec<AbortHandle> {
        let (hub, shared) = (node.hub.clone(), self.clone());
        let (began, ahead) = (self.began, node.ahead);
        let sweeping = tokio::spawn(async move {
            loop {
                sleep(Duration::from_secs(1)).await;
                let at = BEGIN + began.elapsed().as_millis() as u64;
                hub.sweep(Instant::now().into_std(), at.saturating_add_signed(ahead));
            }
        });
        let (broker, place) = (node.broker.clone(), node.place);
        let leasing = tokio::spawn(async move {
            loop {
                let asked = Instant::now();
                if let Ok(true) = broker.lease("webhook").await {
                    shared.lease(place, asked);
                }
                sleep(Duration::from_secs(2)).await;
            }
        });
        let (broker, told) = (node.broker.clone(), node.told.clone());
        let watching = tokio::spawn(async move {
            let watcher = Arc::new(move |key: &str, value: Option<&str>| {
                let mut told = told.lock();
                match value {
                    Some(value) => told.insert(key.to_owned(), value.to_owned()),
                    None => told.remove(key),
                };
            });
            while broker.watch_kept(watcher.clone()).await.is_err() {}
        });
        [sweeping, leasing, watching].iter().map(JoinHandle::abort_handle).collect()
    }

    /// A hub has the lease, for it was asked for then.
    fn lease(&self, place: usize, asked: Instant) {
        let mut leased = self.leased.lock();
        if let Some((other, until)) = *leased
            && other != place
        {
            let is_up = self.nodes.lock().iter().any(|node| node.place == other);
            // Also who has a lease is put back with the log.
            let is_one = !is_up || self.truth.was_put_back() || until <= Instant::now();
            if !is_one {
                // Nobody waits for this task: it is told at the end.
                self.truth.fails(format!("{place} and {other} have one lease"));
            }
        }
        *leased = Some((place, asked + LEASE));
        self.truth.happens("leases");
    }

    /// The life of the log that it is in.
    pub fn epoch(&self) -> Epoch {
        self.nats.epoch()
    }
}
