//! The application's end of a session.
//!
//! Start at [`EngineSocket`]. The rule to keep: what waits here can be dropped at any await without
//! losing or doubling anything, so that it fits into `tokio::select!`.

use std::{any::Any, fmt, io, net::SocketAddr, sync::Arc};

use axum::http::HeaderMap;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use thiserror::Error;

use super::{
    outbox::Batch,
    packet::Message,
    queue::{Entry, Place, Queue},
    session::{CloseReason, Session},
    table::Sid,
};

/// What is known of a client when its session begins, from its first request.
#[derive(Debug, Clone)]
pub struct Handshake {
    /// The session's id.
    pub sid: Sid,
    /// The request's headers.
    pub headers: HeaderMap,
    /// The query's pairs, decoded, in their order; `EIO`, `transport` and `t` are among them.
    pub query: Vec<(String, String)>,
    /// Where the request came from, if the server was made with `ConnectInfo`.
    pub peer: Option<SocketAddr>,
}

impl Handshake {
    /// The value of a name in the query; the last one if there are several, as the reference does.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<&str> {
        last(&self.query, name)
    }
}

/// The last pair's value counts.
pub(super) fn last<'a>(query: &'a [(String, String)], name: &str) -> Option<&'a str> {
    query.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// What a connection goes over, for those who write past its WebSocket: the application, and this crate. Whoever accepts
/// connections puts it, as `Arc<dyn Below>`, into the extensions of each request.
pub trait Below: Any + fmt::Debug + Send + Sync {
    /// Writes whole frames for the owner of the WebSocket, who has flushed all that it wrote over that, and does so again
    /// after it. If the writing is given up, what is left goes out before anything else.
    fn write(&self, frames: Vec<u8>) -> BoxFuture<'_, io::Result<()>>;
}

/// The session is closed, or is being closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the session is closed")]
pub struct Closed;

/// A session, as its application has it. Dropping it closes the session; what was sent before still
/// goes out.
#[derive(Debug)]
pub struct EngineSocket {
    incoming: Queue<Message>,
    sender: EngineSender,
}

impl EngineSocket {
    pub(super) fn new(
        session: Arc<Session>,
        outgoing: Entry<Batch>,
        incoming: Queue<Message>,
    ) -> Self {
        Self { incoming, sender: EngineSender { session, outgoing } }
    }

    /// The next message of the client; none once the session is closed and all was heard.
    ///
    /// An application that does not call this stops its client: nothing more is read from it, not
    /// even its pongs, and with them the session ends.
    pub async fn recv(&mut self) -> Option<Message> {
        self.incoming.next().await
    }

    /// Sends a message: [`EngineSender::send`].
    ///
    /// # Errors
    /// If the session is closed.
    pub async fn send(&self, message: impl Into<Message>) -> Result<(), Closed> {
        self.sender.send(message).await
    }

    /// The half that sends, to be cloned out of the socket.
    #[must_use]
    pub fn sender(&self) -> &EngineSender {
        &self.sender
    }

    /// Why the session is closed, once it is.
    #[must_use]
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.sender.close_reason()
    }

    /// Closes the session; what was sent before still goes out.
    pub fn close(self) {}
}

impl Drop for EngineSocket {
    fn drop(&mut self) {
        self.sender.close();
    }
}

/// The half of a socket that sends. It does not keep the session open.
#[derive(Clone)]
pub struct EngineSender {
    session: Arc<Session>,
    outgoing: Entry<Batch>,
}

impl fmt::Debug for EngineSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineSender").field("close_reason", &self.close_reason()).finish()
    }
}

impl EngineSender {
    /// Sends a message. Waits while the client has not taken what was sent before
    /// ([`Config::outgoing`](super::Config::outgoing)). Dropped while it waits, it has sent nothing.
    ///
    /// # Errors
    /// If the session is closed.
    pub async fn send(&self, message: impl Into<Message>) -> Result<(), Closed> {
        self.reserve().await?.send(message);
        Ok(())
    }

    /// Waits for room for one message, or one with its attachments. For an application that is a
    /// position in a log: it reads on only when there is room.
    ///
    /// # Errors
    /// If the session is closed.
    pub async fn reserve(&self) -> Result<Permit<'_>, Closed> {
        let permit = self.outgoing.reserve().await.ok_or(Closed)?;
        Ok(Permit { permit, session: &self.session })
    }

    /// Has `write` write whole frames past the WebSocket that the session is on, if nothing that was sent is still on its way
    /// over it. If `write` could not write all of the last one, [`EngineSender::flush`] has the rest written.
    pub fn when_idle<R>(&self, write: impl FnOnce(&dyn Below) -> R) -> Option<R> {
        self.session.when_idle(write)
    }

    /// Has the WebSocket flushed.
    pub fn flush(&self) {
        self.session.wake.notify_one();
    }

    /// Waits until the session is closed, and says why.
    pub async fn closed(&self) -> CloseReason {
        self.session.closed().await
    }

    /// Why the session is closed, once it is.
    #[must_use]
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.session.close_reason()
    }

    /// Closes the session; what was sent before still goes out.
    pub fn close(&self) {
        self.session.end();
    }
}

/// Room for one message.
#[derive(Debug)]
pub struct Permit<'a> {
    permit: Place<'a, Batch>,
    session: &'a Session,
}

impl Permit<'_> {
    /// Sends a message.
    pub fn send(self, message: impl Into<Message>) {
        self.send_with(message, Vec::new());
    }

    /// Sends a message and, with nothing in between, the binary ones that belong to it.
    pub fn send_with(self, first: impl Into<Message>, rest: Vec<Bytes>) {
        let batch = Batch { first: first.into(), rest };
        self.session.begin(|| self.permit.put(batch));
    }
}
