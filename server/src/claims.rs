//! What a token says (JWT, RFC 7519), and why one is no good.

use jsonwebtoken::errors::{Error, ErrorKind};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// No time is later, in seconds since 1970: in milliseconds it is still a number.
const LATEST: f64 = 9e15;

/// What is signed, as it is written.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Claims {
    pub(crate) sub: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// Seconds since 1970 (RFC 7519 section 4.1.4), which may have parts.
    #[serde(deserialize_with = "whole_seconds")]
    pub(crate) exp: u64,
    /// What it grants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hubbub: Option<Value>,
}

fn whole_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    f64::deserialize(deserializer).map(|seconds| seconds.clamp(0.0, LATEST) as u64)
}

/// Of two reasons the one that was found later: a signature that holds tells more than one that does not.
pub(crate) fn later(one: Error, other: Option<Error>) -> Error {
    match other {
        Some(other) if is_found_out(&other) => other,
        _ => one,
    }
}

/// Whether it was found out behind a signature that holds.
pub(crate) fn is_found_out(error: &Error) -> bool {
    !matches!(error.kind(), ErrorKind::InvalidSignature | ErrorKind::InvalidAlgorithm)
}

/// Why a token is no good, said of it.
pub(crate) fn why(error: &Error) -> String {
    match error.kind() {
        ErrorKind::ExpiredSignature => "has expired".to_owned(),
        ErrorKind::ImmatureSignature => "is not good yet (`nbf`)".to_owned(),
        ErrorKind::InvalidAudience => {
            "is for another audience (`aud`); the operator can name it with --token-audience"
                .to_owned()
        }
        ErrorKind::MissingRequiredClaim(claim) => format!("has no `{claim}`"),
        ErrorKind::InvalidSignature | ErrorKind::InvalidAlgorithm => {
            "is not signed with a key that this server trusts".to_owned()
        }
        _ => format!("can't be read: {error}"),
    }
}
