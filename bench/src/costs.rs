//! What each thing costs hubs and servers of NATS, measured one by one; and whether those costs, added up, are what talk in
//! many rooms costs.
//!
//! What a further hub costs is the difference to one hub alone. Everything shares the machine, so this is processor time,
//! not what could be done.

use clap::Args;
use serde_json::{Value, json};
use tokio::time::{Duration, Instant, MissedTickBehavior, interval, sleep};

use crate::{
    Result,
    crowd::{Crowd, Face, Speaker},
    fan_out::{Who, volley},
    hubbub::{AT_ONCE, Http, TEXT, allow_files},
    joins::all_counted,
    model::{Costs, Load},
    nodes::{Log, Nodes, has_nats},
    report::{Report, count, figure},
    used::Used,
};

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct Asked {
    /// On which logs
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Log::R1, Log::R3, Log::R3Always])]
    logs: Vec<Log>,
    /// How many hubs; one first
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2, 3])]
    hubs: Vec<usize>,
    /// How many readers, and as many who join
    #[arg(long, default_value_t = 1_000)]
    clients: usize,
    /// How many rooms with one client at each hub
    #[arg(long, default_value_t = 500)]
    rooms: usize,
    /// Write down what things cost on the last of these logs: it is what `capacity` reckons with
    #[arg(long)]
    update: bool,
    /// Seconds for each figure of what is busy
    #[arg(long, default_value_t = 5)]
    seconds: u64,
}

/// Where something is said: so many rooms, for the talk with so many people in each, and so many texts a second in all.
const ROOMS: usize = 20;
const PEOPLE: usize = 50;
const EACH_SECOND: u32 = 400;
/// Messages that are kept in one room.
const KEPT: usize = 8_000;
/// How long what is quiet is looked at: rooms are told of every ten seconds, and connections pinged every 25.
const IDLE: Duration = Duration::from_secs(30);
/// What was told late is told by then.
const QUIET: Duration = Duration::from_secs(6);
/// What was said last is heard by then.
const LATE: Duration = Duration::from_millis(100);
const LOOK: Duration = Duration::from_millis(20);

/// Reckoned, for a few thousand rooms are too few to see it: a key of 20 bytes in a map; and that it comes and is put there.
const LISTED: Used = Used { memory: 0.1, ..Used::NOTHING };
const COUNTED: Used = Used { hubs: 1.0, from_nats: 30.0, ..Used::NOTHING };

/// By whom else it is heard.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Heard {
    ByNobody,
    AtEachOtherHub,
}

/// What was measured with so many hubs.
struct With {
    hubs: usize,
    costs: Costs,
    /// The talk, and what it cost a second.
    load: Load,
    talk: Used,
}

/// Measures each binary on each log.
pub(crate) async fn run(report: &mut Report, servers: &[String], asked: &Asked) -> Result {
    let most = asked.hubs.iter().max().copied().unwrap_or(1);
    allow_files(asked.rooms * most + 2 * asked.clients + ROOMS * (PEOPLE + most))?;
    if !has_nats() {
        return Err("nats-server is not here: name one in HUBBUB_NATS".into());
    }
    let (mut things, mut talks, mut written) = (Vec::new(), Vec::new(), None);
    for server in servers {
        for log in &asked.logs {
            let name = [server.as_str(), log.name()];
            let mut all: Vec<With> = Vec::new();
            for hubs in &asked.hubs {
                println!("{}, {hubs} hubs …", log.name());
                all.push(Measuring::start(server, *log, *hubs, asked).await?.all().await?);
            }
            let (Some(one), Some(most)) = (all.first(), all.last()) else { continue };
            let costs = one.costs.and_of(&most.costs, most.hubs).rounded();
            written = Some(costs);
            things.extend(costs.rows().map(|thing| (name, thing)));
            talks.extend(all.into_iter().map(|with| (name, costs.of(&with.load), with)));
        }
    }
    let columns = ["server", "log"].into_iter().chain(Costs::COLUMNS);
    report.table("What each thing costs hubs and NATS", &columns.collect::<Vec<_>>());
    for ([server, log], thing) in things {
        report.row([server.into(), log.into()].into_iter().chain(thing));
    }
    report.table(
        &format!(
            "{ROOMS} rooms of {PEOPLE} people, {EACH_SECOND} texts a second in all, measured, and reckoned from what \
             each thing costs"
        ),
        &["server", "log", "hubs", "of what", "reckoned", "measured", "off by, %"],
    );
    for (name, reckoned, with) in talks {
        let wire = |used: Used| (used.to_nats + used.from_nats + used.between) / 1e3;
        for (what, reckoned, measured) in [
            ("processor of hubs, ms/s", reckoned.hubs / 1e3, with.talk.hubs / 1e3),
            ("processor of NATS, ms/s", reckoned.nats / 1e3, with.talk.nats / 1e3),
            ("hubs and NATS, kB/s", wire(reckoned), wire(with.talk)),
        ] {
            report.row([
                name[0].into(),
                name[1].into(),
                count(with.hubs),
                what.into(),
                figure(reckoned, 0),
                figure(measured, 0),
                figure((reckoned / measured - 1.0) * 100.0, 0),
            ]);
        }
    }
    match written {
        Some(costs) if asked.update => costs.write(),
        _ => Ok(()),
    }
}

/// Hubs that are measured. Whoever has come stays, for leaving costs something, too.
struct Measuring<'a> {
    nodes: Nodes,
    asked: &'a Asked,
    length: Duration,
    text: String,
    /// What all of it costs a second while nothing happens.
    idle: Used,
    there: Vec<(Crowd, Option<Speaker>)>,
}

impl<'a> Measuring<'a> {
    async fn start(server: &str, log: Log, hubs: usize, asked: &'a Asked) -> Result<Self> {
        let nodes = Nodes::start(server, log, hubs, &[]).await?;
        let length = Duration::from_secs(asked.seconds);
        let text = Who::Memory(server).says();
        Ok(Self { nodes, asked, length, text, idle: Used::default(), there: Vec::new() })
    }

    async fn all(mut self) -> Result<With> {
        let hubs = self.nodes.hubs.len() as f64;
        let empty = self.idling().await?;
        let hub = Used { memory: self.nodes.used().await?.memory, ..empty } / hubs;
        let (join, connection) = self.joining().await?;
        let room = self.staying(connection).await?;
        let delivery = self.delivering().await?;
        let heard = Used { to_clients: 0.0, ..delivery };
        let alone = self.speaking("alone", Heard::ByNobody).await?;
        let elsewhere = self.speaking("elsewhere", Heard::AtEachOtherHub).await?;
        let kept = self.keeping().await?;
        let (load, talk) = self.talking().await?;
        let costs = Costs {
            hub,
            connection,
            room,
            kept,
            // Whoever says it gets it, too; and so does who listens elsewhere.
            message: alone - heard,
            copy: elsewhere - alone - heard * (hubs - 1.0),
            delivery,
            join,
            listed: LISTED,
            counted: COUNTED,
            ..Costs::default()
        };
        Ok(With { hubs: self.nodes.hubs.len(), costs, load, talk })
    }

    /// What is used a second while nothing happens, from now on not counted with what does.
    async fn idling(&mut self) -> Result<Used> {
        sleep(QUIET).await;
        let before = self.now().await?;
        sleep(IDLE).await;
        let used = self.nodes.used().await? - before.0;
        self.idle = Used { memory: 0.0, ..used / before.1.elapsed().as_secs_f64() };
        Ok(self.idle)
    }

    async fn now(&self) -> Result<(Used, Instant)> {
        Ok((self.nodes.used().await?, Instant::now()))
    }

    /// What was used since then, without what is used anyway.
    async fn since(&self, (before, started): (Used, Instant)) -> Result<Used> {
        let used = self.nodes.used().await? - before;
        Ok(used - self.idle * started.elapsed().as_secs_f64())
    }

    /// What somebody who comes into one room costs, and who is there, a second.
    async fn joining(&mut self) -> Result<(Used, Used)> {
        let (clients, idle) = (self.asked.clients, self.idle);
        let (before, addresses) = (self.now().await?, self.nodes.addresses()?);
        let crowd = Crowd::spread(&addresses, "joins", Face::All, clients).await?;
        for hub in &self.nodes.hubs {
            all_counted(&hub.address, "joins", clients, LOOK).await?;
        }
        sleep(QUIET).await;
        let used = Used { to_clients: crowd.bytes() as f64, ..self.since(before).await? };
        let used = used / clients as f64;
        self.there.push((crowd, None));
        let connection = (self.idling().await? - idle) / clients as f64;
        Ok((Used { memory: 0.0, ..used }, Used { memory: used.memory, ..connection }))
    }

    /// What a room in which something was said costs a second, at each hub where somebody is in it.
    async fn staying(&mut self, connection: Used) -> Result<Used> {
        let (addresses, idle) = (self.nodes.addresses()?, self.idle);
        let (before, places) = (self.nodes.used().await?, self.asked.rooms * addresses.len());
        let mut http = Http::connect(&self.nodes.hubs[0].address).await?;
        for n in 0..self.asked.rooms {
            let room = format!("stay-{n}");
            let crowd = Crowd::spread(&addresses, &room, Face::Plain, addresses.len()).await?;
            http.post(&room, &json!({ "value": TEXT }).to_string()).await?;
            self.there.push((crowd, None));
        }
        let room = (self.idling().await? - idle) / places as f64;
        let memory = (self.nodes.used().await?.memory - before.memory) / places as f64;
        Ok(Used { memory, ..room } - connection)
    }

    /// What it costs to hand one text to one of many.
    async fn delivering(&mut self) -> Result<Used> {
        let (addresses, clients) = (self.nodes.addresses()?, self.asked.clients);
        let crowd = Crowd::spread(&addresses, "crowd", Face::Plain, clients).await?;
        let speaker = Speaker::join(addresses[0], "crowd", Face::Plain).await?;
        sleep(QUIET).await;
        let text = std::slice::from_ref(&self.text);
        let (before, bytes) = (self.now().await?, crowd.bytes());
        let volleys = volley(&crowd, &speaker, text, clients, self.length).await?.len();
        let to_clients = (crowd.bytes() - bytes) as f64;
        // What goes between hubs and NATS is once a message, not for each who hears it.
        let hubs = self.since(before).await?.hubs;
        self.there.push((crowd, Some(speaker)));
        Ok(Used { hubs, to_clients, ..Used::default() } / (volleys * clients) as f64)
    }

    /// What a message costs, of some each second, each in one of some rooms.
    async fn speaking(&mut self, rooms: &str, heard: Heard) -> Result<Used> {
        let addresses = self.nodes.addresses()?;
        let mut speakers = Vec::new();
        for n in 0..ROOMS {
            let (room, mut others) = (format!("{rooms}-{n}"), addresses.clone());
            let at = others.remove(n % addresses.len());
            let hear = if heard == Heard::ByNobody { 0 } else { others.len() };
            self.there.push((Crowd::spread(&others, &room, Face::Plain, hear).await?, None));
            speakers.push(Speaker::join(at, &room, Face::Plain).await?);
        }
        sleep(QUIET).await;
        let before = self.now().await?;
        let said = self.say(&speakers, self.length).await?;
        sleep(LATE).await;
        Ok(Used { memory: 0.0, ..self.since(before).await? / said as f64 })
    }

    /// One text after the other, evenly, by one of them after the other; how many.
    async fn say(&self, speakers: &[Speaker], length: Duration) -> Result<usize> {
        let (started, mut said) = (Instant::now(), 0);
        let mut turn = interval(Duration::from_secs(1) / EACH_SECOND);
        // Several at once would be handed on as one.
        turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for speaker in speakers.iter().cycle() {
            turn.tick().await;
            if started.elapsed() >= length {
                break;
            }
            speaker.say(std::slice::from_ref(&self.text)).await?;
            said += 1;
        }
        Ok(said)
    }

    /// The memory of a message.
    async fn keeping(&self) -> Result<Used> {
        let before = self.nodes.used().await?.memory;
        let mut http = Http::connect(&self.nodes.hubs[0].address).await?;
        let texts = Value::from(vec![json!({ "value": TEXT }); AT_ONCE]).to_string();
        for _ in 0..KEPT / AT_ONCE {
            http.post("kept", &texts).await?;
        }
        let memory = (self.nodes.used().await?.memory - before) / KEPT as f64;
        Ok(Used { memory, ..Used::default() })
    }

    /// Rooms with some people, in which something is said now and then; what that is, and what it costs a second.
    async fn talking(&mut self) -> Result<(Load, Used)> {
        let addresses = self.nodes.addresses()?;
        let (mut crowds, mut speakers) = (Vec::new(), Vec::new());
        for n in 0..ROOMS {
            let room = format!("talk-{n}");
            crowds.push(Crowd::spread(&addresses, &room, Face::Plain, PEOPLE - 1).await?);
            let at = addresses[n % addresses.len()];
            speakers.push(Speaker::join(at, &room, Face::Plain).await?);
        }
        sleep(QUIET).await;
        let before = self.now().await?;
        let said = self.say(&speakers, 2 * self.length).await?;
        for (n, crowd) in crowds.iter().enumerate() {
            let texts = said / ROOMS + usize::from(n < said % ROOMS);
            crowd.heard((texts * (PEOPLE - 1)) as u64).await?;
        }
        let (seconds, used) = (before.1.elapsed().as_secs_f64(), self.since(before).await?);
        let messages = said as f64 / seconds;
        let load = Load {
            // Those who heard one text, too: they are there since, and were not looked at alone.
            people: (ROOMS * PEOPLE + self.asked.clients) as f64,
            rooms: ROOMS as f64,
            hubs_a_room: addresses.len() as f64,
            messages,
            deliveries: messages * PEOPLE as f64,
            ..Load::default()
        };
        Ok((load, used / seconds))
    }
}
