//! What a room page shows: one store, given as context. The server fills it from what it renders; in the
//! browser the client's changes are the only ones ([`apply`], [`apply_rows`]).
//!
//! The rule to keep: a change touches what has changed. Whoever reads one row hears nothing of another.

use std::{collections::HashMap, sync::Arc};

use client::{
    Change, File, Line, Media, Party, Road, Row, RowChange, Status, Transport, first_rows,
};
use common::{
    Audience, ErrorCode, Member, MemberId, Members, Mend, Mends, Message, Offset, RoomName,
    StateKind,
};
use leptos::prelude::*;
use reactive_stores::Store;

use crate::{
    browser::{self, Denied, Source},
    journal::Journal,
    markup::names,
    page::{Me, RoomView},
};

/// A room as its page knows it.
#[derive(Clone, Debug, Store)]
pub(crate) struct RoomState {
    /// Its name.
    name: RoomName,
    /// Who I am.
    me: Me,
    /// What is said, then what is still on its way.
    rows: Vec<LiveRow>,
    /// Rows above those: what somebody went back to, and what the client has let go of while it is read.
    older: Vec<LiveRow>,
    /// How many rows from the end on are drawn: fewer than there are, while more come than there is time for.
    tail: usize,
    /// How it is with messages that are older than all rows.
    past: Past,
    /// One may read here, and not write.
    read_only: bool,
    /// The newest is seen, and followed.
    at_end: bool,
    /// Who is here.
    members: Members,
    /// Who is writing.
    typing: Members,
    /// Who has the page open and does not look at it.
    idle: Members,
    /// Whom what is written now is for.
    whom: Whom,
    /// How that would go.
    road: Road,
    /// Files that go from browser to browser.
    files: Vec<File>,
    /// Who is in the room's call, whether or not I am.
    in_call: Members,
    /// The call, as far as I am in it.
    call: CallState,
    /// The message of mine that is being edited.
    editing: Option<Arc<Message>>,
    /// The first message that came while nobody looked.
    unread: Option<Offset>,
    /// Everything that has come was seen.
    all_seen: bool,
    /// What was just done, for those who can't see it.
    notice: &'static str,
    /// How things are with the server.
    line: Line,
    /// The browser says that it has no network at all.
    offline: bool,
    /// The transport that is used.
    transport: Transport,
    /// The one that the person chose, if they did.
    chosen: Option<Transport>,
    /// The state of its connection: a number of [`Transport::states`].
    ready: u16,
    /// What others have said since the page was opened.
    arrived: Arrived,
    /// What the inspector shows.
    journal: Journal,
}

/// Whom something is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Whom {
    /// Everyone in the room.
    #[default]
    All,
    /// Everyone but me.
    Others,
    /// Only me.
    Own,
    /// Only these, of whom there is at least one, and me.
    Some(Vec<Member>),
}

impl Whom {
    /// Those, or everyone if there are none.
    pub(crate) fn some(members: Vec<Member>) -> Self {
        if members.is_empty() { Self::All } else { Self::Some(members) }
    }

    /// The only one.
    pub(crate) fn only(&self) -> Option<&Member> {
        match self {
            Self::Some(members) => members.first().filter(|_| members.len() == 1),
            Self::All | Self::Others | Self::Own => None,
        }
    }

    /// Those who are named.
    pub(crate) fn named(&self) -> &[Member] {
        match self {
            Self::Some(members) => members,
            Self::All | Self::Others | Self::Own => &[],
        }
    }

    /// As a message has it, of `me`: it is mine, too, so that it is there in my other pages, and after a reload.
    pub(crate) fn audience(&self, me: &MemberId) -> Audience {
        match self {
            Self::All => Audience::All,
            Self::Others => Audience::Others,
            Self::Own => Audience::Only(vec![me.to_string()]),
            Self::Some(members) => {
                let ids = members.iter().map(|member| &member.id).chain([me]);
                Audience::Only(ids.map(ToString::to_string).collect())
            }
        }
    }
}

/// What a page shows of the call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CallState {
    /// The others; none, if I am not in it.
    pub(crate) parties: Option<Vec<Party>>,
    /// What they hear and see of me.
    pub(crate) mine: Media,
    /// What the browser is asked for now.
    pub(crate) asking: Option<Source>,
    /// What there is nothing of, and why.
    pub(crate) denied: Option<(Source, Denied)>,
    /// There were as many in it as there may be.
    pub(crate) is_full: bool,
}

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

/// Messages of others that came while the page was open.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arrived {
    /// How many.
    pub(crate) count: usize,
    /// The last of them.
    pub(crate) last: Option<Arc<Message>>,
    /// The last of them that names me, or is for me alone.
    pub(crate) call: Option<Arc<Message>>,
}

impl From<Row> for LiveRow {
    fn from(row: Row) -> Self {
        Self { key: row.key, row: ArcRwSignal::new(row) }
    }
}

impl RoomState {
    /// What the server rendered.
    pub(crate) fn new(view: &RoomView, me: Me) -> Self {
        Self {
            name: view.room.clone(),
            me,
            rows: first_rows(view.messages.clone()).into_iter().map(LiveRow::from).collect(),
            older: Vec::new(),
            tail: usize::MAX,
            past: if view.older { Past::More } else { Past::None },
            read_only: view.read_only,
            at_end: !view.past,
            members: view.members.clone(),
            typing: Members::default(),
            idle: Members::default(),
            whom: Whom::All,
            road: Road::Hub,
            files: Vec::new(),
            in_call: Members::default(),
            call: CallState::default(),
            editing: None,
            unread: None,
            all_seen: true,
            notice: "",
            line: Line::Idle,
            offline: false,
            transport: Transport::WebSocket,
            chosen: None,
            ready: 3,
            arrived: Arrived::default(),
            journal: Journal::default(),
        }
    }
}

/// The state of the room that this page shows.
pub(crate) fn room() -> Store<RoomState> {
    expect_context()
}

/// Takes over what has changed `at` milliseconds since 1970; rows have [`apply_rows`].
pub(crate) fn apply(room: Store<RoomState>, change: Change, at: f64) {
    match change {
        Change::Line(line) => room.line().set(line),
        Change::Transport { transport, chosen } => {
            room.transport().set(transport);
            room.chosen().set(chosen);
        }
        Change::Ready(ready) => room.ready().set(ready),
        Change::Terms(terms) => {
            if room.read_only().get_untracked() != terms.read_only {
                room.read_only().set(terms.read_only);
            }
        }
        Change::Me(member) => room.me().update(|me| me.member = member),
        Change::Renamed(_) => room.me().update(|me| me.named = true),
        Change::Roster(StateKind::Members, members) => room.members().set(members),
        Change::Roster(StateKind::Typing, typing) => room.typing().set(typing),
        Change::Roster(StateKind::Idle, idle) => room.idle().set(idle),
        Change::Road(road) => room.road().set(road),
        Change::Files(files) => room.files().set(files),
        Change::Roster(StateKind::Call, members) => room.in_call().set(members),
        Change::Call(parties) => room.call().update(|call| call.parties = parties),
        Change::Refused(refusal) if refusal.code == ErrorCode::CallFull => {
            room.call().update(|call| call.is_full = true);
        }
        // What is done to another is seen there.
        Change::Arrived { message, .. } if message.mends().is_some() => {}
        Change::Arrived { mine: true, .. } => room.unread().set(None),
        Change::Arrived { message, mine: false } => {
            let is_seen = room.at_end().get_untracked() && !browser::is_hidden();
            // The line stands above the first that was not seen since all had been.
            if !is_seen && room.all_seen().get_untracked() {
                room.unread().set(Some(message.offset));
            }
            room.all_seen().set(is_seen);
            let calls = room.me().with_untracked(|me| calls(&message, &me.member));
            room.arrived().update(|arrived| {
                arrived.count += 1;
                if calls {
                    arrived.call = Some(message.clone());
                }
                arrived.last = Some(message);
            });
        }
        Change::Happened(what) => room.journal().update(|journal| journal.note(what, at)),
        // Rows show how far a message has got; what else is refused, nobody has asked for.
        Change::Row(_)
        | Change::Roster(StateKind::Direct, _)
        | Change::Hello(_)
        | Change::Taken { .. }
        | Change::Parked { .. }
        | Change::Refused(_) => {}
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
    // What was never sent was discarded.
    let is_let_go = |(at, gone): &(usize, LiveRow)| {
        *at == 0 && gone.row.with_untracked(|row| row.status == Status::Sent)
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
    // Each that is still there is told once.
    let mut changed: HashMap<u64, _> =
        changed.into_iter().map(|(live, row)| (row.key, (live, row))).collect();
    room.rows().with_untracked(|rows| {
        let still_there = rows.iter().filter_map(|row| changed.remove(&row.key));
        still_there.for_each(|(live, row)| live.set(row));
    });
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
    let Some(last_at) = messages.last().map(|message| message.at) else {
        return room.past().set(Past::None);
    };
    let mut rows: Vec<LiveRow> = first_rows(messages)
        .into_iter()
        .map(|row| {
            // The client counts its keys from 0 on.
            let offset = row.message.as_ref().map_or(0, |message| message.offset.0);
            Row { key: u64::MAX - offset, ..row }.into()
        })
        .collect();
    let first = |rows: &Vec<LiveRow>| rows.first().map(|first| first.row.clone());
    let next = room.older().with_untracked(first).or_else(|| room.rows().with_untracked(first));
    if let Some(next) = next {
        next.update(|next| next.before = next.message.as_ref().map(|_| last_at));
    }
    room.older().update(|older| {
        rows.append(older);
        *older = rows;
    });
    room.past().set(Past::Placing);
}

/// Whether a message calls me: it names me, or is for some alone.
fn calls(message: &Message, me: &Member) -> bool {
    let is_private = matches!(message.to, Audience::Only(_) | Audience::Own);
    is_private || message.value.as_str().is_some_and(|text| names(text, me.name.as_str()))
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
        first.update(|first| (first.grouped, first.before) = (false, None));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use common::{MemberName, MessageId, Publish};

    use super::*;

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
        show_older(room, Offset(2), vec![message(0), message(1)]);
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
