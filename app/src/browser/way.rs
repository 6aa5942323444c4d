//! The way between a client and the network. In a room there is nothing on it; the lab puts its weather there, and looks
//! at what passes.

use std::{cell::RefCell, collections::HashMap, rc::Rc};

use client::{Effect, Event, LegId, LinkEffect, LinkEvent, LinkId, Method, Transport};
use gloo_timers::future::TimeoutFuture;
use lab::{Queue, Road, Weather, What};
use leptos::task::spawn_local;

use super::clock;

/// Who is told what passes: what it is, with which request, and what it carries.
pub(super) type Watcher = Rc<dyn Fn(What, Option<u32>, &str)>;

/// A way.
#[derive(Default)]
pub(super) struct Way {
    /// Nothing is on it, if there is none.
    lab: Option<Box<OfTheLab>>,
}

struct OfTheLab {
    weather: Weather,
    random: RefCell<fastrand::Rng>,
    /// For each direction of each connection what is behind what.
    queues: RefCell<HashMap<(Line, Direction), Queue>>,
    watcher: Watcher,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Line {
    Leg(LegId),
    Link(LinkId),
    /// A request: another may overtake it.
    Alone,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Direction {
    Up,
    Down,
}

impl Way {
    /// One with this weather, drawn from `seed`.
    pub(super) fn of_the_lab(weather: Weather, seed: u64, watcher: Watcher) -> Self {
        let random = RefCell::new(fastrand::Rng::with_seed(seed));
        let queues = RefCell::default();
        Self { lab: Some(Box::new(OfTheLab { weather, random, queues, watcher })) }
    }

    /// Something is to go to the network, or elsewhere.
    pub(super) fn up(&self, effect: Effect, then: impl FnOnce(Effect) + 'static) {
        let Some(lab) = &self.lab else { return then(effect) };
        let line = match &effect {
            Effect::Open { leg, .. } | Effect::Send { leg, .. } => Line::Leg(*leg),
            Effect::Fetch { .. } => Line::Alone,
            Effect::Link { link, what: LinkEffect::Send { .. } } => Line::Link(*link),
            _ => return then(effect),
        };
        match &effect {
            Effect::Open { transport, .. } if lab.blocks(*transport) => {
                // Whoever waits for it gives it up in the end; nothing comes, as behind a bad proxy.
                return;
            }
            Effect::Fetch { request, method, body, .. } => {
                let what = match method {
                    Method::Get => What::Get,
                    Method::Post => What::Post,
                };
                (lab.watcher)(what, Some(*request), body.as_deref().unwrap_or_default());
            }
            Effect::Send { text, .. } => (lab.watcher)(What::Send, None, text),
            Effect::Link { what: LinkEffect::Send { text, .. }, .. } => {
                (lab.watcher)(What::SendDirect, None, text);
            }
            _ => {}
        }
        lab.pass(line, Direction::Up, move || then(effect));
    }

    /// Something has come from the network.
    pub(super) fn down(&self, event: Event, then: impl FnOnce(Event) + 'static) {
        let Some(lab) = &self.lab else { return then(event) };
        let line = match &event {
            Event::Opened { leg, .. }
            | Event::Received { leg, .. }
            | Event::Failed { leg, .. }
            | Event::Closed { leg, .. } => Line::Leg(*leg),
            Event::Answered { .. } | Event::Unanswered { .. } => Line::Alone,
            Event::Link { link, event: LinkEvent::Heard(..) } => Line::Link(*link),
            _ => return then(event),
        };
        let watcher = lab.watcher.clone();
        lab.pass(line, Direction::Down, move || {
            match &event {
                Event::Received { text, .. } => watcher(What::Receive, None, text),
                Event::Answered { request, body, .. } => {
                    watcher(What::Answer, Some(*request), body);
                }
                Event::Link { event: LinkEvent::Heard(_, text), .. } => {
                    watcher(What::ReceiveDirect, None, text);
                }
                _ => {}
            }
            then(event);
        });
    }
}

impl OfTheLab {
    fn blocks(&self, transport: Transport) -> bool {
        self.weather.blocked.contains(&Road::Over(transport))
    }

    /// Does it as late as the weather has it, and after what was before it on this line.
    fn pass(&self, line: Line, direction: Direction, then: impl FnOnce() + 'static) {
        if self.weather.latency == 0 && self.weather.loss == 0 {
            return then();
        }
        let delay = self.weather.delay(&mut self.random.borrow_mut());
        let at = match line {
            Line::Alone => clock() + delay,
            line => {
                let mut queues = self.queues.borrow_mut();
                queues.entry((line, direction)).or_default().arrival(clock(), delay)
            }
        };
        let left = (at - clock()).max(0.0).round() as u32;
        spawn_local(async move {
            TimeoutFuture::new(left).await;
            then();
        });
    }
}
