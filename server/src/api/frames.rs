//! `POST /api/rooms/{room}/frames`: what a client would send over a WebSocket, for one that reads by
//! another road. With its `session` it is the same one.

use axum::{
    body::Body,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use common::{Refusal, ServerFrame, limits::FRAME_BYTES};

use super::{caller::Caller, whole};
use crate::{
    problem::{Document, Problem},
    seat::{Outcome, Seat},
    state::ServerState,
};

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
pub(crate) async fn take(
    State(server): State<ServerState>,
    caller: Caller,
    body: Body,
) -> Result<Response, Problem> {
    let body = whole(body, FRAME_BYTES).await?;
    let text = str::from_utf8(&body);
    let text = text.map_err(|_| Refusal::field("body", "the body is not UTF-8"))?;
    let Caller { room, author, sender, .. } = caller;
    let mut seat = Seat::take_as(&server, &room, author, sender)?;
    let answer = match seat.handle(text) {
        Outcome::Done => return Ok(StatusCode::NO_CONTENT.into_response()),
        Outcome::Answer(answer) => answer,
        Outcome::Keeping(answer) => answer.await,
    };
    match answer {
        ServerFrame::Error(refusal) => Err(refusal.into()),
        answer => {
            let json = HeaderValue::from_static("application/json");
            Ok(([(header::CONTENT_TYPE, json)], answer.encode()).into_response())
        }
    }
}
