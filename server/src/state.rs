//! What all handlers share.

use std::{num::NonZeroU32, sync::Arc};

use common::{Bye, ErrorCode, Refusal};
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
    burst: u32,
    limiter: DefaultKeyedRateLimiter<String>,
}

impl Parts {
    /// A server that has heard of nobody yet.
    pub(crate) fn new(config: Config, identity: Identity, broker: Arc<dyn Broker>) -> Self {
        let rate = NonZeroU32::new(config.publish_rate).map(|per_second| {
            let burst = per_second.saturating_mul(NonZeroU32::MIN.saturating_add(4));
            let quota = Quota::per_second(per_second).allow_burst(burst);
            Rate {
                per_second: per_second.get(),
                burst: burst.get(),
                limiter: RateLimiter::keyed(quota),
            }
        });
        Self {
            hub: Hub::new(broker, config.hub.clone()),
            identity,
            config,
            stopping: watch::Sender::new(false),
            rate,
        }
    }

    /// Counts `things` sent by `sender` against the rate.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::RateLimited`] with the rate as its limit, [`ErrorCode::TooLong`] for more than there may
    /// be at once however long one waits.
    pub(crate) fn check_rate(&self, sender: &str, things: usize) -> Result<(), Refusal> {
        let Some(Rate { per_second, burst, limiter }) = &self.rate else { return Ok(()) };
        let count = u32::try_from(things).unwrap_or(u32::MAX);
        let count = NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
        match limiter.check_key_n(&sender.to_owned(), count) {
            Ok(Ok(())) => Ok(()),
            // It would be too much at any time.
            Err(_) => Err(Refusal::too_long("body", *burst as usize, "messages at this rate")),
            Ok(Err(_)) => Err(Refusal {
                limit: Some(u64::from(*per_second)),
                ..Refusal::new(
                    ErrorCode::RateLimited,
                    format!(
                        "more than {per_second} messages a second; send it again a little later"
                    ),
                )
            }),
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
