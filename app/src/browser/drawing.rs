//! When the list of a room's page is drawn, and how much of it: as often, and as much, as leaves time for all else.

use std::{
    cell::{Cell, RefCell},
    rc::{Rc, Weak},
    sync::Arc,
    time::Duration,
};

use client::{Change, RowChange};
use common::Message;
use leptos::prelude::*;
use reactive_stores::Store;

use super::{clock, has_focus, is_hidden, now};
use crate::{
    room::{RoomState, RoomStateStoreFields, apply},
    rows::{apply_rows, draw_more, mend_around},
};

/// How many changes of rows wait for the next picture at the most.
const UNDRAWN: usize = 1_000;
/// For each millisecond that a picture takes, how many are left for all else before the next one of the list.
const REST: f64 = 2.0;
/// At the most so many milliseconds.
const LONGEST_REST: f64 = 500.0;
/// How many rows that come at once are too many to draw all of the list.
const MANY: usize = 16;
/// How high the lowest row is, in pixels of CSS.
const ROW: f64 = 22.0;
/// How long nothing comes before the rest of the list is drawn.
const CALM: Duration = Duration::from_millis(500);

/// What is to be drawn.
pub(super) struct Drawing {
    room: Store<RoomState>,
    /// What has changed in the list; what has come or happened, and when; what else is done to messages.
    rows: RefCell<Vec<RowChange>>,
    happened: RefCell<Vec<(Change, f64)>>,
    mends: RefCell<Vec<Arc<Message>>>,
    /// It will be, with the next picture.
    is_due: Cell<bool>,
    /// Until then all else has its turn, on the clock of [`clock`].
    rest: Cell<f64>,
    /// When something was drawn last, while there are rows that are left out.
    drawn: Cell<Option<f64>>,
    own: Weak<Self>,
}

impl Drawing {
    pub(super) fn of(room: Store<RoomState>) -> Rc<Self> {
        Rc::new_cyclic(|own| Self {
            room,
            rows: RefCell::default(),
            happened: RefCell::default(),
            mends: RefCell::default(),
            is_due: Cell::default(),
            rest: Cell::default(),
            drawn: Cell::default(),
            own: own.clone(),
        })
    }

    /// Keeps a change for the next picture; gives back what has nothing to do with the list.
    pub(super) fn take(&self, change: Change) -> Option<Change> {
        match change {
            Change::Row(change) => self.rows.borrow_mut().push(change),
            Change::Arrived { message, .. } if message.mends().is_some() => {
                self.mends.borrow_mut().push(message);
            }
            // Whether it is seen is known with the picture: of scrolling the browser tells right before.
            Change::Arrived { .. } | Change::Happened(_) => {
                self.happened.borrow_mut().push((change, now()));
            }
            other => return Some(other),
        }
        None
    }

    /// Has it drawn with the next picture: what comes and goes in between is never drawn. After one that took long there is
    /// time for all else, keys above all.
    pub(super) fn soon(&self) {
        let is_drawn = self.rows.borrow().is_empty()
            && self.happened.borrow().is_empty()
            && self.mends.borrow().is_empty();
        if is_drawn {
            return;
        }
        // Of a page that nobody sees there are no pictures.
        if is_hidden() || self.rows.borrow().len() > UNDRAWN {
            return self.draw();
        }
        if self.is_due.replace(true) {
            return;
        }
        let draw = self.later(Self::draw);
        match self.rest.get() - clock() {
            left if left > 0.0 => {
                let wait = Duration::from_secs_f64(left / 1_000.0);
                set_timeout(move || request_animation_frame(draw), wait);
            }
            _ => request_animation_frame(draw),
        }
    }

    fn draw(&self) {
        self.is_due.set(false);
        let began = clock();
        self.happened.take().into_iter().for_each(|(change, at)| apply(self.room, change, at));
        let rows = self.rows.take();
        if !rows.is_empty() {
            self.leave_out(&rows, began);
            apply_rows(self.room, rows);
        }
        self.mends.take().iter().for_each(|by| mend_around(self.room, by));
        // Its turn comes when the picture is there.
        let rest = self.later(move |drawing| {
            let rest = REST * (clock() - began);
            drawing.rest.set(clock() + rest.min(LONGEST_REST));
        });
        set_timeout(rest, Duration::ZERO);
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

    /// Draws another screenful of what was left out, if it is calm, until all is drawn.
    fn draw_rest(&self) {
        let Some(tail) = self.room.tail().try_get_untracked() else { return };
        let is_calm = |drawn| clock() - drawn >= CALM.as_secs_f64() * 1_000.0;
        if self.drawn.get().is_none_or(is_calm) {
            draw_more(self.room, tail.saturating_add(screenful()));
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

/// As many rows as fill the window, whatever its height.
fn screenful() -> usize {
    let height = window().inner_height().ok().and_then(|height| height.as_f64());
    height.map_or(1, |height| (height / ROW) as usize + 1)
}
