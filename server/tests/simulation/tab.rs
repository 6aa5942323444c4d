//! A tab, and what must hold of what its client tells.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use client::{Change, Client, Row, RowChange, Scope, Setup, Status, Transport};
use common::{
    Audience, ErrorCode, Hello, Member, Members, MessageId, Offset, Position, Recovery, StateKind,
};

use super::log::{Kept, Log};

pub struct Tab {
    pub client: Client,
    pub member: Member,
    pub token: String,
    /// The public part of its session, once it has one.
    pub session: Option<String>,
    /// What the browser keeps for this tab.
    pub kept: BTreeMap<String, String>,
    /// Everything up to here was read, or told to be missing.
    pub cursor: Position,
    pub rows: Vec<Row>,
    pub members: Members,
    pub transport: Transport,
    pub said: Vec<MessageId>,
    /// Those that were refused or taken over by another, and may have been overtaken.
    pub overtaken: BTreeSet<MessageId>,
    taken: HashMap<MessageId, Offset>,
}

impl Tab {
    pub fn new(setup: Setup, member: Member, token: String, cursor: Position) -> Self {
        let rows = client::first_rows(setup.messages.clone());
        Self {
            client: Client::new(setup),
            member,
            token,
            session: None,
            kept: BTreeMap::new(),
            cursor,
            rows,
            members: Members::default(),
            transport: Transport::WebSocket,
            said: Vec::new(),
            overtaken: BTreeSet::new(),
            taken: HashMap::new(),
        }
    }

    pub fn keep(&mut self, scope: Scope, key: &str, text: &str) {
        assert_eq!(scope, Scope::Tab);
        self.kept.insert(key.to_owned(), text.to_owned());
    }

    /// Whether this tab may read a message: written down apart from the hub's own rule.
    pub fn may_read(&self, kept: &Kept) -> bool {
        let from = kept.envelope.session.as_ref().map(|session| session.as_str());
        let session = self.session.as_deref();
        match &kept.message.to {
            Audience::All => true,
            Audience::Others => from != session,
            Audience::Own => from == session,
            Audience::Only(ids) => {
                let mine = [Some(self.member.id.as_str()), session];
                ids.iter().any(|id| mine.contains(&Some(id.as_str())))
            }
        }
    }

    pub fn hear(&mut self, change: Change, log: &Log) {
        match change {
            Change::Hello(hello) => self.check_hello(&hello),
            Change::Arrived { message, .. } => {
                let from = self.cursor.offset;
                assert!(message.offset > from, "invariants 1 and 3: {from}, then {message:?}");
                let passed = log.between(&self.cursor, message.offset);
                let mine: Vec<_> = passed.iter().filter(|kept| self.may_read(kept)).collect();
                let offsets: Vec<_> = mine.iter().map(|kept| kept.offset.0).collect();
                let next = [message.offset.0];
                assert_eq!(offsets, next, "invariants 2, 4 and 7: read on from {from}");
                assert_eq!(mine[0].message, *message, "invariant 6");
                self.cursor.offset = message.offset;
            }
            Change::Taken { id, offset } => {
                let known = self.taken.insert(id.clone(), offset);
                let again = known.is_some_and(|known| known != offset);
                assert!(!again || log.lost.lock().contains(&id), "invariant 3: taken twice");
            }
            Change::Parked { id, refusal } => {
                assert_ne!(refusal.code, ErrorCode::RateLimited);
                self.overtaken.insert(id);
            }
            Change::Roster(StateKind::Members, members) => self.members = members,
            Change::Row(RowChange::Inserted { at, row }) => self.rows.insert(at, row),
            Change::Row(RowChange::Changed { at, row }) => {
                assert_eq!(self.rows[at].key, row.key, "a row has become another");
                self.rows[at] = row;
            }
            Change::Row(RowChange::Removed { at }) => drop(self.rows.remove(at)),
            Change::Transport { transport, .. } => self.transport = transport,
            _ => {}
        }
    }

    fn check_hello(&mut self, hello: &Hello) {
        assert_eq!(hello.member.id, self.member.id);
        self.session = Some(hello.session.public().to_owned());
        match hello.recovery {
            Recovery::Reset => {
                let (to, from) = (&hello.position, &self.cursor);
                assert!(to.epoch != from.epoch || to.offset > from.offset, "a gap where none is");
                self.cursor = hello.position.clone();
            }
            Recovery::Replayed | Recovery::Fresh => {
                assert_eq!(hello.position, self.cursor, "invariant 4: it goes on elsewhere");
            }
        }
    }

    /// What nobody can say how far it got, or was refused.
    pub fn stuck(&self) -> Vec<MessageId> {
        let stuck = self
            .rows
            .iter()
            .filter(|row| matches!(row.status, Status::Parked(_) | Status::Unknown));
        stuck.filter_map(|row| Some(row.message.as_ref()?.id.clone())).collect()
    }

    pub fn check_the_end(&self, n: usize, log: &Log, members: usize) {
        let (truth, lost) = (log.truth(), log.lost.lock());
        let kept: HashMap<_, _> =
            truth.iter().map(|kept| (&kept.envelope.id, kept.offset)).collect();
        let mut ids: Vec<_> = truth.iter().map(|kept| (&kept.envelope.id, kept.offset)).collect();
        ids.sort();
        let twice = ids.windows(2).find(|two| two[0].0 == two[1].0);
        assert_eq!(twice, None, "invariant 3: an id is in the log twice");
        let unsent: Vec<_> = self.client.unsent().collect();
        assert!(unsent.is_empty(), "tab {n} has unsent: {unsent:?}");
        let acknowledged = |id| self.taken.contains_key(id) || self.overtaken.contains(id);
        let missing: Vec<_> = self
            .said
            .iter()
            .filter(|id| !kept.contains_key(id))
            .filter(|id| !(lost.contains(*id) && acknowledged(id)))
            .collect();
        assert!(missing.is_empty(), "invariant 2: said and not kept: {missing:?}");
        for (id, offset) in self.taken.iter().filter(|(id, _)| !lost.contains(*id)) {
            assert_eq!(kept.get(id), Some(offset), "invariant 2: {id} was acknowledged");
        }
        let unread = truth.iter().filter(|kept| kept.offset > self.cursor.offset);
        let unread: Vec<_> = unread.filter(|kept| self.may_read(kept)).collect();
        assert!(unread.is_empty(), "invariant 2: tab {n} never got {unread:?}");

        let in_order =
            self.said.iter().filter(|id| !self.overtaken.contains(*id) && !lost.contains(*id));
        let offsets: Vec<_> = in_order.map(|id| kept[id]).collect();
        assert!(offsets.is_sorted(), "tab {n}: the order of one sender: {offsets:?}");

        let (mut shown, mut last) = (HashSet::new(), Offset(0));
        for row in &self.rows {
            assert_eq!(row.status, Status::Sent);
            let Some(message) = &row.message else {
                last = Offset(0);
                continue;
            };
            assert!(shown.insert(message.id.clone()), "{} is shown twice", message.id);
            // What is lost has no place any more.
            if !lost.contains(&message.id) {
                assert!(message.offset > last, "tab {n} shows them out of order");
                last = message.offset;
            }
        }
        assert_eq!(self.members.count, members, "tab {n} sees {:?}", self.members);
        assert_eq!(self.transport, Transport::WebSocket, "tab {n} is back on the best");
    }
}
