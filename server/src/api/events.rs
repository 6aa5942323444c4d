//! `GET /api/rooms/{room}/events`: Server-Sent Events
//! ([HTML](https://html.spec.whatwg.org/multipage/server-sent-events.html)).
//!
//! An event is `id:` the position, `event:` the type of the frame, `data:` the frame. What a reader
//! takes at once is written at once.

use std::{convert::Infallible, fmt::Write as _};

use axum::{
    body::Body,
    extract::{FromRequestParts, Request, State},
    http::{HeaderValue, Method, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use common::{After, Epoch, ErrorCode, Offset, Position, Recovery, Refusal, ServerFrame};
use futures_util::stream;
use hub::{Delivery, Reader};
use serde::Deserialize;
use tokio::{
    sync::watch,
    time::{Interval, MissedTickBehavior, interval_at},
};

use super::caller::{Caller, query};
use crate::{
    problem::{Document, Problem},
    seat::Seat,
    state::ServerState,
};

/// How long a browser waits before it connects again, in milliseconds, unless `bye` said otherwise.
const RETRY_MS: u64 = 1_000;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Params {
    after: Option<String>,
}

/// Streams a room as Server-Sent Events: `id` is the position, `event` the type of the frame, `data` the
/// frame.
#[utoipa::path(
    get,
    path = "/api/rooms/{room}/events",
    params(
        ("room" = String, Path, description = "1 to 64 characters"),
        ("after" = Option<String>, Query, description = "`0`, or `epoch:offset`: what is behind it"),
        ("Last-Event-ID" = Option<String>, Header, description = "goes before `after`"),
        ("session" = Option<String>, Query, description = "be this session again"),
        ("token" = Option<String>, Query, description = "who you are"),
    ),
    responses(
        (status = 200, body = String, content_type = "text/event-stream"),
        (status = "default", body = Document, content_type = "application/problem+json; charset=utf-8"),
    )
)]
pub(crate) async fn stream(
    State(server): State<ServerState>,
    request: Request,
) -> Result<Response, Problem> {
    let (mut parts, _) = request.into_parts();
    let caller = Caller::from_request_parts(&mut parts, &server).await?;
    let stopping = server.stopping.subscribe();
    if *stopping.borrow() {
        return Err(Refusal::new(ErrorCode::ShuttingDown, "the server is stopping").into());
    }
    // A browser that reconnects still has the address of the first time; what it has read since is
    // in the header.
    let last = parts.headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let asked = query::<Params>(&parts)?.0.after;
    let after = last.filter(|last| !last.is_empty()).or(asked.as_deref());
    let after = after.map_or(Ok(After::Now), str::parse)?;

    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform")),
        // nginx holds answers back unless it is told not to.
        (header::HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    if parts.method == Method::HEAD {
        return Ok(headers.into_response());
    }
    caller.check_arrival(&server)?;
    let seat = Seat::take(&server, &caller.room, caller.author)?;
    let (reader, recovery) = seat.read(&after, true).await?;
    let mut first = format!("retry: {RETRY_MS}\n");
    let position = reader.position();
    write_event(&mut first, Some(&position), "hello", &seat.hello(position.clone(), recovery));
    let period = server.config.timing.ping_interval;
    let mut beat = interval_at(tokio::time::Instant::now() + period, period);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let epoch = position.epoch;
    let events = Events { first: Some(first), seat, reader, epoch, stopping, beat, ended: false };
    let body = Body::from_stream(stream::unfold(events, async |mut events| {
        let text = events.next().await?;
        Some((Ok::<_, Infallible>(Bytes::from(text)), events))
    }));
    Ok((headers, body).into_response())
}

/// One stream of events.
struct Events {
    first: Option<String>,
    seat: Seat,
    reader: Reader,
    epoch: Epoch,
    stopping: watch::Receiver<bool>,
    beat: Interval,
    ended: bool,
}

impl Events {
    /// What to write next; `None` at the end.
    async fn next(&mut self) -> Option<String> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        if self.ended {
            return None;
        }
        tokio::select! {
            delivery = self.reader.next() => match delivery {
                Ok(delivery) => Some(self.write(delivery)),
                // The browser comes back with its position.
                Err(_) => None,
            },
            _ = self.beat.tick() => {
                // A page does not see comments; presence tells it that the line is alive.
                self.reader.repeat_state();
                Some(":\n\n".to_owned())
            }
            _ = self.stopping.changed() => {
                self.ended = true;
                let bye = self.seat.server.bye();
                let mut text = format!("retry: {}\n", bye.reconnect_in_ms);
                write_event(&mut text, None, "bye", &ServerFrame::Bye(bye));
                Some(text)
            }
        }
    }

    fn write(&self, delivery: Delivery) -> String {
        let mut text = String::new();
        if let Some(position) = delivery.reset {
            let hello = self.seat.hello(position.clone(), Recovery::Reset);
            write_event(&mut text, Some(&position), "hello", &hello);
        }
        for message in delivery.messages {
            write_frame(&mut text, Some((&self.epoch, message.offset)), "message", &message.frame);
        }
        for (event, frame) in [("members", delivery.members), ("typing", delivery.typing)] {
            if let Some(frame) = frame {
                write_frame(&mut text, None, event, &frame);
            }
        }
        text
    }
}

fn write_event(text: &mut String, id: Option<&Position>, event: &str, frame: &ServerFrame) {
    let id = id.map(|position| (&position.epoch, position.offset));
    write_frame(text, id, event, frame.encode().as_bytes());
}

/// JSON has no line breaks outside its strings, and escapes them inside: a frame is one line.
fn write_frame(text: &mut String, id: Option<(&Epoch, Offset)>, event: &str, frame: &[u8]) {
    // Writing to a string does not fail.
    if let Some((epoch, offset)) = id {
        let _ = writeln!(text, "id: {epoch}:{offset}");
    }
    let _ = write!(text, "event: {event}\ndata: {}\n\n", String::from_utf8_lossy(frame));
}
