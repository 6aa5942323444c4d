//! `GET /api/rooms/{room}/messages`: polling, long polling with `wait`, paging back with `before`, and searching with `q`.

use std::{hash::DefaultHasher, hash::Hasher, sync::Arc, time::Duration};

use axum::{
    extract::{FromRequestParts, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use common::{After, Message, Offset, Position, Recovery, Refusal};
use headers::{ETag, HeaderMapExt, IfNoneMatch};
use hub::{Delivery, Found, HubError, Query, Record};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout_at};
use utoipa::ToSchema;

use crate::{
    caller::{Caller, query},
    fields::Fields,
    problem::{Document, Problem},
    rights::Right,
    state::ServerState,
};

/// How many messages there are in an answer, unless the request says otherwise, and at the most.
pub(super) const LIMIT: usize = 100;
const MOST: usize = 1_000;
/// How many bytes of them; the last may go beyond. Whoever wants more reads on.
const MOST_BYTES: usize = 128 * 1024;
/// The longest a request may ask to wait, in seconds.
pub(super) const LONGEST_WAIT: u64 = 60;
/// The longest it does: proxies wait for an answer as long as a minute.
pub(super) const WAITS: Duration = Duration::from_secs(50);

#[derive(Default, Deserialize)]
#[serde(default)]
struct Params {
    after: Option<String>,
    before: Option<String>,
    limit: Option<String>,
    wait: Option<String>,
    q: Option<String>,
}

/// An offset, or a position, of which only the offset counts.
fn read_before(text: &str) -> Result<Offset, Refusal> {
    let offset = text.rsplit(':').next().and_then(|offset| offset.parse().ok());
    offset.map(Offset).ok_or_else(|| Refusal::field("before", "`before` is not an offset"))
}

pub(super) fn number(
    field: &str,
    text: Option<&str>,
    range: std::ops::RangeInclusive<u64>,
    default: u64,
) -> Result<u64, Refusal> {
    let Some(text) = text else { return Ok(default) };
    text.parse().ok().filter(|number| range.contains(number)).ok_or_else(|| Refusal {
        limit: Some(*range.end()),
        ..Refusal::field(
            field,
            format!("`{field}` is not a number from {} to {}", range.start(), range.end()),
        )
    })
}

/// What a poll answers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Answer {
    /// Where to read on: `epoch:offset`.
    #[schema(value_type = String)]
    position: Position,
    /// How the start compares with `after`.
    recovery: Recovery,
    /// The params of each message frame.
    #[schema(value_type = Vec<Message>)]
    messages: Vec<Box<RawValue>>,
    /// Of a search: looking on before this offset may find more.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Offset>,
}

impl Answer {
    fn new(
        position: Position,
        recovery: Recovery,
        records: &[Arc<Record>],
        fields: Fields,
    ) -> Self {
        let params = |record: &Arc<Record>| {
            RawValue::from_string(fields.params(record, &position.epoch).into_owned()).ok()
        };
        let messages = records.iter().filter_map(params).collect();
        Self { position, recovery, messages, before: None }
    }
}

/// Reads a room: the newest messages, those behind a position, or those before an offset; with `q` only those that
/// have all its words in them, with `wait` it waits for the next.
#[utoipa::path(
    get,
    path = "/api/rooms/{room}/messages",
    params(
        ("room" = String, Path, description = "1 to 64 characters"),
        ("after" = Option<String>, Query, description = "`0`, or `epoch:offset`: what is behind it"),
        ("before" = Option<u64>, Query, description = "the newest before this offset"),
        ("q" = Option<String>, Query, description = "the newest that have all these words in them, 1 to 100 characters"),
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 1000, description = "default 100"),
        ("wait" = Option<u64>, Query, minimum = 0, maximum = 60, description = "seconds; after 50 it answers in any case"),
        ("session" = Option<String>, Query, description = "be this session again"),
        ("token" = Option<String>, Query, description = "who you are"),
        ("fields" = Option<String>, Query, description = "what is wanted of a message, besides its offset"),
    ),
    responses(
        (status = 200, body = Answer),
        (status = 304, description = "what `If-None-Match` names is still so"),
        (status = "default", body = Document, content_type = "application/problem+json; charset=utf-8"),
    )
)]
pub(crate) async fn read(
    State(server): State<ServerState>,
    request: Request,
) -> Result<Response, Problem> {
    let (mut parts, _) = request.into_parts();
    let caller = Caller::from_request_parts(&mut parts, &server).await?;
    let Params { after, before, limit, wait, q } = query(&parts)?;
    let before = before.as_deref().map(read_before).transpose()?;
    if after.is_some() && before.is_some() {
        return Err(Refusal::field("before", "`before` and `after` exclude each other").into());
    }
    if q.is_some() && (after.is_some() || wait.is_some()) {
        return Err(Refusal::field("q", "`q` goes with neither `after` nor `wait`").into());
    }
    let limit = number("limit", limit.as_deref(), 1..=MOST as u64, LIMIT as u64)? as usize;
    let wait = number("wait", wait.as_deref(), 0..=LONGEST_WAIT, 0)?;
    // Many at once are as much work as several requests.
    server.rates.work(caller.address, limit / LIMIT)?;
    caller.check(Right::Read)?;
    if let Some(q) = q {
        let answer = search(&caller, &Query::parse(&q)?, before, limit).await?;
        return Ok(respond(&answer, &parts.headers));
    }
    let wait = if parts.method == Method::HEAD { 0 } else { wait };
    let answer = if caller.after == After::Now && (wait == 0 || before.is_some()) {
        latest(&caller, before, limit).await?
    } else {
        behind(&caller, limit, Duration::from_secs(wait).min(WAITS)).await?
    };
    Ok(respond(&answer, &parts.headers))
}

/// The newest messages, or those before an offset.
async fn latest(caller: &Caller, before: Option<Offset>, limit: usize) -> Result<Answer, Problem> {
    let Caller { server, room, who, .. } = caller;
    let latest = server.hub.latest(room, who, before, limit).await.map_err(HubError::from)?;
    Ok(Answer::new(latest.position, Recovery::Fresh, &latest.records, caller.fields))
}

/// What is found, the newest or what is before an offset.
async fn search(
    caller: &Caller,
    query: &Query,
    before: Option<Offset>,
    limit: usize,
) -> Result<Answer, Problem> {
    let Caller { server, room, who, address, .. } = caller;
    server.rates.search(*address)?;
    let found = server.hub.search(room, who, query, before, limit).await;
    let Found { records, position, before } = found.map_err(HubError::from)?;
    let answer = Answer::new(position, Recovery::Fresh, &records, caller.fields);
    Ok(Answer { before, ..answer })
}

/// What is behind a position; waits for it if that is asked for.
async fn behind(caller: &Caller, limit: usize, wait: Duration) -> Result<Answer, Problem> {
    // Held while it waits: a stop ends the waiting, and waits for the answer.
    let mut stopping = caller.server.stopping.subscribe();
    let until = Instant::now() + wait;
    let (mut reader, mut recovery) = caller.read().await?;
    let (mut records, mut bytes) = (Vec::new(), 0);
    while records.len() < limit && bytes < MOST_BYTES {
        reader = reader.taking(limit - records.len());
        let Delivery { reset, records: more, .. } = reader.ready().await.map_err(HubError::from)?;
        // It may have lost the right while it waited.
        caller.check_still()?;
        if reset.is_some() {
            recovery = Recovery::Reset;
        }
        if !more.is_empty() {
            bytes += more.iter().map(|record| record.frame.bytes().len()).sum::<usize>();
            records.extend(more);
        } else if !records.is_empty() || recovery == Recovery::Reset || *stopping.borrow() {
            break;
        } else {
            tokio::select! {
                rung = timeout_at(until, reader.rung()) => {
                    if rung.is_err() {
                        break;
                    }
                }
                _ = stopping.changed() => {}
            }
        }
    }
    Ok(Answer::new(reader.position().clone(), recovery, &records, caller.fields))
}

/// The answer, or 304 where the client has the same already (RFC 9110 section 13.1.2).
fn respond(answer: &Answer, headers: &HeaderMap) -> Response {
    // Strings, numbers and what was JSON before always encode.
    let body = serde_json::to_vec(answer).unwrap_or_default();
    let mut hasher = DefaultHasher::new();
    hasher.write(&body);
    let tag: ETag =
        format!("\"{:016x}\"", hasher.finish()).parse().expect("hexadecimal digits are a tag");
    let known = headers.typed_get::<IfNoneMatch>();
    let mut response = match known.is_some_and(|known| !known.precondition_passes(&tag)) {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => {
            let json = HeaderValue::from_static("application/json");
            ([(header::CONTENT_TYPE, json)], body).into_response()
        }
    };
    let headers = response.headers_mut();
    headers.typed_insert(tag);
    // What is in it depends on who asks, and is to be asked for each time.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    response
}
