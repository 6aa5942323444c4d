//! Files that go from one browser to another, and touch no server.
//!
//! A file is offered, and accepted or not; then it goes in blocks, each with the SHA-256 of all up to its end: what does
//! not fit is never written. The receiver says how much it has written, and the sender is never far ahead of that: the
//! network tells how fast it is, not how fast the other side's disk is. After a drop the file goes on from what was
//! verified. The rules to keep: the sender offers, and offers again whatever is unfinished, until it is answered; only
//! what came on the channel itself makes bytes flow.

mod incoming;
mod outgoing;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use common::{Member, MemberId, MemberName, MessageId, SessionId};
use serde::{Deserialize, Serialize};

use self::{incoming::Incoming, outgoing::Outgoing};
use crate::{Lane, Millis};

/// How much is read, verified and written at once: 1 MiB.
const BLOCK: u64 = 1024 * 1024;
/// How much may be on its way that the other side has not written: 8 MiB.
const WINDOW: u64 = 8 * BLOCK;
/// How much one message on a channel carries: 64 KiB, what every browser takes (RFC 8841, section 6.1).
const CHUNK: usize = Lane::LONGEST as usize;
/// The largest file: 1 TiB.
const FILE_BYTES: u64 = 1 << 40;
/// How many files may be on their way, or offered: to others, and from one page.
const UNDERWAY: usize = 16;
/// How many from all pages.
const COMING: usize = 64;
/// How many are shown, with those that are over.
const SHOWN: usize = 96;
/// How often something is offered again.
const AGAIN_MS: Millis = 5_000;
/// How long an offer waits for an answer, and a file for a connection.
const PATIENCE_MS: Millis = 10 * 60 * 1_000;
/// How long it takes at the most to hear of the page of somebody who has just come.
const FOUND_MS: Millis = 10_000;
/// How long the other page may be away: it may have lost its own connection to the server.
const AWAY_MS: Millis = 60_000;
/// How often another connection is tried for a file that had begun.
const WAKE_MS: Millis = 15_000;
/// How often progress is told.
const TOLD_MS: Millis = 250;
/// The longest name of a file, in characters.
const NAME_CHARS: usize = 150;

/// A file on its way, as whoever shows it sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// What both sides call it.
    pub id: MessageId,
    /// Who is at the other end.
    pub member: Member,
    /// Whether it goes there; else it comes from there.
    pub outgoing: bool,
    /// The name, without a path and without characters that hide or turn what follows.
    pub name: String,
    /// In bytes.
    pub size: u64,
    /// How far it has got.
    pub stage: Stage,
    /// How many bytes the receiver has written.
    pub done: u64,
    /// Bytes a second, of late.
    pub rate: u64,
}

/// How far a file has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Nobody has answered yet.
    Offered,
    /// It is accepted, and waits for its turn or for a connection.
    Waiting,
    /// It is on its way.
    Flowing,
    /// The receiver has all of it, and it is what the sender has.
    Done,
    /// It will not come.
    Ended(Why),
}

/// Why a file does not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The receiver does not want it.
    Declined,
    /// One of the two has thought better of it.
    Cancelled,
    /// What came is not what was sent, or not what was promised.
    Broken,
    /// The sender can't read it any more.
    Unreadable,
    /// The receiver can't write it.
    Unwritable,
    /// The other page is gone.
    Left,
    /// There is no way from one browser to the other.
    NoWay,
    /// Nobody has answered.
    Unanswered,
    /// It is larger than 1 TiB, or too many are underway.
    TooMuch,
}

/// What is to be done with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileEffect {
    /// Read this much of it. Tell [`FileEvent::Read`].
    Read {
        /// From which byte.
        at: u64,
        /// How many bytes.
        len: u64,
    },
    /// Write this behind what was written before. Tell [`FileEvent::Wrote`]; in order.
    Write {
        /// What.
        bytes: Vec<u8>,
    },
    /// All is written: hand it to the person. Tell [`FileEvent::Finished`].
    Finish,
    /// Let go of it; of one that comes, keep nothing.
    Drop,
}

/// What happened with a file, or what a person wants with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileEvent {
    /// Offer it to a member.
    Offer {
        /// To whom.
        to: Member,
        /// What it is called.
        name: String,
        /// In bytes.
        size: u64,
    },
    /// Take it: there is a place to write it to.
    Accept,
    /// Decline it, give it up, or show it no more.
    Close,
    /// This was read; `None` if it can't be.
    Read {
        /// From which byte.
        at: u64,
        /// What.
        bytes: Option<Vec<u8>>,
    },
    /// What was to be written next is, or can't be.
    Wrote(bool),
    /// It is handed over, or can't be.
    Finished(bool),
}

/// What the two sides say to each other about files, on the channel of files or through the hub.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "params", rename_all = "snake_case")]
pub(super) enum Word {
    Offer {
        id: MessageId,
        name: String,
        size: u64,
    },
    /// It is wanted, from this byte on.
    Accept {
        id: MessageId,
        from: u64,
    },
    /// Bytes of this file follow, from this one on.
    Begin {
        id: MessageId,
        from: u64,
    },
    /// The SHA-256 of all up to here, in hexadecimal.
    Mark {
        id: MessageId,
        at: u64,
        sha256: String,
    },
    /// All up to here is written.
    Written {
        id: MessageId,
        at: u64,
    },
    Received {
        id: MessageId,
    },
    Stop {
        id: MessageId,
        why: Why,
    },
}

/// What comes of it, in this order.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Do {
    /// Say this to the other page: on the channel of files if there is one, else through the hub.
    Tell(SessionId, Word),
    /// As that, to one that has asked without being asked to: not more often than anybody may make us answer.
    Answer(SessionId, Word),
    /// Send this on the channel of files.
    Bytes(SessionId, Vec<u8>),
    /// Tell when that channel takes more.
    Room(SessionId),
    /// A connection is wanted.
    Want(SessionId, Member),
    /// Try another, though others have failed.
    Wake(SessionId),
    Effect(MessageId, FileEffect),
}

#[derive(Clone, Debug)]
enum Side {
    Out(Outgoing),
    In(Incoming),
}

#[derive(Clone, Debug)]
struct Entry {
    file: File,
    /// The page at the other end, once one is known that can be reached.
    session: Option<SessionId>,
    side: Side,
    /// Since when it is in its stage.
    since: Millis,
    /// When it is offered again, and when another connection is tried for it.
    again_at: Millis,
    wake_at: Option<Millis>,
    /// Since when the other page is not there.
    away: Option<Millis>,
    /// It has flowed.
    flowed: bool,
    /// How much was done when the rate was looked at last.
    measured: (Millis, u64),
}

#[derive(Clone, Debug, Default)]
pub(super) struct Files {
    entries: Vec<Entry>,
    /// The pages to which there is a channel; with the file whose bytes are coming on it.
    lanes: HashMap<SessionId, Option<MessageId>>,
    now: Millis,
    changed: bool,
    /// Only progress has changed, which is told now and then.
    moved: bool,
    told_at: Millis,
    out: Vec<Do>,
}

impl Entry {
    fn is_with(&self, session: &SessionId) -> bool {
        self.session.as_ref() == Some(session)
    }

    /// When the other page, if it is away, is gone.
    fn gone_at(&self) -> Option<Millis> {
        let patience = if self.session.is_some() { AWAY_MS } else { FOUND_MS };
        self.away.map(|since| since + patience)
    }

    fn is_underway(&self) -> bool {
        matches!(self.file.stage, Stage::Offered | Stage::Waiting | Stage::Flowing)
    }
}

impl Files {
    pub(super) fn set_time(&mut self, now: Millis) {
        self.now = now;
    }

    /// What is to be done.
    pub(super) fn take(&mut self) -> Vec<Do> {
        std::mem::take(&mut self.out)
    }

    /// All of them, oldest first, if they are to be shown anew.
    pub(super) fn take_shown(&mut self) -> Option<Vec<File>> {
        let is_due = self.changed || (self.moved && self.now >= self.told_at + TOLD_MS);
        is_due.then(|| {
            (self.changed, self.moved, self.told_at) = (false, false, self.now);
            self.entries.iter().map(|entry| entry.file.clone()).collect()
        })
    }

    /// A file is to go to somebody, whose only page is `session`, if that is known and can be reached.
    pub(super) fn offer(
        &mut self,
        id: MessageId,
        (session, member): (Option<SessionId>, Member),
        (name, size): (&str, u64),
    ) {
        if self.at(&id).is_some() {
            return;
        }
        let going = |entry: &Entry| entry.file.outgoing;
        let is_too_much = size > FILE_BYTES || self.underway(going) >= UNDERWAY;
        let file = File::new(id, member, name, size);
        self.add(File { outgoing: true, ..file }, session, Side::Out(Outgoing::default()));
        let last = self.entries.len() - 1;
        match is_too_much {
            true => self.end(last, Why::TooMuch),
            false => self.offer_again(last),
        }
    }

    fn add(&mut self, file: File, session: Option<SessionId>, side: Side) {
        if self.entries.len() >= SHOWN {
            let is_over = |entry: &Entry| !entry.is_underway();
            // Whoever offers again and again takes the place of what it offered before.
            let of_the_same =
                |entry: &Entry| is_over(entry) && entry.file.member.id == file.member.id;
            let over = self.entries.iter().position(of_the_same);
            if let Some(over) = over.or_else(|| self.entries.iter().position(is_over)) {
                self.effect(over, FileEffect::Drop);
                self.entries.remove(over);
            }
        }
        let now = self.now;
        let away = session.is_none().then_some(now);
        self.entries.push(Entry {
            file,
            session,
            side,
            since: now,
            again_at: now,
            wake_at: None,
            away,
            flowed: false,
            measured: (now, 0),
        });
        self.changed = true;
    }

    /// Whether more than enough come from this page, or from all.
    fn is_full_of(&self, session: &SessionId) -> bool {
        let comes = |entry: &Entry| !entry.file.outgoing;
        let from_it = |entry: &Entry| comes(entry) && entry.is_with(session);
        self.underway(comes) >= COMING || self.underway(from_it) >= UNDERWAY
    }

    fn underway(&self, which: impl Fn(&Entry) -> bool) -> usize {
        self.entries.iter().filter(|entry| entry.is_underway() && which(entry)).count()
    }

    /// Whether a file goes to this page, or comes from it.
    pub(super) fn is_underway_with(&self, session: &SessionId) -> bool {
        self.underway(|entry| entry.is_with(session)) > 0
    }

    fn at(&self, id: &MessageId) -> Option<usize> {
        self.entries.iter().position(|entry| entry.file.id == *id)
    }

    fn of(&self, id: &MessageId, session: &SessionId) -> Option<usize> {
        self.at(id).filter(|at| self.entries[*at].is_with(session))
    }

    fn offer_again(&mut self, at: usize) {
        let entry = &mut self.entries[at];
        entry.again_at = self.now + AGAIN_MS;
        let File { id, name, size, .. } = entry.file.clone();
        self.tell(at, Word::Offer { id, name, size });
    }

    /// Says something to the other page.
    fn tell(&mut self, at: usize, word: Word) {
        let session = self.entries[at].session.clone();
        self.out.extend(session.map(|session| Do::Tell(session, word)));
    }

    /// Says how things are to a page that has asked again.
    fn answer(&mut self, at: usize, word: Word) {
        let session = self.entries[at].session.clone();
        self.out.extend(session.map(|session| Do::Answer(session, word)));
    }

    fn effect(&mut self, at: usize, effect: FileEffect) {
        self.out.push(Do::Effect(self.entries[at].file.id.clone(), effect));
    }

    /// Something happened with a file, or is wanted with it.
    pub(super) fn happened(&mut self, id: &MessageId, event: FileEvent) {
        let Some(at) = self.at(id) else {
            // Whatever was made ready for it is of no use.
            return self.out.push(Do::Effect(id.clone(), FileEffect::Drop));
        };
        match event {
            FileEvent::Offer { .. } => {}
            FileEvent::Accept if self.entries[at].is_underway() => self.accept(at),
            FileEvent::Accept => self.effect(at, FileEffect::Drop),
            FileEvent::Close if !self.entries[at].is_underway() => {
                self.effect(at, FileEffect::Drop);
                self.entries.remove(at);
                self.changed = true;
            }
            FileEvent::Close => {
                let File { outgoing, stage, .. } = self.entries[at].file;
                let why = match (outgoing, stage) {
                    (false, Stage::Offered) => Why::Declined,
                    _ => Why::Cancelled,
                };
                self.stop(at, why);
            }
            FileEvent::Read { at: from, bytes } => self.read(at, from, bytes),
            FileEvent::Wrote(true) => self.wrote(at),
            FileEvent::Finished(true) => self.finished(at),
            FileEvent::Wrote(false) | FileEvent::Finished(false) => {
                self.stop(at, Why::Unwritable);
            }
        }
    }

    /// Ends it, and tells the other side.
    fn stop(&mut self, at: usize, why: Why) {
        if self.entries[at].is_underway() {
            let id = self.entries[at].file.id.clone();
            self.tell(at, Word::Stop { id, why });
            self.end(at, why);
        }
    }

    fn end(&mut self, at: usize, why: Why) {
        self.step(at, Stage::Ended(why));
        self.effect(at, FileEffect::Drop);
        self.turn(at);
    }

    /// It is over: the next one's turn.
    fn turn(&mut self, at: usize) {
        let Entry { file, session, .. } = &self.entries[at];
        let (id, Some(session)) = (file.id.clone(), session.clone()) else { return };
        if let Some(coming) = self.lanes.get_mut(&session)
            && *coming == Some(id)
        {
            *coming = None;
        }
        self.send_next(&session);
    }

    fn step(&mut self, at: usize, stage: Stage) {
        let entry = &mut self.entries[at];
        (entry.file.stage, entry.since) = (stage, self.now);
        entry.measured = (self.now, entry.file.done);
        self.changed = true;
    }

    /// So much is written now.
    fn progress(&mut self, at: usize, done: u64) {
        let entry = &mut self.entries[at];
        entry.file.done = done;
        let (since, before) = entry.measured;
        let passed = self.now.saturating_sub(since);
        if passed >= 1_000 {
            let rate = done.saturating_sub(before) * 1_000 / passed;
            let smooth = if entry.file.rate == 0 { rate } else { (entry.file.rate + rate) / 2 };
            (entry.file.rate, entry.measured) = (smooth, (self.now, done));
        }
        self.moved = true;
    }

    /// There is a channel to this page.
    pub(super) fn up(&mut self, session: &SessionId) {
        self.lanes.insert(session.clone(), None);
        for at in 0..self.entries.len() {
            let entry = &self.entries[at];
            if entry.is_with(session) && entry.file.outgoing && entry.is_underway() {
                self.offer_again(at);
            }
        }
    }

    /// There is none any more.
    pub(super) fn down(&mut self, session: &SessionId) {
        self.lanes.remove(session);
        for at in 0..self.entries.len() {
            let entry = &mut self.entries[at];
            if !entry.is_with(session) {
                continue;
            }
            match &mut entry.side {
                Side::Out(out) => out.ready = None,
                Side::In(coming) => coming.block.clear(),
            }
            if entry.file.stage == Stage::Flowing {
                entry.again_at = self.now + AGAIN_MS;
                self.step(at, Stage::Waiting);
            }
        }
    }

    /// No connection to this page has come about, however often it was tried.
    pub(super) fn no_way(&mut self, session: &SessionId) {
        for at in 0..self.entries.len() {
            let entry = &mut self.entries[at];
            if !entry.is_with(session) || entry.file.stage != Stage::Waiting {
                continue;
            }
            match entry.flowed {
                true => entry.wake_at = Some(self.now + WAKE_MS),
                false => self.stop(at, Why::NoWay),
            }
        }
    }

    /// These pages are there; `page_of` knows the only one of each member.
    pub(super) fn keep(
        &mut self,
        is_there: impl Fn(&SessionId) -> bool,
        page_of: impl Fn(&MemberId) -> Option<SessionId>,
    ) {
        for at in 0..self.entries.len() {
            let entry = &mut self.entries[at];
            if entry.session.is_none() && entry.is_underway() {
                entry.session = page_of(&entry.file.member.id);
                if entry.session.is_some() {
                    entry.away = None;
                    self.offer_again(at);
                }
                continue;
            }
            match entry.session.as_ref().is_some_and(&is_there) {
                true => entry.away = None,
                false => drop(entry.away.get_or_insert(self.now)),
            }
        }
    }

    pub(super) fn deadline(&self) -> Option<Millis> {
        self.entries.iter().filter_map(|entry| self.due(entry)).min()
    }

    fn due(&self, entry: &Entry) -> Option<Millis> {
        if !entry.is_underway() || self.is_moving(entry) {
            return None;
        }
        let again = entry.file.outgoing.then_some(entry.again_at);
        let away = entry.gone_at();
        [again, away, entry.wake_at, Some(entry.since + PATIENCE_MS)].into_iter().flatten().min()
    }

    /// There is a channel, and it was accepted: it is its turn, or will be.
    fn is_moving(&self, entry: &Entry) -> bool {
        let has_lane = |session| self.lanes.contains_key(session);
        entry.file.stage != Stage::Offered && entry.session.as_ref().is_some_and(has_lane)
    }

    pub(super) fn tick(&mut self) {
        for at in 0..self.entries.len() {
            if self.due(&self.entries[at]).is_none_or(|due| due > self.now) {
                continue;
            }
            let entry = &mut self.entries[at];
            if entry.gone_at().is_some_and(|gone| self.now >= gone) {
                let why = if entry.session.is_some() { Why::Left } else { Why::NoWay };
                self.stop(at, why);
            } else if self.now >= entry.since + PATIENCE_MS {
                let why = match entry.file.stage {
                    Stage::Offered => Why::Unanswered,
                    _ => Why::NoWay,
                };
                self.stop(at, why);
            } else if entry.wake_at.is_some_and(|wake| self.now >= wake) {
                entry.wake_at = None;
                let session = entry.session.clone();
                self.out.extend(session.map(Do::Wake));
            } else {
                self.offer_again(at);
            }
        }
    }

    /// The other page says something: on the channel of files (`on_lane`), or through the hub.
    pub(super) fn heard(
        &mut self,
        session: &SessionId,
        member: &Member,
        word: Word,
        on_lane: bool,
    ) {
        let id = match &word {
            Word::Offer { id, .. }
            | Word::Accept { id, .. }
            | Word::Begin { id, .. }
            | Word::Mark { id, .. }
            | Word::Written { id, .. }
            | Word::Received { id }
            | Word::Stop { id, .. } => id.clone(),
        };
        let at = self.of(&id, session);
        match (word, at) {
            (Word::Offer { .. }, Some(at)) => self.offered_again(at, on_lane),
            (Word::Offer { name, size, .. }, None) => {
                self.offered(id, (session, member), (&name, size));
            }
            (Word::Stop { why, .. }, Some(at)) if self.entries[at].is_underway() => {
                self.end(at, why);
            }
            (Word::Stop { .. }, _) => {}
            (Word::Received { .. }, Some(at)) => self.received(at),
            (Word::Accept { from, .. }, Some(at)) => self.accepted(at, from, on_lane),
            (Word::Begin { from, .. }, Some(at)) if on_lane => self.begun(at, from),
            (Word::Mark { at: end, sha256, .. }, Some(at)) if on_lane => {
                self.marked(at, end, &sha256);
            }
            (Word::Written { at: end, .. }, Some(at)) if on_lane => self.written(at, end),
            (Word::Accept { .. } | Word::Begin { .. }, None) => {
                let stop = Word::Stop { id, why: Why::Cancelled };
                self.out.push(Do::Answer(session.clone(), stop));
            }
            _ => {}
        }
    }
}

impl File {
    fn new(id: MessageId, member: Member, name: &str, size: u64) -> Self {
        let (name, stage) = (clean(name), Stage::Offered);
        Self { id, member, outgoing: false, name, size, stage, done: 0, rate: 0 }
    }
}

/// The name without a path, and without what hides or turns what follows: an end that lies about what it is.
fn clean(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let shown = last.chars().map(|c| match MemberName::parse(&format!("a{c}a")) {
        Ok(_) => c,
        Err(_) => '_',
    });
    let name: Vec<char> = shown.collect();
    // The end says what it is.
    let name: String = match name.len() > NAME_CHARS {
        true => name[..NAME_CHARS / 2].iter().chain(&name[name.len() - NAME_CHARS / 2..]).collect(),
        false => name.into_iter().collect(),
    };
    match name.trim_matches(['.', ' ']).is_empty() {
        true => "file".to_owned(),
        false => name,
    }
}
