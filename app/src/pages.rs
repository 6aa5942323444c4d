//! One file a page.

mod admin;
mod home;
mod lab;
mod locked;
mod not_found;
mod room;
mod search;

pub(crate) use self::{
    admin::AdminPage, home::HomePage, lab::LabPage, locked::LockedPage, not_found::NotFoundPage,
    room::RoomPage, search::SearchPage,
};
