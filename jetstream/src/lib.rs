//! The log of Hubbub on [NATS JetStream](https://docs.nats.io/nats-concepts/jetstream), where any number of hubs are one.
//!
//! Start at [`JetStreamBroker`]. One stream keeps all rooms, a subject a room; its sequence is the offset. A hub has the
//! rooms it is asked for in memory, each made of what is stored of it, in that order: every hub makes the same of it, so
//! none has to ask another what may be done. The rule to keep: an acknowledgement means that NATS has it, and what is not
//! known to be kept is never said to be.
//!
//! docs/decisions/0034-jetstream.md says why it is built so.

mod append;
mod broker;
mod kept;
mod lease;
mod names;
mod nats;
mod options;
mod peers;
mod reading;
mod room;
mod servers;
mod shape;
mod shard;
#[cfg(feature = "simulated")]
pub mod simulated;
mod stored;
mod stream;
mod sweeping;

pub use broker::JetStreamBroker;
pub use options::{OpenError, Options};
pub use servers::Servers;
