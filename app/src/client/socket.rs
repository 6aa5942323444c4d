//! A browser's WebSocket with its four events, owned: dropping it closes it and no event comes after.
//!
//! web-sys itself, because the wrapper in gloo-net hides `open`, drops what `error` is and makes up a
//! close event of its own.

use wasm_bindgen::{JsCast, JsValue, closure::Closure};
use web_sys::{CloseEvent, Event, MessageEvent, WebSocket};

/// One of the four events of a WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SocketEvent {
    /// It is open, with this subprotocol.
    Open(String),
    /// A text frame; a binary one is told as its size.
    Message(Result<String, usize>),
    /// Something is wrong; the browser tells no more, and `Close` follows.
    Error,
    /// It is closed.
    Close {
        /// RFC 6455 section 7.4.
        code: u16,
        /// What the server said about it.
        reason: String,
        /// Whether both sides agreed to close.
        was_clean: bool,
    },
}

/// An open, opening or closed WebSocket.
#[derive(Debug)]
pub struct Socket {
    socket: WebSocket,
    _on_event: Closure<dyn Fn(Event)>,
}

const EVENTS: [&str; 4] = ["open", "message", "error", "close"];

impl Socket {
    /// Starts to connect to `url`, asking for `protocol`; `on_event` hears the four events.
    ///
    /// # Errors
    ///
    /// What the browser throws, for an address that can't be one.
    pub fn open(
        url: &str,
        protocol: &str,
        on_event: impl Fn(SocketEvent) + 'static,
    ) -> Result<Self, JsValue> {
        let socket = WebSocket::new_with_str(url, protocol)?;
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

    /// Sends a text frame; false where the browser would drop it silently.
    pub fn send(&self, frame: &str) -> bool {
        self.ready_state() == WebSocket::OPEN && self.socket.send_with_str(frame).is_ok()
    }

    /// 0 to 3: connecting, open, closing, closed.
    pub fn ready_state(&self) -> u16 {
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

fn read(event: &Event) -> Option<SocketEvent> {
    match event.type_().as_str() {
        "open" => {
            let socket: WebSocket = event.target()?.dyn_into().ok()?;
            Some(SocketEvent::Open(socket.protocol()))
        }
        "message" => {
            let data = event.dyn_ref::<MessageEvent>()?.data();
            Some(SocketEvent::Message(data.as_string().ok_or_else(|| {
                let size = js_sys::Reflect::get(&data, &"size".into());
                size.ok().and_then(|size| size.as_f64()).unwrap_or_default() as usize
            })))
        }
        "error" => Some(SocketEvent::Error),
        "close" => {
            let close = event.dyn_ref::<CloseEvent>()?;
            Some(SocketEvent::Close {
                code: close.code(),
                reason: close.reason(),
                was_clean: close.was_clean(),
            })
        }
        _ => None,
    }
}
