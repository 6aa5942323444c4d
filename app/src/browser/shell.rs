//! Carries out what a client wants with the network, and tells it what happens there.
//!
//! The rule to keep: it decides nothing. All it owns goes with it: connections, requests, the timer.

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, VecDeque},
    rc::{Rc, Weak},
};

use client::{Client, Effect, Event, LegId, LinkEffect, LinkEvent, LinkId, Method, Transport};
use gloo_net::http::Request;
use gloo_timers::callback::Timeout;
use leptos::task::spawn_local;
use web_sys::{AbortController, AbortSignal};

use super::{link::Link, media::Tracks, now, way::Way, wire::Wire};
use crate::base;
use crate::page::Ice;

/// The longest a timer is set to, in milliseconds: browsers count in 32 bits.
const LONGEST_MS: u64 = 24 * 60 * 60 * 1_000;

/// How long before it expires what TURN servers ask for is asked for anew, in milliseconds.
const RENEW_ICE_MS: f64 = 6.0 * 60.0 * 60.0 * 1_000.0;

/// One leg: dropping it closes its connection and breaks off its requests.
#[derive(Default)]
struct Leg {
    wire: Option<Wire>,
    abort: Option<AbortController>,
}

impl Drop for Leg {
    fn drop(&mut self) {
        if let Some(abort) = &self.abort {
            abort.abort();
        }
    }
}

/// What is not for the network.
pub(super) enum Told {
    /// The client wants this.
    Effect(Effect),
    /// All that it wants for now was told.
    Settled,
}

/// A client, with its connections.
pub(super) struct Shell {
    client: RefCell<Client>,
    /// Events that came while another was handled.
    waiting: RefCell<VecDeque<Event>>,
    is_busy: Cell<bool>,
    legs: RefCell<HashMap<LegId, Leg>>,
    pub(super) links: RefCell<HashMap<LinkId, Rc<Link>>>,
    /// What others may hear and see of me.
    tracks: Tracks,
    ice: Rc<RefCell<Option<Ice>>>,
    /// What wakes the client, and when.
    timer: RefCell<Option<(u64, Timeout)>>,
    way: Way,
    tell: Box<dyn Fn(Told)>,
    own: Weak<Self>,
}

impl Shell {
    /// One whose client does nothing yet; `tell` hears what is not for the network.
    pub(super) fn new(
        client: Client,
        ice: Option<Ice>,
        tracks: Tracks,
        way: Way,
        tell: impl Fn(Told) + 'static,
    ) -> Rc<Self> {
        Rc::new_cyclic(|own| Self {
            client: RefCell::new(client),
            waiting: RefCell::default(),
            is_busy: Cell::default(),
            legs: RefCell::default(),
            links: RefCell::default(),
            tracks,
            ice: Rc::new(RefCell::new(ice)),
            timer: RefCell::default(),
            way,
            tell: Box::new(tell),
            own: own.clone(),
        })
    }

    /// Tells the client what happened, and does what it wants. Called meanwhile, it waits its turn.
    pub(super) fn handle(&self, event: Event) {
        self.waiting.borrow_mut().push_back(event);
        if self.is_busy.replace(true) {
            return;
        }
        while let Some(event) = self.next_event() {
            self.client.borrow_mut().handle(now() as u64, event);
            while let Some(effect) = self.next_effect() {
                self.send(effect);
            }
        }
        (self.tell)(Told::Settled);
        self.is_busy.set(false);
        self.set_timer();
    }

    fn next_event(&self) -> Option<Event> {
        self.waiting.borrow_mut().pop_front()
    }

    fn next_effect(&self) -> Option<Effect> {
        self.client.borrow_mut().poll()
    }

    /// Has the client woken no later than it wants to be. It often wants that later than before, with each frame: woken too
    /// early it does nothing, and says again when.
    fn set_timer(&self) {
        let deadline = self.client.borrow().deadline().map(|(at, _)| at);
        let is_soon = |at| self.timer.borrow().as_ref().is_some_and(|(set, _)| *set <= at);
        if deadline.is_some_and(is_soon) {
            return;
        }
        let timer = deadline.map(|at| {
            let left = at.saturating_sub(now() as u64).min(LONGEST_MS);
            let own = self.own.clone();
            let wake = move || {
                if let Some(shell) = own.upgrade() {
                    shell.timer.take();
                    shell.handle(Event::Time);
                }
            };
            (at, Timeout::new(left as u32, wake))
        });
        *self.timer.borrow_mut() = timer;
    }

    /// Tells this client, as long as it is there.
    pub(super) fn teller(&self) -> impl Fn(Event) + Clone + use<> {
        let own = self.own.clone();
        move |event| {
            if let Some(shell) = own.upgrade() {
                shell.handle(event);
            }
        }
    }

    /// As [`Shell::teller`], for what comes over the network.
    fn hearer(&self) -> impl Fn(Event) + Clone + use<> {
        let own = self.own.clone();
        move |event| {
            if let Some(shell) = own.upgrade() {
                let tell = shell.teller();
                shell.way.down(event, tell);
            }
        }
    }

    /// Carries it out once it is through on the way to the network, if that is where it is for.
    fn send(&self, effect: Effect) {
        let own = self.own.clone();
        self.way.up(effect, move |effect| {
            if let Some(shell) = own.upgrade() {
                shell.carry_out(effect);
            }
        });
    }

    fn carry_out(&self, effect: Effect) {
        match effect {
            Effect::Open { leg, transport, url } => self.open(leg, transport, &url),
            Effect::Fetch { leg, request, method, url, body } => {
                let (signal, tell) = (self.signal(leg), self.hearer());
                spawn_local(async move {
                    let answer = ask(method, &url, body, signal).await;
                    tell(match answer {
                        Ok((status, problem, body)) => {
                            Event::Answered { leg, request, status, problem, body }
                        }
                        Err(_) => Event::Unanswered { leg, request },
                    });
                });
            }
            Effect::Send { leg, text } => {
                if let Some(wire) = self.legs.borrow().get(&leg).and_then(|leg| leg.wire.as_ref()) {
                    wire.send(&text);
                }
            }
            Effect::Close { leg } => {
                let leg = self.legs.borrow_mut().remove(&leg);
                drop(leg);
            }
            Effect::Link { link, what } => self.link(link, what),
            effect => (self.tell)(Told::Effect(effect)),
        }
    }

    fn open(&self, leg: LegId, transport: Transport, url: &str) {
        match Wire::open(leg, transport, url, self.hearer()) {
            Ok(wire) => self.legs.borrow_mut().entry(leg).or_default().wire = Some(wire),
            Err(_) => {
                let reason = String::new();
                self.handle(Event::Closed { leg, code: 1006, reason, was_clean: false });
            }
        }
    }

    fn link(&self, link: LinkId, what: LinkEffect) {
        let tell = self.hearer();
        let tell = move |event| tell(Event::Link { link, event });
        if matches!(what, LinkEffect::Connect | LinkEffect::Offer { restart: true, .. }) {
            self.renew_ice();
        }
        match what {
            LinkEffect::Connect => {
                match Link::new(self.ice.borrow().as_ref(), self.tracks.clone(), tell.clone()) {
                    Ok(made) => drop(self.links.borrow_mut().insert(link, Rc::new(made))),
                    Err(_) => tell(LinkEvent::Closed),
                }
            }
            LinkEffect::Close => {
                let closed = self.links.borrow_mut().remove(&link);
                drop(closed);
            }
            what => {
                // What comes of it may be that it is closed, at once.
                let link = self.links.borrow().get(&link).cloned();
                let ice = self.ice.borrow().clone();
                if let Some(link) = link {
                    link.carry_out(what, ice.as_ref(), tell);
                }
            }
        }
    }

    /// Asks anew for what TURN servers ask for, while what is known is still good for a while.
    fn renew_ice(&self) {
        let due = self.ice.borrow().as_ref().map(|ice| ice.expires_at as f64 - RENEW_ICE_MS);
        if due.is_some_and(|due| now() > due) {
            let ice = self.ice.clone();
            spawn_local(async move {
                // Another time, if not now.
                if let Ok((200, _, body)) =
                    ask(Method::Get, &base::path("/api/ice"), None, None).await
                    && let Ok(new) = serde_json::from_str(&body)
                {
                    *ice.borrow_mut() = Some(new);
                }
            });
        }
    }

    fn signal(&self, leg: LegId) -> Option<AbortSignal> {
        let mut legs = self.legs.borrow_mut();
        let abort = &mut legs.entry(leg).or_default().abort;
        if abort.is_none() {
            *abort = AbortController::new().ok();
        }
        abort.as_ref().map(AbortController::signal)
    }
}

/// Makes a request; returns its status, whether it is a problem document, and its body.
pub(super) async fn ask(
    method: Method,
    url: &str,
    body: Option<String>,
    signal: Option<AbortSignal>,
) -> Result<(u16, bool, String), gloo_net::Error> {
    let request = match method {
        Method::Get => Request::get(url),
        Method::Post => Request::post(url),
    };
    let request = request.abort_signal(signal.as_ref());
    let answer = match body {
        Some(body) => request.body(body)?.send().await?,
        None => request.send().await?,
    };
    let kind = answer.headers().get("content-type").unwrap_or_default();
    let problem = kind.starts_with("application/problem+json");
    Ok((answer.status(), problem, answer.text().await?))
}
