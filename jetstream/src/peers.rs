//! The way from hub to hub, over NATS without its streams: what is told is not kept.

use std::{fmt, time::Duration};

use async_nats::{Client, connection::State};
use bytes::Bytes;
use common::RoomName;
use futures_util::StreamExt;
use hub::{
    broker::{BoxFuture, Following},
    peers::{Answer, Hear, HubId, Peers},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use crate::names;

/// How much waits to be told; beyond it what is told is lost, and told again later.
const WAITING: usize = 65_536;
/// How long another hub may take to answer.
const ANSWER: Duration = Duration::from_secs(2);

pub(crate) struct NatsPeers {
    client: Client,
    name: String,
    /// In this order it is told and listened.
    todo: mpsc::Sender<Todo>,
}

enum Todo {
    Tell(String, Bytes),
    Listen(String, Listener, oneshot::Receiver<()>),
}

enum Listener {
    Hears(Hear),
    Answers(Answer),
}

impl fmt::Debug for NatsPeers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsPeers").field("name", &self.name).finish_non_exhaustive()
    }
}

impl NatsPeers {
    pub(crate) fn new(client: Client, name: String) -> Self {
        let (todo, doing) = mpsc::channel(WAITING);
        tokio::spawn(work(client.clone(), doing));
        Self { client, name, todo }
    }

    fn topic(&self, room: Option<&RoomName>) -> String {
        match room {
            Some(room) => format!("{}.peers.{}", self.name, names::encode(room.as_str())),
            None => format!("{}.hubs", self.name),
        }
    }

    fn hub(&self, hub: HubId) -> String {
        format!("{}.hub.{:016x}", self.name, hub.0)
    }

    fn listen_to(&self, subject: String, listener: Listener) -> Following {
        let (stop, stopped) = oneshot::channel();
        if self.todo.try_send(Todo::Listen(subject, listener, stopped)).is_err() {
            tracing::error!("too much waits to be told to other hubs: one is not heard");
        }
        Following::new(move || drop(stop))
    }
}

impl Peers for NatsPeers {
    fn tell(&self, room: Option<&RoomName>, text: Bytes) {
        // While NATS is away it is as good as lost.
        if self.client.connection_state() == State::Connected {
            let _ = self.todo.try_send(Todo::Tell(self.topic(room), text));
        }
    }

    fn listen(&self, room: Option<&RoomName>, hear: Hear) -> Following {
        self.listen_to(self.topic(room), Listener::Hears(hear))
    }

    fn ask(&self, hub: HubId, text: Bytes) -> BoxFuture<'_, Option<Bytes>> {
        let subject = self.hub(hub);
        Box::pin(async move {
            // Where nobody listens any more NATS says so at once.
            let answer = timeout(ANSWER, self.client.request(subject, text)).await;
            Some(answer.ok()?.ok()?.payload)
        })
    }

    fn answer(&self, own: HubId, answer: Answer) -> Following {
        self.listen_to(self.hub(own), Listener::Answers(answer))
    }
}

/// Does what is to be done, as long as somebody may have something.
async fn work(client: Client, mut todo: mpsc::Receiver<Todo>) {
    while let Some(next) = todo.recv().await {
        match next {
            Todo::Tell(subject, text) => {
                if let Err(error) = client.publish(subject, text).await {
                    tracing::debug!(%error, "other hubs are not told");
                }
            }
            Todo::Listen(subject, listener, stopped) => match client.subscribe(subject).await {
                Ok(heard) => {
                    _ = tokio::spawn(listen(client.clone(), heard, listener, stopped));
                }
                Err(error) => tracing::error!(%error, "other hubs are not heard"),
            },
        }
    }
}

async fn listen(
    client: Client,
    mut heard: async_nats::Subscriber,
    listener: Listener,
    mut stopped: oneshot::Receiver<()>,
) {
    loop {
        let message = tokio::select! {
            message = heard.next() => message,
            _ = &mut stopped => return,
        };
        let Some(message) = message else { return };
        match (&listener, message.reply) {
            (Listener::Hears(hear), _) => hear(&message.payload),
            (Listener::Answers(answer), Some(reply)) => {
                // Whoever asked waits for no longer than it wants.
                let _ = client.publish(reply, answer(&message.payload)).await;
            }
            (Listener::Answers(_), None) => {}
        }
    }
}
