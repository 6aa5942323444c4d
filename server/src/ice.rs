//! By what means two browsers find a way to each other: servers that tell a browser how it is seen from outside (STUN)
//! or carry what can't go directly (TURN), as the operator names them.
//!
//! What a TURN server asks for is made here, from a secret that both know, and is good for a while: the scheme of
//! coturn's `use-auth-secret` ([TURN REST API]). The rule to keep: the secret itself is told to nobody, and not logged.
//!
//! [TURN REST API]: https://datatracker.ietf.org/doc/html/draft-uberti-behave-turn-rest-00

use std::{fmt, fs};

use app::page::{Ice, IceServer};
use base64::{Engine, engine::general_purpose::STANDARD};
use common::MemberId;
use hmac::{Hmac, Mac};
use sha1::Sha1;

use crate::config::Config;

/// How long what a TURN server asks for is good, in seconds.
const LIFETIME: u64 = 12 * 60 * 60;
/// The shortest secret, in bytes.
const SECRET_BYTES: usize = 16;

/// What this server and a TURN server know, and nobody else.
#[derive(Clone)]
pub struct TurnSecret(String);

impl fmt::Debug for TurnSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TurnSecret(…)")
    }
}

impl TurnSecret {
    /// Reads it from the first line of a file.
    pub(crate) fn read(path: &str) -> Result<Self, String> {
        let text = fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
        let secret = text.lines().next().unwrap_or_default().trim();
        match secret.len() {
            SECRET_BYTES.. => Ok(Self(secret.to_owned())),
            _ => Err(format!("{path}: the first line is shorter than {SECRET_BYTES} bytes")),
        }
    }

    /// Name and password for `member`, until then: seconds since 1970.
    fn credentials(&self, member: &MemberId, until: u64) -> (String, String) {
        let name = format!("{until}:{member}");
        // A key may have any length (RFC 2104).
        let mac = Hmac::<Sha1>::new_from_slice(self.0.as_bytes());
        let password = mac.map(|mac| mac.chain_update(&name).finalize().into_bytes());
        (name, password.map(|bytes| STANDARD.encode(bytes)).unwrap_or_default())
    }
}

/// What the browser of `member` is told `now`, in milliseconds since 1970; nothing where nothing is configured.
pub(crate) fn of(config: &Config, member: &MemberId, now: u64) -> Option<Ice> {
    if config.stun.is_empty() && config.turn.is_empty() {
        return None;
    }
    let until = now / 1000 + LIFETIME;
    let stun = config.stun.clone();
    let mut servers = Vec::new();
    if !stun.is_empty() {
        servers.push(IceServer { urls: stun, username: None, credential: None });
    }
    if let Some(secret) = &config.turn_secret
        && !config.turn.is_empty()
    {
        let (name, password) = secret.credentials(member, until);
        let (username, credential) = (Some(name), Some(password));
        servers.push(IceServer { urls: config.turn.clone(), username, credential });
    }
    Some(Ice { ice_servers: servers, expires_at: until * 1000 })
}

/// An address of a server for `schemes` ([RFC 7064](https://www.rfc-editor.org/rfc/rfc7064),
/// [RFC 7065](https://www.rfc-editor.org/rfc/rfc7065)).
pub(crate) fn parse_url(text: &str, schemes: [&str; 2]) -> Result<String, String> {
    let host = schemes.iter().find_map(|scheme| text.strip_prefix(scheme)?.strip_prefix(':'));
    let is_of_one = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    // Only relays have several ways to them.
    let host = host.map(|host| match schemes[0] {
        "turn" => host.trim_end_matches("?transport=udp").trim_end_matches("?transport=tcp"),
        _ => host,
    });
    match host {
        Some(host) if !host.is_empty() && host.chars().all(is_of_one) => Ok(text.to_owned()),
        _ => Err(format!("`{text}` is not like {}:host.example.org:3478", schemes[0])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_turn_server_asks_for_is_what_coturn_works_out() {
        // As `printf '1800000000:ada' | openssl dgst -sha1 -hmac north-of-the-river -binary | base64` has it.
        let secret = TurnSecret("north-of-the-river".to_owned());
        let (name, password) = secret.credentials(&MemberId::parse("ada").unwrap(), 1_800_000_000);
        assert_eq!(name, "1800000000:ada");
        assert_eq!(password, "LiDf9yiy9AcW0b/uT9EolhnEKQM=");
        assert_eq!(format!("{secret:?}"), "TurnSecret(…)");
    }

    #[test]
    fn an_address_has_its_scheme_and_a_host() {
        let (stun, turn) = (["stun", "stuns"], ["turn", "turns"]);
        for (url, schemes) in [
            ("stun:stun.example.org", stun),
            ("stuns:[::1]:5349", stun),
            ("turn:10.0.0.1:3478?transport=tcp", turn),
            ("turns:turn.example.org:443", turn),
        ] {
            assert_eq!(parse_url(url, schemes).as_deref(), Ok(url));
        }
        for bad in [
            "",
            "stun:",
            "stun",
            "http://a",
            "turn:a",
            "stun:a b",
            "stun:a/b",
            "stun://a",
            "stun:a?transport=udp",
        ] {
            assert!(parse_url(bad, stun).is_err(), "{bad}");
        }
    }
}
