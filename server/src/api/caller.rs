//! Who calls, and which room it is about: what all requests to a room have in common.

use std::net::SocketAddr;

use axum::{
    extract::{ConnectInfo, FromRequestParts, Path, Query},
    http::{HeaderMap, request::Parts},
};
use common::{Refusal, RoomName};
use hub::Author;
use serde::Deserialize;

use crate::{origin, problem::Problem, state::ServerState};

/// A request about a room: the origin is checked, the token read, the session known again.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) room: RoomName,
    pub(crate) author: Author,
    /// What its sending is counted under.
    pub(crate) sender: String,
    pub(crate) headers: HeaderMap,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Who {
    session: Option<String>,
    token: Option<String>,
}

impl Caller {
    /// Counts somebody who comes without a session: it is somebody new, and will be listed a while.
    ///
    /// # Errors
    ///
    /// [`common::ErrorCode::RateLimited`].
    pub(crate) fn check_arrival(&self, server: &ServerState) -> Result<(), Refusal> {
        match self.sender == self.author.session.as_str() {
            true => Ok(()),
            false => server.check_rate(&self.sender, 1),
        }
    }
}

impl FromRequestParts<ServerState> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        server: &ServerState,
    ) -> Result<Self, Self::Rejection> {
        origin::check(&parts.headers, &server.config.allow_origins)?;
        let room = Path::<String>::from_request_parts(parts, server).await;
        let Path(room) = room.map_err(|_| Refusal::field("room", "`room` is not UTF-8"))?;
        let room = RoomName::parse(&room)?;
        let Query(Who { session, token }) = query(parts)?;
        let known = server.identity.caller(&parts.headers, token.as_deref())?;
        let member = known.as_ref().map(|visitor| format!("member {}", visitor.id));
        let (visitor, session_id) = server.identity.recognise(known, session.as_deref());
        // Whoever shows neither could be anybody at each request; the address is what stays.
        let sender = match (session.as_deref() == Some(session_id.as_str()), member) {
            (true, _) => session_id.to_string(),
            (false, Some(member)) => member,
            (false, None) => format!("address {}", address(parts)),
        };
        let author = Author { session: session_id, member: visitor.member() };
        Ok(Self { room, author, sender, headers: parts.headers.clone() })
    }
}

/// Reads the query of a request.
pub(crate) fn query<T: serde::de::DeserializeOwned>(parts: &Parts) -> Result<Query<T>, Refusal> {
    Query::try_from_uri(&parts.uri).map_err(|_| Refusal::field("query", "the query can't be read"))
}

fn address(parts: &Parts) -> String {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    peer.map(|ConnectInfo(peer)| peer.ip().to_string()).unwrap_or_default()
}
