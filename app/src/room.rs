//! What a room page shows: one store, given as context. The server fills it from what it renders; in the
//! browser the client's changes are the only ones ([`apply`], and [`apply_rows`](crate::rows::apply_rows)).

use std::sync::Arc;

use client::{Change, File, Line, Media, Party, Road, Transport, first_rows};
use common::{
    Audience, ErrorCode, Member, MemberId, Members, Message, Offset, Recovery, RoomName, StateKind,
};
use leptos::prelude::*;
use reactive_stores::Store;

use crate::{
    browser::{self, Denied, Source},
    journal::Journal,
    markup::names,
    page::{Me, RoomView},
    rows::{LiveRow, Past},
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
    /// Up to here it was said before the page was asked for: it is read, and nothing new.
    head: Offset,
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
            head: view.head,
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

/// Takes over messages that have come, in their order, each with whether it is mine: what there is to be seen of it.
pub(crate) fn arrive(room: Store<RoomState>, came: Vec<(Arc<Message>, bool)>) {
    let is_seen = room.at_end().get_untracked() && !browser::is_hidden();
    let me = room.me().with_untracked(|me| me.member.clone());
    let head = room.head().get_untracked();
    let (before, were_seen) = (room.unread().get_untracked(), room.all_seen().get_untracked());
    let (mut unread, mut all_seen) = (before, were_seen);
    room.arrived().update(|arrived| {
        for (message, mine) in came {
            if mine {
                unread = None;
                continue;
            }
            if message.offset <= head {
                continue;
            }
            // The line stands above the first that was not seen since all had been.
            if !is_seen && all_seen {
                unread = Some(message.offset);
            }
            all_seen = is_seen;
            arrived.count += 1;
            if calls(&message, &me) {
                arrived.call = Some(message.clone());
            }
            arrived.last = Some(message);
        }
    });
    if unread != before {
        room.unread().set(unread);
    }
    if all_seen != were_seen {
        room.all_seen().set(all_seen);
    }
}

/// Takes over what has changed; rows have [`apply_rows`](crate::rows::apply_rows), messages [`arrive`].
pub(crate) fn apply(room: Store<RoomState>, change: Change) {
    match change {
        Change::Line(line) => room.line().set(line),
        Change::Transport { transport, chosen } => {
            room.transport().set(transport);
            room.chosen().set(chosen);
        }
        Change::Ready(ready) => room.ready().set(ready),
        // In another life of the log the numbers may begin anew.
        Change::Hello(hello) if hello.recovery == Recovery::Reset => room.head().set(Offset(0)),
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
        // What is drawn with the list has its own ways. Rows show how far a message has got; what else is refused, nobody has
        // asked for.
        Change::Row(_)
        | Change::Arrived { .. }
        | Change::Happened(_)
        | Change::Roster(StateKind::Direct, _)
        | Change::Hello(_)
        | Change::Taken { .. }
        | Change::Parked { .. }
        | Change::Refused(_) => {}
    }
}

/// Whether a message calls me: it names me, or is for some alone.
fn calls(message: &Message, me: &Member) -> bool {
    let is_private = matches!(message.to, Audience::Only(_) | Audience::Own);
    is_private || message.value.as_str().is_some_and(|text| names(text, me.name.as_str()))
}
