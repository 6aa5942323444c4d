//! Whose tokens count besides our own: those signed with keys that the operator names, in files or at an address
//! ([JWKS](https://www.rfc-editor.org/rfc/rfc7517)).
//!
//! The rule to keep: a key says by itself what it verifies and how. Neither the algorithm nor the address of a key is ever
//! taken from a token (RFC 8725, sections 3.1 and 3.10).

mod jwks;

use std::{fmt, fs, path::Path, sync::Arc};

use jsonwebtoken::{
    Algorithm, DecodingKey, Validation,
    errors::{Error, ErrorKind},
};

pub(crate) use self::jwks::Jwks;
use crate::claims::{Claims, is_found_out, later};

/// By how much clocks may differ, in seconds.
const LEEWAY: u64 = 10;
/// The shortest secret, in bytes, as HS256 asks for (RFC 7518 section 3.2).
const SECRET_BYTES: usize = 32;

/// How tokens are looked at that are signed in this way, for one of these audiences if there are any.
pub(crate) fn validation(algorithm: Algorithm, audiences: &[String]) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.leeway = LEEWAY;
    validation.validate_nbf = true;
    validation.required_spec_claims.insert("sub".to_owned());
    if !audiences.is_empty() {
        validation.set_audience(audiences);
        validation.required_spec_claims.insert("aud".to_owned());
    }
    validation
}

/// A key, and how what is signed with it is looked at.
#[derive(Clone)]
pub struct Key {
    decoding: DecodingKey,
    algorithm: Algorithm,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({:?}, …)", self.algorithm)
    }
}

impl Key {
    fn read(&self, token: &str, audiences: &[String]) -> Result<Claims, Error> {
        let validation = validation(self.algorithm, audiences);
        jsonwebtoken::decode(token, &self.decoding, &validation).map(|token| token.claims)
    }

    /// Reads a key from a file: a public key in PEM (RSA for RS256, P-256 for ES256, Ed25519 for `EdDSA`), or the bytes of
    /// a secret for HS256, of which a line's end is left out.
    ///
    /// # Errors
    ///
    /// What is wrong with the file.
    pub fn load(path: &str) -> Result<Self, String> {
        let bytes = fs::read(Path::new(path)).map_err(|error| format!("`{path}`: {error}"))?;
        Self::parse(&bytes).map_err(|error| format!("`{path}`: {error}"))
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        if bytes.windows(11).any(|part| part == b"PRIVATE KEY") {
            return Err("it is a private key; give the public one, which only verifies".to_owned());
        }
        if bytes.windows(11).any(|part| part == b"-----BEGIN ") {
            // Each of them takes keys of its own kind only.
            type Read = fn(&[u8]) -> Result<DecodingKey, Error>;
            let kinds: [(_, Read); 3] = [
                (Algorithm::RS256, DecodingKey::from_rsa_pem),
                (Algorithm::ES256, DecodingKey::from_ec_pem),
                (Algorithm::EdDSA, DecodingKey::from_ed_pem),
            ];
            let key = kinds.into_iter().find_map(|(algorithm, read)| {
                let decoding = read(bytes).ok()?;
                // A point of P-256 that is not compressed (SEC 1, section 2.3.3); other curves have longer ones.
                let fits = algorithm != Algorithm::ES256
                    || decoding.try_get_as_bytes().is_ok_and(|point| point.len() == 65);
                fits.then_some(Self { decoding, algorithm })
            });
            return key.ok_or_else(|| {
                "it is no public key of RSA, P-256 or Ed25519 in PEM (`-----BEGIN PUBLIC KEY-----`)"
                    .to_owned()
            });
        }
        // What a public key looks like in other forms: JSON, and DER's sequence. As a secret everybody would have it.
        if bytes.trim_ascii_start().starts_with(b"{") || is_der(bytes) {
            return Err(
                "it is a key in JSON or DER; give a public key in PEM, or a secret".to_owned()
            );
        }
        let secret = bytes.trim_ascii_end();
        if secret.len() < SECRET_BYTES {
            return Err(format!("a secret is at least {SECRET_BYTES} bytes long"));
        }
        Ok(Self { decoding: DecodingKey::from_secret(secret), algorithm: Algorithm::HS256 })
    }
}

/// Whether these bytes are one sequence of DER (X.690, section 8.1.3), as every key in it is.
fn is_der(bytes: &[u8]) -> bool {
    match bytes {
        [0x30, short @ 0..=0x7f, rest @ ..] => rest.len() == usize::from(*short),
        [0x30, 0x81, long, rest @ ..] => rest.len() == usize::from(*long),
        [0x30, 0x82, high, low, rest @ ..] => {
            rest.len() == usize::from(*high) << 8 | usize::from(*low)
        }
        _ => false,
    }
}

/// Whose tokens count besides our own.
#[derive(Clone, Debug, Default)]
pub(crate) struct Issuers {
    pub(crate) keys: Vec<Key>,
    pub(crate) jwks: Option<Arc<Jwks>>,
    /// For whom tokens have to be, if that is told.
    pub(crate) audiences: Vec<String>,
}

impl Issuers {
    /// Reads a token that one of them signed.
    ///
    /// # Errors
    ///
    /// Why it is no good; nothing, if there are no keys that could tell.
    pub(crate) fn read(&self, token: &str) -> Result<Claims, Option<Error>> {
        let mut error = None;
        for key in &self.keys {
            match key.read(token, &self.audiences) {
                Ok(claims) => return Ok(claims),
                Err(own) => error = Some(later(own, error)),
            }
        }
        if let Some(jwks) = &self.jwks {
            // A token that can't even be taken apart is none of theirs.
            let named = jsonwebtoken::decode_header(token).ok().and_then(|header| header.kid);
            let keys = jwks.named(named.as_deref());
            for key in keys {
                match key.read(token, &self.audiences) {
                    Ok(claims) => return Ok(claims),
                    Err(own) => error = Some(later(own, error)),
                }
            }
            // It may be signed with one that is new.
            if error.as_ref().is_none_or(|error| !is_found_out(error)) {
                jwks.ask();
            }
        }
        Err(error.filter(|error| !matches!(error.kind(), ErrorKind::InvalidToken)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_public_one_or_a_long_secret() {
        let error = |bytes: &[u8]| Key::parse(bytes).unwrap_err();
        assert!(error(b"short\n").contains("at least 32 bytes"));
        assert!(error(b"-----BEGIN EC PRIVATE KEY-----\n").contains("private key"));
        assert!(
            error(b"-----BEGIN PUBLIC KEY-----\nx\n-----END PUBLIC KEY-----\n").contains("RSA")
        );
        let behind = b"A key:\n-----BEGIN PUBLIC KEY-----\nx\n-----END PUBLIC KEY-----\n";
        assert!(error(behind).contains("RSA"));
        assert!(
            error(br#" {"keys": [{"kty": "RSA", "n": "a long number in base64"}]}"#)
                .contains("JSON")
        );
        assert!(error(&[&[0x30, 0x22][..], &[7; 0x22]].concat()).contains("DER"));
        let secret = Key::parse(&[b'x'; 33]).unwrap();
        assert_eq!(secret.algorithm, Algorithm::HS256);
    }
}
