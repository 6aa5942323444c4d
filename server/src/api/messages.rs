//! `GET /api/rooms/{room}/messages`: polling, long polling with `wait`, and paging back with `before`.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use axum::{
    extract::{FromRequestParts, Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use common::{
    After, Bye, Member, Message, Offset, Position, Recovery, Refusal, ServerFrame, SessionId,
};
use hub::{Delivered, HubError, Reader};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout_at};
use utoipa::ToSchema;

use super::caller::{Caller, query};
use crate::{
    problem::{Document, Problem},
    seat::{Seat, viewer},
    state::ServerState,
};

/// How many messages there are in an answer, unless the request says otherwise, and at the most.
const LIMIT: usize = 100;
const MOST: usize = 1_000;
/// The longest a request may wait, in seconds.
const LONGEST_WAIT: u64 = 60;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Params {
    after: Option<String>,
    before: Option<String>,
    limit: Option<String>,
    wait: Option<String>,
    state: Option<String>,
}

/// What a request asks for.
struct Asked {
    after: Option<After>,
    before: Option<Offset>,
    limit: usize,
    wait: Duration,
    /// The state of the room that the client knows, if it wants to hear of that too.
    state: Option<String>,
}

impl TryFrom<Params> for Asked {
    type Error = Refusal;

    fn try_from(params: Params) -> Result<Self, Refusal> {
        let after: Option<After> = params.after.map(|after| after.parse()).transpose()?;
        let before = params.before.as_deref().map(read_before).transpose()?;
        if after.is_some() && before.is_some() {
            return Err(Refusal::field("before", "`before` and `after` exclude each other"));
        }
        let limit = number("limit", params.limit.as_deref(), 1..=MOST as u64, LIMIT as u64)?;
        let wait = number("wait", params.wait.as_deref(), 0..=LONGEST_WAIT, 0)?;
        Ok(Self {
            after,
            before,
            limit: limit as usize,
            wait: Duration::from_secs(wait),
            state: params.state,
        })
    }
}

/// An offset, or a position, of which only the offset counts.
fn read_before(text: &str) -> Result<Offset, Refusal> {
    let offset = text.rsplit(':').next().and_then(|offset| offset.parse().ok());
    offset.map(Offset).ok_or_else(|| Refusal::field("before", "`before` is not an offset"))
}

fn number(
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
    #[serde(flatten)]
    state: RoomState,
}

/// What is not in the log, for a client that asked with `state`.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct RoomState {
    /// To be sent back as `state`: as long as it is the same, who is here and who is typing is too.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<String>,
    /// Which session this is.
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<SessionId>,
    /// Who it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    member: Option<Member>,
    /// Who is here.
    #[schema(value_type = Option<common::Members>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    members: Option<Box<RawValue>>,
    /// Who is writing.
    #[schema(value_type = Option<common::Typing>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    typing: Option<Box<RawValue>>,
    /// The server is about to stop.
    #[serde(skip_serializing_if = "Option::is_none")]
    bye: Option<Bye>,
}

/// Reads a room: the newest messages, those behind a position, or those before an offset; with `wait`
/// it waits for the next.
#[utoipa::path(
    get,
    path = "/api/rooms/{room}/messages",
    params(
        ("room" = String, Path, description = "1 to 64 characters"),
        ("after" = Option<String>, Query, description = "`0`, or `epoch:offset`: what is behind it"),
        ("before" = Option<u64>, Query, description = "the newest before this offset"),
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 1000, description = "default 100"),
        ("wait" = Option<u64>, Query, minimum = 0, maximum = 60, description = "seconds"),
        ("state" = Option<String>, Query, description = "tell who is here, too"),
        ("session" = Option<String>, Query, description = "be this session again"),
        ("token" = Option<String>, Query, description = "who you are"),
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
    let mut asked = Asked::try_from(query::<Params>(&parts)?.0)?;
    if parts.method == Method::HEAD {
        asked.wait = Duration::ZERO;
    }
    let answer = match asked {
        Asked { after: None, state: None, before, limit, wait } if wait.is_zero() => {
            latest(&server, &caller, before, limit).await?
        }
        asked => behind(&server, &caller, asked).await?,
    };
    Ok(respond(&answer, &caller.headers))
}

/// The newest messages, or those before an offset.
async fn latest(
    server: &ServerState,
    caller: &Caller,
    before: Option<Offset>,
    limit: usize,
) -> Result<Answer, Problem> {
    let viewer = viewer(&caller.author);
    let stretch = server.hub.latest(&caller.room, &viewer, before, limit).await;
    let stretch = stretch.map_err(HubError::from)?;
    let messages = stretch
        .messages
        .iter()
        .filter_map(|message: &Message| serde_json::value::to_raw_value(message).ok());
    Ok(Answer {
        position: stretch.position,
        recovery: Recovery::Fresh,
        messages: messages.collect(),
        state: RoomState::default(),
    })
}

/// What is behind a position; waits for it if that is asked for.
async fn behind(server: &ServerState, caller: &Caller, asked: Asked) -> Result<Answer, Problem> {
    // Held while it waits: a stop ends the waiting, and waits for the answer.
    let mut stopping = server.stopping.subscribe();
    let after = asked.after.unwrap_or(After::Now);
    let (mut reader, recovery, seat) = match asked.state {
        // Whoever wants to know who is here is here.
        Some(_) => {
            caller.check_arrival(server)?;
            let seat = Seat::take(server, &caller.room, caller.author.clone())?;
            let (reader, recovery) = seat.read(&after, true).await?;
            (reader, recovery, Some(seat))
        }
        None => {
            let viewer = viewer(&caller.author);
            let (reader, recovery) = server.hub.read(&caller.room, viewer, &after).await?;
            (reader, recovery, None)
        }
    };
    let mut taken = Taken { recovery, ..Taken::default() };
    taken.take_ready(&mut reader, asked.limit).await?;
    let until = Instant::now() + asked.wait;
    let mut stopped = *stopping.borrow();
    while !taken.is_news(asked.state.as_deref()) && !stopped && Instant::now() < until {
        tokio::select! {
            rung = timeout_at(until, reader.rung()) => {
                if rung.is_err() {
                    break;
                }
                taken.take_ready(&mut reader, asked.limit).await?;
            }
            _ = stopping.changed() => stopped = true,
        }
    }
    let state = seat.map(|seat| RoomState {
        state: Some(taken.state()),
        session: Some(caller.author.session.clone()),
        member: Some(caller.author.member.clone()),
        members: taken.members.as_ref().and_then(params),
        typing: taken.typing.as_ref().and_then(params),
        bye: stopped.then(|| seat.server.bye()),
    });
    Ok(Answer {
        position: reader.position(),
        recovery: taken.recovery,
        messages: taken.messages.iter().filter_map(|message| params(&message.frame)).collect(),
        state: state.unwrap_or_default(),
    })
}

/// What a poll has read so far.
#[derive(Default)]
struct Taken {
    recovery: Recovery,
    messages: Vec<Delivered>,
    members: Option<Bytes>,
    typing: Option<Bytes>,
}

impl Taken {
    async fn take_ready(&mut self, reader: &mut Reader, limit: usize) -> Result<(), HubError> {
        while self.messages.len() < limit {
            let delivery = reader.ready(limit - self.messages.len()).await?;
            let more = !delivery.messages.is_empty();
            self.add(delivery);
            if !more {
                break;
            }
        }
        Ok(())
    }

    fn add(&mut self, delivery: hub::Delivery) {
        if delivery.reset.is_some() {
            self.recovery = Recovery::Reset;
        }
        self.messages.extend(delivery.messages);
        self.members = delivery.members.or(self.members.take());
        self.typing = delivery.typing.or(self.typing.take());
    }

    fn is_news(&self, known: Option<&str>) -> bool {
        let changed = known.is_some_and(|known| known != self.state());
        changed || !self.messages.is_empty() || self.recovery == Recovery::Reset
    }

    /// Names who is here and who is typing: the same for the same, in this process and the next.
    fn state(&self) -> String {
        hash(&(&self.members, &self.typing))
    }
}

/// The params of a frame of ours.
fn params(frame: &Bytes) -> Option<Box<RawValue>> {
    RawValue::from_string(ServerFrame::params_of(frame)?.to_owned()).ok()
}

fn hash(what: &impl Hash) -> String {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// The answer, or 304 where the client has the same already (RFC 9110 section 13.1.2).
fn respond(answer: &Answer, headers: &HeaderMap) -> Response {
    // Strings, numbers and what was JSON before always encode.
    let body = serde_json::to_vec(answer).unwrap_or_default();
    let tag = format!("\"{}\"", hash(&body));
    let known = headers.get_all(header::IF_NONE_MATCH).iter();
    let known = known.filter_map(|value| value.to_str().ok());
    let same = known.flat_map(|tags| tags.split(',')).any(|known| {
        let known = known.trim();
        known == "*" || known.trim_start_matches("W/") == tag
    });
    let mut response = match same {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => body.into_response(),
    };
    let headers = response.headers_mut();
    if !same {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    // What is in it depends on who asks, and is to be asked for each time.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    response
}
