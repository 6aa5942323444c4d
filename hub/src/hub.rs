//! [`Hub`]: the only way in. It opens rooms, passes what is said to the broker, hands what the broker
//! kept to the rooms, and makes readers.

mod looking;
mod neighbours;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use common::{
    After, Epoch, Member, MemberId, MemberName, Message, MessageId, Offset, Position, Publish,
    Recovery, RoomName, Settings,
};
use parking_lot::Mutex;
use tokio::{runtime::Handle, sync::watch};

pub use self::looking::{Found, Stretch};
use crate::{
    Draft, Lag, Limits, Present, Reader, Who,
    broker::{
        Appended, Broker, BrokerError, Following, Keep, KeptRoom, Part, Read, new_message_id,
    },
    history::History,
    peers::{Others, Peers},
    room::Room,
    rules::{self, Out, Rules},
};

/// All rooms of one process.
#[derive(Debug)]
pub struct Hub {
    limits: Limits,
    history: Arc<History>,
    rules: Arc<Rules>,
    /// How often something was published.
    published: watch::Sender<()>,
    rooms: Mutex<HashMap<RoomName, Arc<Room>>>,
    runtime: Handle,
    /// The other hubs of the same log, where there are any.
    others: Option<Arc<Others>>,
    _hearing: Option<[Following; 2]>,
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

/// How much there is in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figures {
    /// Rooms.
    pub rooms: usize,
    /// Members in them; one in two rooms counts twice.
    pub members: usize,
    /// Bytes of their newest messages.
    pub tail_bytes: usize,
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
    /// A hub over `broker`, which must serve no other. To be called in a runtime: readers are woken on it.
    pub fn new(broker: Arc<dyn Broker>, limits: Limits) -> Arc<Self> {
        Self::among(None, broker, limits)
    }

    /// As [`Hub::new`], with other hubs of the same log, if there are `peers`: who is in a room is told of all of them.
    pub fn among(
        peers: Option<Arc<dyn Peers>>,
        broker: Arc<dyn Broker>,
        limits: Limits,
    ) -> Arc<Self> {
        let (history, runtime) = (Arc::new(History::new(broker)), Handle::current());
        let others = peers.map(|peers| Arc::new(Others::new(peers)));
        Arc::new_cyclic(|hub| Self {
            limits,
            history,
            rules: Arc::default(),
            published: watch::Sender::new(()),
            rooms: Mutex::default(),
            runtime,
            _hearing: others.clone().map(|others| neighbours::hear(&others, hub.clone())),
            others,
        })
    }

    /// Reads what was decided before, and hears from then on of what other hubs decide; to be called before anybody is let in.
    ///
    /// # Errors
    ///
    /// [`BrokerError`] when the log can't be read now.
    pub async fn load(self: &Arc<Self>) -> Result<(), BrokerError> {
        let hub = Arc::downgrade(self);
        let decided = move |room: &RoomName| {
            if let Some(hub) = hub.upgrade() {
                hub.hide(room);
            }
        };
        self.rules.load(&**self.history.broker(), decided).await
    }

    /// Has the members of a room hidden, or not, as was decided of it last.
    fn hide(&self, room: &RoomName) {
        if let Some(open) = self.rooms.lock().get(room).cloned() {
            open.change(|states| states.hide(self.rules.settings(room).hide_members));
        }
    }

    /// What keeps the log, for those who read all of it.
    pub fn broker(&self) -> &dyn Broker {
        &**self.history.broker()
    }

    /// Done once something more is published here, or could have been.
    pub fn published(&self) -> impl Future<Output = ()> + use<> {
        let mut seen = self.published.subscribe();
        async move {
            // The sender lives as long as the hub.
            let _ = seen.changed().await;
        }
    }

    /// What was decided about rooms and members.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Decides what holds in a room, from what held before; answers what holds now. What it is not to keep any more is gone
    /// with it. `at` is now, in milliseconds since 1970.
    ///
    /// # Errors
    ///
    /// [`BrokerError`] when it could not be kept; then nothing has changed.
    pub async fn set(
        &self,
        room: &RoomName,
        change: impl FnOnce(Settings) -> Settings,
        at: u64,
    ) -> Result<Settings, BrokerError> {
        let settings = self.rules.set(&**self.history.broker(), room, change).await?;
        self.hide(room);
        // It holds; what could not go now goes with the next tidying.
        if rules::keep(&settings, at).is_some()
            && let Ok(at) = self.history.broker().tidy(at).await
            && let Some(keep) = rules::keep(&settings, at)
        {
            let _ = self.let_go(room, keep).await;
        }
        Ok(settings)
    }

    /// Puts somebody out until then, or lets them in again where that is past. `now` is in milliseconds since 1970.
    ///
    /// # Errors
    ///
    /// [`BrokerError`] when it could not be kept; then nothing has changed.
    pub async fn put_out(&self, out: Out, now: u64) -> Result<(), BrokerError> {
        self.rules.put_out(&**self.history.broker(), out, now).await
    }

    /// Lets go of all that was said in a room up to now.
    ///
    /// # Errors
    ///
    /// [`BrokerError`] when the log can't be written now; then nothing is gone.
    pub async fn clear(&self, room: &RoomName) -> Result<(), BrokerError> {
        self.let_go(room, Keep::NOTHING).await
    }

    async fn let_go(&self, room: &RoomName, keep: Keep) -> Result<(), BrokerError> {
        let gone = self.history.broker().let_go(room, keep).await?;
        if gone == Offset(0) {
            return Ok(());
        }
        self.history.forget(room);
        let open = self.rooms.lock().get(room).cloned();
        if let Some(room) = open {
            room.tail.write().let_go(gone);
        }
        Ok(())
    }

    /// The message at an offset, whoever it is for: for those who manage.
    ///
    /// # Errors
    ///
    /// [`BrokerError`] when the log can't be read now.
    pub async fn message_at(
        &self,
        room: &RoomName,
        offset: Offset,
    ) -> Result<Option<Message>, BrokerError> {
        let part = Part::After(Offset(offset.0.saturating_sub(1)));
        let read = Read { part, records: 1, bytes: usize::MAX, at_least: Offset(0) };
        let page = self.history.broker().read(room, read).await?;
        let found = page.records.first().filter(|record| record.offset == offset);
        Ok(found.and_then(|record| record.message()))
    }

    /// The limits in force.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Has the broker keep what `who` says in `room`. `at` is now, in milliseconds since 1970.
    ///
    /// On return it is kept, and every reader of the room on this hub is about to be woken. An id that was
    /// published before in that room stores nothing: the answer is the first position.
    ///
    /// # Errors
    ///
    /// [`HubError::TooManyRooms`] when the room would have to be opened and can't be,
    /// [`BrokerError::IdTaken`] when somebody else has said something under its id, another
    /// [`HubError::Broker`] when it could not be kept; the same id may be tried again.
    pub async fn publish(
        &self,
        room: &RoomName,
        who: &Who,
        publish: Publish,
        at: u64,
    ) -> Result<Published, HubError> {
        let mut published = self.publish_all(room, who, vec![publish], at).await?;
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
        who: &Who,
        messages: Vec<Publish>,
        at: u64,
    ) -> Result<Vec<Published>, HubError> {
        // Held until they are kept, so that the room stays open and its readers are handed them.
        let room = self.followed(room).await?;
        let draft = |publish: Publish| {
            let message = Message {
                offset: Offset(0),
                value: publish.value,
                id: publish.id.unwrap_or_else(new_message_id),
                room: room.name.clone(),
                at,
                from: who.member.clone(),
                event: publish.event,
                to: publish.to,
                of: publish.of,
                edited: None,
                reactions: Vec::new(),
            };
            Draft::from_guest(message, who.session.as_ref(), who.guest_from.as_deref())
        };
        let drafts: Vec<_> = messages.into_iter().map(draft).collect();
        let ids: Vec<_> = drafts.iter().map(|draft| draft.envelope.id.clone()).collect();
        let mends = drafts.iter().any(|draft| draft.envelope.mends.is_some());
        let Appended { epoch, offsets } = self.history.broker().append(drafts).await?;
        if self.published.receiver_count() > 0 {
            self.published.send_replace(());
        }
        if mends {
            // What was read before has messages as they are no more.
            self.history.forget(&room.name);
        }
        let published =
            |(id, offset)| Published { id, position: Position { epoch: epoch.clone(), offset } };
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
        who: Who,
        after: &After,
    ) -> Result<(Reader, Recovery), HubError> {
        let room = self.followed(room).await?;
        let (position, recovery) = self.start(&room, after).await?;
        Ok((Reader::new(room, self.history.clone(), who, position), recovery))
    }

    async fn start(&self, room: &Room, after: &After) -> Result<(Position, Recovery), BrokerError> {
        let (epoch, start, head): (Option<Epoch>, _, _) = {
            let tail = room.tail.read();
            (tail.epoch().cloned(), tail.start(), tail.head())
        };
        // Followed, it has one.
        let epoch = epoch.ok_or_else(|| BrokerError::Unavailable("not followed".to_owned()))?;
        let known = match after {
            After::Now => return Ok((Position { epoch, offset: head }, Recovery::Fresh)),
            After::Oldest => None,
            After::Position(position) => Some(position).filter(|position| position.epoch == epoch),
        };
        if let Some(position) = known
            && (start..=head).contains(&position.offset)
        {
            return Ok((position.clone(), Recovery::Replayed));
        }
        // The page it will read first tells how far back it goes.
        let wanted = known.map_or(Offset(0), |position| position.offset);
        let page = self.history.behind(&room.name, &epoch, wanted, start.max(wanted)).await?;
        let floor = || Position { epoch: page.epoch.clone(), offset: page.floor };
        Ok(match after {
            // Also where that is the life that the log has just begun.
            After::Position(position)
                if position.epoch == page.epoch
                    && (page.floor..=page.head).contains(&position.offset) =>
            {
                (position.clone(), Recovery::Replayed)
            }
            After::Position(_) => (floor(), Recovery::Reset),
            After::Now | After::Oldest => (floor(), Recovery::Replayed),
        })
    }

    /// Puts the member among those who are in `room`, until the returned value is dropped, and a little
    /// longer.
    ///
    /// # Errors
    ///
    /// [`TooManyRooms`] when the room would have to be opened and can't be.
    pub fn enter(&self, room: &RoomName, who: &Who) -> Result<Present, TooManyRooms> {
        Ok(Present::enter(self.room(room)?, who, &self.limits))
    }

    /// Whether `room` is in memory: somebody is in it, reads it, or said something a moment ago.
    pub fn is_open(&self, room: &RoomName) -> bool {
        self.rooms.lock().contains_key(room)
    }

    /// The rooms that somebody is in.
    pub fn occupied(&self) -> BTreeSet<RoomName> {
        let rooms = self.open_rooms();
        let occupied = rooms.iter().filter(|room| room.look(|states| states.count()) > 0);
        let elsewhere = self.others.iter().flat_map(|others| others.rooms().into_keys());
        occupied.map(|room| room.name.clone()).chain(elsewhere).collect()
    }

    /// What a member of `room` goes by, as long as it is listed there.
    pub fn name_of(&self, room: &RoomName, member: &MemberId) -> Option<MemberName> {
        let room = self.rooms.lock().get(room).cloned()?;
        room.look(|states| states.name_of(member).cloned())
    }

    /// Everyone who is in any room, to be handed to [`Hub::expect`] after a restart.
    pub fn present(&self) -> Vec<(RoomName, Vec<Member>)> {
        let rooms = self.open_rooms();
        let rooms =
            rooms.iter().map(|room| (room.name.clone(), room.look(|states| states.all_members())));
        rooms.filter(|(_, members)| !members.is_empty()).collect()
    }

    /// Lists those who were here before a restart until they are back, or [`Limits::expected`] has
    /// passed since `now`.
    pub fn expect(&self, present: Vec<(RoomName, Vec<Member>)>, now: Instant) {
        for (name, members) in present {
            // A room that can't be opened is one they will not come back to.
            let Ok(room) = self.room(&name) else { continue };
            let until = now + self.limits.expected;
            room.change(|states| members.iter().for_each(|member| states.expect(member, until)));
        }
    }

    /// The liveliest `limit` rooms of those that `may_see` lets pass: by members, then by the last message.
    ///
    /// # Errors
    ///
    /// [`BrokerError`] when the log can't be read now.
    pub async fn rooms(
        &self,
        limit: usize,
        may_see: impl Fn(&RoomName) -> bool,
    ) -> Result<Vec<RoomSummary>, BrokerError> {
        let mut rooms: HashMap<RoomName, RoomSummary> = self
            .open_rooms()
            .iter()
            .filter(|room| may_see(&room.name))
            .map(|room| RoomSummary {
                name: room.name.clone(),
                members: room.look(|states| states.shown_count()),
                last_at: room.tail.read().last_at(),
            })
            .map(|summary| (summary.name.clone(), summary))
            .collect();
        for (name, members) in self.elsewhere(&may_see) {
            let summary = RoomSummary { name: name.clone(), members, last_at: 0 };
            rooms.entry(name).or_insert(summary);
        }
        for kept in self.kept_rooms(limit, &may_see).await? {
            let summary = RoomSummary { name: kept.name.clone(), members: 0, last_at: 0 };
            let room = rooms.entry(kept.name).or_insert(summary);
            room.last_at = room.last_at.max(kept.last_at);
        }
        let mut rooms: Vec<_> = rooms.into_values().collect();
        rooms.sort_by(|a, b| (b.members, b.last_at, &a.name).cmp(&(a.members, a.last_at, &b.name)));
        rooms.truncate(limit);
        Ok(rooms)
    }

    /// Those of the rooms something was last said in that `may_see` lets pass. Where most are for others it is looked
    /// further back, and further, and not without end.
    async fn kept_rooms(
        &self,
        limit: usize,
        may_see: &impl Fn(&RoomName) -> bool,
    ) -> Result<Vec<KeptRoom>, BrokerError> {
        /// How many rooms are looked at, for each that is asked for.
        const AT_MOST: usize = 256;
        let mut among = limit;
        loop {
            let mut kept = self.history.broker().rooms(among).await?;
            let are_all = kept.len() < among;
            kept.retain(|room| may_see(&room.name));
            if are_all || kept.len() >= limit || among >= limit * AT_MOST {
                kept.truncate(limit);
                return Ok(kept);
            }
            among *= 16;
        }
    }

    /// Tidies up in memory; to be called about once a second. Lets go of members who did not come back and
    /// of marks that ran out, and closes rooms that nobody is in and nothing was said in for
    /// [`Limits::idle_room`]. What all rooms hold beyond [`Limits::tails_bytes`] is read from the broker from then on.
    /// `at` is now, in milliseconds since 1970.
    pub fn sweep(&self, now: Instant, at: u64) {
        let rooms = self.open_rooms();
        rooms.iter().for_each(|room| room.change(|states| states.expire(now)));
        self.tell_others(&rooms, now);
        self.shrink_tails(rooms);
        self.rooms.lock().retain(|_, room| {
            // Whoever reads, publishes or is present holds the room, and takes it under this lock:
            // one holder means this table alone. Nothing is lost: the broker has it all.
            Arc::strong_count(room) > 1
                || room.look(|states| states.own_count()) > 0
                || !is_idle(room, at, self.limits.idle_room)
        });
    }

    /// Tries whether the broker could keep something now.
    ///
    /// # Errors
    ///
    /// [`BrokerError`] when it could not.
    pub async fn check(&self) -> Result<(), BrokerError> {
        self.history.broker().check().await
    }

    /// How much there is in memory.
    pub fn figures(&self) -> Figures {
        let rooms = self.open_rooms();
        Figures {
            rooms: rooms.len(),
            members: rooms.iter().map(|room| room.look(|states| states.count())).sum(),
            tail_bytes: self.held_bytes(),
        }
    }

    /// How far readers are behind; `at` is now, in milliseconds since 1970. Looks at each of them, and lets others have their
    /// turn in between.
    pub async fn lag(&self, at: u64) -> Lag {
        let mut lag = Lag::default();
        for room in self.open_rooms() {
            room.add_lag(&mut lag, at).await;
        }
        lag
    }

    /// How many bytes of messages are in memory, in all rooms.
    pub fn held_bytes(&self) -> usize {
        self.open_rooms().iter().map(|room| room.tail.read().bytes()).sum()
    }

    /// Lets the broker let go of what is past its retention, or that of its room; to be called about once a minute. `at`
    /// is now, in milliseconds since 1970.
    ///
    /// # Errors
    ///
    /// [`BrokerError`] when the log can't be written now.
    pub async fn tidy(&self, at: u64) -> Result<(), BrokerError> {
        let at = self.history.broker().tidy(at).await?;
        // Of several hubs one has rooms keep what they are to.
        if !self.history.broker().lease("tidy").await? {
            return Ok(());
        }
        for (room, keep) in self.rules.keeping(at) {
            self.let_go(&room, keep).await?;
        }
        Ok(())
    }

    /// Lets go of what is in memory of rooms that were silent longest, if all of them have too much.
    fn shrink_tails(&self, mut rooms: Vec<Arc<Room>>) {
        let mut bytes = self.held_bytes();
        if bytes <= self.limits.tails_bytes {
            return;
        }
        rooms.sort_by_key(|room| room.tail.read().last_at());
        for room in rooms {
            let mut tail = room.tail.write();
            bytes -= tail.bytes();
            tail.shrink(1, 0);
            bytes += tail.bytes();
            if bytes <= self.limits.tails_bytes {
                return;
            }
        }
    }

    fn open_rooms(&self) -> Vec<Arc<Room>> {
        self.rooms.lock().values().cloned().collect()
    }

    fn room(&self, name: &RoomName) -> Result<Arc<Room>, TooManyRooms> {
        let mut rooms = self.rooms.lock();
        if let Some(room) = rooms.get(name) {
            return Ok(room.clone());
        }
        let limit = self.limits.rooms;
        if rooms.len() >= limit {
            // Rooms that nobody is in make way, idle or not: the broker has all that was said.
            rooms.retain(|_, room| Arc::strong_count(room) > 1);
        }
        if rooms.len() >= limit {
            return Err(TooManyRooms { limit });
        }
        let (runtime, others) = (self.runtime.clone(), self.others.clone());
        let room = Arc::new(Room::new(name.clone(), &self.limits, runtime, others));
        let hidden = self.rules.settings(name).hide_members;
        room.change(|states| states.hide(hidden));
        rooms.insert(name.clone(), room.clone());
        room.hear_others();
        Ok(room)
    }

    /// The room, and its log is followed.
    async fn followed(&self, name: &RoomName) -> Result<Arc<Room>, HubError> {
        let room = self.room(name)?;
        room.follow(&self.history).await?;
        Ok(room)
    }
}

fn is_idle(room: &Room, now: u64, idle: Duration) -> bool {
    let last_at = room.tail.read().last_at();
    now.saturating_sub(last_at) >= idle.as_millis() as u64
}
