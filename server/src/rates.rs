//! How much somebody may do in a second, and at once: a session in messages, an address in all that it costs
//! others.
//!
//! The rule to keep: what is counted by session is counted by address too, for sessions are free.

use std::{fmt, hash::Hash, num::NonZeroU32};

use common::{ErrorCode, Refusal};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::{address::Address, config::Config};

/// A message costs its address one for each so many bytes of it, begun.
const MESSAGE_BYTES: usize = 4 * 1024;
/// How many seconds' worth may come at once.
const BURST: u32 = 5;

/// The limits in force. An address of which nothing is known is not counted: it is a test's.
#[derive(Debug)]
pub(crate) struct Rates {
    messages: Limit<String>,
    signalling: Limit<String>,
    address_messages: Limit<Address>,
    arrivals: Limit<Address>,
    rooms: Limit<Address>,
    work: Limit<Address>,
}

impl Rates {
    pub(crate) fn new(config: &Config) -> Self {
        let by_address =
            config.address_rate.unwrap_or_else(|| config.publish_rate.saturating_mul(10));
        Self {
            messages: Limit::new(config.publish_rate, "messages"),
            signalling: Limit::new(config.publish_rate, "frames of signalling"),
            address_messages: Limit::new(by_address, "messages of your address"),
            arrivals: Limit::new(by_address.div_ceil(2), "new sessions of your address"),
            rooms: Limit::new(by_address.div_ceil(20), "new rooms of your address"),
            work: Limit::new(by_address.saturating_mul(5), "requests of your address"),
        }
    }

    /// Counts `messages` of `bytes` that `sender` says, who comes from `address`.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::RateLimited`] with the rate as its limit, [`ErrorCode::TooLong`] for more than there may
    /// be at once however long one waits.
    pub(crate) fn publish(
        &self,
        sender: &str,
        address: Option<Address>,
        messages: usize,
        bytes: usize,
    ) -> Result<(), Refusal> {
        self.messages.check(&sender.to_owned(), messages)?;
        self.count_bytes(address, messages, bytes)
    }

    /// Counts a frame of `bytes` of signalling that `sender` sends, beside what it says: a call that begins takes
    /// nothing from who writes meanwhile.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::RateLimited`].
    pub(crate) fn signal(
        &self,
        sender: &str,
        address: Option<Address>,
        bytes: usize,
    ) -> Result<(), Refusal> {
        self.signalling.check(&sender.to_owned(), 1)?;
        self.count_bytes(address, 1, bytes)
    }

    fn count_bytes(
        &self,
        address: Option<Address>,
        frames: usize,
        bytes: usize,
    ) -> Result<(), Refusal> {
        let cost = frames.max(bytes.div_ceil(MESSAGE_BYTES));
        address.map_or(Ok(()), |address| self.address_messages.check(&address, cost))
    }

    /// Counts somebody who comes without a session: it is somebody new, and will be listed a while.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::RateLimited`].
    pub(crate) fn arrive(&self, address: Option<Address>) -> Result<(), Refusal> {
        address.map_or(Ok(()), |address| self.arrivals.check(&address, 1))
    }

    /// Counts a room that is to be opened.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::RateLimited`].
    pub(crate) fn open_room(&self, address: Option<Address>) -> Result<(), Refusal> {
        address.map_or(Ok(()), |address| self.rooms.check(&address, 1))
    }

    /// Counts what a request takes, in units of a small one.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::RateLimited`].
    pub(crate) fn work(&self, address: Option<Address>, cost: usize) -> Result<(), Refusal> {
        address.map_or(Ok(()), |address| self.work.check(&address, cost))
    }

    /// Counts a search: as much as fifty small requests.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::RateLimited`].
    pub(crate) fn search(&self, address: Option<Address>) -> Result<(), Refusal> {
        self.work(address, 50)
    }

    /// Forgets whoever has done nothing for long enough that it makes no difference.
    pub(crate) fn forget_idle(&self) {
        self.messages.forget_idle();
        self.signalling.forget_idle();
        for limit in [&self.address_messages, &self.arrivals, &self.rooms, &self.work] {
            limit.forget_idle();
        }
    }
}

/// One limit; of 0 there is none.
struct Limit<K: Hash + Eq + Clone> {
    of: &'static str,
    per_second: u32,
    limiter: Option<DefaultKeyedRateLimiter<K>>,
}

impl<K: Hash + Eq + Clone> fmt::Debug for Limit<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} a second", self.per_second, self.of)
    }
}

impl<K: Hash + Eq + Clone> Limit<K> {
    fn new(per_second: u32, of: &'static str) -> Self {
        let limiter = NonZeroU32::new(per_second).map(|rate| {
            let burst = rate.saturating_mul(NonZeroU32::MIN.saturating_add(BURST - 1));
            RateLimiter::keyed(Quota::per_second(rate).allow_burst(burst))
        });
        Self { of, per_second, limiter }
    }

    fn check(&self, key: &K, things: usize) -> Result<(), Refusal> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        let Self { of, per_second, .. } = self;
        let count = u32::try_from(things).unwrap_or(u32::MAX);
        let count = NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
        match limiter.check_key_n(key, count) {
            Ok(Ok(())) => Ok(()),
            // It would be too much at any time.
            Err(_) => {
                let most = per_second.saturating_mul(BURST) as usize;
                Err(Refusal::too_long("body", most, &format!("{of} at this rate")))
            }
            Ok(Err(_)) => Err(Refusal {
                limit: Some(u64::from(*per_second)),
                ..Refusal::new(
                    ErrorCode::RateLimited,
                    format!("more than {per_second} {of} a second; try again a little later"),
                )
            }),
        }
    }

    fn forget_idle(&self) {
        if let Some(limiter) = &self.limiter {
            limiter.retain_recent();
            limiter.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn rates(publish_rate: u32, address_rate: Option<u32>) -> Rates {
        Rates::new(&Config { publish_rate, address_rate, ..Config::ephemeral() })
    }

    fn address() -> Option<Address> {
        Some("192.0.2.1".parse::<IpAddr>().unwrap().into())
    }

    /// How often it is allowed at once.
    fn times(mut allowed: impl FnMut() -> Result<(), Refusal>) -> usize {
        (0..10_000).take_while(|_| allowed().is_ok()).count()
    }

    #[test]
    fn a_session_may_say_so_much_and_all_of_an_address_ten_times_as_much() {
        let rates = rates(20, None);
        assert_eq!(times(|| rates.publish("a", address(), 1, 100)), 100);
        let refused = rates.publish("a", address(), 1, 100).unwrap_err();
        assert_eq!((refused.code, refused.limit), (ErrorCode::RateLimited, Some(20)));
        let mut session = 0;
        let others = times(|| {
            session += 1;
            rates.publish(&format!("b{session}"), address(), 1, 100)
        });
        // Of those that the session was refused none counts; some more may while this runs.
        assert!((900..1_000).contains(&others), "{others}");
        let refused = rates.publish("c", address(), 1, 100).unwrap_err();
        assert_eq!(refused.limit, Some(200));
        let other = Some("192.0.2.2".parse::<IpAddr>().unwrap().into());
        assert!(rates.publish("c", other, 1, 100).is_ok());
    }

    #[test]
    fn long_messages_cost_more_and_more_than_may_ever_be_at_once_is_too_long() {
        let rates = rates(1_000, Some(20));
        assert_eq!(times(|| rates.publish("a", address(), 1, 16 * 1024)), 25);
        let refused = rates.publish("a", address(), 101, 0).unwrap_err();
        assert_eq!((refused.code, refused.limit), (ErrorCode::TooLong, Some(100)));
    }

    #[test]
    fn where_there_is_no_limit_for_messages_there_is_none_by_address_unless_it_is_asked_for() {
        let free = rates(0, None);
        assert_eq!(times(|| free.publish("a", address(), 1, 100)), 10_000);
        assert_eq!(times(|| free.arrive(address())), 10_000);
        let asked = rates(0, Some(100));
        assert!(times(|| asked.publish("a", address(), 1, 100)) < 1_000);
        assert_eq!(times(|| asked.open_room(address())), 25);
        assert!(times(|| asked.arrive(address())) < 300);
        assert!(times(|| asked.work(address(), 10)) < 300);
    }
}
