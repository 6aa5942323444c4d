//! The five roads.

use client::Transport;
use serde::{Deserialize, Serialize};

/// A way for messages to go and come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "&'static str", try_from = "String")]
pub enum Road {
    /// Through the hub.
    Over(Transport),
    /// From browser to browser ([WebRTC](https://www.w3.org/TR/webrtc/)).
    Direct,
}

impl Road {
    /// All of them, from the oldest to the newest.
    pub const ALL: [Self; 5] = [
        Self::Over(Transport::Poll),
        Self::Over(Transport::LongPoll),
        Self::Over(Transport::Events),
        Self::Over(Transport::WebSocket),
        Self::Direct,
    ];

    /// Its word, in addresses and tables.
    pub fn word(self) -> &'static str {
        match self {
            Self::Over(transport) => transport.word(),
            Self::Direct => "webrtc",
        }
    }

    /// Reads that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|road| road.word() == word)
    }

    /// By which of the client's transports it goes, if through the hub.
    pub fn transport(self) -> Option<Transport> {
        match self {
            Self::Over(transport) => Some(transport),
            Self::Direct => None,
        }
    }
}

impl From<Road> for &'static str {
    fn from(road: Road) -> Self {
        road.word()
    }
}

impl TryFrom<String> for Road {
    type Error = String;

    fn try_from(word: String) -> Result<Self, Self::Error> {
        Self::parse(&word).ok_or_else(|| format!("`{word}` is no road"))
    }
}
