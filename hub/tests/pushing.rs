//! Messages that are written past their reader: each is there once and in order, whichever of the two writes it.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::{
    collections::{HashSet, VecDeque},
    future::Future,
    pin::pin,
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, Ordering},
    },
    task,
    thread::ThreadId,
    time::Duration,
};

use common::{After, Audience, Offset};
use hub::{Burst, Limits, Outlet, Pushed, Reader, broker::Retention};
use parking_lot::Mutex;
use proptest::prelude::*;
use support::*;
use tokio::time::timeout;

/// Takes what it is pushed as it is told beforehand; all, if nothing was said.
#[derive(Default)]
struct Pipe {
    written: Mutex<Vec<u64>>,
    plan: Mutex<VecDeque<Pushed>>,
    pushes: Mutex<usize>,
}

impl Outlet for Pipe {
    fn push(&self, burst: &Burst<'_>) -> Pushed {
        assert!(!burst.records.is_empty(), "nothing is not to be pushed");
        *self.pushes.lock() += 1;
        let pushed = self.plan.lock().pop_front().unwrap_or(Pushed::All);
        if pushed != Pushed::None {
            self.written.lock().extend(burst.records.iter().map(|record| record.offset.0));
        }
        pushed
    }
}

impl Pipe {
    fn written(&self) -> Vec<u64> {
        self.written.lock().clone()
    }
}

/// Lets the reader do what its owner does when it is polled once: what it takes is written as well. Whether it waits.
fn poll(reader: &mut Reader, pipe: &Pipe) -> bool {
    let polled = pin!(reader.next()).poll(&mut task::Context::from_waker(task::Waker::noop()));
    let task::Poll::Ready(delivery) = polled else { return true };
    let delivery = delivery.unwrap();
    assert_eq!(delivery.reset, None);
    pipe.written.lock().extend(delivery.records.iter().map(|record| record.offset.0));
    false
}

/// All who are about to be woken, or pushed to, have been.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

async fn piped(hub: &hub::Hub) -> (Reader, Arc<Pipe>) {
    let pipe = Arc::new(Pipe::default());
    let reader = reader(hub, "ada", &After::Now).await.pushing_to(pipe.clone());
    // The first change in a room only tells the passes where they begin.
    say(hub, "bob", "first").await;
    settle().await;
    (reader, pipe)
}

#[tokio::test]
async fn who_has_read_everything_and_waits_is_pushed_to_and_not_woken() {
    let hub = hub();
    let (mut ada, pipe) = piped(&hub).await;
    while !poll(&mut ada, &pipe) {}
    let woken = Arc::new(Mutex::new(false));
    let flag = woken.clone();
    let waiting = tokio::spawn(async move {
        let _ = ada.next().await;
        *flag.lock() = true;
    });
    settle().await;
    for text in ["one", "two"] {
        say(&hub, "bob", text).await;
        settle().await;
    }
    assert_eq!((pipe.written(), *pipe.pushes.lock(), *woken.lock()), (vec![1, 2, 3], 2, false));
    waiting.abort();
}

#[tokio::test]
async fn who_is_behind_or_has_stopped_is_not_pushed_to() {
    let hub = hub();
    let (mut ada, pipe) = piped(&hub).await;
    say(&hub, "bob", "unread").await;
    settle().await;
    assert_eq!(pipe.written(), Vec::<u64>::new());
    while !poll(&mut ada, &pipe) {}
    assert_eq!(pipe.written(), [1, 2]);
    ada.stop_pushing();
    say(&hub, "bob", "later").await;
    settle().await;
    assert_eq!(pipe.written(), [1, 2]);
    drop(ada);
    say(&hub, "bob", "nobody reads").await;
    settle().await;
    assert_eq!(pipe.written(), [1, 2]);
}

#[tokio::test]
async fn where_the_rest_is_kept_the_reader_is_woken_with_nothing_to_write() {
    let hub = hub();
    let (mut ada, pipe) = piped(&hub).await;
    while !poll(&mut ada, &pipe) {}
    pipe.plan.lock().push_back(Pushed::Some);
    say(&hub, "bob", "half").await;
    settle().await;
    let delivery = ada.next().await.unwrap();
    assert!(delivery.is_empty());
    assert_eq!((pipe.written(), ada.position().offset), (vec![1, 2], Offset(2)));
    assert!(poll(&mut ada, &pipe), "that is told once");
}

#[tokio::test]
async fn what_is_said_to_some_is_pushed_to_those_alone() {
    let hub = hub();
    let (mut ada, pipe) = piped(&hub).await;
    while !poll(&mut ada, &pipe) {}
    say_to(&hub, "bob", "secret", Audience::Only(vec!["eve".to_owned()])).await;
    say_to(&hub, "bob", "for you", Audience::Only(vec!["ada".to_owned()])).await;
    settle().await;
    assert_eq!((pipe.written(), *pipe.pushes.lock()), (vec![1, 3], 1));
}

/// A pipe of a crowd: each worker waits in its first push until another one pushes, too.
struct Shared {
    written: Mutex<Vec<u64>>,
    crowd: Arc<Crowd>,
}

struct Crowd {
    workers: Mutex<HashSet<ThreadId>>,
    both: Barrier,
    /// In the pass over this message one push panics.
    panics_at: u64,
    panicked: AtomicBool,
}

impl Outlet for Shared {
    fn push(&self, burst: &Burst<'_>) -> Pushed {
        if self.crowd.workers.lock().insert(std::thread::current().id()) {
            self.crowd.both.wait();
        }
        let offsets: Vec<_> = burst.records.iter().map(|record| record.offset.0).collect();
        let is_it = offsets.contains(&self.crowd.panics_at);
        assert!(
            !is_it || self.crowd.panicked.swap(true, Ordering::Relaxed),
            "as the test wants it"
        );
        self.written.lock().extend(offsets);
        Pushed::All
    }
}

/// So many readers that two workers go over them.
const CROWD: usize = 600;

/// Says messages to a crowd, each when everybody has the one before, once and in order.
async fn tell_a_crowd(panics_at: u64) -> Arc<Crowd> {
    let hub = hub();
    let crowd = Arc::new(Crowd {
        workers: Mutex::default(),
        both: Barrier::new(2),
        panics_at,
        panicked: AtomicBool::new(false),
    });
    let (mut pipes, mut readers) = (Vec::new(), tokio::task::JoinSet::new());
    for _ in 0..CROWD {
        let pipe = Arc::new(Shared { written: Mutex::default(), crowd: crowd.clone() });
        let mut reader = reader(&hub, "ada", &After::Now).await.pushing_to(pipe.clone());
        pipes.push(pipe.clone());
        readers.spawn(async move {
            loop {
                let delivery = reader.next().await.unwrap();
                let offsets = delivery.records.into_iter().map(|record| record.offset.0);
                pipe.written.lock().extend(offsets);
            }
        });
    }
    // The first change in a room only tells the passes where they begin.
    for last in 1..=4 {
        say(&hub, "bob", "hi").await;
        let have = async || {
            while pipes.iter().any(|pipe| pipe.written.lock().last() != Some(&last)) {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(20), have()).await.expect("not everybody has it");
    }
    for pipe in pipes {
        assert_eq!(*pipe.written.lock(), [1, 2, 3, 4]);
    }
    crowd
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_go_over_a_crowd_at_once() {
    let crowd = tell_a_crowd(u64::MAX).await;
    assert_eq!(crowd.workers.lock().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whom_a_worker_that_panics_has_not_reached_reads_by_itself() {
    let crowd = tell_a_crowd(3).await;
    assert!(crowd.panicked.load(Ordering::Relaxed));
}

/// Panics at its first push.
#[derive(Default)]
struct Broken(AtomicBool);

impl Outlet for Broken {
    fn push(&self, _: &Burst<'_>) -> Pushed {
        assert!(self.0.swap(true, Ordering::Relaxed), "as the test wants it");
        Pushed::All
    }
}

#[tokio::test]
async fn a_push_that_panics_keeps_nothing_from_the_others() {
    let hub = hub();
    let broken = Arc::new(Broken::default());
    let mut eve = reader(&hub, "eve", &After::Now).await.pushing_to(broken.clone());
    let (mut ada, pipe) = piped(&hub).await;
    while !poll(&mut ada, &pipe) {}
    while !poll(&mut eve, &pipe) {}
    pipe.written.lock().clear();
    for text in ["one", "two"] {
        say(&hub, "bob", text).await;
        settle().await;
        while !poll(&mut ada, &pipe) {}
    }
    assert!(broken.0.load(Ordering::Relaxed));
    assert_eq!(pipe.written(), [2, 3]);
}

#[derive(Clone, Debug)]
enum Act {
    Say(u8, bool),
    Poll,
    Settle,
    Plan(Pushed),
    Stop,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let pushed = prop_oneof![Just(Pushed::All), Just(Pushed::Some), Just(Pushed::None)];
    let act = prop_oneof![
        4 => (1..4_u8, any::<bool>()).prop_map(|(count, to_all)| Act::Say(count, to_all)),
        4 => Just(Act::Poll),
        4 => Just(Act::Settle),
        2 => pushed.prop_map(Act::Plan),
        1 => Just(Act::Stop),
    ];
    prop::collection::vec(act, 1..60)
}

proptest! {
    #[test]
    fn each_message_is_written_once_and_in_order(acts in acts(), tail in 1..6_usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let limits = Limits { tail_messages: tail, ..Limits::default() };
            let hub = hub_with(limits, Retention::default());
            let (mut ada, pipe) = piped(&hub).await;
            let mut expected = vec![1];
            for act in acts {
                match act {
                    Act::Say(count, to_all) => {
                        for _ in 0..count {
                            let to = match to_all {
                                true => Audience::All,
                                false => Audience::Only(vec!["eve".to_owned()]),
                            };
                            let said = say_to(&hub, "bob", "hi", to).await;
                            expected.extend(to_all.then_some(said.position.offset.0));
                        }
                    }
                    Act::Poll => _ = poll(&mut ada, &pipe),
                    Act::Settle => settle().await,
                    Act::Plan(pushed) => pipe.plan.lock().push_back(pushed),
                    Act::Stop => ada.stop_pushing(),
                }
            }
            settle().await;
            while !poll(&mut ada, &pipe) {}
            prop_assert_eq!(pipe.written(), expected);
            Ok(())
        })?;
    }
}
