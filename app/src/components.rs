//! The pieces pages are made of.

mod bar;
mod call;
mod clock;
mod composer;
mod enter;
mod file_list;
mod inspector;
mod member_list;
mod message_list;

pub(crate) use self::{
    bar::{Banner, Bar, NameForm, Preferences},
    call::{Call, CallButton},
    clock::{Clock, Moment},
    composer::Composer,
    file_list::FileList,
    inspector::Inspector,
    member_list::MemberList,
    message_list::MessageList,
};
