//! `fields=`: who asks for less of a message gets less, on every road.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use serde_json::{Value, json};
use support::{
    TestServer,
    road::{Road, Traveller},
};

/// What a message has besides its offset.
fn rest(mut message: Value) -> Value {
    assert!(message.as_object_mut().unwrap().remove("offset").is_some_and(|n| n.is_u64()));
    message
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_read_or_pushed_has_what_was_asked_for() {
    let server = TestServer::start().await;
    let address = server.address.to_string();
    let join = async |road, query: &str| {
        let query = format!("after=0{query}");
        Traveller::join(&address, road, "tea", &query).await.unwrap()
    };
    let mut bob = join(Road::WebSocket, "").await;
    bob.say("first", json!("all")).await;
    for road in [Road::WebSocket, Road::Events, Road::SocketIo] {
        let mut all = join(road, "").await;
        let mut less = [join(road, "&fields=value").await, join(road, "&fields=value").await];
        let mut other = join(road, "&fields=value,room,event").await;
        // Some read what there was, and the last of it is pushed to all of them.
        let text = format!("{road:?}");
        bob.say(&text, json!("all")).await;
        let mut heard = String::new();
        while heard != text {
            let message = all.message().await.unwrap();
            heard = message["value"].as_str().unwrap().to_owned();
            assert_eq!(message.as_object().unwrap().len(), 6, "{message}");
            for ada in &mut less {
                assert_eq!(rest(ada.message().await.unwrap()), json!({ "value": heard }));
            }
            let expected = json!({"value": heard, "room": "tea"});
            assert_eq!(rest(other.message().await.unwrap()), expected);
        }
    }
}

#[tokio::test]
async fn a_poll_has_what_was_asked_for_and_another_field_is_refused() {
    let server = TestServer::start().await;
    let mut bob =
        Traveller::join(&server.address.to_string(), Road::WebSocket, "tea", "").await.unwrap();
    bob.say("hi", json!("all")).await;
    let get = async |path: &str| -> Value {
        let answer = reqwest::get(server.url(&format!("/api/rooms/tea{path}"))).await.unwrap();
        serde_json::from_str(&answer.text().await.unwrap()).unwrap()
    };
    for (query, expected) in [
        ("after=0&fields=value,id", vec!["id", "offset", "value"]),
        ("fields=", vec!["offset"]),
        ("", vec!["at", "from", "id", "offset", "room", "value"]),
    ] {
        let polled = get(&format!("/messages?{query}")).await;
        let mut fields: Vec<_> = polled["messages"][0].as_object().unwrap().keys().collect();
        fields.sort_unstable();
        assert_eq!(fields, expected);
    }
    let told = get("/frames?after=0&fields=room").await;
    let frames = told["frames"].as_array().unwrap();
    let message = frames.iter().find(|frame| frame["type"] == "message").unwrap();
    assert_eq!(rest(message["params"].clone()), json!({"room": "tea"}));
    let refused = get("/messages?fields=value,text").await;
    assert_eq!((&refused["code"], &refused["field"]), (&json!("invalid_field"), &json!("fields")));
}
