//! Two sides that send files to each other, over a channel that comes and goes, with disks as slow as they like: in the
//! end the receiver has what was sent, or has nothing and both know why.

use std::collections::HashMap;

use common::{MemberId, SessionId};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::*;
use crate::seed::Seed;

fn member(n: usize) -> Member {
    let name = ["ada", "bob"][n];
    Member { id: MemberId::parse(name).unwrap(), name: MemberName::parse(name).unwrap() }
}

fn session(n: usize) -> SessionId {
    SessionId::parse(["a", "b"][n]).unwrap()
}

fn id(n: usize) -> MessageId {
    MessageId::parse(&n.to_string()).unwrap()
}

fn content(n: usize, size: u64) -> Vec<u8> {
    (0..size).map(|at| (at / 7 + at * 31 + n as u64 * 13) as u8).collect()
}

#[derive(Debug)]
enum Due {
    Word(usize, Word, Option<u32>),
    Bytes(usize, Vec<u8>, u32),
    Room(usize, u32),
    Event(usize, MessageId, FileEvent),
}

#[derive(Default)]
struct Page {
    files: Files,
    sources: HashMap<MessageId, Vec<u8>>,
    written: HashMap<MessageId, Vec<u8>>,
    kept: HashMap<MessageId, Vec<u8>>,
    wants: bool,
}

struct World {
    now: Millis,
    seed: Seed,
    pages: [Page; 2],
    due: Vec<(Millis, Due)>,
    /// The channel, if there is one: what is still on an older one is lost.
    lane: Option<u32>,
    lanes: u32,
    /// What goes through the hub is lost.
    deaf: bool,
    /// Changes one byte, or one word, that is sent.
    lie: Option<fn(&mut Due)>,
    /// How much was ever sent and not written.
    ahead: usize,
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            now: 1_000_000,
            seed: Seed(seed),
            pages: Default::default(),
            due: Vec::new(),
            lane: None,
            lanes: 0,
            deaf: false,
            lie: None,
            ahead: 0,
        }
    }

    fn later(&mut self, mut due: Due, in_order: bool) {
        if let Some(lie) = self.lie {
            lie(&mut due);
        }
        let at = self.now + 1 + self.seed.number() % 40;
        let last = self.due.iter().map(|(at, _)| *at).max().unwrap_or_default();
        self.due.push((if in_order { at.max(last) } else { at }, due));
    }

    fn settle(&mut self, n: usize) {
        for what in self.pages[n].files.take() {
            match what {
                Do::Tell(_, word) | Do::Answer(_, word) => {
                    self.later(Due::Word(1 - n, word, self.lane), true);
                }
                Do::Bytes(_, bytes) => {
                    if let Some(lane) = self.lane {
                        self.later(Due::Bytes(1 - n, bytes, lane), true);
                    }
                }
                Do::Room(_) => {
                    if let Some(lane) = self.lane {
                        self.later(Due::Room(n, lane), false);
                    }
                }
                Do::Want(..) => self.pages[n].wants = true,
                Do::Wake(_) => {}
                Do::Effect(id, effect) => self.carry_out(n, id, effect),
            }
        }
    }

    fn carry_out(&mut self, n: usize, id: MessageId, effect: FileEffect) {
        let page = &mut self.pages[n];
        match effect {
            FileEffect::Read { at, len } => {
                let source = page.sources.get(&id);
                let bytes = source.map(|all| all[at as usize..(at + len) as usize].to_vec());
                self.later(Due::Event(n, id, FileEvent::Read { at, bytes }), false);
            }
            FileEffect::Write { bytes } => {
                page.written.entry(id.clone()).or_default().extend(bytes);
                // In order, as a disk does it; and slowly.
                self.now += 1;
                self.later(Due::Event(n, id, FileEvent::Wrote(true)), true);
            }
            FileEffect::Finish => {
                let whole = page.written.remove(&id).unwrap_or_default();
                page.kept.insert(id.clone(), whole);
                self.later(Due::Event(n, id, FileEvent::Finished(true)), false);
            }
            FileEffect::Drop => {
                page.written.remove(&id);
                page.sources.remove(&id);
            }
        }
    }

    fn tell(&mut self, n: usize, tell: impl FnOnce(&mut Files)) {
        self.pages[n].files.set_time(self.now);
        tell(&mut self.pages[n].files);
        self.settle(n);
    }

    fn offer(&mut self, n: usize, file: usize, size: u64) {
        self.pages[n].sources.insert(id(file), content(file, size));
        let to = (Some(session(1 - n)), member(1 - n));
        self.tell(n, |files| files.offer(id(file), to, ("a.txt", size)));
    }

    fn event(&mut self, n: usize, file: usize, event: FileEvent) {
        self.tell(n, |files| files.happened(&id(file), event));
    }

    /// There is a channel, if both want one.
    fn connect(&mut self) {
        if self.lane.is_none() && self.pages.iter().all(|page| page.wants) {
            self.lanes += 1;
            self.lane = Some(self.lanes);
            for n in 0..2 {
                self.tell(n, |files| files.up(&session(1 - n)));
            }
        }
    }

    fn drop_lane(&mut self) {
        if self.lane.take().is_some() {
            for n in 0..2 {
                self.tell(n, |files| files.down(&session(1 - n)));
            }
        }
    }

    /// Does the next thing that is due.
    fn step(&mut self) {
        let ticks = self.pages.iter().filter_map(|page| page.files.deadline()).min();
        let next = self.due.iter().enumerate().min_by_key(|(n, (at, _))| (*at, *n));
        let Some((n, at)) = next.map(|(n, (at, _))| (n, *at)) else {
            let Some(at) = ticks else { return };
            self.now = self.now.max(at);
            (0..2).for_each(|n| self.tell(n, Files::tick));
            return;
        };
        self.now = self.now.max(at);
        let (_, due) = self.due.remove(n);
        match due {
            Due::Word(n, word, lane) => {
                if if lane.is_some() { lane == self.lane } else { !self.deaf } {
                    let from = (session(1 - n), member(1 - n));
                    self.tell(n, |files| files.heard(&from.0, &from.1, word, lane.is_some()));
                }
            }
            Due::Bytes(n, bytes, lane) if Some(lane) == self.lane => {
                self.tell(n, |files| _ = files.came(&session(1 - n), &bytes));
            }
            Due::Room(n, lane) if Some(lane) == self.lane => {
                self.tell(n, |files| files.has_room(&session(1 - n)));
            }
            Due::Bytes(..) | Due::Room(..) => {}
            Due::Event(n, id, event) => self.tell(n, |files| files.happened(&id, event)),
        }
        let bytes = self.due.iter().filter_map(|(_, due)| match due {
            Due::Bytes(_, bytes, _) => Some(bytes.len()),
            _ => None,
        });
        self.ahead = self.ahead.max(bytes.sum());
        self.connect();
    }

    fn run(&mut self) {
        for _ in 0..20_000 {
            if self.due.is_empty()
                && self.pages.iter().all(|page| page.files.underway(|_| true) == 0)
            {
                return;
            }
            self.step();
        }
        panic!("it does not come to an end: {:?}", self.stages());
    }

    fn stages(&self) -> [Vec<Stage>; 2] {
        let of = |page: &Page| page.files.entries.iter().map(|entry| entry.file.stage).collect();
        [of(&self.pages[0]), of(&self.pages[1])]
    }

    /// Until the other side has been offered it.
    fn until_offered(&mut self, n: usize, count: usize) {
        while self.pages[n].files.entries.len() < count {
            self.step();
        }
    }
}

const MIB: u64 = 1024 * 1024;

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn whatever_drops_what_was_sent_arrives_whole(
        seed: u64,
        sizes in prop::collection::vec(0_u64..10 * MIB, 1..4),
        drops in prop::collection::vec(1_usize..120, 0..6),
        deaf: bool,
    ) {
        let mut world = World::new(seed);
        for (n, size) in sizes.iter().enumerate() {
            world.offer(n % 2, n, *size);
        }
        // Of what goes through the hub, some is lost at first.
        world.deaf = deaf;
        (0..3).for_each(|_| world.step());
        world.deaf = false;
        world.until_offered(0, sizes.len());
        world.until_offered(1, sizes.len());
        for n in 0..sizes.len() {
            world.event(1 - n % 2, n, FileEvent::Accept);
        }
        for steps in drops {
            (0..steps).for_each(|_| world.step());
            world.drop_lane();
        }
        world.run();
        for (n, size) in sizes.iter().enumerate() {
            prop_assert!(world.pages[1 - n % 2].kept[&id(n)] == content(n, *size), "{n}");
        }
        let done = vec![Stage::Done; sizes.len()];
        prop_assert_eq!(world.stages(), [done.clone(), done]);
        prop_assert!(world.ahead as u64 <= 2 * WINDOW);
    }
}

/// One file of 5 MiB and a bit from Ada to Bob, accepted.
fn accepted() -> World {
    let mut world = World::new(1);
    world.offer(0, 0, 5 * MIB + 5);
    world.until_offered(1, 1);
    world.event(1, 0, FileEvent::Accept);
    world
}

fn ends(world: &mut World, why: Why) {
    world.run();
    assert_eq!(world.stages(), [vec![Stage::Ended(why)], vec![Stage::Ended(why)]]);
    assert!(world.pages[1].kept.is_empty() && world.pages[1].written.is_empty());
    assert!(world.pages[0].sources.is_empty());
}

#[test]
fn bytes_that_are_not_what_was_hashed_are_not_kept() {
    let mut world = accepted();
    world.lie = Some(|due| {
        if let Due::Bytes(_, bytes, _) = due {
            bytes[17] ^= 1;
        }
    });
    ends(&mut world, Why::Broken);
}

#[test]
fn a_hash_that_is_not_that_of_the_bytes_is_found_at_the_first_block() {
    let mut world = accepted();
    world.lie = Some(|due| {
        if let Due::Word(_, Word::Mark { sha256, .. }, _) = due {
            *sha256 = hex_of(b"something else");
        }
    });
    ends(&mut world, Why::Broken);
}

fn hex_of(bytes: &[u8]) -> String {
    outgoing::hex(&Sha256::new_with_prefix(bytes))
}

#[test]
fn more_bytes_than_were_promised_are_not_taken() {
    let mut world = World::new(1);
    world.lie = Some(|due| {
        if let Due::Word(_, Word::Offer { size, .. }, _) = due {
            *size = 3 * MIB;
        }
    });
    world.offer(0, 0, 5 * MIB + 5);
    world.until_offered(1, 1);
    world.event(1, 0, FileEvent::Accept);
    ends(&mut world, Why::Broken);
}

#[test]
fn one_who_leaves_at_the_end_leaves_nothing_behind() {
    let mut world = accepted();
    while world.pages[1].files.entries[0].file.done < 4 * MIB {
        world.step();
    }
    world.drop_lane();
    world.deaf = true;
    world.pages.iter_mut().for_each(|page| page.wants = false);
    for n in 0..2 {
        world.tell(n, |files| files.keep(|_| false, |_| None));
    }
    ends(&mut world, Why::Left);
}

#[test]
fn either_may_stop_it_and_the_other_hears_of_it() {
    for n in 0..2 {
        let mut world = accepted();
        while world.pages[1].files.entries[0].file.done < 2 * MIB {
            world.step();
        }
        world.event(n, 0, FileEvent::Close);
        ends(&mut world, Why::Cancelled);
        for n in 0..2 {
            world.event(n, 0, FileEvent::Close);
        }
        assert_eq!(world.stages(), [vec![], vec![]]);
    }
}

#[test]
fn what_is_declined_makes_no_connection() {
    let mut world = World::new(1);
    world.offer(0, 0, MIB);
    world.until_offered(1, 1);
    world.event(1, 0, FileEvent::Close);
    ends(&mut world, Why::Declined);
    assert!(world.pages.iter().all(|page| !page.wants) && world.lanes == 0);
}

#[test]
fn an_offer_nobody_answers_is_over_after_a_while() {
    let mut world = World::new(1);
    world.offer(0, 0, MIB);
    ends(&mut world, Why::Unanswered);
}

#[test]
fn without_a_way_there_is_no_file() {
    let mut world = World::new(1);
    world.offer(0, 0, MIB);
    world.until_offered(1, 1);
    world.event(1, 0, FileEvent::Accept);
    world.pages[0].wants = false;
    world.tell(1, |files| files.no_way(&session(0)));
    world.pages.iter_mut().for_each(|page| page.wants = false);
    world.due.retain(|(_, due)| matches!(due, Due::Word(_, Word::Stop { .. }, _)));
    ends(&mut world, Why::NoWay);
}

#[test]
fn an_offer_waits_until_the_page_of_whoever_has_just_come_is_known() {
    for comes in [true, false] {
        let mut world = World::new(1);
        world.pages[0].sources.insert(id(0), content(0, MIB));
        world.tell(0, |files| files.offer(id(0), (None, member(1)), ("a.txt", MIB)));
        assert_eq!(world.stages(), [vec![Stage::Offered], vec![]]);
        match comes {
            true => {
                let page = |to: &MemberId| (*to == member(1).id).then(|| session(1));
                world.tell(0, |files| files.keep(|_| true, page));
                world.until_offered(1, 1);
                world.event(1, 0, FileEvent::Accept);
                world.run();
                assert_eq!(world.stages(), [vec![Stage::Done], vec![Stage::Done]]);
            }
            false => {
                world.run();
                assert_eq!(world.stages(), [vec![Stage::Ended(Why::NoWay)], vec![]]);
                assert!(world.pages[0].sources.is_empty());
            }
        }
    }
}

#[test]
fn a_file_that_can_not_be_read_or_written_any_more_is_over() {
    let mut world = accepted();
    world.pages[0].sources.clear();
    ends(&mut world, Why::Unreadable);
    let mut world = accepted();
    world.lie = Some(|due| {
        if let Due::Event(_, _, event @ FileEvent::Wrote(_)) = due {
            *event = FileEvent::Wrote(false);
        }
    });
    ends(&mut world, Why::Unwritable);
}

#[test]
fn a_page_that_has_forgotten_the_file_is_offered_it_again() {
    let mut world = accepted();
    while world.pages[1].files.entries[0].file.done < 2 * MIB {
        world.step();
    }
    world.drop_lane();
    world.pages[1] = Page::default();
    world.until_offered(1, 1);
    world.event(1, 0, FileEvent::Accept);
    world.run();
    assert_eq!(world.pages[1].kept[&id(0)], content(0, 5 * MIB + 5));
}

#[test]
fn offers_have_a_limit() {
    let mut world = World::new(1);
    for n in 0..=UNDERWAY {
        world.offer(0, n, 1);
    }
    let [sent, _] = world.stages();
    assert_eq!(sent[UNDERWAY], Stage::Ended(Why::TooMuch));
    let to = (Some(session(0)), member(0));
    world.tell(1, |files| files.offer(id(100), to, ("large", FILE_BYTES + 1)));
    assert_eq!(world.stages()[1], [Stage::Ended(Why::TooMuch)]);
    let from = |n: usize| SessionId::parse(&format!("s{n}")).unwrap();
    let offered = |world: &World| {
        let of = |stage: &&Stage| **stage == Stage::Offered;
        world.stages()[1].iter().filter(of).count()
    };
    // However much one page offers, others can offer something too.
    for (page, limit) in
        [(0, UNDERWAY), (1, 2 * UNDERWAY), (2, 3 * UNDERWAY), (3, COMING), (4, COMING)]
    {
        for n in 0..2 * UNDERWAY {
            let id = id(200 + page * 100 + n);
            let word = Word::Offer { id, name: String::new(), size: 1 };
            world.tell(1, |files| files.heard(&from(page), &member(0), word, false));
        }
        assert_eq!(offered(&world), limit);
    }
}

#[test]
fn whoever_offers_and_takes_back_shows_nobody_elses_files_the_door() {
    let mut world = World::new(1);
    let other = Member { id: MemberId::parse("eve").unwrap(), ..member(0) };
    let mut offer = |n: usize, from: &Member| {
        let word = Word::Offer { id: id(n), name: String::new(), size: 1 };
        world.tell(1, |files| {
            files.heard(&session(0), from, word, false);
            files.heard(&session(0), from, Word::Stop { id: id(n), why: Why::Cancelled }, false);
        });
    };
    offer(0, &member(0));
    (1..3 * SHOWN).for_each(|n| offer(n, &other));
    let files = &world.pages[1].files;
    assert_eq!(files.entries.len(), SHOWN);
    assert!(files.at(&id(0)).is_some());
}

#[test]
fn a_name_has_no_path_and_hides_nothing() {
    let names = [
        ("a.txt", "a.txt"),
        ("../../etc/passwd", "passwd"),
        ("C:\\x\\보고서.hwp", "보고서.hwp"),
        ("cat\u{202e}gpj.exe", "cat_gpj.exe"),
        ("a\nb", "a_b"),
        ("..", "file"),
        ("", "file"),
    ];
    for (given, shown) in names {
        assert_eq!(clean(given), shown);
    }
    let long = format!("{}.png", "가".repeat(500));
    assert_eq!(clean(&long).chars().count(), NAME_CHARS);
    assert!(clean(&long).ends_with(".png"));
}
