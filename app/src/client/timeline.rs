//! What is said in a room as one page knows it: messages in offset order, then what is still on its
//! way, in the order it was written.
//!
//! Pure. The rule to keep: an id is in here once, so a message that arrives by its own echo, by an
//! ack and by a replay is one row.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use common::{After, Member, Message, MessageId, Offset, Position, Publish, Recovery, Refusal};

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

#[derive(Clone, Debug)]
struct Outgoing {
    publish: Publish,
    message: Arc<Message>,
    failed: Option<String>,
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
            // Numbers and ids of another life of the log say nothing about this one.
            self.known.clear();
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
        self.outgoing.push(Outgoing { publish, message: message.into(), failed: None });
    }

    /// What is to be sent, or sent again, over a new connection: with their ids, so nothing is said
    /// twice.
    pub fn unsent(&self) -> impl Iterator<Item = &Publish> {
        self.outgoing.iter().filter(|out| out.failed.is_none()).map(|out| &out.publish)
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

    /// The server refused the message that `refusal` names; `reason` is why, for people.
    pub fn refused(&mut self, refusal: &Refusal, reason: String) {
        let named = |out: &&mut Outgoing| refusal.id.as_deref() == Some(out.message.id.as_str());
        if let Some(out) = self.outgoing.iter_mut().find(named) {
            out.failed = Some(reason);
        }
    }

    /// Tries a refused message again: returns what to send.
    pub fn retry(&mut self, id: &MessageId) -> Option<Publish> {
        let out = self.outgoing.iter_mut().find(|out| out.message.id == *id)?;
        out.failed = None;
        Some(out.publish.clone())
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
            status: out.failed.clone().map_or(Status::Pending, Status::Failed),
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

    #[test]
    fn what_was_not_settled_is_sent_again_in_order_with_the_same_ids() {
        let mut timeline = timeline();
        ["m1", "m2", "m3"].into_iter().for_each(|id| say(&mut timeline, id));
        timeline.acked(&MessageId::parse("m2").unwrap(), Offset(1));
        let unsent: Vec<_> = timeline.unsent().map(|p| p.id.clone().unwrap().to_string()).collect();
        assert_eq!(unsent, ["m1", "m3"]);
    }

    #[test]
    fn a_refused_message_stays_until_it_is_retried_or_discarded() {
        let mut timeline = timeline();
        ["m1", "m2"].into_iter().for_each(|id| say(&mut timeline, id));
        let refusal = Refusal::new(ErrorCode::RateLimited, "slow").about(Some("m1"));
        timeline.refused(&refusal, "slow".to_owned());
        assert_eq!(ids(&timeline), ["m1!", "m2…"]);
        assert_eq!(timeline.unsent().count(), 1);
        let id = MessageId::parse("m1").unwrap();
        assert_eq!(timeline.retry(&id), Some(publish("m1")));
        assert_eq!(ids(&timeline), ["m1…", "m2…"]);
        timeline.discard(&id);
        assert_eq!(ids(&timeline), ["m2…"]);
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
