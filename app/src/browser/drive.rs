//! Carries out what the client wants, and tells it what happens in the browser.
//!
//! The rule to keep: it decides nothing. All it owns goes with it: connections, requests, the timer.

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, VecDeque},
    rc::{Rc, Weak},
};

use client::{
    Change, Client, Effect, Event, FileEvent, LegId, LinkEffect, LinkEvent, LinkId, Media, Method,
    Scope, Setup, Transport, encode_component,
};
use common::{After, MemberId, MemberName, Message, MessageId, Position};
use gloo_net::http::Request;
use gloo_timers::callback::Timeout;
use leptos::{prelude::*, task::spawn_local};
use reactive_stores::Store;
use wasm_bindgen::JsCast;
use web_sys::{AbortController, AbortSignal, File, MediaStream, StorageEvent};

use super::{
    Denied, Sink, Source, all_kept, files::Files, is_hidden, keep, keep_here, link::Link, now,
    origin, reaches_browsers, studio::Studio, wire::Wire,
};
use crate::{
    page::Ice,
    room::{RoomState, RoomStateStoreFields, apply, apply_rows},
};

/// The longest a timer is set to, in milliseconds: browsers count in 32 bits.
const LONGEST_MS: u64 = 24 * 60 * 60 * 1_000;

/// How long before it expires what TURN servers ask for is asked for anew, in milliseconds.
const RENEW_ICE_MS: f64 = 6.0 * 60.0 * 60.0 * 1_000.0;

/// One leg: dropping it closes its connection and breaks off its requests.
#[derive(Default)]
struct Leg {
    wire: Option<Wire>,
    abort: Option<AbortController>,
}

impl Drop for Leg {
    fn drop(&mut self) {
        if let Some(abort) = &self.abort {
            abort.abort();
        }
    }
}

/// The shell of one page's client.
pub(crate) struct Driver {
    client: RefCell<Client>,
    room: Store<RoomState>,
    /// Events that came while another was handled.
    waiting: RefCell<VecDeque<Event>>,
    is_busy: Cell<bool>,
    legs: RefCell<HashMap<LegId, Leg>>,
    links: RefCell<HashMap<LinkId, Link>>,
    files: RefCell<Files>,
    studio: Studio,
    ice: Rc<RefCell<Option<Ice>>>,
    timer: RefCell<Option<Timeout>>,
    own: Weak<Self>,
}

impl Driver {
    /// Connects to the room as it was rendered, up to `position`, and stays connected.
    pub(crate) fn start(room: Store<RoomState>, position: Position, ice: Option<Ice>) -> Rc<Self> {
        let me = room.me().get_untracked();
        let rows = room.rows().read_untracked();
        let messages: Vec<Message> =
            rows.iter().filter_map(|row| Some(Message::clone(row.message()?))).collect();
        let seed = (js_sys::Math::random() * (1_u64 << 53) as f64) as u64;
        let client = Client::new(Setup {
            after: After::Position(position),
            messages,
            name: me.named.then(|| me.member.name.clone()),
            name_is_kept: true,
            me: Some(me.member),
            view: true,
            direct: reaches_browsers(),
            ..Setup::new(&origin(), room.name().get_untracked(), seed)
        });
        drop(rows);
        let driver = Rc::new_cyclic(|own| Self {
            client: RefCell::new(client),
            room,
            waiting: RefCell::default(),
            is_busy: Cell::default(),
            legs: RefCell::default(),
            links: RefCell::default(),
            files: RefCell::default(),
            studio: Studio::default(),
            ice: Rc::new(RefCell::new(ice)),
            timer: RefCell::default(),
            own: own.clone(),
        });
        driver.listen();
        let (tab, shared) = all_kept();
        driver.handle(Event::Idle(is_hidden()));
        driver.handle(Event::Start { tab, shared });
        driver
    }

    /// Tells the client what happened, and does what it wants. Called meanwhile, it waits its turn.
    pub(crate) fn handle(&self, event: Event) {
        self.waiting.borrow_mut().push_back(event);
        if self.is_busy.replace(true) {
            return;
        }
        let mut rows = Vec::new();
        while let Some(event) = self.next_event() {
            self.client.borrow_mut().handle(now() as u64, event);
            while let Some(effect) = self.next_effect() {
                match effect {
                    Effect::Tell(Change::Row(change)) => rows.push(change),
                    effect => self.carry_out(effect),
                }
            }
        }
        if !rows.is_empty() {
            apply_rows(self.room, rows);
        }
        self.is_busy.set(false);
        self.set_timer();
    }

    /// Offers a file to a member.
    pub(crate) fn send_file(&self, id: MessageId, file: File, to: MemberId) {
        let (name, size) = (file.name(), file.size() as u64);
        self.files.borrow_mut().send(id.clone(), file);
        self.handle(Event::File { id, event: FileEvent::Offer { to, name, size } });
    }

    /// Takes a file that was offered.
    pub(crate) fn take_file(&self, id: MessageId, sink: Sink) {
        self.files.borrow_mut().take(id.clone(), sink);
        self.handle(Event::File { id, event: FileEvent::Accept });
    }

    /// Asks for a microphone, a camera or a screen, and lets those in the call have it; with a microphone I am in it, if
    /// I was not.
    pub(crate) fn open_source(&self, source: Source, device: Option<String>) {
        self.studio.give_up();
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
                // Nobody waits for it any more.
                Err(None) => return,
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
    }

    /// Lets nobody see it any more.
    pub(crate) fn close_source(&self, source: Source) {
        self.studio.close(source);
        self.show();
    }

    /// Has nobody hear me, or everybody again; a microphone that is not open is asked for.
    pub(crate) fn mute(&self, mute: bool) {
        match self.studio.mute(Source::Microphone, mute) {
            true => self.show(),
            false => self.open_source(Source::Microphone, None),
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
        self.links.borrow().values().for_each(|link| link.media.attach());
        self.room.call().update(|call| call.mine = mine);
        self.handle(Event::Show(mine));
    }

    /// What my camera sees.
    pub(crate) fn my_view(&self) -> Option<MediaStream> {
        self.studio.view()
    }

    /// Face and voice, and the screen, of whoever is at the other end of this connection.
    pub(crate) fn their_view(&self, link: LinkId) -> Option<[MediaStream; 2]> {
        self.links.borrow().get(&link).map(|link| link.media.theirs.clone())
    }

    /// How loud it is at the other ends, from 0 to 1.
    pub(crate) fn levels(&self) -> Vec<(LinkId, f64)> {
        self.links.borrow().iter().map(|(id, link)| (*id, link.media.level())).collect()
    }

    fn next_event(&self) -> Option<Event> {
        self.waiting.borrow_mut().pop_front()
    }

    fn next_effect(&self) -> Option<Effect> {
        self.client.borrow_mut().poll()
    }

    fn set_timer(&self) {
        let deadline = self.client.borrow().deadline();
        let timer = deadline.map(|(at, _)| {
            let left = at.saturating_sub(now() as u64).min(LONGEST_MS);
            let tell = self.teller();
            Timeout::new(left as u32, move || tell(Event::Time))
        });
        *self.timer.borrow_mut() = timer;
    }

    /// Tells this driver, as long as it is there.
    fn teller(&self) -> impl Fn(Event) + Clone + use<> {
        let own = self.own.clone();
        move |event| {
            if let Some(driver) = own.upgrade() {
                driver.handle(event);
            }
        }
    }

    fn carry_out(&self, effect: Effect) {
        match effect {
            Effect::Open { leg, transport, url } => self.open(leg, transport, &url),
            Effect::Fetch { leg, request, method, url, body } => {
                let (signal, tell) = (self.signal(leg), self.teller());
                spawn_local(async move {
                    let answer = ask(method, &url, body, signal).await;
                    tell(match answer {
                        Ok((status, problem, body)) => {
                            Event::Answered { leg, request, status, problem, body }
                        }
                        Err(_) => Event::Unanswered { leg, request },
                    });
                });
            }
            Effect::Send { leg, text } => {
                if let Some(wire) = self.legs.borrow().get(&leg).and_then(|leg| leg.wire.as_ref()) {
                    wire.send(&text);
                }
            }
            Effect::Close { leg } => {
                let leg = self.legs.borrow_mut().remove(&leg);
                drop(leg);
            }
            Effect::Link { link, what } => self.link(link, what),
            Effect::File { id, what } => {
                let (tell, of) = (self.teller(), id.clone());
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
        }
    }

    fn open(&self, leg: LegId, transport: Transport, url: &str) {
        match Wire::open(leg, transport, url, self.teller()) {
            Ok(wire) => self.legs.borrow_mut().entry(leg).or_default().wire = Some(wire),
            Err(_) => {
                let reason = String::new();
                self.handle(Event::Closed { leg, code: 1006, reason, was_clean: false });
            }
        }
    }

    fn link(&self, link: LinkId, what: LinkEffect) {
        let tell = self.teller();
        let tell = move |event| tell(Event::Link { link, event });
        if matches!(what, LinkEffect::Connect | LinkEffect::Offer { restart: true }) {
            self.renew_ice();
        }
        match what {
            LinkEffect::Connect => match Link::new(
                self.ice.borrow().as_ref(),
                self.studio.tracks.clone(),
                tell.clone(),
            ) {
                Ok(made) => drop(self.links.borrow_mut().insert(link, made)),
                Err(_) => tell(LinkEvent::Closed),
            },
            LinkEffect::Close => {
                let closed = self.links.borrow_mut().remove(&link);
                drop(closed);
            }
            what => {
                if let Some(link) = self.links.borrow().get(&link) {
                    link.carry_out(what, self.ice.borrow().as_ref(), tell);
                }
            }
        }
    }

    /// Asks anew for what TURN servers ask for, while what is known is still good for a while.
    fn renew_ice(&self) {
        let due = self.ice.borrow().as_ref().map(|ice| ice.expires_at as f64 - RENEW_ICE_MS);
        if due.is_some_and(|due| now() > due) {
            let ice = self.ice.clone();
            spawn_local(async move {
                // Another time, if not now.
                if let Ok((200, _, body)) = ask(Method::Get, "/api/ice", None, None).await
                    && let Ok(new) = serde_json::from_str(&body)
                {
                    *ice.borrow_mut() = Some(new);
                }
            });
        }
    }

    fn signal(&self, leg: LegId) -> Option<AbortSignal> {
        let mut legs = self.legs.borrow_mut();
        let abort = &mut legs.entry(leg).or_default().abort;
        if abort.is_none() {
            *abort = AbortController::new().ok();
        }
        abort.as_ref().map(AbortController::signal)
    }

    /// What the window has to say. Its listeners go with the page.
    fn listen(&self) {
        for name in WINDOW {
            let tell = self.teller();
            let listener = window_event_listener_untyped(name, move |event| {
                of_the_window(&event).into_iter().for_each(&tell);
            });
            on_cleanup(move || listener.remove());
        }
    }
}

/// The events of the window that matter.
const WINDOW: [&str; 5] = ["online", "pageshow", "pagehide", "visibilitychange", "storage"];

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

/// Makes a request; returns its status, whether it is a problem document, and its body.
async fn ask(
    method: Method,
    url: &str,
    body: Option<String>,
    signal: Option<AbortSignal>,
) -> Result<(u16, bool, String), gloo_net::Error> {
    let request = match method {
        Method::Get => Request::get(url),
        Method::Post => Request::post(url),
    };
    let request = request.abort_signal(signal.as_ref());
    let answer = match body {
        Some(body) => request.body(body)?.send().await?,
        None => request.send().await?,
    };
    let kind = answer.headers().get("content-type").unwrap_or_default();
    let problem = kind.starts_with("application/problem+json");
    Ok((answer.status(), problem, answer.text().await?))
}

/// Asks the server to know me by this name at each later visit.
fn keep_name(name: &MemberName) {
    let body = format!("name={}", encode_component(name.as_str()));
    spawn_local(async move {
        let request = Request::post("/settings")
            .header("accept", "application/json")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body);
        if let Ok(request) = request {
            // If this fails, the name is good for this visit and asked for again at the next.
            let _ = request.send().await;
        }
    });
}
