//! What is said in a room as one page knows it: messages in offset order, then the outbox, what is
//! still on its way, in the order it was written.
//!
//! Pure. Two rules to keep: an id is in here once, so a message that arrives by its own echo, by an
//! ack and by a replay is one row; and one message is under way at a time, so that what one person
//! writes arrives in that order, whatever is lost or sent again.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use common::{
    After, ErrorCode, Member, Message, MessageId, Offset, Position, Publish, Recovery, Refusal,
};

/// How long the server may take to answer before a message counts as unknown, in milliseconds.
const ANSWER_MS: f64 = 10_000.0;
/// How long to wait after the server found it too much, in milliseconds.
const TOO_MUCH_MS: f64 = 1_000.0;
/// How many rows a page keeps.
const ROWS: usize = 500;
/// Messages of one member closer together than this are drawn as one group, in milliseconds.
const GROUP_MS: u64 = 5 * 60 * 1000;

/// How far a message has got.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// The server has it.
    Sent,
    /// On its way, or waiting for a connection.
    Pending,
    /// Sent, and not answered for so long that nobody knows. Sending it again is safe.
    Unknown,
    /// Refused; it will not be tried again by itself.
    Failed(String),
}

/// One line of the timeline.
#[derive(Clone, Debug, PartialEq)]
pub enum Row {
    /// Something that was said.
    Message {
        /// What, by whom, when.
        message: Arc<Message>,
        /// How far it has got.
        status: Status,
        /// Whether it goes on what the same member said just before.
        grouped: bool,
    },
    /// Messages may be missing here.
    Gap {
        /// How many gaps there were before it.
        number: usize,
    },
}

#[derive(Clone, Debug)]
enum Item {
    Message(Arc<Message>),
    Gap(usize),
}

/// One message in the outbox.
#[derive(Clone, Debug)]
struct Outgoing {
    message: Arc<Message>,
    stage: Stage,
}

#[derive(Clone, Debug, PartialEq)]
enum Stage {
    /// To be sent, not before this time (milliseconds).
    Waiting(f64),
    /// Sent at this time, and not answered.
    Sent(f64),
    /// Sent, and not answered for too long.
    Unknown,
    /// Refused, for this reason.
    Failed(String),
}

impl Outgoing {
    fn publish(&self) -> Publish {
        let message = &*self.message;
        Publish {
            value: message.value.clone(),
            id: Some(message.id.clone()),
            event: message.event.clone(),
            to: message.to.clone(),
        }
    }

    fn status(&self) -> Status {
        match &self.stage {
            Stage::Waiting(_) | Stage::Sent(_) => Status::Pending,
            Stage::Unknown => Status::Unknown,
            Stage::Failed(reason) => Status::Failed(reason.clone()),
        }
    }
}

/// The timeline.
#[derive(Clone, Debug)]
pub struct Timeline {
    items: VecDeque<Item>,
    known: HashSet<MessageId>,
    outgoing: Vec<Outgoing>,
    position: Position,
    gaps: usize,
}

impl Timeline {
    /// Starts with what was already rendered, and the position behind it.
    pub fn new(messages: Vec<Message>, position: Position) -> Self {
        Self {
            known: messages.iter().map(|message| message.id.clone()).collect(),
            items: messages.into_iter().map(|message| Item::Message(message.into())).collect(),
            outgoing: Vec::new(),
            position,
            gaps: 0,
        }
    }

    /// Where to read on.
    pub fn after(&self) -> After {
        After::Position(self.position.clone())
    }

    /// The server said where the reading starts.
    pub fn hello(&mut self, position: Position, recovery: Recovery) {
        if recovery == Recovery::Reset {
            self.gaps += 1;
            if position.epoch != self.position.epoch {
                // The ids of another life of the log say nothing about this one.
                self.known.clear();
            }
            self.items.push_back(Item::Gap(self.gaps));
        }
        self.position = position;
    }

    /// A message arrived; true if it is new here.
    pub fn receive(&mut self, message: Message) -> bool {
        self.position.offset = self.position.offset.max(message.offset);
        self.outgoing.retain(|outgoing| outgoing.message.id != message.id);
        if !self.known.insert(message.id.clone()) {
            return false;
        }
        self.insert(message.into());
        true
    }

    /// Writes down what `me` wants to say at `at` (milliseconds since 1970). `publish` must have an
    /// id.
    pub fn say(&mut self, publish: Publish, me: &Member, room: &common::RoomName, at: u64) {
        let Some(id) = publish.id.clone() else { return };
        let message = Message {
            value: publish.value.clone(),
            id,
            room: room.clone(),
            offset: Offset(0),
            at,
            from: me.clone(),
            event: publish.event.clone(),
            to: publish.to.clone(),
        };
        self.outgoing.push(Outgoing { message: message.into(), stage: Stage::Waiting(0.0) });
    }

    /// The next message to send at `now` (milliseconds): none while one is under way, or unknown.
    pub fn next_to_send(&mut self, now: f64) -> Option<Publish> {
        let next = self.outgoing.iter_mut().find(|out| !matches!(out.stage, Stage::Failed(_)))?;
        match next.stage {
            Stage::Waiting(not_before) if not_before <= now => {
                next.stage = Stage::Sent(now);
                Some(next.publish())
            }
            _ => None,
        }
    }

    /// There is a new connection: what was under way or unknown is sent again, under its id.
    pub fn reconnected(&mut self) {
        for out in &mut self.outgoing {
            if matches!(out.stage, Stage::Sent(_) | Stage::Unknown) {
                out.stage = Stage::Waiting(0.0);
            }
        }
    }

    /// Gives up waiting for answers that are late at `now` (milliseconds); true if there are any.
    pub fn expire(&mut self, now: f64) -> bool {
        let late = |out: &&mut Outgoing| match out.stage {
            Stage::Sent(at) => now - at >= ANSWER_MS,
            _ => false,
        };
        let late = self.outgoing.iter_mut().find(late);
        let any = late.is_some();
        if let Some(out) = late {
            out.stage = Stage::Unknown;
        }
        any
    }

    /// What is in the outbox, to be kept over reloads; [`Timeline::restore`] reads it.
    pub fn outbox(&self) -> Vec<Message> {
        self.outgoing.iter().map(|out| Message::clone(&out.message)).collect()
    }

    /// Takes over what another page, or this one before a reload, could not send.
    pub fn restore(&mut self, outbox: Vec<Message>) {
        for message in outbox {
            let here = |out: &Outgoing| out.message.id == message.id;
            if !self.known.contains(&message.id) && !self.outgoing.iter().any(here) {
                let stage = Stage::Waiting(0.0);
                self.outgoing.push(Outgoing { message: message.into(), stage });
            }
        }
    }

    /// The server has the message `id` under `offset`.
    pub fn acked(&mut self, id: &MessageId, offset: Offset) {
        if let Some(index) = self.outgoing.iter().position(|out| out.message.id == *id) {
            let mut message = self.outgoing.remove(index).message;
            Arc::make_mut(&mut message).offset = offset;
            // The position stays: what others said before this may still be on its way.
            if self.known.insert(message.id.clone()) {
                self.insert(message);
            }
        }
    }

    /// Puts a message in offset order, within the stretch behind the last gap, and lets go of the
    /// oldest row that is too much.
    fn insert(&mut self, message: Arc<Message>) {
        let later = |item: &&Item| match item {
            Item::Message(other) => other.offset > message.offset,
            Item::Gap(_) => false,
        };
        let index = self.items.len() - self.items.iter().rev().take_while(later).count();
        self.items.insert(index, Item::Message(message));
        if self.items.len() > ROWS
            && let Some(Item::Message(gone)) = self.items.pop_front()
        {
            self.known.remove(&gone.id);
        }
    }

    /// The server refused the message that `refusal` names at `now` (milliseconds); `reason` is why,
    /// for people. What was only too much at once is sent again by itself.
    pub fn refused(&mut self, refusal: &Refusal, reason: String, now: f64) {
        let named = |out: &&mut Outgoing| refusal.id.as_deref() == Some(out.message.id.as_str());
        if let Some(out) = self.outgoing.iter_mut().find(named) {
            out.stage = match refusal.code {
                ErrorCode::RateLimited => Stage::Waiting(now + TOO_MUCH_MS),
                _ => Stage::Failed(reason),
            };
        }
    }

    /// Tries a refused or unknown message again.
    pub fn retry(&mut self, id: &MessageId) {
        if let Some(out) = self.outgoing.iter_mut().find(|out| out.message.id == *id) {
            out.stage = Stage::Waiting(0.0);
        }
    }

    /// Gives up a message that was not sent.
    pub fn discard(&mut self, id: &MessageId) {
        self.outgoing.retain(|out| out.message.id != *id);
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty() && self.outgoing.is_empty()
    }

    /// Everything, from the oldest to what is still on its way.
    pub fn rows(&self) -> Vec<Row> {
        let said = self.items.iter().map(|item| match item {
            Item::Message(message) => {
                Row::Message { message: message.clone(), status: Status::Sent, grouped: false }
            }
            Item::Gap(number) => Row::Gap { number: *number },
        });
        let outgoing = self.outgoing.iter().map(|out| Row::Message {
            message: out.message.clone(),
            status: out.status(),
            grouped: false,
        });
        let mut rows: Vec<_> = said.chain(outgoing).collect();
        for index in 1..rows.len() {
            let (before, from) = rows.split_at_mut(index);
            if let (
                Some(Row::Message { message: a, .. }),
                Row::Message { message: b, grouped, .. },
            ) = (before.last(), &mut from[0])
            {
                *grouped = a.from == b.from && a.to == b.to && b.at.saturating_sub(a.at) < GROUP_MS;
            }
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use common::{ErrorCode, MemberId, MemberName, RoomName};

    use super::*;

    fn ada() -> Member {
        Member { id: MemberId::parse("a").unwrap(), name: MemberName::parse("Ada").unwrap() }
    }

    fn publish(id: &str) -> Publish {
        Publish { id: Some(MessageId::parse(id).unwrap()), ..Publish::text(id).unwrap() }
    }

    fn message(id: &str, offset: u64) -> Message {
        Message {
            value: id.into(),
            id: MessageId::parse(id).unwrap(),
            room: RoomName::lobby(),
            offset: Offset(offset),
            at: 0,
            from: ada(),
            event: None,
            to: common::Audience::All,
        }
    }

    fn timeline() -> Timeline {
        Timeline::new(Vec::new(), "e:0".parse().unwrap())
    }

    fn say(timeline: &mut Timeline, id: &str) {
        timeline.say(publish(id), &ada(), &RoomName::lobby(), 0);
    }

    fn ids(timeline: &Timeline) -> Vec<String> {
        timeline
            .rows()
            .iter()
            .map(|row| match row {
                Row::Message { message, status: Status::Sent, .. } => message.id.to_string(),
                Row::Message { message, status: Status::Pending, .. } => format!("{}…", message.id),
                Row::Message { message, status: Status::Unknown, .. } => format!("{}?", message.id),
                Row::Message { message, .. } => format!("{}!", message.id),
                Row::Gap { .. } => "gap".to_owned(),
            })
            .collect()
    }

    fn after(timeline: &Timeline) -> String {
        match timeline.after() {
            After::Position(position) => position.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_i_say_is_there_at_once_and_settles_when_it_arrives() {
        let mut timeline = timeline();
        say(&mut timeline, "m1");
        assert_eq!(ids(&timeline), ["m1…"]);
        assert!(timeline.receive(message("m1", 7)));
        assert_eq!(ids(&timeline), ["m1"]);
        timeline.acked(&MessageId::parse("m1").unwrap(), Offset(7));
        assert_eq!(ids(&timeline), ["m1"]);
        assert_eq!(after(&timeline), "e:7");
    }

    #[test]
    fn an_ack_settles_what_is_not_sent_back_to_me_and_does_not_move_the_position() {
        let mut timeline = timeline();
        say(&mut timeline, "m1");
        timeline.acked(&MessageId::parse("m1").unwrap(), Offset(7));
        assert_eq!(ids(&timeline), ["m1"]);
        assert_eq!(after(&timeline), "e:0");
        assert!(!timeline.receive(message("m1", 7)));
        assert_eq!(after(&timeline), "e:7");
    }

    #[test]
    fn what_is_acked_before_earlier_messages_arrive_ends_up_behind_them() {
        let mut timeline = timeline();
        say(&mut timeline, "m2");
        timeline.acked(&MessageId::parse("m2").unwrap(), Offset(2));
        timeline.receive(message("m1", 1));
        timeline.receive(message("m3", 3));
        assert_eq!(ids(&timeline), ["m1", "m2", "m3"]);
    }

    #[test]
    fn what_others_say_stands_before_what_is_still_on_its_way() {
        let mut timeline = timeline();
        say(&mut timeline, "mine");
        timeline.receive(message("theirs", 1));
        assert_eq!(ids(&timeline), ["theirs", "mine…"]);
    }

    /// Sends what is to be sent; returns its id.
    fn send(timeline: &mut Timeline, now: f64) -> Option<String> {
        timeline.next_to_send(now).map(|publish| publish.id.unwrap().to_string())
    }

    fn ack(timeline: &mut Timeline, id: &str, offset: u64) {
        timeline.acked(&MessageId::parse(id).unwrap(), Offset(offset));
    }

    #[test]
    fn one_message_is_under_way_at_a_time_so_order_is_kept() {
        let mut timeline = timeline();
        ["m1", "m2"].into_iter().for_each(|id| say(&mut timeline, id));
        assert_eq!(send(&mut timeline, 0.0).as_deref(), Some("m1"));
        assert_eq!(send(&mut timeline, 0.0), None);
        ack(&mut timeline, "m1", 1);
        assert_eq!(send(&mut timeline, 0.0).as_deref(), Some("m2"));
    }

    #[test]
    fn what_was_under_way_is_sent_again_with_the_same_id_over_a_new_connection() {
        let mut timeline = timeline();
        ["m1", "m2"].into_iter().for_each(|id| say(&mut timeline, id));
        send(&mut timeline, 0.0);
        timeline.reconnected();
        assert_eq!(send(&mut timeline, 1.0).as_deref(), Some("m1"));
    }

    #[test]
    fn a_message_without_an_answer_is_unknown_and_holds_up_the_next_until_it_is_sent_again() {
        let mut timeline = timeline();
        ["m1", "m2"].into_iter().for_each(|id| say(&mut timeline, id));
        send(&mut timeline, 0.0);
        assert!(!timeline.expire(ANSWER_MS - 1.0));
        assert!(timeline.expire(ANSWER_MS));
        assert_eq!(ids(&timeline), ["m1?", "m2…"]);
        assert_eq!(send(&mut timeline, ANSWER_MS), None);
        timeline.retry(&MessageId::parse("m1").unwrap());
        assert_eq!(send(&mut timeline, ANSWER_MS).as_deref(), Some("m1"));
    }

    #[test]
    fn what_was_too_much_at_once_is_sent_again_by_itself_and_in_order() {
        let mut timeline = timeline();
        ["m1", "m2"].into_iter().for_each(|id| say(&mut timeline, id));
        send(&mut timeline, 0.0);
        let refusal = Refusal::new(ErrorCode::RateLimited, "slow").about(Some("m1"));
        timeline.refused(&refusal, "slow".to_owned(), 0.0);
        assert_eq!(ids(&timeline), ["m1…", "m2…"]);
        assert_eq!(send(&mut timeline, TOO_MUCH_MS - 1.0), None);
        assert_eq!(send(&mut timeline, TOO_MUCH_MS).as_deref(), Some("m1"));
    }

    #[test]
    fn a_refused_message_stays_until_it_is_retried_or_discarded_and_holds_up_nothing() {
        let mut timeline = timeline();
        ["m1", "m2"].into_iter().for_each(|id| say(&mut timeline, id));
        send(&mut timeline, 0.0);
        let refusal = Refusal::new(ErrorCode::TooLong, "long").about(Some("m1"));
        timeline.refused(&refusal, "long".to_owned(), 0.0);
        assert_eq!(ids(&timeline), ["m1!", "m2…"]);
        assert_eq!(send(&mut timeline, 0.0).as_deref(), Some("m2"));
        timeline.discard(&MessageId::parse("m1").unwrap());
        assert_eq!(ids(&timeline), ["m2…"]);
    }

    #[test]
    fn the_outbox_survives_a_reload_and_what_arrived_meanwhile_is_not_sent_again() {
        let mut before = timeline();
        ["m1", "m2"].into_iter().for_each(|id| say(&mut before, id));
        let kept = before.outbox();
        let mut after = Timeline::new(vec![message("m1", 1)], "e:1".parse().unwrap());
        after.restore(kept.clone());
        after.restore(kept);
        assert_eq!(ids(&after), ["m1", "m2…"]);
        assert_eq!(send(&mut after, 0.0).as_deref(), Some("m2"));
    }

    #[test]
    fn a_replay_doubles_nothing() {
        let first = vec![message("m1", 1), message("m2", 2)];
        let mut timeline = Timeline::new(first, "e:2".parse().unwrap());
        assert!(!timeline.receive(message("m2", 2)));
        assert!(timeline.receive(message("m3", 3)));
        assert_eq!(ids(&timeline), ["m1", "m2", "m3"]);
    }

    #[test]
    fn a_reset_is_shown_where_it_happened() {
        let mut timeline = Timeline::new(vec![message("m1", 9)], "old:9".parse().unwrap());
        timeline.hello("new:0".parse().unwrap(), Recovery::Reset);
        timeline.receive(message("m2", 1));
        assert_eq!(ids(&timeline), ["m1", "gap", "m2"]);
        assert_eq!(after(&timeline), "new:1");
    }

    #[test]
    fn what_was_acknowledged_before_a_gap_is_not_shown_again_behind_it() {
        let mut timeline = timeline();
        say(&mut timeline, "mine");
        timeline.acked(&MessageId::parse("mine").unwrap(), Offset(9));
        timeline.hello("e:5".parse().unwrap(), Recovery::Reset);
        assert!(!timeline.receive(message("mine", 9)));
        assert_eq!(ids(&timeline), ["mine", "gap"]);
    }

    #[test]
    fn an_id_of_another_life_of_the_log_is_another_message() {
        let mut timeline = Timeline::new(vec![message("1", 9)], "old:9".parse().unwrap());
        timeline.hello("new:0".parse().unwrap(), Recovery::Reset);
        assert!(timeline.receive(message("1", 1)));
        assert_eq!(ids(&timeline), ["1", "gap", "1"]);
    }

    #[test]
    fn a_page_keeps_the_newest_rows_only() {
        let mut timeline = timeline();
        for n in 1..=(ROWS as u64 + 10) {
            timeline.receive(message(&format!("m{n}"), n));
        }
        let ids = ids(&timeline);
        assert_eq!((ids.len(), ids[0].as_str()), (ROWS, "m11"));
    }

    #[test]
    fn what_one_member_says_in_a_row_is_one_group() {
        let mut timeline = timeline();
        timeline.receive(message("m1", 1));
        timeline.receive(message("m2", 2));
        timeline.receive(Message { at: GROUP_MS, ..message("m3", 3) });
        let grouped: Vec<_> = timeline
            .rows()
            .iter()
            .map(|row| matches!(row, Row::Message { grouped: true, .. }))
            .collect();
        assert_eq!(grouped, [false, true, false]);
    }
}
