//! Two pages that write to each other, with a hub and a way between them that come and go: what is said is shown once
//! on both, in the order in which each has said it, whichever way it went.

use std::collections::{HashSet, VecDeque};

use common::{
    After, Audience, ClientFrame, ErrorCode, Hello, Listed, Member, MemberId, MemberName, Members,
    Message, MessageId, Offset, Publish, Recovery, Refusal, RoomName, Roster, ServerFrame,
    SessionId, Signalling, StateKind,
};
use proptest::prelude::*;

use crate::{
    Change, Client, Effect, Event, Lane, LegId, LinkEffect, LinkEvent, LinkId, Media, Millis,
    Party, Road, Row, RowChange, Setup, Transport, seed::Seed,
};

fn member(n: usize) -> Member {
    let name = ["ada", "bob"][n];
    Member { id: MemberId::parse(name).unwrap(), name: MemberName::parse(name).unwrap() }
}

fn session(n: usize) -> SessionId {
    SessionId::parse(["a", "b"][n]).unwrap()
}

struct Page {
    client: Client,
    leg: Option<LegId>,
    link: Option<LinkId>,
    open: bool,
    rows: Vec<Row>,
    arrived: Vec<MessageId>,
    road: Road,
    call: Option<Vec<Party>>,
    /// What is said and shown in the call goes over the connection.
    media: bool,
}

enum Due {
    Event(usize, Event),
    /// On the channel of this connection of the other side.
    Heard(usize, LinkId, String),
}

struct World {
    now: Millis,
    seed: Seed,
    pages: [Page; 2],
    due: VecDeque<(Millis, Due)>,
    log: Vec<Message>,
    hub: bool,
    way: bool,
    said: [usize; 2],
    /// Who is in the call, as far as the hub knows.
    in_call: [bool; 2],
    /// Who has ever made a connection.
    connected: [bool; 2],
}

impl World {
    fn new(seed: u64) -> Self {
        let page = |n: usize| Page {
            client: Client::new(Setup {
                after: After::Position("e:0".parse().unwrap()),
                me: Some(member(n)),
                view: true,
                direct: true,
                ..Setup::new("http://host", RoomName::lobby(), n as u64)
            }),
            leg: None,
            link: None,
            open: false,
            rows: Vec::new(),
            arrived: Vec::new(),
            road: Road::Hub,
            call: None,
            media: false,
        };
        let mut world = Self {
            now: 1_000_000,
            seed: Seed(seed),
            pages: [page(0), page(1)],
            due: VecDeque::new(),
            log: Vec::new(),
            hub: true,
            way: true,
            said: [0, 0],
            in_call: [false; 2],
            connected: [false; 2],
        };
        for n in 0..2 {
            world.tell(n, Event::start(None, Some(Transport::WebSocket)));
        }
        world
    }

    /// Both write to each other.
    fn both(seed: u64) -> Self {
        let mut world = Self::new(seed);
        for n in 0..2 {
            world.tell(n, Event::Address(Some(member(1 - n).id)));
        }
        world
    }

    fn later(&mut self, due: Due) {
        let at = self.now + 1 + self.seed.number() % 50;
        // What goes one way stays in order.
        let last = self.due.iter().map(|(at, _)| *at).max().unwrap_or_default();
        self.due.push_back((at.max(last), due));
    }

    fn tell(&mut self, n: usize, event: Event) {
        let now = self.now;
        self.pages[n].client.handle(now, event);
        while let Some(effect) = self.pages[n].client.poll() {
            self.carry_out(n, effect);
        }
    }

    fn carry_out(&mut self, n: usize, effect: Effect) {
        match effect {
            Effect::Open { leg, .. } => {
                self.pages[n].leg = Some(leg);
                if self.hub {
                    self.greet(n, leg);
                } else {
                    self.drop_leg(n);
                }
            }
            Effect::Close { leg } if self.pages[n].leg == Some(leg) => self.pages[n].leg = None,
            Effect::Send { leg, text } if self.pages[n].leg == Some(leg) && self.hub => {
                self.at_the_hub(n, &text);
            }
            Effect::Link { link, what } => self.link(n, link, what),
            Effect::Tell(Change::Row(row)) => {
                let rows = &mut self.pages[n].rows;
                match row {
                    RowChange::Inserted { at, row } => rows.insert(at, row),
                    RowChange::Changed { at, row } => rows[at] = row,
                    RowChange::Removed { at } => drop(rows.remove(at)),
                }
            }
            Effect::Tell(Change::Arrived { message, mine: false }) => {
                self.pages[n].arrived.push(message.id.clone());
            }
            Effect::Tell(Change::Road(road)) => self.pages[n].road = road,
            Effect::Tell(Change::Call(call)) => self.pages[n].call = call,
            _ => {}
        }
    }

    fn frame(&mut self, n: usize, frame: &ServerFrame) {
        if let Some(leg) = self.pages[n].leg {
            self.later(Due::Event(n, Event::Received { leg, text: frame.encode() }));
        }
    }

    fn greet(&mut self, n: usize, leg: LegId) {
        let protocol = "hubbub.v1".to_owned();
        self.later(Due::Event(n, Event::Opened { leg, protocol }));
        let After::Position(position) = self.pages[n].client.after().clone() else { panic!() };
        let missed: Vec<_> =
            self.log.iter().filter(|said| said.offset > position.offset).cloned().collect();
        let (session, member, room) = (session(n), member(n), RoomName::lobby());
        let recovery = Recovery::Replayed;
        let terms = common::Terms::default();
        let hello = Hello { session, member, room, position, recovery, terms };
        self.frame(n, &ServerFrame::Hello(hello));
        for message in missed {
            self.frame(n, &ServerFrame::Message(message));
        }
        let listed =
            (0..2).map(|n| Listed { member: self::member(n), sessions: vec![self::session(n)] });
        let direct = Members { count: 2, members: listed.collect() };
        self.frame(n, &ServerFrame::State(StateKind::Direct, Roster::whole(direct)));
        self.tell_call(n);
    }

    fn tell_call(&mut self, n: usize) {
        let listed = (0..2).filter(|n| self.in_call[*n]);
        let listed = listed.map(|n| Listed { member: member(n), sessions: vec![session(n)] });
        let members: Vec<_> = listed.collect();
        let call = Members { count: members.len(), members };
        self.frame(n, &ServerFrame::State(StateKind::Call, Roster::whole(call)));
    }

    fn drop_leg(&mut self, n: usize) {
        if let Some(leg) = self.pages[n].leg {
            let (code, reason, was_clean) = (1006, String::new(), false);
            self.later(Due::Event(n, Event::Closed { leg, code, reason, was_clean }));
        }
    }

    fn at_the_hub(&mut self, n: usize, text: &str) {
        match ClientFrame::parse(text).unwrap() {
            ClientFrame::Message(publish) => {
                let id = publish.id.unwrap();
                let kept = self.log.iter().find(|said| said.id == id).map(|said| said.offset);
                let offset = kept.unwrap_or(Offset(self.log.len() as u64 + 1));
                self.frame(n, &ServerFrame::Ack { id: id.clone(), offset });
                if kept.is_none() {
                    let message = Message {
                        offset,
                        value: publish.value,
                        id,
                        room: RoomName::lobby(),
                        at: self.now,
                        from: member(n),
                        event: None,
                        to: publish.to,
                        of: None,
                        edited: None,
                        reactions: Vec::new(),
                    };
                    self.log.push(message.clone());
                    (0..2).for_each(|n| self.frame(n, &ServerFrame::Message(message.clone())));
                }
            }
            ClientFrame::Call { call } => {
                self.in_call[n] = call;
                (0..2).for_each(|n| self.tell_call(n));
            }
            ClientFrame::Signalling { to, data } => {
                assert_eq!(to, session(1 - n));
                let (from, session) = (member(n), session(n));
                self.frame(1 - n, &ServerFrame::Signalling(Signalling { from, session, data }));
            }
            _ => {}
        }
    }

    fn on_link(&mut self, n: usize, link: LinkId, event: LinkEvent) {
        self.later(Due::Event(n, Event::Link { link, event }));
    }

    fn link(&mut self, n: usize, link: LinkId, what: LinkEffect) {
        match what {
            LinkEffect::Connect => {
                assert_eq!(self.pages[n].link, None);
                (self.pages[n].link, self.pages[n].open) = (Some(link), false);
                self.pages[n].media = false;
                self.connected[n] = true;
            }
            LinkEffect::Offer { .. } | LinkEffect::Answer { .. } => {
                self.on_link(n, link, LinkEvent::Described(Some("sdp".to_owned())));
                self.meet();
            }
            LinkEffect::Accept { .. } => {
                self.on_link(n, link, LinkEvent::Accepted(true));
                for n in 0..2 {
                    self.pages[n].open = self.pages[n].link.is_some();
                }
                self.meet();
            }
            LinkEffect::Try { .. } => {}
            LinkEffect::Media(media) => self.pages[n].media = media,
            LinkEffect::Bytes { .. } | LinkEffect::Room => unreachable!("no file was offered"),
            LinkEffect::Send { text, .. } => {
                let other = self.pages[1 - n].link;
                if let Some(other) = other.filter(|_| self.way && self.pages[n].link == Some(link))
                {
                    self.later(Due::Heard(1 - n, other, text));
                }
            }
            LinkEffect::Close => {
                // Where there is no connection yet the other side does not hear of it.
                let met = self.way && self.pages.iter().all(|page| page.open);
                if self.pages[n].link == Some(link) {
                    (self.pages[n].link, self.pages[n].open) = (None, false);
                    self.pages[n].media = false;
                }
                if let Some(other) = self.pages[1 - n].link.filter(|_| met) {
                    self.on_link(1 - n, other, LinkEvent::Closed);
                }
            }
        }
    }

    /// Says whether the two reach each other, to whoever has a connection.
    fn meet(&mut self) {
        for n in 0..2 {
            let Some(link) = self.pages[n].link else { continue };
            let both = self.pages[0].open && self.pages[1].open;
            match both && self.way {
                true => {
                    self.on_link(n, link, LinkEvent::Reached);
                    self.on_link(n, link, LinkEvent::Opened);
                }
                false => self.on_link(n, link, LinkEvent::Interrupted),
            }
        }
    }

    fn pass(&mut self, millis: Millis) {
        let end = self.now + millis;
        loop {
            let pages = self.pages.iter().filter_map(|page| page.client.deadline());
            let due = self.due.front().map(|(at, _)| *at);
            let Some(at) = pages.map(|(at, _)| at).chain(due).min().filter(|at| *at <= end) else {
                break;
            };
            self.now = self.now.max(at);
            while self.due.front().is_some_and(|(at, _)| *at <= self.now) {
                match self.due.pop_front().unwrap().1 {
                    Due::Event(n, event) => self.tell(n, event),
                    Due::Heard(n, link, text) if self.way && self.pages[n].link == Some(link) => {
                        self.tell(
                            n,
                            Event::Link { link, event: LinkEvent::Heard(Lane::Talk, text) },
                        );
                    }
                    Due::Heard(..) => {}
                }
            }
            for n in 0..2 {
                if self.pages[n].client.deadline().is_some_and(|(at, _)| at <= self.now) {
                    self.tell(n, Event::Time);
                }
            }
        }
        self.now = end;
    }

    fn say(&mut self, n: usize, to: Audience) {
        let text = format!("{n}-{}", self.said[n]);
        self.said[n] += 1;
        let id = MessageId::parse(&text).ok();
        let publish = Publish { id, to, ..Publish::text(&text).unwrap() };
        self.tell(n, Event::Say(publish));
    }

    fn set_way(&mut self, way: bool) {
        self.way = way;
        self.meet();
    }

    fn set_hub(&mut self, hub: bool) {
        self.hub = hub;
        if !hub {
            (0..2).for_each(|n| self.drop_leg(n));
        }
    }

    fn check(&self) {
        for (n, page) in self.pages.iter().enumerate() {
            assert_eq!(page.client.unsent().count(), 0, "{n} has not sent all");
            let shown: Vec<_> =
                page.rows.iter().map(|row| row.message.as_ref().unwrap().id.clone()).collect();
            let once: HashSet<_> = shown.iter().collect();
            assert_eq!(once.len(), shown.len(), "{n} shows something twice: {shown:?}");
            assert_eq!(shown.len(), self.said[0] + self.said[1], "{n} shows {shown:?}");
            for from in 0..2 {
                let of = |id: &&MessageId| id.as_str().starts_with(&format!("{from}-"));
                let number = |id: &MessageId| id.as_str()[2..].parse::<usize>().unwrap();
                let numbers: Vec<_> = shown.iter().filter(of).map(number).collect();
                assert!(numbers.is_sorted(), "{n} shows {from} in another order: {shown:?}");
            }
            let arrived: HashSet<_> = page.arrived.iter().collect();
            assert_eq!(arrived.len(), page.arrived.len(), "{n} was told twice");
            assert_eq!(arrived.len(), self.said[1 - n]);
        }
    }
}

/// What is for one alone, and kept by the hub for its sender too.
fn private() -> Audience {
    Audience::Only(vec!["ada".to_owned(), "bob".to_owned()])
}

#[test]
fn what_is_for_one_alone_goes_directly_once_they_are_connected() {
    let mut world = World::both(1);
    world.pass(5_000);
    assert_eq!([world.pages[0].road, world.pages[1].road], [Road::Direct; 2]);
    world.say(0, private());
    world.say(0, Audience::All);
    world.say(0, private());
    world.pass(5_000);
    world.check();
    assert_eq!(world.log.len(), 1);
    let direct: Vec<_> = world.pages[1].rows.iter().map(|row| row.direct).collect();
    assert_eq!(direct, [true, false, true]);
}

#[test]
fn what_is_on_its_way_when_the_connection_is_lost_goes_through_the_hub_under_its_id() {
    let mut world = World::both(1);
    world.pass(5_000);
    world.way = false;
    world.say(0, private());
    world.meet();
    world.pass(10_000);
    world.check();
    assert_eq!(world.log.len(), 1);
    assert!(world.pages.iter().all(|page| !page.rows[0].direct));
}

#[test]
fn a_connection_is_made_only_with_whom_both_want_it() {
    let mut world = World::new(1);
    world.tell(0, Event::Address(Some(member(1).id)));
    world.pass(60_000);
    assert_eq!((world.pages[0].road, world.connected), (Road::Relayed, [true, false]));
    world.tell(1, Event::Address(Some(member(0).id)));
    world.pass(5_000);
    assert_eq!([world.pages[0].road, world.pages[1].road], [Road::Direct; 2]);
}

#[test]
fn without_the_hub_those_who_are_connected_go_on_writing() {
    let mut world = World::both(1);
    world.pass(5_000);
    world.set_hub(false);
    world.pass(1_000);
    world.say(0, private());
    world.say(1, private());
    world.pass(5_000);
    world.check();
    assert_eq!(world.log.len(), 0);
}

const CAMERA: Media = Media { microphone: true, camera: true, screen: false };

/// Both are in the call, the other shows its camera, and what both show goes over the connection.
fn are_in_call(world: &World) {
    for n in 0..2 {
        let page = &world.pages[n];
        let [party] = page.call.as_deref().unwrap() else { panic!("{:?}", page.call) };
        assert_eq!((&party.member, party.link), (&member(1 - n), page.link));
        assert_eq!((party.road, party.media, page.media), (Road::Direct, CAMERA, true));
    }
}

#[test]
fn those_in_the_call_are_connected_and_see_each_other_until_one_leaves() {
    // Whether or not they write to each other directly.
    for mut world in [World::new(1), World::both(1)] {
        world.pass(5_000);
        world.tell(0, Event::Show(CAMERA));
        world.tell(0, Event::Call(true));
        world.pass(1_000);
        assert_eq!(world.pages[0].call, Some(vec![]));
        assert_eq!(world.pages[1].call, None);
        world.tell(1, Event::Call(true));
        world.pass(5_000);
        world.tell(1, Event::Show(CAMERA));
        world.pass(1_000);
        are_in_call(&world);
        world.tell(1, Event::Call(false));
        world.pass(1_000);
        assert_eq!((&world.pages[0].call, &world.pages[1].call), (&Some(vec![]), &None));
        assert!(world.pages.iter().all(|page| !page.media));
        // And once more.
        world.tell(1, Event::Call(true));
        world.pass(5_000);
        are_in_call(&world);
    }
}

#[test]
fn a_call_goes_on_while_the_hub_is_away_and_after_it_was() {
    let mut world = World::new(1);
    world.pass(1_000);
    for n in 0..2 {
        world.tell(n, Event::Show(CAMERA));
        world.tell(n, Event::Call(true));
    }
    world.pass(5_000);
    are_in_call(&world);
    let links = [world.pages[0].link, world.pages[1].link];
    world.set_hub(false);
    world.pass(10_000);
    are_in_call(&world);
    world.in_call = [false; 2];
    world.set_hub(true);
    world.pass(60_000);
    are_in_call(&world);
    assert_eq!([world.pages[0].link, world.pages[1].link], links);
}

#[test]
fn whoever_has_not_joined_the_call_is_connected_with_nobody_for_it() {
    let mut world = World::new(1);
    world.pass(1_000);
    world.tell(0, Event::Call(true));
    // The hub says so of a page that was loaded again since.
    world.in_call[1] = true;
    world.tell_call(0);
    world.tell_call(1);
    world.pass(60_000);
    assert_eq!((world.in_call, world.connected[1]), ([true, false], false));
    assert_eq!((&world.pages[0].call, &world.pages[1].call), (&Some(vec![]), &None));
}

#[test]
fn a_call_that_is_full_is_left() {
    let mut world = World::new(1);
    world.pass(1_000);
    world.tell(0, Event::Call(true));
    let refusal = Refusal::new(ErrorCode::CallFull, "full");
    world.frame(0, &ServerFrame::Error(refusal));
    world.pass(1_000);
    assert_eq!(world.pages[0].call, None);
}

#[derive(Clone, Copy, Debug)]
enum Act {
    Say(usize, bool),
    Way(bool),
    Hub(bool),
    Wait(u64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        6 => (0..2_usize, any::<bool>()).prop_map(|(n, to)| Act::Say(n, to)),
        2 => any::<bool>().prop_map(Act::Way),
        1 => any::<bool>().prop_map(Act::Hub),
        5 => prop_oneof![1..60_u64, 60..4_000_u64, 4_000..30_000_u64].prop_map(Act::Wait),
    ];
    prop::collection::vec(act, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn whichever_way_it_goes_what_is_said_is_shown_once_and_in_order(
        seed in any::<u64>(), acts in acts(),
    ) {
        let mut world = World::both(seed);
        for act in acts {
            match act {
                Act::Say(n, true) => world.say(n, private()),
                Act::Say(n, false) => world.say(n, Audience::All),
                Act::Way(way) => world.set_way(way),
                Act::Hub(hub) => world.set_hub(hub),
                Act::Wait(ms) => world.pass(ms),
            }
        }
        world.set_hub(true);
        world.set_way(true);
        world.pass(200_000);
        for page in 0..2 {
            // Whoever could not be asked is asked now.
            let stuck: Vec<_> = world.pages[page].client.unsent().cloned().collect();
            stuck.into_iter().for_each(|id| world.tell(page, Event::Retry(id)));
        }
        world.pass(100_000);
        world.check();
    }
}
