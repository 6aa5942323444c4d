//! The roads into a room, alike to whoever takes them: frames go in and come out, and dropping one
//! closes it, after which it says nothing more.

mod events;
mod http;
mod polls;
mod websocket;

use std::rc::Rc;

use common::RoomName;

use crate::{
    client::{browser, ladder::Rung},
    page::encode_component,
};

/// Something that happened on a road.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoadEvent {
    /// It is open; for a WebSocket with this subprotocol.
    Open(String),
    /// A frame came.
    Frame(String),
    /// Something is wrong; what the browser tells of it, which is little.
    Error(String),
    /// It is closed.
    Close {
        /// RFC 6455 section 7.4; 1006 on every road that has no such code.
        code: u16,
        /// What the server said about it.
        reason: String,
        /// Whether both sides agreed to close.
        was_clean: bool,
    },
}

impl RoadEvent {
    /// The end of a road that just ends.
    fn lost() -> Self {
        Self::Close { code: 1006, reason: String::new(), was_clean: false }
    }
}

/// What hears of it.
pub type OnEvent = Rc<dyn Fn(RoadEvent)>;

/// An open or opening road.
pub trait Road {
    /// Sends a frame; false where it certainly does not go.
    fn send(&self, frame: &str) -> bool;

    /// A number of [`Rung::states`].
    fn state(&self) -> u16;
}

/// Where a road is to lead.
#[derive(Clone, Debug)]
pub struct Destination {
    /// The room.
    pub room: RoomName,
    /// From which position on.
    pub after: String,
    /// As which session; empty for a new one.
    pub session: String,
}

impl Destination {
    /// The address to ask, for the inspector and for the road.
    pub fn url(&self, rung: Rung) -> String {
        let Self { room, after, session } = self;
        let (after, session) = (encode_component(after), encode_component(session));
        let place = encode_component(room.as_str());
        match rung {
            Rung::WebSocket => {
                let query = format!("room={place}&after={after}&session={session}");
                format!("{}/ws?{query}", browser::socket_origin())
            }
            Rung::Events => {
                format!("/api/rooms/{place}/events?after={after}&session={session}")
            }
            Rung::LongPoll | Rung::Poll => {
                format!("/api/rooms/{place}/messages?after={after}&session={session}")
            }
        }
    }
}

/// Sets out on a road; `None` where the browser refuses at once.
pub fn open(rung: Rung, to: &Destination, on_event: OnEvent) -> Option<Box<dyn Road>> {
    match rung {
        Rung::WebSocket => {
            let socket = websocket::Socket::open(&to.url(rung), on_event).ok()?;
            Some(Box::new(socket))
        }
        Rung::Events => Some(Box::new(events::Events::open(to, on_event).ok()?)),
        Rung::LongPoll | Rung::Poll => Some(Box::new(polls::Polls::open(rung, to, on_event))),
    }
}
