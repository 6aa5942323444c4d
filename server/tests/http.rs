//! What is HTTP's own: bodies, headers, status codes, caching, other origins.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use reqwest::{Client as Http, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use support::TestServer;

fn ask(server: &TestServer, method: Method, path: &str) -> RequestBuilder {
    Http::new().request(method, server.url(path))
}

async fn json_of(request: RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap())
}

fn post(server: &TestServer, kind: &str, body: impl ToString) -> RequestBuilder {
    ask(server, Method::POST, "/api/rooms/tea/messages")
        .header("content-type", kind)
        .body(body.to_string())
}

fn post_json(server: &TestServer, body: Value) -> RequestBuilder {
    post(server, "application/json", body)
}

async fn get(server: &TestServer, query: &str) -> (u16, Value) {
    json_of(ask(server, Method::GET, &format!("/api/rooms/tea/messages{query}"))).await
}

fn values(answer: &Value) -> Vec<&str> {
    let messages = answer["messages"].as_array().unwrap().iter();
    messages.map(|message| message["value"].as_str().unwrap()).collect()
}

const FORM: &str = "application/x-www-form-urlencoded";

#[tokio::test]
async fn every_way_to_publish_answers_with_id_and_offset() {
    let server = TestServer::start().await;
    for (kind, body, value) in [
        ("application/json", r#"{"value":"json"}"#, "json"),
        ("application/json; charset=utf-8", r#"{"value":"json 2"}"#, "json 2"),
        (FORM, "message=a+form", "a form"),
        // As `curl -d 'some text'` sends it.
        (FORM, "some text, 50% of it = me", "some text, 50% of it = me"),
        ("text/plain", "plain text", "plain text"),
    ] {
        let (status, taken) = json_of(post(&server, kind, body)).await;
        assert_eq!(status, 200, "{kind}");
        let position = taken["position"].as_str().unwrap();
        assert!(position.ends_with(&format!(":{}", taken["offset"])), "{taken}");
        let (_, read) = get(&server, "?limit=1").await;
        assert_eq!((values(&read), &read["messages"][0]["id"]), (vec![value], &taken["id"]));
        assert_eq!(read["position"], position);
    }
}

#[tokio::test]
async fn an_array_is_taken_whole_or_not_at_all() {
    let server = TestServer::start().await;
    let (status, taken) =
        json_of(post_json(&server, json!([{"value": "a", "id": "a"}, {"value": "b"}]))).await;
    assert_eq!((status, taken.as_array().unwrap().len(), &taken[0]["id"]), (200, 2, &json!("a")));
    let (status, refused) =
        json_of(post_json(&server, json!([{"value": "c"}, {"value": ""}]))).await;
    assert_eq!((status, &refused["field"]), (400, &json!("[1].value")));
    assert_eq!(values(&get(&server, "").await.1), ["a", "b"]);
    let many: Vec<_> = (0..101).map(|n| json!({"value": n})).collect();
    let (status, refused) = json_of(post_json(&server, many.into())).await;
    assert_eq!((status, &refused["limit"]), (413, &json!(100)));
}

#[tokio::test]
async fn an_idempotency_key_is_the_id() {
    let server = TestServer::start().await;
    let say = async |key: &str, body: Value| {
        json_of(post_json(&server, body).header("idempotency-key", key)).await
    };
    let first = say("k1", json!({"value": "once"})).await;
    assert_eq!(first.1["id"], "k1");
    assert_eq!(say("\"k1\"", json!({"value": "once"})).await, first);
    let several = say("k2", json!([{"value": "x"}, {"value": "y"}])).await;
    assert_eq!(say("k2", json!([{"value": "x"}, {"value": "y"}])).await, several);
    assert_eq!(say("k3", json!({"value": "z", "id": "other"})).await.0, 400);
    assert_eq!(values(&get(&server, "").await.1), ["once", "x", "y"]);
}

#[tokio::test]
async fn a_poll_pages_forwards_and_backwards() {
    let server = TestServer::start().await;
    for n in 0..5 {
        post(&server, "text/plain", format!("m{n}")).send().await.unwrap();
    }
    let (_, page) = get(&server, "?after=0&limit=2").await;
    assert_eq!((values(&page), &page["recovery"]), (vec!["m0", "m1"], &json!("replayed")));
    let (_, next) = get(&server, &format!("?after={}", page["position"].as_str().unwrap())).await;
    assert_eq!(values(&next), ["m2", "m3", "m4"]);
    let (_, last) = get(&server, "?limit=2").await;
    assert_eq!(values(&last), ["m3", "m4"]);
    let before = &last["messages"][0]["offset"];
    let (_, earlier) = get(&server, &format!("?limit=2&before={before}")).await;
    assert_eq!(values(&earlier), ["m1", "m2"]);
}

#[tokio::test]
async fn nothing_new_is_304() {
    let server = TestServer::start().await;
    post(&server, "text/plain", "hi").send().await.unwrap();
    let path = "/api/rooms/tea/messages?after=0";
    let first = ask(&server, Method::GET, path).send().await.unwrap();
    let tag = first.headers()["etag"].clone();
    let poll = async || {
        ask(&server, Method::GET, path).header("if-none-match", &tag).send().await.unwrap()
    };
    let same = poll().await;
    assert!(same.headers()["vary"].to_str().unwrap().contains("cookie, authorization"));
    assert_eq!((same.status(), &same.headers()["etag"]), (StatusCode::NOT_MODIFIED, &tag));
    assert_eq!(same.text().await.unwrap(), "");
    post(&server, "text/plain", "more").send().await.unwrap();
    assert_eq!(poll().await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_long_poll_returns_at_once_when_something_comes_and_empty_in_the_end() {
    let server = TestServer::start().await;
    let (_, now) = get(&server, "").await;
    let after = now["position"].as_str().unwrap();
    let query = format!("?after={after}&wait=60");
    let waiting = get(&server, &query);
    let saying = async { post(&server, "text/plain", "come").send().await.unwrap() };
    let ((_, answer), _) = tokio::join!(waiting, saying);
    assert_eq!(values(&answer), ["come"]);
    let after = answer["position"].as_str().unwrap();
    let (status, empty) = get(&server, &format!("?after={after}&wait=1")).await;
    assert_eq!((status, values(&empty), &empty["position"]), (200, vec![], &json!(after)));
}

#[tokio::test]
async fn bad_input_is_a_problem_that_names_field_and_limit() {
    let server = TestServer::start().await;
    for (query, field, limit) in [
        ("?limit=0", "limit", json!(1000)),
        ("?limit=1001", "limit", json!(1000)),
        ("?wait=61", "wait", json!(60)),
        ("?wait=soon", "wait", json!(60)),
        ("?after=x", "after", Value::Null),
        ("?before=x", "before", Value::Null),
        ("?after=0&before=5", "before", Value::Null),
    ] {
        let (status, problem) = get(&server, query).await;
        let named = (&problem["field"], &problem["limit"]);
        assert_eq!((status, named), (400, (&json!(field), &limit)), "{query}");
    }
    let big = "x".repeat(3 * 1024 * 1024);
    for (request, status, code) in [
        (post(&server, "application/json", "{"), 400, "invalid_json"),
        (post(&server, "application/json", "[]"), 400, "invalid_field"),
        (post(&server, "application/xml", "<a/>"), 415, "unsupported_media_type"),
        (post(&server, "text/plain", ""), 400, "invalid_field"),
        (post(&server, "text/plain", big), 413, "too_long"),
        (post(&server, "text/plain", "x").query(&[("token", "x")]), 401, "invalid_token"),
    ] {
        let (got, problem) = json_of(request).await;
        assert_eq!((got, &problem["code"]), (status, &json!(code)), "{problem}");
    }
}

#[tokio::test]
async fn an_event_has_the_position_as_its_id_and_the_header_goes_before_the_query() {
    let server = TestServer::start().await;
    for text in ["one", "two"] {
        post(&server, "text/plain", text).send().await.unwrap();
    }
    let (_, page) = get(&server, "?after=0&limit=1").await;
    let one = page["position"].as_str().unwrap();
    let mut stream = ask(&server, Method::GET, "/api/rooms/tea/events?after=0")
        .header("last-event-id", one)
        .send()
        .await
        .unwrap();
    assert_eq!(stream.headers()["x-accel-buffering"], "no");
    assert_eq!(stream.headers()["cache-control"], "no-cache, no-transform");
    let mut text = String::new();
    while !text.contains("event: message") || !text.ends_with("\n\n") {
        text.push_str(str::from_utf8(&stream.chunk().await.unwrap().unwrap()).unwrap());
    }
    let events: Vec<_> = text.split("\n\n").collect();
    assert!(
        events[0].starts_with(&format!("retry: 1000\nid: {one}\nevent: hello\ndata: ")),
        "{text}"
    );
    let (_, two) = get(&server, "?limit=1").await;
    let two = two["position"].as_str().unwrap();
    let offset = two.split(':').next_back().unwrap();
    let frame = format!(r#"{{"type":"message","params":{{"offset":{offset},"value":"two""#);
    let message = format!("id: {two}\nevent: message\ndata: {frame}");
    assert!(events[1].starts_with(&message), "{text}");
}

#[tokio::test]
async fn pages_of_other_origins_are_refused_unless_they_are_allowed() {
    let friend = "https://friend.example";
    let server = TestServer::with(|config| config.allow_origins = vec![friend.to_owned()]).await;
    let own = format!("http://{}", server.address);
    for path in ["/api/rooms", "/api/rooms/tea/messages", "/api/rooms/tea/events"] {
        let from = async |origin: &str| {
            ask(&server, Method::GET, path).header("origin", origin).send().await.unwrap()
        };
        let allowed = from(friend).await;
        assert_eq!(allowed.status(), 200);
        assert_eq!(allowed.headers()["access-control-allow-origin"], friend);
        assert_eq!(from(&own).await.status(), 200);
        // A browser's own EventSource sends no Origin to its own server.
        assert_eq!(ask(&server, Method::GET, path).send().await.unwrap().status(), 200);
        let foreign = from("https://evil.example").await;
        assert_eq!(foreign.status(), 403);
        assert!(!foreign.headers().contains_key("access-control-allow-origin"));
    }
    let preflight = ask(&server, Method::OPTIONS, "/api/rooms/tea/messages")
        .header("origin", friend)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type,idempotency-key")
        .send()
        .await
        .unwrap();
    assert_eq!(preflight.status(), 200);
    assert_eq!(preflight.headers()["access-control-allow-origin"], friend);
}

#[tokio::test]
async fn rooms_and_members_are_listed() {
    let server = TestServer::start().await;
    post(&server, "text/plain", "hi").send().await.unwrap();
    let mut ada = server.join("?room=tea").await;
    let me = ada.next_of("hello").await["member"].clone();
    let (_, rooms) = json_of(ask(&server, Method::GET, "/api/rooms")).await;
    assert_eq!(rooms["rooms"][0]["name"], "tea");
    assert_eq!(rooms["rooms"][0]["members"], 1);
    let (_, members) = json_of(ask(&server, Method::GET, "/api/rooms/tea/members")).await;
    assert_eq!(members, json!({"count": 1, "members": [me]}));
}

#[tokio::test]
async fn whoever_shows_no_session_is_held_to_the_rate_of_its_address() {
    let server = TestServer::with(|config| config.publish_rate = 1).await;
    let frame = r#"{"type":"message","params":{"value":"x"}}"#;
    for (method, path, body, allowed) in [
        // A burst of five; and 25 new sessions, of which six are those.
        (Method::POST, "/api/rooms/tea/frames", frame, 5),
        (Method::GET, "/api/rooms/tea/events", "", 19),
        (Method::GET, "/api/rooms/tea/frames", "", 0),
    ] {
        let mut answered = 0;
        let refused = loop {
            let answer = ask(&server, method.clone(), path).body(body).send().await.unwrap();
            match answer.status().as_u16() {
                200 => answered += 1,
                _ => break answer,
            }
        };
        assert_eq!(refused.status(), 429, "{path}");
        // Some more may while this runs.
        assert!((allowed..allowed + 5).contains(&answered), "{path}: {answered}");
    }
}

#[tokio::test]
async fn no_more_comes_than_was_asked_for_and_no_position_is_ahead_of_the_log() {
    let server = TestServer::start().await;
    let waiting = get(&server, "?after=0&wait=10&limit=1");
    let both = json!([{"value": "a"}, {"value": "b"}]);
    let saying = async { post_json(&server, both).send().await.unwrap() };
    let ((_, answer), _) = tokio::join!(waiting, saying);
    assert_eq!(values(&answer), ["a"]);
    let (_, far) = get(&server, "?before=1000").await;
    assert_eq!(values(&far), ["a", "b"]);
    assert!(far["position"].as_str().unwrap().ends_with(":2"), "{far}");
}

#[tokio::test]
async fn frames_come_by_poll_hello_first_and_then_what_is_new() {
    let server = TestServer::start().await;
    let frames = async |query: &str| {
        let path = format!("/api/rooms/tea/frames?{query}");
        json_of(ask(&server, Method::GET, &path)).await
    };
    let kinds = |answer: &Value| -> Vec<String> {
        let frames = answer["frames"].as_array().unwrap().iter();
        frames.map(|frame| frame["type"].as_str().unwrap().to_owned()).collect()
    };
    let (status, first) = frames("").await;
    assert_eq!((status, kinds(&first)), (200, vec!["hello".to_owned(), "members".to_owned()]));
    let hello = &first["frames"][0]["params"];
    assert_eq!(hello["position"], first["position"]);
    let session = hello["session"].as_str().unwrap();
    let go_on = |answer: &Value| {
        let (after, state) = (&answer["position"], &answer["state"]);
        let (after, state) = (after.as_str().unwrap(), state.as_str().unwrap());
        format!("after={after}&state={state}&session={session}")
    };
    let quiet = frames(&go_on(&first)).await.1;
    assert_eq!((kinds(&quiet), &quiet["position"]), (vec![], &first["position"]));
    post(&server, "text/plain", "hi").send().await.unwrap();
    let news = frames(&format!("{}&wait=9", go_on(&quiet))).await.1;
    assert_eq!(kinds(&news), ["message"]);
    assert!(news["position"].as_str().unwrap().ends_with(":1"));
    let gap = frames(&format!("after=other:7&state=x&session={session}")).await.1;
    assert_eq!(kinds(&gap), ["hello", "message", "members", "typing", "idle", "direct", "call"]);
    assert_eq!(gap["frames"][0]["params"]["recovery"], "reset");
    for (query, field) in [("limit=257", "limit"), ("wait=61", "wait"), ("after=x", "after")] {
        let (status, refused) = frames(query).await;
        assert_eq!((status, refused["field"].as_str()), (400, Some(field)));
    }
}

#[tokio::test]
async fn more_messages_than_the_rate_ever_allows_at_once_are_refused_for_good() {
    let server = TestServer::with(|config| config.publish_rate = 2).await;
    let many: Vec<_> = (0..11).map(|n| json!({"value": n})).collect();
    let (status, refused) = json_of(post_json(&server, many.into())).await;
    assert_eq!(
        (status, &refused["code"], &refused["limit"]),
        (413, &json!("too_long"), &json!(10))
    );
}

#[tokio::test]
async fn looking_at_the_head_of_a_stream_makes_nobody_present() {
    let server = TestServer::start().await;
    let head = ask(&server, Method::HEAD, "/api/rooms/tea/events").send().await.unwrap();
    assert_eq!(head.headers()["content-type"], "text/event-stream");
    let (_, members) = json_of(ask(&server, Method::GET, "/api/rooms/tea/members")).await;
    assert_eq!(members["count"], 0);
}

#[tokio::test]
async fn a_session_that_reads_by_events_and_speaks_by_post_is_one() {
    let server = TestServer::start().await;
    let address = server.address.to_string();
    let mut ada = support::road::Traveller::join(&address, support::road::Road::Events, "tea", "")
        .await
        .unwrap();
    let session = ada.session().to_owned();
    for (value, to) in [("not for me", "others"), ("only for me", "self"), ("all", "all")] {
        let request = post_json(&server, json!({"value": value, "to": to}));
        let (status, _) = json_of(request.query(&[("session", &session)])).await;
        assert_eq!(status, 200);
    }
    assert_eq!((ada.hear().await, ada.hear().await), ("only for me".into(), "all".into()));
}

/// A token of somebody new.
async fn token(server: &TestServer) -> String {
    let (_, given) = json_of(ask(server, Method::POST, "/api/token")).await;
    given["token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_id_is_of_whoever_used_it_first_and_nobody_is_answered_with_anothers_message() {
    let server = TestServer::start().await;
    let (ada, bob) = (token(&server).await, token(&server).await);
    let say = async |token: Option<&str>, id: &str, value: &str| {
        let token = token.map(|token| format!("?token={token}")).unwrap_or_default();
        let path = format!("/api/rooms/tea/messages{token}");
        let body = json!({"id": id, "value": value}).to_string();
        let request = ask(&server, Method::POST, &path).header("content-type", "application/json");
        let (status, answer) = json_of(request.body(body)).await;
        match status {
            200 => Ok(answer["offset"].as_u64().unwrap()),
            status => Err((status, answer["code"].as_str().unwrap().to_owned())),
        }
    };
    let taken = || Err((409, "id_taken".to_owned()));
    let (ada, bob) = (Some(ada.as_str()), Some(bob.as_str()));
    // Bob uses the id that Ada is about to use.
    assert_eq!(say(bob, "x", "mine").await, Ok(1));
    assert_eq!(say(ada, "x", "hello").await, taken());
    assert_eq!(say(None, "x", "mine").await, taken());
    assert_eq!(say(bob, "x", "mine").await, Ok(1));
    // A guest is somebody else each time, and tries the same again.
    assert_eq!(say(None, "y", "hi").await, Ok(2));
    assert_eq!(say(None, "y", "hi").await, Ok(2));
    assert_eq!(say(None, "y", "other").await, taken());
    assert_eq!(say(ada, "y", "hi").await, taken());
    // Over a socket it is the same.
    let mut socket = server.join(&format!("?room=tea&token={}", ada.unwrap())).await;
    let said =
        |id: &str| json!({"type": "message", "params": {"id": id, "value": "hi"}}).to_string();
    socket.send(&said("y")).await;
    let error = socket.next_of("error").await;
    assert_eq!((&error["code"], &error["id"]), (&json!("id_taken"), &json!("y")));
    socket.send(&said("z")).await;
    assert_eq!(socket.next_of("ack").await["offset"], 3);
    assert_eq!(say(ada, "z", "hi").await, Ok(3));
    let (_, all) = get(&server, "?after=0").await;
    assert_eq!(values(&all), ["mine", "hi", "hi"]);
}

#[tokio::test]
async fn what_was_said_is_found_page_by_page() {
    let server = TestServer::start().await;
    for text in ["회의록 하나", "점심", "회의록 둘", "회의록 셋"] {
        post_json(&server, json!({"value": text})).send().await.unwrap();
    }
    let (status, found) = get(&server, "?q=회의&limit=2").await;
    assert_eq!((status, values(&found)), (200, vec!["회의록 둘", "회의록 셋"]));
    let (_, older) = get(&server, &format!("?q=회의&limit=2&before={}", found["before"])).await;
    assert_eq!((values(&older), &older["before"]), (vec!["회의록 하나"], &Value::Null));
    assert_eq!(found["position"], older["position"]);
    // However it is written, it is the same work.
    let limited = TestServer::with(|config| config.address_rate = Some(10)).await;
    let tries = async |query: &str| {
        let mut refused = false;
        for _ in 0..60 {
            refused |= get(&limited, query).await.0 == 429;
        }
        refused
    };
    assert!(tries("?%71=x").await);
    for (query, field) in [("?q=", "q"), ("?q=x&after=0", "q"), ("?q=x&wait=1", "q")] {
        let (status, problem) = get(&server, query).await;
        assert_eq!((status, &problem["field"]), (400, &json!(field)), "{query}");
    }
    let (status, problem) = get(&server, &format!("?q={}", "x".repeat(101))).await;
    assert_eq!((status, &problem["limit"]), (413, &json!(100)));
}

#[tokio::test]
async fn the_keys_of_a_value_come_as_they_were_sent() {
    let server = TestServer::start().await;
    let value = r#"{"b":1,"a":{"z":[],"y":0}}"#;
    post(&server, "application/json", format!(r#"{{"value":{value}}}"#)).send().await.unwrap();
    let all = ask(&server, Method::GET, "/api/rooms/tea/messages").send().await.unwrap();
    let text = all.text().await.unwrap();
    assert!(text.contains(&format!(r#""value":{value},"#)), "{text}");
}

#[tokio::test]
async fn the_address_of_a_room_is_drawn_for_phones() {
    let server = TestServer::start().await;
    let answer = ask(&server, Method::GET, "/rooms/tea/qr.svg").send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "image/svg+xml");
    let svg = answer.text().await.unwrap();
    assert!(svg.starts_with("<svg ") && svg.contains("M4,4h1v1h-1z"), "{svg}");
    let long = "가".repeat(65);
    let refused = ask(&server, Method::GET, &format!("/rooms/{long}/qr.svg")).send().await.unwrap();
    assert_eq!(refused.status(), 413);
}

#[tokio::test]
async fn the_description_says_who_one_is_and_allows_nothing_that_is_always_refused() {
    let server = TestServer::start().await;
    let (_, all) = json_of(ask(&server, Method::GET, "/api/openapi.json")).await;
    assert_eq!(all["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
    let kinds = &all["components"]["schemas"]["Publish"]["properties"]["value"]["type"];
    assert!(!kinds.as_array().unwrap().contains(&json!("null")), "{kinds}");
    // Where there are none, there is no list of them.
    assert!(all["paths"]["/api/rooms"]["get"].get("parameters").is_none());
    let get = &all["paths"]["/api/rooms/{room}/messages"]["get"]["parameters"];
    let room = get.as_array().unwrap().iter().find(|one| one["name"] == "room").unwrap();
    assert_eq!(
        (&room["schema"]["minLength"], &room["schema"]["maxLength"]),
        (&json!(1), &json!(64))
    );
}

#[tokio::test]
async fn whoever_is_told_to_come_back_later_is_told_when() {
    let server = TestServer::with(|config| config.publish_rate = 1).await;
    for _ in 0..5 {
        assert_eq!(post(&server, "text/plain", "x").send().await.unwrap().status(), 200);
    }
    let refused = post(&server, "text/plain", "x").send().await.unwrap();
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["retry-after"]),
        (429, &"1".parse().unwrap())
    );
}

#[tokio::test]
async fn a_client_of_messages_only_can_come_back_to_a_position() {
    let server = TestServer::start().await;
    let mut ada = server.join_plain("?room=tea&fields=value,position").await;
    for text in ["one", "two"] {
        post(&server, "text/plain", text).send().await.unwrap();
    }
    let one = ada.next_of("message").await;
    let position = one["position"].as_str().unwrap();
    let mut again = server.join_plain(&format!("?room=tea&after={position}")).await;
    assert_eq!(again.hear().await, "two");
}
