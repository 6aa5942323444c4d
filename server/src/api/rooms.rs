//! `GET /api/rooms` and `GET /api/rooms/{room}/members`: what is there, and who is here.

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, Uri},
};
use common::{Members, RoomName, Settings};
use hub::RoomSummary;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    caller::Caller,
    origin,
    problem::{Document, Problem},
    rights::Right,
    state::ServerState,
};

/// How many rooms are listed.
const LISTED: usize = 100;

/// The liveliest rooms.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Rooms {
    rooms: Vec<Room>,
}

/// One of them.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Room {
    /// Its name.
    name: RoomName,
    /// How many members are in it.
    members: usize,
    /// When something was last said in it, milliseconds since 1970, UTC; 0 if nothing was.
    last_at: u64,
    /// What holds in it, for whoever may manage it.
    #[serde(skip_serializing_if = "Option::is_none")]
    settings: Option<Settings>,
}

/// The liveliest hundred rooms of those that one may read: by members, then by the last message.
#[utoipa::path(
    get,
    path = "/api/rooms",
    responses(
        (status = 200, body = Rooms),
        (status = "default", body = Document, content_type = "application/problem+json; charset=utf-8"),
    )
)]
pub(crate) async fn list(
    State(server): State<ServerState>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Json<Rooms>, Problem> {
    origin::check(&headers, &server.config)?;
    let permit = server.permit(&headers, &uri)?;
    let visitor = server.visitor(&headers, &uri)?;
    let member = visitor.as_ref().map(|visitor| &visitor.id);
    let may_read = |room: &_| {
        permit.has(Right::Read, room) && server.check_rules(&permit, room, member).is_ok()
    };
    let rooms = server.hub.rooms(LISTED, may_read).await;
    let rooms = rooms.map_err(hub::HubError::from)?;
    let room = |room: RoomSummary| {
        let RoomSummary { name, members, last_at } = room;
        let rules = server.hub.rules();
        let settings = permit.has(Right::Manage, &name).then(|| rules.settings(&name));
        Room { name, members, last_at, settings }
    };
    let rooms = rooms.into_iter().map(room).collect();
    Ok(Json(Rooms { rooms }))
}

/// Who is in a room: the params of the `members` frame.
#[utoipa::path(
    get,
    path = "/api/rooms/{room}/members",
    params(("room" = String, Path, description = "1 to 64 characters")),
    responses(
        (status = 200, body = Members),
        (status = "default", body = Document, content_type = "application/problem+json; charset=utf-8"),
    )
)]
pub(crate) async fn members(
    State(server): State<ServerState>,
    caller: Caller,
) -> Result<Json<Members>, Problem> {
    caller.check(Right::Read)?;
    let members = server.hub.members(&caller.room).await;
    Ok(Json(members.map_err(hub::HubError::from)?))
}
