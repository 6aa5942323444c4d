//! All addresses under `/api`: the transports over HTTP, and what else programs ask for; with their
//! description.

mod ice;
mod manage;
mod rooms;
mod token;
mod watch;

use std::time::Duration;

use axum::{
    Json, Router,
    http::{HeaderName, HeaderValue, Method, header},
    routing::{delete, get, post, put},
};
use common::limits::NAME_CHARS;
use serde_json::{Value, json};
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
        .route(
            "/api/rooms/{room}/messages",
            get(messages::read).post(publish::publish).delete(manage::clear),
        )
        .route("/api/rooms/{room}/events", get(events::stream))
        .route("/api/rooms/{room}/frames", get(frames::read).post(frames::take))
        .route("/api/rooms/{room}/messages/{offset}", delete(manage::take_back))
        .route("/api/rooms/{room}/connections", get(watch::connections_in_room))
        .route("/api/connections", get(watch::connections))
        .route("/api/refusals", get(watch::refusals))
        .route("/api/rooms/{room}/settings", get(manage::settings).put(manage::set))
        .route("/api/rooms/{room}/out", get(manage::out_of_room))
        .route(
            "/api/rooms/{room}/out/{member}",
            put(manage::put_out_of_room).delete(manage::let_into_room),
        )
        .route("/api/out", get(manage::out))
        .route("/api/out/{member}", put(manage::put_out_of_all).delete(manage::let_into_all))
        .route("/api/token", post(token::give))
        .route("/api/ice", get(ice::give))
        .route("/api/lab/{lab}", get(meter::tell))
        .route("/api/openapi.json", get(async || Json(description())))
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
        watch::connections_in_room,
        watch::connections,
        watch::refusals,
        manage::settings,
        manage::set,
        manage::out_of_room,
        manage::put_out_of_room,
        manage::let_into_room,
        manage::out,
        manage::put_out_of_all,
        manage::let_into_all,
        manage::take_back,
        manage::clear,
        token::give,
        ice::give,
        meter::tell,
    )
)]
struct Description;

/// The same with what holds for all of it: how one shows who one is, what a room's name and a value can be.
fn description() -> Value {
    let mut all = serde_json::to_value(Description::openapi()).unwrap_or_default();
    all["components"]["securitySchemes"] = json!({
        "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
        "query": {"type": "apiKey", "in": "query", "name": "token"},
        "cookie": {"type": "apiKey", "in": "cookie", "name": "hubbub"},
    });
    if !app::base::base().is_empty() {
        all["servers"] = json!([{"url": app::base::base()}]);
    }
    // Any of them, or none where everybody may come in.
    all["security"] = json!([{}, {"bearer": []}, {"query": []}, {"cookie": []}]);
    for schema in ["Message", "Publish"] {
        all["components"]["schemas"][schema]["properties"]["value"]["type"] =
            json!(["string", "number", "boolean", "object", "array"]);
    }
    let paths = all["paths"].as_object_mut().into_iter().flat_map(|paths| paths.values_mut());
    let operations = paths.filter_map(Value::as_object_mut).flat_map(|path| path.values_mut());
    let parameters =
        operations.filter_map(|one| one.get_mut("parameters")?.as_array_mut()).flatten();
    for room in parameters.filter(|one| one["name"] == "room") {
        room["schema"] = json!({
            "type": "string", "minLength": 1, "maxLength": NAME_CHARS, "pattern": "^[^/\\x00-\\x1f\\x7f]+$",
        });
    }
    all
}

/// Lets pages of the allowed origins read the answers ([Fetch](https://fetch.spec.whatwg.org/#http-cors-protocol)).
pub(crate) fn cors(config: &Config) -> CorsLayer {
    let origins = config.allow_origins.iter();
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(
            origins.filter_map(|origin| HeaderValue::from_str(origin).ok()),
        ))
        .allow_credentials(true)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
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
