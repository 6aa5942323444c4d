//! What is heard and seen over one connection to another browser: three lanes, for the microphone, the camera and the
//! screen, in this order on both sides.
//!
//! They are there from the beginning of a call, with or without anything on them: so a camera that comes or goes is a
//! track that is replaced, and nothing has to be agreed on. One side adds them to its offer, the other takes those of the
//! offer.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use js_sys::{Array, Promise, Reflect};
use leptos::task::spawn_local;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    MediaStream, MediaStreamTrack, RtcPeerConnection, RtcRtpSender, RtcRtpTransceiver,
    RtcRtpTransceiverDirection as Direction, RtcTrackEvent,
};

/// What a side has to be heard and seen by: microphone, camera, screen.
pub(super) type Tracks = Rc<RefCell<[Option<MediaStreamTrack>; 3]>>;

const KINDS: [&str; 3] = ["audio", "video", "video"];
/// How many bits a second a lane takes at the most, where it is much: each of six sends to five others.
const BITS: [Option<f64>; 3] = [None, Some(600_000.0), Some(1_500_000.0)];

pub(super) struct Media {
    connection: RtcPeerConnection,
    mine: Tracks,
    is_on: Cell<bool>,
    /// Their face and voice, and their screen.
    pub(super) theirs: [MediaStream; 2],
}

impl Media {
    pub(super) fn new(connection: &RtcPeerConnection, mine: Tracks) -> Result<Self, JsValue> {
        let theirs = [MediaStream::new()?, MediaStream::new()?];
        Ok(Self { connection: connection.clone(), mine, is_on: Cell::default(), theirs })
    }

    /// From now on something goes over it, or nothing more.
    pub(super) fn switch(&self, is_on: bool) {
        self.is_on.set(is_on);
        self.attach();
    }

    /// Something is about to be offered; `lanes` as well, if this is the side that adds them.
    pub(super) fn offer(&self, lanes: bool) {
        if lanes && self.is_on.get() && self.lanes().is_empty() {
            for kind in KINDS {
                self.connection.add_transceiver_with_str(kind);
            }
        }
        self.attach();
    }

    /// Something was offered, and is about to be answered.
    pub(super) fn answer(&self) {
        // How many there are is not for the other side to say.
        self.transceivers().iter().skip(KINDS.len()).for_each(RtcRtpTransceiver::stop);
        self.attach();
    }

    /// Puts what there is on its lanes.
    pub(super) fn attach(&self) {
        let is_on = self.is_on.get();
        let mine = self.mine.borrow();
        for (n, lane) in self.lanes().into_iter().enumerate() {
            // Also when nothing goes over it: one that is switched off and on again may stay dark (seen in Chromium 156).
            lane.set_direction(Direction::Sendrecv);
            let track = mine[n].as_ref().filter(|_| is_on);
            settle(lane.sender().replace_track(track));
            if let Some(bits) = BITS[n] {
                limit(&lane.sender(), bits);
            }
        }
    }

    /// Something of theirs comes.
    pub(super) fn came(&self, event: &RtcTrackEvent) {
        let mid = event.transceiver().mid();
        if let Some(n) = self.lanes().iter().position(|lane| lane.mid() == mid) {
            self.theirs[n / 2].add_track(&event.track());
        }
    }

    /// How loud their voice is now, from 0 to 1.
    pub(super) fn level(&self) -> f64 {
        let lanes = self.lanes();
        let sources = lanes.first().map(|lane| lane.receiver().get_synchronization_sources());
        let source = sources.map_or(JsValue::UNDEFINED, |sources| sources.get(0));
        let level = Reflect::get(&source, &"audioLevel".into()).ok();
        level.and_then(|level| level.as_f64()).unwrap_or_default()
    }

    /// Never more than there are kinds.
    fn lanes(&self) -> Vec<RtcRtpTransceiver> {
        let mut lanes = self.transceivers();
        lanes.truncate(KINDS.len());
        lanes
    }

    fn transceivers(&self) -> Vec<RtcRtpTransceiver> {
        let all = self.connection.get_transceivers();
        let all = all.iter().map(JsCast::unchecked_into::<RtcRtpTransceiver>);
        all.filter(|lane| lane.current_direction() != Some(Direction::Stopped)).collect()
    }
}

/// Has no more than that sent, as soon as it is known how it is sent.
fn limit(sender: &RtcRtpSender, bits: f64) {
    let parameters = sender.get_parameters();
    let encodings = Reflect::get(&parameters, &"encodings".into()).unwrap_or_default();
    let Some(encoding) = encodings.dyn_ref::<Array>().map(|encodings| encodings.get(0)) else {
        return;
    };
    let limit = Reflect::get(&encoding, &"maxBitrate".into()).ok().and_then(|limit| limit.as_f64());
    if encoding.is_object()
        && limit != Some(bits)
        && Reflect::set(&encoding, &"maxBitrate".into(), &bits.into()) == Ok(true)
    {
        settle(sender.set_parameters_with_parameters(&parameters));
    }
}

/// Lets a promise be kept or not: of a connection that is closed meanwhile there is nothing to be done.
fn settle(promise: Promise) {
    spawn_local(async move { drop(JsFuture::from(promise).await) });
}
