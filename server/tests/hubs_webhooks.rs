//! Several hubs on one log on NATS, and a webhook: one of them tells it, and when that dies, another.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

/// Tests that need a server of NATS; `cargo xtask test` leaves them out by this name where there is none.
mod on_nats {
    use std::{
        path::PathBuf,
        sync::{Arc, Mutex},
        time::Duration,
    };

    use reqwest::header;
    use serde_json::{Value, json};
    use tokio::{net::TcpListener, sync::Notify, time::timeout};

    use crate::support::{nats::Nats, process::Hubbub};

    /// How many messages are told at once at the most.
    const BATCH: usize = 100;

    /// Where a webhook goes, and the values that came there.
    struct Receiver {
        url: String,
        told: Arc<(Mutex<Vec<String>>, Notify)>,
    }

    impl Receiver {
        async fn start() -> Self {
            let told: Arc<(Mutex<Vec<String>>, Notify)> = Arc::default();
            let taken = told.clone();
            let take = axum::routing::post(async move |body: String| {
                let body: Value = serde_json::from_str(&body).unwrap();
                let messages = body["data"]["messages"].as_array().into_iter().flatten();
                let values = messages.map(|message| message["value"].as_str().unwrap().to_owned());
                taken.0.lock().unwrap().extend(values);
                taken.1.notify_one();
            });
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}/hook", listener.local_addr().unwrap());
            let app = axum::Router::new().route("/hook", take);
            tokio::spawn(async { axum::serve(listener, app).await.unwrap() });
            Self { url, told }
        }

        /// What has come by the time that this has.
        async fn until(&self, last: &str) -> Vec<String> {
            self.when(|told| told.iter().any(|value| value == last)).await
        }

        /// What has come, once it is that.
        async fn when(&self, is: impl Fn(&[String]) -> bool) -> Vec<String> {
            loop {
                let news = self.told.1.notified();
                let told = self.told.0.lock().unwrap().clone();
                if is(&told) {
                    return told;
                }
                timeout(Duration::from_secs(30), news).await.unwrap_or_else(|_| panic!("{told:?}"));
            }
        }
    }

    /// A hub of its own process.
    async fn hub(nats: &Nats, dir: PathBuf, receiver: &Receiver, streams: &str) -> Hubbub {
        let secret = dir.with_extension("secret");
        std::fs::write(&secret, format!("whsec_{}\n", "abcd".repeat(10))).unwrap();
        let (url, secret) = (nats.url(), secret.to_str().unwrap().to_owned());
        let hook = ["--webhook", &receiver.url, "--webhook-secret", &secret];
        let flags = ["--broker", &url, "--broker-streams", streams, "--publish-rate", "0"];
        let flags = flags.into_iter().chain(hook);
        Hubbub::start_with(dir, "127.0.0.1:0", &flags.collect::<Vec<_>>()).await
    }

    async fn say(hub: &Hubbub, value: &str) {
        say_in("tea", hub, value).await;
    }

    async fn say_in(room: &str, hub: &Hubbub, value: &str) {
        let say = reqwest::Client::new()
            .post(format!("http://{}/api/rooms/{room}/messages", hub.address))
            .header(header::CONTENT_TYPE, "application/json")
            .body(json!({"value": value, "id": value}).to_string());
        assert_eq!(say.send().await.unwrap().status(), 200);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_is_said_at_any_hub_is_told_once_and_goes_on_when_the_hub_dies_that_tells_it() {
        let dir = std::env::temp_dir().join(format!("hubbub-hooks-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&dir).unwrap();
        let (nats, receiver) = (Nats::start(), Receiver::start().await);
        // It tells, for it was there first.
        let one = hub(&nats, dir.join("one"), &receiver, "1").await;
        let other = hub(&nats, dir.join("other"), &receiver, "1").await;
        let mut said = Vec::new();
        for n in 0..200 {
            let value = format!("both {n}");
            say(if n % 2 == 0 { &one } else { &other }, &value).await;
            said.push(value);
        }
        assert_eq!(receiver.until("both 199").await, said);
        for n in 0..50 {
            let value = format!("last {n}");
            say(&other, &value).await;
            said.push(value);
        }
        // SIGKILL, in the middle of telling.
        drop(one);
        for n in 0..50 {
            let value = format!("alone {n}");
            say(&other, &value).await;
            said.push(value);
        }
        let told = receiver.until("alone 49").await;
        let mut once = told.clone();
        let mut seen = std::collections::BTreeSet::new();
        once.retain(|value| seen.insert(value.clone()));
        assert_eq!(once, said, "nothing is missing, and all is in order");
        assert!(told.len() - once.len() <= BATCH, "{told:?}");
        assert!(!dir.join("other").exists(), "no data directory is made");
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn of_several_streams_all_is_told_and_each_room_in_order() {
        let dir = std::env::temp_dir().join(format!("hubbub-hooks-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&dir).unwrap();
        let (nats, receiver) = (Nats::start(), Receiver::start().await);
        let one = hub(&nats, dir.join("one"), &receiver, "3").await;
        // It takes the number that is there.
        let other = hub(&nats, dir.join("other"), &receiver, "1").await;
        for n in 0..20 {
            for room in 0..8 {
                let hub = if (n + room) % 2 == 0 { &one } else { &other };
                say_in(&format!("room-{room}"), hub, &format!("{room} {n}")).await;
            }
        }
        let told = receiver.when(|told| told.len() >= 20 * 8).await;
        for room in 0..8 {
            let said: Vec<_> = (0..20).map(|n| format!("{room} {n}")).collect();
            let of_it = told.iter().filter(|value| value.starts_with(&format!("{room} ")));
            assert_eq!(of_it.cloned().collect::<Vec<_>>(), said);
        }
        std::fs::remove_dir_all(dir).unwrap();
    }
}
