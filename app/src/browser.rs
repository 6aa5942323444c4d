//! The browser's side: the few things a page asks it for, and the shell of the client ([`Driver`]).
//! Browser only: nothing here may run while a page is rendered.

mod admin;
mod drawing;
mod drive;
mod files;
mod link;
mod media;
mod notice;
mod race;
mod rooms;
mod shell;
mod studio;
mod way;
mod wire;

pub(crate) use self::{
    admin::{act, is_sure, list_hub, watch_hub},
    drive::Driver,
    files::{BLOB_BYTES, Sink, download, writes_to_disk},
    notice::{
        ask_to_notify, can_notify, notifies, notify, set_sounds, show_unseen, sounds,
        stop_notifying,
    },
    race::{Live, echo, race},
    rooms::{look_again, recent_rooms, visited},
    studio::{Denied, Device, Source, list_devices},
};

use common::MessageId;
use leptos::prelude::{document, request_animation_frame, window};
use uuid::Uuid;
use wasm_bindgen::JsCast;
use web_sys::HtmlElement;

/// Milliseconds since 1970.
pub(crate) fn now() -> f64 {
    js_sys::Date::now()
}

/// Milliseconds on a clock that is never set back (High Resolution Time).
pub(crate) fn clock() -> f64 {
    window().performance().map_or_else(now, |performance| performance.now())
}

/// How many minutes the clocks here are ahead of UTC at that time (milliseconds since 1970).
pub(crate) fn minutes_ahead(at_ms: u64) -> i32 {
    let date = js_sys::Date::new(&(at_ms as f64).into());
    -(date.get_timezone_offset() as i32)
}

/// A time in milliseconds since 1970, for machines.
pub(crate) fn iso(at: f64) -> Option<String> {
    js_sys::Date::new(&at.into()).to_iso_string().as_string()
}

/// The time of day here, to the millisecond.
pub(crate) fn local_clock(at: f64) -> String {
    let date = js_sys::Date::new(&at.into());
    let (hours, minutes) = (date.get_hours(), date.get_minutes());
    format!("{hours:02}:{minutes:02}:{:02}.{:03}", date.get_seconds(), date.get_milliseconds())
}

/// Keeps a cookie for a year, for this site alone.
pub(crate) fn set_cookie(name: &str, value: &str) {
    let cookie = format!("{name}={value}; path=/; max-age=31536000; samesite=lax");
    // A browser that keeps none: the page works without.
    let _ = js_sys::Reflect::set(&document(), &"cookie".into(), &cookie.into());
}

/// A number by chance.
pub(crate) fn seed() -> u64 {
    (js_sys::Math::random() * (1_u64 << 53) as f64) as u64
}

/// A fresh id for a message, or a file.
pub(crate) fn new_message_id() -> MessageId {
    MessageId::parse(&Uuid::now_v7().to_string()).expect("a UUID is a message id")
}

/// The scheme and host of the server this page came from.
pub(crate) fn origin() -> String {
    window().location().origin().unwrap_or_default()
}

/// Where the site is that this page is of: [`origin`], and the path there.
pub(crate) fn home() -> String {
    format!("{}{}", origin(), crate::base::base())
}

/// How often the clock ticks at the most, in milliseconds: finer where no other site shares this page's process.
pub(crate) fn tick() -> f64 {
    let isolated = js_sys::Reflect::get(&window(), &"crossOriginIsolated".into());
    if isolated.is_ok_and(|isolated| isolated.is_truthy()) { 0.005 } else { 0.1 }
}

/// What browser this is, in its own words.
pub(crate) fn browser_name() -> String {
    window().navigator().user_agent().unwrap_or_default()
}

/// Has the address bar say `path`, so that a reload asks for the same.
pub(crate) fn show_address(path: &str) {
    if let Ok(history) = window().history() {
        // It fails for another origin only.
        let _ = history.replace_state_with_url(&wasm_bindgen::JsValue::NULL, "", Some(path));
    }
}

/// The names and values in a form, in its order.
pub(crate) fn values(form: &web_sys::HtmlFormElement) -> Entries {
    let Ok(data) = web_sys::FormData::new_with_form(form) else { return Vec::new() };
    let entries = js_sys::try_iter(&data).ok().flatten().into_iter().flatten();
    let pairs = entries.filter_map(|entry| Some(js_sys::Array::from(&entry.ok()?)));
    pairs.filter_map(|pair| Some((pair.get(0).as_string()?, pair.get(1).as_string()?))).collect()
}

/// Whether the page can't be seen now.
pub(crate) fn is_hidden() -> bool {
    document().visibility_state() == web_sys::VisibilityState::Hidden
}

/// Whether this browser can be connected with another one directly.
pub(crate) fn reaches_browsers() -> bool {
    js_sys::Reflect::has(&window(), &"RTCPeerConnection".into()).unwrap_or_default()
}

/// Whether the main way to point is a finger: there, Enter starts a new line.
pub(crate) fn is_touch() -> bool {
    window().match_media("(pointer: coarse)").ok().flatten().is_some_and(|query| query.matches())
}

/// Keeps `text` under `key` for this tab.
pub(crate) fn keep_here(key: &str, text: &str) {
    put(window().session_storage(), key, text);
}

/// What any tab has kept under `key`, also one that was closed.
pub(crate) fn kept(key: &str) -> Option<String> {
    window().local_storage().ok()??.get_item(key).ok()?
}

/// Keeps `text` under `key` for all tabs; an empty text is forgotten.
pub(crate) fn keep(key: &str, text: &str) {
    put(window().local_storage(), key, text);
}

/// Keys, each with its text.
pub(crate) type Entries = Vec<(String, String)>;

/// All that is kept for this tab, and all that is kept for all of them.
pub(crate) fn all_kept() -> (Entries, Entries) {
    (entries(window().session_storage()), entries(window().local_storage()))
}

fn entries(storage: Result<Option<web_sys::Storage>, wasm_bindgen::JsValue>) -> Entries {
    let Ok(Some(storage)) = storage else { return Vec::new() };
    let count = storage.length().unwrap_or_default();
    let keys = (0..count).filter_map(|index| storage.key(index).ok()?);
    keys.filter_map(|key| {
        let text = storage.get_item(&key).ok()??;
        Some((key, text))
    })
    .collect()
}

fn put(storage: Result<Option<web_sys::Storage>, wasm_bindgen::JsValue>, key: &str, text: &str) {
    let Ok(Some(storage)) = storage else { return };
    // A full or forbidden storage: the page works without.
    let _ = if text.is_empty() { storage.remove_item(key) } else { storage.set_item(key, text) };
}

/// Does this once what is there now has been drawn.
pub(crate) fn after_drawing(act: impl FnOnce() + 'static) {
    request_animation_frame(move || request_animation_frame(act));
}

/// Whether something happened in this element.
pub(crate) fn is_within(event: &web_sys::Event, element: &web_sys::Node) -> bool {
    let target = event.target().and_then(|target| target.dyn_into::<web_sys::Node>().ok());
    element.contains(target.as_ref())
}

/// Whether the browser says that it has no network at all. That it says so of none is no proof of one.
pub(crate) fn is_offline() -> bool {
    !window().navigator().on_line()
}

/// Whether something happened in one of these elements.
pub(crate) fn is_within_any(event: &web_sys::Event, selector: &str) -> bool {
    let target = event.target().and_then(|target| target.dyn_into::<web_sys::Element>().ok());
    target.is_some_and(|target| matches!(target.closest(selector), Ok(Some(_))))
}

/// Puts the focus on the element of this id.
pub(crate) fn focus(id: &str) {
    put_focus(document().get_element_by_id(id));
}

/// Puts the focus on the first of these elements.
pub(crate) fn focus_first(selector: &str) {
    put_focus(all(selector).next());
}

/// Puts the focus on the last of these elements; whether there is one.
pub(crate) fn focus_last(selector: &str) -> bool {
    put_focus(all(selector).last())
}

/// Puts the focus on the one behind (`next`) or before the one of these elements that has it; whether one has it.
pub(crate) fn focus_beside(selector: &str, next: bool) -> bool {
    let all: Vec<_> = all(selector).collect();
    let active = document().active_element();
    let at = all.iter().position(|one| active.as_ref() == Some(one));
    let beside = at.and_then(|at| if next { at.checked_add(1) } else { at.checked_sub(1) });
    put_focus(beside.and_then(|beside| all.get(beside).cloned()));
    at.is_some()
}

/// Whether one of these elements has the focus.
pub(crate) fn has_focus(selector: &str) -> bool {
    document().active_element().is_some_and(|active| active.matches(selector).unwrap_or_default())
}

/// These elements, as far as they are shown.
fn all(selector: &str) -> impl Iterator<Item = web_sys::Element> {
    let found = document().query_selector_all(selector).ok();
    let nodes = (0..found.as_ref().map_or(0, web_sys::NodeList::length))
        .filter_map(move |at| found.as_ref()?.get(at));
    nodes
        .filter_map(|node| node.dyn_into::<HtmlElement>().ok())
        .filter(|element| element.offset_parent().is_some())
        .map(Into::into)
}

/// Goes to another page of ours.
pub(crate) fn go(path: &str) {
    // It fails for what is no address only.
    let _ = window().location().assign(path);
}

/// Scrolls the log to its newest message, and puts the focus there.
pub(crate) fn focus_newest() {
    if let Some(log) = document().get_element_by_id("log") {
        log.set_scroll_top(0);
    }
    focus("log");
}

/// Whether there is such an element. Where it lies in something that is closed, what opens that has the focus; what can't
/// have it leaves it where it was.
fn put_focus(element: Option<web_sys::Element>) -> bool {
    let Some(element) = element.and_then(|element| element.dyn_into::<HtmlElement>().ok()) else {
        return false;
    };
    let _ = element.focus();
    if document().active_element().as_ref() != Some(&element)
        && let Ok(Some(around)) = element.closest("[popover]")
        && let opener = format!("[popovertarget={}]", around.id())
        && let Ok(Some(opener)) = document().query_selector(&opener)
        && let Ok(opener) = opener.dyn_into::<HtmlElement>()
    {
        let _ = opener.focus();
    }
    true
}

/// Whether the system can be given something to pass on to others: mostly phones can.
pub(crate) fn can_share() -> bool {
    js_sys::Reflect::has(&window().navigator(), &"share".into()).unwrap_or_default()
}

/// Has the system ask whom an address is for, and by what means it goes there.
pub(crate) fn share(title: &str, url: &str) {
    let what = js_sys::Object::new();
    for (name, text) in [("title", title), ("url", url)] {
        let _ = js_sys::Reflect::set(&what, &name.into(), &text.into());
    }
    // Not in web-sys, and not in every browser.
    let navigator = window().navigator();
    if let Ok(share) = js_sys::Reflect::get(&navigator, &"share".into())
        && let Some(share) = share.dyn_ref::<js_sys::Function>()
        && let Ok(shared) = share.call1(&navigator, &what)
        && let Ok(shared) = shared.dyn_into::<js_sys::Promise>()
    {
        // That somebody thinks better of it is no error.
        leptos::task::spawn_local(async move {
            let _ = wasm_bindgen_futures::JsFuture::from(shared).await;
        });
    }
}

/// Puts `text` on the clipboard: whether it may. Only pages with HTTPS, or on this machine, do.
pub(crate) fn copy(text: &str) -> bool {
    let may = window().is_secure_context();
    if may {
        // Whether it worked is not told to anybody; there is nothing to do about it.
        let _ = window().navigator().clipboard().write_text(text);
    }
    may
}
