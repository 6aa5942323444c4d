//! The log in one SQLite file.
//!
//! One writes at a time. It takes everything that waits, commits it in one transaction (group commit), then
//! answers, then hands it on: nobody sees or is told of a message that is not kept. Readers have
//! connections of their own and never wait for the writer (write-ahead log).
//!
//! A message is a row: its envelope in columns, its body as it was encoded by whoever published it. One
//! that is let go of leaves its row without a body until its id may be forgotten.

mod open;
mod readers;
mod row;
mod turns;
mod witness;
mod writer;

use std::{fmt::Display, io, path::Path, sync::Arc};

use common::{Epoch, Offset, Position, RoomName};
use hub::{
    Draft, Record,
    broker::{
        Appended, BoxFuture, Broker, BrokerError, Followed, Follower, Keep, KeptRoom, Opened, Page,
        Read, Retention,
    },
};
use metrics::Histogram;
use rusqlite::{ErrorCode, Row, Statement};
use tokio::sync::oneshot;

pub use self::open::{OpenError, Sync};
use self::{
    readers::{Found, Readers},
    row::COLUMNS,
    turns::Turns,
    writer::{Append, Work, Writer},
};

/// A broker over one SQLite file in a data directory.
#[derive(Debug)]
pub struct SqliteBroker {
    epoch: Epoch,
    followed: Arc<Followed>,
    turns: Arc<Turns>,
    readers: Readers,
}

impl SqliteBroker {
    /// Opens the log in `dir`, or makes it there.
    ///
    /// # Errors
    ///
    /// [`OpenError`] when the directory can't be used, is in use, or holds something else.
    pub fn open(dir: &Path, retention: Retention, sync: Sync) -> Result<Self, OpenError> {
        let opened = open::open(dir, sync)?;
        let (epoch, file) = (opened.epoch.clone(), opened.file.clone());
        let followed = Arc::new(Followed::new(opened.head));
        let writer = Writer::new(opened, retention, followed.clone())?;
        Ok(Self { epoch, followed, turns: Turns::new(writer), readers: Readers::new(file) })
    }

    /// The same, telling how long each transaction took.
    #[must_use]
    pub(crate) fn observed(self, commits: Histogram) -> Self {
        self.turns.observe(commits);
        self
    }

    async fn ask<T>(
        &self,
        work: impl FnOnce(oneshot::Sender<Result<T, BrokerError>>) -> Work,
    ) -> Result<T, BrokerError> {
        let (done, answer) = oneshot::channel();
        self.turns.ask(work(done));
        let stopped = |_| BrokerError::Unavailable("the writer has stopped".to_owned());
        answer.await.map_err(stopped)?
    }
}

impl Drop for SqliteBroker {
    /// Waits until everything that was asked for is written.
    fn drop(&mut self) {
        self.turns.end();
    }
}

impl Broker for SqliteBroker {
    fn open(
        &self,
        room: &RoomName,
        follower: Follower,
    ) -> BoxFuture<'_, Result<Opened, BrokerError>> {
        let (offset, following) = self.followed.open(room, follower);
        let position = Position { epoch: self.epoch.clone(), offset };
        Box::pin(std::future::ready(Ok(Opened { position, following })))
    }

    fn append(&self, drafts: Vec<Draft>) -> BoxFuture<'_, Result<Appended, BrokerError>> {
        Box::pin(async move {
            let offsets = self.ask(|done| Work::Append(Append { drafts, done })).await?;
            Ok(Appended { epoch: self.epoch.clone(), offsets })
        })
    }

    fn read(&self, room: &RoomName, read: Read) -> BoxFuture<'_, Result<Page, BrokerError>> {
        let (room, epoch) = (room.clone(), self.epoch.clone());
        // Before looking: what is kept by now is seen. A single file is never behind itself.
        let head = self.followed.head();
        Box::pin(async move {
            let look = self.readers.look(move |log| readers::page(log, &room, read));
            let Found { records, complete, floor, damaged } = look.await?;
            for bad in damaged {
                self.readers
                    .trouble(format_args!("message {} is damaged: {}", bad.offset.0, bad.why));
            }
            Ok(Page { epoch, records, complete, floor, head })
        })
    }

    fn read_all(
        &self,
        _shard: usize,
        after: Offset,
        records: usize,
        bytes: usize,
    ) -> BoxFuture<'_, Result<Page, BrokerError>> {
        let (epoch, head) = (self.epoch.clone(), self.followed.head());
        Box::pin(async move {
            let look =
                self.readers.look(move |log| readers::page_of_all(log, after, records, bytes));
            let Found { records, complete, floor, damaged } = look.await?;
            for bad in damaged {
                self.readers
                    .trouble(format_args!("message {} is damaged: {}", bad.offset.0, bad.why));
            }
            Ok(Page { epoch, records, complete, floor, head })
        })
    }

    fn rooms(&self, limit: usize) -> BoxFuture<'_, Result<Vec<KeptRoom>, BrokerError>> {
        Box::pin(self.readers.look(move |log| readers::rooms(log, limit)))
    }

    fn let_go(&self, room: &RoomName, keep: Keep) -> BoxFuture<'_, Result<Offset, BrokerError>> {
        let room = room.clone();
        Box::pin(self.ask(move |done| Work::LetGo { room, keep, done }))
    }

    fn keep(&self, key: &str, value: Option<&str>) -> BoxFuture<'_, Result<(), BrokerError>> {
        let (key, value) = (key.to_owned(), value.map(str::to_owned));
        Box::pin(self.ask(|done| Work::Keep { key, value, done }))
    }

    fn kept(&self) -> BoxFuture<'_, Result<Vec<(String, String)>, BrokerError>> {
        Box::pin(self.readers.look(readers::kept))
    }

    fn check(&self) -> BoxFuture<'_, Result<(), BrokerError>> {
        Box::pin(self.ask(|done| Work::Check { done }))
    }

    fn tidy(&self, at: u64) -> BoxFuture<'_, Result<u64, BrokerError>> {
        Box::pin(self.ask(move |done| Work::Tidy { at, done }))
    }
}

/// Hands every record kept in `dir` to `each`, in offset order, and what can't be read any more. A broker may have it
/// open meanwhile: this sees one state of it.
pub(crate) fn each_record(
    dir: &Path,
    mut each: impl FnMut(Result<&Record, &dyn Display>) -> io::Result<()>,
) -> Result<(), OpenError> {
    let (mut connection, explain) = open::existing(dir)?;
    let log = connection.transaction().map_err(&explain)?;
    let newest = open::state(&log).map_err(&explain)?.1;
    let select = |condition: &str| {
        log.prepare(&format!(
            "SELECT {COLUMNS}, rooms.name FROM messages JOIN rooms ON rooms.id = messages.room
             WHERE body IS NOT NULL AND {condition} ORDER BY offset"
        ))
    };
    let mut behind = select("offset > ?").map_err(&explain)?;
    let mut at = select("offset = ?").map_err(&explain)?;
    let mut last = 0;
    while let Err(error) = look(&mut behind, last, |offset, record| {
        last = offset;
        each(record)
    })? {
        // A page of the file is none any more. What is behind it is looked for one by one.
        let (first, mut lost) = (last + 1, None);
        while last < newest {
            last += 1;
            match look(&mut at, last, |_, record| each(record))? {
                Ok(0) => {}
                Ok(_) => break,
                Err(_) => lost = Some(last),
            }
        }
        match lost {
            Some(lost) => {
                each(Err(&format_args!("messages {first} to {lost} can't be read: {error}")))?
            }
            None if last < first => return Err(explain(error)),
            None => {}
        }
    }
    Ok(())
}

/// Hands what `statement` finds for `offset` to `each`, with its offset: how many that were, or why there are no more.
fn look(
    statement: &mut Statement<'_>,
    offset: u64,
    mut each: impl FnMut(u64, Result<&Record, &dyn Display>) -> io::Result<()>,
) -> io::Result<rusqlite::Result<usize>> {
    let (mut count, mut handed) = (0, Ok(()));
    let looked = statement.query([offset as i64]).and_then(|mut rows| {
        while let Some(row) = rows.next()?
            && handed.is_ok()
        {
            let read = row::read(row, &row::room(row, row::COUNT)?)?;
            let record = read.as_deref().map_err(|damaged| damaged as &dyn Display);
            handed = each(unsigned(row, 0)?, record);
            count += 1;
        }
        Ok(count)
    });
    handed.map(|()| looked)
}

/// What SQLite itself finds wrong with the file in `dir`; nothing where it is well.
pub(crate) fn check(dir: &Path) -> Result<Vec<String>, OpenError> {
    let (connection, explain) = open::existing(dir)?;
    let mut statement = connection.prepare("PRAGMA integrity_check").map_err(&explain)?;
    let found = statement.query_map([], |row| row.get::<_, String>(0)).map_err(&explain)?;
    // It may be too damaged to be looked through to the end.
    let found = found.map(|word| word.unwrap_or_else(|error| error.to_string()));
    Ok(found.filter(|word| word != "ok").collect())
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
