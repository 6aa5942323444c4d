//! Stock Socket.IO clients: sessions like any other, over the crate `socketio`.
//!
//! Start at [`engine`], then [`talk`]; what an event is and a message looks like is in [`event`]. The position
//! is what the client brings back after a drop (connection state recovery, Socket.IO 4.6): it is served from
//! the log, so it outlives the process. The rule to keep: nothing is queued for a client but one burst.

mod event;

use std::{collections::VecDeque, convert::Infallible, net::SocketAddr, sync::Arc};

use axum::extract::{ConnectInfo, ws::Utf8Bytes};
use bytes::Bytes;
use common::{ErrorCode, Recovery, Refusal, limits::FRAME_BYTES};
use serde::Deserialize;
use serde_json::{Map, Value};
use socketio::{
    CloseReason, Config, Engine, Handshake, Incoming, Pass, SendError, Socket, SocketConfig,
    SocketSender,
};
use tokio::sync::watch;

use crate::{
    caller::{Door, Entrance},
    origin,
    problem::Problem,
    session::{End as Over, Session, Wants},
    state::ServerState,
    telemetry::Carrier,
};

/// The one namespace there is; rooms are named in the handshake.
const NAMESPACE: &str = "/";

/// The engine that serves `/socket.io/`.
pub(crate) fn engine(server: &ServerState) -> Engine {
    let config = Config {
        ping_interval: server.config.timing.ping_interval,
        // Several packets may come in one POST.
        max_payload: 2 * FRAME_BYTES,
        // What one client may have us hold: this many of those.
        incoming: 4,
        // Until then one that never comes back is in its room.
        poll_within: server.config.timing.poll_within,
        max_sessions: server.config.connections,
        ..Config::default()
    };
    let (app, gate) = (server.clone(), server.clone());
    Engine::new(config, move |handshake, socket| serve(app.clone(), handshake, socket)).admit(
        move |request, new| {
            origin::check(&request.headers, &gate.config)?;
            if !new {
                // Those that there are may end in peace.
                return Ok::<Pass, Problem>(Box::new(()));
            }
            if *gate.stopping.borrow() {
                return Err(Refusal::new(ErrorCode::ShuttingDown, "the server is stopping").into());
            }
            let peer = request.extensions.get::<ConnectInfo<SocketAddr>>();
            let address = peer.map(|ConnectInfo(peer)| peer.ip().into());
            Ok(Box::new(gate.engines.take(address).map_err(|full| full.too_many("sessions"))?))
        },
    )
}

/// One client, from its first request to its end.
async fn serve(server: ServerState, handshake: Handshake, engine: socketio::EngineSocket) {
    let mut stopping = server.stopping.subscribe();
    let limits = SocketConfig { max_attachment_bytes: FRAME_BYTES, ..SocketConfig::default() };
    let mut socket = Socket::new(engine, &limits);
    let sender = socket.sender().clone();
    loop {
        let incoming = tokio::select! {
            incoming = socket.recv() => incoming,
            () = stopped(&mut stopping) => return,
        };
        let (namespace, auth) = match incoming {
            Some(Incoming::Connect { namespace, auth }) => (namespace, auth),
            Some(_) => continue,
            None => return,
        };
        let entered = match namespace.as_str() {
            NAMESPACE => {
                let entered = Box::pin(enter(&server, &handshake, &auth)).await;
                let push = |session: Session| {
                    let packets =
                        event::Packets { sender: sender.clone(), fields: session.fields() };
                    Box::new(session.over(Carrier::SocketIo).pushing_to(Arc::new(packets)))
                };
                entered.map(push)
            }
            _ => Err(Refusal::new(ErrorCode::NotFound, "Invalid namespace")),
        };
        let mut session = match entered {
            Ok(session) => session,
            Err(refusal) => {
                let data = (namespace == NAMESPACE).then(|| serde_json::to_value(&refusal).ok());
                if sender.refuse(&namespace, &refusal.message, data.flatten()).await.is_err() {
                    return;
                }
                continue;
            }
        };
        let id = session.id().clone();
        let accepted = sender.accept(NAMESPACE, id.public(), Some(id.as_str())).await;
        let Err(end) = match accepted {
            Ok(()) => talk(&mut session, &mut socket).await,
            Err(_) => Err(End::Lost),
        };
        session.stop_pushing();
        // What was heard is kept and answered, as far as the client still takes it.
        while let Some(answer) = session.answer().await {
            for packet in event::answer(&session, answer) {
                let _ = send(&sender, &packet).await;
            }
        }
        match end {
            // It may come back over the same connection.
            End::Left => session.leave().await,
            End::Closed => return session.leave().await,
            End::Lost => return,
        }
    }
}

/// What a client brings to get into a room.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Auth {
    room: Option<String>,
    after: Option<String>,
    token: Option<String>,
    fields: Option<String>,
    pid: Option<String>,
    offset: Option<String>,
}

/// Lets a client into its room: where it was, if the log still goes back that far.
async fn enter(
    server: &ServerState,
    handshake: &Handshake,
    auth: &Map<String, Value>,
) -> Result<Session, Refusal> {
    let auth: Auth = serde_json::from_value(Value::Object(auth.clone()))
        .map_err(|error| Refusal::field("auth", format!("`auth` can't be read: {error}")))?;
    let Auth { room, after, token, fields, pid, offset } = &auth;
    let entrance = Entrance {
        room: room.as_deref().or_else(|| handshake.query("room")),
        after: after.as_deref().or_else(|| handshake.query("after")),
        session: None,
        token: token.as_deref().or_else(|| handshake.query("token")),
        fields: fields.as_deref().or_else(|| handshake.query("fields")),
    };
    let address = handshake.peer.map(|peer| peer.ip());
    let admit = |entrance| Door(server.clone()).admit(&handshake.headers, address, entrance);
    let (pid, offset) = (pid.as_deref(), offset.as_deref());
    // A position that can't be read is one that is gone.
    if let Ok(caller) = admit(Entrance { session: pid, after: offset, ..entrance })
        && caller.known
        && offset.is_some()
    {
        let session = Session::enter(caller, Wants::Everything).await?;
        if session.recovery() == Some(Recovery::Replayed) {
            return Ok(session);
        }
    }
    // Another session than before tells the client that it is not recovered.
    Session::enter(admit(entrance)?, Wants::Everything).await
}

/// Why a client is heard no more.
enum End {
    /// The connection is gone, or is to be closed.
    Lost,
    /// The client has left the room.
    Left,
    /// The client has closed the connection.
    Closed,
}

impl From<SendError> for End {
    fn from(_: SendError) -> Self {
        Self::Lost
    }
}

impl From<Over> for End {
    fn from(_: Over) -> Self {
        Self::Lost
    }
}

/// Never returns but with the reason for the end.
async fn talk(session: &mut Session, socket: &mut Socket) -> Result<Infallible, End> {
    let sender = socket.sender().clone();
    let mut waiting: VecDeque<Utf8Bytes> = VecDeque::new();
    loop {
        tokio::select! {
            room = sender.reserve(), if !waiting.is_empty() => {
                let room = room?;
                if let Some(packet) = waiting.pop_front() {
                    room.packet(NAMESPACE, packet)?;
                }
                // Of a quiet client no place is kept for what it was told.
                if waiting.is_empty() {
                    waiting = VecDeque::new();
                }
            }
            burst = session.next(), if waiting.is_empty() => {
                let burst = burst?;
                if burst.is_empty() {
                    sender.flush();
                }
                for out in burst {
                    waiting.extend(event::packets(session, out));
                }
            }
            incoming = socket.recv(), if !session.is_full() => match incoming {
                Some(Incoming::Event { args, ack, attachments, .. }) => {
                    let attached: usize = attachments.iter().map(Bytes::len).sum();
                    let bytes = json_bytes(&args) + attached;
                    let frame = match attachments.is_empty() {
                        true => event::read(args),
                        false => {
                            let message = "bytes are no value; encode them";
                            Err(Refusal::new(ErrorCode::BinaryFrame, message))
                        }
                    };
                    session.take(frame, bytes, ack);
                }
                Some(Incoming::Disconnect { namespace }) if namespace == NAMESPACE => {
                    return Err(End::Left);
                }
                // Whoever sends too much of what is nothing here is closed, as for too many frames.
                Some(Incoming::Connect { namespace, auth }) => {
                    let _ = session.count(Value::from(auth).to_string().len(), false);
                    sender.refuse(&namespace, "Invalid namespace", None).await?;
                }
                Some(Incoming::Ack { args, attachments, .. }) => {
                    let attached: usize = attachments.iter().map(Bytes::len).sum();
                    let _ = session.count(json_bytes(&args) + attached, false);
                }
                Some(Incoming::Disconnect { .. }) => _ = session.count(0, false),
                None if socket.close_reason() == Some(CloseReason::ClientClosed) => {
                    return Err(End::Closed);
                }
                None => return Err(End::Lost),
            },
        }
    }
}

fn json_bytes(args: &[Value]) -> usize {
    args.iter().map(|arg| arg.to_string().len()).sum()
}

/// Waits until the server stops.
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // The sender lives as long as the server.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

async fn send(sender: &SocketSender, packet: &Utf8Bytes) -> Result<(), SendError> {
    sender.reserve().await?.packet(NAMESPACE, packet.clone())
}
