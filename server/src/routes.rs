//! Every address of the server, in one table.

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderName, HeaderValue, StatusCode, Uri, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{any, get, post},
};
use common::{ErrorCode, Refusal};

use crate::{
    api, pages,
    problem::Problem,
    site,
    state::ServerState,
    transport::{socket_io, websocket},
};

/// Where stock Socket.IO clients connect.
const SOCKET_IO: &str = "/socket.io/";

/// The router, for [`crate::Server`].
pub(crate) fn router(server: ServerState) -> Router {
    // An OPTIONS that asks whether a page may is answered before it is the wrong method.
    let api =
        api::routes().method_not_allowed_fallback(wrong_method).layer(api::cors(&server.config));
    let engine = socket_io::engine(&server);
    let socket_io = Router::new()
        .route(SOCKET_IO, any(async move |request: Request| engine.handle(request).await))
        .layer(api::cors(&server.config));
    Router::new()
        .route("/", get(pages::home))
        .route("/rooms", get(pages::open_room))
        .route("/rooms/{room}", get(pages::room))
        .route("/settings", post(pages::settings))
        .merge(api)
        .route("/ws", any(websocket::open))
        .merge(socket_io)
        .route("/healthz", get(|| async { "ok\n" }))
        .fallback(site_or_nothing)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn(refuse_other_upgrades))
        .layer(middleware::map_response(harden))
        .with_state(server)
}

async fn site_or_nothing(State(server): State<ServerState>, request: Request) -> Response {
    let path = request.uri().path().trim_start_matches('/').to_owned();
    if let Some(file) = site::serve(request.method(), &path, request.headers()) {
        return file;
    }
    if path == "api" || path.starts_with("api/") || path.starts_with("pkg/") {
        return nothing_here().into_response();
    }
    let (parts, _) = request.into_parts();
    pages::not_found(State(server), parts.headers, parts.uri).await
}

async fn wrong_method(uri: Uri) -> Problem {
    let message = format!("{} does not take this method", uri.path());
    Problem(Refusal::new(ErrorCode::MethodNotAllowed, message))
}

fn nothing_here() -> Problem {
    Problem(Refusal::new(ErrorCode::NotFound, "there is nothing at this address"))
}

/// A WebSocket that knocks at the wrong door is told so instead of getting a page.
async fn refuse_other_upgrades(request: Request, next: Next) -> Response {
    if websocket::is_upgrade(request.headers())
        && !["/ws", SOCKET_IO].contains(&request.uri().path())
    {
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
