//! The client of a room's page: its shell, and what it shows and keeps.
//!
//! The rule to keep: it decides nothing. All it owns goes with it.

use std::{
    cell::RefCell,
    rc::{Rc, Weak},
    sync::Arc,
};

use client::{
    Change, Client, Effect, Event, FileEvent, LinkId, Media, Method, Scope, Setup, encode_component,
};
use common::{After, Member, MemberName, Message, MessageId, Position};
use gloo_net::http::Request;
use js_sys::Reflect;
use leptos::{prelude::*, task::spawn_local};
use reactive_stores::Store;
use serde::Deserialize;
use wasm_bindgen::JsCast;
use web_sys::{File, MediaStream, RequestInit, StorageEvent};

use super::{
    Denied, Sink, Source, after_drawing, all_kept,
    drawing::Drawing,
    files::Files,
    home, is_hidden, is_offline, keep, keep_here, reaches_browsers,
    shell::{Shell, Told, ask},
    studio::Studio,
    way::Way,
};
use crate::{
    base,
    page::Ice,
    room::{RoomState, RoomStateStoreFields, apply},
    rows::{LiveRow, Past, oldest, show_older},
};

/// The shell of one page's client.
pub(crate) struct Driver {
    shell: Rc<Shell>,
    room: Store<RoomState>,
    drawing: Rc<Drawing>,
    files: RefCell<Files>,
    studio: Studio,
    own: Weak<Self>,
}

impl Driver {
    /// Connects to the room as it was rendered, up to `position`, and stays connected.
    pub(crate) fn start(room: Store<RoomState>, position: Position, ice: Option<Ice>) -> Rc<Self> {
        let me = room.me().get_untracked();
        let messages: Vec<Message> = room.rows().with_untracked(|rows| {
            let said = |row: &LiveRow| row.row.with_untracked(|row| row.message.clone());
            rows.iter().filter_map(said).map(Arc::unwrap_or_clone).collect()
        });
        let client = Client::new(Setup {
            after: After::Position(position),
            messages,
            name: me.named.then(|| me.member.name.clone()),
            name_is_kept: true,
            me: Some(me.member),
            view: true,
            direct: reaches_browsers(),
            ..Setup::new(&home(), room.name().get_untracked(), super::seed())
        });
        let driver = Rc::new_cyclic(|own: &Weak<Self>| {
            let (studio, driver) = (Studio::default(), own.clone());
            let tell = move |told| {
                if let Some(driver) = driver.upgrade() {
                    driver.take(told);
                }
            };
            Self {
                shell: Shell::new(client, ice, studio.tracks.clone(), Way::default(), tell),
                room,
                drawing: Drawing::of(room),
                files: RefCell::default(),
                studio,
                own: own.clone(),
            }
        });
        driver.listen();
        let (tab, shared) = all_kept();
        driver.handle(Event::Idle(is_hidden()));
        driver.handle(Event::Start { tab, shared });
        driver
    }

    /// Tells the client what happened, and does what it wants. Called meanwhile, it waits its turn.
    pub(crate) fn handle(&self, event: Event) {
        self.shell.handle(event);
    }

    fn take(&self, told: Told) {
        match told {
            Told::Effect(Effect::Tell(change)) => {
                if let Some(change) = self.drawing.take(change) {
                    self.carry_out(Effect::Tell(change));
                }
            }
            Told::Effect(effect) => self.carry_out(effect),
            Told::Settled => self.drawing.soon(),
        }
    }

    /// Offers a file to a member.
    pub(crate) fn send_file(&self, id: MessageId, file: File, to: Member) {
        let (name, size) = (file.name(), file.size() as u64);
        self.files.borrow_mut().send(id.clone(), file);
        self.handle(Event::File { id, event: FileEvent::Offer { to, name, size } });
    }

    /// Takes a file that was offered, once there is a place for it; while the person is asked for one, nobody asks again.
    pub(crate) fn take_file(&self, id: MessageId, name: String, size: u64) {
        if !self.files.borrow_mut().begin_asking(&id) {
            return;
        }
        let own = self.own.clone();
        spawn_local(async move {
            let place = Sink::ask(&name, size).await;
            let Some(driver) = own.upgrade() else { return };
            driver.files.borrow_mut().end_asking(&id);
            match place {
                Ok(Some(sink)) => {
                    driver.files.borrow_mut().take(id.clone(), sink);
                    driver.handle(Event::File { id, event: FileEvent::Accept });
                }
                // They have thought better of it; it is still offered.
                Ok(None) => {}
                Err(_) => driver.handle(Event::File { id, event: FileEvent::Finished(false) }),
            }
        });
    }

    /// Asks for a microphone, a camera or a screen, and lets those in the call have it; with a microphone I am in it, if
    /// I was not.
    pub(crate) fn open_source(&self, source: Source) {
        self.studio.give_up();
        if !reaches_browsers() {
            return self.room.call().update(|call| {
                (call.asking, call.denied) = (None, Some((source, Denied::Alone)));
            });
        }
        let device = self.studio.chosen(source);
        self.room.call().update(|call| {
            (call.asking, call.denied, call.is_full) = (Some(source), None, false);
        });
        let (tracks, asked) = self.studio.handles();
        let (own, ended) = (self.own.clone(), self.own.clone());
        let ended = move || {
            if let Some(driver) = ended.upgrade() {
                driver.close_source(source);
            }
        };
        spawn_local(async move {
            let opened = Studio::open(tracks, asked, (source, device), ended).await;
            let Some(driver) = own.upgrade() else { return };
            let denied = match opened {
                Ok(()) => None,
                Err(Some(denied)) => Some(denied),
                // Nobody waits for it any more; what was open before it is closed.
                Err(None) => return driver.show(),
            };
            driver.room.call().update(|call| {
                call.asking = None;
                // Whoever picks no screen has thought better of it.
                let is_choice = (source, denied) == (Source::Screen, Some(Denied::Refused));
                call.denied = denied.filter(|_| !is_choice).map(|denied| (source, denied));
            });
            if denied.is_none() && source == Source::Microphone {
                driver.handle(Event::Call(true));
            }
            driver.show();
        });
    }

    /// Nobody waits any more for what the browser is asked for.
    pub(crate) fn give_up_asking(&self) {
        self.studio.give_up();
        self.room.call().update(|call| call.asking = None);
        // What was open before is closed.
        self.show();
    }

    /// From now on this microphone or camera is used; one that is off stays off.
    pub(crate) fn choose_device(&self, source: Source, device: String) {
        self.studio.choose(source, device);
        if self.studio.is_open(source) {
            self.open_source(source);
        }
    }

    /// Which one is used, or would be.
    pub(crate) fn device(&self, source: Source) -> Option<String> {
        self.studio.device(source)
    }

    /// Lets nobody see it any more.
    pub(crate) fn close_source(&self, source: Source) {
        self.studio.close(source);
        self.show();
    }

    /// Has nobody hear me, or everybody again: then a microphone that is not open is asked for.
    pub(crate) fn mute(&self, mute: bool) {
        match self.studio.mute(Source::Microphone, mute) {
            false if !mute => self.open_source(Source::Microphone),
            _ => self.show(),
        }
    }

    /// What those in the call get from me now.
    fn show(&self) {
        let is_on = |source| self.studio.is_on(source);
        let mine = Media {
            microphone: is_on(Source::Microphone),
            camera: is_on(Source::Camera),
            screen: is_on(Source::Screen),
        };
        self.shell.links.borrow().values().for_each(|link| link.media.attach());
        self.room.call().update(|call| call.mine = mine);
        self.handle(Event::Show(mine));
    }

    /// What my camera sees.
    pub(crate) fn my_view(&self) -> Option<MediaStream> {
        self.studio.view()
    }

    /// Face and voice, and the screen, of whoever is at the other end of this connection.
    pub(crate) fn their_view(&self, link: LinkId) -> Option<[MediaStream; 2]> {
        self.shell.links.borrow().get(&link).map(|link| link.media.theirs.clone())
    }

    /// How loud it is at the other ends, from 0 to 1.
    pub(crate) fn levels(&self) -> Vec<(LinkId, f64)> {
        self.shell.links.borrow().iter().map(|(id, link)| (*id, link.media.level())).collect()
    }

    fn carry_out(&self, effect: Effect) {
        match effect {
            Effect::File { id, what } => {
                let (tell, of) = (self.shell.teller(), id.clone());
                let tell = move |event| tell(Event::File { id: of.clone(), event });
                let files = self.room.files().read_untracked();
                let name = files.iter().find(|file| file.id == id);
                let name = name.map_or_else(String::new, |file| file.name.clone());
                drop(files);
                self.files.borrow_mut().carry_out(&id, what, &name, tell);
            }
            Effect::Keep { scope: Scope::Tab, key, text } => keep_here(&key, &text),
            Effect::Keep { scope: Scope::Shared, key, text } => keep(&key, &text),
            Effect::Tell(change) => {
                if let Change::Renamed(name) = &change {
                    keep_name(name);
                }
                if matches!(change, Change::Call(None)) {
                    self.studio.close_all();
                    self.room.call().update(|call| (call.asking, call.mine) = Default::default());
                }
                apply(self.room, change);
            }
            // They are for the network, where the shell has carried them out.
            Effect::Open { .. }
            | Effect::Fetch { .. }
            | Effect::Send { .. }
            | Effect::Close { .. }
            | Effect::Link { .. } => {}
        }
    }

    /// Asks for what was said before all that the page shows. If that fails, it can be asked for again.
    pub(crate) fn show_older(&self, room: Store<RoomState>) {
        #[derive(Deserialize)]
        struct Older {
            messages: Vec<Message>,
        }
        if room.past().get_untracked() != Past::More {
            return;
        }
        let Some(oldest) = oldest(room) else { return room.past().set(Past::None) };
        room.past().set(Past::Coming);
        let name = encode_component(room.name().get_untracked().as_str());
        let url =
            base::path(&format!("/api/rooms/{name}/messages?before={oldest}&limit={AT_ONCE}"));
        spawn_local(async move {
            let answer = ask(Method::Get, &url, None, None).await.ok();
            let body = answer.and_then(|(status, _, body)| (status == 200).then_some(body));
            match body.and_then(|body| serde_json::from_str::<Older>(&body).ok()) {
                Some(Older { messages }) => {
                    show_older(room, oldest, messages);
                    after_drawing(move || {
                        if room.past().try_get_untracked() == Some(Past::Placing) {
                            room.past().set(Past::More);
                        }
                    });
                }
                None => room.past().set(Past::More),
            }
        });
    }

    /// What the window has to say. Its listeners go with the page.
    fn listen(&self) {
        let (room, drawing) = (self.room, Rc::downgrade(&self.drawing));
        let listener = window_event_listener_untyped("input", move |_| {
            if let Some(drawing) = drawing.upgrade() {
                drawing.wrote();
            }
        });
        on_cleanup(move || listener.remove());
        room.offline().set(is_offline());
        for name in WINDOW {
            let tell = self.shell.teller();
            let listener = window_event_listener_untyped(name, move |event| {
                if ["online", "offline"].contains(&name) {
                    room.offline().set(is_offline());
                }
                of_the_window(&event).into_iter().for_each(&tell);
            });
            on_cleanup(move || listener.remove());
        }
    }
}

/// How many older messages are asked for at once.
const AT_ONCE: usize = 100;

/// The events of the window that matter.
const WINDOW: [&str; 6] =
    ["online", "offline", "pageshow", "pagehide", "visibilitychange", "storage"];

/// What one of them says.
fn of_the_window(event: &web_sys::Event) -> Vec<Event> {
    match event.type_().as_str() {
        "online" | "pageshow" => vec![Event::Wake],
        "pagehide" => vec![Event::Leaving],
        "visibilitychange" if is_hidden() => vec![Event::Idle(true)],
        "visibilitychange" => vec![Event::Idle(false), Event::Wake],
        _ => {
            // Without a key, all was cleared.
            let kept = event.dyn_ref::<StorageEvent>();
            let kept = kept.and_then(|event| Some((event.key()?, event.new_value())));
            let kept = kept.map(|(key, text)| (key, text.unwrap_or_default()));
            kept.map(|(key, text)| Event::Kept { key, text }).into_iter().collect()
        }
    }
}

/// Asks the server to know me by this name at each later visit, also if the page goes before it has answered.
fn keep_name(name: &MemberName) {
    let body = format!("name={}", encode_component(name.as_str()));
    spawn_local(async move {
        let request = Request::post(&base::path("/settings"))
            .header("accept", "application/json")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body);
        if let Some(request) = request.ok().and_then(outliving) {
            // If this fails, the name is good for this visit and asked for again at the next.
            let _ = request.send().await;
        }
    });
}

/// The request, which goes on when the page has gone (Fetch, section 5.4).
fn outliving(request: Request) -> Option<Request> {
    let how = RequestInit::new();
    // web-sys has no name for it.
    Reflect::set(&how, &"keepalive".into(), &true.into()).ok()?;
    let request = web_sys::Request::new_with_request_and_init(&request.into(), &how);
    request.ok().map(Request::from)
}
