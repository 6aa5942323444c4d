//! All addresses under `/api`: the transports over HTTP, and what else programs ask for; with their
//! description.

mod ice;
mod rooms;
mod token;

use std::time::Duration;

use axum::{
    Json, Router,
    http::{HeaderName, HeaderValue, Method, header},
    routing::{get, post},
};
use tower_http::cors::{AllowOrigin, CorsLayer};
use utoipa::OpenApi;

use crate::{
    config::Config,
    meter,
    state::ServerState,
    transport::{events, frames, messages, publish},
};

/// All addresses under `/api`.
pub(crate) fn routes() -> Router<ServerState> {
    Router::new()
        .route("/api/rooms", get(rooms::list))
        .route("/api/rooms/{room}/members", get(rooms::members))
        .route("/api/rooms/{room}/messages", get(messages::read).post(publish::publish))
        .route("/api/rooms/{room}/events", get(events::stream))
        .route("/api/rooms/{room}/frames", get(frames::read).post(frames::take))
        .route("/api/token", post(token::give))
        .route("/api/ice", get(ice::give))
        .route("/api/lab/{lab}", get(meter::tell))
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
        frames::read,
        frames::take,
        token::give,
        ice::give,
        meter::tell,
    )
)]
struct Description;

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
