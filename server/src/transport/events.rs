//! `GET /api/rooms/{room}/events`: Server-Sent Events
//! ([HTML](https://html.spec.whatwg.org/multipage/server-sent-events.html)).
//!
//! An event is `id:` the position, `event:` the type of the frame, `data:` the frame. What a reader
//! takes at once is written at once.

use std::{convert::Infallible, fmt::Write as _};

use axum::{
    body::Body,
    extract::State,
    http::{HeaderValue, Method, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use common::{ErrorCode, Offset, Refusal, ServerFrame};
use futures_util::stream;

use crate::{
    caller::Caller,
    problem::{Document, Problem},
    session::{Out, Session, Wants},
    state::ServerState,
};

/// The face of a frame that is an event already.
const FACE: usize = 0;
/// How long a browser waits before it connects again, in milliseconds, unless `bye` said otherwise.
const RETRY_MS: u64 = 1_000;

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
    method: Method,
    caller: Caller,
) -> Result<Response, Problem> {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform")),
        // nginx holds answers back unless it is told not to.
        (header::HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    if *server.stopping.borrow() {
        return Err(Refusal::new(ErrorCode::ShuttingDown, "the server is stopping").into());
    }
    if method == Method::HEAD {
        return Ok(headers.into_response());
    }
    let session = Session::enter(caller, Wants::Everything).await?;
    let body = Body::from_stream(stream::unfold(session, async |mut session| {
        // A browser whose stream ends comes back with its position.
        let burst = session.next().await.ok()?;
        Some((Ok::<_, Infallible>(write(&session, burst)), session))
    }));
    Ok((headers, body).into_response())
}

fn write(session: &Session, burst: Vec<Out>) -> Bytes {
    let mut text = Vec::new();
    for out in burst {
        match out {
            Out::Message(record) => {
                let position = (session.position().epoch.as_str(), record.offset);
                let event = |frame: &Bytes| event(Some(position), "message", frame);
                text.extend_from_slice(&record.frame.face(FACE, event));
            }
            Out::State(state) => {
                let event = |frame: &Bytes| event(None, state.kind.word(), frame);
                text.extend_from_slice(&state.frame.face(FACE, event));
            }
            Out::Frame(frame) => {
                let position = match &frame {
                    ServerFrame::Hello(hello) => {
                        text.extend_from_slice(format!("retry: {RETRY_MS}\n").as_bytes());
                        Some((hello.position.epoch.as_str(), hello.position.offset))
                    }
                    ServerFrame::Bye(bye) => {
                        text.extend_from_slice(
                            format!("retry: {}\n", bye.reconnect_in_ms).as_bytes(),
                        );
                        None
                    }
                    _ => None,
                };
                text.extend_from_slice(&event(position, frame.kind(), frame.encode().as_bytes()));
            }
            // What is said comes by POST, and is answered there.
            Out::Answer(_) => {}
        }
    }
    text.into()
}

/// JSON has no line breaks outside its strings, and escapes them inside: a frame is one line.
fn event(position: Option<(&str, Offset)>, event: &str, frame: &[u8]) -> Bytes {
    let mut text = String::with_capacity(frame.len() + 64);
    // Writing to a string does not fail.
    if let Some((epoch, offset)) = position {
        let _ = writeln!(text, "id: {epoch}:{offset}");
    }
    let _ = write!(text, "event: {event}\ndata: {}\n\n", String::from_utf8_lossy(frame));
    text.into()
}
