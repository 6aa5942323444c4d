//! `GET /api/ice`: by what means the browser that asks finds a way to another one.

use app::page::Ice;
use axum::{
    Json,
    extract::State,
    http::{HeaderMap, Uri, header},
    response::{IntoResponse, Response},
};
use common::{ErrorCode, Refusal};

use crate::{
    clock::now_ms,
    ice,
    problem::{Document, Problem},
    rights::{Access, token_needed},
    state::ServerState,
};

/// Brings what `RTCPeerConnection` takes: servers, with what they ask for, as long as that is good. Only for somebody:
/// with a token, or the cookie of a page.
#[utoipa::path(
    get,
    path = "/api/ice",
    responses(
        (status = 200, body = serde_json::Value),
        (status = "default", body = Document, content_type = "application/problem+json; charset=utf-8"),
    )
)]
pub(crate) async fn give(
    State(server): State<ServerState>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    let caller = server.visitor(&headers, &uri)?;
    // Where a token is needed, one that grants nothing is none.
    let may = server.permit(&headers, &uri)?;
    if server.config.access == Access::Tokens && !may.is_granted_anything() {
        return Err(token_needed().into());
    }
    let caller = caller.ok_or_else(|| {
        let message = "this is for somebody; ask for a token (POST /api/token) and show it";
        Refusal::new(ErrorCode::InvalidToken, message)
    })?;
    let nothing = Ice { ice_servers: Vec::new(), expires_at: 0 };
    let ice = ice::of(&server.config, &caller.id, now_ms()).unwrap_or(nothing);
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(ice)).into_response())
}
