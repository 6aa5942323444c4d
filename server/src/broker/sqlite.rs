//! The log in one SQLite file.
//!
//! One thread writes. It takes everything that waits, commits it in one transaction (group commit), then
//! hands it on, then answers: nobody sees or is told of a message that is not kept. Readers have
//! connections of their own and never wait for the writer (write-ahead log).
//!
//! A message that is let go of leaves its row without a body until its id may be forgotten.

mod open;
mod writer;

use std::{
    fs::File,
    path::Path,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use common::{Epoch, Offset, RoomName};
use hub::broker::{
    BoxFuture, Broker, BrokerError, Follower, KeptRoom, Page, Part, Record, Retention,
};
use parking_lot::Mutex;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, Transaction, params};
use tokio::sync::{mpsc, oneshot};

pub use self::open::{OpenError, Sync};
use self::writer::{Append, Work, Writer};

/// How many requests may wait for the writer; more wait to be let in.
const WAITING: usize = 1024;

/// A broker over one SQLite file in a data directory.
#[derive(Debug)]
pub struct SqliteBroker {
    epoch: Epoch,
    shared: Arc<Shared>,
    writer: Option<mpsc::Sender<Work>>,
    thread: Option<thread::JoinHandle<()>>,
    readers: Arc<Readers>,
    /// Held while this lives: a second process on the same directory is refused.
    _lock: File,
}

/// What the writer tells the others.
#[derive(Default)]
struct Shared {
    head: AtomicU64,
    follower: OnceLock<Follower>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("head", &self.head).finish_non_exhaustive()
    }
}

/// Connections for reading that nobody uses now.
#[derive(Debug)]
struct Readers {
    file: std::path::PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl SqliteBroker {
    /// Opens the log in `dir`, or makes it there.
    ///
    /// # Errors
    ///
    /// [`OpenError`] when the directory can't be used, is in use, or holds something else.
    pub fn open(dir: &Path, retention: Retention, sync: Sync) -> Result<Self, OpenError> {
        let opened = open::open(dir, sync)?;
        let shared = Arc::new(Shared::default());
        shared.head.store(opened.head.0, Ordering::Release);
        let (sender, work) = mpsc::channel(WAITING);
        let writer = Writer::new(opened.connection, retention, shared.clone());
        let thread = thread::Builder::new()
            .name("log-writer".to_owned())
            .spawn(move || writer.run(work))
            .map_err(OpenError::Io)?;
        let readers = Readers { file: opened.file, idle: Mutex::default() };
        Ok(Self {
            epoch: opened.epoch,
            shared,
            writer: Some(sender),
            thread: Some(thread),
            readers: Arc::new(readers),
            _lock: opened.lock,
        })
    }

    async fn ask<T>(
        &self,
        work: impl FnOnce(oneshot::Sender<Result<T, BrokerError>>) -> Work,
    ) -> Result<T, BrokerError> {
        let stopped = || BrokerError::Unavailable("the writer has stopped".to_owned());
        let (done, answer) = oneshot::channel();
        let writer = self.writer.as_ref().ok_or_else(stopped)?;
        writer.send(work(done)).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, BrokerError> {
        let readers = self.readers.clone();
        tokio::task::spawn_blocking(move || readers.look(look))
            .await
            .map_err(|error| BrokerError::Unavailable(error.to_string()))?
            .map_err(|error| unavailable(&error))
    }
}

impl Drop for SqliteBroker {
    /// Waits until everything that was asked for is written.
    fn drop(&mut self) {
        drop(self.writer.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Broker for SqliteBroker {
    fn epoch(&self) -> Epoch {
        self.epoch.clone()
    }

    fn head(&self) -> Offset {
        Offset(self.shared.head.load(Ordering::Acquire))
    }

    fn follow(&self, follower: Follower) {
        // The contract says once; a second follower would hear nothing.
        let _ = self.shared.follower.set(follower);
    }

    fn append(&self, records: Vec<Record>) -> BoxFuture<'_, Result<Vec<Offset>, BrokerError>> {
        Box::pin(self.ask(|done| Work::Append(Append { records, done })))
    }

    fn read(
        &self,
        room: &RoomName,
        part: Part,
        limit: usize,
    ) -> BoxFuture<'_, Result<Page, BrokerError>> {
        let room = room.clone();
        Box::pin(self.look(move |log| read(log, &room, part, limit)))
    }

    fn rooms(&self, limit: usize) -> BoxFuture<'_, Result<Vec<KeptRoom>, BrokerError>> {
        Box::pin(self.look(move |log| rooms(log, limit)))
    }

    fn tidy(&self, at: u64) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(self.ask(move |done| Work::Tidy { at, done }))
    }
}

impl Readers {
    /// Looks at one state of the log: what is written meanwhile is not seen.
    fn look<T>(
        &self,
        look: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let idle = self.idle.lock().pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => open::for_reading(&self.file)?,
        };
        let seen = {
            let transaction = connection.transaction()?;
            look(&transaction)?
        };
        self.idle.lock().push(connection);
        Ok(seen)
    }
}

/// Hands every record kept in `dir` to `each`, in offset order. A broker may have it open meanwhile:
/// this sees one state of it.
pub(crate) fn each_record(
    dir: &Path,
    mut each: impl FnMut(Record) -> std::io::Result<()>,
) -> Result<(), OpenError> {
    let (connection, explain) = open::existing(dir)?;
    let mut statement = connection
        .prepare("SELECT offset, body FROM messages WHERE body IS NOT NULL ORDER BY offset")
        .map_err(&explain)?;
    let mut rows = statement.query([]).map_err(&explain)?;
    while let Some(row) = rows.next().map_err(&explain)? {
        let record = unsigned(row, 0).and_then(|offset| decode(offset, &row.get::<_, Vec<u8>>(1)?));
        each(record.map_err(&explain)?)?;
    }
    Ok(())
}

fn read(
    log: &Transaction<'_>,
    room: &RoomName,
    part: Part,
    limit: usize,
) -> rusqlite::Result<Page> {
    let found = log
        .prepare_cached("SELECT id, floor FROM rooms WHERE name = ?")?
        .query_row([room.as_str()], |row| Ok((row.get::<_, i64>(0)?, unsigned(row, 1)?)))
        .optional()?;
    let Some((id, floor)) = found else {
        let gone = log
            .prepare_cached("SELECT value FROM meta WHERE key = 'gone'")?
            .query_row([], |row| unsigned(row, 0))?;
        return Ok(Page { records: Vec::new(), floor: Offset(gone) });
    };
    let (sql, offset) = match part {
        Part::After(offset) => (
            "SELECT offset, body FROM messages WHERE room = ? AND offset > ? AND body IS NOT NULL
             ORDER BY offset LIMIT ?",
            offset,
        ),
        Part::Before(offset) => (
            "SELECT offset, body FROM messages WHERE room = ? AND offset < ? AND body IS NOT NULL
             ORDER BY offset DESC LIMIT ?",
            offset,
        ),
    };
    // SQLite's integers are signed; no log gets that long.
    let offset = i64::try_from(offset.0).unwrap_or(i64::MAX);
    let mut statement = log.prepare_cached(sql)?;
    let rows = statement.query_map(params![id, offset, limit as i64], |row| {
        let body: Vec<u8> = row.get(1)?;
        decode(unsigned(row, 0)?, &body)
    })?;
    let mut records = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    if matches!(part, Part::Before(_)) {
        records.reverse();
    }
    Ok(Page { records, floor: Offset(floor) })
}

fn rooms(log: &Transaction<'_>, limit: usize) -> rusqlite::Result<Vec<KeptRoom>> {
    let sql = "SELECT name, last_at FROM rooms ORDER BY last_at DESC, name LIMIT ?";
    let mut statement = log.prepare_cached(sql)?;
    let rows = statement.query_map([limit as i64], |row| {
        let (name, last_at) = (row.get::<_, String>(0)?, unsigned(row, 1)?);
        Ok(RoomName::parse(&name).ok().map(|name| KeptRoom { name, last_at }))
    })?;
    rows.filter_map(Result::transpose).collect()
}

/// A record as it is in the file: JSON, its offset in a column of its own.
fn encode(record: &Record) -> Vec<u8> {
    // Strings, numbers and maps with string keys always encode.
    serde_json::to_vec(record).unwrap_or_default()
}

fn decode(offset: u64, body: &[u8]) -> rusqlite::Result<Record> {
    let mut record: Record = serde_json::from_slice(body).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(1, rusqlite::types::Type::Blob, error.into())
    })?;
    record.message.offset = Offset(offset);
    Ok(record)
}

/// SQLite's integers are signed; ours are never negative.
fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let number = row.get::<_, i64>(column)?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}

fn unavailable(error: &rusqlite::Error) -> BrokerError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => BrokerError::Full,
        _ => BrokerError::Unavailable(error.to_string()),
    }
}
