//! Ties the pure parts to signals and to the browser: what a room page holds and can do.
//!
//! Start at [`RoomClient::start`]. Callbacks of roads and timers outlive nothing: they go through
//! `try_` accessors and check that the event is of a road that is there.

mod roads;

use common::{
    ClientFrame, Hello, Member, MemberName, Members, Message, MessageId, Publish, Refusal,
    RoomName, ServerFrame,
};
use gloo_net::http::Request;
use leptos::{leptos_dom::helpers::set_interval_with_handle, prelude::*, task::spawn_local};
use std::time::Duration;

use crate::{
    client::{
        browser,
        connection::{Action, Connection, Input, Phase},
        journal::{Happening, Journal},
        ladder::{Ladder, Rung},
        outbox,
        road::Road,
        timeline::Timeline,
    },
    lang::Lang,
    page::{Me, RoomView, encode_component},
};

/// Where this tab keeps its session, over reloads too.
const SESSION: &str = "session";
/// Where it keeps the road that carried last, and the one the person chose.
const ROAD: &str = "road";
const CHOSEN: &str = "chosen-road";
/// How often the state machine and the countdown look at the clock.
const TICK: Duration = Duration::from_millis(500);
/// No `typing` frame follows another sooner, in milliseconds.
const TYPING_EVERY_MS: f64 = 3_000.0;

/// Everything a room page holds and can do; cheap to copy.
#[derive(Clone, Copy, Debug)]
pub struct RoomClient {
    /// The room.
    pub room: StoredValue<RoomName>,
    /// The language of the page.
    pub lang: Lang,
    /// Who I am.
    pub me: RwSignal<Me>,
    /// What is said.
    pub timeline: RwSignal<Timeline>,
    /// Who is here.
    pub members: RwSignal<Members>,
    /// Who is writing.
    pub typing: RwSignal<Vec<Member>>,
    /// Where the connection is.
    pub phase: RwSignal<Phase>,
    /// Seconds until the next try, while waiting.
    pub seconds_left: RwSignal<Option<u64>>,
    /// The present road.
    pub rung: RwSignal<Rung>,
    /// The road the person chose, if they did.
    pub chosen: RwSignal<Option<Rung>>,
    /// Its state, a number of [`Rung::states`].
    pub ready_state: RwSignal<u16>,
    /// What the inspector shows.
    pub journal: RwSignal<Journal>,
    /// Messages of others that came while the page was open.
    pub arrived: RwSignal<Arrived>,
    inner: StoredValue<Inner, LocalStorage>,
}

/// Messages of others that came while the page was open.
#[derive(Clone, Debug, Default)]
pub struct Arrived {
    /// How many.
    pub count: usize,
    /// The last of them.
    pub last: Option<Message>,
}

struct Inner {
    /// The timeline has changed and will be drawn in a moment.
    drawing: bool,
    machine: Connection,
    ladder: Ladder,
    road: Option<Taken>,
    /// A better one that is tried beside it.
    probe: Option<Taken>,
    /// Counts the roads, so that a late event of an old one is known.
    generation: u32,
    typed_at: f64,
}

/// A road that was taken.
struct Taken {
    generation: u32,
    road: Box<dyn Road>,
}

impl RoomClient {
    /// Holds what the page was rendered with; touches no browser.
    pub fn new(view: &RoomView, me: Me, lang: Lang) -> Self {
        Self {
            room: StoredValue::new(view.room.clone()),
            lang,
            me: RwSignal::new(me),
            timeline: RwSignal::new(Timeline::new(view.messages.clone(), view.position.clone())),
            members: RwSignal::new(view.members.clone()),
            typing: RwSignal::new(Vec::new()),
            phase: RwSignal::new(Phase::Idle),
            seconds_left: RwSignal::new(None),
            rung: RwSignal::new(Rung::WebSocket),
            chosen: RwSignal::new(None),
            ready_state: RwSignal::new(3),
            journal: RwSignal::new(Journal::default()),
            arrived: RwSignal::new(Arrived::default()),
            inner: StoredValue::new_local(Inner {
                drawing: false,
                machine: Connection::default(),
                ladder: Ladder::new(Rung::WebSocket),
                road: None,
                probe: None,
                generation: 0,
                typed_at: 0.0,
            }),
        }
    }

    /// Connects, and stays connected while the page lives. Browser only.
    pub fn start(self) {
        let tick = move || {
            self.step(Input::Tick);
            self.tend();
            self.look_for_a_better_road();
        };
        let timer = set_interval_with_handle(tick, TICK);
        on_cleanup(move || {
            if let Ok(timer) = timer {
                timer.clear();
            }
        });
        for event in ["online", "pageshow"] {
            let listener = window_event_listener_untyped(event, move |_| self.wake());
            on_cleanup(move || listener.remove());
        }
        let listener = window_event_listener_untyped("visibilitychange", move |_| {
            if !browser::is_hidden() {
                self.wake();
            }
        });
        on_cleanup(move || listener.remove());
        let listener = window_event_listener_untyped("pagehide", |_| outbox::leave());
        on_cleanup(move || listener.remove());
        // What carried before the page was loaded anew, or was chosen.
        let chosen = browser::kept_here(CHOSEN).and_then(|word| Rung::parse(&word));
        let carried = browser::kept_here(ROAD).and_then(|word| Rung::parse(&word));
        self.inner.update_value(|inner| {
            inner.ladder = Ladder::new(carried.unwrap_or(Rung::WebSocket));
            if chosen.is_some() {
                inner.ladder.choose(chosen);
            }
        });
        self.step(Input::Start);
        self.tend();
    }

    /// Says `text` in the room.
    ///
    /// # Errors
    ///
    /// When it can't be said at all; nothing is sent then.
    pub fn say(&self, text: &str) -> Result<(), Refusal> {
        let publish = Publish { id: Some(browser::new_message_id()), ..Publish::text(text)? };
        let me = self.me.get_untracked().member;
        let room = self.room.get_value();
        self.timeline.update(|timeline| {
            timeline.say(publish, &me, &room, browser::now() as u64);
        });
        self.pump();
        self.inner.update_value(|inner| inner.typed_at = 0.0);
        Ok(())
    }

    /// Sends a refused or unknown message again.
    pub fn retry(&self, id: &MessageId) {
        self.timeline.update(|timeline| timeline.retry(id));
        self.pump();
    }

    /// Gives up a message that was not sent.
    pub fn discard(&self, id: &MessageId) {
        self.timeline.update(|timeline| timeline.discard(id));
        self.pump();
    }

    /// Tells the others that I am writing, now and then.
    pub fn typing(&self) {
        let now = browser::now();
        let due = self.inner.try_update_value(|inner| {
            let due = now - inner.typed_at >= TYPING_EVERY_MS;
            if due {
                inner.typed_at = now;
            }
            due
        });
        if due == Some(true) {
            self.send(&ClientFrame::Typing {});
        }
    }

    /// Goes by `name` from now on, here at once and at every later visit.
    pub fn rename(&self, name: MemberName) {
        self.me.update(|me| {
            me.member.name = name.clone();
            me.named = true;
        });
        self.send(&ClientFrame::Rename { name: name.clone() });
        spawn_local(async move {
            let body = format!("name={}", encode_component(name.as_str()));
            let request = Request::post("/settings")
                .header("accept", "application/json")
                .header("content-type", "application/x-www-form-urlencoded")
                .body(body);
            if let Ok(request) = request {
                // If this fails, the name is good for this visit and asked for again at the next.
                let _ = request.send().await;
            }
        });
    }

    /// Tries to connect now.
    pub fn retry_now(&self) {
        self.step(Input::RetryNow);
    }

    /// Sends what is next in the outbox, and keeps what is in it.
    fn pump(&self) {
        if matches!(self.phase.get_untracked(), Phase::Open { .. }) {
            let next = |timeline: &mut Timeline| timeline.next_to_send(browser::now());
            if let Some(publish) = self.timeline.try_update_untracked(next).flatten() {
                self.send(&ClientFrame::Message(publish));
            }
        }
        if let Some(unsent) = self.timeline.try_with_untracked(Timeline::outbox) {
            outbox::keep(&self.room.get_value(), &unsent);
        }
    }

    /// Looks after the outbox now and then: what is late, what may go now, and what pages that are gone
    /// have left behind.
    fn tend(&self) {
        let now = browser::now();
        if self.timeline.try_update_untracked(|timeline| timeline.expire(now)) == Some(true) {
            self.timeline.try_update(|_| ());
        }
        let left = outbox::adopt(&self.room.get_value());
        if !left.is_empty() {
            self.timeline.try_update(|timeline| timeline.restore(left));
        }
        self.pump();
    }

    fn send(&self, frame: &ClientFrame) {
        if !matches!(self.phase.get_untracked(), Phase::Open { .. }) {
            return;
        }
        let frame = frame.encode();
        let sent = self.inner.try_with_value(|inner| {
            inner.road.as_ref().is_some_and(|taken| taken.road.send(&frame))
        });
        if sent == Some(true) {
            self.note(Happening::Sent(frame));
        }
    }

    fn note(&self, what: Happening) {
        self.journal.try_update(|journal| journal.note(what, browser::now()));
    }

    /// Feeds the state machine and does what it says.
    fn step(&self, input: Input) {
        let now = browser::now();
        let stepped = self.inner.try_update_value(|inner| {
            let action = inner.machine.step(input, now, js_sys::Math::random());
            let other_road = match (input, action) {
                (_, Action::Abandon) => inner.ladder.mute(),
                (Input::Closed, _) => inner.ladder.died(now),
                (Input::Bye { .. }, _) => {
                    inner.ladder.dismissed();
                    false
                }
                (Input::Hello, _) => {
                    inner.ladder.connected(now);
                    false
                }
                _ => false,
            };
            (action, other_road, inner.machine.phase(), inner.machine.seconds_left(now))
        });
        let Some((action, other_road, phase, seconds_left)) = stepped else { return };
        match action {
            Action::None => {}
            Action::Connect => self.connect(),
            Action::Abandon => {
                self.note(Happening::Abandoned);
                self.inner.update_value(|inner| inner.road = None);
            }
        }
        if other_road {
            self.show_road();
            return self.step(Input::Switch);
        }
        if self.phase.try_get_untracked() != Some(phase) {
            self.phase.try_set(phase);
        }
        if self.seconds_left.try_get_untracked() != Some(seconds_left) {
            self.seconds_left.try_set(seconds_left);
        }
        self.show_ready_state();
    }

    fn take(&self, frame: ServerFrame) {
        match frame {
            ServerFrame::Hello(hello) => self.take_hello(hello),
            ServerFrame::Message(message) => {
                let mine = self.me.with_untracked(|me| me.member.id == message.from.id);
                let receive = |timeline: &mut Timeline| timeline.receive(message.clone());
                let new = self.timeline.try_update_untracked(receive);
                self.draw_soon();
                self.pump();
                if new == Some(true) && !mine {
                    self.arrived.update(|arrived| {
                        arrived.count += 1;
                        arrived.last = Some(message);
                    });
                }
            }
            ServerFrame::Ack { id, offset } => {
                self.timeline.update(|timeline| timeline.acked(&id, offset));
                self.pump();
            }
            ServerFrame::Members(members) => self.take_members(members),
            ServerFrame::Typing(typing) => {
                let me = self.me.with_untracked(|me| me.member.id.clone());
                let others = typing.members.into_iter().filter(|member| member.id != me);
                self.typing.set(others.collect());
            }
            ServerFrame::Error(refusal) => {
                let reason = self.lang.strings().refusal(&refusal);
                let now = browser::now();
                self.timeline.update(|timeline| timeline.refused(&refusal, reason, now));
                self.pump();
            }
            ServerFrame::Bye(bye) => {
                self.step(Input::Bye { reconnect_in_ms: bye.reconnect_in_ms as f64 });
            }
        }
    }

    /// A burst of messages is drawn once, a frame of the screen later.
    fn draw_soon(&self) {
        let first =
            self.inner.try_update_value(|inner| !std::mem::replace(&mut inner.drawing, true));
        if first == Some(true) {
            let client = *self;
            let draw = move || {
                client.inner.try_update_value(|inner| inner.drawing = false);
                // Notifies what draws it; nothing if the page is gone.
                client.timeline.try_update(|_| ());
            };
            set_timeout(draw, Duration::from_millis(16));
        }
    }

    fn take_members(&self, members: Members) {
        // Another tab of mine may have changed my name.
        let mine = self.me.with_untracked(|me| me.member.clone());
        let named = members.members.iter().find(|member| member.id == mine.id);
        if let Some(member) = named.filter(|member| member.name != mine.name) {
            self.me.update(|me| me.member.name = member.name.clone());
        }
        if self.members.with_untracked(|known| *known != members) {
            self.members.set(members);
        }
    }

    fn take_hello(&self, hello: Hello) {
        let fresh = !matches!(self.phase.get_untracked(), Phase::Open { .. });
        self.timeline.update(|timeline| {
            timeline.hello(hello.position, hello.recovery);
            if fresh {
                timeline.reconnected();
            }
        });
        self.step(Input::Hello);
        self.carries();
        browser::keep_here(SESSION, hello.session.as_str());
        let me = self.me.get_untracked();
        if me.member != hello.member {
            let lost = me.member.id != hello.member.id;
            self.me.update(|me| me.member = hello.member);
            // A server that has lost its key knows me neither by id nor by name.
            if lost && me.named {
                self.rename(me.member.name);
            }
        }
        self.pump();
    }
}
