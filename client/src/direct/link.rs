//! One connection between two browsers, as far as it has to be agreed on: perfect negotiation ([WebRTC 1.0], section
//! 10.7), so that both may begin and either may begin again.
//!
//! Of two offers that cross, that of the impolite one stands; the polite one takes its own back, and if that was its first,
//! the whole connection. Only the impolite one opens lanes for what is heard and seen, so it makes an offer in any case:
//! lanes that were taken back with an offer may leave those dark that come in their place (seen in Chromium 156).
//!
//! Descriptions are numbered by whoever makes them, and candidates say which one they belong to ([RFC 8838], 11.1): so
//! nothing that comes late, twice or in another order lands where it does not belong. The rule to keep: the browser is
//! asked for one thing at a time; what comes meanwhile waits.
//!
//! [WebRTC 1.0]: https://www.w3.org/TR/webrtc/#perfect-negotiation-example
//! [RFC 8838]: https://www.rfc-editor.org/rfc/rfc8838

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What one side says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Description {
    /// Counts up from 1, for each side by itself.
    pub(super) number: u32,
    /// The number of the offer that this answers; none for an offer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) answers: Option<u32>,
    /// What the browser made ([RFC 8866](https://www.rfc-editor.org/rfc/rfc8866)).
    pub(super) sdp: String,
}

/// What is to be done about it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// Have the browser make an offer; with a `restart` of how the two reach each other, and with `lanes` for what is
    /// heard and seen.
    Offer { restart: bool, lanes: bool },
    /// Take another connection in place of this one, which has offered something and got no further.
    Afresh,
    /// Have it take an offer, whatever it has offered itself, and answer.
    Answer { sdp: String },
    /// Have it take the answer to its offer.
    Accept { sdp: String },
    /// Have it try a way to the other side.
    Try { candidate: Value },
    /// Tell the other side.
    Describe(Description),
    /// Tell it ways to this one, which belong to the description of this number.
    Candidates { of: u32, candidates: Vec<Value> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Busy {
    Offering,
    Answering(u32),
    Accepting(u32),
}

#[derive(Clone, Debug)]
pub(super) struct Link {
    polite: bool,
    busy: Option<Busy>,
    /// What we have said last, and the ways that belong to it.
    local: Option<Description>,
    candidates: Vec<Value>,
    /// What we have answered before that, and its ways: the other side may not have heard it.
    answer: Option<(Description, Vec<Value>)>,
    /// It is an offer that is not answered.
    open: bool,
    /// How many descriptions we have made.
    made: u32,
    /// The number of the last one of theirs that the browser has.
    applied: u32,
    /// The newest one of theirs that came while it was busy.
    waiting: Option<Description>,
    /// Ways that belong to a description which has not come yet.
    early: Vec<(u32, Value)>,
    /// An offer is due; with a restart.
    due: Option<bool>,
    /// We have made one.
    offered: bool,
}

/// How many ways are kept for a description that has not come.
const EARLY: usize = 64;

impl Link {
    pub(super) fn new(polite: bool) -> Self {
        Self {
            polite,
            busy: None,
            local: None,
            candidates: Vec::new(),
            answer: None,
            open: false,
            made: 0,
            applied: 0,
            waiting: None,
            early: Vec::new(),
            due: None,
            offered: false,
        }
    }

    /// An offer is to be made as soon as there can be one.
    pub(super) fn want(&mut self, restart: bool) -> Vec<Step> {
        self.due = Some(restart || self.due == Some(true));
        self.go_on()
    }

    /// It is open: whoever alone may offer lanes does so, if that was never done.
    pub(super) fn opened(&mut self) -> Vec<Step> {
        match self.polite || self.offered {
            true => Vec::new(),
            false => self.want(false),
        }
    }

    /// Whether neither side has anything to say.
    pub(super) fn is_settled(&self) -> bool {
        self.busy.is_none() && !self.open && self.due.is_none()
    }

    /// Says once more what was said last, for it may be lost: the answer to it comes again as well.
    pub(super) fn repeat(&self) -> Vec<Step> {
        let offer = self.local.as_ref().filter(|local| local.answers.is_none());
        offer.map(|_| self.said()).unwrap_or_default()
    }

    fn said(&self) -> Vec<Step> {
        self.local.as_ref().map(|local| tell(local, &self.candidates)).unwrap_or_default()
    }

    /// The other side has described itself.
    pub(super) fn described(&mut self, theirs: Description) -> Vec<Step> {
        if theirs.number <= self.taken() {
            // Our answer was lost, or it is late.
            let answers = self.local.as_ref().and_then(|local| local.answers);
            let before = self.answer.as_ref();
            return match before.filter(|(before, _)| before.answers == Some(theirs.number)) {
                _ if answers == Some(theirs.number) && self.busy.is_none() => self.said(),
                Some((answer, candidates)) => tell(answer, candidates),
                None => Vec::new(),
            };
        }
        if self.waiting.as_ref().is_none_or(|waiting| waiting.number < theirs.number) {
            self.waiting = Some(theirs);
        }
        self.go_on()
    }

    /// There are ways to the other side.
    pub(super) fn told_ways(&mut self, of: u32, candidates: Vec<Value>) -> Vec<Step> {
        if of == self.applied && of == self.taken() {
            return candidates.into_iter().map(|candidate| Step::Try { candidate }).collect();
        }
        if of >= self.taken() {
            let new = candidates.into_iter().map(|candidate| (of, candidate));
            let known = std::mem::take(&mut self.early);
            self.early = new.fold(known, |mut early, way| {
                if early.len() < EARLY && !early.contains(&way) {
                    early.push(way);
                }
                early
            });
        }
        Vec::new()
    }

    /// The browser has found a way to this side.
    pub(super) fn found_way(&mut self, candidate: Value) -> Vec<Step> {
        self.candidates.push(candidate.clone());
        match self.busy {
            // It belongs to what the browser is about to hand out.
            Some(Busy::Offering | Busy::Answering(_)) => Vec::new(),
            _ => vec![Step::Candidates { of: self.made, candidates: vec![candidate] }],
        }
    }

    /// The browser has made the description it was asked for.
    pub(super) fn made(&mut self, sdp: String) -> Vec<Step> {
        let answers = match self.busy.take() {
            Some(Busy::Offering) => None,
            Some(Busy::Answering(number)) => Some(number),
            Some(Busy::Accepting(_)) | None => return Vec::new(),
        };
        self.made += 1;
        self.open = answers.is_none();
        self.local = Some(Description { number: self.made, answers, sdp });
        let mut steps = self.said();
        if let Some(number) = answers {
            steps.extend(self.apply(number));
        }
        steps.extend(self.go_on());
        steps
    }

    /// The browser has taken the answer.
    pub(super) fn accepted(&mut self) -> Vec<Step> {
        let Some(Busy::Accepting(number)) = self.busy.take() else { return Vec::new() };
        self.open = false;
        let mut steps = self.apply(number);
        steps.extend(self.go_on());
        steps
    }

    /// The number of the last one of theirs that the browser has, or is taking.
    fn taken(&self) -> u32 {
        match self.busy {
            Some(Busy::Answering(number) | Busy::Accepting(number)) => number,
            Some(Busy::Offering) | None => self.applied,
        }
    }

    /// The browser has their description of this number.
    fn apply(&mut self, number: u32) -> Vec<Step> {
        self.applied = number;
        let early = std::mem::take(&mut self.early);
        let (now, later): (Vec<_>, Vec<_>) =
            early.into_iter().filter(|(of, _)| *of >= number).partition(|(of, _)| *of == number);
        self.early = later;
        now.into_iter().map(|(_, candidate)| Step::Try { candidate }).collect()
    }

    fn go_on(&mut self) -> Vec<Step> {
        if self.busy.is_some() {
            return Vec::new();
        }
        if let Some(Description { number, answers, sdp }) = self.waiting.take() {
            match answers {
                // Ours stands: the other side takes its own back, and answers.
                None if self.open && !self.polite => {}
                None => {
                    // Chromium may find no way any more on a connection that takes back its first offer: its gathering
                    // goes on for ever (seen in 156, with addresses hidden behind names).
                    let is_first = self.open && self.applied == 0;
                    self.begin(Busy::Answering(number));
                    let afresh = is_first.then_some(Step::Afresh);
                    return afresh.into_iter().chain([Step::Answer { sdp }]).collect();
                }
                Some(answered) if self.open && answered == self.made => {
                    self.busy = Some(Busy::Accepting(number));
                    return vec![Step::Accept { sdp }];
                }
                Some(_) => {}
            }
        }
        if self.open {
            return Vec::new();
        }
        match self.due.take() {
            Some(restart) => {
                self.begin(Busy::Offering);
                self.offered = true;
                vec![Step::Offer { restart, lanes: !self.polite }]
            }
            None => Vec::new(),
        }
    }

    /// What was said before is over, and so are the ways that belong to it.
    fn begin(&mut self, busy: Busy) {
        self.busy = Some(busy);
        let candidates = std::mem::take(&mut self.candidates);
        if let Some(answer) = self.local.take_if(|local| local.answers.is_some()) {
            self.answer = Some((answer, candidates));
        }
    }
}

fn tell(description: &Description, candidates: &[Value]) -> Vec<Step> {
    let mut steps = vec![Step::Describe(description.clone())];
    if !candidates.is_empty() {
        let (of, candidates) = (description.number, candidates.to_vec());
        steps.push(Step::Candidates { of, candidates });
    }
    steps
}
