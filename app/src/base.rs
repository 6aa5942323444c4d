//! Where the site is on its host: at its root, or under a path behind a proxy that serves others, too.
//!
//! The rule to keep: every address of ours on a page goes through [`path`].

use std::sync::OnceLock;

/// `/hub`, or nothing. A process serves one site, and a page is of one.
static BASE: OnceLock<String> = OnceLock::new();

/// Says where the site is, once: a path without a slash at its end, or nothing.
pub fn set(base: &str) {
    // Whoever says it again says the same.
    let _ = BASE.set(base.to_owned());
}

/// Where the site is.
pub fn base() -> &'static str {
    BASE.get().map_or("", String::as_str)
}

/// An address of ours, which begins with a slash, as it is on this host.
pub fn path(path: &str) -> String {
    format!("{}{path}", base())
}
