//! The log of one room in memory: what is kept of it, by which ids, and what goes for what comes.
//!
//! A broker that has the whole of a room in memory decides by this, so that all of them decide alike: [`taken`], [`aim`],
//! and [`RoomLog::push`], which does to what is kept what the new one says.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use common::{MemberId, Mend, Mends, MessageId, Offset, Refusal, RoomName};

use super::{Keep, Part, Read, Retention, mend};
use crate::{Draft, Envelope, Record};

/// The log of one room.
#[derive(Debug, Default)]
pub struct RoomLog {
    records: VecDeque<Arc<Record>>,
    bytes: usize,
    floor: Offset,
    ids: HashMap<MessageId, Known>,
    /// Ids by age, with the time each was taken.
    ids_by_age: VecDeque<(u64, MessageId)>,
}

/// What is remembered of an id.
#[derive(Clone, Debug)]
pub struct Known {
    /// Where it was kept.
    pub offset: Offset,
    /// Who said it.
    pub member: MemberId,
    /// Of what a guest said: [`Draft::guest`].
    pub guest: Option<String>,
}

/// The first id under which somebody else has said something already.
pub fn taken<'a>(
    log: impl Fn(&RoomName) -> Option<&'a RoomLog>,
    drafts: &[Draft],
) -> Option<MessageId> {
    let mut own: HashMap<_, &Draft> = HashMap::new();
    let clash = drafts.iter().find(|draft| {
        let (room, id) = (&draft.envelope.room, &draft.envelope.id);
        let kept = log(room).and_then(|log| log.ids.get(id));
        let said = own.insert((room, id), draft);
        let kept = kept.map(|kept| (&kept.member, &kept.guest));
        let said = kept.or(said.map(|said| (&said.envelope.member, &said.guest)));
        said.is_some_and(|(member, guest)| !draft.is_by(member.as_str(), guest.as_deref()))
    })?;
    Some(clash.envelope.id.clone())
}

/// The drafts as they may be done to what is kept, and to what of them comes before. What was said before needs nothing.
///
/// # Errors
///
/// Those of [`Draft::aimed`].
pub fn aim<'a>(
    log: impl Fn(&RoomName) -> Option<&'a RoomLog>,
    drafts: Vec<Draft>,
) -> Result<Vec<Draft>, Refusal> {
    if drafts.iter().all(|draft| draft.envelope.mends.is_none()) {
        return Ok(drafts);
    }
    // What of them is said, and what is gone by then.
    let mut now: HashMap<(RoomName, MessageId), Option<Arc<Record>>> = HashMap::new();
    let mut aimed = Vec::with_capacity(drafts.len());
    for draft in drafts {
        let Envelope { room, id, mends, .. } = draft.envelope.clone();
        let log = log(&room);
        let is_known = log.is_some_and(|log| log.ids.contains_key(&id));
        let draft = match mends {
            Some(Mends { of, how })
                if !is_known && !now.contains_key(&(room.clone(), id.clone())) =>
            {
                let key = (room.clone(), of);
                let target = match now.get(&key) {
                    Some(target) => target.clone(),
                    None => log.and_then(|log| log.find(&key.1)).cloned(),
                };
                let draft = draft.aimed(target.as_deref())?;
                let by = draft.clone().numbered(Offset(0));
                let left = target.filter(|_| how != Mend::Retract).map(|target| target.mended(&by));
                now.insert(key, left);
                draft
            }
            _ => draft,
        };
        now.entry((room, id)).or_insert_with(|| Some(draft.clone().numbered(Offset(0))));
        aimed.push(draft);
    }
    Ok(aimed)
}

impl RoomLog {
    /// An empty one, of which everything up to `floor` may be gone.
    pub fn behind(floor: Offset) -> Self {
        Self { floor, ..Self::default() }
    }

    /// What is kept, in offset order.
    pub fn records(&self) -> impl DoubleEndedIterator<Item = &Arc<Record>> + ExactSizeIterator {
        self.records.iter()
    }

    /// Those behind an offset.
    pub(super) fn records_behind(&self, offset: Offset) -> impl Iterator<Item = &Arc<Record>> {
        let start = self.records.partition_point(|record| record.offset <= offset);
        self.records.range(start..)
    }

    /// Bytes of what is kept, encoded.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Everything up to here may be gone.
    pub fn floor(&self) -> Offset {
        self.floor
    }

    /// How many ids are remembered.
    #[cfg(test)]
    pub(super) fn ids(&self) -> usize {
        self.ids.len()
    }

    /// Where what has this id was kept, if that is remembered.
    pub fn offset_of(&self, id: &MessageId) -> Option<Offset> {
        Some(self.ids.get(id)?.offset)
    }

    /// Nothing is kept, and nothing remembered.
    pub fn is_forgotten(&self) -> bool {
        self.records.is_empty() && self.ids.is_empty()
    }

    /// Remembers an id whose message is gone already; it was taken `at` that time, milliseconds since 1970.
    pub fn remember(&mut self, at: u64, id: MessageId, known: Known) {
        if !self.ids.contains_key(&id) {
            self.ids_by_age.push_back((at, id.clone()));
            self.ids.insert(id, known);
        }
    }

    /// Lets go of all but what is to be kept; the highest offset that went, if any did.
    pub fn let_go(&mut self, keep: Keep) -> Option<Offset> {
        let gone = self.going(keep)?;
        self.let_go_up_to(gone);
        Some(gone)
    }

    /// The highest offset that would go, if only this is to be kept; `None` if nothing would.
    pub fn going(&self, keep: Keep) -> Option<Offset> {
        let over = self.records.len().saturating_sub(keep.messages);
        let is_old = |record: &&Arc<Record>| record.envelope.at < keep.since;
        let old = self.records.range(over..).take_while(is_old).count();
        Some(self.records.get((over + old).checked_sub(1)?)?.offset)
    }

    /// Lets go of all up to an offset.
    pub fn let_go_up_to(&mut self, offset: Offset) {
        while self.records.front().is_some_and(|oldest| oldest.offset <= offset) {
            self.pop();
        }
        self.floor = self.floor.max(offset);
    }

    /// Appends, and lets go of the oldest that are over the limits; the newest stays whatever its
    /// size.
    pub fn push(&mut self, record: Arc<Record>, guest: Option<String>, retention: &Retention) {
        let (id, at) = (record.envelope.id.clone(), record.envelope.at);
        self.bytes += record.body().len();
        let member = record.envelope.member.clone();
        self.ids.insert(id.clone(), Known { offset: record.offset, member, guest });
        self.ids_by_age.push_back((at, id));
        if mend(&mut self.records, &record) {
            self.bytes = self.records.iter().map(|record| record.body().len()).sum::<usize>()
                + record.body().len();
        }
        self.records.push_back(record);
        self.forget_ids_between(retention);
        while self.records.len() > 1
            && (self.records.len() > retention.room_messages || self.bytes > retention.room_bytes)
        {
            self.pop();
        }
        self.forget_ids(at, retention);
    }

    /// What is kept under an id.
    pub fn find(&self, id: &MessageId) -> Option<&Arc<Record>> {
        let offset = self.ids.get(id)?.offset;
        let at = self.records.binary_search_by_key(&offset, |record| record.offset).ok()?;
        self.records.get(at)
    }

    /// Lets go of the oldest message; returns how many bytes that were.
    pub(super) fn pop(&mut self) -> usize {
        let Some(record) = self.records.pop_front() else { return 0 };
        let bytes = record.body().len();
        self.bytes -= bytes;
        self.floor = self.floor.max(record.offset);
        bytes
    }

    /// Lets go of all messages that are older, wherever they are; returns how many bytes that were.
    pub fn let_go_before(&mut self, oldest: u64) -> usize {
        let before = self.bytes;
        let (bytes, floor) = (&mut self.bytes, &mut self.floor);
        self.records.retain(|record| {
            let old = record.envelope.at < oldest;
            if old {
                *bytes -= record.body().len();
                *floor = (*floor).max(record.offset);
            }
            !old
        });
        before - self.bytes
    }

    /// An id is remembered while its message is kept, and a while longer unless there are too many.
    pub fn forget_ids(&mut self, now: u64, retention: &Retention) {
        while let Some((at, id)) = self.ids_by_age.front() {
            let kept = self.find(id).is_some();
            let young = now.saturating_sub(*at) <= retention.ids.as_millis() as u64;
            if kept || (young && self.ids.len() <= retention.room_ids) {
                return;
            }
            self.ids.remove(id);
            self.ids_by_age.pop_front();
        }
    }

    /// What was taken back, or edited again, leaves ids among those of what is kept: the oldest go, some at a time.
    fn forget_ids_between(&mut self, retention: &Retention) {
        let most = retention.room_ids.max(self.records.len());
        let Some(mut over) = self.ids.len().checked_sub(most).filter(|over| *over > most / 8)
        else {
            return;
        };
        let mut ids_by_age = std::mem::take(&mut self.ids_by_age);
        ids_by_age.retain(|(_, id)| {
            let goes = over > 0 && self.find(id).is_none();
            if goes {
                self.ids.remove(id);
                over -= 1;
            }
            !goes
        });
        self.ids_by_age = ids_by_age;
    }

    /// The records to read, whether they are all there are, and the floor.
    pub fn read(&self, read: Read) -> (Vec<Arc<Record>>, bool, Offset) {
        let end = |offset| self.records.partition_point(|record| record.offset < offset);
        let mut bytes = 0;
        let mut fits = |record: &&Arc<Record>| {
            let fits = bytes < read.bytes;
            bytes += record.frame.bytes().len();
            fits
        };
        let (found, all) = match read.part {
            Part::After(offset) => {
                let behind = self.records.range(end(Offset(offset.0.saturating_add(1)))..);
                let all = behind.len();
                (behind.take(read.records).take_while(&mut fits).cloned().collect::<Vec<_>>(), all)
            }
            Part::Before(offset) => {
                let before = self.records.range(..end(offset)).rev();
                let all = before.len();
                let mut found: Vec<_> =
                    before.take(read.records).take_while(&mut fits).cloned().collect();
                found.reverse();
                (found, all)
            }
        };
        let complete = found.len() == all;
        (found, complete, self.floor)
    }
}
