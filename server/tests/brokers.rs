//! The SQLite broker keeps the contract of all brokers, and keeps it over restarts.
#![allow(missing_docs, clippy::unwrap_used)]

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use common::{EventName, Mend, Message, MessageId, Offset, Publish, RoomName};
use hub::{
    Draft,
    broker::{Broker, Page, Part, Read, Retention},
    contract::{draft, message},
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

/// All of the room `tea`.
async fn tea(broker: &SqliteBroker) -> Page {
    let (part, at_least) = (Part::After(Offset(0)), Offset(0));
    let read = Read { part, records: 2_000, bytes: usize::MAX, at_least };
    broker.read(&RoomName::parse("tea").unwrap(), read).await.unwrap()
}

fn ids(page: &Page) -> Vec<String> {
    page.records.iter().map(|record| record.envelope.id.to_string()).collect()
}

#[tokio::test]
async fn a_restart_keeps_messages_epoch_ids_and_never_gives_an_offset_twice() {
    let dir = empty_dir();
    let broker = open(&dir).unwrap();
    let drafts = ["m1", "m2"].map(|id| draft("tea", id, 0)).to_vec();
    let first = broker.append(drafts).await.unwrap();
    drop(broker);

    let broker = open(&dir).unwrap();
    let page = tea(&broker).await;
    assert_eq!((page.epoch, page.head), (first.epoch, first.offsets[1]));
    assert_eq!(page.records.iter().map(|r| r.offset).collect::<Vec<_>>(), first.offsets);
    let drafts = vec![draft("tea", "m1", 0), draft("tea", "m3", 0)];
    let again = broker.append(drafts).await.unwrap().offsets;
    assert_eq!(again[0], first.offsets[0]);
    assert!(again[1] > first.offsets[1]);
}

#[tokio::test]
async fn of_what_was_taken_back_or_edited_not_a_word_is_left_in_the_files() {
    const WORDS: [&str; 3] = ["hippopotamus", "rhinoceros", "crocodile"];
    let dir = empty_dir();
    let broker = open(&dir).unwrap();
    let found = || {
        let files = fs::read_dir(&dir).unwrap().map(|file| fs::read(file.unwrap().path()).unwrap());
        let files: Vec<_> = files.collect();
        WORDS.map(|word| {
            files.iter().any(|bytes| bytes.windows(word.len()).any(|part| part == word.as_bytes()))
        })
    };
    let said = |id: &str, text: String| {
        let message = Message { value: text.into(), ..message("tea", id, 1) };
        Draft::new(message, None)
    };
    // Some so long that they have pages of their own.
    let long = |word: &str| format!("{} {word}", "x".repeat(12_000));
    let of = |id: &str| Some(MessageId::parse(id).unwrap());
    let event = |how: Mend| Some(EventName::parse(how.word()).unwrap());
    let drafts = vec![said("m1", long(WORDS[0])), said("m2", WORDS[1].to_owned())];
    broker.append(drafts).await.unwrap();
    let edit = Message {
        value: long(WORDS[2]).into(),
        event: event(Mend::Edit),
        of: of("m1"),
        ..message("tea", "e1", 2)
    };
    broker.append(vec![Draft::new(edit, None)]).await.unwrap();
    assert_eq!(found(), [true, true, true]);
    broker.tidy(3).await.unwrap();
    assert_eq!(found(), [false, true, true], "the first wording");
    for (id, target) in [("b1", "m1"), ("b2", "m2")] {
        let back = Message {
            value: serde_json::json!({}),
            event: event(Mend::Retract),
            of: of(target),
            ..message("tea", id, 4)
        };
        broker.append(vec![Draft::new(back, None)]).await.unwrap();
    }
    broker.tidy(5).await.unwrap();
    assert_eq!(found(), [false, false, false]);
    assert_eq!(ids(&tea(&broker).await), ["b1", "b2"]);
    drop(broker);
    // What it does outlives the process.
    let page = tea(&open(&dir).unwrap()).await;
    assert_eq!(page.records[0].envelope.mends.as_ref().unwrap().how, Mend::Retract);
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
    let first = broker.append(vec![draft("tea", "m1", 1)]).await.unwrap().offsets[0];
    broker.tidy(1_000).await.unwrap();
    drop(broker);

    let broker = SqliteBroker::open(&dir, retention(), Sync::Full).unwrap();
    let page = tea(&broker).await;
    assert_eq!((page.records.len(), page.floor), (0, first));
    assert!(broker.append(vec![draft("tea", "m2", 2)]).await.unwrap().offsets[0] > first);
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
        let file = dir.join("hubbub.db");
        fs::write(&file, content).unwrap();
        let mode = fs::metadata(&file).unwrap().permissions();
        assert!(matches!(open(&dir), Err(OpenError::Foreign(_))));
        assert_eq!(fs::read(&file).unwrap(), content);
        assert_eq!(fs::metadata(&file).unwrap().permissions(), mode);
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
    broker.append(vec![draft("tea", "before", 0)]).await.unwrap();
    // Another writer holds the file for longer than we wait: as when the disk does not answer.
    let blocker = rusqlite::Connection::open(dir.join("hubbub.db")).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert!(broker.append(vec![draft("tea", "refused", 0)]).await.is_err());
    blocker.execute_batch("ROLLBACK").unwrap();
    broker.append(vec![draft("tea", "after", 0)]).await.unwrap();
    let page = tea(&broker).await;
    assert_eq!(ids(&page), ["before", "after"]);
}

#[tokio::test]
async fn an_export_imported_elsewhere_twice_is_the_same_log_once() {
    let (from, to) = (empty_dir(), empty_dir());
    let broker = open(&from).unwrap();
    let drafts: Vec<_> = (0..1_200).map(|n| draft("tea", &format!("m{n}"), n)).collect();
    broker.append(drafts).await.unwrap();
    let file = from.join("log.ndjson");
    // While it is open: a server may be running.
    let exported = transfer::export(&from, fs::File::create(&file).unwrap()).unwrap();
    for _ in 0..2 {
        assert_eq!(transfer::import(&to, Some(&file)).await.unwrap(), exported);
    }
    let page = tea(&open(&to).unwrap()).await;
    assert_eq!(ids(&page), (0..1_200).map(|n| format!("m{n}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_line_that_is_no_record_is_named_and_what_came_before_it_is_kept() {
    let dir = empty_dir();
    let file = dir.join("log.ndjson");
    let message = message("tea", "m1", 0);
    let good = serde_json::json!({"session": "ada-tab", "message": message}).to_string();
    fs::write(&file, format!("{good}\nnot a record\n")).unwrap();
    let error = transfer::import(&dir, Some(&file)).await.unwrap_err();
    assert!(error.to_string().starts_with("line 2 is not a record"), "{error}");
    let page = tea(&open(&dir).unwrap()).await;
    assert_eq!(page.records.len(), 1);
}

#[tokio::test]
async fn an_export_has_messages_as_they_are_and_they_can_be_edited_on() {
    let (from, to) = (empty_dir(), empty_dir());
    let broker = open(&from).unwrap();
    let mend = |id: &str, how: Mend, of: &str, value: &str| {
        let publish = Publish::mending(how, MessageId::parse(of).unwrap(), value.into());
        let Publish { value, event, of, .. } = publish;
        vec![Draft::new(Message { value, event, of, ..message("tea", id, 1) }, None)]
    };
    for id in ["m1", "m2"] {
        broker.append(vec![draft("tea", id, 1)]).await.unwrap();
    }
    broker.append(mend("e1", Mend::Edit, "m1", "edited")).await.unwrap();
    broker.append(mend("b1", Mend::Retract, "m2", "-")).await.unwrap();
    drop(broker);
    let file = from.join("export.ndjson");
    assert_eq!(transfer::export(&from, fs::File::create(&file).unwrap()).unwrap(), 1);
    assert_eq!(transfer::import(&to, Some(&file)).await.unwrap(), 1);
    let broker = open(&to).unwrap();
    let text = |page: &Page| page.records[0].message().unwrap().value.to_string();
    assert_eq!(text(&tea(&broker).await), r#""edited""#);
    broker.append(mend("e2", Mend::Edit, "m1", "again")).await.unwrap();
    assert_eq!(text(&tea(&broker).await), r#""again""#);
}

#[tokio::test]
async fn an_import_into_a_directory_in_use_is_refused() {
    let dir = empty_dir();
    let _server = open(&dir).unwrap();
    let error = transfer::import(&dir, None).await.unwrap_err();
    assert!(error.to_string().contains("another hubbub is using it"), "{error}");
}

/// The file as version 1 left it, with three messages.
const VERSION_1: &str = r#"
    CREATE TABLE meta (key TEXT PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID;
    CREATE TABLE rooms (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, floor INTEGER NOT NULL,
        last_at INTEGER NOT NULL) STRICT;
    CREATE INDEX rooms_by_last ON rooms (last_at);
    CREATE TABLE messages (offset INTEGER PRIMARY KEY AUTOINCREMENT,
        room INTEGER NOT NULL REFERENCES rooms (id), id TEXT NOT NULL, at INTEGER NOT NULL, body BLOB,
        UNIQUE (room, id)) STRICT;
    CREATE INDEX messages_by_room ON messages (room, offset);
    CREATE INDEX messages_gone ON messages (at) WHERE body IS NULL;
    INSERT INTO meta VALUES ('epoch', 'abc'), ('gone', 0);
    INSERT INTO rooms VALUES (1, 'tea', 0, 5);
    INSERT INTO messages VALUES
        (3, 1, 'm0', 5, NULL),
        (4, 1, 'm1', 5, CAST('{"session":"tab.secret","message":{"value":"a\"b\u0000","id":"m1","room":"tea","offset":0,"at":5,"from":{"id":"ada","name":"Ada"}}}' AS BLOB)),
        (5, 1, 'm2', 5, CAST('{"session":"tab.secret","message":{"value":{"x":1.50},"id":"m2","room":"tea","offset":0,"at":5,"from":{"id":"ada","name":"{"},"event":"move","to":"others"}}' AS BLOB)),
        (9, 1, 'm3', 5, CAST('{"session":"x","message":{"value":1,"id":"m3","room":"tea","offset":0,"at":5,"from":{"id":"bob","name":"Bob"},"to":["ada","y"]}}' AS BLOB));
    PRAGMA application_id = 1213547074;
    PRAGMA user_version = 1;
"#;

#[tokio::test]
async fn a_file_of_an_older_version_is_taken_over_with_all_it_holds() {
    let dir = empty_dir();
    let file = rusqlite::Connection::open(dir.join("hubbub.db")).unwrap();
    file.execute_batch(VERSION_1).unwrap();
    // Reading alone does not change a file, so it can't be read before.
    let error = transfer::export(&dir, Vec::new()).unwrap_err();
    assert!(error.to_string().contains("start this hubbub on it once"), "{error}");
    let broker = open(&dir).unwrap();
    let page = tea(&broker).await;
    let kept: Vec<_> = page
        .records
        .iter()
        .map(|record| {
            let session = record.envelope.session.as_ref().map(ToString::to_string);
            (record.offset.0, record.params(), session.unwrap())
        })
        .collect();
    let expected = [
        (
            4,
            r#"{"offset":4,"value":"a\"b\u0000","id":"m1","room":"tea","at":5,"from":{"id":"ada","name":"Ada"}}"#,
            "tab",
        ),
        (
            5,
            r#"{"offset":5,"value":{"x":1.50},"id":"m2","room":"tea","at":5,"from":{"id":"ada","name":"{"},"event":"move","to":"others"}"#,
            "tab",
        ),
        (
            9,
            r#"{"offset":9,"value":1,"id":"m3","room":"tea","at":5,"from":{"id":"bob","name":"Bob"},"to":["ada","y"]}"#,
            "x",
        ),
    ];
    assert_eq!(
        kept,
        expected.map(|(offset, params, session)| (offset, params, session.to_owned()))
    );
    for record in &page.records {
        let message = record.message().unwrap();
        assert_eq!((&message.from.id, &message.to), (&record.envelope.member, &record.envelope.to));
    }
    let counted: i64 =
        file.query_row("SELECT value FROM meta WHERE key = 'bytes'", [], |row| row.get(0)).unwrap();
    assert_eq!(counted as usize, page.records.iter().map(|r| r.body().len()).sum::<usize>());
    // An id whose message is gone is remembered all the same.
    let again = broker.append(vec![draft("tea", "m0", 6)]).await.unwrap();
    assert_eq!((again.offsets[0], again.epoch.as_str()), (Offset(3), "abc"));
}

/// A copy of the directory as a process that dies leaves it.
fn crash(dir: &Path) -> PathBuf {
    let copy = empty_dir();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
    }
    copy
}

/// The witness's word, changed.
fn testify(dir: &Path, change: impl FnOnce(&mut Vec<String>)) {
    let file = dir.join("hubbub.head");
    let mut words = fs::read_to_string(&file).unwrap();
    let mut all: Vec<_> = words.split_whitespace().map(str::to_owned).collect();
    change(&mut all);
    words = format!("{:<127}\n", all.join(" "));
    fs::write(&file, words).unwrap();
}

async fn epoch(dir: &Path, sync: Sync) -> String {
    let broker = SqliteBroker::open(dir, Retention::default(), sync).unwrap();
    tea(&broker).await.epoch.to_string()
}

#[tokio::test]
async fn a_log_that_lacks_what_it_answered_for_begins_another_life() {
    let dir = empty_dir();
    let broker = open(&dir).unwrap();
    for n in 0..20 {
        broker.append(vec![draft("tea", &format!("m{n}"), 0)]).await.unwrap();
    }
    let before = tea(&broker).await.epoch.to_string();
    // Killed: it is all there, and goes on.
    assert_eq!(epoch(&crash(&dir), Sync::Full).await, before);
    // One bit of the log's last pages, and SQLite leaves out what follows without a word.
    let damaged = crash(&dir);
    let wal = damaged.join("hubbub.db-wal");
    let mut bytes = fs::read(&wal).unwrap();
    let end = bytes.len();
    bytes[end - 100] ^= 1;
    fs::write(&wal, bytes).unwrap();
    assert_ne!(epoch(&damaged, Sync::Full).await, before);
    // Nobody vouches for it.
    let unwitnessed = crash(&dir);
    fs::remove_file(unwitnessed.join("hubbub.head")).unwrap();
    assert_ne!(epoch(&unwitnessed, Sync::Full).await, before);
    // An older copy of the file alone.
    let older = crash(&dir);
    testify(&older, |words| words[1] = "21".to_owned());
    assert_ne!(epoch(&older, Sync::Full).await, before);
}

#[tokio::test]
async fn after_a_power_cut_a_log_goes_on_if_it_was_synced_or_closed() {
    let dir = empty_dir();
    let power_cut = |words: &mut Vec<String>| words[2] = "another-boot".to_owned();
    for (sync, goes_on) in [(Sync::Full, true), (Sync::Normal, false)] {
        let dir = dir.join(format!("{sync:?}"));
        let broker = SqliteBroker::open(&dir, Retention::default(), sync).unwrap();
        broker.append(vec![draft("tea", "m1", 0)]).await.unwrap();
        let before = tea(&broker).await.epoch.to_string();
        let cut = crash(&dir);
        testify(&cut, power_cut);
        let after = epoch(&cut, sync).await;
        assert_eq!(after == before, goes_on, "{sync:?}");
        // What began another life goes on with it.
        assert_eq!(epoch(&cut, sync).await, after);
        drop(broker);
        testify(&dir, power_cut);
        assert_eq!(epoch(&dir, sync).await, before, "{sync:?}");
    }
}

#[tokio::test]
async fn a_file_that_is_gone_or_another_is_noticed() {
    let dir = empty_dir();
    let broker = open(&dir).unwrap();
    broker.append(vec![draft("tea", "m1", 0)]).await.unwrap();
    fs::rename(dir.join("hubbub.db"), dir.join("elsewhere")).unwrap();
    assert!(broker.append(vec![draft("tea", "m2", 0)]).await.is_err());
    fs::write(dir.join("hubbub.db"), "").unwrap();
    assert!(broker.append(vec![draft("tea", "m2", 0)]).await.is_err());
    fs::rename(dir.join("elsewhere"), dir.join("hubbub.db")).unwrap();
    assert!(broker.append(vec![draft("tea", "m2", 0)]).await.is_ok());
}

#[tokio::test]
async fn files_are_closed_to_others_and_no_second_process_gets_in_whatever_is_removed() {
    use std::os::unix::fs::PermissionsExt;
    let dir = empty_dir();
    fs::write(dir.join("hubbub.db"), "").unwrap();
    fs::set_permissions(dir.join("hubbub.db"), fs::Permissions::from_mode(0o644)).unwrap();
    let broker = open(&dir).unwrap();
    broker.append(vec![draft("tea", "m1", 0)]).await.unwrap();
    for entry in fs::read_dir(&dir).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.file_name());
    }
    for entry in fs::read_dir(&dir).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        if !name.starts_with("hubbub.db") {
            fs::remove_file(dir.join(name)).unwrap();
        }
    }
    assert!(matches!(open(&dir), Err(OpenError::InUse)));
}

#[tokio::test]
async fn a_start_with_the_clock_far_ahead_lets_go_of_nothing() {
    let day = 24 * 60 * 60 * 1_000;
    let dir = empty_dir();
    let broker = open(&dir).unwrap();
    broker.append(vec![draft("tea", "m1", day)]).await.unwrap();
    broker.tidy(day).await.unwrap();
    drop(broker);
    let broker = open(&dir).unwrap();
    broker.tidy(41 * day).await.unwrap();
    assert_eq!(ids(&tea(&broker).await), ["m1"]);
}

#[tokio::test]
async fn so_does_one_when_nothing_was_ever_tidied() {
    let day = 24 * 60 * 60 * 1_000;
    let dir = empty_dir();
    let broker = open(&dir).unwrap();
    broker.append(vec![draft("tea", "m1", day)]).await.unwrap();
    drop(broker);
    let broker = open(&dir).unwrap();
    broker.tidy(41 * day).await.unwrap();
    assert_eq!(ids(&tea(&broker).await), ["m1"]);
}

/// Changes one letter of what a message says, as a disk might.
fn damage(dir: &Path, offset: u64) {
    let file = rusqlite::Connection::open(dir.join("hubbub.db")).unwrap();
    let sql = "UPDATE messages SET body = CAST(replace(CAST(body AS TEXT), '\"value\":\"m', '\"value\":\"n')
        AS BLOB) WHERE offset = ?";
    assert_eq!(file.execute(sql, [offset as i64]).unwrap(), 1);
}

#[tokio::test]
async fn one_damaged_message_is_a_gap_that_is_told_and_stops_nobody() {
    let dir = empty_dir();
    let broker = open(&dir).unwrap();
    for n in 1..=30 {
        broker.append(vec![draft("tea", &format!("m{n}"), 0)]).await.unwrap();
    }
    drop(broker);
    damage(&dir, 10);
    damage(&dir, 11);

    let hub = hub::Hub::new(Arc::new(open(&dir).unwrap()), hub::Limits::default());
    let room = RoomName::parse("tea").unwrap();
    let member = message("tea", "m", 0).from;
    let who = hub::Who { member, session: None, guest_from: None };
    let (mut reader, _) = hub.read(&room, who.clone(), &common::After::Oldest).await.unwrap();
    let (mut read, mut gaps) = (Vec::new(), Vec::new());
    while read.len() < 28 {
        let delivery = reader.next().await.unwrap();
        gaps.extend(delivery.reset.map(|position| position.offset.0));
        read.extend(delivery.records.iter().map(|record| record.offset.0));
    }
    assert_eq!((read, gaps), ((1..=9).chain(12..=30).collect(), vec![11]));
    // Looking back passes over it.
    let latest = hub.latest(&room, &who, None, 25).await.unwrap();
    assert_eq!(latest.records.first().unwrap().offset, Offset(4));

    let mut exported = Vec::new();
    assert_eq!(transfer::export(&dir, &mut exported).unwrap(), 28);
    assert_eq!(String::from_utf8(exported).unwrap().lines().count(), 28);
    let mut report = Vec::new();
    assert_eq!(transfer::check(&dir, &mut report).unwrap(), (28, 2));
    let report = String::from_utf8(report).unwrap();
    assert!(report.contains("message 10 of room tea is damaged: "), "{report}");
}

/// A page of the file that holds messages becomes something else.
#[tokio::test]
async fn a_damaged_page_takes_its_messages_from_an_export_and_no_others() {
    let dir = empty_dir();
    let broker = open(&dir).unwrap();
    for n in 1..=300 {
        let message = message("tea", &format!("m{n}"), 0);
        let value = serde_json::Value::from(format!("{n:0500}"));
        broker.append(vec![Draft::new(common::Message { value, ..message }, None)]).await.unwrap();
    }
    drop(broker);
    let file = dir.join("hubbub.db");
    let mut bytes = fs::read(&file).unwrap();
    // A leaf of a table (13), https://sqlite.org/fileformat2.html#b_tree_pages.
    let holds = |page: &[u8]| {
        page[0] == 13 && String::from_utf8_lossy(page).contains(&format!("{:0500}", 150))
    };
    let page = bytes.chunks_exact_mut(4096).find(|page| holds(page)).unwrap();
    let lost = String::from_utf8_lossy(page).matches(&"0".repeat(497)).count();
    assert!((2..20).contains(&lost), "{lost}");
    page.fill(0xff);
    fs::write(&file, bytes).unwrap();

    let mut exported = Vec::new();
    assert_eq!(transfer::export(&dir, &mut exported).unwrap(), 300 - lost);
    assert_eq!(String::from_utf8(exported).unwrap().lines().count(), 300 - lost);
    let mut report = Vec::new();
    let (well, bad) = transfer::check(&dir, &mut report).unwrap();
    let report = String::from_utf8(report).unwrap();
    assert!(well == 300 - lost && bad >= 2, "{report}");
    assert!(report.contains(" can't be read: database disk image is malformed"), "{report}");
}

#[tokio::test]
async fn an_import_takes_nothing_that_nobody_could_say() {
    let source = empty_dir();
    let broker = open(&source).unwrap();
    broker.append(vec![draft("tea", "m1", 0)]).await.unwrap();
    let mut line = Vec::new();
    transfer::export(&source, &mut line).unwrap();
    let line = String::from_utf8(line).unwrap();
    for value in
        ["null".to_owned(), format!("\"{}\"", "x".repeat(20_000)), "\"\\u0000\"".to_owned()]
    {
        let dir = empty_dir();
        let file = dir.join("log.ndjson");
        fs::write(&file, line.replace("\"value\":\"m1\"", &format!("\"value\":{value}"))).unwrap();
        let refused = transfer::import(&dir.join("data"), Some(&file)).await.unwrap_err();
        assert!(matches!(refused, transfer::TransferError::Line { number: 1, .. }), "{refused}");
    }
}
