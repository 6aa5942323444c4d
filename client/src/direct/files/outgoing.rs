//! A file that goes to somebody: read a block at a time, no further ahead than the other side writes.

use std::collections::VecDeque;

use common::SessionId;
use sha2::{Digest, Sha256};

use super::{BLOCK, CHUNK, Do, FileEffect, Files, Side, Stage, WINDOW, Why, Word};

#[derive(Clone, Debug, Default)]
pub(super) struct Outgoing {
    /// The other side has asked for it, from this byte on, and it is not its turn yet.
    pub(super) ready: Option<u64>,
    /// Everything up to here is sent, and in `hasher`.
    sent: u64,
    hasher: Sha256,
    /// How the hasher was at each end of a block that the other side may go on from.
    ends: VecDeque<(u64, Sha256)>,
    /// What is being read, from which byte.
    reading: Option<u64>,
    /// The channel takes more.
    room: bool,
}

impl Outgoing {
    /// Goes back to an end of a block; false if it can't.
    fn go_back(&mut self, from: u64) -> bool {
        let known = self.ends.iter().find(|(end, _)| *end == from);
        let hasher = match known {
            Some((_, hasher)) => hasher.clone(),
            None if from == 0 => Sha256::new(),
            None => return false,
        };
        self.ends.retain(|(end, _)| *end <= from);
        (self.sent, self.hasher, self.room) = (from, hasher, true);
        true
    }
}

impl Files {
    fn outgoing(&mut self, at: usize) -> Option<&mut Outgoing> {
        match &mut self.entries[at].side {
            Side::Out(outgoing) => Some(outgoing),
            Side::In(_) => None,
        }
    }

    /// The other side wants it. Through the hub that means a connection is needed; on one, bytes.
    pub(super) fn accepted(&mut self, at: usize, from: u64, on_lane: bool) {
        let entry = &self.entries[at];
        let (stage, Some(session)) = (entry.file.stage, entry.session.clone()) else { return };
        let member = entry.file.member.clone();
        if !entry.file.outgoing || !matches!(stage, Stage::Offered | Stage::Waiting) {
            return;
        }
        if stage == Stage::Offered {
            self.step(at, Stage::Waiting);
        }
        if !on_lane {
            return self.out.push(Do::Want(session, member));
        }
        if let Some(outgoing) = self.outgoing(at) {
            outgoing.ready = Some(from);
        }
        self.send_next(&session);
    }

    /// Begins with the next file to this page that is wanted there, if none is on its way.
    pub(super) fn send_next(&mut self, session: &SessionId) {
        let mut to = self.entries.iter().filter(|entry| entry.is_with(session));
        if to.any(|entry| entry.file.outgoing && entry.file.stage == Stage::Flowing) {
            return;
        }
        let next = self.entries.iter().position(|entry| {
            let is_ready = matches!(&entry.side, Side::Out(out) if out.ready.is_some());
            entry.is_with(session) && entry.is_underway() && is_ready
        });
        let Some(at) = next else { return };
        let Some(outgoing) = self.outgoing(at) else { return };
        let Some(from) = outgoing.ready.take() else { return };
        if !outgoing.go_back(from) {
            return self.stop(at, Why::Broken);
        }
        self.entries[at].flowed = true;
        self.step(at, Stage::Flowing);
        self.progress(at, from);
        let id = self.entries[at].file.id.clone();
        self.tell(at, Word::Begin { id, from });
        if self.entries[at].file.size == 0 {
            self.mark(at);
        }
        self.send_on(at);
    }

    /// Has the next block read, if it may be sent.
    fn send_on(&mut self, at: usize) {
        let (size, done, stage) = {
            let file = &self.entries[at].file;
            (file.size, file.done, file.stage)
        };
        let Some(outgoing) = self.outgoing(at) else { return };
        let from = outgoing.sent;
        let may_go = outgoing.room && outgoing.reading.is_none() && from < size;
        if stage == Stage::Flowing && may_go && from + BLOCK <= done + WINDOW {
            outgoing.reading = Some(from);
            self.effect(at, FileEffect::Read { at: from, len: BLOCK.min(size - from) });
        }
    }

    fn mark(&mut self, at: usize) {
        let id = self.entries[at].file.id.clone();
        let Some(outgoing) = self.outgoing(at) else { return };
        let (end, sha256) = (outgoing.sent, hex(&outgoing.hasher));
        self.tell(at, Word::Mark { id, at: end, sha256 });
    }

    /// A block was read, or can't be.
    pub(super) fn read(&mut self, at: usize, from: u64, bytes: Option<Vec<u8>>) {
        let file = &self.entries[at].file;
        let (size, stage) = (file.size, file.stage);
        let Some(session) = self.entries[at].session.clone() else { return };
        let Some(outgoing) = self.outgoing(at) else { return };
        if outgoing.reading != Some(from) || stage == Stage::Offered {
            return;
        }
        outgoing.reading = None;
        if !matches!(stage, Stage::Flowing) || outgoing.sent != from {
            // It goes on from elsewhere.
            return self.send_on(at);
        }
        let Some(bytes) = bytes.filter(|bytes| bytes.len() as u64 == BLOCK.min(size - from)) else {
            return self.stop(at, Why::Unreadable);
        };
        outgoing.hasher.update(&bytes);
        outgoing.sent += bytes.len() as u64;
        let end = (outgoing.sent, outgoing.hasher.clone());
        outgoing.ends.push_back(end);
        outgoing.room = false;
        let chunks = bytes.chunks(CHUNK).map(|chunk| Do::Bytes(session.clone(), chunk.to_vec()));
        self.out.extend(chunks);
        self.mark(at);
        self.out.push(Do::Room(session));
    }

    /// The channel to this page takes more.
    pub(in crate::direct) fn has_room(&mut self, session: &SessionId) {
        for at in 0..self.entries.len() {
            let entry = &mut self.entries[at];
            if entry.is_with(session)
                && entry.file.stage == Stage::Flowing
                && let Side::Out(outgoing) = &mut entry.side
            {
                outgoing.room = true;
                self.send_on(at);
            }
        }
    }

    /// The other side has written all up to here.
    pub(super) fn written(&mut self, at: usize, end: u64) {
        let file = &self.entries[at].file;
        let (done, stage) = (file.done, file.stage);
        let Some(outgoing) = self.outgoing(at) else { return };
        if stage != Stage::Flowing || end <= done {
            return;
        }
        if end > outgoing.sent {
            return self.stop(at, Why::Broken);
        }
        outgoing.ends.retain(|(known, _)| *known >= end);
        self.progress(at, end);
        self.send_on(at);
    }

    /// The other side has all of it.
    pub(super) fn received(&mut self, at: usize) {
        let file = &self.entries[at].file;
        let (size, is_moving) = (file.size, matches!(file.stage, Stage::Waiting | Stage::Flowing));
        let Some(outgoing) = self.outgoing(at) else { return };
        let sent = outgoing.sent;
        match is_moving {
            true if sent == size => {
                self.progress(at, size);
                self.step(at, Stage::Done);
                self.effect(at, FileEffect::Drop);
                self.turn(at);
            }
            true => self.stop(at, Why::Broken),
            false => {}
        }
    }
}

/// What a hasher has come to, in hexadecimal.
pub(super) fn hex(hasher: &Sha256) -> String {
    format!("{:x}", hasher.clone().finalize())
}
