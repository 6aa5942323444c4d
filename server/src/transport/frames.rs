//! `/api/rooms/{room}/frames`: what crosses a WebSocket, for a client that can keep none open. GET brings what
//! there is to tell, or waits for it; POST takes one frame. With its `session` it is the same one each time.

use std::time::Duration;

use axum::{
    Json,
    body::Body,
    extract::{FromRequestParts, Request, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use common::{ClientFrame, Position, Refusal, ServerFrame, limits::FRAME_BYTES};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use tokio::time::timeout;
use utoipa::ToSchema;

use super::messages::{LIMIT, LONGEST_WAIT, WAITS, number};
use crate::{
    body::whole,
    caller::{Caller, query},
    problem::{Document, Problem},
    session::{Answer, Out, Session, Wants},
    state::ServerState,
    telemetry::Carrier,
};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Params {
    state: Option<String>,
    limit: Option<String>,
    wait: Option<String>,
}

/// What there is to tell.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Told {
    /// Where to read on: `epoch:offset`, to be sent back as `after`.
    #[schema(value_type = String)]
    position: Position,
    /// How far this has got with who is here, to be sent back as `state`.
    state: String,
    /// The frames, in order.
    #[schema(value_type = Vec<serde_json::Value>)]
    frames: Vec<Box<RawValue>>,
}

/// Brings the frames that there are, `hello` first; with the `state` of the answer before it goes on there,
/// and waits for news.
#[utoipa::path(
    get,
    path = "/api/rooms/{room}/frames",
    params(
        ("room" = String, Path, description = "1 to 64 characters"),
        ("after" = Option<String>, Query, description = "the `position` of the answer before"),
        ("state" = Option<String>, Query, description = "the `state` of the answer before"),
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 256, description = "of messages, default 100"),
        ("wait" = Option<u64>, Query, minimum = 0, maximum = 60, description = "seconds; after 50 it answers in any case"),
        ("session" = Option<String>, Query, description = "be this session again"),
        ("token" = Option<String>, Query, description = "who you are"),
        ("fields" = Option<String>, Query, description = "what is wanted of a message, besides its offset"),
    ),
    responses(
        (status = 200, body = Told),
        (status = "default", body = Document, content_type = "application/problem+json; charset=utf-8"),
    )
)]
pub(crate) async fn read(
    State(server): State<ServerState>,
    request: Request,
) -> Result<Response, Problem> {
    let (mut parts, _) = request.into_parts();
    let caller = Caller::from_request_parts(&mut parts, &server).await?;
    let Params { state, limit, wait } = query(&parts)?;
    let limit = number("limit", limit.as_deref(), 1..=256, LIMIT as u64)?;
    let wait = number("wait", wait.as_deref(), 0..=LONGEST_WAIT, 0)?;
    let wants = state.map_or(Wants::Everything, Wants::Since);
    let mut session =
        Session::enter(caller, wants).await?.over(Carrier::Poll).taking(limit as usize);
    let unreadable = |_| Problem::unreadable();
    let mut burst = session.ready().await.map_err(unreadable)?;
    if burst.is_empty() {
        let news = timeout(Duration::from_secs(wait).min(WAITS), session.next()).await;
        burst = news.unwrap_or(Ok(Vec::new())).map_err(unreadable)?;
    }
    let frames = burst.iter().filter_map(|out| frame(out, &session)).collect();
    let (position, state) = (session.position().clone(), session.state());
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(Told { position, state, frames }))
        .into_response())
}

/// The frame as it is, not read.
fn frame(out: &Out, session: &Session) -> Option<Box<RawValue>> {
    let shared = |bytes: &[u8]| RawValue::from_string(str::from_utf8(bytes).ok()?.to_owned()).ok();
    match out {
        Out::Message(record) => shared(&session.fields().frame(record, &session.position().epoch)),
        Out::State(state) => shared(state.frame.bytes()),
        Out::Frame(frame) => to_raw_value(frame).ok(),
        Out::Answer(_) => None,
    }
}

/// Takes one frame. Answers with the `ack` frame, or 204 where there is nothing to tell.
#[utoipa::path(
    post,
    path = "/api/rooms/{room}/frames",
    params(
        ("room" = String, Path, description = "1 to 64 characters"),
        ("session" = Option<String>, Query, description = "send it as this session"),
        ("token" = Option<String>, Query, description = "who you are"),
    ),
    request_body(content = serde_json::Value, content_type = "application/json"),
    responses(
        (status = 200, body = serde_json::Value, description = "the `ack` frame"),
        (status = 204, description = "nothing is to be told"),
        (status = "default", body = Document, content_type = "application/problem+json; charset=utf-8"),
    )
)]
pub(crate) async fn take(caller: Caller, body: Body) -> Result<Response, Problem> {
    let body = whole(&caller.server, caller.address, body, FRAME_BYTES).await?;
    let text = str::from_utf8(&body);
    let text = text.map_err(|_| Refusal::field("body", "the body is not UTF-8"))?;
    let mut session = Session::enter(caller, Wants::Answers).await?;
    session.take(ClientFrame::parse(text), text.len(), None);
    match session.answer().await {
        None | Some(Answer { frame: None, .. }) => Ok(StatusCode::NO_CONTENT.into_response()),
        Some(Answer { frame: Some(ServerFrame::Error(refusal)), .. }) => Err(refusal.into()),
        Some(Answer { frame: Some(answer), .. }) => {
            let json = HeaderValue::from_static("application/json");
            Ok(([(header::CONTENT_TYPE, json)], answer.encode()).into_response())
        }
    }
}
