//! What Engine.IO sessions promise, over real connections.
//!
//! Start anywhere: each test is a promise. The rule to keep: a test waits for what it wants to see,
//! not for a time to pass.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail as tests do")]

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use axum::http::StatusCode;
use socketio::{CloseReason, Config, Engine, EngineSocket, Message, Pass};
use support::{Leg, serve, short};
use tokio::{
    sync::mpsc::{UnboundedSender, unbounded_channel},
    time::{sleep, timeout},
};

const SOON: Duration = Duration::from_secs(20);

/// Hears until the session ends, and then says why it did.
async fn listen(mut socket: EngineSocket, ends: UnboundedSender<CloseReason>) {
    while socket.recv().await.is_some() {}
    let _ = ends.send(socket.close_reason().unwrap());
}

async fn eventually(mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, wait).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_loses_and_reorders_nothing_under_load() {
    const COUNT: usize = 3000;
    let (heard, mut hears) = unbounded_channel();
    let engine = Engine::new(Config::default(), move |_, mut socket: EngineSocket| {
        let heard = heard.clone();
        async move {
            let sender = socket.sender().clone();
            let mut next = 0;
            loop {
                tokio::select! {
                    sent = sender.send(next.to_string()), if next < COUNT => {
                        sent.unwrap();
                        next += 1;
                    }
                    message = socket.recv() => match message {
                        Some(Message::Text(text)) => heard.send(text.to_string()).unwrap(),
                        _ => break,
                    },
                }
            }
        }
    });
    let client = serve(&engine).await;
    let query = client.open().await;

    let (got, mut gets) = unbounded_channel::<String>();
    let mut said = 0;
    let mut say = || {
        said += 1;
        format!("4{}", said - 1)
    };
    for _ in 0..5 {
        client.post(&query, format!("{}\x1e{}", say(), say())).await;
        got.send(client.get(&query).await.1).unwrap();
    }
    let mut socket = client.websocket(&query).await;
    socket.send("2probe").await;
    // Polls go on until the probe is answered, as the stock client's do.
    let polls = async {
        loop {
            client.post(&query, say()).await;
            let (status, payload) = client.get(&query).await;
            assert_eq!(status, 200);
            got.send(payload).unwrap();
            if gets.len() > 20 {
                break;
            }
        }
    };
    let (probed, ()) = tokio::join!(socket.text(), polls);
    assert_eq!(probed, "3probe");
    socket.send("5").await;
    for _ in 0..1000 {
        socket.send(say()).await;
    }

    let mut numbers = Vec::new();
    while let Ok(payload) = gets.try_recv() {
        numbers
            .extend(payload.split('\x1e').filter(|text| *text != "6").map(|t| t[1..].to_owned()));
    }
    assert!(!numbers.is_empty() && numbers.len() < COUNT, "{}", numbers.len());
    while numbers.len() < COUNT {
        numbers.push(timeout(SOON, socket.text()).await.unwrap()[1..].to_owned());
    }
    let expected = |count: usize| (0..count).map(|number| number.to_string()).collect::<Vec<_>>();
    assert_eq!(numbers, expected(COUNT));
    let mut arrived = Vec::new();
    while arrived.len() < said {
        arrived.push(timeout(SOON, hears.recv()).await.unwrap().unwrap());
    }
    assert_eq!(arrived, expected(said));
}

#[tokio::test]
async fn an_application_waits_for_a_client_that_never_polls_until_that_is_gone() {
    let sent = Arc::new(AtomicUsize::new(0));
    let (ends, mut ended) = unbounded_channel();
    let counter = Arc::clone(&sent);
    let config = Config { outgoing: 4, ..short() };
    let engine = Engine::new(config, move |_, socket: EngineSocket| {
        let (counter, ends) = (Arc::clone(&counter), ends.clone());
        async move {
            while socket.send("x").await.is_ok() {
                counter.fetch_add(1, SeqCst);
            }
            ends.send(socket.close_reason().unwrap()).unwrap();
        }
    });
    let client = serve(&engine).await;
    client.open().await;
    assert_eq!(timeout(SOON, ended.recv()).await.unwrap(), Some(CloseReason::PingTimeout));
    assert_eq!(sent.load(SeqCst), 4);
    eventually(|| engine.sessions() == 0).await;
}

#[tokio::test]
async fn a_client_waits_for_an_application_that_does_not_listen() {
    let go = Arc::new(tokio::sync::Notify::new());
    let may = Arc::clone(&go);
    let config = Config { incoming: 2, ..Config::default() };
    let engine = Engine::new(config, move |_, mut socket: EngineSocket| {
        let may = Arc::clone(&may);
        async move {
            may.notified().await;
            while socket.recv().await.is_some() {}
        }
    });
    let client = serve(&engine).await;
    let query = client.open().await;
    let post = client.post(&query, "4a\x1e4b\x1e4c");
    tokio::pin!(post);
    assert!(timeout(Duration::from_millis(100), &mut post).await.is_err());
    go.notify_one();
    assert_eq!(timeout(SOON, post).await.unwrap(), (200, "ok".to_owned()));
}

#[tokio::test]
async fn abandoned_sessions_are_freed() {
    let (ends, mut ended) = unbounded_channel();
    let engine = Engine::new(short(), move |_, socket| listen(socket, ends.clone()));
    let client = serve(&engine).await;
    for _ in 0..20 {
        client.open().await;
        let socket = client.websocket("EIO=4&transport=websocket").await;
        // Stays open, and silent.
        std::mem::forget(socket);
    }
    for _ in 0..40 {
        assert_eq!(timeout(SOON, ended.recv()).await.unwrap(), Some(CloseReason::PingTimeout));
    }
    eventually(|| engine.sessions() == 0).await;
}

#[tokio::test]
async fn a_second_poll_ends_the_session() {
    let (ends, mut ended) = unbounded_channel();
    let engine = Engine::new(Config::default(), move |_, socket| listen(socket, ends.clone()));
    let client = serve(&engine).await;
    let query = client.open().await;
    let polls = tokio::join!(client.get(&query), client.get(&query));
    let mut polls = [polls.0, polls.1];
    polls.sort();
    let refused = r#"{"code":3,"message":"Bad request"}"#;
    assert_eq!(polls, [(200, "1".to_owned()), (400, refused.to_owned())]);
    assert_eq!(ended.recv().await, Some(CloseReason::TransportError));
    let unknown = r#"{"code":1,"message":"Session ID unknown"}"#;
    assert_eq!(client.get(&query).await, (400, unknown.to_owned()));
}

#[tokio::test]
async fn last_words_arrive_before_the_close() {
    let engine = Engine::new(Config::default(), |_, socket: EngineSocket| async move {
        socket.send("a").await.unwrap();
        socket.send("b").await.unwrap();
    });
    let client = serve(&engine).await;
    let query = client.open().await;
    eventually(|| engine.sessions() == 1).await;
    assert_eq!(client.get(&query).await, (200, "4a\x1e4b".to_owned()));
    assert_eq!(client.get(&query).await, (200, "1".to_owned()));
    assert_eq!(engine.sessions(), 0);

    let mut socket = client.websocket("EIO=4&transport=websocket").await;
    assert!(socket.text().await.starts_with('0'));
    assert_eq!((socket.text().await, socket.text().await), ("4a".to_owned(), "4b".to_owned()));
    assert_eq!(socket.next().await, None);
    eventually(|| engine.sessions() == 0).await;
}

#[tokio::test]
async fn an_application_that_panics_leaves_no_session() {
    let engine = Engine::new(Config::default(), |_, _socket: EngineSocket| async {
        panic!("on purpose");
    });
    let client = serve(&engine).await;
    client.open().await;
    eventually(|| engine.sessions() == 0).await;
}

#[tokio::test]
async fn what_is_too_much_is_refused() {
    let (ends, mut ended) = unbounded_channel();
    let config = Config { max_payload: 10, max_sessions: 1, ..Config::default() };
    let engine = Engine::new(config, move |_, socket| listen(socket, ends.clone()));
    let client = serve(&engine).await;
    let query = client.open().await;
    assert_eq!(client.get("EIO=4&transport=polling").await.0, 503);
    assert_eq!(client.post(&query, "4too-long-a-payload").await.0, 413);
    assert_eq!(client.post(&query, "4short").await, (200, "ok".to_owned()));
    assert_eq!(client.post(&query, "1").await, (200, "ok".to_owned()));
    assert_eq!(ended.recv().await, Some(CloseReason::ClientClosed));

    let mut socket = client.websocket("EIO=4&transport=websocket").await;
    socket.text().await;
    socket.send("4twelve-bytes").await;
    let Some(Ok(Leg::Close(Some(frame)))) = futures_util::StreamExt::next(&mut socket.0).await
    else {
        panic!("no close frame");
    };
    assert_eq!(u16::from(frame.code), 1009);
    assert_eq!(ended.recv().await, Some(CloseReason::TransportError));
}

#[tokio::test]
async fn every_request_is_asked_about() {
    let engine = Engine::new(Config::default(), |_, mut socket: EngineSocket| async move {
        while socket.recv().await.is_some() {}
    })
    .admit(|request, new| match request.headers.get("stop") {
        Some(_) => Err(StatusCode::IM_A_TEAPOT),
        None => Ok::<Pass, _>(Box::new(new)),
    });
    let client = serve(&engine).await;
    let query = client.open().await;
    let http = reqwest::Client::new();
    for query in ["EIO=4&transport=polling", query.as_str(), ""] {
        let answer = http.get(client.url(query)).header("stop", "1").send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 418);
    }
}

#[tokio::test]
async fn whoever_does_not_poll_again_is_missed_and_whoever_waits_is_not() {
    let config = Config { poll_within: Duration::from_millis(200), ..Config::default() };
    let engine = Engine::new(config, |_, mut socket: EngineSocket| async move {
        while socket.recv().await.is_some() {}
    });
    let client = serve(&engine).await;
    let waits = client.open().await;
    let waiting = client.get(&waits);
    // Each of these is away for as long as one may be; so long the one that waits is there.
    let missed = async {
        let mut away = client.open().await;
        for _ in 0..2 {
            while engine.sessions() > 1 {
                tokio::task::yield_now().await;
            }
            assert_eq!(client.get(&away).await.0, 400);
            away = client.open().await;
        }
    };
    tokio::select! {
        answer = waiting => panic!("{answer:?}"),
        () = missed => {}
    }
}

#[tokio::test]
async fn a_pass_is_held_as_long_as_its_session() {
    let held = Arc::new(());
    let passes = held.clone();
    let engine = Engine::new(Config::default(), |_, mut socket: EngineSocket| async move {
        while socket.recv().await.is_some() {}
    })
    .admit(move |_, new| match new {
        true => Ok::<Pass, StatusCode>(Box::new(passes.clone())),
        false => Ok(Box::new(())),
    });
    let client = serve(&engine).await;
    let before = Arc::strong_count(&held);
    let (query, _other) = (client.open().await, client.open().await);
    assert_eq!(Arc::strong_count(&held), before + 2);
    client.post(&query, "1").await;
    while Arc::strong_count(&held) > before + 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(engine.sessions(), 1);
}

#[tokio::test]
async fn a_client_that_closes_is_answered() {
    let (ended, mut ends) = unbounded_channel();
    let engine = Engine::new(Config::default(), move |_, socket| listen(socket, ended.clone()));
    let client = serve(&engine).await;
    let mut socket = client.websocket("EIO=4&transport=websocket").await;
    assert!(socket.text().await.starts_with('0'));
    socket.0.close(None).await.unwrap();
    let answer = futures_util::StreamExt::next(&mut socket.0).await;
    assert!(matches!(answer, Some(Ok(Leg::Close(_)))), "{answer:?}");
    assert_eq!(ends.recv().await, Some(CloseReason::ClientClosed));
}
