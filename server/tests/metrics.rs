//! What an operator sees of a running server.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::{Value, json};
use support::{
    road::{ROADS, Traveller},
    *,
};
use tokio::io::AsyncWriteExt;

/// Each series of a scrape, with its value.
async fn scrape(server: &TestServer) -> BTreeMap<String, f64> {
    let answer = reqwest::get(server.url("/metrics")).await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let text = answer.text().await.unwrap();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let series = lines.map(|line| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), value.parse().unwrap())
    });
    series.collect()
}

/// Scrapes until it is so: what is counted is sorted in now and then.
async fn until(server: &TestServer, is_so: impl Fn(&BTreeMap<String, f64>) -> bool) {
    let looking = async {
        while !is_so(&scrape(server).await) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.expect("it never was so");
}

/// Has everything happen once that can.
async fn live_a_little(server: &TestServer, room: &str) {
    let address = server.address.to_string();
    for road in ROADS {
        let mut ada = Traveller::join(&address, road, room, "").await.unwrap();
        ada.say("hi", json!("all")).await;
        let refusal = ada.refused(json!({"type": "rename", "params": {"name": ""}})).await;
        assert_eq!(refusal["code"], "invalid_field");
    }
    let mut bob = server.join(&format!("?room={room}")).await;
    bob.send_message(tokio_tungstenite::tungstenite::Message::text("x".repeat(65 * 1024))).await;
    assert_eq!(u16::from(bob.closed().await.unwrap().code), 1009);
}

#[tokio::test]
async fn what_happens_is_counted_by_what_it_is() {
    let server = TestServer::start().await;
    live_a_little(&server, "tea").await;
    let mut ada = server.join("?room=tea").await;
    ada.next_of("hello").await;
    // The others are about to be gone.
    until(&server, |series| {
        let left = |carrier| series[&format!("hubbub_sessions{{transport=\"{carrier}\"}}")];
        series["hubbub_publish_seconds_count"] == 5.0
            && ["websocket", "events", "socketio"].map(left) == [1.0, 0.0, 0.0]
    })
    .await;
    let series = scrape(&server).await;
    for (name, value) in [
        (r#"hubbub_sessions{transport="poll"}"#, 0.0),
        (r#"hubbub_joins_total{transport="websocket",recovery="fresh"}"#, 3.0),
        (r#"hubbub_joins_total{transport="events",recovery="fresh"}"#, 1.0),
        (r#"hubbub_joins_total{transport="socketio",recovery="fresh"}"#, 1.0),
        ("hubbub_published_total", 5.0),
        // Of each road one message and one that is no good.
        ("hubbub_frames_received_total", 10.0),
        (r#"hubbub_refusals_total{code="invalid_field"}"#, 5.0),
        (r#"hubbub_closed_total{code="1009"}"#, 1.0),
        ("hubbub_rooms", 1.0),
        ("hubbub_ready", 1.0),
        (r#"hubbub_publish_seconds_bucket{le="+Inf"}"#, 5.0),
    ] {
        assert_eq!(series.get(name), Some(&value), "{name} of {series:#?}");
    }
    assert!(series["hubbub_members"] >= 1.0 && series["hubbub_connections"] >= 2.0);
    assert!(series["process_resident_memory_bytes"] > 1e6);
}

#[tokio::test]
async fn bytes_are_counted_both_ways_also_what_is_pushed_to_those_who_wait() {
    let server = TestServer::start().await;
    let (mut ada, mut bob) = (server.join("?room=tea").await, server.join("?room=tea").await);
    let bytes = |series: &BTreeMap<String, f64>| {
        ["received", "sent"].map(|way| series[&format!("hubbub_{way}_bytes_total")])
    };
    let [received, sent] = bytes(&scrape(&server).await);
    for _ in 0..10 {
        ada.say(&"x".repeat(10_000)).await;
        assert_eq!(bob.hear().await.len(), 10_000);
        ada.next_of("ack").await;
    }
    // Ada hears it, too; and somebody scrapes.
    until(&server, |series| {
        let [now_received, now_sent] = bytes(series);
        let (up, down) = (now_received - received, now_sent - sent);
        (100_000.0..150_000.0).contains(&up) && (200_000.0..300_000.0).contains(&down)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_does_not_read_is_seen_to_be_behind_until_it_does() {
    let server = TestServer::with(|config| config.publish_rate = 0).await;
    let lag = |series: &BTreeMap<String, f64>| {
        ["readers_behind", "reader_lag_messages", "reader_lag_seconds"]
            .map(|name| series[&format!("hubbub_{name}")])
    };
    for road in [
        "GET /ws?room=tea HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        "GET /api/rooms/tea/events HTTP/1.1\r\nhost: localhost\r\n\r\n",
    ] {
        let (mut ada, mut read) = (server.connect_narrowly().await, Vec::new());
        ada.write_all(road.as_bytes()).await.unwrap();
        read_until(&mut ada, &mut read, b"\r\n\r\n").await;
        until(&server, |series| lag(series) == [0.0; 3]).await;
        say_more_than_a_socket_holds(&server).await;
        until(&server, |series| {
            let [readers, messages, seconds] = lag(series);
            readers == 1.0 && messages >= 50.0 && seconds > 1.0
        })
        .await;
        let [_, _, seconds] = lag(&scrape(&server).await);
        until(&server, |series| lag(series)[2] > seconds + 0.2).await;
        read_until(&mut ada, &mut read, b"the last").await;
        until(&server, |series| lag(series) == [0.0; 3]).await;
    }
}

/// In a room where somebody does not read; less than the log keeps.
async fn say_more_than_a_socket_holds(server: &TestServer) {
    let mut bob = server.join("?room=tea").await;
    for _ in 0..100 {
        for _ in 0..16 {
            bob.say(&"x".repeat(4_000)).await;
        }
        for _ in 0..16 {
            bob.next_of("ack").await;
        }
    }
    bob.say("the last").await;
    bob.next_of("ack").await;
}

#[tokio::test]
async fn there_are_as_many_series_after_a_hundred_rooms_and_members_as_after_one() {
    let server = TestServer::with(|config| config.publish_rate = 0).await;
    live_a_little(&server, "tea").await;
    until(&server, |series| series.contains_key("hubbub_publish_seconds_count")).await;
    let before: BTreeSet<_> = scrape(&server).await.into_keys().collect();
    for n in 0..100 {
        let mut ada = server.join(&format!("?room=room-{n}")).await;
        ada.say("a text that is in no label").await;
        ada.next_of("ack").await;
    }
    let after: BTreeSet<_> = scrape(&server).await.into_keys().collect();
    let new: Vec<_> = after.difference(&before).collect();
    assert!(new.is_empty(), "{new:?}");
}

/// Names of our metrics and of the process in a text, without what a histogram adds.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let ours = words.filter(|word| word.starts_with("hubbub_") || word.starts_with("process_"));
    let whole = |word: &str| {
        ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|end| word.strip_suffix(end))
            .unwrap_or(word)
            .to_owned()
    };
    ours.map(whole).collect()
}

#[tokio::test]
async fn the_dashboard_draws_what_there_is_and_all_of_it() {
    let server = TestServer::start().await;
    live_a_little(&server, "tea").await;
    let is_whole =
        |series: &BTreeMap<String, f64>| series.contains_key("hubbub_publish_seconds_count");
    until(&server, is_whole).await;
    let there = names(&scrape(&server).await.into_keys().collect::<Vec<_>>().join(" "));
    let dashboard = include_str!("../../docs/grafana.json");
    let dashboard: Value = serde_json::from_str(dashboard).unwrap();
    let targets = dashboard["panels"].as_array().unwrap().iter().flat_map(|panel| {
        panel["targets"].as_array().unwrap().iter().map(|target| target["expr"].as_str().unwrap())
    });
    let drawn = names(&targets.collect::<Vec<_>>().join(" "));
    assert_eq!(drawn, there);
}

#[tokio::test]
async fn who_asks_whether_it_is_ready_hears_of_a_stop_before_newcomers_are_refused() {
    let mut server = TestServer::with(|config| config.drain_delay = Duration::from_secs(3)).await;
    let ready = async |server: &TestServer| {
        let answer = reqwest::get(server.url("/readyz")).await.unwrap();
        (answer.status().as_u16(), answer.headers().get("retry-after").is_some())
    };
    assert_eq!(ready(&server).await, (200, false));
    server.stop();
    tokio::time::timeout(PATIENCE, async { while ready(&server).await.0 == 200 {} }).await.unwrap();
    assert_eq!(ready(&server).await, (503, true));
    assert_eq!(reqwest::get(server.url("/healthz")).await.unwrap().status(), 200);
    // One may still come in.
    server.join("?room=tea").await.next_of("hello").await;
    (&mut server.serving).await.unwrap().unwrap();
}
