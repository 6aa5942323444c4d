//! What one hub does for all, and no two at once.
//!
//! A key holds the name of the hub whose it is; that hub stores it again and again. Another takes it once it has not changed
//! for a while by that other's own clock, so that no two clocks are compared, or at once where it was given up. Whoever was
//! slow finds the key changed.

use std::{collections::HashMap, time::Duration};

use bytes::Bytes;
use common::Offset;
use hub::broker::LEASE;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{
    names,
    stream::{Failure, New, Stream},
};

/// How long a lease may be as it is until another hub takes it: longer than whoever has it may rely on that.
const EXPIRES: Duration = LEASE.saturating_add(Duration::from_secs(2));

#[derive(Debug)]
pub(crate) struct Leases {
    /// What this hub is called, unlike any other.
    hub: String,
    /// Where those of others were last, and since when.
    seen: Mutex<HashMap<String, (Offset, Instant)>>,
}

/// Where it is kept; no name becomes such a key.
fn token_of(name: &str) -> String {
    format!("=lease-{}", names::encode(name))
}

impl Leases {
    pub(crate) fn new() -> Self {
        Self { hub: uuid::Uuid::new_v4().simple().to_string(), seen: Mutex::default() }
    }

    /// Whether it is this hub's, from when this was asked.
    pub(crate) async fn lease(&self, kept: &dyn Stream, name: &str) -> Result<bool, Failure> {
        let token = token_of(name);
        let newest = match kept.newest(&token).await? {
            None => Offset(0),
            Some(own) if own.payload == self.hub.as_bytes() => own.offset,
            Some(given_up) if given_up.payload.is_empty() => given_up.offset,
            Some(other) if self.has_expired(&token, other.offset) => other.offset,
            Some(_) => return Ok(false),
        };
        let new = New { token, id: None, payload: self.hub.clone().into() };
        Ok(kept.replace(new, newest).await?.is_some())
    }

    /// Gives it up, if it is this hub's.
    pub(crate) async fn give_up(&self, kept: &dyn Stream, name: &str) -> Result<(), Failure> {
        let token = token_of(name);
        match kept.newest(&token).await? {
            Some(own) if own.payload == self.hub.as_bytes() => {
                let new = New { token, id: None, payload: Bytes::new() };
                kept.replace(new, own.offset).await.map(drop)
            }
            _ => Ok(()),
        }
    }

    /// Whether another's has been there for so long.
    fn has_expired(&self, token: &str, offset: Offset) -> bool {
        let mut seen = self.seen.lock();
        let seen = seen.entry(token.to_owned()).or_insert((offset, Instant::now()));
        if seen.0 != offset {
            *seen = (offset, Instant::now());
        }
        seen.1.elapsed() >= EXPIRES
    }
}
