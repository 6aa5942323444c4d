//! What is kept beside messages: a stream of its own, a subject a key, of each the newest value.
//!
//! A hub that watches is told of each value once, in the order of the stream: by what it hears, by what it keeps itself, or by
//! reading all of it again, when it turns out that something was not heard of.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use bytes::Bytes;
use common::Offset;
use futures_util::StreamExt;
use hub::broker::Watcher;
use parking_lot::Mutex;

use crate::{
    names,
    room::Listening,
    stream::{Failure, Hearing, Item, New, Stream},
};

/// What is read at once.
const ITEMS: usize = 1_000;
const BYTES: usize = 4 * 1024 * 1024;
/// Keys of our own, which no name becomes.
const CHECK: &str = "=check";
const GONE: &str = "=gone";
/// [`GONE`] of this stream of the log.
fn gone_of(shard: usize) -> String {
    match shard {
        0 => GONE.to_owned(),
        shard => format!("{GONE}-{shard}"),
    }
}

pub(crate) struct Kept {
    pub(crate) stream: Arc<dyn Stream>,
    watched: Mutex<Watched>,
}

/// What whoever watches was told.
#[derive(Default)]
struct Watched {
    watcher: Option<Watcher>,
    listening: Option<Listening>,
    /// Which life of the stream that was of.
    life: String,
    /// Everything up to here was heard of, unless something was missed.
    heard: Offset,
    /// Where the value of each key is that was told.
    told: HashMap<String, Offset>,
}

impl Watched {
    /// Tells of what is newer than what was told.
    fn tell(&mut self, item: &Item) {
        // What comes next in the stream; behind something that was not heard of it is looked for.
        if item.offset.0 == self.heard.0 + 1 {
            self.heard = item.offset;
        }
        let Some((key, value)) = key_and_value(item) else { return };
        let told = self.told.entry(item.token.clone()).or_insert(Offset(0));
        if *told < item.offset {
            *told = item.offset;
            if let Some(watcher) = &self.watcher {
                watcher(&key, value);
            }
        }
    }
}

/// What an item is of, if it is not one of our own; no value, where it was forgotten.
fn key_and_value(item: &Item) -> Option<(String, Option<&str>)> {
    let value = std::str::from_utf8(&item.payload).ok()?;
    // Before a value there is a sign that it is one.
    Some((names::decode(&item.token)?, value.strip_prefix('=')))
}

impl Kept {
    pub(crate) fn new(stream: Arc<dyn Stream>) -> Self {
        Self { stream, watched: Mutex::default() }
    }

    /// Keeps a value under a key; `None` forgets it. Whoever watches was told when it returns.
    pub(crate) async fn keep(&self, key: &str, value: Option<&str>) -> Result<(), Failure> {
        let payload = value.map(|value| format!("={value}")).unwrap_or_default().into();
        let item = Item { token: names::encode(key), offset: Offset(0), payload };
        let offset = self.put(item.token.clone(), item.payload.clone()).await?;
        self.watched.lock().tell(&Item { offset, ..item });
        Ok(())
    }

    /// All there is, by key.
    pub(crate) async fn all(&self) -> Result<Vec<(String, String)>, Failure> {
        let items = self.items().await?;
        let kept = items.iter().filter_map(|item| {
            let (key, value) = key_and_value(item)?;
            Some((key, value?.to_owned()))
        });
        let mut kept: Vec<_> = kept.collect();
        kept.sort();
        Ok(kept)
    }

    async fn items(&self) -> Result<Vec<Item>, Failure> {
        let (mut all, mut after) = (Vec::new(), Offset(0));
        loop {
            let (items, more) = self.stream.read(None, after, ITEMS, BYTES).await?;
            after = items.last().map_or(after, |last| last.offset);
            all.extend(items);
            if !more {
                return Ok(all);
            }
        }
    }

    /// Tells `watcher` all there is, and what comes from then on.
    pub(crate) async fn watch(self: &Arc<Self>, watcher: Watcher) -> Result<(), Failure> {
        let heard = self.stream.listen("*").await?;
        let hearing = tokio::spawn(hear_on(Arc::downgrade(self), heard));
        {
            let mut watched = self.watched.lock();
            watched.watcher = Some(watcher);
            watched.listening = Some(Listening(hearing.abort_handle()));
        }
        self.catch_up().await
    }

    /// Numbers may mean something else by now: all of it is told anew, as far as it is another.
    pub(crate) fn doubt(&self) {
        self.watched.lock().life.clear();
    }

    /// Looks whether something was not heard of, and tells it then.
    pub(crate) async fn catch_up(&self) -> Result<(), Failure> {
        let before = {
            let watched = self.watched.lock();
            if watched.watcher.is_none() {
                return Ok(());
            }
            watched.heard
        };
        let facts = self.stream.facts().await?;
        // Made anew, or put back to what it was before: numbers mean something else by now.
        let is_other = self.watched.lock().life != facts.life || facts.last < before;
        if !is_other && facts.last <= before {
            return Ok(());
        }
        let items = self.items().await?;
        let mut watched = self.watched.lock();
        if is_other {
            watched.life = facts.life;
            watched.heard = Offset(0);
            let told = std::mem::take(&mut watched.told);
            let is_there = |token: &String| items.iter().any(|item| item.token == *token);
            let gone = told.into_keys().filter(|token| !is_there(token));
            let gone: Vec<_> = gone.filter_map(|token| names::decode(&token)).collect();
            if let Some(watcher) = &watched.watcher {
                gone.iter().for_each(|key| watcher(key, None));
            }
        }
        items.iter().for_each(|item| watched.tell(item));
        let last = items.last().map_or(Offset(0), |last| last.offset);
        watched.heard = watched.heard.max(last);
        Ok(())
    }

    /// The secret of this name: `new`, if there was none.
    pub(crate) async fn secret(&self, name: &str, new: &[u8]) -> Result<Vec<u8>, Failure> {
        // No name becomes such a key.
        let token = format!("=secret-{name}");
        loop {
            if let Some(item) = self.stream.newest(&token).await? {
                return Ok(item.payload.to_vec());
            }
            let payload = new.to_vec().into();
            let first = New { token: token.clone(), id: None, payload };
            if self.stream.replace(first, Offset(0)).await?.is_some() {
                return Ok(new.to_vec());
            }
        }
    }

    /// How far some room of a shard was let go of.
    pub(crate) async fn gone(&self, shard: usize) -> Result<Offset, Failure> {
        let newest = self.stream.newest(&gone_of(shard)).await?;
        let gone = newest.as_ref().and_then(|item| std::str::from_utf8(&item.payload).ok());
        Ok(Offset(gone.and_then(|gone| gone.parse().ok()).unwrap_or(0)))
    }

    /// Remembers how far some room of a shard was let go of.
    pub(crate) async fn let_go(&self, shard: usize, up_to: Offset) -> Result<(), Failure> {
        if self.gone(shard).await? >= up_to {
            return Ok(());
        }
        self.put(gone_of(shard), up_to.0.to_string().into()).await.map(drop)
    }

    /// Keeps something that nobody reads.
    pub(crate) async fn check(&self) -> Result<(), Failure> {
        self.put(CHECK.to_owned(), Bytes::new()).await.map(drop)
    }

    async fn put(&self, token: String, payload: Bytes) -> Result<Offset, Failure> {
        let new = New { token, id: None, payload };
        let (offset, _) = self.stream.send(vec![new]).await?.await?;
        Ok(offset)
    }
}

async fn hear_on(kept: Weak<Kept>, mut heard: Hearing) {
    while let Some(news) = heard.next().await {
        let Some(kept) = kept.upgrade() else { return };
        kept.watched.lock().tell(&news.item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_behind_something_that_was_not_heard_of_does_not_hide_it() {
        let mut watched = Watched::default();
        let item = |token: &str, offset| Item {
            token: token.to_owned(),
            offset: Offset(offset),
            payload: Bytes::from_static(b"=x"),
        };
        watched.tell(&item("a", 1));
        watched.tell(&item("c", 3));
        assert_eq!(watched.heard, Offset(1));
        watched.tell(&item("b", 2));
        assert_eq!(watched.heard, Offset(2));
    }
}
