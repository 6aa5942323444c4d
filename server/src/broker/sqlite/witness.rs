//! A witness to how far the log has been, outside of the log: whether it lacks something after it was not closed.
//!
//! SQLite reads a write-ahead log up to the first frame that is not whole, and says nothing of what it leaves out:
//! after a power cut (`--sync normal`), or with a damaged file, the newest messages are gone, and their offsets
//! would be given again. So how far the log is stands in a small file of its own, written after each commit and
//! before anybody is answered. It is not synced: a process that is killed leaves it as it was, and after a
//! power cut the system's boot id is another.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

use common::{Epoch, Offset};

use super::Sync;

const FILE: &str = "hubbub.head";

/// What the witness says.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Word {
    epoch: String,
    head: u64,
    boot: String,
    sync: &'static str,
    clean: bool,
}

/// The witness of one log, which it is told of as it grows.
#[derive(Debug)]
pub(super) struct Witness {
    file: File,
    word: Word,
    failed: bool,
}

impl Word {
    /// One line of a fixed length, so that it is written at once and over the one before.
    fn line(&self) -> String {
        let Self { epoch, head, boot, sync, clean } = self;
        let end = if *clean { "closed" } else { "open" };
        format!("{:<127}\n", format!("{epoch} {head} {boot} {sync} {end}"))
    }

    fn read(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let word = Self {
            epoch: words.next()?.to_owned(),
            head: words.next()?.parse().ok()?,
            boot: words.next()?.to_owned(),
            sync: match words.next()? {
                "full" => "full",
                "normal" => "normal",
                _ => return None,
            },
            clean: match words.next()? {
                "closed" => true,
                "open" => false,
                _ => return None,
            },
        };
        words.next().is_none().then_some(word)
    }

    /// Whether a log that is as far as `head` in `epoch` has all that it ever answered for.
    fn vouches(&self, epoch: &Epoch, head: Offset, boot: &str) -> bool {
        let kept = self.clean || self.sync == "full" || self.boot == boot;
        self.epoch == epoch.as_str() && self.head <= head.0 && kept
    }
}

/// What the system calls the time since it was started; nothing where it has no name for it.
fn boot() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let id = id.trim();
    if id.is_empty() { format!("unknown-{}", uuid::Uuid::new_v4()) } else { id.to_owned() }
}

/// Whether the log in `dir`, as it was found, has all that it ever answered for.
pub(super) fn vouches(dir: &Path, epoch: &Epoch, head: Offset) -> bool {
    let word = fs::read_to_string(dir.join(FILE)).ok();
    let word = word.and_then(|text| Word::read(&text));
    word.is_some_and(|word| word.vouches(epoch, head, &boot()))
}

impl Witness {
    /// Begins to vouch for a log that is open.
    pub(super) fn new(dir: &Path, epoch: &Epoch, head: Offset, sync: Sync) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(dir.join(FILE))?;
        let sync = match sync {
            Sync::Full => "full",
            Sync::Normal => "normal",
        };
        let epoch = epoch.to_string();
        let word = Word { epoch, head: head.0, boot: boot(), sync, clean: false };
        let witness = Self { file, word, failed: false };
        let line = witness.word.line();
        witness.file.write_all_at(line.as_bytes(), 0)?;
        witness.file.set_len(line.len() as u64)?;
        Ok(witness)
    }

    /// The log is as far as this. To be told before anybody is.
    pub(super) fn saw(&mut self, head: Offset) {
        self.word.head = head.0;
        self.write();
    }

    /// The log was closed as it should be.
    pub(super) fn close(&mut self) {
        self.word.clean = true;
        self.write();
        let _ = self.file.sync_all();
    }

    fn write(&mut self) {
        let written = self.file.write_all_at(self.word.line().as_bytes(), 0);
        if let Err(error) = &written
            && !self.failed
        {
            tracing::error!(%error, "{FILE} can't be written; after a crash the log will begin another life");
        }
        self.failed = written.is_err();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word() -> Word {
        let (epoch, boot) = ("e1".to_owned(), "b1".to_owned());
        Word { epoch, head: 7, boot, sync: "normal", clean: false }
    }

    #[test]
    fn what_is_written_reads_back_and_half_of_it_does_not() {
        let line = word().line();
        assert_eq!((line.len(), Word::read(&line)), (128, Some(word())));
        for end in 0..line.trim_end().len() {
            assert_eq!(Word::read(&line[..end]), None, "{end}");
        }
        assert_eq!(Word::read(&format!("{} more", line.trim_end())), None);
    }

    #[test]
    fn it_vouches_for_what_has_all_it_saw_and_could_not_be_lost() {
        let epoch = Epoch::parse("e1").unwrap();
        let vouches = |word: Word, head| word.vouches(&epoch, Offset(head), "b1");
        assert!(vouches(word(), 7) && vouches(word(), 8));
        assert!(!vouches(word(), 6));
        assert!(!vouches(Word { epoch: "e2".to_owned(), ..word() }, 7));
        let after_a_power_cut = Word { boot: "b0".to_owned(), ..word() };
        assert!(!vouches(after_a_power_cut.clone(), 7));
        assert!(vouches(Word { sync: "full", ..after_a_power_cut.clone() }, 7));
        assert!(vouches(Word { clean: true, ..after_a_power_cut }, 7));
    }
}
