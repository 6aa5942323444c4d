//! How bytes travel between a room and those in it. One transport never names another.

pub(crate) mod socket_io;
pub(crate) mod websocket;
