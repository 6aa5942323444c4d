//! The servers: which of them are there, who leads, and what becomes of what they are asked.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use common::Offset;
use fastrand::Rng;
use tokio::{sync::Notify, time::Instant};

use super::{
    Faults,
    replicas::{Listener, NEVER, Replicas, SERVERS},
    store::{Change, Store},
};
use crate::{
    shape::Shape,
    stream::{Failure, New, News},
};

/// What a server says to what it is asked.
pub(super) enum Reply<T> {
    Said(Result<T, Failure>),
    Silence,
}

pub(super) struct Cluster {
    pub(super) rng: Rng,
    pub(super) faults: Faults,
    pub(super) streams: Vec<Replicas>,
    alive: [bool; SERVERS],
    leader: Option<usize>,
    /// When the others have chosen a leader.
    chosen: Instant,
    /// Who led before, does not know better until then, and by bits, for which hubs: they are on its side of the network.
    deposed: Option<(usize, Instant, u64)>,
    /// Until then whoever leads knows all that was agreed on, from some time on.
    knows: Instant,
    /// The leader does not answer until then, and does all the same what it is told.
    stopped: Instant,
    pub(super) hubs: Vec<Connection>,
    /// What happened, by what it is called.
    pub(super) happened: BTreeMap<&'static str, u64>,
    began: (Instant, u64),
}

/// What is between a hub and the servers.
pub(super) struct Connection {
    pub(super) server: usize,
    pub(super) is_connected: bool,
    /// What is sent is lost; what is answered and told is lost.
    pub(super) cut: (bool, bool),
    /// What it is told is dropped, for it takes none of that.
    pub(super) is_slow: bool,
    /// It is told that its connection has changed.
    pub(super) changed: Arc<Notify>,
}

impl Cluster {
    pub(super) fn new(rng: Rng, faults: Faults, now_ms: u64) -> Self {
        let now = Instant::now();
        Self {
            rng,
            faults,
            streams: Vec::new(),
            alive: [true; SERVERS],
            leader: Some(0),
            chosen: now,
            deposed: None,
            knows: now,
            stopped: now,
            hubs: Vec::new(),
            happened: BTreeMap::new(),
            began: (now, now_ms),
        }
    }

    pub(super) fn happens(&mut self, what: &'static str) {
        *self.happened.entry(what).or_default() += 1;
    }

    /// Whether bad luck of so many in a thousand strikes.
    pub(super) fn strikes(&mut self, of_thousand: u16, what: &'static str) -> bool {
        let strikes = of_thousand > 0 && self.rng.u16(..1_000) < of_thousand;
        if strikes {
            self.happens(what);
        }
        strikes
    }

    /// A time up to so many milliseconds, mostly a short one.
    pub(super) fn delay(&mut self) -> Duration {
        match self.faults.delay {
            0 => Duration::ZERO,
            most if self.rng.u8(..30) == 0 => Duration::from_millis(self.rng.u64(..most)),
            most => Duration::from_millis(self.rng.u64(..most.min(6))),
        }
    }

    /// The stream of this shape: made, if there is none.
    pub(super) fn stream(&mut self, shape: Shape) -> usize {
        let known = self.streams.iter().position(|stream| stream.shape.name == shape.name);
        known.unwrap_or_else(|| {
            self.streams.push(Replicas::new(shape));
            self.streams.len() - 1
        })
    }

    pub(super) fn has_majority(&self) -> bool {
        self.alive.iter().filter(|alive| **alive).count() > SERVERS / 2
    }

    /// A server that is there, for a hub that looks for one.
    pub(super) fn any(&mut self) -> Option<usize> {
        let alive: Vec<_> = (0..SERVERS).filter(|server| self.alive[*server]).collect();
        self.rng.choice(alive)
    }

    fn now(&self) -> (Instant, u64) {
        let now = Instant::now();
        (now, self.began.1 + now.duration_since(self.began.0).as_millis() as u64)
    }

    /// There is no leader, until the others have chosen one.
    pub(super) fn lose_leader(&mut self) {
        let now = Instant::now();
        if let Some(leader) = self.leader.take() {
            self.happens("leaders lost");
            let until = now + Duration::from_millis(self.rng.u64(..5_000));
            self.deposed =
                (self.alive[leader] && self.rng.bool()).then(|| (leader, until, self.rng.u64(..)));
        }
        self.chosen = now + Duration::from_millis(self.rng.u64(..6_000));
    }

    /// For how long whoever leads knows too little, from now on. No hub finds that again and again for longer than a log may
    /// be shorter than it was.
    fn ignorance(&mut self) -> Duration {
        let now = Instant::now();
        if self.knows > now || self.rng.bool() {
            return Duration::ZERO;
        }
        let most = Duration::from_millis(self.faults.ignorant);
        self.knows = now + most + 4 * most;
        most.mul_f32(self.rng.f32())
    }

    /// Whoever a hub takes for the leader, and is not.
    fn deposed(&self, hub: usize) -> Option<usize> {
        let (server, until, side) = self.deposed?;
        let is_there = until > Instant::now() && self.alive[server];
        (is_there && side >> (hub % 64) & 1 == 1).then_some(server)
    }

    /// Whoever leads; if there is nobody, it may be that nobody says so.
    fn leader<T>(&mut self, hub: usize) -> Result<usize, Reply<T>> {
        let now = Instant::now();
        if self.leader.is_none() && self.chosen <= now && self.has_majority() {
            let leader = self.any();
            self.leader = leader;
            // It knows what was agreed on, and has not done all of it.
            let until = now + self.ignorance();
            for (stream, leader) in self.streams.iter_mut().zip(leader.into_iter().cycle()) {
                stream.hold_up(leader, until);
            }
            if until == now {
                let all = now + NEVER;
                leader.into_iter().for_each(|leader| {
                    self.streams.iter_mut().for_each(|stream| _ = stream.at(leader, all));
                });
            }
            self.happens("leaders chosen");
        }
        match self.leader {
            _ if self.deposed(hub).is_some() => {
                self.happens("changes that a leader can't make that is none");
                Err(Reply::Silence)
            }
            Some(_) if self.stopped > now => Err(Reply::Silence),
            Some(leader) => Ok(leader),
            None if self.rng.bool() => Err(Reply::Silence),
            None => {
                self.happens("no responders");
                Err(Reply::Said(Err(Failure::Away("NATS: no responders".to_owned()))))
            }
        }
    }

    /// What whoever leads, or thinks so, says of a stream.
    pub(super) fn ask_leader<T>(
        &mut self,
        hub: usize,
        stream: usize,
        ask: impl FnOnce(&Store) -> T,
    ) -> Reply<T> {
        let now = Instant::now();
        if let Some(server) = self.deposed(hub) {
            self.happens("answers of a leader that is none");
            return Reply::Said(Ok(ask(self.streams[stream].at(server, now))));
        }
        let leader = match self.leader(hub) {
            Ok(leader) => leader,
            Err(reply) => return reply,
        };
        self.expire(stream);
        let store = self.streams[stream].at(leader, now);
        let answer = ask(store);
        if store.last() < self.streams[stream].agreed.last() {
            self.happens("answers of a leader that is behind");
        }
        Reply::Said(Ok(answer))
    }

    /// What whichever server is near has of a stream.
    pub(super) fn ask_any<T>(
        &mut self,
        hub: usize,
        stream: usize,
        ask: impl FnOnce(&Store) -> T,
    ) -> Reply<T> {
        self.expire(stream);
        let server = match (self.deposed(hub), self.rng.bool()) {
            (Some(deposed), _) => Some(deposed),
            (None, true) => Some(self.hubs[hub].server).filter(|server| self.alive[*server]),
            (None, false) => self.any(),
        };
        let Some(server) = server else { return Reply::Silence };
        let store = self.streams[stream].at(server, Instant::now());
        let answer = ask(store);
        if store.last() < self.streams[stream].agreed.last() {
            self.happens("answers of a copy that is behind");
        }
        Reply::Said(Ok(answer))
    }

    /// Has whoever leads do something to a stream, that was agreed on.
    pub(super) fn change(&mut self, hub: usize, stream: usize, change: Change) -> Reply<()> {
        match self.lead(hub, stream) {
            Err(reply) => reply,
            Ok(due) => {
                self.streams[stream].agree(change, due);
                Reply::Said(Ok(()))
            }
        }
    }

    /// Stores these, whole or not at all.
    pub(super) fn publish(
        &mut self,
        hub: usize,
        stream: usize,
        new: Vec<New>,
    ) -> Reply<(Offset, bool)> {
        let due = match self.lead(hub, stream) {
            Ok(due) => due,
            Err(reply) => return reply,
        };
        if new.len() > 1 && self.strikes(self.faults.busy, "batches refused as too many") {
            return Reply::Said(Err(Failure::Busy));
        }
        let now = self.now();
        match self.streams[stream].is_known(&new, now.0) {
            Ok(None) => {}
            Ok(Some(offset)) => {
                self.happens("ids known");
                return Reply::Said(Ok((Offset(offset), true)));
            }
            Err(failure) => {
                self.happens("batches refused for an id");
                return Reply::Said(Err(failure));
            }
        }
        let mut last = Offset(0);
        for new in new {
            let news = self.streams[stream].store(new, now, due);
            last = news.item.offset;
            self.tell(stream, news);
        }
        Reply::Said(Ok((last, false)))
    }

    /// Stores one whoever leads, and wherever that was sent from.
    pub(super) fn store(&mut self, stream: usize, new: New) {
        let now = self.now();
        let news = self.streams[stream].store(new, now, [now.0; SERVERS]);
        self.tell(stream, news);
    }

    /// Stores one, if the newest of its name is still that.
    pub(super) fn replace(
        &mut self,
        hub: usize,
        stream: usize,
        new: New,
        newest: Offset,
    ) -> Reply<Option<Offset>> {
        match self.lead(hub, stream) {
            Err(reply) => reply,
            Ok(_) if self.streams[stream].agreed.newest(&new.token) != newest.0 => {
                Reply::Said(Ok(None))
            }
            Ok(_) => match self.publish(hub, stream, vec![new]) {
                Reply::Said(said) => Reply::Said(said.map(|(offset, _)| Some(offset))),
                Reply::Silence => Reply::Silence,
            },
        }
    }

    /// Whoever leads has done all that was agreed on before it does something new; when each server has done that.
    fn lead<T>(&mut self, hub: usize, stream: usize) -> Result<[Instant; SERVERS], Reply<T>> {
        let leader = self.leader(hub)?;
        let now = Instant::now();
        self.streams[stream].at(leader, now + NEVER);
        self.expire(stream);
        let mut due = [now; SERVERS];
        for (server, due) in due.iter_mut().enumerate().filter(|(server, _)| *server != leader) {
            *due += match self.alive[server] {
                true => self.delay(),
                // Once it is there again.
                false => NEVER,
            };
        }
        Ok(due)
    }

    fn expire(&mut self, stream: usize) {
        let now = Instant::now();
        let stream = &mut self.streams[stream];
        let Some(before) = now.checked_sub(stream.shape.max_age) else { return };
        let is_old = stream.agreed.oldest_at().is_some_and(|at| at < before);
        if is_old && !stream.shape.max_age.is_zero() {
            stream.agree(Change::Expire(before), [now; SERVERS]);
        }
    }

    /// Tells what was just stored: to some not, to some twice, or later than what comes next.
    fn tell(&mut self, stream: usize, news: News) {
        let now = Instant::now();
        let upheavals = self.streams[stream].upheavals;
        let mut listeners = std::mem::take(&mut self.streams[stream].listeners);
        listeners.retain(|listener| !listener.news.is_closed());
        for listener in &mut listeners {
            let is_of = [news.item.token.as_str(), "*"].contains(&listener.token.as_str());
            if is_of && listener.from <= now {
                self.tell_one(listener, upheavals, &news);
            }
        }
        self.streams[stream].listeners = listeners;
    }

    fn tell_one(&mut self, listener: &mut Listener, upheavals: u64, news: &News) {
        let hub = &self.hubs[listener.hub];
        if hub.is_slow {
            return self.happens("news dropped by a slow hub");
        }
        let is_far = self.deposed(listener.hub).is_some();
        if is_far || !hub.is_connected || hub.cut.1 || !self.alive[hub.server] {
            return self.happens("news that can't be told");
        }
        let due = Instant::now() + self.delay();
        let send = |news: News| {
            // It may have stopped listening.
            let _ = listener.news.send((due, upheavals, news));
        };
        if self.strikes(self.faults.unheard, "news lost") {
            return;
        }
        if listener.held.is_none() && self.strikes(self.faults.disordered, "news out of order") {
            listener.held = Some(news.clone());
            return;
        }
        send(news.clone());
        if self.strikes(self.faults.doubled, "news told twice") {
            send(news.clone());
        }
        listener.held.take().into_iter().for_each(send);
    }

    /// A server dies.
    pub(super) fn kill(&mut self, server: usize) {
        if !std::mem::replace(&mut self.alive[server], false) {
            return;
        }
        self.happens("servers killed");
        if !self.has_majority() {
            self.happens("majorities lost");
        }
        if self.leader == Some(server) || !self.has_majority() {
            self.lose_leader();
        }
        // What it has not done yet it does once it is there again.
        self.streams.iter_mut().for_each(|stream| stream.fall_behind(server));
    }

    /// A server is started again, on what it has.
    pub(super) fn start(&mut self, server: usize) {
        if std::mem::replace(&mut self.alive[server], true) {
            return;
        }
        let until = Instant::now() + Duration::from_millis(self.rng.u64(..3_000));
        self.streams.iter_mut().for_each(|stream| stream.catch_up(server, until));
    }

    /// The leader answers nobody for a while.
    pub(super) fn stop_leader(&mut self, how_long: Duration) {
        self.happens("leaders stopped");
        self.stopped = Instant::now() + how_long;
    }

    /// Everything is well.
    pub(super) fn heal(&mut self) {
        self.faults = Faults { delay: self.faults.delay.min(20), ..Faults::NONE };
        (0..SERVERS).for_each(|server| self.start(server));
        (self.stopped, self.deposed) = (Instant::now(), None);
        for hub in &mut self.hubs {
            (hub.cut, hub.is_slow) = ((false, false), false);
        }
    }
}
