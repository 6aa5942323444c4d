//! What is done to something that was said: it is edited, taken back, or reacted to.
//!
//! Each of these is a message of its own, which names the other by its id (`of`) and has the event `edit`, `retract` or
//! `reaction`. [`Message::mend`] is what comes of it. The rule to keep: done twice, it is as if it were done once, so it
//! does no harm to hear of it again.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    EventName, Member, Message, MessageId, Refusal,
    limits::{EMOJI_CHARS, EMOJI_EACH},
};

/// What a message does to the one it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mend {
    /// Its value is another now.
    Edit,
    /// It was never said.
    Retract,
    /// Somebody has reacted to it with these emoji, and with no others.
    Reaction,
}

impl Mend {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Edit, Self::Retract, Self::Reaction];

    /// The event of such a message.
    pub fn word(self) -> &'static str {
        match self {
            Self::Edit => "edit",
            Self::Retract => "retract",
            Self::Reaction => "reaction",
        }
    }

    /// What an event of this name does.
    pub fn parse(event: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mend| mend.word() == event)
    }

    /// Whether only whoever said it may do so.
    pub fn is_own(self) -> bool {
        self != Self::Reaction
    }
}

/// What a message does, and to which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mends {
    /// The id of the other.
    pub of: MessageId,
    /// What is done to it.
    pub how: Mend,
}

impl Mends {
    /// What a message with these fields does; nothing, if it names no other.
    pub(crate) fn read(of: Option<&MessageId>, event: Option<&EventName>) -> Option<Self> {
        let how = Mend::parse(event?.as_str())?;
        Some(Self { of: of?.clone(), how })
    }
}

/// An emoji, and who has reacted with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Reaction {
    /// Up to [`EMOJI_CHARS`] characters.
    pub emoji: String,
    /// In the order they did.
    pub from: Vec<Member>,
}

impl Message {
    /// What it does to another message; nothing, if it is one to be read itself.
    pub fn mends(&self) -> Option<Mends> {
        Mends::read(self.of.as_ref(), self.event.as_ref())
    }

    /// Does to this message what `by`, which names it, does. To take it back is up to whoever holds it.
    pub fn mend(&mut self, by: &Self) {
        match by.mends().map(|mends| mends.how) {
            Some(Mend::Edit) if self.edited.is_none_or(|edited| edited < by.offset) => {
                self.value = by.value.clone();
                self.edited = Some(by.offset);
            }
            Some(Mend::Reaction) => {
                let emoji = by.value.as_array().into_iter().flatten().filter_map(Value::as_str);
                self.react(&by.from, &emoji.collect::<Vec<_>>());
            }
            Some(Mend::Edit | Mend::Retract) | None => {}
        }
    }

    /// From now on `who` has reacted with these, and with no others.
    fn react(&mut self, who: &Member, emoji: &[&str]) {
        for reaction in &mut self.reactions {
            let stays = emoji.contains(&reaction.emoji.as_str());
            reaction.from.retain(|member| stays || member.id != who.id);
        }
        for emoji in emoji {
            let known = self.reactions.iter_mut().find(|reaction| reaction.emoji == *emoji);
            match known {
                Some(known) if known.from.iter().any(|member| member.id == who.id) => {}
                Some(known) => known.from.push(who.clone()),
                None => {
                    let (emoji, from) = ((*emoji).to_owned(), vec![who.clone()]);
                    self.reactions.push(Reaction { emoji, from });
                }
            }
        }
        self.reactions.retain(|reaction| !reaction.from.is_empty());
    }

    /// The emoji that `who` has reacted with.
    pub fn reactions_of<'a>(&'a self, who: &'a Member) -> impl Iterator<Item = &'a str> {
        let theirs = |reaction: &&Reaction| reaction.from.iter().any(|from| from.id == who.id);
        self.reactions.iter().filter(theirs).map(|reaction| reaction.emoji.as_str())
    }
}

/// Checks what somebody reacts with: at most [`EMOJI_EACH`] texts, each once, of 1 to [`EMOJI_CHARS`] characters.
///
/// # Errors
///
/// A [`Refusal`] about the field `value`.
pub(crate) fn check_reaction(value: &Value) -> Result<(), Refusal> {
    let wrong = || Refusal::field("value", "`value` of a reaction is not a list of emoji");
    let emoji = value.as_array().ok_or_else(wrong)?;
    if emoji.len() > EMOJI_EACH {
        return Err(Refusal::too_long("value", EMOJI_EACH, "emoji"));
    }
    for (n, one) in emoji.iter().enumerate() {
        let text = one.as_str().ok_or_else(wrong)?;
        if text.chars().count() > EMOJI_CHARS {
            return Err(Refusal::too_long("value", EMOJI_CHARS, "characters an emoji"));
        }
        let is_blank = text.trim() != text || text.is_empty();
        if is_blank || text.chars().any(char::is_control) || emoji[..n].contains(one) {
            return Err(wrong());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::{Audience, MemberId, MemberName, Offset, RoomName};

    fn member(name: &str) -> Member {
        Member { id: MemberId::parse(name).unwrap(), name: MemberName::parse(name).unwrap() }
    }

    fn message(offset: u64, from: &str, value: Value) -> Message {
        Message {
            offset: Offset(offset),
            value,
            id: MessageId::parse(&format!("m{offset}")).unwrap(),
            room: RoomName::lobby(),
            at: offset,
            from: member(from),
            event: None,
            to: Audience::All,
            of: None,
            edited: None,
            reactions: Vec::new(),
        }
    }

    /// What `from` does to the first message.
    fn by(offset: u64, from: &str, how: Mend, value: Value) -> Message {
        let (of, event) = (MessageId::parse("m1").unwrap(), EventName::parse(how.word()).unwrap());
        Message { of: Some(of), event: Some(event), ..message(offset, from, value) }
    }

    fn shown(message: &Message) -> Vec<(&str, Vec<&str>)> {
        let reactions = message.reactions.iter();
        reactions
            .map(|one| (one.emoji.as_str(), one.from.iter().map(|from| from.id.as_str()).collect()))
            .collect()
    }

    #[test]
    fn the_last_edit_counts_in_whatever_order_they_are_heard() {
        let mut said = message(1, "ada", json!("helo"));
        said.mend(&by(3, "ada", Mend::Edit, json!("hello!")));
        said.mend(&by(2, "ada", Mend::Edit, json!("hello")));
        assert_eq!((&said.value, said.edited), (&json!("hello!"), Some(Offset(3))));
    }

    #[test]
    fn what_somebody_reacts_with_takes_the_place_of_what_it_was_before() {
        let mut said = message(1, "ada", json!("hi"));
        said.mend(&by(2, "ada", Mend::Reaction, json!(["👍", "🎉"])));
        said.mend(&by(3, "ben", Mend::Reaction, json!(["👍"])));
        assert_eq!(shown(&said), [("👍", vec!["ada", "ben"]), ("🎉", vec!["ada"])]);
        assert_eq!(said.reactions_of(&member("ada")).collect::<Vec<_>>(), ["👍", "🎉"]);
        said.mend(&by(4, "ada", Mend::Reaction, json!(["🎉"])));
        assert_eq!(shown(&said), [("👍", vec!["ben"]), ("🎉", vec!["ada"])]);
        said.mend(&by(5, "ben", Mend::Reaction, json!([])));
        assert_eq!(shown(&said), [("🎉", vec!["ada"])]);
    }

    #[test]
    fn an_event_of_such_a_name_does_nothing_unless_it_names_a_message() {
        let mut plain = by(2, "ada", Mend::Edit, json!("x"));
        assert_eq!(plain.mends().map(|mends| mends.of.to_string()).as_deref(), Some("m1"));
        plain.of = None;
        assert_eq!(plain.mends(), None);
        let mut said = message(1, "ada", json!("hi"));
        said.mend(&plain);
        assert_eq!((said.value, said.edited), (json!("hi"), None));
        assert_eq!(Mend::ALL.map(|how| Mend::parse(how.word())), Mend::ALL.map(Some));
    }

    #[test]
    fn a_reaction_is_a_short_list_of_short_texts() {
        for good in [json!([]), json!(["👍"]), json!(["👨‍👩‍👧‍👦", ":+1:"])] {
            assert_eq!(check_reaction(&good), Ok(()), "{good}");
        }
        let many: Vec<_> = (0..=EMOJI_EACH).map(|n| n.to_string()).collect();
        let long = "x".repeat(EMOJI_CHARS + 1);
        for (bad, limit) in [
            (json!("👍"), None),
            (json!([1]), None),
            (json!([""]), None),
            (json!([" 👍"]), None),
            (json!(["a\u{7}"]), None),
            (json!(["👍", "👍"]), None),
            (json!(many), Some(8)),
            (json!([long]), Some(16)),
        ] {
            let refusal = check_reaction(&bad).unwrap_err();
            assert_eq!((refusal.field.as_deref(), refusal.limit), (Some("value"), limit), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn heard_again_from_anywhere_on_it_comes_to_the_same(
            story in prop::collection::vec((any::<bool>(), any::<bool>(), 0..4_usize), 0..12),
            from in 0..12_usize,
        ) {
            let emoji = [json!([]), json!(["👍"]), json!(["🎉"]), json!(["👍", "🎉"])];
            let story: Vec<_> = story.into_iter().zip(2..).map(|((edits, ada, n), offset)| {
                let who = if ada { "ada" } else { "ben" };
                match edits {
                    true => by(offset, who, Mend::Edit, json!(offset)),
                    false => by(offset, who, Mend::Reaction, emoji[n].clone()),
                }
            }).collect();
            let mut once = message(1, "ada", json!("hi"));
            story.iter().for_each(|by| once.mend(by));
            let mut twice = once.clone();
            story.iter().skip(from).for_each(|by| twice.mend(by));
            let sorted = |message: &Message| {
                let mut all: Vec<_> = message.reactions.iter().flat_map(|reaction| {
                    reaction.from.iter().map(|from| (reaction.emoji.clone(), from.id.to_string()))
                }).collect();
                all.sort();
                all
            };
            prop_assert_eq!((&twice.value, sorted(&twice)), (&once.value, sorted(&once)));
        }
    }
}
