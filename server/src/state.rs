//! What all handlers share.

use std::sync::Arc;

use common::Bye;
use hub::{Hub, broker::Broker};
use tokio::sync::watch;

use crate::{address::Places, config::Config, edge, identity::Identity, meter::Labs, rates::Rates};

/// How many KiB of long bodies and answers may be under way, in all; one address has an eighth of that.
const IN_FLIGHT_KIB: usize = 64 * 1024;
/// How many KiB of signalling may wait to be taken, in all; one address has an eighth of that.
const MAIL_KIB: usize = 16 * 1024;

/// The parts of a running server; cheap to clone.
pub(crate) type ServerState = Arc<Parts>;

/// The parts of a running server.
#[derive(Debug)]
pub(crate) struct Parts {
    /// The rooms.
    pub hub: Arc<Hub>,
    /// Who is who.
    pub identity: Identity,
    /// What the operator chose.
    pub config: Config,
    /// Turns true when the server stops. Every connection holds a receiver while it lives, so
    /// `closed()` on this is the end of the last one.
    pub stopping: watch::Sender<bool>,
    /// The connections there are, below HTTP.
    pub connections: Arc<Places>,
    /// The sessions there are, whatever they are carried by.
    pub sessions: Arc<Places>,
    /// The sessions of stock Socket.IO clients, below those of the rooms.
    pub engines: Arc<Places>,
    /// The KiB of long bodies and answers that are under way.
    pub in_flight: Arc<Places>,
    /// The KiB of signalling that nobody has taken yet.
    pub mail: Arc<Places>,
    /// Whom bytes are counted for.
    pub labs: Labs,
    /// How much of what somebody may do.
    pub rates: Rates,
}

impl Parts {
    /// A server that has heard of nobody yet.
    pub(crate) fn new(config: Config, identity: Identity, broker: Arc<dyn Broker>) -> Self {
        let room = edge::room_for(config.connections);
        let each = match config.connections_per_address {
            0 => usize::MAX,
            // However many one has, there is room for others.
            each => each.min(room.div_ceil(2)),
        };
        let places = || Places::new(room, each);
        Self {
            hub: Hub::new(broker, config.hub.clone()),
            identity,
            connections: places(),
            sessions: places(),
            engines: places(),
            in_flight: Places::new(IN_FLIGHT_KIB, IN_FLIGHT_KIB / 8),
            mail: Places::new(MAIL_KIB, MAIL_KIB / 8),
            labs: Labs::new(),
            rates: Rates::new(&config),
            stopping: watch::Sender::new(false),
            config,
        }
    }

    /// What one of the connections is told when the server stops.
    pub(crate) fn bye(&self) -> Bye {
        Bye {
            code: 1012,
            reason: "the server is restarting".to_owned(),
            reconnect_in_ms: self.reconnect_in_ms(),
        }
    }

    /// When one of the connections should come back after a restart: each at a time of its own,
    /// spread so that about 500 come in a second, within half a second to half a minute.
    fn reconnect_in_ms(&self) -> u64 {
        let connections = self.sessions.taken() as u64;
        let spread = (connections * 2).clamp(500, 30_000);
        let (random, _) = uuid::Uuid::new_v4().as_u64_pair();
        250 + random % spread
    }
}
