//! A hub with people in it, for tests.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::{sync::Arc, time::Instant};

use common::{
    After, Audience, Member, MemberId, MemberName, Message, Publish, RoomName, SessionId,
};
use hub::{
    Delivery, Hub, Limits, Published, Reader, Who,
    broker::{Retention, memory::MemoryBroker},
};

/// The time of the clock that a test can hold: rooms go by it.
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// A hub that holds little in memory, so that readers often read from the broker.
pub fn hub_with(limits: Limits, retention: Retention) -> Arc<Hub> {
    Hub::new(Arc::new(MemoryBroker::new(retention)), limits)
}

pub fn hub() -> Arc<Hub> {
    hub_with(Limits::default(), Retention::default())
}

pub fn room(name: &str) -> RoomName {
    RoomName::parse(name).unwrap()
}

/// `ada` with the session `ada-tab`.
pub fn who(name: &str) -> Who {
    let member =
        Member { id: MemberId::parse(name).unwrap(), name: MemberName::parse(name).unwrap() };
    Who::new(member, &SessionId::parse(&format!("{name}-tab.secret")).unwrap())
}

pub async fn say(hub: &Hub, name: &str, text: &str) -> Published {
    say_to(hub, name, text, Audience::All).await
}

pub async fn say_to(hub: &Hub, name: &str, text: &str, to: Audience) -> Published {
    let publish = Publish { to, ..Publish::text(text).unwrap() };
    hub.publish(&room("tea"), &who(name), publish, 1_000).await.unwrap()
}

pub async fn reader(hub: &Hub, name: &str, after: &After) -> Reader {
    hub.read(&room("tea"), who(name), after).await.unwrap().0
}

pub fn messages(delivery: &Delivery) -> Vec<Message> {
    delivery.records.iter().map(|record| record.message().unwrap()).collect()
}

/// The texts of the next delivery.
pub async fn texts(reader: &mut Reader) -> Vec<String> {
    let delivery = reader.next().await.unwrap();
    assert_eq!(delivery.reset, None);
    messages(&delivery).iter().map(|message| message.value.as_str().unwrap().to_owned()).collect()
}

/// Whether the reader has nothing to read, once all who are to be woken have been.
pub async fn is_quiet(reader: &mut Reader) -> bool {
    tokio::task::yield_now().await;
    is_pending(reader)
}

fn is_pending(reader: &mut Reader) -> bool {
    use std::{
        future::Future,
        pin::pin,
        task::{Context, Waker},
    };
    pin!(reader.next()).poll(&mut Context::from_waker(Waker::noop())).is_pending()
}
