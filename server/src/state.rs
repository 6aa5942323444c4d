//! What all handlers share.

use std::{num::NonZeroU32, sync::Arc};

use common::{ErrorCode, Refusal};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use hub::{Hub, broker::Broker};
use tokio::sync::watch;

use crate::{config::Config, identity::Identity};

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
    rate: Option<Rate>,
}

#[derive(Debug)]
struct Rate {
    per_second: u32,
    limiter: DefaultKeyedRateLimiter<String>,
}

impl Parts {
    /// A server that has heard of nobody yet.
    pub(crate) fn new(config: Config, identity: Identity, broker: Arc<dyn Broker>) -> Self {
        let rate = NonZeroU32::new(config.publish_rate).map(|per_second| {
            let burst = per_second.saturating_mul(NonZeroU32::MIN.saturating_add(4));
            let quota = Quota::per_second(per_second).allow_burst(burst);
            Rate { per_second: per_second.get(), limiter: RateLimiter::keyed(quota) }
        });
        Self {
            hub: Hub::new(broker, config.hub.clone()),
            identity,
            config,
            stopping: watch::Sender::new(false),
            rate,
        }
    }

    /// Counts one thing sent by `sender` against the rate.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::RateLimited`] with the rate as its limit.
    pub(crate) fn check_rate(&self, sender: &str) -> Result<(), Refusal> {
        let Some(Rate { per_second, limiter }) = &self.rate else { return Ok(()) };
        limiter.check_key(&sender.to_owned()).map_err(|_| Refusal {
            limit: Some(u64::from(*per_second)),
            ..Refusal::new(
                ErrorCode::RateLimited,
                format!("more than {per_second} messages a second; send it again a little later"),
            )
        })
    }

    /// When one of the connections should come back after a restart: each at a time of its own,
    /// spread so that about 500 come in a second, within half a second to half a minute.
    pub(crate) fn reconnect_in_ms(&self) -> u64 {
        let connections = self.stopping.receiver_count() as u64;
        let spread = (connections * 2).clamp(500, 30_000);
        let (random, _) = uuid::Uuid::new_v4().as_u64_pair();
        250 + random % spread
    }

    /// Forgets whoever has not sent for long enough that it makes no difference.
    pub(crate) fn forget_idle_senders(&self) {
        if let Some(rate) = &self.rate {
            rate.limiter.retain_recent();
            rate.limiter.shrink_to_fit();
        }
    }
}
