//! How far readers are behind: seen from outside, without any of them having to say.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use common::{After, Audience};
use hub::{Burst, Hub, Lag, Limits, Outlet, Pushed, broker::Retention};
use support::*;
use tokio::time::advance;

/// What everybody here says is kept then: milliseconds since 1970.
const KEPT_AT: u64 = 1_000;

/// The lag so many seconds after everything was said.
async fn lag(hub: &Hub, seconds: u64) -> Lag {
    hub.lag(KEPT_AT + seconds * 1_000).await
}

fn behind(messages: usize, seconds: u64) -> Lag {
    Lag { behind: 1, messages, oldest: Duration::from_secs(seconds) }
}

const NONE: Lag = Lag { behind: 0, messages: 0, oldest: Duration::ZERO };

/// All who are about to be pushed to have been.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_is_read_once_the_reader_is_back_for_more() {
    let hub = hub();
    let mut ada = reader(&hub, "ada", &After::Now).await;
    assert!(is_quiet(&mut ada).await);
    advance(Duration::from_secs(60)).await;
    say(&hub, "bob", "one").await;
    say(&hub, "bob", "two").await;
    assert_eq!(
        lag(&hub, 1).await,
        Lag { behind: 0, ..behind(2, 1) },
        "so long delivering may take"
    );
    assert_eq!(lag(&hub, 3).await, behind(2, 3));
    assert_eq!(texts(&mut ada).await, ["one", "two"]);
    say(&hub, "bob", "three").await;
    assert_eq!(lag(&hub, 5).await, behind(3, 5), "it may hang writing that");
    assert_eq!(texts(&mut ada).await, ["three"]);
    assert_eq!(lag(&hub, 5).await, behind(1, 5));
    assert!(is_quiet(&mut ada).await);
    assert_eq!(lag(&hub, 5).await, NONE);
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_is_behind_for_no_longer_than_it_is_there() {
    let hub = hub();
    say(&hub, "bob", "long ago").await;
    let mut ada = reader(&hub, "ada", &After::Oldest).await;
    assert_eq!(lag(&hub, 3_600).await, NONE, "nobody has asked it to read yet");
    assert_eq!(texts(&mut ada).await, ["long ago"]);
    advance(Duration::from_secs(2)).await;
    assert_eq!(lag(&hub, 3_600).await, behind(1, 2));
    drop(ada);
    assert_eq!(lag(&hub, 3_600).await, NONE);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_in_memory_any_more_counts_by_when_it_was_kept() {
    let limits = Limits { tail_messages: 2, ..Limits::default() };
    let hub = hub_with(limits, Retention::default());
    let mut ada = reader(&hub, "ada", &After::Now).await;
    assert!(is_quiet(&mut ada).await);
    advance(Duration::from_secs(60)).await;
    say(&hub, "bob", "first").await;
    assert_eq!(texts(&mut ada).await, ["first"]);
    for later in 1..10 {
        let (bob, room) = (who("bob"), room("tea"));
        let publish = common::Publish::text("later").unwrap();
        hub.publish(&room, &bob, publish, KEPT_AT + later * 1_000).await.unwrap();
    }
    assert_eq!(lag(&hub, 9).await, behind(2, 9));
}

#[tokio::test(start_paused = true)]
async fn what_is_for_others_is_no_lag_once_it_is_passed() {
    let hub = hub();
    let mut ada = reader(&hub, "ada", &After::Now).await;
    assert!(is_quiet(&mut ada).await);
    say_to(&hub, "bob", "secret", Audience::Only(vec!["eve".to_owned()])).await;
    assert!(is_quiet(&mut ada).await);
    assert_eq!(lag(&hub, 5).await, NONE);
}

/// Takes all, or the half of it.
#[derive(Default)]
struct Pipe {
    is_full: AtomicBool,
}

impl Outlet for Pipe {
    fn push(&self, _: &Burst<'_>) -> Pushed {
        match self.is_full.load(Ordering::Relaxed) {
            true => Pushed::Some,
            false => Pushed::All,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_pushed_in_part_is_unread_until_the_rest_is_written() {
    let (hub, pipe) = (hub(), Arc::new(Pipe::default()));
    let mut ada = reader(&hub, "ada", &After::Now).await.pushing_to(pipe.clone());
    // The first change in a room only tells the passes where they begin.
    say(&hub, "bob", "first").await;
    settle().await;
    assert_eq!(texts(&mut ada).await, ["first"]);
    assert!(is_quiet(&mut ada).await);
    advance(Duration::from_secs(60)).await;
    say(&hub, "bob", "whole").await;
    settle().await;
    assert_eq!(lag(&hub, 5).await, NONE);
    pipe.is_full.store(true, Ordering::Relaxed);
    say(&hub, "bob", "half").await;
    settle().await;
    say(&hub, "bob", "later").await;
    settle().await;
    assert_eq!(lag(&hub, 5).await, behind(2, 5));
    // It is told of the rest, and takes what came behind it.
    assert_eq!(texts(&mut ada).await, ["later"]);
    assert_eq!(lag(&hub, 5).await, behind(2, 5));
    assert!(is_quiet(&mut ada).await);
    assert_eq!(lag(&hub, 5).await, NONE);
}
