//! Keeps the outbox over reloads and closed tabs. Browser only.
//!
//! Each page keeps its own under a key of its own, with the time, again and again while it lives. A
//! page that finds one nobody has touched for a while takes it over. Should two pages take the same
//! one, each message still has one id, and the server says it once.

use std::cell::RefCell;

use common::{Message, RoomName};
use serde::{Deserialize, Serialize};

use crate::client::browser;

/// An outbox that was not touched for this long belongs to nobody, in milliseconds. Browsers slow the
/// timers of hidden pages down to one a minute.
const ABANDONED_MS: f64 = 90_000.0;
/// How often a page says that its outbox is its own, in milliseconds.
const TOUCH_MS: f64 = 5_000.0;

#[derive(Serialize, Deserialize)]
struct Kept {
    at: f64,
    messages: Vec<Message>,
}

#[derive(Default)]
struct Own {
    /// The key of this page.
    key: Option<String>,
    /// What was kept last: the ids, and when.
    last: (Vec<String>, f64),
}

thread_local! {
    static OWN: RefCell<Own> = RefCell::default();
}

fn prefix(room: &RoomName) -> String {
    format!("outbox:{room}:")
}

/// The key of this page's outbox: a new one at each load, which takes the old one's over.
fn own_key(own: &mut Own, room: &RoomName) -> String {
    let new = || format!("{}{}", prefix(room), browser::new_message_id());
    own.key.get_or_insert_with(new).clone()
}

/// Keeps what is unsent in `room`.
pub fn keep(room: &RoomName, unsent: &[Message]) {
    let now = browser::now();
    OWN.with_borrow_mut(|own| {
        let ids: Vec<_> = unsent.iter().map(|message| message.id.to_string()).collect();
        let is_fresh = now - own.last.1 < TOUCH_MS;
        if own.last.0 == ids && (ids.is_empty() || is_fresh) {
            return;
        }
        let key = own_key(own, room);
        let text = match unsent {
            [] => String::new(),
            _ => serde_json::to_string(&Kept { at: now, messages: unsent.to_vec() })
                .unwrap_or_default(),
        };
        browser::keep(&key, &text);
        own.last = (ids, now);
    });
}

/// This page is about to go: whoever comes next may take its outbox over at once.
pub fn leave() {
    OWN.with_borrow_mut(|own| {
        let kept = own.key.as_ref().and_then(|key| Some((key, browser::kept(key)?)));
        if let Some((key, text)) = kept
            && let Ok(kept) = serde_json::from_str::<Kept>(&text)
        {
            let left = Kept { at: 0.0, ..kept };
            browser::keep(key, &serde_json::to_string(&left).unwrap_or_default());
        }
        own.last = Default::default();
    });
}

/// Takes over what pages that are gone could not send in `room`.
pub fn adopt(room: &RoomName) -> Vec<Message> {
    let (prefix, now) = (prefix(room), browser::now());
    let own = OWN.with_borrow(|own| own.key.clone());
    let mut adopted = Vec::new();
    for key in browser::kept_keys() {
        if !key.starts_with(&prefix) || Some(&key) == own.as_ref() {
            continue;
        }
        let kept = browser::kept(&key).and_then(|text| serde_json::from_str::<Kept>(&text).ok());
        match kept {
            Some(kept) if now - kept.at < ABANDONED_MS => {}
            Some(kept) => {
                browser::keep(&key, "");
                adopted.extend(kept.messages);
            }
            // Nobody can read it.
            None => browser::keep(&key, ""),
        }
    }
    adopted
}
