//! [`Hub`]: the only way in. It knows the rooms, gives offsets, and makes readers.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use common::{
    After, Audience, Epoch, Member, Members, Message, MessageId, Offset, Position, Publish,
    Recovery, RoomName, ServerFrame, SessionId,
};
use parking_lot::Mutex;
use uuid::Uuid;

use crate::{
    Limits, Present, Reader, Viewer,
    log::{Entry, Private},
    room::Room,
};

/// All rooms of one process.
///
/// All rooms are numbered in one sequence, so an offset is never used twice in an epoch, even when a
/// room is let go of and opened again.
#[derive(Debug)]
pub struct Hub {
    limits: Limits,
    epoch: Epoch,
    last_offset: AtomicU64,
    rooms: Mutex<Rooms>,
}

#[derive(Debug, Default)]
struct Rooms {
    by_name: HashMap<RoomName, Arc<Room>>,
    /// The highest head of any room that was let go of. A room that is opened again starts behind it,
    /// so that a reader who comes back to it learns that messages are gone.
    freed: Offset,
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

/// The newest messages of a room, and the position behind them.
#[derive(Clone, Debug, PartialEq)]
pub struct Latest {
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

/// Why a message was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// Its room does not exist and can't be opened.
    #[error(transparent)]
    TooManyRooms(#[from] TooManyRooms),
}

impl Hub {
    /// An empty hub in an epoch of its own.
    pub fn new(limits: Limits) -> Self {
        let epoch = Uuid::new_v4().simple().to_string();
        Self {
            limits,
            // Eight digits: two lives of one server never meet by chance in practice.
            epoch: Epoch::parse(&epoch[..8]).expect("hexadecimal digits are letters or digits"),
            last_offset: AtomicU64::new(0),
            rooms: Mutex::default(),
        }
    }

    /// The limits in force.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Stores what `author` says in `room` and wakes its readers. `at` is now, in milliseconds since
    /// 1970.
    ///
    /// An id that was published before in that room stores nothing: the answer is the first
    /// position.
    ///
    /// # Errors
    ///
    /// [`PublishError::TooManyRooms`] when the room would have to be opened and can't be.
    pub fn publish(
        &self,
        room: &RoomName,
        author: &Author,
        publish: Publish,
        at: u64,
    ) -> Result<Published, PublishError> {
        let room = self.room(room)?;
        let id = publish.id.unwrap_or_else(|| {
            MessageId::parse(&Uuid::now_v7().to_string()).expect("a UUID is a message id")
        });
        let mut log = room.log.write();
        let offset = match log.offset_of(&id) {
            Some(first) => first,
            None => {
                // Under the room's lock: a later offset is never stored before an earlier one.
                let offset = Offset(self.last_offset.fetch_add(1, Ordering::Relaxed) + 1);
                let private = (publish.to != Audience::All).then(|| {
                    Box::new(Private {
                        to: publish.to.clone(),
                        session: author.session.clone(),
                        member: author.member.id.clone(),
                    })
                });
                let message = Message {
                    value: publish.value,
                    id: id.clone(),
                    room: room.name.clone(),
                    offset,
                    at,
                    from: author.member.clone(),
                    event: publish.event,
                    to: publish.to,
                };
                let frame = Bytes::from(ServerFrame::Message(message).encode());
                log.push(Entry { offset, frame, private }, id.clone(), at, &self.limits);
                offset
            }
        };
        drop(log);
        room.ring();
        Ok(Published { id, position: self.at(offset) })
    }

    /// Opens a reader of `room` that starts `after`, and says how that compares with what was asked.
    ///
    /// # Errors
    ///
    /// [`TooManyRooms`] when the room would have to be opened and can't be.
    pub fn read(
        &self,
        room: &RoomName,
        viewer: Viewer,
        after: &After,
    ) -> Result<(Reader, Recovery), TooManyRooms> {
        let room = self.room(room)?;
        let (offset, recovery) = {
            let log = room.log.read();
            match after {
                After::Now => (log.head(), Recovery::Fresh),
                After::Oldest => (log.floor(), Recovery::Replayed),
                After::Position(position)
                    if position.epoch == self.epoch
                        && (log.floor()..=log.head()).contains(&position.offset) =>
                {
                    (position.offset, Recovery::Replayed)
                }
                After::Position(_) => (log.floor(), Recovery::Reset),
            }
        };
        Ok((Reader::new(room, self.epoch.clone(), viewer, offset), recovery))
    }

    /// Puts `member` among those who are in `room`, until the returned value is dropped.
    ///
    /// # Errors
    ///
    /// [`TooManyRooms`] when the room would have to be opened and can't be.
    pub fn enter(&self, room: &RoomName, member: &Member) -> Result<Present, TooManyRooms> {
        Ok(Present::enter(self.room(room)?, member))
    }

    /// The newest `limit` messages of `room` that `viewer` may read. A room that does not exist is
    /// empty, and is not opened by looking.
    pub fn latest(&self, room: &RoomName, viewer: &Viewer, limit: usize) -> Latest {
        let rooms = self.rooms.lock();
        let Some(room) = rooms.by_name.get(room).cloned() else {
            return Latest { messages: Vec::new(), position: self.at(rooms.freed) };
        };
        drop(rooms);
        let (frames, position) = {
            let log = room.log.read();
            let newest = log.behind(log.floor()).rev().filter(|entry| entry.is_for(viewer));
            let frames: Vec<Bytes> = newest.take(limit).map(|entry| entry.frame.clone()).collect();
            (frames, self.at(log.head()))
        };
        let messages = frames.iter().rev().filter_map(|frame| decode(frame)).collect();
        Latest { messages, position }
    }

    /// Who is in `room` now.
    pub fn members(&self, room: &RoomName) -> Members {
        let room = self.rooms.lock().by_name.get(room).cloned();
        room.map(|room| room.members()).unwrap_or_default()
    }

    /// All rooms there are, the liveliest first: by members, then by the last message.
    pub fn rooms(&self) -> Vec<RoomSummary> {
        let rooms: Vec<_> = self.rooms.lock().by_name.values().cloned().collect();
        let mut summaries: Vec<_> = rooms
            .into_iter()
            .map(|room| RoomSummary {
                name: room.name.clone(),
                members: room.member_count(),
                last_at: room.log.read().last_at(),
            })
            .collect();
        summaries
            .sort_by(|a, b| (b.members, b.last_at, &a.name).cmp(&(a.members, a.last_at, &b.name)));
        summaries
    }

    /// Tidies up; to be called about once a second. Lets go of typing marks that ran out, and of
    /// rooms that nobody is in and nothing was said in for [`Limits::idle_room`]. `at` is now, in
    /// milliseconds since 1970.
    pub fn sweep(&self, now: Instant, at: u64) {
        let mut rooms = self.rooms.lock();
        let Rooms { by_name, freed } = &mut *rooms;
        by_name.retain(|_, room| {
            room.expire_typing(now);
            // Whoever reads, publishes or is present holds the room, and takes it under this lock:
            // one holder means this table alone.
            let free = Arc::strong_count(room) == 1 && is_idle(room, at, self.limits.idle_room);
            if free {
                *freed = (*freed).max(room.log.read().head());
            }
            !free
        });
    }

    fn room(&self, name: &RoomName) -> Result<Arc<Room>, TooManyRooms> {
        let mut rooms = self.rooms.lock();
        if let Some(room) = rooms.by_name.get(name) {
            return Ok(room.clone());
        }
        if rooms.by_name.len() >= self.limits.rooms {
            return Err(TooManyRooms { limit: self.limits.rooms });
        }
        let room = Arc::new(Room::new(name.clone(), rooms.freed));
        rooms.by_name.insert(name.clone(), room.clone());
        Ok(room)
    }

    fn at(&self, offset: Offset) -> Position {
        Position { epoch: self.epoch.clone(), offset }
    }
}

fn is_idle(room: &Room, now: u64, idle: Duration) -> bool {
    let log = room.log.read();
    log.head() == log.floor() || now.saturating_sub(log.last_at()) >= idle.as_millis() as u64
}

/// The message in a frame the hub itself encoded.
fn decode(frame: &[u8]) -> Option<Message> {
    let text = std::str::from_utf8(frame).ok()?;
    match ServerFrame::parse(text) {
        Ok(Some(ServerFrame::Message(message))) => Some(message),
        _ => None,
    }
}
