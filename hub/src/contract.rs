//! What every broker must do, as tests to run against it: [`broker_contract!`](crate::broker_contract).
#![allow(clippy::unwrap_used, missing_docs)]

use std::{sync::Arc, time::Duration};

use common::{
    Audience, Member, MemberId, MemberName, Message, MessageId, Offset, RoomName, SessionId,
};
use parking_lot::Mutex;

use crate::broker::{Broker, Part, Record, Retention};

/// Makes a fresh broker.
pub type Make = fn(Retention) -> Arc<dyn Broker>;

/// A test module that runs the contract against the brokers that `$make` (a [`Make`]) makes.
#[macro_export]
macro_rules! broker_contract {
    ($make:ident) => {
        $crate::broker_contract!($make:
            offsets_increase_in_the_order_of_appending,
            the_follower_hears_each_record_once_in_order_before_the_append_returns,
            an_id_appended_again_is_answered_with_its_first_offset,
            the_same_id_in_another_room_is_another_message,
            an_id_twice_in_one_batch_is_stored_once,
            a_record_is_read_as_it_was_appended,
            reading_pages_forwards_and_backwards,
            a_room_nothing_was_said_in_is_empty,
            no_more_messages_are_kept_than_retention_says,
            no_more_bytes_are_kept_than_retention_says,
            no_more_bytes_are_kept_in_all_rooms_than_retention_says,
            old_messages_go_and_the_floor_tells,
            an_id_is_remembered_although_its_message_is_gone,
            many_appenders_at_once_lose_and_double_nothing,
            rooms_are_listed_by_their_last_message,
        );
    };
    ($make:ident: $($name:ident),* $(,)?) => {
        mod contract {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    $crate::contract::$name(super::$make).await;
                }
            )*
        }
    };
}

pub fn record(room: &str, id: &str, at: u64) -> Record {
    Record {
        session: SessionId::parse("ada-tab").unwrap(),
        message: Message {
            value: id.into(),
            id: MessageId::parse(id).unwrap(),
            room: RoomName::parse(room).unwrap(),
            offset: Offset(0),
            at,
            from: Member {
                id: MemberId::parse("ada").unwrap(),
                name: MemberName::parse("Ada").unwrap(),
            },
            event: None,
            to: Audience::All,
        },
    }
}

async fn append(broker: &dyn Broker, room: &str, id: &str, at: u64) -> Offset {
    broker.append(vec![record(room, id, at)]).await.unwrap()[0]
}

async fn read(broker: &dyn Broker, room: &str, part: Part, limit: usize) -> (Vec<String>, Offset) {
    let page = broker.read(&RoomName::parse(room).unwrap(), part, limit).await.unwrap();
    (page.records.iter().map(|record| record.message.id.to_string()).collect(), page.floor)
}

const ALL: Part = Part::After(Offset(0));

pub async fn offsets_increase_in_the_order_of_appending(make: Make) {
    let broker = make(Retention::default());
    let batch = ["m1", "m2", "m3"].map(|id| record("tea", id, 0)).to_vec();
    let first = broker.append(batch).await.unwrap();
    let second = append(&*broker, "coffee", "m4", 0).await;
    let offsets: Vec<_> = first.into_iter().chain([second]).collect();
    assert!(offsets[0] > Offset(0));
    assert!(offsets.is_sorted_by(|a, b| a < b), "{offsets:?}");
    assert_eq!(broker.head(), second);
}

pub async fn the_follower_hears_each_record_once_in_order_before_the_append_returns(make: Make) {
    let broker = make(Retention::default());
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = heard.clone();
    broker.follow(Box::new(move |records| {
        hears.lock().extend(records.iter().map(|record| record.message.offset));
    }));
    let mut offsets = Vec::new();
    for id in ["m1", "m2", "m1", "m3"] {
        let offset = append(&*broker, "tea", id, 0).await;
        if !offsets.contains(&offset) {
            offsets.push(offset);
        }
        assert_eq!(*heard.lock(), offsets);
    }
}

pub async fn an_id_appended_again_is_answered_with_its_first_offset(make: Make) {
    let broker = make(Retention::default());
    let first = append(&*broker, "tea", "m1", 0).await;
    append(&*broker, "tea", "m2", 0).await;
    assert_eq!(append(&*broker, "tea", "m1", 5).await, first);
    assert_eq!(read(&*broker, "tea", ALL, 10).await.0, ["m1", "m2"]);
}

pub async fn the_same_id_in_another_room_is_another_message(make: Make) {
    let broker = make(Retention::default());
    let tea = append(&*broker, "tea", "m1", 0).await;
    assert!(append(&*broker, "coffee", "m1", 0).await > tea);
}

pub async fn an_id_twice_in_one_batch_is_stored_once(make: Make) {
    let broker = make(Retention::default());
    let batch = ["m1", "m2", "m1"].map(|id| record("tea", id, 0)).to_vec();
    let offsets = broker.append(batch).await.unwrap();
    assert_eq!(offsets[0], offsets[2]);
    assert_eq!(read(&*broker, "tea", ALL, 10).await.0, ["m1", "m2"]);
}

pub async fn a_record_is_read_as_it_was_appended(make: Make) {
    let broker = make(Retention::default());
    let mut record = record("차 한잔", "m1", 1_795_424_700_000);
    record.message.value = serde_json::json!({"a": ["\u{0}", 1.5, null, "👩‍👩‍👧"]});
    record.message.to = Audience::Only(vec!["bob".to_owned()]);
    record.message.event = Some(common::EventName::parse("move").unwrap());
    let offset = broker.append(vec![record.clone()]).await.unwrap()[0];
    record.message.offset = offset;
    let page = broker.read(&record.message.room, ALL, 10).await.unwrap();
    assert_eq!(page.records, [record]);
}

pub async fn reading_pages_forwards_and_backwards(make: Make) {
    let broker = make(Retention::default());
    let mut offsets = Vec::new();
    for id in ["m1", "m2", "m3", "m4", "m5"] {
        offsets.push(append(&*broker, "tea", id, 0).await);
        append(&*broker, "coffee", id, 0).await;
    }
    let after = |n: usize| Part::After(offsets[n]);
    assert_eq!(read(&*broker, "tea", ALL, 2).await.0, ["m1", "m2"]);
    assert_eq!(read(&*broker, "tea", after(1), 2).await.0, ["m3", "m4"]);
    assert_eq!(read(&*broker, "tea", after(4), 2).await.0, [""; 0]);
    assert_eq!(read(&*broker, "tea", Part::Before(Offset(u64::MAX)), 2).await.0, ["m4", "m5"]);
    assert_eq!(read(&*broker, "tea", Part::Before(offsets[3]), 2).await.0, ["m2", "m3"]);
    assert_eq!(read(&*broker, "tea", Part::Before(offsets[0]), 2).await.0, [""; 0]);
    assert_eq!(read(&*broker, "tea", ALL, 0).await.0, [""; 0]);
}

pub async fn a_room_nothing_was_said_in_is_empty(make: Make) {
    let broker = make(Retention::default());
    append(&*broker, "tea", "m1", 0).await;
    assert_eq!(read(&*broker, "nowhere", ALL, 10).await, (Vec::new(), Offset(0)));
}

pub async fn no_more_messages_are_kept_than_retention_says(make: Make) {
    let broker = make(Retention { room_messages: 2, ids: Duration::ZERO, ..Retention::default() });
    append(&*broker, "coffee", "m0", 1).await;
    let gone = append(&*broker, "tea", "m1", 1).await;
    append(&*broker, "tea", "m2", 1).await;
    append(&*broker, "tea", "m3", 1).await;
    broker.tidy(1).await.unwrap();
    assert_eq!(read(&*broker, "tea", ALL, 10).await, (vec!["m2".into(), "m3".into()], gone));
    assert_eq!(read(&*broker, "coffee", ALL, 10).await.0, ["m0"]);
}

pub async fn no_more_bytes_are_kept_than_retention_says(make: Make) {
    let broker = make(Retention { room_bytes: 25_000, ..Retention::default() });
    for n in 1..=5 {
        let mut record = record("tea", &format!("m{n}"), 1);
        record.message.value = "x".repeat(10_000).into();
        broker.append(vec![record]).await.unwrap();
    }
    broker.tidy(1).await.unwrap();
    assert_eq!(read(&*broker, "tea", ALL, 10).await.0, ["m4", "m5"]);
}

pub async fn no_more_bytes_are_kept_in_all_rooms_than_retention_says(make: Make) {
    let broker = make(Retention { total_bytes: 45_000, ..Retention::default() });
    let big = |room: &str, n: usize| {
        let mut record = record(room, &format!("m{n}"), 1);
        record.message.value = "x".repeat(10_000).into();
        record
    };
    let mut offsets = Vec::new();
    for (n, room) in ["tea", "coffee", "tea", "coffee", "tea", "water"].into_iter().enumerate() {
        offsets.push(broker.append(vec![big(room, n)]).await.unwrap()[0]);
    }
    assert_eq!(read(&*broker, "tea", ALL, 10).await, (vec!["m2".into(), "m4".into()], offsets[0]));
    assert_eq!(read(&*broker, "coffee", ALL, 10).await, (vec!["m3".into()], offsets[1]));
    assert_eq!(read(&*broker, "water", ALL, 10).await.0, ["m5"]);
    // What went is counted out, and more fits again.
    broker.append(vec![big("water", 6)]).await.unwrap();
    assert_eq!(read(&*broker, "water", ALL, 10).await.0, ["m5", "m6"]);
    assert_eq!(read(&*broker, "tea", ALL, 10).await.0, ["m4"]);
}

pub async fn old_messages_go_and_the_floor_tells(make: Make) {
    let broker = make(Retention { age: Duration::from_millis(10), ..Retention::default() });
    let old = append(&*broker, "tea", "old", 1_000).await;
    append(&*broker, "tea", "new", 1_010).await;
    broker.tidy(1_011).await.unwrap();
    assert_eq!(read(&*broker, "tea", ALL, 10).await, (vec!["new".into()], old));
}

pub async fn an_id_is_remembered_although_its_message_is_gone(make: Make) {
    let retention =
        Retention { room_messages: 1, ids: Duration::from_secs(3_600), ..Retention::default() };
    let broker = make(retention);
    let hour = 3_600_000;
    let first = append(&*broker, "tea", "m1", 1).await;
    append(&*broker, "tea", "m2", 2).await;
    broker.tidy(hour).await.unwrap();
    assert_eq!(append(&*broker, "tea", "m1", hour).await, first);
    assert_eq!(read(&*broker, "tea", ALL, 10).await.0, ["m2"]);
    broker.tidy(hour + 2).await.unwrap();
    assert!(append(&*broker, "tea", "m1", hour + 2).await > first);
}

pub async fn many_appenders_at_once_lose_and_double_nothing(make: Make) {
    let broker = make(Retention::default());
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = heard.clone();
    broker.follow(Box::new(move |records| {
        hears.lock().extend(records.iter().map(|record| record.message.offset));
    }));
    let appenders: Vec<_> = (0..16)
        .map(|who| {
            let broker = broker.clone();
            tokio::spawn(async move {
                let mut offsets = Vec::new();
                for n in 0..25 {
                    offsets.push(append(&*broker, "tea", &format!("{who}-{n}"), 0).await);
                }
                assert!(offsets.is_sorted_by(|a, b| a < b));
                offsets
            })
        })
        .collect();
    let mut acked = Vec::new();
    for appender in appenders {
        acked.extend(appender.await.unwrap());
    }
    acked.sort_unstable();
    assert_eq!(acked.len(), 400);
    // Compared whole: in order, none missing, none twice.
    assert_eq!(*heard.lock(), acked);
}

pub async fn rooms_are_listed_by_their_last_message(make: Make) {
    let broker = make(Retention::default());
    append(&*broker, "tea", "m1", 1).await;
    append(&*broker, "coffee", "m2", 2).await;
    append(&*broker, "water", "m3", 3).await;
    append(&*broker, "tea", "m4", 4).await;
    let rooms = broker.rooms(2).await.unwrap();
    let listed: Vec<_> = rooms.iter().map(|room| (room.name.as_str(), room.last_at)).collect();
    assert_eq!(listed, [("tea", 4), ("water", 3)]);
}
