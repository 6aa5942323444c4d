//! What time it is for whoever lets go of what is old: a clock that is suddenly ahead must not make everything old.

use std::time::Duration;

use tokio::time::Instant;

/// A clock that was ahead by so much more than time has passed is not believed, in milliseconds: a day.
const JUMP_MS: u64 = 24 * 60 * 60 * 1_000;
/// Unless it has gone on like that for so long.
const HELD: Duration = Duration::from_secs(24 * 60 * 60);

/// The time by which ages are told.
#[derive(Clone, Debug, Default)]
pub struct Ages {
    /// The last time that was believed, in milliseconds since 1970.
    believed: Option<u64>,
    /// Since when the clock has been far ahead of that.
    ahead: Option<Instant>,
}

impl Ages {
    /// Goes on from the last time that an earlier process believed; none if there was none.
    pub fn since(believed: Option<u64>) -> Self {
        Self { believed, ahead: None }
    }

    /// The time to tell ages by, where the clock says `at`, in milliseconds since 1970. After a jump of more than
    /// a day it stands still for a day of this process; a clock that goes back is believed, for by it all is younger.
    pub fn at(&mut self, at: u64) -> u64 {
        match self.believed {
            Some(believed) if at > believed.saturating_add(JUMP_MS) => {
                let ahead = *self.ahead.get_or_insert_with(|| {
                    tracing::warn!(
                        believed,
                        at,
                        "the clock is far ahead of when it was last looked at: for a day nothing is let go of for its age"
                    );
                    Instant::now()
                });
                if ahead.elapsed() < HELD {
                    return believed;
                }
            }
            _ => {}
        }
        (self.believed, self.ahead) = (Some(at), None);
        at
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_jumps_ahead_is_believed_after_a_day() {
        assert_eq!((JUMP_MS, HELD.as_secs()), (86_400_000, 86_400));
        // Also over a restart.
        assert_eq!(Ages::since(Some(1_000)).at(40 * JUMP_MS), 1_000);
        let mut ages = Ages::since(Some(1_000));
        assert_eq!(ages.at(1_000 + JUMP_MS), 1_000 + JUMP_MS);
        let (before, after) = (1_000 + JUMP_MS, 40 * JUMP_MS);
        assert_eq!(ages.at(after), before);
        advance(HELD - Duration::from_millis(1)).await;
        assert_eq!(ages.at(after + JUMP_MS), before);
        advance(Duration::from_millis(1)).await;
        assert_eq!(ages.at(after + JUMP_MS), after + JUMP_MS);
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_put_right_again_is_believed_at_once() {
        let mut ages = Ages::default();
        assert_eq!(ages.at(5_000), 5_000);
        assert_eq!(ages.at(40 * JUMP_MS), 5_000);
        assert_eq!(ages.at(6_000), 6_000);
        assert_eq!(ages.at(2_000), 2_000);
        // The day begins anew.
        assert_eq!(ages.at(40 * JUMP_MS), 2_000);
    }
}
