//! The transport of stock Socket.IO clients: Engine.IO protocol 4 and Socket.IO protocol 5 over axum.
//!
//! Start at [`engine::Engine`] (sessions over HTTP long-polling and WebSocket), then [`Socket`] (one
//! client's namespaces, events and acknowledgements over such a session). The rule to keep: nothing
//! grows with what a client sends or leaves unread; every queue is bounded, and whoever fills it
//! waits.
//!
//! The protocols are described at <https://socket.io/docs/v4/engine-io-protocol/> and
//! <https://socket.io/docs/v4/socket-io-protocol/>. "The reference" in this crate is the server of
//! <https://github.com/socketio/socket.io>.

pub mod decoder;
pub mod engine;
pub mod packet;
pub mod socket;

pub use engine::{
    Below, CloseReason, Config, Engine, EngineSender, EngineSocket, Handshake, Message, Pass, Sid,
};
pub use packet::{Packet, PacketError};
pub use socket::{Incoming, Room, SendError, Socket, SocketConfig, SocketSender};
