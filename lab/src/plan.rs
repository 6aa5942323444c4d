//! What a race is to be. It fits into an address, so that anybody can run it again.

use std::ops::RangeInclusive;

use client::Transport;
use serde::{Deserialize, Serialize};

use crate::{Road, Weather};

/// What is sent, on which roads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// On these, each once.
    pub roads: Vec<Road>,
    /// How many messages on each.
    pub count: u32,
    /// How many bytes of text in each.
    pub size: u32,
    /// How many are due in a second.
    pub rate: u32,
    /// How long whoever polls waits between two polls, in milliseconds.
    pub poll: u32,
    /// From this the order of the roads is drawn, and the weather.
    pub seed: u32,
    /// All roads at once, which then share the line; else one after the other.
    pub together: bool,
    /// What is put on the connections.
    pub weather: Weather,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            roads: Road::ALL.to_vec(),
            count: 50,
            size: 100,
            rate: 5,
            poll: 1_000,
            seed: 1,
            together: false,
            weather: Weather::default(),
        }
    }
}

/// A value of an address that could not be taken as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clamped {
    /// Its name.
    pub name: String,
    /// What was asked for.
    pub wanted: String,
    /// What was taken.
    pub taken: String,
}

impl Plan {
    /// How many messages a road carries.
    pub const COUNT: RangeInclusive<u32> = 1..=2_000;
    /// How many bytes each has: its number is in it.
    pub const SIZE: RangeInclusive<u32> = 16..=16_000;
    /// How many are due in a second: no more than a server takes of one session, unless told otherwise.
    pub const RATE: RangeInclusive<u32> = 1..=20;
    /// How long whoever polls waits.
    pub const POLL: RangeInclusive<u32> = 100..=60_000;
    /// Milliseconds that may be added.
    pub const LATENCY: RangeInclusive<u32> = 0..=5_000;
    /// How many of a hundred may be lost.
    pub const LOSS: RangeInclusive<u32> = 0..=50;
    /// Roads that networks block; who lets no request through is no network.
    pub const BLOCKABLE: [Road; 3] =
        [Road::Over(Transport::Events), Road::Over(Transport::WebSocket), Road::Direct];

    /// Reads a plan from the names and values of an address, and says which it could not take as they are. What is not
    /// there is as in the default; names that are none of a plan's do no harm.
    pub fn read<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> (Self, Vec<Clamped>) {
        let (mut plan, mut clamped) = (Self::default(), Vec::new());
        // A form has a pair for each road, an address of ours one for all.
        let (mut roads, mut blocked) = (Vec::new(), Vec::new());
        for (name, value) in pairs {
            let bounds = |field, bounds| Some((field, bounds));
            let number = match name {
                "n" => bounds(&mut plan.count, Self::COUNT),
                "size" => bounds(&mut plan.size, Self::SIZE),
                "rate" => bounds(&mut plan.rate, Self::RATE),
                "poll" => bounds(&mut plan.poll, Self::POLL),
                "seed" => bounds(&mut plan.seed, 0..=u32::MAX),
                "latency" => bounds(&mut plan.weather.latency, Self::LATENCY),
                "loss" => bounds(&mut plan.weather.loss, Self::LOSS),
                _ => None,
            };
            let mut note = |taken: String| {
                if value != taken {
                    let (name, wanted) = (name.to_owned(), value.chars().take(64).collect());
                    clamped.push(Clamped { name, wanted, taken });
                }
            };
            if let Some((field, bounds)) = number {
                let wanted = value.parse::<i64>().unwrap_or(i64::from(*field));
                let taken = wanted.clamp((*bounds.start()).into(), (*bounds.end()).into());
                *field = u32::try_from(taken).unwrap_or(*field);
                note(field.to_string());
                continue;
            }
            match name {
                "together" => plan.together = value == "1",
                "roads" | "block" => {
                    let named = if name == "roads" { &mut roads } else { &mut blocked };
                    let can_be = |road: &Road| name == "roads" || Self::BLOCKABLE.contains(road);
                    let words = value.split(',').filter(|word| !word.is_empty());
                    let read: Vec<_> = words.filter_map(Road::parse).filter(can_be).collect();
                    note(words_of(&read));
                    named.extend(read);
                }
                _ => {}
            }
        }
        let all = |named: Vec<Road>| Road::ALL.into_iter().filter(move |road| named.contains(road));
        plan.weather.blocked = all(blocked).collect();
        if roads.is_empty() {
            // Of those that were named none is one: it is as if nothing had been said.
            for clamped in clamped.iter_mut().filter(|clamped| clamped.name == "roads") {
                clamped.taken = words_of(&plan.roads);
            }
        } else {
            plan.roads = all(roads).collect();
        }
        (plan, clamped)
    }

    /// The plan as the query of an address.
    pub fn query(&self) -> String {
        let Self { roads, count, size, rate, poll, seed, together, weather } = self;
        let roads = words_of(roads);
        let mut query =
            format!("v=1&roads={roads}&n={count}&size={size}&rate={rate}&poll={poll}&seed={seed}");
        let extras = [
            ("together", together.then_some("1".to_owned())),
            ("latency", (weather.latency > 0).then(|| weather.latency.to_string())),
            ("loss", (weather.loss > 0).then(|| weather.loss.to_string())),
            ("block", (!weather.blocked.is_empty()).then(|| words_of(&weather.blocked))),
        ];
        for (name, value) in extras {
            if let Some(value) = value {
                query.push_str(&format!("&{name}={value}"));
            }
        }
        query
    }

    /// The roads in the order they are raced: drawn, so that none is always the one that finds everything warm.
    pub fn order(&self) -> Vec<Road> {
        let mut roads = self.roads.clone();
        fastrand::Rng::with_seed(self.seed.into()).shuffle(&mut roads);
        roads
    }

    /// When message `number`, from 0 on, is due: milliseconds after the first.
    pub fn due(&self, number: u32) -> f64 {
        f64::from(number) * 1_000.0 / f64::from(self.rate)
    }

    /// How many of the first messages only warm up, and are not counted.
    pub fn warm_up(&self) -> u32 {
        self.count / 20
    }

    /// How long a client that polls waits between two polls; only those wait that poll on this road.
    pub fn poll_for(&self, road: Road) -> Option<u32> {
        (road == Road::Over(Transport::Poll)).then_some(self.poll)
    }
}

fn words_of(roads: &[Road]) -> String {
    roads.iter().map(|road| road.word()).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(query: &str) -> (Plan, Vec<Clamped>) {
        Plan::read(query.split('&').filter_map(|pair| pair.split_once('=')))
    }

    #[test]
    fn an_address_that_says_nothing_is_the_default() {
        assert_eq!(read(""), (Plan::default(), Vec::new()));
        assert_eq!(read("v=1&utm=x"), (Plan::default(), Vec::new()));
    }

    #[test]
    fn what_is_out_of_range_is_brought_into_it_and_said() {
        let (plan, clamped) = read("n=99999&rate=0&poll=x&roads=sse,pigeon&seed=-1&loss=7");
        assert_eq!((plan.count, plan.rate, plan.poll, plan.seed), (2_000, 1, 1_000, 0));
        assert_eq!(plan.roads, [Road::Over(Transport::Events)]);
        assert_eq!(plan.weather.loss, 7);
        let said: Vec<_> = clamped
            .iter()
            .map(|c| (c.name.as_str(), c.wanted.as_str(), c.taken.as_str()))
            .collect();
        let expected = [
            ("n", "99999", "2000"),
            ("rate", "0", "1"),
            ("poll", "x", "1000"),
            ("roads", "sse,pigeon", "sse"),
            ("seed", "-1", "0"),
        ];
        assert_eq!(said, expected);
    }

    #[test]
    fn where_no_road_is_one_all_are_raced_and_that_is_said() {
        let (plan, clamped) = read("roads=pigeon");
        assert_eq!(plan.roads, Road::ALL);
        assert_eq!(clamped[0].taken, "poll,longpoll,sse,websocket,webrtc");
    }

    #[test]
    fn a_form_names_each_road_by_itself() {
        let (plan, clamped) = read("roads=websocket&roads=poll&block=sse&block=webrtc");
        assert_eq!(plan.roads.iter().map(|r| r.word()).collect::<Vec<_>>(), ["poll", "websocket"]);
        assert_eq!(words_of(&plan.weather.blocked), "sse,webrtc");
        assert!(clamped.is_empty());
    }

    #[test]
    fn the_order_is_drawn_and_the_same_seed_draws_the_same() {
        let order = |seed| Plan { seed, ..Plan::default() }.order();
        assert_eq!(order(3), order(3));
        assert!((1..10).any(|seed| order(seed) != order(0)));
        assert_eq!(order(5).len(), 5);
    }

    proptest! {
        #[test]
        fn a_plan_reads_back_from_its_address(
            roads in proptest::sample::subsequence(Road::ALL.to_vec(), 1..=5),
            blocked in proptest::sample::subsequence(Plan::BLOCKABLE.to_vec(), 0..=3),
            (count, size, rate) in (Plan::COUNT, Plan::SIZE, Plan::RATE),
            (poll, latency, loss) in (Plan::POLL, Plan::LATENCY, Plan::LOSS),
            (seed, together) in any::<(u32, bool)>(),
        ) {
            let weather = Weather { latency, loss, blocked };
            let plan = Plan { roads, count, size, rate, poll, seed, together, weather };
            prop_assert_eq!(read(&plan.query()), (plan, Vec::new()));
        }

        #[test]
        fn whatever_is_in_an_address_makes_a_plan_within_bounds(query in "[a-z0-9=&,-]{0,80}") {
            let (plan, _) = read(&query);
            prop_assert!(Plan::COUNT.contains(&plan.count) && !plan.roads.is_empty());
        }
    }
}
