//! What keeps the log: the trait every store implements.
//!
//! A broker numbers, keeps and hands on. It is asked to append, and answers when what was appended is
//! kept as safely as it promises. A room is followed by opening it: whatever is appended to it from then
//! on, by whomever, is handed on in offset order. The hub knows the log only through this; it never
//! numbers anything itself.

mod ages;
mod followed;
pub mod memory;
mod room_log;
mod troubles;

use std::{collections::VecDeque, fmt::Debug, future::Future, pin::Pin, sync::Arc, time::Duration};

use common::{Epoch, MessageId, Offset, Position, Refusal, RoomName};

pub use self::{
    ages::Ages,
    followed::{Followed, Following, News},
    room_log::{Known, RoomLog, aim, taken},
    troubles::Troubles,
};
use crate::{Draft, Record};

/// What an asynchronous method of a trait object returns.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// For how long what is done by one hub alone is that hub's, since it last asked.
pub const LEASE: Duration = Duration::from_secs(5);

/// What hears of a room that is followed. It must be quick: what is handed to it next waits for it.
pub type Follower = Arc<dyn Fn(Heard) + Send + Sync>;

/// What there is to hear of a room.
#[derive(Clone, Debug)]
pub enum Heard {
    /// These were appended: in offset order, each once, none left out.
    Records(Vec<Arc<Record>>),
    /// The log has begun another life; what comes next belongs to it, and is behind this position.
    Epoch(Position),
    /// All up to this offset was let go of, by somebody else.
    LetGo(Offset),
}

/// What hears of each key under which something else is kept now, and of that; nothing where it was forgotten.
pub type Watcher = Arc<dyn Fn(&str, Option<&str>) + Send + Sync>;

/// A log that is kept.
pub trait Broker: Debug + Send + Sync {
    /// Follows `room`: what is appended to it from now on goes to `follower`, until [`Opened::following`]
    /// is dropped. A room is followed by one at a time.
    ///
    /// # Errors
    ///
    /// [`BrokerError`] when the log can't be followed now.
    fn open(
        &self,
        room: &RoomName,
        follower: Follower,
    ) -> BoxFuture<'_, Result<Opened, BrokerError>>;

    /// Appends `drafts` in this order, all or none; of rooms in several [shards](Broker::shards) all or none of each.
    ///
    /// One that edits, takes back or reacts to another does so with what is kept of that: from then on whoever reads finds it
    /// edited, or does not find it ([`mend`]). What was taken back is nowhere any more. Whether that may be is decided
    /// here, in the same order: [`Draft::aimed`].
    ///
    /// On return they are kept; those who follow their rooms hear of them soon, before or after. An id
    /// that is in the room already, or was within [`Retention::ids`], stores nothing and is answered with
    /// its first offset: if it is by whoever said that ([`Draft::is_by`]). Dropping the future may or may not append; appending the same ids again is safe.
    ///
    /// # Errors
    ///
    /// [`BrokerError::IdTaken`] for an id under which somebody else has said something,
    /// [`BrokerError::Refused`] for what may not be done to another message. Any [`BrokerError`]: none of the drafts is kept
    /// then, as far as this side can know.
    fn append(&self, drafts: Vec<Draft>) -> BoxFuture<'_, Result<Appended, BrokerError>>;

    /// Reads a part of a room.
    ///
    /// # Errors
    ///
    /// [`BrokerError`] when the log can't be read now.
    fn read(&self, room: &RoomName, read: Read) -> BoxFuture<'_, Result<Page, BrokerError>>;

    /// How many logs it is: each of them numbers, and keeps, rooms of its own.
    fn shards(&self) -> usize {
        1
    }

    /// Reads all rooms of a shard at once, in the order of its log: at most so many records behind an offset, and no further one
    /// once their frames have so many bytes. The floor is the highest of any room: below it something may be gone.
    ///
    /// # Errors
    ///
    /// [`BrokerError`] when the log can't be read now.
    fn read_all(
        &self,
        shard: usize,
        after: Offset,
        records: usize,
        bytes: usize,
    ) -> BoxFuture<'_, Result<Page, BrokerError>>;

    /// The rooms something is kept of, the one last spoken in first, at most `limit`.
    ///
    /// # Errors
    ///
    /// [`BrokerError`] when the log can't be read now.
    fn rooms(&self, limit: usize) -> BoxFuture<'_, Result<Vec<KeptRoom>, BrokerError>>;

    /// Lets go of what is past its [`Retention`]; to be called now and then. `at` is now, in
    /// milliseconds since 1970. Returns the time by which ages are told, which is an earlier one where the clock is not
    /// believed ([`Ages`]).
    ///
    /// # Errors
    ///
    /// [`BrokerError`] when the log can't be written now; nothing is lost by that.
    fn tidy(&self, at: u64) -> BoxFuture<'_, Result<u64, BrokerError>>;

    /// Lets go of all that was said in `room` but what is to be kept; on return of [`Keep::NOTHING`] it is nowhere any
    /// more. Whoever reads on from before that is told of a gap. Ids are remembered as if it had been let go of by age.
    /// Returns the offset up to which all is gone; 0 if nothing had to go.
    ///
    /// # Errors
    ///
    /// [`BrokerError`] when the log can't be written now; then nothing is gone.
    fn let_go(&self, room: &RoomName, keep: Keep) -> BoxFuture<'_, Result<Offset, BrokerError>>;

    /// Keeps `value` under `key`, in place of what was there; `None` forgets it. As safe as a message, and of no retention.
    ///
    /// # Errors
    ///
    /// [`BrokerError`] when the log can't be written now.
    fn keep(&self, key: &str, value: Option<&str>) -> BoxFuture<'_, Result<(), BrokerError>>;

    /// All that is kept so, by key.
    ///
    /// # Errors
    ///
    /// [`BrokerError`] when the log can't be read now.
    fn kept(&self) -> BoxFuture<'_, Result<Vec<(String, String)>, BrokerError>>;

    /// Tells `watcher` all that is kept, and from then on whatever is kept or forgotten, by whomever: what is kept by this hub
    /// before [`Broker::keep`] returns, what others keep soon. Answers `false`, and tells nothing, where nobody else keeps
    /// anything.
    ///
    /// # Errors
    ///
    /// [`BrokerError`] when the log can't be read now.
    fn watch_kept(&self, watcher: Watcher) -> BoxFuture<'_, Result<bool, BrokerError>> {
        drop(watcher);
        Box::pin(async { Ok(false) })
    }

    /// Whether what `name` stands for is this hub's to do, and no other's, for the next [`LEASE`] since this was asked. To be
    /// asked again and again, more often than that; where nobody else is, it always is.
    ///
    /// # Errors
    ///
    /// [`BrokerError`] when that can't be found out now: then it is not.
    fn lease(&self, name: &str) -> BoxFuture<'_, Result<bool, BrokerError>> {
        let _ = name;
        Box::pin(async { Ok(true) })
    }

    /// Gives up what [`Broker::lease`] gave this hub, so that another need not wait until it is over.
    ///
    /// # Errors
    ///
    /// [`BrokerError`] when that can't be told now: then it is over by itself.
    fn give_up(&self, name: &str) -> BoxFuture<'_, Result<(), BrokerError>> {
        let _ = name;
        Box::pin(async { Ok(()) })
    }

    /// Done once others may have appended something to a shard behind `after`; never, where there are no others.
    fn appended(&self, shard: usize, after: Offset) -> BoxFuture<'_, ()> {
        let _ = (shard, after);
        Box::pin(std::future::pending())
    }

    /// How it does.
    fn health(&self) -> Health {
        Health::default()
    }

    /// Tries whether something could be kept now, as safely as messages are; nothing comes of it.
    ///
    /// # Errors
    ///
    /// [`BrokerError`] when it could not.
    fn check(&self) -> BoxFuture<'_, Result<(), BrokerError>>;
}

/// A room that is followed.
#[derive(Debug)]
pub struct Opened {
    /// Everything up to here is to be read; what is behind it is handed on.
    pub position: Position,
    /// Ends the following when it is dropped.
    pub following: Following,
}

/// How a log does that others have a part in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// Whether it can be reached.
    pub is_connected: bool,
    /// How often something was missing in what was heard of a room, and was read.
    pub gaps: u64,
    /// How often it was found by looking, and by nothing else, that something was not heard of.
    pub found: u64,
    /// Bytes of the log, where that is known here.
    pub bytes: Option<u64>,
}

impl Default for Health {
    fn default() -> Self {
        Self { is_connected: true, gaps: 0, found: 0, bytes: None }
    }
}

/// Where drafts were kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The life of the log the offsets belong to; that of the first, if they are of several shards.
    pub epoch: Epoch,
    /// The offset of each draft.
    pub offsets: Vec<Offset>,
}

/// What to read of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    /// Which part.
    pub part: Part,
    /// At most so many records.
    pub records: usize,
    /// No further record once their frames have this many bytes.
    pub bytes: usize,
    /// This offset was given already: a copy of the log that does not go so far is too old to be read.
    pub at_least: Offset,
}

/// Which part of a room to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The oldest behind this offset.
    After(Offset),
    /// The newest before this offset.
    Before(Offset),
}

/// A part of a room.
#[derive(Clone, Debug)]
pub struct Page {
    /// The life of the log.
    pub epoch: Epoch,
    /// In offset order.
    pub records: Vec<Arc<Record>>,
    /// Whether this is all there is in that direction.
    pub complete: bool,
    /// Everything in this room up to and including this offset may be gone.
    pub floor: Offset,
    /// No offset beyond this one had been given before the page was read: the page has, or could have,
    /// all up to here.
    pub head: Offset,
}

/// What is left of a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// So many of its newest messages at the most.
    pub messages: usize,
    /// Those that are no older than this: milliseconds since 1970.
    pub since: u64,
}

impl Keep {
    /// Nothing at all.
    pub const NOTHING: Self = Self { messages: 0, since: 0 };
}

/// A room that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptRoom {
    /// Its name.
    pub name: RoomName,
    /// When something was last said in it, milliseconds since 1970.
    pub last_at: u64,
}

/// How much a broker keeps. What is over it goes, oldest first.
#[derive(Clone, Debug)]
pub struct Retention {
    /// Messages of one room. Default 10 000.
    pub room_messages: usize,
    /// Bytes of the messages of one room, encoded. Default 8 MiB.
    pub room_bytes: usize,
    /// Bytes of the messages of all rooms, encoded; over it, the oldest go, whatever their room.
    /// Default 1 GiB.
    pub total_bytes: usize,
    /// How old a message may get. Default 30 days.
    pub age: Duration,
    /// How long an id is remembered at the least, so that a retry stores nothing. Default one hour.
    pub ids: Duration,
    /// How many ids of one room are remembered at the most, those of its messages included. Default 20 000.
    pub room_ids: usize,
}

impl Default for Retention {
    fn default() -> Self {
        const DAY: u64 = 24 * 60 * 60;
        Self {
            room_messages: 10_000,
            room_bytes: 8 * 1024 * 1024,
            total_bytes: 1024 * 1024 * 1024,
            age: Duration::from_secs(30 * DAY),
            ids: Duration::from_secs(60 * 60),
            room_ids: 20_000,
        }
    }
}

impl Retention {
    /// The default, with a total that fits into the memory of a small machine: 128 MiB.
    pub fn in_memory() -> Self {
        Self { total_bytes: 128 * 1024 * 1024, ..Self::default() }
    }

    /// How many bytes all rooms are brought down to once they hold too many: a little below the
    /// limit, so that not every append has to make room.
    pub fn total_after_trim(&self) -> usize {
        self.total_bytes - self.total_bytes / 64
    }
}

/// Why the log could not be written or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokerError {
    /// There is no room left; an operator has to make some.
    #[error("the disk is full")]
    Full,
    /// Under this id somebody else has said something in the room.
    #[error("the id {0} is that of another's message")]
    IdTaken(MessageId),
    /// It may not be done to that message.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The log did not do it, for this reason; trying again may help.
    #[error("the log is not available: {0}")]
    Unavailable(String),
}

/// Does to `records`, of one room and in offset order, what `by` does to one of them: whether they are not what they were.
pub fn mend(records: &mut VecDeque<Arc<Record>>, by: &Record) -> bool {
    let Some(mends) = &by.envelope.mends else { return false };
    let before = records.len();
    records.retain(|record| !record.envelope.is_replaced_by(&by.envelope));
    let target = records.iter_mut().find(|record| record.envelope.id == mends.of);
    let is_there = target.is_some();
    if let Some(target) = target {
        *target = target.mended(by);
    }
    is_there || records.len() < before
}

/// A new epoch, unlike any other.
pub fn new_epoch() -> Epoch {
    let random = uuid::Uuid::new_v4().simple().to_string();
    // 48 bits: two lives of one log never meet by chance.
    Epoch::parse(&random[20..]).expect("hexadecimal digits are letters or digits")
}

/// A new id for a message whose sender gave none.
pub fn new_message_id() -> MessageId {
    MessageId::parse(&uuid::Uuid::now_v7().to_string()).expect("a UUID is a message id")
}
