//! A message as a row of the file, and back.

use std::sync::Arc;

use common::{Audience, MemberId, MessageId, Offset, Refusal, RoomName, SessionId};
use hub::{Draft, Envelope, Record};
use rusqlite::{Error, Result, Row, Transaction, params, types::Type};

use super::unsigned;

/// The columns that [`record`] reads, in this order.
pub(super) const COLUMNS: &str = "offset, messages.id, at, member, session, audience, body";
/// How many those are.
pub(super) const COUNT: usize = 7;

/// The record in a row of [`COLUMNS`] that have a body.
pub(super) fn record(row: &Row<'_>, room: &RoomName) -> Result<Arc<Record>> {
    let to = match row.get_ref(5)?.as_str_or_null()? {
        None => Audience::All,
        Some(json) => serde_json::from_str(json).map_err(|error| unreadable(5, error))?,
    };
    let envelope = Envelope {
        room: room.clone(),
        id: parse(row, 1, MessageId::parse)?,
        at: unsigned(row, 2)?,
        member: parse(row, 3, MemberId::parse)?,
        session: match row.get_ref(4)? {
            rusqlite::types::ValueRef::Null => None,
            _ => Some(parse(row, 4, SessionId::parse)?),
        },
        to,
    };
    Ok(Record::new(envelope, Offset(unsigned(row, 0)?), row.get_ref(6)?.as_blob()?))
}

/// Stores a draft in `room`, unless its id is there already; returns its offset and whether it is new.
pub(super) fn store(log: &Transaction<'_>, room: i64, draft: &Draft) -> Result<(Offset, bool)> {
    let Draft { envelope: Envelope { id, at, member, session, to, .. }, body } = draft;
    // Words and ids always encode.
    let audience = (*to != Audience::All).then(|| serde_json::to_string(to).unwrap_or_default());
    let stored = log
        .prepare_cached(
            "INSERT INTO messages (room, id, at, member, session, audience, body)
             VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (room, id) DO NOTHING",
        )?
        .execute(params![
            room,
            id.as_str(),
            *at as i64,
            member.as_str(),
            session.as_ref().map(SessionId::as_str),
            audience,
            &body[..]
        ])?;
    if stored == 1 {
        return Ok((Offset(log.last_insert_rowid() as u64), true));
    }
    let first = log
        .prepare_cached("SELECT offset FROM messages WHERE room = ? AND id = ?")?
        .query_row(params![room, id.as_str()], |row| unsigned(row, 0))?;
    Ok((Offset(first), false))
}

/// The text in a column, checked.
pub(super) fn parse<T>(
    row: &Row<'_>,
    column: usize,
    parse: impl FnOnce(&str) -> std::result::Result<T, Refusal>,
) -> Result<T> {
    parse(row.get_ref(column)?.as_str()?).map_err(|refusal| unreadable(column, refusal))
}

fn unreadable(column: usize, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::FromSqlConversionFailure(column, Type::Text, error.into())
}
