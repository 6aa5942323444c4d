//! `GET /api/rooms/{room}/events`: Server-Sent Events
//! ([HTML](https://html.spec.whatwg.org/multipage/server-sent-events.html)).
//!
//! An event is `id:` the position, `event:` the type of the frame, `data:` the frame. What a reader
//! takes at once is written at once.

use std::{convert::Infallible, fmt::Write as _, sync::Arc};

use axum::{
    Extension,
    body::Body,
    extract::State,
    http::{HeaderValue, Method, Version, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use common::{Epoch, ErrorCode, Offset, Refusal, ServerFrame};
use futures_util::stream;
use hub::{Burst, Outlet, Pushed, Record};

use crate::{
    caller::Caller,
    fields::Fields,
    lasting::{Lasting, chunk},
    problem::{Document, Problem},
    session::{Out, Session, Wants},
    state::ServerState,
    telemetry::Carrier,
    wire::Wire,
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
        ("fields" = Option<String>, Query, description = "what is wanted of a message, besides its offset"),
    ),
    responses(
        (status = 200, body = String, content_type = "text/event-stream"),
        (status = "default", body = Document, content_type = "application/problem+json; charset=utf-8"),
    )
)]
pub(crate) async fn stream(
    State(server): State<ServerState>,
    method: Method,
    version: Version,
    wire: Option<Extension<Arc<Wire>>>,
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
    let mut session = Session::enter(caller, Wants::Everything).await?.over(Carrier::Events);
    // There is none over HTTP/2, which has no chunks, and in tests without a socket. Older clients get no chunks.
    let wire = wire.map(|Extension(wire)| wire).filter(|_| version == Version::HTTP_11);
    let is_chunked = wire.is_some();
    if let Some(wire) = wire {
        let chunks = Chunks { wire, fields: session.fields() };
        session = session.pushing_to(Arc::new(chunks));
    }
    let body = Body::from_stream(stream::unfold(session, async |mut session| {
        // A browser whose stream ends comes back with its position.
        let burst = session.next().await.ok()?;
        let text = write(&session, burst);
        Some((Ok::<_, Infallible>(text), session))
    }));
    let mut response = (headers, body).into_response();
    if is_chunked {
        response.extensions_mut().insert(Lasting);
    }
    Ok(response)
}

/// Where messages are pushed to: each burst a chunk of the answer (RFC 9112 section 7.1).
struct Chunks {
    wire: Arc<Wire>,
    fields: Fields,
}

impl Outlet for Chunks {
    fn push(&self, burst: &Burst<'_>) -> Pushed {
        self.wire.push(&burst.face(self.fields.face(FACE), |burst| {
            let message = |record| message(burst.epoch, record, self.fields);
            let events = burst.records.iter().map(|record| message(record));
            chunk(&events.collect::<Vec<_>>().concat()).into()
        }))
    }
}

fn message(epoch: &Epoch, record: &Record, fields: Fields) -> Bytes {
    let event = |frame: &Bytes| event(Some((epoch.as_str(), record.offset)), "message", frame);
    match fields.are_all() {
        true => record.frame.face(FACE, event),
        false => event(&fields.frame(record, epoch)),
    }
}

fn write(session: &Session, burst: Vec<Out>) -> Bytes {
    let mut text = Vec::new();
    for out in burst {
        match out {
            Out::Message(record) => {
                let epoch = &session.position().epoch;
                text.extend_from_slice(&message(epoch, &record, session.fields()));
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
