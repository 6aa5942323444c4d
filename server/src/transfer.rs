//! `hubbub export` and `hubbub import`: the log as NDJSON, one record a line, oldest first.
//!
//! Every message keeps its id, so an import that was broken off is simply started again: what is there
//! already is not stored twice. Offsets are given anew.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, IsTerminal, Write},
    path::Path,
};

use common::{Message, Offset, SessionId, message::check_value};
use hub::{
    Draft, Record,
    broker::{Broker, BrokerError, Part, Read, Retention},
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    OpenError, SqliteBroker, Sync,
    broker::sqlite::{self, each_record},
};

/// A line: a message, and the public part of the session that said it.
#[derive(Serialize, Deserialize)]
struct Line<M> {
    session: Option<SessionId>,
    message: M,
}

/// How many records one import step stores.
const BATCH: usize = 500;
/// How many records an export reads at once, and about how many bytes of them.
const PAGE: usize = 1_000;
const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// Why an export or import stopped.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The data directory can't be used.
    #[error("can't use the data directory: {0}")]
    Data(#[from] OpenError),
    /// The file can't be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A line is no record.
    #[error("line {number} is not a record: {error}")]
    Line {
        /// Counted from 1.
        number: usize,
        /// What is wrong with it.
        error: String,
    },
    /// The log did not take it.
    #[error(transparent)]
    Broker(#[from] BrokerError),
}

/// Writes all that is kept in `dir` to `out`, and returns how many records that were. A server may be
/// running on it meanwhile. A record that is damaged is left out, and named in the log.
///
/// # Errors
///
/// [`TransferError`]; what was written so far is whole lines.
pub fn export(dir: &Path, out: impl Write) -> Result<usize, TransferError> {
    let (mut out, mut progress) = (BufWriter::new(out), Progress::new("exported", None));
    each_record(dir, |record| {
        let record = match record {
            Ok(record) => record,
            Err(damaged) => {
                tracing::error!("{damaged}; it is left out");
                return Ok(());
            }
        };
        // What is done to messages has been done to them.
        if record.envelope.mends.is_some() {
            return Ok(());
        }
        write_line(&mut out, record)?;
        progress.step(1, 0);
        Ok(())
    })?;
    out.flush()?;
    Ok(progress.done())
}

/// As [`export`], of a log that is not in a directory.
///
/// # Errors
///
/// As [`export`].
pub async fn export_from(log: &dyn Broker, out: impl Write) -> Result<usize, TransferError> {
    let (mut out, mut progress) = (BufWriter::new(out), Progress::new("exported", None));
    each_kept(log, async |record| {
        // As it is by now: it may have been edited, or taken back.
        let part = Part::After(Offset(record.offset.0.saturating_sub(1)));
        let read = Read { part, records: 1, bytes: usize::MAX, at_least: Offset(0) };
        let page = log.read(&record.envelope.room, read).await?;
        if let Some(now) = page.records.first().filter(|now| now.offset == record.offset) {
            write_line(&mut out, now)?;
            progress.step(1, 0);
        }
        Ok(())
    })
    .await?;
    out.flush()?;
    Ok(progress.done())
}

/// Looks through all of a log that is not in a directory, and tries whether something could be kept there; returns how many
/// messages it has.
///
/// # Errors
///
/// [`TransferError`]: it can't be read, or nothing kept.
pub async fn check_log(log: &dyn Broker) -> Result<usize, TransferError> {
    log.check().await?;
    let mut well = 0;
    each_kept(log, async |_| {
        well += 1;
        Ok(())
    })
    .await?;
    Ok(well)
}

/// Hands every message that was kept to `each`, each shard in the order of its log; not what is done to messages.
async fn each_kept(
    log: &dyn Broker,
    mut each: impl AsyncFnMut(&Record) -> Result<(), TransferError>,
) -> Result<(), TransferError> {
    for shard in 0..log.shards() {
        let (mut after, mut complete) = (Offset(0), false);
        while !complete {
            let page = log.read_all(shard, after, PAGE, PAGE_BYTES).await?;
            let said = page.records.iter().filter(|record| record.envelope.mends.is_none());
            for record in said {
                each(record).await?;
            }
            (after, complete) = (page.head, page.complete);
        }
    }
    Ok(())
}

fn write_line(out: &mut impl Write, record: &Record) -> io::Result<()> {
    let message: &RawValue = serde_json::from_str(record.params())?;
    let session = record.envelope.session.clone();
    serde_json::to_writer(&mut *out, &Line { session, message })?;
    out.write_all(b"\n")
}

/// Looks through all that is kept in `dir`, also while a server runs on it, and writes to `out` what is damaged.
/// Returns how many records are well, and how many things are not.
///
/// # Errors
///
/// [`TransferError`]: it can't be opened, or not be read at all.
pub fn check(dir: &Path, mut out: impl Write) -> Result<(usize, usize), TransferError> {
    let damage = sqlite::check(dir)?;
    damage.iter().try_for_each(|damage| writeln!(out, "{damage}"))?;
    let (mut well, mut bad) = (0, damage.len());
    each_record(dir, |record| {
        match record {
            Ok(record) if record.message().is_some() => well += 1,
            Ok(record) => {
                bad += 1;
                let (offset, room) = (record.offset, &record.envelope.room);
                writeln!(out, "message {offset} of room {room} can't be read")?;
            }
            Err(damaged) => {
                bad += 1;
                writeln!(out, "{damaged}")?;
            }
        }
        Ok(())
    })?;
    Ok((well, bad))
}

/// Reads records from `file`, or standard input, into `dir`, and returns how many lines that were.
///
/// # Errors
///
/// [`TransferError`]; what came before it is kept, and starting again is safe.
pub async fn import(dir: &Path, file: Option<&Path>) -> Result<usize, TransferError> {
    import_into(&SqliteBroker::open(dir, Retention::default(), Sync::Normal)?, file).await
}

/// As [`import`], into a log that is not in a directory; servers may be running on it.
///
/// # Errors
///
/// As [`import`].
pub async fn import_into(log: &dyn Broker, file: Option<&Path>) -> Result<usize, TransferError> {
    let (input, size): (Box<dyn BufRead>, _) = match file {
        Some(path) => {
            let file = File::open(path)?;
            let size = file.metadata()?.len();
            (Box::new(BufReader::new(file)), Some(size))
        }
        None => (Box::new(BufReader::new(io::stdin())), None),
    };
    let mut progress = Progress::new("imported", size);
    let mut batch: Vec<Draft> = Vec::with_capacity(BATCH);
    let mut bytes = 0;
    for (index, line) in input.lines().enumerate() {
        let line = line?;
        bytes += line.len() as u64 + 1;
        match draft(&line) {
            Ok(draft) => batch.push(draft),
            Err(error) => {
                log.append(batch).await?;
                return Err(TransferError::Line { number: index + 1, error });
            }
        }
        if batch.len() == BATCH {
            log.append(std::mem::take(&mut batch)).await?;
            progress.step(BATCH, std::mem::take(&mut bytes));
        }
    }
    let rest = batch.len();
    log.append(batch).await?;
    progress.step(rest, bytes);
    Ok(progress.done())
}

/// The draft in a line of an export.
///
/// # Errors
///
/// What is wrong with it: it is no record, or has a value that nobody could say.
pub fn draft(line: &str) -> Result<Draft, String> {
    let Line { session, mut message }: Line<Message> =
        serde_json::from_str(line).map_err(|error| error.to_string())?;
    if message.mends().is_some() {
        return Err("it is done to another message, and an export has no such lines".to_owned());
    }
    // Offsets are given anew, and every edit to come is a later one.
    message.edited = message.edited.map(|_| Offset(0));
    check_value(&message.value).map_err(|refusal| refusal.to_string())?;
    Ok(Draft::new(message, session.as_ref()))
}

/// One line on a terminal that says how far it is; nothing elsewhere.
struct Progress {
    verb: &'static str,
    records: usize,
    bytes: u64,
    size: Option<u64>,
    shown: bool,
}

impl Progress {
    fn new(verb: &'static str, size: Option<u64>) -> Self {
        Self { verb, records: 0, bytes: 0, size, shown: io::stderr().is_terminal() }
    }

    fn step(&mut self, records: usize, bytes: u64) {
        let before = self.records / BATCH;
        self.records += records;
        self.bytes += bytes;
        if self.shown && self.records / BATCH != before {
            self.show();
        }
    }

    fn show(&self) {
        let percent = match self.size {
            Some(size) if size > 0 => format!(" {:3} %", self.bytes * 100 / size),
            _ => String::new(),
        };
        eprint!("\r{} {}{percent}", self.verb, self.records);
    }

    fn done(self) -> usize {
        if self.shown {
            self.show();
            eprintln!();
        }
        self.records
    }
}
