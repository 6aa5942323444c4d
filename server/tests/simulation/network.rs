//! What is between a client and the hubs: legs that delay, lose, double and break, over the real sessions and
//! the real handlers. Each leg, and each request, comes to whichever hub is up.

use std::collections::VecDeque;

use axum::{body::BodyDataStream, http::Method};
use client::{Event, LegId, RequestId, Transport};
use common::{Bye, ClientFrame, ErrorCode, Refusal, ServerFrame};
use fastrand::Rng;
use futures_util::{FutureExt, StreamExt};
use server::session::{Answer, Out, Session};
use tokio::task::JoinHandle;

use super::far::{Far, Reply};

/// What a transport meets on a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    Fine,
    /// Nothing gets through, and that is told.
    Refused,
    /// Nothing gets through, and nobody is told.
    Mute,
    /// It is cut after a while.
    Cut,
    /// The client reads now and then.
    Slow,
}

/// The server's end of a connection.
pub enum End {
    /// The request to open it is on its way.
    Opening(String),
    /// It has arrived.
    Entering(Work<End>),
    Session(Box<Session>),
    Stream(BodyDataStream, String),
    /// Requests only, or nothing any more.
    None,
}

/// What a hub does by itself, as long as somebody waits for it.
pub struct Work<T>(JoinHandle<T>);

impl<T: Send + 'static> Work<T> {
    fn new(work: impl Future<Output = T> + Send + 'static) -> Self {
        Self(tokio::spawn(work))
    }

    /// What came of it, once.
    fn done(&mut self) -> Option<T> {
        (&mut self.0).now_or_never().map(Result::unwrap)
    }
}

impl<T> Drop for Work<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Something on its way to the server.
enum Up {
    Frame(String),
    Request { request: RequestId, method: Method, url: String, body: String },
}

/// One leg of a client.
pub struct Leg {
    pub tab: usize,
    pub id: LegId,
    pub transport: Transport,
    weather: Weather,
    end: End,
    /// At which hub that is.
    hub: usize,
    up: Vec<(u64, Up)>,
    /// What was asked, and at which hub.
    asked: Vec<(usize, RequestId, Work<Reply>)>,
    /// On its way to the client, by the time of arrival.
    down: VecDeque<(u64, Event)>,
    /// When the last frame arrives: they don't overtake each other.
    last_frame: u64,
    arrives: u64,
    dies: Option<u64>,
    /// The client has given it up: it hears nothing of it any more.
    pub deaf: bool,
}

impl Leg {
    pub fn new(tab: usize, id: LegId, transport: Transport, weather: Weather) -> Self {
        Self {
            tab,
            id,
            transport,
            weather,
            end: End::None,
            hub: 0,
            up: Vec::new(),
            asked: Vec::new(),
            down: VecDeque::new(),
            last_frame: 0,
            arrives: 0,
            dies: None,
            deaf: false,
        }
    }

    /// Whether nothing can come of it any more.
    pub fn is_over(&self) -> bool {
        self.deaf && self.up.is_empty()
    }

    pub fn open(&mut self, url: String, now: u64, net: &mut Net) {
        let later = now + net.delay();
        match self.weather {
            Weather::Refused => self.close_at(later),
            Weather::Mute => {}
            Weather::Cut | Weather::Slow | Weather::Fine => {
                (self.end, self.arrives) = (End::Opening(url), later);
            }
        }
        if self.weather == Weather::Cut {
            self.dies = Some(later + net.rng.u64(..3_000));
        }
    }

    pub fn send(&mut self, text: String, now: u64, net: &mut Net) {
        let last = self.up.iter().map(|(at, _)| *at).max().unwrap_or_default();
        let at = last.max(now + net.delay());
        if net.chance(5) {
            // A proxy that tries again; the second may come after something else.
            self.up.push((at + net.delay() * 10, Up::Frame(text.clone())));
        }
        self.up.push((at, Up::Frame(text)));
    }

    pub fn fetch(
        &mut self,
        (request, method, url): (RequestId, Method, String),
        body: Option<String>,
        now: u64,
        net: &mut Net,
    ) {
        let (at, body) = (now + net.delay(), body.unwrap_or_default());
        let lost = net.chance(4) || self.weather == Weather::Refused;
        if lost {
            self.push(at, Event::Unanswered { leg: self.id, request });
            if self.weather != Weather::Fine || net.rng.bool() {
                return;
            }
        }
        if self.weather != Weather::Mute {
            self.up.push((at, Up::Request { request, method, url, body }));
        }
    }

    /// The client gives it up. What is on its way up may arrive all the same.
    pub fn give_up(&mut self, net: &mut Net) {
        self.deaf = true;
        self.down.clear();
        self.asked.clear();
        if net.rng.bool() {
            self.up.clear();
        }
    }

    /// It breaks; the client may learn of it at once, or only from the silence.
    pub fn cut(&mut self, now: u64, net: &mut Net) {
        let lost: Vec<_> = self.asked.drain(..).map(|(_, request, _)| request).collect();
        self.down.clear();
        self.end = End::None;
        if net.rng.bool() {
            self.up.clear();
        }
        for request in lost {
            self.push(now, Event::Unanswered { leg: self.id, request });
        }
        if net.rng.bool() || self.transport >= Transport::LongPoll {
            self.close_at(now);
        }
    }

    fn close_at(&mut self, at: u64) {
        let leg = self.id;
        let event = match self.transport {
            Transport::WebSocket => {
                Event::Closed { leg, code: 1006, reason: String::new(), was_clean: false }
            }
            Transport::Events => Event::Failed { leg, what: String::new() },
            Transport::LongPoll | Transport::Poll => return,
        };
        self.push(at, event);
    }

    fn push(&mut self, at: u64, event: Event) {
        let behind = self.down.partition_point(|(other, _)| *other <= at);
        self.down.insert(behind, (at, event));
    }

    /// A hub has died: what it was asked is not answered, and nobody is connected to it any more.
    pub fn lose_hub(&mut self, hub: usize, now: u64) {
        let (lost, asked): (Vec<_>, _) =
            std::mem::take(&mut self.asked).into_iter().partition(|it| it.0 == hub);
        self.asked = asked;
        for (_, request, _) in lost {
            self.push(now, Event::Unanswered { leg: self.id, request });
        }
        if self.hub == hub && !matches!(self.end, End::Opening(_) | End::None) {
            self.end = End::None;
            self.close_at(now);
        }
    }

    /// What has arrived finds nobody.
    fn find_nobody(&mut self, now: u64) {
        let (arrived, up): (Vec<_>, _) =
            std::mem::take(&mut self.up).into_iter().partition(|it| it.0 <= now);
        self.up = up;
        for (_, up) in arrived {
            if let Up::Request { request, .. } = up {
                self.push(now, Event::Unanswered { leg: self.id, request });
            }
        }
        if self.arrives <= now && matches!(self.end, End::Opening(_)) {
            self.end = End::None;
            self.close_at(now);
        }
    }

    /// The half of the hubs, of which these are up.
    pub async fn serve(&mut self, hubs: &[(usize, Far)], now: u64, net: &mut Net) {
        if self.dies.is_some_and(|dies| dies <= now) {
            self.dies = None;
            return self.cut(now, net);
        }
        if hubs.is_empty() {
            return self.find_nobody(now);
        }
        self.arrive(hubs, now, net).await;
        self.up.sort_by_key(|(at, _)| *at);
        while self.up.first().is_some_and(|(at, _)| *at <= now) {
            match self.up.remove(0).1 {
                Up::Frame(text) => self.take(&text, now, net),
                Up::Request { request, method, url, body } => {
                    let (hub, far) = net.any(hubs);
                    let reply = match refused(&body, net) {
                        Some(reply) => Work::new(async { reply }),
                        None => Work::new(far.ask(method, &url, body)),
                    };
                    self.asked.push((*hub, request, reply));
                    tokio::task::yield_now().await;
                }
            }
        }
        self.tell(now, net).await;
        if self.deaf && self.up.is_empty() {
            self.end = End::None;
        }
    }

    async fn arrive(&mut self, hubs: &[(usize, Far)], now: u64, net: &mut Net) {
        if let End::Opening(url) = &self.end
            && self.arrives <= now
        {
            let (hub, far) = net.any(hubs);
            let entering = Work::new(far.clone().open(self.transport, url.clone()));
            (self.hub, self.end) = (*hub, End::Entering(entering));
            tokio::task::yield_now().await;
        }
        let End::Entering(entering) = &mut self.end else { return };
        let Some(end) = entering.done() else { return };
        self.end = end;
        match self.end {
            End::None => self.close_at(now),
            _ => {
                let (leg, protocol) = (self.id, "hubbub.v1".to_owned());
                self.push(now, Event::Opened { leg, protocol });
            }
        }
    }

    fn take(&mut self, text: &str, now: u64, net: &mut Net) {
        let End::Session(session) = &mut self.end else { return };
        match refused(text, net) {
            Some(reply) => {
                let text = reply.body;
                self.push(now, Event::Received { leg: self.id, text });
            }
            None => session.take(ClientFrame::parse(text), text.len(), None),
        }
    }

    /// What the server has to tell sets out.
    async fn tell(&mut self, now: u64, net: &mut Net) {
        let (mut frames, mut ended) = (Vec::new(), false);
        let reads = self.weather != Weather::Slow || !net.chance(90);
        match &mut self.end {
            End::Session(_) | End::Stream(..) if !reads => {}
            End::Session(session) => {
                // A new turn of the runtime for each, for it lets nobody go on for ever.
                while let Some(burst) = session.next().now_or_never() {
                    match burst {
                        Ok(burst) => frames.extend(burst.iter().filter_map(text)),
                        Err(_) => {
                            ended = true;
                            break;
                        }
                    }
                    tokio::task::yield_now().await;
                }
            }
            End::Stream(body, read) => {
                while let Some(chunk) = body.next().now_or_never() {
                    let Some(chunk) = chunk else {
                        ended = true;
                        break;
                    };
                    read.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap());
                    tokio::task::yield_now().await;
                }
                while let Some(end) = read.find("\n\n") {
                    let event: String = read.drain(..end + 2).collect();
                    frames.extend(
                        event
                            .lines()
                            .filter_map(|line| line.strip_prefix("data: "))
                            .map(str::to_owned),
                    );
                }
            }
            End::Opening(_) | End::Entering(_) | End::None => {}
        }
        for text in frames {
            let text = with_own_luck(text, net);
            self.last_frame = self.last_frame.max(now + net.delay());
            self.push(self.last_frame, Event::Received { leg: self.id, text });
        }
        for index in (0..self.asked.len()).rev() {
            let Some(reply) = self.asked[index].2.done() else { continue };
            let (_, request, _) = self.asked.remove(index);
            let (leg, Reply { status, problem, body }) = (self.id, reply);
            let answer = match net.chance(3) {
                true => Event::Unanswered { leg, request },
                false => Event::Answered { leg, request, status, problem, body },
            };
            // Requests are apart from each other.
            self.push(now + net.delay(), answer);
        }
        if ended {
            self.end = End::None;
            self.close_at(self.last_frame.max(now));
        }
    }

    /// The next thing that has arrived at the client.
    pub fn arrived(&mut self, now: u64) -> Option<Event> {
        self.down.pop_front_if(|(at, _)| *at <= now).map(|(_, event)| event)
    }
}

/// The frame as text.
fn text(out: &Out) -> Option<String> {
    let shared = |bytes: &[u8]| Some(std::str::from_utf8(bytes).unwrap().to_owned());
    match out {
        Out::Message(record) => shared(record.frame.bytes()),
        Out::State(state) => shared(state.frame.bytes()),
        Out::Frame(frame) => Some(frame.encode()),
        Out::Answer(Answer { frame, .. }) => frame.as_ref().map(ServerFrame::encode),
    }
}

/// When to come back is drawn by the server; here it is drawn by seed.
fn with_own_luck(text: String, net: &mut Net) -> String {
    match ServerFrame::parse(&text) {
        Ok(Some(ServerFrame::Bye(bye))) => {
            ServerFrame::Bye(Bye { reconnect_in_ms: net.rng.u64(250..30_000), ..bye }).encode()
        }
        _ => text,
    }
}

/// Now and then a message is too much at once.
fn refused(frame: &str, net: &mut Net) -> Option<Reply> {
    let Ok(ClientFrame::Message(publish)) = ClientFrame::parse(frame) else { return None };
    let id = publish.id.map(|id| id.to_string());
    let refusal = Refusal::new(ErrorCode::RateLimited, "too much").about(id.as_deref());
    net.chance(3).then(|| {
        let body = ServerFrame::Error(refusal).encode();
        Reply { status: 200, problem: false, body }
    })
}

/// How bad the network is.
pub struct Net {
    pub rng: Rng,
    /// From now on it is well.
    pub healed: bool,
}

impl Net {
    pub fn chance(&mut self, percent: u8) -> bool {
        self.rng.u8(..100) < percent && !self.healed
    }

    pub fn any<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.rng.usize(..of.len())]
    }

    pub fn delay(&mut self) -> u64 {
        if self.chance(3) { self.rng.u64(..40_000) } else { self.rng.u64(..300) }
    }
}
