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

use super::{
    outbox::Outbox,
    packet::{Message, Packet},
    session::{CloseReason, Session, Upgrading},
    socket::Below,
};

/// How long a client gets to answer the close frame.
const CLOSING: Duration = Duration::from_secs(1);

/// How many messages are written between two looks at the heartbeat.
const BURST: usize = 64;

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
    below: Option<Below>,
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
    loop {
        if session.take_ping() {
            let ping = Leg::Text(Packet::Ping(String::new()).encode().into());
            if sink.feed(ping).await.is_err() {
                return CloseReason::TransportError;
            }
        }
        if session.is_ending() {
            outbox.close();
        }
        // What was written past this may be written in part.
        if sink.flush().await.is_err() {
            return CloseReason::TransportError;
        }
        session.wait_for(&outbox);
        tokio::select! {
            message = outbox.next() => {
                let Some(message) = message else { return CloseReason::ServerClosed };
                if feed_some(sink, message, &mut outbox).await.is_err() {
                    return CloseReason::TransportError;
                }
            }
            () = session.wake.notified() => {}
        }
    }
}

/// Takes a message and what else is there, to be written in as few system calls as it takes. Not without end: a
/// ping may be due.
async fn feed_some(
    sink: &mut SplitSink<WebSocket, Leg>,
    message: Message,
    outbox: &mut Outbox,
) -> Result<(), axum::Error> {
    sink.feed(leg(message)).await?;
    for _ in 1..BURST {
        match outbox.next_now() {
            Some(message) => sink.feed(leg(message)).await?,
            None => break,
        }
    }
    Ok(())
}

fn leg(message: Message) -> Leg {
    match message {
        Message::Binary(bytes) => Leg::Binary(bytes),
        text @ Message::Text(_) => Leg::Text(Packet::Message(text).encode().into()),
    }
}
