//! What is said reaches an address of the operator's: in order, at least once, whatever dies on the way.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::http::{HeaderMap, StatusCode};
use base64::{Engine, prelude::BASE64_STANDARD};
use common::RoomName;
use hmac::{Hmac, Mac};
use hub::broker::{Broker, Keep, Retention, memory::MemoryBroker};
use serde_json::{Value, json};
use server::{
    Config, Server, Timing,
    identity::Identity,
    webhook::{Secret, Webhook},
};
use sha2::Sha256;
use support::*;
use tokio::{net::TcpListener, task::JoinHandle};

const SECRET: &[u8] = b"thirty-two bytes, for a webhook!";

/// What a receiver was told, and what it answers.
#[derive(Default)]
struct Told {
    /// The id of each batch that was taken, with the values in it.
    batches: Mutex<Vec<(String, Vec<Value>, bool)>>,
    /// What it was told of rooms, and how often that was tried.
    rooms: Mutex<Vec<Value>>,
    room_tries: AtomicUsize,
    /// How often messages came.
    tries: Mutex<usize>,
    /// It answers with this status; 0 is 204.
    status: AtomicU16,
    /// With this value in it, it answers 422.
    poison: Mutex<Option<Value>>,
}

impl Told {
    fn values(&self) -> Vec<String> {
        let batches = self.batches.lock().unwrap();
        let values = batches.iter().flat_map(|(_, values, _)| values);
        values.map(|value| value.as_str().unwrap().to_owned()).collect()
    }

    fn take(&self, headers: &HeaderMap, body: &str) -> StatusCode {
        let header = |name: &str| headers[name].to_str().unwrap().to_owned();
        let (id, seconds) = (header("webhook-id"), header("webhook-timestamp"));
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET).unwrap();
        mac.update(format!("{id}.{seconds}.{body}").as_bytes());
        let signature = BASE64_STANDARD.encode(mac.finalize().into_bytes());
        assert_eq!(header("webhook-signature"), format!("v1,{signature}"));
        assert!(!id.contains('.'));
        let body: Value = serde_json::from_str(body).unwrap();
        let status = self.status.load(Ordering::Relaxed);
        if body["type"] == "rooms" {
            self.room_tries.fetch_add(1, Ordering::Relaxed);
            if status != 0 {
                return StatusCode::from_u16(status).unwrap();
            }
            self.rooms.lock().unwrap().push(body["data"].clone());
            return StatusCode::NO_CONTENT;
        }
        *self.tries.lock().unwrap() += 1;
        if status != 0 {
            return StatusCode::from_u16(status).unwrap();
        }
        assert_eq!(body["type"], "messages");
        let messages = body["data"]["messages"].as_array().unwrap();
        let values: Vec<_> = messages.iter().map(|message| message["value"].clone()).collect();
        if self.poison.lock().unwrap().as_ref().is_some_and(|poison| values.contains(poison)) {
            return StatusCode::UNPROCESSABLE_ENTITY;
        }
        if values == ["gone"] {
            return StatusCode::GONE;
        }
        let gap = body["data"]["gap"] == true;
        self.batches.lock().unwrap().push((id, values, gap));
        StatusCode::NO_CONTENT
    }

    async fn until(&self, is_so: impl Fn(&Self) -> bool) {
        let looking = async {
            while !is_so(self) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), looking).await.expect("it never was so");
    }
}

/// Receives at this address, until it is aborted.
async fn receive(told: Arc<Told>, address: SocketAddr) -> (SocketAddr, JoinHandle<()>) {
    let listener = loop {
        // Who was there before may not be gone yet.
        if let Ok(listener) = TcpListener::bind(address).await {
            break listener;
        }
        tokio::task::yield_now().await;
    };
    let address = listener.local_addr().unwrap();
    let take = axum::routing::post(async move |headers: HeaderMap, body: String| {
        told.take(&headers, &body)
    });
    let app = axum::Router::new().route("/hook", take);
    (address, tokio::spawn(async { axum::serve(listener, app).await.unwrap() }))
}

async fn server(broker: Arc<MemoryBroker>, hooks: &[String]) -> TestServer {
    let timing = Timing { retry: Duration::from_millis(10), ..Timing::default() };
    let hub = hub::Limits { closed: Duration::ZERO, ..hub::Limits::default() };
    let config = Config {
        timing,
        hub,
        publish_rate: 0,
        webhooks: hooks.iter().map(|hook| Webhook::parse(hook).unwrap()).collect(),
        webhook_secret: Some(Secret::of(SECRET)),
        ..Config::ephemeral()
    };
    let open = |config| Server::over(config, Identity::ephemeral(), broker);
    TestServer::of(config, open).await
}

fn broker() -> Arc<MemoryBroker> {
    Arc::new(MemoryBroker::new(Retention::default()))
}

async fn say(server: &TestServer, room: &str, texts: impl IntoIterator<Item = String>) {
    let mut ada = server.join(&format!("?room={room}")).await;
    for text in texts {
        ada.say(&text).await;
        ada.next_of("ack").await;
    }
}

const ANY: &str = "127.0.0.1:0";

#[tokio::test]
async fn what_is_said_in_the_rooms_it_is_for_is_told_in_order_and_signed() {
    let told = Arc::<Told>::default();
    let (address, _) = receive(told.clone(), ANY.parse().unwrap()).await;
    let server = server(broker(), &[format!("team-*=http://{address}/hook")]).await;
    let mut ada = server.join("?room=team-red").await;
    ada.send(r#"{"type":"message","params":{"value":"private","to":["bob"]}}"#).await;
    say(&server, "tea", ["elsewhere".to_owned()]).await;
    let texts: Vec<_> = (0..250).map(|n| n.to_string()).collect();
    say(&server, "team-red", texts.clone()).await;
    told.until(|told| told.values().len() >= texts.len()).await;
    assert_eq!(told.values(), texts);
}

#[tokio::test]
async fn a_receiver_that_dies_twenty_times_misses_nothing_and_gets_it_in_order() {
    let told = Arc::<Told>::default();
    let (address, mut receiving) = receive(told.clone(), ANY.parse().unwrap()).await;
    let broker = broker();
    let hooks = [format!("http://{address}/hook")];
    let mut server = server(broker.clone(), &hooks).await;
    let mut said = Vec::new();
    for round in 0..20 {
        receiving.abort();
        let texts: Vec<_> = (0..5).map(|n| format!("{round} {n}")).collect();
        say(&server, "tea", texts.clone()).await;
        said.extend(texts);
        if round % 5 == 4 {
            // The server, too.
            server.stop();
            (&mut server.serving).await.unwrap().unwrap();
            server = self::server(broker.clone(), &hooks).await;
        }
        (_, receiving) = receive(told.clone(), address).await;
    }
    told.until(|told| told.values().iter().collect::<BTreeSet<_>>().len() == said.len()).await;
    // In order, and what came twice came under the same id.
    let mut batches = told.batches.lock().unwrap().clone();
    batches.dedup_by(|again, first| again.0 == first.0);
    let values: Vec<_> = batches.into_iter().flat_map(|(_, values, _)| values).collect();
    assert_eq!(values, said);
}

#[tokio::test]
async fn what_is_refused_for_what_is_in_it_holds_up_nothing_for_long() {
    let told = Arc::<Told>::default();
    *told.poison.lock().unwrap() = Some("poison".into());
    let (address, _) = receive(told.clone(), ANY.parse().unwrap()).await;
    let server = server(broker(), &[format!("http://{address}/hook")]).await;
    let texts = ["one", "poison", "two"].map(str::to_owned);
    let request = reqwest::Client::new().post(server.url("/api/rooms/tea/messages"));
    let body = r#"[{"value":"one"},{"value":"poison"},{"value":"two"}]"#;
    request.header("content-type", "application/json").body(body).send().await.unwrap();
    told.until(|told| told.values().len() == 2).await;
    assert_eq!(told.values(), [&*texts[0], &*texts[2]]);
}

#[tokio::test]
async fn what_was_let_go_of_before_it_could_be_told_is_told_as_a_gap() {
    let told = Arc::<Told>::default();
    told.status.store(503, Ordering::Relaxed);
    let (address, _) = receive(told.clone(), ANY.parse().unwrap()).await;
    let broker =
        Arc::new(MemoryBroker::new(Retention { room_messages: 3, ..Retention::default() }));
    let hooks = [format!("http://{address}/hook")];
    let mut server = server(broker.clone(), &hooks).await;
    say(&server, "tea", ["first".to_owned()]).await;
    told.until(|told| *told.tries.lock().unwrap() > 0).await;
    say(&server, "tea", (0..9).map(|n| n.to_string())).await;
    server.stop();
    (&mut server.serving).await.unwrap().unwrap();
    told.status.store(0, Ordering::Relaxed);
    let _server = self::server(broker, &hooks).await;
    told.until(|told| told.values().len() >= 3).await;
    assert_eq!(told.values(), ["6", "7", "8"]);
    assert!(told.batches.lock().unwrap()[0].2);
}

#[tokio::test]
async fn a_receiver_that_is_gone_for_good_is_left_alone() {
    let (gone, other) = (Arc::<Told>::default(), Arc::<Told>::default());
    gone.status.store(410, Ordering::Relaxed);
    let (of_gone, _) = receive(gone.clone(), ANY.parse().unwrap()).await;
    let (of_other, _) = receive(other.clone(), ANY.parse().unwrap()).await;
    let hooks = [of_gone, of_other].map(|address| format!("http://{address}/hook"));
    let server = server(broker(), &hooks).await;
    say(&server, "tea", ["one".to_owned()]).await;
    gone.until(|told| *told.tries.lock().unwrap() == 1).await;
    // The other is told each of these by itself, in more time than a second try would take.
    for n in 0..20 {
        say(&server, "tea", [n.to_string()]).await;
        other.until(|told| told.values().len() == n + 2).await;
    }
    assert_eq!(*gone.tries.lock().unwrap(), 1);
}

#[tokio::test]
async fn a_receiver_that_is_gone_in_the_middle_of_what_it_refuses_is_told_no_more_until_a_restart()
{
    let told = Arc::<Told>::default();
    *told.poison.lock().unwrap() = Some("poison".into());
    let (address, _) = receive(told.clone(), ANY.parse().unwrap()).await;
    let (broker, hooks) = (broker(), [format!("http://{address}/hook")]);
    let mut server = server(broker.clone(), &hooks).await;
    let request = reqwest::Client::new().post(server.url("/api/rooms/tea/messages"));
    let body = r#"[{"value":"one"},{"value":"gone"},{"value":"poison"},{"value":"two"}]"#;
    request.header("content-type", "application/json").body(body).send().await.unwrap();
    // Once refused together five times, "one" is taken, and then it is gone.
    told.until(|told| told.values() == ["one"] && *told.tries.lock().unwrap() == 7).await;
    say(&server, "tea", ["three".to_owned()]).await;
    server.stop();
    (&mut server.serving).await.unwrap().unwrap();
    assert_eq!(told.values(), ["one"]);
    *told.poison.lock().unwrap() = None;
    let _server = self::server(broker, &hooks).await;
    told.until(|told| told.values().len() == 5).await;
    assert_eq!(told.values(), ["one", "gone", "poison", "two", "three"]);
}

#[tokio::test]
async fn a_gap_is_told_with_the_next_message_that_is_told_at_all() {
    let told = Arc::<Told>::default();
    told.status.store(503, Ordering::Relaxed);
    let (address, _) = receive(told.clone(), ANY.parse().unwrap()).await;
    let (broker, hooks) = (broker(), [format!("team-*=http://{address}/hook")]);
    let mut server = server(broker.clone(), &hooks).await;
    say(&server, "team-red", ["lost".to_owned()]).await;
    told.until(|told| *told.tries.lock().unwrap() > 0).await;
    server.stop();
    (&mut server.serving).await.unwrap().unwrap();
    broker.let_go(&RoomName::parse("team-red").unwrap(), Keep::NOTHING).await.unwrap();
    told.status.store(0, Ordering::Relaxed);
    let server = self::server(broker, &hooks).await;
    say(&server, "tea", (0..120).map(|n| n.to_string())).await;
    say(&server, "team-red", ["after it".to_owned()]).await;
    told.until(|told| !told.values().is_empty()).await;
    assert_eq!(told.values(), ["after it"]);
    assert!(told.batches.lock().unwrap()[0].2);
}

#[tokio::test]
async fn of_its_rooms_it_is_told_which_somebody_is_in_and_how_it_is_counts() {
    let told = Arc::<Told>::default();
    let (address, _) = receive(told.clone(), ANY.parse().unwrap()).await;
    let server = server(broker(), &[format!("team-*=http://{address}/hook")]).await;
    let rooms = |n: usize| {
        let rooms = told.rooms.lock().unwrap();
        rooms
            .get(n)
            .map(|data| [&data["all"], &data["occupied"], &data["vacated"]].map(Value::clone))
    };
    let told_are = async |n: usize| told.until(|_| rooms(n - 1).is_some()).await;
    told_are(1).await;
    assert_eq!(rooms(0).unwrap(), [json!(true), json!([]), json!([])]);
    let mut elsewhere = server.join("?room=tea").await;
    elsewhere.next_of("hello").await;
    let mut ada = server.join("?room=team-red").await;
    ada.next_of("hello").await;
    told_are(2).await;
    assert_eq!(rooms(1).unwrap(), [json!(false), json!(["team-red"]), json!([])]);
    let mut bob = server.join("?room=team-red").await;
    bob.next_of("hello").await;
    let mut eve = server.join("?room=team-blue").await;
    eve.next_of("hello").await;
    told_are(3).await;
    assert_eq!(rooms(2).unwrap(), [json!(false), json!(["team-blue"]), json!([])]);
    // While nobody is there to be told, one goes, and another comes and goes.
    told.status.store(503, Ordering::Relaxed);
    let tries = told.room_tries.load(Ordering::Relaxed);
    eve.leave().await;
    told.until(|told| told.room_tries.load(Ordering::Relaxed) > tries).await;
    server.join("?room=team-green").await.leave().await;
    ada.leave().await;
    bob.leave().await;
    let are_gone = async {
        loop {
            let text = reqwest::get(server.url("/api/rooms")).await.unwrap().text().await.unwrap();
            let all: Value = serde_json::from_str(&text).unwrap();
            let mut rooms = all["rooms"].as_array().unwrap().iter();
            if rooms.all(|room| room["name"] == "tea" || room["members"] == 0) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), are_gone).await.unwrap();
    told.status.store(0, Ordering::Relaxed);
    told_are(5).await;
    assert_eq!(rooms(3).unwrap(), [json!(false), json!([]), json!(["team-blue"])]);
    assert_eq!(rooms(4).unwrap(), [json!(false), json!([]), json!(["team-red"])]);
}
