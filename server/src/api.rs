//! The room over HTTP: polling, long polling, Server-Sent Events, and publishing; one file a road.
//!
//! Start at [`routes`]. The rule to keep: whoever reads here is a reader as any other, and what is
//! sent here goes the way of any other frame.

mod caller;
mod events;
mod frames;
mod messages;
mod publish;
mod rooms;
mod token;

use std::time::Duration;

use axum::{
    Json, Router,
    body::{Body, Bytes, to_bytes},
    http::{HeaderName, HeaderValue, Method, header},
    routing::{get, post},
};
use common::Refusal;
use tower_http::cors::{AllowOrigin, CorsLayer};
use utoipa::OpenApi;

use crate::{config::Config, state::ServerState};

/// All addresses under `/api`.
pub(crate) fn routes() -> Router<ServerState> {
    Router::new()
        .route("/api/rooms", get(rooms::list))
        .route("/api/rooms/{room}/members", get(rooms::members))
        .route("/api/rooms/{room}/messages", get(messages::read).post(publish::publish))
        .route("/api/rooms/{room}/events", get(events::stream))
        .route("/api/rooms/{room}/frames", post(frames::take))
        .route("/api/token", post(token::give))
        .route("/api/openapi.json", get(async || Json(Description::openapi())))
}

/// The description of all of it ([OpenAPI 3.1](https://spec.openapis.org/oas/v3.1.0)), made from the
/// handlers.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Hubbub",
        description = "Real-time rooms over HTTP. docs/protocol.md has the rest."
    ),
    paths(
        rooms::list,
        rooms::members,
        messages::read,
        publish::publish,
        events::stream,
        frames::take,
        token::give,
    )
)]
struct Description;

/// A whole body of at most `limit` bytes.
async fn whole(body: Body, limit: usize) -> Result<Bytes, Refusal> {
    // What else can go wrong is that the client is gone, and then nobody reads the answer.
    to_bytes(body, limit).await.map_err(|_| Refusal::too_long("body", limit, "bytes"))
}

/// Lets pages of the allowed origins read the answers ([Fetch](https://fetch.spec.whatwg.org/#http-cors-protocol)).
pub(crate) fn cors(config: &Config) -> CorsLayer {
    let origins = config.allow_origins.iter();
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(
            origins.filter_map(|origin| HeaderValue::from_str(origin).ok()),
        ))
        .allow_credentials(true)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_NONE_MATCH,
            HeaderName::from_static("idempotency-key"),
            HeaderName::from_static("last-event-id"),
        ])
        // What is answered also depends on who asks.
        .vary([header::ORIGIN, header::COOKIE, header::AUTHORIZATION])
        .expose_headers([header::ETAG])
        .max_age(Duration::from_secs(600))
}
