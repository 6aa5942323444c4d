//! The time of day.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

/// A clock that is put back by no more than this stands still instead, in milliseconds: so do the times of messages.
const PUT_BACK_MS: u64 = 60_000;

/// Milliseconds since 1970, UTC.
pub(crate) fn now_ms() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    let last = LAST.fetch_max(now, Ordering::Relaxed);
    match last.saturating_sub(now) {
        0 => now,
        1..=PUT_BACK_MS => last,
        _ => {
            LAST.store(now, Ordering::Relaxed);
            now
        }
    }
}
