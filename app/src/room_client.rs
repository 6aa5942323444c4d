//! What a person can do in a room; given as context beside the room's state.
//!
//! On the server there is none of it but this handle: whatever belongs to the browser, and with it to
//! one thread, is made by [`RoomClient::start`], in an effect.

use std::rc::Rc;

use client::{Event, File, FileEvent, LinkId, Transport};
use common::{
    Audience, Member, MemberName, Mend, Message, MessageId, Position, Publish, Refusal,
    limits::EMOJI_EACH,
};
use leptos::prelude::*;
use reactive_stores::Store;
use send_wrapper::SendWrapper;
use serde_json::{Map, Value};
use web_sys::MediaStream;

use crate::{
    browser::{self, Driver, Source},
    page::Ice,
    room::{RoomState, RoomStateStoreFields, Whom},
};

/// Cheap to copy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RoomClient {
    driver: StoredValue<Option<SendWrapper<Rc<Driver>>>>,
    reacted: StoredValue<Option<Reacted>>,
}

/// To which message I have reacted last.
#[derive(Clone, Debug)]
struct Reacted {
    of: MessageId,
    /// My reactions as they were shown then.
    shown: Vec<String>,
    /// Those I have said since.
    said: Vec<String>,
}

/// The one of the room that this page shows.
pub(crate) fn room_client() -> RoomClient {
    expect_context()
}

impl RoomClient {
    /// One that does nothing yet; touches no browser.
    pub(crate) fn new() -> Self {
        Self { driver: StoredValue::new(None), reacted: StoredValue::new(None) }
    }

    /// Connects, and stays connected while the page lives. Browser only.
    pub(crate) fn start(self, room: Store<RoomState>, position: Position, ice: Option<Ice>) {
        self.driver.set_value(Some(SendWrapper::new(Driver::start(room, position, ice))));
    }

    /// Says `text` in the room, or to some in it.
    ///
    /// # Errors
    ///
    /// When it can't be said at all; nothing is sent then.
    pub(crate) fn say(self, text: &str, to: Audience) -> Result<(), Refusal> {
        let id = Some(browser::new_message_id());
        self.tell(Event::Say(Publish { id, to, ..Publish::text(text)? }));
        Ok(())
    }

    /// Has `text` take the place of what a message of mine says.
    ///
    /// # Errors
    ///
    /// When it can't be said at all; nothing is sent then.
    pub(crate) fn edit(self, message: &Message, text: &str) -> Result<(), Refusal> {
        let Publish { value, .. } = Publish::text(text)?;
        self.mend(Mend::Edit, message, value);
        Ok(())
    }

    /// Takes a message of mine back.
    pub(crate) fn take_back(self, message: &Message) {
        self.mend(Mend::Retract, message, Value::Object(Map::new()));
    }

    /// Has `me` react to a message with this emoji as well, or no more.
    pub(crate) fn react(self, message: &Message, me: &Member, emoji: &str) {
        let shown: Vec<String> = message.reactions_of(me).map(str::to_owned).collect();
        // What I have said of it and not seen yet counts, too: a reaction is all of mine to a message.
        let said = self.reacted.with_value(|reacted| {
            let last = reacted.as_ref()?;
            (last.of == message.id && last.shown == shown).then(|| last.said.clone())
        });
        let mut now = said.unwrap_or_else(|| shown.clone());
        match now.iter().position(|one| one == emoji) {
            Some(at) => _ = now.remove(at),
            None => now.push(emoji.to_owned()),
        }
        now.truncate(EMOJI_EACH);
        let (of, said) = (message.id.clone(), now.clone());
        self.reacted.set_value(Some(Reacted { of, shown, said }));
        self.mend(Mend::Reaction, message, now.into());
    }

    fn mend(self, how: Mend, message: &Message, value: Value) {
        let id = Some(browser::new_message_id());
        // It is for whom that is for, whatever is said here; so it is shown until it is kept.
        let to = message.to.clone();
        let publish = Publish::mending(how, message.id.clone(), value);
        self.tell(Event::Say(Publish { id, to, ..publish }));
    }

    /// What is written from now on is for these.
    pub(crate) fn address(self, room: Store<RoomState>, whom: Whom) {
        let only = whom.only().map(|member| member.id.clone());
        room.whom().set(whom);
        self.tell(Event::Address(only));
    }

    /// Offers a file to a member.
    pub(crate) fn send_file(self, file: web_sys::File, to: &Member) {
        self.with_driver(|driver| {
            driver.send_file(browser::new_message_id(), file, to.clone());
        });
    }

    /// Takes a file that was offered, once there is a place for it.
    pub(crate) fn take_file(self, file: File) {
        self.with_driver(|driver| driver.take_file(file.id, file.name, file.size));
    }

    /// Declines a file, gives it up, or shows it no more.
    pub(crate) fn close_file(self, id: MessageId) {
        self.tell(Event::File { id, event: FileEvent::Close });
    }

    /// Asks the browser for a microphone, a camera or a screen, and lets those in the call have it. With a microphone I am
    /// in the call, if I was not.
    pub(crate) fn open_source(self, source: Source) {
        self.with_driver(|driver| driver.open_source(source));
    }

    /// Uses this microphone or camera from now on; one that is off stays off.
    pub(crate) fn choose_device(self, source: Source, device: String) {
        self.with_driver(|driver| driver.choose_device(source, device));
    }

    /// Which one is used, or would be.
    pub(crate) fn device(self, source: Source) -> Option<String> {
        self.driver()?.device(source)
    }

    /// Does not wait any more for what the browser is asked for.
    pub(crate) fn give_up_asking(self) {
        self.with_driver(Driver::give_up_asking);
    }

    /// Lets nobody in the call see it any more.
    pub(crate) fn close_source(self, source: Source) {
        self.with_driver(|driver| driver.close_source(source));
    }

    /// Has nobody in the call hear me, or everybody again.
    pub(crate) fn mute(self, mute: bool) {
        self.with_driver(|driver| driver.mute(mute));
    }

    /// Is in the call from now on, or no more.
    pub(crate) fn call(self, call: bool) {
        self.tell(Event::Call(call));
    }

    /// What my camera sees.
    pub(crate) fn my_view(self) -> Option<MediaStream> {
        self.driver()?.my_view()
    }

    /// Face and voice, and the screen, of whoever is at the other end of this connection.
    pub(crate) fn their_view(self, link: LinkId) -> Option<[MediaStream; 2]> {
        self.driver()?.their_view(link)
    }

    /// How loud it is at the other ends, from 0 to 1.
    pub(crate) fn levels(self) -> Vec<(LinkId, f64)> {
        self.driver().map(|driver| driver.levels()).unwrap_or_default()
    }

    /// Shows messages that are older than all there are on the page.
    pub(crate) fn show_older(self, room: Store<RoomState>) {
        self.with_driver(|driver| driver.show_older(room));
    }

    /// Sends a refused or unknown message again.
    pub(crate) fn retry(self, id: MessageId) {
        self.tell(Event::Retry(id));
    }

    /// Gives up a message that was not sent.
    pub(crate) fn discard(self, id: MessageId) {
        self.tell(Event::Discard(id));
    }

    /// A key was pressed that writes something; or what was written is gone, and was not said.
    pub(crate) fn typing(self, typing: bool) {
        self.tell(Event::Typing(typing));
    }

    /// Goes by `name` from now on, here at once and at every later visit.
    pub(crate) fn rename(self, name: MemberName) {
        self.tell(Event::Rename(name));
    }

    /// Tries to connect now.
    pub(crate) fn retry_now(self) {
        self.tell(Event::RetryNow);
    }

    /// Uses the transport the person chooses, or leaves the choice to the client.
    pub(crate) fn choose(self, transport: Option<Transport>) {
        self.tell(Event::Choose(transport));
    }

    fn driver(self) -> Option<SendWrapper<Rc<Driver>>> {
        self.driver.try_get_value().flatten()
    }

    fn with_driver(self, what: impl FnOnce(&Driver)) {
        if let Some(driver) = self.driver() {
            what(&driver);
        }
    }

    fn tell(self, event: Event) {
        self.with_driver(|driver| driver.handle(event));
    }
}
