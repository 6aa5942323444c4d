//! Times: UTC while a page is rendered, the reader's own zone and language once it is live.

use std::time::{Duration, UNIX_EPOCH};

use crate::lang::Lang;

/// `2026-11-23T09:05:00Z`, for machines (`<time datetime>`).
pub fn iso(at_ms: u64) -> String {
    // The year 9999 is as far as that notation goes.
    let seconds = (at_ms / 1000).min(253_402_300_799);
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds)).to_string()
}

/// `09:05`, UTC, for people as long as nobody knows where they are.
pub fn utc_clock(at_ms: u64) -> String {
    iso(at_ms)[11..16].to_owned()
}

/// The time of day where the reader is, with the date if that is not today. Browser only.
pub fn local_clock(at_ms: u64, lang: Lang) -> String {
    let date = |ms: f64| js_sys::Date::new(&ms.into());
    let then = date(at_ms as f64);
    let today = date(js_sys::Date::now()).to_date_string() == then.to_date_string();
    let options = js_sys::Object::new();
    let set = |key: &str, value: &str| {
        // Setting a property of a plain object does not fail.
        let _ = js_sys::Reflect::set(&options, &key.into(), &value.into());
    };
    set("hour", "2-digit");
    set("minute", "2-digit");
    set("hourCycle", "h23");
    if !today {
        set("month", "short");
        set("day", "numeric");
    }
    then.to_locale_string(lang.tag(), &options).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_get_the_time_as_iso_8601_in_utc() {
        assert_eq!(iso(0), "1970-01-01T00:00:00Z");
        assert_eq!(iso(1_795_424_700_999), "2026-11-23T09:05:00Z");
        assert_eq!(utc_clock(1_795_424_700_999), "09:05");
        assert_eq!(iso(u64::MAX), "9999-12-31T23:59:59Z");
    }
}
