//! What a client of Hubbub is, without I/O: it is told what happened and says what to do.
//!
//! Start at [`Client`]. It knows no browser, no socket, no clock and no chance: time comes with each
//! [`Event`], chance from a seed, and what is to be done are [`Effect`]s, which a thin shell carries
//! out. There are two shells: the page's, in the crate `app`, and [`native`], on tokio. The rule to
//! keep: a shell decides nothing; an `if` on the state of a connection in one is a leak.
//!
//! Inside, each decision is a small machine of its own: `connection` (when to connect), `ladder`
//! (which transport), `leg` with `polls` and `posts` (what a transport takes), `outbox` (what is
//! unsent), `timeline` (what is said), `tabs` (what other tabs left behind), `direct` (what goes from one
//! browser to another without the hub). `client` routes between them.

mod client;
mod connection;
mod direct;
mod effect;
mod event;
mod habits;
mod ladder;
mod leg;
#[cfg(feature = "native")]
pub mod native;
mod outbox;
mod polls;
mod posts;
mod rosters;
mod seed;
mod setup;
mod tabs;
#[cfg(test)]
mod testing;
mod timeline;
mod transport;

pub use self::{
    client::{Client, Why},
    direct::{
        File, FileEffect, FileEvent, FileWhy, Lane, LinkEffect, LinkEvent, LinkId, Media, Road,
        Stage,
    },
    effect::{Change, Effect, Fault, Happening, Line, Method, Party, Scope},
    event::Event,
    outbox::Status,
    setup::Setup,
    timeline::{Row, RowChange, first_rows},
    transport::{Transport, encode_component},
};

/// Milliseconds since 1970, UTC, on the clock of whoever drives the client.
pub type Millis = u64;

/// One network connection of a client: counts from 1, and never comes again.
pub type LegId = u32;

/// One request of a leg.
pub type RequestId = u32;
