//! What every transport may rely on, seen from where a transport sits.
#![allow(missing_docs, clippy::unwrap_used)]

use std::{sync::Arc, time::Duration};

use axum::http::HeaderMap;
use common::{ClientFrame, Publish, Refusal, ServerFrame};
use hub::broker::{Retention, memory::MemoryBroker};
use server::{
    Config, Server,
    caller::{Door, Entrance},
    identity::Identity,
    session::{Answer, End, Out, Session, Wants},
};
use tokio::time::advance;

fn door() -> Door {
    let broker = Arc::new(MemoryBroker::new(Retention::default()));
    let config = Config { publish_rate: 0, ..Config::ephemeral() };
    Server::over(config, Identity::ephemeral(), broker).door()
}

async fn enter(door: &Door, wants: Wants) -> Session {
    let caller = door.admit(&HeaderMap::new(), None, Entrance::default()).unwrap();
    let mut session = Session::enter(caller, wants).await.unwrap();
    let hello = &session.next().await.unwrap()[0];
    assert!(matches!(hello, Out::Frame(ServerFrame::Hello(_))), "{hello:?}");
    session
}

fn say(text: &str) -> Result<ClientFrame, Refusal> {
    Ok(ClientFrame::Message(Publish::text(text).unwrap()))
}

#[tokio::test(start_paused = true)]
async fn a_line_is_looked_after_where_messages_never_end() {
    let door = door();
    let mut reader = enter(&door, Wants::Messages).await;
    let mut writer = enter(&door, Wants::Answers).await;
    let (mut beats, mut messages) = (0, 0);
    for n in 0..100 {
        writer.take(say(&n.to_string()), 1, None);
        assert!(matches!(
            writer.answer().await,
            Some(Answer { frame: Some(ServerFrame::Ack { .. }), .. })
        ));
        advance(Duration::from_secs(1)).await;
        for out in reader.next().await.unwrap() {
            match out {
                Out::Frame(ServerFrame::Beat {}) => beats += 1,
                Out::Message(_) => messages += 1,
                other => panic!("{other:?}"),
            }
        }
    }
    // Every 25 seconds; what was not read beside a beat is read with the next message.
    assert_eq!((beats, messages), (4, 99));
}

#[tokio::test]
async fn what_is_kept_is_answered_before_it_is_read_back() {
    let mut session = enter(&door(), Wants::Messages).await;
    session.take(say("hi"), 2, Some(7));
    let answers = session.next().await.unwrap();
    assert!(
        matches!(
            &answers[..],
            [Out::Answer(Answer { ticket: Some(7), frame: Some(ServerFrame::Ack { .. }) })]
        ),
        "{answers:?}"
    );
    let messages = session.next().await.unwrap();
    assert!(matches!(&messages[..], [Out::Message(_)]), "{messages:?}");
}

#[tokio::test]
async fn whoever_does_not_read_its_answers_is_not_heard_on() {
    let mut session = enter(&door(), Wants::Messages).await;
    for n in 0..64 {
        assert!(!session.is_full());
        match n % 2 {
            0 => session.take(say("hi"), 2, None),
            _ => session.take(Err(Refusal::field("x", "`x` is no good")), 2, None),
        }
    }
    assert!(session.is_full());
    let mut answered = 0;
    while answered < 64 {
        let outs = session.next().await.unwrap();
        answered += outs.iter().filter(|out| matches!(out, Out::Answer(_))).count();
    }
    assert!(!session.is_full());
}

#[tokio::test]
async fn a_session_of_a_server_that_stops_answers_says_bye_and_is_over() {
    let door = door();
    let mut session = enter(&door, Wants::Messages).await;
    session.take(say("hi"), 2, None);
    door.close();
    let outs = session.next().await.unwrap();
    assert!(
        matches!(
            &outs[..],
            [
                Out::Answer(Answer { frame: Some(ServerFrame::Ack { .. }), .. }),
                Out::Frame(ServerFrame::Bye(_))
            ]
        ),
        "{outs:?}"
    );
    assert_eq!(session.next().await.unwrap_err(), End::Stopping);
    let caller = door.admit(&HeaderMap::new(), None, Entrance::default()).unwrap();
    let refused = Session::enter(caller, Wants::Messages).await.unwrap_err();
    assert_eq!(refused.code, common::ErrorCode::ShuttingDown);
}
