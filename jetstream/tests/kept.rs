//! What is kept beside messages, and what one hub does for all.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::{sync::Arc, time::Duration};

use hub::broker::{Broker, Retention};
use jetstream::JetStreamBroker;
use parking_lot::Mutex;
use support::*;
use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout},
};

/// Somebody who watches what is kept.
#[derive(Clone, Default)]
struct Eye(Arc<(Mutex<Vec<Seen>>, Notify)>);

/// A key, and what was kept under it.
type Seen = (String, Option<String>);

impl Eye {
    async fn open(broker: &JetStreamBroker) -> Self {
        let eye = Self::default();
        let sees = eye.clone();
        let watcher = Arc::new(move |key: &str, value: Option<&str>| {
            sees.0.0.lock().push((key.to_owned(), value.map(str::to_owned)));
            sees.0.1.notify_one();
        });
        assert!(broker.watch_kept(watcher).await.unwrap());
        eye
    }

    fn seen(&self) -> Vec<String> {
        let seen = self.0.0.lock();
        seen.iter()
            .map(|(key, value)| format!("{key}={}", value.as_deref().unwrap_or("-")))
            .collect()
    }

    /// Waits until that was the last that it saw.
    async fn until(&self, last: &str) {
        loop {
            let news = self.0.1.notified();
            if self.seen().last().is_some_and(|seen| seen == last) {
                return;
            }
            timeout(Duration::from_secs(30), news)
                .await
                .unwrap_or_else(|_| panic!("{:?}", self.seen()));
        }
    }
}

#[tokio::test]
async fn what_one_hub_keeps_or_forgets_the_others_are_told_once_and_in_order() {
    let nats = Nats::start();
    let one = hub(&nats, "kept", Retention::default()).await;
    one.keep("room\n차", Some("0")).await.unwrap();
    let other = hub(&nats, "kept", Retention::default()).await;
    let (here, there) = (Eye::open(&one).await, Eye::open(&other).await);
    let mut expected = vec!["room\n차=0".to_owned()];
    assert_eq!((here.seen(), there.seen()), (expected.clone(), expected.clone()));
    for n in 1..=50 {
        one.keep("room\n차", Some(&n.to_string())).await.unwrap();
        expected.push(format!("room\n차={n}"));
        assert_eq!(here.seen(), expected, "it is told before it is answered");
    }
    one.keep("room\n차", None).await.unwrap();
    expected.push("room\n차=-".to_owned());
    there.until("room\n차=-").await;
    other.keep("out\nada", Some("1")).await.unwrap();
    here.until("out\nada=1").await;
    expected.push("out\nada=1".to_owned());
    assert_eq!((here.seen(), there.seen()), (expected.clone(), expected));
}

#[tokio::test]
async fn what_was_kept_while_nats_was_away_for_one_is_told_when_it_is_back() {
    let mut nats = Nats::start();
    let one = hub(&nats, "kept", Retention::default()).await;
    let there = Eye::open(&one).await;
    nats.kill();
    nats.start_again();
    // It has not seen the other yet, perhaps, and has to look.
    let other = hub(&nats, "kept", Retention::default()).await;
    other.keep("a", Some("1")).await.unwrap();
    there.until("a=1").await;
    assert_eq!(there.seen(), ["a=1"]);
}

#[tokio::test]
async fn a_lease_is_one_hub_s_and_another_s_once_that_one_asks_no_more() {
    let nats = Nats::start();
    let one = hub(&nats, "lease", Retention::default()).await;
    let other = hub(&nats, "lease", Retention::default()).await;
    assert!(one.lease("hook").await.unwrap());
    assert!(other.lease("another").await.unwrap());
    let asked = Instant::now();
    for _ in 0..3 {
        assert!(!other.lease("hook").await.unwrap());
        assert!(one.lease("hook").await.unwrap());
    }
    let renewed = Instant::now();
    while !other.lease("hook").await.unwrap() {
        assert!(asked.elapsed() < Duration::from_secs(20));
        sleep(Duration::from_millis(50)).await;
    }
    assert!(renewed.elapsed() > hub::broker::LEASE, "{:?}", renewed.elapsed());
    assert!(!one.lease("hook").await.unwrap());
    assert!(other.lease("hook").await.unwrap());
}

#[tokio::test]
async fn a_secret_is_made_by_whoever_is_first_and_is_no_value_that_is_kept() {
    let nats = Nats::start();
    let one = hub(&nats, "secret", Retention::default()).await;
    let other = hub(&nats, "secret", Retention::default()).await;
    let (here, there) = tokio::join!(one.secret("key", b"one"), other.secret("key", b"other"));
    assert_eq!(here, there);
    let third = hub(&nats, "secret", Retention::default()).await;
    assert_eq!(third.secret("key", b"third").await, here);
    assert_eq!(third.secret("another", b"third").await.unwrap(), b"third");
    assert_eq!(third.kept().await.unwrap(), []);
}
