//! Ten thousand messages, one reader that changes the road all the time, and hubs of which one is stopped and one killed: each
//! message once, in order. At one hub, which is both; and at two on one log, which whoever connects comes to in turn.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::{
    nats::Nats,
    place::in_turn,
    process::Hubbub,
    road::{ROADS, Traveller},
};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

const MESSAGES: usize = 10_000;
const AT_ONCE: usize = 20;
/// How long after it was not answered it is asked again.
const AGAIN: Duration = Duration::from_millis(20);

/// Publishes all, a few at a time, each until it is acknowledged; says how far it is.
async fn publish(address: String, published: watch::Sender<usize>) {
    let http = reqwest::Client::builder().pool_max_idle_per_host(0).build().unwrap();
    for first in (0..MESSAGES).step_by(AT_ONCE) {
        let messages = first..first + AT_ONCE;
        let body: Value =
            messages.map(|n| json!({"value": n.to_string(), "id": format!("m{n}")})).collect();
        loop {
            let request = http.post(format!("http://{address}/api/rooms/hop/messages"));
            let request = request.header("content-type", "application/json");
            match request.body(body.to_string()).send().await {
                Ok(answer) if answer.status().is_success() => break,
                // That hub is away; the ids make it safe to say it again.
                Ok(_) | Err(_) => sleep(AGAIN).await,
            }
        }
        published.send_replace(first + AT_ONCE);
    }
}

/// Reads all, on every road in turn, a few hundred messages on each at the most.
async fn read(address: String) -> Vec<String> {
    let (mut read, mut query) = (Vec::new(), "after=0".to_owned());
    let (mut random, mut session) = (fastrand::Rng::with_seed(7), None);
    for road in ROADS.into_iter().cycle() {
        let Ok(mut traveller) = Traveller::join(&address, road, "hop", &query).await else {
            sleep(AGAIN).await;
            continue;
        };
        assert_eq!(traveller.recovery(), "replayed");
        let session = session.get_or_insert_with(|| traveller.session().to_owned());
        assert_eq!(traveller.session(), session, "a session is good at every hub");
        for _ in 0..random.usize(1..200) {
            let Ok(message) = traveller.message().await else { break };
            read.push(message["value"].as_str().unwrap().to_owned());
            if read.len() == MESSAGES {
                return read;
            }
        }
        query = format!("after={}&session={}", traveller.position, traveller.session());
    }
    unreachable!("the roads go round and round")
}

/// Publishes and reads all at this address, while of these hubs one is stopped and one killed.
async fn hop(mut hubs: Vec<Hubbub>, address: String) {
    let (tell, mut published) = watch::channel(0);
    let publisher = tokio::spawn(publish(address.clone(), tell));
    let reader = tokio::spawn(read(address));
    for (n, part) in [3, 2].into_iter().enumerate() {
        published.wait_for(|published| *published >= MESSAGES / part).await.unwrap();
        let count = hubs.len();
        let hub = &mut hubs[n % count];
        if n == 0 {
            hub.stop().await
        } else {
            hub.kill().await
        }
        hub.rise().await;
    }
    publisher.await.unwrap();
    let read = timeout(Duration::from_secs(60), reader).await.unwrap().unwrap();
    let expected: Vec<_> = (0..MESSAGES).map(|n| n.to_string()).collect();
    assert!(read == expected, "{:?}", read.iter().zip(&expected).find(|(a, b)| a != b));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_hops_over_all_roads_while_the_server_restarts_gets_each_message_once_in_order() {
    let dir = std::env::temp_dir().join(format!("hubbub-hop-{}", uuid::Uuid::new_v4()));
    let server = Hubbub::start(dir.clone(), "127.0.0.1:0").await;
    let address = server.address.clone();
    hop(vec![server], address).await;
    std::fs::remove_dir_all(dir).unwrap();
}

/// Tests that need a server of NATS; `cargo xtask test` leaves them out by this name where there is none.
mod on_nats {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn whoever_hops_over_all_roads_between_hubs_that_restart_gets_each_message_once_in_order()
    {
        let nats = Nats::start();
        // It is never made.
        let dir = std::env::temp_dir().join("hubbub-hop");
        let mut hubs = Vec::new();
        for _ in 0..2 {
            let flags = ["--broker", &nats.url(), "--publish-rate", "0"];
            hubs.push(Hubbub::start_with(dir.clone(), "127.0.0.1:0", &flags).await);
        }
        let address = in_turn([0, 1].map(|n: usize| hubs[n].address.parse().unwrap())).await;
        hop(hubs, address.to_string()).await;
    }
}
