//! What the inspector shows: every event of the connection, with time, and what it carried.

use std::collections::VecDeque;

/// How many events are kept.
const KEPT: usize = 200;
/// How much of a frame is kept to look at, in characters.
const EXCERPT: usize = 2_000;

/// Something that happened to the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// We set out for this address.
    Connect(String),
    /// The `open` event, with the subprotocol that was agreed on.
    Open(String),
    /// A `message` event, with the frame.
    Received(String),
    /// We sent this frame.
    Sent(String),
    /// The `error` event, with what the browser tells of it: of a WebSocket, nothing.
    Error(String),
    /// The `close` event.
    Close {
        /// RFC 6455 section 7.4.
        code: u16,
        /// What the server said about it.
        reason: String,
        /// Whether both sides agreed to close.
        was_clean: bool,
    },
    /// Another road is taken from now on, this one.
    Road(&'static str),
    /// We gave up a road that said nothing.
    Abandoned,
}

impl Happening {
    /// The name of the event.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Connect(_) => "connect",
            Self::Open(_) => "open",
            Self::Received(_) => "message",
            Self::Sent(_) => "send",
            Self::Error(_) => "error",
            Self::Close { .. } => "close",
            Self::Road(_) => "road",
            Self::Abandoned => "abandon",
        }
    }
}

/// One row of the inspector.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Counts from 1 over the life of the page.
    pub number: usize,
    /// Milliseconds since 1970.
    pub at: f64,
    /// Bytes of the frame, where there is one.
    pub bytes: usize,
    /// What happened.
    pub what: Happening,
}

/// The inspector's memory.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    events: VecDeque<Event>,
    count: usize,
    bytes_in: usize,
    bytes_out: usize,
}

impl Journal {
    /// Writes down what happened `at` milliseconds since 1970.
    pub fn note(&mut self, mut what: Happening, at: f64) {
        let mut bytes = 0;
        if let Happening::Received(frame) | Happening::Sent(frame) = &mut what {
            bytes = frame.len();
            if let Some((end, _)) = frame.char_indices().nth(EXCERPT) {
                frame.truncate(end);
                frame.push('…');
            }
        }
        match what {
            Happening::Received(_) => self.bytes_in += bytes,
            Happening::Sent(_) => self.bytes_out += bytes,
            _ => {}
        }
        self.count += 1;
        self.events.push_back(Event { number: self.count, at, bytes, what });
        if self.events.len() > KEPT {
            self.events.pop_front();
        }
    }

    /// Forgets the events; the counters go on.
    pub fn clear(&mut self) {
        self.events.clear();
    }

    /// The events that are kept, newest first.
    pub fn newest_first(&self) -> Vec<Event> {
        self.events.iter().rev().cloned().collect()
    }

    /// Whether no event is kept.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// How many events happened that are not kept.
    pub fn dropped(&self) -> usize {
        self.count - self.events.len()
    }

    /// Bytes of all frames received, as UTF-8.
    pub fn bytes_in(&self) -> usize {
        self.bytes_in
    }

    /// Bytes of all frames sent, as UTF-8.
    pub fn bytes_out(&self) -> usize {
        self.bytes_out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_counted_as_utf_8_however_little_is_kept_to_look_at() {
        let mut journal = Journal::default();
        journal.note(Happening::Received("가".repeat(3_000)), 0.0);
        journal.note(Happening::Sent("hi".to_owned()), 0.0);
        assert_eq!((journal.bytes_in(), journal.bytes_out()), (9_000, 2));
        let Happening::Received(kept) = &journal.newest_first()[1].what else { panic!() };
        assert_eq!(kept.chars().count(), 2_001);
    }

    #[test]
    fn old_events_go_and_are_counted() {
        let mut journal = Journal::default();
        (0..250).for_each(|_| journal.note(Happening::Error(String::new()), 0.0));
        assert_eq!((journal.newest_first().len(), journal.dropped()), (200, 50));
        assert_eq!(journal.newest_first()[0].number, 250);
    }
}
