//! Keys that are kept at an address: fetched at the start, once an hour, and when a token names one that is not known.
//!
//! The rule to keep: nobody waits for this. A token whose key is not known is refused at once, and however many name
//! such keys, there is one fetch in half a minute.

use std::{sync::Arc, time::Duration};

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse},
};
use parking_lot::RwLock;
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

use super::Key;
use crate::fetch;

/// How old what is known may be.
const FRESH: Duration = Duration::from_secs(60 * 60);
/// The largest set, in bytes, and how many keys of it are taken.
const SET_BYTES: usize = 64 * 1024;
const KEYS: usize = 32;

/// A set of keys at an address.
#[derive(Debug)]
pub(crate) struct Jwks {
    url: reqwest::Url,
    keys: RwLock<Vec<(Option<String>, Key)>>,
    wanted: Notify,
    /// How long there is between two fetches, at the least.
    pause: Duration,
}

impl Jwks {
    pub(crate) fn new(url: reqwest::Url, pause: Duration) -> Arc<Self> {
        Arc::new(Self { url, keys: RwLock::default(), wanted: Notify::new(), pause })
    }

    /// The keys that go by `kid`, or all if there is none.
    pub(super) fn named(&self, kid: Option<&str>) -> Vec<Key> {
        let keys = self.keys.read();
        let fits = |known: &Option<String>| kid.is_none() || known.as_deref() == kid;
        let fitting: Vec<_> =
            keys.iter().filter(|(known, _)| fits(known)).map(|(_, key)| key.clone()).collect();
        fitting
    }

    /// Has the set fetched again, if that was not done just now.
    pub(super) fn ask(&self) {
        self.wanted.notify_one();
    }

    /// Fetches, again and again; never returns. What is known stays as long as nothing newer can be had.
    pub(crate) async fn keep_fresh(self: Arc<Self>) {
        loop {
            let fetched = self.fetch().await;
            let is_fresh = fetched.is_ok();
            match fetched {
                Ok(keys) => {
                    tracing::debug!(count = keys.len(), "fetched the keys of --jwks");
                    *self.keys.write() = keys;
                }
                Err(error) => {
                    tracing::warn!(%error, "can't fetch the keys of --jwks; the old ones stay")
                }
            }
            sleep(self.pause).await;
            if is_fresh {
                let _ = timeout(FRESH, self.wanted.notified()).await;
            }
        }
    }

    async fn fetch(&self) -> Result<Vec<(Option<String>, Key)>, String> {
        let body = fetch::get(&self.url, SET_BYTES).await?;
        let set: JwkSet =
            serde_json::from_slice(&body).map_err(|error| format!("not a JWKS: {error}"))?;
        let keys: Vec<_> = set.keys.iter().take(KEYS).filter_map(read).collect();
        match keys.is_empty() {
            true => Err("there is no key in it that can be used".to_owned()),
            false => Ok(keys),
        }
    }
}

/// A key that verifies signatures in one of the ways we know, whatever it says it is besides. A secret in public is none.
fn read(jwk: &Jwk) -> Option<(Option<String>, Key)> {
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => {
            Algorithm::ES256
        }
        AlgorithmParameters::OctetKeyPair(_) => Algorithm::EdDSA,
        _ => return None,
    };
    let stated = match jwk.common.key_algorithm {
        None => algorithm,
        Some(KeyAlgorithm::RS256) => Algorithm::RS256,
        Some(KeyAlgorithm::ES256) => Algorithm::ES256,
        Some(KeyAlgorithm::EdDSA) => Algorithm::EdDSA,
        Some(_) => return None,
    };
    let signs = matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature));
    let decoding = DecodingKey::from_jwk(jwk).ok().filter(|_| signs && stated == algorithm)?;
    Some((jwk.common.key_id.clone(), Key { decoding, algorithm }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_public_keys_that_sign_are_taken_and_each_as_what_it_is() {
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        let read = |jwk: serde_json::Value| read(&serde_json::from_value(jwk).unwrap());
        let (kid, key) =
            read(json!({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": "a", "use": "sig"}))
                .unwrap();
        assert_eq!((kid.as_deref(), key.algorithm), (Some("a"), Algorithm::EdDSA));
        for other in [
            json!({"kty": "OKP", "crv": "Ed25519", "x": x, "use": "enc"}),
            json!({"kty": "OKP", "crv": "Ed25519", "x": x, "alg": "RS256"}),
            json!({"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"}),
        ] {
            assert!(read(other.clone()).is_none(), "{other}");
        }
    }
}
