//! What a page hears from other pages, and from a server: a line is a step. One that begins with `{` is a frame from the
//! server, with `~` what Bob's page signals, with `!`, `?` and `#` what comes on the channels of the last connection;
//! others are what happens to that, what a person does, and time. Nothing of it may bring the page down, or fill it.
#![no_main]

use std::collections::HashMap;

use client::{
    Change, Client, Effect, Event, FileEffect, FileEvent, Lane, LinkEffect, LinkEvent, LinkId,
    Media, Setup, Stage,
};
use common::{Member, MemberId, MemberName, MessageId, RoomName};
use libfuzzer_sys::fuzz_target;

/// As many files as a page has at the most: those under way, offered, and over.
const FILES: usize = 128;
/// As many connections.
const LINKS: usize = 16;

struct Page {
    client: Client,
    now: u64,
    /// The connections that are open; the last is spoken of.
    links: Vec<LinkId>,
    /// The files there are, how large they are, and how much of each was written.
    files: HashMap<MessageId, (u64, u64)>,
    offered: Vec<MessageId>,
    to_write: Vec<MessageId>,
    to_read: Vec<(MessageId, u64, u64)>,
}

impl Page {
    fn new() -> Self {
        let setup =
            Setup { direct: true, view: true, ..Setup::new("http://h", RoomName::lobby(), 7) };
        let mut page = Self {
            client: Client::new(setup),
            now: 1_000_000,
            links: Vec::new(),
            files: HashMap::new(),
            offered: Vec::new(),
            to_write: Vec::new(),
            to_read: Vec::new(),
        };
        page.tell(Event::start(None, None));
        page.tell(Event::Opened { leg: 1, protocol: "hubbub.v1".to_owned() });
        page.frame(
            r#"{"type":"hello","params":{"session":"a.secret","member":{"id":"a","name":"Ada"},"room":"lobby","position":"e:0","recovery":"fresh"}}"#,
        );
        page.frame(
            r#"{"type":"direct","params":{"count":1,"members":[{"id":"b","name":"Bob","sessions":["b"]}]}}"#,
        );
        page
    }

    fn frame(&mut self, text: &str) {
        self.tell(Event::Received { leg: 1, text: text.to_owned() });
    }

    fn link(&mut self, event: LinkEvent) {
        if let Some(link) = self.links.last() {
            self.tell(Event::Link { link: *link, event });
        }
    }

    fn file(&mut self, id: MessageId, event: FileEvent) {
        self.tell(Event::File { id, event });
    }

    fn tell(&mut self, event: Event) {
        self.client.handle(self.now, event);
        let mut count = 0;
        while let Some(effect) = self.client.poll() {
            count += 1;
            assert!(count < 10_000, "one event brings too much");
            self.do_it(effect);
        }
        assert!(self.links.len() <= LINKS, "{} connections", self.links.len());
        assert!(self.client.deadline().is_none_or(|(at, _)| at > self.now), "a deadline is past");
    }

    fn do_it(&mut self, effect: Effect) {
        match effect {
            Effect::Link { link, what: LinkEffect::Connect } => self.links.push(link),
            Effect::Link { link, what } => {
                assert!(self.links.contains(&link), "{what:?} on a connection that is closed");
                match what {
                    LinkEffect::Close => self.links.retain(|open| *open != link),
                    LinkEffect::Send { text, .. } => assert!(text.len() <= Lane::LONGEST as usize),
                    LinkEffect::Bytes { bytes } => assert!(bytes.len() <= Lane::LONGEST as usize),
                    _ => {}
                }
            }
            Effect::File { id, what } => match what {
                FileEffect::Read { at, len } => self.to_read.push((id, at, len)),
                FileEffect::Write { bytes } => {
                    let (size, written) = self.files.get_mut(&id).expect("a file nobody has shown");
                    *written += bytes.len() as u64;
                    assert!(written <= size, "more than was offered");
                    self.to_write.push(id);
                }
                FileEffect::Finish => {
                    let (size, written) = self.files[&id];
                    assert_eq!(written, size, "not whole");
                }
                FileEffect::Drop => {}
            },
            Effect::Tell(Change::Files(files)) => {
                assert!(files.len() <= FILES, "{} files", files.len());
                self.offered.clear();
                for file in files {
                    self.files.entry(file.id.clone()).or_insert((file.size, 0)).0 = file.size;
                    if file.stage == Stage::Offered && !file.outgoing {
                        self.offered.push(file.id);
                    }
                }
            }
            _ => {}
        }
    }

    /// Time passes until something is due.
    fn wait(&mut self) {
        if let Some((at, _)) = self.client.deadline() {
            self.now = at;
        }
        self.tell(Event::Time);
    }

    fn step(&mut self, line: &str) {
        let rest = line.get(1..).unwrap_or_default().to_owned();
        match line.as_bytes().first() {
            Some(b'{') => self.frame(line),
            Some(b'~') => self.frame(&format!(
                r#"{{"type":"signalling","params":{{"from":{{"id":"b","name":"Bob"}},"session":"b","data":{rest}}}}}"#
            )),
            Some(b'!') => self.link(LinkEvent::Heard(Lane::Talk, rest)),
            Some(b'?') => self.link(LinkEvent::Heard(Lane::Files, rest)),
            Some(b'#') => self.link(LinkEvent::Bytes(rest.into_bytes())),
            Some(b'O') => self.link(LinkEvent::Opened),
            Some(b'R') => self.link(LinkEvent::Reached),
            Some(b'I') => self.link(LinkEvent::Interrupted),
            Some(b'L') => self.link(LinkEvent::Lost),
            Some(b'C') => self.link(LinkEvent::Closed),
            Some(b'M') => self.link(LinkEvent::Room),
            Some(b'D') => self.link(LinkEvent::Described(Some(rest))),
            Some(b'd') => self.link(LinkEvent::Described(None)),
            Some(b'A') => self.link(LinkEvent::Accepted(true)),
            Some(b'a') => self.link(LinkEvent::Accepted(false)),
            Some(b'p') => self.tell(Event::Address(Some(bob().id))),
            Some(b'P') => self.tell(Event::Address(None)),
            Some(b'j') => self.tell(Event::Call(true)),
            Some(b'J') => self.tell(Event::Call(false)),
            Some(b'S') => self.tell(Event::Show(Media { camera: true, ..Media::default() })),
            Some(b'f') => {
                let id = MessageId::parse(&format!("mine-{}", self.files.len())).unwrap();
                let (name, size) = (rest, 100_000);
                self.file(id, FileEvent::Offer { to: bob(), name, size });
            }
            Some(b'y') => {
                for id in std::mem::take(&mut self.offered) {
                    self.file(id, FileEvent::Accept);
                }
            }
            Some(b'w') => {
                for id in std::mem::take(&mut self.to_write) {
                    self.file(id, FileEvent::Wrote(rest.is_empty()));
                }
            }
            Some(b'r') => {
                for (id, at, len) in std::mem::take(&mut self.to_read) {
                    let bytes = rest.is_empty().then(|| vec![0; len as usize]);
                    self.file(id, FileEvent::Read { at, bytes });
                }
            }
            Some(b'x') => {
                if let Some(id) = self.files.keys().next().cloned() {
                    self.file(id, FileEvent::Close);
                }
            }
            Some(b'+') => self.wait(),
            _ => {}
        }
    }
}

fn bob() -> Member {
    Member { id: MemberId::parse("b").unwrap(), name: MemberName::parse("Bob").unwrap() }
}

fuzz_target!(|text: &str| {
    let mut page = Page::new();
    for line in text.lines() {
        page.step(line);
    }
});
