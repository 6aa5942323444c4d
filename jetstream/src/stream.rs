//! One stream, and all that is asked of it: no other file but those that implement it knows how NATS is spoken to.
//!
//! A name of its own for each room. What is stored is told to those who listen to that name, with the offset it has and that
//! of what came before it there, so that whoever listens sees a gap. It may not be told, or twice, or out of order.

use std::{fmt::Debug, time::Duration};

use bytes::Bytes;
use common::Offset;
use futures_util::stream::BoxStream;
use hub::broker::{BoxFuture, BrokerError};
use tokio::time::{sleep, timeout};

/// How often it is looked whether there is a connection again.
const LOOK: Duration = Duration::from_millis(20);

/// What becomes of what was sent: the offset of the last, or that of what is there with the same id, and whether it is that.
pub(crate) type Answer = BoxFuture<'static, Result<(Offset, bool), Failure>>;

/// What is stored under a name, from when somebody began to listen.
pub(crate) type Hearing = BoxStream<'static, News>;

/// A stream of JetStream, or something that behaves like one.
pub(crate) trait Stream: Debug + Send + Sync {
    /// How long an answer may take.
    fn wait(&self) -> Duration;

    fn is_connected(&self) -> bool;

    /// Waits until there is a connection, as long as an answer may take.
    ///
    /// # Errors
    ///
    /// There is none: nothing that is asked now would be sent.
    fn connected(&self) -> BoxFuture<'_, Result<(), Failure>> {
        let connected = async {
            while !self.is_connected() {
                sleep(LOOK).await;
            }
        };
        Box::pin(async move {
            let late = |_| Failure::Away("NATS: asking: there is no connection".to_owned());
            timeout(self.wait(), connected).await.map_err(late)
        })
    }

    /// What the leader says of the stream.
    fn facts(&self) -> BoxFuture<'_, Result<Facts, Failure>>;

    /// Begins another life of the log, if it is in this one still: what was given out before is no position in it any more.
    fn end_life<'a>(&'a self, life: &'a str) -> BoxFuture<'a, Result<(), Failure>>;

    /// Sends these, to be stored whole or not at all, in this order and next to each other. On return they are sent; the
    /// future that it returns is the answer.
    fn send(&self, new: Vec<New>) -> BoxFuture<'_, Result<Answer, Failure>>;

    /// Stores this if the newest under its name is still that, or none for 0. Its offset; `None` if it is another by now.
    fn replace(&self, new: New, newest: Offset) -> BoxFuture<'_, Result<Option<Offset>, Failure>>;

    /// Hears what is stored under this name from now on.
    fn listen<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Hearing, Failure>>;

    /// The newest under this name, as the leader has it.
    fn newest<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Option<Item>, Failure>>;

    /// The offset of the newest under this name, as the leader has it.
    fn last<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Option<Offset>, Failure>> {
        Box::pin(async move { Ok(self.newest(token).await?.map(|newest| newest.offset)) })
    }

    /// What is stored behind an offset, under this name or, without one, under all: at most so many, and no more once there are
    /// so many bytes. Whichever server is near answers; it may not have the newest yet. Also, whether there is more.
    fn read<'a>(
        &'a self,
        token: Option<&'a str>,
        after: Offset,
        items: usize,
        bytes: usize,
    ) -> BoxFuture<'a, Result<(Vec<Item>, bool), Failure>>;

    /// The newest under each of these names, where there is one; from whichever server is near.
    fn lasts<'a>(
        &'a self,
        tokens: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<(String, Offset)>, Failure>>;

    /// Lets go of one, so that it can't be read from the disk either.
    fn erase(&self, offset: Offset) -> BoxFuture<'_, Result<(), Failure>>;

    /// Lets go of all that is under this name before an offset.
    fn purge<'a>(&'a self, token: &'a str, before: Offset) -> BoxFuture<'a, Result<(), Failure>>;
}

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// One of the ids was there already; of several it is not said which.
    #[error("an id is there already")]
    Known,
    /// Too much is under way; the same may be tried again.
    #[error("too much is under way at NATS")]
    Busy,
    /// There is no room left.
    #[error("NATS has no room left")]
    Full,
    /// There is no answer, or not this one.
    #[error("{0}")]
    Away(String),
}

impl From<Failure> for BrokerError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Full => Self::Full,
            Failure::Known | Failure::Busy | Failure::Away(_) => {
                Self::Unavailable(failure.to_string())
            }
        }
    }
}

/// What is known of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Another in another life of the log.
    pub(crate) life: String,
    /// The oldest there is, or would be.
    pub(crate) first: Offset,
    /// The newest that was ever there.
    pub(crate) last: Offset,
    pub(crate) bytes: u64,
    /// Over how many streams the rooms of its log are spread.
    pub(crate) streams: usize,
    /// When that was stored, milliseconds since 1970; none if nothing ever was.
    pub(crate) last_at: Option<u64>,
}

/// Something that is stored.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    /// Under which name, as a token.
    pub(crate) token: String,
    pub(crate) offset: Offset,
    pub(crate) payload: Bytes,
}

/// Something that was just stored.
#[derive(Clone, Debug)]
pub(crate) struct News {
    pub(crate) item: Item,
    /// What was stored under this name before; 0 if nothing is left of that.
    pub(crate) previous: Offset,
}

/// What to store.
#[derive(Clone, Debug)]
pub(crate) struct New {
    pub(crate) token: String,
    /// What has this one is stored once within the window of the stream.
    pub(crate) id: Option<String>,
    pub(crate) payload: Bytes,
}
