//! `POST /api/token`: a token for a program, a fresh one for whoever shows one, and any for whom a backend likes.

use std::net::SocketAddr;

use axum::{
    Extension, Json,
    body::Body,
    extract::{ConnectInfo, State},
    http::{HeaderMap, Uri, header},
    response::{IntoResponse, Response},
};
use common::{ErrorCode, Member, MemberName, Refusal};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    body::whole,
    identity::Visitor,
    mint, origin, pages,
    problem::{Document, Problem},
    rights::{Right, Rights},
    state::ServerState,
};

/// The longest body, in bytes: there is a name in it.
const BODY_BYTES: usize = 4 * 1024;

/// What the token is to say.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub(crate) struct Wanted {
    /// The name to go by.
    name: Option<String>,
    /// Whom it makes its bearer. This and what follows is for whoever may `manage` all rooms.
    sub: Option<String>,
    /// What it grants: `{"read": […], "write": […], "manage": […]}`, each a list of rooms, in which `*` stands for any
    /// characters.
    hubbub: Option<serde_json::Value>,
    /// For how many seconds: a day unless told, at most 180 of them.
    expires_in: Option<u64>,
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

/// Gives a token. Without one the bearer is somebody new, where everybody may come in; with one it stays who it is, for
/// another while, if nothing is granted by it. Whoever may `manage` all rooms is given one for whom and for what it likes.
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
    peer: Option<Extension<ConnectInfo<SocketAddr>>>,
    headers: HeaderMap,
    uri: Uri,
    body: Body,
) -> Result<Response, Problem> {
    let address = peer.map(|Extension(ConnectInfo(peer))| peer.ip().into());
    let body = whole(&server, address, body, BODY_BYTES).await?;
    origin::check(&headers, &server.config)?;
    server.rates.arrive(address)?;
    let wanted = read(&headers, &body)?;
    let known = server.visitor(&headers, &uri)?;
    let permit = server.permit(&headers, &uri)?;
    let name = wanted.name.as_deref().map(MemberName::parse).transpose()?;
    let visitor = match (&wanted.sub, &wanted.hubbub, wanted.expires_in) {
        (None, None, None) => {
            let visitor = known.unwrap_or_else(Visitor::guest);
            Visitor { name: name.or(visitor.name), ..visitor }
        }
        _ => {
            permit.check_everywhere(Right::Manage)?;
            let rights = wanted.hubbub.as_ref().map(Rights::read).transpose();
            let rights = rights.map_err(|error| Refusal::field("hubbub", error))?;
            mint::bearer(
                wanted.sub.as_deref(),
                name,
                rights.unwrap_or_default(),
                wanted.expires_in,
            )?
        }
    };
    let (token, expires) = mint::issue(&server.identity, &visitor)?;
    let given =
        Given { token, member: visitor.member(), expires_at: expires.saturating_mul(1_000) };
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
