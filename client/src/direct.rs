//! Talking without the hub: which sessions a connection is wanted to, and what goes over it.
//!
//! `link` is how two browsers agree on one connection, `peer` when there is one at all, `simulation` plays both
//! thousands of times; `files` is what goes over it that the hub could not carry. The rule to keep: the hub says who
//! somebody is. A session is reached by what the hub has handed on from it, so whoever writes directly can't pass for
//! another.

mod files;
mod link;
mod peer;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use common::{Member, MemberId, MessageId, Offset, Publish, SessionId, Signalling};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use self::{
    files::{Do, Files},
    link::Step,
    peer::{Action, Peer},
};
pub use self::{
    files::{File, FileEffect, FileEvent, Stage, Why as FileWhy},
    peer::Road,
};
use crate::Millis;

/// One connection to another browser: counts from 1, and never comes again.
pub type LinkId = u32;

/// What is to be done with a connection to another browser (`RTCPeerConnection`).
#[derive(Clone, Debug, PartialEq)]
pub enum LinkEffect {
    /// Make one, with the ordered channels of all [`Lane`]s, which are negotiated already.
    Connect,
    /// Have it make an offer and take it; where `restart` is set, with other ways than before. Tell
    /// [`LinkEvent::Described`].
    Offer {
        /// Whether the ways are looked for anew.
        restart: bool,
        /// Whether it may open lanes for what is heard and seen: the other side does not.
        lanes: bool,
    },
    /// Have it take this offer, in place of its own, and make and take an answer. Tell [`LinkEvent::Described`].
    Answer {
        /// The offer.
        sdp: String,
    },
    /// Have it take this answer. Tell [`LinkEvent::Accepted`].
    Accept {
        /// The answer.
        sdp: String,
    },
    /// Have it try a way to the other side. Nothing is told.
    Try {
        /// An `RTCIceCandidateInit`.
        candidate: Value,
    },
    /// Send this on one of its channels.
    Send {
        /// On which.
        lane: Lane,
        /// What.
        text: String,
    },
    /// Send these bytes on its channel of files.
    Bytes {
        /// What: 64 KiB at the most.
        bytes: Vec<u8>,
    },
    /// From now on what this side says and shows goes over it, if it says or shows anything, and what the other does comes;
    /// or no more. It is agreed on by the next offer or answer.
    Media(bool),
    /// Tell [`LinkEvent::Room`] once little waits on its channel of files.
    Room,
    /// Close it, and let go of all it had. What it still says is not heard.
    Close,
}

/// What happened on a connection to another browser.
#[derive(Clone, Debug, PartialEq)]
pub enum LinkEvent {
    /// It has made what it was asked for; `None` if it can't.
    Described(Option<String>),
    /// It has taken the answer, or can't.
    Accepted(bool),
    /// It has found a way to this side: an `RTCIceCandidateInit`.
    Way(Value),
    /// The two sides reach each other (`connected`).
    Reached,
    /// They do not for now (`disconnected`).
    Interrupted,
    /// They do not any more (`failed`).
    Lost,
    /// All channels are open.
    Opened,
    /// This came on a channel.
    Heard(Lane, String),
    /// These bytes came on the channel of files.
    Bytes(Vec<u8>),
    /// The channel of files takes more.
    Room,
    /// A channel is closed, or there can't be a connection.
    Closed,
}

/// The channels of a connection: what goes on one does not wait for what goes on another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// What is said.
    Talk,
    /// Files.
    Files,
}

impl Lane {
    /// All of them; the id of its channel is its place here.
    pub const ALL: [Self; 2] = [Self::Talk, Self::Files];
    /// The longest message on any of them, in bytes or UTF-16 units: whoever sends a longer one is no page of ours
    /// ([`LinkEvent::Closed`]).
    pub const LONGEST: u32 = 64 * 1024;
}

/// What one side of a call lets the other hear and see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Media {
    /// Its microphone.
    pub microphone: bool,
    /// Its camera.
    pub camera: bool,
    /// What is on its screen.
    pub screen: bool,
}

/// What comes of it, in this order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Out {
    /// Do this with a connection.
    Link(LinkId, LinkEffect),
    /// Hand this on to a session, through the hub.
    Signal(SessionId, Value),
    /// A member says this, which comes behind what is in the log up to there.
    Said(Member, Publish, Offset),
    /// The other side has what was said under this id.
    Taken(MessageId),
    /// What was on its way directly may be lost.
    Lost,
    /// Do this with a file.
    File(MessageId, FileEffect),
    /// These files are on their way, offered, or over.
    Files(Vec<File>),
}

/// In the `data` of `signalling` between pages: a word about files. If there is none it is a letter.
const FILE: &str = "file";

/// What crosses a channel.
#[derive(Serialize, Deserialize)]
#[serde(tag = "type", content = "params", rename_all = "snake_case")]
enum Word {
    Ping {},
    Pong {},
    /// The params of a `message` frame to the server, and how far its sender has got in the log with what it said before.
    Message {
        after: Offset,
        message: Value,
    },
    Ack {
        id: MessageId,
    },
    /// What I let the other side hear and see in the call.
    Media(Media),
}

/// How many sessions a connection is held to, or tried.
const PAIRS: usize = 16;
/// How many letters that nobody asked for are answered in a second.
const ANSWERED: u32 = 4;
/// More texts than this within [`FLOOD_MS`] are too much; a message and what acknowledges another are two, and so are
/// each MiB of a file that goes and one that comes.
const FLOOD: u32 = 2_000;
const FLOOD_MS: Millis = 5_000;

#[derive(Clone, Debug)]
struct Pair {
    member: Member,
    peer: Peer,
    link: Option<LinkId>,
    /// Its channels are open.
    open: bool,
    /// How what is said went when that was looked at last.
    road: Road,
    /// How much came on the channel since when.
    heard: (Millis, u32),
    /// We are in a call with it.
    called: bool,
    /// What it lets us hear and see there.
    theirs: Media,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Direct {
    /// The public part of this session; without it nobody is reached.
    me: String,
    life: Millis,
    /// How many letters were answered that nobody asked for, since when.
    answered: (Millis, u32),
    pairs: HashMap<SessionId, Pair>,
    files: Files,
    /// What we let others hear and see in the call.
    mine: Media,
    last: LinkId,
    out: Vec<Out>,
}

impl Direct {
    /// This session is reached by others as `me`, since `now`; nobody is while that is empty.
    pub(crate) fn be(&mut self, me: &str, now: Millis) {
        if self.me == me {
            return;
        }
        for pair in self.pairs.values_mut() {
            pair.peer.drop_link();
        }
        self.collect();
        self.settle(now);
        self.pairs.clear();
        (self.me, self.life) = (me.to_owned(), now);
    }

    /// Something is to be said to this session.
    pub(crate) fn want(&mut self, session: &SessionId, member: &Member, now: Millis) {
        if let Some(pair) = self.pair(session, member) {
            pair.peer.want(now);
            self.collect();
        }
    }

    fn pair(&mut self, session: &SessionId, member: &Member) -> Option<&mut Pair> {
        if self.me.is_empty() || session.public() == self.me {
            return None;
        }
        if !self.pairs.contains_key(session) {
            if self.pairs.len() >= PAIRS {
                self.pairs.retain(|_, pair| pair.link.is_some() || pair.called);
            }
            if self.pairs.len() >= PAIRS {
                return None;
            }
            let polite = self.me.as_str() < session.public();
            let (peer, member) = (Peer::new(polite, self.life), member.clone());
            self.pairs.insert(session.clone(), Pair::new(peer, member));
        }
        let pair = self.pairs.get_mut(session)?;
        pair.member = member.clone();
        Some(pair)
    }

    /// We are in a call with these, or in none. Each is connected with each. Of a connection that nothing else is for, to
    /// `page` what is said or a file, there is no other after it; and once we have left the call, it is over.
    pub(crate) fn call(
        &mut self,
        with: Option<&HashMap<SessionId, Member>>,
        page: Option<&SessionId>,
        now: Millis,
    ) {
        let mut over = Vec::new();
        for (session, pair) in &mut self.pairs {
            if !pair.called || with.is_some_and(|with| with.contains_key(session)) {
                continue;
            }
            pair.called = false;
            self.out.extend(pair.link.map(|link| Out::Link(link, LinkEffect::Media(false))));
            if Some(session) == page || self.files.is_underway_with(session) {
                continue;
            }
            // A server that was started anew does not know yet who is in it: the connection stays.
            pair.peer.let_be();
            if with.is_none() {
                pair.peer.drop_link();
                over.push(session.clone());
            }
        }
        self.collect();
        over.iter().for_each(|session| drop(self.pairs.remove(session)));
        for (session, member) in with.into_iter().flatten() {
            let Some(pair) = self.pair(session, member).filter(|pair| !pair.called) else {
                continue;
            };
            pair.called = true;
            if pair.peer.road() == Road::Relayed {
                // There was no way before; there may be one now.
                pair.peer.wake(now);
            }
            pair.peer.want(now);
            let (link, is_open) = (pair.link, pair.open);
            if let Some(link) = link {
                pair.peer.renegotiate(now);
                self.out.push(Out::Link(link, LinkEffect::Media(true)));
                if is_open {
                    self.out.push(word(link, &Word::Media(self.mine)));
                }
            }
            self.collect();
        }
        self.settle(now);
    }

    /// What we let them hear and see from now on.
    pub(crate) fn show(&mut self, mine: Media) {
        self.mine = mine;
        let called = self.pairs.values().filter(|pair| pair.called && pair.open);
        let words = called.filter_map(|pair| Some(word(pair.link?, &Word::Media(mine))));
        self.out.extend(words);
    }

    /// What there is of somebody in the call: the connection, how it is, and what comes over it.
    pub(crate) fn called(&self, session: &SessionId) -> (Option<LinkId>, Road, Media) {
        let pair = self.pairs.get(session);
        pair.map(|pair| (pair.link, pair.peer.road(), pair.theirs)).unwrap_or_default()
    }

    /// How what is said to this session goes.
    pub(crate) fn road(&self, session: &SessionId) -> Road {
        self.pairs.get(session).map(|pair| pair.peer.road()).unwrap_or_default()
    }

    /// Sends what is said directly; what was said before is in the log up to `after`.
    pub(crate) fn say(&mut self, session: &SessionId, publish: Publish, after: Offset) {
        let link = self.pairs.get(session).and_then(|pair| pair.link);
        // Strings, numbers and maps with string keys always encode.
        let message = serde_json::to_value(publish).unwrap_or_default();
        self.out.extend(link.map(|link| word(link, &Word::Message { after, message })));
    }

    /// The hub has handed something on.
    pub(crate) fn signalled(
        &mut self,
        Signalling { from, session, data }: Signalling,
        now: Millis,
    ) {
        // What is neither is of somebody who does this in another way.
        if let Some(file) = data.get(FILE).cloned().and_then(read) {
            return self.files(now, |files| files.heard(&session, &from, file, false));
        }
        let Some(letter) = read(data) else { return };
        let pair = self.pairs.get_mut(&session);
        match pair.filter(|pair| pair.link.is_some() || pair.peer.is_wanted()) {
            Some(pair) => {
                pair.member = from;
                pair.peer.hear(letter, now);
                self.collect();
                self.settle(now);
            }
            // A connection may tell each the other's address: it is made only with whom both want it.
            None => {
                let letter = Peer::decline(letter, self.life);
                let letter = letter.filter(|_| self.may_answer(now));
                let data = letter.and_then(|letter| serde_json::to_value(letter).ok());
                self.out.extend(data.map(|data| Out::Signal(session, data)));
            }
        }
    }

    /// Whoever makes us answer takes from what we may say.
    fn may_answer(&mut self, now: Millis) -> bool {
        let (since, answered) = &mut self.answered;
        if now >= *since + 1_000 {
            (*since, *answered) = (now, 0);
        }
        *answered += 1;
        *answered <= ANSWERED
    }

    /// Of those with whom there is no connection, and no call, only these pages are still there; `page_of` knows the only one of each
    /// member.
    pub(crate) fn keep(
        &mut self,
        is_there: impl Fn(&SessionId) -> bool,
        page_of: impl Fn(&MemberId) -> Option<SessionId>,
        now: Millis,
    ) {
        self.pairs.retain(|session, pair| pair.link.is_some() || pair.called || is_there(session));
        self.files(now, |files| files.keep(is_there, page_of));
    }

    /// Something happened with a file, or is wanted with it; one that is offered is for `to`.
    pub(crate) fn file(
        &mut self,
        id: &MessageId,
        event: FileEvent,
        to: Option<(Option<SessionId>, Member)>,
        now: Millis,
    ) {
        self.files(now, |files| match (event, to) {
            (FileEvent::Offer { name, size, .. }, Some(to)) => {
                files.offer(id.clone(), to, (&name, size));
            }
            (event, _) => files.happened(id, event),
        });
    }

    /// Tells the files something, and does what comes of it.
    fn files(&mut self, now: Millis, tell: impl FnOnce(&mut Files)) {
        self.files.set_time(now);
        tell(&mut self.files);
        self.settle(now);
    }

    /// Does what comes of what the files were told, until nothing does.
    fn settle(&mut self, now: Millis) {
        self.files.set_time(now);
        loop {
            let dos = self.files.take();
            if dos.is_empty() {
                break;
            }
            for what in dos {
                match what {
                    Do::Tell(session, file) => self.say_of_file(session, file),
                    Do::Answer(session, file) => {
                        if self.lane(&session).is_some() || self.may_answer(now) {
                            self.say_of_file(session, file);
                        }
                    }
                    Do::Bytes(session, bytes) => {
                        let bytes = |link| Out::Link(link, LinkEffect::Bytes { bytes });
                        self.out.extend(self.lane(&session).map(bytes));
                    }
                    Do::Room(session) => {
                        let room = |link| Out::Link(link, LinkEffect::Room);
                        self.out.extend(self.lane(&session).map(room));
                    }
                    Do::Want(session, member) => self.want(&session, &member, now),
                    Do::Wake(session) => {
                        if let Some(pair) = self.pairs.get_mut(&session) {
                            pair.peer.wake(now);
                            self.collect();
                        }
                    }
                    Do::Effect(id, effect) => self.out.push(Out::File(id, effect)),
                }
            }
        }
        self.out.extend(self.files.take_shown().map(Out::Files));
    }

    /// On the channel of files, if there is one; else through the hub.
    fn say_of_file(&mut self, session: SessionId, file: files::Word) {
        match self.lane(&session) {
            Some(link) => self.out.push(send(link, Lane::Files, &file)),
            None => {
                // Strings, numbers and maps with string keys always encode.
                let data = serde_json::to_value(HashMap::from([(FILE, file)]));
                self.out.push(Out::Signal(session, data.unwrap_or_default()));
            }
        }
    }

    /// The connection to this page, once its channels are open.
    fn lane(&self, session: &SessionId) -> Option<LinkId> {
        self.pairs.get(session).filter(|pair| pair.open).and_then(|pair| pair.link)
    }

    /// Something happened on a connection; on one that is gone, nothing comes of it.
    pub(crate) fn happened(&mut self, link: LinkId, event: LinkEvent, now: Millis) {
        let mut pairs = self.pairs.iter_mut();
        let Some((session, pair)) = pairs.find(|(_, pair)| pair.link == Some(link)) else {
            return;
        };
        self.files.set_time(now);
        let opens = matches!(event, LinkEvent::Opened | LinkEvent::Heard(..));
        if opens && !std::mem::replace(&mut pair.open, true) {
            self.files.up(session);
            if pair.called {
                self.out.push(word(link, &Word::Media(self.mine)));
            }
        }
        let peer = &mut pair.peer;
        match event {
            LinkEvent::Described(sdp) => peer.made(sdp, now),
            LinkEvent::Accepted(ok) => peer.accepted(ok, now),
            LinkEvent::Way(candidate) => peer.found_way(candidate),
            LinkEvent::Reached => peer.reach(true, false, now),
            LinkEvent::Interrupted => peer.reach(false, false, now),
            LinkEvent::Lost => peer.reach(false, true, now),
            LinkEvent::Opened => peer.opened(),
            LinkEvent::Closed => peer.fail(now),
            LinkEvent::Room => self.files.has_room(session),
            LinkEvent::Bytes(bytes) => {
                // Of a file that was given up here some may still come.
                if !self.files.came(session, &bytes) && pair.is_flood(now) {
                    pair.peer.fail(now);
                }
            }
            LinkEvent::Heard(..) if pair.is_flood(now) => pair.peer.fail(now),
            LinkEvent::Heard(Lane::Talk, text) => {
                let heard = pair.hear(&text, now);
                self.out.extend(heard);
            }
            LinkEvent::Heard(Lane::Files, text) => {
                // A newer page may say more.
                if let Some(word) = read_text(&text) {
                    self.files.heard(session, &pair.member, word, true);
                }
            }
        }
        self.collect();
        self.settle(now);
    }

    /// The network has changed.
    pub(crate) fn wake(&mut self, now: Millis) {
        self.pairs.values_mut().for_each(|pair| pair.peer.wake(now));
        self.collect();
        self.settle(now);
    }

    pub(crate) fn deadline(&self) -> Option<Millis> {
        let pairs = self.pairs.values().filter_map(|pair| pair.peer.deadline());
        pairs.chain(self.files.deadline()).min()
    }

    pub(crate) fn tick(&mut self, now: Millis) {
        self.pairs.values_mut().for_each(|pair| pair.peer.tick(now));
        self.collect();
        self.files(now, Files::tick);
    }

    /// What came of all that.
    pub(crate) fn take(&mut self) -> Vec<Out> {
        std::mem::take(&mut self.out)
    }

    fn collect(&mut self) {
        let Self { pairs, files, last, out, .. } = self;
        for (session, pair) in pairs {
            for action in pair.peer.take_actions() {
                if action == Action::Connect {
                    *last += 1;
                    pair.link = Some(*last);
                }
                let Some(link) = pair.link else {
                    out.extend(pair.letter(session, action));
                    continue;
                };
                match action {
                    Action::Connect => {
                        out.push(Out::Link(link, LinkEffect::Connect));
                        if pair.called {
                            out.push(Out::Link(link, LinkEffect::Media(true)));
                        }
                    }
                    Action::Disconnect => {
                        out.push(Out::Link(link, LinkEffect::Close));
                        (pair.link, pair.theirs) = (None, Media::default());
                        if std::mem::take(&mut pair.open) {
                            files.down(session);
                        }
                    }
                    Action::Ping => out.push(word(link, &Word::Ping {})),
                    Action::Step(step) => {
                        out.extend(step_effect(step).map(|effect| Out::Link(link, effect)));
                    }
                    action @ Action::Send(_) => out.extend(pair.letter(session, action)),
                }
            }
            let before = std::mem::replace(&mut pair.road, pair.peer.road());
            if before == Road::Direct && pair.road != Road::Direct {
                out.push(Out::Lost);
            }
            if before != Road::Relayed && pair.road == Road::Relayed {
                files.no_way(session);
            }
        }
    }
}

impl Pair {
    fn new(peer: Peer, member: Member) -> Self {
        Self {
            member,
            peer,
            link: None,
            open: false,
            road: Road::Hub,
            heard: (0, 0),
            called: false,
            theirs: Media::default(),
        }
    }

    fn letter(&self, session: &SessionId, action: Action) -> Option<Out> {
        let Action::Send(letter) = action else { return None };
        let data = serde_json::to_value(letter).ok()?;
        Some(Out::Signal(session.clone(), data))
    }

    /// Counts what the other side sends: whether this is too much.
    fn is_flood(&mut self, now: Millis) -> bool {
        let (since, heard) = &mut self.heard;
        if now >= *since + FLOOD_MS {
            (*since, *heard) = (now, 0);
        }
        *heard += 1;
        *heard > FLOOD
    }

    /// What comes of what the other side has said on the channel.
    fn hear(&mut self, text: &str, now: Millis) -> Vec<Out> {
        let Some(link) = self.link else { return Vec::new() };
        match read_text(text) {
            Some(Word::Ping {}) => vec![word(link, &Word::Pong {})],
            Some(Word::Pong {}) => {
                self.peer.answered(now);
                Vec::new()
            }
            Some(Word::Ack { id }) => vec![Out::Taken(id)],
            Some(Word::Media(theirs)) => {
                self.theirs = theirs;
                Vec::new()
            }
            Some(Word::Message { after, message }) => match Publish::from_params(message) {
                Ok(publish) => {
                    let ack = publish.id.clone().map(|id| word(link, &Word::Ack { id }));
                    let said = Out::Said(self.member.clone(), publish, after);
                    ack.into_iter().chain([said]).collect()
                }
                // What could not be said to the server can't be said here.
                Err(_) => Vec::new(),
            },
            // A newer page may say more.
            None => Vec::new(),
        }
    }
}

/// All that comes of another page is read from a [`Value`]: each reader more is code that every page loads.
fn read<T: DeserializeOwned>(value: Value) -> Option<T> {
    serde_json::from_value(value).ok()
}

fn read_text<T: DeserializeOwned>(text: &str) -> Option<T> {
    read(serde_json::from_str(text).ok()?)
}

fn word(link: LinkId, word: &Word) -> Out {
    send(link, Lane::Talk, word)
}

fn send(link: LinkId, lane: Lane, word: &impl Serialize) -> Out {
    // Strings and maps with string keys always encode.
    let text = serde_json::to_string(word).unwrap_or_default();
    Out::Link(link, LinkEffect::Send { lane, text })
}

fn step_effect(step: Step) -> Option<LinkEffect> {
    Some(match step {
        Step::Offer { restart, lanes } => LinkEffect::Offer { restart, lanes },
        Step::Answer { sdp } => LinkEffect::Answer { sdp },
        Step::Accept { sdp } => LinkEffect::Accept { sdp },
        Step::Try { candidate } => LinkEffect::Try { candidate },
        // These are letters, and what the pair does.
        Step::Describe(_) | Step::Candidates { .. } | Step::Afresh => return None,
    })
}
