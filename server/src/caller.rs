//! The one entrance: who calls, which room it is about, and what its sending is counted under. Every
//! transport lets its clients in here.

use std::net::{IpAddr, SocketAddr};

use axum::{
    extract::{ConnectInfo, FromRequestParts, Path, Query},
    http::{HeaderMap, request::Parts},
};
use common::{After, ErrorCode, Member, Publish, Recovery, Refusal, RoomName, SessionId, Terms};
use hub::{Reader, Who};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{
    address::Address,
    clock::now_ms,
    fields::Fields,
    identity::Visitor,
    origin,
    problem::{Problem, refusal},
    rights::{Access, Permit, Right, nothing_here, token_needed},
    state::ServerState,
};

/// Lets clients in, for a transport of one's own; cheap to clone.
#[derive(Clone, Debug)]
pub struct Door(pub(crate) ServerState);

/// What a client brings, as it came.
#[derive(Clone, Copy, Debug, Default)]
pub struct Entrance<'a> {
    /// The name of the room; the lobby if there is none.
    pub room: Option<&'a str>,
    /// Where to start reading.
    pub after: Option<&'a str>,
    /// The session of an earlier `hello`.
    pub session: Option<&'a str>,
    /// A token, from whoever can't set `Authorization`.
    pub token: Option<&'a str>,
    /// What is wanted of a message; all of it if that is not said.
    pub fields: Option<&'a str>,
}

/// Somebody who was let in.
#[derive(Clone, Debug)]
pub struct Caller {
    pub(crate) server: ServerState,
    pub(crate) room: RoomName,
    pub(crate) after: After,
    pub(crate) fields: Fields,
    pub(crate) who: Who,
    /// The whole of it: whoever shows this is this session.
    pub(crate) session: SessionId,
    /// What its sending is counted under.
    pub(crate) sender: String,
    /// Where it comes from, if that is known.
    pub(crate) address: Option<Address>,
    /// It came back with a session that it was given.
    pub(crate) known: bool,
    /// It picked its name before.
    pub(crate) named: bool,
    /// What it may do. It may do something in the room.
    pub(crate) permit: Permit,
    /// Up to here it is known what was decided of rooms and members.
    pub(crate) decided: u64,
}

impl Door {
    /// Lets a client in: its origin is checked, its token read, its session known again.
    ///
    /// # Errors
    ///
    /// [`Refusal`]: a page of another origin, a token that is no good or missing, a room of which it may know nothing,
    /// a bad `room` or `after`.
    pub fn admit(
        &self,
        headers: &HeaderMap,
        address: Option<IpAddr>,
        entrance: Entrance<'_>,
    ) -> Result<Caller, Refusal> {
        let Self(server) = self;
        origin::check(headers, &server.config)?;
        let room = entrance.room.map_or_else(|| Ok(RoomName::lobby()), RoomName::parse)?;
        let after = entrance.after.map_or(Ok(After::Now), str::parse)?;
        let fields = entrance.fields.map_or_else(|| Ok(Fields::default()), str::parse)?;
        let visitor = server.identity.caller(headers, entrance.token)?;
        let has_token = visitor.is_some();
        if !has_token && server.config.access == Access::Tokens {
            return Err(token_needed());
        }
        let grant = visitor.as_ref().and_then(|visitor| visitor.grant.clone());
        let permit = Permit::new(server.config.access, grant);
        if !permit.knows(&room) {
            return Err(nothing_here());
        }
        let member = visitor.as_ref().map(|visitor| format!("member {}", visitor.id));
        let (visitor, session) = server.identity.recognise(visitor, entrance.session);
        let known = entrance.session == Some(session.as_str());
        // Whoever shows neither a session nor a token could be anybody each time; the address is what
        // stays.
        let address = address.map(Address::from);
        let sender = match (known, member) {
            (true, _) => format!("session {}", session.public()),
            (false, Some(member)) => member,
            (false, None) => format!(
                "address {}",
                address.map(|address| address.to_string()).unwrap_or_default()
            ),
        };
        // Before looking: what is decided meanwhile is looked at again. A guest is known by its session, if by anything.
        let decided = server.hub.rules().version();
        server.check_rules(&permit, &room, Some(&visitor.id))?;
        let (named, mut who) = (visitor.name.is_some(), Who::new(visitor.member(), &session));
        if !has_token {
            who.guest_from = Some(address.map(|address| address.to_string()).unwrap_or_default());
        }
        Ok(Caller {
            server: server.clone(),
            room,
            after,
            fields,
            who,
            session,
            sender,
            address,
            known,
            named,
            permit,
            decided,
        })
    }
}

impl Door {
    /// Lets nobody in any more, and has every session say bye.
    pub fn close(&self) {
        self.0.stopping.send_replace(true);
    }
}

impl Caller {
    /// A reader from where it asked to read.
    pub(crate) async fn read(&self) -> Result<(Reader, Recovery), Refusal> {
        self.check(Right::Read)?;
        self.reader().await
    }

    /// As [`Caller::read`], for one that will not be shown what is read.
    pub(crate) async fn reader(&self) -> Result<(Reader, Recovery), Refusal> {
        self.check_room()?;
        let Self { room, who, after, .. } = self;
        self.server.hub.read(room, who.clone(), after).await.map_err(refusal)
    }

    /// Who it is, as its token says.
    pub(crate) fn visitor(&self) -> Visitor {
        let Member { id, name } = self.who.member.clone();
        Visitor { id, name: self.named.then_some(name), grant: self.permit.grant() }
    }

    /// Whether it may still read here, by what it showed and what was decided since.
    ///
    /// # Errors
    ///
    /// [`Refusal`]: what it showed has expired, or it was put out, or the room was closed.
    pub(crate) fn check_still(&self) -> Result<(), Refusal> {
        self.permit.check_time()?;
        self.server.check_rules(&self.permit, &self.room, Some(&self.who.member.id))
    }

    /// Whether it may do this in its room.
    ///
    /// # Errors
    ///
    /// As [`Permit::check`].
    pub(crate) fn check(&self, right: Right) -> Result<(), Refusal> {
        self.permit.check(right, &self.room)
    }

    /// Whether it may write in its room: it has the right, and the room is not held still for all but those who manage it.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::Forbidden`](common::ErrorCode::Forbidden).
    pub(crate) fn check_writing(&self) -> Result<(), Refusal> {
        self.server.check_writing(&self.permit, &self.room)
    }

    /// Whether it may say these: as itself, or as others; and it is its turn, where the room is slow.
    ///
    /// # Errors
    ///
    /// As [`Caller::check_writing`], and [`ErrorCode::SlowMode`].
    pub(crate) fn check_saying(&self, messages: &[Publish]) -> Result<(), Refusal> {
        self.check_writing()?;
        let Self { server, room, permit, who, .. } = self;
        if permit.has(Right::Manage, room) {
            return Ok(());
        }
        if messages.iter().any(|message| message.from.is_some()) {
            let message = "to say something as somebody else, `from`, asks for the right `manage`";
            let refusal = Refusal::new(ErrorCode::Forbidden, message);
            return Err(Refusal { field: Some("from".to_owned()), ..refusal });
        }
        let slow = server.hub.rules().settings(room).slow_mode_ms;
        if slow > 0 && messages.len() > 1 {
            let message = "this room is slow: one message at a time";
            return Err(Refusal {
                limit: Some(slow),
                ..Refusal::new(ErrorCode::SlowMode, message)
            });
        }
        server.hub.rules().take_turn(room, &who.member.id, now_ms()).map_err(|left| Refusal {
            limit: Some(left),
            ..Refusal::new(
                ErrorCode::SlowMode,
                format!("this room is slow: it is your turn again in {left} ms"),
            )
        })
    }

    /// Gives back the turn that [`Caller::check_saying`] took, where nothing was said.
    pub(crate) fn give_back_turn(&self) {
        self.server.hub.rules().give_back_turn(&self.room, &self.who.member.id);
    }

    /// Whether it may write now.
    pub(crate) fn may_write(&self) -> bool {
        self.check_writing().is_ok()
    }

    /// On which terms it is here.
    pub(crate) fn terms(&self) -> Terms {
        Terms { expires_in_ms: self.permit.expires_in_ms(), read_only: !self.may_write() }
    }

    /// Takes the name it is listed by in the room, if it is.
    pub(crate) fn go_by_listed_name(&mut self) {
        if let Some(name) = self.server.hub.name_of(&self.room, &self.who.member.id) {
            self.who.member.name = name;
        }
    }

    /// Counts the room, if it has to be opened for this.
    ///
    /// # Errors
    ///
    /// [`common::ErrorCode::RateLimited`].
    pub(crate) fn check_room(&self) -> Result<(), Refusal> {
        match self.server.hub.is_open(&self.room) {
            true => Ok(()),
            false => self.server.rates.open_room(self.address),
        }
    }
}

/// Who says something: whoever sends it, or whom they say it as, which they may.
pub(crate) fn as_whom(who: Who, mut publish: Publish) -> (Who, Publish) {
    match publish.from.take() {
        Some(member) => (Who { member, session: None, guest_from: None }, publish),
        None => (who, publish),
    }
}

/// What there is of an [`Entrance`] in a query.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Asked {
    room: Option<String>,
    after: Option<String>,
    session: Option<String>,
    token: Option<String>,
    fields: Option<String>,
}

/// What there is of it in a path.
#[derive(Deserialize)]
struct InPath {
    room: Option<String>,
}

/// Lets in whoever sent a request: to the room in its path, or else in its query.
impl FromRequestParts<ServerState> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        server: &ServerState,
    ) -> Result<Self, Self::Rejection> {
        let Asked { room, after, session, token, fields } = query(parts)?;
        let path = Option::<Path<InPath>>::from_request_parts(parts, server).await;
        let path = path.map_err(|_| Refusal::field("room", "`room` is not UTF-8"))?;
        let room = path.and_then(|Path(InPath { room })| room).or(room);
        // A browser that reconnects to an event stream still has the address of the first time; what it
        // has read since is in the header.
        let last = parts.headers.get("last-event-id").and_then(|id| id.to_str().ok());
        let after = last.filter(|last| !last.is_empty()).or(after.as_deref());
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let address = peer.map(|ConnectInfo(peer)| peer.ip());
        let entrance = Entrance {
            room: room.as_deref(),
            after,
            session: session.as_deref(),
            token: token.as_deref(),
            fields: fields.as_deref(),
        };
        Ok(Door(server.clone()).admit(&parts.headers, address, entrance)?)
    }
}

/// Reads the query of a request.
pub(crate) fn query<T: DeserializeOwned>(parts: &Parts) -> Result<T, Refusal> {
    Query::try_from_uri(&parts.uri)
        .map(|Query(query)| query)
        .map_err(|_| Refusal::field("query", "the query can't be read"))
}
