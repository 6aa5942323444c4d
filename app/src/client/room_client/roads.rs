//! Which road the page is on: taking one, hearing it, and changing over to a better one.
//!
//! Two roads may be open at once: the present one, and a better one that is tried beside it. Events of
//! any other are late, and are not heard.

use std::rc::Rc;

use common::{After, Recovery, ServerFrame};
use leptos::prelude::*;

use super::{CHOSEN, ROAD, RoomClient, SESSION, Taken};
use crate::client::{
    browser,
    connection::Input,
    journal::Happening,
    ladder::{ProbeAction, Rung},
    road::{self, Destination, RoadEvent},
    timeline::Timeline,
};

impl RoomClient {
    /// Takes the road the person chooses, or leaves the choice to the page.
    pub fn choose_road(&self, choice: Option<Rung>) {
        browser::keep_here(CHOSEN, choice.map_or("", Rung::word));
        browser::keep_here(ROAD, "");
        let left = self.inner.try_update_value(|inner| {
            inner.probe = None;
            inner.ladder.choose(choice)
        });
        self.show_road();
        if left == Some(true) {
            self.step(Input::Switch);
        }
    }

    pub(super) fn show_ready_state(&self) {
        let state = self.inner.try_with_value(|inner| match &inner.road {
            Some(taken) => taken.road.state(),
            None => inner.ladder.rung().states().len() as u16 - 1,
        });
        if let Some(state) = state
            && self.ready_state.try_get_untracked() != Some(state)
        {
            self.ready_state.try_set(state);
        }
    }

    pub(super) fn show_road(&self) {
        let road = self.inner.try_with_value(|inner| (inner.ladder.rung(), inner.ladder.chosen()));
        let Some((rung, chosen)) = road else { return };
        if self.rung.try_get_untracked() != Some(rung) {
            self.note(Happening::Road(rung.word()));
            self.rung.try_set(rung);
        }
        if self.chosen.try_get_untracked() != Some(chosen) {
            self.chosen.try_set(chosen);
        }
    }

    pub(super) fn connect(&self) {
        self.show_road();
        // An address that can't be one would fail again: waiting is all there is to do.
        let taken = self.set_out(self.rung.get_untracked());
        self.inner.update_value(|inner| {
            inner.road = taken;
            inner.probe = None;
            inner.ladder.probe_failed(browser::now());
        });
    }

    /// Takes a road from where the timeline is.
    fn set_out(&self, rung: Rung) -> Option<Taken> {
        let to = Destination {
            room: self.room.get_value(),
            after: match self.timeline.with_untracked(Timeline::after) {
                After::Position(position) => position.to_string(),
                After::Oldest | After::Now => "0".to_owned(),
            },
            session: browser::kept_here(SESSION).unwrap_or_default(),
        };
        self.note(Happening::Connect(to.url(rung)));
        let generation = self.inner.try_update_value(|inner| {
            inner.generation += 1;
            inner.generation
        })?;
        let client = *self;
        let on_event = move |event| client.hear(generation, event);
        let road = road::open(rung, &to, Rc::new(on_event))?;
        Some(Taken { generation, road })
    }

    /// Tries a better road beside the present one now and then, and changes over when it carries.
    pub(super) fn look_for_a_better_road(&self) {
        let now = browser::now();
        let action = self.inner.try_update_value(|inner| inner.ladder.tick(now));
        match action {
            None | Some(ProbeAction::None) => {}
            Some(ProbeAction::Open(rung)) => {
                let probe = self.set_out(rung);
                self.inner.update_value(|inner| inner.probe = probe);
            }
            Some(ProbeAction::Close) => self.inner.update_value(|inner| inner.probe = None),
            Some(ProbeAction::Promote) => {
                self.inner.update_value(|inner| inner.road = inner.probe.take());
                self.show_road();
                self.carries();
                // What was under way on the old road is sent again, under its id.
                self.timeline.try_update_untracked(Timeline::reconnected);
                self.step(Input::Heard);
                self.pump();
            }
        }
    }

    /// The present road has shown that it carries: a reload begins with it.
    pub(super) fn carries(&self) {
        browser::keep_here(ROAD, self.rung.get_untracked().word());
    }

    pub(super) fn wake(&self) {
        self.inner.try_update_value(|inner| inner.ladder.wake(browser::now()));
        self.step(Input::Wake);
    }

    fn hear(&self, generation: u32, event: RoadEvent) {
        let is = |taken: &Option<Taken>| {
            taken.as_ref().is_some_and(|taken| taken.generation == generation)
        };
        let which = self.inner.try_with_value(|inner| (is(&inner.road), is(&inner.probe)));
        match which {
            Some((true, _)) => self.hear_road(event),
            Some((_, true)) => self.hear_probe(event),
            Some((false, false)) | None => {}
        }
        self.show_ready_state();
    }

    fn hear_road(&self, event: RoadEvent) {
        match event {
            RoadEvent::Open(what) => self.note(Happening::Open(what)),
            RoadEvent::Frame(frame) => {
                self.step(Input::Heard);
                if let Some(frame) = self.read(frame) {
                    self.take(frame);
                }
            }
            RoadEvent::Error(what) => self.note(Happening::Error(what)),
            RoadEvent::Close { code, reason, was_clean } => {
                self.note(Happening::Close { code, reason, was_clean });
                self.typing.try_set(Vec::new());
                self.step(Input::Closed);
            }
        }
    }

    /// The road beside the present one starts from a position that was read: what it brings is the same,
    /// or comes sooner. It is only not asked where the reading starts.
    fn hear_probe(&self, event: RoadEvent) {
        let now = browser::now();
        let failed = match event {
            RoadEvent::Open(what) => {
                self.note(Happening::Open(what));
                false
            }
            RoadEvent::Frame(frame) => match self.read(frame) {
                Some(ServerFrame::Hello(hello)) if hello.recovery == Recovery::Replayed => {
                    self.inner.try_update_value(|inner| inner.ladder.probe_answered(now));
                    false
                }
                Some(ServerFrame::Hello(_) | ServerFrame::Bye(_)) => true,
                Some(frame) => {
                    self.take(frame);
                    false
                }
                None => false,
            },
            RoadEvent::Error(what) => {
                self.note(Happening::Error(what));
                false
            }
            RoadEvent::Close { code, reason, was_clean } => {
                self.note(Happening::Close { code, reason, was_clean });
                true
            }
        };
        if failed {
            self.inner.try_update_value(|inner| {
                inner.ladder.probe_failed(now);
                inner.probe = None;
            });
        }
    }

    /// Notes a frame and reads it.
    fn read(&self, frame: String) -> Option<ServerFrame> {
        let parsed = ServerFrame::parse(&frame);
        self.note(Happening::Received(frame));
        parsed.ok().flatten()
    }
}
