//! A refusal over HTTP: problem details (RFC 9457) with the code programs compare.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use common::{ErrorCode, Refusal};
use hub::{HubError, TooManyRooms, broker::BrokerError};
use serde::Serialize;
use utoipa::ToSchema;

/// A refusal on its way out over HTTP.
#[derive(Debug)]
pub(crate) struct Problem(pub Refusal);

impl Problem {
    /// The log can't be read now.
    pub(crate) fn unreadable() -> Self {
        HubError::Broker(BrokerError::Unavailable(String::new())).into()
    }

    /// The status that goes with a code.
    pub(crate) fn status(&self) -> StatusCode {
        match self.0.code {
            ErrorCode::InvalidJson
            | ErrorCode::InvalidFrame
            | ErrorCode::UnknownType
            | ErrorCode::BinaryFrame
            | ErrorCode::InvalidField => StatusCode::BAD_REQUEST,
            ErrorCode::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
            ErrorCode::RateLimited | ErrorCode::MailboxFull | ErrorCode::SlowMode => {
                StatusCode::TOO_MANY_REQUESTS
            }
            ErrorCode::TooManyConnections
            | ErrorCode::TooManyRooms
            | ErrorCode::ShuttingDown
            | ErrorCode::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            ErrorCode::IdTaken | ErrorCode::CallFull => StatusCode::CONFLICT,
            ErrorCode::TooSlow => StatusCode::REQUEST_TIMEOUT,
            ErrorCode::WrongHost => StatusCode::MISDIRECTED_REQUEST,
            ErrorCode::InvalidToken => StatusCode::UNAUTHORIZED,
            ErrorCode::ForeignOrigin
            | ErrorCode::NotYours
            | ErrorCode::Forbidden
            | ErrorCode::PutOut
            | ErrorCode::Declined => StatusCode::FORBIDDEN,
            ErrorCode::UpgradeRequired => StatusCode::UPGRADE_REQUIRED,
            ErrorCode::NotFound | ErrorCode::NotHere => StatusCode::NOT_FOUND,
            ErrorCode::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            ErrorCode::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self(refusal)
    }
}

impl From<HubError> for Problem {
    fn from(error: HubError) -> Self {
        Self(refusal(error))
    }
}

/// What the one who asked is told of an error in the hub; what is behind it was logged where it
/// happened.
pub(crate) fn refusal(error: HubError) -> Refusal {
    let unavailable = |message| Refusal::new(ErrorCode::Unavailable, message);
    match error {
        HubError::TooManyRooms(TooManyRooms { limit }) => Refusal {
            limit: Some(limit as u64),
            ..Refusal::new(ErrorCode::TooManyRooms, error.to_string())
        },
        HubError::Broker(BrokerError::Refused(refusal)) => refusal,
        HubError::Broker(BrokerError::Full) => unavailable("the disk of the server is full"),
        HubError::Broker(BrokerError::IdTaken(id)) => {
            let message = "under this `id` somebody else has said something here; take another";
            let refusal = Refusal::new(ErrorCode::IdTaken, message).about(Some(id.as_str()));
            Refusal { field: Some("id".to_owned()), ..refusal }
        }
        HubError::Broker(BrokerError::Unavailable(_)) => {
            unavailable("the server can't keep or read messages now; try again later")
        }
    }
}

/// After how many seconds it is worth trying again (RFC 9110 section 10.2.3), where it is.
fn retry_after(refusal: &Refusal) -> Option<u64> {
    match refusal.code {
        // Rates are by the second.
        ErrorCode::RateLimited | ErrorCode::MailboxFull | ErrorCode::ShuttingDown => Some(1),
        ErrorCode::SlowMode => refusal.limit.map(|left| left.div_ceil(1_000)),
        ErrorCode::PutOut => refusal.limit,
        ErrorCode::Unavailable => Some(5),
        ErrorCode::TooManyConnections | ErrorCode::TooManyRooms => Some(10),
        _ => None,
    }
}

/// Why a request was refused (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct Document<'a> {
    /// The status in words.
    title: &'static str,
    /// The status.
    status: u16,
    /// What is wrong, for people.
    detail: &'a str,
    /// What is wrong, for programs; it never changes.
    code: ErrorCode,
    /// The field that is wrong, where one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    /// The limit that was passed, where one was.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u64>,
    /// The id of the refused message, where it could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let document = Document {
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: &self.0.message,
            code: self.0.code,
            field: self.0.field.as_deref(),
            limit: self.0.limit,
            id: self.0.id.as_deref(),
        };
        let mut response = (status, Json(document)).into_response();
        response.extensions_mut().insert(self.0.code);
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json; charset=utf-8"),
        );
        if let Some(seconds) = retry_after(&self.0) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            // RFC 6750 section 3.
            let challenge = HeaderValue::from_static(r#"Bearer error="invalid_token""#);
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if status == StatusCode::UPGRADE_REQUIRED {
            // RFC 9110 section 15.5.22: the answer has to name the protocol.
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        }
        response
    }
}
