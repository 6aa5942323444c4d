//! The WebSocket, over real sockets.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::*;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Message, protocol::CloseFrame};

#[tokio::test]
async fn the_smallest_clients_hear_each_other_and_themselves() {
    let server = TestServer::start().await;
    let (mut ada, mut bob) = (server.join_plain("").await, server.join_plain("").await);
    ada.send(r#"{"type":"message","params":{"value":"hi"}}"#).await;
    for client in [&mut ada, &mut bob] {
        let frame = client.next().await;
        assert_eq!(frame["type"], "message");
        assert_eq!(frame["params"]["value"], "hi");
        assert_eq!(frame["params"]["room"], "lobby");
    }
}

#[tokio::test]
async fn the_plain_face_gets_message_frames_only() {
    let server = TestServer::start().await;
    let mut plain = server.join_plain("").await;
    let mut ada = server.join("").await;
    plain.send("not json").await;
    plain.send(r#"{"type":"rename","params":{"name":"Plain"}}"#).await;
    plain.say("one").await;
    assert_eq!(ada.hear().await, "one");
    ada.send(r#"{"type":"typing","params":{}}"#).await;
    ada.say("two").await;
    for text in ["one", "two"] {
        let frame = plain.next().await;
        assert_eq!((&frame["type"], &frame["params"]["value"]), (&json!("message"), &json!(text)));
    }
}

#[tokio::test]
async fn all_frames_start_with_hello_and_answer_with_an_ack() {
    let server = TestServer::start().await;
    let mut ada = server.join("?room=%EB%8B%A4%EB%B0%A9").await;
    let hello = ada.next().await;
    assert_eq!(hello["type"], "hello");
    assert_eq!(hello["params"]["room"], "다방");
    assert_eq!(hello["params"]["recovery"], "fresh");
    assert!(hello["params"]["position"].as_str().unwrap().ends_with(":0"));
    ada.send(r#"{"type":"message","params":{"value":"hi","id":"m1"}}"#).await;
    assert_eq!(ada.next_of("ack").await, json!({"id": "m1", "offset": 1}));
}

#[tokio::test]
async fn a_message_has_all_its_fields() {
    let server = TestServer::start().await;
    let mut ada = server.join("?room=tea").await;
    let hello = ada.next_of("hello").await;
    ada.send(r#"{"type":"message","params":{"value":{"a":[1,null]},"id":"m1","event":"move","to":"self"}}"#)
        .await;
    let mut message = ada.next_of("message").await;
    let at = message["at"].take().as_u64().unwrap();
    assert!(at > 1_700_000_000_000);
    assert_eq!(
        message,
        json!({
            "value": {"a": [1, null]}, "id": "m1", "room": "tea", "offset": 1, "at": null,
            "from": hello["member"], "event": "move", "to": "self"
        })
    );
}

#[tokio::test]
async fn publishing_the_same_id_again_is_answered_with_the_first_offset() {
    let server = TestServer::start().await;
    let mut ada = server.join("").await;
    for _ in 0..2 {
        ada.send(r#"{"type":"message","params":{"value":"once","id":"m1"}}"#).await;
    }
    for _ in 0..2 {
        assert_eq!(ada.next_of("ack").await, json!({"id": "m1", "offset": 1}));
    }
    let mut late = server.join_plain("?after=0").await;
    ada.say("end").await;
    assert_eq!((late.hear().await, late.hear().await), ("once".into(), "end".into()));
}

#[tokio::test]
async fn a_reader_resumes_where_it_left_without_gap_or_double() {
    let server = TestServer::start().await;
    let mut bob = server.join("").await;
    let mut ada = server.join("").await;
    let hello = ada.next_of("hello").await;
    bob.say("one").await;
    let offset = ada.next_of("message").await["offset"].as_u64().unwrap();
    drop(ada);
    bob.say("two").await;
    bob.say("three").await;
    assert_eq!(bob.hear().await, "one");
    assert_eq!((bob.hear().await, bob.hear().await), ("two".into(), "three".into()));

    let position = hello["position"].as_str().unwrap();
    let epoch = position.split(':').next().unwrap();
    let mut ada = server.join(&format!("?after={epoch}:{offset}")).await;
    let hello = ada.next_of("hello").await;
    assert_eq!(hello["recovery"], "replayed");
    assert_eq!(hello["position"], format!("{epoch}:{offset}"));
    assert_eq!((ada.hear().await, ada.hear().await), ("two".into(), "three".into()));
}

#[tokio::test]
async fn a_position_of_another_life_is_told_as_a_reset_before_anything_else() {
    let server = TestServer::start().await;
    server.join_plain("").await.say("kept").await;
    let mut probe = server.join_plain("?after=0").await;
    assert_eq!(probe.hear().await, "kept");
    let mut ada = server.join("?after=elsewhere:7").await;
    assert_eq!(ada.next().await["params"]["recovery"], "reset");
    assert_eq!(ada.hear().await, "kept");
}

#[tokio::test]
async fn rooms_are_apart() {
    let server = TestServer::start().await;
    let mut tea = server.join_plain("?room=tea").await;
    let mut coffee = server.join_plain("?room=coffee").await;
    tea.say("in tea").await;
    coffee.say("in coffee").await;
    assert_eq!(tea.hear().await, "in tea");
    assert_eq!(coffee.hear().await, "in coffee");
}

#[tokio::test]
async fn the_four_ways_to_emit_reach_whom_they_name() {
    let server = TestServer::start().await;
    let (mut ada, mut bob, mut cy) =
        (server.join("").await, server.join("").await, server.join("").await);
    ada.next_of("hello").await;
    let bobs = bob.next_of("hello").await;
    let cys = cy.next_of("hello").await;
    for (text, to) in [
        ("all", json!("all")),
        ("others", json!("others")),
        ("self", json!("self")),
        ("bob's session", json!([bobs["session"]])),
        ("cy", json!([cys["member"]["id"]])),
        ("end", json!("all")),
    ] {
        ada.send(&json!({"type": "message", "params": {"value": text, "to": to}}).to_string())
            .await;
    }
    for (client, expected) in [
        (&mut ada, vec!["all", "self", "end"]),
        (&mut bob, vec!["all", "others", "bob's session", "end"]),
        (&mut cy, vec!["all", "others", "cy", "end"]),
    ] {
        for text in expected {
            assert_eq!(client.hear().await, text);
        }
    }
}

#[tokio::test]
async fn others_and_self_hold_over_a_reconnect_with_the_same_session() {
    let server = TestServer::start().await;
    let mut ada = server.join("").await;
    let hello = ada.next_of("hello").await;
    for (text, to) in [("not me", "others"), ("only me", "self"), ("all", "all")] {
        ada.send(&json!({"type": "message", "params": {"value": text, "to": to}}).to_string())
            .await;
    }
    ada.next_of("ack").await;
    ada.next_of("ack").await;
    ada.next_of("ack").await;
    drop(ada);
    let (position, session) = (hello["position"].as_str(), hello["session"].as_str());
    let query = format!("?after={}&session={}", position.unwrap(), session.unwrap());
    let mut ada = server.join(&query).await;
    let again = ada.next_of("hello").await;
    assert_eq!((&again["session"], &again["member"]), (&hello["session"], &hello["member"]));
    assert_eq!((ada.hear().await, ada.hear().await), ("only me".into(), "all".into()));
}

#[tokio::test]
async fn members_and_typing_are_told() {
    let server = TestServer::start().await;
    let mut ada = server.join("").await;
    let me = ada.next_of("hello").await["member"].clone();
    assert_eq!(ada.next_of("members").await, json!({"count": 1, "members": [me]}));
    let mut bob = server.join("").await;
    bob.send(r#"{"type":"rename","params":{"name":"밥"}}"#).await;
    loop {
        let members = ada.next_of("members").await;
        let names: Vec<_> =
            members["members"].as_array().unwrap().iter().map(|m| m["name"].clone()).collect();
        if names.contains(&json!("밥")) {
            assert_eq!(members["count"], 2);
            break;
        }
    }
    bob.send(r#"{"type":"typing","params":{}}"#).await;
    assert_eq!(ada.next_of("typing").await["members"][0]["name"], "밥");
    bob.say("done").await;
    assert_eq!(ada.next_of("typing").await["members"], json!([]));
    bob.leave().await;
    assert_eq!(ada.next_of("members").await["count"], 1);
}

#[tokio::test]
async fn whoever_loses_the_connection_and_comes_back_was_never_away() {
    let server = TestServer::start().await;
    let mut ada = server.join("").await;
    let mut bob = server.join("?session=").await;
    let hello = bob.next_of("hello").await;
    while ada.next_of("members").await["count"] != 2 {}
    drop(bob);
    let query = format!("?session={}", hello["session"].as_str().unwrap());
    let mut bob = server.join(&query).await;
    assert_eq!(bob.next_of("hello").await["member"], hello["member"]);
    assert_eq!(bob.next_of("members").await["count"], 2);
    // Longer than two looks at who is gone.
    let leaving = timeout(Duration::from_millis(2_500), ada.next_of("members")).await;
    assert!(leaving.is_err(), "{leaving:?}");
}

#[tokio::test]
async fn a_token_makes_a_program_the_same_member_everywhere_and_is_renewed_with_itself() {
    let server = TestServer::start().await;
    let http = reqwest::Client::new();
    let ask = async |bearer: Option<&str>, body: &'static str| {
        let request =
            http.post(server.url("/api/token")).header("content-type", "application/json");
        let request = match bearer {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        };
        let answer = request.body(body).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_str::<Value>(&answer.text().await.unwrap()).unwrap())
    };
    let (status, given) = ask(None, r#"{"name":"weather"}"#).await;
    assert_eq!((status, &given["member"]["name"]), (200, &json!("weather")));
    let token = given["token"].as_str().unwrap();

    let mut by_query = server.join(&format!("?token={token}")).await;
    assert_eq!(by_query.next_of("hello").await["member"], given["member"]);
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", &*bearer), ("sec-websocket-protocol", "hubbub.v1")];
    let mut by_header = Client::open(&server, "", &headers).await.unwrap();
    assert_eq!(by_header.next_of("hello").await["member"], given["member"]);

    let (_, renewed) = ask(Some(token), r#"{"name":"weather 2"}"#).await;
    assert_eq!(renewed["member"]["id"], given["member"]["id"]);
    assert_eq!(renewed["member"]["name"], "weather 2");
    assert!(renewed["expires_at"].as_u64() >= given["expires_at"].as_u64());

    for forged in ["x", &token[..token.len() - 2]] {
        assert_eq!(ask(Some(forged), "").await.1["code"], "invalid_token");
        let refused = Client::open(&server, &format!("?token={forged}"), &[]).await.err().unwrap();
        assert_eq!((refused.status, &*refused.code), (401, "invalid_token"));
    }
    assert_eq!(ask(None, r#"{"name":""}"#).await.1["field"], "name");
}

#[tokio::test]
async fn bad_input_is_answered_by_code_and_field_and_disturbs_nobody() {
    let server = TestServer::start().await;
    let (mut bad, mut other) = (server.join("").await, server.join_plain("").await);
    bad.next_of("hello").await;
    let long = "a".repeat(16 * 1024);
    for (frame, code, field) in [
        ("not json".to_owned(), "invalid_json", None),
        (r#"{"type":"message","params":{"value":"\ud800"}}"#.into(), "invalid_json", None),
        ("[1,2]".into(), "invalid_frame", None),
        (r#"{"params":{"value":"hi"}}"#.into(), "invalid_frame", None),
        (r#"{"type":"dance","params":{}}"#.into(), "unknown_type", Some("type")),
        (r#"{"type":"message","params":"hi"}"#.into(), "invalid_field", Some("params")),
        (r#"{"type":"message","params":{}}"#.into(), "invalid_field", Some("value")),
        (r#"{"type":"message","params":{"value":""}}"#.into(), "invalid_field", Some("value")),
        (r#"{"type":"message","params":{"value":null}}"#.into(), "invalid_field", Some("value")),
        (
            r#"{"type":"message","params":{"value":"a\u0000b"}}"#.into(),
            "invalid_field",
            Some("value"),
        ),
        (json!({"type":"message","params":{"value":long}}).to_string(), "too_long", Some("value")),
        (
            json!({"type":"message","params":{"value":1,"id":"x".repeat(65)}}).to_string(),
            "too_long",
            Some("id"),
        ),
        (
            format!(
                r#"{{"type":"message","params":{{"value":{}1{}}}}}"#,
                "[".repeat(33),
                "]".repeat(33)
            ),
            "invalid_field",
            Some("value"),
        ),
        (
            json!({"type":"message","params":{"value":1,"to":"x"}}).to_string(),
            "invalid_field",
            Some("to"),
        ),
        (
            json!({"type":"rename","params":{"name":"x".repeat(65)}}).to_string(),
            "too_long",
            Some("name"),
        ),
        (r#"{"type":"rename","params":{"name":"a\u0007"}}"#.into(), "invalid_field", Some("name")),
        (r#"{"type":"rename","params":{"name":" "}}"#.into(), "invalid_field", Some("name")),
    ] {
        bad.send(&frame).await;
        let error = bad.next_of("error").await;
        let short: String = frame.chars().take(80).collect();
        assert_eq!(error["code"], code, "{short}");
        assert_eq!(error["field"].as_str(), field, "{short}");
        assert_eq!(error["limit"].is_u64(), code == "too_long" || short.contains("[[["), "{short}");
        assert!(!error["message"].as_str().unwrap().is_empty());
    }
    bad.send_message(Message::binary(vec![1, 2, 3])).await;
    assert_eq!(bad.next_of("error").await["code"], "binary_frame");
    bad.say("still well").await;
    assert_eq!(bad.hear().await, "still well");
    assert_eq!(other.hear().await, "still well");
}

#[tokio::test]
async fn a_frame_over_the_limit_is_closed_with_1009_and_nobody_else_notices() {
    let server = TestServer::start().await;
    let mut other = server.join_plain("").await;
    // Just over, nearly all that is read whole, and far over.
    for size in [64 * 1024 + 1, 250_000, 5_000_000] {
        for message in [Message::text("a".repeat(size)), Message::binary(vec![0; size])] {
            let mut big = server.join("").await;
            big.next_of("members").await;
            let close = big.send_until_closed(message).await.expect("a close frame");
            assert_eq!(u16::from(close.code), 1009, "{size}");
        }
    }
    other.say("fine").await;
    assert_eq!(other.hear().await, "fine");
}

#[tokio::test]
async fn bytes_that_are_no_frame_or_no_text_are_closed_with_the_reason() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let server = TestServer::start().await;
    // RFC 6455 section 5.2, by hand: a masked text frame with an encoded surrogate, then one that is
    // not masked.
    let surrogate = [0x81, 0x83, 0, 0, 0, 0, 0xed, 0xa0, 0x80];
    let unmasked = [0x81, 0x02, b'h', b'i'];
    for (bytes, code) in [(&surrogate[..], 1007_u16), (&unmasked[..], 1002)] {
        let mut socket = tokio::net::TcpStream::connect(server.address).await.unwrap();
        let upgrade = format!(
            "GET /ws HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            server.address
        );
        socket.write_all(upgrade.as_bytes()).await.unwrap();
        socket.write_all(bytes).await.unwrap();
        let mut heard = Vec::new();
        timeout(PATIENCE, socket.read_to_end(&mut heard)).await.unwrap().unwrap();
        let close = heard.windows(4).rfind(|bytes| bytes[0] == 0x88).expect("a close frame");
        assert_eq!(u16::from_be_bytes([close[2], close[3]]), code);
    }
}

#[tokio::test]
async fn a_client_that_closes_is_answered() {
    let server = TestServer::start().await;
    let mut ada = server.join_plain("").await;
    let leave = CloseFrame { code: 3000.into(), reason: "done".into() };
    ada.send_message(Message::Close(Some(leave))).await;
    assert_eq!(u16::from(ada.closed().await.expect("a close frame").code), 3000);
}

#[tokio::test]
async fn whoever_says_something_and_closes_at_once_hears_nothing_behind_the_close() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let server = TestServer::start().await;
    let upgrade = format!(
        "GET /ws?room=tea HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: hubbub.v1\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        server.address
    );
    let text = br#"{"type":"message","params":{"value":"bye"}}"#;
    // Masked with zeros (RFC 6455 section 5.3): the text, and a close with code 1000.
    let mut said = vec![0x81, 0x80 | text.len() as u8, 0, 0, 0, 0];
    said.extend(text);
    said.extend([0x88, 0x82, 0, 0, 0, 0, 3, 232]);
    for _ in 0..20 {
        let mut socket = tokio::net::TcpStream::connect(server.address).await.unwrap();
        socket.write_all(upgrade.as_bytes()).await.unwrap();
        socket.write_all(&said).await.unwrap();
        let mut heard = Vec::new();
        timeout(PATIENCE, socket.read_to_end(&mut heard)).await.unwrap().unwrap();
        assert_eq!(heard[heard.len() - 4..], [0x88, 2, 3, 232], "{}", heard.escape_ascii());
    }
}

#[tokio::test]
async fn what_is_said_right_before_leaving_is_kept() {
    let server = TestServer::start().await;
    for n in 0..20 {
        let mut ada = server.join_plain("").await;
        ada.say(&n.to_string()).await;
        ada.send_message(Message::Close(None)).await;
    }
    let mut bob = server.join_plain("?after=0").await;
    let mut heard = Vec::new();
    for _ in 0..20 {
        heard.push(bob.hear().await.parse::<u32>().unwrap());
    }
    heard.sort_unstable();
    assert_eq!(heard, (0..20).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_largest_frame_there_may_be_is_read() {
    let server = TestServer::start().await;
    let mut ada = server.join("").await;
    let frame = r#"{"type":"message","params":{"value":"hi"}}"#;
    ada.send(&format!("{frame}{}", " ".repeat(64 * 1024 - frame.len()))).await;
    assert_eq!(ada.hear().await, "hi");
}

#[tokio::test]
async fn a_thousand_messages_at_once_are_held_to_the_rate_and_nobody_else_notices() {
    let server = TestServer::start().await;
    // Whoever shows no session is counted with all of its address.
    let session = server.join("").await.next_of("hello").await["session"].clone();
    let mut other = server.join(&format!("?session={}", session.as_str().unwrap())).await;
    let mut flood = server.join("").await;
    for n in 0..1_000 {
        let frame = json!({"type": "message", "params": {"value": n, "id": n.to_string()}});
        flood.send(&frame.to_string()).await;
    }
    let (mut acked, mut refused) = (0, 0);
    while acked + refused < 1_000 {
        let frame = flood.next().await;
        match frame["type"].as_str() {
            Some("ack") => acked += 1,
            Some("error") => {
                let error = &frame["params"];
                assert_eq!((&error["code"], &error["limit"]), (&json!("rate_limited"), &json!(20)));
                assert!(error["id"].is_string());
                refused += 1;
            }
            _ => {}
        }
    }
    assert!((100..200).contains(&acked), "{acked}");
    other.say("calm").await;
    loop {
        if other.next_of("message").await["value"] == "calm" {
            break;
        }
    }
}

#[tokio::test]
async fn whoever_connects_again_without_a_session_is_held_to_the_rate_of_its_address() {
    let server = TestServer::start().await;
    let mut refused = 0;
    for _ in 0..30 {
        let mut again = server.join("").await;
        for _ in 0..5 {
            again.send("no frame").await;
        }
        for _ in 0..5 {
            refused += usize::from(again.next_of("error").await["code"] == "rate_limited");
        }
    }
    assert!(refused > 0);
}

#[tokio::test]
async fn the_line_is_shown_to_be_alive_by_a_frame_that_says_nothing() {
    let server = TestServer::with(|config| {
        config.timing.ping_interval = Duration::from_millis(50);
    })
    .await;
    let mut ada = server.join("").await;
    ada.next_of("members").await;
    assert_eq!(ada.next().await, json!({"type": "beat", "params": {}}));
    assert_eq!(ada.next().await, json!({"type": "beat", "params": {}}));
}

#[tokio::test]
async fn an_upgrade_from_a_foreign_page_is_refused() {
    let server = TestServer::with(|config| {
        config.allow_origins = vec!["https://friend.example".to_owned()];
    })
    .await;
    let host = server.address.to_string();
    for allowed in [format!("http://{host}"), "https://friend.example".to_owned()] {
        assert!(Client::open(&server, "", &[("origin", &allowed)]).await.is_ok(), "{allowed}");
    }
    for foreign in ["https://evil.example", "null", "http://127.0.0.1"] {
        let refused = Client::open(&server, "", &[("origin", foreign)]).await.err().unwrap();
        assert_eq!((refused.status, refused.code.as_str()), (403, "foreign_origin"), "{foreign}");
    }
}

#[tokio::test]
async fn a_bad_query_or_subprotocol_is_refused_by_field() {
    let server = TestServer::start().await;
    let long = format!("?room={}", "r".repeat(65));
    for (query, status, field) in [
        ("?room=", 400, "room"),
        ("?room=a%2Fb", 400, "room"),
        ("?room=a%00b", 400, "room"),
        ("?room=..", 400, "room"),
        (&long, 413, "room"),
        ("?after=yesterday", 400, "after"),
    ] {
        let refused = Client::open(&server, query, &[]).await.err().unwrap();
        assert_eq!((refused.status, refused.field.as_deref()), (status, Some(field)), "{query}");
    }
    let asks = [("sec-websocket-protocol", "chat")];
    let refused = Client::open(&server, "", &asks).await.err().unwrap();
    assert_eq!(refused.field.as_deref(), Some("Sec-WebSocket-Protocol"));
}

#[tokio::test]
async fn an_upgrade_anywhere_else_is_refused() {
    let server = TestServer::start().await;
    for path in ["/", "/rooms/lobby", "/healthz", "/nowhere", "/ws/"] {
        let refused = Client::open_at(&server, path, &[]).await.err().unwrap();
        assert_eq!((refused.status, refused.code.as_str()), (404, "not_found"), "{path}");
    }
}

#[tokio::test]
async fn stopping_says_bye_closes_with_1012_and_ends() {
    let mut server = TestServer::start().await;
    let (mut ada, mut plain) = (server.join("").await, server.join_plain("").await);
    ada.next_of("members").await;
    server.stop();
    let bye = ada.next_of("bye").await;
    assert_eq!(bye["code"], 1012);
    assert!((250..750).contains(&bye["reconnect_in_ms"].as_u64().unwrap()));
    assert_eq!(u16::from(ada.closed().await.unwrap().code), 1012);
    assert_eq!(u16::from(plain.closed().await.unwrap().code), 1012);
    timeout(Duration::from_secs(5), &mut server.serving).await.unwrap().unwrap().unwrap();
    assert!(tokio::net::TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn stopping_gives_a_client_a_moment_to_answer_the_close() {
    let mut server = TestServer::start().await;
    let mut ada = server.join("").await;
    ada.next_of("members").await;
    server.stop();
    ada.next_of("bye").await;
    // The close frame is there, and is not answered as long as nobody reads it.
    let early = timeout(Duration::from_millis(300), &mut server.serving).await;
    assert!(early.is_err(), "the server is gone before its client could answer");
    ada.closed().await;
    timeout(PATIENCE, &mut server.serving).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn whoever_answers_no_ping_is_let_go_of() {
    let server = TestServer::with(|config| {
        config.timing.ping_interval = Duration::from_millis(50);
        config.timing.silence = Duration::from_secs(1);
        config.hub.lost = Duration::ZERO;
    })
    .await;
    // Reads its frames, so its library answers pings, and stays.
    let mut lively = server.join("").await;
    lively.next_of("members").await;
    // Never reads, so it never answers.
    let _mute = server.join("").await;
    assert_eq!(lively.next_of("members").await["count"], 2);
    // Nothing is told again before one is gone.
    assert_eq!(lively.next_of("members").await["count"], 1);
}

#[tokio::test]
async fn whoever_falls_behind_what_is_kept_is_told_where_it_goes_on() {
    let server = TestServer::with(|config| {
        config.publish_rate = 0;
        config.retention = Some(hub::broker::Retention { room_messages: 20, ..Default::default() });
        config.hub.tail_messages = 5;
    })
    .await;
    let mut slow = server.join("").await;
    let mut ada = server.join_plain("").await;
    let text = "x".repeat(10_000);
    let mut last = 0;
    // More than any socket holds; less, and the slow one would have missed nothing.
    for _ in 0..1_500 {
        ada.say(&text).await;
        last = ada.next().await["params"]["offset"].as_u64().unwrap();
    }
    let (mut position, mut gaps) = (0, 0);
    while position < last {
        let frame = slow.next().await;
        if frame["type"] == "message" {
            assert_eq!(frame["params"]["offset"], position + 1, "after {gaps} gaps");
            position += 1;
        } else if frame["type"] == "hello" {
            gaps += usize::from(frame["params"]["recovery"] == "reset");
            let told = frame["params"]["position"].as_str().unwrap();
            position = told.split_once(':').unwrap().1.parse().unwrap();
        }
    }
    assert!(gaps > 0, "it has read all there was: nothing is shown");
}

#[tokio::test]
async fn whoever_reads_nothing_holds_up_nobody() {
    let server = TestServer::with(|config| config.publish_rate = 0).await;
    let _mute = server.join_plain("").await;
    let mut ada = server.join_plain("").await;
    let text = "x".repeat(10_000);
    for _ in 0..1_500 {
        ada.say(&text).await;
        assert_eq!(ada.hear().await.len(), text.len());
    }
}
