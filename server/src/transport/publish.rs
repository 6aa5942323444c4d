//! `POST /api/rooms/{room}/messages`: publishing by JSON, one message or several, by the form on the
//! page, and by `curl -d 'some text'`.

use std::time::Instant;

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Redirect, Response},
};
use common::{ErrorCode, MemberName, MessageId, Offset, Position, Publish, Refusal};
use hub::{Published, Who};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    body::whole,
    caller::{Caller, as_whom},
    identity::Visitor,
    pages::{self, Shows},
    problem::{Document, Problem},
    state::ServerState,
};
use app::page::{Refused, room_path};

/// The longest body, in bytes: a hundred messages in JSON, or one in a form, in which percent-encoding
/// makes three bytes of one.
const BODY_BYTES: usize = 2 * 1024 * 1024;
/// How many messages an array may have.
const AT_ONCE: usize = 100;

/// A message that was taken.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Taken {
    /// Its id.
    id: MessageId,
    /// Its offset; the first one, if the id was published before.
    offset: Offset,
    /// The same, as a position.
    #[schema(value_type = String)]
    position: Position,
}

/// One for one, several for several.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Acknowledged {
    /// For a message.
    One(Taken),
    /// For an array of them, in its order.
    Several(Vec<Taken>),
}

impl From<Published> for Taken {
    fn from(Published { id, position }: Published) -> Self {
        Self { id, offset: position.offset, position }
    }
}

/// What a body says.
#[derive(Debug)]
struct Said {
    messages: Vec<Publish>,
    /// It was an array, and so is the answer.
    several: bool,
    /// The name that came along with a form.
    name: Option<MemberName>,
}

/// Publishes one message, or several. A person with a browser is led back to the page, or sees there what was refused.
#[utoipa::path(
    post,
    path = "/api/rooms/{room}/messages",
    params(
        ("room" = String, Path, description = "1 to 64 characters"),
        ("session" = Option<String>, Query, description = "say it as this session"),
        ("token" = Option<String>, Query, description = "who you are"),
        ("Idempotency-Key" = Option<String>, Header, description = "the same as `id`"),
    ),
    request_body(content(
        (Publish = "application/json"),
        (String = "text/plain"),
        (Form = "application/x-www-form-urlencoded"),
    )),
    responses(
        (status = 200, body = Acknowledged),
        (status = 303, description = "back to the page, for a browser"),
        (status = "default", body = Document, content_type = "application/problem+json; charset=utf-8"),
    )
)]
pub(crate) async fn publish(
    State(server): State<ServerState>,
    headers: HeaderMap,
    caller: Caller,
    body: Body,
) -> Result<Response, Problem> {
    let body = whole(&server, caller.address, body, BODY_BYTES).await?;
    let room = caller.room.clone();
    let visitor = caller.visitor();
    let person = pages::wants_page(&headers);
    match say(caller, &headers, &body).await {
        Ok((_, Said { name, .. })) if person => {
            let mut response = Redirect::to(&room_path(&room)).into_response();
            if let Some(name) = name {
                let visitor = Visitor { name: Some(name), ..visitor };
                let cookie = server.identity.set_cookie(&headers, &visitor);
                response.headers_mut().append(header::SET_COOKIE, cookie);
            }
            Ok(response)
        }
        Ok((taken, Said { several, .. })) => {
            let mut taken: Vec<_> = taken.into_iter().map(Taken::from).collect();
            let answer = match taken.pop() {
                Some(one) if !several => Acknowledged::One(one),
                last => Acknowledged::Several(taken.into_iter().chain(last).collect()),
            };
            Ok(Json(answer).into_response())
        }
        Err(refusal) if person => {
            let status = Problem(refusal.clone()).status();
            let refused = Some(Refused { refusal, text: text_of(&body) });
            Ok(pages::room_page(&server, &headers, status, room, Shows::Newest, refused).await)
        }
        Err(refusal) => Err(refusal.into()),
    }
}

async fn say(
    mut caller: Caller,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<(Vec<Published>, Said), Refusal> {
    caller.check_writing()?;
    let mut said = read(headers, body)?;
    if !caller.named {
        caller.go_by_listed_name();
    }
    caller.check_room()?;
    let (count, began) = (said.messages.len(), Instant::now());
    caller.server.rates.publish(&caller.sender, caller.address, count, body.len())?;
    caller.check_saying(&said.messages)?;
    caller.server.telemetry.frames.increment(count as u64);
    let mut who = caller.who.clone();
    if let Some(name) = &said.name {
        who.member.name = name.clone();
    }
    let messages = std::mem::take(&mut said.messages);
    let (who, messages) = as_one(who, messages)?;
    let taken = caller.server.publish(&caller.permit, &caller.room, &who, messages).await;
    caller.server.telemetry.kept(count as u64, began, &taken);
    if taken.is_err() {
        caller.give_back_turn();
    }
    Ok((taken?, said))
}

/// Who says them, and what: an array is kept whole or not at all, and so it is of one member.
fn as_one(who: Who, messages: Vec<Publish>) -> Result<(Who, Vec<Publish>), Refusal> {
    if messages.windows(2).any(|two| two[0].from != two[1].from) {
        return Err(Refusal::field("from", "`from` is not the same in all messages of the array"));
    }
    let mut whom = who.clone();
    let messages = messages.into_iter().map(|message| {
        let (as_whom, message) = as_whom(who.clone(), message);
        whom = as_whom;
        message
    });
    let messages = messages.collect();
    Ok((whom, messages))
}

fn read(headers: &HeaderMap, body: &[u8]) -> Result<Said, Refusal> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let mut said = match kind.to_ascii_lowercase().as_str() {
        "application/json" => read_json(body)?,
        "application/x-www-form-urlencoded" => read_form(body)?,
        "text/plain" => read_text(body)?,
        _ => {
            let message = "the body is none of application/json, text/plain and \
                           application/x-www-form-urlencoded";
            return Err(Refusal::new(ErrorCode::UnsupportedMediaType, message));
        }
    };
    if let Some(key) = idempotency_key(headers)? {
        said.identify(key)?;
    }
    Ok(said)
}

impl Said {
    fn one(message: Publish) -> Self {
        Self { messages: vec![message], several: false, name: None }
    }

    /// Gives the messages the ids that the key stands for: of several, each its own.
    fn identify(&mut self, key: &str) -> Result<(), Refusal> {
        for (n, message) in self.messages.iter_mut().enumerate() {
            let id = if self.several { format!("{key}-{n}") } else { key.to_owned() };
            let id = MessageId::parse(&id).map_err(|refusal| named(refusal, "Idempotency-Key"))?;
            if message.id.as_ref().is_some_and(|own| *own != id && !self.several) {
                let message = "`Idempotency-Key` and `id` are not the same";
                return Err(Refusal::field("Idempotency-Key", message));
            }
            message.id.get_or_insert(id);
        }
        Ok(())
    }
}

/// One message, or an array of them: the params of each `message` frame.
fn read_json(body: &[u8]) -> Result<Said, Refusal> {
    let json: Value = serde_json::from_slice(body)
        .map_err(|error| Refusal::new(ErrorCode::InvalidJson, format!("not JSON: {error}")))?;
    let Value::Array(messages) = json else { return Publish::from_params(json).map(Said::one) };
    if messages.is_empty() {
        return Err(Refusal::field("body", "the array is empty"));
    }
    if messages.len() > AT_ONCE {
        return Err(Refusal::too_long("body", AT_ONCE, "messages"));
    }
    let messages = messages.into_iter().enumerate().map(|(n, params)| {
        Publish::from_params(params).map_err(|refusal| {
            let field = format!("[{n}].{}", refusal.field.as_deref().unwrap_or_default());
            named(refusal, &field)
        })
    });
    Ok(Said { messages: messages.collect::<Result<_, _>>()?, several: true, name: None })
}

/// The form on the page.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Form {
    /// The text.
    message: String,
    /// The message's id.
    id: Option<String>,
    /// The name to go by.
    name: Option<String>,
}

/// A form with a field `message`; a body without one is the text itself, as `curl -d` sends it.
fn read_form(body: &[u8]) -> Result<Said, Refusal> {
    let Ok(form) = serde_urlencoded::from_bytes::<Form>(body) else { return read_text(body) };
    // Browsers send line breaks in forms as CR LF.
    let message = Publish::text(&form.message.replace("\r\n", "\n"))?;
    let id = form.id.map(|id| MessageId::parse(&id)).transpose()?;
    let name = form.name.filter(|name| !name.trim().is_empty());
    let name = name.map(|name| MemberName::parse(&name)).transpose()?;
    Ok(Said { name, ..Said::one(Publish { id, ..message }) })
}

fn read_text(body: &[u8]) -> Result<Said, Refusal> {
    let text = str::from_utf8(body);
    let text = text.map_err(|_| Refusal::field("body", "the body is not UTF-8"))?;
    Publish::text(text).map(Said::one)
}

/// The text of a form that was refused, to be put back into its field.
fn text_of(body: &[u8]) -> String {
    let fields: Vec<(String, String)> = serde_urlencoded::from_bytes(body).unwrap_or_default();
    fields.into_iter().find(|(name, _)| name == "message").map(|(_, text)| text).unwrap_or_default()
}

/// `Idempotency-Key`, quoted as the
/// [draft](https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/) has it, or not.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let key = headers.get("idempotency-key").map(HeaderValue::to_str).transpose();
    let key = key
        .map_err(|_| Refusal::field("Idempotency-Key", "`Idempotency-Key` is not visible ASCII"))?;
    Ok(key.map(|key| key.strip_prefix('"').and_then(|key| key.strip_suffix('"')).unwrap_or(key)))
}

fn named(refusal: Refusal, field: &str) -> Refusal {
    Refusal { field: Some(field.to_owned()), ..refusal }
}
