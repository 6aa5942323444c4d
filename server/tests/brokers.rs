//! The SQLite broker keeps the contract of all brokers, and keeps it over restarts.
#![allow(missing_docs, clippy::unwrap_used)]

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use common::{Offset, RoomName};
use hub::{
    broker::{Broker, Part, Retention},
    contract::record,
};
use server::{OpenError, SqliteBroker, Sync, transfer};

/// An empty directory, and where it was.
fn empty_dir() -> PathBuf {
    let dir = std::env::temp_dir().join(format!("hubbub-test-{}", uuid::Uuid::new_v4()));
    fs::create_dir_all(&dir).unwrap();
    dir
}

fn open(dir: &Path) -> Result<SqliteBroker, OpenError> {
    SqliteBroker::open(dir, Retention::default(), Sync::Full)
}

fn sqlite(retention: Retention) -> Arc<dyn Broker> {
    Arc::new(SqliteBroker::open(&empty_dir(), retention, Sync::Normal).unwrap())
}

hub::broker_contract!(sqlite);

#[tokio::test]
async fn a_restart_keeps_messages_epoch_ids_and_never_gives_an_offset_twice() {
    let dir = empty_dir();
    let broker = open(&dir).unwrap();
    let epoch = broker.epoch();
    let records = ["m1", "m2"].map(|id| record("tea", id, 0)).to_vec();
    let offsets = broker.append(records).await.unwrap();
    drop(broker);

    let broker = open(&dir).unwrap();
    assert_eq!((broker.epoch(), broker.head()), (epoch, offsets[1]));
    let tea = RoomName::parse("tea").unwrap();
    let page = broker.read(&tea, Part::After(Offset(0)), 10).await.unwrap();
    assert_eq!(page.records.iter().map(|r| r.message.offset).collect::<Vec<_>>(), offsets);
    let again = broker.append(vec![record("tea", "m1", 0), record("tea", "m3", 0)]).await.unwrap();
    assert_eq!(again[0], offsets[0]);
    assert!(again[1] > offsets[1]);
}

#[tokio::test]
async fn an_offset_is_not_given_again_even_when_the_newest_messages_were_let_go_of() {
    let dir = empty_dir();
    let retention = || Retention {
        age: std::time::Duration::ZERO,
        ids: std::time::Duration::ZERO,
        ..Retention::default()
    };
    let broker = SqliteBroker::open(&dir, retention(), Sync::Full).unwrap();
    let first = broker.append(vec![record("tea", "m1", 1)]).await.unwrap()[0];
    broker.tidy(1_000).await.unwrap();
    drop(broker);

    let broker = SqliteBroker::open(&dir, retention(), Sync::Full).unwrap();
    let tea = RoomName::parse("tea").unwrap();
    let page = broker.read(&tea, Part::After(Offset(0)), 10).await.unwrap();
    assert_eq!((page.records.len(), page.floor), (0, first));
    assert!(broker.append(vec![record("tea", "m2", 2)]).await.unwrap()[0] > first);
}

#[test]
fn a_directory_that_is_made_is_closed_to_others() {
    use std::os::unix::fs::PermissionsExt;
    let dir = empty_dir().join("deep/er");
    drop(open(&dir).unwrap());
    assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_directory_is_used_by_one_process_at_a_time() {
    let dir = empty_dir();
    let first = open(&dir).unwrap();
    assert!(matches!(open(&dir), Err(OpenError::InUse)));
    drop(first);
    assert!(open(&dir).is_ok());
}

#[test]
fn a_file_that_is_not_ours_is_refused_and_left_alone() {
    for content in [&b"just some text, long enough to be looked at"[..], &[0xff; 5000]] {
        let dir = empty_dir();
        fs::write(dir.join("hubbub.db"), content).unwrap();
        assert!(matches!(open(&dir), Err(OpenError::Foreign(_))));
        assert_eq!(fs::read(dir.join("hubbub.db")).unwrap(), content);
    }
    let dir = empty_dir();
    let other = rusqlite::Connection::open(dir.join("hubbub.db")).unwrap();
    other.execute_batch("CREATE TABLE recipes (name)").unwrap();
    assert!(matches!(open(&dir), Err(OpenError::Foreign(_))));
}

#[test]
fn a_file_of_a_newer_version_is_refused() {
    let dir = empty_dir();
    drop(open(&dir).unwrap());
    let file = rusqlite::Connection::open(dir.join("hubbub.db")).unwrap();
    file.pragma_update(None, "user_version", 99).unwrap();
    drop(file);
    assert!(matches!(open(&dir), Err(OpenError::Newer { found: 99, .. })));
}

#[test]
fn a_damaged_file_is_refused_with_what_to_do() {
    let dir = empty_dir();
    drop(open(&dir).unwrap());
    let file = dir.join("hubbub.db");
    let mut bytes = fs::read(&file).unwrap();
    // The header is well, the pages are not.
    bytes[100..].fill(0x55);
    fs::write(&file, bytes).unwrap();
    let error = open(&dir).unwrap_err();
    assert!(matches!(error, OpenError::Damaged(_)), "{error:?}");
    assert!(error.to_string().contains("restore it from a backup"));
}

#[tokio::test]
async fn a_log_that_can_not_grow_refuses_without_a_false_ack_and_recovers() {
    let dir = empty_dir();
    let broker = open(&dir).unwrap();
    broker.append(vec![record("tea", "before", 0)]).await.unwrap();
    // Another writer holds the file for longer than we wait: as when the disk does not answer.
    let blocker = rusqlite::Connection::open(dir.join("hubbub.db")).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert!(broker.append(vec![record("tea", "refused", 0)]).await.is_err());
    blocker.execute_batch("ROLLBACK").unwrap();
    broker.append(vec![record("tea", "after", 0)]).await.unwrap();
    let tea = RoomName::parse("tea").unwrap();
    let page = broker.read(&tea, Part::After(Offset(0)), 10).await.unwrap();
    let ids: Vec<_> = page.records.iter().map(|r| r.message.id.to_string()).collect();
    assert_eq!(ids, ["before", "after"]);
}

#[tokio::test]
async fn an_export_imported_elsewhere_twice_is_the_same_log_once() {
    let (from, to) = (empty_dir(), empty_dir());
    let broker = open(&from).unwrap();
    let records: Vec<_> = (0..1_200).map(|n| record("tea", &format!("m{n}"), n)).collect();
    broker.append(records).await.unwrap();
    let file = from.join("log.ndjson");
    // While it is open: a server may be running.
    let exported = transfer::export(&from, fs::File::create(&file).unwrap()).unwrap();
    for _ in 0..2 {
        assert_eq!(transfer::import(&to, Some(&file)).await.unwrap(), exported);
    }
    let tea = RoomName::parse("tea").unwrap();
    let page = open(&to).unwrap().read(&tea, Part::After(Offset(0)), 2_000).await.unwrap();
    let ids: Vec<_> = page.records.iter().map(|r| r.message.id.to_string()).collect();
    assert_eq!(ids, (0..1_200).map(|n| format!("m{n}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_line_that_is_no_record_is_named_and_what_came_before_it_is_kept() {
    let dir = empty_dir();
    let file = dir.join("log.ndjson");
    let good = serde_json::to_string(&record("tea", "m1", 0)).unwrap();
    fs::write(&file, format!("{good}\nnot a record\n")).unwrap();
    let error = transfer::import(&dir, Some(&file)).await.unwrap_err();
    assert!(error.to_string().starts_with("line 2 is not a record"), "{error}");
    let tea = RoomName::parse("tea").unwrap();
    let page = open(&dir).unwrap().read(&tea, Part::After(Offset(0)), 10).await.unwrap();
    assert_eq!(page.records.len(), 1);
}

#[tokio::test]
async fn an_import_into_a_directory_in_use_is_refused() {
    let dir = empty_dir();
    let _server = open(&dir).unwrap();
    let error = transfer::import(&dir, None).await.unwrap_err();
    assert!(error.to_string().contains("another hubbub is using it"), "{error}");
}

#[tokio::test]
async fn a_file_of_an_older_version_is_taken_over_with_all_it_holds() {
    let dir = empty_dir();
    let broker = open(&dir).unwrap();
    broker.append(vec![record("tea", "m1", 0), record("tea", "m2", 0)]).await.unwrap();
    drop(broker);
    let file = rusqlite::Connection::open(dir.join("hubbub.db")).unwrap();
    let bytes = "SELECT value FROM meta WHERE key = 'bytes'";
    let counted: i64 = file.query_row(bytes, [], |row| row.get(0)).unwrap();
    // As version 1 left it.
    file.execute_batch(
        "DROP TRIGGER body_kept; DROP TRIGGER body_let_go; DELETE FROM meta WHERE key = 'bytes';
         PRAGMA user_version = 1",
    )
    .unwrap();
    let broker = open(&dir).unwrap();
    assert_eq!(file.query_row(bytes, [], |row| row.get::<_, i64>(0)).unwrap(), counted);
    let tea = RoomName::parse("tea").unwrap();
    let page = broker.read(&tea, Part::After(Offset(0)), 10).await.unwrap();
    assert_eq!(page.records.len(), 2);
}
