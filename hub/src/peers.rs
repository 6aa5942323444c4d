//! What hubs of one log tell each other: who is in their rooms, and what is for one session alone. It is not kept.
//!
//! Each hub tells its own share, and what has changed of it; whoever has missed a change asks for the whole. A hub that is
//! silent for seven seconds is gone, and its share with it. How that gets from one to the other is for [`Peers`].

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt::Debug,
    hash::Hash,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use common::{MemberName, RoomName, SessionId};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    Letter, Undelivered,
    broker::{BoxFuture, Following},
};

/// How often a hub says at the least that it is there.
pub(crate) const BEAT: Duration = Duration::from_secs(2);
/// After so much silence a hub is gone.
pub(crate) const GONE: Duration = Duration::from_secs(7);
/// How often a share is told of in which nothing has changed, so that whoever has missed something learns of it.
pub(crate) const AGAIN: Duration = Duration::from_secs(10);
/// How much is told of at once: NATS takes a mebibyte, a room is up to 300 bytes, and a member with all the sessions it may have
/// four KiB.
const PART: usize = 200;
/// How many KiB of letters from other hubs may wait to be taken.
const LETTERS_KIB: usize = 8 * 1024;

/// A hub, from its start to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HubId(pub u64);

impl HubId {
    /// One unlike any other.
    pub fn new() -> Self {
        Self(uuid::Uuid::new_v4().as_u64_pair().0)
    }
}

impl Default for HubId {
    fn default() -> Self {
        Self::new()
    }
}

/// Hears what others tell. It must be quick.
pub type Hear = Arc<dyn Fn(&[u8]) + Send + Sync>;
/// Answers another hub.
pub type Answer = Arc<dyn Fn(&[u8]) -> Bytes + Send + Sync>;

/// The way from one hub to the others. What is told may be lost, and is never kept; what one tells on a topic is heard in
/// the order in which it was told.
pub trait Peers: Debug + Send + Sync {
    /// Tells all others who listen to this room, or without one, all others.
    fn tell(&self, room: Option<&RoomName>, text: Bytes);

    /// Hears what is told so, until the value is dropped. This hub's own is heard, too.
    fn listen(&self, room: Option<&RoomName>, hear: Hear) -> Following;

    /// Asks one other hub; `None` if it does not answer.
    fn ask(&self, hub: HubId, text: Bytes) -> BoxFuture<'_, Option<Bytes>>;

    /// Answers what others ask this hub, until the value is dropped.
    fn answer(&self, own: HubId, answer: Answer) -> Following;
}

/// What is said on a topic.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Said<K, V> {
    /// Let everybody tell their share whole.
    Ask(HubId),
    /// What has become of a share.
    Told(Told<K, V>),
}

impl<K: Serialize + DeserializeOwned, V: Serialize + DeserializeOwned> Said<K, V> {
    pub(crate) fn encode(&self) -> Bytes {
        // Names and numbers always encode.
        serde_json::to_vec(self).unwrap_or_default().into()
    }

    /// `None` for what a newer version says.
    pub(crate) fn decode(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }
}

/// What has become of a hub's share.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Told<K, V> {
    pub(crate) hub: HubId,
    /// Versions begin anew in another life.
    pub(crate) life: u64,
    /// What it was before; 0 if this is all of it.
    pub(crate) base: u64,
    pub(crate) version: u64,
    /// Of all of it, there is more to come.
    #[serde(default, skip_serializing_if = "is_not")]
    pub(crate) more: bool,
    #[serde(default = "Vec::new", skip_serializing_if = "Vec::is_empty")]
    pub(crate) set: Vec<(K, V)>,
    #[serde(default = "Vec::new", skip_serializing_if = "Vec::is_empty")]
    pub(crate) gone: Vec<K>,
}

/// How far a hub has told of its share.
#[derive(Debug)]
pub(crate) struct Telling {
    pub(crate) hub: HubId,
    pub(crate) life: u64,
    version: u64,
}

impl Telling {
    pub(crate) fn new(hub: HubId, life: u64) -> Self {
        Self { hub, life, version: 0 }
    }

    /// Whether nothing was told yet.
    pub(crate) fn is_new(&self) -> bool {
        self.version == 0
    }

    /// What is to be told, in parts: all there is, or what has changed. What says nothing new says how far it goes.
    pub(crate) fn tell<K, V>(
        &mut self,
        is_whole: bool,
        set: Vec<(K, V)>,
        gone: Vec<K>,
    ) -> Vec<Told<K, V>> {
        let is_news = is_whole || !set.is_empty() || !gone.is_empty();
        let parts = set.len().max(gone.len()).div_ceil(PART).max(1);
        let (mut set, mut gone) = (set.into_iter(), gone.into_iter());
        let told = (1..=parts).map(|part| {
            let base = if is_whole && part == 1 { 0 } else { self.version };
            self.version += u64::from(is_news);
            Told {
                hub: self.hub,
                life: self.life,
                base,
                version: self.version,
                more: is_whole && part < parts,
                set: set.by_ref().take(PART).collect(),
                gone: gone.by_ref().take(PART).collect(),
            }
        });
        told.collect()
    }
}

/// How far the share of another hub is known.
#[derive(Debug)]
pub(crate) struct Known<K> {
    /// Its life and version, once all of it was told.
    version: Option<(u64, u64)>,
    /// What was among it so far, while all of it is told in parts.
    still: Option<HashSet<K>>,
    /// When it was told of last.
    pub(crate) at: Instant,
}

/// What to do with what was told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step<K: Eq + Hash> {
    /// To take it: it comes next.
    Next,
    /// To take it, and to let go of what is not among these: that was all there is.
    Last(HashSet<K>),
    /// Nothing, for it was known.
    Old,
    /// To ask, for something before it was not heard.
    Missed,
}

impl<K: Clone + Eq + Hash> Known<K> {
    /// Nothing yet.
    pub(crate) fn nothing(now: Instant) -> Self {
        Self { version: None, still: None, at: now }
    }

    /// Whether anything is known of it.
    pub(crate) fn is_any(&self) -> bool {
        self.version.is_some()
    }

    /// It was told of.
    pub(crate) fn hear<V>(&mut self, told: &Told<K, V>, now: Instant) -> Step<K> {
        self.at = now;
        match self.version {
            _ if told.base == 0 => self.still = Some(HashSet::new()),
            Some((life, version)) if life == told.life && version >= told.version => {
                return Step::Old;
            }
            known if known == Some((told.life, told.base)) => {}
            _ => return Step::Missed,
        }
        self.version = Some((told.life, told.version));
        if let Some(still) = &mut self.still {
            still.extend(told.set.iter().map(|(key, _)| key.clone()));
        }
        match self.still.take_if(|_| !told.more) {
            Some(all) => Step::Last(all),
            None => Step::Next,
        }
    }
}

/// What a hub tells of a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shown {
    pub(crate) name: MemberName,
    /// How often its name has changed: the later one counts.
    pub(crate) named: u64,
    #[serde(default, skip_serializing_if = "is_not")]
    pub(crate) typing: bool,
    #[serde(default, skip_serializing_if = "is_not")]
    pub(crate) idle: bool,
    /// The sessions there, if each can be reached directly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) direct: Option<Vec<SessionId>>,
    /// Those that are in the room's call.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) call: Vec<SessionId>,
    /// Those that take what others send to them alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) mail: Vec<SessionId>,
    /// What they have declared of themselves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) declared: Vec<Declared>,
}

/// What a session has declared of itself, and when, in milliseconds since 1970. Of one that is at several hubs, because a
/// balancer brings its requests to any, what was declared last holds at all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Declared {
    pub(crate) session: SessionId,
    pub(crate) at: u64,
    #[serde(default, skip_serializing_if = "is_not")]
    pub(crate) idle: bool,
    #[serde(default, skip_serializing_if = "is_not")]
    pub(crate) direct: bool,
    #[serde(default, skip_serializing_if = "is_not")]
    pub(crate) call: bool,
}

fn is_not(is: &bool) -> bool {
    !is
}

/// A letter on its way to a session at another hub.
#[derive(Serialize, Deserialize)]
pub(crate) struct Post<'a> {
    pub(crate) room: RoomName,
    pub(crate) to: SessionId,
    #[serde(borrow)]
    pub(crate) text: std::borrow::Cow<'a, str>,
}

/// What became of a letter.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Posted {
    Delivered,
    NotHere,
    Full(usize),
}

impl From<Result<(), Undelivered>> for Posted {
    fn from(put: Result<(), Undelivered>) -> Self {
        match put {
            Ok(()) => Self::Delivered,
            Err(Undelivered::NotHere) => Self::NotHere,
            Err(Undelivered::Full(limit)) => Self::Full(limit),
        }
    }
}

impl From<Posted> for Result<(), Undelivered> {
    fn from(posted: Posted) -> Self {
        match posted {
            Posted::Delivered => Ok(()),
            Posted::NotHere => Err(Undelivered::NotHere),
            Posted::Full(limit) => Err(Undelivered::Full(limit)),
        }
    }
}

/// The other hubs, as one of them knows them.
#[derive(Debug)]
pub(crate) struct Others {
    pub(crate) own: HubId,
    pub(crate) peers: Arc<dyn Peers>,
    state: Mutex<State>,
    /// Room for their letters, in KiB.
    letters: Arc<Semaphore>,
}

#[derive(Debug)]
struct State {
    telling: Telling,
    hubs: HashMap<HubId, Other>,
    /// What the others were told of this one's rooms.
    told: BTreeMap<RoomName, usize>,
    told_at: Option<Instant>,
    is_asked: bool,
}

#[derive(Debug)]
struct Other {
    known: Known<RoomName>,
    /// Its rooms with somebody in them, and how many that are.
    rooms: BTreeMap<RoomName, usize>,
}

type SaidOfRooms = Said<RoomName, usize>;

impl Others {
    pub(crate) fn new(peers: Arc<dyn Peers>) -> Self {
        let own = HubId::new();
        let state = State {
            telling: Telling::new(own, 0),
            hubs: HashMap::new(),
            told: BTreeMap::new(),
            told_at: None,
            is_asked: false,
        };
        let letters = Arc::new(Semaphore::new(LETTERS_KIB));
        Self { own, peers, state: Mutex::new(state), letters }
    }

    /// Hears what another tells of its rooms.
    pub(crate) fn hear(&self, text: &[u8], now: Instant) {
        let mut state = self.state.lock();
        let told = match SaidOfRooms::decode(text) {
            Some(Said::Ask(hub)) if hub != self.own => return state.is_asked = true,
            Some(Said::Told(told)) if told.hub != self.own => told,
            _ => return,
        };
        let new = || Other { known: Known::nothing(now), rooms: BTreeMap::new() };
        let other = state.hubs.entry(told.hub).or_insert_with(new);
        let all = match other.known.hear(&told, now) {
            Step::Old => return,
            Step::Missed => {
                drop(state);
                return self.peers.tell(None, SaidOfRooms::Ask(self.own).encode());
            }
            Step::Last(all) => Some(all),
            Step::Next => None,
        };
        other.rooms.extend(told.set);
        told.gone.iter().for_each(|room| _ = other.rooms.remove(room));
        if let Some(all) = all {
            other.rooms.retain(|room, _| all.contains(room));
        }
    }

    /// Tells the others in how many rooms how many are, if that has changed, or for once again.
    pub(crate) fn tell(&self, rooms: BTreeMap<RoomName, usize>, now: Instant) {
        let mut state = self.state.lock();
        let is_whole = std::mem::take(&mut state.is_asked) || state.telling.is_new();
        let changed = rooms != state.told;
        let beat = state.told_at.is_none_or(|at| now.duration_since(at) >= BEAT);
        if !(is_whole || changed || beat) {
            return;
        }
        let before = std::mem::replace(&mut state.told, rooms);
        state.told_at = Some(now);
        let is_new = |room: &RoomName, count: &usize| is_whole || before.get(room) != Some(count);
        let set = state.told.iter().filter(|(room, count)| is_new(room, count));
        let set = set.map(|(room, count)| (room.clone(), *count)).collect();
        let gone = before.into_keys().filter(|room| !state.told.contains_key(room)).collect();
        // Under the lock: what comes next is told next.
        for told in state.telling.tell(is_whole, set, gone) {
            self.peers.tell(None, SaidOfRooms::Told(told).encode());
        }
    }

    /// Those who have been silent for too long, and are forgotten now.
    pub(crate) fn gone(&self, now: Instant) -> Vec<HubId> {
        let mut state = self.state.lock();
        let gone = state.hubs.extract_if(|_, other| now.duration_since(other.known.at) >= GONE);
        gone.map(|(hub, _)| hub).collect()
    }

    /// The rooms somebody is in elsewhere, and how many that are; one who is at two hubs counts twice.
    pub(crate) fn rooms(&self) -> HashMap<RoomName, usize> {
        let mut rooms = HashMap::new();
        for (room, count) in self.state.lock().hubs.values().flat_map(|other| &other.rooms) {
            *rooms.entry(room.clone()).or_default() += count;
        }
        rooms
    }

    /// At which hubs somebody is in this room.
    pub(crate) fn with(&self, room: &RoomName) -> Vec<HubId> {
        let state = self.state.lock();
        let with = state.hubs.iter().filter(|(_, other)| other.rooms.contains_key(room));
        with.map(|(hub, _)| *hub).collect()
    }

    /// Hands a letter to a session at another hub.
    pub(crate) async fn post(
        &self,
        hub: HubId,
        room: &RoomName,
        to: &SessionId,
        letter: Letter,
    ) -> Result<(), Undelivered> {
        // Held until it is answered.
        let Letter { text, held: _held } = letter;
        let post = Post { room: room.clone(), to: to.clone(), text: text.into() };
        // Texts always encode.
        let text = serde_json::to_vec(&post).unwrap_or_default();
        let answer = self.peers.ask(hub, text.into()).await.ok_or(Undelivered::NotHere)?;
        serde_json::from_slice::<Posted>(&answer).unwrap_or(Posted::NotHere).into()
    }

    /// Room for a letter of another hub.
    pub(crate) fn room_for(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let kib = u32::try_from(bytes.div_ceil(1024)).ok()?;
        self.letters.clone().try_acquire_many_owned(kib).ok()
    }
}
