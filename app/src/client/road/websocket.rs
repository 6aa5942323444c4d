//! A browser's WebSocket with its four events, owned: dropping it closes it and no event comes after.
//!
//! web-sys itself, because the wrapper in gloo-net hides `open`, drops what `error` is and makes up a
//! close event of its own.

use wasm_bindgen::{JsCast, JsValue, closure::Closure};
use web_sys::{CloseEvent, Event, MessageEvent, WebSocket};

use super::{OnEvent, Road, RoadEvent};

/// The subprotocol that gets all frames.
const PROTOCOL: &str = "hubbub.v1";

/// An open, opening or closed WebSocket.
pub(super) struct Socket {
    socket: WebSocket,
    _on_event: Closure<dyn Fn(Event)>,
}

const EVENTS: [&str; 4] = ["open", "message", "error", "close"];

impl Socket {
    /// Starts to connect to `url`; `on_event` hears the four events.
    ///
    /// # Errors
    ///
    /// What the browser throws, for an address that can't be one.
    pub(super) fn open(url: &str, on_event: OnEvent) -> Result<Self, JsValue> {
        let socket = WebSocket::new_with_str(url, PROTOCOL)?;
        let on_event = Closure::<dyn Fn(Event)>::new(move |event: Event| {
            if let Some(event) = read(&event) {
                on_event(event);
            }
        });
        for name in EVENTS {
            socket.add_event_listener_with_callback(name, on_event.as_ref().unchecked_ref())?;
        }
        Ok(Self { socket, _on_event: on_event })
    }
}

impl Road for Socket {
    /// False where the browser would drop it silently.
    fn send(&self, frame: &str) -> bool {
        self.socket.ready_state() == WebSocket::OPEN && self.socket.send_with_str(frame).is_ok()
    }

    fn state(&self) -> u16 {
        self.socket.ready_state()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        for name in EVENTS {
            // Removing a listener that was added does not fail.
            let _ = self
                .socket
                .remove_event_listener_with_callback(name, self._on_event.as_ref().unchecked_ref());
        }
        let _ = self.socket.close();
    }
}

fn read(event: &Event) -> Option<RoadEvent> {
    match event.type_().as_str() {
        "open" => {
            let socket: WebSocket = event.target()?.dyn_into().ok()?;
            Some(RoadEvent::Open(socket.protocol()))
        }
        "message" => {
            // A binary frame is none of ours.
            event.dyn_ref::<MessageEvent>()?.data().as_string().map(RoadEvent::Frame)
        }
        "error" => Some(RoadEvent::Error(String::new())),
        "close" => {
            let close = event.dyn_ref::<CloseEvent>()?;
            Some(RoadEvent::Close {
                code: close.code(),
                reason: close.reason(),
                was_clean: close.was_clean(),
            })
        }
        _ => None,
    }
}
