//! A stream as NATS has it.
//!
//! A subject a name. What is stored is published once more to those who listen to that name, with the sequence it has and
//! that of what came before it there.
//!
//! Sources: the [JetStream API](https://docs.nats.io/reference/reference-protocols/nats_api_reference), direct gets by
//! [ADR-31](https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-31.md), batches that are stored whole
//! or not at all by [ADR-50](https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-50.md).

use std::{
    collections::HashMap,
    error::Error as _,
    future::{Future, IntoFuture, ready},
    time::Duration,
};

use async_nats::{
    Client, HeaderMap, Message,
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
use common::Offset;
use futures_util::StreamExt;
use hub::broker::BoxFuture;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    OpenError,
    shape::Shape,
    stream::{Answer, Facts, Failure, Hearing, Item, New, News, Stream},
};

/// The oldest server that does all of this: it knows ids within batches.
const OLDEST: (i64, i64, i64) = (2, 12, 1);
/// How many subjects may be asked for at once; the server says no above 1,024.
const SUBJECTS: usize = 512;
/// Parts of a stream's metadata: which life of the log it is, and over how many streams its rooms are spread.
const LIFE: &str = "hubbub.life";
const STREAMS: &str = "hubbub.streams";

fn away(what: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::Away(format!("NATS: {what}: {error}"))
}

#[derive(Clone, Debug)]
pub(crate) struct NatsStream {
    client: Client,
    jetstream: Context,
    stream: jetstream::stream::Stream<()>,
    name: String,
    subjects: String,
    wait: Duration,
}

impl NatsStream {
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

    fn subject(&self, token: &str) -> String {
        format!("{}.{token}", self.subjects)
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
}

impl Stream for NatsStream {
    fn wait(&self) -> Duration {
        self.wait
    }

    fn is_connected(&self) -> bool {
        self.client.connection_state() == async_nats::connection::State::Connected
    }

    fn facts(&self) -> BoxFuture<'_, Result<Facts, Failure>> {
        Box::pin(async move { Ok(facts(&self.within("the log", self.stream.get_info()).await?)) })
    }

    fn end_life<'a>(&'a self, life: &'a str) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            let info = self.within("the log", self.stream.get_info()).await?;
            if facts(&info).life != life {
                return Ok(());
            }
            let mut config = info.config;
            config.metadata.insert(LIFE.to_owned(), new_life());
            let update = self.jetstream.update_stream(config);
            self.within("another life of the log", update).await.map(drop)
        })
    }

    fn send(&self, new: Vec<New>) -> BoxFuture<'_, Result<Answer, Failure>> {
        Box::pin(async move {
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
            let answer: Answer = Box::pin(async move {
                let Some(answer) = answer else { return Ok((Offset(0), false)) };
                let ack = answer.await.map_err(|error| why(&error))?;
                Ok((Offset(ack.sequence), ack.duplicate))
            });
            Ok(answer)
        })
    }

    fn replace(&self, new: New, newest: Offset) -> BoxFuture<'_, Result<Option<Offset>, Failure>> {
        let mut headers = HeaderMap::new();
        let expected = async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
        headers.insert(expected, newest.0.to_string());
        let publish = PublishMessage::build().headers(headers).payload(new.payload);
        let stored = async move {
            self.jetstream.send_publish(self.subject(&new.token), publish).await?.await
        };
        Box::pin(async move {
            match stored.await {
                Ok(ack) => Ok(Some(Offset(ack.sequence))),
                Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => Ok(None),
                Err(error) => Err(why(&error)),
            }
        })
    }

    fn listen<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Hearing, Failure>> {
        Box::pin(async move {
            let live = format!("{}.{token}", live(&self.subjects));
            let heard = self.within("listening", self.client.subscribe(live)).await?;
            let subjects = self.subjects.clone();
            Ok(heard.filter_map(move |message| ready(news(&subjects, message))).boxed())
        })
    }

    fn newest<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Option<Item>, Failure>> {
        Box::pin(async move {
            let subject = self.subject(token);
            let newest = async {
                match self.stream.get_last_raw_message_by_subject(&subject).await {
                    Ok(message) => Ok(Some(Item {
                        token: token.to_owned(),
                        offset: Offset(message.sequence),
                        payload: message.payload,
                    })),
                    Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => {
                        Ok(None)
                    }
                    Err(error) => Err(error),
                }
            };
            self.within("the newest", newest).await
        })
    }

    fn read<'a>(
        &'a self,
        token: Option<&'a str>,
        after: Offset,
        items: usize,
        bytes: usize,
    ) -> BoxFuture<'a, Result<(Vec<Item>, bool), Failure>> {
        Box::pin(async move {
            let subject = self.subject(token.unwrap_or("*"));
            let from = after.0.saturating_add(1);
            let asked = json!({
                "seq": from, "next_by_subj": subject, "batch": items, "max_bytes": bytes,
            });
            let answers = self.ask_directly(asked).await?;
            let pending = answers.last().and_then(|message| number(message, "Nats-Num-Pending"));
            let items = answers.into_iter().filter_map(|message| item(&self.subjects, message));
            Ok((items.collect(), pending.is_some_and(|pending| pending > 0)))
        })
    }

    fn lasts<'a>(
        &'a self,
        tokens: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<(String, Offset)>, Failure>> {
        Box::pin(async move {
            let mut lasts = Vec::with_capacity(tokens.len());
            for tokens in tokens.chunks(SUBJECTS) {
                let subjects: Vec<_> = tokens.iter().map(|token| self.subject(token)).collect();
                let answers = self.ask_directly(json!({ "multi_last": subjects })).await?;
                let items = answers.into_iter().filter_map(|message| item(&self.subjects, message));
                lasts.extend(items.map(|item| (item.token, item.offset)));
            }
            Ok(lasts)
        })
    }

    fn erase(&self, offset: Offset) -> BoxFuture<'_, Result<(), Failure>> {
        Box::pin(async move {
            let erase = async {
                match self.stream.delete_message(offset.0).await {
                    // That it was not there is as well.
                    Err(error) if is_gone(&error) => Ok(()),
                    other => other.map(drop),
                }
            };
            self.within("erasing", erase).await
        })
    }

    fn purge<'a>(&'a self, token: &'a str, before: Offset) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            let purge = self.stream.purge().sequence(before.0).filter(self.subject(token));
            self.within("letting go", purge.into_future()).await.map(drop)
        })
    }
}

/// What a message that was published once more says.
fn news(subjects: &str, message: Message) -> Option<News> {
    let previous = Offset(number(&message, "Nats-Last-Sequence")?);
    Some(News { previous, item: item(subjects, message)? })
}

fn item(subjects: &str, message: Message) -> Option<Item> {
    let subject = message.headers.as_ref()?.get("Nats-Subject")?.as_str();
    let token = subject.strip_prefix(subjects)?.strip_prefix('.')?.to_owned();
    let offset = Offset(number(&message, "Nats-Sequence")?);
    Some(Item { token, offset, payload: message.payload })
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
            // No two hubs that make it at once ask for the same: NATS before 2.14 took both for one, and later changed its mind on
            // when it was made.
            (LIFE.to_owned(), new_life()),
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

fn new_life() -> String {
    uuid::Uuid::new_v4().simple().to_string()
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
