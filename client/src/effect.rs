//! What a [`Client`](crate::Client) wants done, and what it tells.

use std::sync::Arc;

use common::{
    Hello, Member, MemberName, Members, Message, MessageId, Offset, Refusal, SessionId, StateKind,
    Terms,
};

use crate::{
    File, FileEffect, LegId, LinkEffect, LinkId, Media, RequestId, Road, RowChange, Transport,
};

/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Open a connection: a WebSocket with the subprotocol `hubbub.v1`, or an event stream. For the
    /// other transports there is nothing to open, and this does not come.
    Open {
        /// What to call it.
        leg: LegId,
        /// [`Transport::WebSocket`] or [`Transport::Events`].
        transport: Transport,
        /// Where.
        url: String,
    },
    /// Make a request, and tell the answer. The body is JSON.
    Fetch {
        /// Whose request it is: closing that leg breaks it off.
        leg: LegId,
        /// What to call it.
        request: RequestId,
        /// `GET` or `POST`.
        method: Method,
        /// Where.
        url: String,
        /// What to post.
        body: Option<String>,
    },
    /// Send a text frame on a WebSocket that is open.
    Send {
        /// Which.
        leg: LegId,
        /// The frame.
        text: String,
    },
    /// Close a connection if there is one, break off the requests of this leg, and let go of all it
    /// had. Comes once for each leg; what it still says is not heard.
    Close {
        /// Which.
        leg: LegId,
    },
    /// Do something with a connection to another browser. Only where [`Setup::direct`] is on.
    ///
    /// [`Setup::direct`]: crate::Setup::direct
    Link {
        /// With which.
        link: LinkId,
        /// What.
        what: LinkEffect,
    },
    /// Do something with a file that goes to another browser, or comes from one. Only where [`Setup::direct`] is on.
    ///
    /// [`Setup::direct`]: crate::Setup::direct
    File {
        /// With which.
        id: MessageId,
        /// What.
        what: FileEffect,
    },
    /// Keep a text under a key, over reloads; an empty text is to be forgotten.
    Keep {
        /// For whom.
        scope: Scope,
        /// Under which key.
        key: String,
        /// What.
        text: String,
    },
    /// Something has changed that people or programs may want to know.
    Tell(Change),
}

/// How a request is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `GET`.
    Get,
    /// `POST`.
    Post,
}

impl Method {
    /// The word on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
        }
    }
}

/// For whom something is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// For this tab, over reloads: a browser's `sessionStorage`.
    Tab,
    /// For all tabs, also when this one is closed: a browser's `localStorage`.
    Shared,
}

/// What has changed.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// How things are between this client and its server.
    Line(Line),
    /// Which transport is used, and whether somebody chose it.
    Transport {
        /// The present one.
        transport: Transport,
        /// The one that was chosen, if one was.
        chosen: Option<Transport>,
    },
    /// The state of the present leg: a number of [`Transport::states`].
    Ready(u16),
    /// The server has said hello on what is now the present leg, or in the middle, after a gap.
    Hello(Hello),
    /// On which terms I am here.
    Terms(Terms),
    /// Who I am.
    Me(Member),
    /// I go by this name now. Whoever keeps it for the next visit is to do so.
    Renamed(MemberName),
    /// Of whom this can be said now.
    Roster(StateKind, Members),
    /// How what is written to the one it is for alone would go now.
    Road(Road),
    /// These files are on their way from browser to browser, offered, or over; oldest first.
    Files(Vec<File>),
    /// With these I am in a call; none, if I am in none.
    Call(Option<Vec<Party>>),
    /// A row of the timeline is new, different or gone. Only told where [`Setup::view`] is on.
    ///
    /// [`Setup::view`]: crate::Setup::view
    Row(RowChange),
    /// This was read from the log: each message once, in order, mine included.
    Arrived {
        /// What was said.
        message: Arc<Message>,
        /// Whether I said it, here or elsewhere.
        mine: bool,
    },
    /// What I said is taken, and has this number.
    Taken {
        /// The id of what I said.
        id: MessageId,
        /// Its number.
        offset: Offset,
    },
    /// What I said was refused, and is not tried again by itself.
    Parked {
        /// The id of what I said.
        id: MessageId,
        /// Why.
        refusal: Refusal,
    },
    /// Something else of mine was refused: a frame that is no message, or to be in the room at all.
    Refused(Refusal),
    /// Something happened on a connection. Only told where [`Setup::view`] is on.
    ///
    /// [`Setup::view`]: crate::Setup::view
    Happened(Happening),
}

/// Another session in the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Party {
    /// The public part of its id.
    pub session: SessionId,
    /// Whose it is.
    pub member: Member,
    /// The connection to it, if there is one.
    pub link: Option<LinkId>,
    /// [`Road::Direct`] once it is there; [`Road::Relayed`] where there is no way to it.
    pub road: Road,
    /// What it lets me hear and see.
    pub media: Media,
}

/// How things are between a client and its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// Nothing was tried yet.
    Idle,
    /// A connection is being opened.
    Connecting {
        /// Whether there was another try before.
        again: bool,
    },
    /// The server has said hello.
    Open,
    /// Waiting before the next try.
    Waiting {
        /// Whole seconds until then, rounded up.
        seconds: u64,
    },
    /// The server lets us in no more.
    Over,
}

/// Something that happened on a connection: what an inspector shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// We set out for this address.
    Connect(String),
    /// It is open; for a WebSocket with this subprotocol.
    Open(String),
    /// This frame came.
    Received(String),
    /// We sent this frame.
    Sent(String),
    /// Something is wrong.
    Failed(Fault),
    /// It is closed.
    Close {
        /// RFC 6455 section 7.4; 1006 where there is no such code.
        code: u16,
        /// What the server said about it.
        reason: String,
        /// Whether both sides agreed to close.
        was_clean: bool,
    },
    /// Another transport is used from now on, this one.
    Transport(Transport),
    /// We gave up a connection that said nothing.
    Abandoned,
}

impl Happening {
    /// The name of the event.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Connect(_) => "connect",
            Self::Open(_) => "open",
            Self::Received(_) => "message",
            Self::Sent(_) => "send",
            Self::Failed(_) => "error",
            Self::Close { .. } => "close",
            Self::Transport(_) => "transport",
            Self::Abandoned => "abandon",
        }
    }
}

/// What is wrong with a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nobody says; a browser tells nothing of a WebSocket or an event stream, by design.
    Untold,
    /// The shell's own words about it.
    Told(String),
    /// A request was not answered, however often it was made.
    Unanswered(Method),
    /// A poll was answered with this status, or with what is no answer to a poll.
    Answered(u16),
}
