//! Tabs, the hubs they come to, and how time passes for all of them.

mod happenings;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use axum::http::Method;
use client::{Change, Effect, Event, LegId, Setup, Transport};
use common::{After, Message, Position, Recovery, RoomName};
use fastrand::Rng;
use hub::{broker::Broker, histories::Happened};
use serde::Deserialize;
use server::{Config, identity::Identity};
use tokio::time::{Instant, sleep, timeout};

use super::{
    far::Far,
    hubs::{self, Hub},
    log::Log,
    network::{Leg, Net, Weather},
    tab::Tab,
};

const TABS: usize = 4;
const STEPS: usize = 250;
/// When a history begins, on everybody's clock.
pub const BEGIN: u64 = 1_795_424_700_000;

pub struct World {
    net: Net,
    began: Instant,
    now: u64,
    log: Arc<Log>,
    /// Whether nothing is let go of because there is too much.
    keeps_all: bool,
    config: Config,
    identity: Identity,
    /// Each that is up.
    hubs: Vec<Option<Hub>>,
    tabs: Vec<Tab>,
    legs: Vec<Leg>,
    weather: BTreeMap<(usize, u8), Weather>,
    /// What the browsers keep for all their tabs: one a person.
    shared: [BTreeMap<String, String>; 3],
    /// What is still to be heard by other tabs of one browser.
    stored: VecDeque<(usize, Event)>,
    /// What happened, by what it is called.
    happened: Happened,
}

/// The last two are tabs of one person.
fn person(tab: usize) -> usize {
    [0, 1, 2, 2][tab]
}

/// Half of the tabs are pages with people before them, the others programs.
fn is_page(tab: usize) -> bool {
    tab.is_multiple_of(2)
}

pub fn room() -> RoomName {
    RoomName::parse("tea").unwrap()
}

#[derive(Deserialize)]
struct Latest {
    position: Position,
    messages: Vec<Message>,
}

impl World {
    pub async fn new(seed: u64, hubs: usize) -> Self {
        let mut rng = Rng::with_seed(seed);
        let mut config = Config::ephemeral();
        config.publish_rate = 0;
        config.hub.tail_messages = rng.usize(1..20);
        // Sometimes all rooms may hold next to nothing.
        config.hub.tails_bytes = [0, 2_000, config.hub.tails_bytes][rng.usize(..3)];
        // In every other history little is kept, so that readers come back too late.
        let kept = if rng.bool() { 10_000 } else { rng.usize(5..40) };
        let log = match (hubs, seed % 4) {
            (1, 0) => Log::in_a_file(kept, rng.fork()),
            (1, _) => Log::in_memory(kept, rng.fork()),
            _ => Log::on_nats(kept, rng.fork(), hubs::now_ms()),
        };
        while hubs == 1 && Broker::tidy(&log, BEGIN).await.is_err() {}
        let mut world = Self {
            net: Net { rng, healed: false },
            began: Instant::now(),
            now: BEGIN,
            log: Arc::new(log),
            keeps_all: kept == 10_000,
            config,
            identity: Identity::ephemeral(),
            hubs: (0..hubs).map(|_| None).collect(),
            tabs: Vec::new(),
            legs: Vec::new(),
            weather: BTreeMap::new(),
            shared: Default::default(),
            stored: VecDeque::new(),
            happened: BTreeMap::new(),
        };
        world.start_all().await;
        let (_, far) = world.any().unwrap();
        let mut given = Vec::new();
        for name in ["ada", "bob", "eve"] {
            let reply =
                far.ask(Method::POST, "http://hub/api/token", format!(r#"{{"name":"{name}"}}"#));
            given.push(serde_json::from_str::<serde_json::Value>(&reply.await.body).unwrap());
        }
        for n in 0..TABS {
            let given = &given[person(n)];
            let token = given["token"].as_str().unwrap().to_owned();
            let member = serde_json::from_value(given["member"].clone()).unwrap();
            let latest = loop {
                if let Some(latest) = world.latest(&token, "").await {
                    break latest;
                }
            };
            let setup = world.setup(n, &token, &latest);
            world.tabs.push(Tab::new(setup, member, token, latest.position));
        }
        world
    }

    fn setup(&mut self, n: usize, token: &str, latest: &Latest) -> Setup {
        Setup {
            token: Some(token.to_owned()),
            after: After::Position(latest.position.clone()),
            messages: latest.messages.clone(),
            view: is_page(n),
            ..Setup::new("http://hub", room(), self.net.rng.u64(..))
        }
    }

    /// The hubs that are up.
    fn up(&self) -> Vec<(usize, Far)> {
        let up = self.hubs.iter().enumerate();
        up.filter_map(|(place, hub)| Some((place, hub.as_ref()?.far.clone()))).collect()
    }

    /// One of them.
    fn any(&mut self) -> Option<(usize, Far)> {
        let up = self.up();
        (!up.is_empty()).then(|| self.net.any(&up).clone())
    }

    fn happens(&mut self, what: &'static str) {
        *self.happened.entry(what).or_default() += 1;
    }

    async fn latest(&mut self, token: &str, session: &str) -> Option<Latest> {
        let url = format!("http://hub/api/rooms/tea/messages?token={token}&session={session}");
        let asked = self.any()?.1.ask(Method::GET, &url, String::new());
        // Nothing else goes on meanwhile, and others may have to before it can be answered.
        let reply = timeout(Duration::from_secs(1), asked).await.ok()?;
        serde_json::from_str(&reply.body).ok()
    }

    pub async fn live(mut self) -> Happened {
        for tab in 0..TABS {
            self.start_tab(tab);
        }
        for _ in 0..STEPS {
            self.something_happens().await;
            let pause = if self.net.chance(2) { 30_000 } else { 500 };
            let pause = self.net.rng.u64(..pause);
            self.pass(pause).await;
        }
        self.heal().await;
        for (n, tab) in self.tabs.iter().enumerate() {
            tab.check_the_end(n, &self.log, 3);
        }
        self.happened.extend(self.log.nats().into_iter().flat_map(|nats| nats.happened()));
        self.happened
    }

    /// Time passes, and whatever is due in it happens.
    async fn pass(&mut self, ms: u64) {
        let (until, step) = (self.now + ms, (ms / 10).max(250));
        while self.now < until {
            let next = (self.now + step).min(until);
            sleep(Duration::from_millis(next - self.now)).await;
            // Waiting for an answer takes time, too.
            self.now = BEGIN + self.began.elapsed().as_millis() as u64;
            let up = self.up();
            for leg in &mut self.legs {
                leg.serve(&up, self.now, &mut self.net).await;
            }
            drop(up);
            for place in 0..self.hubs.len() {
                if self.hubs[place].is_none() && self.net.rng.u8(..20) == 0 {
                    // Whoever looks after it starts it again.
                    self.start(place).await;
                }
            }
            for n in 0..self.legs.len() {
                while let Some(event) = self.legs[n].arrived(self.now) {
                    if !self.legs[n].deaf {
                        let tab = self.legs[n].tab;
                        self.tell(tab, event);
                    }
                }
            }
            self.legs.retain(|leg| !leg.is_over());
            while let Some((tab, event)) = self.stored.pop_front() {
                self.tell(tab, event);
            }
            for n in 0..TABS {
                if self.tabs[n].client.deadline().is_some_and(|(at, _)| at <= self.now) {
                    self.tell(n, Event::Time);
                }
            }
        }
    }

    /// Everything is well again, and stays so for long enough to notice a connection that died in silence, and for
    /// the longest outbox and ladder.
    async fn heal(&mut self) {
        self.net.healed = true;
        self.log.heal();
        self.weather.clear();
        self.start_all().await;
        for n in 0..TABS {
            self.tell(n, Event::Choose(None));
        }
        for round in 0..150 {
            let settled = |tab: &Tab| {
                tab.client.unsent().next().is_none() && tab.transport == Transport::WebSocket
            };
            if round > 15 && self.tabs.iter().all(settled) {
                break;
            }
            for n in 0..TABS {
                self.retry_stuck(n);
            }
            self.pass(10_000).await;
        }
        self.pass(30_000).await;
    }

    /// Tells a client, and does what it says.
    fn tell(&mut self, n: usize, event: Event) {
        self.tabs[n].client.handle(self.now, event);
        while let Some(effect) = self.tabs[n].client.poll() {
            self.carry_out(n, effect);
        }
        if let Some((at, why)) = self.tabs[n].client.deadline() {
            assert!(at > self.now, "{why:?} was due at {at}");
        }
    }

    fn carry_out(&mut self, n: usize, effect: Effect) {
        let now = self.now;
        match effect {
            Effect::Open { leg, transport, url } => {
                let leg = self.leg(n, leg, transport);
                // As for a browser: a page and its WebSocket are at the same host.
                let url = url.replacen("ws", "http", usize::from(url.starts_with("ws")));
                self.legs[leg].open(url, now, &mut self.net);
            }
            Effect::Fetch { leg, request, method, url, body } => {
                let leg = self.leg(n, leg, Transport::LongPoll);
                let method = match method {
                    client::Method::Get => Method::GET,
                    client::Method::Post => Method::POST,
                };
                self.legs[leg].fetch((request, method, url), body, now, &mut self.net);
            }
            Effect::Send { leg, text } => {
                let leg = self.leg(n, leg, Transport::WebSocket);
                self.legs[leg].send(text, now, &mut self.net);
            }
            Effect::Close { leg } => {
                for leg in self.legs.iter_mut().filter(|known| known.tab == n && known.id == leg) {
                    leg.give_up(&mut self.net);
                }
            }
            Effect::Keep { scope: client::Scope::Shared, key, text } => {
                self.shared[person(n)].insert(key.clone(), text.clone());
                let others = (0..TABS).filter(|other| *other != n && person(*other) == person(n));
                for other in others {
                    let (key, text) = (key.clone(), text.clone());
                    self.stored.push_back((other, Event::Kept { key, text }));
                }
            }
            Effect::Keep { scope, key, text } => self.tabs[n].keep(scope, &key, &text),
            Effect::Link { .. } | Effect::File { .. } => {
                unreachable!("no tab asked for a direct connection")
            }
            Effect::Tell(change) => {
                match &change {
                    Change::Arrived { .. } => self.happens("read"),
                    Change::Taken { .. } => self.happens("acknowledged"),
                    Change::Parked { .. } => self.happens("refused, or not known"),
                    Change::Hello(hello) if hello.recovery == Recovery::Reset => {
                        self.happens("gaps told");
                    }
                    Change::Hello(_) => self.happens("readings begun"),
                    _ => {}
                }
                self.tabs[n].hear(change, &self.log);
            }
        }
    }

    /// Where this leg of a tab is; a new one, if it is not there yet.
    fn leg(&mut self, n: usize, id: LegId, transport: Transport) -> usize {
        let known = self.legs.iter().position(|leg| leg.tab == n && leg.id == id && !leg.deaf);
        known.unwrap_or_else(|| {
            let weather = self.weather.get(&(n, transport as u8)).copied();
            self.legs.push(Leg::new(n, id, transport, weather.unwrap_or(Weather::Fine)));
            self.legs.len() - 1
        })
    }

    fn start_tab(&mut self, n: usize) {
        let texts = |kept: &BTreeMap<String, String>| {
            let texts = kept.iter().filter(|(_, text)| !text.is_empty());
            texts.map(|(key, text)| (key.clone(), text.clone())).collect()
        };
        let (tab, shared) = (texts(&self.tabs[n].kept), texts(&self.shared[person(n)]));
        self.tell(n, Event::Start { tab, shared });
    }

    async fn start_all(&mut self) {
        while let Some(place) = self.hubs.iter().position(Option::is_none) {
            self.start(place).await;
        }
    }

    async fn start(&mut self, place: usize) {
        let (config, identity) = (self.config.clone(), self.identity.clone());
        self.hubs[place] = Hub::start(config, identity, self.log.clone()).await;
    }
}
