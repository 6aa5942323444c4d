//! What a server has of a stream: pure, and the same at all servers that were told of the same changes.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use common::Offset;
use tokio::time::Instant;

use crate::{
    shape::Shape,
    stream::{Facts, Item},
};

/// Bytes that a message takes beside its own and its name.
const OVERHEAD: usize = 30;

#[derive(Clone, Debug)]
pub(super) struct Store {
    messages: BTreeMap<u64, Message>,
    by_token: BTreeMap<String, BTreeSet<u64>>,
    bytes: usize,
    last: u64,
    last_at: Option<u64>,
    /// When it was made, and what was said of its life since.
    made: (u64, String),
}

#[derive(Clone, Debug)]
struct Message {
    token: String,
    payload: Bytes,
    at: Instant,
}

impl Message {
    fn size(&self) -> usize {
        self.token.len() + self.payload.len() + OVERHEAD
    }
}

/// Something that is done to a stream.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// Stored then, by the time of the process and in milliseconds since 1970.
    Store {
        token: String,
        payload: Bytes,
        at: Instant,
        at_ms: u64,
    },
    Erase(u64),
    /// All of this name that is before.
    Purge(String, u64),
    /// All that was stored before.
    Expire(Instant),
    /// It is in another life.
    Live(String),
}

impl Store {
    pub(super) fn new(made: u64) -> Self {
        Self {
            messages: BTreeMap::new(),
            by_token: BTreeMap::new(),
            bytes: 0,
            last: 0,
            last_at: None,
            made: (made, String::new()),
        }
    }

    pub(super) fn apply(&mut self, change: Change, shape: &Shape) {
        match change {
            Change::Store { token, payload, at, at_ms } => {
                self.last += 1;
                self.last_at = Some(at_ms);
                let message = Message { token: token.clone(), payload, at };
                self.bytes += message.size();
                self.messages.insert(self.last, message);
                let of_token = self.by_token.entry(token).or_default();
                of_token.insert(self.last);
                let over = of_token.len().saturating_sub(most(shape.per_subject));
                let over: Vec<_> = of_token.iter().take(over).copied().collect();
                over.into_iter().for_each(|offset| self.remove(offset));
                while self.bytes > most(shape.max_bytes) {
                    let Some((oldest, _)) = self.messages.first_key_value() else { break };
                    self.remove(*oldest);
                }
            }
            Change::Erase(offset) => self.remove(offset),
            Change::Purge(token, before) => {
                let gone = self.by_token.get(&token).map(|all| all.range(..before).copied());
                let gone: Vec<_> = gone.into_iter().flatten().collect();
                gone.into_iter().for_each(|offset| self.remove(offset));
            }
            Change::Expire(before) => {
                while self.oldest_at().is_some_and(|at| at < before) {
                    self.messages
                        .first_key_value()
                        .map(|(oldest, _)| *oldest)
                        .into_iter()
                        .for_each(|oldest| self.remove(oldest));
                }
            }
            Change::Live(life) => self.made.1 = life,
        }
    }

    fn remove(&mut self, offset: u64) {
        let Some(message) = self.messages.remove(&offset) else { return };
        self.bytes -= message.size();
        if let Some(of_token) = self.by_token.get_mut(&message.token) {
            of_token.remove(&offset);
        }
    }

    /// When the oldest was stored.
    pub(super) fn oldest_at(&self) -> Option<Instant> {
        Some(self.messages.first_key_value()?.1.at)
    }

    pub(super) fn last(&self) -> u64 {
        self.last
    }

    pub(super) fn life(&self) -> String {
        format!("{} {}", self.made.0, self.made.1)
    }

    pub(super) fn facts(&self) -> Facts {
        let first = self.messages.first_key_value().map_or(self.last + 1, |(first, _)| *first);
        Facts {
            life: self.life(),
            // Of an empty one that never had anything.
            first: Offset(if self.last == 0 { 0 } else { first }),
            last: Offset(self.last),
            bytes: self.bytes as u64,
            streams: 1,
            last_at: self.last_at,
        }
    }

    /// The newest of a name; 0 if there is none.
    pub(super) fn newest(&self, token: &str) -> u64 {
        self.by_token.get(token).and_then(|all| all.last()).copied().unwrap_or(0)
    }

    pub(super) fn item(&self, offset: u64) -> Option<Item> {
        let Message { token, payload, .. } = self.messages.get(&offset)?;
        let (token, payload) = (token.clone(), payload.clone());
        Some(Item { token, offset: Offset(offset), payload })
    }

    /// What is behind an offset, and whether there is more.
    pub(super) fn read(
        &self,
        token: Option<&str>,
        after: u64,
        items: usize,
        bytes: usize,
    ) -> (Vec<Item>, bool) {
        let behind: Vec<_> = match token {
            Some(token) => self
                .by_token
                .get(token)
                .into_iter()
                .flat_map(|all| all.range(after.saturating_add(1)..))
                .copied()
                .collect(),
            None => self.messages.range(after.saturating_add(1)..).map(|(at, _)| *at).collect(),
        };
        let (mut read, mut size) = (Vec::new(), 0);
        for item in behind.iter().filter_map(|offset| self.item(*offset)) {
            if read.len() == items || size >= bytes {
                break;
            }
            size += item.payload.len();
            read.push(item);
        }
        let more = read.len() < behind.len();
        (read, more)
    }
}

fn most(limit: i64) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}
