//! What one session sends to one other alone, and who can be reached so.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use common::{After, Roster, ServerFrame, SessionId, Signalling, StateKind, limits::CALL_SESSIONS};
use futures_util::FutureExt;
use hub::{Hub, Letter, Present, Undelivered, Who};
use support::*;

fn session(name: &str) -> SessionId {
    SessionId::parse(name).unwrap()
}

/// `name` in its tab of that name, taking what is sent to it.
fn enter(hub: &Hub, name: &str, tab: &str) -> Present {
    hub.enter(&room("tea"), &Who::new(who(name).member, &session(tab))).unwrap().with_mailbox()
}

fn letter(n: usize) -> Letter {
    let frame = ServerFrame::Signalling(Signalling {
        from: who("ada").member,
        session: session("ada-tab"),
        data: format!("{n:0900}").into(),
    });
    Letter { text: frame.encode(), held: Box::new(()) }
}

fn numbers(frames: Vec<ServerFrame>) -> Vec<u64> {
    let number = |frame| match frame {
        ServerFrame::Signalling(Signalling { data, .. }) => data.as_str().unwrap().parse().unwrap(),
        other => panic!("{other:?}"),
    };
    frames.into_iter().map(number).collect()
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_to_a_session_waits_for_it_in_order_also_between_its_connections() {
    let hub = hub();
    let (ada, bob) = (enter(&hub, "ada", "a"), enter(&hub, "bob", "b"));
    assert!(bob.mail().now_or_never().is_none());
    ada.send(&session("b"), letter(1)).await.unwrap();
    assert!(bob.mail().now_or_never().is_some());
    drop(bob);
    ada.send(&session("b"), letter(2)).await.unwrap();
    let bob = enter(&hub, "bob", "b");
    assert!(bob.mail().now_or_never().is_some());
    assert_eq!(numbers(bob.take_mail()), [1, 2]);
    assert!(bob.mail().now_or_never().is_none());
    assert_eq!(bob.take_mail(), []);
}

#[tokio::test(start_paused = true)]
async fn whoever_is_not_here_or_takes_none_or_has_too_much_gets_nothing() {
    let hub = hub();
    let ada = enter(&hub, "ada", "a");
    let _deaf = hub.enter(&room("tea"), &who("deaf")).unwrap();
    let _elsewhere = hub.enter(&room("coffee"), &who("bob")).unwrap().with_mailbox();
    for nobody in ["deaf-tab", "bob-tab", "x"] {
        assert_eq!(ada.send(&session(nobody), letter(0)).await, Err(Undelivered::NotHere));
    }
    let mut bob = enter(&hub, "bob", "b");
    for n in 0..64 {
        ada.send(&session("b"), letter(n)).await.unwrap();
    }
    assert_eq!(ada.send(&session("b"), letter(64)).await, Err(Undelivered::Full(64)));
    // One burst has so many bytes; the rest is there at once.
    assert_eq!(numbers(bob.take_mail()), Vec::from_iter(0..33));
    assert!(bob.mail().now_or_never().is_some());
    assert_eq!(numbers(bob.take_mail()), Vec::from_iter(33..64));
    // Another tab of the same member stays, and this one is forgotten.
    let _other = enter(&hub, "bob", "c");
    bob.leave(hub.limits());
    drop(bob);
    hub.sweep(now() + hub.limits().closed, 0);
    assert_eq!(ada.send(&session("b"), letter(0)).await, Err(Undelivered::NotHere));
    assert_eq!(ada.send(&session("c"), letter(0)).await, Ok(()));
}

#[tokio::test]
async fn in_a_call_are_so_many_sessions_and_whoever_leaves_makes_room() {
    let hub = hub();
    let enter = |n: usize| enter(&hub, &format!("m{}", n / 2), &format!("tab{n}"));
    let sessions: Vec<_> = (0..=CALL_SESSIONS).map(enter).collect();
    let (last, first) = sessions.split_last().unwrap();
    for session in first {
        assert_eq!(session.set_call(true), Ok(()));
    }
    assert_eq!(last.set_call(true), Err(CALL_SESSIONS));
    // Whoever is in it may say so again; whoever is not has nothing to leave.
    assert_eq!(first[0].set_call(true), Ok(()));
    assert_eq!(last.set_call(false), Ok(()));
    assert_eq!(last.set_call(true), Err(CALL_SESSIONS));
    assert_eq!(first[0].set_call(false), Ok(()));
    assert_eq!(last.set_call(true), Ok(()));
    assert_eq!(first[0].set_call(true), Err(CALL_SESSIONS));
    // A session that is gone for good is in no call.
    drop(sessions);
    hub.sweep(now() + 2 * hub.limits().lost, 0);
    assert_eq!(enter(0).set_call(true), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_member_can_be_reached_directly_while_all_its_sessions_can() {
    let hub = hub();
    let mut watcher = reader(&hub, "watcher", &After::Now).await.with_state(None);
    let mut told = async || {
        let frame = loop {
            let delivery = watcher.next().await.unwrap();
            let mut frames = delivery.states.iter();
            if let Some(told) = frames.find(|state| state.kind == StateKind::Direct) {
                break told.frame.bytes().clone();
            }
        };
        let frame = ServerFrame::parse(std::str::from_utf8(&frame).unwrap()).unwrap().unwrap();
        let ServerFrame::State(_, Roster { members: Some(members), .. }) = frame else {
            panic!("{frame:?}")
        };
        let members = members.into_iter().map(|listed| {
            let sessions: Vec<_> = listed.sessions.iter().map(ToString::to_string).collect();
            (listed.member.name.to_string(), sessions.join(" "))
        });
        members.collect::<Vec<_>>()
    };
    let of = |name: &str, sessions: &str| (name.to_owned(), sessions.to_owned());
    let one = enter(&hub, "ada", "one");
    one.set_direct(true);
    assert_eq!(told().await, [of("ada", "one")]);
    let two = enter(&hub, "ada", "two");
    assert_eq!(told().await, []);
    two.set_direct(true);
    assert_eq!(told().await, [of("ada", "one two")]);
    // One that is gone for a moment, as whoever polls is, still can.
    drop(one);
    let mut one = enter(&hub, "ada", "one");
    one.rename(common::MemberName::parse("Countess").unwrap());
    assert_eq!(told().await, [of("Countess", "one two")]);
    one.leave(hub.limits());
    drop(one);
    hub.sweep(now() + hub.limits().closed, 0);
    assert_eq!(told().await, [of("Countess", "two")]);
    two.set_direct(false);
    assert_eq!(told().await, []);
}
