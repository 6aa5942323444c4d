//! What a room page shows: one store, given as context. The server fills it from what it renders; in the
//! browser the client's changes are the only ones ([`apply`], [`apply_rows`]).
//!
//! The rule to keep: a change touches what has changed. Whoever reads one row hears nothing of another.

use std::sync::Arc;

use client::{Change, File, Line, Media, Party, Road, Row, RowChange, Transport, first_rows};
use common::{ErrorCode, Member, Members, Message, RoomName, StateKind};
use leptos::prelude::*;
use reactive_stores::Store;

use crate::{
    browser::{Denied, Source},
    journal::Journal,
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
    /// Who is here.
    members: Members,
    /// Who is writing.
    typing: Members,
    /// Who has the page open and does not look at it.
    idle: Members,
    /// Whom what is written now is for, if for one alone.
    addressee: Option<Member>,
    /// How that would go.
    road: Road,
    /// Files that go from browser to browser.
    files: Vec<File>,
    /// Who is in the room's call, whether or not I am.
    in_call: Members,
    /// The call, as far as I am in it.
    call: CallState,
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
            members: view.members.clone(),
            typing: Members::default(),
            idle: Members::default(),
            addressee: None,
            road: Road::Hub,
            files: Vec::new(),
            in_call: Members::default(),
            call: CallState::default(),
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
        Change::Arrived { mine: true, .. } => {}
        Change::Arrived { message, mine: false } => room.arrived().update(|arrived| {
            arrived.count += 1;
            arrived.last = Some(message);
        }),
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
    let mut changed = Vec::new();
    room.rows().update(|rows| {
        for change in changes {
            match change {
                RowChange::Inserted { at, row } => rows.insert(at, row.into()),
                RowChange::Changed { at, row } => changed.push((rows[at].row.clone(), row)),
                RowChange::Removed { at } => drop(rows.remove(at)),
            }
        }
    });
    changed.into_iter().for_each(|(live, row)| live.set(row));
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use client::Status;
    use common::{Audience, MemberId, MemberName, MessageId, Offset};

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
        }
    }

    fn store(messages: Vec<Message>) -> Store<RoomState> {
        let view = RoomView {
            room: RoomName::lobby(),
            messages,
            position: "e:0".parse().unwrap(),
            members: Members::default(),
            form_id: MessageId::parse("f").unwrap(),
            refused: None,
            ice: None,
        };
        Store::new(RoomState::new(&view, Me { member: ada(), named: false }))
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
}
