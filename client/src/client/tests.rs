//! The client as a whole: what it does about what happens.

use common::{
    Bye, ClientFrame, ErrorCode, Hello, Members, Publish, Recovery, Refusal, RoomName, Roster,
    ServerFrame, SessionId, StateKind,
};
use proptest::prelude::*;

use super::{
    kept::{CARRIED, CHOSEN, SESSION},
    *,
};
use crate::{Fault, Method, RequestId, RowChange, Scope, Status, testing::*};

/// A client, the time, and what it has done since that was last looked at.
struct World {
    client: Client,
    now: Millis,
    done: Vec<Effect>,
    open: Vec<LegId>,
}

fn setup() -> Setup {
    Setup {
        after: After::Position("e:0".parse().unwrap()),
        me: Some(ada()),
        name_is_kept: true,
        view: true,
        ..Setup::new("http://host", RoomName::lobby(), 7)
    }
}

impl World {
    fn new(setup: Setup) -> Self {
        Self { client: Client::new(setup), now: 1_000_000, done: Vec::new(), open: Vec::new() }
    }

    fn started(tab: &[(&str, &str)]) -> Self {
        let mut world = Self::new(setup());
        world.start(tab, &[]);
        world
    }

    fn start(&mut self, tab: &[(&str, &str)], shared: &[(String, String)]) {
        let tab = tab.iter().map(|(key, text)| (key.to_string(), text.to_string())).collect();
        self.tell(Event::Start { tab, shared: shared.to_vec() });
    }

    fn on(transport: Transport) -> Self {
        let mut world = Self::started(&[(CHOSEN, transport.word())]);
        world.hello(1);
        world.done.clear();
        world
    }

    fn tell(&mut self, event: Event) {
        self.client.handle(self.now, event);
        while let Some(effect) = self.client.poll() {
            match &effect {
                Effect::Open { leg, .. } => self.open.push(*leg),
                Effect::Fetch { leg, .. } if !self.open.contains(leg) => self.open.push(*leg),
                Effect::Close { leg } => {
                    assert!(self.open.contains(leg), "closed twice, or never open");
                    self.open.retain(|open| open != leg);
                }
                _ => {}
            }
            self.done.push(effect);
        }
        let legs = [&self.client.present, &self.client.probe];
        let legs: Vec<_> = legs.into_iter().flatten().map(|leg| leg.id).collect();
        assert!(self.open.iter().all(|open| legs.contains(open)), "{:?} {legs:?}", self.open);
        assert!(self.client.deadline().is_none_or(|(at, _)| at > self.now), "a deadline is past");
    }

    /// Time passes, and is told when it was asked for.
    fn pass(&mut self, millis: Millis) {
        let end = self.now + millis;
        while let Some((at, _)) = self.client.deadline().filter(|(at, _)| *at <= end) {
            self.now = at;
            self.tell(Event::Time);
        }
        self.now = end;
    }

    fn frame(&mut self, leg: LegId, frame: ServerFrame) {
        self.tell(Event::Received { leg, text: frame.encode() });
    }

    /// The server says hello on a leg, as its transport has it.
    fn hello(&mut self, leg: LegId) {
        let legs = [&self.client.present, &self.client.probe];
        let polls = legs
            .into_iter()
            .flatten()
            .any(|present| present.id == leg && present.transport >= Transport::LongPoll);
        let after = self.client.after().clone();
        let After::Position(position) = after else { panic!("{after:?}") };
        let hello = hello(&position.to_string(), Recovery::Replayed);
        match polls {
            true => self.answer(leg, 1, &page(&position.to_string(), &[hello])),
            false => self.frame(leg, hello),
        }
    }

    fn answer(&mut self, leg: LegId, request: RequestId, body: &str) {
        let body = body.to_owned();
        self.tell(Event::Answered { leg, request, status: 200, problem: false, body });
    }

    fn close(&mut self, leg: LegId) {
        self.tell(Event::Closed { leg, code: 1006, reason: String::new(), was_clean: false });
    }

    fn say(&mut self, text: &str) {
        self.tell(Event::Say(Publish { id: Some(id(text)), ..Publish::text(text).unwrap() }));
    }

    /// What was done since this was last asked, as far as it is of this kind.
    fn taken<T>(&mut self, of: impl Fn(&Effect) -> Option<T>) -> Vec<T> {
        std::mem::take(&mut self.done).iter().filter_map(of).collect()
    }

    fn opened(&mut self) -> Vec<(LegId, Transport)> {
        self.taken(|effect| match effect {
            Effect::Open { leg, transport, .. } => Some((*leg, *transport)),
            _ => None,
        })
    }

    fn fetched(&mut self) -> Vec<(RequestId, Method, String)> {
        self.taken(|effect| match effect {
            Effect::Fetch { request, method, url, .. } => Some((*request, *method, url.clone())),
            _ => None,
        })
    }

    /// The messages that set out, by whatever transport.
    fn sent(&mut self) -> Vec<String> {
        self.taken(|effect| {
            let (Effect::Send { text, .. } | Effect::Fetch { body: Some(text), .. }) = effect
            else {
                return None;
            };
            match ClientFrame::parse(text) {
                Ok(ClientFrame::Message(publish)) => publish.id.map(|id| id.to_string()),
                _ => None,
            }
        })
    }

    fn happened(&mut self) -> Vec<Happening> {
        self.taken(|effect| match effect {
            Effect::Tell(Change::Happened(happening)) => Some(happening.clone()),
            _ => None,
        })
    }

    fn told(&mut self) -> Vec<Change> {
        self.taken(|effect| match effect {
            Effect::Tell(Change::Happened(_)) => None,
            Effect::Tell(change) => Some(change.clone()),
            _ => None,
        })
    }
}

fn hello(position: &str, recovery: Recovery) -> ServerFrame {
    ServerFrame::Hello(Hello {
        session: SessionId::parse("s.secret").unwrap(),
        member: ada(),
        room: RoomName::lobby(),
        position: position.parse().unwrap(),
        recovery,
        terms: common::Terms::default(),
    })
}

fn page(position: &str, frames: &[ServerFrame]) -> String {
    let frames: Vec<_> = frames.iter().map(ServerFrame::encode).collect();
    format!(r#"{{"position":"{position}","state":"st","frames":[{}]}}"#, frames.join(","))
}

fn ack(text: &str, offset: u64) -> ServerFrame {
    ServerFrame::Ack { id: id(text), offset: common::Offset(offset) }
}

fn members(names: &[&str]) -> ServerFrame {
    ServerFrame::State(StateKind::Members, Roster::whole(list(names)))
}

fn list(names: &[&str]) -> Members {
    let member = |name: &&str| common::Member {
        id: common::MemberId::parse(name).unwrap(),
        name: MemberName::parse(name).unwrap(),
    };
    Members { count: names.len(), members: names.iter().map(|name| member(name).into()).collect() }
}

#[test]
fn it_sets_out_where_the_reading_ended_and_as_the_session_it_was() {
    let mut world = World::started(&[(SESSION, "s.1"), ("other", "x")]);
    let open = Effect::Open {
        leg: 1,
        transport: Transport::WebSocket,
        url: "ws://host/ws?room=lobby&after=e%3A0&session=s.1".to_owned(),
    };
    assert!(world.done.contains(&open));
    world.done.clear();
    world.hello(1);
    assert!(world.done.contains(&Effect::Tell(Change::Line(Line::Open))));
    let kept =
        Effect::Keep { scope: Scope::Tab, key: SESSION.to_owned(), text: "s.secret".to_owned() };
    assert!(world.done.contains(&kept));
}

#[test]
fn the_ladder_goes_down_when_nothing_gets_through_and_up_again_when_something_does() {
    let mut world = World::started(&[]);
    for leg in 1..=3 {
        assert_eq!(world.opened(), [(leg, Transport::WebSocket)]);
        world.close(leg);
        world.pass(if leg < 3 { 5_000 } else { 0 });
    }
    assert_eq!(world.opened(), [(4, Transport::Events)]);
    world.hello(4);
    world.pass(10_000);
    assert_eq!(world.opened(), [(5, Transport::WebSocket)]);
    world.hello(5);
    world.pass(5_000);
    assert!(world.done.contains(&Effect::Close { leg: 4 }));
    let now = Change::Transport { transport: Transport::WebSocket, chosen: None };
    assert!(world.told().contains(&now));
}

#[test]
fn a_leg_that_is_mute_is_left_for_the_next_transport() {
    let mut world = World::started(&[]);
    world.done.clear();
    world.pass(10_000);
    assert_eq!(world.opened(), [(2, Transport::Events)]);
}

#[test]
fn what_was_under_way_is_sent_again_on_the_leg_that_is_promoted() {
    let mut world = World::started(&[(CARRIED, "sse")]);
    world.hello(1);
    world.say("m1");
    world.pass(9_999);
    world.say("m2");
    world.pass(1);
    world.hello(2);
    world.done.clear();
    world.frame(2, ack("m1", 1));
    assert_eq!(world.sent(), ["m2"]);
    world.pass(5_000);
    assert_eq!(world.sent(), ["m2"]);
    assert_eq!(world.open, [2]);
}

#[test]
fn a_gap_that_the_leg_beside_it_has_read_across_is_none() {
    let mut world = World::started(&[(CARRIED, "sse")]);
    world.hello(1);
    world.pass(10_000);
    world.hello(2);
    world.frame(2, ServerFrame::Message(message("m9", 9)));
    world.done.clear();
    world.frame(1, hello("e:5", Recovery::Reset));
    world.frame(1, ServerFrame::Message(message("m9", 9)));
    assert_eq!(world.told(), []);
    assert_eq!(*world.client.after(), After::Position("e:9".parse().unwrap()));
    // One that goes further is.
    world.frame(1, hello("e:20", Recovery::Reset));
    assert!(world.told().iter().any(|change| matches!(change, Change::Hello(_))));
}

#[test]
fn late_events_of_a_leg_that_was_dropped_are_not_heard() {
    let mut world = World::on(Transport::WebSocket);
    world.close(1);
    world.done.clear();
    world.frame(1, ServerFrame::Message(message("m1", 1)));
    world.hello(1);
    world.close(1);
    world.tell(Event::Answered {
        leg: 1,
        request: 1,
        status: 200,
        problem: false,
        body: "{}".into(),
    });
    assert_eq!(world.done, []);
}

#[test]
fn lists_of_a_leg_that_is_tried_are_shown_when_it_is_the_present_one() {
    let mut world = World::started(&[(CARRIED, "sse")]);
    world.hello(1);
    world.frame(1, members(&["a"]));
    world.pass(10_000);
    world.hello(2);
    world.done.clear();
    world.frame(2, members(&["b"]));
    assert_eq!(world.told(), []);
    world.pass(5_000);
    assert!(world.told().contains(&Change::Roster(StateKind::Members, list(&["b"]))));
}

#[test]
fn whoever_is_told_that_coming_back_is_in_vain_stays_away_until_asked_to_try() {
    let mut world = World::on(Transport::WebSocket);
    let bye = Bye { code: 4003, reason: "expired".to_owned(), reconnect_in_ms: 0 };
    world.frame(1, ServerFrame::Bye(bye));
    assert!(world.told().contains(&Change::Line(Line::Over)));
    world.pass(600_000);
    assert_eq!(world.opened(), []);
    world.tell(Event::RetryNow);
    assert_eq!(world.opened(), [(2, Transport::WebSocket)]);
}

#[test]
fn a_lost_line_is_told_with_the_seconds_that_are_left() {
    let mut world = World::on(Transport::WebSocket);
    let bye = Bye { code: 1012, reason: "restart".to_owned(), reconnect_in_ms: 1_500 };
    world.frame(1, ServerFrame::Bye(bye));
    world.close(1);
    world.pass(1_500);
    let lines = world.told().into_iter().filter_map(|change| match change {
        Change::Line(line) => Some(line),
        _ => None,
    });
    assert_eq!(
        lines.collect::<Vec<_>>(),
        [
            Line::Waiting { seconds: 2 },
            Line::Waiting { seconds: 1 },
            Line::Connecting { again: true },
        ]
    );
}

#[test]
fn whoever_looks_is_told_what_happens_on_each_connection() {
    let story = |world: &mut World| {
        world.tell(Event::Opened { leg: 1, protocol: "hubbub.v1".to_owned() });
        world.hello(1);
        world.say("m1");
        world.frame(1, ack("m1", 1));
        world.tell(Event::Failed { leg: 1, what: String::new() });
        world.close(1);
        world.pass(1_000);
        world.tell(Event::Failed { leg: 2, what: "no way".to_owned() });
        world.pass(10_000);
        world.happened()
    };
    let url = |session: &str| format!("ws://host/ws?room=lobby&after=e%3A0{session}");
    let again = "&session=s.secret";
    let message = Publish { id: Some(id("m1")), ..Publish::text("m1").unwrap() };
    let expected = [
        ("connect", Happening::Connect(url(""))),
        ("open", Happening::Open("hubbub.v1".to_owned())),
        ("message", Happening::Received(hello("e:0", Recovery::Replayed).encode())),
        ("send", Happening::Sent(ClientFrame::Message(message).encode())),
        ("message", Happening::Received(ack("m1", 1).encode())),
        ("error", Happening::Failed(Fault::Untold)),
        ("close", Happening::Close { code: 1006, reason: String::new(), was_clean: false }),
        ("connect", Happening::Connect(url(again))),
        ("error", Happening::Failed(Fault::Told("no way".to_owned()))),
        ("abandon", Happening::Abandoned),
        ("transport", Happening::Transport(Transport::Events)),
    ];
    let happened = story(&mut World::started(&[]));
    for (happening, (name, expected)) in happened.iter().zip(&expected) {
        assert_eq!((happening.name(), happening), (*name, expected));
    }
    // The last is on its way to the next address.
    assert_eq!(happened.len(), expected.len() + 1);
    let mut unseen = World::new(Setup { view: false, ..setup() });
    unseen.start(&[], &[]);
    assert_eq!(story(&mut unseen), []);
}

#[test]
fn what_was_chosen_is_told_and_kept_until_it_is_left_to_the_client() {
    let mut world = World::on(Transport::WebSocket);
    for (choice, transport) in
        [(Some(Transport::Poll), Transport::Poll), (None, Transport::WebSocket)]
    {
        world.tell(Event::Choose(choice));
        let word = choice.map_or("", Transport::word).to_owned();
        let kept = Effect::Keep { scope: Scope::Tab, key: CHOSEN.to_owned(), text: word };
        assert!(world.done.contains(&kept));
        assert!(world.told().contains(&Change::Transport { transport, chosen: choice }));
    }
    // The same once more is no news.
    world.tell(Event::Choose(None));
    assert_eq!(world.told(), []);
}

#[test]
fn a_message_is_shown_at_once_and_settles_on_its_row() {
    let mut world = World::on(Transport::WebSocket);
    world.say("m1");
    let statuses = |world: &mut World| {
        let row = |change| match change {
            Change::Row(RowChange::Inserted { row, .. } | RowChange::Changed { row, .. }) => {
                Some((row.key, row.status))
            }
            _ => None,
        };
        world.told().into_iter().filter_map(row).collect::<Vec<_>>()
    };
    assert_eq!(statuses(&mut world), [(0, Status::Sending)]);
    world.frame(1, ack("m1", 1));
    assert_eq!(statuses(&mut world), [(0, Status::Sent)]);
}

#[test]
fn an_id_that_was_said_is_not_said_again_and_its_number_is_told() {
    let mut world = World::on(Transport::WebSocket);
    world.frame(1, ServerFrame::Message(message("m1", 5)));
    world.done.clear();
    world.say("m1");
    let taken = Change::Taken { id: id("m1"), offset: common::Offset(5) };
    assert_eq!(world.done, [Effect::Tell(taken)]);
}

/// Brings the rows that a page shows up to date.
fn draw(world: &mut World, drawn: &mut Vec<crate::Row>) {
    for change in world.told() {
        match change {
            Change::Row(RowChange::Inserted { at, row }) => drawn.insert(at, row),
            Change::Row(RowChange::Changed { at, row }) => drawn[at] = row,
            Change::Row(RowChange::Removed { at }) => drop(drawn.remove(at)),
            _ => {}
        }
    }
}

#[test]
fn what_was_written_before_it_was_known_who_we_are_is_ours_once_it_is_taken() {
    let mut world = World::new(Setup { me: None, ..setup() });
    world.start(&[], &[]);
    world.say("early");
    world.hello(1);
    world.frame(1, ack("early", 3));
    let mut drawn = Vec::new();
    draw(&mut world, &mut drawn);
    let drawn: Vec<_> = drawn.into_iter().filter_map(|row| row.message).collect();
    let drawn: Vec<_> = drawn.iter().map(|message| (message.offset, &message.from)).collect();
    assert_eq!(drawn, [(common::Offset(3), &ada())]);
}

#[test]
fn each_message_arrives_once_also_when_it_was_acknowledged_before() {
    let mut world = World::on(Transport::WebSocket);
    world.say("m1");
    world.frame(1, ack("m1", 1));
    for _ in 0..2 {
        world.frame(1, ServerFrame::Message(message("m1", 1)));
    }
    let arrived = |change: &Change| matches!(change, Change::Arrived { mine: true, .. });
    assert_eq!(world.told().iter().filter(|change| arrived(change)).count(), 1);
}

#[test]
fn a_post_that_fails_is_made_again_and_then_the_leg_is_left() {
    let mut world = World::on(Transport::Events);
    world.say("m1");
    let [(request, Method::Post, url)] = &world.fetched()[..] else { panic!() };
    assert_eq!(url, "http://host/api/rooms/lobby/frames?session=s.secret");
    let gateway = |problem| Event::Answered {
        leg: 1,
        request: *request,
        status: 503,
        problem,
        body: String::new(),
    };
    for (n, event) in
        [gateway(false), Event::Unanswered { leg: 1, request: *request }].into_iter().enumerate()
    {
        world.tell(event);
        world.pass(250 * (n as Millis + 1) - 1);
        assert_eq!(world.sent(), [""; 0]);
        world.pass(1);
        assert_eq!(world.sent(), ["m1"]);
    }
    world.tell(gateway(false));
    world.pass(750);
    world.done.clear();
    world.tell(gateway(false));
    assert!(world.done.contains(&Effect::Close { leg: 1 }));
    world.pass(1_000);
    world.hello(2);
    assert_eq!(world.sent(), ["m1"]);
}

#[test]
fn a_problem_document_parks_the_message_it_answers() {
    let mut world = World::on(Transport::Events);
    world.say("m1");
    let body = r#"{"code":"unavailable","detail":"the disk is full"}"#.to_owned();
    world.tell(Event::Answered { leg: 1, request: 1, status: 503, problem: true, body });
    let refusal = Refusal::new(ErrorCode::Unavailable, "the disk is full").about(Some("m1"));
    assert!(world.told().contains(&Change::Parked { id: id("m1"), refusal }));
}

#[test]
fn a_long_poll_asks_waits_and_asks_again() {
    assert_eq!([Method::Get, Method::Post].map(Method::name), ["GET", "POST"]);
    let mut world = World::started(&[(CHOSEN, "longpoll")]);
    let first = "http://host/api/rooms/lobby/frames?after=e%3A0&limit=200";
    assert_eq!(world.fetched(), [(1, Method::Get, first.to_owned())]);
    world.hello(1);
    let next = "http://host/api/rooms/lobby/frames\
                ?after=e%3A0&session=s.secret&limit=200&state=st&wait=25";
    assert_eq!(world.fetched(), [(2, Method::Get, next.to_owned())]);
    world.answer(1, 2, &page("e:3", &[ServerFrame::Message(message("m3", 3))]));
    let [(3, Method::Get, url)] = &world.fetched()[..] else { panic!() };
    assert!(url.contains("after=e%3A3"), "{url}");
    assert_eq!(world.client.after(), &After::Position("e:3".parse().unwrap()));
}

#[test]
fn a_poll_asks_every_two_seconds_and_at_once_when_a_page_was_full() {
    let mut world = World::on(Transport::Poll);
    world.pass(1_999);
    assert_eq!(world.fetched(), []);
    world.pass(1);
    let [(2, Method::Get, url)] = &world.fetched()[..] else { panic!() };
    assert!(!url.contains("wait="), "{url}");
    let full: Vec<_> =
        (1..=200).map(|n| ServerFrame::Message(message(&format!("m{n}"), n))).collect();
    world.answer(1, 2, &page("e:200", &full));
    assert_eq!(world.fetched().len(), 1);
}

#[test]
fn polls_without_news_are_a_sign_of_life() {
    let mut world = World::on(Transport::LongPoll);
    for request in 2..8 {
        world.pass(25_000);
        world.answer(1, request, &page("e:0", &[]));
    }
    assert_eq!(world.open, [1]);
}

#[test]
fn a_poll_that_is_refused_says_why_and_the_leg_is_left() {
    let mut world = World::on(Transport::LongPoll);
    let body = r#"{"code":"invalid_token","detail":"expired"}"#.to_owned();
    world.tell(Event::Answered { leg: 1, request: 2, status: 401, problem: true, body });
    assert!(world.done.contains(&Effect::Close { leg: 1 }));
    let refusal = Refusal::new(ErrorCode::InvalidToken, "expired");
    assert!(world.told().contains(&Change::Refused(refusal)));
}

#[test]
fn what_another_tab_could_not_send_is_taken_over_and_sent() {
    let mut first = World::new(setup());
    first.say("m1");
    first.tell(Event::Leaving);
    let kept = |effect: &Effect| match effect {
        Effect::Keep { scope: Scope::Shared, key, text } => Some((key.clone(), text.clone())),
        _ => None,
    };
    let left = first.taken(kept).pop().unwrap();
    let mut second = World::new(Setup { seed: 8, ..setup() });
    second.start(&[], std::slice::from_ref(&left));
    second.hello(1);
    let forgotten = Effect::Keep { scope: Scope::Shared, key: left.0, text: String::new() };
    assert!(second.done.contains(&forgotten));
    assert_eq!(second.sent(), ["m1"]);
}

#[test]
fn an_outbox_that_is_touched_stays_with_its_tab() {
    let mut world = World::on(Transport::WebSocket);
    let key = "outbox:lobby:1".to_owned();
    let text = |at| format!(r#"{{"at":{at},"messages":[]}}"#);
    world.tell(Event::Kept { key: key.clone(), text: text(world.now) });
    world.frame(1, ServerFrame::Beat {});
    world.pass(50_000);
    world.tell(Event::Kept { key: key.clone(), text: text(world.now) });
    world.frame(1, ServerFrame::Beat {});
    world.pass(50_000);
    let forgotten = Effect::Keep { scope: Scope::Shared, key, text: String::new() };
    assert!(!world.done.contains(&forgotten));
    world.pass(40_000);
    assert!(world.done.contains(&forgotten));
}

#[test]
fn whoever_looks_away_says_so_on_each_new_leg() {
    let mut world = World::on(Transport::WebSocket);
    let idle = |leg| Effect::Send { leg, text: ClientFrame::Idle { idle: true }.encode() };
    world.tell(Event::Idle(true));
    assert!(world.done.contains(&idle(1)));
    world.close(1);
    world.pass(2_000);
    world.hello(2);
    assert!(world.done.contains(&idle(2)));
}

#[test]
fn whoever_looks_again_says_so_also_after_a_reload_and_after_the_line_was_gone() {
    let looks = |leg| Effect::Send { leg, text: ClientFrame::Idle { idle: false }.encode() };
    let mut world = World::on(Transport::WebSocket);
    assert!(!world.done.contains(&looks(1)));
    world.tell(Event::Idle(true));
    world.close(1);
    world.tell(Event::Idle(false));
    world.pass(2_000);
    world.hello(2);
    assert!(world.done.contains(&looks(2)));
    // As it went, the page before said that nobody looks.
    let mut world = World::started(&[(SESSION, "s.t")]);
    world.hello(1);
    assert!(world.done.contains(&looks(1)));
}

#[test]
fn a_name_is_told_again_to_a_server_that_does_not_know_it() {
    let name = MemberName::parse("Ada").unwrap();
    let guest = || {
        let ServerFrame::Hello(hello) = hello("e:0", Recovery::Replayed) else { panic!() };
        let name = MemberName::parse("guest").unwrap();
        ServerFrame::Hello(Hello { member: Member { name, ..hello.member.clone() }, ..hello })
    };
    let rename = ClientFrame::Rename { name: name.clone() }.encode();
    for (name_is_kept, told) in [(true, false), (false, true)] {
        let mut world = World::new(Setup { name: Some(name.clone()), name_is_kept, ..setup() });
        world.start(&[], &[]);
        world.frame(1, guest());
        let sent = Effect::Send { leg: 1, text: rename.clone() };
        assert_eq!(world.done.contains(&sent), told);
    }
}

#[test]
fn typing_is_told_while_it_is_open_and_not_with_each_key() {
    let typing = ClientFrame::Typing { typing: true }.encode();
    let told = |world: &mut World| {
        world.tell(Event::Typing(true));
        world
            .taken(|effect| {
                matches!(effect, Effect::Send { text, .. } if *text == typing).then_some(())
            })
            .len()
    };
    let mut world = World::on(Transport::WebSocket);
    assert_eq!([told(&mut world), told(&mut world)], [1, 0]);
    world.pass(3_000);
    world.close(1);
    assert_eq!(told(&mut world), 0);
    world.pass(1_000);
    world.hello(2);
    assert_eq!(told(&mut world), 1);
}

#[test]
fn that_what_was_written_is_gone_is_told_once_and_not_if_it_was_said() {
    let gone = ClientFrame::Typing { typing: false }.encode();
    let mut world = World::on(Transport::WebSocket);
    let told = |world: &mut World| {
        world.tell(Event::Typing(false));
        let is_it = |effect: &Effect| matches!(effect, Effect::Send { text, .. } if *text == gone);
        world.taken(|effect| is_it(effect).then_some(())).len()
    };
    assert_eq!(told(&mut world), 0);
    world.tell(Event::Typing(true));
    assert_eq!([told(&mut world), told(&mut world)], [1, 0]);
    world.tell(Event::Typing(true));
    world.say("m1");
    assert_eq!(told(&mut world), 0);
}

#[test]
fn what_was_said_already_is_not_taken_over_from_another_tab() {
    let mut first = World::new(setup());
    first.say("m1");
    first.say("m2");
    first.tell(Event::Leaving);
    let kept = |effect: &Effect| match effect {
        Effect::Keep { scope: Scope::Shared, key, text } => Some((key.clone(), text.clone())),
        _ => None,
    };
    let (key, text) = first.taken(kept).pop().unwrap();
    let mut second = World::new(Setup { seed: 8, ..setup() });
    second.start(&[], &[]);
    second.hello(1);
    second.frame(1, ServerFrame::Message(message("m1", 1)));
    second.say("m2");
    assert_eq!(second.sent(), ["m2"]);
    second.tell(Event::Kept { key, text });
    second.frame(1, ack("m2", 2));
    assert_eq!(second.sent(), [""; 0]);
    assert_eq!(second.client.unsent().count(), 0);
}

#[test]
fn no_two_waits_are_drawn_from_the_same_number() {
    let mut world = World::on(Transport::WebSocket);
    let mut fractions = Vec::new();
    for (leg, bound) in [(1, 1_000.0), (2, 2_000.0)] {
        world.close(leg);
        let until = world.client.connection.deadline().unwrap();
        fractions.push((until - world.now) as f64 / bound);
        world.pass(until - world.now);
    }
    assert!((fractions[0] - fractions[1]).abs() > 0.01, "{fractions:?}");
}

#[test]
fn a_restart_that_is_announced_says_nothing_about_the_transport() {
    let mut world = World::started(&[]);
    for leg in 1..=5 {
        world.hello(leg);
        world.frame(
            leg,
            ServerFrame::Bye(Bye { code: 1012, reason: String::new(), reconnect_in_ms: 10 }),
        );
        world.close(leg);
        world.pass(10);
    }
    let opened = world.opened();
    assert!(opened.iter().all(|(_, transport)| *transport == Transport::WebSocket), "{opened:?}");
    assert_eq!(opened.len(), 6);
}

#[test]
fn a_reload_begins_with_the_transport_that_has_carried() {
    let mut world = World::started(&[]);
    let carried = |word: &str| Effect::Keep {
        scope: Scope::Tab,
        key: CARRIED.to_owned(),
        text: word.to_owned(),
    };
    assert!(!world.done.contains(&carried("websocket")));
    world.hello(1);
    assert!(world.done.contains(&carried("websocket")));
    assert_eq!(World::started(&[(CARRIED, "sse")]).opened(), [(1, Transport::Events)]);
}

#[test]
fn a_leg_beside_the_present_one_that_misses_something_is_closed() {
    let mut world = World::started(&[(CARRIED, "sse")]);
    world.hello(1);
    world.pass(10_000);
    world.frame(2, hello("e:0", Recovery::Reset));
    assert_eq!(world.open, [1]);
}

#[test]
fn a_message_has_the_time_of_the_clock_outside() {
    let mut world = World::on(Transport::WebSocket);
    world.now -= 900_000;
    world.say("m1");
    let now = world.now;
    let at = world.told().into_iter().find_map(|change| match change {
        Change::Row(RowChange::Inserted { row, .. }) => row.message.map(|message| message.at),
        _ => None,
    });
    assert_eq!(at, Some(now));
}

#[test]
fn who_i_am_is_told_when_it_changes_here_or_in_another_tab() {
    let named = |name: &str| common::Member { name: MemberName::parse(name).unwrap(), ..ada() };
    let mut world = World::new(Setup { name: Some(ada().name), ..setup() });
    world.start(&[], &[]);
    world.hello(1);
    let me = |world: &mut World| {
        let of_me = |change| match change {
            Change::Me(me) => Some(me),
            _ => None,
        };
        world.told().into_iter().filter_map(of_me).collect::<Vec<_>>()
    };
    assert_eq!(me(&mut world), []);
    world.tell(Event::Rename(named("Countess").name));
    assert_eq!(me(&mut world), [named("Countess")]);
    let others =
        Members { count: 2, members: vec![list(&["b"]).members[0].clone(), named("Lady").into()] };
    let roster = ServerFrame::State(StateKind::Members, Roster::whole(others));
    world.frame(1, roster.clone());
    assert_eq!(me(&mut world), [named("Lady")]);
    world.frame(1, roster);
    assert_eq!(me(&mut world), []);
}

#[test]
fn a_name_that_nobody_keeps_is_told_again_whatever_was_listed_and_only_where_it_is_not_known() {
    let name = |name: &str| MemberName::parse(name).unwrap();
    let mut world = World::new(Setup { name: Some(name("Ada")), name_is_kept: false, ..setup() });
    world.start(&[], &[]);
    let rename = |leg| {
        let text = ClientFrame::Rename { name: name("Ada") }.encode();
        Effect::Send { leg, text }
    };
    world.hello(1);
    assert!(!world.done.contains(&rename(1)), "the server knows it");
    let listed = common::Member { name: name("guest"), ..ada() };
    let roster = Roster::whole(Members { count: 1, members: vec![listed.clone().into()] });
    world.frame(1, ServerFrame::State(StateKind::Members, roster));
    world.close(1);
    world.pass(1_000);
    let ServerFrame::Hello(hello) = hello("e:0", Recovery::Replayed) else { panic!() };
    world.frame(2, ServerFrame::Hello(Hello { member: listed, ..hello }));
    assert!(world.done.contains(&rename(2)));
}

#[test]
fn a_refusal_is_told_unless_it_is_of_a_message_that_is_sent_again() {
    let mut world = World::on(Transport::WebSocket);
    world.say("m1");
    let slow = |id| Refusal::new(ErrorCode::RateLimited, "slow").about(id);
    world.done.clear();
    world.frame(1, ServerFrame::Error(slow(Some("m1"))));
    assert!(!world.told().iter().any(|change| matches!(change, Change::Refused(_))));
    for other in [None, Some("m9")] {
        world.frame(1, ServerFrame::Error(slow(other)));
        assert!(world.told().contains(&Change::Refused(slow(other))));
    }
}

#[test]
fn a_clock_that_is_set_back_holds_up_nothing() {
    let mut world = World::on(Transport::WebSocket);
    world.now -= 900_000;
    world.tell(Event::Time);
    world.pass(61_000);
    assert_eq!(world.open, [2]);
    assert!(world.now < 1_000_000);
}

fn events() -> impl Strategy<Value = Event> {
    let leg = 0..12_u32;
    let request = 0..6_u32;
    let frame = prop_oneof![
        (0..9_u64).prop_map(|n| hello(&format!("e:{n}"), Recovery::Replayed)),
        Just(hello("new:0", Recovery::Reset)),
        (1..9_u64).prop_map(|n| ServerFrame::Message(message(&format!("m{n}"), n))),
        (1..9_u64).prop_map(|n| ack(&format!("m{n}"), n)),
        (1..9_u64).prop_map(|n| ServerFrame::Error(
            Refusal::new(ErrorCode::RateLimited, "slow").about(Some(&format!("m{n}")))
        )),
        Just(members(&["a", "b"])),
        Just(ServerFrame::Bye(Bye { code: 1012, reason: String::new(), reconnect_in_ms: 9 })),
    ];
    let bodies = prop::collection::vec(frame.clone(), 0..3).prop_map(|frames| page("e:1", &frames));
    prop_oneof![
        2 => leg.clone().prop_map(|leg| Event::Opened { leg, protocol: String::new() }),
        8 => (leg.clone(), frame)
            .prop_map(|(leg, frame)| Event::Received { leg, text: frame.encode() }),
        1 => leg.clone().prop_map(|leg| Event::Received { leg, text: "?".to_owned() }),
        2 => leg.clone().prop_map(|leg| Event::Failed { leg, what: String::new() }),
        1 => leg.clone().prop_map(|leg| Event::Refused { leg, body: String::new() }),
        2 => leg.clone().prop_map(|leg| Event::Closed {
            leg, code: 1006, reason: String::new(), was_clean: false
        }),
        6 => (leg.clone(), request.clone(), prop_oneof![Just(200), Just(204), Just(503)], bodies)
            .prop_map(|(leg, request, status, body)| Event::Answered {
                leg, request, status, problem: false, body
            }),
        2 => (leg, request).prop_map(|(leg, request)| Event::Unanswered { leg, request }),
        3 => (1..9_u64).prop_map(|n| Event::Say(Publish {
            id: Some(id(&format!("m{n}"))), ..Publish::text("hi").unwrap()
        })),
        1 => (1..9_u64).prop_map(|n| Event::Retry(id(&format!("m{n}")))),
        1 => (1..9_u64).prop_map(|n| Event::Discard(id(&format!("m{n}")))),
        1 => any::<bool>().prop_map(Event::Typing),
        1 => any::<bool>().prop_map(Event::Idle),
        1 => Just(Event::RetryNow),
        1 => Just(Event::Wake),
        1 => prop::option::of(prop::sample::select(&Transport::ALL)).prop_map(Event::Choose),
        1 => Just(Event::Kept { key: "outbox:lobby:9".into(), text: r#"{"at":0,"messages":[]}"#.into() }),
        1 => Just(Event::Leaving),
    ]
}

proptest! {
    /// That there is one present leg at most, one beside it, no deadline in the past, and that each leg
    /// is closed once, [`World::tell`] looks after.
    #[test]
    fn whatever_happens_it_stands_on_one_leg_or_tries_a_second(
        story in prop::collection::vec((events(), 0..20_000_u64), 0..150),
        start in prop::sample::select(&["websocket", "sse", "longpoll", "poll"]),
    ) {
        let mut world = World::started(&[(CARRIED, start)]);
        let mut drawn: Vec<crate::Row> = Vec::new();
        for (event, passes) in story {
            world.tell(event);
            world.pass(passes);
            draw(&mut world, &mut drawn);
        }
        let unsent = drawn.iter().filter(|row| row.status != Status::Sent).count();
        prop_assert_eq!(unsent, world.client.unsent().count());
    }
}
