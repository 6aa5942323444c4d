//! When the list of a room's page is drawn, and how much of it: as often, and as much, as leaves time for all else.

use std::{
    cell::{Cell, RefCell},
    rc::{Rc, Weak},
    sync::Arc,
    time::Duration,
};

use client::{Change, RowChange, Status};
use common::Message;
use leptos::prelude::*;
use reactive_stores::Store;

use super::{clock, has_focus, is_hidden, now};
use crate::{
    room::{RoomState, RoomStateStoreFields, arrive},
    rows::{apply_rows, draw_more, mend_around},
};

/// How many changes of rows wait for the next picture at the most.
const UNDRAWN: usize = 4_000;
/// For each millisecond that a picture takes, how many are left for all else before the next one of the list; and how many
/// at the most.
const REST: (f64, f64) = (2.0, 500.0);
/// The same of what it takes longer than a frame, while somebody writes: a key that comes meanwhile waits for it.
const REST_OF_KEYS: (f64, f64) = (40.0, 5_000.0);
/// How long a frame is, in milliseconds.
const FRAME: f64 = 16.0;
/// Somebody writes until so long after the last key, or until what was written is sent.
const WRITING: Duration = Duration::from_secs(1);
/// How many rows that come at once are too many to draw all of the list.
const MANY: usize = 16;
/// How high the lowest row is, in pixels of CSS.
const ROW: f64 = 22.0;
/// How long nothing comes before the rest of the list is drawn, and how many rows of it at once.
const CALM: Duration = Duration::from_millis(500);
const MORE: usize = 40;

/// What is to be drawn.
pub(super) struct Drawing {
    room: Store<RoomState>,
    /// What has changed in the list; what has come, and whether it is mine; what else is done to messages.
    rows: RefCell<Vec<RowChange>>,
    arrived: RefCell<Vec<(Arc<Message>, bool)>>,
    mends: RefCell<Vec<Arc<Message>>>,
    /// There is more in the journal than its readers were told.
    is_noted: Cell<bool>,
    /// It will be, with the next picture or after a rest; or its picture is being made.
    is_due: Cell<bool>,
    /// What ends the rest, while there is one: then it is due, and looked at again.
    timer: Cell<Option<TimeoutHandle>>,
    /// What I have just said, or done to a message, is to be drawn.
    is_mine: Cell<bool>,
    /// How many pictures there were; when the last one was there, on the clock of [`clock`], and how many milliseconds it took.
    pictures: Cell<usize>,
    picture: Cell<(f64, f64)>,
    /// When something was written last that is not sent yet.
    wrote: Cell<Option<f64>>,
    /// When something was drawn last, while there are rows that are left out.
    drawn: Cell<Option<f64>>,
    own: Weak<Self>,
}

impl Drawing {
    pub(super) fn of(room: Store<RoomState>) -> Rc<Self> {
        Rc::new_cyclic(|own| Self {
            room,
            rows: RefCell::default(),
            arrived: RefCell::default(),
            mends: RefCell::default(),
            is_noted: Cell::default(),
            is_due: Cell::default(),
            timer: Cell::default(),
            is_mine: Cell::default(),
            pictures: Cell::default(),
            picture: Cell::default(),
            wrote: Cell::default(),
            drawn: Cell::default(),
            own: own.clone(),
        })
    }

    /// Something was written.
    pub(super) fn wrote(&self) {
        self.wrote.set(Some(clock()));
    }

    /// Keeps a change for the next picture; gives back what has nothing to do with the list.
    pub(super) fn take(&self, change: Change) -> Option<Change> {
        match change {
            Change::Row(change) => {
                if matches!(&change, RowChange::Inserted { row, .. } if row.status != Status::Sent)
                {
                    self.sent();
                }
                self.rows.borrow_mut().push(change);
            }
            Change::Arrived { message, .. } if message.mends().is_some() => {
                self.mends.borrow_mut().push(message);
            }
            // Whether it is seen is known with the picture: of scrolling the browser tells right before.
            Change::Arrived { message, mine } => self.arrived.borrow_mut().push((message, mine)),
            Change::Happened(what) => {
                self.room.journal().write_untracked().note(what, now());
                self.is_noted.set(true);
            }
            other => {
                if matches!(other, Change::Taken { .. }) {
                    self.sent();
                }
                return Some(other);
            }
        }
        None
    }

    /// Something of mine is on its way, or has arrived.
    fn sent(&self) {
        self.is_mine.set(true);
        self.wrote.set(None);
    }

    fn is_drawn(&self) -> bool {
        self.rows.borrow().is_empty()
            && self.arrived.borrow().is_empty()
            && self.mends.borrow().is_empty()
            && !self.is_noted.get()
    }

    /// Has it drawn with the next picture: what comes and goes in between is never drawn. After one that took long there is
    /// time for all else, keys above all.
    pub(super) fn soon(&self) {
        if self.is_drawn() {
            return;
        }
        // Of a page that nobody sees there are no pictures.
        if is_hidden() || self.rows.borrow().len() > UNDRAWN {
            return self.draw();
        }
        let is_due = self.is_due.replace(true);
        match self.timer.take() {
            // It rests no longer.
            Some(timer) if self.is_mine.get() => timer.clear(),
            timer if is_due => return self.timer.set(timer),
            _ => {}
        }
        match self.rest() {
            left if left > Duration::ZERO => {
                let again = self.later(|drawing| {
                    drawing.timer.set(None);
                    drawing.is_due.set(false);
                    drawing.soon();
                });
                // Who writes now may leave off before.
                let timer = set_timeout_with_handle(again, left.min(WRITING));
                self.timer.set(timer.ok());
            }
            _ => request_animation_frame(self.later(Self::draw)),
        }
    }

    /// For how long all else has its turn.
    fn rest(&self) -> Duration {
        if self.is_mine.get() {
            return Duration::ZERO;
        }
        let now = clock();
        let (at, took) = self.picture.get();
        let rest = |(share, most): (f64, f64), took: f64| (share * took).min(most);
        let writes = self.wrote.get().is_some_and(|at| now - at < WRITING.as_secs_f64() * 1_000.0);
        let of_keys = if writes { rest(REST_OF_KEYS, took - FRAME) } else { 0.0 };
        let left = at + rest(REST, took).max(of_keys) - now;
        Duration::from_secs_f64(left.max(0.0) / 1_000.0)
    }

    fn draw(&self) {
        if self.is_drawn() {
            return;
        }
        let (began, is_seen) = (clock(), !is_hidden());
        self.is_due.set(true);
        self.is_mine.set(false);
        self.timer.take().iter().for_each(TimeoutHandle::clear);
        let arrived = self.arrived.take();
        if !arrived.is_empty() {
            arrive(self.room, arrived);
        }
        if self.is_noted.take() {
            self.room.journal().update(|_| ());
        }
        let rows = self.rows.take();
        if !rows.is_empty() {
            self.leave_out(&rows, began);
            apply_rows(self.room, rows);
        }
        self.mends.take().iter().for_each(|by| mend_around(self.room, by));
        let picture = self.pictures.get() + 1;
        self.pictures.set(picture);
        // Its turn comes when the picture is there, if that is still the last one. Timers of a page that nobody sees are late.
        let shown = self.later(move |drawing| {
            if drawing.pictures.get() == picture {
                let took = if is_seen { clock() - began } else { 0.0 };
                drawing.picture.set((clock(), took));
                drawing.is_due.set(false);
                drawing.fill();
                drawing.soon();
            }
        });
        set_timeout(shown, Duration::ZERO);
    }

    /// Of a list to whose end many come at once only the end is drawn, and the rest when nothing has come for a while. Nothing
    /// goes from under somebody's eyes or hands.
    fn leave_out(&self, changes: &[RowChange], now: f64) {
        let is_new = |change: &&RowChange| matches!(change, RowChange::Inserted { .. });
        let is_read = !self.room.at_end().get_untracked()
            || self.room.older().with_untracked(|older| !older.is_empty())
            || has_focus("#log .messages *");
        if changes.iter().filter(is_new).count() > MANY && !is_read {
            self.room.tail().set(screenful());
        }
        let is_whole = self.room.tail().get_untracked() == usize::MAX;
        if !is_whole && self.drawn.replace(Some(now)).is_none() {
            set_timeout(self.later(Self::draw_rest), CALM);
        }
    }

    /// Draws more where what is drawn is lower than it was thought to be.
    fn fill(&self) {
        let Some(tail) = self.room.tail().try_get_untracked() else { return };
        if tail != usize::MAX && heights().is_some_and(|(log, list, _)| list < log) {
            draw_more(self.room, tail.saturating_add(screenful()));
        }
    }

    /// Draws more of what was left out, if it is calm, until all is drawn.
    fn draw_rest(&self) {
        let Some(tail) = self.room.tail().try_get_untracked() else { return };
        let is_calm = |drawn| clock() - drawn >= CALM.as_secs_f64() * 1_000.0;
        if self.rows.borrow().is_empty() && self.drawn.get().is_none_or(is_calm) {
            draw_more(self.room, tail.saturating_add(MORE));
        }
        match self.room.tail().get_untracked() {
            usize::MAX => self.drawn.set(None),
            _ => set_timeout(self.later(Self::draw_rest), CALM),
        }
    }

    /// Does that, if the page is still there then.
    fn later(&self, act: impl FnOnce(&Self) + 'static) -> impl FnOnce() + 'static {
        let own = self.own.clone();
        move || {
            if let Some(drawing) = own.upgrade() {
                act(&drawing);
            }
        }
    }
}

/// How high the log is and how high its list, in pixels of CSS, and how many rows that has.
fn heights() -> Option<(f64, f64, f64)> {
    let log = document().get_element_by_id("log")?;
    let list = log.query_selector(".messages").ok()??;
    let [log, height] = [&log, &list].map(|element| f64::from(element.client_height()));
    Some((log, height, f64::from(list.child_element_count())))
}

/// As many rows as fill the log, if they are as high as those in it.
fn screenful() -> usize {
    heights().map_or(MANY, |(log, list, rows)| (log / (list / rows).max(ROW)) as usize + 2)
}
