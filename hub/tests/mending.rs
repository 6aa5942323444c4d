//! What is done to a message after it was said: who may do it, who hears of it, and what is left.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use common::{
    After, Audience, ErrorCode, Mend, Message, MessageId, Publish, Recovery, Refusal,
    limits::REACTIONS,
};
use hub::{Hub, HubError, Published, Who, broker::BrokerError};
use serde_json::{Value, json};
use support::*;

fn id(id: &str) -> MessageId {
    MessageId::parse(id).unwrap()
}

fn mend(how: Mend, of: &MessageId, value: Value) -> Publish {
    Publish::mending(how, of.clone(), value)
}

async fn publish(hub: &Hub, who: &Who, publish: Publish) -> Result<Published, Refusal> {
    hub.publish(&room("tea"), who, publish, 2_000).await.map_err(|error| match error {
        HubError::Broker(BrokerError::Refused(refusal)) => refusal,
        other => panic!("{other}"),
    })
}

async fn latest(hub: &Hub, name: &str) -> Vec<Message> {
    let stretch = hub.latest(&room("tea"), &who(name), None, 100).await.unwrap();
    stretch.records.iter().map(|record| record.message().unwrap()).collect()
}

#[tokio::test]
async fn whoever_reads_from_behind_finds_what_is_left_and_whoever_was_there_hears_of_it() {
    let hub = hub();
    let mut live = reader(&hub, "bob", &After::Now).await;
    let late = reader(&hub, "eve", &After::Now).await;
    let after = After::Position(late.position().clone());
    let first = say(&hub, "ada", "secret").await;
    let second = say(&hub, "ada", "helo").await;
    assert_eq!(texts(&mut live).await, ["secret", "helo"]);
    publish(&hub, &who("ada"), mend(Mend::Edit, &second.id, "hello".into())).await.unwrap();
    publish(&hub, &who("ada"), mend(Mend::Retract, &first.id, json!({}))).await.unwrap();

    let heard = messages(&live.next().await.unwrap());
    let heard: Vec<_> = heard.iter().map(|message| message.mends().unwrap().how).collect();
    assert_eq!(heard, [Mend::Edit, Mend::Retract]);
    // Nothing is missing for whoever comes back, and nothing of what was taken back is there.
    let (mut late, recovery) = hub.read(&room("tea"), who("eve"), &after).await.unwrap();
    assert_eq!(recovery, Recovery::Replayed);
    let found = messages(&late.next().await.unwrap());
    let values: Vec<_> = found.iter().map(|message| message.value.clone()).collect();
    assert_eq!(values, [json!("hello"), json!("hello"), json!({})]);
    // Whoever looks back finds messages alone.
    let looked = latest(&hub, "eve").await;
    assert_eq!((looked.len(), &looked[0].value), (1, &json!("hello")));
}

#[tokio::test]
async fn only_whoever_said_it_edits_or_takes_back_and_anyone_who_reads_it_reacts() {
    let hub = hub();
    let said = say(&hub, "ada", "hi").await;
    for how in [Mend::Edit, Mend::Retract] {
        let refusal = publish(&hub, &who("bob"), mend(how, &said.id, "x".into())).await;
        let refusal = refusal.unwrap_err();
        assert_eq!((refusal.code, refusal.field.as_deref()), (ErrorCode::NotYours, Some("of")));
    }
    let reaction =
        publish(&hub, &who("bob"), mend(Mend::Reaction, &said.id, json!(["👍"]))).await.unwrap();
    assert_eq!(latest(&hub, "eve").await[0].reactions[0].from[0].id.as_str(), "bob");
    // What is done to a message is none itself.
    let refusal = publish(&hub, &who("bob"), mend(Mend::Retract, &reaction.id, json!({}))).await;
    assert_eq!(refusal.unwrap_err().code, ErrorCode::InvalidField);
}

#[tokio::test]
async fn what_is_done_to_a_message_is_for_those_who_may_read_it_whatever_is_asked_for() {
    let hub = hub();
    let to = Audience::Only(vec!["ada".to_owned(), "bob".to_owned()]);
    let private = say_to(&hub, "ada", "between us", to.clone()).await;
    let others = say_to(&hub, "ada", "not for this tab", Audience::Others).await;
    let mut eve = reader(&hub, "eve", &After::Now).await;
    let mut ada = reader(&hub, "ada", &After::Now).await;
    let like = |of: &MessageId| mend(Mend::Reaction, of, json!(["👍"]));
    publish(&hub, &who("bob"), like(&private.id)).await.unwrap();
    let heard = messages(&ada.next().await.unwrap());
    assert_eq!((heard.len(), &heard[0].to), (1, &to));
    assert!(is_quiet(&mut eve).await);
    // Nobody learns that there is something they may not read.
    let unknown = publish(&hub, &who("eve"), like(&id("nothing"))).await.unwrap_err();
    let unseen = publish(&hub, &who("eve"), like(&private.id)).await.unwrap_err();
    assert_eq!((unknown.code, unseen.code), (ErrorCode::NotFound, ErrorCode::NotFound));
    let blank = |refusal: &Refusal, of: &MessageId| refusal.message.replace(of.as_str(), "");
    assert_eq!(blank(&unknown, &id("nothing")), blank(&unseen, &private.id));
    // Whoever said it may take it back, also where only others read it.
    let bobs = say_to(&hub, "ada", "for bob", Audience::Only(vec!["bob".to_owned()])).await;
    publish(&hub, &who("ada"), mend(Mend::Retract, &bobs.id, json!({}))).await.unwrap();
    assert!(is_quiet(&mut ada).await);
    // The tab that said it does not have it.
    publish(&hub, &who("bob"), like(&others.id)).await.unwrap();
    assert!(is_quiet(&mut ada).await);
    assert_eq!(messages(&eve.next().await.unwrap()).len(), 1);
}

#[tokio::test]
async fn to_take_back_again_after_the_answer_was_lost_is_no_mistake() {
    let hub = hub();
    let said = say(&hub, "ada", "hi").await;
    let back = || Publish { id: Some(id("b1")), ..mend(Mend::Retract, &said.id, json!({})) };
    let first = publish(&hub, &who("ada"), back()).await.unwrap();
    assert_eq!(publish(&hub, &who("ada"), back()).await.unwrap(), first);
    let other = Publish { id: Some(id("b2")), ..back() };
    let refusal = publish(&hub, &who("ada"), other).await.unwrap_err();
    assert_eq!((refusal.code, refusal.id.as_deref()), (ErrorCode::NotFound, Some("b2")));
    // Nobody else learns anything by that id.
    let error = hub.publish(&room("tea"), &who("bob"), back(), 1).await.unwrap_err();
    assert_eq!(error, BrokerError::IdTaken(id("b1")).into());
}

#[tokio::test]
async fn a_message_has_only_so_many_reactions() {
    let hub = hub();
    let said = say(&hub, "ada", "hi").await;
    let react = async |n: usize, emoji: Value| {
        publish(&hub, &who(&format!("m{n}")), mend(Mend::Reaction, &said.id, emoji)).await
    };
    for n in 0..REACTIONS {
        react(n, json!(["👍"])).await.unwrap();
    }
    let refusal = react(REACTIONS, json!(["👍"])).await.unwrap_err();
    assert_eq!((refusal.code, refusal.limit), (ErrorCode::TooLong, Some(100)));
    // Whoever has reacted may still think otherwise.
    react(0, json!(["🎉"])).await.unwrap();
    assert_eq!(react(1, json!(["🎉", "👍"])).await.unwrap_err().code, ErrorCode::TooLong);
    react(2, json!([])).await.unwrap();
    react(REACTIONS, json!(["👍"])).await.unwrap();
}
