//! One file a page.

mod home;
mod not_found;
mod room;

pub(crate) use self::{home::HomePage, not_found::NotFoundPage, room::RoomPage};
