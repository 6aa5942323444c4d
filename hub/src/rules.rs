//! What those who manage have decided about rooms and members. It is kept by the broker, and looked up here.
//!
//! The rule to keep: whoever has decided something is told only when it is kept.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use common::{MemberId, RoomName, Settings};
use parking_lot::{Mutex, RwLock};
use tokio::sync::watch;

use crate::broker::{Broker, BrokerError, Keep};

/// How many times of members are remembered for slow rooms before those that do not matter any more are forgotten.
const MANY: usize = 10_000;
/// And how many are remembered at the most: behind it all have a turn again.
const MOST: usize = 200_000;
/// What stands between the parts of a key: no name or id has a line break in it.
const BETWEEN: char = '\n';

/// Who is put out: of one room or of all, and until when in milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Out {
    /// Who.
    pub member: MemberId,
    /// Of which room; none is all.
    pub room: Option<RoomName>,
    /// Until when.
    pub until: u64,
}

/// All that was decided.
#[derive(Debug, Default)]
pub struct Rules {
    rooms: RwLock<HashMap<RoomName, Settings>>,
    out: RwLock<HashMap<(MemberId, Option<RoomName>), u64>>,
    /// When somebody may say something again in a slow room: milliseconds since 1970.
    next: Mutex<Turns>,
    version: AtomicU64,
    changed: watch::Sender<()>,
    /// The broker tells of all that is kept.
    is_told: AtomicBool,
    /// One decides at a time, so that what is kept and what is looked up are the same.
    deciding: tokio::sync::Mutex<()>,
}

/// When whose turn is, and with how many of those it is looked which are past.
#[derive(Debug, Default)]
struct Turns {
    at: HashMap<(RoomName, MemberId), u64>,
    many: usize,
}

impl Rules {
    /// Reads all that is kept, and hears from then on of what others decide, where there are others: `decided` hears of each
    /// room whose settings are others now.
    pub(crate) async fn load(
        self: &Arc<Self>,
        broker: &dyn Broker,
        decided: impl Fn(&RoomName) + Send + Sync + 'static,
    ) -> Result<(), BrokerError> {
        let rules = Arc::downgrade(self);
        let watcher = Arc::new(move |key: &str, value: Option<&str>| {
            let Some(rules) = rules.upgrade() else { return };
            if let Some(room) = rules.apply(key, value) {
                decided(&room);
            }
        });
        let is_told = broker.watch_kept(watcher).await?;
        self.is_told.store(is_told, Ordering::Release);
        if !is_told {
            for (key, value) in broker.kept().await? {
                self.apply(&key, Some(&value));
            }
        }
        Ok(())
    }

    /// Has this kept, and hold.
    async fn keep(
        &self,
        broker: &dyn Broker,
        key: &str,
        value: Option<&str>,
    ) -> Result<(), BrokerError> {
        broker.keep(key, value).await?;
        // Else it was told, and so may have been what somebody else has decided since.
        if !self.is_told.load(Ordering::Acquire) {
            self.apply(key, value);
        }
        Ok(())
    }

    /// What is kept under this key holds from now on. The room whose settings it is, if it is that.
    fn apply(&self, key: &str, value: Option<&str>) -> Option<RoomName> {
        let parts: Vec<&str> = key.split(BETWEEN).collect();
        let room = |name: &str| RoomName::try_from(name.to_owned()).ok();
        let of = match parts[..] {
            ["room", name] => {
                let room = room(name)?;
                match value.and_then(|value| serde_json::from_str(value).ok()) {
                    Some(settings) => _ = self.rooms.write().insert(room.clone(), settings),
                    None => _ = self.rooms.write().remove(&room),
                }
                Some(room)
            }
            ["out", id, name] => {
                let of = if name.is_empty() { None } else { Some(room(name)?) };
                let whom = (MemberId::try_from(id.to_owned()).ok()?, of);
                match value.and_then(|until| until.parse().ok()) {
                    Some(until) => _ = self.out.write().insert(whom, until),
                    None => _ = self.out.write().remove(&whom),
                }
                None
            }
            // A newer version's, or somebody else's.
            _ => return None,
        };
        self.version.fetch_add(1, Ordering::Release);
        self.changed.send_replace(());
        of
    }

    /// Hears of each change from now on.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// A number that is another after each change.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// What holds in `room`.
    pub fn settings(&self, room: &RoomName) -> Settings {
        self.rooms.read().get(room).copied().unwrap_or_default()
    }

    /// What is to be kept of rooms in which that was decided, at `now`.
    pub(crate) fn keeping(&self, now: u64) -> Vec<(RoomName, Keep)> {
        let rooms = self.rooms.read();
        let keeping =
            rooms.iter().filter_map(|(room, settings)| Some((room.clone(), keep(settings, now)?)));
        keeping.collect()
    }

    pub(crate) async fn set(
        &self,
        broker: &dyn Broker,
        room: &RoomName,
        change: impl FnOnce(Settings) -> Settings,
    ) -> Result<Settings, BrokerError> {
        let _deciding = self.deciding.lock().await;
        let settings = change(self.settings(room));
        let key = format!("room{BETWEEN}{room}");
        let is_usual = settings == Settings::default();
        // Numbers and truth values always encode.
        let value = serde_json::to_string(&settings).unwrap_or_default();
        self.keep(broker, &key, (!is_usual).then_some(&value)).await?;
        Ok(settings)
    }

    /// Until when `member` is put out of `room`, at `now`; both in milliseconds since 1970.
    pub fn out_until(&self, member: &MemberId, room: &RoomName, now: u64) -> Option<u64> {
        let out = self.out.read();
        if out.is_empty() {
            return None;
        }
        let until = |of| out.get(&(member.clone(), of)).copied();
        until(None).max(until(Some(room.clone()))).filter(|until| *until > now)
    }

    /// Who is put out at `now`, of `room` if one is named.
    pub fn all_out(&self, room: Option<&RoomName>, now: u64) -> Vec<Out> {
        let out = self.out.read();
        let those = out.iter().filter(|((_, of), until)| **until > now && of.as_ref() == room);
        let mut those: Vec<_> = those
            .map(|((member, room), until)| Out {
                member: member.clone(),
                room: room.clone(),
                until: *until,
            })
            .collect();
        those.sort_by(|one, other| one.member.cmp(&other.member));
        those
    }

    /// Puts somebody out until then, or lets them in again where that is past. What has run out is forgotten with it.
    pub(crate) async fn put_out(
        &self,
        broker: &dyn Broker,
        Out { member, room, until }: Out,
        now: u64,
    ) -> Result<(), BrokerError> {
        let _deciding = self.deciding.lock().await;
        let key = |(member, room): &(MemberId, Option<RoomName>)| {
            let room = room.as_ref().map(RoomName::as_str).unwrap_or_default();
            format!("out{BETWEEN}{member}{BETWEEN}{room}")
        };
        let whom = (member, room);
        let until = Some(until).filter(|until| *until > now);
        self.keep(broker, &key(&whom), until.map(|until| until.to_string()).as_deref()).await?;
        let is_over = |(whom, until): (&(MemberId, Option<RoomName>), &u64)| {
            (*until <= now).then(|| whom.clone())
        };
        let over: Vec<_> = self.out.read().iter().filter_map(is_over).collect();
        for whom in over {
            // What can't be forgotten now is the next time; the decision holds.
            let _ = self.keep(broker, &key(&whom), None).await;
        }
        Ok(())
    }

    /// Takes the turn of `member` in a slow room; else says how long it is until then, in milliseconds.
    ///
    /// # Errors
    ///
    /// That time.
    pub fn take_turn(&self, room: &RoomName, member: &MemberId, now: u64) -> Result<(), u64> {
        let slow = self.settings(room).slow_mode_ms;
        if slow == 0 {
            return Ok(());
        }
        let mut turns = self.next.lock();
        if turns.at.len() >= turns.many.max(MANY) {
            turns.at.retain(|_, at| *at > now);
            // Not again before there are twice as many; more than so many are not remembered.
            turns.many = turns.at.len() * 2;
            if turns.at.len() >= MOST {
                turns.at.clear();
            }
        }
        let at = turns.at.entry((room.clone(), member.clone())).or_default();
        // Of a clock that was ahead nobody waits longer than for a turn.
        match at.saturating_sub(now) {
            0 => {}
            left if left > slow => {}
            left => return Err(left),
        }
        *at = now + slow;
        Ok(())
    }

    /// Gives a turn back, of which nothing came.
    pub fn give_back_turn(&self, room: &RoomName, member: &MemberId) {
        self.next.lock().at.remove(&(room.clone(), member.clone()));
    }
}

/// What is to be kept of a room with these settings; nothing is said of that by most.
pub(crate) fn keep(settings: &Settings, now: u64) -> Option<Keep> {
    let Settings { keep_messages, keep_seconds, .. } = *settings;
    let messages = match keep_messages {
        0 => usize::MAX,
        messages => usize::try_from(messages).unwrap_or(usize::MAX),
    };
    let since = match keep_seconds {
        0 => 0,
        seconds => now.saturating_sub(seconds.saturating_mul(1_000)),
    };
    (keep_messages > 0 || keep_seconds > 0).then_some(Keep { messages, since })
}
