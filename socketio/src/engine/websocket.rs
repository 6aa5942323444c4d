//! A session on a WebSocket, from its beginning or after an upgrade from polling.
//!
//! Start at [`run`]; [`upgrade`] comes before it for a session that began on polling. The rule to
//! keep: reading and writing are two futures of one task, so that neither waits for the other, and
//! both end with the session.

use std::{sync::Arc, time::Duration};

use axum::extract::ws::{CloseFrame, Message as Leg, Utf8Bytes, WebSocket, close_code};
use futures_util::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use tokio::time::timeout;
use tungstenite::protocol::frame::{
    Frame,
    coding::{Data, OpCode},
};

use super::{
    packet::{Message, Packet},
    session::{CloseReason, Session, Upgrading},
    socket::Below,
};

/// How long a client gets to answer the close frame.
const CLOSING: Duration = Duration::from_secs(1);

/// How many messages are written between two looks at the heartbeat.
const BURST: usize = 64;
/// From how many bytes on it is enough.
const BURST_BYTES: usize = 16 * 1024;

/// Ends the upgrade when the WebSocket that wanted it goes away.
struct Attempt<'a>(&'a Session);

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.0.set_upgrading(Upgrading::No);
    }
}

/// Takes a session over from polling: the client asks whether this works (`2probe`), is told that it
/// does, waits for its poll to end and says (`5`) that it moves. Whatever else happens, the session
/// stays where it is.
pub(super) async fn upgrade(
    session: Arc<Session>,
    mut socket: WebSocket,
    below: Option<Arc<dyn Below>>,
    patience: Duration,
    max_payload: usize,
) {
    if !session.begin_upgrade() {
        return close(socket, None).await;
    }
    let attempt = Attempt(&session);
    let moves = tokio::select! {
        moves = timeout(patience, probe(&session, &mut socket)) => moves.unwrap_or(false),
        _ = session.closed() => false,
    };
    if !moves {
        drop(attempt);
        return close(socket, None).await;
    }
    // No poll can begin from here on, and one that waits returns the outbox.
    session.complete_upgrade();
    session.set_below(below);
    drop(attempt);
    run(session, socket, max_payload).await;
}

/// Whether the client wants to move.
async fn probe(session: &Session, socket: &mut WebSocket) -> bool {
    while let Some(Ok(leg)) = socket.recv().await {
        let packet = match leg {
            Leg::Text(text) => Packet::decode(&text),
            Leg::Ping(_) | Leg::Pong(_) => continue,
            Leg::Binary(_) | Leg::Close(_) => return false,
        };
        match packet {
            Ok(Packet::Ping(text)) if text == "probe" => {
                if socket.send(Leg::Text(Packet::Pong(text).encode().into())).await.is_err() {
                    return false;
                }
                session.set_upgrading(Upgrading::Probed);
            }
            Ok(Packet::Upgrade) => return true,
            _ => return false,
        }
    }
    false
}

/// Runs a session until it is closed.
pub(super) async fn run(session: Arc<Session>, socket: WebSocket, max_payload: usize) {
    let (mut sink, mut stream) = socket.split();
    let (reason, code) = tokio::select! {
        reason = session.closed() => (reason, None),
        end = read(&session, &mut stream, max_payload) => end,
        reason = write(&session, &mut sink) => (reason, None),
    };
    session.close(reason);
    // Nothing may come behind a close frame, and the connection ends here, whatever its application still does.
    session.set_below(None);
    match sink.reunite(stream) {
        Ok(socket) => close(socket, code).await,
        Err(error) => tracing::debug!(%error, "can't close"),
    }
}

async fn close(mut socket: WebSocket, code: Option<u16>) {
    let frame = code.map(|code| CloseFrame { code, reason: Utf8Bytes::default() });
    let answer = async {
        if socket.send(Leg::Close(frame)).await.is_err() {
            // The client has closed it: the library has the answer ready, which only has to go out.
            return socket.flush().await;
        }
        // Closing at once would reset the connection under a client that is still sending, and it
        // would not see the frame.
        while socket.recv().await.transpose()?.is_some() {}
        Ok::<_, axum::Error>(())
    };
    let _ = timeout(CLOSING, answer).await;
}

/// Hears the client; comes to the reason for the end, and its code if it has one.
async fn read(
    session: &Session,
    stream: &mut SplitStream<WebSocket>,
    max_payload: usize,
) -> (CloseReason, Option<u16>) {
    while let Some(leg) = stream.next().await {
        let packet = match leg {
            Ok(Leg::Text(text)) if text.len() <= max_payload => Packet::decode(&text),
            Ok(Leg::Binary(bytes)) if bytes.len() <= max_payload => {
                Ok(Packet::Message(Message::Binary(bytes)))
            }
            Ok(Leg::Text(_) | Leg::Binary(_)) => {
                return (CloseReason::TransportError, Some(close_code::SIZE));
            }
            Ok(Leg::Ping(_) | Leg::Pong(_)) => continue,
            Ok(Leg::Close(_)) => return (CloseReason::ClientClosed, None),
            Err(_) => break,
        };
        let packet = match packet {
            Ok(packet) => packet,
            Err(error) => {
                tracing::debug!(%error, "no packet");
                return (CloseReason::ParseError, None);
            }
        };
        if let Err(reason) = session.receive(packet).await {
            return (reason, None);
        }
    }
    (CloseReason::TransportError, None)
}

/// Writes what the application says, and pings; comes to the reason for the end.
async fn write(session: &Session, sink: &mut SplitSink<WebSocket, Leg>) -> CloseReason {
    let Some(mut outbox) = session.claim_outbox().await else {
        return CloseReason::TransportError;
    };
    let below = session.below();
    let mut messages = Vec::new();
    loop {
        if session.take_ping() {
            messages.push(Leg::Text(Packet::Ping(String::new()).encode().into()));
        }
        if session.is_ending() {
            outbox.close();
        }
        if send(sink, below.as_deref(), std::mem::take(&mut messages)).await.is_err() {
            return CloseReason::TransportError;
        }
        session.wait_for(&outbox);
        tokio::select! {
            message = outbox.next() => {
                let Some(message) = message else { return CloseReason::ServerClosed };
                let mut bytes = message.size();
                messages.push(leg(message));
                // What else is there goes in the same system call. Not without end: a ping may be due, and of what is not
                // taken there is a copy for this client alone.
                while messages.len() < BURST
                    && bytes < BURST_BYTES
                    && let Some(message) = outbox.next_now()
                {
                    bytes += message.size();
                    messages.push(leg(message));
                }
            }
            () = session.wake.notified() => {}
        }
    }
}

/// Writes all of these, after what the library has to say, and flushes. Past the WebSocket where there is a way: it would
/// hold on to a buffer as large as the largest of them.
async fn send(
    sink: &mut SplitSink<WebSocket, Leg>,
    below: Option<&dyn Below>,
    messages: Vec<Leg>,
) -> Result<(), axum::Error> {
    let Some(below) = below else {
        for message in messages {
            sink.feed(message).await?;
        }
        return sink.flush().await;
    };
    sink.flush().await?;
    if messages.is_empty() {
        return Ok(());
    }
    let mut bytes = Vec::new();
    for message in messages {
        let frame = match message {
            Leg::Binary(bytes) => Frame::message(bytes, OpCode::Data(Data::Binary), true),
            message => Frame::message(message.into_data(), OpCode::Data(Data::Text), true),
        };
        frame.format(&mut bytes).map_err(axum::Error::new)?;
    }
    below.write(bytes).await.map_err(axum::Error::new)?;
    // Meanwhile a ping may have been answered.
    sink.flush().await
}

fn leg(message: Message) -> Leg {
    match message {
        Message::Binary(bytes) => Leg::Binary(bytes),
        text @ Message::Text(_) => Leg::Text(Packet::Message(text).encode().into()),
    }
}
