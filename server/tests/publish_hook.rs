//! Somebody is asked before a message is kept, on every road: it lets messages pass, changes or refuses them, or is late.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use server::{
    Config, Late, Server,
    identity::Identity,
    webhook::{Secret, Webhook},
};
use support::{
    road::{ROADS, Traveller},
    *,
};
use tokio::{net::TcpListener, sync::Notify};

/// Somebody who decides by what is said.
#[derive(Default)]
struct Judge {
    asked: Mutex<Vec<Value>>,
    /// How many wait for an answer that only comes with this.
    waiting: AtomicUsize,
    go_on: Notify,
}

impl Judge {
    async fn decide(&self, headers: &HeaderMap, body: &str) -> (StatusCode, String) {
        assert!(headers["webhook-signature"].to_str().unwrap().starts_with("v1,"));
        let asked: Value = serde_json::from_str(body).unwrap();
        assert_eq!(asked["type"], "publish");
        let data = &asked["data"];
        self.asked.lock().unwrap().push(data.clone());
        let answer = match data["messages"][0]["value"].as_str().unwrap_or_default() {
            "bad" => json!({"refuse": "not in this house"}).to_string(),
            "loud" => json!({"messages": [{"value": "quiet"}]}).to_string(),
            "lie" => json!({"messages": []}).to_string(),
            "nonsense" => "<html>".to_owned(),
            "broken" => return (StatusCode::BAD_GATEWAY, String::new()),
            "moved" => return (StatusCode::FOUND, String::new()),
            "slow" => {
                self.waiting.fetch_add(1, Ordering::SeqCst);
                self.go_on.notified().await;
                String::new()
            }
            _ => String::new(),
        };
        (StatusCode::OK, answer)
    }
}

struct House {
    server: TestServer,
    judge: Arc<Judge>,
    manager: String,
}

impl House {
    async fn new(change: impl FnOnce(&mut Config)) -> Self {
        let judge = Arc::<Judge>::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let own = judge.clone();
        let decide = axum::routing::post(async move |headers: HeaderMap, body: String| {
            own.decide(&headers, &body).await
        });
        let app = axum::Router::new().route("/hook", decide);
        tokio::spawn(async { axum::serve(listener, app).await.unwrap() });
        let mut config = Config {
            publish_rate: 0,
            publish_hooks: vec![Webhook::parse(&format!("t*=http://{address}/hook")).unwrap()],
            webhook_secret: Some(Secret::of(b"thirty-two bytes, for a webhook!")),
            publish_hook_within: Duration::from_secs(10),
            ..Config::ephemeral()
        };
        change(&mut config);
        let identity = Identity::ephemeral();
        let manager = manager(&identity);
        let broker = hub::broker::memory::MemoryBroker::new(hub::broker::Retention::in_memory());
        let open = |config| Server::over(config, identity, Arc::new(broker));
        let server = TestServer::of(config, open).await;
        Self { server, judge, manager }
    }

    async fn post(&self, room: &str, body: Value, token: Option<&str>) -> (u16, Value) {
        let path = format!("/api/rooms/{room}/messages");
        let request = reqwest::Client::new().post(self.server.url(&path)).body(body.to_string());
        let request = request.header("content-type", "application/json");
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap())
    }

    async fn values(&self, room: &str) -> Vec<Value> {
        let path = self.server.url(&format!("/api/rooms/{room}/messages?after=0"));
        let text = reqwest::get(path).await.unwrap().text().await.unwrap();
        let all: Value = serde_json::from_str(&text).unwrap();
        all["messages"].as_array().unwrap().iter().map(|one| one["value"].clone()).collect()
    }

    fn asked(&self) -> usize {
        self.judge.asked.lock().unwrap().len()
    }
}

#[tokio::test]
async fn on_every_road_it_lets_pass_changes_and_refuses() {
    let house = House::new(|_| ()).await;
    let address = house.server.address.to_string();
    for road in ROADS {
        let mut ada = Traveller::join(&address, road, "tea", "").await.unwrap();
        ada.say("good", json!("all")).await;
        ada.say("loud", json!("all")).await;
        let refusal = ada.say("bad", json!("all")).await;
        assert!(refusal.to_string().contains("not in this house"), "{road:?}: {refusal}");
        assert!(refusal.to_string().contains("declined"), "{road:?}: {refusal}");
        let heard = [ada.message().await.unwrap(), ada.message().await.unwrap()];
        assert_eq!(heard.map(|message| message["value"].clone()), ["good", "quiet"]);
    }
    let values = house.values("tea").await;
    assert_eq!(values.len(), 2 * ROADS.len());
    assert!(values.iter().all(|value| value == "good" || value == "quiet"), "{values:?}");
}

#[tokio::test]
async fn it_is_told_who_says_what_and_where_and_only_of_its_rooms() {
    let house = House::new(|_| ()).await;
    let (status, problem) = house.post("tea", json!({"value": "bad"}), None).await;
    assert_eq!((status, &problem["code"]), (403, &json!("declined")));
    assert_eq!(house.post("coffee", json!({"value": "bad"}), None).await.0, 200);
    // Whoever manages the room decides itself.
    let manager = Some(house.manager.as_str());
    assert_eq!(house.post("tea", json!({"value": "bad"}), manager).await.0, 200);
    let asked = house.judge.asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 1);
    assert_eq!(
        (&asked[0]["room"], &asked[0]["messages"]),
        (&json!("tea"), &json!([{"value": "bad"}]))
    );
    assert!(asked[0]["from"]["id"].is_string() && asked[0]["from"]["name"].is_string());
    // An array is asked about once.
    let several = json!([{"value": "one"}, {"value": "two"}]);
    assert_eq!(house.post("tea", several, None).await.0, 200);
    assert_eq!(house.asked(), 2);
}

#[tokio::test]
async fn what_one_says_is_kept_in_order_however_long_is_thought_about_it() {
    let house = House::new(|_| ()).await;
    let mut ada = house.server.join("?room=tea").await;
    for text in ["slow", "one", "two"] {
        ada.say(text).await;
    }
    let waits = async {
        while house.judge.waiting.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, waits).await.unwrap();
    // Nobody else waits for it.
    assert_eq!(house.post("tea", json!({"value": "of another"}), None).await.0, 200);
    house.judge.go_on.notify_one();
    for _ in 0..3 {
        ada.next_of("ack").await;
    }
    assert_eq!(house.values("tea").await, ["of another", "slow", "one", "two"]);
}

#[tokio::test]
async fn where_it_does_not_decide_that_is_to_refuse_or_to_allow() {
    for (late, status) in [(Late::Refuse, 503), (Late::Allow, 200)] {
        for trouble in ["lie", "nonsense", "broken", "moved", "slow"] {
            let house = House::new(|config| {
                config.publish_hook_late = late;
                config.publish_hook_within = Duration::from_millis(100);
            })
            .await;
            let (answered, problem) = house.post("tea", json!({"value": trouble}), None).await;
            assert_eq!(answered, status, "{trouble}: {problem}");
            let expected = if status == 200 { vec![json!(trouble)] } else { vec![] };
            assert_eq!(house.values("tea").await, expected);
        }
    }
}

#[tokio::test]
async fn when_it_is_gone_it_is_not_asked_again_and_again() {
    let house = House::new(|_| ()).await;
    for _ in 0..20 {
        assert_eq!(house.post("tea", json!({"value": "broken"}), None).await.0, 503);
    }
    assert_eq!(house.asked(), 5);
}

#[tokio::test]
async fn what_it_can_not_decide_about_is_nobody_else_s_trouble() {
    let house = House::new(|_| ()).await;
    for _ in 0..20 {
        assert_eq!(house.post("tea", json!({"value": "nonsense"}), None).await.0, 503);
    }
    assert_eq!(house.post("tea", json!({"value": "good"}), None).await.0, 200);
    assert_eq!(house.asked(), 21);
}

#[tokio::test]
async fn what_was_decided_while_it_thought_holds() {
    let house = House::new(|_| ()).await;
    let mut ada = house.server.join("?room=tea").await;
    let member = ada.next_of("hello").await["member"]["id"].as_str().unwrap().to_owned();
    for text in ["slow", "one", "two"] {
        ada.say(text).await;
    }
    let waits = async {
        while house.judge.waiting.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, waits).await.unwrap();
    let out = house.server.url(&format!("/api/rooms/tea/out/{member}"));
    let out = reqwest::Client::new().put(out).bearer_auth(&house.manager).send().await.unwrap();
    assert_eq!(out.status(), 200);
    house.judge.go_on.notify_one();
    // Whoever is put out hears no more of what became of it than that.
    assert_eq!(u16::from(ada.closed().await.unwrap().code), 4005);
    assert_eq!(house.asked(), 1);
    assert!(house.values("tea").await.is_empty());
}
