//! The outbox outlives its tab: each tab keeps its own under a key of its own, with the time, again and
//! again while it lives, and whoever finds one that nobody has touched for a while takes it over.
//!
//! Should two tabs take the same one, each message still has one id, and the server says it once.

use std::{collections::BTreeMap, sync::Arc};

use common::{Message, MessageId, RoomName};
use serde::{Deserialize, Serialize};

use crate::Millis;

/// An outbox that was not touched for this long belongs to nobody, in milliseconds. Browsers slow the
/// timers of hidden pages down to one a minute.
const ABANDONED_MS: Millis = 90_000;
/// How often a tab says that its outbox is its own, in milliseconds.
const TOUCH_MS: Millis = 5_000;

/// How an outbox is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Kept {
    /// When it was touched last, milliseconds since 1970; 0 when its tab has gone. A float in what
    /// earlier versions have kept.
    at: f64,
    messages: Vec<Message>,
}

impl Kept {
    fn is_abandoned_at(&self) -> Millis {
        (self.at as Millis).saturating_add(ABANDONED_MS)
    }
}

/// This tab's outbox as it is kept, and those of the others.
#[derive(Clone, Debug)]
pub(crate) struct Tabs {
    prefix: String,
    own: String,
    /// What was kept last, and when.
    last: (Vec<Arc<Message>>, Millis),
    others: BTreeMap<String, Kept>,
}

impl Tabs {
    /// `unique` makes this tab's key its own; a reload has another one, and takes the old outbox over.
    pub(crate) fn new(room: &RoomName, unique: u64) -> Self {
        let prefix = format!("outbox:{room}:");
        let own = format!("{prefix}{unique:016x}");
        Self { prefix, own, last: (Vec::new(), 0), others: BTreeMap::new() }
    }

    /// What is to be kept under which key for `unsent`, where that changes anything; nothing to keep
    /// is an empty text.
    pub(crate) fn keep(
        &mut self,
        unsent: Vec<Arc<Message>>,
        now: Millis,
    ) -> Option<(String, String)> {
        let ids = |all: &[Arc<Message>]| -> Vec<MessageId> {
            all.iter().map(|message| message.id.clone()).collect()
        };
        let is_fresh = unsent.is_empty() || now < self.last.1 + TOUCH_MS;
        if is_fresh && ids(&self.last.0) == ids(&unsent) {
            return None;
        }
        self.last = (unsent, now);
        Some((self.own.clone(), self.text(now)))
    }

    /// This tab is about to go: whoever comes next may take its outbox over at once.
    pub(crate) fn leave(&mut self) -> Option<(String, String)> {
        let text = self.text(0);
        // Should it come back after all, it keeps its outbox anew.
        self.last = (Vec::new(), 0);
        (!text.is_empty()).then(|| (self.own.clone(), text))
    }

    fn text(&self, at: Millis) -> String {
        if self.last.0.is_empty() {
            return String::new();
        }
        let messages = self.last.0.iter().map(|message| Message::clone(message)).collect();
        serde_json::to_string(&Kept { at: at as f64, messages }).unwrap_or_default()
    }

    /// This is kept under `key`, or not any more, if it is empty. True where nobody can read it.
    pub(crate) fn found(&mut self, key: &str, text: &str) -> bool {
        if !key.starts_with(&self.prefix) || key == self.own {
            return false;
        }
        self.others.remove(key);
        match serde_json::from_str(text) {
            Ok(kept) => {
                self.others.insert(key.to_owned(), kept);
                false
            }
            Err(_) => !text.is_empty(),
        }
    }

    /// Takes over what tabs that are gone could not send: the messages, and under which keys they were
    /// kept.
    pub(crate) fn adopt(&mut self, now: Millis) -> (Vec<Message>, Vec<String>) {
        let gone = |_: &String, kept: &mut Kept| now >= kept.is_abandoned_at();
        let left: Vec<_> = self.others.extract_if(.., gone).collect();
        let (keys, kept): (Vec<_>, Vec<_>) = left.into_iter().unzip();
        (kept.into_iter().flat_map(|kept| kept.messages).collect(), keys)
    }

    /// When [`Tabs::keep`] is due again.
    pub(crate) fn touch_at(&self) -> Option<Millis> {
        (!self.last.0.is_empty()).then_some(self.last.1 + TOUCH_MS)
    }

    /// When [`Tabs::adopt`] finds something, if nobody touches it.
    pub(crate) fn adopt_at(&self) -> Option<Millis> {
        self.others.values().map(Kept::is_abandoned_at).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::message;

    fn tab(unique: u64) -> Tabs {
        Tabs::new(&RoomName::lobby(), unique)
    }

    fn unsent() -> Vec<Arc<Message>> {
        vec![message("m1", 0).into()]
    }

    #[test]
    fn an_outbox_is_kept_when_it_changes_and_now_and_then() {
        let mut tabs = tab(1);
        assert_eq!(tabs.keep(Vec::new(), 0), None);
        let (key, text) = tabs.keep(unsent(), 10).unwrap();
        assert_eq!(key, "outbox:lobby:0000000000000001");
        assert!(text.contains(r#""id":"m1""#));
        assert_eq!((tabs.keep(unsent(), 20), tabs.touch_at()), (None, Some(10 + TOUCH_MS)));
        assert!(tabs.keep(unsent(), 10 + TOUCH_MS).is_some());
        assert_eq!(tabs.keep(Vec::new(), 30_000), Some((key, String::new())));
        assert_eq!(tabs.touch_at(), None);
    }

    #[test]
    fn an_outbox_that_nobody_touches_is_taken_over_and_a_living_one_is_not() {
        let (mut first, mut second) = (tab(1), tab(2));
        let (key, text) = first.keep(unsent(), 1_000).unwrap();
        assert!(!second.found(&key, &text));
        assert_eq!(second.adopt_at(), Some(1_000 + ABANDONED_MS));
        assert_eq!(second.adopt(999 + ABANDONED_MS), (Vec::new(), Vec::new()));
        let (messages, keys) = second.adopt(1_000 + ABANDONED_MS);
        assert_eq!((messages, keys), (vec![message("m1", 0)], vec![key]));
        assert_eq!(second.adopt_at(), None);
    }

    #[test]
    fn what_a_tab_leaves_behind_may_be_taken_at_once() {
        let (mut first, mut second) = (tab(1), tab(2));
        first.keep(unsent(), 100_000);
        let (key, text) = first.leave().unwrap();
        second.found(&key, &text);
        assert_eq!(second.adopt(100_000).0.len(), 1);
        assert_eq!(tab(3).leave(), None);
    }

    #[test]
    fn what_another_tab_has_taken_is_not_taken_again() {
        let mut tabs = tab(2);
        tabs.found("outbox:lobby:1", r#"{"at":0.0,"messages":[]}"#);
        tabs.found("outbox:lobby:1", "");
        assert_eq!(tabs.adopt_at(), None);
    }

    #[test]
    fn what_is_none_of_its_business_is_left_alone_and_what_nobody_can_read_is_told() {
        let mut tabs = tab(2);
        assert!(!tabs.found("outbox:tea:1", "?"));
        assert!(!tabs.found("draft:lobby", "?"));
        assert!(!tabs.found("outbox:lobby:0000000000000002", "?"));
        assert!(tabs.found("outbox:lobby:1", "?"));
    }
}
