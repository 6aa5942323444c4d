//! What is said in a room as one client knows it: messages in offset order, then what is still on its
//! way, in the order it was written. Every change of a row is told, so that whoever draws them touches
//! that row alone.
//!
//! The rule to keep: an id of a member is in here once, so a message that arrives by its own echo, by an ack and by
//! a replay is one row. When the log has begun another life, what it still has moves behind the gap; what stays
//! before it is lost.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use common::{After, MemberId, Mend, Mends, Message, MessageId, Offset, Position, Recovery};

use crate::outbox::{Outbox, Status};

#[cfg(test)]
mod tests;

/// How many rows that were said are kept.
const ROWS: usize = 200;
/// Messages of one member closer together than this are one group, in milliseconds.
const GROUP_MS: u64 = 5 * 60 * 1000;

/// One line of the timeline.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Names the row, and stays the same when anything else of it changes.
    pub key: u64,
    /// What was said; `None` where messages may be missing.
    pub message: Option<Arc<Message>>,
    /// How far it has got.
    pub status: Status,
    /// Whether it came, or went, directly: the server does not have it.
    pub direct: bool,
    /// Whether it goes on with what the same member said just before.
    pub grouped: bool,
    /// When the message before it was said, if there is one and nothing may be missing between them: milliseconds since
    /// 1970, UTC.
    pub before: Option<u64>,
}

impl Row {
    /// Takes over what it has of the row before it, if there is one; whether that is something else now.
    pub fn follow(&mut self, before: Option<&Self>) -> bool {
        let at = before.and_then(|before| before.message.as_ref()).map(|message| message.at);
        let place = (before.is_some_and(|before| self.goes_on(before)), at);
        let was = (self.grouped, self.before);
        (self.grouped, self.before) = place;
        was != place
    }

    /// Whether it goes on with what that one says.
    fn goes_on(&self, before: &Self) -> bool {
        match (&before.message, &self.message) {
            (Some(a), Some(b)) => {
                let alike = a.from == b.from && a.to == b.to && before.direct == self.direct;
                alike && b.at.saturating_sub(a.at) < GROUP_MS
            }
            _ => false,
        }
    }

    fn is_of(&self, member: &MemberId) -> bool {
        self.message.as_ref().is_some_and(|message| message.from.id == *member)
    }

    fn is(&self, id: &MessageId) -> bool {
        self.message.as_ref().is_some_and(|message| message.id == *id)
    }
}

/// The rows a client starts with, for `messages` that were read before it was there.
pub fn first_rows(messages: Vec<Message>) -> Vec<Row> {
    Timeline::new(messages, After::Now).rows.into()
}

/// A row has changed. Indexes are those at the time of this change, the ones before it being done.
#[derive(Clone, Debug, PartialEq)]
pub enum RowChange {
    /// There is a new one.
    Inserted {
        /// Where it is now.
        at: usize,
        /// What it is.
        row: Row,
    },
    /// This one is not what it was.
    Changed {
        /// Where it is.
        at: usize,
        /// What it is now; its key is the same.
        row: Row,
    },
    /// This one is gone.
    Removed {
        /// Where it was.
        at: usize,
    },
}

/// The timeline.
#[derive(Clone, Debug)]
pub(crate) struct Timeline {
    /// First those that were said, then the unsent.
    rows: VecDeque<Row>,
    said: usize,
    known: HashSet<MessageId>,
    /// Ids that have rows and are not in the log: those of an earlier life of it that did not arrive again, and of
    /// what went directly.
    earlier: HashSet<MessageId>,
    after: After,
    next_key: u64,
    changes: Vec<RowChange>,
}

impl Timeline {
    /// Starts with what was already read, and the position behind it.
    pub(crate) fn new(messages: Vec<Message>, after: After) -> Self {
        let mut timeline = Self {
            rows: VecDeque::new(),
            said: 0,
            known: HashSet::new(),
            earlier: HashSet::new(),
            after,
            next_key: 0,
            changes: Vec::new(),
        };
        // What is done to others of them was done to them before they were read.
        for message in messages.into_iter().filter(|message| message.mends().is_none()) {
            timeline.known.insert(message.id.clone());
            let row = timeline.new_row(Some(message.into()), Status::Sent);
            timeline.insert(timeline.rows.len(), row);
        }
        timeline.said = timeline.rows.len();
        timeline.changes.clear();
        timeline
    }

    /// Where to read on.
    pub(crate) fn after(&self) -> &After {
        &self.after
    }

    /// Whether the log has not been read as far as this.
    pub(crate) fn is_ahead(&self, offset: Offset) -> bool {
        match &self.after {
            After::Position(position) => offset > position.offset,
            After::Now | After::Oldest => true,
        }
    }

    /// Whether the log has been read as far as this, or further.
    pub(crate) fn has_read(&self, position: &Position) -> bool {
        match &self.after {
            After::Position(read) => read.epoch == position.epoch && read.offset >= position.offset,
            After::Now | After::Oldest => false,
        }
    }

    /// What has changed since this was last asked.
    pub(crate) fn take_changes(&mut self) -> Vec<RowChange> {
        std::mem::take(&mut self.changes)
    }

    /// The server said where the reading starts.
    pub(crate) fn hello(&mut self, position: Position, recovery: Recovery) {
        if recovery == Recovery::Reset {
            if let After::Position(before) = &self.after
                && before.epoch != position.epoch
            {
                // The ids of another life of the log say nothing about what is in this one.
                self.earlier.extend(self.known.drain());
            }
            let gap = self.new_row(None, Status::Sent);
            self.said += 1;
            self.insert(self.said - 1, gap);
        }
        self.after = After::Position(position);
    }

    /// A message arrived; true if it is new here, and not one that is done to another.
    pub(crate) fn receive(&mut self, message: Message) -> bool {
        if let After::Position(position) = &mut self.after {
            position.offset = position.offset.max(message.offset);
        }
        if message.mends().is_some() {
            self.mend(&message);
            return false;
        }
        let new = self.known.insert(message.id.clone());
        if new {
            self.put(message.into(), false);
        } else {
            self.correct(message.into());
        }
        new
    }

    /// Does to the row of another message what this one does.
    fn mend(&mut self, by: &Message) {
        let Some(Mends { of, how }) = by.mends() else { return };
        let Some(at) = self.rows.range(..self.said).rposition(|row| row.is(&of)) else { return };
        if how == Mend::Retract {
            self.said -= 1;
            // Its id stays known: it does not come back.
            self.earlier.remove(&of);
            return self.remove(at);
        }
        let Some(message) = self.rows[at].message.clone() else { return };
        let mut mended = Message::clone(&message);
        mended.mend(by);
        if mended != *message {
            self.rows[at].message = Some(mended.into());
            self.changed(at);
        }
    }

    /// What the server says of a message of ours counts, not what we wrote before it was taken.
    fn correct(&mut self, message: Arc<Message>) {
        let at = self.rows.range(..self.said).rposition(|row| row.is(&message.id));
        if let Some(at) = at
            && self.rows[at].message.as_ref() != Some(&message)
        {
            self.rows[at].message = Some(message);
            self.place(at);
            self.changed(at);
        }
    }

    /// The server has this message of ours, under the offset it says.
    pub(crate) fn acked(&mut self, message: Arc<Message>) {
        // The position stays: what others said before this may still be on its way.
        if message.mends().is_some() {
            return self.mend(&message);
        }
        if self.known.insert(message.id.clone()) {
            self.put(message, false);
        }
    }

    /// A message came, or went, directly; true if it is new here. Its row comes behind what was read so far, and behind
    /// the offset that it has.
    pub(crate) fn direct(&mut self, mut message: Message) -> bool {
        if self.shows(&message.id) {
            return false;
        }
        let id = message.id.clone();
        // Behind a gap numbers may begin again.
        let said = self.said.checked_sub(1).and_then(|last| self.rows[last].message.as_ref());
        message.offset = said.map_or(message.offset, |last| last.offset.max(message.offset));
        self.put(message.into(), true);
        self.earlier.insert(id);
        true
    }

    /// Whether there is a row of what was said under this id.
    fn shows(&self, id: &MessageId) -> bool {
        self.known.contains(id) || self.earlier.contains(id)
    }

    /// Whether there is a row of this that came, or went, directly.
    pub(crate) fn has_direct(&self, id: &MessageId) -> bool {
        self.earlier.contains(id) && self.rows.iter().any(|row| row.direct && row.is(id))
    }

    /// Whether a message with this id was said.
    pub(crate) fn knows(&self, id: &MessageId) -> bool {
        self.known.contains(id)
    }

    /// The number of a message that was said, as long as its row is kept.
    pub(crate) fn offset_of(&self, id: &MessageId) -> Option<Offset> {
        let row = self.rows.range(..self.said).rev().find(|row| row.is(id))?;
        row.message.as_ref().map(|message| message.offset)
    }

    /// Brings the rows of what is unsent up to date. Only the order matters that both have in common:
    /// what is new in the outbox is behind what was there.
    pub(crate) fn show_unsent(&mut self, outbox: &Outbox) {
        let mut at = self.said;
        // What is done to others has no row, unless somebody has to see to it.
        let is_shown = |message: &Message, status: &Status| {
            let is_stuck = matches!(status, Status::Unknown | Status::Parked(_));
            message.mends().is_none() || is_stuck
        };
        for (message, status) in
            outbox.unsent().filter(|(message, status)| is_shown(message, status))
        {
            while self.rows.get(at).is_some_and(|row| !row.is(&message.id)) {
                self.remove(at);
            }
            match self.rows.get_mut(at) {
                Some(row) if row.status == status => {}
                Some(row) => {
                    row.status = status;
                    self.changed(at);
                }
                None => {
                    let row = self.new_row(Some(message.clone()), status);
                    self.insert(at, row);
                }
            }
            at += 1;
        }
        while self.rows.len() > at {
            self.remove(at);
        }
    }

    /// Puts a message in offset order, within the stretch behind the last gap, and lets go of the
    /// oldest row that is too much. A message of ours keeps the row it had, and so does one of an earlier life.
    fn put(&mut self, message: Arc<Message>, direct: bool) {
        let first = if self.earlier.contains(&message.id) { 0 } else { self.said };
        let (id, from) = (message.id.clone(), message.from.id.clone());
        let is_same = |row: &Row| row.is(&id) && row.is_of(&from);
        let was = self.rows.range(first..).position(is_same).map(|index| first + index);
        let later = |row: &Row| match &row.message {
            Some(other) if row.direct && !direct => other.offset >= message.offset,
            Some(other) => other.offset > message.offset,
            None => false,
        };
        let mut at = self.said;
        while at > 0 && (was == Some(at - 1) || later(&self.rows[at - 1])) {
            at -= 1;
        }
        let followers = match was {
            Some(was) if was < at && !direct => self.direct_of(&from, was + 1..at),
            _ => Vec::new(),
        };
        let offset = message.offset;
        let mut row = Row { direct, ..self.new_row(Some(message), Status::Sent) };
        match was.is_some_and(|was| was < self.said) {
            true => _ = self.earlier.remove(&id),
            false => self.said += 1,
        }
        if let Some(was) = was {
            row.key = self.rows[was].key;
        }
        if was == Some(at) {
            self.rows[at] = row;
            self.place(at);
            self.changed(at);
        } else {
            if let Some(was) = was {
                self.remove(was);
                at -= usize::from(was < at);
            }
            self.insert(at, row);
        }
        // What the same member has said directly after it stays after it.
        for mut message in followers {
            Arc::make_mut(&mut message).offset = offset;
            let id = message.id.clone();
            self.put(message, true);
            self.earlier.insert(id);
        }
        self.forget_the_oldest();
    }

    /// What a member has said directly, of these rows.
    fn direct_of(&self, member: &MemberId, rows: std::ops::Range<usize>) -> Vec<Arc<Message>> {
        let rows = self.rows.range(rows).filter(|row| row.direct && row.is_of(member));
        rows.filter_map(|row| row.message.clone()).collect()
    }

    fn forget_the_oldest(&mut self) {
        if self.said > ROWS {
            if let Some(message) = &self.rows[0].message
                && !self.earlier.remove(&message.id)
            {
                self.known.remove(&message.id);
            }
            self.said -= 1;
            self.remove(0);
        }
    }

    fn new_row(&mut self, message: Option<Arc<Message>>, status: Status) -> Row {
        let key = self.next_key;
        self.next_key += 1;
        Row { key, message, status, direct: false, grouped: false, before: None }
    }

    fn insert(&mut self, at: usize, row: Row) {
        self.rows.insert(at, row);
        self.place(at);
        self.changes.push(RowChange::Inserted { at, row: self.rows[at].clone() });
        self.place_next(at + 1);
    }

    fn remove(&mut self, at: usize) {
        self.rows.remove(at);
        self.changes.push(RowChange::Removed { at });
        self.place_next(at);
    }

    fn changed(&mut self, at: usize) {
        self.changes.push(RowChange::Changed { at, row: self.rows[at].clone() });
        self.place_next(at + 1);
    }

    /// The row before this one is another now.
    fn place_next(&mut self, at: usize) {
        if at < self.rows.len() && self.place(at) {
            self.changes.push(RowChange::Changed { at, row: self.rows[at].clone() });
        }
    }

    /// Sets what a row has of the one before it; whether that is something else now.
    fn place(&mut self, at: usize) -> bool {
        let before = at.checked_sub(1).map(|before| self.rows[before].clone());
        self.rows[at].follow(before.as_ref())
    }
}
