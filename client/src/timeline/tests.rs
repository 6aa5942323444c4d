//! The timeline and the outbox together, and whoever draws what they tell.

use common::{MemberId, Refusal};
use proptest::prelude::*;

use super::*;
use crate::testing::{id, message};

/// A timeline, its outbox, and a list that is only ever changed as it is told.
struct Page {
    timeline: Timeline,
    outbox: Outbox,
    drawn: Vec<Row>,
}

fn page() -> Page {
    Page::new(Vec::new(), "e:0")
}

impl Page {
    fn new(messages: Vec<Message>, position: &str) -> Self {
        let after = After::Position(position.parse().unwrap());
        let drawn = first_rows(messages.clone());
        Self { timeline: Timeline::new(messages, after), outbox: Outbox::new(false), drawn }
    }

    fn say(&mut self, text: &str) {
        self.outbox.push(message(text, 0));
        self.draw();
    }

    fn receive(&mut self, text: &str, offset: u64) -> bool {
        self.receive_message(message(text, offset))
    }

    fn receive_message(&mut self, message: Message) -> bool {
        self.outbox.taken(&message.id);
        let new = self.timeline.receive(message);
        self.draw();
        new
    }

    fn acked(&mut self, text: &str, offset: u64) {
        if let Some(mut message) = self.outbox.taken(&id(text)) {
            Arc::make_mut(&mut message).offset = Offset(offset);
            self.timeline.acked(message);
        }
        self.draw();
    }

    fn hello(&mut self, position: &str, recovery: Recovery) {
        self.timeline.hello(position.parse().unwrap(), recovery);
        self.draw();
    }

    fn draw(&mut self) {
        self.timeline.show_unsent(&self.outbox);
        for change in self.timeline.take_changes() {
            match change {
                RowChange::Inserted { at, row } => self.drawn.insert(at, row),
                RowChange::Changed { at, row } => {
                    assert_eq!(self.drawn[at].key, row.key);
                    self.drawn[at] = row;
                }
                RowChange::Removed { at } => drop(self.drawn.remove(at)),
            }
        }
        assert_eq!(self.drawn, Vec::from(self.timeline.rows.clone()));
        let keys: HashSet<_> = self.drawn.iter().map(|row| row.key).collect();
        assert_eq!(keys.len(), self.drawn.len(), "a key names one row");
        for (n, row) in self.drawn.iter().enumerate() {
            let before = n.checked_sub(1).map(|before| &self.drawn[before]);
            assert_eq!(row.grouped, before.is_some_and(|before| goes_on(before, row)), "row {n}");
            let said = before.and_then(|before| before.message.as_ref());
            assert_eq!(row.before, said.map(|message| message.at), "row {n}");
        }
    }

    fn ids(&self) -> Vec<String> {
        let text = |row: &Row| match (&row.message, &row.status) {
            (None, _) => "gap".to_owned(),
            (Some(message), Status::Sent) => message.id.to_string(),
            (Some(message), Status::Queued | Status::Sending) => format!("{}…", message.id),
            (Some(message), Status::Unknown) => format!("{}?", message.id),
            (Some(message), Status::Parked(_)) => format!("{}!", message.id),
        };
        self.drawn.iter().map(text).collect()
    }

    fn after(&self) -> String {
        match self.timeline.after() {
            After::Position(position) => position.to_string(),
            other => panic!("{other:?}"),
        }
    }
}

/// The same member to the same audience within five minutes.
fn goes_on(before: &Row, row: &Row) -> bool {
    let (Some(a), Some(b)) = (&before.message, &row.message) else { return false };
    (&a.from, &a.to) == (&b.from, &b.to) && b.at.saturating_sub(a.at) < 300_000
}

#[test]
fn what_is_said_within_five_minutes_goes_on_with_what_was_said_before() {
    let mut page = page();
    for (n, at) in [(1, 1_000), (3, 300_999), (4, 600_999), (2, 1_000)] {
        page.receive_message(Message { at, ..message(&format!("m{n}"), n) });
    }
    let grouped: Vec<_> = page.drawn.iter().map(|row| row.grouped).collect();
    assert_eq!(grouped, [false, true, true, false]);
    // Who wrote it is known before it is sent, and shows at once.
    page.receive_message(Message { to: common::Audience::Own, at: 600_999, ..message("m5", 5) });
    page.receive_message(Message { at: 600_999, ..message("m6", 6) });
    assert!(!page.drawn[4].grouped && !page.drawn[5].grouped);
}

#[test]
fn what_follows_a_message_of_mine_is_grouped_by_the_time_it_was_taken() {
    let mut page = page();
    for (text, at) in [("m1", 0), ("m2", 400_000)] {
        page.outbox.push(Message { at, ..message(text, 0) });
    }
    page.draw();
    assert!(!page.drawn[1].grouped);
    page.receive_message(Message { at: 200_000, ..message("m1", 1) });
    assert!(page.drawn[1].grouped);
}

#[test]
fn what_i_say_is_there_at_once_and_settles_when_it_arrives() {
    let mut page = page();
    page.say("m1");
    assert_eq!(page.ids(), ["m1…"]);
    assert!(page.receive("m1", 7));
    assert_eq!(page.ids(), ["m1"]);
    page.acked("m1", 7);
    assert_eq!(page.ids(), ["m1"]);
    assert_eq!(page.after(), "e:7");
}

#[test]
fn a_message_of_mine_keeps_its_row_when_it_settles() {
    let mut page = page();
    page.say("mine");
    let key = page.drawn[0].key;
    page.receive("theirs", 1);
    page.receive("mine", 2);
    assert_eq!((page.ids(), page.drawn[1].key), (vec!["theirs".into(), "mine".into()], key));
}

#[test]
fn an_ack_settles_what_is_not_sent_back_to_me_and_does_not_move_the_position() {
    let mut page = page();
    page.say("m1");
    page.acked("m1", 7);
    assert_eq!(page.ids(), ["m1"]);
    assert_eq!(page.after(), "e:0");
    assert!(!page.receive("m1", 7));
    assert_eq!(page.after(), "e:7");
}

#[test]
fn what_is_acked_before_earlier_messages_arrive_ends_up_behind_them() {
    let mut page = page();
    page.say("m2");
    page.acked("m2", 2);
    page.receive("m1", 1);
    page.receive("m3", 3);
    assert_eq!(page.ids(), ["m1", "m2", "m3"]);
}

#[test]
fn what_others_say_stands_before_what_is_still_on_its_way() {
    let mut page = page();
    page.say("mine");
    page.receive("theirs", 1);
    assert_eq!(page.ids(), ["theirs", "mine…"]);
}

#[test]
fn how_far_a_message_has_got_is_shown_on_its_row_alone() {
    let mut page = page();
    ["m1", "m2"].into_iter().for_each(|id| page.say(id));
    page.outbox.next(0);
    page.outbox.expire(1_000_000);
    page.timeline.show_unsent(&page.outbox);
    let [RowChange::Changed { at: 0, .. }] = page.timeline.changes[..] else {
        panic!("{:?}", page.timeline.changes)
    };
    page.draw();
    assert_eq!(page.ids(), ["m1?", "m2…"]);
    let refusal = Refusal::new(common::ErrorCode::TooLong, "long").about(Some("m1"));
    page.outbox.refused(&refusal, 0);
    page.draw();
    assert_eq!(page.ids(), ["m1!", "m2…"]);
    page.outbox.discard(&id("m1"));
    page.draw();
    assert_eq!(page.ids(), ["m2…"]);
}

#[test]
fn a_replay_doubles_nothing() {
    let mut page = Page::new(vec![message("m1", 1), message("m2", 2)], "e:2");
    assert!(!page.receive("m2", 2));
    assert!(page.receive("m3", 3));
    assert_eq!(page.ids(), ["m1", "m2", "m3"]);
}

#[test]
fn what_the_server_says_of_a_message_of_ours_counts() {
    let mut page = page();
    page.say("mine");
    page.acked("mine", 9);
    let at_the_server = Message { at: 77, ..message("mine", 9) };
    assert!(!page.receive_message(at_the_server.clone()));
    assert_eq!(page.drawn[0].message.as_deref(), Some(&at_the_server));
    assert_eq!(page.ids(), ["mine"]);
}

#[test]
fn a_reset_is_shown_where_it_happened() {
    let mut page = Page::new(vec![message("m1", 9)], "old:9");
    page.hello("new:0", Recovery::Reset);
    page.receive("m2", 1);
    assert_eq!(page.ids(), ["m1", "gap", "m2"]);
    assert_eq!(page.after(), "new:1");
}

#[test]
fn what_was_acknowledged_before_a_gap_is_not_shown_again_behind_it() {
    let mut page = page();
    page.say("mine");
    page.acked("mine", 9);
    page.hello("e:5", Recovery::Reset);
    assert!(!page.receive("mine", 9));
    assert_eq!(page.ids(), ["mine", "gap"]);
}

#[test]
fn a_gap_stands_before_what_is_still_on_its_way() {
    let mut page = page();
    page.say("mine");
    page.hello("e:5", Recovery::Reset);
    assert_eq!(page.ids(), ["gap", "mine…"]);
}

#[test]
fn what_another_life_of_the_log_still_has_is_behind_the_gap_and_what_it_lost_before() {
    let first = ["m1", "m2", "lost"].map(|id| message(id, 7));
    let mut page = Page::new(first.to_vec(), "old:9");
    let keys: Vec<_> = page.timeline.rows.iter().map(|row| row.key).collect();
    page.hello("new:0", Recovery::Reset);
    assert!(page.receive("m1", 7) && page.receive("m2", 8) && page.receive("m3", 9));
    assert!(!page.receive("m2", 8));
    assert_eq!(page.ids(), ["lost", "gap", "m1", "m2", "m3"]);
    let moved: Vec<_> = page.timeline.rows.range(2..4).map(|row| row.key).collect();
    assert_eq!(moved, keys[..2]);
    // What was lost may be said again.
    assert!(page.receive("lost", 10));
    assert_eq!(page.ids(), ["gap", "m1", "m2", "m3", "lost"]);
    page.hello("newer:9", Recovery::Reset);
    assert!(page.receive("m3", 11));
    assert_eq!(page.ids(), ["gap", "m1", "m2", "lost", "gap", "m3"]);
}

#[test]
fn an_id_that_another_member_has_in_another_life_of_the_log_is_another_message() {
    let mut page = Page::new(vec![message("1", 9)], "old:9");
    page.hello("new:0", Recovery::Reset);
    let mut by_another = message("1", 1);
    by_another.from.id = MemberId::parse("another").unwrap();
    assert!(page.receive_message(by_another));
    assert_eq!(page.ids(), ["1", "gap", "1"]);
}

#[test]
fn forgetting_a_row_of_an_earlier_life_forgets_no_message_of_this_one() {
    let mut page = Page::new(vec![message("1", 9)], "old:9");
    page.hello("new:0", Recovery::Reset);
    let mut by_another = message("1", 1);
    by_another.from.id = MemberId::parse("another").unwrap();
    page.receive_message(by_another.clone());
    for n in 0..ROWS as u64 - 3 {
        page.receive(&format!("m{n}"), n + 2);
    }
    assert_eq!(page.ids()[0], "1");
    page.receive("more", 1_000);
    assert_eq!(page.ids()[..2], ["gap", "1"]);
    assert!(!page.receive_message(by_another));
}

#[test]
fn the_newest_rows_only_are_kept() {
    let mut page = page();
    for n in 1..=(ROWS as u64 + 10) {
        page.receive(&format!("m{n}"), n);
    }
    let ids = page.ids();
    assert_eq!((ids.len(), ids[0].as_str()), (ROWS, "m11"));
}

#[test]
fn what_one_member_says_in_a_row_is_one_group() {
    let mut page = page();
    page.receive("m1", 1);
    page.receive("m2", 2);
    page.receive_message(Message { at: GROUP_MS, ..message("m3", 3) });
    let grouped: Vec<_> = page.drawn.iter().map(|row| row.grouped).collect();
    assert_eq!(grouped, [false, true, false]);
}

#[test]
fn a_new_message_touches_one_row() {
    let mut page = Page::new(vec![message("m1", 1)], "e:1");
    page.timeline.receive(message("m2", 2));
    assert!(matches!(page.timeline.take_changes()[..], [RowChange::Inserted { at: 1, .. }]));
}

proptest! {
    #[test]
    fn whoever_changes_only_what_is_told_has_the_rows(
        story in prop::collection::vec((0..6_u8, 1..30_u64), 0..100)
    ) {
        let mut page = page();
        for (what, n) in story {
            let text = format!("m{n}");
            match what {
                0 if !page.outbox.has(&id(&text)) && !page.timeline.knows(&id(&text)) => {
                    page.say(&text);
                }
                1 => drop(page.receive(&text, n)),
                2 => page.acked(&text, n),
                3 => page.outbox.discard(&id(&text)),
                4 => drop(page.outbox.next(n)),
                5 if n == 1 => page.hello("e:0", Recovery::Reset),
                _ => page.outbox.expire(n * 1_000),
            }
            page.draw();
        }
    }
}

/// What is done with `value` to the message `of`.
fn mend(name: &str, offset: u64, how: Mend, of: &str, value: serde_json::Value) -> Message {
    let event = common::EventName::parse(how.word()).unwrap();
    Message { value, event: Some(event), of: Some(id(of)), ..message(name, offset) }
}

fn values(page: &Page) -> Vec<String> {
    let value = |row: &Row| row.message.as_ref().map(|message| message.value.to_string());
    page.drawn.iter().filter_map(value).collect()
}

#[test]
fn what_is_done_to_a_message_changes_its_row_and_has_none() {
    let mut page = page();
    page.receive("m1", 1);
    page.receive("m2", 2);
    let key = page.drawn[0].key;
    assert!(!page.receive_message(mend("e1", 3, Mend::Edit, "m1", "one".into())));
    assert_eq!(values(&page), [r#""one""#, r#""m2""#]);
    assert_eq!(page.drawn[0].key, key);
    page.receive_message(mend("r1", 4, Mend::Reaction, "m2", serde_json::json!(["👍"])));
    let reacted = page.drawn[1].message.clone().unwrap();
    assert_eq!(reacted.reactions[0].from.len(), 1);
    page.receive_message(mend("b1", 5, Mend::Retract, "m1", serde_json::json!({})));
    assert_eq!(values(&page), [r#""m2""#]);
    assert_eq!(page.timeline.after(), &After::Position("e:5".parse().unwrap()));
    // An old answer does not bring it back.
    page.receive("m1", 1);
    page.receive_message(mend("e2", 6, Mend::Edit, "gone", "one".into()));
    assert_eq!(values(&page), [r#""m2""#]);
}

#[test]
fn what_is_done_by_me_has_a_row_only_while_somebody_has_to_see_to_it() {
    let mut page = page();
    page.receive("m1", 1);
    page.outbox.push(mend("e1", 0, Mend::Edit, "m1", "one".into()));
    page.outbox.next(0);
    page.draw();
    assert_eq!(values(&page), [r#""m1""#]);
    let refusal = Refusal::new(common::ErrorCode::NotYours, "no").about(Some("e1"));
    page.outbox.refused(&refusal, 0);
    page.draw();
    assert_eq!(values(&page), [r#""m1""#, r#""one""#]);
    page.outbox.retry(&id("e1"));
    page.draw();
    assert_eq!(values(&page), [r#""m1""#]);
    // The answer alone is enough, also where the message itself does not come back.
    page.acked("e1", 2);
    assert_eq!(values(&page), [r#""one""#]);
}

#[test]
fn a_page_that_is_rendered_has_no_rows_of_what_is_done_to_others() {
    let edit = mend("e1", 2, Mend::Edit, "m1", "one".into());
    let page = Page::new(vec![message("m1", 1), edit], "e:2");
    assert_eq!(values(&page), [r#""m1""#]);
}
