//! The hubs: one over a log of its own, or three over one log on a simulated NATS, which fails.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use fastrand::Rng;
use hub::broker::Broker;
use jetstream::{
    JetStreamBroker,
    simulated::{Cut, SimulatedNats},
};
use server::{Config, Server, identity::Identity};
use tokio::{task::AbortHandle, time::sleep};

use super::{far::Far, log::Log};

/// How long an id is known to the servers of NATS, whatever became of its message: longer than anything is on its way.
/// What comes later may be stored twice, and read once, as jetstream's own simulation has it.
const WINDOW: Duration = Duration::from_secs(60 * 60);
/// By so much the clocks of hubs differ at the most.
const SKEW: u64 = 5 * 60 * 60 * 1_000;

/// A hub that is up.
pub struct Hub {
    pub far: Far,
    /// By which number NATS knows it, and its broker.
    at_nats: Option<(usize, Arc<JetStreamBroker>)>,
    work: Vec<AbortHandle>,
}

impl Hub {
    /// Starts one; `None` where NATS does not answer.
    pub async fn start(config: Config, identity: Identity, log: Arc<Log>) -> Option<Self> {
        let (server, at_nats) = match log.nats() {
            None => (Server::over(config, identity, log), None),
            Some(nats) => {
                let (place, broker) = nats.hub(log.retention.clone(), WINDOW).await.ok()?;
                let (peers, broker) = (broker.peers(), Arc::new(broker));
                let server = Server::among(config, identity, broker.clone(), peers);
                (server, Some((place, broker)))
            }
        };
        let mut hub = Self { far: Far::new(&server), at_nats, work: Vec::new() };
        hub.does(async move {
            loop {
                sleep(Duration::from_secs(1)).await;
                server.sweep();
            }
        });
        Some(hub)
    }

    /// Has it do this until it dies.
    pub fn does(&mut self, work: impl Future<Output = ()> + Send + 'static) {
        self.work.retain(|work| !work.is_finished());
        self.work.push(tokio::spawn(work).abort_handle());
    }

    /// Lets go of what is past its retention, by a clock that may be hours ahead, or behind.
    pub fn tidy(&mut self, rng: &mut Rng) {
        let Some((_, broker)) = self.at_nats.clone() else { return };
        let at = now_ms() - SKEW + rng.u64(..2 * SKEW);
        // It may be that nobody answers.
        self.does(async move { drop(broker.tidy(at).await) });
    }

    /// Something happens to NATS, or to what is between it and this hub.
    pub fn suffer(&self, nats: &SimulatedNats, rng: &mut Rng) {
        let Some((place, _)) = self.at_nats else { return };
        let server = rng.usize(..3);
        match rng.u8(..68) {
            0..8 => nats.kill(server),
            8..24 => nats.start(server),
            24..30 => nats.change_leader(),
            30..33 => nats.stop_leader(Duration::from_millis(rng.u64(..9_000))),
            33..43 => {
                let cuts = [Cut::Up, Cut::Down, Cut::Silent, Cut::Known];
                nats.cut(place, cuts[rng.usize(..cuts.len())]);
            }
            43..58 => nats.join(place),
            58..62 => nats.slow_down(place),
            _ => nats.hurry(place),
        }
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.work.iter().for_each(AbortHandle::abort);
    }
}

/// The time by which messages are kept.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap().as_millis() as u64
}
