//! What backends do that have the right to `manage`: settings of a room, putting members out, taking back and clearing.
//!
//! The rule to keep: what was decided is kept before it is answered, and holds for those who are there already.

use axum::{
    Json,
    body::Body,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use common::{ErrorCode, MemberId, Mend, Offset, Publish, Refusal, RoomName, Settings};
use hub::{HubError, Out, Who};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::{
    body::whole,
    caller::Caller,
    clock::now_ms,
    origin,
    problem::{Document, Problem},
    rights::Right,
    state::ServerState,
};

/// The longest body, in bytes.
const BODY_BYTES: usize = 4 * 1024;
/// For how long somebody may be put out at once, in seconds: a year.
const LONGEST_OUT: u64 = 365 * 24 * 60 * 60;
/// The longest turn in a slow room: a day.
const LONGEST_TURN_MS: u64 = 24 * 60 * 60 * 1_000;

fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body)
        .map_err(|error| Refusal::new(ErrorCode::InvalidJson, format!("not as asked: {error}")))
}

/// What holds in a room, for whoever may read there.
#[utoipa::path(
    get,
    path = "/api/rooms/{room}/settings",
    params(("room" = String, Path, description = "1 to 64 characters")),
    responses(
        (status = 200, body = Settings),
        (status = "default", body = Document, content_type = "application/problem+json; charset=utf-8"),
    )
)]
pub(crate) async fn settings(caller: Caller) -> Result<Json<Settings>, Problem> {
    caller.check(Right::Read)?;
    Ok(Json(caller.server.hub.rules().settings(&caller.room)))
}

/// Changes what holds in a room: those fields that are there.
#[utoipa::path(
    put,
    path = "/api/rooms/{room}/settings",
    params(("room" = String, Path, description = "1 to 64 characters")),
    request_body = Settings,
    responses(
        (status = 200, body = Settings),
        (status = "default", body = Document, content_type = "application/problem+json; charset=utf-8"),
    )
)]
pub(crate) async fn set(caller: Caller, body: Body) -> Result<Json<Settings>, Problem> {
    caller.check(Right::Manage)?;
    let Caller { server, room, address, .. } = caller;
    let body = whole(&server, address, body, BODY_BYTES).await?;
    let wanted: Map<String, Value> = json(&body)?;
    let merge = |now: Settings| -> Result<Settings, Refusal> {
        let all = serde_json::to_value(now).unwrap_or_default();
        let mut all = all.as_object().cloned().unwrap_or_default();
        for (field, value) in wanted.clone() {
            if !all.contains_key(&field) {
                let known = all.keys().map(|known| format!("`{known}`")).collect::<Vec<_>>();
                let known = known.join(", ");
                let message = format!("there is no setting `{field}`; there are {known}");
                return Err(Refusal::field(&field, message));
            }
            all.insert(field, value);
        }
        serde_json::from_value(Value::Object(all))
            .map_err(|error| Refusal::field("body", format!("not as asked: {error}")))
    };
    // What is wrong with it is wrong whatever holds now.
    let settings = merge(Settings::default())?;
    if settings.slow_mode_ms > LONGEST_TURN_MS {
        let message = format!("`slow_mode_ms` is more than {LONGEST_TURN_MS}, a day");
        let refusal = Refusal::field("slow_mode_ms", message);
        return Err(Refusal { limit: Some(LONGEST_TURN_MS), ..refusal }.into());
    }
    let settings = server.hub.set(&room, |now| merge(now).unwrap_or(now), now_ms()).await;
    let settings = settings.map_err(HubError::from)?;
    server.decided();
    Ok(Json(settings))
}

/// For how long somebody is to be put out.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub(crate) struct ForHowLong {
    /// Seconds; an hour unless told, at most a year.
    seconds: Option<u64>,
}

/// Somebody who is put out.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct IsOut {
    /// The member's id.
    member: MemberId,
    /// Until when: milliseconds since 1970, UTC.
    until: u64,
}

/// Those who are put out.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AllOut {
    out: Vec<IsOut>,
}

impl AllOut {
    fn of(server: &ServerState, room: Option<&RoomName>) -> Json<Self> {
        let out = server.hub.rules().all_out(room, now_ms());
        Json(Self {
            out: out.into_iter().map(|Out { member, until, .. }| IsOut { member, until }).collect(),
        })
    }
}

async fn put_out(
    server: &ServerState,
    member: &str,
    room: Option<RoomName>,
    seconds: u64,
) -> Result<IsOut, Problem> {
    let member = MemberId::parse(member)?;
    let now = now_ms();
    let until = now + seconds * 1_000;
    let out = Out { member: member.clone(), room, until };
    server.hub.put_out(out, now).await.map_err(HubError::from)?;
    server.decided();
    Ok(IsOut { member, until })
}

async fn seconds_of(server: &ServerState, body: Body) -> Result<u64, Problem> {
    let body = whole(server, None, body, BODY_BYTES).await?;
    let ForHowLong { seconds } = if body.is_empty() { ForHowLong::default() } else { json(&body)? };
    let seconds = seconds.unwrap_or(60 * 60);
    if !(1..=LONGEST_OUT).contains(&seconds) {
        let message = format!("`seconds` is not a number from 1 to {LONGEST_OUT}");
        let refusal = Refusal::field("seconds", message);
        return Err(Refusal { limit: Some(LONGEST_OUT), ..refusal }.into());
    }
    Ok(seconds)
}

/// Who is put out of a room.
#[utoipa::path(
    get,
    path = "/api/rooms/{room}/out",
    params(("room" = String, Path, description = "1 to 64 characters")),
    responses(
        (status = 200, body = AllOut),
        (status = "default", body = Document, content_type = "application/problem+json; charset=utf-8"),
    )
)]
pub(crate) async fn out_of_room(caller: Caller) -> Result<Json<AllOut>, Problem> {
    caller.check(Right::Manage)?;
    Ok(AllOut::of(&caller.server, Some(&caller.room)))
}

/// Puts a member out of a room: every connection that it has there is closed with 4005, and it may not come back until
/// then.
#[utoipa::path(
    put,
    path = "/api/rooms/{room}/out/{member}",
    params(
        ("room" = String, Path, description = "1 to 64 characters"),
        ("member" = String, Path, description = "the id of a member"),
    ),
    request_body = ForHowLong,
    responses(
        (status = 200, body = IsOut),
        (status = "default", body = Document, content_type = "application/problem+json; charset=utf-8"),
    )
)]
pub(crate) async fn put_out_of_room(
    caller: Caller,
    Path((_, member)): Path<(String, String)>,
    body: Body,
) -> Result<Json<IsOut>, Problem> {
    caller.check(Right::Manage)?;
    let seconds = seconds_of(&caller.server, body).await?;
    put_out(&caller.server, &member, Some(caller.room), seconds).await.map(Json)
}

/// Lets a member into a room again.
#[utoipa::path(
    delete,
    path = "/api/rooms/{room}/out/{member}",
    params(
        ("room" = String, Path, description = "1 to 64 characters"),
        ("member" = String, Path, description = "the id of a member"),
    ),
    responses(
        (status = 204, description = "it may come in"),
        (status = "default", body = Document, content_type = "application/problem+json; charset=utf-8"),
    )
)]
pub(crate) async fn let_into_room(
    caller: Caller,
    Path((_, member)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    caller.check(Right::Manage)?;
    put_out(&caller.server, &member, Some(caller.room), 0).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Who is put out of all rooms.
#[utoipa::path(
    get,
    path = "/api/out",
    responses(
        (status = 200, body = AllOut),
        (status = "default", body = Document, content_type = "application/problem+json; charset=utf-8"),
    )
)]
pub(crate) async fn out(
    State(server): State<ServerState>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Json<AllOut>, Problem> {
    check_all(&server, &headers, &uri)?;
    Ok(AllOut::of(&server, None))
}

/// Puts a member out of all rooms. For whoever may manage all.
#[utoipa::path(
    put,
    path = "/api/out/{member}",
    params(("member" = String, Path, description = "the id of a member")),
    request_body = ForHowLong,
    responses(
        (status = 200, body = IsOut),
        (status = "default", body = Document, content_type = "application/problem+json; charset=utf-8"),
    )
)]
pub(crate) async fn put_out_of_all(
    State(server): State<ServerState>,
    headers: HeaderMap,
    uri: Uri,
    Path(member): Path<String>,
    body: Body,
) -> Result<Json<IsOut>, Problem> {
    check_all(&server, &headers, &uri)?;
    let seconds = seconds_of(&server, body).await?;
    put_out(&server, &member, None, seconds).await.map(Json)
}

/// Lets a member into rooms again. For whoever may manage all.
#[utoipa::path(
    delete,
    path = "/api/out/{member}",
    params(("member" = String, Path, description = "the id of a member")),
    responses(
        (status = 204, description = "it may come in"),
        (status = "default", body = Document, content_type = "application/problem+json; charset=utf-8"),
    )
)]
pub(crate) async fn let_into_all(
    State(server): State<ServerState>,
    headers: HeaderMap,
    uri: Uri,
    Path(member): Path<String>,
) -> Result<StatusCode, Problem> {
    check_all(&server, &headers, &uri)?;
    put_out(&server, &member, None, 0).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whether whoever asks may manage all rooms.
pub(super) fn check_all(
    server: &ServerState,
    headers: &HeaderMap,
    uri: &Uri,
) -> Result<(), Problem> {
    origin::check(headers, &server.config)?;
    Ok(server.permit(headers, uri)?.check_everywhere(Right::Manage)?)
}

/// Takes a message back, whoever has said it: everybody who has it is told, and nothing of it is left.
#[utoipa::path(
    delete,
    path = "/api/rooms/{room}/messages/{offset}",
    params(
        ("room" = String, Path, description = "1 to 64 characters"),
        ("offset" = u64, Path, description = "the number of the message"),
    ),
    responses(
        (status = 204, description = "it is gone"),
        (status = "default", body = Document, content_type = "application/problem+json; charset=utf-8"),
    )
)]
pub(crate) async fn take_back(
    caller: Caller,
    Path((_, offset)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    caller.check(Right::Manage)?;
    let Caller { server, room, .. } = caller;
    let offset = offset.parse().map(Offset);
    let offset = offset.map_err(|_| Refusal::field("offset", "`offset` is not a number"))?;
    let message = server.hub.message_at(&room, offset).await.map_err(HubError::from)?;
    let message = message.filter(|message| message.mends().is_none()).ok_or_else(|| {
        Refusal::new(ErrorCode::NotFound, "there is no message at this offset, or not any more")
    })?;
    let who = Who { member: message.from, session: None, guest_from: None };
    let back = Publish::mending(Mend::Retract, message.id, Value::Object(Map::new()));
    server.hub.publish(&room, &who, back, now_ms()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lets go of all that was said in a room. Whoever reads on from before that is told of a gap.
#[utoipa::path(
    delete,
    path = "/api/rooms/{room}/messages",
    params(("room" = String, Path, description = "1 to 64 characters")),
    responses(
        (status = 204, description = "it is gone"),
        (status = "default", body = Document, content_type = "application/problem+json; charset=utf-8"),
    )
)]
pub(crate) async fn clear(caller: Caller) -> Result<Response, Problem> {
    caller.check(Right::Manage)?;
    caller.server.hub.clear(&caller.room).await.map_err(HubError::from)?;
    Ok((StatusCode::NO_CONTENT, [(header::CACHE_CONTROL, "no-store")]).into_response())
}
