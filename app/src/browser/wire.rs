//! The browser's own WebSocket and `EventSource`, with their events: dropping one closes it, and no event
//! comes after.
//!
//! web-sys itself, because the wrapper in gloo-net hides `open`, drops what `error` is and makes up a
//! close event of its own.

use client::{Event, LegId, Transport};
use wasm_bindgen::{JsCast, JsValue, closure::Closure};
use web_sys::{CloseEvent, EventSource, EventTarget, MessageEvent, WebSocket};

/// The subprotocol that gets all frames.
const PROTOCOL: &str = "hubbub.v1";
/// The events of a WebSocket.
const SOCKET: &[&str] = &["open", "message", "error", "close"];
/// Those of an event stream: the browser's own two, and one a type of frame.
const STREAM: &[&str] = &[
    "open",
    "error",
    "hello",
    "message",
    "members",
    "typing",
    "idle",
    "direct",
    "call",
    "signalling",
    "beat",
    "bye",
];

/// An open, opening or closed connection.
pub(super) struct Wire {
    line: Line,
    names: &'static [&'static str],
    on_event: Closure<dyn Fn(web_sys::Event)>,
}

enum Line {
    Socket(WebSocket),
    Stream(EventSource),
}

impl Wire {
    /// Sets out for `url`; `on_event` hears what happens.
    ///
    /// # Errors
    ///
    /// What the browser throws, for an address that can't be one.
    pub(super) fn open(
        leg: LegId,
        transport: Transport,
        url: &str,
        on_event: impl Fn(Event) + 'static,
    ) -> Result<Self, JsValue> {
        let (line, names) = match transport {
            Transport::WebSocket => (Line::Socket(WebSocket::new_with_str(url, PROTOCOL)?), SOCKET),
            _ => (Line::Stream(EventSource::new(url)?), STREAM),
        };
        let on_event = Closure::<dyn Fn(web_sys::Event)>::new(move |event: web_sys::Event| {
            if let Some(event) = read(leg, &event) {
                on_event(event);
            }
        });
        let wire = Self { line, names, on_event };
        for name in wire.names {
            wire.target().add_event_listener_with_callback(name, wire.listener())?;
        }
        Ok(wire)
    }

    /// Sends a frame. A socket that is not open drops it, and says that it closes.
    pub(super) fn send(&self, text: &str) {
        if let Line::Socket(socket) = &self.line {
            let _ = socket.send_with_str(text);
        }
    }

    fn target(&self) -> &EventTarget {
        match &self.line {
            Line::Socket(socket) => socket,
            Line::Stream(source) => source,
        }
    }

    fn listener(&self) -> &js_sys::Function {
        self.on_event.as_ref().unchecked_ref()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        for name in self.names {
            // Removing a listener that was added does not fail.
            let _ = self.target().remove_event_listener_with_callback(name, self.listener());
        }
        match &self.line {
            Line::Socket(socket) => drop(socket.close()),
            Line::Stream(source) => source.close(),
        }
    }
}

fn read(leg: LegId, event: &web_sys::Event) -> Option<Event> {
    // First what there is most of. A binary frame is none of ours.
    if let Some(message) = event.dyn_ref::<MessageEvent>() {
        return Some(Event::Received { leg, text: message.data().as_string()? });
    }
    Some(match event.type_().as_str() {
        "open" => {
            let protocol = match event.target()?.dyn_into::<WebSocket>() {
                Ok(socket) => socket.protocol(),
                Err(_) => "text/event-stream".to_owned(),
            };
            Event::Opened { leg, protocol }
        }
        // What is wrong is not told, by design.
        "error" => Event::Failed { leg, what: String::new() },
        "close" => {
            let close = event.dyn_ref::<CloseEvent>()?;
            let (code, reason, was_clean) = (close.code(), close.reason(), close.was_clean());
            Event::Closed { leg, code, reason, was_clean }
        }
        _ => return None,
    })
}
