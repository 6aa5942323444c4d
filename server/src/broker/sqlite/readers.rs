//! Looking into the file, beside the thread that writes it.

use std::{path::PathBuf, sync::Arc};

use common::{Offset, RoomName};
use hub::{
    Record,
    broker::{BrokerError, KeptRoom, Part, Read},
};
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension, Result, Transaction, params};
use tokio::sync::Semaphore;

use super::{
    open,
    row::{self, COLUMNS},
    unavailable, unsigned,
};

/// How many look at one time; more wait. Each has a connection of its own, kept for the next.
const READERS: usize = 4;

#[derive(Debug)]
pub(super) struct Readers {
    permits: Semaphore,
    connections: Arc<Connections>,
}

#[derive(Debug)]
struct Connections {
    file: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(super) fn new(file: PathBuf) -> Self {
        let connections = Arc::new(Connections { file, idle: Mutex::default() });
        Self { permits: Semaphore::new(READERS), connections }
    }

    /// Looks at one state of the log: what is written meanwhile is not seen. What goes wrong is logged
    /// here, and nowhere else.
    pub(super) async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Transaction<'_>) -> Result<T> + Send + 'static,
    ) -> std::result::Result<T, BrokerError> {
        // It is never closed.
        let _permit = self.permits.acquire().await;
        let connections = self.connections.clone();
        match tokio::task::spawn_blocking(move || connections.look(look)).await {
            Ok(Ok(seen)) => Ok(seen),
            Ok(Err(error)) => {
                tracing::error!(%error, "the log can't be read");
                Err(unavailable(&error))
            }
            Err(error) => {
                tracing::error!(%error, "reading the log has failed");
                Err(BrokerError::Unavailable(error.to_string()))
            }
        }
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

/// The records of a part of a room, whether they are all there are, and the floor.
pub(super) fn page(
    log: &Transaction<'_>,
    room: &RoomName,
    read: Read,
) -> Result<(Vec<Arc<Record>>, bool, Offset)> {
    let found = log
        .prepare_cached("SELECT id, floor FROM rooms WHERE name = ?")?
        .query_row([room.as_str()], |row| Ok((row.get::<_, i64>(0)?, unsigned(row, 1)?)))
        .optional()?;
    let Some((id, floor)) = found else {
        let gone = log
            .prepare_cached("SELECT value FROM meta WHERE key = 'gone'")?
            .query_row([], |row| unsigned(row, 0))?;
        return Ok((Vec::new(), true, Offset(gone)));
    };
    let (condition, offset) = match read.part {
        Part::After(offset) => ("offset > ? AND body IS NOT NULL ORDER BY offset", offset),
        Part::Before(offset) => ("offset < ? AND body IS NOT NULL ORDER BY offset DESC", offset),
    };
    // SQLite's integers are signed; no log gets that long.
    let offset = i64::try_from(offset.0).unwrap_or(i64::MAX);
    let sql = format!("SELECT {COLUMNS} FROM messages WHERE room = ? AND {condition}");
    let mut statement = log.prepare_cached(&sql)?;
    let mut rows = statement.query(params![id, offset])?;
    let (mut records, mut bytes, mut complete) = (Vec::new(), 0, true);
    while let Some(row) = rows.next()? {
        if records.len() >= read.records || bytes >= read.bytes {
            complete = false;
            break;
        }
        let record = row::record(row, room)?;
        bytes += record.frame.bytes().len();
        records.push(record);
    }
    if matches!(read.part, Part::Before(_)) {
        records.reverse();
    }
    Ok((records, complete, Offset(floor)))
}

/// The rooms something is kept of, the one last spoken in first.
pub(super) fn rooms(log: &Transaction<'_>, limit: usize) -> Result<Vec<KeptRoom>> {
    let sql = "SELECT name, last_at FROM rooms ORDER BY last_at DESC, name LIMIT ?";
    let mut statement = log.prepare_cached(sql)?;
    let rows = statement.query_map([limit as i64], |row| {
        Ok(KeptRoom { name: row::parse(row, 0, RoomName::parse)?, last_at: unsigned(row, 1)? })
    })?;
    rows.collect()
}
