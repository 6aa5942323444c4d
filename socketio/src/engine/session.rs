//! What one session is, whatever transport it is on: its two queues, its heartbeat, its end.
//!
//! Start at [`Session`]. The queue to the client is owned by whoever can write to the client at the
//! moment, and lies in its slot while nobody can. The rule to keep: the state's lock is never held
//! across an await, and every wait in this crate ends when the session is closed.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use super::{
    Config,
    outbox::{Batch, Outbox},
    packet::{Message, Packet},
    queue::{Entry, Queue, queue},
    socket::Below,
    table::{Sid, Table},
};

/// How long a client on long-polling has to fetch what a closed session still has for it. As long as
/// the reference waits.
const CLOSING: Duration = Duration::from_secs(30);

/// Why a session has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// The client has closed it.
    ClientClosed,
    /// The application has closed it, or dropped its socket.
    ServerClosed,
    /// The client did not answer a ping in time.
    PingTimeout,
    /// The connection broke, or was used as the protocol forbids.
    TransportError,
    /// What the client sent is no packet.
    ParseError,
}

/// What a session is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Polling,
    WebSocket,
}

/// How far the move from polling to WebSocket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Upgrading {
    No,
    /// A WebSocket is open and has not said anything.
    Opened,
    /// It works; polls are to end soon, for the client waits for them before it moves.
    Probed,
}

/// One session.
#[derive(Debug)]
pub(super) struct Session {
    sid: Sid,
    table: Arc<Table<Session>>,
    interval: Duration,
    timeout: Duration,
    poll_within: Duration,
    state: Mutex<State>,
    line: Mutex<Line>,
    closed: OnceLock<CloseReason>,
    /// Tells whoever waits for the end.
    ended: Notify,
    /// Tells whoever has the outbox that the state has changed.
    pub(super) wake: Notify,
    /// Tells [`Session::keep`] that a pong came, or that the application has finished.
    beat: Notify,
    /// Tells whoever waits for the outbox that it is back in its slot.
    returned: Notify,
    /// Tells [`Session::await_poll`] that somebody has the outbox.
    taken: Notify,
}

/// The WebSocket a session is on, as far as it can be written past.
#[derive(Debug, Default)]
struct Line {
    below: Option<Arc<dyn Below>>,
    /// Nothing that was sent is still on its way over it.
    is_idle: bool,
}

#[derive(Debug)]
struct State {
    transport: Transport,
    upgrading: Upgrading,
    outbox: Option<Outbox>,
    inbox: Option<Entry<Message>>,
    posting: bool,
    /// When the next ping goes out, or went out.
    ping_at: Instant,
    pinged: bool,
    /// No transport has taken the ping yet.
    ping_due: bool,
    /// When the client showed last that it is there.
    heard: Instant,
    /// Since when nobody can write to the client.
    unpolled: Instant,
    /// The application has finished; until then its last words can be fetched.
    ending: Option<Instant>,
}

impl Session {
    /// A session with the application's ends of its two queues.
    pub(super) fn new(
        config: &Config,
        table: Arc<Table<Session>>,
        transport: Transport,
    ) -> (Arc<Self>, Entry<Batch>, Queue<Message>) {
        let (to_client, outbox) = queue(config.outgoing.max(1));
        let (inbox, from_client) = queue(config.incoming.max(1));
        let state = State {
            transport,
            upgrading: Upgrading::No,
            outbox: Some(Outbox::new(outbox)),
            inbox: Some(inbox),
            posting: false,
            ping_at: Instant::now() + config.ping_interval,
            pinged: false,
            ping_due: false,
            heard: Instant::now(),
            unpolled: Instant::now(),
            ending: None,
        };
        let session = Self {
            sid: Sid::random(),
            table,
            interval: config.ping_interval,
            timeout: config.ping_timeout,
            poll_within: config.poll_within,
            state: Mutex::new(state),
            line: Mutex::default(),
            closed: OnceLock::new(),
            ended: Notify::new(),
            wake: Notify::new(),
            beat: Notify::new(),
            returned: Notify::new(),
            taken: Notify::new(),
        };
        (Arc::new(session), to_client, from_client)
    }

    pub(super) fn sid(&self) -> &Sid {
        &self.sid
    }

    pub(super) fn transport(&self) -> Transport {
        self.state.lock().transport
    }

    pub(super) fn close_reason(&self) -> Option<CloseReason> {
        self.closed.get().copied()
    }

    /// What the session's WebSocket goes over.
    pub(super) fn below(&self) -> Option<Arc<dyn Below>> {
        self.line.lock().below.clone()
    }

    /// The session is on a WebSocket, which goes over this.
    pub(super) fn set_below(&self, below: Option<Arc<dyn Below>>) {
        self.line.lock().below = below;
    }

    /// All that was taken from the outbox is written. If that is empty, the WebSocket is idle until something is sent.
    pub(super) fn wait_for(&self, outbox: &Outbox) {
        let mut line = self.line.lock();
        line.is_idle = outbox.is_empty();
    }

    /// Something is to be written: `queue` puts it where it waits.
    pub(super) fn begin(&self, queue: impl FnOnce()) {
        let mut line = self.line.lock();
        line.is_idle = false;
        queue();
    }

    /// Writes past the WebSocket, if nothing is on its way over it.
    pub(super) fn when_idle<R>(&self, write: impl FnOnce(&dyn Below) -> R) -> Option<R> {
        let line = self.line.lock();
        line.below.as_deref().filter(|_| line.is_idle).map(write)
    }

    /// Waits for the end.
    pub(super) async fn closed(&self) -> CloseReason {
        loop {
            // Before it is looked, so that an end in between is told.
            let ended = self.ended.notified();
            if let Some(reason) = self.close_reason() {
                return reason;
            }
            ended.await;
        }
    }

    /// Ends the session now; only the first reason counts. What was not written yet is lost, what
    /// was received can still be heard.
    pub(super) fn close(&self, reason: CloseReason) {
        if self.closed.set(reason).is_err() {
            return;
        }
        self.ended.notify_waiters();
        tracing::debug!(?reason, "session closed");
        let (outbox, inbox) = {
            let mut state = self.state.lock();
            (state.outbox.take(), state.inbox.take())
        };
        drop(outbox);
        inbox.iter().for_each(Entry::close);
        self.table.remove(&self.sid);
    }

    /// Ends the session once the client has what was said so far, but waits for that only so long.
    pub(super) fn end(&self) {
        {
            let mut state = self.state.lock();
            if state.ending.is_some() {
                return;
            }
            state.ending = Some(Instant::now() + CLOSING.min(self.interval + self.timeout));
            state.inbox.take().iter().for_each(Entry::close);
            if let Some(outbox) = &mut state.outbox {
                outbox.close();
            }
        }
        self.wake.notify_one();
        self.beat.notify_one();
    }

    /// Whether the application has finished: the outbox is to be closed, and emptied.
    pub(super) fn is_ending(&self) -> bool {
        self.state.lock().ending.is_some()
    }

    /// Pings, and closes the session of a client that does not answer. Returns when it is closed.
    pub(super) async fn keep(&self) {
        loop {
            let due = self.state.lock().due(self.timeout, self.poll_within);
            tokio::select! {
                _ = self.closed() => return,
                () = self.beat.notified() => {}
                () = sleep_until(due) => self.beat(),
            }
        }
    }

    fn beat(&self) {
        let now = Instant::now();
        let reason = {
            let mut state = self.state.lock();
            if state.due(self.timeout, self.poll_within) > now {
                return;
            }
            if state.ending.is_some_and(|end| end <= now) {
                Some(CloseReason::ServerClosed)
            } else if state.missed_at(self.poll_within).is_some_and(|at| at <= now) || state.pinged
            {
                Some(CloseReason::PingTimeout)
            } else {
                state.pinged = true;
                state.ping_due = true;
                None
            }
        };
        match reason {
            Some(reason) => self.close(reason),
            None => self.wake.notify_one(),
        }
    }

    /// Whether the client's time is up, also if [`Session::keep`] has not come to it yet. Clients
    /// compute the same moment, and must not find the session alive after it.
    pub(super) fn is_overdue(&self) -> bool {
        Instant::now() >= self.state.lock().pong_by(self.timeout)
    }

    /// Notes that the client is there.
    pub(super) fn heard(&self) {
        self.state.lock().heard = Instant::now();
    }

    /// Whether a ping is to be written now. True once a ping.
    pub(super) fn take_ping(&self) -> bool {
        std::mem::take(&mut self.state.lock().ping_due)
    }

    /// Does what a packet of the client says. Waits while the application has enough to hear.
    ///
    /// # Errors
    /// If the session is to be closed for it.
    pub(super) async fn receive(&self, packet: Packet) -> Result<(), CloseReason> {
        match packet {
            Packet::Message(message) => {
                let inbox = self.state.lock().inbox.clone();
                if let Some(inbox) = inbox {
                    tokio::select! {
                        // An application that hears nothing any more is about to end the session.
                        place = inbox.reserve() => if let Some(place) = place {
                            place.put(message);
                        },
                        reason = self.closed() => return Err(reason),
                    }
                    self.heard();
                }
                Ok(())
            }
            Packet::Pong(_) => {
                let mut state = self.state.lock();
                state.ping_at = Instant::now() + self.interval;
                state.pinged = false;
                state.ping_due = false;
                drop(state);
                self.beat.notify_one();
                Ok(())
            }
            Packet::Close => Err(CloseReason::ClientClosed),
            // In this version of the protocol only the server pings.
            Packet::Ping(_) => Err(CloseReason::TransportError),
            Packet::Open(_) | Packet::Upgrade | Packet::Noop => Ok(()),
        }
    }

    /// Begins a POST, unless one is under way.
    pub(super) fn begin_post(&self) -> bool {
        let mut state = self.state.lock();
        !std::mem::replace(&mut state.posting, true)
    }

    pub(super) fn end_post(&self) {
        self.state.lock().posting = false;
    }

    /// The outbox, if nobody has it.
    pub(super) fn take_outbox(&self) -> Option<Outbox> {
        let outbox = self.state.lock().outbox.take();
        if outbox.is_some() {
            self.taken.notify_one();
        }
        outbox
    }

    /// Waits until a poll is there.
    pub(super) async fn await_poll(&self) {
        while self.state.lock().outbox.is_some() {
            self.taken.notified().await;
        }
    }

    /// Puts the outbox back, for the next poll or for the WebSocket that waits for it.
    pub(super) fn return_outbox(&self, mut outbox: Outbox) {
        {
            let mut state = self.state.lock();
            if state.ending.is_some() {
                outbox.close();
            }
            state.unpolled = Instant::now();
            // Under the lock: `close` marks the end first and empties the slot then.
            if self.close_reason().is_none() {
                state.outbox = Some(outbox);
            }
        }
        self.returned.notify_one();
    }

    /// The outbox, as soon as a poll that has it returns it; none if the session is closed.
    pub(super) async fn claim_outbox(&self) -> Option<Outbox> {
        loop {
            if let Some(outbox) = self.take_outbox() {
                return Some(outbox);
            }
            self.wake.notify_one();
            tokio::select! {
                () = self.returned.notified() => {}
                _ = self.closed() => return None,
            }
        }
    }

    /// Marks that a WebSocket wants to take over. Only one may, and only once.
    pub(super) fn begin_upgrade(&self) -> bool {
        let mut state = self.state.lock();
        let may = state.transport == Transport::Polling && state.upgrading == Upgrading::No;
        if may {
            state.upgrading = Upgrading::Opened;
        }
        may
    }

    /// Goes on with an upgrade, or ([`Upgrading::No`]) stays on polling.
    pub(super) fn set_upgrading(&self, upgrading: Upgrading) {
        self.state.lock().upgrading = upgrading;
        self.wake.notify_one();
    }

    pub(super) fn upgrading(&self) -> Upgrading {
        self.state.lock().upgrading
    }

    /// From now on polls are refused.
    pub(super) fn complete_upgrade(&self) {
        let mut state = self.state.lock();
        state.transport = Transport::WebSocket;
        state.upgrading = Upgrading::No;
    }
}

impl State {
    /// Until when a pong has to be here. Everything else that shows the client to be there puts it
    /// off, for pongs wait behind what the application has not heard yet.
    fn pong_by(&self, timeout: Duration) -> Instant {
        self.ping_at.max(self.heard) + timeout
    }

    /// When a client on polling that has not come back is missed.
    fn missed_at(&self, within: Duration) -> Option<Instant> {
        let waits = self.transport == Transport::Polling && self.outbox.is_some();
        waits.then(|| self.unpolled + within)
    }

    /// When the heartbeat has to do something next.
    fn due(&self, timeout: Duration, poll_within: Duration) -> Instant {
        let due = if self.pinged { self.pong_by(timeout) } else { self.ping_at };
        let others = [self.ending, self.missed_at(poll_within)];
        others.into_iter().flatten().fold(due, Instant::min)
    }
}
