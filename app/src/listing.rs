//! What the hub lists for whoever manages it, as it answers over HTTP.

use common::{Member, MemberId, RoomName, Settings};
use serde::Deserialize;

/// All of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Listing {
    pub(crate) rooms: Rooms,
    pub(crate) connections: Connections,
    pub(crate) out: Out,
    pub(crate) refusals: Refusals,
}

/// `GET /api/rooms`.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Rooms {
    pub(crate) rooms: Vec<RoomRow>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct RoomRow {
    pub(crate) name: RoomName,
    pub(crate) members: usize,
    pub(crate) last_at: u64,
    #[serde(default)]
    pub(crate) settings: Settings,
}

/// `GET /api/connections`.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Connections {
    pub(crate) count: usize,
    pub(crate) connections: Vec<ConnectionRow>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ConnectionRow {
    pub(crate) number: u64,
    pub(crate) room: RoomName,
    pub(crate) member: Member,
    pub(crate) transport: String,
    pub(crate) since: u64,
}

/// `GET /api/out`.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Out {
    pub(crate) out: Vec<OutRow>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct OutRow {
    pub(crate) member: MemberId,
    pub(crate) until: u64,
}

/// `GET /api/refusals`.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Refusals {
    pub(crate) refusals: Vec<RefusalRow>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct RefusalRow {
    pub(crate) number: u64,
    pub(crate) at: u64,
    pub(crate) code: String,
    pub(crate) over: String,
}
