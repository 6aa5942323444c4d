//! Every address of the server, in one table.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    body::HttpBody,
    extract::{ConnectInfo, Request, State},
    http::{HeaderName, HeaderValue, StatusCode, Uri, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{any, get, post},
};
use common::{ErrorCode, Refusal};
use socketio::Below;

use crate::{
    address::Address,
    api,
    body::holding,
    host, meter, pages,
    problem::Problem,
    qr,
    rights::nothing_here,
    site,
    state::ServerState,
    telemetry::{self, traces},
    transport::{socket_io, websocket},
    wire::Wire,
};

/// Where stock Socket.IO clients connect.
const SOCKET_IO: &str = "/socket.io/";

/// The router, for [`crate::Server`].
pub(crate) fn router(server: ServerState) -> Router {
    // Leptos renders on this runtime; a second server in one process finds it done.
    let _ = any_spawner::Executor::init_tokio();
    // An OPTIONS that asks whether a page may is answered before it is the wrong method.
    let api =
        api::routes().method_not_allowed_fallback(wrong_method).layer(api::cors(&server.config));
    let engine = socket_io::engine(&server);
    let socket_io = Router::new()
        .route(
            SOCKET_IO,
            any(async move |mut request: Request| {
                if let Some(wire) = request.extensions().get::<Arc<Wire>>().cloned() {
                    request.extensions_mut().insert::<Arc<dyn Below>>(wire);
                }
                engine.handle(request).await
            }),
        )
        .layer(api::cors(&server.config));
    let base = server.config.base_path.clone();
    app::base::set(&base);
    let site = Router::new()
        .route("/", get(pages::home))
        .route("/rooms", get(pages::open_room))
        .route("/rooms/{room}", get(pages::room))
        .route("/rooms/{room}/qr.svg", get(qr::of_room))
        .route("/lab", get(pages::lab))
        .route("/admin", get(pages::admin))
        .route("/settings", post(pages::settings))
        .merge(api)
        .layer(middleware::from_fn_with_state(server.clone(), bound))
        .route("/ws", any(websocket::open))
        .merge(socket_io)
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(telemetry::ready))
        .route("/metrics", get(telemetry::metrics))
        .fallback(site_or_nothing)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn(refuse_other_upgrades))
        .layer(middleware::from_fn_with_state(server.clone(), count))
        .layer(middleware::from_fn_with_state(server.clone(), host::check))
        .layer(middleware::map_response(harden))
        .layer(middleware::from_fn_with_state(server.clone(), meter::measure));
    let site = match server.telemetry.traces.is_on() {
        true => site.layer(middleware::from_fn_with_state(server.clone(), traces::trace)),
        false => site,
    };
    let site = site.with_state(server);
    match base.as_str() {
        "" => site,
        // A proxy may leave it out, or not.
        base => site.clone().nest_service(base, site),
    }
}

/// A short answer is not counted; it costs no more than its connection.
const SHORT_BYTES: u64 = 8 * 1024;

/// Holds what is answered against what may be unread.
async fn bound(State(server): State<ServerState>, request: Request, next: Next) -> Response {
    let address = address(&request);
    let response = next.run(request).await;
    let bytes = response.body().size_hint().exact().unwrap_or_default();
    if bytes <= SHORT_BYTES {
        return response;
    }
    match server.in_flight.take_some(address, bytes.div_ceil(1024) as usize) {
        Ok(place) => holding(response, place),
        Err(full) => Problem(full.too_much_under_way()).into_response(),
    }
}

/// Where a request comes from.
fn address(request: &Request) -> Option<Address> {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    peer.map(|ConnectInfo(peer)| peer.ip().into())
}

/// Counts what a request takes: to render a page is as much as ten others.
async fn count(State(server): State<ServerState>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let cost = match path {
        "/" | "/lab" | "/admin" | "/api/rooms" => 10,
        _ if path.starts_with("/rooms") => 10,
        // Each tries whether something can be written.
        "/readyz" | "/metrics" => 50,
        _ => 1,
    };
    let response = match server.rates.work(address(&request), cost) {
        Ok(()) => next.run(request).await,
        Err(refusal) => Problem(refusal).into_response(),
    };
    server.telemetry.answered(response.status());
    if let Some(code) = response.extensions().get::<ErrorCode>() {
        server.telemetry.refused(*code, "http");
    }
    response
}

async fn site_or_nothing(State(server): State<ServerState>, request: Request) -> Response {
    let path = request.uri().path().trim_start_matches('/').to_owned();
    if let Some(file) = site::serve(request.method(), &path, request.headers()) {
        return file;
    }
    if path == "api" || path.starts_with("api/") || path.starts_with("pkg/") {
        return Problem(nothing_here()).into_response();
    }
    let (parts, _) = request.into_parts();
    pages::not_found(State(server), parts.headers, parts.uri).await
}

async fn wrong_method(uri: Uri) -> Problem {
    let message = format!("{} does not take this method", uri.path());
    Problem(Refusal::new(ErrorCode::MethodNotAllowed, message))
}

/// A WebSocket that knocks at the wrong door is told so instead of getting a page.
async fn refuse_other_upgrades(request: Request, next: Next) -> Response {
    if websocket::is_upgrade(&request) && !["/ws", SOCKET_IO].contains(&request.uri().path()) {
        let message = "no WebSocket is here; connect to /ws";
        return (StatusCode::NOT_FOUND, Problem(Refusal::new(ErrorCode::NotFound, message)))
            .into_response();
    }
    next.run(request).await
}

async fn harden(mut response: Response) -> Response {
    const HEADERS: [(HeaderName, HeaderValue); 3] = [
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
        (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    ];
    response.headers_mut().extend(HEADERS);
    response
}
