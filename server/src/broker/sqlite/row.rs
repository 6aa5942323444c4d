//! A message as a row of the file, and back.

use std::sync::Arc;

use common::{Audience, MemberId, Mend, Mends, MessageId, Offset, Refusal, RoomName, SessionId};
use hub::{Draft, Envelope, Record};
use rusqlite::{Connection, Error, OptionalExtension, Result, Row, params, types::Type};

use super::unsigned;

/// The columns that [`record`] reads, in this order.
pub(super) const COLUMNS: &str =
    "offset, messages.id, at, member, session, audience, body, crc, target, how";
/// How many those are.
pub(super) const COUNT: usize = 10;

/// A row that is not as it was written.
#[derive(Debug, thiserror::Error)]
#[error("message {} of room {room} is damaged: {why}", .offset.0)]
pub(crate) struct Damaged {
    /// Which.
    pub(crate) offset: Offset,
    /// The room it is in.
    pub(crate) room: RoomName,
    /// What is wrong with it.
    pub(crate) why: Error,
}

/// The record in a row of [`COLUMNS`] that have a body, as it was written, or what is wrong with it.
pub(super) fn read(
    row: &Row<'_>,
    room: &RoomName,
) -> Result<std::result::Result<Arc<Record>, Damaged>> {
    let offset = Offset(unsigned(row, 0)?);
    Ok(record(row, room).map_err(|why| Damaged { offset, room: room.clone(), why }))
}

fn record(row: &Row<'_>, room: &RoomName) -> Result<Arc<Record>> {
    if let Some(written) = row.get::<_, Option<i64>>(7)? {
        let text = |column| Ok::<_, Error>(row.get_ref(column)?.as_str_or_null()?);
        let at = row.get(2)?;
        let body = row.get_ref(6)?.as_blob()?;
        let texts = [text(1)?, text(3)?, text(4)?, text(5)?];
        if crc(texts, [text(8)?, text(9)?], at, body) != written {
            return Err(unreadable(6, "its checksum is another"));
        }
    }
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
        mends: match row.get_ref(9)?.as_str_or_null()? {
            None => None,
            Some(how) => Some(Mends {
                of: parse(row, 8, MessageId::parse)?,
                how: Mend::parse(how).ok_or_else(|| unreadable(9, "it is no way to mend"))?,
            }),
        },
    };
    Ok(Record::new(envelope, Offset(unsigned(row, 0)?), row.get_ref(6)?.as_blob()?))
}

/// CRC-32 (IEEE) of a row: a byte that has changed on the disk is found by it. What a row does to another counts where it
/// does something, for older versions knew nothing of that.
fn crc(texts: [Option<&str>; 4], mends: [Option<&str>; 2], at: i64, body: &[u8]) -> i64 {
    let mut hasher = crc32fast::Hasher::new();
    for text in texts.into_iter().chain(mends.into_iter().filter(Option::is_some)) {
        // With its length, so that nothing can move from one into the next.
        hasher.update(&text.map_or(-1, |text| text.len() as i64).to_le_bytes());
        hasher.update(text.unwrap_or_default().as_bytes());
    }
    hasher.update(&at.to_le_bytes());
    hasher.update(body);
    i64::from(hasher.finalize())
}

/// What became of a draft.
pub(super) enum Stored {
    /// It has this offset.
    New(Offset),
    /// It was there already, and has this one.
    Known(Offset),
    /// Somebody else has said something under its id.
    Taken,
}

/// Stores a draft in `room`, unless its id is there already.
pub(super) fn store(log: &Connection, room: i64, draft: &Draft) -> Result<Stored> {
    let Draft { envelope: Envelope { id, at, member, session, to, mends, .. }, body, guest } =
        draft;
    let (audience, session) = (audience(to), session.as_ref().map(SessionId::as_str));
    let target = mends.as_ref().map(|mends| mends.of.as_str());
    let how = mends.as_ref().map(|mends| mends.how.word());
    let stored = log
        .prepare_cached(
            "INSERT INTO messages
                 (room, id, at, member, session, audience, guest, body, crc, target, how)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (room, id) DO NOTHING",
        )?
        .execute(params![
            room,
            id.as_str(),
            *at as i64,
            member.as_str(),
            session,
            audience,
            guest,
            &body[..],
            crc(
                [Some(id.as_str()), Some(member.as_str()), session, audience.as_deref()],
                [target, how],
                *at as i64,
                body
            ),
            target,
            how,
        ])?;
    if stored == 1 {
        return Ok(Stored::New(Offset(log.last_insert_rowid() as u64)));
    }
    known(log, room, draft)?.ok_or(Error::QueryReturnedNoRows)
}

/// What is known of a draft's id, if anything is.
pub(super) fn known(log: &Connection, room: i64, draft: &Draft) -> Result<Option<Stored>> {
    log.prepare_cached("SELECT offset, member, guest FROM messages WHERE room = ? AND id = ?")?
        .query_row(params![room, draft.envelope.id.as_str()], |row| {
            let (member, guest) = (row.get_ref(1)?.as_str()?, row.get_ref(2)?.as_str_or_null()?);
            // Of what an older version let go of nobody knows who said it.
            let is_same = member.is_empty() || draft.is_by(member, guest);
            Ok(if is_same { Stored::Known(Offset(unsigned(row, 0)?)) } else { Stored::Taken })
        })
        .optional()
}

/// The draft as it may be done to what is kept in `room`.
pub(super) fn aim(
    log: &Connection,
    room: i64,
    draft: Draft,
) -> Result<std::result::Result<Draft, Refusal>> {
    let Some(Mends { of, .. }) = &draft.envelope.mends else { return Ok(Ok(draft)) };
    if known(log, room, &draft)?.is_some() {
        return Ok(Ok(draft));
    }
    let target = find(log, room, &draft.envelope.room, of)?;
    Ok(draft.aimed(target.as_deref()))
}

/// The message with this id, if it is kept and can be read.
fn find(
    log: &Connection,
    room: i64,
    name: &RoomName,
    id: &MessageId,
) -> Result<Option<Arc<Record>>> {
    let sql =
        format!("SELECT {COLUMNS} FROM messages WHERE room = ? AND id = ? AND body IS NOT NULL");
    let mut statement = log.prepare_cached(&sql)?;
    let mut rows = statement.query(params![room, id.as_str()])?;
    let found = rows.next()?.map(|row| read(row, name)).transpose()?;
    Ok(found.and_then(std::result::Result::ok))
}

/// Does to the other messages of `room` what `by`, which is stored, does to one of them. Nothing is left in the file of what
/// went by that, but in the log beside it, until that is taken in.
pub(super) fn mend(log: &Connection, room: i64, by: &Record) -> Result<()> {
    let Some(Mends { of, how }) = &by.envelope.mends else { return Ok(()) };
    let (of_id, offset) = (of.as_str(), by.offset.0 as i64);
    if *how == Mend::Retract {
        log.prepare_cached(
            "UPDATE messages SET body = NULL
             WHERE room = ?1 AND (id = ?2 OR target = ?2) AND offset <> ?3 AND body IS NOT NULL",
        )?
        .execute(params![room, of_id, offset])?;
        return Ok(());
    }
    if let Some(target) = find(log, room, &by.envelope.room, of)? {
        replace(log, room, &target.mended(by))?;
    }
    log.prepare_cached(
        "UPDATE messages SET body = NULL
         WHERE room = ? AND target = ? AND how = ? AND member = ? AND offset < ?
             AND body IS NOT NULL",
    )?
    .execute(params![room, of_id, how.word(), by.envelope.member.as_str(), offset])?;
    Ok(())
}

/// An audience as its column has it.
fn audience(to: &Audience) -> Option<String> {
    // Words and ids always encode.
    (*to != Audience::All).then(|| serde_json::to_string(to).unwrap_or_default())
}

/// Writes the body of a message anew.
fn replace(log: &Connection, room: i64, record: &Record) -> Result<usize> {
    let Envelope { id, at, member, session, to, .. } = &record.envelope;
    let (audience, session) = (audience(to), session.as_ref().map(SessionId::as_str));
    let texts = [Some(id.as_str()), Some(member.as_str()), session, audience.as_deref()];
    let crc = crc(texts, [None, None], *at as i64, record.body());
    log.prepare_cached("UPDATE messages SET body = ?, crc = ? WHERE room = ? AND id = ?")?
        .execute(params![record.body(), crc, room, id.as_str()])
}

/// The name of a room in a column, also one that would be refused by now.
pub(super) fn room(row: &Row<'_>, column: usize) -> Result<RoomName> {
    parse(row, column, |name| RoomName::try_from(name.to_owned()))
}

/// The text in a column, checked.
fn parse<T>(
    row: &Row<'_>,
    column: usize,
    parse: impl FnOnce(&str) -> std::result::Result<T, Refusal>,
) -> Result<T> {
    parse(row.get_ref(column)?.as_str()?).map_err(|refusal| unreadable(column, refusal))
}

fn unreadable(column: usize, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::FromSqlConversionFailure(column, Type::Text, error.into())
}
