//! Who is here and who is writing; and rooms that come and go.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::time::Duration;

use common::{After, MemberName, Recovery, Roster, ServerFrame, SessionId, StateKind};
use hub::{Delivery, Hub, Limits, Present, Reader, Who, broker::Retention};
use support::*;

/// What is told of this kind of state.
fn told(delivery: &Delivery, kind: StateKind) -> Roster {
    let mut told = delivery.states.iter().filter(|state| state.kind == kind);
    let frame = told.next().expect("something is told of it").frame.bytes();
    assert!(told.next().is_none(), "it is told twice: {delivery:?}");
    match ServerFrame::parse(std::str::from_utf8(frame).unwrap()) {
        Ok(Some(ServerFrame::State(_, roster))) => roster,
        other => panic!("not a state frame: {other:?}"),
    }
}

fn all_of(delivery: &Delivery, kind: StateKind) -> Vec<String> {
    let Roster { count, members, .. } = told(delivery, kind);
    let members = members.expect("a small list is told whole");
    assert_eq!(count, members.len());
    members.iter().map(|member| member.name.to_string()).collect()
}

fn names(delivery: &Delivery) -> Vec<String> {
    all_of(delivery, StateKind::Members)
}

fn typists(delivery: &Delivery) -> Vec<String> {
    all_of(delivery, StateKind::Typing)
}

async fn watching(hub: &Hub) -> Reader {
    reader(hub, "watcher", &After::Now).await.with_state(None)
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_renames_and_leaves_is_seen_by_the_others() {
    let hub = hub();
    let mut watcher = watching(&hub).await;
    let ada = hub.enter(&room("tea"), &who("ada")).unwrap();
    assert_eq!(names(&watcher.next().await.unwrap()), ["ada"]);
    let mut bob = hub.enter(&room("tea"), &who("bob")).unwrap();
    assert_eq!(names(&watcher.next().await.unwrap()), ["ada", "bob"]);
    ada.rename(MemberName::parse("Countess").unwrap());
    assert_eq!(names(&watcher.next().await.unwrap()), ["Countess", "bob"]);
    let name =
        |room_name: &str, who: &str| hub.name_of(&room(room_name), &support::who(who).member.id);
    assert_eq!(name("tea", "ada"), Some(MemberName::parse("Countess").unwrap()));
    assert_eq!((name("tea", "cy"), name("coffee", "ada")), (None, None));
    bob.leave(hub.limits());
    drop(bob);
    hub.sweep(now() + hub.limits().closed, 0);
    assert_eq!(names(&watcher.next().await.unwrap()), ["Countess"]);
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_back_in_time_was_never_away() {
    let hub = hub();
    let mut watcher = watching(&hub).await;
    let enter = || hub.enter(&room("tea"), &who("ada")).unwrap();
    let mut ada = enter();
    assert_eq!(names(&watcher.next().await.unwrap()), ["ada"]);
    for leave in [drop, |mut ada: Present| ada.leave(&Limits::default())] {
        leave(ada);
        hub.sweep(now(), u64::MAX);
        ada = enter();
        hub.sweep(now() + Duration::from_secs(3_600), u64::MAX);
        tokio::time::advance(hub.limits().state_interval).await;
        assert!(is_quiet(&mut watcher).await);
    }
}

#[tokio::test(start_paused = true)]
async fn another_connection_of_somebody_who_is_here_is_no_news_and_brings_no_old_name_back() {
    let hub = hub();
    let mut watcher = watching(&hub).await;
    let first = hub.enter(&room("tea"), &who("ada")).unwrap();
    assert_eq!(names(&watcher.next().await.unwrap()), ["ada"]);
    first.rename(MemberName::parse("Countess").unwrap());
    assert_eq!(names(&watcher.next().await.unwrap()), ["Countess"]);
    let second = hub.enter(&room("tea"), &who("ada")).unwrap();
    assert_eq!(second.name().unwrap().as_str(), "Countess");
    drop(second);
    tokio::time::advance(hub.limits().state_interval).await;
    assert!(is_quiet(&mut watcher).await);
}

#[tokio::test(start_paused = true)]
async fn whoever_is_lost_is_listed_for_a_while_and_no_longer() {
    let hub = hub();
    drop(hub.enter(&room("tea"), &who("ada")).unwrap());
    let lost = hub.limits().lost;
    hub.sweep(now() + lost - Duration::from_secs(1), u64::MAX);
    assert_eq!(hub.members(&room("tea")).await.unwrap().count, 1);
    hub.sweep(now() + lost, u64::MAX);
    assert_eq!(hub.members(&room("tea")).await.unwrap().count, 0);
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_those_who_were_here_are_expected_back() {
    let before = hub();
    let _ada = before.enter(&room("tea"), &who("ada")).unwrap();
    let _bob = before.enter(&room("tea"), &who("bob")).unwrap();

    let hub = hub();
    let start = now();
    hub.expect(before.present(), start);
    let mut watcher = watching(&hub).await;
    assert_eq!(names(&watcher.next().await.unwrap()), ["ada", "bob"]);
    let _ada = hub.enter(&room("tea"), &who("ada")).unwrap();
    hub.sweep(start, u64::MAX);
    tokio::time::advance(hub.limits().state_interval).await;
    assert!(is_quiet(&mut watcher).await, "coming back as expected is no news");
    hub.sweep(start + hub.limits().expected, u64::MAX);
    assert_eq!(names(&watcher.next().await.unwrap()), ["ada"]);
}

#[tokio::test(start_paused = true)]
async fn a_member_with_two_tabs_is_here_once_until_the_last_is_closed() {
    let hub = hub();
    let mut watcher = watching(&hub).await;
    let first = hub.enter(&room("tea"), &who("ada")).unwrap();
    let second = hub.enter(&room("tea"), &who("ada")).unwrap();
    assert_eq!(names(&watcher.next().await.unwrap()), ["ada"]);
    drop(first);
    tokio::time::advance(hub.limits().state_interval).await;
    assert!(is_quiet(&mut watcher).await);
    drop(second);
    hub.sweep(now() + hub.limits().lost, 0);
    assert_eq!(names(&watcher.next().await.unwrap()), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_arrivals_are_conflated_into_the_present() {
    let hub = hub();
    let mut watcher = watching(&hub).await;
    let _ada = hub.enter(&room("tea"), &who("ada")).unwrap();
    watcher.next().await.unwrap();
    let _crowd: Vec<_> =
        (0..1_000).map(|n| hub.enter(&room("tea"), &who(&format!("guest{n}"))).unwrap()).collect();
    let roster = told(&watcher.next().await.unwrap(), StateKind::Members);
    assert_eq!((roster.count, roster.members, roster.came.len()), (1_001, None, 99));
    assert!(is_quiet(&mut watcher).await);
}

#[tokio::test(start_paused = true)]
async fn the_more_there_are_the_less_often_their_coming_is_told() {
    let hub = hub();
    let mut watcher = watching(&hub).await;
    let mut crowd = Vec::new();
    for (members, times) in [(100, 1), (101, 4), (5_000, 4), (5_001, 20)] {
        let enter = |n| hub.enter(&room("tea"), &who(&format!("guest{n}"))).unwrap();
        crowd.extend((crowd.len()..members - 1).map(enter));
        // Whatever is under way is told.
        tokio::time::advance(20 * hub.limits().state_interval).await;
        while !is_quiet(&mut watcher).await {}
        crowd.push(enter(members - 1));
        watcher.next().await.unwrap();
        let told_at = tokio::time::Instant::now();
        crowd[0].rename(MemberName::parse(&format!("one of {members}")).unwrap());
        watcher.next().await.unwrap();
        let waited = told_at.elapsed().as_millis();
        assert_eq!(waited, times * hub.limits().state_interval.as_millis(), "{members}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_crowd_that_comes_at_once_is_told_of_by_one_task() {
    let hub = hub();
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let _ada = hub.enter(&room("tea"), &who("ada")).unwrap();
    while tasks() > 0 {
        tokio::task::yield_now().await;
    }
    let _crowd: Vec<_> =
        (0..100).map(|n| hub.enter(&room("tea"), &who(&format!("guest{n}"))).unwrap()).collect();
    assert_eq!(tasks(), 1);
    while tasks() > 0 {
        tokio::time::advance(20 * hub.limits().state_interval).await;
        tokio::task::yield_now().await;
    }
    // Another connection of somebody who is here is nothing to tell.
    let _again = hub.enter(&room("tea"), &who("ada")).unwrap();
    assert_eq!(tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn messages_do_not_wait_for_presence_that_is_held_back() {
    let hub = hub();
    let mut watcher = watching(&hub).await;
    let _ada = hub.enter(&room("tea"), &who("ada")).unwrap();
    watcher.next().await.unwrap();
    let _bob = hub.enter(&room("tea"), &who("bob")).unwrap();
    say(&hub, "bob", "hi").await;
    let first = watcher.next().await.unwrap();
    assert_eq!((first.records.len(), first.states.len()), (1, 0));
    assert_eq!(names(&watcher.next().await.unwrap()), ["ada", "bob"]);
}

#[tokio::test(start_paused = true)]
async fn typing_passes_by_itself() {
    let hub = hub();
    let mut watcher = watching(&hub).await;
    let ada = hub.enter(&room("tea"), &who("ada")).unwrap();
    watcher.next().await.unwrap();
    let until = now() + Duration::from_secs(6);
    ada.set_typing(Some(until));
    assert_eq!(typists(&watcher.next().await.unwrap()), ["ada"]);
    hub.sweep(until, 0);
    assert_eq!(typists(&watcher.next().await.unwrap()), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_member_is_idle_as_long_as_nobody_looks_at_any_of_its_connections() {
    let hub = hub();
    let mut watcher = watching(&hub).await;
    let other = SessionId::parse("other-tab").unwrap();
    let (first, second) = (
        hub.enter(&room("tea"), &who("ada")).unwrap(),
        hub.enter(&room("tea"), &Who::new(who("ada").member, &other)).unwrap(),
    );
    watcher.next().await.unwrap();
    first.set_idle(true);
    assert!(is_quiet(&mut watcher).await);
    second.set_idle(true);
    second.set_idle(true);
    assert_eq!(all_of(&watcher.next().await.unwrap(), StateKind::Idle), ["ada"]);
    drop(first);
    tokio::time::advance(hub.limits().state_interval).await;
    assert!(is_quiet(&mut watcher).await);
    // A request of the same session, as a page makes that polls, says so for good.
    let request = || hub.enter(&room("tea"), &Who::new(who("ada").member, &other)).unwrap();
    request().set_idle(false);
    assert_eq!(all_of(&watcher.next().await.unwrap(), StateKind::Idle), [""; 0]);
    drop(second);
    request().set_idle(true);
    assert_eq!(all_of(&watcher.next().await.unwrap(), StateKind::Idle), ["ada"]);
    drop(request());
    tokio::time::advance(hub.limits().state_interval).await;
    assert!(is_quiet(&mut watcher).await);
    request().set_idle(false);
    assert_eq!(all_of(&watcher.next().await.unwrap(), StateKind::Idle), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn only_sessions_that_are_connected_say_whether_a_member_is_idle() {
    let hub = hub();
    let mut watcher = watching(&hub).await;
    let in_tab = |tab: &str| {
        let session = SessionId::parse(tab).unwrap();
        hub.enter(&room("tea"), &Who::new(who("ada").member, &session)).unwrap()
    };
    let (looked_at, idle) = (in_tab("one"), in_tab("two"));
    idle.set_idle(true);
    watcher.next().await.unwrap();
    tokio::time::advance(hub.limits().state_interval).await;
    assert!(is_quiet(&mut watcher).await);
    drop(looked_at);
    assert_eq!(all_of(&watcher.next().await.unwrap(), StateKind::Idle), ["ada"]);
    // A session that comes back, as one that polls does, is what it was.
    drop(idle);
    let _other = in_tab("three");
    assert_eq!(all_of(&watcher.next().await.unwrap(), StateKind::Idle), [""; 0]);
    drop(_other);
    let _idle = in_tab("two");
    assert_eq!(all_of(&watcher.next().await.unwrap(), StateKind::Idle), ["ada"]);
}

#[tokio::test(start_paused = true)]
async fn a_reader_goes_on_with_what_is_told_of_the_members_where_another_was() {
    let hub = hub();
    let mut first = watching(&hub).await;
    let _ada = hub.enter(&room("tea"), &who("ada")).unwrap();
    assert_eq!(names(&first.next().await.unwrap()), ["ada"]);
    let again =
        async |state: &str| reader(&hub, "watcher", &After::Now).await.with_state(Some(state));
    let mut second = again(&first.state()).await;
    assert!(is_quiet(&mut second).await);
    let _bob = hub.enter(&room("tea"), &who("bob")).unwrap();
    assert_eq!(names(&second.next().await.unwrap()), ["ada", "bob"]);
    for gone in ["", "x", "1.1.1.1", "ffff.1.."] {
        let told = again(gone).await.ready().await.unwrap();
        assert_eq!(
            (names(&told), typists(&told)),
            (vec!["ada".into(), "bob".into()], vec![]),
            "{gone}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_room_nobody_is_in_makes_way_for_another_and_nothing_is_lost() {
    let hub = hub_with(Limits { rooms: 1, ..Limits::default() }, Retention::default());
    let mut ada = reader(&hub, "ada", &After::Now).await;
    let left_at = After::Position(ada.position().clone());
    say(&hub, "bob", "hi").await;
    assert_eq!(texts(&mut ada).await, ["hi"]);
    assert!(hub.enter(&room("coffee"), &who("ada")).is_err());
    drop(ada);
    drop(hub.enter(&room("coffee"), &who("ada")).unwrap());

    let (mut ada, recovery) = hub.read(&room("tea"), who("ada"), &left_at).await.unwrap();
    assert_eq!(recovery, Recovery::Replayed);
    assert_eq!(texts(&mut ada).await, ["hi"]);
    say(&hub, "bob", "and live").await;
    assert_eq!(texts(&mut ada).await, ["and live"]);
}

#[tokio::test(start_paused = true)]
async fn an_idle_room_is_closed_and_nothing_is_lost() {
    let hub = hub();
    let idle = hub.limits().idle_room.as_millis() as u64;
    let coffee = hub.enter(&room("coffee"), &who("ada")).unwrap();
    drop(coffee);
    hub.sweep(now() + hub.limits().lost, idle);
    hub.sweep(now(), idle);
    assert_eq!(hub.rooms(10, |_| true).await.unwrap(), []);

    say(&hub, "bob", "hi").await;
    hub.sweep(now(), 1_000 + idle);
    let mut ada = reader(&hub, "ada", &After::Oldest).await;
    assert_eq!(texts(&mut ada).await, ["hi"]);
}

#[tokio::test(start_paused = true)]
async fn a_room_somebody_reads_stays_open_however_quiet_it_is() {
    let hub = hub();
    let mut ada = reader(&hub, "ada", &After::Now).await;
    hub.sweep(now(), u64::MAX);
    say(&hub, "bob", "still here").await;
    assert_eq!(texts(&mut ada).await, ["still here"]);
}

#[tokio::test(start_paused = true)]
async fn coming_back_to_a_room_that_is_gone_tells_of_the_gap() {
    let hub = hub();
    let ada = reader(&hub, "ada", &After::Now).await;
    let left_at = After::Position(ada.position().clone());
    drop(ada);
    say(&hub, "bob", "missed").await;
    hub.sweep(now(), u64::MAX);
    hub.tidy(u64::MAX).await.unwrap();
    let (_, recovery) = hub.read(&room("tea"), who("ada"), &left_at).await.unwrap();
    assert_eq!(recovery, Recovery::Reset);
}
