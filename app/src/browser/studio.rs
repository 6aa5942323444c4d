//! What this page lets others hear and see in a call.
//!
//! The rule to keep: whatever was opened is stopped, also what the browser hands out when nobody waits for it any more.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use js_sys::{Array, JSON, Reflect};
use leptos::prelude::window;
use serde_json::{Value, json};
use wasm_bindgen::{JsCast, JsValue, closure::Closure};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    DisplayMediaStreamConstraints, MediaDeviceInfo, MediaDeviceKind, MediaDevices, MediaStream,
    MediaStreamConstraints, MediaStreamTrack,
};

use super::media::Tracks;

/// What can be heard and seen of a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Microphone,
    Camera,
    Screen,
}

/// Why there is nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Denied {
    /// The page came neither by https nor from this machine.
    Insecure,
    /// The person, or the browser, does not allow it.
    Refused,
    /// There is none.
    Absent,
    /// Another program has it.
    InUse,
    /// Nobody could hear or see it: this browser is connected with no other.
    Alone,
    /// Nobody says.
    Unknown,
}

/// One microphone or camera.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Device {
    pub(crate) source: Source,
    pub(crate) id: String,
    pub(crate) name: String,
}

#[derive(Default)]
pub(super) struct Studio {
    pub(super) tracks: Tracks,
    /// Counts what was asked for and given up, so that what comes too late is known.
    asked: Rc<Cell<u32>>,
    /// Which device is to be opened.
    chosen: RefCell<[Option<String>; 3]>,
}

impl Studio {
    /// Opens one of them, in place of what was open of its kind, and as muted as that; `ended` is called when the browser
    /// ends it.
    ///
    /// # Errors
    ///
    /// Why there is none; nothing, if it was given up meanwhile.
    pub(super) async fn open(
        tracks: Tracks,
        asked: Rc<Cell<u32>>,
        (source, device): (Source, Option<String>),
        ended: impl FnOnce() + 'static,
    ) -> Result<(), Option<Denied>> {
        let number = asked.get();
        let is_wanted = || asked.get() == number;
        let is_muted = tracks.borrow()[source as usize].as_ref().is_some_and(|of| !of.enabled());
        // Some cameras can be open only once.
        close(&tracks, source);
        let mut answered = ask(source, device.as_deref()).await;
        if let Err(error) = &answered
            && device.is_some()
            && name_of(error) != "NotAllowedError"
            && is_wanted()
        {
            // It was taken out, or can do less than another.
            answered = ask(source, None).await;
        }
        let all = answered.map(|stream| stream.get_tracks().iter().collect::<Vec<_>>());
        let all = all.map(|all| all.into_iter().map(JsCast::unchecked_into));
        if !is_wanted() {
            all.into_iter().flatten().for_each(|track: MediaStreamTrack| track.stop());
            return Err(None);
        }
        let mut all = all.map_err(|error| Some(denied(&error)))?;
        let track: MediaStreamTrack = all.next().ok_or(Some(Denied::Absent))?;
        track.set_enabled(!is_muted);
        track.set_onended(Some(Closure::once_into_js(ended).unchecked_ref()));
        close(&tracks, source);
        tracks.borrow_mut()[source as usize] = Some(track);
        Ok(())
    }

    pub(super) fn handles(&self) -> (Tracks, Rc<Cell<u32>>) {
        (self.tracks.clone(), self.asked.clone())
    }

    /// From now on this device is opened.
    pub(super) fn choose(&self, source: Source, device: String) {
        self.chosen.borrow_mut()[source as usize] = Some(device);
    }

    pub(super) fn chosen(&self, source: Source) -> Option<String> {
        self.chosen.borrow()[source as usize].clone()
    }

    /// Which device is open, or would be.
    pub(super) fn device(&self, source: Source) -> Option<String> {
        let tracks = self.tracks.borrow();
        let settings = tracks[source as usize].as_ref().map(MediaStreamTrack::get_settings);
        let open = settings.and_then(|of| Reflect::get(&of, &"deviceId".into()).ok()?.as_string());
        open.or_else(|| self.chosen(source))
    }

    pub(super) fn is_open(&self, source: Source) -> bool {
        self.tracks.borrow()[source as usize].is_some()
    }

    /// What was asked for is not wanted any more.
    pub(super) fn give_up(&self) {
        self.asked.set(self.asked.get() + 1);
    }

    pub(super) fn close(&self, source: Source) {
        close(&self.tracks, source);
    }

    pub(super) fn close_all(&self) {
        self.give_up();
        for source in [Source::Microphone, Source::Camera, Source::Screen] {
            self.close(source);
        }
    }

    /// Whether others hear or see it now.
    pub(super) fn is_on(&self, source: Source) -> bool {
        self.tracks.borrow()[source as usize].as_ref().is_some_and(MediaStreamTrack::enabled)
    }

    /// Has others hear nothing though it stays open, or hear again; false if it is not open.
    pub(super) fn mute(&self, source: Source, mute: bool) -> bool {
        let tracks = self.tracks.borrow();
        let track = tracks[source as usize].as_ref();
        track.inspect(|track| track.set_enabled(!mute)).is_some()
    }

    /// What the camera sees, for whoever sits before it.
    pub(super) fn view(&self) -> Option<MediaStream> {
        let track = self.tracks.borrow()[Source::Camera as usize].clone()?;
        MediaStream::new_with_tracks(&Array::of1(&track)).ok()
    }
}

fn close(tracks: &Tracks, source: Source) {
    if let Some(track) = tracks.borrow_mut()[source as usize].take() {
        track.set_onended(None);
        track.stop();
    }
}

fn devices() -> Result<MediaDevices, JsValue> {
    let navigator = window().navigator();
    match Reflect::get(&navigator, &"mediaDevices".into())?.is_undefined() {
        true => Err(JsValue::NULL),
        false => navigator.media_devices(),
    }
}

async fn ask(source: Source, device: Option<&str>) -> Result<MediaStream, JsValue> {
    let devices = devices()?;
    let of_device = |mut wanted: Value| {
        if let Some(id) = device {
            wanted["deviceId"] = json!({"exact": id});
        }
        JSON::parse(&wanted.to_string())
    };
    let constraints = MediaStreamConstraints::new();
    let asked = match source {
        Source::Microphone => {
            constraints.set_audio(&of_device(json!({"echoCancellation": true}))?);
            devices.get_user_media_with_constraints(&constraints)
        }
        Source::Camera => {
            let small = json!({"width": {"ideal": 640}, "height": {"ideal": 360}, "frameRate": {"max": 24}});
            constraints.set_video(&of_device(small)?);
            devices.get_user_media_with_constraints(&constraints)
        }
        Source::Screen => {
            let constraints = DisplayMediaStreamConstraints::new();
            constraints.set_video(&JSON::parse(r#"{"frameRate":{"max":15}}"#)?);
            devices.get_display_media_with_constraints(&constraints)
        }
    };
    Ok(JsFuture::from(asked?).await?.unchecked_into())
}

/// The microphones and cameras there are, as far as the browser tells.
pub(crate) async fn list_devices() -> Vec<Device> {
    let Ok(Ok(asked)) = devices().map(|devices| devices.enumerate_devices()) else {
        return Vec::new();
    };
    let Ok(all) = JsFuture::from(asked).await else { return Vec::new() };
    let all = all.unchecked_into::<Array>();
    let all = all.iter().map(JsCast::unchecked_into::<MediaDeviceInfo>);
    let device = |info: MediaDeviceInfo| {
        let source = match info.kind() {
            MediaDeviceKind::Audioinput => Source::Microphone,
            MediaDeviceKind::Videoinput => Source::Camera,
            _ => return None,
        };
        let (id, name) = (info.device_id(), info.label());
        // Without a name the browser has not allowed any yet.
        (!id.is_empty() && !name.is_empty()).then_some(Device { source, id, name })
    };
    all.filter_map(device).collect()
}

fn name_of(error: &JsValue) -> String {
    let name = Reflect::get(error, &"name".into()).ok();
    name.and_then(|name| name.as_string()).unwrap_or_default()
}

/// What an error of Media Capture and Streams, section 10.2, says to a person.
fn denied(error: &JsValue) -> Denied {
    if error.is_null() || !window().is_secure_context() {
        return Denied::Insecure;
    }
    match name_of(error).as_str() {
        "NotAllowedError" | "SecurityError" => Denied::Refused,
        "NotFoundError" | "OverconstrainedError" => Denied::Absent,
        "NotReadableError" | "AbortError" => Denied::InUse,
        _ => Denied::Unknown,
    }
}
