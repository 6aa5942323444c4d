//! Server-Sent Events through the browser's own `EventSource`, and POST for our frames.

use std::rc::Rc;

use common::ServerFrame;
use wasm_bindgen::{JsCast, JsValue, closure::Closure};
use web_sys::{Event, EventSource, MessageEvent};

use super::{Destination, OnEvent, Road, RoadEvent, http::Requests};
use crate::client::ladder::Rung;

/// The events there are: one a type of frame, and the browser's own two.
const EVENTS: [&str; 7] = ["open", "error", "hello", "message", "members", "typing", "bye"];

/// An open, opening or closed event stream.
pub(super) struct Events {
    source: EventSource,
    requests: Rc<Requests>,
    on_event: Closure<dyn Fn(Event)>,
}

impl Events {
    /// # Errors
    ///
    /// What the browser throws, for an address that can't be one.
    pub(super) fn open(to: &Destination, on_event: OnEvent) -> Result<Self, JsValue> {
        let source = EventSource::new(&to.url(Rung::Events))?;
        let requests = Requests::new(to, on_event);
        let hears = requests.clone();
        let on_event = Closure::<dyn Fn(Event)>::new(move |event: Event| match &*event.type_() {
            "open" => hears.tell(RoadEvent::Open("text/event-stream".to_owned())),
            // The browser would connect again by itself, at the old position and without end: when to
            // come back is for the state machine to say.
            "error" => {
                if let Some(source) = event.target().and_then(|it| it.dyn_into().ok()) {
                    EventSource::close(&source);
                }
                hears.end("");
            }
            _ => {
                let data = event.dyn_ref::<MessageEvent>().and_then(|it| it.data().as_string());
                let Some(frame) = data else { return };
                if let Ok(Some(ServerFrame::Hello(hello))) = ServerFrame::parse(&frame) {
                    hears.to.borrow_mut().session = hello.session.to_string();
                }
                hears.tell(RoadEvent::Frame(frame));
            }
        });
        for name in EVENTS {
            source.add_event_listener_with_callback(name, on_event.as_ref().unchecked_ref())?;
        }
        Ok(Self { source, requests, on_event })
    }
}

impl Road for Events {
    fn send(&self, frame: &str) -> bool {
        self.requests.post(frame)
    }

    fn state(&self) -> u16 {
        self.source.ready_state()
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let listener = self.on_event.as_ref().unchecked_ref();
        for name in EVENTS {
            // Removing a listener that was added does not fail.
            let _ = self.source.remove_event_listener_with_callback(name, listener);
        }
        self.source.close();
        self.requests.close();
    }
}
