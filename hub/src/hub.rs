//! [`Hub`]: the only way in. It opens rooms, passes what is said to the broker, hands what the broker
//! kept to the rooms, and makes readers.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use common::{
    After, Member, Members, Message, MessageId, Offset, Position, Publish, Recovery, RoomName,
    SessionId,
};
use parking_lot::Mutex;

use crate::{
    Limits, Present, Reader, Viewer,
    broker::{Broker, BrokerError, Part, Record, new_message_id},
    room::Room,
    tail::Entry,
};

/// How many pages of a room are looked through for messages a viewer may read.
const PAGES: usize = 5;

/// All rooms of one process.
#[derive(Debug)]
pub struct Hub {
    limits: Limits,
    broker: Arc<dyn Broker>,
    rooms: Mutex<Rooms>,
}

#[derive(Debug)]
struct Rooms {
    open: HashMap<RoomName, Arc<Room>>,
    /// Everything up to and including this offset was handed to the rooms that were open then. So a
    /// room that opens now reads up to here from the broker, and gets what is behind it handed.
    handed: Offset,
}

/// Who says something.
#[derive(Clone, Debug)]
pub struct Author {
    /// From which tab or program.
    pub session: SessionId,
    /// Who.
    pub member: Member,
}

/// A message that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Its id: the sender's, or one that was made for it.
    pub id: MessageId,
    /// Where it is; where it first was, if the same id was published before.
    pub position: Position,
}

/// What a room looks like to someone who does not read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomSummary {
    /// Its name.
    pub name: RoomName,
    /// How many members are in it.
    pub members: usize,
    /// When something was last said in it, milliseconds since 1970; 0 if nothing was.
    pub last_at: u64,
}

/// A stretch of a room's messages, and the position behind them.
#[derive(Clone, Debug, PartialEq)]
pub struct Stretch {
    /// Oldest first.
    pub messages: Vec<Message>,
    /// Reading on from here misses nothing.
    pub position: Position,
}

/// A room would have to be opened, and there are as many as there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there are {limit} rooms, and no more are opened")]
pub struct TooManyRooms {
    /// The most rooms there may be.
    pub limit: usize,
}

/// Why a message was not taken, or a room not opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HubError {
    /// The room does not exist and can't be opened.
    #[error(transparent)]
    TooManyRooms(#[from] TooManyRooms),
    /// The log can't be written or read now.
    #[error(transparent)]
    Broker(#[from] BrokerError),
}

impl Hub {
    /// A hub over `broker`, which must follow no other.
    pub fn new(broker: Arc<dyn Broker>, limits: Limits) -> Arc<Self> {
        let handed = broker.head();
        let rooms = Mutex::new(Rooms { open: HashMap::new(), handed });
        let hub = Arc::new(Self { limits, broker, rooms });
        let follower = Arc::downgrade(&hub);
        hub.broker.follow(Box::new(move |records| {
            if let Some(hub) = follower.upgrade() {
                hub.hand_on(records);
            }
        }));
        hub
    }

    /// The limits in force.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Has the broker keep what `author` says in `room`. `at` is now, in milliseconds since 1970.
    ///
    /// On return it is kept and every reader of the room on this hub has been woken. An id that was
    /// published before in that room stores nothing: the answer is the first position.
    ///
    /// # Errors
    ///
    /// [`HubError::TooManyRooms`] when the room would have to be opened and can't be,
    /// [`HubError::Broker`] when it could not be kept; the same id may be tried again.
    pub async fn publish(
        &self,
        room: &RoomName,
        author: &Author,
        publish: Publish,
        at: u64,
    ) -> Result<Published, HubError> {
        let mut published = self.publish_all(room, author, vec![publish], at).await?;
        published.pop().ok_or_else(|| {
            BrokerError::Unavailable("the log gave no offset for a message".to_owned()).into()
        })
    }

    /// As [`Hub::publish`], for several messages in this order: all are kept, or none.
    ///
    /// # Errors
    ///
    /// As [`Hub::publish`].
    pub async fn publish_all(
        &self,
        room: &RoomName,
        author: &Author,
        messages: Vec<Publish>,
        at: u64,
    ) -> Result<Vec<Published>, HubError> {
        // Held until they are kept, so that the room stays open and its readers are handed them.
        let room = self.room(room)?;
        let record = |publish: Publish| Record {
            session: author.session.clone(),
            message: Message {
                value: publish.value,
                id: publish.id.unwrap_or_else(new_message_id),
                room: room.name.clone(),
                offset: Offset(0),
                at,
                from: author.member.clone(),
                event: publish.event,
                to: publish.to,
            },
        };
        let records: Vec<_> = messages.into_iter().map(record).collect();
        let ids: Vec<_> = records.iter().map(|record| record.message.id.clone()).collect();
        let offsets = self.broker.append(records).await?;
        let published = |(id, offset)| Published { id, position: self.at(offset) };
        Ok(ids.into_iter().zip(offsets).map(published).collect())
    }

    /// Opens a reader of `room` that starts `after`, and says how that compares with what was asked.
    ///
    /// # Errors
    ///
    /// [`HubError::TooManyRooms`] when the room would have to be opened and can't be,
    /// [`HubError::Broker`] when the log can't be read now.
    pub async fn read(
        &self,
        room: &RoomName,
        viewer: Viewer,
        after: &After,
    ) -> Result<(Reader, Recovery), HubError> {
        let room = self.room(room)?;
        let (start, head) = {
            let tail = room.tail.read();
            (tail.start(), tail.head())
        };
        let wanted = match after {
            After::Now => None,
            After::Oldest => Some(Offset(0)),
            After::Position(position) => {
                let known =
                    position.epoch == self.broker.epoch() && position.offset <= self.broker.head();
                known.then_some(position.offset)
            }
        };
        let (offset, recovery) = match (after, wanted) {
            (After::Now, _) => (head, Recovery::Fresh),
            (_, Some(offset)) if offset >= start => (offset, Recovery::Replayed),
            (_, wanted) => {
                let floor = self.broker.read(&room.name, Part::After(start), 0).await?.floor;
                match wanted {
                    Some(offset) if offset >= floor => (offset, Recovery::Replayed),
                    _ if *after == After::Oldest => (floor, Recovery::Replayed),
                    _ => (floor, Recovery::Reset),
                }
            }
        };
        Ok((Reader::new(room, self.broker.clone(), viewer, offset), recovery))
    }

    /// Puts `member` among those who are in `room`, until the returned value is dropped, and a little
    /// longer.
    ///
    /// # Errors
    ///
    /// [`TooManyRooms`] when the room would have to be opened and can't be.
    pub fn enter(&self, room: &RoomName, member: &Member) -> Result<Present, TooManyRooms> {
        Ok(Present::enter(self.room(room)?, member, &self.limits))
    }

    /// The newest `limit` messages of `room` that `viewer` may read; those before an offset, if one is
    /// given. Looking does not open a room.
    ///
    /// # Errors
    ///
    /// [`BrokerError`] when the log can't be read now.
    pub async fn latest(
        &self,
        room: &RoomName,
        viewer: &Viewer,
        before: Option<Offset>,
        limit: usize,
    ) -> Result<Stretch, BrokerError> {
        // Before reading: everything up to here is in what is read.
        let mut head = self.broker.head();
        if let Some(before) = before {
            head = head.min(Offset(before.0.saturating_sub(1)));
        }
        let (mut messages, mut before) = (Vec::new(), before.unwrap_or(Offset(u64::MAX)));
        for _ in 0..PAGES {
            let page = self.broker.read(room, Part::Before(before), limit).await?;
            let entries: Vec<_> = page.records.iter().map(Entry::from).collect();
            head = head.max(entries.last().map_or(head, |newest| newest.offset));
            before = entries.first().map_or(before, |oldest| oldest.offset);
            let mine = entries.iter().rev().filter(|entry| entry.is_for(viewer));
            messages.extend(mine.filter_map(Entry::message).take(limit - messages.len()));
            if messages.len() == limit || entries.len() < limit {
                break;
            }
        }
        messages.reverse();
        Ok(Stretch { messages, position: self.at(head) })
    }

    /// Who is in `room` now.
    pub fn members(&self, room: &RoomName) -> Members {
        let room = self.rooms.lock().open.get(room).cloned();
        room.map(|room| room.members()).unwrap_or_default()
    }

    /// Everyone who is in any room, to be handed to [`Hub::expect`] after a restart.
    pub fn present(&self) -> Vec<(RoomName, Vec<Member>)> {
        let open: Vec<_> = self.rooms.lock().open.values().cloned().collect();
        let rooms = open.iter().map(|room| (room.name.clone(), room.all_members()));
        rooms.filter(|(_, members)| !members.is_empty()).collect()
    }

    /// Lists those who were here before a restart until they are back, or [`Limits::expected`] has
    /// passed since `now`.
    pub fn expect(&self, present: Vec<(RoomName, Vec<Member>)>, now: Instant) {
        for (name, members) in present {
            // A room that can't be opened is one they will not come back to.
            let Ok(room) = self.room(&name) else { continue };
            let until = now + self.limits.expected;
            for member in members {
                room.change_presence(|presence| presence.expect(member, until));
            }
        }
    }

    /// The liveliest `limit` rooms: by members, then by the last message.
    ///
    /// # Errors
    ///
    /// [`BrokerError`] when the log can't be read now.
    pub async fn rooms(&self, limit: usize) -> Result<Vec<RoomSummary>, BrokerError> {
        let open: Vec<_> = self.rooms.lock().open.values().cloned().collect();
        let mut rooms: HashMap<RoomName, RoomSummary> = open
            .iter()
            .map(|room| RoomSummary {
                name: room.name.clone(),
                members: room.member_count(),
                last_at: room.tail.read().last_at(),
            })
            .map(|summary| (summary.name.clone(), summary))
            .collect();
        for kept in self.broker.rooms(limit).await? {
            let summary = RoomSummary { name: kept.name.clone(), members: 0, last_at: 0 };
            let room = rooms.entry(kept.name).or_insert(summary);
            room.last_at = room.last_at.max(kept.last_at);
        }
        let mut rooms: Vec<_> = rooms.into_values().collect();
        rooms.sort_by(|a, b| (b.members, b.last_at, &a.name).cmp(&(a.members, a.last_at, &b.name)));
        rooms.truncate(limit);
        Ok(rooms)
    }

    /// Tidies up in memory; to be called about once a second. Lets go of members who did not come back
    /// and of typing marks that ran out, and closes rooms that nobody is in and nothing was said in for [`Limits::idle_room`]. `at` is
    /// now, in milliseconds since 1970.
    pub fn sweep(&self, now: Instant, at: u64) {
        self.rooms.lock().open.retain(|_, room| {
            room.change_presence(|presence| presence.expire(now));
            // Whoever reads, publishes or is present holds the room, and takes it under this lock:
            // one holder means this table alone. Nothing is lost: the broker has it all.
            Arc::strong_count(room) > 1
                || room.member_count() > 0
                || !is_idle(room, at, self.limits.idle_room)
        });
    }

    /// Lets the broker let go of what is past its retention; to be called about once a minute. `at`
    /// is now, in milliseconds since 1970.
    ///
    /// # Errors
    ///
    /// [`BrokerError`] when the log can't be written now.
    pub async fn tidy(&self, at: u64) -> Result<(), BrokerError> {
        self.broker.tidy(at).await
    }

    /// Hands what the broker has kept to the rooms that are open, and wakes their readers.
    fn hand_on(&self, records: &[Record]) {
        let entries: Vec<_> =
            records.iter().map(|record| (&record.message.room, Entry::from(record))).collect();
        let mut woken: Vec<Arc<Room>> = Vec::new();
        {
            let mut rooms = self.rooms.lock();
            for (name, entry) in entries {
                rooms.handed = entry.offset;
                if let Some(room) = rooms.open.get(name) {
                    room.tail.write().push(entry, &self.limits);
                    if !woken.iter().any(|other| Arc::ptr_eq(other, room)) {
                        woken.push(room.clone());
                    }
                }
            }
        }
        woken.iter().for_each(|room| room.ring());
    }

    fn room(&self, name: &RoomName) -> Result<Arc<Room>, TooManyRooms> {
        let mut rooms = self.rooms.lock();
        if let Some(room) = rooms.open.get(name) {
            return Ok(room.clone());
        }
        if rooms.open.len() >= self.limits.rooms {
            // Rooms that nobody is in make way, idle or not: the broker has all that was said.
            rooms.open.retain(|_, room| Arc::strong_count(room) > 1);
        }
        if rooms.open.len() >= self.limits.rooms {
            return Err(TooManyRooms { limit: self.limits.rooms });
        }
        let room = Arc::new(Room::new(name.clone(), rooms.handed));
        rooms.open.insert(name.clone(), room.clone());
        Ok(room)
    }

    fn at(&self, offset: Offset) -> Position {
        Position { epoch: self.broker.epoch(), offset }
    }
}

fn is_idle(room: &Room, now: u64, idle: Duration) -> bool {
    let last_at = room.tail.read().last_at();
    now.saturating_sub(last_at) >= idle.as_millis() as u64
}
