//! Words both sides of Hubbub share: what a message is, which frames cross the wire, how things are
//! named and numbered, and how a refusal is told.
//!
//! Start at [`frame`]: everything that crosses the wire is there. The rule to keep: this crate knows
//! no clock, no randomness, no I/O, and builds for the browser as well as for the server.

pub mod frame;
pub mod limits;
pub mod mend;
pub mod message;
pub mod name;
pub mod position;
pub mod refusal;
mod settings;
pub mod state;

pub use frame::{Bye, ClientFrame, Hello, Recovery, ServerFrame, Signalling, Terms};
pub use mend::{Mend, Mends, Reaction};
pub use message::{Audience, Member, Message, Publish};
pub use name::{EventName, MemberId, MemberName, MessageId, RoomName, SessionId};
pub use position::{After, Epoch, Offset, Position};
pub use refusal::{ErrorCode, Refusal};
pub use settings::Settings;
pub use state::{Listed, Members, Roster, StateKind};
