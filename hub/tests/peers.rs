//! Several hubs of one log: who is in a room, writes, or can be reached is told of all of them.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use common::{MemberName, RoomName, SessionId, StateKind, limits::CALL_SESSIONS};
use hub::{
    Hub, Letter, Limits, Present, Undelivered, Who,
    broker::{BoxFuture, Broker, Following, Retention, memory::MemoryBroker},
    peers::{Answer, Hear, HubId, Peers},
};
use parking_lot::Mutex;
use support::*;
use tokio::sync::mpsc;

/// A network between hubs in one process, which can lose things.
#[derive(Clone, Default)]
struct Lan(Arc<Inner>);

#[derive(Default)]
struct Inner {
    listeners: Mutex<HashMap<Option<RoomName>, Vec<mpsc::UnboundedSender<Bytes>>>>,
    answers: Mutex<HashMap<HubId, Answer>>,
    /// How many of a hundred are lost.
    loses: AtomicU8,
    random: Mutex<fastrand::Rng>,
}

impl std::fmt::Debug for Lan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lan")
    }
}

impl Peers for Lan {
    fn tell(&self, room: Option<&RoomName>, text: Bytes) {
        // As NATS has it.
        assert!(text.len() <= 1024 * 1024, "{} bytes are too much", text.len());
        let listeners = self.0.listeners.lock();
        for listener in listeners.get(&room.cloned()).into_iter().flatten() {
            if self.0.random.lock().u8(0..100) >= self.0.loses.load(Ordering::Relaxed) {
                let _ = listener.send(text.clone());
            }
        }
    }

    fn listen(&self, room: Option<&RoomName>, hear: Hear) -> Following {
        let (told, mut heard) = mpsc::unbounded_channel::<Bytes>();
        self.0.listeners.lock().entry(room.cloned()).or_default().push(told);
        let hearing = tokio::spawn(async move {
            while let Some(text) = heard.recv().await {
                hear(&text);
            }
        });
        Following::new(move || hearing.abort())
    }

    fn ask(&self, hub: HubId, text: Bytes) -> BoxFuture<'_, Option<Bytes>> {
        let answer = self.0.answers.lock().get(&hub).cloned();
        Box::pin(async move { Some(answer?(&text)) })
    }

    fn answer(&self, own: HubId, answer: Answer) -> Following {
        self.0.answers.lock().insert(own, answer);
        let lan = self.clone();
        Following::new(move || _ = lan.0.answers.lock().remove(&own))
    }
}

/// One hub more.
fn hubs_of_one(lan: &Lan) -> Arc<Hub> {
    let [hub] = hubs(lan);
    hub
}

/// So many hubs of one log.
fn hubs<const N: usize>(lan: &Lan) -> [Arc<Hub>; N] {
    let broker: Arc<dyn Broker> = Arc::new(MemoryBroker::new(Retention::default()));
    [(); N].map(|()| Hub::among(Some(Arc::new(lan.clone())), broker.clone(), Limits::default()))
}

/// Lets so many seconds pass, at all of these hubs.
async fn pass(hubs: &[&Arc<Hub>], seconds: u64) {
    for _ in 0..seconds {
        tokio::time::sleep(Duration::from_secs(1)).await;
        // Nothing was said for an hour.
        hubs.iter().for_each(|hub| hub.sweep(now(), 3_600_000));
    }
    tokio::time::sleep(Duration::from_millis(600)).await;
}

async fn members(hub: &Hub) -> Vec<String> {
    let members = hub.members(&room("tea")).await.unwrap().members;
    members.iter().map(|member| member.name.to_string()).collect()
}

fn enter(hub: &Hub, name: &str, tab: &str) -> Present {
    let session = SessionId::parse(tab).unwrap();
    hub.enter(&room("tea"), &Who::new(who(name).member, &session)).unwrap().with_mailbox()
}

/// Who a reader at this hub is told is so.
async fn told(hub: &Hub, kind: StateKind) -> Vec<String> {
    let mut reader = reader(hub, "watcher", &common::After::Now).await.with_state(None);
    let delivery = tokio::time::timeout(Duration::from_secs(1), reader.next()).await;
    let states = delivery.map(|delivery| delivery.unwrap().states).unwrap_or_default();
    let frame = states.iter().find(|state| state.kind == kind);
    let Some(frame) = frame else { return Vec::new() };
    match common::ServerFrame::parse(std::str::from_utf8(frame.frame.bytes()).unwrap()) {
        Ok(Some(common::ServerFrame::State(_, roster))) => {
            roster.members.unwrap().iter().map(|member| member.name.to_string()).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn who_comes_writes_looks_away_renames_and_leaves_is_told_at_every_hub() {
    let lan = Lan::default();
    let hubs: [_; 2] = hubs(&lan);
    let [one, other] = &hubs;
    let all = [one, other];
    let ada = enter(one, "ada", "a");
    let bob = enter(other, "bob", "b");
    pass(&all, 1).await;
    for hub in all {
        assert_eq!(members(hub).await, ["ada", "bob"]);
    }
    ada.set_typing(Some(now() + Duration::from_secs(30)));
    ada.set_idle(true);
    ada.set_direct(true);
    ada.rename(MemberName::parse("Countess").unwrap());
    pass(&all, 1).await;
    for kind in [StateKind::Typing, StateKind::Idle, StateKind::Direct] {
        assert_eq!(told(other, kind).await, ["Countess"], "{kind:?}");
    }
    ada.set_typing(None);
    ada.set_idle(false);
    pass(&all, 1).await;
    for kind in [StateKind::Typing, StateKind::Idle] {
        assert_eq!(told(other, kind).await, [""; 0], "{kind:?}");
    }
    drop(bob);
    pass(&all, 21).await;
    assert_eq!(members(one).await, ["Countess"]);
}

#[tokio::test(start_paused = true)]
async fn one_who_is_at_two_hubs_is_one_and_has_one_name() {
    let lan = Lan::default();
    let hubs: [_; 2] = hubs(&lan);
    let [one, other] = &hubs;
    let all = [one, other];
    let (here, there) = (enter(one, "ada", "a"), enter(other, "ada", "b"));
    here.set_idle(true);
    here.set_direct(true);
    pass(&all, 1).await;
    for hub in all {
        assert_eq!(members(hub).await, ["ada"]);
        // Somebody looks at the other tab, and that one can't be reached directly.
        assert_eq!(told(hub, StateKind::Idle).await, [""; 0]);
        assert_eq!(told(hub, StateKind::Direct).await, [""; 0]);
    }
    there.set_idle(true);
    there.set_direct(true);
    there.rename(MemberName::parse("Countess").unwrap());
    pass(&all, 1).await;
    for hub in all {
        assert_eq!(members(hub).await, ["Countess"]);
        assert_eq!(told(hub, StateKind::Idle).await, ["Countess"]);
        assert_eq!(told(hub, StateKind::Direct).await, ["Countess"]);
    }
    assert_eq!(here.name().unwrap().as_str(), "Countess");
    drop(here);
    pass(&all, 21).await;
    assert_eq!(members(one).await, ["Countess"]);
    drop(there);
    pass(&all, 21).await;
    assert_eq!(members(one).await, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn what_a_session_says_at_one_hub_holds_at_the_other_where_it_is_connected() {
    let lan = Lan::default();
    let hubs: [_; 2] = hubs(&lan);
    let [one, other] = &hubs;
    let all = [one, other];
    let kinds = [StateKind::Direct, StateKind::Call, StateKind::Idle];
    let (_stream, _bob) = (enter(one, "ada", "a"), enter(other, "bob", "b"));
    // A request of the same session, which a balancer has brought to any hub.
    let say = |hub: &Hub, is: bool| {
        let request = enter(hub, "ada", "a");
        request.set_direct(is);
        request.set_call(is).unwrap();
        request.set_idle(is);
    };
    for (at, is) in [(other, true), (one, false), (one, true), (other, false), (other, true)] {
        pass(&all, 1).await;
        say(at, is);
        pass(&all, 1).await;
        for (hub, kind) in all.into_iter().flat_map(|hub| kinds.map(|kind| (hub, kind))) {
            let expected: &[&str] = if is { &["ada"] } else { &[] };
            assert_eq!(told(hub, kind).await, expected, "{kind:?} {is}");
        }
    }
    // Where it is not connected it is forgotten.
    pass(&all, 30).await;
    for (hub, kind) in all.into_iter().flat_map(|hub| kinds.map(|kind| (hub, kind))) {
        assert_eq!(told(hub, kind).await, ["ada"], "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_goes_on_at_another_hub_is_told_what_is_new_and_nothing_else() {
    let lan = Lan::default();
    let hubs: [_; 2] = hubs(&lan);
    let [one, other] = &hubs;
    let all = [one, other];
    let (ada, tab) = (enter(one, "ada", "a"), enter(other, "ada", "b"));
    let _bob = enter(other, "bob", "c");
    ada.set_direct(true);
    tab.set_direct(true);
    pass(&all, 1).await;
    let mut state = None;
    for hub in [one, other, one, other] {
        let mut reader =
            reader(hub, "watcher", &common::After::Now).await.with_state(state.as_deref());
        let told = reader.ready().await.unwrap().states.len();
        // What is so of nobody need not be said.
        assert_eq!(told, if state.is_none() { 2 } else { 0 });
        state = Some(reader.state());
    }
    ada.set_typing(Some(now() + Duration::from_secs(30)));
    pass(&all, 1).await;
    let mut reader =
        reader(other, "watcher", &common::After::Now).await.with_state(state.as_deref());
    let states = reader.ready().await.unwrap().states;
    let kinds: Vec<_> = states.iter().map(|state| state.kind).collect();
    assert_eq!(kinds, [StateKind::Typing]);
}

#[tokio::test(start_paused = true)]
async fn whatever_is_lost_between_them_all_know_the_same_in_the_end() {
    for seed in 0..8 {
        let lan = Lan::default();
        lan.0.random.lock().seed(seed);
        let hubs: [_; 3] = hubs(&lan);
        let all = hubs.each_ref();
        lan.0.loses.store(40, Ordering::Relaxed);
        let mut random = fastrand::Rng::with_seed(seed);
        let mut here: HashMap<(usize, usize), Present> = HashMap::new();
        for _ in 0..120 {
            let key @ (at, who) = (random.usize(0..3), random.usize(0..12));
            match (here.remove(&key), random.u8(0..4)) {
                (Some(present), 0) => {
                    present.rename(MemberName::parse(&format!("n{}", random.u16(..))).unwrap());
                    here.insert(key, present);
                }
                (Some(present), 1) => {
                    present.set_idle(random.bool());
                    here.insert(key, present);
                }
                (Some(mut present), _) => present.leave(all[at].limits()),
                (None, _) => {
                    here.insert(key, enter(all[at], &format!("m{who}"), &format!("t{at}-{who}")));
                }
            }
            tokio::time::sleep(Duration::from_millis(random.u64(0..400))).await;
        }
        lan.0.loses.store(0, Ordering::Relaxed);
        pass(&all, 30).await;
        let mut expected: Vec<_> = here.keys().map(|(_, who)| who).collect();
        expected.sort_unstable();
        expected.dedup();
        let first = members(all[0]).await;
        assert_eq!(first.len(), expected.len(), "seed {seed}");
        let idle = told(all[0], StateKind::Idle).await;
        for hub in all {
            assert_eq!(members(hub).await, first, "seed {seed}");
            assert_eq!(told(hub, StateKind::Idle).await, idle, "seed {seed}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_was_at_a_hub_that_is_gone_is_expected_for_a_while() {
    let lan = Lan::default();
    let hubs: [_; 2] = hubs(&lan);
    let [one, other] = hubs;
    let (_ada, bob) = (enter(&one, "ada", "a"), enter(&other, "bob", "b"));
    pass(&[&one, &other], 3).await;
    assert_eq!(members(&one).await, ["ada", "bob"]);
    // From now on nothing is heard of it.
    std::mem::forget(bob);
    pass(&[&one], 10).await;
    assert_eq!(members(&one).await, ["ada", "bob"]);
    // He comes back, to this one.
    let _bob = enter(&one, "bob", "b");
    pass(&[&one], 30).await;
    assert_eq!(members(&one).await, ["ada", "bob"]);
    drop(_bob);
    pass(&[&one], 21).await;
    assert_eq!(members(&one).await, ["ada"]);
}

fn letter(text: &str) -> Letter {
    let frame = common::ServerFrame::Signalling(common::Signalling {
        from: who("ada").member,
        session: SessionId::parse("a").unwrap(),
        data: text.into(),
    });
    Letter { text: frame.encode(), held: Box::new(()) }
}

#[tokio::test(start_paused = true)]
async fn a_session_gets_what_is_for_it_alone_at_whichever_hub_it_is() {
    let lan = Lan::default();
    let hubs: [_; 2] = hubs(&lan);
    let [one, other] = &hubs;
    let (ada, bob) = (enter(one, "ada", "a"), enter(other, "bob", "b"));
    let to = |id: &str| SessionId::parse(id).unwrap();
    pass(&[one, other], 1).await;
    for n in 0..64 {
        ada.send(&to("b"), letter(&n.to_string())).await.unwrap();
    }
    assert_eq!(ada.send(&to("b"), letter("64")).await, Err(Undelivered::Full(64)));
    assert_eq!(ada.send(&to("c"), letter("0")).await, Err(Undelivered::NotHere));
    let mut taken = Vec::new();
    while taken.len() < 64 {
        bob.mail().await;
        taken.extend(bob.take_mail());
    }
    let numbers: Vec<u64> = taken
        .iter()
        .map(|frame| match frame {
            common::ServerFrame::Signalling(signalling) => {
                signalling.data.as_str().unwrap().parse().unwrap()
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(numbers, Vec::from_iter(0..64));
    bob.set_direct(false);
    drop(bob);
    pass(&[one, other], 21).await;
    assert_eq!(ada.send(&to("b"), letter("0")).await, Err(Undelivered::NotHere));
}

#[tokio::test(start_paused = true)]
async fn a_session_that_has_just_come_to_another_hub_is_found_at_once() {
    let lan = Lan::default();
    let hubs: [_; 2] = hubs(&lan);
    let [one, other] = &hubs;
    let ada = enter(one, "ada", "a");
    for name in ["b", "c"] {
        let _other = enter(other, name, name);
        let to = SessionId::parse(name).unwrap();
        ada.send(&to, letter("hello")).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_goes_from_hub_to_hub_is_found_where_it_is() {
    let lan = Lan::default();
    let hubs: [_; 3] = hubs(&lan);
    let [one, other, third] = &hubs;
    let all = [one, other, third];
    let (ada, bob) = (enter(one, "ada", "a"), enter(other, "bob", "b"));
    let to = SessionId::parse("b").unwrap();
    pass(&all, 1).await;
    let mut at = bob;
    for hub in [third, one, other, third] {
        // The new connection is there before the old one is known to be lost.
        let now_at = enter(hub, "bob", "b");
        pass(&all, 1).await;
        drop(std::mem::replace(&mut at, now_at));
        for seconds in [1, 10, 25] {
            pass(&all, seconds).await;
            ada.send(&to, letter("hello")).await.unwrap();
            assert_eq!(at.take_mail().len(), 1, "after {seconds} more seconds");
        }
    }
    // A hub that dies takes nobody with it who went to another before.
    let now_at = enter(other, "bob", "b");
    pass(&all, 1).await;
    std::mem::forget(at);
    pass(&[one, other], 40).await;
    ada.send(&to, letter("hello")).await.unwrap();
    assert_eq!(now_at.take_mail().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_room_is_not_closed_before_the_others_know_who_has_left_it() {
    let lan = Lan::default();
    let hubs: [_; 2] = hubs(&lan);
    let [one, other] = &hubs;
    // In a large room something is told once a second.
    let mut crowd: Vec<_> =
        (0..150).map(|n| enter(one, &format!("m{n}"), &format!("t{n}"))).collect();
    let bob = enter(other, "bob", "b");
    pass(&[one, other], 3).await;
    assert_eq!(one.members(&room("tea")).await.unwrap().count, 151);
    drop(bob);
    // He is expected for 20 s.
    pass(&[one, other], 19).await;
    assert!(other.is_open(&room("tea")));
    tokio::time::sleep(Duration::from_secs(2)).await;
    // That has just been told of at the other hub when it lets go of him, and of the room.
    crowd.pop().unwrap().set_typing(Some(now() + Duration::from_secs(5)));
    tokio::time::sleep(Duration::from_millis(100)).await;
    other.sweep(now(), 3_600_000);
    tokio::time::sleep(Duration::from_secs(2)).await;
    other.sweep(now(), 3_600_000);
    assert!(!other.is_open(&room("tea")));
    // One of the crowd has gone, too, and is still expected.
    assert_eq!(one.members(&room("tea")).await.unwrap().count, 150);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_in_one_room_are_known_to_every_hub() {
    let lan = Lan::default();
    let hubs: [_; 2] = hubs(&lan);
    let [one, other] = &hubs;
    let crowd: Vec<_> =
        (0..10_000).map(|n| enter(one, &format!("member-{n}"), &format!("tab-{n}"))).collect();
    let _bob = enter(other, "bob", "b");
    pass(&[one, other], 20).await;
    assert_eq!(other.members(&room("tea")).await.unwrap().count, 10_001);
    // A newcomer is told the whole, too.
    let late = hubs_of_one(&lan);
    let _eve = enter(&late, "eve", "e");
    pass(&[one, other, &late], 20).await;
    assert_eq!(late.members(&room("tea")).await.unwrap().count, 10_002);
    drop(crowd);
    pass(&[one, other, &late], 40).await;
    assert_eq!(late.members(&room("tea")).await.unwrap().count, 2);
}

#[tokio::test(start_paused = true)]
async fn rooms_are_listed_with_all_who_are_in_them_also_where_they_are_not_open() {
    let lan = Lan::default();
    let hubs: [_; 3] = hubs(&lan);
    let [one, other, third] = &hubs;
    let all = [one, other, third];
    let present = (enter(one, "ada", "a"), enter(one, "bob", "b"), enter(other, "cy", "c"));
    pass(&all, 2).await;
    let listed = async |hub: &Hub| -> Vec<(String, usize)> {
        let rooms = hub.rooms(10, |_| true).await.unwrap();
        rooms.into_iter().map(|room| (room.name.to_string(), room.members)).collect()
    };
    for hub in all {
        assert_eq!(listed(hub).await, [("tea".to_owned(), 3)]);
        assert!(hub.occupied().contains(&room("tea")));
    }
    assert!(!third.is_open(&room("tea")));
    assert_eq!(members(third).await, ["ada", "bob", "cy"]);
    drop(present);
    // Nobody keeps it open for what others tell of it.
    pass(&all, 100).await;
    for hub in all {
        assert_eq!(listed(hub).await, []);
        assert!(hub.occupied().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_has_so_many_sessions_wherever_they_are() {
    let lan = Lan::default();
    let hubs: [_; 2] = hubs(&lan);
    let all = hubs.each_ref();
    let mut present = Vec::new();
    for n in 0..CALL_SESSIONS {
        let one = enter(all[n % 2], &format!("m{n}"), &format!("t{n}"));
        one.set_call(true).unwrap();
        present.push(one);
        pass(&all, 1).await;
    }
    let late = enter(all[0], "late", "late");
    assert_eq!(late.set_call(true), Err(CALL_SESSIONS));
    for hub in all {
        assert_eq!(told(hub, StateKind::Call).await.len(), CALL_SESSIONS);
    }
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_rooms_at_one_hub_are_known_to_every_hub() {
    let lan = Lan::default();
    let hubs: [_; 2] = hubs(&lan);
    let [one, other] = &hubs;
    let name = |n: usize| RoomName::parse(&format!("{n:차>60}")).unwrap();
    let come = |n| {
        let session = SessionId::parse(&format!("tab-{n}")).unwrap();
        one.enter(&name(n), &Who::new(who("ada").member, &session)).unwrap()
    };
    let mut present: Vec<_> = (0..10_000).map(come).collect();
    pass(&[one, other], 3).await;
    assert_eq!(other.occupied().len(), 10_000);
    // A newcomer is told the whole, too, also where some of that is lost.
    let late = hubs_of_one(&lan);
    lan.0.loses.store(30, Ordering::Relaxed);
    pass(&[one, other, &late], 20).await;
    lan.0.loses.store(0, Ordering::Relaxed);
    pass(&[one, other, &late], 4).await;
    assert_eq!(late.occupied().len(), 10_000);
    present.truncate(1);
    pass(&[one, other, &late], 40).await;
    for hub in [other, &late] {
        assert_eq!(hub.occupied().into_iter().collect::<Vec<_>>(), [name(0)]);
    }
}
