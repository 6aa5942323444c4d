//! What is said in a room: [`Publish`] is what a sender hands in, [`Message`] what everyone gets.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    EventName, MemberId, MemberName, Mend, Mends, MessageId, Offset, Reaction, Refusal, RoomName,
    limits::{AUDIENCE_IDS, NAME_CHARS, VALUE_BYTES, VALUE_DEPTH},
    mend::check_reaction,
};

/// A person or program in a room.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Member {
    /// Who this is; stays the same when the name changes.
    pub id: MemberId,
    /// What this member goes by now.
    pub name: MemberName,
}

impl Member {
    /// Members are listed by name; those of one name by id.
    pub fn sort_key(&self) -> (&MemberName, &MemberId) {
        (&self.name, &self.id)
    }
}

/// One numbered item of a room's log; it has the same fields on every transport.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Message {
    /// Its number in the room. First, so that all behind it can be written before it is known.
    pub offset: Offset,
    /// What was said: a string, which is what people send, or any other JSON but null.
    pub value: Value,
    /// The sender's id for it.
    pub id: MessageId,
    /// The room it was said in.
    pub room: RoomName,
    /// When the server took it: milliseconds since 1970, UTC.
    pub at: u64,
    /// Who said it.
    pub from: Member,
    /// What kind of message, for programs; absent means `message`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<EventName>,
    /// Whom it is for.
    #[cfg_attr(feature = "openapi", schema(value_type = Value))]
    #[serde(default, skip_serializing_if = "Audience::is_all")]
    pub to: Audience,
    /// The id of the message that this one edits, takes back or reacts to, as [`Message::event`] says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<MessageId>,
    /// The offset of the message by which it was edited last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited: Option<Offset>,
    /// What others think of it, in the order it came.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reactions: Vec<Reaction>,
}

impl Message {
    /// What was said, as text: JSON, unless it is a text.
    pub fn text(&self) -> String {
        self.value.as_str().map_or_else(|| self.value.to_string(), str::to_owned)
    }
}

/// Whom a message is for: Socket.IO's four ways to emit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub enum Audience {
    /// Everyone in the room, the sender too: `"all"`, the default.
    #[default]
    All,
    /// Everyone but the session that sent it: `"others"`.
    Others,
    /// Only the session that sent it: `"self"`.
    Own,
    /// Only the sessions and members with these ids: `["…", "…"]`. The sender is not among them
    /// unless listed.
    Only(Vec<String>),
}

impl Audience {
    /// Whether it is everyone.
    pub fn is_all(&self) -> bool {
        *self == Self::All
    }
}

impl TryFrom<Value> for Audience {
    type Error = Refusal;

    fn try_from(value: Value) -> Result<Self, Refusal> {
        let wrong = || {
            Refusal::field(
                "to",
                r#"`to` is not "all", "others", "self" or a list of 1 or more ids"#,
            )
        };
        match value {
            Value::String(word) => match word.as_str() {
                "all" => Ok(Self::All),
                "others" => Ok(Self::Others),
                "self" => Ok(Self::Own),
                _ => Err(wrong()),
            },
            Value::Array(ids) if ids.len() > AUDIENCE_IDS => {
                Err(Refusal::too_long("to", AUDIENCE_IDS, "ids"))
            }
            Value::Array(ids) if !ids.is_empty() => ids
                .into_iter()
                .map(|id| match id {
                    Value::String(id) if id.chars().count() <= NAME_CHARS => Ok(id),
                    Value::String(_) => {
                        Err(Refusal::too_long("to", NAME_CHARS, "characters an id"))
                    }
                    _ => Err(wrong()),
                })
                .collect::<Result<_, _>>()
                .map(Self::Only),
            _ => Err(wrong()),
        }
    }
}

impl From<Audience> for Value {
    fn from(audience: Audience) -> Value {
        match audience {
            Audience::All => "all".into(),
            Audience::Others => "others".into(),
            Audience::Own => "self".into(),
            Audience::Only(ids) => ids.into(),
        }
    }
}

/// What a sender hands in: the `params` of a `message` frame to the server, checked.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Publish {
    /// What is said.
    pub value: Value,
    /// The sender's id for it; the server makes one where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<MessageId>,
    /// What kind of message, for programs; absent means `message`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<EventName>,
    /// Whom it is for.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Value>))]
    #[serde(skip_serializing_if = "Audience::is_all")]
    pub to: Audience,
    /// The id of the message that this one edits, takes back or reacts to: `event` is then `edit`, `retract` or
    /// `reaction`, and `to` is that of the other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<MessageId>,
    /// As whom it is said; that asks for the right to `manage` the room.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Member>,
}

impl Publish {
    /// What it does to another message; nothing, if it is one to be read itself.
    pub fn mends(&self) -> Option<Mends> {
        Mends::read(self.of.as_ref(), self.event.as_ref())
    }

    /// Text for everyone, without an id: what the smallest client sends.
    ///
    /// # Errors
    ///
    /// As [`check_value`].
    pub fn text(text: &str) -> Result<Self, Refusal> {
        let value = Value::String(text.to_owned());
        check_value(&value)?;
        Ok(Self { value, id: None, event: None, to: Audience::All, of: None, from: None })
    }

    /// What does this to the message `of`.
    pub fn mending(how: Mend, of: MessageId, value: Value) -> Self {
        let event = EventName::parse(how.word()).expect("it is neither empty nor long");
        Self { value, id: None, event: Some(event), to: Audience::All, of: Some(of), from: None }
    }

    /// Reads the `params` of a `message` frame; fields it does not know are ignored.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] that names the field, its limit, and the message's id where it could be read.
    pub fn from_params(params: Value) -> Result<Self, Refusal> {
        let Value::Object(mut params) = params else {
            return Err(Refusal::field("params", "`params` is not an object"));
        };
        let id = params.get("id").and_then(Value::as_str).map(str::to_owned);
        let about = |refusal: Refusal| refusal.about(id.as_deref());
        // What takes something back says nothing itself.
        let takes_back = params.get("of").is_some_and(Value::is_string)
            && params.get("event").and_then(Value::as_str) == Some(Mend::Retract.word());
        let value = match takes_back {
            true => Some(Value::Object(Map::new())),
            false => params.remove("value"),
        };
        let value = value.ok_or_else(|| about(Refusal::field("value", "`value` is missing")))?;
        check_value(&value).map_err(about)?;
        let publish = Self {
            value,
            // An id that is no id can't be told back either.
            id: text_of(params.remove("id"), "id")?.map(|id| MessageId::parse(&id)).transpose()?,
            event: text_of(params.remove("event"), "event")
                .and_then(|event| event.map(|event| EventName::parse(&event)).transpose())
                .map_err(about)?
                .filter(|event| event.as_str() != "message"),
            to: match params.remove("to") {
                None | Some(Value::Null) => Audience::All,
                Some(to) => Audience::try_from(to).map_err(about)?,
            },
            of: text_of(params.remove("of"), "of")
                .and_then(|of| of.map(|of| MessageId::parse(&of)).transpose())
                .map_err(|refusal| about(Refusal { field: Some("of".to_owned()), ..refusal }))?,
            from: match params.remove("from") {
                None | Some(Value::Null) => None,
                Some(from) => Some(member_of(&from).map_err(about)?),
            },
        };
        match publish.mends().map(|mends| mends.how) {
            Some(Mend::Reaction) => check_reaction(&publish.value).map_err(about)?,
            None if publish.of.is_some() => {
                let message = "`of` goes with the event `edit`, `retract` or `reaction`";
                return Err(about(Refusal::field("of", message)));
            }
            _ => {}
        }
        Ok(publish)
    }
}

/// `{id, name}`, both checked.
fn member_of(from: &Value) -> Result<Member, Refusal> {
    let text = |field: &str| {
        let text = from.get(field).and_then(Value::as_str);
        text.ok_or_else(|| {
            Refusal::field("from", format!("`from.{field}` is missing or no string"))
        })
    };
    let wrong = |refusal: Refusal| Refusal::field("from", format!("`from`: {}", refusal.message));
    Ok(Member {
        id: MemberId::parse(text("id")?).map_err(wrong)?,
        name: MemberName::parse(text("name")?).map_err(wrong)?,
    })
}

fn text_of(value: Option<Value>, field: &str) -> Result<Option<String>, Refusal> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Refusal::field(field, format!("`{field}` is not a string"))),
    }
}

/// Checks that `value` can be said: not null, at most [`VALUE_BYTES`] as JSON, nested at most
/// [`VALUE_DEPTH`] deep, and as a string not
/// blank and without control characters other than tab and line breaks (HTML can't hold NUL, and
/// nobody can read the rest; a program that needs them puts the string into an object).
///
/// # Errors
///
/// A [`Refusal`] about the field `value`.
pub fn check_value(value: &Value) -> Result<(), Refusal> {
    match value {
        Value::String(text) if text.trim().is_empty() => {
            return Err(Refusal::field("value", "`value` is empty"));
        }
        Value::String(text)
            if text.chars().any(|c| c.is_control() && !matches!(c, '\t' | '\n' | '\r')) =>
        {
            return Err(Refusal::field("value", "`value` has a control character"));
        }
        _ => {}
    }
    check_json("value", value, VALUE_BYTES)
}

/// Checks that the JSON in `field` is not null, has at most `most` bytes, and is nested at most [`VALUE_DEPTH`] deep.
pub(crate) fn check_json(field: &str, json: &Value, most: usize) -> Result<(), Refusal> {
    if json.is_null() {
        return Err(Refusal::field(field, format!("`{field}` is null")));
    }
    if depth(json) > VALUE_DEPTH {
        let message = format!("`{field}` is nested deeper than {VALUE_DEPTH} levels");
        return Err(Refusal { limit: Some(VALUE_DEPTH as u64), ..Refusal::field(field, message) });
    }
    // What was parsed from JSON can always be written as JSON again.
    let bytes = serde_json::to_vec(json).map_or(usize::MAX, |json| json.len());
    if bytes > most {
        return Err(Refusal::too_long(field, most, "bytes of JSON"));
    }
    Ok(())
}

/// How many arrays and objects stand around the innermost part. The parser bounds the recursion.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or_default(),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or_default(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ErrorCode;

    #[test]
    fn everything_but_null_can_be_said() {
        for value in [json!("hi"), json!(0), json!(false), json!([]), json!({"a": null})] {
            let publish = Publish::from_params(json!({ "value": value })).unwrap();
            assert_eq!(publish.value, value);
        }
    }

    #[test]
    fn an_audience_is_a_word_or_up_to_a_hundred_ids_of_up_to_sixty_four_characters() {
        let ids = |count: usize| Audience::Only((0..count).map(|n| n.to_string()).collect());
        let long = "가".repeat(NAME_CHARS);
        for (to, audience) in [
            (json!("all"), Audience::All),
            (json!("others"), Audience::Others),
            (json!("self"), Audience::Own),
            (json!([long]), Audience::Only(vec![long.clone()])),
            (ids(AUDIENCE_IDS).into(), ids(AUDIENCE_IDS)),
        ] {
            let publish = Publish::from_params(json!({"value": 1, "to": to})).unwrap();
            assert_eq!(publish.to, audience);
        }
        for (to, limit) in [(ids(AUDIENCE_IDS + 1).into(), 100), (json!([long + "x"]), 64)] {
            let refusal = Audience::try_from(to).unwrap_err();
            assert_eq!((refusal.code, refusal.limit), (ErrorCode::TooLong, Some(limit)));
        }
    }

    #[test]
    fn a_refusal_names_the_field_and_the_message() {
        let too_many: Vec<_> = (0..101).map(|n| n.to_string()).collect();
        for (params, field) in [
            (json!({"id": "m1"}), "value"),
            (json!({"id": "m1", "value": null}), "value"),
            (json!({"id": "m1", "value": ""}), "value"),
            (json!({"id": "m1", "value": " \n"}), "value"),
            (json!({"id": "m1", "value": "a\u{0}"}), "value"),
            (json!({"id": "m1", "value": "a\u{1b}[0m"}), "value"),
            (json!({"id": "m1", "value": "hi", "event": ""}), "event"),
            (json!({"id": "m1", "value": "hi", "event": 1}), "event"),
            (json!({"id": "m1", "value": "hi", "to": "nobody"}), "to"),
            (json!({"id": "m1", "value": "hi", "to": []}), "to"),
            (json!({"id": "m1", "value": "hi", "to": [1]}), "to"),
            (json!({"id": "m1", "value": "hi", "to": too_many}), "to"),
            (json!({"id": "m1", "value": "hi", "of": "m0"}), "of"),
            (json!({"id": "m1", "value": "hi", "of": "m0", "event": "move"}), "of"),
            (json!({"id": "m1", "value": "hi", "of": "", "event": "edit"}), "of"),
            (json!({"id": "m1", "value": "hi", "of": 1, "event": "edit"}), "of"),
            (json!({"id": "m1", "value": "hi", "of": "m0", "event": "reaction"}), "value"),
        ] {
            let refusal = Publish::from_params(params.clone()).unwrap_err();
            assert_eq!(refusal.field.as_deref(), Some(field), "{params}");
            assert_eq!(refusal.id.as_deref(), Some("m1"), "{params}");
        }
    }

    /// Found by fuzzing: read and written, some numbers were another by one digit.
    #[test]
    fn a_number_is_the_same_however_often_it_is_read_and_written() {
        for number in ["4444444444444504444444500", "5.1e-324", "0.1", "1.7976931348623157e308"] {
            let value: Value = serde_json::from_str(number).unwrap();
            let written = value.to_string();
            assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), value, "{number}");
            assert_eq!(value.as_f64(), number.parse().ok());
        }
    }

    #[test]
    fn the_limit_of_a_value_counts_bytes_of_json() {
        let fits = "a".repeat(VALUE_BYTES - 2);
        assert!(Publish::text(&fits).is_ok());
        let refusal = Publish::text(&format!("{fits}a")).unwrap_err();
        assert_eq!((refusal.code, refusal.limit), (ErrorCode::TooLong, Some(16384)));
        // A line break is two bytes in JSON.
        assert!(Publish::text(&"\n가".repeat(VALUE_BYTES / 5 + 1)).is_err());
    }

    #[test]
    fn a_value_is_nested_only_so_deep() {
        let nested = |levels: usize| {
            (0..levels).fold(json!(1), |inner, n| match n.is_multiple_of(2) {
                true => json!([0, inner]),
                false => json!({"a": 0, "b": inner}),
            })
        };
        assert!(check_value(&nested(VALUE_DEPTH)).is_ok());
        let refusal = check_value(&nested(VALUE_DEPTH + 1)).unwrap_err();
        assert_eq!((refusal.field.as_deref(), refusal.limit), (Some("value"), Some(32)));
    }

    #[test]
    fn the_keys_of_an_object_stay_in_their_order() {
        let value = r#"{"b":1,"a":{"z":[],"y":0}}"#;
        let params = format!(r#"{{"value":{value},"id":"m1"}}"#);
        let publish = Publish::from_params(serde_json::from_str(&params).unwrap()).unwrap();
        assert_eq!(serde_json::to_string(&publish).unwrap(), params);
    }

    #[test]
    fn an_event_called_message_is_the_default_and_is_not_written() {
        let publish = Publish::from_params(json!({"value": 1, "event": "message"})).unwrap();
        assert_eq!(serde_json::to_string(&publish).unwrap(), r#"{"value":1}"#);
    }
}
