//! NATS and the network to it, simulated by seed: it loses, doubles, delays and forgets more than the real one does.
//!
//! Start at [`SimulatedNats`]: three servers, one of which leads, with copies that lag behind; and hubs of them, each with the
//! broker that ships. Nothing in here sleeps in real time where tokio's clock is paused, and nothing is random but by seed.
//! It knows what was ever stored ([`SimulatedNats::stored`]), which is the truth that hubs are held to.

mod cluster;
mod connection;
mod peers;
mod replicas;
mod store;

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use common::{Epoch, Offset, RoomName};
use fastrand::Rng;
use hub::{
    Draft,
    broker::{BrokerError, Retention},
};
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, mpsc},
    time::sleep,
};

pub use self::replicas::Snapshot;
use self::{
    cluster::{Cluster, Connection},
    connection::{Shared, SimulatedStream, carry},
    peers::{Lan, SimulatedPeers},
};
use crate::{
    JetStreamBroker, names,
    shape::Shape,
    shard::epoch_of_life,
    stored::Stored,
    stream::{Item, New},
};

/// How often what goes wrong: so many times in a thousand.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    /// The longest anything takes to arrive, in milliseconds; most of it takes no more than six.
    pub delay: u64,
    /// What is asked or sent does not arrive.
    pub unsent: u16,
    /// It is done, and the answer does not arrive.
    pub unanswered: u16,
    /// What was stored is not told.
    pub unheard: u16,
    /// It is told twice.
    pub doubled: u16,
    /// It is told after what comes next.
    pub disordered: u16,
    /// A batch is refused, for there are too many.
    pub busy: u16,
    /// For how long whoever leads may not know all, or not that another leads, in milliseconds.
    pub ignorant: u64,
}

impl Faults {
    /// Nothing goes wrong, and nothing takes time.
    pub const NONE: Self = Self {
        delay: 0,
        unsent: 0,
        unanswered: 0,
        unheard: 0,
        doubled: 0,
        disordered: 0,
        busy: 0,
        ignorant: 0,
    };

    /// What may happen on the way, each as often as it comes, or never. Whoever gets there finds all well.
    pub fn on_the_way(rng: &mut Rng) -> Self {
        let at_most = |rng: &mut Rng, most: u16| if rng.bool() { rng.u16(..most) } else { 0 };
        Self {
            delay: [5, 100, 2_000][rng.usize(..3)],
            unsent: at_most(rng, 20),
            unanswered: at_most(rng, 60),
            unheard: at_most(rng, 100),
            doubled: at_most(rng, 100),
            disordered: at_most(rng, 100),
            busy: 0,
            ignorant: 0,
        }
    }
}

/// Which way nothing gets through between a hub and the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// What it sends is lost.
    Up,
    /// What it is told is lost.
    Down,
    /// Both, and it takes the connection to be there.
    Silent,
    /// Both, and it knows.
    Known,
}

/// Something that is stored of a room.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The room.
    pub room: RoomName,
    /// Where it is.
    pub offset: Offset,
    /// What was said; nothing, where something was let go of.
    pub draft: Option<Draft>,
}

impl Entry {
    fn of(item: &Item) -> Option<Self> {
        let room = RoomName::parse(&names::decode(&item.token)?).ok()?;
        let draft = match Stored::decode(&room, &item.payload).ok()? {
            Stored::Said { draft, .. } => Some(draft),
            Stored::LetGo(_) => None,
        };
        Some(Self { room, offset: item.offset, draft })
    }
}

/// Servers, and the network to them.
#[derive(Clone)]
pub struct SimulatedNats {
    cluster: Shared,
    lan: Arc<Lan>,
    wait: Duration,
}

impl fmt::Debug for SimulatedNats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimulatedNats")
    }
}

impl SimulatedNats {
    /// Servers that are there, with nothing stored; `now_ms` is their time, in milliseconds since 1970.
    pub fn new(rng: Rng, faults: Faults, now_ms: u64) -> Self {
        let cluster = Arc::new(Mutex::new(Cluster::new(rng, faults, now_ms)));
        Self { cluster, lan: Arc::default(), wait: Duration::from_secs(5) }
    }

    /// One hub more, and by which number it is known here. Ids are known for `window`.
    ///
    /// # Errors
    ///
    /// [`BrokerError`] when the servers do not answer.
    pub async fn hub(
        &self,
        retention: Retention,
        window: Duration,
    ) -> Result<(usize, JetStreamBroker), BrokerError> {
        let changed = Arc::new(Notify::new());
        let (up, sent) = mpsc::unbounded_channel();
        let (hub, streams, rng) = {
            let mut cluster = self.cluster.lock();
            let server = cluster.any().unwrap_or(0);
            let (cut, is_slow, changed) = ((false, false), false, changed.clone());
            cluster.hubs.push(Connection { server, is_connected: true, cut, is_slow, changed });
            let log = Shape::of_shard("hubbub", 0, 1, 3, window, &retention);
            let shapes = [log, Shape::of_kept("hubbub", 3, window)];
            let streams = shapes.map(|shape| cluster.stream(shape));
            (cluster.hubs.len() - 1, streams, Mutex::new(cluster.rng.fork()))
        };
        tokio::spawn(carry(sent));
        let (cluster, wait) = (self.cluster.clone(), self.wait);
        let [log, kept] = streams.map(|stream| {
            let (cluster, up) = (cluster.clone(), up.clone());
            Arc::new(SimulatedStream { cluster, hub, stream, wait, up })
        });
        let peers = Arc::new(SimulatedPeers { lan: self.lan.clone(), cluster, hub, rng });
        let broker = JetStreamBroker::over(vec![log], kept, peers, changed, retention).await?;
        Ok((hub, broker))
    }

    /// What happened to everybody so far, by what it is called.
    pub fn happened(&self) -> BTreeMap<&'static str, u64> {
        self.cluster.lock().happened.clone()
    }

    /// The life that the log is in.
    pub fn epoch(&self) -> Epoch {
        epoch_of_life(&self.cluster.lock().streams[0].agreed.life())
    }

    /// The lives that the log was in, in this order; one is there twice if it was put back in it, or to it.
    pub fn epochs(&self) -> Vec<Epoch> {
        self.cluster.lock().streams[0].lives.iter().map(|(life, _)| epoch_of_life(life)).collect()
    }

    /// What was ever stored in a life of the log: all that readers may have seen, as long as it was in that.
    pub fn stored(&self, epoch: &Epoch) -> Vec<Arc<Entry>> {
        let log = &self.cluster.lock().streams[0];
        let life = log.lives.iter().rev().find(|(life, _)| epoch_of_life(life) == *epoch);
        life.map(|(_, branch)| log.branches[*branch].clone()).unwrap_or_default()
    }

    /// Stores these as another hub would that is at the leader, one by one; nothing that is done to others.
    pub fn store(&self, drafts: Vec<Draft>) {
        let mut cluster = self.cluster.lock();
        for draft in drafts {
            let token = names::encode(draft.envelope.room.as_str());
            let payload = Stored::Said { draft, target: None }.encode();
            cluster.store(0, New { token, id: None, payload });
        }
    }

    /// A server dies; hubs that are at it look for another.
    pub fn kill(&self, server: usize) {
        let hubs: Vec<_> = {
            let mut cluster = self.cluster.lock();
            cluster.kill(server);
            (0..cluster.hubs.len()).filter(|hub| cluster.hubs[*hub].server == server).collect()
        };
        hubs.into_iter().for_each(|hub| self.disconnect(hub));
    }

    /// A server is started again.
    pub fn start(&self, server: usize) {
        self.cluster.lock().start(server);
    }

    /// Another leads from now on, or nobody for some seconds; whoever led may not know it.
    pub fn change_leader(&self) {
        self.cluster.lock().lose_leader();
    }

    /// The leader answers nobody for so long.
    pub fn stop_leader(&self, how_long: Duration) {
        self.cluster.lock().stop_leader(how_long);
    }

    /// Nothing gets through between a hub and the servers, that way.
    pub fn cut(&self, hub: usize, cut: Cut) {
        {
            let mut cluster = self.cluster.lock();
            cluster.happens(match cut {
                Cut::Up => "hubs cut off one way, up",
                Cut::Down => "hubs cut off one way, down",
                Cut::Silent => "hubs cut off in silence",
                Cut::Known => "hubs cut off",
            });
            cluster.hubs[hub].cut = (cut != Cut::Down, cut != Cut::Up);
        }
        if cut == Cut::Known {
            self.disconnect(hub);
        }
    }

    /// Everything gets through again.
    pub fn join(&self, hub: usize) {
        self.cluster.lock().hubs[hub].cut = (false, false);
    }

    /// What a hub is told is dropped, for it takes too long with it, until it no more [is](Self::hurry).
    pub fn slow_down(&self, hub: usize) {
        self.cluster.lock().hubs[hub].is_slow = true;
    }

    /// A hub that was slow takes what it is told, and is told that something was dropped.
    pub fn hurry(&self, hub: usize) {
        let mut cluster = self.cluster.lock();
        if std::mem::take(&mut cluster.hubs[hub].is_slow) {
            cluster.hubs[hub].changed.notify_one();
        }
    }

    /// All that is stored, as it is now.
    pub fn copy(&self) -> Vec<Snapshot> {
        self.cluster.lock().streams.iter().map(|stream| stream.copy()).collect()
    }

    /// The servers are stopped, and go on with what there was then.
    pub fn put_back(&self, copy: Vec<Snapshot>) {
        let hubs = {
            let mut cluster = self.cluster.lock();
            cluster.happens("logs put back");
            let with_ids = cluster.rng.bool();
            cluster.streams.iter_mut().zip(copy).for_each(|(stream, copy)| {
                stream.put_back(copy, with_ids);
            });
            cluster.lose_leader();
            cluster.hubs.len()
        };
        (0..hubs).for_each(|hub| self.disconnect(hub));
    }

    /// The log is deleted, and made once more; what is kept beside messages stays.
    pub fn make_anew(&self) {
        let mut cluster = self.cluster.lock();
        cluster.happens("logs made anew");
        cluster.streams[0].make_anew();
    }

    /// Everything is well from now on.
    pub fn heal(&self) {
        self.cluster.lock().heal();
    }

    /// A hub has no connection, until it finds a server.
    fn disconnect(&self, hub: usize) {
        {
            let mut cluster = self.cluster.lock();
            if !std::mem::take(&mut cluster.hubs[hub].is_connected) {
                return;
            }
            cluster.happens("connections lost");
            cluster.hubs[hub].changed.notify_one();
        }
        let cluster = self.cluster.clone();
        tokio::spawn(async move {
            loop {
                let pause = cluster.lock().rng.u64(1..1_500);
                sleep(Duration::from_millis(pause)).await;
                let mut cluster = cluster.lock();
                let server = cluster.any();
                let connection = &mut cluster.hubs[hub];
                if let (Some(server), (false, false)) = (server, connection.cut) {
                    (connection.server, connection.is_connected) = (server, true);
                    connection.changed.notify_one();
                    return;
                }
            }
        });
    }
}
