//! A hub with people in it, for tests.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::sync::Arc;

use common::{
    After, Audience, Member, MemberId, MemberName, Message, Publish, RoomName, ServerFrame,
    SessionId,
};
use hub::{
    Author, Delivery, Hub, Limits, Published, Reader, Viewer,
    broker::{Retention, memory::MemoryBroker},
};

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
pub fn author(name: &str) -> Author {
    Author {
        session: SessionId::parse(&format!("{name}-tab")).unwrap(),
        member: Member {
            id: MemberId::parse(name).unwrap(),
            name: MemberName::parse(name).unwrap(),
        },
    }
}

pub fn viewer(name: &str) -> Viewer {
    let Author { session, member } = author(name);
    Viewer { session: Some(session), member: member.id }
}

pub async fn say(hub: &Hub, name: &str, text: &str) -> Published {
    say_to(hub, name, text, Audience::All).await
}

pub async fn say_to(hub: &Hub, name: &str, text: &str, to: Audience) -> Published {
    let publish = Publish { to, ..Publish::text(text).unwrap() };
    hub.publish(&room("tea"), &author(name), publish, 1_000).await.unwrap()
}

pub async fn reader(hub: &Hub, name: &str, after: &After) -> Reader {
    hub.read(&room("tea"), viewer(name), after).await.unwrap().0
}

pub fn messages(delivery: &Delivery) -> Vec<Message> {
    delivery
        .messages
        .iter()
        .map(|hub::Delivered { frame, .. }| {
            match ServerFrame::parse(std::str::from_utf8(frame).unwrap()) {
                Ok(Some(ServerFrame::Message(message))) => message,
                other => panic!("not a message frame: {other:?}"),
            }
        })
        .collect()
}

/// The texts of the next delivery.
pub async fn texts(reader: &mut Reader) -> Vec<String> {
    let delivery = reader.next().await.unwrap();
    assert_eq!(delivery.reset, None);
    messages(&delivery).iter().map(|message| message.value.as_str().unwrap().to_owned()).collect()
}

/// Whether the reader has nothing to read.
pub fn is_quiet(reader: &mut Reader) -> bool {
    use std::{
        future::Future,
        pin::pin,
        task::{Context, Waker},
    };
    pin!(reader.next()).poll(&mut Context::from_waker(Waker::noop())).is_pending()
}
