//! A chain of polls: ask, and go on from the answer. A long poll waits on the server for news, a poll
//! asks every few seconds.

use common::Position;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{Millis, posts, transport::join};

/// How long a long poll waits, in seconds: below the 30 that proxies often allow.
const WAIT: &str = "25";
/// How often a poll asks, in milliseconds.
const EVERY_MS: Millis = 2_000;
/// How many frames an answer may hold. With as many there may be more.
const LIMIT: usize = 200;

/// An answer to a poll.
#[derive(Debug)]
pub(crate) struct Answer {
    position: Position,
    state: String,
    pub(crate) frames: Vec<String>,
}

impl Answer {
    /// Reads it; `None` where it is none.
    pub(crate) fn read(answer: &posts::Answer) -> Option<Self> {
        #[derive(Deserialize)]
        struct Raw<'a> {
            position: Position,
            state: String,
            #[serde(borrow)]
            frames: Vec<&'a RawValue>,
        }
        let raw: Raw<'_> =
            serde_json::from_str(&answer.body).ok().filter(|_| answer.status == 200)?;
        let frames = raw.frames.into_iter().map(|frame| frame.get().to_owned()).collect();
        Some(Self { position: raw.position, state: raw.state, frames })
    }
}

/// Where a chain of polls has got to.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    waits: bool,
    /// The address of the first poll.
    first: String,
    /// What the answer before said: where to read on, and the state to send back.
    before: Option<(Position, String)>,
}

impl Chain {
    /// One that starts by asking `first`, and then waits for news (`waits`) or asks now and then.
    pub(crate) fn new(waits: bool, first: String) -> Self {
        Self { waits, first, before: None }
    }

    /// The address to ask next. The first answer comes at once: it is the hello.
    pub(crate) fn url(&self, session: Option<&str>) -> String {
        let limit = LIMIT.to_string();
        let limit = ("limit", Some(limit.as_str()));
        let Some((position, state)) = &self.before else {
            return join(self.first.clone(), &[limit]);
        };
        let (path, query) = self.first.split_once('?').unwrap_or((&self.first, ""));
        // The token stays as it is; the rest has changed.
        let token = query.split('&').find(|part| part.starts_with("token="));
        let path = token.map_or(path.to_owned(), |token| format!("{path}?{token}"));
        let after = position.to_string();
        let wait = self.waits.then_some(WAIT);
        let query = [
            ("after", Some(after.as_str())),
            ("session", session),
            limit,
            ("state", Some(state.as_str())),
            ("wait", wait),
        ];
        join(path, &query)
    }

    /// Goes on behind this answer; returns when to ask next.
    pub(crate) fn read_on(&mut self, answer: &Answer, now: Millis) -> Millis {
        self.before = Some((answer.position.clone(), answer.state.clone()));
        let pause = if self.waits || answer.frames.len() >= LIMIT { 0 } else { EVERY_MS };
        now + pause
    }
}
