//! Where somebody comes from, and how many of them there may be.
//!
//! What a hostile network has for nothing are sessions, names and ports; addresses it has to own. So what
//! is bounded is bounded by [`Address`] as well as in all.

use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

use common::{ErrorCode, Refusal};
use parking_lot::Mutex;

/// An address, as far as it is counted: one of IPv4, or the /64 that one customer of a network gets of IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Address(IpAddr);

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(address) => {
                let network = u128::from(address) & (u128::MAX << 64);
                Self(IpAddr::V6(Ipv6Addr::from(network)))
            }
            address => Self(address),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => write!(f, "{address}"),
            IpAddr::V6(network) => write!(f, "{network}/64"),
        }
    }
}

/// So many of something there may be at one time, or so much: in all, and for each address.
#[derive(Debug)]
pub(crate) struct Places {
    all: usize,
    each: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_address: HashMap<Address, usize>,
}

/// One of them. Dropping it makes room for the next.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    address: Option<Address>,
    size: usize,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// There are so many in all.
    All(usize),
    /// There are so many of that address.
    Address(usize),
}

impl Full {
    /// What whoever finds no place is told: of what there is too much.
    pub(crate) fn refusal(self, code: ErrorCode, things: &str) -> Refusal {
        let (of, limit) = match self {
            Self::All(limit) => ("", limit),
            Self::Address(limit) => (" of your address", limit),
        };
        let message = format!("there are {limit} {things}{of}, and no more are taken");
        Refusal { limit: Some(limit as u64), ..Refusal::new(code, message) }
    }

    /// As [`Full::refusal`], of connections or sessions.
    pub(crate) fn too_many(self, things: &str) -> Refusal {
        self.refusal(ErrorCode::TooManyConnections, things)
    }

    /// As [`Full::refusal`], of bodies and answers that are under way.
    pub(crate) fn too_much_under_way(self) -> Refusal {
        self.refusal(ErrorCode::RateLimited, "KiB under way")
    }

    /// As [`Full::refusal`], of signalling that nobody has taken.
    pub(crate) fn too_much_waiting(self) -> Refusal {
        self.refusal(ErrorCode::RateLimited, "KiB of signalling that were not taken")
    }
}

impl Places {
    /// `all` in all, `each` for each address; none there may be without end is [`usize::MAX`].
    pub(crate) fn new(all: usize, each: usize) -> Arc<Self> {
        Arc::new(Self { all, each, taken: Mutex::default() })
    }

    /// Takes a place for whoever comes from `address`; one that comes from nowhere, as a trusted proxy's
    /// connections do, is counted in all only.
    pub(crate) fn take(self: &Arc<Self>, address: Option<Address>) -> Result<Place, Full> {
        self.take_some(address, 1)
    }

    /// As [`Places::take`], a place as large as `size`.
    pub(crate) fn take_some(
        self: &Arc<Self>,
        address: Option<Address>,
        size: usize,
    ) -> Result<Place, Full> {
        let mut taken = self.taken.lock();
        if size > self.all - taken.all {
            return Err(Full::All(self.all));
        }
        if let Some(address) = address {
            let by_address = taken.by_address.get(&address).copied().unwrap_or_default();
            if size > self.each.saturating_sub(by_address) {
                return Err(Full::Address(self.each));
            }
            taken.by_address.insert(address, by_address + size);
        }
        taken.all += size;
        Ok(Place { places: self.clone(), address, size })
    }

    /// How many are taken.
    pub(crate) fn taken(&self) -> usize {
        self.taken.lock().all
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock();
        taken.all -= self.size;
        let Some(address) = self.address else { return };
        if let Some(by_address) = taken.by_address.get_mut(&address) {
            *by_address -= self.size;
            if *by_address == 0 {
                taken.by_address.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        text.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn a_network_of_ipv6_is_one_address_and_ipv4_is_the_same_however_it_is_written() {
        assert_eq!(address("2001:db8::1"), address("2001:db8::ffff:1"));
        assert_ne!(address("2001:db8::1"), address("2001:db8:0:1::1"));
        assert_eq!(address("::ffff:192.0.2.1"), address("192.0.2.1"));
        assert_ne!(address("192.0.2.1"), address("192.0.2.2"));
        assert_eq!(address("2001:db8::1").to_string(), "2001:db8::/64");
    }

    #[test]
    fn there_are_so_many_places_and_so_many_for_each() {
        let (places, one, other) = (Places::new(3, 2), address("192.0.2.1"), address("192.0.2.2"));
        let first = places.take(Some(one)).unwrap();
        let _second = places.take(Some(one)).unwrap();
        assert_eq!(places.take(Some(one)).unwrap_err(), Full::Address(2));
        let _third = places.take(Some(other)).unwrap();
        assert_eq!(places.take(None).unwrap_err(), Full::All(3));
        drop(first);
        assert_eq!(places.take_some(Some(other), 2).unwrap_err(), Full::All(3));
        let _again = places.take(Some(one)).unwrap();
        assert_eq!(places.taken(), 3);
    }

    #[test]
    fn an_address_that_has_none_left_is_forgotten() {
        let places = Places::new(3, 2);
        drop(places.take(Some(address("192.0.2.1"))).unwrap());
        assert!(places.taken.lock().by_address.is_empty());
    }
}
