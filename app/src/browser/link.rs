//! The browser's own connection to another browser, with its channels: dropping one closes it, and no event comes
//! after.
//!
//! What takes time is told as an event when it is done, to whoever is there then: of a connection that was closed
//! meanwhile nobody hears.

use std::{cell::Cell, rc::Rc};

use client::{Lane, LinkEffect, LinkEvent};
use js_sys::{ArrayBuffer, JSON, JsString, Map, Reflect, Uint8Array};
use leptos::task::spawn_local;
use serde_json::Value;
use wasm_bindgen::{JsCast, JsValue, closure::Closure};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    EventTarget, MessageEvent, RtcConfiguration, RtcDataChannel, RtcDataChannelInit,
    RtcDataChannelState, RtcDataChannelType, RtcIceCandidateInit, RtcOfferOptions,
    RtcPeerConnection, RtcPeerConnectionIceEvent, RtcPeerConnectionState as State, RtcSdpType,
    RtcSessionDescriptionInit,
};

use super::media::{Media, Tracks};
use crate::page::Ice;

/// What is heard of a connection, and of its channels.
const CONNECTION: [&str; 3] = ["icecandidate", "connectionstatechange", "track"];
const CHANNEL: [&str; 4] = ["open", "message", "close", "bufferedamountlow"];
/// Of a channel on which more than this waits the other side is gone: of what is said 1 MiB; of files no more than a
/// MiB is sent at once, when less than [`LOW`] waits.
const BUFFERED: u32 = 4 * 1024 * 1024;
const LOW: u32 = 256 * 1024;

type Listener = Closure<dyn Fn(web_sys::Event)>;

pub(super) struct Link {
    connection: RtcPeerConnection,
    channels: Channels,
    pub(super) media: Rc<Media>,
    /// Somebody waits until the channel of files takes more.
    is_full: Rc<Cell<bool>>,
    on_event: Listener,
}

/// One for each lane.
type Channels = [RtcDataChannel; Lane::ALL.len()];

impl Link {
    /// Makes a connection that leads nowhere yet, and finds its ways by means of `ice`; `tell` hears what happens to it.
    ///
    /// # Errors
    ///
    /// What the browser throws, where there can be none.
    pub(super) fn new(
        ice: Option<&Ice>,
        tracks: Tracks,
        tell: impl Fn(LinkEvent) + 'static,
    ) -> Result<Self, JsValue> {
        let connection = RtcPeerConnection::new_with_configuration(&configuration(ice)?)?;
        let channels = [0, 1].map(|id| {
            let options = RtcDataChannelInit::new();
            // Both sides have it from the beginning, so neither has to hear of it from the other.
            options.set_negotiated(true);
            options.set_id(id);
            let made = connection.create_data_channel_with_data_channel_dict("hubbub", &options);
            made.set_binary_type(RtcDataChannelType::Arraybuffer);
            made.set_buffered_amount_low_threshold(LOW);
            made
        });
        let is_full = Rc::new(Cell::new(false));
        let media = Rc::new(Media::new(&connection, tracks)?);
        let (of, on, full) = (connection.clone(), channels.clone(), is_full.clone());
        let comes = media.clone();
        let on_event = Listener::new(move |event: web_sys::Event| {
            if let Some(event) = event.dyn_ref() {
                return comes.came(event);
            }
            read(&of, &on, &full, &event).into_iter().for_each(&tell);
        });
        let link = Self { connection, channels, media, is_full, on_event };
        for (target, name) in link.targets() {
            target
                .add_event_listener_with_callback(name, link.on_event.as_ref().unchecked_ref())?;
        }
        Ok(link)
    }

    fn targets(&self) -> impl Iterator<Item = (&EventTarget, &'static str)> {
        let connection: &EventTarget = &self.connection;
        let of =
            |target, names: &'static [&'static str]| names.iter().map(move |name| (target, *name));
        let channels = self.channels.iter();
        of(connection, &CONNECTION).chain(channels.flat_map(move |channel| of(channel, &CHANNEL)))
    }

    /// Does one thing with it; `tell` hears what comes of that.
    pub(super) fn carry_out(
        &self,
        what: LinkEffect,
        ice: Option<&Ice>,
        tell: impl Fn(LinkEvent) + 'static,
    ) {
        let (connection, media) = (self.connection.clone(), self.media.clone());
        if let LinkEffect::Offer { restart: true, .. } = what
            && let Ok(configuration) = configuration(ice)
        {
            // What servers ask for may be another by now; if not, the old will do.
            let _ = connection.set_configuration_with_configuration(&configuration);
        }
        match what {
            LinkEffect::Offer { restart, lanes } => spawn_local(async move {
                media.offer(lanes);
                tell(LinkEvent::Described(offer(&connection, restart).await.ok()));
            }),
            LinkEffect::Answer { sdp } => spawn_local(async move {
                tell(LinkEvent::Described(answer(&connection, &media, &sdp).await.ok()));
            }),
            LinkEffect::Accept { sdp } => spawn_local(async move {
                let accepted = take(&connection, RtcSdpType::Answer, &sdp).await;
                tell(LinkEvent::Accepted(accepted.is_ok()));
            }),
            LinkEffect::Media(is_on) => media.switch(is_on),
            LinkEffect::Try { candidate } => spawn_local(async move {
                // A way that is of no use is one less.
                let _ = try_way(&connection, &candidate).await;
            }),
            LinkEffect::Send { lane, text } => {
                let channel = &self.channels[lane as usize];
                if channel.buffered_amount() > BUFFERED || channel.send_with_str(&text).is_err() {
                    tell(LinkEvent::Closed);
                }
            }
            LinkEffect::Bytes { bytes } => {
                if self.channels[Lane::Files as usize].send_with_u8_array(&bytes).is_err() {
                    tell(LinkEvent::Closed);
                }
            }
            LinkEffect::Room => match self.channels[Lane::Files as usize].buffered_amount() > LOW {
                true => self.is_full.set(true),
                false => tell(LinkEvent::Room),
            },
            LinkEffect::Connect | LinkEffect::Close => {}
        }
    }
}

/// IP and UDP before each packet, at the least, in bytes (RFC 791, RFC 768). Browsers count what is in them.
const PACKET_HEAD: u64 = 28;

impl Link {
    /// What has gone over it so far, in packets and bytes ([WebRTC Statistics], `transport`).
    ///
    /// [WebRTC Statistics]: https://www.w3.org/TR/webrtc-stats/#transportstats-dict*
    pub(super) fn traffic(&self) -> impl Future<Output = Option<lab::Traffic>> + use<> {
        let asked = self.connection.get_stats();
        async move {
            let report: Map = JsFuture::from(asked).await.ok()?.unchecked_into();
            let values = report.values().into_iter().filter_map(Result::ok);
            let of = |entry: &JsValue, name: &str| Reflect::get(entry, &name.into()).ok();
            let entry = values.into_iter().find(|entry| {
                of(entry, "type").and_then(|kind| kind.as_string()).as_deref() == Some("transport")
            })?;
            let number = |name| of(&entry, name)?.as_f64().map(|number| number as u64);
            let (sent, received) = (number("packetsSent")?, number("packetsReceived")?);
            Some(lab::Traffic {
                requests: sent + received,
                up: number("bytesSent")? + sent * PACKET_HEAD,
                down: number("bytesReceived")? + received * PACKET_HEAD,
            })
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        for (target, name) in self.targets() {
            // Removing a listener that was added does not fail.
            let listener = self.on_event.as_ref().unchecked_ref();
            let _ = target.remove_event_listener_with_callback(name, listener);
        }
        self.channels.iter().for_each(RtcDataChannel::close);
        self.connection.close();
    }
}

fn configuration(ice: Option<&Ice>) -> Result<RtcConfiguration, JsValue> {
    let Some(ice) = ice else { return Ok(RtcConfiguration::new()) };
    let json = serde_json::to_string(ice).unwrap_or_default();
    Ok(JSON::parse(&json)?.unchecked_into())
}

async fn offer(connection: &RtcPeerConnection, restart: bool) -> Result<String, JsValue> {
    let options = RtcOfferOptions::new();
    options.set_ice_restart(restart);
    let made = JsFuture::from(connection.create_offer_with_rtc_offer_options(&options)).await?;
    describe(connection, made).await
}

async fn answer(
    connection: &RtcPeerConnection,
    media: &Media,
    sdp: &str,
) -> Result<String, JsValue> {
    // Takes back an offer of ours by itself (WebRTC 1.0, section 4.4.1.5).
    take(connection, RtcSdpType::Offer, sdp).await?;
    media.answer();
    let made = JsFuture::from(connection.create_answer()).await?;
    describe(connection, made).await
}

async fn describe(connection: &RtcPeerConnection, made: JsValue) -> Result<String, JsValue> {
    let made: RtcSessionDescriptionInit = made.unchecked_into();
    JsFuture::from(connection.set_local_description(&made)).await?;
    let local = connection.local_description().ok_or(JsValue::NULL)?;
    Ok(local.sdp())
}

async fn take(connection: &RtcPeerConnection, kind: RtcSdpType, sdp: &str) -> Result<(), JsValue> {
    let description = RtcSessionDescriptionInit::new(kind);
    description.set_sdp(sdp);
    JsFuture::from(connection.set_remote_description(&description)).await?;
    Ok(())
}

async fn try_way(connection: &RtcPeerConnection, candidate: &Value) -> Result<(), JsValue> {
    let candidate: RtcIceCandidateInit = JSON::parse(&candidate.to_string())?.unchecked_into();
    let tried = connection.add_ice_candidate_with_opt_rtc_ice_candidate_init(Some(&candidate));
    JsFuture::from(tried).await?;
    Ok(())
}

fn read(
    connection: &RtcPeerConnection,
    channels: &Channels,
    is_full: &Cell<bool>,
    event: &web_sys::Event,
) -> Option<LinkEvent> {
    let is_open = |channel: &RtcDataChannel| channel.ready_state() == RtcDataChannelState::Open;
    Some(match event.type_().as_str() {
        "icecandidate" => {
            // Without one, all were told.
            let candidate = event.dyn_ref::<RtcPeerConnectionIceEvent>()?.candidate()?;
            let json = JSON::stringify(&candidate.to_json()).ok()?;
            LinkEvent::Way(serde_json::from_str(&json.as_string()?).ok()?)
        }
        "connectionstatechange" => match connection.connection_state() {
            State::Connected => LinkEvent::Reached,
            State::Disconnected => LinkEvent::Interrupted,
            State::Failed => LinkEvent::Lost,
            _ => return None,
        },
        "open" if channels.iter().all(is_open) => LinkEvent::Opened,
        "open" => return None,
        "close" => LinkEvent::Closed,
        "bufferedamountlow" if is_full.replace(false) => LinkEvent::Room,
        "bufferedamountlow" => return None,
        _ => {
            let id = event.target()?.dyn_ref::<RtcDataChannel>()?.id()?;
            let data = event.dyn_ref::<MessageEvent>()?.data();
            let lane = Lane::ALL.get(usize::from(id))?;
            match (data.dyn_ref::<ArrayBuffer>(), data.dyn_ref::<JsString>()) {
                // Before any of it is taken over: browsers let a message be as large as a GiB.
                (Some(bytes), _) if bytes.byte_length() > Lane::LONGEST => LinkEvent::Closed,
                (_, Some(text)) if text.length() > Lane::LONGEST => LinkEvent::Closed,
                (Some(bytes), _) if *lane == Lane::Files => {
                    LinkEvent::Bytes(Uint8Array::new(bytes).to_vec())
                }
                // What is said is never bytes.
                (_, text) => LinkEvent::Heard(*lane, String::from(text?)),
            }
        }
    })
}
