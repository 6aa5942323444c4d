//! SQLite's own way to files, with some of its functions replaced.

use std::{
    collections::HashMap,
    ffi::{CStr, OsStr, c_char, c_int, c_void},
    os::unix::ffi::OsStrExt,
    path::PathBuf,
    ptr,
    sync::{LazyLock, OnceLock},
};

use parking_lot::Mutex;
use rusqlite::ffi::{self, sqlite3_file, sqlite3_io_methods, sqlite3_vfs};

use crate::{Change, Shared, State, disk_of};

/// The file system that SQLite would have.
static REAL: OnceLock<usize> = OnceLock::new();

/// The files that are open, by the addresses of what SQLite knows of them.
static OPEN: LazyLock<Mutex<HashMap<usize, Open>>> = LazyLock::new(Mutex::default);

#[derive(Clone)]
struct Open {
    disk: Shared,
    path: PathBuf,
    real: sqlite3_io_methods,
}

/// Makes it the file system of every SQLite database that is opened in this process from now on.
///
/// # Panics
///
/// If SQLite has none of its own.
pub fn install() {
    REAL.get_or_init(|| {
        // SAFETY: null asks for the default one, which is valid for as long as the process lives.
        let real = unsafe { ffi::sqlite3_vfs_find(ptr::null()) };
        assert!(!real.is_null(), "SQLite has a file system");
        // SAFETY: as above; it is copied, not moved, and registered once (under the lock of `REAL`).
        let ours = unsafe { *real };
        let ours = sqlite3_vfs {
            pNext: ptr::null_mut(),
            zName: c"faultdisk".as_ptr(),
            xOpen: Some(open),
            xDelete: Some(delete),
            ..ours
        };
        // SAFETY: it lives for ever, and its name and functions do.
        let done = unsafe { ffi::sqlite3_vfs_register(Box::leak(Box::new(ours)), 1) };
        assert_eq!(done, ffi::SQLITE_OK);
        real as usize
    });
}

fn real() -> *mut sqlite3_vfs {
    // Who gets here was called by what `install` has registered.
    *REAL.get().expect("it is installed") as *mut sqlite3_vfs
}

/// The path SQLite gives, which is absolute.
unsafe fn path(name: *const c_char) -> PathBuf {
    // SAFETY: the caller has it from SQLite, which ends it with a null.
    OsStr::from_bytes(unsafe { CStr::from_ptr(name) }.to_bytes()).into()
}

unsafe extern "C" fn open(
    _: *mut sqlite3_vfs,
    name: *const c_char,
    file: *mut sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    let real = real();
    // SAFETY: the arguments are SQLite's own, and the room for `file` is as large as the real one asks for.
    let done = unsafe { (*real).xOpen.map(|open| open(real, name, file, flags, out)) };
    if done != Some(ffi::SQLITE_OK) || name.is_null() {
        return done.unwrap_or(ffi::SQLITE_CANTOPEN);
    }
    // SAFETY: it is not null.
    let path = unsafe { path(name) };
    if let Some(disk) = disk_of(&path) {
        disk.lock().file(&path);
        // SAFETY: what is open has its methods.
        let real = unsafe { *(*file).pMethods };
        // Left for ever: it is small, and nobody says when SQLite looks at it for the last time.
        let ours = Box::leak(Box::new(sqlite3_io_methods {
            // Without reading through mapped memory.
            iVersion: real.iVersion.min(2),
            xClose: Some(close),
            xWrite: Some(write),
            xTruncate: Some(truncate),
            xSync: Some(sync),
            ..real
        }));
        OPEN.lock().insert(file as usize, Open { disk, path, real });
        // SAFETY: `file` is ours to fill in until this returns.
        unsafe { (*file).pMethods = ours };
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn delete(_: *mut sqlite3_vfs, name: *const c_char, sync: c_int) -> c_int {
    let real = real();
    // SAFETY: SQLite's own arguments.
    let (done, path) =
        unsafe { ((*real).xDelete.map(|delete| delete(real, name, sync)), path(name)) };
    if let Some(disk) = disk_of(&path) {
        disk.lock().forget(&path);
    }
    done.unwrap_or(ffi::SQLITE_IOERR_DELETE)
}

fn opened(file: *mut sqlite3_file) -> Open {
    OPEN.lock().get(&(file as usize)).expect("it is open").clone()
}

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    let open = OPEN.lock().remove(&(file as usize)).expect("it is open");
    // SAFETY: it is open; the real one closes it.
    unsafe { open.real.xClose.map_or(ffi::SQLITE_OK, |close| close(file)) }
}

unsafe extern "C" fn write(
    file: *mut sqlite3_file,
    bytes: *const c_void,
    length: c_int,
    at: ffi::sqlite3_int64,
) -> c_int {
    let open = opened(file);
    let mut disk = open.disk.lock();
    let fails = disk.fails();
    // The disk is full in the midst of it, or has an error before.
    let is_full = fails && disk.rng.bool();
    let length = if is_full { length / 2 } else { length };
    if fails && !is_full {
        return ffi::SQLITE_IOERR_WRITE;
    }
    // SAFETY: SQLite's own arguments, with less of the bytes.
    let done = unsafe { open.real.xWrite.map(|write| write(file, bytes, length, at)) };
    if done != Some(ffi::SQLITE_OK) {
        return done.unwrap_or(ffi::SQLITE_IOERR_WRITE);
    }
    // SAFETY: SQLite gives at least so many bytes.
    let bytes = unsafe { std::slice::from_raw_parts(bytes.cast::<u8>(), length as usize) };
    let change = Change::Written { at: at as usize, bytes: bytes.to_vec() };
    disk.file(&open.path).since.push(change);
    if is_full { ffi::SQLITE_FULL } else { ffi::SQLITE_OK }
}

unsafe extern "C" fn truncate(file: *mut sqlite3_file, length: ffi::sqlite3_int64) -> c_int {
    let open = opened(file);
    let mut disk = open.disk.lock();
    if disk.fails() {
        return ffi::SQLITE_IOERR_TRUNCATE;
    }
    // SAFETY: SQLite's own arguments.
    let done = unsafe { open.real.xTruncate.map(|truncate| truncate(file, length)) };
    if done == Some(ffi::SQLITE_OK) {
        disk.file(&open.path).since.push(Change::Truncated(length as usize));
    }
    done.unwrap_or(ffi::SQLITE_IOERR_TRUNCATE)
}

unsafe extern "C" fn sync(file: *mut sqlite3_file, _: c_int) -> c_int {
    // Nothing is really synced: this machine's power is not cut.
    let open = opened(file);
    let mut disk = open.disk.lock();
    let fails = disk.fails();
    let State { rng, .. } = &mut *disk;
    let mut luck = rng.fork();
    disk.has_lost |= fails;
    disk.file(&open.path).sync(fails, &mut luck);
    if fails { ffi::SQLITE_IOERR_FSYNC } else { ffi::SQLITE_OK }
}
