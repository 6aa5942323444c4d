//! Times as people read them, in the zone of whoever reads.
//!
//! The browser knows its zone, and tells the server by a cookie for the next page. Until then it is UTC, and says so.

use std::time::{Duration, UNIX_EPOCH};

use leptos::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{browser, lang::Strings};

/// The cookie by which the server knows how many minutes the browser is ahead of UTC.
pub const ZONE_COOKIE: &str = "hubbub_zone";

/// Of which place a time of day is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Zone {
    /// Nobody knows where the reader is.
    Utc,
    /// So many minutes ahead of UTC.
    Ahead(i32),
    /// As the browser has it, at that time of the year. Browser only.
    Browser,
}

impl Zone {
    /// What the cookie says. No place is further from UTC than 14 hours.
    pub fn parse(minutes: &str) -> Option<Self> {
        let minutes: i32 = minutes.parse().ok()?;
        (-14 * 60..=14 * 60).contains(&minutes).then_some(Self::Ahead(minutes))
    }

    /// A time there, written as if it were in UTC.
    fn shift(self, at_ms: u64) -> u64 {
        let minutes = match self {
            Self::Utc => 0,
            Self::Ahead(minutes) => minutes,
            Self::Browser => browser::minutes_ahead(at_ms),
        };
        at_ms.saturating_add_signed(i64::from(minutes) * 60_000)
    }

    /// `09:05`; with `UTC` behind it, where that is a guess.
    pub fn clock(self, at_ms: u64) -> String {
        let clock = &iso(self.shift(at_ms))[11..16];
        match self {
            Self::Utc => format!("{clock} UTC"),
            Self::Ahead(_) | Self::Browser => clock.to_owned(),
        }
    }

    /// Whether both are on one day.
    pub fn is_same_day(self, one_ms: u64, other_ms: u64) -> bool {
        const DAY_MS: u64 = 24 * 60 * 60 * 1000;
        self.shift(one_ms) / DAY_MS == self.shift(other_ms) / DAY_MS
    }

    /// The day, with its name.
    pub fn day(self, at_ms: u64, strings: &Strings) -> String {
        let at = self.shift(at_ms);
        let text = iso(at);
        let number = |range: std::ops::Range<usize>| text[range].parse::<u32>().unwrap_or_default();
        let (year, month, day) = (number(0..4), number(5..7), number(8..10));
        // 1 January 1970 was a Thursday.
        let weekday = (at / (24 * 60 * 60 * 1000) + 4) % 7;
        (strings.day)(year, month, day, weekday as usize)
    }
}

/// The zone of whoever reads this page, as far as it is known; the browser's own once the page is live.
pub(crate) fn zone() -> RwSignal<Zone> {
    expect_context()
}

/// Of which place times are now. Whoever asks is told of another only until the page is live: after that there is none.
pub(crate) fn of(zone: RwSignal<Zone>) -> Zone {
    match zone.get_untracked() {
        Zone::Browser => Zone::Browser,
        _ => zone.get(),
    }
}

/// `2026-11-23T09:05:00Z`, for machines (`<time datetime>`).
pub fn iso(at_ms: u64) -> String {
    // The year 9999 is as far as that notation goes.
    let seconds = (at_ms / 1000).min(253_402_300_799);
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lang::Lang;

    const AT: u64 = 1_795_424_700_999;

    #[test]
    fn machines_get_the_time_as_iso_8601_in_utc() {
        assert_eq!(iso(0), "1970-01-01T00:00:00Z");
        assert_eq!(iso(AT), "2026-11-23T09:05:00Z");
        assert_eq!(iso(u64::MAX), "9999-12-31T23:59:59Z");
    }

    #[test]
    fn people_get_it_in_their_zone_or_are_told_that_it_is_not() {
        assert_eq!(Zone::Utc.clock(AT), "09:05 UTC");
        assert_eq!(Zone::parse("540").unwrap().clock(AT), "18:05");
        assert_eq!(Zone::parse("-570").unwrap().clock(AT), "23:35");
        assert_eq!(Zone::Ahead(-60).clock(0), "00:00", "there is nothing before 1970");
        for bad in ["", "x", "841", "-900", "1e3", "99999999999"] {
            assert_eq!(Zone::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_day_begins_where_the_reader_is() {
        let (seoul, later) = (Zone::Ahead(540), AT + 6 * 60 * 60 * 1000);
        assert!(Zone::Utc.is_same_day(AT, later));
        assert!(!seoul.is_same_day(AT, later));
        assert_eq!(seoul.day(later, Lang::Ko.strings()), "2026년 11월 24일 화요일");
        assert_eq!(Zone::Utc.day(later, Lang::En.strings()), "Monday, 23 November 2026");
    }
}
