//! The rows of a room's page: what is said, oldest first.
//!
//! The rule to keep: a change touches what has changed. Whoever reads one row hears nothing of another.

use std::{collections::HashMap, sync::Arc};

use client::{Row, RowChange, Status, first_rows};
use common::{Mend, Mends, Message, Offset};
use leptos::prelude::*;
use reactive_stores::Store;

use crate::{
    browser,
    room::{RoomState, RoomStateStoreFields},
};

/// Whether there are messages that are older than all rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Past {
    /// There are none.
    None,
    /// There may be some.
    More,
    /// They are asked for.
    Coming,
    /// Some are put above the rows: until that has been drawn.
    Placing,
}

/// How many older rows are shown at the most: a page that follows a lively room while somebody reads above.
const OLDER: usize = 2_000;

/// One line of what is said. What it is may change, of which only those hear who read this one.
#[derive(Clone, Debug)]
pub(crate) struct LiveRow {
    pub(crate) key: u64,
    pub(crate) row: ArcRwSignal<Row>,
}

impl From<Row> for LiveRow {
    fn from(row: Row) -> Self {
        Self { key: row.key, row: ArcRwSignal::new(row) }
    }
}

/// Takes over how rows have changed: the list is told once, and each row that is not what it was.
pub(crate) fn apply_rows(room: Store<RoomState>, changes: Vec<RowChange>) {
    let (mut changed, mut gone) = (Vec::new(), Vec::new());
    let is_read_above =
        !room.at_end().get_untracked() || !room.older().with_untracked(Vec::is_empty);
    room.rows().update(|rows| {
        for change in changes {
            match change {
                RowChange::Inserted { at, row } => {
                    // One that moves stays what it is: whoever shows it reads that.
                    match gone.iter().position(|(_, gone): &(_, LiveRow)| gone.key == row.key) {
                        Some(place) => {
                            let (_, moved) = gone.remove(place);
                            changed.push((moved.row.clone(), row));
                            rows.insert(at, moved);
                        }
                        None => rows.insert(at, row.into()),
                    }
                }
                RowChange::Changed { at, mut row } => {
                    let live = &rows[at].row;
                    // The row above the client's first one is still there.
                    if at == 0 && is_read_above {
                        live.with_untracked(|is| {
                            (row.grouped, row.before) = (is.grouped, is.before);
                        });
                    }
                    changed.push((live.clone(), row));
                }
                RowChange::Removed { at } => gone.push((at, rows.remove(at))),
            }
        }
    });
    let changed: HashMap<u64, _> =
        changed.into_iter().map(|(live, row)| (row.key, (live, row))).collect();
    // What was never sent was discarded.
    let is_let_go = |(at, gone): &(usize, LiveRow)| {
        let is_sent = |row: &Row| row.status == Status::Sent;
        let changed = changed.get(&gone.key).map(|(_, row)| is_sent(row));
        *at == 0 && changed.unwrap_or_else(|| gone.row.with_untracked(is_sent))
    };
    let let_go: Vec<_> = gone.into_iter().filter(is_let_go).map(|(_, gone)| gone).collect();
    if !let_go.is_empty() {
        if room.past().get_untracked() == Past::None {
            room.past().set(Past::More);
        }
        // Nothing goes from under somebody's eyes.
        if is_read_above {
            room.older().update(|older| {
                older.extend(let_go);
                older.drain(..older.len().saturating_sub(OLDER));
            });
        }
    }
    // Each is told once. Of one that is gone nobody hears.
    changed.into_values().for_each(|(live, row)| live.set(row));
}

/// The rows that are drawn.
pub(crate) fn drawn(room: Store<RoomState>) -> Vec<LiveRow> {
    let (mut drawn, tail) = (room.older().get(), room.tail().get());
    room.rows().with(|rows| drawn.extend_from_slice(&rows[rows.len().saturating_sub(tail)..]));
    drawn
}

/// Draws so many rows from the end on, which are more than were.
pub(crate) fn draw_more(room: Store<RoomState>, tail: usize) {
    if room.tail().get_untracked() == usize::MAX {
        return;
    }
    let is_all = room.rows().with_untracked(|rows| rows.len() <= tail);
    room.tail().set(if is_all { usize::MAX } else { tail });
    let past = room.past().get_untracked();
    if matches!(past, Past::None | Past::More) {
        room.past().set(Past::Placing);
        browser::after_drawing(move || {
            if room.past().try_get_untracked() == Some(Past::Placing) {
                room.past().set(past);
            }
        });
    }
}

/// The offset of the oldest row that is in the log. None, if there is a gap: above it may be another life of the log.
pub(crate) fn oldest(room: Store<RoomState>) -> Option<Offset> {
    let is_gap = |row: &LiveRow| row.row.with_untracked(|row| row.message.is_none());
    if room.rows().with_untracked(|rows| rows.iter().any(is_gap)) {
        return None;
    }
    let offset = |row: &LiveRow| {
        row.row.with_untracked(|row| {
            let said = row.message.as_ref().filter(|_| !row.direct && row.status == Status::Sent);
            said.map(|message| message.offset)
        })
    };
    let of = |rows: &Vec<LiveRow>| rows.iter().find_map(offset);
    room.older().with_untracked(of).or_else(|| room.rows().with_untracked(of))
}

/// Puts messages above all rows, oldest first, none if there are no more: those before the row that was the oldest when they
/// were asked for. If it is not any more they don't belong there.
pub(crate) fn show_older(room: Store<RoomState>, before: Offset, messages: Vec<Message>) {
    if oldest(room) != Some(before) {
        return room.past().set(Past::More);
    }
    let rows = first_rows(messages);
    let Some(last) = rows.last().cloned() else { return room.past().set(Past::None) };
    // The client counts its keys from 0 on.
    let offset = |row: &Row| row.message.as_ref().map_or(0, |message| message.offset.0);
    let keyed = rows.into_iter().map(|row| Row { key: u64::MAX - offset(&row), ..row });
    let mut rows: Vec<LiveRow> = keyed.map(LiveRow::from).collect();
    let first = |rows: &Vec<LiveRow>| rows.first().map(|first| first.row.clone());
    let next = room.older().with_untracked(first).or_else(|| room.rows().with_untracked(first));
    if let Some(next) = next {
        next.update(|next| _ = next.follow(Some(&last)));
    }
    room.older().update(|older| {
        rows.append(older);
        *older = rows;
    });
    room.past().set(Past::Placing);
}

/// Does to what is shown beside the client's rows what `by` does to the message it names: to a row above them, and to what
/// is being edited. To be called when the client's rows are as they are now.
pub(crate) fn mend_around(room: Store<RoomState>, by: &Message) {
    let Some(Mends { of, how }) = by.mends() else { return };
    let is_edited = |said: &Option<Arc<Message>>| said.as_ref().is_some_and(|said| said.id == of);
    if how == Mend::Retract && room.editing().with_untracked(is_edited) {
        room.editing().set(None);
    }
    let is_it = |row: &LiveRow| {
        row.row.with_untracked(|row| row.message.as_ref().is_some_and(|said| said.id == of))
    };
    let Some(at) = room.older().with_untracked(|older| older.iter().position(is_it)) else {
        return;
    };
    if how == Mend::Retract {
        return room.older().update(|older| _ = older.remove(at));
    }
    let row = room.older().with_untracked(|older| older[at].row.clone());
    row.update(|row| {
        if let Some(said) = &mut row.message {
            Arc::make_mut(said).mend(by);
        }
    });
}

/// Shows the newest rows alone again.
pub(crate) fn forget_older(room: Store<RoomState>) {
    if room.older().with_untracked(Vec::is_empty) {
        return;
    }
    room.older().set(Vec::new());
    room.past().set(Past::More);
    if let Some(first) =
        room.rows().with_untracked(|rows| rows.first().map(|first| first.row.clone()))
    {
        first.update(|first| _ = first.follow(None));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use common::{Audience, Member, MemberId, MemberName, Members, MessageId, Publish, RoomName};

    use super::*;
    use crate::page::{Me, RoomView};

    fn ada() -> Member {
        Member { id: MemberId::parse("a").unwrap(), name: MemberName::parse("Ada").unwrap() }
    }

    fn message(n: u64) -> Message {
        Message {
            offset: Offset(n),
            value: "hi".into(),
            id: MessageId::parse(&n.to_string()).unwrap(),
            room: RoomName::lobby(),
            at: 0,
            from: ada(),
            event: None,
            to: Audience::All,
            of: None,
            edited: None,
            reactions: Vec::new(),
        }
    }

    fn store(messages: Vec<Message>) -> Store<RoomState> {
        let view = RoomView {
            room: RoomName::lobby(),
            origin: "http://localhost".to_owned(),
            messages,
            older: false,
            past: false,
            missing: false,
            read_only: false,
            position: "e:0".parse().unwrap(),
            head: Offset(0),
            members: Members::default(),
            form_id: MessageId::parse("f").unwrap(),
            refused: None,
            ice: None,
        };
        Store::new(RoomState::new(&view, Me { member: ada(), named: false, asked: false }))
    }

    fn row(key: u64) -> Row {
        let message = Some(message(key).into());
        Row { key, message, status: Status::Sending, direct: false, grouped: true, before: None }
    }

    #[test]
    fn a_new_row_and_a_change_of_another_wake_nobody_who_reads_one() {
        let owner = Owner::new();
        owner.set();
        let room = store(vec![message(0), message(1)]);
        let reads = Arc::new(AtomicUsize::new(0));
        let counted = reads.clone();
        let row_0 = room.rows().with(|rows| rows[0].row.clone());
        let first = Memo::new(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            row_0.with(|row| row.grouped)
        });
        let keys = Memo::new(move |_| room.rows().with(Vec::len));
        assert_eq!((first.get_untracked(), keys.get_untracked()), (false, 2));

        apply_rows(room, vec![RowChange::Inserted { at: 2, row: row(7) }]);
        apply_rows(room, vec![RowChange::Changed { at: 1, row: row(1) }]);
        assert_eq!((first.get_untracked(), keys.get_untracked()), (false, 3));
        assert_eq!(reads.load(Ordering::Relaxed), 1);

        apply_rows(room, vec![RowChange::Changed { at: 0, row: row(0) }]);
        assert!(first.get_untracked());
        apply_rows(room, vec![RowChange::Removed { at: 0 }]);
        assert_eq!(keys.get_untracked(), 2);
    }

    #[test]
    fn a_row_that_moves_stays_the_row_that_it_is() {
        let owner = Owner::new();
        owner.set();
        let room = store(vec![message(0), message(1)]);
        apply_rows(room, vec![RowChange::Inserted { at: 2, row: row(7) }]);
        let shown = drawn(room)[2].row.clone();
        assert_eq!(shown.get_untracked().status, Status::Sending);
        let sent = Row { status: Status::Sent, ..row(7) };
        let moved = RowChange::Inserted { at: 1, row: sent.clone() };
        apply_rows(room, vec![RowChange::Removed { at: 2 }, moved]);
        assert_eq!(shown.get_untracked(), sent);
        assert_eq!(drawn(room)[1].row.get_untracked(), sent);
    }

    #[test]
    fn of_the_list_as_much_is_drawn_as_there_is_time_for() {
        let owner = Owner::new();
        owner.set();
        let room = store((0..10).map(message).collect());
        let count = || drawn(room).len();
        assert_eq!(count(), 10);
        room.tail().set(3);
        apply_rows(room, vec![RowChange::Inserted { at: 10, row: row(77) }]);
        assert_eq!(drawn(room).iter().map(|row| row.key).collect::<Vec<_>>()[2], 77);
        assert_eq!(count(), 3);
        // In the browser more are drawn; here only their number is known.
        room.past().set(Past::Coming);
        draw_more(room, 6);
        assert_eq!(count(), 6);
        draw_more(room, 12);
        assert_eq!((count(), room.tail().get_untracked()), (11, usize::MAX));
        draw_more(room, 12);
        assert_eq!(room.tail().get_untracked(), usize::MAX);
    }

    #[test]
    fn of_a_row_that_is_let_go_of_counts_what_it_was_last() {
        let owner = Owner::new();
        owner.set();
        let room = store(Vec::new());
        room.at_end().set(false);
        apply_rows(room, vec![RowChange::Inserted { at: 0, row: row(7) }]);
        let sent = Row { status: Status::Sent, ..row(7) };
        let changed = RowChange::Changed { at: 0, row: sent.clone() };
        apply_rows(room, vec![changed, RowChange::Removed { at: 0 }]);
        let older = room.older().with_untracked(|older| {
            older.iter().map(|row| row.row.get_untracked()).collect::<Vec<_>>()
        });
        assert_eq!(older, [sent]);
    }

    #[test]
    fn rows_the_client_lets_go_of_stay_while_somebody_reads_above() {
        let owner = Owner::new();
        owner.set();
        let room = store((0..3).map(message).collect());
        let keys = |rows: &Vec<LiveRow>| rows.iter().map(|row| row.key).collect::<Vec<_>>();
        let shown = || (room.older().with_untracked(keys), room.rows().with_untracked(keys));
        apply_rows(room, vec![RowChange::Removed { at: 0 }]);
        assert_eq!(shown(), (vec![], vec![1, 2]), "whoever is at the end reads nothing above");
        assert_eq!(room.past().get_untracked(), Past::More);

        room.at_end().set(false);
        apply_rows(room, vec![RowChange::Removed { at: 0 }]);
        assert_eq!(shown(), (vec![1], vec![2]));
        // What moves is not doubled, and what was discarded does not stay.
        let row = Row { status: Status::Sent, ..row(2) };
        let moved = vec![RowChange::Removed { at: 0 }, RowChange::Inserted { at: 0, row }];
        apply_rows(room, moved);
        apply_rows(room, vec![RowChange::Inserted { at: 0, row: self::row(9) }]);
        apply_rows(room, vec![RowChange::Removed { at: 0 }]);
        assert_eq!(shown(), (vec![1], vec![2]));

        assert_eq!(oldest(room), Some(Offset(1)));
        show_older(room, Offset(1), vec![message(0)]);
        assert_eq!(shown().0, [u64::MAX, 1]);
        assert_eq!(oldest(room), Some(Offset(0)));
        // Asked for twice, or before the page went back to its end.
        show_older(room, Offset(1), vec![message(0)]);
        assert_eq!(shown().0, [u64::MAX, 1]);
        forget_older(room);
        show_older(room, Offset(0), vec![message(7)]);
        assert_eq!(shown(), (vec![], vec![2]));
        show_older(room, Offset(2), Vec::new());
        assert_eq!(room.past().get_untracked(), Past::None);
        // What is done to a message is done wherever its row is.
        forget_older(room);
        room.past().set(Past::More);
        room.at_end().set(false);
        let goes_on =
            || room.rows().with_untracked(|rows| rows[0].row.with_untracked(|row| row.grouped));
        assert!(!goes_on());
        show_older(room, Offset(2), vec![message(0), message(1)]);
        assert!(goes_on(), "the same member said what is above it");
        let publish = Publish::mending(Mend::Edit, message(1).id, "edited".into());
        let Publish { value, event, of, .. } = publish;
        let edit = Message { value, event, of, ..message(9) };
        mend_around(room, &edit);
        let text = |row: &LiveRow| {
            row.row.with_untracked(|row| row.message.as_ref().unwrap().value.to_string())
        };
        let texts =
            || room.older().with_untracked(|older| older.iter().map(text).collect::<Vec<_>>());
        assert_eq!(texts(), [r#""hi""#, r#""edited""#]);
        let publish = Publish::mending(Mend::Retract, message(0).id, 0.into());
        let Publish { value, event, of, .. } = publish;
        let back = Message { value, event, of, ..message(10) };
        mend_around(room, &back);
        assert_eq!(texts(), [r#""edited""#]);
        // Nobody knows what is above a gap.
        let gap = Row { message: None, ..self::row(10) };
        apply_rows(room, vec![RowChange::Inserted { at: 1, row: gap }]);
        assert_eq!(oldest(room), None);
    }
}
