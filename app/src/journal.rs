//! What the inspector shows: every event of the connection, with time, and what it carried.

use std::collections::VecDeque;

use client::Happening;

/// How many events are kept.
const KEPT: usize = 200;
/// How much of a frame is kept to look at, in characters.
const EXCERPT: usize = 2_000;

/// One row of the inspector.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    /// Counts from 1 over the life of the page.
    pub(crate) number: usize,
    /// Milliseconds since 1970.
    pub(crate) at: f64,
    /// Bytes of the frame, where there is one.
    pub(crate) bytes: usize,
    /// What happened.
    pub(crate) what: Happening,
}

/// The inspector's memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Journal {
    events: VecDeque<Event>,
    count: usize,
    bytes_in: usize,
    bytes_out: usize,
}

impl Journal {
    /// Writes down what happened `at` milliseconds since 1970.
    pub(crate) fn note(&mut self, mut what: Happening, at: f64) {
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
    pub(crate) fn clear(&mut self) {
        self.events.clear();
    }

    /// The events that are kept, newest first.
    pub(crate) fn newest_first(&self) -> Vec<Event> {
        self.events.iter().rev().cloned().collect()
    }

    /// Whether no event is kept.
    pub(crate) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// How many events happened that are not kept.
    pub(crate) fn dropped(&self) -> usize {
        self.count - self.events.len()
    }

    /// Bytes of all frames received, as UTF-8.
    pub(crate) fn bytes_in(&self) -> usize {
        self.bytes_in
    }

    /// Bytes of all frames sent, as UTF-8.
    pub(crate) fn bytes_out(&self) -> usize {
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
        (0..250).for_each(|_| journal.note(Happening::Abandoned, 0.0));
        assert_eq!((journal.newest_first().len(), journal.dropped()), (200, 50));
        assert_eq!(journal.newest_first()[0].number, 250);
    }
}
