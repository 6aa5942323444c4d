//! Hubs on real servers of NATS.
#![allow(
    dead_code,
    unused_imports,
    missing_debug_implementations,
    unreachable_pub,
    clippy::unwrap_used
)]

mod link;
mod nats;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use common::{Epoch, Offset, RoomName};
use hub::broker::{Broker, Heard, Opened, Page, Part, Read, Retention};
use jetstream::{JetStreamBroker, Options};
use parking_lot::Mutex;
use tokio::sync::Notify;

pub use self::{
    link::{Link, Trouble},
    nats::Nats,
};

/// A hub of this name on this server.
pub async fn hub(nats: &Nats, name: &str, retention: Retention) -> JetStreamBroker {
    hub_on(vec![nats.url()], name, 1, retention).await
}

/// A hub of this name on these servers, each message at so many of them.
pub async fn hub_on(
    servers: Vec<String>,
    name: &str,
    replicas: usize,
    retention: Retention,
) -> JetStreamBroker {
    let (name, wait) = (name.to_owned(), Duration::from_secs(2));
    let servers = servers.join(",").parse().unwrap();
    let options = Options { name, replicas, wait, ..Options::at(servers) };
    let started = Instant::now();
    loop {
        match JetStreamBroker::open(options.clone(), retention.clone()).await {
            Ok(broker) => return broker,
            // A cluster chooses who leads first.
            Err(error) => assert!(started.elapsed() < Duration::from_secs(60), "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Somebody who follows the room `tea`.
pub struct Ear {
    _opened: Opened,
    heard: Arc<(Mutex<Vec<Heard>>, Notify)>,
}

impl Ear {
    pub async fn open(broker: &JetStreamBroker) -> Self {
        let heard: Arc<(Mutex<Vec<Heard>>, Notify)> = Arc::default();
        let hears = heard.clone();
        let follower = Arc::new(move |news| {
            hears.0.lock().push(news);
            hears.1.notify_one();
        });
        Self { _opened: broker.open(&tea(), follower).await.unwrap(), heard }
    }

    /// The ids of what it has heard.
    pub fn ids(&self) -> Vec<String> {
        let heard = self.heard.0.lock();
        let records = heard.iter().filter_map(|news| match news {
            Heard::Records(records) => Some(records),
            Heard::Epoch(_) | Heard::LetGo(_) => None,
        });
        records.flatten().map(|record| record.envelope.id.to_string()).collect()
    }

    /// The lives of the log it has heard of.
    pub fn lives(&self) -> Vec<Epoch> {
        let heard = self.heard.0.lock();
        let lives = heard.iter().filter_map(|news| match news {
            Heard::Epoch(position) => Some(position.epoch.clone()),
            Heard::Records(_) | Heard::LetGo(_) => None,
        });
        lives.collect()
    }

    /// Waits until that is true of it.
    pub async fn until(&self, what: &str, is: impl Fn(&Self) -> bool) {
        while !is(self) {
            let news = self.heard.1.notified();
            let heard = tokio::time::timeout(Duration::from_secs(30), news).await;
            heard.unwrap_or_else(|_| panic!("{what}: {:?}", self.heard.0.lock()));
        }
    }
}

pub fn tea() -> RoomName {
    RoomName::parse("tea").unwrap()
}

/// All of the room `tea`, with what was acknowledged.
pub async fn page(broker: &JetStreamBroker, at_least: Offset) -> Page {
    let part = Part::After(Offset(0));
    broker
        .read(&tea(), Read { part, records: usize::MAX, bytes: usize::MAX, at_least })
        .await
        .unwrap()
}

/// What a page has, as far as hubs have to agree on it.
pub fn said(page: &Page) -> Vec<(Offset, String)> {
    page.records.iter().map(|record| (record.offset, record.params().to_owned())).collect()
}
