//! What a reader may rely on. The invariants are those of ARCHITECTURE.md.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use common::{After, Audience, MessageId, Offset, Position, Publish, Recovery};
use hub::{Delivery, Hub, HubError, Limits, TooManyRooms, broker::Retention};
use proptest::prelude::*;
use support::*;

#[tokio::test]
async fn everyone_gets_what_is_said_in_offset_order() {
    let hub = hub();
    let (mut ada, mut bob) =
        (reader(&hub, "ada", &After::Now).await, reader(&hub, "bob", &After::Now).await);
    for text in ["one", "two", "three"] {
        say(&hub, "ada", text).await;
    }
    assert_eq!(texts(&mut ada).await, ["one", "two", "three"]);
    assert_eq!(texts(&mut bob).await, ["one", "two", "three"]);
}

#[tokio::test]
async fn a_waiting_reader_is_woken() {
    let hub = hub();
    let mut ada = reader(&hub, "ada", &After::Now).await;
    let waiting = tokio::spawn(async move { texts(&mut ada).await });
    tokio::task::yield_now().await;
    say(&hub, "bob", "wake up").await;
    assert_eq!(waiting.await.unwrap(), ["wake up"]);
}

#[tokio::test]
async fn a_reader_who_was_away_gets_what_it_missed_in_order() {
    let hub = hub();
    let mut ada = reader(&hub, "ada", &After::Now).await;
    say(&hub, "bob", "before").await;
    assert_eq!(texts(&mut ada).await, ["before"]);
    let left_at = After::Position(ada.position().clone());
    drop(ada);
    for text in ["one", "two"] {
        say(&hub, "bob", text).await;
    }
    let (mut ada, recovery) = hub.read(&room("tea"), who("ada"), &left_at).await.unwrap();
    assert_eq!(recovery, Recovery::Replayed);
    assert_eq!(texts(&mut ada).await, ["one", "two"]);
}

#[tokio::test]
async fn an_acknowledged_id_published_again_stores_nothing_and_answers_the_first_offset() {
    let hub = hub();
    let mut bob = reader(&hub, "bob", &After::Now).await;
    let publish =
        Publish { id: Some(MessageId::parse("m1").unwrap()), ..Publish::text("once").unwrap() };
    let first = hub.publish(&room("tea"), &who("ada"), publish.clone(), 1).await.unwrap();
    let again = hub.publish(&room("tea"), &who("ada"), publish, 2).await.unwrap();
    assert_eq!(first, again);
    assert_eq!(texts(&mut bob).await, ["once"]);
    assert!(is_quiet(&mut bob).await);
}

#[tokio::test]
async fn the_same_id_in_another_room_is_another_message() {
    let hub = hub();
    let publish =
        Publish { id: Some(MessageId::parse("m1").unwrap()), ..Publish::text("hi").unwrap() };
    let tea = hub.publish(&room("tea"), &who("ada"), publish.clone(), 1).await.unwrap();
    let coffee = hub.publish(&room("coffee"), &who("ada"), publish, 1).await.unwrap();
    assert!(coffee.position.offset > tea.position.offset);
}

#[tokio::test]
async fn a_reader_whose_position_is_gone_is_told_before_anything_else() {
    let hub = hub_with(
        Limits { tail_messages: 1, ..Limits::default() },
        Retention { room_messages: 2, ..Retention::default() },
    );
    let mut slow = reader(&hub, "ada", &After::Now).await;
    for text in ["1", "2", "3", "4"] {
        say(&hub, "bob", text).await;
    }
    let delivery = slow.next().await.unwrap();
    let floor = delivery.reset.clone().expect("the gap is told");
    assert_eq!(floor.offset, Offset(2));
    assert_eq!(messages(&delivery).len(), 2);
}

#[tokio::test]
async fn a_position_of_another_life_of_the_log_is_a_reset() {
    let hub = hub();
    say(&hub, "bob", "kept").await;
    let other: Position = "elsewhere:1".parse().unwrap();
    let (mut ada, recovery) =
        hub.read(&room("tea"), who("ada"), &After::Position(other)).await.unwrap();
    assert_eq!(recovery, Recovery::Reset);
    assert_eq!(texts(&mut ada).await, ["kept"]);
}

#[tokio::test]
async fn a_position_from_the_future_is_a_reset() {
    let hub = hub();
    let here = say(&hub, "bob", "kept").await.position;
    let ahead = Position { offset: Offset(here.offset.0 + 1), ..here };
    let (_, recovery) = hub.read(&room("tea"), who("ada"), &After::Position(ahead)).await.unwrap();
    assert_eq!(recovery, Recovery::Reset);
}

#[tokio::test]
async fn one_read_takes_a_bounded_part_of_a_long_backlog() {
    let hub = hub();
    let mut far_behind = reader(&hub, "ada", &After::Now).await;
    for n in 0..2_000 {
        say(&hub, "bob", &n.to_string()).await;
    }
    let mut read = Vec::new();
    while read.len() < 2_000 {
        let part = texts(&mut far_behind).await;
        assert!(part.len() <= 256);
        read.extend(part);
    }
    let all: Vec<_> = (0..2_000).map(|n| n.to_string()).collect();
    assert_eq!(read, all);
}

#[tokio::test]
async fn one_read_takes_a_bounded_number_of_bytes() {
    for tail_messages in [1, 1_000] {
        let limits = Limits { tail_messages, ..Limits::default() };
        let hub = hub_with(limits, Retention::default());
        let mut far_behind = reader(&hub, "ada", &After::Now).await;
        let long = "x".repeat(16_000);
        for _ in 0..20 {
            say(&hub, "bob", &long).await;
        }
        // 32 KiB, and what goes beyond of the last.
        for expected in [3, 3, 3, 3, 3, 3, 2] {
            assert_eq!(texts(&mut far_behind).await.len(), expected);
        }
    }
}

#[tokio::test]
async fn a_reader_takes_as_many_at_once_as_it_was_asked_to() {
    let hub = hub();
    for limit in [0, 1, 3, 100] {
        let mut ada = reader(&hub, "ada", &After::Now).await.taking(limit);
        for n in 0..150 {
            say(&hub, "bob", &n.to_string()).await;
        }
        assert_eq!(texts(&mut ada).await.len(), limit.max(1));
    }
}

#[tokio::test]
async fn a_message_reaches_its_audience_and_nobody_else() {
    let hub = hub();
    let names = ["ada", "bob", "cy"];
    for (to, expected) in [
        (Audience::All, vec!["ada", "bob", "cy"]),
        (Audience::Others, vec!["bob", "cy"]),
        (Audience::Own, vec!["ada"]),
        (Audience::Only(vec!["bob".into()]), vec!["bob"]),
        (Audience::Only(vec!["cy-tab".into(), "ada".into()]), vec!["ada", "cy"]),
        (Audience::Only(vec!["nobody".into()]), vec![]),
    ] {
        let mut readers = Vec::new();
        for name in names {
            readers.push((name, reader(&hub, name, &After::Now).await));
        }
        say_to(&hub, "ada", "psst", to.clone()).await;
        let mut live = Vec::new();
        for (name, reader) in &mut readers {
            if !is_quiet(reader).await {
                live.push(*name);
            }
        }
        assert_eq!(live, expected, "live, {to:?}");
        let mut rendered = Vec::new();
        for name in names {
            let latest = hub.latest(&room("tea"), &who(name), None, 1).await.unwrap().records;
            if latest.iter().any(|record| record.envelope.to == to) {
                rendered.push(name);
            }
        }
        assert_eq!(rendered, expected, "history, {to:?}");
    }
}

#[tokio::test]
async fn a_page_being_rendered_has_no_session_and_sees_nothing_meant_for_one() {
    let hub = hub();
    say_to(&hub, "ada", "note", Audience::Own).await;
    say_to(&hub, "ada", "others", Audience::Others).await;
    let page = hub::Who { session: None, ..who("ada") };
    assert_eq!(hub.latest(&room("tea"), &page, None, 10).await.unwrap().records.len(), 0);
}

#[tokio::test]
async fn the_latest_messages_join_the_live_ones_without_a_seam() {
    let hub = hub();
    for n in 0..5 {
        say(&hub, "bob", &n.to_string()).await;
    }
    let latest = hub.latest(&room("tea"), &who("ada"), None, 2).await.unwrap();
    let texts_of: Vec<_> =
        latest.records.iter().map(|record| record.message().unwrap().value).collect();
    assert_eq!(texts_of, ["3", "4"]);
    say(&hub, "bob", "live").await;
    let mut ada = reader(&hub, "ada", &After::Position(latest.position)).await;
    assert_eq!(texts(&mut ada).await, ["live"]);
}

#[tokio::test]
async fn a_stretch_says_whether_there_may_be_older_messages() {
    let hub = hub();
    let older = async |name, before: Option<u64>, limit| {
        let before = before.map(common::Offset);
        hub.latest(&room("tea"), &who(name), before, limit).await.unwrap().older
    };
    assert!(!older("ada", None, 2).await);
    for n in 0..3 {
        say(&hub, "bob", &n.to_string()).await;
    }
    assert!(older("ada", None, 2).await);
    assert!(!older("ada", None, 3).await);
    assert!(!older("ada", Some(2), 1).await);
    say_to(&hub, "bob", "secret", Audience::Only(vec!["eve".to_owned()])).await;
    assert!(!older("ada", None, 3).await, "what one may not read is not there");
}

#[tokio::test]
async fn looking_at_a_room_does_not_open_it() {
    let hub = hub();
    hub.latest(&room("nowhere"), &who("ada"), None, 10).await.unwrap();
    assert_eq!(hub.rooms(10, |_| true).await.unwrap(), []);
}

#[tokio::test]
async fn one_room_more_than_there_may_be_is_refused() {
    let hub = hub_with(Limits { rooms: 1, ..Limits::default() }, Retention::default());
    let _ada = reader(&hub, "ada", &After::Now).await;
    let refused = hub.read(&room("second"), who("ada"), &After::Now).await.unwrap_err();
    assert_eq!(refused, HubError::TooManyRooms(TooManyRooms { limit: 1 }));
}

#[derive(Clone, Debug)]
enum Step {
    Say(u8),
    Read(usize),
    Reconnect(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        any::<u8>().prop_map(Step::Say),
        (0..3_usize).prop_map(Step::Read),
        (0..3_usize).prop_map(Step::Reconnect),
    ];
    prop::collection::vec(step, 0..120)
}

proptest! {
    /// Invariants 1 to 4: whatever three readers do, each sees every offset once, in order, or is
    /// told of the gap; from the tail in memory and from the broker alike.
    #[test]
    fn every_reader_sees_each_offset_once_in_order_or_is_told_of_the_gap(
        steps in steps(),
        tail_messages in 1..12_usize,
    ) {
        let limits = Limits { tail_messages, ..Limits::default() };
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_time().build().unwrap().block_on(async {
            let hub = hub_with(limits, Retention { room_messages: 10, ..Retention::default() });
            live(&hub, steps).await;
        });
    }
}

async fn live(hub: &Hub, steps: Vec<Step>) {
    let names = ["ada", "bob", "cy"];
    let mut readers = Vec::new();
    for name in names {
        readers.push(reader(hub, name, &After::Now).await);
    }
    let mut read: [Vec<Offset>; 3] = Default::default();
    let mut stored = Vec::new();
    for step in steps {
        match step {
            Step::Say(n) => stored.push(say(hub, "dee", &n.to_string()).await.position.offset),
            Step::Read(who) => {
                take(&mut readers[who], &mut read[who], &stored);
            }
            Step::Reconnect(who) => {
                let after = After::Position(readers[who].position().clone());
                let opened = hub.read(&room("tea"), support::who(names[who]), &after).await;
                let (reader, recovery) = opened.unwrap();
                if recovery == Recovery::Reset {
                    skip(&mut read[who], &stored, reader.position().offset);
                }
                readers[who] = reader;
            }
        }
    }
    for who in 0..3 {
        while take(&mut readers[who], &mut read[who], &stored) {}
        assert_eq!(read[who], stored);
    }
}

/// Reads what there is; false if there was nothing.
fn take(reader: &mut hub::Reader, read: &mut Vec<Offset>, stored: &[Offset]) -> bool {
    let delivery = poll(reader);
    if let Some(floor) = &delivery.reset {
        skip(read, stored, floor.offset);
    }
    read.extend(messages(&delivery).iter().map(|message| message.offset));
    !delivery.is_empty()
}

/// A gap that was told counts as read: everything up to `floor` is known to be missing.
fn skip(read: &mut Vec<Offset>, stored: &[Offset], floor: Offset) {
    let known = read.len();
    read.extend(stored[known..].iter().filter(|offset| **offset <= floor));
}

fn poll(reader: &mut hub::Reader) -> Delivery {
    use std::{
        future::Future,
        pin::pin,
        task::{Context, Poll, Waker},
    };
    match pin!(reader.next()).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(delivery) => delivery.unwrap(),
        Poll::Pending => Delivery::default(),
    }
}
