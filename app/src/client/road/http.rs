//! Our frames by POST, for the roads that only bring: the same frames, the same answers.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use common::{ClientFrame, ErrorCode, Refusal, ServerFrame};
use gloo_net::http::{Request, Response};
use gloo_timers::future::TimeoutFuture;
use leptos::task::spawn_local;
use serde::Deserialize;
use web_sys::AbortController;

use super::{Destination, OnEvent, RoadEvent};
use crate::page::encode_component;

/// How often a request is tried. Safe: a message has its id.
const TRIES: u32 = 4;
/// The wait before the second try, in milliseconds; before each next one as much longer.
const WAIT_MS: u32 = 250;

/// What one road's requests share; when it is closed they are broken off.
pub(super) struct Requests {
    pub(super) to: RefCell<Destination>,
    on_event: OnEvent,
    closed: Cell<bool>,
    abort: Option<AbortController>,
}

impl Requests {
    pub(super) fn new(to: &Destination, on_event: OnEvent) -> Rc<Self> {
        let abort = AbortController::new().ok();
        Rc::new(Self { to: RefCell::new(to.clone()), on_event, closed: Cell::new(false), abort })
    }

    /// Tells, unless the road is closed.
    pub(super) fn tell(&self, event: RoadEvent) {
        if !self.closed.get() {
            (self.on_event)(event);
        }
    }

    /// The road ends by itself.
    pub(super) fn end(&self, why: &str) {
        self.tell(RoadEvent::Error(why.to_owned()));
        self.tell(RoadEvent::lost());
        self.close();
    }

    pub(super) fn close(&self) {
        self.closed.set(true);
        if let Some(abort) = &self.abort {
            abort.abort();
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// Asks until there is an answer, a few times; `None` if there is none.
    pub(super) async fn ask(&self, url: &str, body: Option<&str>) -> Option<Response> {
        let signal = self.abort.as_ref().map(AbortController::signal);
        for attempt in 0..TRIES {
            if attempt > 0 {
                TimeoutFuture::new(WAIT_MS * attempt).await;
            }
            if self.is_closed() {
                return None;
            }
            let answer = match body {
                Some(body) => match Request::post(url).abort_signal(signal.as_ref()).body(body) {
                    Ok(request) => request.send().await,
                    Err(error) => Err(error),
                },
                None => Request::get(url).abort_signal(signal.as_ref()).send().await,
            };
            // A gateway that finds nobody behind it may find somebody in a moment. A problem document
            // is the server's own word.
            let is_problem = |answer: &Response| {
                let kind = answer.headers().get("content-type").unwrap_or_default();
                kind.starts_with("application/problem+json")
            };
            match answer {
                Ok(answer) if !(502..=504).contains(&answer.status()) || is_problem(&answer) => {
                    return Some(answer);
                }
                Ok(_) | Err(_) => {}
            }
        }
        None
    }

    /// Posts one of our frames; what is answered comes as a frame.
    pub(super) fn post(self: &Rc<Self>, frame: &str) -> bool {
        if self.is_closed() {
            return false;
        }
        let (requests, frame) = (self.clone(), frame.to_owned());
        spawn_local(async move {
            let url = {
                let Destination { room, session, .. } = &*requests.to.borrow();
                let room = encode_component(room.as_str());
                format!("/api/rooms/{room}/frames?session={}", encode_component(session))
            };
            match requests.ask(&url, Some(&frame)).await {
                Some(answer) if answer.status() == 204 => {}
                Some(answer) => {
                    let ok = answer.ok();
                    let text = answer.text().await.unwrap_or_default();
                    let answer = if ok { text } else { refusal(&text, &frame).encode() };
                    requests.tell(RoadEvent::Frame(answer));
                }
                // Nobody knows whether it was taken. A new connection sends it again.
                None => requests.end("a POST was not answered"),
            }
        });
        true
    }
}

/// The `error` frame that a problem document stands for.
fn refusal(problem: &str, frame: &str) -> ServerFrame {
    #[derive(Deserialize)]
    struct Problem {
        code: ErrorCode,
        detail: String,
        field: Option<String>,
        limit: Option<u64>,
    }
    let refusal = match serde_json::from_str::<Problem>(problem) {
        Ok(Problem { code, detail, field, limit }) => {
            Refusal { field, limit, ..Refusal::new(code, detail) }
        }
        Err(_) => Refusal::new(ErrorCode::Other, "something on the way refused it"),
    };
    let id = match ClientFrame::parse(frame) {
        Ok(ClientFrame::Message(publish)) => publish.id,
        _ => None,
    };
    ServerFrame::Error(refusal.about(id.as_ref().map(common::MessageId::as_str)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_told_as_the_error_frame_of_its_message() {
        let problem =
            r#"{"title":"x","status":413,"detail":"too long","code":"too_long","limit":3}"#;
        let frame = r#"{"type":"message","params":{"value":"hi","id":"m1"}}"#;
        let told = r#"{"type":"error","params":{"code":"too_long","message":"too long","limit":3,"id":"m1"}}"#;
        assert_eq!(refusal(problem, frame).encode(), told);
        let ServerFrame::Error(other) = refusal("<html>", frame) else { panic!() };
        assert_eq!((other.code, other.id.as_deref()), (ErrorCode::Other, Some("m1")));
    }
}
