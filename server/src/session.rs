//! A session: somebody in a room over one connection, whatever the transport.
//!
//! A transport is a loop around [`Session::next`], which says what to write, and [`Session::take`], which is
//! told what was heard: it turns bytes into frames and bursts into bytes, and decides nothing. The rule to
//! keep: nothing is queued for a client but the answers to what it said itself, and a bounded mailbox of what others
//! send to it alone; everything else is read from its position when the transport can write.

mod answers;

use std::{
    future::pending,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use common::{
    ClientFrame, ErrorCode, Hello, Member, Position, Publish, Recovery, Refusal, RoomName,
    ServerFrame, SessionId, Signalling, Terms,
};
use futures_util::{FutureExt, TryFutureExt, future::BoxFuture};
use hub::{Delivery, Letter, Outlet, Present, Reader, Record, StateFrame, Undelivered};
use serde_json::Value;
use tokio::{
    sync::watch,
    time::{Interval, MissedTickBehavior, Sleep, interval_at, sleep},
};

use self::answers::Answers;
use crate::{
    address::{Full, Place},
    caller::{Caller, as_whom},
    fields::Fields,
    problem::refusal,
    rights::{Permit, Right},
    roster::Entry,
    state::ServerState,
    telemetry::{Carrier, Counted, Telemetry},
};

/// How much of what a client says may be on its way to the log; then it is not to be heard on.
const APPENDING: usize = 64;
/// By how many more than it may a session may have said; then it is over.
const FLOOD: u32 = 2_000;

/// Somebody in a room. Dropping it is losing the connection.
#[derive(Debug)]
pub struct Session {
    caller: Caller,
    present: Present,
    reader: Reader,
    /// How the reading starts, until that was told.
    hello: Option<Recovery>,
    /// What comes of what it says.
    answers: Answers,
    beat: Interval,
    /// When what it showed has not held for a while.
    expiry: Option<Pin<Box<Sleep>>>,
    stopping: watch::Receiver<bool>,
    said_bye: Option<End>,
    /// What was decided of rooms and members up to here is known, and what came of it: may it write?
    decided: (u64, bool),
    /// How many more things were too much than were not.
    too_many: u32,
    _place: Place,
    counted: Option<Counted>,
    entry: Option<Entry>,
}

/// What somebody wants to be told besides messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wants {
    /// Nothing; and no messages either, for it reads elsewhere and only wants what comes of what it says.
    Answers,
    /// Nothing.
    Messages,
    /// Everything.
    Everything,
    /// Everything, going on where a [`Session::state`] was.
    Since(String),
}

/// One thing to write.
#[derive(Debug)]
pub enum Out {
    /// A frame for this client alone: `hello`, `signalling`, `beat` or `bye`.
    Frame(ServerFrame),
    /// What came of something it said.
    Answer(Answer),
    /// A message.
    Message(Arc<Record>),
    /// What is new of the members.
    State(Arc<StateFrame>),
}

/// What came of a frame.
#[derive(Debug)]
pub struct Answer {
    /// As which it was given to [`Session::take`].
    pub ticket: Option<u64>,
    /// `ack` or `error`; none where nothing is to be told.
    pub frame: Option<ServerFrame>,
}

/// Why a session is over. Whatever it is, the client can come back to its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The server stops, and has said so.
    Stopping,
    /// What the client showed has expired, and nothing newer came.
    Expired,
    /// It may not read here any more, or the room is closed.
    Forbidden,
    /// It was put out.
    PutOut,
    /// The log can't be read now.
    Unreadable,
    /// The client went on saying more than it may, however often it was told.
    Flooding,
}

impl End {
    /// What the connection is closed with (RFC 6455 section 7.4.1, and codes of our own from 4000 on).
    pub(crate) fn code(self) -> u16 {
        match self {
            Self::Stopping => 1012,
            Self::Expired => 4003,
            Self::Forbidden => 4004,
            Self::PutOut => 4005,
            Self::Flooding => 1008,
            Self::Unreadable => 1011,
        }
    }

    /// The same for people.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Stopping => "the server is restarting",
            Self::Expired => "the token has expired; come back with a new one",
            Self::Forbidden => "there is no right to read here any more",
            Self::PutOut => "you were put out",
            Self::Flooding => "too much was said, again and again",
            Self::Unreadable => "the log can't be read now",
        }
    }
}

impl Session {
    /// Joins the room: `caller` is there, reads from where it asked to, and can speak. Hello is said first,
    /// unless this goes on where another reading was.
    ///
    /// # Errors
    ///
    /// [`Refusal`]: the server stops, there are too many rooms, or the log can't be read now.
    pub async fn enter(mut caller: Caller, wants: Wants) -> Result<Self, Refusal> {
        let (hub, stopping) = (caller.server.hub.clone(), caller.server.stopping.subscribe());
        if *stopping.borrow() {
            return Err(Refusal::new(ErrorCode::ShuttingDown, "the server is stopping"));
        }
        if wants != Wants::Answers {
            caller.check(Right::Read)?;
        }
        if !caller.known {
            caller.server.rates.arrive(caller.address)?;
        }
        let place = caller.server.sessions.take(caller.address);
        let place = place.map_err(|full| full.too_many("sessions"))?;
        caller.check_room()?;
        // Between two requests nobody is connected, and the name taken in the first still holds.
        let goes_on = caller.known && matches!(wants, Wants::Since(_) | Wants::Answers);
        if goes_on || !caller.named {
            caller.go_by_listed_name();
        }
        let present = hub.enter(&caller.room, &caller.who);
        let mut present = present.map_err(|error| refusal(error.into()))?;
        let (reader, recovery) = caller.reader().await?;
        let reader = match &wants {
            Wants::Messages | Wants::Answers => reader,
            Wants::Everything => reader.with_state(None),
            Wants::Since(state) => reader.with_state(Some(state)),
        };
        if matches!(wants, Wants::Everything | Wants::Since(_)) {
            present = present.with_mailbox();
        }
        let greets = !matches!(wants, Wants::Since(_)) || recovery == Recovery::Reset;
        let period = caller.server.config.timing.ping_interval;
        let mut beat = interval_at(tokio::time::Instant::now() + period, period);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let expiry = expiry(&caller);
        let decided = (caller.decided, caller.may_write());
        Ok(Self {
            caller,
            present,
            reader,
            hello: greets.then_some(recovery),
            answers: Answers::default(),
            beat,
            expiry,
            stopping,
            said_bye: None,
            decided,
            too_many: 0,
            _place: place,
            counted: None,
            entry: None,
        })
    }

    /// The same session, counted under what carries it.
    #[must_use]
    pub(crate) fn over(mut self, carrier: Carrier) -> Self {
        self.counted = Some(self.telemetry().join(carrier, self.hello));
        let Caller { server, room, who, session, .. } = &self.caller;
        let (room, member) = (room.clone(), who.member.id.clone());
        self.entry = Some(server.roster.enter(room, member, session.to_public(), carrier));
        self
    }

    /// Whether the end was told, and counted.
    pub(crate) fn has_said_bye(&self) -> bool {
        self.said_bye.is_some()
    }

    /// What is counted.
    pub(crate) fn telemetry(&self) -> &Telemetry {
        &self.caller.server.telemetry
    }

    /// The same session, taking at most so many messages at once.
    #[must_use]
    pub fn taking(mut self, messages: usize) -> Self {
        self.reader = self.reader.taking(messages);
        self
    }

    /// The same session, with somewhere to push messages to as soon as they are there: those are not in what
    /// [`Session::next`] returns. While [`Session::next`] waits, or what it returned last holds no message, more may be
    /// pushed.
    #[must_use]
    pub fn pushing_to(mut self, outlet: Arc<dyn Outlet>) -> Self {
        self.reader = self.reader.pushing_to(outlet);
        self
    }

    /// From now on nothing is pushed any more.
    pub fn stop_pushing(&mut self) {
        self.reader.stop_pushing();
    }

    /// The room.
    pub fn room(&self) -> &RoomName {
        &self.caller.room
    }

    /// The whole id of this session: whoever shows it is this session.
    pub fn id(&self) -> &SessionId {
        &self.caller.session
    }

    /// What is shown of a message.
    pub(crate) fn fields(&self) -> Fields {
        self.caller.fields
    }

    /// How the reading starts, while that has not been told yet.
    pub fn recovery(&self) -> Option<Recovery> {
        self.hello
    }

    /// Everything up to here was read.
    pub fn position(&self) -> &Position {
        self.reader.position()
    }

    /// How far it has got with what is told of the members, for [`Wants::Since`].
    pub fn state(&self) -> String {
        self.reader.state()
    }

    /// Waits until there is something to write, and takes it: all that is to be written now, in order. Nothing, where
    /// something was pushed in part: the rest is to be flushed.
    ///
    /// Cancel-safe: what was not returned is returned the next time.
    ///
    /// # Errors
    ///
    /// [`End`], after which there is nothing more to come.
    pub async fn next(&mut self) -> Result<Vec<Out>, End> {
        if let Some(end) = self.said_bye {
            return Err(end);
        }
        if self.hello.is_some() {
            return Box::pin(self.greet()).await;
        }
        loop {
            let version = self.caller.server.hub.rules().version();
            if let Some(end) = self.ended(version) {
                return Ok(Box::pin(self.say_bye(end)).await);
            }
            if let Some(terms) = self.new_terms(version) {
                return Ok(vec![Out::Frame(ServerFrame::Terms(terms))]);
            }
            let answers = self.answers.take();
            if !answers.is_empty() {
                return Ok(answers);
            }
            if self.too_many >= FLOOD {
                return Err(End::Flooding);
            }
            tokio::select! {
                // What the client waits for goes first, and the same history always goes the same way.
                biased;
                true = self.answers.more() => {}
                // The sender lives as long as the server.
                _ = self.stopping.changed() => {}
                () = passed(&mut self.expiry) => {
                    return Ok(Box::pin(self.say_bye(End::Expired)).await);
                }
                // Before the messages: where those never end the line has to be looked after, too.
                _ = self.beat.tick() => return Ok(vec![Out::Frame(ServerFrame::Beat {})]),
                // Two browsers that agree on a connection wait for each other.
                () = self.present.mail() => return Box::pin(self.ready()).await,
                delivery = self.reader.next() => {
                    let delivery = delivery.map_err(|_| End::Unreadable)?;
                    return Ok(self.burst(delivery));
                }
            }
        }
    }

    /// What there is to write now, without waiting for more.
    ///
    /// # Errors
    ///
    /// As [`Session::next`].
    pub async fn ready(&mut self) -> Result<Vec<Out>, End> {
        if self.hello.is_some() {
            return self.greet().await;
        }
        let delivery = self.reader.ready().await.map_err(|_| End::Unreadable)?;
        Ok(self.burst(delivery).into_iter().chain(self.mail()).collect())
    }

    /// What others have sent to this session alone.
    fn mail(&self) -> impl Iterator<Item = Out> {
        self.present.take_mail().into_iter().map(Out::Frame)
    }

    /// Hello, and what follows it at once.
    async fn greet(&mut self) -> Result<Vec<Out>, End> {
        let start = self.reader.position().clone();
        let delivery = self.reader.ready().await.map_err(|_| End::Unreadable)?;
        let hello = self.hello.take().map(|recovery| self.hello_at(start, recovery));
        Ok(hello.into_iter().chain(self.burst(delivery)).collect())
    }

    fn hello_at(&self, position: Position, recovery: Recovery) -> Out {
        let Caller { room, who, session, .. } = &self.caller;
        let terms = self.caller.terms();
        let (session, member, room) = (session.clone(), who.member.clone(), room.clone());
        Out::Frame(ServerFrame::Hello(Hello { session, member, room, position, recovery, terms }))
    }

    fn burst(&self, delivery: Delivery) -> Vec<Out> {
        let Delivery { reset, records, states } = delivery;
        let reset = reset.map(|position| self.hello_at(position, Recovery::Reset));
        let messages = records.into_iter().map(Out::Message);
        reset.into_iter().chain(messages).chain(states.into_iter().map(Out::State)).collect()
    }

    /// Why it is over, if it is, with all that was decided up to this version.
    fn ended(&self, version: u64) -> Option<End> {
        if *self.stopping.borrow() {
            Some(End::Stopping)
        } else {
            let Caller { permit, room, who, server, .. } = &self.caller;
            if !permit.has(Right::Read, room) {
                return Some(End::Forbidden);
            }
            if self.decided.0 == version {
                return None;
            }
            match server
                .check_rules(permit, room, Some(&who.member.id))
                .map_err(|refusal| refusal.code)
            {
                Ok(()) => None,
                Err(ErrorCode::PutOut) => Some(End::PutOut),
                Err(_) => Some(End::Forbidden),
            }
        }
    }

    /// On which terms it is here now, if something was decided that changes them.
    fn new_terms(&mut self, version: u64) -> Option<Terms> {
        if self.decided.0 == version {
            return None;
        }
        let (before, now) = (self.decided.1, self.caller.may_write());
        self.decided = (version, now);
        (before != now).then(|| self.caller.terms())
    }

    /// What was said is kept and answered, then bye.
    async fn say_bye(&mut self, end: End) -> Vec<Out> {
        while self.answers.more().await {}
        self.said_bye = Some(end);
        self.telemetry().closed(end.code());
        let bye = Out::Frame(ServerFrame::Bye(self.caller.server.bye(end)));
        self.answers.take().into_iter().chain([bye]).collect()
    }

    /// Whether the client is not to be heard on before something it said is kept.
    pub fn is_full(&self) -> bool {
        self.too_many >= FLOOD || self.answers.len() >= APPENDING
    }

    /// Counts a frame of so many bytes: every one counts, also one that is no good or asks for nothing.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] if that is too many.
    pub fn count(&mut self, bytes: usize, is_signal: bool) -> Result<(), Refusal> {
        self.telemetry().frames.increment(1);
        let Caller { server, sender, address, .. } = &self.caller;
        let counted = match is_signal {
            true => server.rates.signal(sender, *address, bytes),
            false => server.rates.publish(sender, *address, 1, bytes),
        };
        self.too_many = match counted {
            Ok(()) => self.too_many.saturating_sub(1),
            Err(_) => self.too_many + 1,
        };
        counted
    }

    /// Does what a frame of so many bytes asks for, or refuses it as whoever read it did. What comes of it is
    /// an [`Out::Answer`] with this ticket.
    pub fn take(&mut self, frame: Result<ClientFrame, Refusal>, bytes: usize, ticket: Option<u64>) {
        let id = match &frame {
            Ok(ClientFrame::Message(publish)) => publish.id.as_ref().map(ToString::to_string),
            Ok(_) => None,
            Err(refusal) => refusal.id.clone(),
        };
        let counted = self.count(bytes, matches!(frame, Ok(ClientFrame::Signalling { .. })));
        let allowed =
            counted.and_then(|()| frame.as_ref().map_or(Ok(()), |frame| self.check(frame)));
        let frame = allowed.map_err(|refusal| refusal.about(id.as_deref())).and(frame);
        let limits = self.caller.server.hub.limits();
        let frame = match frame {
            Ok(ClientFrame::Message(publish)) => {
                self.present.set_typing(None);
                return self.keep(publish, id, ticket);
            }
            Ok(ClientFrame::Typing { typing }) => {
                self.present.set_typing(typing.then(|| Instant::now() + limits.typing));
                None
            }
            Ok(ClientFrame::Idle { idle }) => {
                self.present.set_idle(idle);
                None
            }
            Ok(ClientFrame::Rename { name }) => {
                self.present.rename(name);
                None
            }
            Ok(ClientFrame::Direct { direct }) => {
                self.present.set_direct(direct);
                None
            }
            Ok(ClientFrame::Call { call }) => {
                let full = |limit| Refusal {
                    limit: Some(limit as u64),
                    ..Refusal::new(
                        ErrorCode::CallFull,
                        format!("{limit} sessions are in this room's call already"),
                    )
                };
                self.present.set_call(call).map_err(full).err().map(ServerFrame::Error)
            }
            Ok(ClientFrame::Signalling { to, data }) => match self.signal(&to, data) {
                Err(refusal) => Some(ServerFrame::Error(refusal)),
                Ok(mut sending) => match (&mut sending).now_or_never() {
                    Some(sent) => sent.err().map(ServerFrame::Error),
                    // It is on its way to another hub.
                    None => return self.answer_later(sending, ticket),
                },
            },
            Ok(ClientFrame::Token { token }) => Some(match self.renew(&token) {
                Ok(terms) => ServerFrame::Terms(terms),
                Err(refusal) => ServerFrame::Error(refusal),
            }),
            Err(refusal) => Some(ServerFrame::Error(refusal)),
        };
        count_refused(&self.caller.server, self.carrier(), frame.as_ref());
        if frame.is_some() || ticket.is_some() {
            self.answers.push(Answer { ticket, frame });
        }
    }

    /// Whether the client may do what a frame asks for.
    fn check(&self, frame: &ClientFrame) -> Result<(), Refusal> {
        match frame {
            ClientFrame::Message(publish) => {
                self.caller.permit.check_time()?;
                self.caller.check_saying(std::slice::from_ref(publish))
            }
            ClientFrame::Typing { .. }
            | ClientFrame::Direct { .. }
            | ClientFrame::Call { .. }
            | ClientFrame::Signalling { .. } => {
                self.caller.permit.check_time()?;
                self.caller.check_writing()
            }
            ClientFrame::Rename { .. } | ClientFrame::Idle { .. } => self.caller.check(Right::Read),
            ClientFrame::Token { .. } => Ok(()),
        }
    }

    /// From now on the client may do what `token` grants.
    fn renew(&mut self, token: &str) -> Result<Terms, Refusal> {
        let Caller { server, who, permit, .. } = &mut self.caller;
        let named = |refusal| Refusal { field: Some("token".to_owned()), ..refusal };
        let visitor = server.identity.bearer(token).map_err(named)?;
        if visitor.id != who.member.id {
            return Err(Refusal::field("token", "`token` is for another member than this one"));
        }
        *permit = Permit::new(server.config.access, visitor.grant);
        self.expiry = expiry(&self.caller);
        // Whoever managed was let be: now it is looked whether it may be here. No version is this.
        self.decided = (u64::MAX, self.caller.may_write());
        Ok(self.caller.terms())
    }

    /// What is answered to a request is counted there, and carried by none.
    fn carrier(&self) -> Option<Carrier> {
        self.counted.as_ref().map(|counted| counted.carrier)
    }

    /// Answers, in its turn, what came of what is under way.
    fn answer_later(
        &mut self,
        sending: BoxFuture<'static, Result<(), Refusal>>,
        ticket: Option<u64>,
    ) {
        let (server, carrier) = (self.caller.server.clone(), self.carrier());
        self.answers.expect(async move {
            let frame = sending.await.err().map(ServerFrame::Error);
            count_refused(&server, carrier, frame.as_ref());
            Answer { ticket, frame }
        });
    }

    /// Hands `data` on to one other session in the room: what comes of it.
    fn signal(
        &self,
        to: &SessionId,
        data: Value,
    ) -> Result<BoxFuture<'static, Result<(), Refusal>>, Refusal> {
        let Caller { server, who, session, address, .. } = &self.caller;
        if to.public() == session.public() {
            return Err(Refusal::field("to", "`to` is this session itself"));
        }
        let from = Member {
            id: who.member.id.clone(),
            name: self.present.name().unwrap_or_else(|| who.member.name.clone()),
        };
        let frame = Signalling { from, session: session.to_public(), data };
        let text = ServerFrame::Signalling(frame).encode();
        let place = server.mail.take_some(*address, text.len().div_ceil(1024));
        let held = Box::new(place.map_err(Full::too_much_waiting)?);
        let sent = self.present.send(to, Letter { text, held }).map_err(|error| match error {
            Undelivered::NotHere => Refusal {
                field: Some("to".to_owned()),
                ..Refusal::new(ErrorCode::NotHere, error.to_string())
            },
            Undelivered::Full(limit) => Refusal {
                field: Some("to".to_owned()),
                limit: Some(limit as u64),
                ..Refusal::new(ErrorCode::MailboxFull, error.to_string())
            },
        });
        Ok(sent.boxed())
    }

    fn keep(&mut self, publish: Publish, id: Option<String>, ticket: Option<u64>) {
        // It may have been renamed, here or by another of its connections.
        if let Some(name) = self.present.name() {
            self.caller.who.member.name = name;
        }
        let Caller { server, room, who, permit, .. } = self.caller.clone();
        let (own, (who, publish)) = (who.member.id.clone(), as_whom(who, publish));
        let (began, carrier) = (Instant::now(), self.carrier());
        // Somebody else's answers may come in any order; what is said is kept in that in which it was said.
        let turn = server.has_hook(&room).then(|| self.answers.turn());
        self.answers.expect(async move {
            let _turn = match &turn {
                Some(turn) => Some(turn.lock().await),
                None => None,
            };
            let taken = server.publish(&permit, &room, &who, vec![publish]).await;
            server.telemetry.kept(1, began, &taken);
            if taken.is_err() {
                server.hub.rules().give_back_turn(&room, &own);
            }
            let none = || Refusal::new(ErrorCode::Internal, "nothing came of it");
            let frame = Some(match taken.and_then(|mut taken| taken.pop().ok_or_else(none)) {
                Ok(taken) => ServerFrame::Ack { id: taken.id, offset: taken.position.offset },
                Err(refusal) => ServerFrame::Error(refusal.about(id.as_deref())),
            });
            count_refused(&server, carrier, frame.as_ref());
            Answer { ticket, frame }
        });
    }

    /// What came of what was said and was not answered yet; none if that is nothing.
    pub async fn answer(&mut self) -> Option<Answer> {
        self.answers.next().await
    }

    /// The client goes by its own will; what it said before is kept. To be dropped then.
    pub async fn leave(&mut self) {
        while self.answers.next().await.is_some() {}
        self.present.leave(self.caller.server.hub.limits());
    }
}

fn count_refused(server: &ServerState, carrier: Option<Carrier>, frame: Option<&ServerFrame>) {
    if let (Some(ServerFrame::Error(refusal)), Some(carrier)) = (frame, carrier) {
        server.telemetry.refused(refusal.code, carrier.word());
    }
}

/// When the server lets go of a client whose token expires.
fn expiry(caller: &Caller) -> Option<Pin<Box<Sleep>>> {
    let left = caller.permit.expires_in_ms()?;
    let grace = caller.server.config.timing.grace;
    Some(Box::pin(sleep(Duration::from_millis(left).saturating_add(grace))))
}

/// Waits until then; forever, if there is no such time.
async fn passed(expiry: &mut Option<Pin<Box<Sleep>>>) {
    match expiry {
        Some(expiry) => expiry.await,
        None => pending().await,
    }
}
