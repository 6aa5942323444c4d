//! Runs a race: each road has a client of its own, over the weather that was asked for.
//!
//! Start at [`race`]. Dropping what it returns ends it, and closes all connections.

use std::{cell::RefCell, rc::Rc};

use client::{Change, Client, Effect, Event, Method, Setup, Transport};
use common::{Audience, Hello, Member, MemberId, Members, Publish, RoomName, StateKind};
use futures_channel::{
    mpsc::{UnboundedReceiver, UnboundedSender, unbounded},
    oneshot,
};
use futures_util::{
    StreamExt,
    future::{Either, join_all, select},
};
use gloo_net::http::Request;
use gloo_timers::future::TimeoutFuture;
use lab::{Echo, Failed, Outcome, Plan, Road, Run, Traffic, What, round};
use leptos::task::spawn_local;
use serde::Deserialize;
use web_sys::RequestCredentials;

use super::{
    clock, home, is_hidden, new_message_id, reaches_browsers, seed,
    shell::{Shell, Told, ask},
    way::Way,
};
use crate::base;
use crate::page::Ice;

/// How long a road may take to open, in milliseconds: the ladder gives up one that swallows everything after ten seconds.
const OPEN_WITHIN_MS: f64 = 30_000.0;
/// How long a way from browser to browser is looked for, in milliseconds.
const WAY_WITHIN_MS: f64 = 15_000.0;
/// How long another page is waited for that is to send everything back, in milliseconds.
const MEET_WITHIN_MS: f64 = 5_000.0;
/// A timer may be late by so much, in milliseconds: the rest is spent looking at the clock.
const TIMER_MS: f64 = 2.0;
/// How often it is told how far a road has got, in milliseconds.
const SHOW_EVERY_MS: f64 = 250.0;
/// The room for all that goes through the hub. Only the session that says something there gets it.
const ROOM: &str = "lab";

/// How far a race has got: what came of each road so far, and those that are being run.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Live {
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) running: Vec<Road>,
}

/// Runs the race, and shows how far it has got. In the room `meeting` another page may wait, to send everything back.
pub(crate) async fn race(
    plan: Plan,
    ice: Option<Ice>,
    meeting: Option<RoomName>,
    show: impl Fn(Live),
) {
    let course = Course { plan, ice, meeting };
    let order = course.plan.order();
    let live = RefCell::new(Live::default());
    let run = async |road: Road| {
        let index = {
            let mut live = live.borrow_mut();
            live.outcomes.push(Outcome::none(road));
            live.running.push(road);
            live.outcomes.len() - 1
        };
        let put = |outcome: Outcome, is_over: bool| {
            let mut now = live.borrow_mut();
            now.outcomes[index] = outcome;
            now.running.retain(|running| !is_over || *running != road);
            let now = now.clone();
            show(now);
        };
        let outcome = course.run(road, |so_far| put(so_far, false)).await;
        put(outcome, true);
    };
    if course.plan.together {
        join_all(order.into_iter().map(run)).await;
    } else {
        for road in order {
            run(road).await;
        }
    }
}

/// Sends back what others send directly in the room `meeting`, until it is dropped.
pub(crate) async fn echo(meeting: RoomName, ice: Option<Ice>) {
    let course = Course { plan: Plan::default(), ice, meeting: None };
    let (shell, heard) = course.client(Joining::echo(meeting, None));
    answer(shell, heard, |_| true).await;
}

/// What a race is run on.
struct Course {
    plan: Plan,
    ice: Option<Ice>,
    meeting: Option<RoomName>,
}

/// How a client comes to a room of the lab.
struct Joining {
    room: RoomName,
    token: Option<String>,
    meter: Option<String>,
    transport: Option<Transport>,
    direct: bool,
    in_the_weather: bool,
}

impl Joining {
    /// One that only sends back.
    fn echo(room: RoomName, token: Option<String>) -> Self {
        let (direct, in_the_weather) = (reaches_browsers(), false);
        Self { room, token, meter: None, transport: None, direct, in_the_weather }
    }
}

/// What is seen of a client.
enum Seen {
    Change(Change),
    Step(What, Option<u32>, String),
}

/// All that is seen, and when.
type Heard = UnboundedReceiver<(f64, Seen)>;

impl Course {
    fn client(&self, joining: Joining) -> (Rc<Shell>, Heard) {
        let (tell, heard) = unbounded();
        let client = Client::new(Setup {
            token: joining.token,
            direct: joining.direct,
            poll_every: self.plan.poll.into(),
            meter: joining.meter,
            ..Setup::new(&home(), joining.room, seed())
        });
        let watch = tell.clone();
        let watcher = Rc::new(move |what, request, text: &str| {
            see(&watch, Seen::Step(what, request, text.to_owned()));
        });
        let weather = self.plan.weather.clone();
        let weather = if joining.in_the_weather { weather } else { Default::default() };
        let way = Way::of_the_lab(weather, self.plan.seed.into(), watcher);
        let told = move |told| {
            if let Told::Effect(Effect::Tell(change)) = told {
                see(&tell, Seen::Change(change));
            }
        };
        let shell = Shell::new(client, self.ice.clone(), Rc::default(), way, told);
        shell.handle(Event::start(None, joining.transport));
        (shell, heard)
    }

    /// Runs one road, and tells how far it has got.
    async fn run(&self, road: Road, tell: impl Fn(Outcome)) -> Outcome {
        let mut outcome = Outcome::none(road);
        tell(outcome.clone());
        let is_direct = road == Road::Direct;
        if is_direct && !reaches_browsers() {
            return Outcome { failed: Some(Failed::Missing), ..outcome };
        }
        let mark = seed() as u32;
        let meter = format!("{mark:08x}");
        let is_blocked = self.plan.weather.blocked.contains(&road);
        let began = clock();
        let (shell, mut heard) = self.client(Joining {
            room: match road {
                Road::Over(_) => room(ROOM),
                Road::Direct => self.meeting_room(mark),
            },
            token: None,
            meter: Some(meter.clone()),
            // Where it is blocked, the client is left to find another.
            transport: road.transport().filter(|_| !is_blocked),
            direct: is_direct && !is_blocked,
            in_the_weather: true,
        });
        let Some((hello, transport)) = greeted(&mut heard, began + OPEN_WITHIN_MS).await else {
            outcome.hub = counted(&meter).await;
            return Outcome { failed: Some(Failed::NotOpened), ..outcome };
        };
        let mut to = Audience::Own;
        let mut own_echo = None;
        if is_direct {
            let mut other = None;
            if self.meeting.is_some() {
                let other_page = |id: &MemberId| *id != hello.member.id;
                other = meet(&shell, &mut heard, other_page, MEET_WITHIN_MS, is_blocked).await;
            }
            outcome.echo = Some(Echo::OtherPage);
            if other.is_none() {
                outcome.echo = Some(Echo::SamePage);
                own_echo = self.own_echo(mark, hello.member.id.clone()).await;
                // Whoever answers from now on comes too late.
                if let Some(own) = &own_echo {
                    let own = |id: &MemberId| *id == own.id;
                    other = meet(&shell, &mut heard, own, WAY_WITHIN_MS, is_blocked).await;
                }
            }
            let Some(member) = other else {
                return Outcome { failed: Some(Failed::NoWay), ..outcome };
            };
            to = Audience::Only(vec![member.to_string()]);
        }
        outcome.opened = Some(round(clock() - began));
        outcome.carried = is_blocked.then_some(Road::Over(transport));
        let mut run = Run::new(road, &self.plan, mark, clock());
        let mut shown = 0.0;
        loop {
            let now = clock();
            while let Some(text) = run.next(now) {
                if let Ok(publish) = Publish::text(&text) {
                    let id = Some(new_message_id());
                    shell.handle(Event::Say(Publish { id, to: to.clone(), ..publish }));
                }
            }
            outcome.disturbed |= is_hidden();
            if now - shown > SHOW_EVERY_MS {
                shown = now;
                tell(run.so_far(outcome.clone()));
            }
            if run.is_over(now) {
                break;
            }
            match next(&mut heard, run.deadline().min(now + SHOW_EVERY_MS)).await {
                Some((at, Seen::Change(Change::Arrived { message, mine })))
                    if mine != is_direct =>
                {
                    run.back(message.value.as_str().unwrap_or_default(), at);
                }
                Some((at, Seen::Step(what, request, text))) => run.note(at, what, request, &text),
                _ => {}
            }
        }
        if is_direct && !is_blocked {
            outcome.between = between(&shell).await;
        }
        outcome.hub = counted(&meter).await;
        drop(own_echo);
        run.outcome(outcome)
    }

    /// Where the pages meet that are connected with each other.
    fn meeting_room(&self, mark: u32) -> RoomName {
        self.meeting.clone().unwrap_or_else(|| room(&format!("{ROOM}-{mark:08x}")))
    }

    /// A second session of this page, as somebody else, who sends back what `me` sends.
    async fn own_echo(&self, mark: u32, me: MemberId) -> Option<OwnEcho> {
        let Stranger { token, member } = stranger().await?;
        let joining = Joining::echo(self.meeting_room(mark), Some(token));
        let (shell, heard) = self.client(joining);
        let (going, gone) = oneshot::channel();
        spawn_local(async move {
            let answers = std::pin::pin!(answer(shell, heard, |id| *id == me));
            select(answers, gone).await;
        });
        Some(OwnEcho { id: member.id, _going: going })
    }
}

/// Sends everything back until it is dropped.
struct OwnEcho {
    id: MemberId,
    _going: oneshot::Sender<()>,
}

fn room(name: &str) -> RoomName {
    RoomName::parse(name).expect("letters and digits name a room")
}

/// Sends back what comes. A connection is only made between two who both want it: this one wants the first that is `wanted`.
async fn answer(shell: Rc<Shell>, mut heard: Heard, wanted: impl Fn(&MemberId) -> bool) {
    let mut me = None;
    while let Some((_, seen)) = heard.next().await {
        match seen {
            Seen::Change(Change::Me(member)) => me = Some(member.id),
            Seen::Change(Change::Roster(StateKind::Direct, members)) => {
                let other = me.as_ref().and_then(|me| first(&members, |id| id != me && wanted(id)));
                shell.handle(Event::Address(other));
            }
            Seen::Change(Change::Arrived { message, mine: false }) => {
                let to = Audience::Only(vec![message.from.id.to_string()]);
                let (value, id) = (message.value.clone(), Some(new_message_id()));
                shell.handle(Event::Say(Publish {
                    value,
                    id,
                    event: None,
                    to,
                    of: None,
                    from: None,
                }));
            }
            _ => {}
        }
    }
}

/// Waits for the hello; says what it came over.
async fn greeted(heard: &mut Heard, until: f64) -> Option<(Hello, Transport)> {
    let mut over = Transport::WebSocket;
    loop {
        match next(heard, until).await?.1 {
            Seen::Change(Change::Transport { transport, .. }) => over = transport,
            Seen::Change(Change::Hello(hello)) => return Some((hello, over)),
            _ => {}
        }
    }
}

/// Waits for somebody `wanted`, who sends everything back, and for a direct way to them; where that is blocked, there need
/// not be one.
async fn meet(
    shell: &Shell,
    heard: &mut Heard,
    wanted: impl Fn(&MemberId) -> bool,
    within: f64,
    is_blocked: bool,
) -> Option<MemberId> {
    let mut until = clock() + within;
    let kind = if is_blocked { StateKind::Members } else { StateKind::Direct };
    let mut other = None;
    loop {
        match next(heard, until).await?.1 {
            Seen::Change(Change::Roster(told, members)) if told == kind => {
                let found = first(&members, &wanted);
                if is_blocked && found.is_some() {
                    return found;
                }
                if found.is_some() && found != other {
                    // Somebody is there: what is waited for now is the way to them.
                    until = until.max(clock() + WAY_WITHIN_MS);
                    other = found;
                    shell.handle(Event::Address(other.clone()));
                }
            }
            Seen::Change(Change::Road(client::Road::Direct)) if other.is_some() => return other,
            _ => {}
        }
    }
}

/// The first of these that is wanted.
fn first(members: &Members, wanted: impl Fn(&MemberId) -> bool) -> Option<MemberId> {
    members.members.iter().map(|listed| &listed.id).find(|id| wanted(id)).cloned()
}

fn see(to: &UnboundedSender<(f64, Seen)>, seen: Seen) {
    // It fails where nobody looks any more.
    let _ = to.unbounded_send((clock(), seen));
}

/// What is seen next; nothing, if `until` comes first.
async fn next(heard: &mut Heard, until: f64) -> Option<(f64, Seen)> {
    if let Ok(seen) = heard.try_recv() {
        return Some(seen);
    }
    let left = until - clock();
    if left > TIMER_MS {
        let timer = TimeoutFuture::new((left - TIMER_MS) as u32);
        if let Either::Left((seen, _)) = select(heard.next(), timer).await {
            return seen;
        }
    }
    while clock() < until {}
    None
}

/// Somebody who is not me, and a token to be them.
#[derive(Deserialize)]
struct Stranger {
    token: String,
    member: Member,
}

async fn stranger() -> Option<Stranger> {
    let request = Request::post(&base::path("/api/token")).credentials(RequestCredentials::Omit);
    let given = request.send().await.ok()?.text().await.ok()?;
    serde_json::from_str(&given).ok()
}

/// What the hub has counted.
async fn counted(meter: &str) -> Option<Traffic> {
    let (_, _, body) =
        ask(Method::Get, &base::path(&format!("/api/lab/{meter}")), None, None).await.ok()?;
    serde_json::from_str(&body).ok()
}

/// What the browser has counted on the one connection to another.
async fn between(shell: &Shell) -> Option<Traffic> {
    let counting = shell.links.borrow().values().next()?.traffic();
    counting.await
}
