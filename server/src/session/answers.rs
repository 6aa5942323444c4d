//! What comes of what a client says. Most say nothing, and for those nothing is held.

use std::{collections::VecDeque, sync::Arc};

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesOrdered};
use tokio::sync::Mutex;

use super::{Answer, Out};

/// The answers to one client.
#[derive(Debug, Default)]
pub(super) struct Answers(Option<Box<Said>>);

#[derive(Debug, Default)]
struct Said {
    /// What is under way, in the order in which it was said.
    coming: FuturesOrdered<BoxFuture<'static, Answer>>,
    ready: VecDeque<Answer>,
    /// Whose turn it is to be kept, where somebody is asked before.
    turn: Arc<Mutex<()>>,
}

impl Answers {
    fn said(&mut self) -> &mut Said {
        self.0.get_or_insert_default()
    }

    /// There is an answer.
    pub(super) fn push(&mut self, answer: Answer) {
        self.said().ready.push_back(answer);
    }

    /// There will be one, behind those that will be already.
    pub(super) fn expect(&mut self, answer: impl Future<Output = Answer> + Send + 'static) {
        self.said().coming.push_back(answer.boxed());
    }

    /// Whose turn it is to be kept.
    pub(super) fn turn(&mut self) -> Arc<Mutex<()>> {
        self.said().turn.clone()
    }

    /// How many there are and will be.
    pub(super) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |said| said.coming.len() + said.ready.len())
    }

    /// All there are.
    pub(super) fn take(&mut self) -> Vec<Out> {
        let ready = self.0.iter_mut().flat_map(|said| said.ready.drain(..));
        ready.map(Out::Answer).collect()
    }

    /// Waits until there are more; false if none are under way.
    pub(super) async fn more(&mut self) -> bool {
        let Some(Said { coming, ready, .. }) = self.0.as_deref_mut() else { return false };
        let Some(answer) = coming.next().await else { return false };
        ready.push_back(answer);
        while let Some(Some(answer)) = coming.next().now_or_never() {
            ready.push_back(answer);
        }
        true
    }

    /// The next one, once it is there; none if there will be none.
    pub(super) async fn next(&mut self) -> Option<Answer> {
        let Said { coming, ready, .. } = self.0.as_deref_mut()?;
        match ready.pop_front() {
            Some(answer) => Some(answer),
            None => coming.next().await,
        }
    }
}
