//! The core of Hubbub: one log per room, and every reader is a position in it.
//!
//! Start at [`Hub`], the only way in. What is said is kept by a [`broker::Broker`]. A [`Reader`] waits until its room's log is longer than its
//! position and takes what came since; live delivery, catching up and history are that same read. So
//! a slow reader has no queue: it costs its position and falls behind alone.
//!
//! The rules to keep: no HTTP, no Leptos, no database in here; a message is encoded once and all
//! readers share the bytes; no lock is held across an await.

pub mod broker;
#[cfg(feature = "contract")]
pub mod contract;
mod frame;
#[cfg(feature = "contract")]
pub mod histories;
mod history;
mod hub;
mod lag;
mod limits;
mod line;
mod mailbox;
pub mod peers;
mod present;
mod query;
mod reader;
mod record;
mod room;
mod rules;
mod state;
mod tail;

pub use self::{
    frame::{FACES, Frame, StateFrame},
    hub::{Figures, Found, Hub, HubError, Published, RoomSummary, Stretch, TooManyRooms},
    lag::Lag,
    limits::Limits,
    line::{Burst, Outlet, Pushed},
    mailbox::{Letter, Undelivered},
    present::Present,
    query::Query,
    reader::{Delivery, Reader},
    record::{Draft, Envelope, Record, Who},
    rules::{Out, Rules},
};
