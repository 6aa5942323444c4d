//! What those who manage a room decide of it.

use serde::{Deserialize, Serialize};

/// What holds in a room. By default nothing is held back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Settings {
    /// Only those who manage it may write.
    pub read_only: bool,
    /// Only those who manage it may come in.
    pub closed: bool,
    /// A member may say something once in so many milliseconds; 0 is as often as rates allow.
    pub slow_mode_ms: u64,
    /// Nobody is told who is here, who is writing and who is away, nor how many there are.
    pub hide_members: bool,
    /// Only so many of the newest messages are kept, at most a minute longer; 0 is as many as the server keeps.
    pub keep_messages: u64,
    /// Messages are kept for so many seconds, and at most a minute longer; 0 is as long as the server keeps them.
    pub keep_seconds: u64,
}
