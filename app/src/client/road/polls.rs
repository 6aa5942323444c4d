//! Polling, where nothing can be kept open: each answer becomes the frames it stands for. A long poll
//! waits for something to come, a poll asks every few seconds.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use gloo_timers::future::TimeoutFuture;
use leptos::task::spawn_local;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Destination, OnEvent, Road, RoadEvent, http::Requests};
use crate::{client::ladder::Rung, page::encode_component};

/// How long a long poll waits, in seconds: below the 30 that proxies often allow.
const WAIT: u32 = 25;
/// How often a poll asks, in milliseconds.
const EVERY_MS: u32 = 2_000;

/// A chain of polls.
pub(super) struct Polls {
    requests: Rc<Requests>,
    answered: Rc<Cell<bool>>,
}

impl Polls {
    pub(super) fn open(rung: Rung, to: &Destination, on_event: OnEvent) -> Self {
        let requests = Requests::new(to, on_event);
        let answered = Rc::new(Cell::new(false));
        spawn_local(poll(rung, requests.clone(), answered.clone()));
        Self { requests, answered }
    }
}

impl Road for Polls {
    fn send(&self, frame: &str) -> bool {
        self.requests.post(frame)
    }

    fn state(&self) -> u16 {
        match (self.requests.is_closed(), self.answered.get()) {
            (true, _) => 2,
            (false, true) => 1,
            (false, false) => 0,
        }
    }
}

impl Drop for Polls {
    fn drop(&mut self) {
        self.requests.close();
    }
}

async fn poll(rung: Rung, requests: Rc<Requests>, answered: Rc<Cell<bool>>) {
    let seen = RefCell::new(Seen::default());
    while !requests.is_closed() {
        let known = encode_component(&seen.borrow().state);
        let mut url = format!("{}&limit=200&state={known}", requests.to.borrow().url(rung));
        // The first answer comes at once: it is the hello.
        if rung == Rung::LongPoll && answered.get() {
            url.push_str(&format!("&wait={WAIT}"));
        }
        let Some(answer) = requests.ask(&url, None).await else {
            return requests.end("a poll was not answered");
        };
        let status = answer.status();
        let parsed = answer.text().await.ok().and_then(|text| serde_json::from_str(&text).ok());
        let Some(answer) = parsed.filter(|_| status == 200) else {
            return requests.end(&format!("a poll was answered {status}"));
        };
        if !answered.replace(true) {
            requests.tell(RoadEvent::Open("application/json".to_owned()));
        }
        let room = requests.to.borrow().room.to_string();
        let (frames, position) = (seen.borrow_mut().frames(&room, &answer), answer.position);
        {
            let mut to = requests.to.borrow_mut();
            to.after = position;
            to.session = answer.session;
        }
        let news = frames.len();
        for frame in frames {
            requests.tell(RoadEvent::Frame(frame.to_string()));
        }
        // With a page full of messages there may be more.
        if rung == Rung::Poll && news < 200 {
            TimeoutFuture::new(EVERY_MS).await;
        }
    }
}

/// What a poll answers.
#[derive(Debug, Deserialize)]
struct Answer {
    position: String,
    recovery: String,
    messages: Vec<Value>,
    state: String,
    session: String,
    member: Value,
    members: Option<Value>,
    typing: Option<Value>,
    bye: Option<Value>,
}

/// What earlier answers said.
#[derive(Debug, Default)]
struct Seen {
    hello: bool,
    state: String,
    typing: Option<Value>,
}

impl Seen {
    /// The frames that an answer stands for.
    fn frames(&mut self, room: &str, answer: &Answer) -> Vec<Value> {
        let frame = |kind: &str, params: &Value| json!({"type": kind, "params": params});
        let mut frames = Vec::new();
        if !self.hello || answer.recovery == "reset" {
            // All of the answer is taken at once, so its end serves as the start.
            let hello = json!({
                "session": answer.session,
                "member": answer.member,
                "room": room,
                "position": answer.position,
                "recovery": answer.recovery,
            });
            frames.push(frame("hello", &hello));
        }
        frames.extend(answer.messages.iter().map(|message| frame("message", message)));
        // Told each time, changed or not: it is the sign of life.
        frames.extend(answer.members.iter().map(|members| frame("members", members)));
        if self.typing != answer.typing {
            frames.extend(answer.typing.iter().map(|typing| frame("typing", typing)));
        }
        frames.extend(answer.bye.iter().map(|bye| frame("bye", bye)));
        (self.hello, self.state) = (true, answer.state.clone());
        self.typing.clone_from(&answer.typing);
        frames
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(recovery: &str, messages: &[&str]) -> Answer {
        let json = json!({
            "position": "e:9", "recovery": recovery, "messages": messages, "state": "s",
            "session": "x", "member": {"id": "a"}, "members": {"count": 1}, "typing": {"members": []},
        });
        serde_json::from_value(json).unwrap()
    }

    fn kinds(frames: &[Value]) -> Vec<&str> {
        frames.iter().map(|frame| frame["type"].as_str().unwrap()).collect()
    }

    #[test]
    fn the_first_answer_is_the_hello_and_a_gap_is_told_before_what_follows_it() {
        let mut seen = Seen::default();
        let first = seen.frames("tea", &answer("replayed", &["m1"]));
        assert_eq!(kinds(&first), ["hello", "message", "members", "typing"]);
        let next = seen.frames("tea", &answer("replayed", &["m2"]));
        assert_eq!(kinds(&next), ["message", "members"]);
        let gap = seen.frames("tea", &answer("reset", &["m9"]));
        assert_eq!(kinds(&gap), ["hello", "message", "members"]);
        assert_eq!(gap[0]["params"]["recovery"], "reset");
    }
}
