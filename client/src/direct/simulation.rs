//! Two pages that want to reach each other, made up thousands of times: letters that are lost, doubled, late and in
//! another order, networks without a way, pages that reload, tries that cross. However it goes, in the end both are
//! connected with each other, or both know that they are not.

use std::collections::HashMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    link::Step,
    peer::{Action, Letter, Peer, Road},
};
use crate::Millis;

/// A browser's connection: what it lets one do, and when it is one (WebRTC 1.0, section 4.4).
#[derive(Default)]
struct Browser {
    /// The offer that waits for an answer, if it is ours.
    offered: Option<String>,
    local: Option<String>,
    remote: Option<String>,
    ways: Vec<Value>,
    /// It has reached the other, and nobody looks for another way.
    kept: bool,
    asked: bool,
    answered: bool,
    /// There are lanes for what is heard and seen.
    lanes: bool,
}

struct Side {
    peer: Peer,
    browser: Option<Browser>,
    /// Ends with the connection: what the browser still says of an older one is not heard.
    generation: u32,
    made: u32,
    told: Option<bool>,
}

enum Due {
    Letter(usize, Letter),
    Made(usize, u32, String),
    Accepted(usize, u32),
    Way(usize, u32, Value),
    Ping(usize),
    Pong(usize),
}

struct World {
    now: Millis,
    seed: u64,
    sides: [Side; 2],
    due: Vec<(Millis, u64, Due)>,
    /// Of a hundred letters so many are lost.
    loss: u64,
    /// There is a way from one browser to the other.
    way: bool,
    lives: Millis,
    ops: HashMap<&'static str, usize>,
}

impl World {
    fn new(seed: u64) -> Self {
        let side = |polite, life| Side {
            peer: Peer::new(polite, life),
            browser: None,
            generation: 0,
            made: 0,
            told: None,
        };
        let (sides, due) = ([side(true, 1_000_000), side(false, 1_000_000)], Vec::new());
        Self { now: 0, seed, sides, due, loss: 0, way: true, lives: 0, ops: HashMap::new() }
    }

    fn chance(&mut self, below: u64) -> u64 {
        let mut seed = crate::seed::Seed(self.seed);
        self.seed = seed.number();
        self.seed % below
    }

    fn later(&mut self, ms: u64, what: Due) {
        let (wait, order) = (1 + self.chance(ms), self.seed);
        self.due.push((self.now + wait, order, what));
    }

    /// Does what a side wants.
    fn act(&mut self, n: usize) {
        loop {
            let actions = self.sides[n].peer.take_actions();
            if actions.is_empty() {
                break;
            }
            for action in actions {
                self.act_once(n, action);
            }
        }
        self.look();
    }

    fn act_once(&mut self, n: usize, action: Action) {
        let generation = self.sides[n].generation;
        match action {
            Action::Connect => {
                assert!(self.sides[n].browser.is_none(), "there is one already");
                self.sides[n].browser = Some(Browser::default());
                self.sides[n].generation += 1;
                self.sides[n].told = None;
            }
            Action::Disconnect => self.sides[n].browser = None,
            Action::Send(letter) => {
                // What crosses the wire is text.
                let letter: Letter =
                    serde_json::from_value(serde_json::to_value(&letter).unwrap()).unwrap();
                for _ in 0..1 + self.chance(10) / 9 {
                    if self.chance(100) >= self.loss {
                        let slow = if self.chance(10) == 0 { 4_000 } else { 60 };
                        self.later(slow, Due::Letter(1 - n, letter.clone()));
                    }
                }
            }
            Action::Ping => self.later(20, Due::Ping(1 - n)),
            Action::Step(step) => {
                let side = &mut self.sides[n];
                side.made += 1;
                let restarts = matches!(&step, Step::Offer { restart: true, .. })
                    || matches!(&step, Step::Answer { sdp } if sdp.ends_with("restart"));
                let end = if restarts { ".restart" } else { "" };
                let lanes = match &step {
                    Step::Offer { lanes, .. } => *lanes,
                    Step::Answer { sdp } => sdp.contains("lanes"),
                    _ => false,
                };
                let with = if lanes { ".lanes" } else { "" };
                let sdp = format!("{n}.{generation}.{}{with}{end}", side.made);
                let browser = side.browser.as_mut().expect("a step needs a connection");
                browser.kept &= !restarts;
                browser.lanes |= lanes;
                match step {
                    Step::Offer { .. } => {
                        assert_eq!(browser.offered, None, "it has offered already");
                        browser.offered = Some(sdp.clone());
                        (browser.local, browser.answered) = (Some(sdp.clone()), false);
                        *self.ops.entry("offer").or_default() += 1;
                        self.make(n, generation, sdp);
                    }
                    Step::Answer { sdp: theirs } => {
                        if let Some(offer) = browser.offered.take() {
                            assert!(!offer.contains("lanes"), "lanes were taken back");
                            *self.ops.entry("rollback").or_default() += 1;
                        }
                        (browser.remote, browser.local) = (Some(theirs), Some(sdp.clone()));
                        (browser.ways, browser.answered) = (Vec::new(), true);
                        self.make(n, generation, sdp);
                    }
                    Step::Accept { sdp: theirs } => {
                        assert!(browser.offered.take().is_some(), "it has offered nothing");
                        browser.remote = Some(theirs);
                        (browser.ways, browser.answered) = (Vec::new(), true);
                        self.later(20, Due::Accepted(n, generation));
                    }
                    Step::Try { candidate } => {
                        assert!(browser.remote.is_some(), "a way came before a description");
                        assert_eq!(
                            Some(candidate["of"].as_str().unwrap()),
                            browser.remote.as_deref(),
                            "a way belongs to another description"
                        );
                        browser.ways.push(candidate);
                    }
                    Step::Describe(_) | Step::Candidates { .. } | Step::Afresh => {
                        unreachable!("these are letters, and what the pair does")
                    }
                }
            }
        }
    }

    /// The browser makes a description, and finds ways that belong to it.
    fn make(&mut self, n: usize, generation: u32, sdp: String) {
        let (wait, order) = (1 + self.chance(30), self.seed);
        self.due.push((self.now + wait, order, Due::Made(n, generation, sdp.clone())));
        for way in 0..2 {
            let (wait, order) = (wait + self.chance(40), self.seed);
            let way = json!({"of": sdp, "way": way});
            self.due.push((self.now + wait, order, Due::Way(n, generation, way)));
        }
    }

    /// Whether the two browsers reach each other, and who has to hear of it.
    fn look(&mut self) {
        let [a, b] = [&self.sides[0].browser, &self.sides[1].browser];
        let met = match (a, b) {
            (Some(a), Some(b)) => {
                let same = a.local.is_some() && a.local == b.remote && b.local == a.remote;
                let found = a.answered && b.answered && !(a.ways.is_empty() && b.ways.is_empty());
                (a.kept && b.kept) || (same && found)
            }
            _ => false,
        };
        for n in 0..2 {
            let Some(browser) = &mut self.sides[n].browser else { continue };
            let reached = met && self.way;
            browser.kept |= reached;
            if reached && !browser.asked {
                browser.asked = true;
                self.sides[n].peer.opened();
                self.act(n);
            }
            if self.sides[n].told != Some(reached) {
                self.sides[n].told = Some(reached);
                let (now, for_good) = (self.now, self.chance(2) == 0);
                self.sides[n].peer.reach(reached, for_good, now);
                self.act(n);
            }
        }
    }

    fn next(&self) -> Option<Millis> {
        let peers = self.sides.iter().filter_map(|side| side.peer.deadline());
        self.due.iter().map(|(at, ..)| *at).chain(peers).min()
    }

    fn run_until(&mut self, end: Millis) {
        while let Some(at) = self.next().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.due.sort_by_key(|(at, order, _)| (*at, *order));
            let come = self.due.iter().take_while(|(at, ..)| *at <= self.now).count();
            let come: Vec<_> = self.due.drain(..come).collect();
            for (_, _, due) in come {
                self.deliver(due);
            }
            for n in 0..2 {
                if self.sides[n].peer.deadline().is_some_and(|at| at <= self.now) {
                    self.sides[n].peer.tick(self.now);
                    self.act(n);
                }
            }
        }
        self.now = end;
    }

    fn deliver(&mut self, due: Due) {
        let now = self.now;
        let is_there =
            |side: &Side, generation| side.browser.is_some() && side.generation == generation;
        match due {
            Due::Letter(n, letter) => {
                self.sides[n].peer.hear(letter, now);
                self.act(n);
            }
            Due::Made(n, generation, sdp) if is_there(&self.sides[n], generation) => {
                self.sides[n].peer.made(Some(sdp), now);
                self.act(n);
            }
            Due::Accepted(n, generation) if is_there(&self.sides[n], generation) => {
                self.sides[n].peer.accepted(true, now);
                self.act(n);
            }
            Due::Way(n, generation, way) if is_there(&self.sides[n], generation) => {
                // Those of an offer that was taken back are found no more.
                let local =
                    self.sides[n].browser.as_ref().and_then(|browser| browser.local.clone());
                if local.as_deref() == way["of"].as_str() {
                    self.sides[n].peer.found_way(way);
                    self.act(n);
                }
            }
            Due::Ping(n) if self.way && self.sides[n].browser.is_some() => {
                self.later(20, Due::Pong(1 - n))
            }
            Due::Pong(n)
                if self.way
                    && self.sides[n].browser.as_ref().is_some_and(|browser| browser.asked) =>
            {
                self.sides[n].peer.answered(now);
                self.act(n);
            }
            _ => {}
        }
    }

    /// The page is loaded again; by a clock that was set `back`, before it was loaded first.
    fn reload(&mut self, n: usize, back: bool) {
        self.lives += 1;
        let life = if back { 1_000_000 - self.lives } else { 1_000_000 + self.lives };
        self.sides[n].peer = Peer::new(n == 0, life);
        self.sides[n].browser = None;
        self.look();
    }

    fn want(&mut self, n: usize) {
        let now = self.now;
        self.sides[n].peer.want(now);
        self.act(n);
    }

    fn renegotiate(&mut self, n: usize) {
        let now = self.now;
        self.sides[n].peer.renegotiate(now);
        self.act(n);
    }

    /// Whether each browser has what the other has said last.
    fn agrees(&self) -> bool {
        let [Some(a), Some(b)] = [&self.sides[0].browser, &self.sides[1].browser] else {
            return false;
        };
        a.offered.is_none() && b.offered.is_none() && a.local == b.remote && b.local == a.remote
    }

    fn roads(&self) -> [Road; 2] {
        [self.sides[0].peer.road(), self.sides[1].peer.road()]
    }
}

/// What may happen to a pair.
#[derive(Clone, Copy, Debug)]
enum Act {
    Want(usize),
    Renegotiate(usize),
    Reload(usize, bool),
    Way(bool),
    Loss(u64),
    Wait(u64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        4 => (0..2_usize).prop_map(Act::Want),
        2 => (0..2_usize).prop_map(Act::Renegotiate),
        1 => (0..2_usize, any::<bool>()).prop_map(|(n, back)| Act::Reload(n, back)),
        1 => any::<bool>().prop_map(Act::Way),
        1 => prop_oneof![Just(0), Just(30), Just(100)].prop_map(Act::Loss),
        6 => prop_oneof![1..100_u64, 100..5_000_u64, 5_000..40_000_u64].prop_map(Act::Wait),
    ];
    prop::collection::vec(act, 1..20)
}

fn play(seed: u64, acts: &[Act]) -> World {
    let mut world = World::new(seed);
    for act in acts {
        match *act {
            Act::Want(n) => world.want(n),
            Act::Renegotiate(n) => world.renegotiate(n),
            Act::Reload(n, back) => world.reload(n, back),
            Act::Way(way) => {
                world.way = way;
                world.look();
            }
            Act::Loss(loss) => world.loss = loss,
            Act::Wait(ms) => world.run_until(world.now + ms),
        }
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn where_there_is_a_way_whoever_wants_to_is_connected_in_the_end(
        seed in any::<u64>(), acts in acts(),
    ) {
        let mut world = play(seed, &acts);
        (world.loss, world.way) = (0, true);
        world.look();
        // As when the network has come back.
        for n in 0..2 {
            let now = world.now;
            world.sides[n].peer.wake(now);
            world.act(n);
        }
        world.want(0);
        world.run_until(world.now + 120_000);
        prop_assert_eq!(world.roads(), [Road::Direct; 2]);
        prop_assert!(world.agrees(), "they have not agreed");
        let lanes = |side: &Side| side.browser.as_ref().is_some_and(|browser| browser.lanes);
        prop_assert!(world.sides.iter().all(lanes), "nothing can be heard or seen");
        prop_assert_eq!(world.next(), None, "it never comes to rest");
    }

    #[test]
    fn where_there_is_none_both_know_it_and_find_one_that_comes_later(
        seed in any::<u64>(), acts in acts(),
    ) {
        let mut world = play(seed, &acts);
        (world.loss, world.way) = (0, false);
        world.look();
        world.want(0);
        world.run_until(world.now + 600_000);
        let offers = |world: &World| world.ops.get("offer").copied().unwrap_or_default();
        for _ in 0..6 {
            let before = offers(&world);
            world.run_until(world.now + 600_000);
            prop_assert_eq!(world.roads()[0], Road::Relayed);
            prop_assert!(matches!(world.roads()[1], Road::Relayed | Road::Hub), "{:?}", world.roads());
            // Each of the two may try now and then.
            prop_assert!(offers(&world) - before <= 8, "{} offers", offers(&world) - before);
        }
        world.way = true;
        world.look();
        world.run_until(world.now + 1_200_000);
        prop_assert_eq!(world.roads(), [Road::Direct; 2]);
        prop_assert_eq!(world.next(), None, "it never comes to rest");
    }
}

#[test]
fn offers_that_cross_make_one_connection_and_the_polite_one_gives_its_own_up() {
    for seed in 0..100 {
        let mut world = World::new(seed);
        world.want(0);
        world.want(1);
        world.run_until(10_000);
        assert_eq!(world.roads(), [Road::Direct; 2]);
        // The polite one has another connection for that.
        assert_eq!((world.ops["offer"], world.ops.get("rollback")), (2, None));
        assert_eq!([world.sides[0].generation, world.sides[1].generation], [2, 1]);
        assert_eq!(world.next(), None);
    }
}

#[test]
fn what_is_agreed_on_anew_by_both_at_once_interrupts_nothing() {
    for seed in 0..100 {
        let mut world = World::new(seed);
        world.want(0);
        world.run_until(10_000);
        world.loss = 50;
        world.renegotiate(0);
        world.renegotiate(1);
        assert_eq!(world.roads(), [Road::Direct; 2]);
        while world.next().is_some() {
            world.run_until(world.now + 1_000);
            assert_eq!(world.roads(), [Road::Direct; 2]);
        }
        assert!(world.agrees());
        assert_eq!([world.sides[0].generation, world.sides[1].generation], [1, 1]);
        assert!(world.ops["offer"] >= 2);
    }
}

#[test]
fn a_way_that_is_lost_is_told_at_once_and_another_is_found() {
    let mut world = World::new(1);
    world.want(0);
    world.run_until(5_000);
    assert_eq!(world.roads(), [Road::Direct; 2]);
    world.way = false;
    world.look();
    assert_eq!(world.roads(), [Road::Trying; 2]);
    world.run_until(12_000);
    world.way = true;
    world.look();
    world.run_until(30_000);
    assert_eq!(world.roads(), [Road::Direct; 2]);
    assert!(world.ops["offer"] >= 2, "nobody looked for another way");
}
