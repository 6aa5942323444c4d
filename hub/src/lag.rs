//! How far readers are behind. Nothing is measured while messages are delivered: readers leave how far they have got in
//! their lines, and whoever wants to know looks there.

use std::time::Duration;

use crate::line::Progress;

/// How long the oldest message waits for a reader that counts as behind: less is the time that delivering takes.
const LATE: Duration = Duration::from_secs(1);

/// How far readers are behind what was said in their rooms. What the system has taken to be sent counts as read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// How many readers there are for whom a message has waited for more than a second.
    pub behind: usize,
    /// How many messages wait for the reader for whom most do, as far as these are in memory
    /// ([`Limits::tail_messages`](crate::Limits)): a reader that is further behind counts as so far. Those that are for
    /// others count until it has passed them.
    pub messages: usize,
    /// How long the oldest message has waited for the reader for whom one has waited longest: since it was kept, or the
    /// reader came.
    pub oldest: Duration,
}

impl Lag {
    /// Counts a reader for whom so many messages in memory are unread, the oldest of which was kept then; `at` is now, in
    /// milliseconds since 1970.
    pub(crate) fn add(
        &mut self,
        reader: &Progress,
        (unread, kept_at): (usize, Option<u64>),
        at: u64,
    ) {
        // What was unread may be gone from the log.
        let Some(kept_at) = reader.writing.or(kept_at) else { return };
        let waited = Duration::from_millis(at.saturating_sub(kept_at)).min(reader.began.elapsed());
        self.behind += usize::from(waited > LATE);
        self.messages = self.messages.max(unread.max(1));
        self.oldest = self.oldest.max(waited);
    }
}
