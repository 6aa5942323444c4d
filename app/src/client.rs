//! The browser's side of the connection.
//!
//! What decides is pure and tested natively: [`connection`] (when to connect), [`timeline`] (what is
//! said, and what is still on its way), [`ladder`] (which road to take), [`enter`] (which Enter sends),
//! [`journal`] (what the inspector shows). What touches the browser is a thin shell: [`road`] and, tying
//! all of it to signals, [`room_client`]. `outbox` keeps what is unsent, `browser` holds the few other things a page asks its browser for.

pub mod browser;
pub mod connection;
pub mod enter;
pub mod journal;
pub mod ladder;
pub mod outbox;
pub mod road;
pub mod room_client;
pub mod timeline;
