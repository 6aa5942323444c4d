//! What a backend does with a token that lets it manage: over HTTP alone, and it holds on every transport.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use hub::broker::{Retention, memory::MemoryBroker};
use reqwest::{Method, header};
use serde_json::{Value, json};
use server::{Config, Server, identity::Identity};
use support::{
    road::{ROADS, Road, Traveller},
    *,
};

/// A server, and a token with which its backend manages all rooms.
struct Hub {
    server: TestServer,
    backend: String,
}

impl Hub {
    async fn start() -> Self {
        Self::over(Arc::new(MemoryBroker::new(Retention::default()))).await
    }

    async fn over(broker: Arc<MemoryBroker>) -> Self {
        let identity = Identity::ephemeral();
        let backend = manager(&identity);
        let config = Config { publish_rate: 0, ..Config::ephemeral() };
        let server = TestServer::of(config, |config| Server::over(config, identity, broker)).await;
        Self { server, backend }
    }

    /// The status, and the JSON of the answer.
    async fn ask(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        self.ask_as(Some(&self.backend), method, path, body).await
    }

    async fn ask_as(
        &self,
        token: Option<&str>,
        method: Method,
        path: &str,
        body: Value,
    ) -> (u16, Value) {
        let request = reqwest::Client::new().request(method, self.server.url(path));
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let request = match body {
            Value::Null => request,
            body => request.header(header::CONTENT_TYPE, "application/json").body(body.to_string()),
        };
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default())
    }

    async fn join(&self, road: Road) -> Traveller {
        Traveller::join(&self.server.address.to_string(), road, "tea", "").await.unwrap()
    }

    async fn messages(&self) -> Vec<Value> {
        let (_, answer) =
            self.ask(Method::GET, "/api/rooms/tea/messages?after=0", Value::Null).await;
        answer["messages"].as_array().unwrap().clone()
    }
}

#[tokio::test]
async fn what_is_for_backends_is_refused_to_everybody_else() {
    let hub = Hub::start().await;
    let mut ada = hub.join(Road::WebSocket).await;
    let offset = ada.say("hi", json!("all")).await["offset"].as_u64().unwrap();
    let (_, given) = hub.ask_as(None, Method::POST, "/api/token", json!({})).await;
    let guest = given["token"].as_str().unwrap();
    for (method, path, body) in [
        (Method::PUT, "/api/rooms/tea/settings", json!({"closed": true})),
        (Method::GET, "/api/rooms/tea/out", Value::Null),
        (Method::PUT, "/api/rooms/tea/out/ada", json!({})),
        (Method::DELETE, "/api/rooms/tea/out/ada", Value::Null),
        (Method::GET, "/api/rooms/tea/connections", Value::Null),
        (Method::GET, "/api/connections", Value::Null),
        (Method::GET, "/api/refusals", Value::Null),
        (Method::GET, "/api/out", Value::Null),
        (Method::PUT, "/api/out/ada", json!({})),
        (Method::DELETE, "/api/out/ada", Value::Null),
        (Method::DELETE, "/api/rooms/tea/messages", Value::Null),
        (Method::DELETE, &*format!("/api/rooms/tea/messages/{offset}"), Value::Null),
        (
            Method::POST,
            "/api/rooms/tea/messages",
            json!({"value": "x", "from": {"id": "bob", "name": "Bob"}}),
        ),
        (Method::POST, "/api/token", json!({"sub": "bob"})),
    ] {
        for token in [None, Some(guest)] {
            let (status, problem) = hub.ask_as(token, method.clone(), path, body.clone()).await;
            assert_eq!((status, &problem["code"]), (403, &json!("forbidden")), "{method} {path}");
            assert!(problem["detail"].as_str().unwrap().contains("`manage`"), "{problem}");
        }
    }
    let as_bob =
        json!({"type": "message", "params": {"value": "x", "from": {"id": "b", "name": "B"}}});
    assert_eq!(ada.send(as_bob).await.unwrap()["field"], "from");
    assert_eq!(hub.messages().await.len(), 1);
}

#[tokio::test]
async fn a_backend_says_things_as_others_and_takes_back_what_others_said() {
    let hub = Hub::start().await;
    let mut ada = hub.join(Road::WebSocket).await;
    let as_bob = json!({"value": "hi", "from": {"id": "bob", "name": "Bob"}, "id": "m1"});
    let (status, said) = hub.ask(Method::POST, "/api/rooms/tea/messages", as_bob.clone()).await;
    assert_eq!(status, 200);
    assert_eq!(ada.message().await.unwrap()["from"], json!({"id": "bob", "name": "Bob"}));
    // Again it is the same.
    assert_eq!(hub.ask(Method::POST, "/api/rooms/tea/messages", as_bob).await.1, said);
    let offset = said["offset"].as_u64().unwrap();
    let path = format!("/api/rooms/tea/messages/{offset}");
    assert_eq!(hub.ask(Method::DELETE, &path, Value::Null).await.0, 204);
    let back = ada.message().await.unwrap();
    assert_eq!((&back["event"], &back["of"]), (&json!("retract"), &json!("m1")));
    assert!(hub.messages().await.iter().all(|message| message["value"] != "hi"));
    assert_eq!(hub.ask(Method::DELETE, &path, Value::Null).await.0, 404);
    for (wrong, field) in [
        (json!({"value": 1, "from": "bob"}), "from"),
        (json!({"value": 1, "from": {"id": "", "name": "B"}}), "from"),
        (json!([{"value": 1}, {"value": 2, "from": {"id": "b", "name": "B"}}]), "from"),
    ] {
        let (status, problem) = hub.ask(Method::POST, "/api/rooms/tea/messages", wrong).await;
        assert_eq!((status, &problem["field"]), (400, &json!(field)), "{problem}");
    }
}

#[tokio::test]
async fn whoever_is_put_out_is_out_on_every_transport_until_let_in_again() {
    let broker = Arc::new(MemoryBroker::new(Retention::default()));
    let hub = Hub::over(broker.clone()).await;
    let (_, given) = hub.ask_as(None, Method::POST, "/api/token", json!({"name": "Bob"})).await;
    let (token, id) = (given["token"].as_str().unwrap(), given["member"]["id"].as_str().unwrap());
    let address = hub.server.address.to_string();
    let query = format!("token={token}");
    let path = format!("/api/rooms/tea/out/{id}");
    let mut bystander = hub.join(Road::WebSocket).await;
    for road in ROADS {
        let mut bob = Traveller::join(&address, road, "tea", &query).await.unwrap();
        let (status, out) = hub.ask(Method::PUT, &path, json!({"seconds": 600})).await;
        assert_eq!((status, &out["member"]), (200, &json!(id)));
        match road {
            Road::Poll | Road::LongPoll => {}
            _ => assert_eq!(bob.frame_of("bye").await.unwrap()["code"], 4005, "{road:?}"),
        }
        assert!(Traveller::join(&address, road, "tea", &query).await.is_err(), "{road:?}");
        // Of that room alone.
        assert!(Traveller::join(&address, road, "coffee", &query).await.is_ok(), "{road:?}");
        assert_eq!(hub.ask(Method::DELETE, &path, Value::Null).await.0, 204);
    }
    let mut bob = hub.server.join(&format!("?room=tea&token={token}")).await;
    let (_, out) = hub.ask(Method::PUT, &format!("/api/out/{id}"), json!({})).await;
    assert_eq!(u16::from(bob.closed().await.unwrap().code), 4005);
    let listed = json!({"out": [{"member": id, "until": out["until"]}]});
    assert_eq!(hub.ask(Method::GET, "/api/out", Value::Null).await.1, listed);
    let (status, problem) =
        hub.ask_as(Some(token), Method::GET, "/api/rooms/coffee/messages", Value::Null).await;
    assert_eq!((status, &problem["code"]), (403, &json!("put_out")));
    assert!(problem["limit"].as_u64().unwrap() > 3_500);
    // It holds after a restart, too, and nobody else has noticed.
    let again = Hub::over(broker).await;
    assert_eq!(again.ask(Method::GET, "/api/out", Value::Null).await.1, listed);
    bystander.say("still here", json!("all")).await;
    assert_eq!(bystander.hear().await, "still here");
    let wrong = hub.ask(Method::PUT, &path, json!({"seconds": 0})).await;
    assert_eq!((wrong.0, &wrong.1["field"]), (400, &json!("seconds")));
}

#[tokio::test]
async fn what_is_decided_of_a_room_holds_at_once_and_is_told() {
    let hub = Hub::start().await;
    let mut ada = hub.join(Road::WebSocket).await;
    let set = async |settings: Value| {
        let (status, answer) = hub.ask(Method::PUT, "/api/rooms/tea/settings", settings).await;
        assert_eq!(status, 200, "{answer}");
        answer
    };
    set(json!({"read_only": true})).await;
    assert_eq!(ada.frame_of("terms").await.unwrap(), json!({"read_only": true}));
    assert_eq!(ada.say("no", json!("all")).await["code"], "forbidden");
    let as_host = json!({"value": "only I", "from": {"id": "host", "name": "Host"}});
    assert_eq!(hub.ask(Method::POST, "/api/rooms/tea/messages", as_host).await.0, 200);
    assert_eq!(ada.hear().await, "only I");
    let now = set(json!({"read_only": false, "slow_mode_ms": 60_000})).await;
    assert_eq!(
        now,
        json!({
            "read_only": false, "closed": false, "slow_mode_ms": 60_000,
            "hide_members": false, "keep_messages": 0, "keep_seconds": 0,
        })
    );
    assert_eq!(ada.frame_of("terms").await.unwrap(), json!({}));
    assert!(ada.say("one", json!("all")).await["offset"].is_u64());
    let slow = ada.say("two", json!("all")).await;
    assert_eq!(slow["code"], "slow_mode");
    assert!(slow["limit"].as_u64().unwrap() > 50_000, "{slow}");
    set(json!({"closed": true})).await;
    assert_eq!(ada.frame_of("bye").await.unwrap()["code"], 4004);
    let (status, problem) =
        hub.ask_as(None, Method::GET, "/api/rooms/tea/messages", Value::Null).await;
    assert_eq!((status, &problem["code"]), (403, &json!("forbidden")));
    for (wrong, field) in [
        (json!({"colour": "red"}), "colour"),
        (json!({"slow_mode_ms": 100_000_000}), "slow_mode_ms"),
        (json!({"closed": "yes"}), "body"),
    ] {
        let (status, problem) = hub.ask(Method::PUT, "/api/rooms/tea/settings", wrong).await;
        assert_eq!((status, &problem["field"]), (400, &json!(field)), "{problem}");
    }
}

#[tokio::test]
async fn a_room_that_is_cleared_has_nothing_left_and_goes_on() {
    let hub = Hub::start().await;
    let mut ada = hub.join(Road::WebSocket).await;
    let start = ada.position.clone();
    ada.say("one", json!("all")).await;
    assert_eq!(ada.hear().await, "one");
    assert_eq!(hub.ask(Method::DELETE, "/api/rooms/tea/messages", Value::Null).await.0, 204);
    assert!(hub.messages().await.is_empty());
    ada.say("two", json!("all")).await;
    assert_eq!(ada.hear().await, "two");
    let address = hub.server.address.to_string();
    let query = format!("after={start}");
    let mut late = Traveller::join(&address, Road::WebSocket, "tea", &query).await.unwrap();
    assert_eq!(late.recovery(), "reset");
    assert_eq!(late.hear().await, "two");
}

#[tokio::test]
async fn a_closed_room_is_closed_on_its_pages_in_lists_and_for_whoever_waits() {
    let hub = Hub::start().await;
    let mut ada = hub.join(Road::WebSocket).await;
    ada.say("a word of the inside", json!("all")).await;
    let (_, page) = hub.ask(Method::GET, "/api/rooms/tea/messages", Value::Null).await;
    let after = page["position"].as_str().unwrap().to_owned();
    let waiting = async {
        let path = format!("/api/rooms/tea/messages?after={after}&wait=60");
        hub.ask_as(None, Method::GET, &path, Value::Null).await
    };
    let closing = async {
        let settings = json!({"closed": true});
        assert_eq!(hub.ask(Method::PUT, "/api/rooms/tea/settings", settings).await.0, 200);
        let said = json!({"value": "after it was closed"});
        assert_eq!(hub.ask(Method::POST, "/api/rooms/tea/messages", said).await.0, 200);
    };
    let ((status, answer), ()) = tokio::join!(waiting, closing);
    assert_eq!(status, 403, "{answer}");
    let (_, rooms) = hub.ask_as(None, Method::GET, "/api/rooms", Value::Null).await;
    assert_eq!(rooms, json!({"rooms": []}));
    let (_, rooms) = hub.ask(Method::GET, "/api/rooms", Value::Null).await;
    assert_eq!(rooms["rooms"][0]["name"], "tea");
    for path in ["/rooms/tea", "/rooms/tea?before=9", "/rooms/tea?at=1", "/rooms/tea?q=word", "/"] {
        let answer = reqwest::get(hub.server.url(path)).await.unwrap();
        let status = answer.status().as_u16();
        assert_eq!(status, if path == "/" { 200 } else { 403 }, "{path}");
        assert!(!answer.text().await.unwrap().contains("a word of the inside"), "{path}");
    }
}

#[tokio::test]
async fn whoever_gives_up_managing_a_closed_room_is_out_of_it() {
    let hub = Hub::start().await;
    let claim = json!({"sub": "host", "hubbub": {"manage": ["tea"]}});
    let (_, manages) = hub.ask(Method::POST, "/api/token", claim).await;
    let claim = json!({"sub": "host", "hubbub": {"read": ["tea"]}});
    let (_, reads) = hub.ask(Method::POST, "/api/token", claim).await;
    hub.ask(Method::PUT, "/api/rooms/tea/settings", json!({"closed": true})).await;
    let query = format!("?room=tea&token={}", manages["token"].as_str().unwrap());
    let mut host = hub.server.join(&query).await;
    host.send(&json!({"type": "token", "params": {"token": reads["token"]}}).to_string()).await;
    assert_eq!(host.next_of("bye").await["code"], 4004);
}

#[tokio::test]
async fn in_a_slow_room_what_is_not_taken_takes_no_turn() {
    let hub = Hub::start().await;
    hub.ask(Method::PUT, "/api/rooms/tea/settings", json!({"slow_mode_ms": 60_000})).await;
    let (_, given) = hub.ask_as(None, Method::POST, "/api/token", json!({})).await;
    let say = async |body: Value| {
        let token = given["token"].as_str();
        hub.ask_as(token, Method::POST, "/api/rooms/tea/messages", body).await
    };
    let several = say(json!([{"value": 1}, {"value": 2}])).await;
    assert_eq!((several.0, &several.1["code"]), (429, &json!("slow_mode")));
    assert_eq!(say(json!({"value": "x", "of": "nothing", "event": "edit"})).await.0, 404);
    assert_eq!(say(json!({"value": "one"})).await.0, 200);
    assert_eq!(say(json!({"value": "two"})).await.0, 429);
}

#[tokio::test]
async fn connections_are_listed_with_what_carries_them_as_long_as_they_are_there() {
    let hub = Hub::start().await;
    let list = async |path: &str| hub.ask(Method::GET, path, Value::Null).await;
    let mut there = Vec::new();
    for (road, word) in
        [(Road::WebSocket, "websocket"), (Road::Events, "events"), (Road::SocketIo, "socketio")]
    {
        there.push((hub.join(road).await, word));
    }
    let mut other = hub.server.join("?room=coffee").await;
    let hello = other.next_of("hello").await;
    let (_, all) = list("/api/connections").await;
    assert_eq!(all["count"], 4, "{all}");
    let transports = |listed: &Value| -> Vec<Value> {
        let connections = listed["connections"].as_array().unwrap().iter();
        connections.map(|one| one["transport"].clone()).collect()
    };
    let (_, tea) = list("/api/rooms/tea/connections").await;
    let words: Vec<_> = there.iter().map(|(_, word)| json!(word)).collect();
    assert_eq!((&tea["count"], transports(&tea)), (&json!(3), words));
    // By pages.
    let first = tea["connections"][0]["number"].as_u64().unwrap();
    let (_, rest) = list(&format!("/api/rooms/tea/connections?behind={first}&limit=1")).await;
    assert_eq!((&rest["count"], transports(&rest)), (&json!(3), vec![json!("events")]));
    let last = &all["connections"][3];
    assert_eq!((&last["room"], &last["member"]), (&json!("coffee"), &hello["member"]));
    // What everybody may see of it, and not the whole, by which one is this session.
    let session = last["session"].as_str().unwrap();
    assert!(hello["session"].as_str().unwrap().starts_with(session));
    assert_ne!(hello["session"], session);
    for wrong in ["?limit=0", "?limit=1001", "?limit=x", "?behind=-1"] {
        assert_eq!(list(&format!("/api/connections{wrong}")).await.0, 400, "{wrong}");
    }
    other.leave().await;
    let gone = async { while list("/api/connections").await.1["count"] != 3 {} };
    tokio::time::timeout(PATIENCE, gone).await.unwrap();
}

#[tokio::test]
async fn a_room_keeps_no_more_than_it_is_to_and_hides_who_is_there() {
    let hub = Hub::start().await;
    let mut ada = hub.server.join("?room=tea").await;
    ada.next_of("members").await;
    let say = json!([{"value": "1"}, {"value": "2"}, {"value": "3"}]);
    assert_eq!(hub.ask(Method::POST, "/api/rooms/tea/messages", say).await.0, 200);
    let set = json!({"keep_messages": 2, "hide_members": true});
    assert_eq!(hub.ask(Method::PUT, "/api/rooms/tea/settings", set).await.0, 200);
    let values: Vec<_> = hub.messages().await.iter().map(|one| one["value"].clone()).collect();
    assert_eq!(values, ["2", "3"]);
    let nobody = json!({"count": 0, "members": []});
    assert_eq!(ada.next_of("members").await, nobody);
    assert_eq!(hub.ask(Method::GET, "/api/rooms/tea/members", Value::Null).await.1, nobody);
    let (_, rooms) = hub.ask(Method::GET, "/api/rooms", Value::Null).await;
    assert_eq!(rooms["rooms"][0]["members"], 0);
}

#[tokio::test]
async fn the_last_refusals_are_listed_with_what_they_came_over_and_settings_with_rooms() {
    let hub = Hub::start().await;
    let mut ada = hub.join(Road::WebSocket).await;
    ada.refused(json!({"type": "rename", "params": {"name": ""}})).await;
    for _ in 0..120 {
        hub.ask_as(None, Method::GET, "/api/rooms/tea/messages?after=x", Value::Null).await;
    }
    let (_, listed) = hub.ask(Method::GET, "/api/refusals", Value::Null).await;
    let refusals = listed["refusals"].as_array().unwrap();
    assert_eq!(refusals.len(), 100);
    assert_eq!((&refusals[0]["number"], &refusals[0]["over"]), (&json!(121), &json!("http")));
    ada.refused(json!({"type": "rename", "params": {"name": ""}})).await;
    let (_, listed) = hub.ask(Method::GET, "/api/refusals", Value::Null).await;
    let newest = &listed["refusals"][0];
    assert_eq!((&newest["code"], &newest["over"]), (&json!("invalid_field"), &json!("websocket")));
    // What holds in a room only those are told who manage it.
    hub.ask(Method::PUT, "/api/rooms/tea/settings", json!({"read_only": true})).await;
    let (_, rooms) = hub.ask(Method::GET, "/api/rooms", Value::Null).await;
    assert_eq!(rooms["rooms"][0]["settings"]["read_only"], true);
    let (_, rooms) = hub.ask_as(None, Method::GET, "/api/rooms", Value::Null).await;
    assert!(rooms["rooms"][0].get("settings").is_none());
}
