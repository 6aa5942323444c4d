//! What happened on the way, one thing after the other: what a sequence diagram is drawn from.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::run::{Mark, round};

/// How many steps are shown at the most.
pub const MOST_STEPS: usize = 14;
/// How many are remembered while a road is run.
const REMEMBERED: usize = 20_000;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// When: milliseconds after the message was due. A request that was waiting then was made before.
    pub at: f64,
    /// What.
    pub what: What,
    /// How many bytes it carried, without headers.
    pub bytes: usize,
    /// It, and as many more of its kind, had nothing to tell.
    pub empty: usize,
}

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A `GET` set out.
    Get,
    /// A `POST` set out.
    Post,
    /// A request was answered.
    Answer,
    /// A frame went up a connection that was open.
    Send,
    /// A frame or an event came down one.
    Receive,
    /// Something went to the other browser.
    SendDirect,
    /// Something came from it.
    ReceiveDirect,
}

/// All that happened in a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Steps {
    all: Vec<Noted>,
}

#[derive(Clone, Debug)]
struct Noted {
    at: f64,
    what: What,
    /// Which request it is, or answers.
    request: Option<u32>,
    bytes: usize,
    /// The numbers of the messages in it.
    carries: Vec<u32>,
    is_ack: bool,
}

impl Steps {
    /// Writes down what happened at `now`, to which request, and what it carried.
    pub(crate) fn note(
        &mut self,
        now: f64,
        what: What,
        request: Option<u32>,
        text: &str,
        mark: Mark,
    ) {
        if self.all.len() < REMEMBERED {
            let is_ack = what == What::Receive && text.starts_with("{\"type\":\"ack\"");
            let (bytes, carries) = (text.len(), mark.numbers_in(text));
            self.all.push(Noted { at: now, what, request, bytes, carries, is_ack });
        }
    }

    /// What had to do with message `number`, which was due at `due` and back at `until`: what carried it, the other half of
    /// a request that did, and in between what was acknowledged and asked in vain.
    pub(crate) fn of(&self, number: u32, due: f64, until: f64) -> Vec<Step> {
        let is_between = |noted: &Noted| noted.at >= due && noted.at <= until;
        let carries = |noted: &Noted| noted.carries.contains(&number);
        // What set out, and what answered it.
        let mut halves: HashMap<u32, [Option<&Noted>; 2]> = HashMap::new();
        for noted in &self.all {
            if let Some(request) = noted.request {
                let half = usize::from(noted.what == What::Answer);
                halves.entry(request).or_default()[half].get_or_insert(noted);
            }
        }
        let other_half = |of: &Noted| {
            let [asked, answer] = halves.get(&of.request?)?;
            if of.what == What::Answer { *asked } else { *answer }
        };
        let is_answer = |noted: &Noted| noted.what == What::Answer;
        let in_vain = |noted: &Noted| match noted.what {
            What::Get => other_half(noted)
                .is_some_and(|answer| answer.carries.is_empty() && is_between(answer)),
            What::Answer => other_half(noted).is_some_and(|asked| {
                asked.what == What::Get && noted.carries.is_empty() && is_between(asked)
            }),
            _ => false,
        };
        let (mut steps, mut empty) = (Vec::new(), [0, 0]);
        for noted in &self.all {
            let is_of_it = carries(noted)
                || other_half(noted).is_some_and(carries)
                || (noted.is_ack && is_between(noted));
            let is_empty = !is_of_it && is_between(noted) && in_vain(noted);
            if !is_of_it && !is_empty {
                continue;
            }
            if is_empty {
                let count = &mut empty[usize::from(is_answer(noted))];
                *count += 1;
                // The others are told with the first.
                if *count > 1 {
                    continue;
                }
            }
            let at = round(noted.at - due);
            let empty = usize::from(is_empty);
            steps.push(Step { at, what: noted.what, bytes: noted.bytes, empty });
        }
        for step in steps.iter_mut().filter(|step| step.empty > 0) {
            step.empty = empty[usize::from(step.what == What::Answer)];
        }
        steps.truncate(MOST_STEPS);
        steps
    }
}

#[cfg(test)]
mod tests {
    use super::{What::*, *};

    const MARK: Mark = Mark(7);

    fn steps(of: &[(f64, What, Option<u32>, &str)]) -> Steps {
        let mut steps = Steps::default();
        for (at, what, request, text) in of {
            steps.note(*at, *what, *request, text, MARK);
        }
        steps
    }

    fn shown(steps: &[Step]) -> Vec<(f64, What, usize)> {
        steps.iter().map(|step| (step.at, step.what, step.empty)).collect()
    }

    #[test]
    fn a_poll_is_drawn_with_what_was_asked_in_vain_before_it() {
        let all = steps(&[
            (10.0, Get, Some(1), ""),
            (11.0, Answer, Some(1), "00000007 000001"),
            (20.0, Post, Some(2), "00000007 000002"),
            (21.0, Answer, Some(2), "{}"),
            (30.0, Get, Some(3), ""),
            (31.0, Answer, Some(3), "nothing"),
            (40.0, Get, Some(4), ""),
            (41.0, Answer, Some(4), "nothing"),
            (50.0, Get, Some(5), ""),
            (51.0, Answer, Some(5), "00000007 000002 00000007 000003"),
            (60.0, Get, Some(6), ""),
        ]);
        let expected = [
            (0.0, Post, 0),
            (1.0, Answer, 0),
            (10.0, Get, 2),
            (11.0, Answer, 2),
            (30.0, Get, 0),
            (31.0, Answer, 0),
        ];
        assert_eq!(shown(&all.of(2, 20.0, 51.0)), expected);
    }

    #[test]
    fn a_request_that_waited_was_made_before_the_message() {
        let all = steps(&[
            (0.0, Get, Some(1), ""),
            (100.0, Post, Some(2), "00000007 000002"),
            (103.0, Answer, Some(1), "00000007 000002"),
            (103.5, Get, Some(3), ""),
            (104.0, Answer, Some(2), "{}"),
        ]);
        let expected = [(-100.0, Get, 0), (0.0, Post, 0), (3.0, Answer, 0), (4.0, Answer, 0)];
        assert_eq!(shown(&all.of(2, 100.0, 103.0)), expected);
    }

    #[test]
    fn on_an_open_connection_there_are_a_frame_up_an_ack_and_a_frame_down() {
        let all = steps(&[
            (0.0, Send, None, "00000007 000000"),
            (0.5, Receive, None, "{\"type\":\"ack\",\"params\":{}}"),
            (1.0, Receive, None, "{\"type\":\"members\",\"params\":{}}"),
            (2.0, Receive, None, "00000007 000000"),
        ]);
        assert_eq!(
            shown(&all.of(0, 0.0, 2.0)),
            [(0.0, Send, 0), (0.5, Receive, 0), (2.0, Receive, 0)]
        );
    }
}
