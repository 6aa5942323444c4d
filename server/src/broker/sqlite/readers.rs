//! Looking into the file, beside the thread that writes it.

use std::{fmt, path::PathBuf, sync::Arc};

use common::{Offset, RoomName};
use hub::{
    Record,
    broker::{BrokerError, KeptRoom, Part, Read, Troubles},
};
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension, Result, Transaction, params};
use tokio::sync::Semaphore;

use super::{
    open,
    row::{self, COLUMNS, Damaged},
    unavailable, unsigned,
    writer::LATE,
};

/// How many look at one time; more wait. Each has a connection of its own, kept for the next.
const READERS: usize = 4;

#[derive(Debug)]
pub(super) struct Readers {
    permits: Arc<Semaphore>,
    connections: Arc<Connections>,
    troubles: Mutex<Troubles>,
}

#[derive(Debug)]
struct Connections {
    file: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(super) fn new(file: PathBuf) -> Self {
        let connections = Arc::new(Connections { file, idle: Mutex::default() });
        let permits = Arc::new(Semaphore::new(READERS));
        Self { permits, connections, troubles: Mutex::default() }
    }

    /// Looks at one state of the log: what is written meanwhile is not seen. What goes wrong is logged
    /// here, and nowhere else.
    pub(super) async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Transaction<'_>) -> Result<T> + Send + 'static,
    ) -> std::result::Result<T, BrokerError> {
        // It is never closed. A look goes on when nobody waits for it any more, and so does its permit.
        let permit = self.permits.clone().acquire_owned().await;
        let connections = self.connections.clone();
        let looked = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            connections.look(look)
        });
        match looked.await {
            Ok(Ok(seen)) => Ok(seen),
            Ok(Err(error)) => {
                self.trouble(format_args!("the log can't be read: {error}"));
                Err(unavailable(&error))
            }
            Err(error) => {
                self.trouble(format_args!("reading the log has failed: {error}"));
                Err(BrokerError::Unavailable(error.to_string()))
            }
        }
    }

    /// Says what is wrong with the log, now and then.
    pub(super) fn trouble(&self, what: fmt::Arguments<'_>) {
        self.troubles.lock().error(what);
    }
}

impl Connections {
    fn look<T>(&self, look: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
        let idle = self.idle.lock().pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => open::for_reading(&self.file)?,
        };
        let seen = connection.transaction().and_then(|transaction| look(&transaction));
        self.idle.lock().push(connection);
        seen
    }
}

/// A part of a room as it is in the file.
pub(super) struct Found {
    pub(super) records: Vec<Arc<Record>>,
    /// Whether they are all there are.
    pub(super) complete: bool,
    pub(super) floor: Offset,
    /// What can't be read any more.
    pub(super) damaged: Vec<Damaged>,
}

/// A part of a room. What is damaged in it counts as gone: a page ends before it, or begins behind it and has its
/// number as the floor, so that whoever reads on is told of a gap.
pub(super) fn page(log: &Transaction<'_>, room: &RoomName, read: Read) -> Result<Found> {
    let found = log
        .prepare_cached("SELECT id, floor FROM rooms WHERE name = ?")?
        .query_row([room.as_str()], |row| Ok((row.get::<_, i64>(0)?, unsigned(row, 1)?)))
        .optional()?;
    let Some((id, floor)) = found else {
        let gone = log
            .prepare_cached("SELECT value FROM meta WHERE key = 'gone'")?
            .query_row([], |row| unsigned(row, 0))?;
        let (records, damaged) = (Vec::new(), Vec::new());
        return Ok(Found { records, complete: true, floor: Offset(gone), damaged });
    };
    let mut floor = Offset(floor);
    let (condition, offset) = match read.part {
        Part::After(offset) => ("offset > ? AND body IS NOT NULL ORDER BY offset", offset),
        Part::Before(offset) => ("offset < ? AND body IS NOT NULL ORDER BY offset DESC", offset),
    };
    // SQLite's integers are signed; no log gets that long.
    let offset = i64::try_from(offset.0).unwrap_or(i64::MAX);
    let sql = format!("SELECT {COLUMNS} FROM messages WHERE room = ? AND {condition}");
    let mut statement = log.prepare_cached(&sql)?;
    let mut rows = statement.query(params![id, offset])?;
    let (mut records, mut damaged, mut bytes, mut complete) = (vec![], vec![], 0, true);
    while let Some(row) = rows.next()? {
        if records.len() >= read.records || bytes >= read.bytes {
            complete = false;
            break;
        }
        match (row::read(row, room)?, read.part) {
            (Ok(record), _) => {
                bytes += record.frame.bytes().len();
                records.push(record);
            }
            (Err(bad), Part::After(_)) if records.is_empty() => {
                floor = floor.max(bad.offset);
                damaged.push(bad);
            }
            (Err(_), Part::After(_)) => {
                complete = false;
                break;
            }
            (Err(bad), Part::Before(_)) => damaged.push(bad),
        }
    }
    if matches!(read.part, Part::Before(_)) {
        records.reverse();
    }
    Ok(Found { records, complete, floor, damaged })
}

/// The rooms something is kept of, the one last spoken in first.
pub(super) fn rooms(log: &Transaction<'_>, limit: usize) -> Result<Vec<KeptRoom>> {
    // All that may be among the last, and of those the newest message.
    let sql = "SELECT name, coalesce(
            (SELECT at FROM messages WHERE room = rooms.id ORDER BY offset DESC LIMIT 1), last_at
        ) AS at FROM rooms
        WHERE last_at >= (SELECT min(last_at) - ?2 FROM
            (SELECT last_at FROM rooms ORDER BY last_at DESC LIMIT ?1))
        ORDER BY at DESC, name LIMIT ?1";
    let mut statement = log.prepare_cached(sql)?;
    let rows = statement.query_map([limit as i64, LATE], |row| {
        Ok(KeptRoom { name: row::room(row, 0)?, last_at: unsigned(row, 1)? })
    })?;
    rows.collect()
}

/// What is kept beside messages, by key.
pub(super) fn kept(log: &Transaction<'_>) -> Result<Vec<(String, String)>> {
    let mut statement = log.prepare_cached("SELECT key, value FROM kept ORDER BY key")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

/// A part of the whole log behind an offset, over all rooms. What is damaged in it is left out, and
/// counts as gone.
pub(super) fn page_of_all(
    log: &Transaction<'_>,
    after: Offset,
    most: usize,
    most_bytes: usize,
) -> Result<Found> {
    let floor = log
        .prepare_cached(
            "SELECT max((SELECT coalesce(max(floor), 0) FROM rooms),
                (SELECT value FROM meta WHERE key = 'gone'))",
        )?
        .query_row([], |row| unsigned(row, 0))?;
    let mut floor = Offset(floor);
    let sql = format!(
        "SELECT {COLUMNS}, rooms.name FROM messages JOIN rooms ON rooms.id = messages.room
         WHERE offset > ? AND body IS NOT NULL ORDER BY offset"
    );
    let after = i64::try_from(after.0).unwrap_or(i64::MAX);
    let mut statement = log.prepare_cached(&sql)?;
    let mut rows = statement.query([after])?;
    let (mut records, mut damaged, mut bytes, mut complete) = (vec![], vec![], 0, true);
    while let Some(row) = rows.next()? {
        if records.len() >= most || bytes >= most_bytes {
            complete = false;
            break;
        }
        match row::read(row, &row::room(row, row::COUNT)?)? {
            Ok(record) => {
                bytes += record.frame.bytes().len();
                records.push(record);
            }
            Err(bad) => {
                floor = floor.max(bad.offset);
                damaged.push(bad);
            }
        }
    }
    Ok(Found { records, complete, floor, damaged })
}
