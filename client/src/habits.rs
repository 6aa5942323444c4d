//! What a client does now and then, so that the others know what its person does: writes, or looks
//! elsewhere.

use crate::Millis;

/// No `typing` frame follows another sooner, in milliseconds.
const TYPING_EVERY_MS: Millis = 3_000;

/// When the others were told what.
#[derive(Clone, Debug, Default)]
pub(crate) struct Habits {
    typed_at: Option<Millis>,
    idle: bool,
    /// The others may have been told that nobody looks, also by the page that had this session before.
    was_idle: bool,
}

impl Habits {
    /// A key was pressed that writes something; true if the others are to be told.
    pub(crate) fn typing(&mut self, now: Millis) -> bool {
        let due = self.typed_at.is_none_or(|at| now >= at + TYPING_EVERY_MS);
        if due {
            self.typed_at = Some(now);
        }
        due
    }

    /// What was written is gone; true if the others were told of it.
    pub(crate) fn cleared(&mut self) -> bool {
        self.typed_at.take().is_some()
    }

    /// What was written is said: the next key is told at once.
    pub(crate) fn said(&mut self) {
        self.typed_at = None;
    }

    /// Whether nobody looks; true if that is news.
    pub(crate) fn look(&mut self, idle: bool) -> bool {
        self.was_idle |= idle;
        std::mem::replace(&mut self.idle, idle) != idle
    }

    /// This goes on with a session of which it is not known what the others were told.
    pub(crate) fn go_on(&mut self) {
        self.was_idle = true;
    }

    /// Whether nobody looks, if that is to be told on a new leg: the others may think otherwise.
    pub(crate) fn idle(&self) -> Option<bool> {
        self.was_idle.then_some(self.idle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_is_told_every_three_seconds_and_anew_after_something_was_said() {
        let mut habits = Habits::default();
        assert_eq!([0, 1, 2_999, 3_000].map(|now| habits.typing(now)), [true, false, false, true]);
        habits.said();
        assert!(habits.typing(3_001));
        assert_eq!([habits.cleared(), habits.cleared()], [true, false]);
        assert!(habits.typing(3_002));
    }

    #[test]
    fn looking_away_is_news_once() {
        let mut habits = Habits::default();
        assert_eq!(habits.idle(), None);
        assert_eq!([true, true, false].map(|idle| habits.look(idle)), [true, false, true]);
        assert_eq!(habits.idle(), Some(false));
    }
}
