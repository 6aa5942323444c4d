//! What a room knows of its members beside its log: who is here, who is writing, who is away from the
//! screen. Always the present, never a backlog.
//!
//! Each of these is a [`StateKind`], and each is told by a [`Roster`]: whole, or as the difference to
//! the one told before. [`Members`] is what a client holds.

use std::ops::Deref;

use serde::{Deserialize, Serialize};

use crate::{Member, MemberId, SessionId};

/// How many members a roster lists at the most; its count is of all.
pub const LISTED: usize = 100;

/// What can be said of a member at this moment. Its word is the type of the frame that tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StateKind {
    /// Is in the room: `members`.
    Members,
    /// Is writing: `typing`.
    Typing,
    /// Has the room open where nobody looks at it: `idle`.
    Idle,
    /// Can be reached directly, in all its sessions: `direct`. Its sessions are told.
    Direct,
    /// Is in the room's call: `call`. Those of its sessions that are in it are told.
    Call,
}

impl StateKind {
    /// All of them, in the order in which they are told.
    pub const ALL: [Self; 5] = [Self::Members, Self::Typing, Self::Idle, Self::Direct, Self::Call];

    /// The type of its frame.
    pub fn word(self) -> &'static str {
        match self {
            Self::Members => "members",
            Self::Typing => "typing",
            Self::Idle => "idle",
            Self::Direct => "direct",
            Self::Call => "call",
        }
    }

    /// Reads that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

/// A member on a list.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Listed {
    /// Who it is.
    #[serde(flatten)]
    pub member: Member,
    /// The public parts of its sessions, where the list is of what they can do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub sessions: Vec<SessionId>,
}

impl Deref for Listed {
    type Target = Member;

    fn deref(&self) -> &Member {
        &self.member
    }
}

impl From<Member> for Listed {
    fn from(member: Member) -> Self {
        Self { member, sessions: Vec::new() }
    }
}

/// What is told of one kind of state: the whole list, or what has changed since the roster before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roster {
    /// Of how many members this can be said.
    pub count: usize,
    /// They, by name; of more than [`LISTED`] those who came first. Absent where only the difference is
    /// told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub members: Option<Vec<Listed>>,
    /// Who is on the list that was not, or of whom something else is told now, such as another name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub came: Vec<Listed>,
    /// Who is not on it any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub went: Vec<MemberId>,
}

impl Roster {
    /// The whole list.
    pub fn whole(members: Members) -> Self {
        Self { count: members.count, members: Some(members.members), ..Self::default() }
    }
}

/// Of whom something can be said now: always the present, never a backlog.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Members {
    /// How many members.
    pub count: usize,
    /// They, by name; of more than 100 those who came first.
    pub members: Vec<Listed>,
}

impl Members {
    /// Brings the list up to date with what was told.
    pub fn apply(&mut self, roster: Roster) {
        self.count = roster.count;
        if let Some(members) = roster.members {
            self.members = members;
        }
        let moved = |id: &MemberId| roster.came.iter().any(|member| member.id == *id);
        self.members.retain(|member| !roster.went.contains(&member.id) && !moved(&member.id));
        self.members.extend(roster.came);
        self.members.sort_unstable_by(|a, b| a.sort_key().cmp(&b.sort_key()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemberName;

    fn member(id: &str, name: &str) -> Listed {
        let (id, name) = (MemberId::parse(id).unwrap(), MemberName::parse(name).unwrap());
        Member { id, name }.into()
    }

    #[test]
    fn a_difference_brings_a_list_to_where_the_whole_one_is() {
        let mut here = Members::default();
        let members = vec![member("b", "Bob"), member("d", "Dee"), member("e", "Eve")];
        let whole = Members { count: 3, members };
        here.apply(Roster::whole(whole.clone()));
        assert_eq!(here, whole);
        here.apply(Roster {
            count: 3,
            came: vec![member("e", "Ada"), member("c", "Cat")],
            went: vec![MemberId::parse("b").unwrap()],
            ..Roster::default()
        });
        let members = vec![member("e", "Ada"), member("c", "Cat"), member("d", "Dee")];
        assert_eq!(here, Members { count: 3, members });
    }

    #[test]
    fn a_kind_is_known_by_its_word() {
        for kind in StateKind::ALL {
            assert_eq!(StateKind::parse(kind.word()), Some(kind));
        }
        assert_eq!(StateKind::parse("message"), None);
    }
}
