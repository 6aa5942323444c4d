//! What the application has said and no transport has taken yet.
//!
//! Start at [`Outbox::next`]. The rule to keep: nothing is lost when a wait is dropped, and what is
//! left when a transport gives the outbox back goes out first on the next one.

use super::{packet::Message, queue::Queue};
use bytes::Bytes;

/// What goes out in one piece: nothing gets between a message and what belongs to it.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) first: Message,
    pub(super) rest: Vec<Bytes>,
}

/// The transports' end of the queue to the client.
#[derive(Debug)]
pub(super) struct Outbox {
    queue: Queue<Batch>,
    rest: std::vec::IntoIter<Bytes>,
}

impl Outbox {
    pub(super) fn new(queue: Queue<Batch>) -> Self {
        Self { queue, rest: Vec::new().into_iter() }
    }

    /// Takes nothing more from the application; what is there can still be taken out.
    pub(super) fn close(&mut self) {
        self.queue.close();
    }

    /// Whether there is nothing in it now.
    pub(super) fn is_empty(&self) -> bool {
        self.rest.len() == 0 && self.queue.is_empty()
    }

    /// The next message; none if it was closed and is empty.
    pub(super) async fn next(&mut self) -> Option<Message> {
        if let Some(bytes) = self.rest.next() {
            return Some(Message::Binary(bytes));
        }
        let batch = self.queue.next().await?;
        self.rest = batch.rest.into_iter();
        Some(batch.first)
    }

    /// The next message, if there is one now.
    pub(super) fn next_now(&mut self) -> Option<Message> {
        if let Some(bytes) = self.rest.next() {
            return Some(Message::Binary(bytes));
        }
        let batch = self.queue.next_now()?;
        self.rest = batch.rest.into_iter();
        Some(batch.first)
    }
}
