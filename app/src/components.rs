//! The pieces pages are made of.

mod bar;
mod call;
mod clock;
mod composer;
mod dropdown;
mod enter;
mod file_list;
mod help;
mod icon;
mod inspector;
mod invitation;
mod member_list;
mod mention;
mod message_list;
mod notices;
mod row;
mod search_form;
mod steps;
mod tools;
mod whom;

pub(crate) use self::{
    bar::{Banner, Bar, MENU, NameForm, Preferences, Wordmark},
    call::{Call, CallButton},
    clock::Moment,
    composer::Composer,
    file_list::FileList,
    help::Help,
    icon::Icon,
    inspector::Inspector,
    member_list::{Avatar, HereCount, MemberList},
    message_list::MessageList,
    search_form::SearchForm,
};
