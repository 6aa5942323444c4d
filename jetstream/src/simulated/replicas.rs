//! One stream at all servers: what was agreed on, and how much of that each of them has by now.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use common::Offset;
use tokio::{sync::mpsc::UnboundedSender, time::Instant};

use super::{
    Entry,
    store::{Change, Store},
};
use crate::{
    shape::Shape,
    stream::{Failure, New, News},
};

pub(super) const SERVERS: usize = 3;
/// By then a server that is away does what it missed.
pub(super) const NEVER: Duration = Duration::from_secs(100_000_000);

pub(super) struct Replicas {
    pub(super) shape: Shape,
    /// As it was agreed on.
    pub(super) agreed: Store,
    /// As each server has it, and what it still has to do, by when.
    servers: [(Store, VecDeque<(Instant, Change)>); SERVERS],
    /// The ids that are known, with where their messages are, and since when.
    ids: BTreeMap<String, (u64, Instant)>,
    pub(super) listeners: Vec<Listener>,
    /// The lives of it, in this order, and of each in which branch of what was stored it is; the last is the one that it is in.
    pub(super) lives: Vec<(String, usize)>,
    /// All that was ever stored, from when it was made, or put back to what it was.
    pub(super) branches: Vec<Vec<Arc<Entry>>>,
    made: u64,
    /// What was on its way before the last upheaval does not arrive.
    pub(super) upheavals: u64,
}

/// Somebody who hears what is stored under a name.
pub(super) struct Listener {
    pub(super) hub: usize,
    pub(super) token: String,
    /// Nothing is heard before.
    pub(super) from: Instant,
    pub(super) news: UnboundedSender<(Instant, u64, News)>,
    /// What is told out of order: behind what comes next.
    pub(super) held: Option<News>,
}

/// All of a stream, as it was at some time.
#[derive(Clone, Debug)]
pub struct Snapshot(Store, Vec<Arc<Entry>>, BTreeMap<String, (u64, Instant)>);

impl Replicas {
    pub(super) fn new(shape: Shape) -> Self {
        let store = Store::new(1);
        Self {
            shape,
            servers: [(); SERVERS].map(|()| (store.clone(), VecDeque::new())),
            ids: BTreeMap::new(),
            listeners: Vec::new(),
            lives: vec![(store.life(), 0)],
            branches: vec![Vec::new()],
            agreed: store,
            made: 1,
            upheavals: 0,
        }
    }

    /// What a server has by now.
    pub(super) fn at(&mut self, server: usize, now: Instant) -> &mut Store {
        let (store, todo) = &mut self.servers[server];
        while let Some((_, change)) = todo.pop_front_if(|(due, _)| *due <= now) {
            store.apply(change, &self.shape);
        }
        store
    }

    /// A server has nothing new before then.
    pub(super) fn hold_up(&mut self, server: usize, until: Instant) {
        self.servers[server].1.iter_mut().for_each(|(due, _)| *due = until.max(*due));
    }

    /// A server does nothing any more for now.
    pub(super) fn fall_behind(&mut self, server: usize) {
        let now = Instant::now();
        self.at(server, now);
        self.hold_up(server, now + NEVER);
    }

    /// A server that had fallen behind has done all of it by then.
    pub(super) fn catch_up(&mut self, server: usize, by: Instant) {
        self.servers[server].1.iter_mut().for_each(|(due, _)| *due = by);
    }

    /// Everybody does so: each server by then.
    pub(super) fn agree(&mut self, change: Change, due: [Instant; SERVERS]) {
        self.agreed.apply(change.clone(), &self.shape);
        if let Change::Live(_) = &change {
            self.lives.push((self.agreed.life(), self.branches.len() - 1));
        }
        for ((_, todo), due) in self.servers.iter_mut().zip(due) {
            let last = todo.back().map_or(due, |(last, _)| *last);
            todo.push_back((last.max(due), change.clone()));
        }
    }

    /// Whether these may be stored: the offset of what is there with the same id, or why not.
    pub(super) fn is_known(&mut self, new: &[New], now: Instant) -> Result<Option<u64>, Failure> {
        let window = self.shape.window;
        self.ids.retain(|_, (_, since)| now.duration_since(*since) < window);
        let known = |new: &New| Some(self.ids.get(new.id.as_ref()?)?.0);
        if let [one] = new {
            return Ok(known(one));
        }
        let mut ids: Vec<_> = new.iter().filter_map(|new| new.id.as_ref()).collect();
        ids.sort();
        if new.iter().any(|new| known(new).is_some()) || ids.windows(2).any(|two| two[0] == two[1])
        {
            return Err(Failure::Known);
        }
        Ok(None)
    }

    /// Stores this; what there is to hear of it.
    pub(super) fn store(
        &mut self,
        new: New,
        (now, now_ms): (Instant, u64),
        due: [Instant; SERVERS],
    ) -> News {
        let previous = Offset(self.agreed.newest(&new.token));
        let New { token, id, payload } = new;
        let change = Change::Store {
            token: token.clone(),
            payload: payload.clone(),
            at: now,
            at_ms: now_ms / 1_000 * 1_000,
        };
        self.agree(change, due);
        let offset = Offset(self.agreed.last());
        if let Some(id) = id {
            self.ids.insert(id, (offset.0, now));
        }
        let news = News { item: crate::stream::Item { token, offset, payload }, previous };
        if let (Some(stored), Some(entry)) = (self.branches.last_mut(), Entry::of(&news.item)) {
            stored.push(Arc::new(entry));
        }
        news
    }

    pub(super) fn copy(&self) -> Snapshot {
        let stored = self.branches.last().cloned().unwrap_or_default();
        Snapshot(self.agreed.clone(), stored, self.ids.clone())
    }

    /// All servers go on with what there was then; which ids they know is read from it, or lost.
    pub(super) fn put_back(&mut self, copy: Snapshot, with_ids: bool) {
        let Snapshot(store, stored, ids) = copy;
        self.ids = if with_ids { ids } else { BTreeMap::new() };
        self.branches.push(stored);
        // It may have begun another life since.
        self.lives.push((store.life(), self.branches.len() - 1));
        self.all_begin_with(store);
    }

    /// It is deleted, and made once more.
    pub(super) fn make_anew(&mut self) {
        self.made += 1;
        self.ids.clear();
        let store = Store::new(self.made);
        self.branches.push(Vec::new());
        self.lives.push((store.life(), self.branches.len() - 1));
        self.all_begin_with(store);
    }

    fn all_begin_with(&mut self, store: Store) {
        self.upheavals += 1;
        self.listeners.iter_mut().for_each(|listener| listener.held = None);
        self.servers = [(); SERVERS].map(|()| (store.clone(), VecDeque::new()));
        self.agreed = store;
    }
}
