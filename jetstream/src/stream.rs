//! One stream of JetStream, and all that is asked of it: no other file knows how NATS is spoken to.
//!
//! A subject a name. What is stored is published once more to those who listen to that name, with the sequence it has and
//! that of what came before it there, so that whoever listens sees a gap.
//!
//! Sources: the [JetStream API](https://docs.nats.io/reference/reference-protocols/nats_api_reference), direct gets by
//! [ADR-31](https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-31.md), batches that are stored whole
//! or not at all by [ADR-50](https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-50.md).

use std::{collections::HashMap, error::Error as _, future::Future, time::Duration};

use async_nats::{
    Client, HeaderMap, Message, Subscriber,
    jetstream::{
        self, Context, ErrorCode,
        context::{ContextBuilder, GetStreamErrorKind, PublishError, PublishErrorKind},
        message::PublishMessage,
        stream::{
            Config, DeleteMessageError, DeleteMessageErrorKind, DiscardPolicy, Info,
            LastRawMessageErrorKind, Republish, RetentionPolicy, StorageType,
        },
    },
};
use bytes::Bytes;
use common::Offset;
use futures_util::StreamExt;
use hub::broker::BrokerError;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::OpenError;

/// The oldest server that does all of this: it knows ids within batches.
const OLDEST: (i64, i64, i64) = (2, 12, 1);
/// How many subjects may be asked for at once; the server says no above 1,024.
const SUBJECTS: usize = 512;
/// How often it is looked whether there is a connection again.
const LOOK: Duration = Duration::from_millis(20);
/// Parts of a stream's metadata: which life of the log it is, and over how many streams its rooms are spread.
const LIFE: &str = "hubbub.life";
const STREAMS: &str = "hubbub.streams";

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

fn away(what: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::Away(format!("NATS: {what}: {error}"))
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
#[derive(Debug)]
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

/// How a stream is made.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) name: String,
    pub(crate) subjects: String,
    pub(crate) replicas: usize,
    /// Over how many streams the rooms of its log are spread, this one among them.
    pub(crate) streams: usize,
    pub(crate) per_subject: i64,
    pub(crate) max_bytes: i64,
    pub(crate) max_age: Duration,
    pub(crate) window: Duration,
}

#[derive(Clone, Debug)]
pub(crate) struct Stream {
    client: Client,
    jetstream: Context,
    stream: jetstream::stream::Stream<()>,
    name: String,
    subjects: String,
    wait: Duration,
}

impl Stream {
    /// The stream of this shape; if `make`, it is made where there is none. `wait` is how long an answer may take.
    ///
    /// # Errors
    ///
    /// What is there is of another shape, the server is too old, or does not answer.
    pub(crate) async fn open(
        client: Client,
        shape: Shape,
        wait: Duration,
        make: bool,
    ) -> Result<Self, OpenError> {
        let (major, minor, patch) = OLDEST;
        if !client.is_server_compatible(major, minor, patch) {
            return Err(OpenError::TooOld(client.server_info().version));
        }
        let jetstream = ContextBuilder::new().timeout(wait).ack_timeout(wait).build(client.clone());
        let wanted = config(&shape);
        // Of several hubs that start at once one makes it; the others are told that it is there.
        let info = match jetstream.get_stream(&shape.name).await {
            Ok(stream) => stream.cached_info().clone(),
            Err(error) if !make => {
                return Err(match error.kind() {
                    GetStreamErrorKind::JetStream(_) => OpenError::NoStream(shape.name),
                    _ => OpenError::Away(error.to_string()),
                });
            }
            Err(_) => match jetstream.create_stream(wanted.clone()).await {
                Ok(stream) => stream.cached_info().clone(),
                Err(error) => match jetstream.get_stream(&shape.name).await {
                    Ok(stream) => stream.cached_info().clone(),
                    Err(_) => return Err(OpenError::Stream(shape.name, error.to_string())),
                },
            },
        };
        if let Some(what) = differs(&info.config, &wanted) {
            return Err(OpenError::OtherStream(shape.name, what));
        }
        let stream = jetstream
            .get_stream_no_info(&shape.name)
            .await
            .map_err(|error| OpenError::Stream(shape.name.clone(), error.to_string()))?;
        let Shape { name, subjects, .. } = shape;
        Ok(Self { client, jetstream, stream, name, subjects, wait })
    }

    /// Waits until there is a connection, as long as an answer may take.
    ///
    /// # Errors
    ///
    /// There is none: nothing that is asked now would be sent.
    pub(crate) async fn connected(&self) -> Result<(), Failure> {
        let connected = async {
            while !self.is_connected() {
                sleep(LOOK).await;
            }
        };
        timeout(self.wait, connected).await.map_err(|_| away("asking", &"there is no connection"))
    }

    /// What is asked of the server, within its time.
    async fn within<T, E: std::fmt::Display>(
        &self,
        what: &str,
        asking: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Failure> {
        self.connected().await?;
        let asked = timeout(self.wait, asking).await.map_err(|late| away(what, &late))?;
        asked.map_err(|error| away(what, &error))
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.client.connection_state() == async_nats::connection::State::Connected
    }

    fn subject(&self, token: &str) -> String {
        format!("{}.{token}", self.subjects)
    }

    /// What the leader says of the stream.
    pub(crate) async fn facts(&self) -> Result<Facts, Failure> {
        Ok(facts(&self.within("the log", self.stream.get_info()).await?))
    }

    /// Begins another life of the log, if it is in this one still: what was given out before is no position in it any more.
    pub(crate) async fn end_life(&self, life: &str) -> Result<(), Failure> {
        let info = self.within("the log", self.stream.get_info()).await?;
        if facts(&info).life != life {
            return Ok(());
        }
        let mut config = info.config;
        config.metadata.insert(LIFE.to_owned(), uuid::Uuid::new_v4().simple().to_string());
        self.within("another life of the log", self.jetstream.update_stream(config)).await.map(drop)
    }

    /// Sends these, to be stored whole or not at all, in this order and next to each other. On return they are sent; the
    /// future that it returns is the answer: the offset of the last, or that of what is there with the same id.
    pub(crate) async fn send(
        &self,
        new: Vec<New>,
    ) -> Result<impl Future<Output = Result<(Offset, bool), Failure>> + use<>, Failure> {
        if !self.is_connected() {
            return Err(away("storing", &"there is no connection"));
        }
        let batch = (new.len() > 1).then(|| uuid::Uuid::new_v4().simple().to_string());
        let last = new.len();
        let mut answer = None;
        for (number, new) in (1..).zip(new) {
            let mut headers = HeaderMap::new();
            if let Some(id) = &new.id {
                headers.insert(async_nats::header::NATS_MESSAGE_ID, id.as_str());
            }
            if let Some(batch) = &batch {
                headers.insert(async_nats::header::NATS_BATCH_ID, batch.as_str());
                headers.insert(async_nats::header::NATS_BATCH_SEQUENCE, number.to_string());
            }
            let subject = self.subject(&new.token);
            if number < last {
                let sent = self.client.publish_with_headers(subject, headers, new.payload);
                timeout(self.wait, sent)
                    .await
                    .map_err(|late| away("sending", &late))?
                    .map_err(|error| away("sending", &error))?;
                continue;
            }
            if batch.is_some() {
                let commit = async_nats::header::NATS_BATCH_COMMIT_FINAL;
                headers.insert(async_nats::header::NATS_BATCH_COMMIT, commit);
            }
            let publish = PublishMessage::build().headers(headers).payload(new.payload);
            let sent = self.jetstream.send_publish(subject, publish).await;
            answer = Some(sent.map_err(|error| why(&error))?);
        }
        Ok(async move {
            let Some(answer) = answer else { return Ok((Offset(0), false)) };
            let ack = answer.await.map_err(|error| why(&error))?;
            Ok((Offset(ack.sequence), ack.duplicate))
        })
    }

    /// Stores this if the newest under its name is still that, or none for 0. Its offset; `None` if it is another by now.
    pub(crate) async fn replace(
        &self,
        new: New,
        newest: Offset,
    ) -> Result<Option<Offset>, Failure> {
        let mut headers = HeaderMap::new();
        let expected = async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
        headers.insert(expected, newest.0.to_string());
        let publish = PublishMessage::build().headers(headers).payload(new.payload);
        let stored =
            async { self.jetstream.send_publish(self.subject(&new.token), publish).await?.await };
        match stored.await {
            Ok(ack) => Ok(Some(Offset(ack.sequence))),
            Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => Ok(None),
            Err(error) => Err(why(&error)),
        }
    }

    /// Hears what is stored under this name from now on.
    pub(crate) async fn listen(&self, token: &str) -> Result<Subscriber, Failure> {
        let live = format!("{}.{token}", live(&self.subjects));
        self.within("listening", self.client.subscribe(live)).await
    }

    /// The offset of the newest under this name, as the leader has it.
    pub(crate) async fn last(&self, token: &str) -> Result<Option<Offset>, Failure> {
        Ok(self.newest(token).await?.map(|newest| newest.offset))
    }

    /// The newest under this name, as the leader has it.
    pub(crate) async fn newest(&self, token: &str) -> Result<Option<Item>, Failure> {
        let subject = self.subject(token);
        let newest = async {
            match self.stream.get_last_raw_message_by_subject(&subject).await {
                Ok(message) => Ok(Some(Item {
                    token: token.to_owned(),
                    offset: Offset(message.sequence),
                    payload: message.payload,
                })),
                Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
                Err(error) => Err(error),
            }
        };
        self.within("the newest", newest).await
    }

    /// Whether anything is stored behind an offset, as the leader has it.
    pub(crate) async fn is_more(&self, after: Offset) -> Result<bool, Failure> {
        let next = async {
            let asked = self.stream.raw_message_builder().sequence(after.0 + 1);
            match asked.next_by_subject(self.subject("*")).send().await {
                Ok(_) => Ok(true),
                Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(false),
                Err(error) => Err(error),
            }
        };
        self.within("what comes next", next).await
    }

    /// What is stored behind an offset, under this name or, without one, under all: at most so many, and no more once there are
    /// so many bytes. Whichever server is near answers; it may not have the newest yet. Also, whether there is more.
    pub(crate) async fn read(
        &self,
        token: Option<&str>,
        after: Offset,
        items: usize,
        bytes: usize,
    ) -> Result<(Vec<Item>, bool), Failure> {
        let subject = self.subject(token.unwrap_or("*"));
        let from = after.0.saturating_add(1);
        let asked = json!({
            "seq": from, "next_by_subj": subject, "batch": items, "max_bytes": bytes,
        });
        let answers = self.ask_directly(asked).await?;
        let pending = answers.last().and_then(|message| number(message, "Nats-Num-Pending"));
        let items = answers.into_iter().filter_map(|message| self.item(message)).collect();
        Ok((items, pending.is_some_and(|pending| pending > 0)))
    }

    /// The newest under each of these names, where there is one; from whichever server is near.
    pub(crate) async fn lasts(&self, tokens: &[String]) -> Result<Vec<(String, Offset)>, Failure> {
        let mut lasts = Vec::with_capacity(tokens.len());
        for tokens in tokens.chunks(SUBJECTS) {
            let subjects: Vec<_> = tokens.iter().map(|token| self.subject(token)).collect();
            let answers = self.ask_directly(json!({ "multi_last": subjects })).await?;
            let items = answers.into_iter().filter_map(|message| self.item(message));
            lasts.extend(items.map(|item| (item.token, item.offset)));
        }
        Ok(lasts)
    }

    /// Asks whichever server is near for what may be several answers.
    async fn ask_directly(&self, asked: Value) -> Result<Vec<Message>, Failure> {
        let failed = |error: &dyn std::fmt::Display| away("reading", error);
        self.connected().await?;
        let inbox = self.client.new_inbox();
        let asking = async {
            let mut answers =
                self.client.subscribe(inbox.clone()).await.map_err(|error| failed(&error))?;
            let subject = format!("$JS.API.DIRECT.GET.{}", self.name);
            self.client
                .publish_with_reply(subject, inbox, asked.to_string().into())
                .await
                .map_err(|error| failed(&error))?;
            let mut messages = Vec::new();
            while let Some(message) = answers.next().await {
                match message.status.map(|status| status.as_u16()) {
                    None => messages.push(message),
                    // The end, or nothing at all.
                    Some(204 | 404) => return Ok(messages),
                    Some(status) => {
                        let why = message.description.unwrap_or_default();
                        return Err(failed(&format!("{status} {why}")));
                    }
                }
            }
            Err(failed(&"the connection ended"))
        };
        timeout(self.wait, asking).await.map_err(|late| failed(&late))?
    }

    /// Lets go of one, so that it can't be read from the disk either.
    pub(crate) async fn erase(&self, offset: Offset) -> Result<(), Failure> {
        let erase = async {
            match self.stream.delete_message(offset.0).await {
                // That it was not there is as well.
                Err(error) if is_gone(&error) => Ok(()),
                other => other.map(drop),
            }
        };
        self.within("erasing", erase).await
    }

    /// Lets go of all that is under this name before an offset.
    pub(crate) async fn purge(&self, token: &str, before: Offset) -> Result<(), Failure> {
        let purge = self.stream.purge().sequence(before.0).filter(self.subject(token));
        self.within("letting go", purge.into_future()).await.map(drop)
    }

    /// What a message that was published once more says.
    pub(crate) fn news(&self, message: Message) -> Option<News> {
        let previous = Offset(number(&message, "Nats-Last-Sequence")?);
        Some(News { previous, item: self.item(message)? })
    }

    fn item(&self, message: Message) -> Option<Item> {
        let subject = message.headers.as_ref()?.get("Nats-Subject")?.as_str();
        let token = subject.strip_prefix(&self.subjects)?.strip_prefix('.')?.to_owned();
        let offset = Offset(number(&message, "Nats-Sequence")?);
        Some(Item { token, offset, payload: message.payload })
    }
}

fn is_gone(error: &DeleteMessageError) -> bool {
    let DeleteMessageErrorKind::JetStream(error) = error.kind() else { return false };
    matches!(error.error_code(), ErrorCode::NO_MESSAGE_FOUND | ErrorCode::SEQUENCE_NOT_FOUND)
}

fn number(message: &Message, header: &'static str) -> Option<u64> {
    message.headers.as_ref()?.get(header)?.as_str().parse().ok()
}

/// Where what is stored under these subjects is published once more.
fn live(subjects: &str) -> String {
    format!("{subjects}-live")
}

fn config(shape: &Shape) -> Config {
    Config {
        name: shape.name.clone(),
        subjects: vec![format!("{}.*", shape.subjects)],
        max_bytes: shape.max_bytes,
        max_messages: -1,
        max_messages_per_subject: shape.per_subject,
        max_age: shape.max_age,
        discard: DiscardPolicy::Old,
        retention: RetentionPolicy::Limits,
        storage: StorageType::File,
        num_replicas: shape.replicas,
        duplicate_window: shape.window,
        allow_direct: true,
        allow_atomic_publish: true,
        republish: Some(Republish {
            source: format!("{}.*", shape.subjects),
            destination: format!("{}.{{{{wildcard(1)}}}}", live(&shape.subjects)),
            headers_only: false,
        }),
        metadata: HashMap::from([
            ("hubbub".to_owned(), "1".to_owned()),
            (STREAMS.to_owned(), shape.streams.to_string()),
        ]),
        ..Config::default()
    }
}

/// In what `there` would not do; its limits, replicas and place are the operator's.
fn differs(there: &Config, wanted: &Config) -> Option<&'static str> {
    let republish = |config: &Config| {
        config.republish.as_ref().map(|to| (to.source.clone(), to.destination.clone()))
    };
    let same = [
        ("subjects", there.subjects == wanted.subjects),
        ("republish", republish(there) == republish(wanted)),
        ("allow_direct", there.allow_direct),
        ("allow_atomic", there.allow_atomic_publish),
        ("storage", there.storage == StorageType::File),
        ("retention", there.retention == RetentionPolicy::Limits),
        ("discard", there.discard == DiscardPolicy::Old),
        ("deny_delete", !there.deny_delete),
        ("deny_purge", !there.deny_purge),
    ];
    same.into_iter().find(|(_, same)| !same).map(|(what, _)| what)
}

fn facts(info: &Info) -> Facts {
    let life = info.config.metadata.get(LIFE).map_or("", String::as_str);
    Facts {
        life: format!("{} {life}", info.created.unix_timestamp_nanos()),
        first: Offset(info.state.first_sequence),
        last: Offset(info.state.last_sequence),
        bytes: info.state.bytes,
        // One that says nothing of it is alone.
        streams: info.config.metadata.get(STREAMS).and_then(|n| n.parse().ok()).unwrap_or(1),
        last_at: u64::try_from(info.state.last_timestamp.unix_timestamp() * 1_000)
            .ok()
            .filter(|_| info.state.last_sequence > 0),
    }
}

/// Why nothing was stored, as far as this side can know.
fn why(error: &PublishError) -> Failure {
    let said = error.source().and_then(|source| source.downcast_ref::<jetstream::Error>());
    match said.map(jetstream::Error::error_code) {
        Some(ErrorCode::ATOMIC_PUBLISH_CONTAINS_DUPLICATE_MESSAGE) => Failure::Known,
        // So it says where there are too many batches.
        Some(ErrorCode::ATOMIC_PUBLISH_INCOMPLETE_BATCH) => Failure::Busy,
        Some(
            ErrorCode::INSUFFICIENT_RESOURCES
            | ErrorCode::STORAGE_RESOURCES_EXCEEDED
            | ErrorCode::ACCOUNT_RESOURCES_EXCEEDED,
        ) => Failure::Full,
        _ if error.kind() == PublishErrorKind::TimedOut => {
            away("storing", &"no answer in time; it may be stored, or not")
        }
        _ => away("storing", error),
    }
}
