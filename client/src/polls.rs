//! A chain of polls: ask, and go on from the answer. A long poll waits on the server for news, a poll
//! asks every few seconds.

use common::Position;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{Millis, posts, transport::join};

/// How long a long poll waits, in seconds: below the 30 that proxies often allow.
const WAIT: &str = "25";
/// How long a poll waits after an answer, unless told otherwise, in milliseconds.
pub(crate) const EVERY_MS: Millis = 2_000;
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
    /// How long to wait between two; none, where the server does.
    every: Option<Millis>,
    /// The address of the first poll.
    first: String,
    /// What the answer before said: where to read on, and the state to send back.
    before: Option<(Position, String)>,
}

impl Chain {
    /// One that starts by asking `first`, and then asks `every` so many milliseconds; without, the server waits for news.
    pub(crate) fn new(every: Option<Millis>, first: String) -> Self {
        Self { every, first, before: None }
    }

    /// The address to ask next. The first answer comes at once: it is the hello.
    pub(crate) fn url(&self, session: Option<&str>) -> String {
        let limit = LIMIT.to_string();
        let limit = ("limit", Some(limit.as_str()));
        let Some((position, state)) = &self.before else {
            return join(self.first.clone(), &[limit]);
        };
        let (path, query) = self.first.split_once('?').unwrap_or((&self.first, ""));
        // These stay as they are; the rest has changed.
        let stays = |part: &&str| part.starts_with("token=") || part.starts_with("lab=");
        let stay: Vec<_> = query.split('&').filter(stays).collect();
        let path =
            if stay.is_empty() { path.to_owned() } else { format!("{path}?{}", stay.join("&")) };
        let after = position.to_string();
        let wait = self.every.is_none().then_some(WAIT);
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
        // With as many as there may be, there may be more.
        let pause = self.every.filter(|_| answer.frames.len() < LIMIT);
        now + pause.unwrap_or_default()
    }
}
