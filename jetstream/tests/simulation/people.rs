//! Those who use the hubs: they speak, listen, or tell webhooks, each at whichever hub, and go on to another as they like.

use std::{sync::Arc, time::Duration};

use common::{
    After, EventName, Member, MemberId, MemberName, Mend, MessageId, Offset, Position, Publish,
    Recovery, RoomName, SessionId,
};
use fastrand::Rng;
use hub::{
    HubError, Reader, Who,
    broker::{Broker, BrokerError},
};
use serde_json::json;
use tokio::time::{sleep, timeout};

use super::world::{Node, Shared, rooms};

/// How much each speaker has to say.
const SAYS: usize = 30;
/// How long somebody waits for a hub.
const PATIENCE: Duration = Duration::from_secs(20);

fn who(name: &str) -> Who {
    let member =
        Member { id: MemberId::parse(name).unwrap(), name: MemberName::parse(name).unwrap() };
    Who::new(member, &SessionId::parse(&format!("{name}-tab.secret")).unwrap())
}

fn id(text: String) -> MessageId {
    MessageId::parse(&text).unwrap()
}

/// Says one thing after another, each until it is known what became of it.
pub struct Speaker {
    name: String,
    shared: Arc<Shared>,
    rng: Rng,
    /// What it has said that was taken.
    said: Vec<(RoomName, MessageId)>,
    newest: Option<Position>,
}

impl Speaker {
    pub fn new(n: usize, shared: Arc<Shared>, rng: Rng) -> Self {
        Self { name: format!("s{n}"), shared, rng, said: Vec::new(), newest: None }
    }

    pub async fn live(mut self) {
        for n in 0..SAYS {
            let room = rooms()[self.rng.usize(..2)].clone();
            let messages = self.something(n, &room);
            self.say(&room, messages).await;
            if self.rng.u8(..4) == 0 {
                self.keep(n).await;
            }
            sleep(Duration::from_millis(self.rng.u64(..4_000))).await;
        }
    }

    fn something(&mut self, n: usize, room: &RoomName) -> Vec<Publish> {
        let own: Vec<_> = self.said.iter().filter(|(of, _)| of == room).collect();
        let done = self.rng.usize(..own.len().max(1));
        let of = own.get(done).map(|(_, id)| id.clone());
        let one = |id: MessageId| Publish { id: Some(id), ..Publish::text("hi").unwrap() };
        let name = &self.name;
        match self.rng.u8(..20) {
            0..5 if of.is_some() => {
                let (how, value) = [
                    (Mend::Edit, json!("ho")),
                    (Mend::Reaction, json!(["👍"])),
                    (Mend::Retract, json!({})),
                ][self.rng.usize(..3)]
                .clone();
                self.shared.truth.happens("done to messages");
                let event = EventName::parse(how.word()).ok();
                vec![Publish { value, event, of, ..one(id(format!("{name}-{n}"))) }]
            }
            5..9 => {
                self.shared.truth.happens("arrays");
                let many = self.rng.usize(2..6);
                (0..many).map(|part| one(id(format!("{name}-{n}-{part}")))).collect()
            }
            _ => vec![one(id(format!("{name}-{n}")))],
        }
    }

    /// Until it is known what became of it; now and then at two hubs at once.
    async fn say(&mut self, room: &RoomName, messages: Vec<Publish>) {
        loop {
            let (one, other) = (self.shared.any(&mut self.rng), self.shared.any(&mut self.rng));
            let who = who(&self.name);
            let publish = async |node: Arc<Node>| {
                let at = node.now_ms();
                let publishing = node.hub.publish_all(room, &who, messages.clone(), at);
                tokio::select! {
                    biased;
                    () = node.dies() => None,
                    done = timeout(PATIENCE, publishing) => done.ok(),
                }
            };
            let done = match self.rng.u8(..8) {
                0 => {
                    let (one, other) = tokio::join!(publish(one), publish(other));
                    if let (Some(Ok(one)), Some(Ok(other))) = (&one, &other)
                        && one[0].position.epoch == other[0].position.epoch
                        && !self.shared.truth.is_twofold(&one[0].position.epoch)
                    {
                        assert_eq!(one, other, "invariant 3: said at two hubs at once");
                    }
                    one.or(other)
                }
                _ => publish(one).await,
            };
            match done {
                Some(Ok(published)) => {
                    let offsets: Vec<_> =
                        published.iter().map(|message| message.position.offset).collect();
                    let position = &published[0].position;
                    let is_whole = offsets.windows(2).all(|two| two[0].0 + 1 == two[1].0)
                        || self.shared.truth.is_twofold(&position.epoch);
                    assert!(is_whole, "an array is not stored as one: {offsets:?}");
                    if let Some(newest) = &self.newest
                        && newest.epoch == position.epoch
                        && position.epoch == self.shared.epoch()
                    {
                        let is_in_order = self.shared.truth.is_twofold(&newest.epoch)
                            || newest.offset < position.offset;
                        assert!(is_in_order, "invariant 1: {newest}, then {position}");
                    }
                    for message in &published {
                        let offset = message.position.offset;
                        self.shared.truth.acknowledge(room, &message.id, offset);
                        self.said.push((room.clone(), message.id.clone()));
                    }
                    self.newest = published.last().map(|message| message.position.clone());
                    return;
                }
                Some(Err(HubError::Broker(BrokerError::Refused(_)))) => {
                    return self.shared.truth.happens("refused");
                }
                Some(Err(HubError::Broker(BrokerError::Unavailable(_)))) | None => {
                    self.shared.truth.happens("not acknowledged");
                }
                Some(Err(error)) => panic!("{error}"),
            }
            sleep(Duration::from_millis(self.rng.u64(..3_000))).await;
        }
    }

    /// Keeps something beside messages, under one of few keys.
    async fn keep(&mut self, n: usize) {
        let node = self.shared.any(&mut self.rng);
        let value = format!("{}-{n}", self.name);
        let value = Some(value.as_str()).filter(|_| self.rng.u8(..4) > 0);
        let key = ["a", "b", "c"][self.rng.usize(..3)];
        // Whether or not it is kept, all are told the same.
        let _ = node.broker.keep(key, value).await;
    }
}

/// Reads a room, here or there, and goes on from where it was.
pub struct Listener {
    name: String,
    room: RoomName,
    shared: Arc<Shared>,
    rng: Rng,
    cursor: Option<Position>,
}

impl Listener {
    pub fn new(n: usize, shared: Arc<Shared>, rng: Rng) -> Self {
        let room = rooms()[n % 2].clone();
        Self { name: format!("l{n}"), room, shared, rng, cursor: None }
    }

    pub async fn live(mut self) {
        while !self.is_done() {
            let node = self.shared.any(&mut self.rng);
            let Some(reader) = self.connect(&node).await else {
                sleep(Duration::from_millis(self.rng.u64(..3_000))).await;
                continue;
            };
            self.shared.truth.happens("hops");
            let stays = Duration::from_millis(self.rng.u64(..20_000));
            tokio::select! {
                biased;
                () = node.dies() => {}
                _ = timeout(stays, self.listen(reader)) => {}
            }
        }
    }

    /// Whether all of it was read, and nothing more is said.
    fn is_done(&self) -> bool {
        let ends = self.shared.ends.borrow();
        let end = ends.as_ref().and_then(|ends| ends.get(&self.room));
        let cursor = self.cursor.as_ref();
        let is_of = |cursor: &&Position| cursor.epoch == self.shared.epoch();
        end.is_some_and(|end| cursor.filter(is_of).is_some_and(|cursor| cursor.offset >= *end))
    }

    async fn connect(&mut self, node: &Node) -> Option<Reader> {
        let after = self.cursor.clone().map_or(After::Oldest, After::Position);
        let reading = node.hub.read(&self.room, who(&self.name), &after);
        let (reader, recovery) = tokio::select! {
            biased;
            () = node.dies() => return None,
            read = timeout(PATIENCE, reading) => read.ok()?.ok()?,
        };
        let start = reader.position().clone();
        match (&self.cursor, recovery) {
            (Some(from), Recovery::Reset) => {
                self.shared.truth.check_reset(&self.room, from, &start, self.shared.keeps_all);
            }
            (Some(from), _) => assert_eq!(start, *from, "invariant 4: it goes on elsewhere"),
            (None, recovery) => assert_eq!(recovery, Recovery::Replayed),
        }
        self.cursor = Some(start);
        Some(reader)
    }

    async fn listen(&mut self, mut reader: Reader) {
        while !self.is_done() {
            // What can't be read now is tried at another hub.
            let Ok(delivery) = reader.next().await else { return };
            let cursor = self.cursor.as_mut().expect("it is connected");
            if let Some(to) = delivery.reset {
                self.shared.truth.check_reset(&self.room, cursor, &to, self.shared.keeps_all);
                *cursor = to;
            }
            self.shared.truth.check_read(&self.room, cursor, &delivery.records);
            if let Some(last) = delivery.records.last() {
                cursor.offset = last.offset;
            }
            if self.rng.u8(..10) == 0 {
                sleep(Duration::from_millis(self.rng.u64(..5_000))).await;
            }
        }
    }
}

/// Reads all rooms in the order of the log, as whoever tells webhooks does.
pub struct Teller {
    shared: Arc<Shared>,
    rng: Rng,
    cursor: Position,
}

impl Teller {
    pub fn new(shared: Arc<Shared>, rng: Rng) -> Self {
        let cursor = Position { epoch: shared.epoch(), offset: Offset(0) };
        Self { shared, rng, cursor }
    }

    pub async fn live(mut self) {
        loop {
            let node = self.shared.any(&mut self.rng);
            let records = self.rng.usize(1..20);
            let reading = node.broker.read_all(0, self.cursor.offset, records, usize::MAX);
            let page = tokio::select! {
                biased;
                () = node.dies() => continue,
                page = timeout(PATIENCE, reading) => page,
            };
            if let Ok(Ok(page)) = page {
                if page.epoch != self.cursor.epoch || page.floor > self.cursor.offset {
                    // It is known that something may be missing.
                    self.cursor = Position { epoch: page.epoch.clone(), offset: page.floor };
                } else {
                    self.shared.truth.check_told(&self.cursor, &page);
                    self.cursor.offset = page.head;
                    if page.complete && self.is_done() {
                        return;
                    }
                }
            }
            sleep(Duration::from_millis(self.rng.u64(..2_000))).await;
        }
    }

    fn is_done(&self) -> bool {
        let ends = self.shared.ends.borrow();
        let end = ends.as_ref().and_then(|ends| ends.values().max());
        end.is_some_and(|end| self.cursor.offset >= *end)
            && self.cursor.epoch == self.shared.epoch()
    }
}
