//! Telling somebody who looks elsewhere that they are called: only if they have asked for it.

use js_sys::{Array, Function, Reflect};
use leptos::{
    prelude::{document, window},
    task::spawn_local,
};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{HtmlMediaElement, Notification, NotificationOptions, NotificationPermission};

use crate::base;

use super::{keep, kept, now};

/// Under which key it is kept that they have, and that they want to hear it.
const KEY: &str = "notify";
const SOUND: &str = "sound";
/// When some tab was heard last, in milliseconds since 1970.
const CHIMED: &str = "chimed";

/// Whether this browser can show anything outside its page, and whether it is asked to.
pub(crate) fn notifies() -> bool {
    can_notify()
        && kept(KEY).is_some()
        && Notification::permission() == NotificationPermission::Granted
}

/// Whether it can: only pages with HTTPS, or on this machine, may.
pub(crate) fn can_notify() -> bool {
    window().is_secure_context()
        && Reflect::has(&window(), &"Notification".into()).unwrap_or_default()
}

/// Asks the person, or the browser, for leave; whether it is given.
pub(crate) async fn ask_to_notify() -> bool {
    let asked = match Notification::request_permission() {
        Ok(asked) => JsFuture::from(asked).await.is_ok(),
        Err(_) => false,
    };
    let may = asked && Notification::permission() == NotificationPermission::Granted;
    keep(KEY, if may { "on" } else { "" });
    may
}

/// Shows nothing any more.
pub(crate) fn stop_notifying() {
    keep(KEY, "");
}

/// Whether a notification is heard as well.
pub(crate) fn sounds() -> bool {
    kept(SOUND).is_some()
}

/// Has it heard from now on, which lets one hear it, or not.
pub(crate) fn set_sounds(on: bool) {
    keep(SOUND, if on { "on" } else { "" });
    if on {
        spawn_local(async {
            chime().await;
        });
    }
}

/// Whether it is heard: browsers keep quiet a page that nobody has touched yet.
async fn chime() -> bool {
    let made = Reflect::get(&window(), &"Audio".into())
        .and_then(|audio| audio.dyn_into::<Function>())
        .and_then(|audio| {
            Reflect::construct(&audio, &Array::of1(&base::path("/notice.wav").into()))
        });
    match made.map(|made| made.unchecked_into::<HtmlMediaElement>().play()) {
        Ok(Ok(playing)) => JsFuture::from(playing).await.is_ok(),
        _ => false,
    }
}

/// Whether it is heard now, from this tab or another: of what calls one twice at once, once.
async fn is_heard() -> bool {
    let (now, last) = (now() as u64, kept(CHIMED).and_then(|at| at.parse().ok()).unwrap_or(0_u64));
    if now.abs_diff(last) < 1_000 {
        return true;
    }
    // Before it is tried: another tab may be about to.
    keep(CHIMED, &now.to_string());
    let is_heard = chime().await;
    if !is_heard {
        keep(CHIMED, "");
    }
    is_heard
}

/// Shows that somebody has said this in `room`; a later word of the same room takes its place.
pub(crate) fn notify(who: &str, text: &str, room: &str) {
    let (title, text, room) = (format!("{who} — {room}"), text.to_owned(), room.to_owned());
    spawn_local(async move {
        // One sound is enough: ours, or the system's.
        let is_heard = sounds() && is_heard().await;
        let options = NotificationOptions::new();
        options.set_body(&text);
        options.set_tag(&room);
        options.set_icon(&base::path("/icon-192.png"));
        options.set_silent(Some(is_heard));
        // Some phones have it and can't: there is nothing to do about it.
        let _ = Notification::new_with_options(&title, &options);
    });
}

/// Has the tab's icon, and that of the installed page, say how much has come.
pub(crate) fn show_unseen(count: usize) {
    let icon = if count == 0 { "favicon.svg" } else { "favicon-unread.svg" };
    if let Ok(Some(link)) = document().query_selector("link[rel=icon]")
        && let Some(href) = link.get_attribute("href")
        && let Some((dir, _)) = href.rsplit_once('/')
    {
        let _ = link.set_attribute("href", &format!("{dir}/{icon}"));
    }
    // Not in web-sys, and not in every browser.
    let navigator = window().navigator();
    if let Ok(set) = Reflect::get(&navigator, &"setAppBadge".into())
        && let Some(set) = set.dyn_ref::<Function>()
    {
        let _ = set.call1(&navigator, &JsValue::from(count as u32));
    }
}
