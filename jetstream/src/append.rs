//! How drafts are appended: decided by what is in memory, sent, and looked at once more when they are stored.

use std::{
    collections::{BTreeSet, HashMap},
    future::ready,
    sync::Arc,
    time::Duration,
};

use common::{Epoch, MessageId, Offset, RoomName};
use futures_util::FutureExt;
use hub::{
    Draft,
    broker::{Appended, BoxFuture, BrokerError, RoomLog, aim, taken},
};
use tokio::{
    sync::OwnedMutexGuard,
    task::unconstrained,
    time::{Instant, sleep},
};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    room::Room,
    shard::{Shard, put_back},
    stored::Stored,
    stream::{Failure, New},
};

/// How often it is decided anew, because somebody else has said something meanwhile.
const TRIES: usize = 8;
/// How long it takes until there may be room for a batch again.
const AGAIN: Duration = Duration::from_millis(50);

/// Drafts that are not kept yet, and what is to be sent of them.
struct Plan {
    drafts: Vec<Draft>,
    new: Vec<New>,
    /// The place of each draft to be sent among all of them.
    places: Vec<usize>,
    /// Where the others are.
    offsets: Vec<Option<Offset>>,
}

impl Shard {
    /// Begins to append: what is begun next for the same room is sent behind it.
    ///
    /// It goes on whether or not somebody looks at what it returns, as long as that is there. Others wait for what is held meanwhile, and whoever asked
    /// may be busy for long with a client that reads nothing.
    pub(crate) fn append(
        self: &Arc<Self>,
        drafts: Vec<Draft>,
    ) -> impl Future<Output = Result<Appended, BrokerError>> + Send + use<> {
        let names: BTreeSet<_> = drafts.iter().map(|draft| draft.envelope.room.clone()).collect();
        let first = names.first().map(|name| in_line(&self.in_memory(name)));
        let shard = self.clone();
        let begun = AbortOnDropHandle::new(tokio::spawn(async move {
            let mut rooms = Vec::with_capacity(names.len());
            for name in &names {
                rooms.push(shard.room(name).await?);
            }
            let mends = drafts.iter().any(|draft| draft.envelope.mends.is_some());
            shard.log.connected().await?;
            let appended = shard.append_to(&rooms, first, drafts, mends).await;
            if mends {
                for room in &rooms {
                    shard.erase(room).await;
                }
            }
            appended
        }));
        async {
            begun.await.unwrap_or_else(|error| Err(BrokerError::Unavailable(error.to_string())))
        }
    }

    async fn append_to(
        &self,
        rooms: &[Arc<Room>],
        mut first: Option<Turn>,
        drafts: Vec<Draft>,
        mends: bool,
    ) -> Result<Appended, BrokerError> {
        let mut salt = None;
        for _ in 0..TRIES {
            let epoch = self.epoch();
            let (mut turns, mut under_way) = (Vec::new(), Vec::new());
            for room in rooms {
                // Of several rooms the others are waited for one after the other, so that no two wait for each other.
                turns.push(first.take().unwrap_or_else(|| in_line(room)).await);
                if mends {
                    let alone = room.under_way.write().await;
                    self.reach_acknowledged(room).await?;
                    under_way.push(alone.downgrade());
                } else {
                    under_way.push(room.under_way.read().await);
                }
            }
            let Plan { drafts, new, places, mut offsets } =
                plan(rooms, drafts.clone(), salt.as_deref())?;
            let count = new.len() as u64;
            if count == 0 {
                return Ok(answer_of(epoch, &drafts, offsets));
            }
            // What was given before that, in whichever room.
            rooms.iter().for_each(|room| self.saw(room.have()));
            let had = self.newest.lock().0;
            let batch = match count {
                1 => None,
                _ => self.batches.acquire().await.ok(),
            };
            let sent = Instant::now();
            let answer = self.log.send(new).await?;
            drop(turns);
            let answer = answer.await;
            if answer.is_ok() {
                self.counts.acked(sent.elapsed());
            }
            drop(batch);
            if let Ok((last, false)) = answer {
                let first = last.0 + 1 - count;
                if first <= had.0 {
                    // These numbers were given before.
                    self.put_back(&epoch).await?;
                    return Err(put_back().into());
                }
                self.saw(last);
                for (offset, place) in (first..).zip(&places) {
                    offsets[*place] = Some(Offset(offset));
                    if let Some(room) = room_of(rooms, &drafts[*place]) {
                        room.acknowledge(Offset(offset));
                    }
                }
            }
            drop(under_way);
            match answer {
                Ok((_, false)) => {}
                // There already; not known here, if it was just said, or is gone.
                Ok((known, true)) => {
                    for room in rooms {
                        self.reach(room, known).await?;
                    }
                    if places.iter().all(|place| !is_known(rooms, &drafts[*place])) {
                        offsets[places[0]] = Some(known);
                        return Ok(answer_of(epoch, &drafts, offsets));
                    }
                    continue;
                }
                Err(Failure::Known) => {
                    for room in rooms {
                        self.catch_up(room, Offset(0)).await?;
                    }
                    // What is still not known here was let go of: its message is no obstacle any more.
                    salt = Some(uuid::Uuid::new_v4().simple().to_string());
                    continue;
                }
                Err(Failure::Busy) => {
                    sleep(AGAIN).await;
                    continue;
                }
                Err(failure) => return Err(failure.into()),
            }
            if mends || count > 1 || salt.is_some() {
                for room in rooms {
                    self.reach_acknowledged(room).await?;
                }
                for place in places {
                    offsets[place] = self.settled(rooms, &drafts[place], offsets[place]).await?;
                }
            }
            return Ok(answer_of(epoch, &drafts, offsets));
        }
        Err(BrokerError::Unavailable("others say too much at once".to_owned()))
    }

    /// Where a draft is, that was stored at `offset`: unless somebody was there before.
    async fn settled(
        &self,
        rooms: &[Arc<Room>],
        draft: &Draft,
        offset: Option<Offset>,
    ) -> Result<Option<Offset>, BrokerError> {
        let Some(room) = room_of(rooms, draft) else { return Ok(offset) };
        let there = {
            let state = room.state();
            // Somebody else may have been there before, where ids are not known to NATS any more.
            if taken(|name| (*name == room.name).then_some(&state.log), std::slice::from_ref(draft))
                .is_some()
            {
                return Err(BrokerError::IdTaken(draft.envelope.id.clone()));
            }
            state.log.offset_of(&draft.envelope.id)
        };
        if there.is_some() || draft.envelope.mends.is_none() {
            return Ok(there.or(offset));
        }
        // It was taken back while this was on its way.
        if let Some(offset) = offset {
            self.log.erase(offset).await?;
        }
        draft.clone().aimed(None)?;
        Ok(offset)
    }
}

/// The turn of somebody in a room, once it comes.
type Turn = BoxFuture<'static, OwnedMutexGuard<()>>;

/// Stands in line at once, before whoever does so later.
fn in_line(room: &Room) -> Turn {
    // A task that has done much already would not be let in line.
    let mut turn = Box::pin(unconstrained(room.turn.clone().lock_owned()));
    match turn.as_mut().now_or_never() {
        Some(turn) => Box::pin(ready(turn)),
        None => turn,
    }
}

/// The answer: one that is twice in the batch has the offset of the first.
fn answer_of(epoch: Epoch, drafts: &[Draft], offsets: Vec<Option<Offset>>) -> Appended {
    let mut known: HashMap<(&RoomName, &MessageId), Offset> = HashMap::new();
    let offsets = drafts.iter().zip(offsets).filter_map(|(draft, offset)| {
        let key = (&draft.envelope.room, &draft.envelope.id);
        match offset {
            Some(offset) => Some(*known.entry(key).or_insert(offset)),
            None => known.get(&key).copied(),
        }
    });
    Appended { epoch, offsets: offsets.collect() }
}

fn room_of<'a>(rooms: &'a [Arc<Room>], draft: &Draft) -> Option<&'a Arc<Room>> {
    rooms.iter().find(|room| room.name == draft.envelope.room)
}

fn is_known(rooms: &[Arc<Room>], draft: &Draft) -> bool {
    room_of(rooms, draft)
        .is_some_and(|room| room.state().log.offset_of(&draft.envelope.id).is_some())
}

/// What is to be sent of the drafts, by what is known of their rooms.
fn plan(rooms: &[Arc<Room>], drafts: Vec<Draft>, salt: Option<&str>) -> Result<Plan, BrokerError> {
    let states: Vec<_> = rooms.iter().map(|room| (&room.name, room.state())).collect();
    let logs: HashMap<&RoomName, &RoomLog> =
        states.iter().map(|(name, state)| (*name, &state.log)).collect();
    let log = |room: &RoomName| logs.get(room).copied();
    if let Some(id) = taken(log, &drafts) {
        return Err(BrokerError::IdTaken(id));
    }
    let drafts = aim(log, drafts)?;
    let (mut new, mut places, mut offsets) = (Vec::new(), Vec::new(), Vec::new());
    let mut own = BTreeSet::new();
    for (place, draft) in drafts.iter().enumerate() {
        let (name, id) = (&draft.envelope.room, &draft.envelope.id);
        let known = log(name).and_then(|log| log.offset_of(id));
        offsets.push(known);
        let (None, true, Some(room)) = (known, own.insert((name, id)), room_of(rooms, draft))
        else {
            continue;
        };
        let mends = draft.envelope.mends.as_ref();
        let target = mends.and_then(|mends| log(name)?.offset_of(&mends.of));
        let payload = Stored::Said { draft: draft.clone(), target }.encode();
        let token = room.token.clone();
        new.push(New { id: Some(id_of(&token, id, salt)), token, payload });
        places.push(place);
    }
    drop(states);
    Ok(Plan { drafts, new, places, offsets })
}

/// By what the server knows a message again: ids are known to it for the whole stream.
fn id_of(token: &str, id: &MessageId, salt: Option<&str>) -> String {
    let said = format!("{token} {id} {}", salt.unwrap_or_default());
    uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, said.as_bytes()).simple().to_string()
}
