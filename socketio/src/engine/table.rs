//! The sessions there are, by their ids.
//!
//! Start at [`Table`]. The rule to keep: a session is in here until it is closed and not a moment
//! longer; closing it takes it out. Its lock is never taken under a session's own lock.

use std::{collections::HashMap, fmt, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use parking_lot::Mutex;

/// The id of a session: 128 random bits. Whoever knows it can speak for the session, so it is not
/// written to logs.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Sid(Arc<str>);

impl Sid {
    /// A new one, which nobody can guess.
    #[must_use]
    pub fn random() -> Self {
        let bits: u128 = rand::random();
        Self(URL_SAFE_NO_PAD.encode(bits.to_be_bytes()).into())
    }

    /// As it stands in an address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sid(…)")
    }
}

impl std::borrow::Borrow<str> for Sid {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// All open sessions.
#[derive(Debug)]
pub(super) struct Table<S> {
    sessions: Mutex<HashMap<Sid, Arc<S>>>,
    limit: usize,
}

impl<S> Table<S> {
    pub(super) fn new(limit: usize) -> Self {
        Self { sessions: Mutex::new(HashMap::new()), limit }
    }

    /// Puts a session in, unless there are too many.
    pub(super) fn insert(&self, sid: &Sid, session: &Arc<S>) -> bool {
        let mut sessions = self.sessions.lock();
        if sessions.len() >= self.limit {
            return false;
        }
        sessions.insert(sid.clone(), Arc::clone(session));
        true
    }

    pub(super) fn get(&self, sid: &str) -> Option<Arc<S>> {
        self.sessions.lock().get(sid).cloned()
    }

    pub(super) fn remove(&self, sid: &Sid) {
        // What it held is dropped after the lock.
        let _session = self.sessions.lock().remove(sid);
    }

    pub(super) fn len(&self) -> usize {
        self.sessions.lock().len()
    }
}
