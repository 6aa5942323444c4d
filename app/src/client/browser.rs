//! The few things a page asks its browser for. Browser only: nothing here may run while a page is
//! rendered.

use common::MessageId;
use leptos::prelude::{document, window};
use wasm_bindgen::JsCast;

/// Milliseconds since 1970.
pub fn now() -> f64 {
    js_sys::Date::now()
}

/// A fresh UUIDv7 (RFC 9562 section 5.7), also on pages without HTTPS, where `randomUUID` is missing.
pub fn new_message_id() -> MessageId {
    let mut bytes = [0_u8; 16];
    bytes[..6].copy_from_slice(&(now() as u64).to_be_bytes()[2..]);
    if let Ok(crypto) = window().crypto() {
        // Fails only for arrays of more than 65536 bytes.
        let _ = crypto.get_random_values_with_u8_array(&mut bytes[6..]);
    }
    bytes[6] = bytes[6] & 0x0f | 0x70;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let id =
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]);
    MessageId::parse(&id).expect("a UUID is a message id")
}

/// The scheme and host of the server this page came from.
pub fn origin() -> String {
    window().location().origin().unwrap_or_default()
}

/// The scheme and host for a WebSocket to the server this page came from.
pub fn socket_origin() -> String {
    let location = window().location();
    let secure = location.protocol().is_ok_and(|protocol| protocol == "https:");
    let scheme = if secure { "wss" } else { "ws" };
    format!("{scheme}://{}", location.host().unwrap_or_default())
}

/// Whether the page can't be seen now.
pub fn is_hidden() -> bool {
    document().visibility_state() == web_sys::VisibilityState::Hidden
}

/// Whether the main way to point is a finger: there, Enter starts a new line.
pub fn is_touch() -> bool {
    window().match_media("(pointer: coarse)").ok().flatten().is_some_and(|query| query.matches())
}

/// What this tab has kept under `key`, over reloads.
pub fn kept_here(key: &str) -> Option<String> {
    window().session_storage().ok()??.get_item(key).ok()?
}

/// Keeps `text` under `key` for this tab.
pub fn keep_here(key: &str, text: &str) {
    put(window().session_storage(), key, text);
}

/// What any tab has kept under `key`, also one that was closed.
pub fn kept(key: &str) -> Option<String> {
    window().local_storage().ok()??.get_item(key).ok()?
}

/// Keeps `text` under `key` for all tabs; an empty text is forgotten.
pub fn keep(key: &str, text: &str) {
    put(window().local_storage(), key, text);
}

/// The keys under which anything is kept for all tabs.
pub fn kept_keys() -> Vec<String> {
    let Ok(Some(storage)) = window().local_storage() else { return Vec::new() };
    let count = storage.length().unwrap_or_default();
    (0..count).filter_map(|index| storage.key(index).ok()?).collect()
}

fn put(storage: Result<Option<web_sys::Storage>, wasm_bindgen::JsValue>, key: &str, text: &str) {
    let Ok(Some(storage)) = storage else { return };
    // A full or forbidden storage: the page works without.
    let _ = if text.is_empty() { storage.remove_item(key) } else { storage.set_item(key, text) };
}

/// Puts `text` on the clipboard; only pages with HTTPS, or on this machine, may.
pub fn copy(text: &str) {
    if window().is_secure_context() {
        // Whether it worked is not told to anybody; there is nothing to do about it.
        let _ = window().navigator().clipboard().write_text(text);
    }
}

/// The element with this id, as `T`.
pub fn element<T: JsCast>(id: &str) -> Option<T> {
    document().get_element_by_id(id)?.dyn_into().ok()
}
