//! What of a message is shown to whoever asks for less: `fields=value,from`.

use std::{borrow::Cow, collections::HashMap, str::FromStr};

use bytes::Bytes;
use common::{Epoch, Refusal};
use hub::Record;
use serde_json::value::RawValue;

/// Fields of a message, besides its offset: that is always shown, for without it nobody could go on behind it. Its
/// position has the epoch as well, and is shown to whoever asks for it: a client that is told nothing else has no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fields(u16);

/// In the order they have in a frame.
const NAMES: [&str; 10] =
    ["value", "id", "room", "at", "from", "event", "to", "of", "edited", "reactions"];
/// Behind those.
const POSITION: u16 = 1 << NAMES.len();

impl Default for Fields {
    /// All of them.
    fn default() -> Self {
        Self((1 << NAMES.len()) - 1)
    }
}

impl FromStr for Fields {
    type Err = Refusal;

    fn from_str(list: &str) -> Result<Self, Refusal> {
        let names = list.split(',').filter(|name| !name.is_empty());
        let mut fields = names.map(|name| match NAMES.iter().position(|known| *known == name) {
            Some(n) => Ok(1 << n),
            None if name == "position" => Ok(POSITION),
            None => {
                let known = NAMES.join("`, `");
                Err(Refusal::field(
                    "fields",
                    format!("`fields` has others than `{known}`, `position`"),
                ))
            }
        });
        fields.try_fold(0, |all, field| field.map(|field: u16| all | field)).map(Self)
    }
}

impl Fields {
    /// Whether nothing is left out.
    pub(crate) fn are_all(self) -> bool {
        self == Self::default()
    }

    /// The same, but for the value.
    pub(crate) fn without_value(self) -> Self {
        Self(self.0 & !1)
    }

    /// The number of the [face](hub::Burst::face) that transport `n` makes of them.
    pub(crate) fn face(self, n: usize) -> u16 {
        (n as u16) << (NAMES.len() + 1) | self.0
    }

    /// The params of the `message` frame.
    pub(crate) fn params<'r>(self, record: &'r Record, epoch: &Epoch) -> Cow<'r, str> {
        let all = record.params();
        let fields =
            (!self.are_all()).then(|| serde_json::from_str::<HashMap<&str, &RawValue>>(all));
        // What was kept is as it was written, unless it is damaged.
        let Some(Ok(fields)) = fields else { return all.into() };
        let mut shown = format!(r#"{{"offset":{}"#, record.offset);
        for (n, name) in NAMES.iter().enumerate() {
            if self.0 & (1 << n) != 0
                && let Some(field) = fields.get(name)
            {
                shown += &format!(r#","{name}":{field}"#);
            }
        }
        if self.0 & POSITION != 0 {
            shown += &format!(r#","position":"{epoch}:{}""#, record.offset);
        }
        (shown + "}").into()
    }

    /// The `message` frame.
    pub(crate) fn frame(self, record: &Record, epoch: &Epoch) -> Bytes {
        match self.params(record, epoch) {
            Cow::Borrowed(_) => record.frame.bytes().clone(),
            Cow::Owned(params) => format!(r#"{{"type":"message","params":{params}}}"#).into(),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use common::Message;
    use hub::Draft;

    use super::*;

    fn epoch() -> Epoch {
        Epoch::parse("e").unwrap()
    }

    fn record(value: &str) -> std::sync::Arc<Record> {
        let message = format!(
            r#"{{"offset":7,"value":{value},"id":"m1","room":"tea","at":3,"from":{{"id":"ada","name":"Ada"}},"event":"move","to":"self","of":"m0","edited":9,"reactions":[{{"emoji":"👍","from":[]}}]}}"#
        );
        let message: Message = serde_json::from_str(&message).unwrap();
        let offset = message.offset;
        Draft::new(message, None).numbered(offset)
    }

    #[test]
    fn of_a_message_only_what_is_asked_for_is_shown_and_always_its_offset() {
        let record = record(r#"{"a":[1.50,"}"]}"#);
        let shown =
            |list: &str| list.parse::<Fields>().unwrap().params(&record, &epoch()).into_owned();
        assert_eq!(shown(""), r#"{"offset":7}"#);
        assert_eq!(shown("value"), r#"{"offset":7,"value":{"a":[1.5,"}"]}}"#);
        assert_eq!(shown("position"), r#"{"offset":7,"position":"e:7"}"#);
        assert_eq!(shown("at,id"), r#"{"offset":7,"id":"m1","at":3}"#);
        assert_eq!(
            shown("from,event"),
            r#"{"offset":7,"from":{"id":"ada","name":"Ada"},"event":"move"}"#
        );
        assert_eq!(shown(&NAMES.join(",")), record.params());
        let frame = "to".parse::<Fields>().unwrap().frame(&record, &epoch());
        assert_eq!(frame, r#"{"type":"message","params":{"offset":7,"to":"self"}}"#);
        assert_eq!(Fields::default().frame(&record, &epoch()), record.frame.bytes());
    }

    #[test]
    fn every_field_of_a_message_can_be_asked_for() {
        let message = serde_json::to_value(record("1").message().unwrap()).unwrap();
        let fields = message.as_object().unwrap();
        let mut fields: Vec<_> = fields.keys().map(String::as_str).collect();
        fields.sort_unstable();
        let mut names = [&NAMES[..], &["offset"]].concat();
        names.sort_unstable();
        assert_eq!(fields, names);
    }

    #[test]
    fn a_field_that_there_is_not_is_refused() {
        let refusal = "value,text".parse::<Fields>().unwrap_err();
        assert_eq!(refusal.field.as_deref(), Some("fields"));
    }

    #[test]
    fn a_text_of_64_bytes_takes_at_most_160() {
        let record = record(&format!("\"{}\"", "x".repeat(64)));
        let frame = "value".parse::<Fields>().unwrap().frame(&record, &epoch());
        // With the head of the WebSocket's frame.
        assert!(frame.len() + 2 <= 160, "{}", frame.len());
    }
}
