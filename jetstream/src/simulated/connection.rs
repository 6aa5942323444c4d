//! What a hub has of the servers: its connection, on which what is sent arrives in that order, late, or not at all.

use std::{fmt, future::pending, sync::Arc, time::Duration};

use common::Offset;
use futures_util::{StreamExt, stream::unfold};
use hub::broker::BoxFuture;
use parking_lot::Mutex;
use tokio::{
    sync::{
        mpsc::{self, UnboundedReceiver, UnboundedSender},
        oneshot,
    },
    time::{Instant, sleep_until, timeout},
};

use super::{
    cluster::{Cluster, Reply},
    replicas::Listener,
    store::Change,
};
use crate::stream::{Answer, Facts, Failure, Hearing, Item, New, News, Stream};

pub(super) type Shared = Arc<Mutex<Cluster>>;

/// Something that is done once it arrives.
pub(super) type Sent = (Instant, Box<dyn FnOnce() + Send>);

/// Has everything that a hub sends arrive.
pub(super) async fn carry(mut sent: UnboundedReceiver<Sent>) {
    while let Some((due, arrive)) = sent.recv().await {
        sleep_until(due).await;
        arrive();
    }
}

/// One stream, as a hub has it.
#[derive(Clone)]
pub(super) struct SimulatedStream {
    pub(super) cluster: Shared,
    pub(super) hub: usize,
    pub(super) stream: usize,
    pub(super) wait: Duration,
    pub(super) up: UnboundedSender<Sent>,
}

impl fmt::Debug for SimulatedStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatedStream").field("hub", &self.hub).finish_non_exhaustive()
    }
}

impl SimulatedStream {
    /// Sends this, which is done where it arrives; the answer, if there is one.
    fn send_up<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Cluster, usize, usize) -> Reply<T> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, Failure>> {
        let (answer, answered) = oneshot::channel();
        let (cluster, hub, stream) = (self.cluster.clone(), self.hub, self.stream);
        let mut now = self.cluster.lock();
        let due = Instant::now() + now.delay();
        let unsent = now.faults.unsent;
        let lost = now.hubs[hub].cut.0 || now.strikes(unsent, "requests lost");
        let upheavals = now.streams[stream].upheavals;
        drop(now);
        let arrive = move || {
            let cluster = &mut *cluster.lock();
            let connection = &cluster.hubs[hub];
            let is_same = cluster.streams[stream].upheavals == upheavals;
            if connection.cut.0 || !connection.is_connected || !is_same {
                return cluster.happens("requests that don't arrive");
            }
            let Reply::Said(said) = work(cluster, hub, stream) else {
                return cluster.happens("requests not answered");
            };
            let (lost, unanswered) = (cluster.hubs[hub].cut.1, cluster.faults.unanswered);
            if lost || cluster.strikes(unanswered, "answers lost") {
                return;
            }
            let due = Instant::now() + cluster.delay();
            // Nobody may wait for it any more.
            let _ = answer.send((due, said));
        };
        if !lost {
            let _ = self.up.send((due, Box::new(arrive)));
        }
        Box::pin(async move {
            match answered.await {
                Ok((due, said)) => {
                    sleep_until(due).await;
                    said
                }
                Err(_) => pending().await,
            }
        })
    }

    /// Asks, and waits as long as an answer may take.
    fn ask<'a, T: Send + 'static>(
        &'a self,
        work: impl FnOnce(&mut Cluster, usize, usize) -> Reply<T> + Send + 'static,
    ) -> BoxFuture<'a, Result<T, Failure>> {
        Box::pin(async move {
            self.connected().await?;
            timeout(self.wait, self.send_up(work)).await.unwrap_or_else(|_| Err(late()))
        })
    }
}

fn late() -> Failure {
    Failure::Away("NATS: no answer in time; it may be done, or not".to_owned())
}

impl Stream for SimulatedStream {
    fn wait(&self) -> Duration {
        self.wait
    }

    fn is_connected(&self) -> bool {
        self.cluster.lock().hubs[self.hub].is_connected
    }

    fn facts(&self) -> BoxFuture<'_, Result<Facts, Failure>> {
        self.ask(|cluster, hub, stream| cluster.ask_leader(hub, stream, |store| store.facts()))
    }

    fn end_life<'a>(&'a self, life: &'a str) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            if self.facts().await?.life != life {
                return Ok(());
            }
            self.ask(|cluster, hub, stream| {
                cluster.happens("lives ended by a hub");
                let other = format!("{:x}", cluster.rng.u64(..));
                cluster.change(hub, stream, Change::Live(other))
            })
            .await
        })
    }

    fn send(&self, new: Vec<New>) -> BoxFuture<'_, Result<Answer, Failure>> {
        Box::pin(async move {
            if !self.is_connected() {
                return Err(Failure::Away("NATS: there is no connection".to_owned()));
            }
            if new.is_empty() {
                let nothing: Answer = Box::pin(async { Ok((Offset(0), false)) });
                return Ok(nothing);
            }
            let sent = self.send_up(move |cluster, hub, stream| cluster.publish(hub, stream, new));
            let answer = timeout(self.wait, sent);
            let answer: Answer =
                Box::pin(async move { answer.await.unwrap_or_else(|_| Err(late())) });
            Ok(answer)
        })
    }

    fn replace(&self, new: New, newest: Offset) -> BoxFuture<'_, Result<Option<Offset>, Failure>> {
        self.ask(move |cluster, hub, stream| cluster.replace(hub, stream, new, newest))
    }

    fn listen<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Hearing, Failure>> {
        Box::pin(async move {
            self.connected().await?;
            let (news, heard) = mpsc::unbounded_channel::<(Instant, u64, News)>();
            let cluster = &mut *self.cluster.lock();
            // Known to the leader when the servers have told each other.
            let from = Instant::now() + cluster.delay() + cluster.delay();
            let (hub, token) = (self.hub, token.to_owned());
            let listener = Listener { hub, token, from, news, held: None };
            cluster.streams[self.stream].listeners.push(listener);
            let (shared, stream) = (self.cluster.clone(), self.stream);
            let heard = unfold((heard, shared), move |(mut heard, shared)| async move {
                loop {
                    let (due, upheavals, news) = heard.recv().await?;
                    sleep_until(due).await;
                    if shared.lock().streams[stream].upheavals == upheavals {
                        return Some((news, (heard, shared)));
                    }
                }
            });
            Ok(heard.boxed())
        })
    }

    fn newest<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Option<Item>, Failure>> {
        let token = token.to_owned();
        self.ask(move |cluster, hub, stream| {
            cluster.ask_leader(hub, stream, |store| store.item(store.newest(&token)))
        })
    }

    fn read<'a>(
        &'a self,
        token: Option<&'a str>,
        after: Offset,
        items: usize,
        bytes: usize,
    ) -> BoxFuture<'a, Result<(Vec<Item>, bool), Failure>> {
        let token = token.map(str::to_owned);
        self.ask(move |cluster, hub, stream| {
            let read =
                |store: &super::store::Store| store.read(token.as_deref(), after.0, items, bytes);
            cluster.ask_any(hub, stream, read)
        })
    }

    fn lasts<'a>(
        &'a self,
        tokens: &'a [String],
    ) -> BoxFuture<'a, Result<Vec<(String, Offset)>, Failure>> {
        let tokens = tokens.to_vec();
        self.ask(move |cluster, hub, stream| {
            cluster.ask_any(hub, stream, |store| {
                let lasts = tokens.into_iter().map(|token| {
                    let last = Offset(store.newest(&token));
                    (token, last)
                });
                lasts.filter(|(_, last)| *last > Offset(0)).collect()
            })
        })
    }

    fn erase(&self, offset: Offset) -> BoxFuture<'_, Result<(), Failure>> {
        self.ask(move |cluster, hub, stream| cluster.change(hub, stream, Change::Erase(offset.0)))
    }

    fn purge<'a>(&'a self, token: &'a str, before: Offset) -> BoxFuture<'a, Result<(), Failure>> {
        let change = Change::Purge(token.to_owned(), before.0);
        self.ask(move |cluster, hub, stream| cluster.change(hub, stream, change))
    }
}
