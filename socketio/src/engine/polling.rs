//! HTTP long-polling: a GET fetches packets and waits for them, a POST brings some.
//!
//! Start at [`poll`] and [`post`]. The rule to keep: a request that ends before its answer does ends
//! the session, for nobody knows what of it has arrived; both guards below see to it.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::StreamExt;
use tokio::{
    task::yield_now,
    time::{Instant, sleep_until, timeout},
};

use super::{
    outbox::Outbox,
    packet::{Message, Packet, decode_payload, encode_payload},
    refusal::Refusal,
    session::{CloseReason, Session, Transport, Upgrading},
};

/// How long a poll waits while a WebSocket is about to take over. The reference looks every so often
/// too; ending polls at once would make a client ask in a loop until it has read the probe's answer.
const PROBED_POLL: Duration = Duration::from_millis(100);

/// The most packets of an answer: python-engineio closes on a payload with more
/// (`Payload.max_decode_packets`).
const PACKETS: usize = 16;

/// How long a client's close waits for the poll that is on its way beside it, on another connection,
/// so that this is answered and not refused.
const CROSSING: Duration = Duration::from_millis(50);

/// An answer with packets.
pub(super) fn packets(packets: &[Packet]) -> Response {
    text("text/plain; charset=UTF-8", encode_payload(packets))
}

fn text(kind: &'static str, body: impl Into<Body>) -> Response {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "no-store")], body.into())
        .into_response()
}

/// The outbox, while one GET has it.
struct Lease {
    session: Arc<Session>,
    outbox: Option<Outbox>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.outbox.is_some() {
            self.session.close(CloseReason::TransportError);
        }
    }
}

/// `GET`: waits for packets.
pub(super) async fn poll(session: Arc<Session>, max_payload: usize) -> Response {
    let Some(outbox) = session.take_outbox() else {
        // Another poll waits, or the session has moved or closed since it was looked up.
        if session.transport() == Transport::Polling {
            session.close(CloseReason::TransportError);
        }
        return Refusal::BadRequest.into_response();
    };
    session.heard();
    let mut lease = Lease { session: Arc::clone(&session), outbox: Some(outbox) };
    let fetched = match &mut lease.outbox {
        Some(outbox) => fetch(&session, outbox, max_payload).await,
        None => Err(CloseReason::TransportError),
    };
    if let Some(outbox) = lease.outbox.take() {
        session.return_outbox(outbox);
    }
    match fetched {
        Ok(fetched) => packets(&fetched),
        Err(reason) => {
            session.close(reason);
            match session.close_reason() {
                // The client has asked for it, and is not told again.
                Some(CloseReason::ClientClosed) => packets(&[Packet::Noop]),
                _ => packets(&[Packet::Close]),
            }
        }
    }
}

/// Packets, at least one; or why there will be none any more.
async fn fetch(
    session: &Session,
    outbox: &mut Outbox,
    max_payload: usize,
) -> Result<Vec<Packet>, CloseReason> {
    let probed_until = Instant::now() + PROBED_POLL;
    let mut answer = Answer { packets: Vec::new(), size: 0 };
    loop {
        if session.transport() != Transport::Polling {
            return Ok(vec![Packet::Noop]);
        }
        if session.take_ping() {
            answer.packets.push(Packet::Ping(String::new()));
        }
        if session.is_ending() {
            outbox.close();
        }
        while answer.has_room(max_payload) {
            match outbox.next_now() {
                Some(message) => answer.push(message),
                None => break,
            }
        }
        if !answer.packets.is_empty() {
            return Ok(answer.packets);
        }
        let probed = session.upgrading() == Upgrading::Probed;
        tokio::select! {
            reason = session.closed() => return Err(reason),
            () = session.wake.notified() => {}
            message = outbox.next() => {
                let message = message.ok_or(CloseReason::ServerClosed)?;
                answer.push(message);
                // What an application says in one go is to arrive in one answer.
                yield_now().await;
            }
            () = sleep_until(probed_until.max(Instant::now())), if probed => {
                return Ok(vec![Packet::Noop]);
            }
        }
    }
}

struct Answer {
    packets: Vec<Packet>,
    size: usize,
}

impl Answer {
    fn has_room(&self, max_payload: usize) -> bool {
        self.packets.len() < PACKETS && self.size < max_payload
    }

    fn push(&mut self, message: Message) {
        self.size += message.size();
        self.packets.push(Packet::Message(message));
    }
}

/// One POST under way.
struct Posting {
    session: Arc<Session>,
    /// What the session is closed with, unless the POST comes to its end.
    otherwise: Option<CloseReason>,
}

impl Drop for Posting {
    fn drop(&mut self) {
        self.session.end_post();
        if let Some(reason) = self.otherwise {
            self.session.close(reason);
        }
    }
}

/// `POST`: takes packets. Waits while the application has enough to hear.
pub(super) async fn post(
    session: Arc<Session>,
    headers: &HeaderMap,
    body: Body,
    max_payload: usize,
) -> Response {
    if !session.begin_post() {
        session.close(CloseReason::TransportError);
        return Refusal::BadRequest.into_response();
    }
    let mut posting =
        Posting { session: Arc::clone(&session), otherwise: Some(CloseReason::TransportError) };
    // The protocol before this one had binary payloads.
    let kind = headers.get(header::CONTENT_TYPE);
    if kind.is_some_and(|kind| kind == "application/octet-stream") {
        return Refusal::BadRequest.into_response();
    }
    let taken = tokio::select! {
        taken = take(&session, headers, body, max_payload) => taken,
        reason = session.closed() => Err(Untaken::End(reason)),
    };
    match taken {
        Ok(()) => {
            posting.otherwise = None;
            text("text/html", "ok")
        }
        // The client has said what it wanted; that is no mistake.
        Err(Untaken::End(CloseReason::ClientClosed)) => {
            posting.otherwise = Some(CloseReason::ClientClosed);
            let _ = timeout(CROSSING, session.await_poll()).await;
            text("text/html", "ok")
        }
        // The reference lets the session live on, so that a client can try a smaller one.
        Err(Untaken::TooBig) => {
            posting.otherwise = None;
            StatusCode::PAYLOAD_TOO_LARGE.into_response()
        }
        Err(Untaken::End(reason)) => {
            posting.otherwise = Some(reason);
            Refusal::BadRequest.into_response()
        }
    }
}

/// Why a POST was not taken.
enum Untaken {
    TooBig,
    End(CloseReason),
}

async fn take(
    session: &Session,
    headers: &HeaderMap,
    body: Body,
    max_payload: usize,
) -> Result<(), Untaken> {
    let payload = read(headers, body, max_payload).await?;
    let payload = String::from_utf8(payload).map_err(|_| Untaken::End(CloseReason::ParseError))?;
    for packet in decode_payload(&payload) {
        let packet = packet.map_err(|error| {
            tracing::debug!(%error, "no payload");
            Untaken::End(CloseReason::ParseError)
        })?;
        session.receive(packet).await.map_err(Untaken::End)?;
    }
    Ok(())
}

async fn read(headers: &HeaderMap, body: Body, max_payload: usize) -> Result<Vec<u8>, Untaken> {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    let length = length.and_then(|length| length.parse().ok()).unwrap_or(0_usize);
    if length > max_payload {
        return Err(Untaken::TooBig);
    }
    let mut payload = Vec::new();
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Untaken::End(CloseReason::TransportError))?;
        if payload.len() + chunk.len() > max_payload {
            return Err(Untaken::TooBig);
        }
        payload.extend_from_slice(&chunk);
    }
    Ok(payload)
}
