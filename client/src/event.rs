//! What a [`Client`](crate::Client) is told.

use common::{MemberId, MemberName, MessageId, Publish};

use crate::{
    FileEvent, LegId, LinkEvent, LinkId, Media, RequestId, Transport,
    client::kept::{CHOSEN, SESSION},
};

/// What happened. Events of a leg that is not there any more are ignored.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Everything is ready: connect, and stay connected.
    Start {
        /// Keys and texts that were kept for this tab ([`Scope::Tab`](crate::Scope::Tab)). Others
        /// among them do no harm.
        tab: Vec<(String, String)>,
        /// Those that were kept for all tabs ([`Scope::Shared`](crate::Scope::Shared)).
        shared: Vec<(String, String)>,
    },
    /// A WebSocket or an event stream is open.
    Opened {
        /// Which.
        leg: LegId,
        /// The subprotocol that was agreed on, or the type of the stream.
        protocol: String,
    },
    /// A text frame came, or the data of an event.
    Received {
        /// On which.
        leg: LegId,
        /// The frame.
        text: String,
    },
    /// Something is wrong with a WebSocket, which will close, or with an event stream, which is over.
    Failed {
        /// With which.
        leg: LegId,
        /// What is known of it; empty where nobody says.
        what: String,
    },
    /// The request to open was answered by a refusal.
    Refused {
        /// Which.
        leg: LegId,
        /// The body of the answer.
        body: String,
    },
    /// A WebSocket or an event stream is closed, or could not be opened at all.
    Closed {
        /// Which.
        leg: LegId,
        /// RFC 6455 section 7.4; 1006 where there is none.
        code: u16,
        /// What the server said about it.
        reason: String,
        /// Whether both sides agreed to close.
        was_clean: bool,
    },
    /// A request has an answer.
    Answered {
        /// Whose request it was.
        leg: LegId,
        /// Which.
        request: RequestId,
        /// The status of the answer.
        status: u16,
        /// Whether it is a problem document (`application/problem+json`): the server's own word.
        problem: bool,
        /// Its body.
        body: String,
    },
    /// A request has failed without an answer.
    Unanswered {
        /// Whose request it was.
        leg: LegId,
        /// Which.
        request: RequestId,
    },
    /// Say this. Without an id it is not said, for then it could not be sent again.
    Say(Publish),
    /// Try a parked or unknown message again.
    Retry(MessageId),
    /// Give up a message that was not sent; nothing happens while it is on its way.
    Discard(MessageId),
    /// What is written now is for this member alone, or for all again.
    Address(Option<MemberId>),
    /// Something happened on a connection to another browser.
    Link {
        /// On which.
        link: LinkId,
        /// What.
        event: LinkEvent,
    },
    /// Something happened with a file, or is wanted with it.
    File {
        /// With which: of one to offer, an id that was never used.
        id: MessageId,
        /// What.
        event: FileEvent,
    },
    /// Be in the room's call, or no more.
    Call(bool),
    /// What others in the call hear and see of me from now on.
    Show(Media),
    /// A key was pressed that writes something; or what was written is gone, and was not said.
    Typing(bool),
    /// Whether nobody looks.
    Idle(bool),
    /// Go by this name from now on.
    Rename(MemberName),
    /// Whoever waits for the next try wants it now.
    RetryNow,
    /// The network is back, or the page is.
    Wake,
    /// Use this transport, whatever happens, or find the best one again.
    Choose(Option<Transport>),
    /// Another tab keeps this for all of them now; nothing, if the text is empty.
    Kept {
        /// Under which key.
        key: String,
        /// What.
        text: String,
    },
    /// The tab is about to go.
    Leaving,
    /// Time has passed.
    Time,
}

impl Event {
    /// [`Event::Start`] as this session and with this transport, for whoever knows of them otherwise
    /// than by what was kept.
    pub fn start(session: Option<String>, transport: Option<Transport>) -> Self {
        let chosen = transport.map(|transport| (CHOSEN.to_owned(), transport.word().to_owned()));
        let session = session.map(|session| (SESSION.to_owned(), session));
        Self::Start { tab: session.into_iter().chain(chosen).collect(), shared: Vec::new() }
    }
}
