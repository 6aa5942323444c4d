//! The file of the log, after a disk has changed bytes of it: three for where, one for what it is then.
#![no_main]

use std::{fs, path::PathBuf, sync::OnceLock};

use common::{Offset, RoomName};
use hub::broker::{Broker, Part, Read, Retention};
use libfuzzer_sys::fuzz_target;
use server::{SqliteBroker, Sync, transfer};

/// A directory of one's own, and the files of a log that is well.
fn sound() -> &'static (PathBuf, Vec<u8>) {
    static SOUND: OnceLock<(PathBuf, Vec<u8>)> = OnceLock::new();
    SOUND.get_or_init(|| {
        let dir = std::env::temp_dir().join(format!("hubbub-fuzz-{}", uuid::Uuid::new_v4()));
        let broker = SqliteBroker::open(&dir, Retention::default(), Sync::Normal).unwrap();
        block_on(async {
            for n in 0..50 {
                let room = if n % 2 == 0 { "tea" } else { "coffee" };
                broker.append(vec![hub::contract::draft(room, &n.to_string(), n)]).await.unwrap();
            }
        });
        drop(broker);
        (dir.clone(), fs::read(dir.join("hubbub.db")).unwrap())
    })
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

fuzz_target!(|data: &[u8]| {
    let (dir, sound) = sound();
    let mut bytes = sound.clone();
    for edit in data.chunks_exact(4) {
        let at = usize::from(edit[0]) << 16 | usize::from(edit[1]) << 8 | usize::from(edit[2]);
        let at = at % bytes.len();
        bytes[at] = edit[3];
    }
    for file in ["hubbub.db-wal", "hubbub.db-shm"] {
        let _ = fs::remove_file(dir.join(file));
    }
    fs::write(dir.join("hubbub.db"), bytes).unwrap();
    let _ = transfer::check(dir, std::io::sink());
    let Ok(broker) = SqliteBroker::open(dir, Retention::default(), Sync::Normal) else { return };
    block_on(async {
        let room = RoomName::parse("tea").unwrap();
        let (part, at_least) = (Part::After(Offset(0)), Offset(0));
        let read = Read { part, records: 100, bytes: usize::MAX, at_least };
        if let Ok(page) = broker.read(&room, read).await {
            // What is read is as it was written.
            assert!(page.records.iter().all(|record| record.message().is_some()));
        }
        let _ = broker.append(vec![hub::contract::draft("tea", "more", 99)]).await;
        let _ = broker.tidy(1_000).await;
    });
});
