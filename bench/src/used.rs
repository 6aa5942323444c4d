//! What something costs the processes that do it, as one value: costs are added, and multiplied by how often they occur.

use std::ops::{Add, Div, Mul, Sub};

use serde::{Deserialize, Serialize};

/// What hubs and servers of NATS have used, all of them together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Used {
    /// Processor time of the hubs, in microseconds.
    pub(crate) hubs: f64,
    /// Of the servers of NATS.
    pub(crate) nats: f64,
    /// Memory of the hubs, in KiB.
    pub(crate) memory: f64,
    /// Bytes from hubs to NATS: headers and payloads, as NATS counts them.
    pub(crate) to_nats: f64,
    /// Bytes from NATS to hubs.
    pub(crate) from_nats: f64,
    /// Bytes from one server of NATS to another.
    pub(crate) between: f64,
    /// Bytes in streams, on all disks.
    pub(crate) disks: f64,
    /// Bytes from hubs to their clients.
    pub(crate) to_clients: f64,
}

impl Used {
    pub(crate) const NOTHING: Self = Self {
        hubs: 0.0,
        nats: 0.0,
        memory: 0.0,
        to_nats: 0.0,
        from_nats: 0.0,
        between: 0.0,
        disks: 0.0,
        to_clients: 0.0,
    };

    pub(crate) fn rounded(self) -> Self {
        self.with(self, |one, _| (one.max(0.0) * 100.0).round() / 100.0)
    }

    fn with(self, other: Self, on: impl Fn(f64, f64) -> f64) -> Self {
        Self {
            hubs: on(self.hubs, other.hubs),
            nats: on(self.nats, other.nats),
            memory: on(self.memory, other.memory),
            to_nats: on(self.to_nats, other.to_nats),
            from_nats: on(self.from_nats, other.from_nats),
            between: on(self.between, other.between),
            disks: on(self.disks, other.disks),
            to_clients: on(self.to_clients, other.to_clients),
        }
    }
}

impl Add for Used {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        self.with(other, |one, other| one + other)
    }
}

impl Sub for Used {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self.with(other, |one, other| one - other)
    }
}

impl Mul<f64> for Used {
    type Output = Self;

    fn mul(self, times: f64) -> Self {
        self.with(self, |one, _| one * times)
    }
}

impl Div<f64> for Used {
    type Output = Self;

    fn div(self, parts: f64) -> Self {
        self * (1.0 / parts)
    }
}
