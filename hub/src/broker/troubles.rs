//! Errors that come again and again: said once, and then now and then, so that a log is not filled with them.

use std::{
    fmt,
    time::{Duration, Instant},
};

/// How long nothing is said after something was.
const QUIET: Duration = Duration::from_secs(10);

/// One kind of trouble.
#[derive(Debug, Default)]
pub struct Troubles {
    said_at: Option<Instant>,
    unsaid: u64,
}

impl Troubles {
    /// Says what is wrong, unless something was said a moment ago; then it is counted, and said with the next.
    pub fn error(&mut self, what: fmt::Arguments<'_>) {
        if self.may_speak(Instant::now()) {
            let unsaid = std::mem::take(&mut self.unsaid);
            tracing::error!(unsaid, "{what}");
        }
    }

    fn may_speak(&mut self, now: Instant) -> bool {
        let speaks = self.said_at.is_none_or(|at| now - at >= QUIET);
        match speaks {
            true => self.said_at = Some(now),
            false => self.unsaid += 1,
        }
        speaks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_again_and_again_is_said_now_and_then() {
        let (mut troubles, start) = (Troubles::default(), Instant::now());
        let seconds = [0, 1, 9, 10, 11, 20].map(|n| start + Duration::from_secs(n));
        assert_eq!(
            seconds.map(|now| troubles.may_speak(now)),
            [true, false, false, true, false, true]
        );
        assert_eq!(troubles.unsaid, 3);
    }
}
