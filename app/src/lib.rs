//! What people see of Hubbub, and the browser's shell of the client.
//!
//! Start at [`shell`](fn@shell), which the server renders, and [`Talk`], [`Lab`] and [`Admin`], which take it over in the browser: they
//! show the `PageData` the server chose. A room's state is one store (`room`), which the crate `client` keeps up to
//! date through `browser`. The rule to keep: nothing here names the hub or the server; data
//! comes as a `PageData`, and what happens later as frames.

// A view is one deeply nested type.
#![recursion_limit = "256"]
// `#[component]` writes `pub` on what it makes of a component.
#![allow(unreachable_pub)]

pub mod base;
mod browser;
mod components;
mod hues;
mod initials;
mod journal;
pub mod lang;
mod listing;
mod markup;
pub mod names;
pub mod page;
mod pages;
mod room;
mod room_client;
mod rows;
mod scrape;
mod shell;
pub mod snippets;
mod theme;
mod time;

pub use shell::{Admin, Lab, Part, Talk, part, shell, take_base};
