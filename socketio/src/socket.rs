//! One Socket.IO client: its namespaces, its events and acknowledgements, over one session.
//!
//! Start at [`Socket::recv`] for what the client does and [`SocketSender`] for what it is told. The
//! rule to keep: whether a client is in a namespace is decided together with the packet that says so,
//! under one lock, so that no event overtakes it.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::{Map, Value};
use tokio::time::{Instant, timeout_at};

mod sender;

pub use sender::{Room, SendError, SocketSender};

use crate::{
    decoder::{DecodeError, Decoder},
    engine::{CloseReason, EngineSocket},
    packet::Packet,
};

/// What a [`Socket`] is set to.
#[derive(Debug, Clone)]
pub struct SocketConfig {
    /// How long a client has to get into its first namespace: 45 s, as the reference.
    pub connect_timeout: Duration,
    /// The most attachments of a packet: 10, as the reference.
    pub max_attachments: usize,
    /// The most bytes of a packet's attachments together: 1 000 000.
    pub max_attachment_bytes: usize,
    /// How many namespaces a client may be in or ask for at a time: 32.
    pub max_namespaces: usize,
}

impl Default for SocketConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(45),
            max_attachments: 10,
            max_attachment_bytes: 1_000_000,
            max_namespaces: 32,
        }
    }
}

/// What a client does.
#[derive(Debug, Clone, PartialEq)]
pub enum Incoming {
    /// It wants to get into a namespace. Answer with [`SocketSender::accept`] or
    /// [`SocketSender::refuse`].
    Connect {
        /// The namespace.
        namespace: String,
        /// What it brings for it, empty if nothing; `pid` and `offset` of a client that was here
        /// before are in here.
        auth: Map<String, Value>,
    },
    /// It says something.
    Event {
        /// The namespace.
        namespace: String,
        /// The event's name and its arguments. Bytes are `{"_placeholder":true,"num":0}`, with a good
        /// index into `attachments`.
        args: Vec<Value>,
        /// Acknowledge it with this ([`SocketSender::ack`]).
        ack: Option<u64>,
        /// The bytes.
        attachments: Vec<Bytes>,
    },
    /// It acknowledges an event of the server.
    Ack {
        /// The namespace.
        namespace: String,
        /// The event's id.
        id: u64,
        /// What it answers.
        args: Vec<Value>,
        /// The bytes in it.
        attachments: Vec<Bytes>,
    },
    /// It has left a namespace. Not told at the end of the connection, which leaves all.
    Disconnect {
        /// The namespace.
        namespace: String,
    },
}

/// Where a client is with a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It has asked, and was not answered yet.
    Asked,
    Joined,
    /// The server has put it out; what it says without knowing that is not heard.
    Out,
}

/// The namespaces of one client. Those that it was put out of count too, until it comes back.
type Namespaces = Arc<Mutex<HashMap<String, Standing>>>;

/// One client. Dropping it closes the connection; what was sent before still goes out.
#[derive(Debug)]
pub struct Socket {
    engine: EngineSocket,
    decoder: Decoder,
    sender: SocketSender,
    max_namespaces: usize,
    /// Until when the client has to be in a namespace; none once it was in one.
    connect_by: Option<Instant>,
    /// It can't be understood any more.
    lost: bool,
}

impl Socket {
    /// Speaks Socket.IO over a session.
    #[must_use]
    pub fn new(engine: EngineSocket, config: &SocketConfig) -> Self {
        Self {
            decoder: Decoder::new(config.max_attachments, config.max_attachment_bytes),
            sender: SocketSender::new(engine.sender().clone()),
            max_namespaces: config.max_namespaces,
            connect_by: Some(Instant::now() + config.connect_timeout),
            lost: false,
            engine,
        }
    }

    /// The half that sends. Clone it to send while [`Socket::recv`] waits.
    #[must_use]
    pub fn sender(&self) -> &SocketSender {
        &self.sender
    }

    /// Why the connection is closed, once it is.
    #[must_use]
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.engine.close_reason()
    }

    /// What the client does next; none once the connection has ended. It ends also if the client is
    /// in no namespace in time, if it sends what is no packet, and if it speaks in a namespace that it
    /// is not in. Dropped while it waits, it has lost nothing.
    pub async fn recv(&mut self) -> Option<Incoming> {
        loop {
            if self.lost {
                return None;
            }
            if self.connect_by.is_some() && self.sender.was_joined() {
                self.connect_by = None;
            }
            let message = match self.connect_by {
                None => self.engine.recv().await?,
                Some(until) => match timeout_at(until, self.engine.recv()).await {
                    Ok(message) => message?,
                    // It may have been let in while this waited.
                    Err(_) if self.sender.was_joined() => continue,
                    Err(_) => {
                        self.lose("in no namespace in time");
                        continue;
                    }
                },
            };
            let (packet, attachments) = match self.decoder.add(message) {
                Ok(Some(complete)) => complete,
                Ok(None) => continue,
                Err(DecodeError::Stray) if !self.sender.was_joined() => {
                    // It has until it would have to be in a namespace to take that in.
                    let _ = self.sender.refuse_parser().await;
                    continue;
                }
                Err(error) => {
                    self.lose(&error.to_string());
                    continue;
                }
            };
            if let Some(incoming) = self.take(packet, attachments) {
                return Some(incoming);
            }
        }
    }

    /// What a packet means where the client is; none if that is nothing.
    fn take(&mut self, packet: Packet, attachments: Vec<Bytes>) -> Option<Incoming> {
        match packet {
            Packet::Connect { namespace, data } => {
                let asked = self.sender.ask(&namespace, self.max_namespaces);
                if let Err(why) = asked {
                    self.lose(why);
                    return None;
                }
                Some(Incoming::Connect { namespace, auth: data.unwrap_or_default() })
            }
            Packet::Event { namespace, ack, args, .. } => self
                .is_heard(&namespace)
                .then_some(Incoming::Event { namespace, args, ack, attachments }),
            Packet::Ack { namespace, id, args, .. } => self
                .is_heard(&namespace)
                .then_some(Incoming::Ack { namespace, id, args, attachments }),
            Packet::Disconnect { namespace } => {
                let heard = self.is_heard(&namespace);
                self.sender.forget(&namespace);
                heard.then_some(Incoming::Disconnect { namespace })
            }
            Packet::ConnectError { .. } => {
                self.lose("a packet that only servers send");
                None
            }
        }
    }

    /// Whether the client may speak in a namespace. One that never was in it is no Socket.IO client.
    fn is_heard(&mut self, namespace: &str) -> bool {
        match self.sender.standing(namespace) {
            Some(Standing::Joined) => true,
            Some(Standing::Out) => false,
            Some(Standing::Asked) | None => {
                self.lose("not in that namespace");
                false
            }
        }
    }

    fn lose(&mut self, why: &str) {
        tracing::debug!(why, "closing a client");
        self.lost = true;
        self.sender.close();
    }
}
