//! Carries out what the client wants, and tells it what happens: one task a room, with one timer.
//!
//! The rule to keep: it decides nothing. Where nobody reads what it tells, it waits, and with it all that
//! comes from the network.

use std::{collections::HashMap, time::Duration};

use common::{MessageId, Offset, Publish, Refusal};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

use super::legs;
use crate::{Change, Client, Effect, Event, LegId, Millis, Setup, Transport};

/// How many events of legs wait to be handled.
const HEARD: usize = 16;
/// How long the last connections may take to close.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// What the program wants.
#[derive(Debug)]
pub(super) enum Command {
    Say { id: MessageId, publish: Publish, answer: oneshot::Sender<Result<Offset, Refusal>> },
    Tell(Event),
}

/// One leg: dropping it closes its connection and breaks off its requests.
struct Leg {
    /// To a WebSocket.
    frames: Option<mpsc::UnboundedSender<String>>,
    requests: JoinSet<()>,
}

/// The task.
pub(super) struct Driver {
    client: Client,
    /// Its clock begins here.
    start: Instant,
    commands: mpsc::Receiver<Command>,
    changes: Option<mpsc::Sender<Change>>,
    /// After the first hello nothing is told to somebody who does not listen.
    listens: bool,
    heard: (mpsc::Sender<Event>, mpsc::Receiver<Event>),
    legs: HashMap<LegId, Leg>,
    /// They end by themselves when their leg is dropped.
    sockets: JoinSet<()>,
    answers: HashMap<MessageId, Vec<oneshot::Sender<Result<Offset, Refusal>>>>,
    http: reqwest::Client,
}

impl Driver {
    pub(super) fn new(
        setup: Setup,
        commands: mpsc::Receiver<Command>,
        changes: mpsc::Sender<Change>,
        listens: bool,
    ) -> Self {
        Self {
            client: Client::new(setup),
            start: Instant::now(),
            commands,
            changes: Some(changes),
            listens,
            heard: mpsc::channel(HEARD),
            legs: HashMap::new(),
            sockets: JoinSet::new(),
            answers: HashMap::new(),
            http: reqwest::Client::new(),
        }
    }

    /// Drives the client until the program wants no more.
    pub(super) async fn run(mut self, start: Event) {
        self.handle(start).await;
        loop {
            let deadline = self.client.deadline().and_then(|(at, _)| self.instant(at));
            let timer = async {
                match deadline {
                    Some(deadline) => sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                command = self.commands.recv() => match command {
                    Some(Command::Tell(event)) => self.handle(event).await,
                    Some(Command::Say { id, publish, answer }) => {
                        self.answers.entry(id).or_default().push(answer);
                        self.handle(Event::Say(publish)).await;
                    }
                    None => break,
                },
                Some(event) = self.heard.1.recv() => self.handle(event).await,
                () = timer => self.handle(Event::Time).await,
            }
        }
        self.legs.clear();
        self.heard.1.close();
        let closed = async { while self.sockets.join_next().await.is_some() {} };
        // Whoever does not answer the close is left alone with it.
        let _ = timeout(CLOSE_WITHIN, closed).await;
    }

    fn now(&self) -> Millis {
        self.start.elapsed().as_millis() as Millis
    }

    /// `None` where no clock gets that far.
    fn instant(&self, at: Millis) -> Option<Instant> {
        self.start.checked_add(Duration::from_millis(at))
    }

    async fn handle(&mut self, event: Event) {
        self.client.handle(self.now(), event);
        while let Some(effect) = self.client.poll() {
            match effect {
                Effect::Open { leg, transport, url } => self.open(leg, transport, url),
                Effect::Fetch { leg, request, method, url, body } => {
                    let task = legs::fetch(self.http.clone(), leg, request, method, url, body);
                    self.spawn(leg, task);
                }
                Effect::Send { leg, text } => {
                    if let Some(frames) = self.legs.get(&leg).and_then(|leg| leg.frames.as_ref()) {
                        // It fails where the socket has just closed, which is told as well.
                        let _ = frames.send(text);
                    }
                }
                Effect::Close { leg } => drop(self.legs.remove(&leg)),
                // A program that wants to keep something does so itself.
                Effect::Keep { .. } => {}
                // It was not asked for.
                Effect::Link { .. } | Effect::File { .. } => {}
                Effect::Tell(change) => self.tell(change).await,
            }
        }
    }

    fn open(&mut self, leg: LegId, transport: Transport, url: String) {
        let heard = self.heard.0.clone();
        if transport == Transport::WebSocket {
            let (frames, to_send) = mpsc::unbounded_channel();
            self.leg(leg).frames = Some(frames);
            while self.sockets.try_join_next().is_some() {}
            self.sockets.spawn(legs::websocket(leg, url, to_send, heard));
        } else {
            let stream = legs::events(self.http.clone(), leg, url, heard);
            self.leg(leg).requests.spawn(stream);
        }
    }

    fn spawn(&mut self, leg: LegId, task: impl Future<Output = Event> + Send + 'static) {
        let heard = self.heard.0.clone();
        let requests = &mut self.leg(leg).requests;
        while requests.try_join_next().is_some() {}
        requests.spawn(async move {
            // It fails where the room was left.
            let _ = heard.send(task.await).await;
        });
    }

    fn leg(&mut self, leg: LegId) -> &mut Leg {
        self.legs.entry(leg).or_insert_with(|| Leg { frames: None, requests: JoinSet::new() })
    }

    async fn tell(&mut self, change: Change) {
        let told = match change {
            Change::Taken { id, offset } => return self.answer(&id, Ok(offset)),
            Change::Parked { id, refusal } => return self.answer(&id, Err(refusal)),
            Change::Row(_) | Change::Happened(_) | Change::Ready(_) | Change::Renamed(_) => return,
            change => change,
        };
        let is_hello = matches!(told, Change::Hello(_));
        if let Some(changes) = &self.changes
            && (changes.send(told).await.is_err() || (is_hello && !self.listens))
        {
            self.changes = None;
        }
    }

    fn answer(&mut self, id: &MessageId, answer: Result<Offset, Refusal>) {
        for asked in self.answers.remove(id).into_iter().flatten() {
            // It fails where nobody waits for it any more.
            let _ = asked.send(answer.clone());
        }
    }
}
