//! Writing: group commit, then answer, then hand on.

use std::{
    collections::{HashMap, VecDeque},
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use common::{Offset, RoomName};
use hub::{
    Draft, Record,
    broker::{Ages, BrokerError, Followed, Keep, Retention, Troubles},
};
use metrics::Histogram;
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use tokio::sync::oneshot;

use super::{
    open::{Opened, PATIENCE},
    row::{Stored, aim, mend, store},
    unavailable, unsigned,
    witness::Witness,
};

/// How many records one transaction takes at the most, beyond the first request.
const GROUP: usize = 1024;
/// A room is trimmed as soon as it has grown by this part of its limit since it last was.
const SLACK: usize = 8;

/// Has the file take in what stands in the log beside it, and empties that; says whether somebody is in the way.
const CHECKPOINT: &str = "PRAGMA wal_checkpoint(TRUNCATE)";

/// By so many milliseconds it may be too early, when a room was last spoken in: its newest message has it exactly, and
/// each message of a lively room has two pages less to write.
pub(super) const LATE: i64 = 1_000;

/// What the writer is asked to do.
pub(super) enum Work {
    Append(Append),
    Tidy { at: u64, done: oneshot::Sender<Result<u64, BrokerError>> },
    Check { done: oneshot::Sender<Result<(), BrokerError>> },
    LetGo { room: RoomName, keep: Keep, done: oneshot::Sender<Result<Offset, BrokerError>> },
    Keep { key: String, value: Option<String>, done: oneshot::Sender<Result<(), BrokerError>> },
}

impl Work {
    /// Nobody waits for it any more.
    pub(super) fn is_given_up(&self) -> bool {
        match self {
            Self::Append(append) => append.done.is_closed(),
            Self::Check { done } | Self::Keep { done, .. } => done.is_closed(),
            Self::Tidy { done, .. } => done.is_closed(),
            Self::LetGo { done, .. } => done.is_closed(),
        }
    }
}

/// Drafts to store in one transaction, and who waits for their offsets.
pub(super) struct Append {
    pub(super) drafts: Vec<Draft>,
    pub(super) done: oneshot::Sender<Answer>,
}

/// What a request came to: the offset of each draft, unless one of them can't be kept.
type Answer = Result<Vec<Offset>, BrokerError>;

/// A record, and the number of its room in the file.
type InRoom = (i64, Arc<Record>);

/// What a commit came to: the answer to each request, and the records that are new, in offset order.
struct Committed {
    answers: Vec<Answer>,
    new: Vec<Arc<Record>>,
}

pub(super) struct Writer {
    connection: Connection,
    retention: Retention,
    followed: Arc<Followed>,
    /// How much each room has grown since it was trimmed: messages and bytes.
    grown: HashMap<i64, (usize, usize)>,
    ages: Ages,
    witness: Witness,
    /// Something was edited or taken back since the file has taken in what stands in the log beside it.
    has_mended: bool,
    file: PathBuf,
    /// The file, whatever is by its name now. It is locked, and after everything else let go of.
    held: File,
    inode: u64,
    troubles: Troubles,
    commits: Histogram,
}

impl Writer {
    pub(super) fn new(
        opened: Opened,
        retention: Retention,
        followed: Arc<Followed>,
    ) -> io::Result<Self> {
        let Opened { connection, file, lock: held, ages, witness, .. } = opened;
        let inode = held.metadata()?.ino();
        let grown = HashMap::new();
        Ok(Self {
            connection,
            retention,
            followed,
            grown,
            ages,
            witness,
            commits: Histogram::noop(),
            // An earlier process may have.
            has_mended: true,
            file,
            held,
            inode,
            troubles: Troubles::default(),
        })
    }

    /// Does what waits first: a tidying, or appends, and everything that can go into one commit with them.
    pub(super) fn write_some(&mut self, waiting: &Mutex<VecDeque<Work>>) {
        let (mut group, mut records) = (Vec::new(), 0);
        while records < GROUP {
            let next = |work: &mut Work| group.is_empty() || matches!(work, Work::Append(_));
            match waiting.lock().pop_front_if(next) {
                Some(Work::Tidy { at, done }) => {
                    let _ = done.send(self.tidy(at).map_err(|error| unavailable(&error)));
                    return;
                }
                Some(Work::Check { done }) => {
                    let _ = done.send(self.check());
                    return;
                }
                Some(Work::LetGo { room, keep, done }) => {
                    let gone = self.there().and_then(|()| {
                        self.let_go(&room, keep).map_err(|error| unavailable(&error))
                    });
                    let _ = done.send(gone);
                    return;
                }
                Some(Work::Keep { key, value, done }) => {
                    let kept = self.there().and_then(|()| {
                        let kept = keep(&self.connection, &key, value.as_deref());
                        kept.map_err(|error| unavailable(&error))
                    });
                    let _ = done.send(kept);
                    return;
                }
                Some(Work::Append(append)) => {
                    records += append.drafts.len();
                    group.push(append);
                }
                None => break,
            }
        }
        if !group.is_empty() {
            self.append(group);
        }
    }

    /// Has the file take in what stands in the log beside it, so that it is whole by itself.
    pub(super) fn close(mut self) {
        let busy = self.connection.query_row(CHECKPOINT, [], |row| row.get::<_, bool>(0));
        match busy {
            Ok(false) => self.witness.close(),
            Ok(true) => tracing::debug!("somebody else reads the log; it is left as it is"),
            Err(error) => tracing::warn!(%error, "the log could not be closed as it should be"),
        }
        drop(self.connection);
        drop(self.held);
    }

    /// Whether what is written is written where the next start will look for it.
    fn is_there(&self) -> bool {
        fs::metadata(&self.file).is_ok_and(|file| file.ino() == self.inode)
    }

    fn append(&mut self, group: Vec<Append>) {
        let (requests, waiting): (Vec<_>, Vec<_>) =
            group.into_iter().map(|append| (append.drafts, append.done)).unzip();
        if !self.is_there() {
            let file = self.file.display();
            self.troubles.error(format_args!("{file} is gone; restart hubbub, or put it back"));
            for done in waiting {
                let gone = "the file of the log is gone".to_owned();
                let _ = done.send(Err(BrokerError::Unavailable(gone)));
            }
            return;
        }
        let began = Instant::now();
        let committed = self.commit(requests);
        self.commits.record(began.elapsed());
        match committed {
            Ok(Committed { answers, new }) => {
                if let Some(newest) = new.last() {
                    self.witness.saw(newest.offset);
                }
                let news = self.followed.kept(new);
                for (done, answer) in waiting.into_iter().zip(answers) {
                    // Whoever asked may have gone; the message is kept all the same.
                    let _ = done.send(answer);
                }
                news.tell();
            }
            Err(error) => {
                self.troubles.error(format_args!("the log can't be written: {error}"));
                for done in waiting {
                    let _ = done.send(Err(unavailable(&error)));
                }
            }
        }
    }

    /// Whether the file that is written to is the one by our name.
    fn there(&self) -> Result<(), BrokerError> {
        let gone = || BrokerError::Unavailable("the file of the log is gone".to_owned());
        self.is_there().then_some(()).ok_or_else(gone)
    }

    /// Writes a number that is there already: as a commit of messages would, that needs the file and room on its disk.
    fn check(&mut self) -> Result<(), BrokerError> {
        self.there()?;
        let write = |connection: &Connection| {
            let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
            connection.pragma_update(None, "user_version", version)
        };
        write(&self.connection).map_err(|error| unavailable(&error))
    }

    /// Lets go of what was said in a room but what is to be kept; of all, also beside the file.
    fn let_go(&mut self, room: &RoomName, keep: Keep) -> rusqlite::Result<Offset> {
        let transaction = self.connection.transaction()?;
        let found = transaction
            .prepare_cached("SELECT id FROM rooms WHERE name = ?")?
            .query_row([room.as_str()], |row| row.get(0))
            .optional()?;
        let Some(room) = found else { return Ok(Offset(0)) };
        // Of both the newest that has to go; messages are as old as they come.
        let newest = "SELECT max(
            coalesce((SELECT offset FROM messages WHERE room = ?1 AND body IS NOT NULL
                ORDER BY offset DESC LIMIT 1 OFFSET ?2), 0),
            coalesce((SELECT offset FROM messages WHERE room = ?1 AND body IS NOT NULL AND at < ?3
                ORDER BY offset DESC LIMIT 1), 0))";
        // To SQLite a negative number of them would be none.
        let most = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let kept = params![room, most(keep.messages as u64), most(keep.since)];
        let newest: i64 = transaction.prepare_cached(newest)?.query_row(kept, |row| row.get(0))?;
        if newest == 0 {
            return Ok(Offset(0));
        }
        let_go(&transaction, room, newest)?;
        transaction.commit()?;
        self.has_mended = true;
        // It is done; where this fails it is tried again when there is less to do.
        if keep == Keep::NOTHING
            && let Err(error) = self.empty_log()
        {
            self.troubles.error(format_args!("the log beside the file can't be emptied: {error}"));
        }
        Ok(Offset(newest as u64))
    }

    /// Tells how long each transaction took from now on.
    pub(super) fn observe(&mut self, commits: Histogram) {
        self.commits = commits;
    }

    /// Stores all requests in one transaction, each of them whole or not at all.
    fn commit(&mut self, requests: Vec<Vec<Draft>>) -> rusqlite::Result<Committed> {
        let mut transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut rooms = HashMap::new();
        let mut last_at = HashMap::new();
        let mut committed = Committed { answers: Vec::with_capacity(requests.len()), new: vec![] };
        for drafts in requests {
            let (answer, new) = match drafts.as_slice() {
                // One draft is whole by itself.
                [one] if one.envelope.mends.is_none() => {
                    store_all(&transaction, &mut rooms, drafts)?
                }
                _ => {
                    let mut step = transaction.savepoint()?;
                    let (answer, new) = store_all(&step, &mut rooms, drafts)?;
                    if answer.is_err() {
                        step.rollback()?;
                        // Rooms that were made for it are gone with it.
                        rooms.clear();
                    }
                    step.commit()?;
                    (answer, new)
                }
            };
            for (room, record) in new {
                self.has_mended |= record.envelope.mends.is_some();
                last_at.insert(room, record.envelope.at);
                // If this transaction fails it is counted for nothing, and trims only sooner.
                let (messages, bytes) = self.grown.entry(room).or_default();
                (*messages, *bytes) = (*messages + 1, *bytes + record.body().len());
                committed.new.push(record);
            }
            committed.answers.push(answer);
        }
        for (room, at) in last_at {
            transaction
                .prepare_cached(
                    "UPDATE rooms SET last_at = ?1 WHERE id = ?2 AND last_at < ?1 - ?3",
                )?
                .execute(params![at as i64, room, LATE])?;
            let (messages, bytes) = self.grown.get(&room).copied().unwrap_or_default();
            if messages * SLACK > self.retention.room_messages
                || bytes * SLACK > self.retention.room_bytes
            {
                trim(&transaction, room, &self.retention)?;
                self.grown.remove(&room);
            }
        }
        trim_all(&transaction, &self.retention)?;
        transaction.commit()?;
        Ok(committed)
    }

    fn tidy(&mut self, at: u64) -> rusqlite::Result<u64> {
        let at = self.ages.at(at);
        let transaction = self.connection.transaction()?;
        let before = |age: Duration| at.saturating_sub(age.as_millis() as u64) as i64;
        for room in self.grown.keys() {
            trim(&transaction, *room, &self.retention)?;
        }
        let old = before(self.retention.age);
        let floors = "UPDATE rooms SET floor = max(floor, gone.offset) FROM
            (SELECT room, max(offset) AS offset FROM messages WHERE at < ? AND body IS NOT NULL
             GROUP BY room) AS gone WHERE gone.room = rooms.id";
        transaction.prepare_cached(floors)?.execute([old])?;
        let let_go = "UPDATE messages SET body = NULL WHERE at < ? AND body IS NOT NULL";
        transaction.prepare_cached(let_go)?.execute([old])?;
        let forget = "DELETE FROM messages WHERE body IS NULL AND at < ?";
        transaction.prepare_cached(forget)?.execute([before(self.retention.ids)])?;
        // A room of which nothing is left is forgotten; how far it was is remembered for all.
        transaction.execute_batch(
            "UPDATE meta SET value = max(value, coalesce((SELECT max(floor) FROM rooms
                 WHERE NOT EXISTS (SELECT 1 FROM messages WHERE room = rooms.id)), 0))
             WHERE key = 'gone';
             DELETE FROM rooms WHERE NOT EXISTS (SELECT 1 FROM messages WHERE room = rooms.id);",
        )?;
        transaction.execute("INSERT OR REPLACE INTO meta VALUES ('clock', ?)", [at as i64])?;
        transaction.commit()?;
        self.grown.clear();
        if self.has_mended {
            self.empty_log()?;
        }
        Ok(at)
    }

    /// What went stands in the log beside the file until that is emptied. If somebody reads it, the next time: here
    /// nobody waits for that.
    fn empty_log(&mut self) -> rusqlite::Result<()> {
        self.connection.busy_timeout(Duration::ZERO)?;
        let busy = self.connection.query_row(CHECKPOINT, [], |row| row.get::<_, bool>(0));
        self.connection.busy_timeout(PATIENCE)?;
        self.has_mended = busy?;
        Ok(())
    }
}

/// Keeps a value beside the messages, or forgets it.
fn keep(log: &Connection, key: &str, value: Option<&str>) -> rusqlite::Result<()> {
    match value {
        Some(value) => log
            .prepare_cached("INSERT OR REPLACE INTO kept VALUES (?, ?)")?
            .execute([key, value])?,
        None => log.prepare_cached("DELETE FROM kept WHERE key = ?")?.execute([key])?,
    };
    Ok(())
}

/// Stores the drafts of one request; returns the records that are new, each with its room.
fn store_all(
    log: &Connection,
    rooms: &mut HashMap<RoomName, i64>,
    drafts: Vec<Draft>,
) -> rusqlite::Result<(Answer, Vec<InRoom>)> {
    let (mut offsets, mut new) = (Vec::with_capacity(drafts.len()), Vec::new());
    for draft in drafts {
        let room = room_id(log, rooms, &draft.envelope.room)?;
        let draft = match aim(log, room, draft)? {
            Ok(draft) => draft,
            Err(refusal) => return Ok((Err(refusal.into()), Vec::new())),
        };
        match store(log, room, &draft)? {
            Stored::New(offset) => {
                let record = draft.numbered(offset);
                mend(log, room, &record)?;
                offsets.push(offset);
                new.push((room, record));
            }
            Stored::Known(offset) => offsets.push(offset),
            Stored::Taken => return Ok((Err(BrokerError::IdTaken(draft.envelope.id)), Vec::new())),
        }
    }
    Ok((Ok(offsets), new))
}

fn room_id(
    transaction: &Connection,
    known: &mut HashMap<RoomName, i64>,
    room: &RoomName,
) -> rusqlite::Result<i64> {
    if let Some(id) = known.get(room) {
        return Ok(*id);
    }
    let found = transaction
        .prepare_cached("SELECT id FROM rooms WHERE name = ?")?
        .query_row([room.as_str()], |row| row.get(0))
        .optional()?;
    let id = match found {
        Some(id) => id,
        None => {
            let sql = "INSERT INTO rooms (name, floor, last_at)
                SELECT ?, value, 0 FROM meta WHERE key = 'gone'";
            transaction.prepare_cached(sql)?.execute([room.as_str()])?;
            transaction.last_insert_rowid()
        }
    };
    known.insert(room.clone(), id);
    Ok(id)
}

/// Lets go of the oldest messages of a room that are over its limits; the newest stays.
fn trim(transaction: &Transaction<'_>, room: i64, retention: &Retention) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare_cached(
        "SELECT offset, length(body) FROM messages WHERE room = ? AND body IS NOT NULL
         ORDER BY offset DESC",
    )?;
    let mut rows = statement.query([room])?;
    let (mut messages, mut bytes) = (0, 0);
    while let Some(row) = rows.next()? {
        messages += 1;
        bytes += unsigned(row, 1)? as usize;
        if messages > 1 && (messages > retention.room_messages || bytes > retention.room_bytes) {
            let_go(transaction, room, row.get(0)?)?;
            break;
        }
    }
    forget_ids(transaction, room, retention)
}

/// Forgets the oldest ids of a room whose messages are gone, if there are too many.
fn forget_ids(
    transaction: &Transaction<'_>,
    room: i64,
    retention: &Retention,
) -> rusqlite::Result<()> {
    let sql = "DELETE FROM messages WHERE room = ?1 AND body IS NULL AND offset <=
        (SELECT offset FROM messages WHERE room = ?1 ORDER BY offset DESC LIMIT 1 OFFSET ?2)";
    transaction.prepare_cached(sql)?.execute(params![room, retention.room_ids as i64])?;
    Ok(())
}

/// Lets go of the oldest messages of all rooms if there are too many bytes of them.
fn trim_all(transaction: &Transaction<'_>, retention: &Retention) -> rusqlite::Result<()> {
    let bytes = transaction
        .prepare_cached("SELECT value FROM meta WHERE key = 'bytes'")?
        .query_row([], |row| unsigned(row, 0))? as usize;
    if bytes <= retention.total_bytes {
        return Ok(());
    }
    let mut over = bytes.saturating_sub(retention.total_after_trim());
    let mut cuts = HashMap::new();
    let mut statement = transaction.prepare_cached(
        "SELECT room, offset, length(body) FROM messages WHERE body IS NOT NULL ORDER BY offset",
    )?;
    let mut rows = statement.query([])?;
    while over > 0
        && let Some(row) = rows.next()?
    {
        cuts.insert(row.get(0)?, row.get(1)?);
        over = over.saturating_sub(unsigned(row, 2)? as usize);
    }
    drop(rows);
    cuts.into_iter().try_for_each(|(room, cut)| let_go(transaction, room, cut))
}

/// Lets go of the messages of a room up to and including `cut`; their ids stay.
fn let_go(transaction: &Transaction<'_>, room: i64, cut: i64) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "UPDATE messages SET body = NULL WHERE room = ? AND offset <= ? AND body IS NOT NULL",
        )?
        .execute([room, cut])?;
    transaction
        .prepare_cached("UPDATE rooms SET floor = max(floor, ?) WHERE id = ?")?
        .execute([cut, room])?;
    Ok(())
}
