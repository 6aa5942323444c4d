//! Opening the file: whose it is, which version it has, and nobody else's hands on it.

use std::{
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    unsigned,
    witness::{self, Witness},
};
use clap::ValueEnum;
use common::{Epoch, Offset};
use hub::broker::{Ages, new_epoch};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension};

/// The name of the file in the data directory.
const FILE: &str = "hubbub.db";
/// "HUBB": tells our file from other SQLite files (`PRAGMA application_id`).
const APPLICATION: i32 = 0x4855_4242;

/// How long somebody else may have the file.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Each entry takes the file one version further (`PRAGMA user_version`). Entries are never changed.
const MIGRATIONS: [&str; 6] = [
    "
    CREATE TABLE meta (key TEXT PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID;
    CREATE TABLE rooms (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        -- everything up to and including this offset is gone
        floor INTEGER NOT NULL,
        last_at INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX rooms_by_last ON rooms (last_at);
    CREATE TABLE messages (
        -- never reused, not even when the newest rows are deleted
        offset INTEGER PRIMARY KEY AUTOINCREMENT,
        room INTEGER NOT NULL REFERENCES rooms (id),
        id TEXT NOT NULL,
        at INTEGER NOT NULL,
        -- NULL once the message is let go of and only its id is remembered
        body BLOB,
        UNIQUE (room, id)
    ) STRICT;
    CREATE INDEX messages_by_room ON messages (room, offset);
    CREATE INDEX messages_gone ON messages (at) WHERE body IS NULL;
    ",
    "
    -- how many bytes of bodies there are in all rooms
    INSERT INTO meta SELECT 'bytes', coalesce(sum(length(body)), 0) FROM messages;
    CREATE TRIGGER body_kept AFTER INSERT ON messages WHEN new.body IS NOT NULL BEGIN
        UPDATE meta SET value = value + length(new.body) WHERE key = 'bytes';
    END;
    CREATE TRIGGER body_let_go AFTER UPDATE OF body ON messages WHEN old.body IS NOT NULL BEGIN
        UPDATE meta SET value = value - length(old.body) + coalesce(length(new.body), 0)
        WHERE key = 'bytes';
    END;
    ",
    "
    -- what decides who may read a message; of the session only the public part
    ALTER TABLE messages ADD COLUMN member TEXT NOT NULL DEFAULT '';
    ALTER TABLE messages ADD COLUMN session TEXT;
    -- NULL is everyone, else the `to` of the frame
    ALTER TABLE messages ADD COLUMN audience TEXT;
    UPDATE messages SET
        member = CAST(body AS TEXT) ->> '$.message.from.id',
        session = substr(CAST(body AS TEXT) ->> '$.session', 1,
            instr((CAST(body AS TEXT) ->> '$.session') || '.', '.') - 1),
        audience = CAST(body AS TEXT) -> '$.message.to',
        -- from here on the params of the frame, without the offset and the braces around them
        body = CAST(trim(json_remove(CAST(body AS TEXT) -> '$.message', '$.offset'), '{') AS BLOB)
    WHERE body IS NOT NULL;
    UPDATE messages SET body = substr(body, 1, length(body) - 1) WHERE body IS NOT NULL;
    ",
    "
    -- a digest of where a guest came from and of what it said, to know it again
    ALTER TABLE messages ADD COLUMN guest TEXT;
    -- CRC-32 of the envelope and the body; NULL of what older versions wrote
    ALTER TABLE messages ADD COLUMN crc INTEGER;
    CREATE INDEX messages_kept ON messages (at) WHERE body IS NOT NULL;
    -- the last time that was believed, in milliseconds since 1970
    INSERT INTO meta SELECT 'clock', max(at) FROM messages WHERE true HAVING max(at) IS NOT NULL;
    ",
    "
    -- of one that edits, takes back or reacts to another: the id of that, and what it does
    ALTER TABLE messages ADD COLUMN target TEXT;
    ALTER TABLE messages ADD COLUMN how TEXT;
    CREATE INDEX messages_mending ON messages (room, target) WHERE target IS NOT NULL;
    ",
    "
    -- what is kept beside messages, and not let go of: what backends have decided of rooms and members
    CREATE TABLE kept (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
    ",
];

/// The version of the file from which on there is a witness to it.
const WITNESSED: usize = 4;

/// What survives what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Sync {
    /// An acknowledged message survives a power cut: every commit waits for the disk.
    #[default]
    Full,
    /// It survives the death of the process, at any moment; a power cut may take the last moments.
    Normal,
}

/// Why a data directory can't be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory or a file in it can't be made, read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Another process has it.
    #[error("another hubbub is using it")]
    InUse,
    /// There is a file by our name, and it is not ours.
    #[error("{} is not a Hubbub log", .0.display())]
    Foreign(PathBuf),
    /// The file was written by a newer Hubbub.
    #[error("{} has version {found}, and this hubbub knows none after {known}", file.display())]
    Newer {
        /// The file.
        file: PathBuf,
        /// Its version.
        found: usize,
        /// The newest version we know.
        known: usize,
    },
    /// The file was written by an older Hubbub, and is only to be read.
    #[error("{} is of an older version; start this hubbub on it once", .0.display())]
    Older(PathBuf),
    /// The file is damaged.
    #[error("{} is damaged; restore it from a backup, or move it away to start anew", .0.display())]
    Damaged(PathBuf),
    /// SQLite can't open it.
    #[error("{}: {}", .0.display(), .1)]
    Sqlite(PathBuf, rusqlite::Error),
}

/// An open log.
pub(super) struct Opened {
    pub(super) connection: Connection,
    pub(super) file: PathBuf,
    pub(super) lock: File,
    pub(super) epoch: Epoch,
    pub(super) head: Offset,
    pub(super) ages: Ages,
    pub(super) witness: Witness,
}

pub(super) fn open(dir: &Path, sync: Sync) -> Result<Opened, OpenError> {
    // What people wrote is nobody else's to read.
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let file = dir.join(FILE);
    let lock = lock(&file)?;
    let explain = explain(&file);
    let mut connection = Connection::open(&file).map_err(&explain)?;
    let version = known_version(&connection, &file, &explain)?;
    make_private(&file)?;
    prepare(&connection, sync).map_err(&explain)?;
    migrate(&mut connection, version).map_err(&explain)?;
    let (epoch, head) = state(&connection).map_err(&explain)?;
    let mut epoch = Epoch::parse(&epoch).map_err(|_| OpenError::Damaged(file.clone()))?;
    let head = Offset(head);
    // Files of versions before there was a witness are believed, once.
    if version >= WITNESSED && !witness::vouches(dir, &epoch, head) {
        epoch = new_epoch();
        tracing::warn!(
            %epoch,
            "the log was not closed, or is an older copy, and may lack its last messages: it begins another life, and \
             readers are told"
        );
        connection
            .execute("UPDATE meta SET value = ? WHERE key = 'epoch'", [epoch.as_str()])
            .map_err(&explain)?;
    }
    let witness = Witness::new(dir, &epoch, head, sync)?;
    // If nothing has been let go of yet, the newest message tells what time was believed.
    let clock = "SELECT coalesce((SELECT value FROM meta WHERE key = 'clock'),
        (SELECT max(at) FROM messages WHERE body IS NOT NULL))";
    let clock = connection.query_row(clock, [], |row| row.get::<_, Option<i64>>(0));
    let ages = Ages::since(clock.map_err(&explain)?.and_then(|at| u64::try_from(at).ok()));
    Ok(Opened { connection, file, lock, epoch, head, ages, witness })
}

/// Locks the file of the log against a second process.
///
/// Not by a file beside it, which somebody could remove. SQLite's own locks are of another kind (POSIX) and
/// don't meet this one; they are gone when any handle of the file is closed, so this one is kept until the end.
fn lock(file: &Path) -> Result<File, OpenError> {
    let mut options = fs::OpenOptions::new();
    let lock =
        options.read(true).write(true).create(true).truncate(false).mode(0o600).open(file)?;
    lock.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => OpenError::InUse,
        TryLockError::Error(error) => OpenError::Io(error),
    })?;
    Ok(lock)
}

/// Closes a file that is ours to everybody else, and what a crash has left beside it; what is made beside it later is
/// made like it.
fn make_private(file: &Path) -> io::Result<()> {
    for end in ["", "-wal", "-shm"] {
        let mut name = file.as_os_str().to_owned();
        name.push(end);
        match fs::set_permissions(&name, fs::Permissions::from_mode(0o600)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// The log in `dir`, for reading, whoever else has it open; it must be there.
pub(super) fn existing(
    dir: &Path,
) -> Result<(Connection, impl Fn(rusqlite::Error) -> OpenError), OpenError> {
    let file = dir.join(FILE);
    let explain = explain(&file);
    let connection = for_reading(&file).map_err(&explain)?;
    match known_version(&connection, &file, &explain)? {
        0 => Err(OpenError::Foreign(file)),
        found if found < MIGRATIONS.len() => Err(OpenError::Older(file)),
        _ => Ok((connection, explain)),
    }
}

/// What an error of SQLite means for whoever wants to use `file`.
fn explain(file: &Path) -> impl Fn(rusqlite::Error) -> OpenError + use<> {
    let file = file.to_owned();
    move |error| match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => OpenError::Foreign(file.clone()),
        Some(ErrorCode::DatabaseCorrupt) => OpenError::Damaged(file.clone()),
        _ => OpenError::Sqlite(file.clone(), error),
    }
}

pub(super) fn for_reading(file: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags)?;
    connection.busy_timeout(PATIENCE)?;
    // The file is in the system's cache already: SQLite's own would be 2 MB for each connection.
    connection.pragma_update(None, "cache_size", -256)?;
    Ok(connection)
}

/// The version of a file that is ours; 0 for a new one. Changes nothing.
fn known_version(
    connection: &Connection,
    file: &Path,
    explain: impl Fn(rusqlite::Error) -> OpenError,
) -> Result<usize, OpenError> {
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let tables = number("SELECT count(*) FROM sqlite_schema").map_err(&explain)?;
    let application = number("PRAGMA application_id").map_err(&explain)?;
    let version = number("PRAGMA user_version").map_err(&explain)?;
    if application != i64::from(APPLICATION) && (tables > 0 || version != 0) {
        return Err(OpenError::Foreign(file.to_owned()));
    }
    let found = usize::try_from(version).unwrap_or(usize::MAX);
    let known = MIGRATIONS.len();
    if found > known {
        return Err(OpenError::Newer { file: file.to_owned(), found, known });
    }
    Ok(found)
}

fn prepare(connection: &Connection, sync: Sync) -> rusqlite::Result<()> {
    connection.busy_timeout(PATIENCE)?;
    // What is damaged is to be found, not followed.
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    // Of what is taken back nothing is left, nor of its copies in pages that were split since.
    connection.pragma_update(None, "secure_delete", true)?;
    // Pages as they were before a savepoint: in a file that would be two writes for each message of an array, and it
    // would lie outside our directory.
    connection.pragma_update(None, "temp_store", "memory")?;
    let synchronous = match sync {
        Sync::Full => "full",
        Sync::Normal => "normal",
    };
    connection.pragma_update(None, "synchronous", synchronous)
}

fn migrate(connection: &mut Connection, version: usize) -> rusqlite::Result<()> {
    if version == MIGRATIONS.len() {
        return Ok(());
    }
    let transaction = connection.transaction()?;
    for sql in &MIGRATIONS[version..] {
        transaction.execute_batch(sql)?;
    }
    if version == 0 {
        let meta = "INSERT INTO meta VALUES ('epoch', ?), ('gone', 0)";
        transaction.execute(meta, [new_epoch().to_string()])?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.pragma_update(None, "user_version", MIGRATIONS.len() as i64)?;
    transaction.commit()
}

/// The epoch, and the highest offset ever given.
pub(super) fn state(connection: &Connection) -> rusqlite::Result<(String, u64)> {
    let epoch =
        connection.query_row("SELECT value FROM meta WHERE key = 'epoch'", [], |row| row.get(0))?;
    let head = connection
        .query_row("SELECT seq FROM sqlite_sequence WHERE name = 'messages'", [], |row| {
            unsigned(row, 0)
        })
        .optional()?;
    Ok((epoch, head.unwrap_or_default()))
}
