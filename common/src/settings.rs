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
}
