//! What hubs and servers of NATS cost, as a sum: what each thing costs, times how often it happens.
//!
//! [`Costs::of`] is all of it. What each thing costs is what `costs` has measured; what was written down of that is in
//! `costs.json`.

use std::fs;

use serde::{Deserialize, Serialize};

use crate::{
    Result,
    report::{Cell, figure},
    used::Used,
};

/// What each thing costs.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Costs {
    /// A hub, each second, whatever it does; its memory when it is empty.
    pub(crate) hub: Used,
    /// A connection, each second; its memory.
    pub(crate) connection: Used,
    /// A room, each second, at each hub where somebody is in it; its memory there.
    pub(crate) room: Used,
    /// That such a room is at another hub as well, each second.
    pub(crate) beat: Used,
    /// The memory in which each other hub has that somebody is in such a room at this one.
    pub(crate) listed: Used,
    /// That how many they are has changed, at each other hub.
    pub(crate) counted: Used,
    /// The memory of a message that is kept, at each hub where its room is.
    pub(crate) kept: Used,
    /// A message, at the hub where it is published.
    pub(crate) message: Used,
    /// The same message at each other hub where its room is.
    pub(crate) copy: Used,
    /// A message for each of its readers.
    pub(crate) delivery: Used,
    /// Somebody comes, at their hub.
    pub(crate) join: Used,
    /// The same, at each other hub where that room is.
    pub(crate) told: Used,
}

/// How often each of these happens, and how much there is.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Load {
    pub(crate) hubs: f64,
    pub(crate) people: f64,
    pub(crate) rooms: f64,
    /// At how many hubs a room is.
    pub(crate) hubs_a_room: f64,
    /// How many messages a room has in memory.
    pub(crate) kept: f64,
    /// Each second.
    pub(crate) messages: f64,
    pub(crate) deliveries: f64,
    pub(crate) joins: f64,
}

impl Costs {
    /// What all of that costs a second, and in memory.
    pub(crate) fn of(&self, load: &Load) -> Used {
        let (places, others) = (load.rooms * load.hubs_a_room, load.hubs_a_room - 1.0);
        let other_hubs = (load.hubs - 1.0).max(0.0);
        self.hub * load.hubs
            // Each tells all others of its rooms once a second, as it tells of a room every ten.
            + self.beat * (10.0 * load.hubs * other_hubs)
            + self.listed * (places * other_hubs)
            // Who comes goes again.
            + self.counted * (2.0 * load.joins * other_hubs)
            + self.connection * load.people
            + self.room * places
            + self.beat * (places * others)
            + self.kept * (places * load.kept)
            + self.message * load.messages
            + self.copy * (load.messages * others)
            + self.delivery * load.deliveries
            + self.join * load.joins
            + self.told * (load.joins * others)
    }

    /// These of one hub, and what further ones cost by what so many were measured with.
    pub(crate) fn and_of(&self, more: &Self, hubs: usize) -> Self {
        if hubs < 2 {
            return Self { copy: Used::NOTHING, ..*self };
        }
        let further = hubs as f64 - 1.0;
        // Servers of NATS cost something without any hub, too.
        let hub = (more.hub * hubs as f64 - self.hub) / further;
        Self {
            hub: Used { memory: self.hub.memory, ..hub },
            // It is kept once, whoever hears it.
            copy: Used { disks: 0.0, ..more.copy / further },
            told: (more.join - self.join) / further,
            beat: Used { memory: 0.0, ..(more.room - self.room) / further },
            ..*self
        }
    }

    pub(crate) const COLUMNS: [&str; 9] = [
        "what",
        "hubs, µs",
        "NATS, µs",
        "to NATS, bytes",
        "from NATS",
        "NATS to NATS",
        "on disks",
        "to clients",
        "KiB in a hub",
    ];

    /// Each as a row of a table.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Vec<Cell>> + use<> {
        let each = [
            ("a hub, each second", self.hub),
            ("a connection, each second", self.connection),
            ("a room at a hub, each second", self.room),
            ("… for each other hub it is at", self.beat),
            ("… that each hub knows it is there", self.listed),
            ("… and that somebody came or went", self.counted),
            ("a message in memory", self.kept),
            ("a message", self.message),
            ("… at each other hub of its room", self.copy),
            ("… for each reader", self.delivery),
            ("a join", self.join),
            ("… at each other hub of its room", self.told),
        ];
        each.into_iter().map(|(what, used)| {
            let Used { hubs, nats, memory, to_nats, from_nats, between, disks, to_clients } = used;
            let bytes = [to_nats, from_nats, between, disks, to_clients];
            let bytes = bytes.map(|bytes| figure(bytes, 0));
            let first = [what.into(), figure(hubs, 1), figure(nats, 1)];
            first.into_iter().chain(bytes).chain([figure(memory, 1)]).collect()
        })
    }
}

/// Where what `costs` has measured is kept.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/costs.json");

impl Costs {
    /// As they were measured and written down last.
    pub(crate) fn written() -> Result<Self> {
        Ok(serde_json::from_slice(&fs::read(FILE)?)?)
    }

    pub(crate) fn write(&self) -> Result {
        Ok(fs::write(FILE, serde_json::to_string_pretty(self)? + "\n")?)
    }

    /// To a hundredth; less than nothing is noise.
    pub(crate) fn rounded(&self) -> Self {
        Self {
            hub: self.hub.rounded(),
            connection: self.connection.rounded(),
            room: self.room.rounded(),
            beat: self.beat.rounded(),
            listed: self.listed,
            counted: self.counted,
            kept: self.kept.rounded(),
            message: self.message.rounded(),
            copy: self.copy.rounded(),
            delivery: self.delivery.rounded(),
            join: self.join.rounded(),
            told: self.told.rounded(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_further_hub_costs_is_the_difference_that_more_of_them_make() {
        let one = |hubs| Used { hubs, ..Used::default() };
        let alone = Costs { hub: one(9.0), join: one(5.0), copy: one(0.3), ..Costs::default() };
        // Of each of three hubs: all of them, and the servers of NATS, were 21.
        let three = Costs { hub: one(7.0), join: one(11.0), copy: one(8.0), ..Costs::default() };
        let costs = alone.and_of(&three, 3);
        assert_eq!((costs.hub, costs.told, costs.copy), (one(6.0), one(3.0), one(4.0)));
        assert_eq!(alone.and_of(&alone, 1).copy, Used::default());
    }

    #[test]
    fn costs_are_what_happens_times_what_that_costs() {
        let one = |hubs| Used { hubs, ..Used::default() };
        let costs = Costs {
            room: one(1.0),
            beat: one(10.0),
            message: one(100.0),
            copy: one(1_000.0),
            ..Costs::default()
        };
        let load =
            Load { rooms: 2.0, hubs_a_room: 3.0, messages: 5.0, people: 7.0, ..Load::default() };
        // Six places that two others each hear of; five messages, each with two copies.
        assert_eq!(costs.of(&load), one(6.0 + 120.0 + 500.0 + 10_000.0));
    }
}
