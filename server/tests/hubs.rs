//! Several hubs on one log on NATS: whatever was done at one is so at the others.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

/// Tests that need a server of NATS; `cargo xtask test` leaves them out by this name where there is none.
mod on_nats {
    use std::{collections::BTreeSet, time::Duration};

    use clap::Parser;
    use reqwest::{Method, Response, header};
    use serde_json::{Value, json};
    use server::{Config, Server};

    use crate::support::{
        nats::Nats,
        process::Hubbub,
        road::{ROADS, Road, Traveller},
        *,
    };

    /// A hub on this log.
    async fn hub(nats: &Nats) -> TestServer {
        let url = nats.url();
        let flags = ["--broker", &url, "--broker-wait", "1", "--publish-rate", "0"];
        let line = ["hubbub", "--listen", "127.0.0.1:0"].iter().chain(&flags);
        let mut config = Config::parse_from(line);
        config.hub.lost = Duration::from_secs(2);
        let server = Server::open(config.clone()).await.unwrap();
        TestServer::of(config, |_| server).await
    }

    async fn ask(
        server: &TestServer,
        token: &str,
        method: Method,
        path: &str,
        body: Value,
    ) -> Response {
        let request = reqwest::Client::new().request(method, server.url(path));
        let request = match token {
            "" => request,
            token => request.bearer_auth(token),
        };
        let request = match body {
            Value::Null => request,
            body => request.header(header::CONTENT_TYPE, "application/json").body(body.to_string()),
        };
        request.send().await.unwrap()
    }

    async fn json_of(answer: Response) -> Value {
        serde_json::from_str(&answer.text().await.unwrap()).unwrap()
    }

    async fn say(server: &TestServer, text: &str) -> Response {
        ask(server, "", Method::POST, "/api/rooms/tea/messages", json!({"value": text})).await
    }

    async fn join(server: &TestServer, road: Road, query: &str) -> Traveller {
        Traveller::join(&server.address.to_string(), road, "tea", query).await.unwrap()
    }

    /// A token that grants to manage all rooms, made by the program from the key beside the log.
    fn managing(nats: &Nats) -> String {
        let made = std::process::Command::new(env!("CARGO_BIN_EXE_hubbub"))
            .args(["token", "--manage", "*", "--broker", &nats.url()])
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        String::from_utf8(made.stdout).unwrap().trim().to_owned()
    }

    /// Asks until the answer is as it should be.
    async fn until<T>(ask: impl AsyncFn() -> T, is: impl Fn(&T) -> bool) -> T {
        let asking = async {
            loop {
                let answer = ask().await;
                if is(&answer) {
                    return answer;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), asking).await.expect("it never was so")
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_is_said_at_one_hub_is_read_at_another_on_every_road() {
        let nats = Nats::start();
        let (one, other) = (hub(&nats).await, hub(&nats).await);
        for road in ROADS {
            let mut ada = join(&one, road, "").await;
            let mut bob = join(&other, road, "").await;
            let text = format!("{road:?}");
            let acked = ada.say(&text, json!("all")).await;
            let (here, there) = (ada.message().await.unwrap(), bob.message().await.unwrap());
            assert_eq!((&there["value"], &there["offset"]), (&json!(text), &acked["offset"]));
            assert_eq!(here, there);
        }
    }

    #[tokio::test]
    async fn a_token_of_one_hub_is_good_at_another() {
        let nats = Nats::start();
        let (one, other) = (hub(&nats).await, hub(&nats).await);
        let given = ask(&one, "", Method::POST, "/api/token", json!({"name": "Ada"})).await;
        let token = json_of(given).await["token"].as_str().unwrap().to_owned();
        let path = "/api/rooms/tea/messages";
        let mut from = BTreeSet::new();
        for server in [&one, &other] {
            let said = ask(server, &token, Method::POST, path, json!({"value": "hi"})).await;
            assert_eq!(said.status(), 200);
            let page = json_of(ask(server, "", Method::GET, path, Value::Null).await).await;
            let last = page["messages"].as_array().unwrap().last().unwrap().clone();
            from.insert(last["from"].to_string());
        }
        assert_eq!(from.len(), 1, "{from:?}");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn while_nats_is_away_nothing_is_acknowledged_and_then_all_goes_on() {
        let mut nats = Nats::start();
        let (one, other) = (hub(&nats).await, hub(&nats).await);
        let (mut ada, mut bob) =
            (join(&one, Road::WebSocket, "").await, join(&other, Road::Events, "").await);
        assert_eq!(say(&one, "before").await.status(), 200);
        assert_eq!((ada.hear().await.as_str(), bob.hear().await.as_str()), ("before", "before"));
        nats.kill();
        let refused = say(&one, "meanwhile").await;
        assert_eq!(refused.status(), 503);
        assert!(refused.headers().contains_key(header::RETRY_AFTER));
        assert_eq!(json_of(refused).await["code"], "unavailable");
        for server in [&one, &other] {
            let path = "/api/rooms/tea/messages";
            let page = ask(server, "", Method::GET, path, Value::Null).await;
            assert_eq!(page.status(), 200);
            assert_eq!(json_of(page).await["messages"][0]["value"], "before");
            let ready = ask(server, "", Method::GET, "/readyz", Value::Null).await;
            assert_eq!(ready.status(), 503);
        }
        nats.start_again();
        until(async || say(&one, "after").await, |answer| answer.status() == 200).await;
        // The same connections; what was refused may be there: nobody could know.
        for reader in [&mut ada, &mut bob] {
            while reader.hear().await != "after" {}
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_is_decided_at_one_hub_holds_at_another() {
        let nats = Nats::start();
        let (one, other) = (hub(&nats).await, hub(&nats).await);
        let backend = managing(&nats);
        let mut bob = join(&other, Road::WebSocket, "").await;
        let id = bob.hello["member"]["id"].as_str().unwrap().to_owned();
        let read_only = json!({"read_only": true});
        let set =
            ask(&one, &backend, Method::PUT, "/api/rooms/tea/settings", read_only.clone()).await;
        assert_eq!(set.status(), 200);
        let path = "/api/rooms/tea/settings";
        until(
            async || json_of(ask(&other, &backend, Method::GET, path, Value::Null).await).await,
            |settings| settings["read_only"] == true,
        )
        .await;
        assert_eq!(bob.say("hi", json!("all")).await["code"], "forbidden");
        let out = format!("/api/rooms/tea/out/{id}");
        assert!(ask(&one, &backend, Method::PUT, &out, json!({})).await.status().is_success());
        assert_eq!(bob.frame_of("bye").await.unwrap()["code"], 4005);
        // Who comes later hears of all of it, too.
        let third = hub(&nats).await;
        let settings = json_of(ask(&third, &backend, Method::GET, path, Value::Null).await).await;
        assert_eq!(settings["read_only"], true);
        let all =
            json_of(ask(&third, &backend, Method::GET, "/api/rooms/tea/out", Value::Null).await);
        assert!(all.await.to_string().contains(&id));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn who_is_at_one_hub_is_told_at_the_others_and_reached_from_there() {
        let nats = Nats::start();
        let (one, other, third) = (hub(&nats).await, hub(&nats).await, hub(&nats).await);
        let mut ada = join(&one, Road::WebSocket, "").await;
        let mut bob = join(&other, Road::WebSocket, "").await;
        let count = async |hub: &TestServer| {
            let path = "/api/rooms/tea/members";
            json_of(ask(hub, "", Method::GET, path, Value::Null).await).await["count"].clone()
        };
        // Also where the room was never open.
        for hub in [&one, &other, &third] {
            until(async || count(hub).await, |count| *count == 2).await;
        }
        let listed = async || {
            let rooms =
                json_of(ask(&third, "", Method::GET, "/api/rooms", Value::Null).await).await;
            rooms["rooms"][0].clone()
        };
        let tea = until(listed, |room| room["members"] == 2).await;
        assert_eq!(tea["name"], "tea");

        ada.tell(json!({"type": "typing", "params": {"typing": true}})).await.unwrap();
        let typing = async |traveller: &mut Traveller| -> Value {
            traveller.frame_of("typing").await.unwrap()["count"].clone()
        };
        assert_eq!(typing(&mut bob).await, 1);

        // Those who can be reached directly take letters, and are found at whichever hub they are.
        let to = bob.public().to_owned();
        let letter = |n: usize| json!({"type": "signalling", "params": {"to": to, "data": n}});
        for n in 0..10 {
            ada.tell(letter(n)).await.unwrap();
        }
        for n in 0..10 {
            assert_eq!(bob.frame_of("signalling").await.unwrap()["data"], n);
        }
        drop(bob);
        until(async || count(&one).await, |count| *count == 1).await;
        ada.tell(letter(10)).await.unwrap();
        assert_eq!(ada.frame_of("error").await.unwrap()["code"], "not_here");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_is_cleared_edited_or_taken_back_at_one_hub_is_so_at_another() {
        let nats = Nats::start();
        let (one, other) = (hub(&nats).await, hub(&nats).await);
        let backend = managing(&nats);
        let mut bob = join(&other, Road::WebSocket, "").await;
        let path = "/api/rooms/tea/messages";
        let said = json_of(say(&one, "secret").await).await;
        assert_eq!(bob.hear().await, "secret");
        let all = async || {
            let page = ask(&other, "", Method::GET, &format!("{path}?after=0"), Value::Null).await;
            json_of(page).await["messages"].to_string()
        };
        assert!(all().await.contains("secret"));
        let back = format!("{path}/{}", said["offset"]);
        assert!(
            ask(&one, &backend, Method::DELETE, &back, Value::Null).await.status().is_success()
        );
        assert_eq!(bob.message().await.unwrap()["event"], "retract");
        assert!(!all().await.contains("secret"));
        assert_eq!(say(&one, "to be cleared").await.status(), 200);
        assert_eq!(bob.hear().await, "to be cleared");
        assert!(all().await.contains("to be cleared"));
        assert!(ask(&one, &backend, Method::DELETE, path, Value::Null).await.status().is_success());
        until(all, |all| all == "[]").await;
    }

    /// Runs the program on this log, with that as its input.
    fn run(nats: &Nats, command: &[&str], input: &str) -> String {
        use std::{io::Write, process::Stdio};
        let mut process = std::process::Command::new(env!("CARGO_BIN_EXE_hubbub"))
            .args(command)
            .args(["--broker", &nats.url()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        process.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let ended = process.wait_with_output().unwrap();
        assert!(ended.status.success(), "{ended:?}");
        String::from_utf8(ended.stdout).unwrap()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_log_is_exported_as_it_is_and_imported_once_however_often() {
        let (nats, other) = (Nats::start(), Nats::start());
        assert_eq!(run(&nats, &["check"], ""), "all is well; messages: 0\n");
        let server = hub(&nats).await;
        let mut ada = join(&server, Road::WebSocket, "").await;
        for (n, value) in ["first", "second", "third"].iter().enumerate() {
            let params = json!({"value": value, "id": format!("m{n}")});
            ada.send(json!({"type": "message", "params": params})).await.unwrap();
        }
        for (event, of, value) in [("edit", "m0", "edited"), ("retract", "m1", "")] {
            let mut params = json!({"event": event, "of": of, "id": format!("{event}1")});
            if !value.is_empty() {
                params["value"] = json!(value);
            }
            let acked = ada.send(json!({"type": "message", "params": params})).await.unwrap();
            assert!(acked["offset"].is_u64(), "{acked}");
        }
        let exported = run(&nats, &["export"], "");
        let values: Vec<_> = exported
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["message"]["value"].clone())
            .collect();
        assert_eq!(values, ["edited", "third"]);
        // Broken off in the first line but one, and begun again; then once more.
        let first = exported.lines().next().unwrap();
        for part in [first, &exported, &exported] {
            run(&other, &["import"], part);
        }
        assert_eq!(run(&other, &["export"], "").lines().count(), 2);
        assert_eq!(run(&other, &["check"], ""), "all is well; messages: 2\n");
        // Into one that is spread over several streams, and out of that.
        let mut lines: Vec<_> = exported.lines().map(str::to_owned).collect();
        for room in ["coffee", "water", "차"] {
            let line = exported.lines().next().unwrap();
            lines.push(line.replace(r#""room":"tea""#, &format!(r#""room":"{room}""#)));
        }
        let name = ["--broker-name", "spread"];
        let streams = ["import", name[0], name[1], "--broker-streams", "3"];
        run(&other, &streams, &lines.join("\n"));
        let spread = run(&other, &["export", name[0], name[1]], "");
        let values = |lines: &mut dyn Iterator<Item = &str>| {
            let values = lines.map(|line| {
                let message = &serde_json::from_str::<Value>(line).unwrap()["message"];
                (message["room"].to_string(), message["value"].to_string())
            });
            values.collect::<BTreeSet<_>>()
        };
        assert_eq!(values(&mut spread.lines()), values(&mut lines.iter().map(String::as_str)));
    }

    #[tokio::test]
    async fn who_a_hub_is_at_nats_is_never_logged() {
        let (password, user) = ("a-word-to-pass", ["--user", "ada", "--pass"]);
        let nats =
            Nats::start_with(user.into_iter().chain([password]).map(str::to_owned).collect());
        let dir = std::env::temp_dir().join(format!("hubbub-secret-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&dir).unwrap();
        let url = nats.url().replace("//", &format!("//ada:{password}@"));
        let log = dir.join("log");
        let flags = ["--broker", &url, "--log", "trace"];
        let mut hub = Hubbub::start_logging(dir.join("data"), &log, &flags).await;
        hub.stop().await;
        let logged = std::fs::read_to_string(log).unwrap();
        assert!(logged.contains("NATS") && !logged.contains(password), "{logged}");
        let wrong = std::process::Command::new(env!("CARGO_BIN_EXE_hubbub"))
            .args(["check", "--broker", &format!("{url}/x")])
            .output()
            .unwrap();
        let told = String::from_utf8(wrong.stderr).unwrap();
        assert!(told.contains("--broker: it is not like nats://host:4222"), "{told}");
        assert!(!told.contains(password), "{told}");
        std::fs::remove_dir_all(dir).unwrap();
    }
}
