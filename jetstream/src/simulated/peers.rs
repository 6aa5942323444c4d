//! The way from hub to hub on the simulated network: what is told is late, or lost.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use common::RoomName;
use fastrand::Rng;
use hub::{
    broker::{BoxFuture, Following},
    peers::{Answer, Hear, HubId, Peers},
};
use parking_lot::Mutex;
use tokio::{
    sync::mpsc::{self, UnboundedSender},
    time::{Instant, sleep, sleep_until},
};

use super::connection::Shared;

/// How long another hub may take to answer.
const ANSWER: Duration = Duration::from_secs(2);

/// Who listens to what, and which hub answers by which name.
#[derive(Default)]
pub(super) struct Lan {
    listeners: Mutex<BTreeMap<Option<RoomName>, Vec<Ear>>>,
    answers: Mutex<BTreeMap<HubId, (usize, Answer)>>,
}

/// A hub that listens.
type Ear = (usize, UnboundedSender<(Instant, Bytes)>);

/// What one hub has of that.
pub(super) struct SimulatedPeers {
    pub(super) lan: Arc<Lan>,
    pub(super) cluster: Shared,
    pub(super) hub: usize,
    /// Luck of its own: what is told of members changes nothing in what becomes of messages.
    pub(super) rng: Mutex<Rng>,
}

impl fmt::Debug for SimulatedPeers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatedPeers").field("hub", &self.hub).finish_non_exhaustive()
    }
}

impl SimulatedPeers {
    /// Whether something gets from here to there, and when it is there.
    fn gets_to(&self, hub: usize) -> Option<Instant> {
        let cluster = self.cluster.lock();
        let (from, to) = (&cluster.hubs[self.hub], &cluster.hubs[hub]);
        let is_way = from.is_connected && to.is_connected && !from.cut.0 && !to.cut.1;
        let (most, unheard) = (cluster.faults.delay, cluster.faults.unheard);
        let mut rng = self.rng.lock();
        let is_lost = !is_way || rng.u16(..1_000) < unheard;
        (!is_lost).then(|| Instant::now() + Duration::from_millis(rng.u64(..=most.min(50))))
    }
}

impl Peers for SimulatedPeers {
    fn tell(&self, room: Option<&RoomName>, text: Bytes) {
        let listeners = self.lan.listeners.lock();
        for (hub, listener) in listeners.get(&room.cloned()).into_iter().flatten() {
            if let Some(due) = self.gets_to(*hub) {
                // It may have stopped listening.
                let _ = listener.send((due, text.clone()));
            }
        }
    }

    fn listen(&self, room: Option<&RoomName>, hear: Hear) -> Following {
        let (told, mut heard) = mpsc::unbounded_channel::<(Instant, Bytes)>();
        let mut listeners = self.lan.listeners.lock();
        let of_room = listeners.entry(room.cloned()).or_default();
        of_room.retain(|(_, listener)| !listener.is_closed());
        of_room.push((self.hub, told));
        let hearing = tokio::spawn(async move {
            while let Some((due, text)) = heard.recv().await {
                sleep_until(due).await;
                hear(&text);
            }
        });
        Following::new(move || hearing.abort())
    }

    fn ask(&self, hub: HubId, text: Bytes) -> BoxFuture<'_, Option<Bytes>> {
        let asked = self.lan.answers.lock().get(&hub).cloned();
        Box::pin(async move {
            let (place, answer) = asked?;
            let Some(due) = self.gets_to(place) else {
                sleep(ANSWER).await;
                return None;
            };
            sleep_until(due).await;
            Some(answer(&text))
        })
    }

    fn answer(&self, own: HubId, answer: Answer) -> Following {
        self.lan.answers.lock().insert(own, (self.hub, answer));
        let lan = self.lan.clone();
        Following::new(move || _ = lan.answers.lock().remove(&own))
    }
}
