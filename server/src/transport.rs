//! How bytes travel between a room and those in it. A transport turns bytes into frames for a
//! [`Session`](crate::session::Session), and what the session has to tell into bytes; it decides nothing.
//! One transport never names another.

pub(crate) mod events;
pub(crate) mod frames;
pub(crate) mod messages;
pub(crate) mod publish;
pub(crate) mod socket_io;
pub(crate) mod websocket;
