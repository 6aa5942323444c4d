//! Webhooks: one more reader of the log, which hands what it reads to an address of the operator's, signed as
//! [Standard Webhooks](https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md) has it.
//!
//! Start at `Teller::tell_all`. The rule to keep: a position is kept once a batch was taken, and not before. So what is told
//! is told in the order of the log and at least once, whatever happens to either side; after a restart the messages of at
//! most one batch come twice.

use std::{
    collections::BTreeSet,
    fmt, fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use common::{Audience, Offset, Position, RoomName};
use hmac::{Hmac, Mac};
use hub::{Record, broker::BrokerError};
use reqwest::Url;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::{
    clock::now_ms,
    fetch::{self, Answered},
    lease::Lease,
    rights::Pattern,
    state::ServerState,
    telemetry::traces::Work,
};

/// How many messages are in a batch, and how many bytes of them; the last may go beyond.
const BATCH: usize = 100;
const BATCH_BYTES: usize = 256 * 1024;
/// How many rooms are told of at once.
const ROOMS: usize = 1_000;
/// The longest wait between two tries.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Behind how many messages that are not for it a webhook's position is kept: each time is a commit.
const OTHERS: u64 = 1_000;
/// How often a batch is refused until it is taken apart, and one message until it is left out.
const REFUSALS: u32 = 5;
/// The shortest secret and the longest, in bytes.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// An address, and what is told there.
#[derive(Clone, Debug)]
pub struct Webhook {
    url: Url,
    rooms: Pattern,
}

impl Webhook {
    /// Reads `URL`, or `ROOMS=URL`.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (rooms, url) = match text.split_once('=') {
            Some((rooms, url)) if !rooms.contains(':') => (rooms, url),
            _ => ("*", text),
        };
        let rooms = rooms.parse().map_err(|error| format!("`{rooms}`: {error}"))?;
        Ok(Self { url: fetch::parse_url(url)?, rooms })
    }

    /// Where it is.
    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    /// Whether it is for this room.
    pub(crate) fn is_of(&self, room: &RoomName) -> bool {
        self.rooms.matches(room.as_str())
    }

    /// What is kept of it is kept under this.
    fn key(&self) -> String {
        format!("webhook\n{}", digest(&[&format!("{:?} {}", self.rooms, self.url)]))
    }
}

/// What batches are signed with.
#[derive(Clone)]
pub struct Secret(Vec<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Secret {
    /// These bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// Reads the first line of a file: `whsec_` and 24 to 64 bytes in base64.
    pub(crate) fn load(path: &str) -> Result<Self, String> {
        let text = fs::read_to_string(path).map_err(|error| format!("`{path}`: {error}"))?;
        Self::parse(&text).map_err(|error| format!("`{path}`: {error}"))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let line = text.lines().next().unwrap_or_default().trim();
        let bytes = line.strip_prefix("whsec_").and_then(|rest| BASE64_STANDARD.decode(rest).ok());
        bytes.filter(|bytes| SECRET_BYTES.contains(&bytes.len())).map(Self).ok_or_else(|| {
            "a secret is `whsec_` and 24 to 64 random bytes in base64; \
             `echo whsec_$(openssl rand -base64 32)` makes one"
                .to_owned()
        })
    }

    /// What a request with this body says of itself, when it is sent now.
    pub(crate) fn headers(&self, id: &str, body: &str) -> [(&'static str, String); 3] {
        let seconds = now_ms() / 1_000;
        [
            ("webhook-id", id.to_owned()),
            ("webhook-timestamp", seconds.to_string()),
            ("webhook-signature", self.sign(id, seconds, body)),
        ]
    }

    /// The value of `webhook-signature`.
    fn sign(&self, id: &str, seconds: u64, body: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("any key will do");
        mac.update(format!("{id}.{seconds}.{body}").as_bytes());
        format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()))
    }
}

/// Half of SHA-256 in hexadecimal, of these one behind the other.
fn digest(parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    parts.iter().for_each(|part| hasher.update(format!("{part}\n")));
    hasher.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Messages that go there together.
struct Batch {
    messages: Vec<Arc<Record>>,
    /// Everything up to here is in it, or not for it.
    up_to: Position,
    /// Before them some may be missing: they were let go of before they could be told.
    gap: bool,
}

/// What came of a batch.
enum Told {
    /// It was taken.
    Taken,
    /// There will never be anybody at that address again.
    Gone,
    /// It was refused again and again: that is about what is in it.
    Refused,
    /// It is another hub's to tell by now.
    Lost,
}

/// Tells one webhook what is said.
#[derive(Clone)]
pub(crate) struct Teller {
    server: ServerState,
    hook: Webhook,
    secret: Secret,
    /// Whether this hub tells it, and no other.
    lease: Lease,
    /// Of which shard of the log it tells.
    shard: usize,
    /// There will never be anybody there again.
    is_gone: Arc<AtomicBool>,
}

impl Teller {
    /// Finds out where it was. What is said from then on is told.
    pub(crate) async fn new(server: ServerState, hook: Webhook, secret: Secret) -> Self {
        let lease = Lease::new(server.clone(), hook.key()).await;
        let teller = Self { server, hook, secret, lease, shard: 0, is_gone: Arc::default() };
        if teller.lease.is_held() {
            // One that is new has its position from now on.
            for shard in teller.shards() {
                let _ = shard.begin().await;
            }
        }
        teller
    }

    /// For each shard of the log one that tells of it.
    pub(crate) fn shards(&self) -> impl Iterator<Item = Self> {
        let shards = self.server.hub.broker().shards();
        (0..shards).map(|shard| Self { shard, ..self.clone() })
    }

    /// Lets another hub tell it from now on.
    pub(crate) async fn leave(self) {
        self.lease.give_up().await;
    }

    /// What its position is kept under.
    fn key(&self) -> String {
        match self.shard {
            0 => self.hook.key(),
            shard => format!("{}\n{shard}", self.hook.key()),
        }
    }

    /// Tells all there is and will be of its shard, whenever it is this hub's to tell; ends only if there will never be anybody to tell
    /// it to.
    pub(crate) async fn tell_all(self) {
        loop {
            self.lease.held().await;
            match self.begin().await {
                Some(at) => {
                    if let Told::Gone = self.tell_from(at).await {
                        return;
                    }
                }
                None => sleep(Duration::from_secs(1)).await,
            }
        }
    }

    /// Tells what is behind this position, as long as it is this hub's to tell; why that is over.
    async fn tell_from(&self, mut at: Position) -> Told {
        let (mut kept, mut gap) = (at.offset, false);
        while self.lease.is_held() {
            let published = self.server.hub.published();
            match self.next(&at).await {
                Some(batch) if batch.messages.is_empty() && at == batch.up_to => {
                    let broker = self.server.hub.broker();
                    tokio::select! {
                        () = published => {}
                        () = broker.appended(self.shard, at.offset) => {}
                        // Another life of the log may not go as far.
                        () = sleep(Duration::from_secs(5)) => {}
                    }
                }
                Some(batch)
                    if batch.messages.is_empty()
                        && batch.up_to.offset.0 < kept.0.saturating_add(OTHERS) =>
                {
                    gap |= batch.gap;
                    at = batch.up_to;
                }
                Some(mut batch) => {
                    // It is told with the next messages, whenever those come.
                    gap |= batch.gap;
                    if !batch.messages.is_empty() {
                        batch.gap = std::mem::take(&mut gap);
                    }
                    kept = batch.up_to.offset;
                    match self.tell(&batch).await {
                        Told::Taken => at = self.keep(batch.up_to).await,
                        Told::Refused => match self.tell_each(batch).await {
                            Ok(position) => at = position,
                            Err(why) => return why,
                        },
                        over @ (Told::Gone | Told::Lost) => return over,
                    }
                }
                // The log can't be read now.
                None => sleep(Duration::from_secs(1)).await,
            }
        }
        Told::Lost
    }

    /// Where it was; the end of the log, for one that is new.
    async fn begin(&self) -> Option<Position> {
        let broker = self.server.hub.broker();
        let kept = broker.kept().await.ok()?;
        let own = kept.into_iter().find(|(key, _)| *key == self.key());
        if let Some(position) = own.and_then(|(_, value)| value.parse().ok()) {
            return Some(position);
        }
        let page = broker.read_all(self.shard, Offset(i64::MAX as u64), 1, 1).await.ok()?;
        Some(self.keep(Position { epoch: page.epoch, offset: page.head }).await)
    }

    /// Keeps how far it is. Where that fails a batch comes twice after a restart, which is not worse than waiting.
    async fn keep(&self, position: Position) -> Position {
        if !self.lease.is_held() {
            // Whoever tells it now keeps its own.
            return position;
        }
        let kept = self.server.hub.broker().keep(&self.key(), Some(&position.to_string()));
        if let Err(error) = kept.await {
            tracing::warn!(%error, "can't keep how far a webhook is");
        }
        position
    }

    async fn next(&self, at: &Position) -> Option<Batch> {
        let page = self.read(at.offset).await.ok()?;
        // In another life of the log it goes on where it was, for the position is kept in the same log; unless that does
        // not go so far.
        let is_new = page.epoch != at.epoch;
        let page = match is_new && page.head < at.offset {
            true => self.read(Offset(0)).await.ok()?,
            false => page,
        };
        let gap = is_new || at.offset < page.floor;
        let last = page.records.last().map_or(page.head.max(at.offset), |record| record.offset);
        let up_to = Position {
            epoch: page.epoch,
            offset: if page.complete { page.head.max(last) } else { last },
        };
        let is_told = |record: &Arc<Record>| {
            let envelope = &record.envelope;
            // What is for some is for nobody else, also not for the operator's programs.
            matches!(envelope.to, Audience::All | Audience::Others)
                && self.hook.is_of(&envelope.room)
        };
        let messages: Vec<_> = page.records.into_iter().filter(is_told).collect();
        Some(Batch { messages, up_to, gap })
    }

    async fn read(&self, after: Offset) -> Result<hub::broker::Page, BrokerError> {
        self.server.hub.broker().read_all(self.shard, after, BATCH, BATCH_BYTES).await
    }

    /// Tells which of its rooms somebody is in, and of each whether that has changed, about once a second. What changes back
    /// before it can be told is not told: what counts is how it is. After a start all are told anew.
    pub(crate) async fn tell_rooms(self) {
        let (mut told, mut is_first) = (BTreeSet::new(), true);
        let mut second = interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            second.tick().await;
            if !self.lease.is_held() {
                // Whoever told it meanwhile has told other things.
                (told, is_first) = (BTreeSet::new(), true);
                self.lease.held().await;
            }
            let mut now = self.server.hub.occupied();
            now.retain(|room| self.hook.is_of(room));
            let occupied: Vec<_> = now.difference(&told).take(ROOMS).cloned().collect();
            let vacated: Vec<_> = told.difference(&now).take(ROOMS).cloned().collect();
            if occupied.is_empty() && vacated.is_empty() && !is_first {
                continue;
            }
            let data = json!({
                "all": is_first, "at": now_ms(), "occupied": &occupied, "vacated": &vacated,
            });
            let id = format!("msg_{}", uuid::Uuid::new_v4().simple());
            match self.send(&id, json!({"type": "rooms", "data": data}).to_string()).await {
                Told::Gone => return,
                Told::Lost => {}
                Told::Taken => {
                    is_first = false;
                    told.extend(occupied);
                    vacated.iter().for_each(|room| _ = told.remove(room));
                }
                // It knows nothing then, and is told all of it after a while.
                Told::Refused => {
                    tracing::warn!("a webhook refuses what it is told of rooms; again in a minute");
                    (told, is_first) = (BTreeSet::new(), true);
                    sleep(LONGEST_WAIT).await;
                }
            }
        }
    }

    /// Tells one after the other what was refused together; what is refused alone is left out.
    ///
    /// # Errors
    ///
    /// Why it is over before the last.
    async fn tell_each(&self, batch: Batch) -> Result<Position, Told> {
        let Batch { messages, up_to, mut gap } = batch;
        for message in messages {
            let (epoch, offset) = (up_to.epoch.clone(), message.offset);
            let up_to = Position { epoch, offset };
            let one = Batch { messages: vec![message], up_to, gap: std::mem::take(&mut gap) };
            match self.tell(&one).await {
                Told::Taken => {}
                Told::Refused => {
                    self.server.telemetry.hooked("left_out");
                    tracing::warn!(%offset, "a webhook refuses a message, which is left out");
                }
                over @ (Told::Gone | Told::Lost) => return Err(over),
            }
            self.keep(one.up_to).await;
        }
        Ok(self.keep(up_to).await)
    }

    /// Tells a batch, again and again until it is taken; refused often enough, it is given back.
    async fn tell(&self, batch: &Batch) -> Told {
        if batch.messages.is_empty() {
            return Told::Taken;
        }
        let first = batch.messages[0].offset;
        let last = batch.messages[batch.messages.len() - 1].offset;
        let (epoch, key) = (&batch.up_to.epoch, self.key());
        // The same each time it is tried, and another for what is told one by one.
        let id = format!(
            "msg_{}",
            digest(&[&key, epoch.as_str(), &format!("{first} {last} {}", batch.messages.len())])
        );
        self.send(&id, body(batch)).await
    }

    /// Sends this, again and again until it is taken; refused often enough, it is given back.
    async fn send(&self, id: &str, body: String) -> Told {
        let (mut wait, mut refusals) = (self.server.config.timing.retry, 0);
        loop {
            if self.is_gone.load(Ordering::Relaxed) {
                return Told::Gone;
            }
            if !self.lease.is_held() {
                return Told::Lost;
            }
            let span = self.server.telemetry.traces.begin(Work::Webhook);
            let headers: Vec<_> =
                self.secret.headers(id, &body).into_iter().chain(span.parent()).collect();
            let answered = fetch::post(&self.hook.url, &headers, body.clone()).await;
            if let Ok(answered) = &answered {
                span.answered(answered.status);
            }
            let (why, asked) = match answered {
                Ok(Answered { status: 200..300, .. }) => {
                    span.came_to("taken");
                    self.server.telemetry.hooked("taken");
                    return Told::Taken;
                }
                Ok(Answered { status: 410, .. }) => {
                    tracing::error!(
                        "a webhook is gone for good (410); nothing more is sent there until a restart"
                    );
                    self.is_gone.store(true, Ordering::Relaxed);
                    return Told::Gone;
                }
                Ok(Answered { status, retry_after }) => {
                    if (400..500).contains(&status) && ![408, 425, 429].contains(&status) {
                        refusals += 1;
                    }
                    (format!("it answered {status}"), retry_after)
                }
                Err(error) => (error, None),
            };
            span.came_to("failed");
            span.fail();
            // The wait until the next try is no part of it.
            drop(span);
            self.server.telemetry.hooked("failed");
            if refusals >= REFUSALS {
                return Told::Refused;
            }
            tracing::debug!(%why, "a webhook was not taken");
            // Anything from half of it on, so that many do not come at once.
            let jittered = wait.mul_f64(0.5 + fastrand::f64() / 2.0);
            let pause = asked.map_or(jittered, |asked| asked.max(jittered)).min(LONGEST_WAIT);
            sleep(pause).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }
}

/// `{"type": "messages", "data": {"position", "gap", "messages"}}`; of each message the very params of its frame.
fn body(batch: &Batch) -> String {
    let params: Vec<_> = batch.messages.iter().map(|record| record.params()).collect();
    let (position, gap) = (json!(batch.up_to), if batch.gap { r#","gap":true"# } else { "" });
    format!(
        r#"{{"type":"messages","data":{{"position":{position}{gap},"messages":[{}]}}}}"#,
        params.join(",")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_signed_as_the_specification_has_it() {
        // The example of its own libraries.
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
        let signature =
            secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_says_what_it_is_and_is_long_enough() {
        for bad in ["", "secret", "whsec_", "whsec_c2hvcnQ=", "whsec_***"] {
            assert!(Secret::parse(bad).unwrap_err().contains("whsec_"), "{bad}");
        }
    }

    #[test]
    fn a_webhook_is_for_all_rooms_or_for_those_that_are_named() {
        let of = |text: &str, room: &str| Webhook::parse(text).unwrap().rooms.matches(room);
        assert!(of("https://a.example/hook?x=1", "tea"));
        assert!(of("team-*=https://a.example/hook?x=1", "team-red"));
        assert!(!of("team-*=https://a.example/hook", "tea"));
        assert!(Webhook::parse("http://a.example/hook").is_err());
        assert!(Webhook::parse("a/b=https://a.example/hook").is_err());
    }
}
