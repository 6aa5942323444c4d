//! A disk that fails, for tests. What SQLite writes into a directory goes to a real file system, and meanwhile it is
//! remembered what of it was synced: writes and syncs fail by chance, and after a power cut of what was not synced
//! any part is there and any is not, in sectors of 512 bytes.
//!
//! It is the file system of all of SQLite in this process ([`install`]), for files in directories that are a [`Disk`];
//! others are left alone. SQLite is not changed: <https://sqlite.org/vfs.html>. Chance is by seed, so that a
//! failure can be played again.

mod vfs;

use std::{
    collections::{BTreeMap, HashMap},
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
};

use fastrand::Rng;
use parking_lot::Mutex;

pub use vfs::install;

/// What a disk writes whole or not at all, in bytes.
const SECTOR: usize = 512;

/// All disks, by their directories.
static DISKS: LazyLock<Mutex<HashMap<PathBuf, Shared>>> = LazyLock::new(Mutex::default);

type Shared = Arc<Mutex<State>>;

/// A directory whose files may fail, until this is dropped; the directory goes with it.
#[derive(Debug)]
pub struct Disk {
    dir: PathBuf,
    state: Shared,
}

#[derive(Debug)]
struct State {
    rng: Rng,
    failing: u16,
    has_lost: bool,
    files: BTreeMap<OsString, File>,
}

/// A file as it is on the disk, and what only the system knows of it.
#[derive(Debug, Default)]
struct File {
    synced: Vec<u8>,
    since: Vec<Change>,
}

#[derive(Debug)]
enum Change {
    Written { at: usize, bytes: Vec<u8> },
    Truncated(usize),
}

impl Disk {
    /// A new disk in a new directory `dir`.
    ///
    /// # Errors
    ///
    /// The directory can't be made.
    pub fn new(dir: PathBuf, rng: Rng) -> io::Result<Self> {
        fs::create_dir_all(&dir)?;
        let state = State { rng, failing: 0, has_lost: false, files: BTreeMap::new() };
        let state = Arc::new(Mutex::new(state));
        DISKS.lock().insert(dir.clone(), state.clone());
        Ok(Self { dir, state })
    }

    /// Where its files are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// From now on so many of 1,000 writes, syncs and truncations fail; none at first.
    pub fn fail(&self, of_1000: u16) {
        self.state.lock().failing = of_1000;
    }

    /// Whether a sync has failed: a part of what was to be synced is lost, which nobody sees before a power cut.
    pub fn has_lost(&self) -> bool {
        self.state.lock().has_lost
    }

    /// The disk as a process that is killed now leaves it, in the directory `to`; the process may go on with this one.
    ///
    /// # Errors
    ///
    /// Files can't be copied.
    pub fn killed(&self, to: PathBuf) -> io::Result<Self> {
        let copy = Self::new(to, self.state.lock().rng.fork())?;
        for file in fs::read_dir(&self.dir)? {
            let name = file?.file_name();
            if !name.as_encoded_bytes().ends_with(b"-shm") {
                fs::copy(self.dir.join(&name), copy.dir.join(&name))?;
            }
        }
        Ok(copy)
    }

    /// The disk as a power cut leaves it, in the directory `to`: as [`Disk::killed`], but what SQLite has written and
    /// not synced is there in part.
    ///
    /// # Errors
    ///
    /// Files can't be copied.
    pub fn cut_off(&self, to: PathBuf) -> io::Result<Self> {
        let copy = self.killed(to)?;
        let State { rng, files, .. } = &mut *self.state.lock();
        // All, nothing, or any part of it.
        let kept = [0, 128, 255][rng.usize(..3)];
        for (name, file) in files {
            fs::write(copy.dir.join(name), file.after(|| rng.u8(..) < kept))?;
        }
        Ok(copy)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        DISKS.lock().remove(&self.dir);
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// The disk that the file at `path` is on, if it is on one.
fn disk_of(path: &Path) -> Option<Shared> {
    DISKS.lock().get(path.parent()?).cloned()
}

impl State {
    fn fails(&mut self) -> bool {
        self.failing > 0 && self.rng.u16(..1000) < self.failing
    }

    /// The file by this name; what is in it now is synced, if it was not known before.
    fn file(&mut self, path: &Path) -> &mut File {
        let name = path.file_name().unwrap_or_default().to_owned();
        let is_there = || File { synced: fs::read(path).unwrap_or_default(), since: Vec::new() };
        self.files.entry(name).or_insert_with(is_there)
    }

    fn forget(&mut self, path: &Path) {
        self.files.remove(path.file_name().unwrap_or_default());
    }
}

impl File {
    /// All of it is on the disk now; or, when the sync fails, a part, and nobody tries the rest again.
    fn sync(&mut self, fails: bool, rng: &mut Rng) {
        self.synced = self.after(|| !fails || rng.bool());
        self.since.clear();
    }

    /// What is on the disk if of each sector that was not synced `kept` decides.
    fn after(&self, mut kept: impl FnMut() -> bool) -> Vec<u8> {
        let mut disk = self.synced.clone();
        for change in &self.since {
            match change {
                Change::Truncated(length) => {
                    if kept() {
                        disk.truncate(*length);
                    }
                }
                Change::Written { at, bytes } => {
                    let (mut at, mut bytes) = (*at, &bytes[..]);
                    while !bytes.is_empty() {
                        let (sector, rest) = bytes.split_at(bytes.len().min(SECTOR - at % SECTOR));
                        if kept() {
                            disk.resize(disk.len().max(at + sector.len()), 0);
                            disk[at..at + sector.len()].copy_from_slice(sector);
                        }
                        (at, bytes) = (at + sector.len(), rest);
                    }
                }
            }
        }
        disk
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use rusqlite::{Connection, ErrorCode};

    use super::*;

    fn disk(seed: u64) -> Disk {
        install();
        let dir = std::env::temp_dir().join(format!("faultdisk-{}-{seed}", std::process::id()));
        Disk::new(dir, Rng::with_seed(seed)).unwrap()
    }

    fn beside(disk: &Disk, name: &str) -> PathBuf {
        disk.dir().with_extension(name)
    }

    fn open(disk: &Disk, synchronous: &str) -> Connection {
        let log = Connection::open(disk.dir().join("log.db")).unwrap();
        log.pragma_update(None, "journal_mode", "wal").unwrap();
        log.pragma_update(None, "synchronous", synchronous).unwrap();
        log.execute_batch("CREATE TABLE IF NOT EXISTS said (n)").unwrap();
        log
    }

    fn said(disk: &Disk) -> u32 {
        let log = Connection::open(disk.dir().join("log.db")).unwrap();
        assert_eq!(log.query_row("PRAGMA quick_check", [], |row| row.get(0)), Ok("ok".to_owned()));
        // The table may be gone as well.
        log.query_row("SELECT count(*) FROM said", [], |row| row.get(0)).unwrap_or_default()
    }

    #[test]
    fn a_power_cut_takes_what_was_not_synced_and_a_kill_takes_nothing() {
        let left = |synchronous: &str| -> Vec<u32> {
            let lived = |seed| {
                let disk = disk(seed);
                let log = open(&disk, synchronous);
                for n in 0..10 {
                    log.execute("INSERT INTO said VALUES (?)", [n]).unwrap();
                }
                assert_eq!(said(&disk.killed(beside(&disk, "killed")).unwrap()), 10);
                said(&disk.cut_off(beside(&disk, "cut")).unwrap())
            };
            let base = synchronous.len() as u64 * 100;
            (base..base + 30).map(lived).collect()
        };
        assert!(left("full").iter().all(|left| *left == 10));
        let normal = left("normal");
        assert!(normal.contains(&0) && normal.contains(&10), "{normal:?}");
        assert!(normal.iter().any(|left| (1..10).contains(left)), "{normal:?}");
    }

    #[test]
    fn what_fails_is_told_and_what_does_not_is_there_after_a_power_cut() {
        for seed in 0..30 {
            let disk = disk(seed);
            let log = open(&disk, "full");
            disk.fail(200);
            let mut kept = 0;
            for n in 0..50 {
                match log.execute("INSERT INTO said VALUES (?)", [n]) {
                    Ok(_) => kept += 1,
                    Err(error) => {
                        let code = error.sqlite_error_code().unwrap();
                        let known = [ErrorCode::SystemIoFailure, ErrorCode::DiskFull];
                        assert!(known.contains(&code), "{error}");
                    }
                }
            }
            assert!((1..50).contains(&kept), "{kept}");
            let left = said(&disk.cut_off(beside(&disk, "cut")).unwrap());
            // The last one may be there although its sync has failed.
            assert!(left == kept || left == kept + 1, "{left} of {kept}");
        }
    }
}
