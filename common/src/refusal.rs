//! Why something was refused, told so that a program can act on it and a person can read it.
//!
//! One type serves every transport: it is the `params` of an `error` frame, and over HTTP the
//! members of a problem document (RFC 9457).

use serde::{Deserialize, Serialize};

/// What kind of refusal this is. The text of a code never changes; programs may compare it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ErrorCode {
    /// The frame or body is not JSON.
    InvalidJson,
    /// It is JSON, but not `{"type": …, "params": {…}}`.
    InvalidFrame,
    /// No frame of that type is known.
    UnknownType,
    /// A binary frame: every frame is text.
    BinaryFrame,
    /// A field is missing, empty, of the wrong kind, or holds what it may not.
    InvalidField,
    /// A field is longer than its limit.
    TooLong,
    /// More came than the rate allows; try again a little later.
    RateLimited,
    /// The room is slow, and it is not this member's turn again before `limit` milliseconds have passed.
    SlowMode,
    /// Under the message's id somebody else has said something in the room: take another id.
    IdTaken,
    /// Only whoever said a message may edit it or take it back.
    NotYours,
    /// There are as many connections or sessions as there may be, in all or from this address.
    TooManyConnections,
    /// The session that is written to is not in the room, or takes no signalling.
    NotHere,
    /// The session that is written to has not taken what was sent to it before.
    MailboxFull,
    /// There are as many in the room's call as there may be.
    CallFull,
    /// The request's body did not come in time.
    TooSlow,
    /// The server keeps as many rooms as it may.
    TooManyRooms,
    /// The request comes from a web page of another origin.
    ForeignOrigin,
    /// The server is not known by the name that the request was sent to.
    WrongHost,
    /// A token is needed and none was shown, or it is not one of this server's, or it has expired: get a new one.
    InvalidToken,
    /// What was shown gives no right to do this in this room.
    Forbidden,
    /// Somebody who manages the room, or all of them, has put this member out for a while.
    PutOut,
    /// What the operator has asked about messages does not want this one; the words are its own.
    Declined,
    /// This address is for WebSocket upgrades only, or none is possible here.
    UpgradeRequired,
    /// There is nothing at this address.
    NotFound,
    /// The address exists, but not for this method.
    MethodNotAllowed,
    /// The body is of a type that is not read here.
    UnsupportedMediaType,
    /// The server is stopping; connect again in a moment.
    ShuttingDown,
    /// The server can't keep messages now: its disk is full, or out of order. Try again later.
    Unavailable,
    /// The server failed; the sender did nothing wrong.
    Internal,
    /// A code this side does not know (a newer peer).
    #[serde(other)]
    Other,
}

/// One refusal: the `params` of an `error` frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// What kind of refusal, for programs.
    pub code: ErrorCode,
    /// What is wrong, for people: names the field and the limit. English, one sentence.
    pub message: String,
    /// The field that is wrong, where one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The limit that was passed, in the unit the message names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// The `id` of the refused message, where it could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

impl Refusal {
    /// A refusal that concerns no particular field.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), field: None, limit: None, id: None }
    }

    /// `field` is missing, of the wrong kind or holds what it may not; `message` says which.
    pub fn field(field: &str, message: impl Into<String>) -> Self {
        Self { field: Some(field.to_owned()), ..Self::new(ErrorCode::InvalidField, message) }
    }

    /// `field` is longer than `limit` `unit`.
    pub fn too_long(field: &str, limit: usize, unit: &str) -> Self {
        Self {
            field: Some(field.to_owned()),
            limit: Some(limit as u64),
            ..Self::new(ErrorCode::TooLong, format!("`{field}` is longer than {limit} {unit}"))
        }
    }

    /// The same refusal, naming the message it refuses.
    #[must_use]
    pub fn about(mut self, id: Option<&str>) -> Self {
        self.id = id.map(str::to_owned);
        self
    }
}
