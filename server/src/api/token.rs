//! `POST /api/token`: a token for a program, or a fresh one for whoever shows one.

use std::net::SocketAddr;

use axum::{
    Json,
    body::Body,
    extract::{ConnectInfo, State},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use common::{ErrorCode, Member, MemberName, Refusal};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    body::whole,
    identity::Visitor,
    origin, pages,
    problem::{Document, Problem},
    state::ServerState,
};

/// The longest body, in bytes: there is a name in it.
const BODY_BYTES: usize = 4 * 1024;

/// What the token is to say.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub(crate) struct Wanted {
    /// The name to go by.
    name: Option<String>,
}

/// A token, and what it says.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Given {
    /// To be sent as `Authorization: Bearer …`, or as `?token=`.
    token: String,
    /// Who it makes its bearer.
    member: Member,
    /// When it stops being good: milliseconds since 1970, UTC.
    expires_at: u64,
}

/// Gives a token. Without one the bearer is somebody new; with one it stays who it is, for another
/// while.
#[utoipa::path(
    post,
    path = "/api/token",
    request_body(content((Wanted = "application/json"), (Wanted = "application/x-www-form-urlencoded"))),
    responses(
        (status = 200, body = Given),
        (status = "default", body = Document, content_type = "application/problem+json; charset=utf-8"),
    )
)]
pub(crate) async fn give(
    State(server): State<ServerState>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let body = whole(&server, Some(peer.ip().into()), body, BODY_BYTES).await?;
    origin::check(&headers, &server.config.allow_origins)?;
    server.rates.arrive(Some(peer.ip().into()))?;
    let wanted = read(&headers, &body)?;
    let known = server.identity.caller(&headers, None)?;
    let mut visitor = known.unwrap_or_else(Visitor::guest);
    if let Some(name) = wanted.name {
        visitor.name = Some(MemberName::parse(&name)?);
    }
    let (token, expires) = server.identity.token(&visitor);
    let given = Given { token, member: visitor.member(), expires_at: expires * 1_000 };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(given)).into_response())
}

/// JSON, a form, or nothing.
fn read(headers: &HeaderMap, body: &[u8]) -> Result<Wanted, Refusal> {
    let kind = headers.get(header::CONTENT_TYPE).map_or(&b""[..], |kind| kind.as_bytes());
    if body.is_empty() {
        Ok(Wanted::default())
    } else if kind.starts_with(b"application/x-www-form-urlencoded") {
        pages::form(body)
    } else if kind.starts_with(b"application/json") {
        serde_json::from_slice(body)
            .map_err(|error| Refusal::new(ErrorCode::InvalidJson, format!("not as asked: {error}")))
    } else {
        let message = "the body is neither application/json nor application/x-www-form-urlencoded";
        Err(Refusal::new(ErrorCode::UnsupportedMediaType, message))
    }
}
