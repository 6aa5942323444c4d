//! What every broker must do, as tests to run against it: [`broker_contract!`](crate::broker_contract).
#![allow(clippy::unwrap_used, missing_docs)]

use std::{sync::Arc, time::Duration};

use common::{
    Audience, EventName, Member, MemberId, MemberName, Mend, Message, MessageId, Offset, Position,
    RoomName, SessionId,
};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::Notify;

use crate::{
    Draft, Record,
    broker::{Broker, BrokerError, Follower, Heard, Keep, Opened, Page, Part, Read, Retention},
};

/// Makes a fresh broker.
pub type Make = fn(Retention) -> Arc<dyn Broker>;

/// A test module that runs the contract against the brokers that `$make` (a [`Make`]) makes.
#[macro_export]
macro_rules! broker_contract {
    ($make:ident) => {
        $crate::broker_contract!($make;
            an_id_is_forgotten_once_its_time_is_over,
            no_more_ids_are_remembered_than_retention_says,
        );
    };
    // Where ids are known for a time of the store's own, whatever retention says.
    ($make:ident; $($more:ident),* $(,)?) => {
        $crate::broker_contract!($make:
            $($more,)*
            offsets_increase_in_the_order_of_appending,
            whoever_follows_a_room_hears_each_record_once_in_order,
            whoever_follows_hears_of_no_other_room_and_nothing_from_before_or_after,
            what_is_read_and_what_is_heard_of_a_room_have_no_seam,
            an_id_appended_again_is_answered_with_its_first_offset,
            the_same_id_in_another_room_is_another_message,
            an_id_twice_in_one_batch_is_stored_once,
            an_id_of_another_is_refused_and_with_it_the_batch,
            a_guest_who_tries_the_same_again_stores_nothing,
            a_record_is_read_as_it_was_appended,
            reading_pages_forwards_and_backwards,
            a_page_has_a_bounded_number_of_bytes,
            what_was_acknowledged_is_read_from_then_on,
            a_room_nothing_was_said_in_is_empty,
            no_more_messages_are_kept_than_retention_says,
            no_more_bytes_are_kept_than_retention_says,
            no_more_bytes_are_kept_in_all_rooms_than_retention_says,
            old_messages_go_and_the_floor_tells,
            each_message_goes_by_its_own_age,
            a_clock_that_jumps_ahead_makes_nothing_old,
            an_id_is_remembered_although_its_message_is_gone,
            many_appenders_at_once_lose_and_double_nothing,
            rooms_are_listed_by_their_last_message,
            an_array_may_mend_what_it_says_and_not_what_it_takes_back,
            what_is_done_one_after_the_other_is_kept_in_that_order,
            what_is_edited_is_read_as_it_is_now_and_the_last_edit_alone_is_kept,
            what_is_taken_back_goes_with_all_that_was_done_to_it,
            reactions_are_kept_with_what_they_are_to,
            what_names_a_message_that_is_not_kept_is_refused_and_with_it_the_batch,
            what_was_done_before_may_be_said_again_whatever_became_of_it,
            a_room_that_is_cleared_is_empty_and_whoever_reads_on_is_told,
            a_room_keeps_as_many_as_it_is_to_and_none_that_are_older,
            what_is_kept_beside_messages_is_there_until_it_is_forgotten,
            all_rooms_are_read_in_the_order_of_the_log,
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

pub fn message(room: &str, id: &str, at: u64) -> Message {
    Message {
        offset: Offset(0),
        value: id.into(),
        id: MessageId::parse(id).unwrap(),
        room: RoomName::parse(room).unwrap(),
        at,
        from: Member {
            id: MemberId::parse("ada").unwrap(),
            name: MemberName::parse("Ada").unwrap(),
        },
        event: None,
        to: Audience::All,
        of: None,
        edited: None,
        reactions: Vec::new(),
    }
}

pub fn draft(room: &str, id: &str, at: u64) -> Draft {
    Draft::new(message(room, id, at), Some(&SessionId::parse("ada-tab").unwrap()))
}

async fn append(broker: &dyn Broker, room: &str, id: &str, at: u64) -> Offset {
    append_all(broker, vec![draft(room, id, at)]).await[0]
}

async fn append_all(broker: &dyn Broker, drafts: Vec<Draft>) -> Vec<Offset> {
    broker.append(drafts).await.unwrap().offsets
}

async fn page(broker: &dyn Broker, room: &str, part: Part, records: usize) -> Page {
    let read = Read { part, records, bytes: usize::MAX, at_least: Offset(0) };
    broker.read(&RoomName::parse(room).unwrap(), read).await.unwrap()
}

async fn read(broker: &dyn Broker, room: &str, part: Part, limit: usize) -> (Vec<String>, Offset) {
    let page = page(broker, room, part, limit).await;
    (page.records.iter().map(|record| record.envelope.id.to_string()).collect(), page.floor)
}

/// Somebody who follows a room.
struct Ear {
    opened: Opened,
    heard: Arc<(Mutex<Vec<Arc<Record>>>, Notify)>,
}

impl Ear {
    async fn open(broker: &dyn Broker, room: &str) -> Self {
        let heard: Arc<(Mutex<Vec<Arc<Record>>>, Notify)> = Arc::default();
        let hears = heard.clone();
        let follower: Follower = Arc::new(move |news| {
            if let Heard::Records(records) = news {
                hears.0.lock().extend(records);
                hears.1.notify_one();
            }
        });
        let opened = broker.open(&RoomName::parse(room).unwrap(), follower).await.unwrap();
        Self { opened, heard }
    }

    fn offsets(&self) -> Vec<Offset> {
        self.heard.0.lock().iter().map(|record| record.offset).collect()
    }

    /// Waits until it has heard of so many.
    async fn hears(&self, records: usize) -> Vec<Offset> {
        while self.heard.0.lock().len() < records {
            let news = self.heard.1.notified();
            tokio::time::timeout(Duration::from_secs(10), news).await.expect("nothing is heard");
        }
        self.offsets()
    }
}

const ALL: Part = Part::After(Offset(0));

pub async fn offsets_increase_in_the_order_of_appending(make: Make) {
    let broker = make(Retention::default());
    let batch = ["m1", "m2", "m3"].map(|id| draft("tea", id, 0)).to_vec();
    let first = append_all(&*broker, batch).await;
    let second = append(&*broker, "coffee", "m4", 0).await;
    let offsets: Vec<_> = first.into_iter().chain([second]).collect();
    assert!(offsets[0] > Offset(0));
    assert!(offsets.is_sorted_by(|a, b| a < b), "{offsets:?}");
    // The other room is none of this one's, and a store need not know of it here.
    let head = page(&*broker, "tea", ALL, 1).await.head;
    assert!((offsets[2]..=second).contains(&head), "{head}");
}

pub async fn whoever_follows_a_room_hears_each_record_once_in_order(make: Make) {
    let broker = make(Retention::default());
    let ear = Ear::open(&*broker, "tea").await;
    let mut offsets = Vec::new();
    for id in ["m1", "m2", "m1", "m3"] {
        let offset = append(&*broker, "tea", id, 0).await;
        if !offsets.contains(&offset) {
            offsets.push(offset);
        }
    }
    assert_eq!(ear.hears(3).await, offsets);
    let read = page(&*broker, "tea", ALL, 10).await.records;
    let frames = |records: &[Arc<Record>]| -> Vec<_> {
        records.iter().map(|record| record.frame.bytes().clone()).collect()
    };
    assert_eq!(frames(&ear.heard.0.lock()), frames(&read));
}

pub async fn whoever_follows_hears_of_no_other_room_and_nothing_from_before_or_after(make: Make) {
    let broker = make(Retention::default());
    append(&*broker, "tea", "before", 0).await;
    let tea = Ear::open(&*broker, "tea").await;
    append(&*broker, "coffee", "elsewhere", 0).await;
    let heard = append(&*broker, "tea", "heard", 0).await;
    assert_eq!(tea.hears(1).await, [heard]);
    let Ear { opened, heard: told } = tea;
    drop(opened);
    // Another hears it, so that it has been handed on.
    let again = Ear::open(&*broker, "tea").await;
    let after = append(&*broker, "tea", "after", 0).await;
    assert_eq!(again.hears(1).await, [after]);
    assert_eq!(told.0.lock().len(), 1);
}

pub async fn what_is_read_and_what_is_heard_of_a_room_have_no_seam(make: Make) {
    let broker = make(Retention::default());
    let appender = broker.clone();
    let appending = tokio::spawn(async move {
        for n in 0..300 {
            append(&*appender, "tea", &n.to_string(), 0).await;
        }
    });
    for _ in 0..30 {
        let ear = Ear::open(&*broker, "tea").await;
        let Position { offset, .. } = ear.opened.position;
        let before = page(&*broker, "tea", ALL, 1_000).await.records;
        let last = before.last().map_or(Offset(0), |record| record.offset);
        // What was kept by now is either up to the position, or heard in a moment.
        let behind = before.iter().filter(|record| record.offset > offset);
        let expected: Vec<_> = behind.map(|record| record.offset).collect();
        let heard = ear.hears(expected.len()).await;
        assert_eq!(heard[..expected.len()], expected, "opened at {offset}, read up to {last}");
        tokio::task::yield_now().await;
    }
    appending.await.unwrap();
}

pub async fn an_id_appended_again_is_answered_with_its_first_offset(make: Make) {
    let broker = make(Retention::default());
    let first = append(&*broker, "tea", "m1", 0).await;
    append(&*broker, "tea", "m2", 0).await;
    assert_eq!(append(&*broker, "tea", "m1", 5).await, first);
    assert_eq!(read(&*broker, "tea", ALL, 10).await.0, ["m1", "m2"]);
}

/// The same message as somebody else would say it.
fn of_bob(room: &str, id: &str) -> Message {
    let name = |name| MemberName::parse(name).unwrap();
    let bob = Member { id: MemberId::parse("bob").unwrap(), name: name("Bob") };
    Message { from: bob, ..message(room, id, 0) }
}

pub async fn an_id_of_another_is_refused_and_with_it_the_batch(make: Make) {
    let broker = make(Retention::default());
    let ear = Ear::open(&*broker, "tea").await;
    let first = append(&*broker, "tea", "m1", 0).await;
    let refused = |id| Err(BrokerError::IdTaken(MessageId::parse(id).unwrap()));
    let bob = |id| Draft::new(of_bob("tea", id), None);
    for batch in [vec![bob("m1")], vec![bob("m2"), bob("m1")], vec![bob("m1"), bob("m2")]] {
        assert_eq!(broker.append(batch).await, refused("m1"));
    }
    // Two at once in one batch are two as well.
    let batch = vec![draft("tea", "m3", 0), bob("m3")];
    assert_eq!(broker.append(batch).await, refused("m3"));
    // In another room it is another message, and whose it is gets the answer it always gets.
    append_all(&*broker, vec![Draft::new(of_bob("coffee", "m1"), None)]).await;
    assert_eq!(append(&*broker, "tea", "m1", 0).await, first);
    let last = append(&*broker, "tea", "m4", 0).await;
    assert_eq!(ear.hears(2).await, [first, last]);
    assert_eq!(read(&*broker, "tea", ALL, 10).await.0, ["m1", "m4"]);
}

pub async fn a_guest_who_tries_the_same_again_stores_nothing(make: Make) {
    let broker = make(Retention::default());
    let guest = |message, from| Draft::from_guest(message, None, Some(from));
    let first = append_all(&*broker, vec![guest(message("tea", "m1", 0), "here")]).await;
    // It is another member now, and says the same from the same address.
    let again = append_all(&*broker, vec![guest(of_bob("tea", "m1"), "here")]).await;
    assert_eq!(first, again);
    let other = Message { value: "other".into(), ..of_bob("tea", "m1") };
    for draft in [
        guest(of_bob("tea", "m1"), "elsewhere"),
        guest(other, "here"),
        Draft::new(of_bob("tea", "m1"), None),
    ] {
        assert!(matches!(broker.append(vec![draft]).await, Err(BrokerError::IdTaken(_))));
    }
    assert_eq!(read(&*broker, "tea", ALL, 10).await.0, ["m1"]);
}

pub async fn the_same_id_in_another_room_is_another_message(make: Make) {
    let broker = make(Retention::default());
    let tea = append(&*broker, "tea", "m1", 0).await;
    assert!(append(&*broker, "coffee", "m1", 0).await > tea);
}

pub async fn an_id_twice_in_one_batch_is_stored_once(make: Make) {
    let broker = make(Retention::default());
    let batch = ["m1", "m2", "m1"].map(|id| draft("tea", id, 0)).to_vec();
    let offsets = append_all(&*broker, batch).await;
    assert_eq!(offsets[0], offsets[2]);
    assert_eq!(read(&*broker, "tea", ALL, 10).await.0, ["m1", "m2"]);
}

pub async fn a_record_is_read_as_it_was_appended(make: Make) {
    let broker = make(Retention::default());
    let mut message = message("차 한잔", "m1", 1_795_424_700_000);
    message.value = serde_json::json!({"a": ["\u{0}", 1.5, null, "👩‍👩‍👧"]});
    message.to = Audience::Only(vec!["bob".to_owned()]);
    message.event = Some(common::EventName::parse("move").unwrap());
    let draft = Draft::new(message.clone(), Some(&SessionId::parse("tab.secret").unwrap()));
    message.offset = append_all(&*broker, vec![draft.clone()]).await[0];
    let records = page(&*broker, "차 한잔", ALL, 10).await.records;
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].message(), Some(message.clone()));
    assert_eq!((records[0].offset, &records[0].envelope), (message.offset, &draft.envelope));
    assert_eq!(records[0].body(), draft.body);
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

pub async fn a_page_has_a_bounded_number_of_bytes(make: Make) {
    let broker = make(Retention::default());
    for n in 1..=5 {
        append_all(&*broker, vec![big("tea", n)]).await;
    }
    let tea = RoomName::parse("tea").unwrap();
    let read = async |part, bytes| {
        let read = Read { part, records: 10, bytes, at_least: Offset(0) };
        let page = broker.read(&tea, read).await.unwrap();
        let ids: Vec<_> =
            page.records.iter().map(|record| record.envelope.id.to_string()).collect();
        (ids.join(" "), page.complete)
    };
    assert_eq!(read(ALL, 15_000).await, ("m1 m2".to_owned(), false));
    assert_eq!(read(ALL, 1).await, ("m1".to_owned(), false));
    let newest = Part::Before(Offset(u64::MAX));
    assert_eq!(read(newest, 15_000).await, ("m4 m5".to_owned(), false));
    assert_eq!(read(newest, 100_000).await, ("m1 m2 m3 m4 m5".to_owned(), true));
}

pub async fn what_was_acknowledged_is_read_from_then_on(make: Make) {
    let broker = make(Retention::default());
    for n in 0..50 {
        let at_least = append(&*broker, "tea", &n.to_string(), 0).await;
        let part = Part::Before(Offset(u64::MAX));
        let read = Read { part, records: 1, bytes: 1, at_least };
        let page = broker.read(&RoomName::parse("tea").unwrap(), read).await.unwrap();
        assert_eq!(page.records[0].offset, at_least);
        assert!(page.head >= at_least);
    }
}

/// A draft of a little more than 10 000 bytes.
fn big(room: &str, n: usize) -> Draft {
    let mut message = message(room, &format!("m{n}"), 1);
    message.value = "x".repeat(10_000).into();
    Draft::new(message, None)
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
        append_all(&*broker, vec![big("tea", n)]).await;
    }
    broker.tidy(1).await.unwrap();
    assert_eq!(read(&*broker, "tea", ALL, 10).await.0, ["m4", "m5"]);
}

pub async fn no_more_bytes_are_kept_in_all_rooms_than_retention_says(make: Make) {
    let broker = make(Retention { total_bytes: 45_000, ..Retention::default() });
    let mut offsets = Vec::new();
    for (n, room) in ["tea", "coffee", "tea", "coffee", "tea", "water"].into_iter().enumerate() {
        offsets.push(append_all(&*broker, vec![big(room, n)]).await[0]);
    }
    broker.tidy(1).await.unwrap();
    assert_eq!(read(&*broker, "tea", ALL, 10).await, (vec!["m2".into(), "m4".into()], offsets[0]));
    assert_eq!(read(&*broker, "coffee", ALL, 10).await, (vec!["m3".into()], offsets[1]));
    assert_eq!(read(&*broker, "water", ALL, 10).await.0, ["m5"]);
    // What went is counted out, and more fits again.
    append_all(&*broker, vec![big("water", 6)]).await;
    broker.tidy(1).await.unwrap();
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

pub async fn each_message_goes_by_its_own_age(make: Make) {
    let day = 24 * 60 * 60 * 1_000;
    let broker = make(Retention { age: Duration::from_millis(day), ..Retention::default() });
    // The second was said while the clock was ahead; what is before and behind it is of its own time.
    for (id, at) in [("m1", 0), ("m2", 100 * day), ("m3", 1), ("m4", day + 2)] {
        append(&*broker, "tea", id, at).await;
    }
    broker.tidy(day + 2).await.unwrap();
    let (ids, floor) = read(&*broker, "tea", ALL, 10).await;
    // Whoever has not read the third is told that something is gone.
    assert_eq!((ids, floor), (vec!["m2".to_owned(), "m4".to_owned()], Offset(3)));
}

pub async fn a_clock_that_jumps_ahead_makes_nothing_old(make: Make) {
    let day = 24 * 60 * 60 * 1_000;
    let broker = make(Retention::default());
    append(&*broker, "tea", "m1", day).await;
    broker.tidy(day).await.unwrap();
    broker.tidy(41 * day).await.unwrap();
    assert_eq!(read(&*broker, "tea", ALL, 10).await, (vec!["m1".to_owned()], Offset(0)));
    assert_eq!(append(&*broker, "tea", "m1", day).await, Offset(1));
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
}

pub async fn an_id_is_forgotten_once_its_time_is_over(make: Make) {
    let retention =
        Retention { room_messages: 1, ids: Duration::from_secs(3_600), ..Retention::default() };
    let broker = make(retention);
    let hour = 3_600_000;
    let first = append(&*broker, "tea", "m1", 1).await;
    append(&*broker, "tea", "m2", 2).await;
    broker.tidy(hour + 2).await.unwrap();
    assert!(append(&*broker, "tea", "m1", hour + 2).await > first);
}

pub async fn no_more_ids_are_remembered_than_retention_says(make: Make) {
    let retention = Retention { room_messages: 1, room_ids: 3, ..Retention::default() };
    let broker = make(retention);
    for n in 0..10 {
        append(&*broker, "tea", &format!("m{n}"), 0).await;
    }
    broker.tidy(0).await.unwrap();
    // The newest are known, and what is older is said again.
    let last = append(&*broker, "tea", "m9", 0).await;
    assert_eq!(append(&*broker, "tea", "m8", 0).await, Offset(last.0 - 1));
    assert!(append(&*broker, "tea", "m0", 0).await > last);
}

pub async fn many_appenders_at_once_lose_and_double_nothing(make: Make) {
    let broker = make(Retention::default());
    let ear = Ear::open(&*broker, "tea").await;
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
    assert_eq!(ear.hears(400).await, acked);
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

/// What `who` does with `value` to the message `of` in a room, said under another id.
fn mend(room: &str, who: &str, (id, how, of): (&str, Mend, &str), value: Value) -> Draft {
    let from = Member { id: MemberId::parse(who).unwrap(), name: MemberName::parse(who).unwrap() };
    let message = Message {
        value,
        from,
        event: Some(EventName::parse(how.word()).unwrap()),
        of: Some(MessageId::parse(of).unwrap()),
        ..message(room, id, 0)
    };
    Draft::new(message, None)
}

async fn messages(broker: &dyn Broker) -> Vec<Message> {
    let records = page(broker, "tea", ALL, 100).await.records;
    records.iter().map(|record| record.message().unwrap()).collect()
}

pub async fn an_array_may_mend_what_it_says_and_not_what_it_takes_back(make: Make) {
    let broker = make(Retention::default());
    let edit = |id| mend("tea", "ada", (id, Mend::Edit, "m1"), "one".into());
    let back = || mend("tea", "ada", ("b1", Mend::Retract, "m1"), serde_json::json!({}));
    append_all(&*broker, vec![draft("tea", "m1", 0), edit("e1")]).await;
    assert_eq!(messages(&*broker).await[0].value, "one");
    for batch in [vec![back(), edit("e2")], vec![draft("tea", "m2", 0), back(), edit("e2")]] {
        let refused = broker.append(batch).await.unwrap_err();
        assert!(matches!(refused, BrokerError::Refused(_)), "{refused}");
        assert_eq!(read(&*broker, "tea", ALL, 10).await.0, ["m1", "e1"]);
    }
}

/// A client does not wait for the answer before it says the next thing.
pub async fn what_is_done_one_after_the_other_is_kept_in_that_order(make: Make) {
    let broker = make(Retention::default());
    append(&*broker, "tea", "m1", 0).await;
    for round in 0..20 {
        let appends = (0..8).map(|n| {
            let id = format!("{round}-{n}");
            let draft = match n {
                7 => draft("tea", &id, 0),
                _ => mend("tea", "ada", (id.as_str(), Mend::Edit, "m1"), n.into()),
            };
            broker.append(vec![draft])
        });
        let answers = futures_util::future::join_all(appends).await;
        let offsets: Vec<_> = answers.into_iter().map(|one| one.unwrap().offsets[0]).collect();
        assert!(offsets.is_sorted(), "{offsets:?}");
        assert_eq!(messages(&*broker).await[0].value, 6);
    }
}

pub async fn what_is_edited_is_read_as_it_is_now_and_the_last_edit_alone_is_kept(make: Make) {
    let broker = make(Retention::default());
    let ear = Ear::open(&*broker, "tea").await;
    append(&*broker, "tea", "m1", 0).await;
    append(&*broker, "tea", "m2", 0).await;
    append_all(&*broker, vec![mend("tea", "ada", ("e1", Mend::Edit, "m1"), "one".into())]).await;
    let edit = mend("tea", "ada", ("e2", Mend::Edit, "m1"), "two".into());
    let last = append_all(&*broker, vec![edit]).await[0];
    let read = messages(&*broker).await;
    let ids: Vec<_> = read.iter().map(|message| message.id.as_str()).collect();
    assert_eq!(ids, ["m1", "m2", "e2"]);
    assert_eq!((&read[0].value, read[0].edited), (&"two".into(), Some(last)));
    assert_eq!((&read[1].value, read[1].edited), (&"m2".into(), None));
    // Whoever follows hears of each.
    assert_eq!(ear.hears(4).await.len(), 4);
}

pub async fn what_is_taken_back_goes_with_all_that_was_done_to_it(make: Make) {
    let broker = make(Retention { total_bytes: 30_000, ..Retention::default() });
    append_all(&*broker, vec![big("tea", 1)]).await;
    append(&*broker, "tea", "m2", 0).await;
    let long = "y".repeat(10_000);
    append_all(&*broker, vec![mend("tea", "ada", ("e1", Mend::Edit, "m1"), long.into())]).await;
    let like = serde_json::json!(["👍"]);
    append_all(&*broker, vec![mend("tea", "bob", ("r1", Mend::Reaction, "m1"), like)]).await;
    let back = mend("tea", "ada", ("b1", Mend::Retract, "m1"), serde_json::json!({}));
    append_all(&*broker, vec![back]).await;
    let ids = async || -> Vec<_> {
        messages(&*broker).await.iter().map(|message| message.id.to_string()).collect()
    };
    assert_eq!(ids().await, ["m2", "b1"]);
    assert_eq!(page(&*broker, "tea", ALL, 9).await.floor, Offset(0));
    // It makes room.
    append_all(&*broker, vec![big("coffee", 1)]).await;
    append_all(&*broker, vec![big("coffee", 2)]).await;
    broker.tidy(1).await.unwrap();
    assert_eq!(ids().await, ["m2", "b1"]);
    // Its id stays known: sent again, it stays away.
    append_all(&*broker, vec![big("tea", 1)]).await;
    assert_eq!(ids().await, ["m2", "b1"]);
}

pub async fn reactions_are_kept_with_what_they_are_to(make: Make) {
    let broker = make(Retention::default());
    append(&*broker, "tea", "m1", 0).await;
    for (who, id, emoji) in [
        ("ada", "r1", serde_json::json!(["👍", "🎉"])),
        ("bob", "r2", serde_json::json!(["👍"])),
        ("ada", "r3", serde_json::json!(["👍"])),
    ] {
        append_all(&*broker, vec![mend("tea", who, (id, Mend::Reaction, "m1"), emoji)]).await;
    }
    let read = messages(&*broker).await;
    let ids: Vec<_> = read.iter().map(|message| message.id.as_str()).collect();
    assert_eq!(ids, ["m1", "r2", "r3"]);
    assert_eq!(read[0].reactions.len(), 1);
    let who: Vec<_> = read[0].reactions[0].from.iter().map(|from| from.id.as_str()).collect();
    assert_eq!((read[0].reactions[0].emoji.as_str(), who), ("👍", vec!["ada", "bob"]));
}

pub async fn what_names_a_message_that_is_not_kept_is_refused_and_with_it_the_batch(make: Make) {
    let broker = make(Retention::default());
    append(&*broker, "coffee", "m1", 0).await;
    let edit = || mend("tea", "ada", ("e1", Mend::Edit, "m1"), "one".into());
    for batch in [vec![edit()], vec![draft("tea", "m2", 0), edit()]] {
        let BrokerError::Refused(refusal) = broker.append(batch).await.unwrap_err() else {
            panic!()
        };
        let about = (refusal.field.as_deref(), refusal.id.as_deref());
        assert_eq!(about, (Some("of"), Some("e1")));
    }
    assert_eq!(read(&*broker, "tea", ALL, 10).await.0, [""; 0]);
    append(&*broker, "tea", "m3", 0).await;
    assert_eq!(read(&*broker, "tea", ALL, 10).await.0, ["m3"]);
}

pub async fn what_was_done_before_may_be_said_again_whatever_became_of_it(make: Make) {
    let broker = make(Retention::default());
    append(&*broker, "tea", "m1", 0).await;
    let edit = || mend("tea", "ada", ("e1", Mend::Edit, "m1"), "one".into());
    let back = || mend("tea", "ada", ("b1", Mend::Retract, "m1"), serde_json::json!({}));
    let first = append_all(&*broker, vec![edit()]).await;
    let second = append_all(&*broker, vec![back()]).await;
    assert_eq!(append_all(&*broker, vec![back()]).await, second);
    assert_eq!(append_all(&*broker, vec![edit()]).await, first);
    assert_eq!(read(&*broker, "tea", ALL, 10).await.0, ["b1"]);
}

pub async fn a_room_that_is_cleared_is_empty_and_whoever_reads_on_is_told(make: Make) {
    let broker = make(Retention::default());
    for id in ["one", "two"] {
        append(&*broker, "tea", id, 1).await;
    }
    let last = append(&*broker, "tea", "three", 1).await;
    let other = append(&*broker, "coffee", "other", 1).await;
    assert_eq!(broker.let_go(&RoomName::parse("tea").unwrap(), Keep::NOTHING).await.unwrap(), last);
    assert_eq!(read(&*broker, "tea", ALL, 10).await, (vec![], last));
    assert_eq!(read(&*broker, "coffee", ALL, 10).await.0, ["other"]);
    // Its ids are remembered, and it goes on behind them.
    assert_eq!(append(&*broker, "tea", "three", 2).await, last);
    let next = append(&*broker, "tea", "four", 2).await;
    assert!(next > last && next > other);
    assert_eq!(read(&*broker, "tea", ALL, 10).await, (vec!["four".into()], last));
    assert_eq!(
        broker.let_go(&RoomName::parse("nobody").unwrap(), Keep::NOTHING).await.unwrap(),
        Offset(0)
    );
}

pub async fn a_room_keeps_as_many_as_it_is_to_and_none_that_are_older(make: Make) {
    let broker = make(Retention::default());
    let room = RoomName::parse("tea").unwrap();
    let mut offsets = Vec::new();
    for n in 0..6 {
        offsets.push(append(&*broker, "tea", &format!("m{n}"), 10 * n).await);
        append(&*broker, "coffee", &format!("c{n}"), 10 * n).await;
    }
    let keep = |messages, since| broker.let_go(&room, Keep { messages, since });
    assert_eq!(keep(6, 0).await.unwrap(), Offset(0));
    assert_eq!(keep(5, 0).await.unwrap(), offsets[0]);
    assert_eq!(keep(usize::MAX, 30).await.unwrap(), offsets[2]);
    assert_eq!(
        read(&*broker, "tea", ALL, 10).await,
        (vec!["m3".into(), "m4".into(), "m5".into()], offsets[2])
    );
    // Whichever leaves less.
    assert_eq!(keep(1, 40).await.unwrap(), offsets[4]);
    assert_eq!(keep(1, 40).await.unwrap(), Offset(0));
    assert_eq!(read(&*broker, "tea", ALL, 10).await, (vec!["m5".into()], offsets[4]));
    assert_eq!(read(&*broker, "coffee", ALL, 10).await.0.len(), 6);
    // A retry of what is gone stores nothing.
    assert_eq!(append(&*broker, "tea", "m0", 60).await, offsets[0]);
}

pub async fn what_is_kept_beside_messages_is_there_until_it_is_forgotten(make: Make) {
    let broker = make(Retention::default());
    assert_eq!(broker.kept().await.unwrap(), []);
    for (key, value) in [("b", "1"), ("a\nx", "여러 말"), ("b", "2"), ("c", "3")] {
        broker.keep(key, Some(value)).await.unwrap();
    }
    broker.keep("c", None).await.unwrap();
    broker.keep("never", None).await.unwrap();
    let kept = [("a\nx".to_owned(), "여러 말".to_owned()), ("b".to_owned(), "2".to_owned())];
    assert_eq!(broker.kept().await.unwrap(), kept);
}

pub async fn all_rooms_are_read_in_the_order_of_the_log(make: Make) {
    let broker = make(Retention::default());
    let mut offsets = Vec::new();
    for n in 0..9 {
        let room = ["tea", "coffee", "water"][n % 3];
        offsets.push(append(&*broker, room, &format!("m{n}"), n as u64).await);
    }
    let ids = |page: &Page| -> Vec<String> {
        page.records.iter().map(|record| record.envelope.id.to_string()).collect()
    };
    let page = broker.read_all(0, Offset(0), 4, usize::MAX).await.unwrap();
    assert_eq!(
        (ids(&page), page.complete),
        (["m0", "m1", "m2", "m3"].map(str::to_owned).into(), false)
    );
    let page = broker.read_all(0, offsets[3], 100, usize::MAX).await.unwrap();
    assert_eq!(ids(&page), ["m4", "m5", "m6", "m7", "m8"]);
    assert_eq!((page.complete, page.head, page.floor), (true, offsets[8], Offset(0)));
    let page = broker.read_all(0, offsets[3], 100, 1).await.unwrap();
    assert_eq!((ids(&page), page.complete), (vec!["m4".to_owned()], false));
    broker.let_go(&RoomName::parse("tea").unwrap(), Keep::NOTHING).await.unwrap();
    let page = broker.read_all(0, offsets[3], 100, usize::MAX).await.unwrap();
    assert_eq!(
        (ids(&page), page.floor),
        (["m4", "m5", "m7", "m8"].map(str::to_owned).into(), offsets[6])
    );
    assert!(broker.read_all(0, offsets[8], 100, usize::MAX).await.unwrap().records.is_empty());
}
