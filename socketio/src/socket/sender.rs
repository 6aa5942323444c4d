//! What a client is told.
//!
//! Start at [`SocketSender`]. The rule to keep: first wait for room, then look and send without any
//! await in between.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use serde_json::{Map, Value, json};
use thiserror::Error;

use super::{Namespaces, Standing};
use crate::{
    engine::Message,
    engine::{Below, Closed, EngineSender, Permit},
    packet::{Packet, encode_ack, encode_event},
};

/// Why nothing was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SendError {
    /// The connection has ended.
    #[error("the connection is closed")]
    Closed,
    /// The client is not in that namespace, or has not asked for it.
    #[error("the client is not in that namespace")]
    NotThere,
    /// The arguments can't be written as JSON.
    #[error("the arguments are not JSON")]
    NotJson,
}

impl From<Closed> for SendError {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}

/// The half of a [`Socket`](super::Socket) that sends. A clone is the same one; it does not keep the
/// connection open.
///
/// All methods wait while the client has not taken what was sent before, and have sent nothing if
/// they are dropped while they wait. A namespace is written as the client writes it: `/`, `/chat`.
#[derive(Debug, Clone)]
pub struct SocketSender {
    engine: EngineSender,
    namespaces: Namespaces,
    joined: Arc<AtomicBool>,
}

impl SocketSender {
    pub(super) fn new(engine: EngineSender) -> Self {
        Self { engine, namespaces: Namespaces::default(), joined: Arc::default() }
    }

    /// Lets the client into a namespace it asked for. `sid` is public, other clients may see it, so it
    /// must not be the session's own id. `pid` is private, and lets the client come back to where it
    /// was: it brings it in `auth` the next time, with the `offset` it has seen last.
    ///
    /// # Errors
    /// If the connection has ended, or the client waits for no answer there.
    pub async fn accept(
        &self,
        namespace: &str,
        sid: &str,
        pid: Option<&str>,
    ) -> Result<(), SendError> {
        let mut data = Map::from_iter([("sid".to_owned(), Value::from(sid))]);
        if let Some(pid) = pid {
            data.insert("pid".to_owned(), pid.into());
        }
        let answer = Packet::Connect { namespace: namespace.to_owned(), data: Some(data) };
        let permit = self.engine.reserve().await?;
        let mut namespaces = self.namespaces.lock();
        let standing = namespaces.get_mut(namespace).ok_or(SendError::NotThere)?;
        if *standing != Standing::Asked {
            return Err(SendError::NotThere);
        }
        *standing = Standing::Joined;
        self.joined.store(true, Ordering::Relaxed);
        permit.send(answer.encode());
        Ok(())
    }

    /// Does not let the client into a namespace it asked for; `data` says more than `message`. Its
    /// library does not ask again by itself.
    ///
    /// # Errors
    /// If the connection has ended, or the client waits for no answer there.
    pub async fn refuse(
        &self,
        namespace: &str,
        message: &str,
        data: Option<Value>,
    ) -> Result<(), SendError> {
        let mut error = json!({ "message": message });
        if let Some(data) = data {
            error["data"] = data;
        }
        let answer = Packet::ConnectError { namespace: namespace.to_owned(), data: error };
        self.leave(namespace, Standing::Asked, &answer).await
    }

    /// Tells a client that writes its packets with `socket.io-msgpack-parser`, in its own way, that they are not
    /// read here: it tells its program why it is not let in, in place of coming back again and again.
    pub(super) async fn refuse_parser(&self) -> Result<(), SendError> {
        const MESSAGE: &str = "packets are JSON here: leave the option `parser` out";
        // {type: 4, data: {message: …}, nsp: "/"}, as https://github.com/msgpack/msgpack/blob/master/spec.md has it.
        let mut packet = b"\x83\xa4type\x04\xa4data\x81\xa7message\xd9".to_vec();
        packet.push(MESSAGE.len() as u8);
        packet.extend(MESSAGE.as_bytes());
        packet.extend(b"\xa3nsp\xa1/");
        self.engine.reserve().await?.send(Message::Binary(packet.into()));
        Ok(())
    }

    /// Puts the client out of a namespace. Its library does not come back by itself.
    ///
    /// # Errors
    /// If the connection has ended, or the client is not there.
    pub async fn disconnect(&self, namespace: &str) -> Result<(), SendError> {
        let packet = Packet::Disconnect { namespace: namespace.to_owned() };
        self.leave(namespace, Standing::Joined, &packet).await
    }

    async fn leave(
        &self,
        namespace: &str,
        from: Standing,
        packet: &Packet,
    ) -> Result<(), SendError> {
        let permit = self.engine.reserve().await?;
        let mut namespaces = self.namespaces.lock();
        if namespaces.get(namespace) != Some(&from) {
            return Err(SendError::NotThere);
        }
        match from {
            Standing::Joined => namespaces.insert(namespace.to_owned(), Standing::Out),
            Standing::Asked | Standing::Out => namespaces.remove(namespace),
        };
        permit.send(packet.encode());
        Ok(())
    }

    /// Tells of an event: its name, then its arguments.
    ///
    /// # Errors
    /// If the connection has ended, or the client is not there.
    pub async fn emit(&self, namespace: &str, args: &[Value]) -> Result<(), SendError> {
        self.emit_raw(namespace, &array(args)?).await
    }

    /// Tells of an event that is a JSON array already, name first. It is copied, not read.
    ///
    /// # Errors
    /// If the connection has ended, or the client is not there.
    pub async fn emit_raw(&self, namespace: &str, args: &str) -> Result<(), SendError> {
        self.emit_with(namespace, args, None, Vec::new()).await
    }

    /// Tells of an event with all it may have: `ack`, an id for the client to answer with, and
    /// attachments, for which `{"_placeholder":true,"num":0}` stand in `args`.
    ///
    /// # Errors
    /// If the connection has ended, or the client is not there.
    pub async fn emit_with(
        &self,
        namespace: &str,
        args: &str,
        ack: Option<u64>,
        attachments: Vec<Bytes>,
    ) -> Result<(), SendError> {
        let text = encode_event(namespace, ack, args, attachments.len());
        self.send(namespace, text, attachments).await
    }

    /// Acknowledges an event of the client.
    ///
    /// # Errors
    /// If the connection has ended, or the client is not there.
    pub async fn ack(&self, namespace: &str, id: u64, args: &[Value]) -> Result<(), SendError> {
        self.ack_with(namespace, id, &array(args)?, Vec::new()).await
    }

    /// Acknowledges an event with a JSON array and its attachments, as [`SocketSender::emit_with`].
    ///
    /// # Errors
    /// If the connection has ended, or the client is not there.
    pub async fn ack_with(
        &self,
        namespace: &str,
        id: u64,
        args: &str,
        attachments: Vec<Bytes>,
    ) -> Result<(), SendError> {
        self.send(namespace, encode_ack(namespace, id, args, attachments.len()), attachments).await
    }

    async fn send(
        &self,
        namespace: &str,
        text: String,
        attachments: Vec<Bytes>,
    ) -> Result<(), SendError> {
        self.reserve().await?.send(namespace, text, attachments)
    }

    /// Waits for room for one packet. For an application that is a position in a log: it reads on only
    /// when there is room, and has nothing in its hands when the wait is dropped.
    ///
    /// # Errors
    /// If the connection has ended.
    pub async fn reserve(&self) -> Result<Room<'_>, SendError> {
        let permit = self.engine.reserve().await?;
        Ok(Room { permit, namespaces: &self.namespaces })
    }

    /// As [`EngineSender::when_idle`], if the client is in that namespace.
    pub fn when_idle<R>(&self, namespace: &str, write: impl FnOnce(&dyn Below) -> R) -> Option<R> {
        let is_there = self.standing(namespace) == Some(Standing::Joined);
        is_there.then(|| self.engine.when_idle(write)).flatten()
    }

    /// Has the WebSocket flushed that the client is on.
    pub fn flush(&self) {
        self.engine.flush();
    }

    /// Closes the connection; what was sent before still goes out.
    pub fn close(&self) {
        self.engine.close();
    }

    pub(super) fn was_joined(&self) -> bool {
        self.joined.load(Ordering::Relaxed)
    }

    /// Notes that the client wants to get into a namespace.
    pub(super) fn ask(&self, namespace: &str, limit: usize) -> Result<(), &'static str> {
        let mut namespaces = self.namespaces.lock();
        match namespaces.get(namespace) {
            Some(Standing::Asked | Standing::Joined) => return Err("in that namespace already"),
            None if namespaces.len() >= limit => return Err("in too many namespaces"),
            Some(Standing::Out) | None => {}
        }
        namespaces.insert(namespace.to_owned(), Standing::Asked);
        Ok(())
    }

    pub(super) fn standing(&self, namespace: &str) -> Option<Standing> {
        self.namespaces.lock().get(namespace).copied()
    }

    pub(super) fn forget(&self, namespace: &str) {
        self.namespaces.lock().remove(namespace);
    }
}

/// Room for one packet.
#[derive(Debug)]
pub struct Room<'a> {
    permit: Permit<'a>,
    namespaces: &'a Namespaces,
}

impl Room<'_> {
    /// Tells of an event that is a JSON array already, name first, at once.
    ///
    /// # Errors
    /// If the client is not in that namespace.
    pub fn emit_raw(self, namespace: &str, args: &str) -> Result<(), SendError> {
        self.send(namespace, encode_event(namespace, None, args, 0), Vec::new())
    }

    /// Sends a packet that [`encode_event`](crate::packet::encode_event) or
    /// [`encode_ack`](crate::packet::encode_ack) has written, for this namespace and without attachments. It is not
    /// copied, so many clients can be sent the same one.
    ///
    /// # Errors
    /// If the client is not in that namespace.
    pub fn packet(self, namespace: &str, packet: impl Into<Message>) -> Result<(), SendError> {
        self.send(namespace, packet.into(), Vec::new())
    }

    fn send(
        self,
        namespace: &str,
        text: impl Into<Message>,
        rest: Vec<Bytes>,
    ) -> Result<(), SendError> {
        let namespaces = self.namespaces.lock();
        if namespaces.get(namespace) != Some(&Standing::Joined) {
            return Err(SendError::NotThere);
        }
        self.permit.send_with(text, rest);
        Ok(())
    }
}

fn array(args: &[Value]) -> Result<String, SendError> {
    serde_json::to_string(args).map_err(|_| SendError::NotJson)
}
