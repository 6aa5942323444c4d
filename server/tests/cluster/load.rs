//! Those who write and those who read, and what each of them notes, outside of the system: who said what and where it was said to
//! be, and who has read what.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use fastrand::Rng;
use parking_lot::Mutex;
use reqwest::{StatusCode, header::CONTENT_TYPE};
use serde_json::{Value, json};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

use crate::support::road::{ROADS, Road, Traveller};

/// Of each room, by offset, what was acknowledged, or was read.
pub type Journal = BTreeMap<u64, String>;

/// Whoever gets no answer for so long goes to another hub: a little longer than hubs wait for NATS.
const PATIENCE: Duration = Duration::from_secs(3);
/// How many messages are said from one place, or read on one road, at the most.
const STAY: usize = 200;
/// What is between two messages of one writer.
const PAUSE: Duration = Duration::from_millis(15);

/// What goes on, and what came of it.
pub struct Load {
    pub addresses: [String; 3],
    pub acked: AtomicUsize,
    pub refused: AtomicUsize,
    /// Ids that were said once more when they were acknowledged.
    pub repeated: AtomicUsize,
    pub hops: AtomicUsize,
    pub stop: AtomicBool,
    started: Instant,
    /// When something was acknowledged last, and the longest time there was until something was.
    acks: Mutex<(Instant, Duration)>,
}

impl Load {
    pub fn at(addresses: [String; 3]) -> Self {
        Self {
            addresses,
            acked: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
            repeated: AtomicUsize::new(0),
            hops: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            started: Instant::now(),
            acks: Mutex::new((Instant::now(), Duration::ZERO)),
        }
    }

    pub fn since(&self) -> Duration {
        self.started.elapsed()
    }

    pub fn longest(&self) -> Duration {
        self.acks.lock().1
    }

    fn acknowledged(&self, count: usize) {
        self.acked.fetch_add(count, Ordering::Relaxed);
        let (last, longest) = &mut *self.acks.lock();
        *longest = last.elapsed().max(*longest);
        *last = Instant::now();
    }
}

/// Nobody knows whether it was stored: to be said again, under the same id.
struct Unknown;

/// Where a writer is.
enum Seat {
    Http(String),
    /// A WebSocket, or Socket.IO.
    Joined(Box<Traveller>),
}

pub struct Writer {
    pub load: Arc<Load>,
    pub who: usize,
    pub room: String,
    pub random: Rng,
}

impl Writer {
    /// Says one thing after the other until it is to stop, each until it is acknowledged; whenever it is not, at another hub.
    pub async fn write(mut self) -> Journal {
        let http = reqwest::Client::builder().timeout(PATIENCE).build().unwrap();
        // As one member everywhere: ids are of whoever said them.
        let token = self.token(&http).await;
        let (mut journal, mut said) = (Journal::new(), Vec::new());
        let (mut seat, mut stay) = (None, 0);
        while !self.load.stop.load(Ordering::Relaxed) {
            let many = if self.random.u8(0..8) == 0 { self.random.usize(2..6) } else { 1 };
            let next = said.len()..said.len() + many;
            let ids: Vec<_> = next.map(|n| format!("{}-{n}", self.who)).collect();
            let offsets = loop {
                if stay == 0 {
                    (seat, stay) = (self.sit_down(&token).await, self.random.usize(1..STAY));
                }
                stay -= 1;
                let Some(place) = &mut seat else {
                    stay = 0;
                    sleep(PAUSE).await;
                    continue;
                };
                match self.say(place, &http, &token, &ids).await {
                    Ok(offsets) => break offsets,
                    Err(Unknown) => {
                        self.load.refused.fetch_add(1, Ordering::Relaxed);
                        stay = 0;
                        sleep(PAUSE).await;
                    }
                }
            };
            assert!(offsets.is_sorted_by(|a, b| a < b), "{ids:?}: {offsets:?}");
            assert!(journal.last_key_value().is_none_or(|(last, _)| *last < offsets[0]), "{ids:?}");
            self.load.acknowledged(many);
            said.extend(ids.iter().cloned().zip(offsets.iter().copied()));
            journal.extend(offsets.into_iter().zip(ids));
            // Once more, now and then: it is where it was.
            if let (0, Some(place)) = (self.random.u8(0..10), &mut seat) {
                let behind = self.random.usize(0..said.len().min(100));
                let (id, offset) = said[said.len() - 1 - behind].clone();
                if let Ok(again) = self.say(place, &http, &token, std::slice::from_ref(&id)).await {
                    assert_eq!(again, [offset], "{id} was said twice");
                    self.load.repeated.fetch_add(1, Ordering::Relaxed);
                }
            }
            sleep(PAUSE).await;
        }
        journal
    }

    async fn token(&self, http: &reqwest::Client) -> String {
        let url = format!("http://{}/api/token", self.load.addresses[0]);
        let body = json!({"name": format!("writer {}", self.who)}).to_string();
        let asked = http.post(url).header(CONTENT_TYPE, "application/json").body(body);
        let answer = asked.send().await.unwrap().text().await.unwrap();
        let answer: Value = serde_json::from_str(&answer).unwrap();
        answer["token"].as_str().unwrap().to_owned()
    }

    /// At any hub, on any road.
    async fn sit_down(&mut self, token: &str) -> Option<Seat> {
        let address = self.load.addresses[self.random.usize(0..3)].clone();
        self.load.hops.fetch_add(1, Ordering::Relaxed);
        let road = match self.random.u8(0..3) {
            0 => return Some(Seat::Http(address)),
            1 => Road::WebSocket,
            _ => Road::SocketIo,
        };
        let query = format!("token={token}");
        let joining = Traveller::join(&address, road, &self.room, &query);
        Some(Seat::Joined(Box::new(timeout(PATIENCE, joining).await.ok()?.ok()?)))
    }

    async fn say(
        &self,
        seat: &mut Seat,
        http: &reqwest::Client,
        token: &str,
        ids: &[String],
    ) -> Result<Vec<u64>, Unknown> {
        let messages: Vec<_> = ids.iter().map(|id| json!({"value": id, "id": id})).collect();
        let address = match seat {
            Seat::Http(address) => address.as_str(),
            Seat::Joined(traveller) if messages.len() > 1 => traveller.address(),
            Seat::Joined(traveller) => {
                let frame = json!({"type": "message", "params": messages[0]});
                let answer = timeout(PATIENCE, traveller.send(frame)).await;
                let answer = answer.map_err(|_| Unknown)?.map_err(|_| Unknown)?;
                return Ok(vec![acknowledged(&answer, &ids[0])?]);
            }
        };
        let url = format!("http://{address}/api/rooms/{}/messages", self.room);
        let body = match &messages[..] {
            [message] => message.to_string(),
            all => json!(all).to_string(),
        };
        let asked = http.post(url).bearer_auth(token).header(CONTENT_TYPE, "application/json");
        let answer = asked.body(body).send().await.map_err(|_| Unknown)?;
        let answer = answer.text().await.map_err(|_| Unknown)?;
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let answers = match answer {
            Value::Array(answers) => answers,
            answer => vec![answer],
        };
        if let [refused] = &answers[..]
            && ids.len() > 1
        {
            acknowledged(refused, "several")?;
        }
        assert_eq!(answers.len(), ids.len(), "{answers:?}");
        answers.iter().zip(ids).map(|(answer, id)| acknowledged(answer, id)).collect()
    }
}

/// The offset in an answer; no answer may refuse this but by saying that the log is away, or the hub.
fn acknowledged(answer: &Value, id: &str) -> Result<u64, Unknown> {
    match (answer["offset"].as_u64(), answer["code"].as_str()) {
        (Some(offset), _) if answer["id"] == id => Ok(offset),
        (None, Some("unavailable" | "shutting_down")) => Err(Unknown),
        _ => panic!("{id} was answered {answer}"),
    }
}

pub struct Reader {
    pub load: Arc<Load>,
    pub room: String,
    pub random: Rng,
    /// The end of the room, once that is known.
    pub end: watch::Receiver<Option<u64>>,
}

impl Reader {
    /// Reads all of the room, in turn on every road and at any hub, from where it was.
    pub async fn read(mut self) -> Journal {
        let (mut journal, mut query) = (Journal::new(), "after=0".to_owned());
        while !self.has_all(&journal) {
            self.load.hops.fetch_add(1, Ordering::Relaxed);
            let address = &self.load.addresses[self.random.usize(0..3)];
            let road = ROADS[self.random.usize(0..ROADS.len())];
            let joined = Traveller::join(address, road, &self.room, &query);
            let Ok(Ok(mut traveller)) = timeout(PATIENCE, joined).await else {
                sleep(PAUSE).await;
                continue;
            };
            assert_eq!(traveller.recovery(), "replayed", "{road:?} {query}");
            for _ in 0..self.random.usize(1..STAY) {
                // Whoever hears nothing for a while looks elsewhere.
                let Ok(Ok(message)) = timeout(PATIENCE, traveller.message()).await else { break };
                let (offset, id) = (message["offset"].as_u64().unwrap(), &message["id"]);
                assert_eq!(*id, message["value"], "{message}");
                let last = journal.last_key_value().map_or(0, |(last, _)| *last);
                assert!(last < offset, "{road:?}: {offset} came behind {last}");
                journal.insert(offset, id.as_str().unwrap().to_owned());
                if self.has_all(&journal) {
                    return journal;
                }
            }
            query = format!("after={}&session={}", traveller.position, traveller.session());
        }
        journal
    }

    fn has_all(&self, journal: &Journal) -> bool {
        let last = journal.last_key_value().map_or(0, |(last, _)| *last);
        self.end.borrow().is_some_and(|end| last >= end)
    }
}

/// What a hub has of a room: from its floor on, to the end.
pub async fn kept(address: &str, room: &str, last: u64) -> Journal {
    let (mut kept, mut after) = (Journal::new(), "0".to_owned());
    loop {
        let url = format!("http://{address}/api/rooms/{room}/messages?after={after}&limit=1000");
        let answer = reqwest::get(url).await.unwrap();
        if answer.status() == StatusCode::SERVICE_UNAVAILABLE {
            sleep(PAUSE).await;
            continue;
        }
        let answer = answer.error_for_status().unwrap();
        let page: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        let messages = page["messages"].as_array().unwrap();
        if messages.is_empty() {
            if kept.last_key_value().is_some_and(|(at, _)| *at >= last) {
                return kept;
            }
            // A hub that was cut off until just now has not heard of all of it yet.
            sleep(PAUSE).await;
            continue;
        }
        for message in messages {
            let id = message["id"].as_str().unwrap().to_owned();
            assert_eq!(kept.insert(message["offset"].as_u64().unwrap(), id), None);
        }
        page["position"].as_str().unwrap().clone_into(&mut after);
    }
}
