//! What a page shows, chosen and filled by the server.
//!
//! The server renders from a [`PageData`] and sends it along; the browser hydrates from the same one.
//! So there is nothing to fetch, and the first render is the same on both sides.

use std::sync::Arc;

use client::encode_component;
use common::{Member, Members, Message, MessageId, Offset, Position, Refusal, RoomName};
use lab::{Clamped, Plan, Race};
use serde::{Deserialize, Serialize};

use crate::{base::base, lang::Lang};
pub use crate::{
    theme::Theme,
    time::{ZONE_COOKIE, Zone},
};

/// The cookie by which a browser says that its person was asked for a name, whether or not they gave one.
pub const ASKED_COOKIE: &str = "hubbub_asked";

/// One page, for one person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PageData {
    /// The language of every text on it.
    pub lang: Lang,
    /// Light, dark, or what the system says.
    pub theme: Theme,
    /// Of which place times are.
    pub zone: Zone,
    /// Whom it is for.
    pub me: Me,
    /// Its own address, to come back to after a form.
    pub path: String,
    /// What is on it.
    pub page: Page,
}

/// Whom a page is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Me {
    /// As the others see them.
    pub member: Member,
    /// Whether they picked the name themselves.
    pub named: bool,
    /// Whether they were asked what name they pick.
    pub asked: bool,
}

/// What is on a page.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Page {
    /// The rooms there are.
    Home {
        /// The liveliest first.
        rooms: Vec<RoomCard>,
        /// The name of a room that nobody has been in, as far as chance goes.
        fresh: RoomName,
        /// Why the name just given can't be a room's, with that name.
        refused: Option<Refused>,
    },
    /// A room.
    Room(Arc<RoomView>),
    /// What was found in a room.
    Search(Arc<SearchView>),
    /// The lab.
    Lab(Arc<LabView>),
    /// How the hub is, for whoever manages all of it.
    Admin,
    /// There is nothing at this address.
    NotFound,
    /// What is at this address is for those with a token, which this person has not shown, or not a good one.
    Locked {
        /// Why the one just given is no good.
        refused: Option<Refusal>,
    },
}

/// A room as the home page lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomCard {
    /// Its name.
    pub name: RoomName,
    /// How many are in it.
    pub members: usize,
    /// When something was last said, milliseconds since 1970; 0 if nothing was.
    pub last_at: u64,
    /// Who said what last, of the liveliest.
    pub last: Option<(String, String)>,
}

/// A room as its page shows it at first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoomView {
    /// Its name.
    pub room: RoomName,
    /// The scheme and host by which this server was asked.
    pub origin: String,
    /// The newest messages, oldest first.
    pub messages: Vec<Message>,
    /// There may be older ones.
    pub older: bool,
    /// These are not the newest, but those before or around some offset.
    pub past: bool,
    /// The message that was asked for is not among them: it is gone, or for others.
    pub missing: bool,
    /// One may read here, and not write.
    pub read_only: bool,
    /// Reading on from here misses nothing.
    pub position: Position,
    /// Up to here it was said before this was asked for.
    pub head: Offset,
    /// Who is in it.
    pub members: Members,
    /// The id of what the form will send, so that sending it twice says it once.
    pub form_id: MessageId,
    /// Why the text just sent by the form was not taken, with that text.
    pub refused: Option<Refused>,
    /// By what means the browser finds a way to another one, beyond its own network.
    pub ice: Option<Ice>,
}

/// What was found in a room.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SearchView {
    /// The room.
    pub room: RoomName,
    /// What was looked for; empty, if nothing was yet.
    pub query: String,
    /// Oldest first.
    pub messages: Vec<Message>,
    /// Looking on before this may find more.
    pub before: Option<Offset>,
    /// Why it could not be looked for.
    pub refused: Option<Refused>,
}

/// The lab as its page shows it at first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LabView {
    /// What the address asks for.
    pub plan: Plan,
    /// What of that can't be so.
    pub clamped: Vec<Clamped>,
    /// In which room the pages meet that are connected with each other, if the address says so.
    pub meeting: Option<RoomName>,
    /// A race that was run before, to look at.
    pub recorded: Race,
    /// By what means the browser finds a way to another one, beyond its own network.
    pub ice: Option<Ice>,
}

/// By what means two browsers find a way to each other: written, it is what `RTCPeerConnection` takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ice {
    /// Servers that help.
    pub ice_servers: Vec<IceServer>,
    /// Until when what they ask for is good: milliseconds since 1970, UTC.
    pub expires_at: u64,
}

impl Page {
    /// Whether something on it changes by itself: what does not needs no code of ours in the browser.
    pub fn is_live(&self) -> bool {
        matches!(self, Self::Home { .. } | Self::Room(_) | Self::Lab(_) | Self::Admin)
    }

    /// Whether there is something on it that only its reader may know: what a TURN server asks for.
    pub fn has_secrets(&self) -> bool {
        let ice = match self {
            Self::Room(view) => &view.ice,
            Self::Lab(view) => &view.ice,
            Self::Home { .. }
            | Self::Search(_)
            | Self::Admin
            | Self::NotFound
            | Self::Locked { .. } => &None,
        };
        let mut servers = ice.iter().flat_map(|ice| &ice.ice_servers);
        servers.any(|server| server.credential.is_some())
    }
}

/// One of them, by several addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IceServer {
    /// Where it is.
    pub urls: Vec<String>,
    /// What it asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// What it asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
}

/// A text that was not taken, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Why.
    pub refusal: Refusal,
    /// The text, so that nothing typed is lost.
    pub text: String,
}

/// The address of a room's page.
pub fn room_path(room: &RoomName) -> String {
    format!("{}/rooms/{}", base(), encode_component(room.as_str()))
}

/// The address of one message: the room's page around it.
pub fn message_path(room: &RoomName, offset: Offset) -> String {
    format!("{}?at={offset}#m-{offset}", room_path(room))
}

/// The address of what is found in a room.
pub fn search_path(room: &RoomName, query: &str, before: Option<Offset>) -> String {
    let before = before.map(|before| format!("&before={before}")).unwrap_or_default();
    format!("{}?q={}{before}", room_path(room), encode_component(query))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_room_is_plain_ascii_whatever_its_name() {
        let path = |name| room_path(&RoomName::parse(name).unwrap());
        assert_eq!(path("lobby"), "/rooms/lobby");
        assert_eq!(path("다방"), "/rooms/%EB%8B%A4%EB%B0%A9");
        assert_eq!(path("a b?c#d%e"), "/rooms/a%20b%3Fc%23d%25e");
    }
}
