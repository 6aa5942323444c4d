//! What holds on every road into a room, written once and run over each.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use serde_json::{Value, json};
use support::{
    TestServer,
    nats::Nats,
    place::Place,
    road::{Lost, ROADS, Road, Traveller},
};

/// A test for each of these at one hub, and one at two that share a log; for each road, and for each pair where two meet.
macro_rules! on_every_road {
    ($($name:ident),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $name() {
                for road in ROADS.into_iter().chain([Road::Toy]) {
                    println!("{road:?}");
                    behaviour::$name(Place::OneHub, road).await;
                }
            }
        )*

        /// Tests that need a server of NATS; `cargo xtask test` leaves them out by this name where there is none.
        mod on_nats {
            use super::*;

            $(
                #[tokio::test]
                async fn $name() {
                    let nats = Nats::start();
                    for road in ROADS.into_iter().chain([Road::Toy]) {
                        println!("{road:?}");
                        behaviour::$name(Place::TwoHubs(&nats), road).await;
                    }
                }
            )*
        }
    };
}

on_every_road!(
    messages_come_in_order_and_once,
    whoever_was_away_gets_what_it_missed,
    whoever_joins_late_may_read_from_the_oldest,
    a_position_of_another_life_of_the_log_is_told_as_reset,
    a_message_reaches_its_audience_and_nobody_else,
    what_was_said_is_edited_taken_back_and_reacted_to,
    what_is_too_long_is_refused_by_name_and_nothing_is_lost,
    a_retry_stores_nothing_and_answers_the_first_offset,
    who_is_here_and_who_is_typing_is_told,
    signalling_reaches_one_session_and_nobody_else,
    signalling_to_whoever_is_not_here_or_does_not_take_it_is_refused,
    who_can_be_reached_directly_or_is_in_the_call_is_told_with_the_sessions,
    a_call_that_is_full_says_so,
    whoever_reads_slowly_gets_everything_and_holds_up_nobody,
    a_stop_is_told_with_when_to_come_back,
);

async fn join(server: &TestServer, road: Road, query: &str) -> Traveller {
    let address = if road == Road::Toy { server.toy } else { server.address };
    Traveller::join(&address.to_string(), road, "tea", query).await.unwrap()
}

/// Does this to the message `of`; returns the params of the `ack`, or of what refuses it.
async fn mend(who: &mut Traveller, event: &str, of: &Value, value: Value) -> Value {
    let id = uuid::Uuid::new_v4().to_string();
    let params = json!({"id": id, "event": event, "of": of, "value": value});
    who.send(json!({"type": "message", "params": params})).await.unwrap()
}

/// The events of the messages before one that says so.
async fn events_until_the_end(who: &mut Traveller) -> Vec<String> {
    let mut events = Vec::new();
    loop {
        let message = who.message().await.unwrap();
        if message["value"] == "the end" {
            return events;
        }
        events.push(message["event"].as_str().unwrap_or("message").to_owned());
    }
}

mod behaviour {
    use super::*;

    pub(super) async fn messages_come_in_order_and_once(place: Place<'_>, road: Road) {
        let server = place.with(|config| config.publish_rate = 0).await;
        let (mut ada, mut bob) = (join(&server, road, "").await, join(&server, road, "").await);
        for n in 0..50 {
            assert!(ada.say(&n.to_string(), json!("all")).await["offset"].is_u64());
        }
        for n in 0..50 {
            let expected = n.to_string();
            assert_eq!((ada.hear().await, bob.hear().await), (expected.clone(), expected));
        }
    }

    pub(super) async fn whoever_was_away_gets_what_it_missed(place: Place<'_>, road: Road) {
        let server = place.start().await;
        for back in ROADS {
            let mut bob = join(&server, Road::WebSocket, "").await;
            let mut ada = join(&server, road, "").await;
            bob.say("one", json!("all")).await;
            assert_eq!(ada.hear().await, "one");
            let query = format!("after={}&session={}", ada.position, ada.session());
            let (session, member) = (ada.hello["session"].clone(), ada.hello["member"].clone());
            drop(ada);
            bob.say("two", json!("all")).await;
            bob.say("three", json!("all")).await;
            let mut ada = join(&server, back, &query).await;
            assert_eq!(ada.recovery(), "replayed");
            assert_eq!((&ada.hello["session"], &ada.hello["member"]), (&session, &member));
            bob.say("four", json!("all")).await;
            for expected in ["two", "three", "four"] {
                assert_eq!(ada.hear().await, expected);
            }
        }
    }

    pub(super) async fn whoever_joins_late_may_read_from_the_oldest(place: Place<'_>, road: Road) {
        let server = place.start().await;
        let mut ada = join(&server, road, "").await;
        assert_eq!(ada.recovery(), "fresh");
        ada.say("early", json!("all")).await;
        let mut late = join(&server, road, "after=0").await;
        ada.say("and live", json!("all")).await;
        assert_eq!((late.hear().await, late.hear().await), ("early".into(), "and live".into()));
    }

    pub(super) async fn a_position_of_another_life_of_the_log_is_told_as_reset(
        place: Place<'_>,
        road: Road,
    ) {
        let server = place.start().await;
        join(&server, road, "").await.say("kept", json!("all")).await;
        let mut ada = join(&server, road, "after=another:7").await;
        assert_eq!(ada.recovery(), "reset");
        assert_eq!(ada.hear().await, "kept");
    }

    pub(super) async fn a_message_reaches_its_audience_and_nobody_else(
        place: Place<'_>,
        road: Road,
    ) {
        let server = place.start().await;
        let mut ada = join(&server, road, "").await;
        let mut bob = join(&server, road, "").await;
        let mut eve = join(&server, Road::WebSocket, "").await;
        let bobs = bob.session().split('.').next().unwrap().to_owned();
        ada.say("to others", json!("others")).await;
        ada.say("to me", json!("self")).await;
        ada.say("to bob", json!([bob.hello["member"]["id"]])).await;
        ada.say("to bob's tab", json!([bobs])).await;
        ada.say("to all", json!("all")).await;
        let expected: [(&mut Traveller, &[&str]); 3] = [
            (&mut ada, &["to me", "to all"]),
            (&mut bob, &["to others", "to bob", "to bob's tab", "to all"]),
            (&mut eve, &["to others", "to all"]),
        ];
        for (who, texts) in expected {
            for text in texts {
                assert_eq!(who.hear().await, *text);
            }
            // The same again for whoever comes back as the same.
            let query = format!("after=0&session={}", who.session());
            let mut again = join(&server, road, &query).await;
            for text in texts {
                assert_eq!(again.hear().await, *text);
            }
        }
    }

    pub(super) async fn what_was_said_is_edited_taken_back_and_reacted_to(
        place: Place<'_>,
        road: Road,
    ) {
        let server = place.start().await;
        let mut ada = join(&server, road, "").await;
        let mut bob = join(&server, road, "").await;
        let mut eve = join(&server, Road::WebSocket, "").await;
        let whole = ada.say("helo", json!("all")).await;
        let secret = ada.say("a secret", json!([bob.hello["member"]["id"]])).await;
        assert_eq!((bob.hear().await, bob.hear().await), ("helo".into(), "a secret".into()));
        let edit = mend(&mut ada, "edit", &whole["id"], json!("hello")).await;
        assert!(edit["offset"].is_u64(), "{edit}");
        mend(&mut bob, "reaction", &whole["id"], json!(["👍"])).await;
        // Only who may read something may react to it, and only who said it may change it.
        let unseen = mend(&mut eve, "reaction", &secret["id"], json!(["👍"])).await;
        assert_eq!((&unseen["code"], &unseen["field"]), (&json!("not_found"), &json!("of")));
        let refused = mend(&mut bob, "retract", &secret["id"], json!({})).await;
        assert_eq!((&refused["code"], &refused["field"]), (&json!("not_yours"), &json!("of")));
        mend(&mut ada, "retract", &secret["id"], json!({})).await;
        ada.say("the end", json!("all")).await;

        // Those who are there hear of each thing, in order, and of nothing that is not for them.
        assert_eq!(events_until_the_end(&mut bob).await, ["edit", "reaction", "retract"]);
        assert_eq!(events_until_the_end(&mut eve).await, ["message", "edit", "reaction"]);
        // Whoever comes later finds what came of it.
        let mut late = join(&server, road, &format!("after=0&session={}", bob.session())).await;
        let first = late.message().await.unwrap();
        assert_eq!((&first["value"], &first["edited"]), (&json!("hello"), &edit["offset"]));
        assert_eq!(first["reactions"][0]["from"][0]["id"], bob.hello["member"]["id"]);
        assert_eq!(events_until_the_end(&mut late).await, ["edit", "reaction", "retract"]);
    }

    pub(super) async fn what_is_too_long_is_refused_by_name_and_nothing_is_lost(
        place: Place<'_>,
        road: Road,
    ) {
        let server = place.start().await;
        let mut ada = join(&server, road, "").await;
        ada.say("before", json!("all")).await;
        let refused = ada.say(&"x".repeat(16_384), json!("all")).await;
        assert_eq!(refused["code"], "too_long");
        assert_eq!((&refused["field"], &refused["limit"]), (&json!("value"), &json!(16_384)));
        ada.say("after", json!("all")).await;
        assert_eq!((ada.hear().await, ada.hear().await), ("before".into(), "after".into()));
    }

    pub(super) async fn a_retry_stores_nothing_and_answers_the_first_offset(
        place: Place<'_>,
        road: Road,
    ) {
        let server = place.start().await;
        let mut ada = join(&server, road, "").await;
        let frame = json!({"type": "message", "params": {"value": "once", "id": "m1"}});
        let first = ada.send(frame.clone()).await.unwrap();
        ada.say("between", json!("all")).await;
        assert_eq!(ada.send(frame).await.unwrap(), first);
        ada.say("end", json!("all")).await;
        for expected in ["once", "between", "end"] {
            assert_eq!(ada.hear().await, expected);
        }
    }

    pub(super) async fn who_is_here_and_who_is_typing_is_told(place: Place<'_>, road: Road) {
        let server = place.start().await;
        let mut ada = join(&server, Road::WebSocket, "").await;
        let mut bob = join(&server, road, "").await;
        while ada.frame_of("members").await.unwrap()["count"] != 2 {}
        for turn in 0..2 {
            let (from, to) = if turn == 0 { (&mut bob, &mut ada) } else { (&mut ada, &mut bob) };
            from.tell(json!({"type": "typing", "params": {}})).await.unwrap();
            let id = &from.hello["member"]["id"];
            while !to.frame_of("typing").await.unwrap()["members"]
                .as_array()
                .unwrap()
                .iter()
                .any(|member| member["id"] == *id)
            {}
        }
    }

    pub(super) async fn signalling_reaches_one_session_and_nobody_else(
        place: Place<'_>,
        road: Road,
    ) {
        let server = place.start().await;
        let mut ada = join(&server, road, "").await;
        let mut bob = join(&server, road, "").await;
        let mut eve = join(&server, Road::WebSocket, "").await;
        for n in 0..3 {
            ada.tell(signalling(bob.public(), json!({"offer": n}))).await.unwrap();
        }
        for n in 0..3 {
            let frame = json!({
                "from": ada.hello["member"], "session": ada.public(), "data": {"offer": n},
            });
            assert_eq!(bob.frame_of("signalling").await.unwrap(), frame);
        }
        bob.tell(signalling(ada.public(), json!("answer"))).await.unwrap();
        let answer = ada.frame_of("signalling").await.unwrap();
        assert_eq!((&answer["data"], &answer["session"]), (&json!("answer"), &json!(bob.public())));
        // What comes after it has come, and it has not; and nothing of it is kept.
        ada.say("end", json!("all")).await;
        let mut late = join(&server, Road::WebSocket, "after=0").await;
        for other in [&mut eve, &mut late] {
            while other.read_frame().await["type"] != "message" {}
            assert_eq!(other.skipped("signalling"), 0);
        }
    }

    pub(super) async fn signalling_to_whoever_is_not_here_or_does_not_take_it_is_refused(
        place: Place<'_>,
        road: Road,
    ) {
        let server = place.start().await;
        let mut ada = join(&server, road, "").await;
        let address = if road == Road::Toy { server.toy } else { server.address };
        let elsewhere = Traveller::join(&address.to_string(), road, "coffee", "").await.unwrap();
        let mut plain = server.join_plain("?room=tea").await;
        ada.say("hi", json!("all")).await;
        plain.hear().await;
        let me = ada.public().to_owned();
        for (to, code, field) in [
            (elsewhere.public(), "not_here", "to"),
            ("0123456789abcdef", "not_here", "to"),
            (me.as_str(), "invalid_field", "to"),
            ("", "invalid_field", "to"),
        ] {
            let refused = ada.refused(signalling(to, json!(1))).await;
            assert_eq!(
                (&refused["code"], &refused["field"]),
                (&json!(code), &json!(field)),
                "{to}"
            );
        }
        let long = ada.refused(signalling("x", json!("x".repeat(16_383)))).await;
        assert_eq!((&long["code"], &long["limit"]), (&json!("too_long"), &json!(16_384)));
        let bob = join(&server, Road::Poll, "").await;
        for n in 0..64 {
            ada.tell(signalling(bob.public(), json!(n))).await.unwrap();
        }
        let full = ada.refused(signalling(bob.public(), json!(64))).await;
        assert_eq!((&full["code"], &full["limit"]), (&json!("mailbox_full"), &json!(64)));
        // Somebody else's still takes it.
        let mut eve = join(&server, road, "").await;
        ada.tell(signalling(eve.public(), json!(65))).await.unwrap();
        assert_eq!(eve.frame_of("signalling").await.unwrap()["data"], 65);
    }

    pub(super) async fn who_can_be_reached_directly_or_is_in_the_call_is_told_with_the_sessions(
        place: Place<'_>,
        road: Road,
    ) {
        let server = place.start().await;
        let mut ada = join(&server, Road::WebSocket, "").await;
        let mut bob = join(&server, road, "").await;
        for (kind, on) in [("direct", true), ("direct", false), ("call", true), ("call", false)] {
            bob.tell(json!({"type": kind, "params": {kind: on}})).await.unwrap();
            let told = ada.frame_of(kind).await.unwrap();
            let mut listed = bob.hello["member"].clone();
            listed["sessions"] = json!([bob.public()]);
            let members = if on { vec![listed] } else { vec![] };
            assert_eq!(told, json!({"count": members.len(), "members": members}));
        }
    }

    pub(super) async fn a_call_that_is_full_says_so(place: Place<'_>, road: Road) {
        let server = place.start().await;
        let call = json!({"type": "call", "params": {"call": true}});
        let mut watcher = join(&server, Road::WebSocket, "").await;
        let mut members = Vec::new();
        for n in 1..=6 {
            let mut member = join(&server, Road::WebSocket, "").await;
            member.tell(call.clone()).await.unwrap();
            members.push(member);
            while watcher.frame_of("call").await.unwrap()["count"] != n {}
        }
        let mut late = join(&server, road, "").await;
        while late.frame_of("call").await.unwrap()["count"] != 6 {}
        let refused = late.refused(call).await;
        assert_eq!((&refused["code"], &refused["limit"]), (&json!("call_full"), &json!(6)));
    }

    fn signalling(to: &str, data: serde_json::Value) -> serde_json::Value {
        json!({"type": "signalling", "params": {"to": to, "data": data}})
    }

    pub(super) async fn whoever_reads_slowly_gets_everything_and_holds_up_nobody(
        place: Place<'_>,
        road: Road,
    ) {
        let server = place
            .with(|config| {
                config.publish_rate = 0;
                config.hub.tail_messages = 20;
            })
            .await;
        let mut slow = join(&server, road, "").await;
        let mut bob = join(&server, Road::WebSocket, "").await;
        let text = "x".repeat(10_000);
        for n in 0..300 {
            bob.say(&format!("{n} {text}"), json!("all")).await;
        }
        for n in 0..300 {
            assert_eq!(slow.hear().await, format!("{n} {text}"));
        }
    }

    pub(super) async fn a_stop_is_told_with_when_to_come_back(place: Place<'_>, road: Road) {
        // Between two polls nobody can be told; what is told then is that nobody answers.
        if road == Road::Poll {
            return;
        }
        for attempt in 0.. {
            let mut server = place.start().await;
            let mut ada = join(&server, road, "").await;
            let stop = async {
                // Later each time, until a poll is there.
                for _ in 0..attempt * 20 {
                    tokio::task::yield_now().await;
                }
                server.stop();
            };
            let (told, ()) = tokio::join!(ada.frame_of("bye"), stop);
            match told {
                Ok(bye) => {
                    assert_eq!(bye["code"], 1012);
                    assert!(bye["reconnect_in_ms"].as_u64().unwrap() >= 250);
                    break;
                }
                Err(Lost) => assert!(road == Road::LongPoll && attempt < 50),
            }
        }
    }
}
