//! Who is here and who is writing; and rooms that come and go.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::time::{Duration, Instant};

use common::{After, MemberName, Members, Recovery, ServerFrame};
use hub::{Delivery, Hub, Limits, Reader};
use support::*;

fn names(delivery: &Delivery) -> Vec<String> {
    let frame = delivery.members.as_ref().expect("a members frame");
    match ServerFrame::parse(std::str::from_utf8(frame).unwrap()) {
        Ok(Some(ServerFrame::Members(Members { count, members }))) => {
            assert_eq!(count, members.len());
            members.iter().map(|member| member.name.to_string()).collect()
        }
        other => panic!("not a members frame: {other:?}"),
    }
}

fn typists(delivery: &Delivery) -> Vec<String> {
    let frame = delivery.typing.as_ref().expect("a typing frame");
    match ServerFrame::parse(std::str::from_utf8(frame).unwrap()) {
        Ok(Some(ServerFrame::Typing(typing))) => {
            typing.members.iter().map(|member| member.name.to_string()).collect()
        }
        other => panic!("not a typing frame: {other:?}"),
    }
}

fn watching(hub: &Hub) -> Reader {
    reader(hub, "watcher", &After::Now).with_state(hub.limits().state_interval)
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_renames_and_leaves_is_seen_by_the_others() {
    let hub = Hub::new(Limits::default());
    let mut watcher = watching(&hub);
    let ada = hub.enter(&room("tea"), &author("ada").member).unwrap();
    assert_eq!(names(&watcher.next().await), ["ada"]);
    let bob = hub.enter(&room("tea"), &author("bob").member).unwrap();
    assert_eq!(names(&watcher.next().await), ["ada", "bob"]);
    ada.rename(MemberName::parse("Countess").unwrap());
    assert_eq!(names(&watcher.next().await), ["Countess", "bob"]);
    drop(bob);
    assert_eq!(names(&watcher.next().await), ["Countess"]);
}

#[tokio::test(start_paused = true)]
async fn a_member_with_two_tabs_is_here_once_until_the_last_is_closed() {
    let hub = Hub::new(Limits::default());
    let mut watcher = watching(&hub);
    let first = hub.enter(&room("tea"), &author("ada").member).unwrap();
    let second = hub.enter(&room("tea"), &author("ada").member).unwrap();
    assert_eq!(names(&watcher.next().await), ["ada"]);
    drop(first);
    tokio::time::advance(hub.limits().state_interval).await;
    assert!(is_quiet(&mut watcher));
    drop(second);
    assert_eq!(names(&watcher.next().await), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_arrivals_are_conflated_into_the_present() {
    let hub = Hub::new(Limits::default());
    let mut watcher = watching(&hub);
    let _ada = hub.enter(&room("tea"), &author("ada").member).unwrap();
    watcher.next().await;
    let _crowd: Vec<_> = (0..1_000)
        .map(|n| hub.enter(&room("tea"), &author(&format!("guest{n}")).member).unwrap())
        .collect();
    let delivery = watcher.next().await;
    let frame = std::str::from_utf8(delivery.members.as_ref().unwrap()).unwrap().to_owned();
    let Ok(Some(ServerFrame::Members(members))) = ServerFrame::parse(&frame) else { panic!() };
    assert_eq!((members.count, members.members.len()), (1_001, 100));
    assert!(is_quiet(&mut watcher));
}

#[tokio::test(start_paused = true)]
async fn messages_do_not_wait_for_presence_that_is_held_back() {
    let hub = Hub::new(Limits::default());
    let mut watcher = watching(&hub);
    let _ada = hub.enter(&room("tea"), &author("ada").member).unwrap();
    watcher.next().await;
    let _bob = hub.enter(&room("tea"), &author("bob").member).unwrap();
    say(&hub, "bob", "hi");
    let first = watcher.next().await;
    assert_eq!((first.messages.len(), first.members), (1, None));
    assert_eq!(names(&watcher.next().await), ["ada", "bob"]);
}

#[tokio::test(start_paused = true)]
async fn typing_passes_by_itself() {
    let hub = Hub::new(Limits::default());
    let mut watcher = watching(&hub);
    let ada = hub.enter(&room("tea"), &author("ada").member).unwrap();
    watcher.next().await;
    let until = Instant::now() + Duration::from_secs(6);
    ada.typing(until);
    assert_eq!(typists(&watcher.next().await), ["ada"]);
    hub.sweep(until, 0);
    assert_eq!(typists(&watcher.next().await), [""; 0]);
}

#[tokio::test]
async fn a_room_nobody_reads_is_let_go_of_once_it_is_idle() {
    let hub = Hub::new(Limits::default());
    let hour = hub.limits().idle_room.as_millis() as u64;
    say(&hub, "ada", "hi");
    hub.sweep(Instant::now(), 1_000 + hour - 1);
    assert_eq!(hub.rooms().len(), 1);
    hub.sweep(Instant::now(), 1_000 + hour);
    assert_eq!(hub.rooms(), []);
}

#[tokio::test]
async fn a_room_somebody_reads_is_kept_however_quiet_it_is() {
    let hub = Hub::new(Limits::default());
    let mut ada = reader(&hub, "ada", &After::Now);
    hub.sweep(Instant::now(), u64::MAX);
    say(&hub, "bob", "still here");
    assert_eq!(texts(&mut ada).await, ["still here"]);
}

#[tokio::test]
async fn coming_back_to_a_room_that_was_let_go_of_tells_of_the_gap() {
    let hub = Hub::new(Limits::default());
    let ada = reader(&hub, "ada", &After::Now);
    let left_at = After::Position(ada.position());
    drop(ada);
    say(&hub, "bob", "missed");
    hub.sweep(Instant::now(), u64::MAX);
    let (_, recovery) = hub.read(&room("tea"), viewer("ada"), &left_at).unwrap();
    assert_eq!(recovery, Recovery::Reset);
}
