//! What those see who manage: who is connected, and what was refused.

use app::names::guest_name;
use axum::{
    Json,
    extract::{Query, State},
    http::{HeaderMap, Uri},
};
use common::{Member, Refusal, RoomName, SessionId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    api::manage::check_all,
    caller::Caller,
    problem::{Document, Problem},
    rights::Right,
    roster::Connected,
    state::ServerState,
    telemetry::Refused,
};

/// How many connections are listed at once, unless told, and at the most.
const LISTED: usize = 100;
const MOST_LISTED: usize = 1_000;

/// Somebody's connection to a room.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Connection {
    /// Its number: connections are listed in the order in which they came.
    number: u64,
    /// The room.
    room: RoomName,
    /// Who it is, by the name they go by now.
    member: Member,
    /// The part of the session's id that everybody may see.
    session: SessionId,
    /// What carries it: `websocket`, `events`, `poll`, `socketio`.
    transport: &'static str,
    /// Since when: milliseconds since 1970, UTC.
    since: u64,
}

/// Connections, those that came first before the others.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Connections {
    /// How many there are in all.
    count: usize,
    connections: Vec<Connection>,
}

/// Which of them.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Which {
    behind: u64,
    limit: Option<usize>,
}

fn list(
    server: &ServerState,
    uri: &Uri,
    is_wanted: impl Fn(&Connected) -> bool,
) -> Result<Json<Connections>, Problem> {
    let Query(Which { behind, limit }) = Query::try_from_uri(uri)
        .map_err(|_| Refusal::field("query", "`behind` and `limit` are numbers"))?;
    let limit = limit.unwrap_or(LISTED);
    if !(1..=MOST_LISTED).contains(&limit) {
        let message = format!("`limit` is not a number from 1 to {MOST_LISTED}");
        let refusal = Refusal::field("limit", message);
        return Err(Refusal { limit: Some(MOST_LISTED as u64), ..refusal }.into());
    }
    let (connected, count) = server.roster.list(behind, limit, is_wanted);
    let connection = |(number, connected): (u64, Connected)| {
        let Connected { room, member, session, carrier, since } = connected;
        let name = server.hub.name_of(&room, &member).unwrap_or_else(|| guest_name(&member));
        let (transport, member) = (carrier.word(), Member { id: member, name });
        Connection { number, room, member, session, transport, since }
    };
    Ok(Json(Connections { count, connections: connected.into_iter().map(connection).collect() }))
}

/// The connections to a room.
#[utoipa::path(
    get,
    path = "/api/rooms/{room}/connections",
    params(
        ("room" = String, Path, description = "1 to 64 characters"),
        ("behind" = Option<u64>, Query, description = "only those with a higher number"),
        ("limit" = Option<u64>, Query, description = "at most so many, from 1 to 1000; 100 unless told"),
    ),
    responses(
        (status = 200, body = Connections),
        (status = "default", body = Document, content_type = "application/problem+json; charset=utf-8"),
    )
)]
pub(crate) async fn connections_in_room(
    caller: Caller,
    uri: Uri,
) -> Result<Json<Connections>, Problem> {
    caller.check(Right::Manage)?;
    list(&caller.server, &uri, |connected| connected.room == caller.room)
}

/// All connections. For whoever may manage all rooms.
#[utoipa::path(
    get,
    path = "/api/connections",
    params(
        ("behind" = Option<u64>, Query, description = "only those with a higher number"),
        ("limit" = Option<u64>, Query, description = "at most so many, from 1 to 1000; 100 unless told"),
    ),
    responses(
        (status = 200, body = Connections),
        (status = "default", body = Document, content_type = "application/problem+json; charset=utf-8"),
    )
)]
pub(crate) async fn connections(
    State(server): State<ServerState>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Json<Connections>, Problem> {
    check_all(&server, &headers, &uri)?;
    list(&server, &uri, |_| true)
}

/// What was refused last, the newest first. For whoever may manage all rooms.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Refusals {
    refusals: Vec<Refused>,
}

/// The last hundred refusals: when, what, and over what; not to whom. For whoever may manage all rooms.
#[utoipa::path(
    get,
    path = "/api/refusals",
    responses(
        (status = 200, body = Refusals),
        (status = "default", body = Document, content_type = "application/problem+json; charset=utf-8"),
    )
)]
pub(crate) async fn refusals(
    State(server): State<ServerState>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Json<Refusals>, Problem> {
    check_all(&server, &headers, &uri)?;
    Ok(Json(Refusals { refusals: server.telemetry.last_refusals() }))
}
