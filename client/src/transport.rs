//! How bytes travel, the four ways there are, and the addresses each of them asks.

use common::{After, RoomName};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::Millis;

/// A way for bytes to travel, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Transport {
    /// Both ways over one connection.
    WebSocket,
    /// Server-Sent Events, and a POST for each frame of ours.
    Events,
    /// A request that waits until there is news, then the next one; POST for ours.
    LongPoll,
    /// A request every few seconds; POST for ours.
    Poll,
}

impl Transport {
    /// All, the best first.
    pub const ALL: [Self; 4] = [Self::WebSocket, Self::Events, Self::LongPoll, Self::Poll];

    /// Its word in the page and in what is kept.
    pub fn word(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Events => "sse",
            Self::LongPoll => "longpoll",
            Self::Poll => "poll",
        }
    }

    /// Reads that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|transport| transport.word() == word)
    }

    /// Its states by number: `readyState` where the browser has one.
    pub fn states(self) -> &'static [&'static str] {
        match self {
            Self::WebSocket => &["CONNECTING", "OPEN", "CLOSING", "CLOSED"],
            Self::Events => &["CONNECTING", "OPEN", "CLOSED"],
            Self::LongPoll | Self::Poll => &["ASKING", "ANSWERED", "CLOSED"],
        }
    }

    /// The number of the last of them.
    pub(crate) fn closed(self) -> u16 {
        self.states().len() as u16 - 1
    }

    /// The next one down; from the last the first, for then nothing is known to be better.
    pub(crate) fn below(self) -> Self {
        let index = Self::ALL.iter().position(|transport| *transport == self).unwrap_or_default();
        Self::ALL[(index + 1) % Self::ALL.len()]
    }
}

/// RFC 3986 section 2.3: all but these is encoded.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Percent-encodes a part of an address.
pub fn encode_component(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// The room's place on its server.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Scheme and host: `http://…`.
    pub(crate) origin: String,
    pub(crate) room: RoomName,
    pub(crate) token: Option<String>,
    /// See [`Setup::meter`](crate::Setup::meter).
    pub(crate) meter: Option<String>,
    /// See [`Setup::poll_every`](crate::Setup::poll_every).
    pub(crate) poll_every: Millis,
}

impl Place {
    /// The address that opens `transport` behind `after`. For polls it is that of the first one.
    pub(crate) fn open(
        &self,
        transport: Transport,
        after: &After,
        session: Option<&str>,
    ) -> String {
        let after = match after {
            After::Now => None,
            After::Oldest => Some("0".to_owned()),
            After::Position(position) => Some(position.to_string()),
        };
        let room = (transport == Transport::WebSocket).then_some(self.room.as_str());
        let path = match transport {
            // `ws:` for `http:`, `wss:` for `https:`.
            Transport::WebSocket => format!("{}/ws", self.origin.replacen("http", "ws", 1)),
            Transport::Events => self.api("events"),
            Transport::LongPoll | Transport::Poll => self.api("frames"),
        };
        let [token, meter] = self.shown();
        let query =
            [("room", room), ("after", after.as_deref()), ("session", session), token, meter];
        join(path, &query)
    }

    /// The address that takes our frames.
    pub(crate) fn post(&self, session: Option<&str>) -> String {
        let [token, meter] = self.shown();
        join(self.api("frames"), &[("session", session), token, meter])
    }

    /// What is the same in each.
    fn shown(&self) -> [(&'static str, Option<&str>); 2] {
        [("token", self.token.as_deref()), ("lab", self.meter.as_deref())]
    }

    fn api(&self, what: &str) -> String {
        format!("{}/api/rooms/{}/{what}", self.origin, encode_component(self.room.as_str()))
    }
}

/// `path` with those of the parameters that are there.
pub(crate) fn join(mut path: String, query: &[(&str, Option<&str>)]) -> String {
    for (name, value) in query {
        if let Some(value) = value {
            path.push(if path.contains('?') { '&' } else { '?' });
            path.push_str(&format!("{name}={}", encode_component(value)));
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(room: &str, token: Option<&str>) -> Place {
        Place {
            origin: "https://host:1".to_owned(),
            room: RoomName::parse(room).unwrap(),
            token: token.map(str::to_owned),
            meter: None,
            poll_every: 0,
        }
    }

    #[test]
    fn each_transport_has_an_address_of_its_own() {
        let tea = place("다방", Some("a+b"));
        let after = After::Position("e:7".parse().unwrap());
        let room = "%EB%8B%A4%EB%B0%A9";
        for (transport, address) in [
            (Transport::WebSocket, format!("wss://host:1/ws?room={room}&after=e%3A7&session=s.x")),
            (
                Transport::Events,
                format!("https://host:1/api/rooms/{room}/events?after=e%3A7&session=s.x"),
            ),
            (
                Transport::Poll,
                format!("https://host:1/api/rooms/{room}/frames?after=e%3A7&session=s.x"),
            ),
        ] {
            assert_eq!(tea.open(transport, &after, Some("s.x")), address + "&token=a%2Bb");
        }
    }

    #[test]
    fn what_is_not_asked_for_is_not_in_the_address() {
        let tea = place("tea", None);
        assert_eq!(tea.open(Transport::WebSocket, &After::Now, None), "wss://host:1/ws?room=tea");
        assert_eq!(
            tea.open(Transport::LongPoll, &After::Oldest, None),
            "https://host:1/api/rooms/tea/frames?after=0"
        );
        assert_eq!(tea.post(None), "https://host:1/api/rooms/tea/frames");
    }

    #[test]
    fn what_is_counted_for_the_lab_says_so_in_each_address() {
        let tea = Place { meter: Some("7f".to_owned()), ..place("tea", Some("t")) };
        assert_eq!(
            tea.open(Transport::Events, &After::Oldest, None),
            "https://host:1/api/rooms/tea/events?after=0&token=t&lab=7f"
        );
        assert_eq!(tea.post(None), "https://host:1/api/rooms/tea/frames?token=t&lab=7f");
    }

    #[test]
    fn the_last_of_its_states_is_closed() {
        for (transport, closed) in [
            (Transport::WebSocket, 3),
            (Transport::Events, 2),
            (Transport::LongPoll, 2),
            (Transport::Poll, 2),
        ] {
            assert_eq!(transport.closed(), closed);
            assert_eq!(transport.states()[usize::from(closed)], "CLOSED");
        }
    }

    #[test]
    fn a_word_reads_back_as_its_transport() {
        for transport in Transport::ALL {
            assert_eq!(Transport::parse(transport.word()), Some(transport));
        }
        assert_eq!(Transport::parse("pigeon"), None);
    }
}
