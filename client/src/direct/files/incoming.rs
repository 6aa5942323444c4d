//! A file that comes from somebody: nothing is written that was not verified, and nothing is believed.

use common::{Member, MessageId, SessionId};
use sha2::{Digest, Sha256};

use super::{
    BLOCK, Do, FILE_BYTES, File, FileEffect, Files, Side, Stage, WINDOW, Why, Word, outgoing::hex,
};

#[derive(Clone, Debug, Default)]
pub(super) struct Incoming {
    /// What has come of the present block.
    pub(super) block: Vec<u8>,
    /// Everything up to here was verified, is in `hasher`, and is being written or is.
    taken: u64,
    hasher: Sha256,
    /// The sender waits to be told from where to go on.
    asked: bool,
    /// All of it is written, and is being handed over.
    finishing: bool,
}

impl Files {
    fn incoming(&mut self, at: usize) -> Option<&mut Incoming> {
        match &mut self.entries[at].side {
            Side::In(incoming) => Some(incoming),
            Side::Out(_) => None,
        }
    }

    /// Somebody offers a file.
    pub(super) fn offered(
        &mut self,
        id: MessageId,
        (session, member): (&SessionId, &Member),
        (name, size): (&str, u64),
    ) {
        // An id that somebody else uses is theirs.
        if self.at(&id).is_some() {
            return;
        }
        if size > FILE_BYTES || self.is_full_of(session) {
            let stop = Word::Stop { id, why: Why::TooMuch };
            return self.out.push(Do::Answer(session.clone(), stop));
        }
        let file = File::new(id, member.clone(), name, size);
        self.add(file, Some(session.clone()), Side::In(Incoming::default()));
    }

    /// The sender does not know how far it has got.
    pub(super) fn offered_again(&mut self, at: usize, on_lane: bool) {
        let file = &self.entries[at].file;
        let (id, done, stage) = (file.id.clone(), file.done, file.stage);
        let Some(incoming) = self.incoming(at) else { return };
        match stage {
            Stage::Offered => {}
            Stage::Done => self.answer(at, Word::Received { id }),
            Stage::Ended(why) => self.answer(at, Word::Stop { id, why }),
            Stage::Waiting | Stage::Flowing => {
                incoming.block.clear();
                incoming.asked = on_lane;
                let is_written = incoming.taken == done;
                if stage == Stage::Flowing {
                    self.step(at, Stage::Waiting);
                }
                if is_written || !on_lane {
                    self.ask(at);
                }
            }
        }
    }

    /// The person wants it.
    pub(super) fn accept(&mut self, at: usize) {
        let Self { entries, .. } = self;
        let entry = &entries[at];
        if entry.file.outgoing || entry.file.stage != Stage::Offered {
            return;
        }
        // There may have been no way to them before; the person wants it now.
        let session = entry.session.clone();
        self.step(at, Stage::Waiting);
        self.out.extend(session.map(Do::Wake));
        self.ask(at);
    }

    /// Tells the sender from where to go on. Only if it hears that first does it agree to a connection.
    fn ask(&mut self, at: usize) {
        let Self { entries, .. } = self;
        let entry = &entries[at];
        let (id, from) = (entry.file.id.clone(), entry.file.done);
        let (session, member) = (entry.session.clone(), entry.file.member.clone());
        if let Some(incoming) = self.incoming(at) {
            incoming.asked = false;
        }
        self.tell(at, Word::Accept { id, from });
        self.out.extend(session.map(|session| Do::Want(session, member)));
    }

    /// Bytes of it follow.
    pub(super) fn begun(&mut self, at: usize, from: u64) {
        let Self { entries, lanes, .. } = self;
        let entry = &entries[at];
        let is_wanted = !entry.file.outgoing && entry.file.stage == Stage::Waiting;
        let Some(coming) = entry.session.as_ref().and_then(|session| lanes.get_mut(session)) else {
            return;
        };
        if !is_wanted {
            // It was given up here; the sender will hear of it.
            *coming = None;
            return;
        }
        *coming = Some(entry.file.id.clone());
        let Some(incoming) = self.incoming(at) else { return };
        incoming.block.clear();
        if incoming.taken != from {
            return self.stop(at, Why::Broken);
        }
        self.entries[at].flowed = true;
        self.step(at, Stage::Flowing);
    }

    /// Bytes of the file that is coming from this page; false if none is.
    pub(in crate::direct) fn came(&mut self, session: &SessionId, bytes: &[u8]) -> bool {
        let coming = self.lanes.get(session).cloned().flatten();
        let Some(at) = coming.and_then(|id| self.at(&id)) else { return false };
        let File { size, done, .. } = self.entries[at].file;
        let Some(incoming) = self.incoming(at) else { return false };
        let block = (incoming.block.len() + bytes.len()) as u64;
        let end = incoming.taken + block;
        if bytes.is_empty() {
            return false;
        }
        match block > BLOCK || end > size || end > done + WINDOW {
            true => self.stop(at, Why::Broken),
            false => incoming.block.extend_from_slice(bytes),
        }
        true
    }

    /// What has come should come to this.
    pub(super) fn marked(&mut self, at: usize, end: u64, sha256: &str) {
        let file = &self.entries[at].file;
        let (size, stage) = (file.size, file.stage);
        let Some(incoming) = self.incoming(at) else { return };
        if stage != Stage::Flowing || incoming.finishing {
            return;
        }
        let block = std::mem::take(&mut incoming.block);
        let is_block = block.len() as u64 == BLOCK || end == size;
        let is_new = !block.is_empty() || size == 0;
        let mut hasher = incoming.hasher.clone();
        hasher.update(&block);
        let fits = end == incoming.taken + block.len() as u64 && hex(&hasher) == sha256;
        if !is_block || !is_new || !fits {
            return self.stop(at, Why::Broken);
        }
        (incoming.taken, incoming.hasher) = (end, hasher);
        match size {
            0 => self.finish(at),
            _ => self.effect(at, FileEffect::Write { bytes: block }),
        }
    }

    fn finish(&mut self, at: usize) {
        if let Some(incoming) = self.incoming(at) {
            incoming.finishing = true;
            self.effect(at, FileEffect::Finish);
        }
    }

    /// The next block is written.
    pub(super) fn wrote(&mut self, at: usize) {
        let entry = &self.entries[at];
        let File { size, done, stage, .. } = entry.file;
        let (id, is_underway) = (entry.file.id.clone(), entry.is_underway());
        let Some(incoming) = self.incoming(at) else { return };
        if !is_underway || done >= incoming.taken {
            return;
        }
        let end = (done + BLOCK).min(incoming.taken);
        let asked = incoming.asked && end == incoming.taken;
        self.progress(at, end);
        if stage == Stage::Flowing {
            self.tell(at, Word::Written { id, at: end });
        }
        if end == size {
            self.finish(at);
        } else if asked {
            self.ask(at);
        }
    }

    /// The person has it.
    pub(super) fn finished(&mut self, at: usize) {
        let entry = &self.entries[at];
        let id = entry.file.id.clone();
        if entry.is_underway() && !entry.file.outgoing {
            self.step(at, Stage::Done);
            self.tell(at, Word::Received { id });
            self.turn(at);
        }
    }
}
