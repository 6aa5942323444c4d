//! One network connection, whatever the transport: frames go in and come out, and what the transport
//! takes for that, a chain of polls or a POST for each frame, is in here.
//!
//! Pure: it writes down [`Effect`]s, and says what it heard.

use std::collections::VecDeque;

use common::{After, ClientFrame, Refusal};

use crate::{
    Effect, Fault, LegId, Method, Millis, RequestId, Transport,
    polls::{Answer, Chain},
    posts,
    rosters::Rosters,
    transport::Place,
};

/// How often a request is tried. Safe: a message has its id.
const TRIES: u32 = 4;
/// The wait before the second try, in milliseconds; before each next one as much longer.
const WAIT_MS: Millis = 250;

/// What was heard on a leg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// The server is there.
    Alive,
    Opened(String),
    Frame(String),
    Failed(Fault),
    /// The server will not have us, for this reason.
    Refused(Refusal),
    Closed {
        code: u16,
        reason: String,
        was_clean: bool,
    },
}

impl Heard {
    /// A leg that just ends.
    fn lost() -> Self {
        Self::Closed { code: 1006, reason: String::new(), was_clean: false }
    }
}

/// One request that is under way, or will be made again.
#[derive(Clone, Debug)]
struct Request {
    number: RequestId,
    what: What,
    tries: u32,
    /// When to make it; `None` while it is under way.
    due: Option<Millis>,
}

#[derive(Clone, Debug)]
enum What {
    Poll,
    Post(ClientFrame),
}

impl What {
    fn method(&self) -> Method {
        match self {
            Self::Poll => Method::Get,
            Self::Post(_) => Method::Post,
        }
    }
}

/// One network connection.
#[derive(Clone, Debug)]
pub(crate) struct Leg {
    pub(crate) id: LegId,
    pub(crate) transport: Transport,
    /// A number of [`Transport::states`].
    pub(crate) ready: u16,
    /// The session that it said hello to.
    pub(crate) session: Option<String>,
    /// What was told on it of the members. Differences only fit the leg they were told on.
    pub(crate) rosters: Rosters,
    place: Place,
    chain: Option<Chain>,
    requests: Vec<Request>,
    next_request: RequestId,
}

impl Leg {
    /// Sets out from `after`. Returns the leg and the address it asks.
    pub(crate) fn open(
        id: LegId,
        transport: Transport,
        place: &Place,
        after: &After,
        session: Option<&str>,
        effects: &mut VecDeque<Effect>,
    ) -> (Self, String) {
        let url = place.open(transport, after, session);
        let mut leg = Self {
            id,
            transport,
            ready: 0,
            session: None,
            rosters: Rosters::default(),
            place: place.clone(),
            chain: None,
            requests: Vec::new(),
            next_request: 0,
        };
        match transport {
            Transport::WebSocket | Transport::Events => {
                effects.push_back(Effect::Open { leg: id, transport, url: url.clone() });
            }
            Transport::LongPoll | Transport::Poll => {
                let every = (transport == Transport::Poll).then_some(place.poll_every);
                leg.chain = Some(Chain::new(every, url.clone()));
                leg.ask(What::Poll, effects);
            }
        }
        (leg, url)
    }

    /// Sends a frame.
    pub(crate) fn send(&mut self, frame: ClientFrame, effects: &mut VecDeque<Effect>) {
        match self.transport {
            Transport::WebSocket => {
                effects.push_back(Effect::Send { leg: self.id, text: frame.encode() });
            }
            _ => self.ask(What::Post(frame), effects),
        }
    }

    /// A WebSocket or an event stream is open.
    pub(crate) fn opened(&mut self, protocol: String) -> Heard {
        self.ready = 1;
        Heard::Opened(protocol)
    }

    /// Something is wrong; an event stream is over then. The browser would connect again by itself, at
    /// the old position and without end: when to come back is not for it to say.
    pub(crate) fn failed(&mut self, what: String) -> Vec<Heard> {
        let fault = if what.is_empty() { Fault::Untold } else { Fault::Told(what) };
        match self.transport {
            Transport::WebSocket => vec![Heard::Failed(fault)],
            _ => self.over(fault),
        }
    }

    /// The leg ends by itself.
    fn over(&mut self, fault: Fault) -> Vec<Heard> {
        self.requests.clear();
        self.ready = self.transport.closed();
        vec![Heard::Failed(fault), Heard::lost()]
    }

    /// A request has this answer, or none (`None`).
    pub(crate) fn answered(
        &mut self,
        number: RequestId,
        answer: Option<posts::Answer>,
        now: Millis,
    ) -> Vec<Heard> {
        let under_way = |request: &Request| request.number == number && request.due.is_none();
        let Some(index) = self.requests.iter().position(under_way) else { return Vec::new() };
        let Some(answer) = answer.filter(|answer| !answer.is_from_a_gateway()) else {
            let request = &mut self.requests[index];
            request.tries += 1;
            request.due = Some(now + WAIT_MS * Millis::from(request.tries));
            return match request.tries {
                // Nobody knows whether it was taken. A new connection sends it again.
                TRIES.. => {
                    let method = request.what.method();
                    self.over(Fault::Unanswered(method))
                }
                _ => Vec::new(),
            };
        };
        match self.requests.remove(index).what {
            What::Post(frame) => {
                posts::frame(&answer, &frame).map(Heard::Frame).into_iter().collect()
            }
            What::Poll => match Answer::read(&answer) {
                Some(page) => self.polled(page, now),
                None => {
                    let refused =
                        answer.problem.then(|| Heard::Refused(posts::refusal(&answer.body)));
                    let over = self.over(Fault::Answered(answer.status));
                    refused.into_iter().chain(over).collect()
                }
            },
        }
    }

    fn polled(&mut self, page: Answer, now: Millis) -> Vec<Heard> {
        let mut heard = vec![match self.ready {
            0 => self.opened("application/json".to_owned()),
            _ => Heard::Alive,
        }];
        let next = self.chain.as_mut().map(|chain| chain.read_on(&page, now));
        heard.extend(page.frames.into_iter().map(Heard::Frame));
        if next.is_some() {
            let number = self.number();
            self.requests.push(Request { number, what: What::Poll, tries: 0, due: next });
        }
        heard
    }

    /// Makes the requests that are due.
    pub(crate) fn tick(&mut self, now: Millis, effects: &mut VecDeque<Effect>) {
        for index in 0..self.requests.len() {
            if self.requests[index].due.is_some_and(|due| due <= now) {
                self.requests[index].due = None;
                effects.push_back(self.fetch(index));
            }
        }
    }

    /// When [`Leg::tick`] has something to do.
    pub(crate) fn deadline(&self) -> Option<Millis> {
        self.requests.iter().filter_map(|request| request.due).min()
    }

    fn number(&mut self) -> RequestId {
        self.next_request += 1;
        self.next_request
    }

    fn ask(&mut self, what: What, effects: &mut VecDeque<Effect>) {
        let number = self.number();
        self.requests.push(Request { number, what, tries: 0, due: None });
        effects.push_back(self.fetch(self.requests.len() - 1));
    }

    fn fetch(&self, index: usize) -> Effect {
        let Request { number, what, .. } = &self.requests[index];
        let (url, body) = match what {
            What::Poll => {
                (self.chain.as_ref().map(|chain| chain.url(self.session.as_deref())), None)
            }
            What::Post(frame) => {
                (Some(self.place.post(self.session.as_deref())), Some(frame.encode()))
            }
        };
        let url = url.unwrap_or_default();
        Effect::Fetch { leg: self.id, request: *number, method: what.method(), url, body }
    }
}
