//! How a request is refused: the reference's codes and texts, as JSON.
//!
//! Start at [`Refusal`]. The rule to keep: whatever a client does wrong is answered with one of these.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::json;

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// `transport` is neither `polling` nor `websocket`.
    UnknownTransport,
    /// There is no such session, or not any more.
    UnknownSid,
    /// A session begins with a GET.
    BadHandshakeMethod,
    /// The session is on another transport, or the request is no request of its transport.
    BadRequest,
    /// `EIO` is not 4.
    UnsupportedVersion,
    /// There are [`Config::max_sessions`](super::Config::max_sessions) already. The reference knows
    /// no such limit, and clients look at the status only.
    TooManySessions,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let bad = StatusCode::BAD_REQUEST;
        let (status, code, message) = match self {
            Self::UnknownTransport => (bad, 0, "Transport unknown"),
            Self::UnknownSid => (bad, 1, "Session ID unknown"),
            Self::BadHandshakeMethod => (bad, 2, "Bad handshake method"),
            Self::BadRequest => (bad, 3, "Bad request"),
            Self::TooManySessions => (StatusCode::SERVICE_UNAVAILABLE, 4, "Too many sessions"),
            Self::UnsupportedVersion => (bad, 5, "Unsupported protocol version"),
        };
        (status, Json(json!({ "code": code, "message": message }))).into_response()
    }
}
