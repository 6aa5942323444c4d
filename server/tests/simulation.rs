//! Invariants 1 to 7 on thousands of made-up histories: real hub, real readers, the page's real state
//! machine and outbox; only the network, the clock and people's patience are simulated.
//!
//! Frames are delayed, lost with their connection, doubled, and arrive from connections that were given
//! up; servers restart, the log fails before and after it has kept something, pages reload. Nothing
//! sleeps and nothing is random but by seed: a history that fails names its number, and
//! `HUBBUB_SEED=n cargo test -p server --test simulation` plays that one again.
//! `HUBBUB_HISTORIES` is how many there are; 2 000 unless told.
#![allow(missing_docs, clippy::unwrap_used)]

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::Arc,
};

use app::client::{
    connection::{Action, Connection, Input, Phase},
    timeline::{Row, Status, Timeline},
};
use common::{
    After, Audience, Bye, ClientFrame, ErrorCode, Hello, Member, MemberId, MemberName, Message,
    MessageId, Offset, Position, Publish, Recovery, Refusal, RoomName, ServerFrame, SessionId,
};
use fastrand::Rng;
use futures_util::FutureExt;
use hub::{
    Author, Hub, Limits, Reader, Viewer,
    broker::{
        BoxFuture, Broker, BrokerError, Follower, KeptRoom, Page as Part_, Part, Record, Retention,
        memory::MemoryBroker,
    },
};
use parking_lot::Mutex;

const PAGES: usize = 4;
const STEPS: usize = 250;

/// A log in memory that writes down the truth, and fails now and then: before it has kept something,
/// or after, when nobody can know.
#[derive(Debug)]
struct Log {
    memory: MemoryBroker,
    truth: Arc<Mutex<Vec<Record>>>,
    luck: Mutex<(Rng, bool)>,
}

impl Broker for Log {
    fn epoch(&self) -> common::Epoch {
        self.memory.epoch()
    }

    fn head(&self) -> Offset {
        self.memory.head()
    }

    fn follow(&self, follower: Follower) {
        let truth = self.truth.clone();
        self.memory.follow(Box::new(move |records| {
            truth.lock().extend_from_slice(records);
            follower(records);
        }));
    }

    fn append(&self, records: Vec<Record>) -> BoxFuture<'_, Result<Vec<Offset>, BrokerError>> {
        let error = || Err(BrokerError::Unavailable("bad luck".to_owned()));
        let (rng, fails) = &mut *self.luck.lock();
        match rng.u8(..) {
            0..3 if *fails => Box::pin(async move { error() }),
            3..6 if *fails => {
                let kept = self.memory.append(records);
                Box::pin(async move { kept.await.and_then(|_| error()) })
            }
            _ => self.memory.append(records),
        }
    }

    fn read(
        &self,
        room: &RoomName,
        part: Part,
        limit: usize,
    ) -> BoxFuture<'_, Result<Part_, BrokerError>> {
        self.memory.read(room, part, limit)
    }

    fn rooms(&self, limit: usize) -> BoxFuture<'_, Result<Vec<KeptRoom>, BrokerError>> {
        self.memory.rooms(limit)
    }

    fn tidy(&self, at: u64) -> BoxFuture<'_, Result<(), BrokerError>> {
        self.memory.tidy(at)
    }
}

/// One connection, with both its ends and what is on the way between them.
struct Leg {
    page: usize,
    after: After,
    /// Frames to the server, with the time of arrival.
    up: VecDeque<(f64, String)>,
    /// Frames to the page; `None` is the close.
    down: VecDeque<(f64, Option<String>)>,
    /// When the request to connect arrives.
    arrives: f64,
    reader: Option<Reader>,
    /// The server knows no more of it.
    over: bool,
}

impl Leg {
    fn is_done(&self) -> bool {
        self.over && self.up.is_empty() && self.down.is_empty()
    }
}

/// A browser's tab.
struct Tab {
    author: Author,
    machine: Connection,
    timeline: Timeline,
    leg: Option<usize>,
    /// Everything up to here was read, or told to be missing.
    cursor: Position,
    said: Vec<MessageId>,
    /// Those that were refused, and may have been overtaken.
    overtaken: HashSet<MessageId>,
    acked: HashMap<MessageId, Offset>,
}

impl Tab {
    fn viewer(&self) -> Viewer {
        Viewer { session: Some(self.author.session.clone()), member: self.author.member.id.clone() }
    }

    /// Whether this tab may read a record: written down apart from the hub's own rule.
    fn may_read(&self, record: &Record) -> bool {
        let session = &self.author.session;
        match &record.message.to {
            Audience::All => true,
            Audience::Others => record.session != *session,
            Audience::Own => record.session == *session,
            Audience::Only(ids) => {
                ids.contains(&session.to_string())
                    || ids.contains(&self.author.member.id.to_string())
            }
        }
    }
}

struct World {
    rng: Rng,
    now: f64,
    log: Arc<Log>,
    hub: Arc<Hub>,
    limits: Limits,
    up: bool,
    tabs: Vec<Tab>,
    legs: Vec<Leg>,
    /// The bytes of each message as they were first seen.
    bytes: BTreeMap<Offset, String>,
    /// From now on the network, the log and the server are well.
    healed: bool,
}

fn room() -> RoomName {
    RoomName::parse("tea").unwrap()
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let limits = Limits { tail_messages: rng.usize(1..20), ..Limits::default() };
        // In every other history little is kept, so that readers come back too late.
        let kept = if rng.bool() { 10_000 } else { rng.usize(5..40) };
        let log = Arc::new(Log {
            memory: MemoryBroker::new(Retention { room_messages: kept, ..Retention::default() }),
            truth: Arc::default(),
            luck: Mutex::new((rng.fork(), true)),
        });
        let hub = Hub::new(log.clone(), limits.clone());
        let start = Position { epoch: log.epoch(), offset: Offset(0) };
        let tabs = (0..PAGES).map(|n| Tab {
            author: Author {
                session: SessionId::parse(&format!("tab{n}")).unwrap(),
                // The last two are tabs of one person.
                member: Member {
                    id: MemberId::parse(["ada", "bob", "eve", "eve"][n]).unwrap(),
                    name: MemberName::parse("x").unwrap(),
                },
            },
            machine: Connection::default(),
            timeline: Timeline::new(Vec::new(), start.clone()),
            leg: None,
            cursor: start.clone(),
            said: Vec::new(),
            overtaken: HashSet::new(),
            acked: HashMap::new(),
        });
        let tabs = tabs.collect();
        let (legs, bytes) = (Vec::new(), BTreeMap::new());
        Self { rng, now: 0.0, log, hub, limits, up: true, tabs, legs, bytes, healed: false }
    }

    fn chance(&mut self, percent: u8) -> bool {
        !self.healed && self.rng.u8(..100) < percent
    }

    fn delay(&mut self) -> f64 {
        match self.chance(3) {
            true => self.rng.f64() * 40_000.0,
            false => self.rng.f64() * 300.0,
        }
    }

    fn live(mut self) {
        for tab in 0..PAGES {
            self.step_machine(tab, Input::Start);
        }
        for _ in 0..STEPS {
            self.something_happens();
            let pause = if self.chance(2) { 30_000.0 } else { 500.0 };
            let pause = self.rng.f64() * pause;
            self.pass(pause);
        }
        self.healed = true;
        self.up = true;
        self.log.luck.lock().1 = false;
        // Long enough to notice a connection that died in silence, and for the longest outbox.
        for round in 0..100 {
            let unsent = self.tabs.iter().any(|tab| !tab.timeline.outbox().is_empty());
            if round > 15 && !unsent {
                break;
            }
            for tab in 0..PAGES {
                self.retry_refused(tab);
            }
            self.pass(10_000.0);
        }
        self.pass(10_000.0);
        self.check_the_end();
    }

    fn something_happens(&mut self) {
        let tab = self.rng.usize(..PAGES);
        match self.rng.u8(..100) {
            0..50 => self.say(tab),
            50..60 => self.retry_refused(tab),
            60..68 => self.cut(tab),
            68..71 => self.reload(tab),
            71..74 => self.step_machine(tab, Input::Wake),
            74..76 => self.restart(),
            76..78 => self.stop_calmly(),
            78..80 => self.hub.tidy(self.now as u64).now_or_never().unwrap().unwrap(),
            82 => self.burst(),
            80..82 => self.hub.sweep(std::time::Instant::now(), self.now as u64 + 3_600_000),
            _ => {}
        }
    }

    /// Time passes, and whatever is due in it happens.
    fn pass(&mut self, ms: f64) {
        let (until, step) = (self.now + ms, (ms / 10.0).max(250.0));
        while self.now < until {
            self.now = (self.now + step).min(until);
            for leg in 0..self.legs.len() {
                if !self.legs[leg].is_done() {
                    self.serve(leg);
                    self.receive(leg);
                }
            }
            for tab in 0..PAGES {
                self.step_machine(tab, Input::Tick);
                self.tabs[tab].timeline.expire(self.now);
                self.pump(tab);
            }
        }
    }

    fn say(&mut self, n: usize) {
        let id = format!("{n}-{}", self.tabs[n].said.len());
        let to = match self.rng.u8(..6) {
            0 => Audience::Others,
            1 => Audience::Own,
            2 => Audience::Only(vec!["bob".to_owned(), "tab3".to_owned()]),
            _ => Audience::All,
        };
        let id = MessageId::parse(&id).unwrap();
        let publish = Publish { id: Some(id.clone()), to, ..Publish::text("hi").unwrap() };
        let (tab, now) = (&mut self.tabs[n], self.now as u64);
        tab.said.push(id);
        tab.timeline.say(publish, &tab.author.member, &room(), now);
        self.pump(n);
    }

    /// A program says much at once: more than is kept, more than the tail holds, or more than a reader
    /// takes at one time.
    fn burst(&mut self) {
        let messages = if self.rng.u8(..20) == 0 { 600 } else { self.rng.usize(5..60) };
        let author = Author {
            session: SessionId::parse("bot-run").unwrap(),
            member: Member {
                id: MemberId::parse("bot").unwrap(),
                name: MemberName::parse("bot").unwrap(),
            },
        };
        for _ in 0..messages {
            let (room, publish) = (room(), Publish::text("beep").unwrap());
            let _ = self.hub.publish(&room, &author, publish, self.now as u64).now_or_never();
        }
    }

    fn retry_refused(&mut self, n: usize) {
        let tab = &mut self.tabs[n];
        for row in tab.timeline.rows() {
            if let Row::Message { message, status: Status::Failed(_) | Status::Unknown, .. } = row {
                tab.timeline.retry(&message.id);
            }
        }
        self.pump(n);
    }

    /// The page's half, as `RoomClient` does it.
    fn pump(&mut self, n: usize) {
        let tab = &mut self.tabs[n];
        if !matches!(tab.machine.phase(), Phase::Open { .. }) {
            return;
        }
        let Some(publish) = tab.timeline.next_to_send(self.now) else { return };
        let (frame, leg) = (ClientFrame::Message(publish).encode(), tab.leg.unwrap());
        let at = self.now + self.delay();
        let up = &mut self.legs[leg].up;
        let at = up.back().map_or(at, |(last, _)| last.max(at));
        up.push_back((at, frame.clone()));
        if self.chance(5) {
            // A proxy that tries again; the second may come after something else.
            let late = at + self.delay() * 10.0;
            self.legs[leg].up.push_back((late, frame));
        }
    }

    fn step_machine(&mut self, n: usize, input: Input) {
        let random = self.rng.f64();
        match self.tabs[n].machine.step(input, self.now, random) {
            Action::None => {}
            Action::Abandon => self.hang_up(n),
            Action::Connect => {
                self.hang_up(n);
                let arrives = self.now + self.delay();
                self.tabs[n].leg = Some(self.legs.len());
                self.legs.push(Leg {
                    page: n,
                    after: self.tabs[n].timeline.after(),
                    up: VecDeque::new(),
                    down: VecDeque::new(),
                    arrives,
                    reader: None,
                    over: false,
                });
            }
        }
    }

    /// The page drops its connection. What is on its way up may arrive all the same.
    fn hang_up(&mut self, n: usize) {
        if let Some(leg) = self.tabs[n].leg.take() {
            let leg = &mut self.legs[leg];
            leg.down.clear();
            (leg.reader, leg.over) = (None, true);
        }
    }

    /// The connection breaks. What is on its way up may arrive all the same; the page may learn of it at
    /// once, or only from the silence.
    fn cut(&mut self, n: usize) {
        let Some(leg) = self.tabs[n].leg else { return };
        let (keep, tell) = (self.rng.bool(), self.rng.bool());
        let leg = &mut self.legs[leg];
        leg.down.clear();
        (leg.reader, leg.over) = (None, true);
        if !keep {
            leg.up.clear();
        }
        if tell {
            leg.down.push_back((self.now, None));
        }
    }

    /// The tab loads its page anew; what it could not say is kept by the browser.
    fn reload(&mut self, n: usize) {
        let (room, viewer) = (room(), self.tabs[n].viewer());
        let latest = self.hub.latest(&room, &viewer, None, 100).now_or_never().unwrap().unwrap();
        let truth = self.log.truth.lock();
        let tab = &mut self.tabs[n];
        for message in &latest.messages {
            let record = truth.iter().find(|record| record.message.id == message.id).unwrap();
            assert!(tab.may_read(record), "invariant 7: the page shows {message:?}");
            assert_eq!(record.message, *message, "invariant 6");
        }
        drop(truth);
        let outbox = tab.timeline.outbox();
        tab.timeline = Timeline::new(latest.messages, latest.position.clone());
        tab.timeline.restore(outbox);
        tab.cursor = latest.position;
        tab.machine = Connection::default();
        self.hang_up(n);
        self.step_machine(n, Input::Start);
    }

    /// The server dies and is back, or stays away for a while.
    fn restart(&mut self) {
        self.close_all(None);
        self.hub = Hub::new(self.log.clone(), self.limits.clone());
        self.up = self.rng.bool();
    }

    fn stop_calmly(&mut self) {
        let reconnect_in_ms = self.rng.u64(250..30_000);
        self.close_all(Some(reconnect_in_ms));
        self.hub = Hub::new(self.log.clone(), self.limits.clone());
        self.up = true;
    }

    fn close_all(&mut self, bye: Option<u64>) {
        for leg in self.legs.iter_mut().filter(|leg| !leg.over) {
            let at = leg.down.back().map_or(self.now, |(at, _)| at.max(self.now));
            let bye = bye.map(|reconnect_in_ms| {
                let reason = "the server is restarting".to_owned();
                ServerFrame::Bye(Bye { code: 1012, reason, reconnect_in_ms }).encode()
            });
            leg.down.extend(bye.map(|bye| (at, Some(bye))));
            leg.down.push_back((at, None));
            (leg.reader, leg.over) = (None, true);
            leg.up.clear();
        }
    }

    /// The server's half of a connection, as the transport does it.
    fn serve(&mut self, n: usize) {
        self.accept(n);
        while let Some((_, frame)) = self.legs[n].up.pop_front_if(|(at, _)| *at <= self.now) {
            if self.up {
                let answer = self.answer(n, &frame);
                self.send(n, answer);
            }
        }
        let Some(mut reader) = self.legs[n].reader.take() else { return };
        while let Some(delivery) = reader.next().now_or_never() {
            let delivery = delivery.unwrap();
            let bytes: usize = delivery.messages.iter().map(|message| message.frame.len()).sum();
            assert!(delivery.messages.len() <= 256 && bytes < 256 * 1024, "invariant 5");
            if let Some(position) = delivery.reset {
                let hello = self.hello(n, position, Recovery::Reset);
                self.send(n, hello);
            }
            for hub::Delivered { frame, .. } in delivery.messages {
                self.send_text(n, std::str::from_utf8(&frame).unwrap().to_owned());
            }
        }
        self.legs[n].reader = Some(reader);
    }

    fn accept(&mut self, n: usize) {
        let leg = &mut self.legs[n];
        if leg.over || leg.reader.is_some() || leg.arrives > self.now {
            return;
        }
        if !self.up {
            leg.over = true;
            leg.down.push_back((self.now, None));
            // Whoever looks after it starts it again.
            self.up = self.rng.u8(..4) == 0;
            return;
        }
        let (viewer, after) = (self.tabs[leg.page].viewer(), leg.after.clone());
        let read = self.hub.read(&room(), viewer, &after).now_or_never().unwrap();
        let (reader, recovery) = read.unwrap();
        let hello = self.hello(n, reader.position(), recovery);
        self.legs[n].reader = Some(reader);
        self.send(n, hello);
    }

    fn hello(&self, n: usize, position: Position, recovery: Recovery) -> ServerFrame {
        let Author { session, member } = self.tabs[self.legs[n].page].author.clone();
        ServerFrame::Hello(Hello { session, member, room: room(), position, recovery })
    }

    fn answer(&mut self, n: usize, frame: &str) -> ServerFrame {
        let Ok(ClientFrame::Message(publish)) = ClientFrame::parse(frame) else {
            panic!("{frame}")
        };
        let id = publish.id.clone().unwrap();
        let refuse = |code| ServerFrame::Error(Refusal::new(code, "no").about(Some(id.as_str())));
        if self.chance(3) {
            return refuse(ErrorCode::RateLimited);
        }
        let author = self.tabs[self.legs[n].page].author.clone();
        let (room, now) = (room(), self.now as u64);
        match self.hub.publish(&room, &author, publish, now).now_or_never().unwrap() {
            Ok(taken) => ServerFrame::Ack { id, offset: taken.position.offset },
            Err(_) => refuse(ErrorCode::Unavailable),
        }
    }

    fn send(&mut self, n: usize, frame: ServerFrame) {
        self.send_text(n, frame.encode());
    }

    fn send_text(&mut self, n: usize, frame: String) {
        if self.legs[n].over {
            return;
        }
        let at = self.now + self.delay();
        let down = &mut self.legs[n].down;
        let at = down.back().map_or(at, |(last, _)| last.max(at));
        down.push_back((at, Some(frame)));
    }

    /// What arrives at a page; a connection that it has given up is not heard.
    fn receive(&mut self, n: usize) {
        let page = self.legs[n].page;
        while let Some((_, frame)) = self.legs[n].down.pop_front_if(|(at, _)| *at <= self.now) {
            if self.tabs[page].leg != Some(n) {
                continue;
            }
            match frame {
                None => {
                    self.tabs[page].leg = None;
                    self.step_machine(page, Input::Closed);
                }
                Some(frame) => {
                    self.step_machine(page, Input::Heard);
                    self.take(page, &frame);
                }
            }
        }
    }

    fn take(&mut self, n: usize, text: &str) {
        match ServerFrame::parse(text).unwrap().unwrap() {
            ServerFrame::Hello(hello) => {
                let fresh = !matches!(self.tabs[n].machine.phase(), Phase::Open { .. });
                self.check_hello(n, &hello);
                let tab = &mut self.tabs[n];
                tab.timeline.hello(hello.position, hello.recovery);
                if fresh {
                    tab.timeline.reconnected();
                }
                self.step_machine(n, Input::Hello);
            }
            ServerFrame::Message(message) => {
                self.check_message(n, &message, text);
                self.tabs[n].timeline.receive(message);
            }
            ServerFrame::Ack { id, offset } => {
                self.tabs[n].acked.insert(id.clone(), offset);
                self.tabs[n].timeline.acked(&id, offset);
            }
            ServerFrame::Error(refusal) => {
                let (tab, now) = (&mut self.tabs[n], self.now);
                if refusal.code != ErrorCode::RateLimited {
                    tab.overtaken.insert(MessageId::parse(refusal.id.as_ref().unwrap()).unwrap());
                }
                tab.timeline.refused(&refusal, refusal.message.clone(), now);
            }
            ServerFrame::Bye(bye) => {
                let reconnect_in_ms = bye.reconnect_in_ms as f64;
                self.step_machine(n, Input::Bye { reconnect_in_ms });
            }
            ServerFrame::Members(_) | ServerFrame::Typing(_) => {}
        }
        self.pump(n);
    }

    fn check_hello(&mut self, n: usize, hello: &Hello) {
        let tab = &mut self.tabs[n];
        match hello.recovery {
            Recovery::Reset => {
                assert!(hello.position.offset > tab.cursor.offset, "a gap where none is");
                tab.cursor = hello.position.clone();
            }
            Recovery::Replayed | Recovery::Fresh => {
                assert_eq!(hello.position, tab.cursor, "invariant 4: it goes on elsewhere");
            }
        }
    }

    fn check_message(&mut self, n: usize, message: &Message, text: &str) {
        let tab = &mut self.tabs[n];
        let truth = self.log.truth.lock();
        let from = tab.cursor.offset;
        assert!(message.offset > from, "invariants 1 and 3: {from:?}, then {message:?}");
        let passed =
            truth.iter().filter(|r| r.message.offset > from && r.message.offset <= message.offset);
        let mine: Vec<_> = passed.filter(|r| tab.may_read(r)).map(|r| &r.message).collect();
        assert_eq!(mine, [message], "invariants 2, 4, 6 and 7: tab {n} read on from {from:?}");
        let first = self.bytes.entry(message.offset).or_insert_with(|| text.to_owned());
        assert_eq!(first, text, "invariant 6: the same bytes for all");
        tab.cursor.offset = message.offset;
    }

    fn check_the_end(&self) {
        let truth = self.log.truth.lock();
        let mut kept = HashMap::new();
        for Record { message, .. } in truth.iter() {
            let first = kept.insert(message.id.clone(), message.offset);
            assert_eq!(first, None, "invariant 3: {} is in the log twice", message.id);
        }
        for (n, tab) in self.tabs.iter().enumerate() {
            assert!(tab.timeline.outbox().is_empty(), "tab {n} has unsent: {:?}", tab.timeline);
            let missing: Vec<_> = tab.said.iter().filter(|id| !kept.contains_key(*id)).collect();
            assert!(missing.is_empty(), "invariant 2: said and not kept: {missing:?}");
            for (id, offset) in &tab.acked {
                assert_eq!(kept.get(id), Some(offset), "invariant 2: {id} was acknowledged");
            }
            let unread = truth.iter().filter(|r| r.message.offset > tab.cursor.offset);
            let unread: Vec<_> = unread.filter(|r| tab.may_read(r)).collect();
            assert!(unread.is_empty(), "invariant 2: tab {n} never got {unread:?}");

            let in_order = tab.said.iter().filter(|id| !tab.overtaken.contains(id));
            let offsets: Vec<_> = in_order.map(|id| kept[id]).collect();
            assert!(offsets.is_sorted(), "tab {n}: the order of one sender: {offsets:?}");

            let mut shown = HashSet::new();
            for row in tab.timeline.rows() {
                let Row::Message { message, status, .. } = row else { continue };
                assert_eq!(status, Status::Sent);
                assert!(shown.insert(message.id.clone()), "{} is shown twice", message.id);
            }
        }
    }
}

#[test]
fn whatever_the_network_does_the_invariants_hold() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seeds = match number("HUBBUB_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("HUBBUB_HISTORIES").unwrap_or(2_000),
    };
    let live = |seed: u64| {
        let lived = std::panic::catch_unwind(|| World::new(seed).live());
        assert!(lived.is_ok(), "history {seed} fails; HUBBUB_SEED={seed} plays it again");
    };
    let (odd, even): (Vec<_>, Vec<_>) = seeds.partition(|seed| seed % 2 == 1);
    std::thread::scope(|scope| {
        scope.spawn(|| odd.into_iter().for_each(live));
        even.into_iter().for_each(live);
    });
}
