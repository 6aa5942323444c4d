//! What people see of Hubbub, and the browser's side of the connection.
//!
//! Start at [`shell`], which the server renders, and [`App`], which both sides run: it shows the
//! [`PageData`] the server chose. The rule to keep: nothing here names the hub or the server; data
//! comes as a [`PageData`], and what happens later as frames.

// A view is one deeply nested type.
#![recursion_limit = "256"]
// `#[component]` writes `pub` on what it makes of a component.
#![allow(unreachable_pub)]

pub mod client;
mod components;
pub mod lang;
pub mod page;
mod pages;
mod shell;
pub mod snippets;
mod time;

pub use shell::{App, shell};
