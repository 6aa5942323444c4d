//! What a client starts with.

use common::{After, Member, MemberName, Message, RoomName};

use crate::{Millis, polls};

/// What a client starts with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Scheme and host of the server: `http://127.0.0.1:3000`.
    pub origin: String,
    /// The room.
    pub room: RoomName,
    /// Shown with each request, where the browser has no cookie.
    pub token: Option<String>,
    /// Where to read on.
    pub after: After,
    /// What was read before that, oldest first.
    pub messages: Vec<Message>,
    /// Who I am, as far as that is known before the server says it.
    pub me: Option<Member>,
    /// The name that I picked, if I did.
    pub name: Option<MemberName>,
    /// The server knows that name at each connection, by a cookie: it is only told again where the
    /// server has forgotten who I am.
    pub name_is_kept: bool,
    /// Somebody looks at this: rows and happenings are told. Without, for programs, nobody can be
    /// asked either: what was not answered is sent again by itself, and what was refused is let go.
    pub view: bool,
    /// Whether what is for one person may go to them directly: the shell carries out
    /// [`Effect::Link`](crate::Effect::Link).
    pub direct: bool,
    /// How long a client that polls waits after an answer with no more behind it. Default two seconds.
    pub poll_every: Millis,
    /// What the server is to count all requests under, and what they carry: `GET /api/lab/{meter}` tells. Default
    /// nothing.
    pub meter: Option<String>,
    /// Where all chance comes from. The same seed and the same events give the same effects.
    pub seed: u64,
}

impl Setup {
    /// A program's, from now on, as a guest.
    pub fn new(origin: &str, room: RoomName, seed: u64) -> Self {
        Self {
            origin: origin.trim_end_matches('/').to_owned(),
            room,
            token: None,
            after: After::Now,
            messages: Vec::new(),
            me: None,
            name: None,
            name_is_kept: false,
            view: false,
            direct: false,
            poll_every: polls::EVERY_MS,
            meter: None,
            seed,
        }
    }
}
