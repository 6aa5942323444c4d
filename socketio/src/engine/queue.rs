//! A queue with an end, for one reader, which takes no memory while it is empty.
//!
//! The channels there are keep places for what may come: 32 of them in tokio's, 2 KiB for a client that is quiet. The rule
//! to keep: whoever was promised a place is waited for, also once it is closed.

use std::{collections::VecDeque, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};

#[derive(Debug)]
struct Shared<T> {
    items: Mutex<VecDeque<T>>,
    /// As many as may still be put in. An item has the place that was promised for it until it is taken out.
    places: Semaphore,
    limit: usize,
    /// Something was put in, a place was given back, or nothing more can be promised.
    changed: Notify,
}

/// Where it is put in; a clone is the same.
#[derive(Debug)]
pub(super) struct Entry<T>(Arc<Shared<T>>);

impl<T> Clone for Entry<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// Where it is taken out. Once it is dropped nothing more can be put in.
#[derive(Debug)]
pub(super) struct Queue<T>(Arc<Shared<T>>);

/// A place in a queue. Dropped, it is given back.
#[derive(Debug)]
pub(super) struct Place<'a, T> {
    shared: &'a Shared<T>,
    permit: Option<SemaphorePermit<'a>>,
}

/// The two ends of a queue for so many.
pub(super) fn queue<T>(limit: usize) -> (Entry<T>, Queue<T>) {
    let shared = Arc::new(Shared {
        items: Mutex::default(),
        places: Semaphore::new(limit),
        limit,
        changed: Notify::new(),
    });
    (Entry(shared.clone()), Queue(shared))
}

impl<T> Shared<T> {
    fn close(&self) {
        self.places.close();
        self.changed.notify_one();
    }
}

impl<T> Entry<T> {
    /// Waits for a place; none if it is closed. Dropped while it waits, it has none.
    pub(super) async fn reserve(&self) -> Option<Place<'_, T>> {
        // However the wait ends, the reader hears of it: the place may have been promised by then.
        let mut place = Place { shared: &self.0, permit: None };
        place.permit = Some(self.0.places.acquire().await.ok()?);
        Some(place)
    }

    /// Nothing more comes.
    pub(super) fn close(&self) {
        self.0.close();
    }
}

impl<T> Place<'_, T> {
    /// Puts an item there.
    pub(super) fn put(mut self, item: T) {
        self.shared.items.lock().push_back(item);
        if let Some(permit) = self.permit.take() {
            permit.forget();
        }
    }
}

impl<T> Drop for Place<'_, T> {
    fn drop(&mut self) {
        drop(self.permit.take());
        self.shared.changed.notify_one();
    }
}

impl<T> Queue<T> {
    /// Takes nothing more; what is there can still be taken out.
    pub(super) fn close(&self) {
        self.0.close();
    }

    /// Whether there is nothing in it now.
    pub(super) fn is_empty(&self) -> bool {
        self.0.items.lock().is_empty()
    }

    /// The next item, if there is one now.
    pub(super) fn next_now(&self) -> Option<T> {
        let mut items = self.0.items.lock();
        let item = items.pop_front()?;
        if items.is_empty() {
            *items = VecDeque::new();
        }
        self.0.places.add_permits(1);
        Some(item)
    }

    /// The next item; none if it is closed, empty, and no place in it is promised. Dropped while it waits, it has taken none.
    pub(super) async fn next(&self) -> Option<T> {
        loop {
            let is_closed = self.0.places.is_closed();
            // Before it is looked: whoever is promised a place puts something in, or gives it back.
            let is_promised = self.0.places.available_permits() < self.0.limit;
            if let Some(item) = self.next_now() {
                return Some(item);
            }
            if is_closed && !is_promised {
                return None;
            }
            self.0.changed.notified().await;
        }
    }
}

impl<T> Drop for Queue<T> {
    fn drop(&mut self) {
        self.0.close();
        *self.0.items.lock() = VecDeque::new();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn what_is_put_in_comes_out_in_order_and_no_more_waits_than_may() {
        let (entry, queue) = queue(2);
        entry.reserve().await.unwrap().put(1);
        entry.reserve().await.unwrap().put(2);
        let mut third = Box::pin(entry.reserve());
        assert!((&mut third).now_or_never().is_none());
        assert_eq!(queue.next().await, Some(1));
        third.await.unwrap().put(3);
        assert_eq!((queue.next().await, queue.next_now()), (Some(2), Some(3)));
        assert!(queue.is_empty() && queue.next().now_or_never().is_none());
    }

    #[tokio::test]
    async fn a_place_that_is_not_used_is_given_back() {
        let (entry, queue) = queue(1);
        drop(entry.reserve().await.unwrap());
        entry.reserve().await.unwrap().put(1);
        let mut waits = Box::pin(entry.reserve());
        assert!((&mut waits).now_or_never().is_none());
        // It is promised the place, and gives up.
        assert_eq!(queue.next_now(), Some(1));
        drop(waits);
        assert!(entry.reserve().now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_promise_that_nobody_hears_of_any_more_ends_the_wait() {
        let (entry, queue) = queue(1);
        entry.reserve().await.unwrap().put(1);
        let mut waits = Box::pin(entry.reserve());
        assert!((&mut waits).now_or_never().is_none());
        assert_eq!(queue.next_now(), Some(1));
        queue.close();
        let mut next = Box::pin(queue.next());
        let _ = (&mut next).now_or_never();
        drop(waits);
        assert_eq!(next.await, None);
    }

    #[tokio::test]
    async fn closed_it_gives_what_is_there_and_what_was_promised_a_place() {
        let (entry, queue) = queue(2);
        entry.reserve().await.unwrap().put(1);
        let place = entry.reserve().await.unwrap();
        queue.close();
        assert!(entry.reserve().await.is_none());
        assert_eq!(queue.next().await, Some(1));
        let mut next = Box::pin(queue.next());
        assert!((&mut next).now_or_never().is_none());
        place.put(2);
        assert_eq!(next.await, Some(2));
        assert_eq!(queue.next().await, None);
    }

    #[tokio::test]
    async fn a_promise_that_is_given_back_ends_the_wait() {
        let (entry, queue) = queue::<u8>(1);
        let place = entry.reserve().await.unwrap();
        entry.close();
        let mut next = Box::pin(queue.next());
        assert!((&mut next).now_or_never().is_none());
        drop(place);
        assert_eq!(next.await, None);
    }

    #[tokio::test]
    async fn without_its_reader_nothing_can_be_put_in() {
        let (entry, queue) = queue::<u8>(1);
        entry.reserve().await.unwrap().put(1);
        let mut waits = Box::pin(entry.reserve());
        assert!((&mut waits).now_or_never().is_none());
        drop(queue);
        assert!(waits.await.is_none());
    }
}
