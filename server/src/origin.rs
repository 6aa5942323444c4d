//! Which web pages may talk to this server.
//!
//! A browser tells with `Origin` which page a request comes from (RFC 6454 section 7). WebSocket
//! upgrades and form posts are not held back by the same-origin policy, so the server has to look.

use axum::http::{HeaderMap, Uri, header};
use common::{ErrorCode, Refusal};

use crate::config::{Config, HostName};

/// Lets pass: no `Origin` (a program, or a browser's own navigation), the origin the request was sent
/// to, and those in `allowed`.
///
/// # Errors
///
/// [`ErrorCode::ForeignOrigin`] for every other page.
pub(crate) fn check(headers: &HeaderMap, config: &Config) -> Result<(), Refusal> {
    check_among(headers, &config.allow_origins, &config.hosts)
}

/// As [`check`], for what only pages of this server itself may do.
///
/// # Errors
///
/// As [`check`].
pub(crate) fn check_own(headers: &HeaderMap, config: &Config) -> Result<(), Refusal> {
    check_among(headers, &[], &config.hosts)
}

fn check_among(headers: &HeaderMap, allowed: &[String], names: &[HostName]) -> Result<(), Refusal> {
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().unwrap_or_default().to_ascii_lowercase();
    if allowed.contains(&origin) || is_same(&origin, headers) || is_of(&origin, names) {
        return Ok(());
    }
    Err(Refusal::new(
        ErrorCode::ForeignOrigin,
        "pages of this origin may not connect; the operator can allow it with --allow-origin",
    ))
}

/// Compares host and port only: behind a proxy that ends TLS the scheme differs rightly.
fn is_same(origin: &str, headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let authority = origin.parse::<Uri>().ok().and_then(|uri| uri.authority().cloned());
    match (authority, host) {
        (Some(authority), Some(host)) => authority.as_str().eq_ignore_ascii_case(host),
        _ => false,
    }
}

/// Whether it has a name that the operator has told to be this server's: a proxy may have put its own into `Host`. On
/// another port of that host there may be somebody else.
fn is_of(origin: &str, names: &[HostName]) -> bool {
    let authority = origin.parse::<Uri>().ok().and_then(|uri| uri.authority().cloned());
    authority.is_some_and(|authority| {
        let is_one =
            |told: &HostName| told.name == authority.host() && told.port == authority.port_u16();
        names.iter().any(is_one)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(origin: Option<&str>, host: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        let name = |port| HostName { name: "hub.example.org".to_owned(), port };
        let names = [name(None), name(Some(8443))];
        check_among(&headers, &["https://friend.example".to_owned()], &names).is_ok()
    }

    #[test]
    fn only_this_origin_allowed_ones_and_programs_pass() {
        assert!(passes(None, "hub.example"));
        assert!(passes(Some("http://127.0.0.1:3000"), "127.0.0.1:3000"));
        assert!(passes(Some("https://hub.example"), "hub.example"));
        assert!(passes(Some("https://Friend.example"), "hub.example"));
        // A proxy that says who it calls, and not by which name it was called.
        assert!(passes(Some("https://hub.example.org"), "127.0.0.1:3000"));
        assert!(passes(Some("https://hub.example.org:8443"), "hub.example.org"));
        for foreign in [
            "https://evil.example",
            "https://hub.example.evil.example",
            "https://hub.example.org.evil.example",
            "https://evil.hub.example.org",
            "https://hub.example.org:8444",
            "http://127.0.0.1:3001",
            "https://friend.example:444",
            "null",
            "",
        ] {
            assert!(!passes(Some(foreign), "hub.example"), "{foreign}");
        }
    }
}
