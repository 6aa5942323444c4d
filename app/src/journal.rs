//! What the inspector shows: every event of the connection, with time, and what it carried.

use std::collections::VecDeque;

use client::Happening;
use serde_json::json;

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

impl Event {
    /// Whether `wanted`, in small letters, is in its name or its frame; all have nothing.
    pub(crate) fn has(&self, wanted: &str) -> bool {
        let frame = match &self.what {
            Happening::Received(frame) | Happening::Sent(frame) => frame.to_lowercase(),
            _ => String::new(),
        };
        self.what.name().contains(wanted) || frame.contains(wanted)
    }

    /// The event as a line of JSON: as much of its frame as is kept.
    pub(crate) fn line(&self) -> String {
        let mut line = json!({"number": self.number, "at": self.at, "event": self.what.name()});
        match &self.what {
            Happening::Connect(url) => line["url"] = url.as_str().into(),
            Happening::Open(protocol) => line["protocol"] = protocol.as_str().into(),
            Happening::Received(frame) | Happening::Sent(frame) => {
                line["bytes"] = self.bytes.into();
                line["frame"] = frame.as_str().into();
            }
            Happening::Transport(transport) => line["transport"] = transport.word().into(),
            Happening::Close { code, reason, was_clean } => {
                line["code"] = (*code).into();
                line["reason"] = reason.as_str().into();
                line["wasClean"] = (*was_clean).into();
            }
            Happening::Failed(_) | Happening::Abandoned => {}
        }
        line.to_string()
    }
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
    fn events_are_found_by_name_or_frame_and_written_as_json() {
        let mut journal = Journal::default();
        journal.note(Happening::Received(r#"{"type":"Hello"}"#.to_owned()), 7.0);
        let (code, reason, was_clean) = (1006, String::new(), false);
        journal.note(Happening::Close { code, reason, was_clean }, 8.0);
        let events = journal.newest_first();
        let found = |wanted: &str| events.iter().filter(|event| event.has(wanted)).count();
        assert_eq!([found(""), found("hello"), found("close"), found("nothing")], [2, 1, 1, 0]);
        let line =
            r#"{"number":1,"at":7.0,"event":"message","bytes":16,"frame":"{\"type\":\"Hello\"}"}"#;
        assert_eq!(events[1].line(), line);
    }

    #[test]
    fn old_events_go_and_are_counted() {
        let mut journal = Journal::default();
        (0..250).for_each(|_| journal.note(Happening::Abandoned, 0.0));
        assert_eq!((journal.newest_first().len(), journal.dropped()), (200, 50));
        assert_eq!(journal.newest_first()[0].number, 250);
    }
}
