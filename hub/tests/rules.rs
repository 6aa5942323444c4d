//! What those who manage have decided holds, also after a restart.
#![allow(missing_docs, clippy::unwrap_used)]

use std::sync::Arc;

use common::{
    After, Member, MemberId, MemberName, Publish, Recovery, RoomName, SessionId, Settings,
};
use hub::{
    Hub, Limits, Out, Who,
    broker::{Broker, Retention, memory::MemoryBroker},
};

fn room(name: &str) -> RoomName {
    RoomName::parse(name).unwrap()
}

fn member(id: &str) -> MemberId {
    MemberId::parse(id).unwrap()
}

fn who(id: &str) -> Who {
    let member = Member { id: member(id), name: MemberName::parse(id).unwrap() };
    Who::new(member, &SessionId::parse(&format!("session-of-{id}")).unwrap())
}

async fn hub_over(broker: &Arc<MemoryBroker>) -> Arc<Hub> {
    let broker: Arc<dyn Broker> = broker.clone();
    let hub = Hub::new(broker, Limits::default());
    hub.load().await.unwrap();
    hub
}

#[tokio::test]
async fn what_was_decided_of_a_room_and_its_members_holds_after_a_restart() {
    let broker = Arc::new(MemoryBroker::new(Retention::default()));
    let hub = hub_over(&broker).await;
    let settings = Settings { read_only: true, slow_mode_ms: 5, ..Settings::default() };
    hub.set(&room("tea"), |_| settings, 0).await.unwrap();
    let out = |id, of: Option<&str>, until| Out { member: member(id), room: of.map(room), until };
    hub.put_out(out("ada", Some("tea"), 100), 1).await.unwrap();
    hub.put_out(out("bob", None, 200), 1).await.unwrap();
    for hub in [hub.clone(), hub_over(&broker).await] {
        let rules = hub.rules();
        assert_eq!(rules.settings(&room("tea")), settings);
        assert_eq!(rules.settings(&room("coffee")), Settings::default());
        let until = |id, name, now| rules.out_until(&member(id), &room(name), now);
        assert_eq!(until("ada", "tea", 99), Some(100));
        assert_eq!(until("ada", "tea", 100), None);
        assert_eq!(until("ada", "coffee", 1), None);
        assert_eq!(until("bob", "coffee", 1), Some(200));
    }
    // Let in again before it has run out; what has run out is forgotten by the way.
    hub.put_out(out("bob", None, 0), 150).await.unwrap();
    hub.set(&room("tea"), |_| Settings::default(), 0).await.unwrap();
    assert_eq!(hub.rules().all_out(Some(&room("tea")), 1), []);
    assert_eq!(broker.kept().await.unwrap(), []);
}

#[tokio::test]
async fn in_a_slow_room_each_member_has_a_turn_of_its_own() {
    let hub = hub_over(&Arc::new(MemoryBroker::new(Retention::default()))).await;
    let take = |name, id, now| hub.rules().take_turn(&room(name), &member(id), now);
    assert_eq!([take("tea", "ada", 1), take("tea", "ada", 1)], [Ok(()), Ok(())]);
    hub.set(&room("tea"), |now| Settings { slow_mode_ms: 100, ..now }, 0).await.unwrap();
    assert_eq!([take("tea", "ada", 1), take("tea", "ada", 31)], [Ok(()), Err(70)]);
    assert_eq!([take("tea", "bob", 31), take("coffee", "ada", 31)], [Ok(()), Ok(())]);
    assert_eq!(take("tea", "ada", 101), Ok(()));
    // What came of nothing takes no turn.
    hub.rules().give_back_turn(&room("tea"), &member("ada"));
    assert_eq!(take("tea", "ada", 102), Ok(()));
}

#[tokio::test]
async fn of_two_who_decide_at_once_neither_is_lost() {
    let broker = Arc::new(MemoryBroker::new(Retention::default()));
    let hub = hub_over(&broker).await;
    let tea = room("tea");
    let (one, two) = tokio::join!(
        hub.set(&tea, |now| Settings { closed: true, ..now }, 0),
        hub.set(&tea, |now| Settings { read_only: true, ..now }, 0),
    );
    one.unwrap();
    let both = Settings { closed: true, read_only: true, ..Settings::default() };
    assert_eq!(two.unwrap(), both);
    assert_eq!(hub_over(&broker).await.rules().settings(&tea), both);
}

#[tokio::test]
async fn a_room_keeps_what_it_was_decided_to_and_says_that_the_rest_is_gone() {
    let hub = hub_over(&Arc::new(MemoryBroker::new(Retention::default()))).await;
    let (tea, ada) = (room("tea"), who("ada"));
    let say = async |at| hub.publish(&tea, &ada, Publish::text("hi").unwrap(), at).await.unwrap();
    let first = say(1_000).await;
    say(2_000).await;
    let third = say(3_000).await;
    hub.set(&tea, |now| Settings { keep_messages: 2, ..now }, 3_000).await.unwrap();
    let after = After::Position(first.position.clone());
    let (_, recovery) = hub.read(&tea, ada.clone(), &after).await.unwrap();
    assert_eq!(recovery, Recovery::Replayed, "the first is gone, and it was read");
    hub.set(&tea, |now| Settings { keep_messages: 0, keep_seconds: 1, ..now }, 0).await.unwrap();
    hub.tidy(4_000).await.unwrap();
    let (mut reader, recovery) = hub.read(&tea, ada.clone(), &after).await.unwrap();
    assert_eq!(recovery, Recovery::Reset);
    let offsets: Vec<_> =
        reader.ready().await.unwrap().records.iter().map(|record| record.offset).collect();
    assert_eq!(offsets, [third.position.offset]);
}

#[tokio::test]
async fn a_clock_that_jumps_ahead_lets_go_of_nothing_that_a_room_keeps_for_a_while() {
    const DAY: u64 = 24 * 60 * 60 * 1_000;
    let hub = hub_over(&Arc::new(MemoryBroker::new(Retention::default()))).await;
    let (tea, ada) = (room("tea"), who("ada"));
    hub.tidy(DAY).await.unwrap();
    let say = async || hub.publish(&tea, &ada, Publish::text("hi").unwrap(), DAY).await.unwrap();
    let first = say().await;
    say().await;
    hub.set(&tea, |now| Settings { keep_seconds: 7 * 86_400, ..now }, 41 * DAY).await.unwrap();
    hub.tidy(41 * DAY).await.unwrap();
    let after = After::Position(first.position);
    let recovery = async || hub.read(&tea, ada.clone(), &after).await.unwrap().1;
    assert_eq!(recovery().await, Recovery::Replayed);
    // Put right, it goes when it is old enough.
    for days in 2..10 {
        hub.tidy(days * DAY).await.unwrap();
    }
    assert_eq!(recovery().await, Recovery::Reset);
}

#[tokio::test]
async fn in_a_slow_room_nobody_waits_for_a_clock_that_was_ahead() {
    let hub = hub_over(&Arc::new(MemoryBroker::new(Retention::default()))).await;
    let (tea, ada) = (room("tea"), who("ada"));
    hub.set(&tea, |now| Settings { slow_mode_ms: 1_000, ..now }, 0).await.unwrap();
    let turn = |now| hub.rules().take_turn(&tea, &ada.member.id, now);
    assert_eq!([turn(7_200_000), turn(7_200_400)], [Ok(()), Err(600)]);
    assert_eq!([turn(5_000), turn(5_400), turn(6_000)], [Ok(()), Err(600), Ok(())]);
}

#[tokio::test]
async fn of_a_room_that_hides_its_members_nobody_is_told_who_is_there() {
    let hub = hub_over(&Arc::new(MemoryBroker::new(Retention::default()))).await;
    let tea = room("tea");
    let _ada = hub.enter(&tea, &who("ada")).unwrap();
    assert_eq!(hub.members(&tea).await.unwrap().count, 1);
    hub.set(&tea, |now| Settings { hide_members: true, ..now }, 0).await.unwrap();
    let _bob = hub.enter(&tea, &who("bob")).unwrap();
    assert_eq!(
        (hub.members(&tea).await.unwrap().count, hub.members(&tea).await.unwrap().members.len()),
        (0, 0)
    );
    assert_eq!(hub.rooms(10, |_| true).await.unwrap()[0].members, 0);
    // They are there all the same.
    assert!(hub.occupied().contains(&tea));
    hub.set(&tea, |_| Settings::default(), 0).await.unwrap();
    assert_eq!(hub.members(&tea).await.unwrap().count, 2);
    // A room that is opened later is as it was decided.
    let coffee = room("coffee");
    hub.set(&coffee, |now| Settings { hide_members: true, ..now }, 0).await.unwrap();
    let _ada = hub.enter(&coffee, &who("ada")).unwrap();
    assert_eq!(hub.members(&coffee).await.unwrap().count, 0);
}
