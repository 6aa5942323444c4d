//! What a room and the list of rooms look like to someone who does not read them.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use common::{After, Audience, Mend, Offset, Publish, RoomName};
use hub::{Hub, Limits, Query, broker::Retention};
use support::*;

async fn say_in(hub: &Hub, name: &str, at: u64) {
    let publish = common::Publish::text("hi").unwrap();
    hub.publish(&room(name), &who("bob"), publish, at).await.unwrap();
}

/// The values of the newest messages that `name` may read, and the offset they are read up to.
async fn latest(hub: &Hub, name: &str, before: Option<u64>, limit: usize) -> (String, u64) {
    let latest = hub.latest(&room("tea"), &who(name), before.map(Offset), limit).await.unwrap();
    let values = latest.records.iter().map(|record| record.message().unwrap().value);
    let values: Vec<_> = values.map(|value| value.as_str().unwrap().to_owned()).collect();
    (values.join(" "), latest.position.offset.0)
}

#[tokio::test]
async fn paging_back_has_each_message_once_and_never_goes_ahead_of_the_log() {
    let hub = hub();
    for n in 1..=5 {
        say(&hub, "bob", &n.to_string()).await;
    }
    for (before, limit, expected) in [
        (None, 2, ("4 5", 5)),
        (Some(4), 2, ("2 3", 3)),
        (Some(2), 2, ("1", 1)),
        (Some(1), 2, ("", 0)),
        (Some(99), 2, ("4 5", 5)),
        (None, 9, ("1 2 3 4 5", 5)),
    ] {
        let (values, position) = latest(&hub, "ada", before, limit).await;
        assert_eq!((values.as_str(), position), expected, "before {before:?}");
    }
}

#[tokio::test]
async fn messages_for_others_are_looked_past_but_not_without_end() {
    let hub = hub();
    for n in 1..=30 {
        let to = if n % 3 == 0 { Audience::All } else { Audience::Own };
        say_to(&hub, "bob", &n.to_string(), to).await;
    }
    assert_eq!(latest(&hub, "ada", None, 4).await, ("21 24 27 30".to_owned(), 30));
    assert_eq!(latest(&hub, "ada", None, 2).await.0, "27 30");
    for n in 31..=399 {
        say_to(&hub, "bob", &n.to_string(), Audience::Own).await;
    }
    assert_eq!(latest(&hub, "ada", None, 2).await, ("27 30".to_owned(), 399));
    // Two, and four pages of a hundred, don't go back as far.
    for n in 400..=499 {
        say_to(&hub, "bob", &n.to_string(), Audience::Own).await;
    }
    assert_eq!(latest(&hub, "ada", None, 2).await, (String::new(), 499));
}

#[tokio::test]
async fn no_more_messages_come_than_were_asked_for_however_many_pages_they_take() {
    let hub = hub();
    for (n, to) in (1..=6).map(|n| (n, if n == 5 { Audience::Own } else { Audience::All })) {
        say_to(&hub, "bob", &n.to_string(), to).await;
    }
    assert_eq!(latest(&hub, "ada", None, 2).await.0, "4 6");
}

#[tokio::test]
async fn a_room_is_open_while_somebody_reads_it_and_a_while_after_something_was_said() {
    let hub = hub();
    let (tea, idle) = (room("tea"), hub.limits().idle_room.as_millis() as u64);
    assert!(!hub.is_open(&tea));
    let ada = reader(&hub, "ada", &After::Now).await;
    assert!(hub.is_open(&tea));
    say(&hub, "bob", "hi").await;
    drop(ada);
    let sweep = |at| hub.sweep(now(), at);
    // It was said at 1 000.
    sweep(999 + idle);
    assert!(hub.is_open(&tea));
    sweep(1_000 + idle);
    assert!(!hub.is_open(&tea));
}

#[tokio::test]
async fn a_look_has_a_bounded_number_of_bytes() {
    let hub = hub();
    let long = "x".repeat(16_000);
    for _ in 0..20 {
        say(&hub, "bob", &long).await;
    }
    let latest = hub.latest(&room("tea"), &who("ada"), None, 20).await.unwrap();
    let bytes: usize = latest.records.iter().map(|record| record.frame.bytes().len()).sum();
    assert!((128 * 1024..160 * 1024).contains(&bytes), "{bytes}");
    assert_eq!(latest.records.last().unwrap().offset, Offset(20));
}

#[tokio::test]
async fn the_liveliest_rooms_come_first() {
    let hub = hub();
    for (name, at) in [("old", 1), ("new", 3), ("full", 2), ("also", 3)] {
        say_in(&hub, name, at).await;
    }
    let _ada = hub.enter(&room("full"), &who("ada")).unwrap();
    let _ada = hub.enter(&room("silent"), &who("ada")).unwrap();
    let rooms = hub.rooms(4, |_| true).await.unwrap();
    let rooms: Vec<_> =
        rooms.iter().map(|room| (room.name.as_str(), room.members, room.last_at)).collect();
    assert_eq!(rooms, [("full", 1, 2), ("silent", 1, 0), ("also", 0, 3), ("new", 0, 3)]);
    let names = |rooms: Vec<hub::RoomSummary>| -> Vec<RoomName> {
        rooms.into_iter().map(|room| room.name).collect()
    };
    assert_eq!(names(hub.rooms(1, |_| true).await.unwrap()), [room("full")]);
    // What one may not see takes no place of what one may, however much of it there is.
    let only_old = hub.rooms(1, |name| *name == room("old")).await.unwrap();
    assert_eq!(names(only_old), [room("old")]);
}

#[tokio::test]
async fn what_all_rooms_hold_in_memory_is_bounded_and_the_broker_has_the_rest() {
    let limits = Limits { tails_bytes: 60_000, ..Limits::default() };
    let (hub, held) = (hub_with(limits, Retention::default()), |hub: &Hub| hub.held_bytes());
    let long = || common::Publish::text(&"x".repeat(1_000)).unwrap();
    for (n, name) in ["old", "older", "new"].into_iter().enumerate() {
        let at = [2_000, 1_000, 3_000][n];
        for _ in 0..25 {
            hub.publish(&room(name), &who("bob"), long(), at).await.unwrap();
        }
    }
    assert!(held(&hub) > 75_000);
    hub.sweep(now(), 3_000);
    // One of the older room is left, and all of the others.
    assert!((50_000..60_000).contains(&held(&hub)), "{}", held(&hub));
    for name in ["old", "older", "new"] {
        let (mut reader, _) = hub.read(&room(name), who("ada"), &After::Oldest).await.unwrap();
        let mut read = 0;
        while read < 25 {
            read += reader.next().await.unwrap().records.len();
        }
    }
    hub.sweep(now(), 3_000);
    assert!(held(&hub) > 50_000, "what is not too much stays");
    // What is left of the rooms that were shrunk counts as well.
    let one = hub.held_bytes() / 51;
    let limits = Limits { tails_bytes: 26 * one, ..Limits::default() };
    let hub = hub_with(limits, Retention::default());
    for name in ["old", "older", "new"] {
        for _ in 0..25 {
            hub.publish(&room(name), &who("bob"), long(), 1_000).await.unwrap();
        }
    }
    hub.sweep(now(), 1_000);
    assert!(held(&hub) < 4 * one, "{} of {one}", held(&hub));
}

#[tokio::test]
async fn a_hub_has_the_limits_it_was_given() {
    let limits = Limits { rooms: 7, ..Limits::default() };
    assert_eq!(hub_with(limits, Retention::default()).limits().rooms, 7);
}

#[test]
fn what_is_kept_by_default_is_what_the_documentation_says() {
    const MIB: usize = 1024 * 1024;
    let (file, memory) = (Retention::default(), Retention::in_memory());
    assert_eq!((file.room_messages, file.room_bytes), (10_000, 8 * MIB));
    assert_eq!((file.total_bytes, memory.total_bytes), (1024 * MIB, 128 * MIB));
    assert_eq!((file.age.as_secs(), file.ids.as_secs()), (30 * 86_400, 3_600));
    assert_eq!((file.room_ids, memory.room_ids), (20_000, 20_000));
    assert_eq!(memory.total_after_trim(), 126 * MIB);
}

/// What `name` finds, and where to look on.
async fn search(
    hub: &Hub,
    name: &str,
    query: &str,
    before: Option<u64>,
    limit: usize,
) -> (String, Option<u64>) {
    let query = Query::parse(query).unwrap();
    let before = before.map(Offset);
    let found = hub.search(&room("tea"), &who(name), &query, before, limit).await.unwrap();
    let texts: Vec<_> = found.records.iter().map(|record| record.text()).collect();
    (texts.join(" "), found.before.map(|offset| offset.0))
}

#[tokio::test]
async fn what_was_said_is_found_by_whoever_may_read_it_newest_last() {
    let hub = hub();
    for n in 1..=5 {
        say(&hub, "bob", &format!("회의록{n}")).await;
    }
    say_to(&hub, "bob", "회의록-비밀", Audience::Only(vec!["bob".to_owned()])).await;
    assert_eq!(
        search(&hub, "ada", "회의", None, 9).await.0,
        "회의록1 회의록2 회의록3 회의록4 회의록5"
    );
    assert_eq!(search(&hub, "ada", "비밀", None, 9).await, (String::new(), None));
    assert_eq!(search(&hub, "bob", "비밀", None, 9).await.0, "회의록-비밀");
    // From one answer to the next.
    assert_eq!(search(&hub, "ada", "록", None, 2).await, ("회의록4 회의록5".to_owned(), Some(4)));
    assert_eq!(
        search(&hub, "ada", "록", Some(4), 2).await,
        ("회의록2 회의록3".to_owned(), Some(2))
    );
    assert_eq!(search(&hub, "ada", "록", Some(2), 2).await, ("회의록1".to_owned(), None));
}

#[tokio::test]
async fn what_was_edited_is_found_as_it_is_and_what_was_taken_back_is_not() {
    let hub = hub();
    let (first, second) = (say(&hub, "bob", "helo").await, say(&hub, "bob", "a secret").await);
    let edit = Publish::mending(Mend::Edit, first.id, "hello".into());
    let back = Publish::mending(Mend::Retract, second.id, serde_json::json!({}));
    for publish in [edit, back] {
        hub.publish(&room("tea"), &who("bob"), publish, 1).await.unwrap();
    }
    for (query, found) in [("helo", ""), ("hello", "hello"), ("secret", "")] {
        assert_eq!(search(&hub, "ada", query, None, 9).await.0, found, "{query}");
    }
}

#[tokio::test]
async fn so_many_are_looked_through_at_once_and_then_it_is_said_where_to_go_on() {
    let limits = Retention { room_messages: 20_000, ..Retention::default() };
    let hub = hub_with(Limits::default(), limits);
    say(&hub, "bob", "needle").await;
    let hay: Vec<_> = (0..100).map(|_| Publish::text("hay").unwrap()).collect();
    for _ in 0..105 {
        hub.publish_all(&room("tea"), &who("bob"), hay.clone(), 1).await.unwrap();
    }
    let (none, before) = search(&hub, "ada", "needle", None, 9).await;
    assert_eq!((none.as_str(), before), ("", Some(502)));
    assert_eq!(search(&hub, "ada", "needle", before, 9).await, ("needle".to_owned(), None));
}
