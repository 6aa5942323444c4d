//! One file a page.

mod home;
mod lab;
mod not_found;
mod room;

pub(crate) use self::{home::HomePage, lab::LabPage, not_found::NotFoundPage, room::RoomPage};
