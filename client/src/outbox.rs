//! What is unsent, in the order it was written. One message is under way at a time, so that what one
//! person writes arrives in that order, whatever is lost or sent again.
//!
//! A message is queued, then sending, then gone from here. What nobody answered is unknown; what was
//! refused is parked with the reason, and lets later ones pass. (The words are those of matrix-sdk's
//! send queue.) Its id is the same at each try, which is what makes trying again safe.

use std::sync::Arc;

use common::{Audience, ErrorCode, Message, MessageId, Publish, Refusal};

use crate::Millis;

/// How long the server may take to answer before a message counts as unknown, in milliseconds.
const ANSWER_MS: Millis = 10_000;
/// How long the other browser may take to answer before a message goes through the hub, in milliseconds.
const DIRECT_MS: Millis = 3_000;
/// How long to wait after the server found it too much, in milliseconds.
const TOO_MUCH_MS: Millis = 1_000;

/// How far a message has got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// The server has it.
    Sent,
    /// Waiting for a connection, or for its turn.
    Queued,
    /// On its way.
    Sending,
    /// Sent, and not answered for so long that nobody knows. Sending it again is safe.
    Unknown,
    /// Refused, for this reason; it will not be tried again by itself.
    Parked(Refusal),
}

#[derive(Clone, Debug)]
struct Outgoing {
    message: Arc<Message>,
    stage: Stage,
    /// It did not go directly: now it goes through the hub.
    relayed: bool,
}

#[derive(Clone, Debug)]
enum Stage {
    /// To be sent, not before this time.
    Queued(Millis),
    /// Sent at this time, and not answered.
    Sending(Millis),
    /// As that, to another browser.
    Direct(Millis),
    Unknown,
    Parked(Refusal),
}

impl Outgoing {
    fn publish(&self) -> Publish {
        let message = &*self.message;
        Publish {
            value: message.value.clone(),
            id: Some(message.id.clone()),
            event: message.event.clone(),
            to: message.to.clone(),
            of: message.of.clone(),
            from: None,
        }
    }

    fn status(&self) -> Status {
        match &self.stage {
            Stage::Queued(_) => Status::Queued,
            Stage::Sending(_) | Stage::Direct(_) => Status::Sending,
            Stage::Unknown => Status::Unknown,
            Stage::Parked(refusal) => Status::Parked(refusal.clone()),
        }
    }
}

/// The outbox.
#[derive(Clone, Debug)]
pub(crate) struct Outbox {
    outgoing: Vec<Outgoing>,
    /// Nobody can be asked what to do with a message that is stuck.
    alone: bool,
}

impl Outbox {
    /// Empty. Where it is `alone`, with nobody to ask, what was not answered is sent again by itself,
    /// and what was refused is not kept.
    pub(crate) fn new(alone: bool) -> Self {
        Self { outgoing: Vec::new(), alone }
    }

    /// Takes a message that is to be sent.
    pub(crate) fn push(&mut self, message: Message) {
        // What is done to another is done where that is kept.
        let relayed = message.mends().is_some();
        let (message, stage) = (message.into(), Stage::Queued(0));
        self.outgoing.push(Outgoing { message, stage, relayed });
    }

    /// What is in it, each with how far it has got.
    pub(crate) fn unsent(&self) -> impl Iterator<Item = (&Arc<Message>, Status)> {
        self.outgoing.iter().map(|out| (&out.message, out.status()))
    }

    /// Whether this message is in it.
    pub(crate) fn has(&self, id: &MessageId) -> bool {
        self.outgoing.iter().any(|out| out.message.id == *id)
    }

    /// The next message to send: none while one is under way, or unknown.
    pub(crate) fn next(&mut self, now: Millis) -> Option<Publish> {
        let next = self.due(now)?;
        next.stage = Stage::Sending(now);
        Some(next.publish())
    }

    /// Whom the next message is for, if it may go directly.
    pub(crate) fn next_for(&mut self, now: Millis) -> Option<&Audience> {
        let next = self.due(now).filter(|next| !next.relayed)?;
        Some(&next.message.to)
    }

    /// As [`Outbox::next`], to be sent directly.
    pub(crate) fn next_direct(&mut self, now: Millis) -> Option<Publish> {
        let next = self.due(now)?;
        next.stage = Stage::Direct(now);
        Some(next.publish())
    }

    fn due(&mut self, now: Millis) -> Option<&mut Outgoing> {
        let next = self.first_of_the_line()?;
        matches!(next.stage, Stage::Queued(not_before) if not_before <= now).then_some(next)
    }

    /// What is under way directly may not arrive: it goes through the hub, under the same id.
    pub(crate) fn relay(&mut self) {
        for out in &mut self.outgoing {
            if let Stage::Direct(_) = out.stage {
                (out.stage, out.relayed) = (Stage::Queued(0), true);
            }
        }
    }

    fn first_of_the_line(&mut self) -> Option<&mut Outgoing> {
        self.outgoing.iter_mut().find(|out| !matches!(out.stage, Stage::Parked(_)))
    }

    /// There is a new connection: what was under way or unknown is sent again.
    pub(crate) fn reconnected(&mut self) {
        for out in &mut self.outgoing {
            if matches!(out.stage, Stage::Sending(_) | Stage::Unknown) {
                out.stage = Stage::Queued(0);
            }
        }
    }

    /// Gives up waiting for an answer that is late.
    pub(crate) fn expire(&mut self, now: Millis) {
        if let Some(Outgoing { stage: Stage::Direct(since), .. }) = self.first_of_the_line()
            && now >= *since + DIRECT_MS
        {
            return self.relay();
        }
        let late = if self.alone { Stage::Queued(now) } else { Stage::Unknown };
        if let Some(out) = self.first_of_the_line()
            && let Stage::Sending(since) = out.stage
            && now >= since + ANSWER_MS
        {
            out.stage = late;
        }
    }

    /// When [`Outbox::expire`] or, where something can be sent (`is_open`), [`Outbox::next`] has
    /// something to do.
    pub(crate) fn deadline(&self, is_open: bool) -> Option<Millis> {
        let next = self.outgoing.iter().find(|out| !matches!(out.stage, Stage::Parked(_)))?;
        match next.stage {
            Stage::Queued(not_before) => is_open.then_some(not_before),
            Stage::Sending(since) => Some(since + ANSWER_MS),
            Stage::Direct(since) => Some(since + DIRECT_MS),
            Stage::Unknown | Stage::Parked(_) => None,
        }
    }

    /// The server has this message; returns it if it was here.
    pub(crate) fn taken(&mut self, id: &MessageId) -> Option<Arc<Message>> {
        let index = self.outgoing.iter().position(|out| out.message.id == *id)?;
        Some(self.outgoing.remove(index).message)
    }

    /// The server refused the message that `refusal` names; returns its id if it is parked for that.
    /// What was only too much at once is sent again by itself.
    pub(crate) fn refused(&mut self, refusal: &Refusal, now: Millis) -> Option<MessageId> {
        let named = |out: &&mut Outgoing| refusal.id.as_deref() == Some(out.message.id.as_str());
        let out = self.outgoing.iter_mut().find(named)?;
        if refusal.code == ErrorCode::RateLimited {
            out.stage = Stage::Queued(now + TOO_MUCH_MS);
            return None;
        }
        out.stage = Stage::Parked(refusal.clone());
        let id = out.message.id.clone();
        if self.alone {
            self.discard(&id);
        }
        Some(id)
    }

    /// Tries a parked or unknown message again.
    pub(crate) fn retry(&mut self, id: &MessageId) {
        let stuck = |out: &&mut Outgoing| {
            out.message.id == *id && matches!(out.stage, Stage::Unknown | Stage::Parked(_))
        };
        if let Some(out) = self.outgoing.iter_mut().find(stuck) {
            out.stage = Stage::Queued(0);
        }
    }

    /// Gives a message up, unless it is too late: while it is on its way.
    pub(crate) fn discard(&mut self, id: &MessageId) {
        let on_its_way = |out: &Outgoing| matches!(out.stage, Stage::Sending(_) | Stage::Direct(_));
        self.outgoing.retain(|out| out.message.id != *id || on_its_way(out));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{id, message};

    fn outbox(ids: &[&str]) -> Outbox {
        let mut outbox = Outbox::new(false);
        ids.iter().for_each(|id| outbox.push(message(id, 0)));
        outbox
    }

    fn send(outbox: &mut Outbox, now: Millis) -> Option<String> {
        outbox.next(now).map(|publish| publish.id.unwrap().to_string())
    }

    fn statuses(outbox: &Outbox) -> Vec<(&str, Status)> {
        outbox.unsent().map(|(message, status)| (message.id.as_str(), status)).collect()
    }

    #[test]
    fn one_message_is_under_way_at_a_time_so_order_is_kept() {
        let mut outbox = outbox(&["m1", "m2"]);
        assert_eq!(send(&mut outbox, 0).as_deref(), Some("m1"));
        assert_eq!(send(&mut outbox, 0), None);
        outbox.taken(&id("m1"));
        assert_eq!(send(&mut outbox, 0).as_deref(), Some("m2"));
    }

    #[test]
    fn what_was_under_way_is_sent_again_with_the_same_id_over_a_new_connection() {
        let mut outbox = outbox(&["m1", "m2"]);
        send(&mut outbox, 0);
        outbox.reconnected();
        assert_eq!(send(&mut outbox, 1).as_deref(), Some("m1"));
    }

    #[test]
    fn a_message_without_an_answer_is_unknown_and_holds_up_the_next_until_it_is_sent_again() {
        let mut outbox = outbox(&["m1", "m2"]);
        send(&mut outbox, 0);
        assert_eq!(outbox.deadline(true), Some(ANSWER_MS));
        outbox.expire(ANSWER_MS - 1);
        assert_eq!(statuses(&outbox), [("m1", Status::Sending), ("m2", Status::Queued)]);
        outbox.expire(ANSWER_MS);
        assert_eq!(statuses(&outbox), [("m1", Status::Unknown), ("m2", Status::Queued)]);
        assert_eq!((send(&mut outbox, ANSWER_MS), outbox.deadline(true)), (None, None));
        outbox.retry(&id("m1"));
        assert_eq!(send(&mut outbox, ANSWER_MS).as_deref(), Some("m1"));
    }

    #[test]
    fn where_nobody_can_be_asked_what_was_not_answered_is_sent_again_by_itself() {
        let mut outbox = Outbox::new(true);
        outbox.push(message("m1", 0));
        send(&mut outbox, 0);
        outbox.expire(ANSWER_MS);
        assert_eq!(send(&mut outbox, ANSWER_MS).as_deref(), Some("m1"));
    }

    #[test]
    fn what_was_too_much_at_once_is_sent_again_by_itself_and_in_order() {
        let mut outbox = outbox(&["m1", "m2"]);
        send(&mut outbox, 0);
        let refusal = Refusal::new(ErrorCode::RateLimited, "slow").about(Some("m1"));
        assert_eq!(outbox.refused(&refusal, 0), None);
        assert_eq!(statuses(&outbox), [("m1", Status::Queued), ("m2", Status::Queued)]);
        assert_eq!((outbox.deadline(true), outbox.deadline(false)), (Some(TOO_MUCH_MS), None));
        assert_eq!(send(&mut outbox, TOO_MUCH_MS - 1), None);
        assert_eq!(send(&mut outbox, TOO_MUCH_MS).as_deref(), Some("m1"));
    }

    #[test]
    fn a_refused_message_stays_until_it_is_retried_or_discarded_and_holds_up_nothing() {
        let mut outbox = outbox(&["m1", "m2"]);
        send(&mut outbox, 0);
        let refusal = Refusal::new(ErrorCode::TooLong, "long").about(Some("m1"));
        assert_eq!(outbox.refused(&refusal, 0), Some(id("m1")));
        assert_eq!(statuses(&outbox)[0], ("m1", Status::Parked(refusal)));
        assert_eq!(send(&mut outbox, 0).as_deref(), Some("m2"));
        outbox.discard(&id("m1"));
        assert_eq!(statuses(&outbox), [("m2", Status::Sending)]);
    }

    #[test]
    fn only_what_is_stuck_is_tried_again_and_only_the_one_that_is_meant() {
        let mut outbox = outbox(&["m1", "m2"]);
        send(&mut outbox, 0);
        outbox.expire(ANSWER_MS);
        outbox.retry(&id("m2"));
        assert_eq!(statuses(&outbox), [("m1", Status::Unknown), ("m2", Status::Queued)]);
        outbox.retry(&id("m1"));
        assert_eq!(send(&mut outbox, ANSWER_MS).as_deref(), Some("m1"));
        // What is under way is not sent twice.
        outbox.retry(&id("m1"));
        assert_eq!(statuses(&outbox)[0], ("m1", Status::Sending));
        assert!(outbox.has(&id("m1")) && !outbox.has(&id("m3")));
    }

    #[test]
    fn what_is_on_its_way_can_not_be_discarded_any_more() {
        let mut outbox = outbox(&["m1", "m2"]);
        send(&mut outbox, 0);
        ["m1", "m2"].iter().for_each(|each| outbox.discard(&id(each)));
        assert_eq!(statuses(&outbox), [("m1", Status::Sending)]);
    }
}
