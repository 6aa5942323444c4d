//! What is kept over reloads and closed tabs.

use super::Client;
use crate::{Effect, Scope, Transport, connection::Input, ladder::Ladder};

/// Under which keys a tab keeps its session, the transport that carried last, and the one its person
/// chose.
pub(crate) const SESSION: &str = "session";
pub(crate) const CARRIED: &str = "road";
pub(crate) const CHOSEN: &str = "chosen-road";

impl Client {
    pub(super) fn start(&mut self, tab: Vec<(String, String)>, shared: Vec<(String, String)>) {
        let kept = |key| {
            let mut found = tab.iter().filter(|(name, text)| name == key && !text.is_empty());
            found.next().map(|(_, text)| text.as_str())
        };
        self.session = kept(SESSION).map(str::to_owned);
        if self.session.is_some() {
            self.habits.go_on();
        }
        let carried = kept(CARRIED).and_then(Transport::parse);
        self.ladder = Ladder::new(carried.unwrap_or(Transport::WebSocket));
        if let Some(chosen) = kept(CHOSEN).and_then(Transport::parse) {
            self.ladder.choose(Some(chosen));
        }
        for (key, text) in shared {
            self.found(&key, &text);
        }
        self.adopt();
        self.step(Input::Start);
    }

    pub(super) fn keep(&mut self, key: &str, text: &str) {
        let (key, text) = (key.to_owned(), text.to_owned());
        self.effects.push_back(Effect::Keep { scope: Scope::Tab, key, text });
    }

    pub(super) fn keep_shared(&mut self, kept: Option<(String, String)>) {
        if let Some((key, text)) = kept {
            self.effects.push_back(Effect::Keep { scope: Scope::Shared, key, text });
        }
    }

    pub(super) fn keep_outbox(&mut self) {
        let unsent = self.outbox.unsent().map(|(message, _)| message.clone()).collect();
        let kept = self.tabs.keep(unsent, self.now);
        self.keep_shared(kept);
    }

    pub(super) fn found(&mut self, key: &str, text: &str) {
        if self.tabs.found(key, text) {
            self.keep_shared(Some((key.to_owned(), String::new())));
        }
    }

    /// Takes over what tabs that are gone have left behind.
    pub(super) fn adopt(&mut self) {
        let (messages, keys) = self.tabs.adopt(self.now);
        for key in keys {
            self.keep_shared(Some((key, String::new())));
        }
        for message in messages {
            if !self.timeline.knows(&message.id) && !self.outbox.has(&message.id) {
                self.outbox.push(message);
            }
        }
        self.pump();
    }
}
