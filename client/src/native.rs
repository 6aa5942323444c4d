//! A program in a room, on tokio.
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let mut room = client::native::join("http://127.0.0.1:3000", "tea").name("Ada").await?;
//! room.say("hi").await?;
//! while let Some(message) = room.next().await {
//!     println!("{}: {}", message.from.name, message.value);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! What is said is said exactly once, and what is read is read once and in order, also over lost
//! connections and other transports: the WebSocket is only the first that is tried. To go on where an
//! earlier run ended, keep [`Room::position`] and give it to [`Joining::after`].
//!
//! Start at [`join`]; the shell itself is in `drive`, what the transports take in `legs`. Nothing here
//! speaks TLS: `https:` needs a proxy on this side.

mod drive;
mod legs;
mod sse;

use std::{collections::VecDeque, fmt, future::IntoFuture, pin::Pin, sync::Arc};

use common::{
    After, Hello, MemberName, Message, MessageId, Offset, Position, Publish, Refusal, RoomName,
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use self::drive::{Command, Driver};
use crate::{Change, Event, Millis, Setup, Transport, posts};

/// How many changes wait to be read. With as many, nothing more is read from the network.
const UNREAD: usize = 256;

/// Joins `room` on the server at `origin` (scheme and host). Await it, as it is or after saying more.
pub fn join(origin: &str, room: &str) -> Joining {
    Joining {
        origin: origin.to_owned(),
        room: room.to_owned(),
        name: None,
        token: None,
        after: After::Now,
        session: None,
        transport: None,
        poll_every: None,
        meter: None,
        listens: true,
    }
}

/// Somebody who is about to join a room.
#[derive(Clone, Debug)]
#[must_use = "it joins when it is awaited"]
pub struct Joining {
    origin: String,
    room: String,
    name: Option<String>,
    token: Option<String>,
    after: After,
    session: Option<String>,
    transport: Option<Transport>,
    poll_every: Option<Millis>,
    meter: Option<String>,
    listens: bool,
}

impl Joining {
    /// Goes by this name; without, the server gives one. Where there is neither a token nor an earlier
    /// session to be known by, a token is asked for, so that the name is the same on every transport.
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Shows this token; without, one is a guest, and another one each time.
    pub fn token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    /// Reads on from here; without, only what comes from now on.
    pub fn after(mut self, after: After) -> Self {
        self.after = after;
        self
    }

    /// Is this session again: [`Hello::session`] of an earlier visit.
    pub fn session(mut self, session: &str) -> Self {
        self.session = Some(session.to_owned());
        self
    }

    /// Uses this transport, whatever happens; without, the best one that gets through.
    pub fn transport(mut self, transport: Transport) -> Self {
        self.transport = Some(transport);
        self
    }

    /// Where it polls, waits so many milliseconds after an answer; without, two seconds.
    pub fn poll_every(mut self, millis: Millis) -> Self {
        self.poll_every = Some(millis);
        self
    }

    /// Has the server count all that goes over its connections, under this name.
    pub fn meter(mut self, meter: &str) -> Self {
        self.meter = Some(meter.to_owned());
        self
    }

    /// Whether anything is read from the room. Whoever only speaks turns this off, and need not call
    /// [`Room::next`].
    pub fn listens(mut self, listens: bool) -> Self {
        self.listens = listens;
        self
    }

    async fn join(self) -> Result<Room, Refusal> {
        let seed = uuid::Uuid::new_v4().as_u64_pair().0;
        let name = self.name.as_deref().map(MemberName::parse).transpose()?;
        let token = match (self.token, &name, &self.session) {
            // Without one, the name is told again on each connection, which polls have none of.
            (None, Some(name), None) => legs::introduce(&self.origin, name).await,
            (token, ..) => token,
        };
        let setup = Setup::new(&self.origin, RoomName::parse(&self.room)?, seed);
        let setup = Setup {
            token,
            after: self.after,
            name,
            poll_every: self.poll_every.unwrap_or(setup.poll_every),
            meter: self.meter,
            ..setup
        };
        let (commands, wanted) = mpsc::channel(16);
        let (tell, changes) = mpsc::channel(UNREAD);
        let driver = Driver::new(setup, wanted, tell, self.listens);
        let start = Event::start(self.session, self.transport);
        let driver = tokio::spawn(driver.run(start));
        let mut joined = Joined { changes, aside: VecDeque::new() };
        let mut before = VecDeque::new();
        loop {
            match joined.next().await {
                Some(Change::Hello(hello)) => {
                    before.push_back(Change::Hello(hello.clone()));
                    joined.aside = before;
                    return Ok(Room { hello, commands, joined, driver });
                }
                Some(Change::Refused(refusal)) if posts::is_final(refusal.code) => {
                    return Err(refusal);
                }
                Some(change) => before.push_back(change),
                // The driver runs as long as there are `commands`.
                None => return Err(Refusal::new(common::ErrorCode::Internal, "it stopped")),
            }
        }
    }
}

impl IntoFuture for Joining {
    type Output = Result<Room, Refusal>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    /// Is over when the server has said hello, which may take as long as it can't be reached.
    ///
    /// # Errors
    ///
    /// The room or the name is none, or the server refuses in a way that trying again won't change.
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.join())
    }
}

/// Why something was not said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SayError {
    /// It can't be said, or the server refused it.
    Refused(Refusal),
    /// There is so much that nobody has read ([`Room::next`]) that the answer was not come to. It is
    /// still on its way.
    Unread,
    /// The room was left before there was an answer. It may be said or not.
    Left,
}

impl fmt::Display for SayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Unread => f.write_str("too much is unread to wait for the answer"),
            Self::Left => f.write_str("the room was left"),
        }
    }
}

impl std::error::Error for SayError {}

impl From<Refusal> for SayError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// A room one is in. Dropping it leaves, once all its [`Speaker`]s are dropped too.
#[derive(Debug)]
pub struct Room {
    hello: Hello,
    commands: mpsc::Sender<Command>,
    joined: Joined,
    driver: JoinHandle<()>,
}

/// What there is to read.
#[derive(Debug)]
struct Joined {
    changes: mpsc::Receiver<Change>,
    /// What was read past while waiting for an answer.
    aside: VecDeque<Change>,
}

impl Joined {
    async fn next(&mut self) -> Option<Change> {
        match self.aside.pop_front() {
            Some(change) => Some(change),
            None => self.changes.recv().await,
        }
    }
}

impl Room {
    /// The next message, one's own included; `None` when the room was left.
    pub async fn next(&mut self) -> Option<Arc<Message>> {
        loop {
            if let Change::Arrived { message, .. } = self.event().await? {
                return Some(message);
            }
        }
    }

    /// Whatever happens next: messages, who is here, how the line is. `None` when the room was left.
    pub async fn event(&mut self) -> Option<Change> {
        let change = self.joined.next().await?;
        match &change {
            Change::Hello(hello) => self.hello = hello.clone(),
            Change::Arrived { message, .. } => self.hello.position.offset = message.offset,
            _ => {}
        }
        Some(change)
    }

    /// Says `text`, and returns when the server has it: once, whatever is lost on the way.
    ///
    /// # Errors
    ///
    /// See [`SayError`].
    pub async fn say(&mut self, text: &str) -> Result<Offset, SayError> {
        self.publish(Publish::text(text)?).await
    }

    /// As [`Room::say`], for any value, event and audience. Without an id it gets one.
    ///
    /// # Errors
    ///
    /// See [`SayError`].
    pub async fn publish(&mut self, publish: Publish) -> Result<Offset, SayError> {
        let said = publish_by(&self.commands, publish);
        let mut said = std::pin::pin!(said);
        loop {
            tokio::select! {
                biased;
                answer = &mut said => return answer,
                Some(change) = self.joined.changes.recv() => {
                    self.joined.aside.push_back(change);
                    if self.joined.aside.len() > UNREAD {
                        return Err(SayError::Unread);
                    }
                }
            }
        }
    }

    /// One that speaks while others read. It waits as long as too much is unread.
    pub fn speaker(&self) -> Speaker {
        Speaker { commands: self.commands.clone() }
    }

    /// Tells this client something else: that one is [typing](Event::Typing), for example, or which
    /// transport to [choose](Event::Choose).
    pub async fn tell(&self, event: Event) {
        // It fails where the room was left, and then there is nobody to tell.
        let _ = self.commands.send(Command::Tell(event)).await;
    }

    /// Who, where and as which session one is, by the last hello that was read.
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// Everything up to here was read ([`Room::next`]): where a later visit goes on.
    pub fn position(&self) -> &Position {
        &self.hello.position
    }

    /// Leaves, and returns when that is done.
    pub async fn leave(self) {
        let Self { commands, joined, driver, .. } = self;
        drop((commands, joined));
        // It fails where the driver has panicked; the room is left then too.
        let _ = driver.await;
    }
}

/// Says things in a room that somebody else reads.
#[derive(Clone, Debug)]
pub struct Speaker {
    commands: mpsc::Sender<Command>,
}

impl Speaker {
    /// As [`Room::say`].
    ///
    /// # Errors
    ///
    /// See [`SayError`].
    pub async fn say(&self, text: &str) -> Result<Offset, SayError> {
        self.publish(Publish::text(text)?).await
    }

    /// As [`Room::publish`].
    ///
    /// # Errors
    ///
    /// See [`SayError`].
    pub async fn publish(&self, publish: Publish) -> Result<Offset, SayError> {
        publish_by(&self.commands, publish).await
    }
}

async fn publish_by(
    commands: &mpsc::Sender<Command>,
    mut publish: Publish,
) -> Result<Offset, SayError> {
    let id = publish.id.take().map_or_else(new_id, Ok)?;
    publish.id = Some(id.clone());
    let (answer, answered) = oneshot::channel();
    let say = Command::Say { id, publish, answer };
    commands.send(say).await.map_err(|_| SayError::Left)?;
    answered.await.map_err(|_| SayError::Left)?.map_err(SayError::Refused)
}

fn new_id() -> Result<MessageId, Refusal> {
    MessageId::parse(&uuid::Uuid::now_v7().to_string())
}
