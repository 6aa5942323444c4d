//! One road while its messages go out and come back.

use crate::{Outcome, Plan, Road, Step, Trip, What, steps::Steps};

/// How long after the last message was due the others may still come back, in milliseconds; and a poll more.
pub const PATIENCE_MS: f64 = 15_000.0;

/// The messages of one road. Times are in milliseconds on one clock.
#[derive(Clone, Debug)]
pub struct Run {
    road: Road,
    plan: Plan,
    mark: Mark,
    began: f64,
    sent: Vec<Trip>,
    doubled: u32,
    back: u32,
    steps: Steps,
}

impl Run {
    /// The messages of `road`, the first of which is due `now`. `mark` tells them from those of other runs.
    pub fn new(road: Road, plan: &Plan, mark: u32, now: f64) -> Self {
        Self {
            road,
            plan: plan.clone(),
            mark: Mark(mark),
            began: now,
            sent: Vec::new(),
            doubled: 0,
            back: 0,
            steps: Steps::default(),
        }
    }

    /// When something is to be done next: the next message is due, or nobody waits any longer.
    pub fn deadline(&self) -> f64 {
        let next = self.sent.len() as u32;
        if next < self.plan.count {
            return self.began + self.plan.due(next);
        }
        let poll = f64::from(self.plan.poll_for(self.road).unwrap_or_default());
        self.began + self.plan.due(self.plan.count) + poll + PATIENCE_MS
    }

    /// The text of the message that is due, if one is.
    pub fn next(&mut self, now: f64) -> Option<String> {
        let number = self.sent.len() as u32;
        let due = self.plan.due(number);
        if number >= self.plan.count || self.began + due > now {
            return None;
        }
        let late = round(now - self.began - due);
        self.sent.push(Trip { due: round(due), late, took: None });
        Some(self.mark.text(number, self.plan.size))
    }

    /// A message is back.
    pub fn back(&mut self, text: &str, now: f64) {
        let Some(number) = self.mark.number_of(text) else { return };
        let Some(trip) = self.sent.get_mut(number as usize) else { return };
        match trip.took {
            None => {
                trip.took = Some(round(now - self.began - trip.due));
                self.back += 1;
            }
            Some(_) => self.doubled += 1,
        }
    }

    /// Something happened on the way, with this request if with one, and carried this.
    pub fn note(&mut self, now: f64, what: What, request: Option<u32>, text: &str) {
        self.steps.note(now, what, request, text, self.mark);
    }

    /// How many messages were sent, and how many are back.
    pub fn progress(&self) -> (u32, u32) {
        (self.sent.len() as u32, self.back)
    }

    /// Whether there is nothing to wait for any more.
    pub fn is_over(&self, now: f64) -> bool {
        let all_sent = self.sent.len() as u32 == self.plan.count;
        all_sent && (self.back == self.plan.count || now >= self.deadline())
    }

    /// How far it has got, beside what is known already.
    pub fn so_far(&self, known: Outcome) -> Outcome {
        Outcome { trips: self.sent.clone(), doubled: self.doubled, ..known }
    }

    /// What is left of it, beside what is known already.
    pub fn outcome(self, known: Outcome) -> Outcome {
        let steps = self.steps_of_the_median();
        Outcome { trips: self.sent, doubled: self.doubled, steps, ..known }
    }

    /// What happened for the message that took neither long nor short.
    fn steps_of_the_median(&self) -> Vec<Step> {
        let counted = (0..).zip(&self.sent).skip(self.plan.warm_up() as usize);
        let mut back: Vec<_> =
            counted.filter_map(|(number, trip)| Some((trip.took?, trip.due, number))).collect();
        back.sort_by(|a, b| a.0.total_cmp(&b.0));
        let middle = back.len().saturating_sub(1) / 2;
        back.get(middle).map_or_else(Vec::new, |(took, due, number)| {
            let due = self.began + due;
            // Clocks round.
            self.steps.of(*number, due - 0.001, due + took + 0.001)
        })
    }
}

/// Milliseconds to the microsecond: no clock here knows better.
pub fn round(ms: f64) -> f64 {
    (ms * 1_000.0).round() / 1_000.0
}

/// What the text of all messages of one run begins with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark(pub(crate) u32);

impl Mark {
    fn text(self, number: u32, size: u32) -> String {
        let head = format!("{:08x} {number:06} ", self.0);
        let rest = (size as usize).saturating_sub(head.len());
        head + &"x".repeat(rest)
    }

    fn number_of(self, text: &str) -> Option<u32> {
        let rest = text.strip_prefix(&format!("{:08x} ", self.0))?;
        rest.get(..6)?.parse().ok()
    }

    /// The numbers of all messages that are somewhere in it.
    pub(crate) fn numbers_in(self, text: &str) -> Vec<u32> {
        let begin = format!("{:08x} ", self.0);
        text.match_indices(&begin).filter_map(|(at, _)| self.number_of(&text[at..])).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan { count: 3, rate: 10, size: 40, ..Plan::default() }
    }

    #[test]
    fn a_trip_counts_from_when_it_was_due_however_late_it_set_out() {
        let mut run = Run::new(Road::Direct, &plan(), 7, 1_000.0);
        let first = run.next(1_000.0).unwrap();
        assert_eq!((first.len(), run.next(1_099.0)), (40, None));
        // Whoever sends was held up, and two are due at once.
        let (second, third) = (run.next(1_250.0).unwrap(), run.next(1_250.0).unwrap());
        assert_eq!((run.next(9_999.0), run.progress()), (None, (3, 0)));
        run.back(&first, 1_005.5);
        run.back(&third, 1_260.0);
        assert!(!run.is_over(1_270.0));
        run.back(&second, 1_270.0);
        assert!(run.is_over(1_270.0));
        let outcome = run.outcome(Outcome::none(Road::Direct));
        let took: Vec<_> = outcome.trips.iter().map(|trip| (trip.late, trip.took)).collect();
        assert_eq!(took, [(0.0, Some(5.5)), (150.0, Some(170.0)), (50.0, Some(60.0))]);
    }

    #[test]
    fn what_comes_twice_is_counted_and_what_is_of_others_is_not() {
        let mut run = Run::new(Road::Direct, &plan(), 7, 0.0);
        let first = run.next(0.0).unwrap();
        for text in ["", "hello", "00000008 000000 xx", "00000007 000002 xx", &first, &first] {
            run.back(text, 1.0);
        }
        assert_eq!(run.progress(), (1, 1));
        assert_eq!(run.outcome(Outcome::none(Road::Direct)).doubled, 1);
    }

    #[test]
    fn what_does_not_come_back_is_waited_for_but_not_for_ever() {
        let mut run = Run::new(Road::ALL[0], &plan(), 7, 0.0);
        while run.next(200.0).is_some() {}
        let patience = run.deadline();
        assert_eq!(patience, 300.0 + 1_000.0 + PATIENCE_MS);
        assert!(!run.is_over(patience - 1.0) && run.is_over(patience));
    }
}
