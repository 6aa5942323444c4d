//! The client of a room's page: its shell, and what it shows and keeps.
//!
//! The rule to keep: it decides nothing. All it owns goes with it.

use std::{
    cell::{Cell, RefCell},
    rc::{Rc, Weak},
    sync::Arc,
    time::Duration,
};

use client::{
    Change, Client, Effect, Event, FileEvent, LinkId, Media, Method, RowChange, Scope, Setup,
    encode_component,
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
    Denied, Sink, Source, after_drawing, all_kept, clock,
    files::Files,
    has_focus, home, is_hidden, is_offline, keep, keep_here, now, reaches_browsers,
    shell::{Shell, Told, ask},
    studio::Studio,
    way::Way,
};
use crate::{
    base,
    page::Ice,
    room::{
        LiveRow, Past, RoomState, RoomStateStoreFields, apply, apply_rows, draw_more, mend_around,
        oldest, show_older,
    },
};

/// How many changes of rows wait for the next picture at the most.
const UNDRAWN: usize = 1_000;
/// For each millisecond that a picture takes, how many are left for all else before the next one of the list.
const REST: f64 = 2.0;
/// At the most so many milliseconds.
const LONGEST_REST: f64 = 500.0;
/// How many rows that come at once are too many to draw all of the list.
const MANY: usize = 16;
/// How high the lowest row is, in pixels of CSS.
const ROW: f64 = 22.0;
/// How long nothing comes before the rest of the list is drawn, in milliseconds.
const CALM: f64 = 500.0;

/// The shell of one page's client.
pub(crate) struct Driver {
    shell: Rc<Shell>,
    room: Store<RoomState>,
    /// What has changed in the list, not shown yet; what has come or happened, and when; what else is done to messages.
    rows: RefCell<Vec<RowChange>>,
    happened: RefCell<Vec<(Change, f64)>>,
    mends: RefCell<Vec<Arc<Message>>>,
    /// They will be, with the next picture.
    is_drawing: Cell<bool>,
    /// Until then what is not the list has its turn, on the clock of [`clock`].
    rest: Cell<f64>,
    /// When they were drawn last, if there is a time for those that were left out.
    drawn: Cell<Option<f64>>,
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
                rows: RefCell::default(),
                happened: RefCell::default(),
                mends: RefCell::default(),
                is_drawing: Cell::default(),
                rest: Cell::default(),
                drawn: Cell::default(),
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
            Told::Effect(Effect::Tell(Change::Row(change))) => self.rows.borrow_mut().push(change),
            Told::Effect(Effect::Tell(Change::Arrived { message, .. }))
                if message.mends().is_some() =>
            {
                self.mends.borrow_mut().push(message);
            }
            // Whether it is seen is known with the picture: of scrolling the browser tells right before.
            Told::Effect(Effect::Tell(change @ (Change::Arrived { .. } | Change::Happened(_)))) => {
                self.happened.borrow_mut().push((change, now()));
            }
            Told::Effect(effect) => self.carry_out(effect),
            Told::Settled => self.draw_soon(),
        }
    }

    /// Has rows drawn with the next picture: what comes and goes in between is never drawn. After one that took long there is
    /// time for all else, keys above all.
    fn draw_soon(&self) {
        let is_drawn = self.rows.borrow().is_empty()
            && self.happened.borrow().is_empty()
            && self.mends.borrow().is_empty();
        if is_drawn {
            return;
        }
        // Of a page that nobody sees there are no pictures.
        if is_hidden() || self.rows.borrow().len() > UNDRAWN {
            return self.draw();
        }
        if self.is_drawing.replace(true) {
            return;
        }
        let own = self.own.clone();
        let draw = move || {
            if let Some(driver) = own.upgrade() {
                driver.draw();
            }
        };
        match self.rest.get() - clock() {
            left if left > 0.0 => {
                let wait = Duration::from_secs_f64(left / 1_000.0);
                set_timeout(move || request_animation_frame(draw), wait);
            }
            _ => request_animation_frame(draw),
        }
    }

    fn draw(&self) {
        self.is_drawing.set(false);
        let began = clock();
        self.happened.take().into_iter().for_each(|(change, at)| apply(self.room, change, at));
        let rows = self.rows.take();
        if !rows.is_empty() {
            self.leave_out(&rows, began);
            apply_rows(self.room, rows);
        }
        self.mends.take().iter().for_each(|by| mend_around(self.room, by));
        let own = self.own.clone();
        // Its turn comes when the picture is there.
        let rest = move || {
            if let Some(driver) = own.upgrade() {
                let took = clock() - began;
                driver.rest.set(clock() + (REST * took).min(LONGEST_REST));
            }
        };
        set_timeout(rest, Duration::ZERO);
    }

    /// Of a list to whose end many come at once only the end is drawn, and the rest when nothing has come for a while. Nothing
    /// goes from under somebody's eyes or hands.
    fn leave_out(&self, changes: &[RowChange], now: f64) {
        let is_new = |change: &&RowChange| matches!(change, RowChange::Inserted { .. });
        let is_read = !self.room.at_end().get_untracked()
            || self.room.older().with_untracked(|older| !older.is_empty())
            || has_focus("#log .messages *");
        if changes.iter().filter(is_new).count() > MANY && !is_read {
            self.room.tail().set(screenful());
        }
        if self.room.tail().get_untracked() != usize::MAX && self.drawn.replace(Some(now)).is_none()
        {
            self.draw_rest_later();
        }
    }

    fn draw_rest_later(&self) {
        let own = self.own.clone();
        let draw_more = move || {
            let Some(driver) = own.upgrade() else { return };
            let tail = driver.room.tail().get_untracked();
            let is_calm = driver.drawn.get().is_none_or(|drawn| clock() - drawn >= CALM);
            if is_calm {
                draw_more(driver.room, tail.saturating_add(screenful()));
            }
            match driver.room.tail().get_untracked() {
                usize::MAX => driver.drawn.set(None),
                _ => driver.draw_rest_later(),
            }
        };
        set_timeout(draw_more, Duration::from_secs_f64(CALM / 1_000.0));
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
                apply(self.room, change, now());
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
        let room = self.room;
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

/// As many rows as fill the window, whatever its height.
fn screenful() -> usize {
    let height = window().inner_height().ok().and_then(|height| height.as_f64());
    height.map_or(0, |height| (height / ROW) as usize)
}

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
