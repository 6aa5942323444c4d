//! The core of Hubbub: one log per room, and every reader is a position in it.
//!
//! Start at [`Hub`], the only way in. A [`Reader`] waits until its room's log is longer than its
//! position and takes what came since; live delivery, catching up and history are that same read. So
//! a slow reader has no queue: it costs its position and falls behind alone.
//!
//! The rules to keep: no HTTP, no Leptos, no database in here; a message is encoded once and all
//! readers share the bytes; no lock is held across an await.

mod hub;
mod limits;
mod log;
mod presence;
mod reader;
mod room;

pub use self::{
    hub::{Author, Hub, Latest, PublishError, Published, RoomSummary, TooManyRooms},
    limits::Limits,
    presence::Present,
    reader::{Delivery, Reader, Viewer},
};
