//! What somebody may do in a room: as everybody may, or as the token says that was shown.
//!
//! Start at `Permit`. The rule to keep: a room in which somebody may do nothing does not exist for them, and is
//! refused in the words of an address at which there is nothing, before anything is looked up.

use std::{str::FromStr, sync::Arc};

use clap::ValueEnum;
use common::{ErrorCode, Refusal, RoomName, limits::NAME_CHARS};
use serde_json::{Map, Value, json};

use crate::clock::now_ms;

/// How many patterns one token may have, in all.
const PATTERNS: usize = 100;

/// Who may come in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Access {
    /// Everybody, to every room, to read and to write.
    #[default]
    Open,
    /// Whoever shows a token, to the rooms it names.
    Tokens,
}

/// One thing that may be done in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Right {
    /// Read what is said, and see who is there.
    Read,
    /// Say something, and be heard in any other way.
    Write,
    /// Both, and whatever else there is: for others, or about them.
    Manage,
}

impl Right {
    const ALL: [Self; 3] = [Self::Read, Self::Write, Self::Manage];

    /// Its word in a token.
    pub fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Manage => "manage",
        }
    }
}

/// Names of rooms: one name, in which each `*` stands for any characters, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern(Box<str>);

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.chars().count() > NAME_CHARS {
            return Err(format!("a pattern has 1 to {NAME_CHARS} characters"));
        }
        if text.chars().any(|c| c.is_control() || c == '/') {
            return Err("a pattern has neither a `/` nor a control character".to_owned());
        }
        Ok(Self(text.into()))
    }
}

impl Pattern {
    /// Takes at most as many steps as the two have characters, multiplied: each `*` takes as little as it can, and the
    /// last one that was met takes one more where that was too little.
    pub(crate) fn matches(&self, name: &str) -> bool {
        let (pattern, name) = (self.0.as_bytes(), name.as_bytes());
        let (mut p, mut n) = (0, 0);
        let mut star: Option<(usize, usize)> = None;
        while n < name.len() {
            match pattern.get(p) {
                Some(b'*') => {
                    star = Some((p, n));
                    p += 1;
                }
                Some(byte) if *byte == name[n] => (p, n) = (p + 1, n + 1),
                _ => match star {
                    Some((at, taken)) => {
                        star = Some((at, taken + 1));
                        (p, n) = (at + 1, taken + 1);
                    }
                    None => return false,
                },
            }
        }
        pattern[p..].iter().all(|byte| *byte == b'*')
    }
}

/// What a token grants, by patterns of rooms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights([Vec<Pattern>; 3]);

impl Rights {
    /// Rights by patterns, from those who write them by hand.
    ///
    /// # Errors
    ///
    /// What is wrong with a pattern, naming it.
    pub fn of(read: &[String], write: &[String], manage: &[String]) -> Result<Self, String> {
        Self::read(&json!({"read": read, "write": write, "manage": manage}))
    }

    /// Reads the claim `hubbub`.
    ///
    /// # Errors
    ///
    /// What is wrong, naming the place. Nothing of a claim holds that is wrong in part.
    pub(crate) fn read(claim: &Value) -> Result<Self, String> {
        let Value::Object(claim) = claim else { return Err("`hubbub` is no object".to_owned()) };
        let mut rights = Self::default();
        for (right, patterns) in Right::ALL.into_iter().zip(&mut rights.0) {
            let word = right.word();
            let list = match claim.get(word) {
                None => continue,
                Some(Value::Array(list)) => list,
                Some(_) => return Err(format!("`hubbub.{word}` is no list")),
            };
            for (n, text) in list.iter().enumerate() {
                let text =
                    text.as_str().ok_or_else(|| format!("`hubbub.{word}[{n}]` is no string"));
                let pattern =
                    text?.parse().map_err(|error| format!("`hubbub.{word}[{n}]`: {error}"));
                patterns.push(pattern?);
            }
        }
        match rights.count() {
            ..=PATTERNS => Ok(rights),
            _ => Err(format!("`hubbub` has more than {PATTERNS} patterns")),
        }
    }

    /// As the claim that [`Rights::read`] reads.
    pub(crate) fn claim(&self) -> Value {
        let lists =
            Right::ALL.into_iter().zip(&self.0).filter(|(_, patterns)| !patterns.is_empty());
        let texts = |patterns: &[Pattern]| {
            json!(patterns.iter().map(|pattern| pattern.0.as_ref()).collect::<Vec<_>>())
        };
        let lists = lists.map(|(right, patterns)| (right.word().to_owned(), texts(patterns)));
        Value::Object(lists.collect::<Map<_, _>>())
    }

    /// Whether nothing is granted.
    pub(crate) fn are_none(&self) -> bool {
        self.count() == 0
    }

    fn count(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }

    fn has(&self, right: Right, room: &RoomName) -> bool {
        let [read, write, manage] = &self.0;
        let named = |patterns: &[Pattern]| patterns.iter().any(|one| one.matches(room.as_str()));
        match right {
            Right::Read => named(read) || named(manage),
            Right::Write => named(write) || named(manage),
            Right::Manage => named(manage),
        }
    }

    /// Whether every room is meant by `right`.
    fn has_everywhere(&self, right: Right) -> bool {
        self.0[right as usize].iter().any(|pattern| pattern.0.bytes().all(|byte| byte == b'*'))
    }
}

/// What a token grants to its bearer, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// What.
    pub rights: Rights,
    /// Seconds since 1970 (RFC 7519 section 4.1.4).
    pub exp: u64,
}

/// What somebody may do here; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Permit {
    access: Access,
    grant: Option<Arc<Grant>>,
}

impl Permit {
    /// Of somebody who showed a token that grants this, if it grants anything.
    pub(crate) fn new(access: Access, grant: Option<Arc<Grant>>) -> Self {
        Self { access, grant }
    }

    /// What it was granted beyond what everybody may.
    pub(crate) fn grant(&self) -> Option<Arc<Grant>> {
        self.grant.clone()
    }

    /// Whether it may do this in `room`.
    pub(crate) fn has(&self, right: Right, room: &RoomName) -> bool {
        let granted = self.grant.as_ref().is_some_and(|grant| grant.rights.has(right, room));
        granted || (self.access == Access::Open && right != Right::Manage)
    }

    /// # Errors
    ///
    /// [`ErrorCode::Forbidden`] where that is not so, [`ErrorCode::NotFound`] where the room is none of its.
    pub(crate) fn check(&self, right: Right, room: &RoomName) -> Result<(), Refusal> {
        if self.has(right, room) {
            return Ok(());
        }
        if right != Right::Manage && !self.knows(room) {
            return Err(nothing_here());
        }
        Err(Self::missing(right))
    }

    /// # Errors
    ///
    /// [`ErrorCode::Forbidden`] unless it may manage every room: for what is about more than one.
    pub(crate) fn check_everywhere(&self, right: Right) -> Result<(), Refusal> {
        let granted = self.grant.as_ref().is_some_and(|grant| grant.rights.has_everywhere(right));
        granted.then_some(()).ok_or_else(|| Refusal {
            message: format!("the right `{}` is missing for all rooms (`*`)", right.word()),
            ..Self::missing(right)
        })
    }

    /// Whether its token grants anything anywhere.
    pub(crate) fn is_granted_anything(&self) -> bool {
        self.grant.as_ref().is_some_and(|grant| !grant.rights.are_none())
    }

    /// Whether it may do anything in `room`: only then it may learn that there is one.
    pub(crate) fn knows(&self, room: &RoomName) -> bool {
        Right::ALL.into_iter().any(|right| self.has(right, room))
    }

    fn missing(right: Right) -> Refusal {
        let message = format!("the right `{}` is missing for this room", right.word());
        Refusal::new(ErrorCode::Forbidden, message)
    }

    /// # Errors
    ///
    /// [`ErrorCode::InvalidToken`] once what was shown has expired.
    pub(crate) fn check_time(&self) -> Result<(), Refusal> {
        match &self.grant {
            Some(grant) if grant.exp.saturating_mul(1_000) <= now_ms() => {
                let message = "the token has expired; send a new one with a `token` frame";
                Err(Refusal::new(ErrorCode::InvalidToken, message))
            }
            _ => Ok(()),
        }
    }

    /// When what was shown ends to hold: milliseconds from now.
    pub(crate) fn expires_in_ms(&self) -> Option<u64> {
        self.grant.as_ref().map(|grant| grant.exp.saturating_mul(1_000).saturating_sub(now_ms()))
    }
}

/// What somebody without a token is told where one is needed.
pub(crate) fn token_needed() -> Refusal {
    let message = "a token is needed here: `Authorization: Bearer …`, or `?token=`";
    Refusal::new(ErrorCode::InvalidToken, message)
}

/// What is said of an address at which there is nothing.
pub(crate) fn nothing_here() -> Refusal {
    Refusal::new(ErrorCode::NotFound, "there is nothing at this address")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn room(name: &str) -> RoomName {
        RoomName::parse(name).unwrap()
    }

    fn permit(access: Access, claim: Value) -> Permit {
        let rights = Rights::read(&claim).unwrap();
        Permit::new(access, Some(Arc::new(Grant { rights, exp: u64::MAX / 1_000 })))
    }

    #[test]
    fn a_star_stands_for_any_characters_and_everything_else_for_itself() {
        for (pattern, yes, no) in [
            ("tea", &["tea"][..], &["teas", "te", "Tea", "*"][..]),
            ("*", &["tea", "다방", "a b"], &[]),
            ("team-*", &["team-", "team-red"], &["team", "a-team-red"]),
            ("*-team", &["red-team", "-team", "-team-team"], &["team", "red-teams"]),
            ("a*b*c", &["abc", "axxbxxc", "abcbc"], &["ab", "acb", "abcx"]),
            ("**", &["x"], &[]),
            ("다*", &["다방", "다"], &["방다"]),
            ("[a]?", &["[a]?"], &["a", "[a]x"]),
        ] {
            let pattern: Pattern = pattern.parse().unwrap();
            assert!(yes.iter().all(|name| pattern.matches(name)), "{pattern:?}");
            assert!(!no.iter().any(|name| pattern.matches(name)), "{pattern:?}");
        }
    }

    #[test]
    fn who_may_manage_may_read_and_write_and_nobody_else_may_more_than_is_granted() {
        let claim = json!({"read": ["a*"], "write": ["b"], "manage": ["c"]});
        let permit = permit(Access::Tokens, claim);
        let may = |name: &str| Right::ALL.map(|right| permit.has(right, &room(name)));
        assert_eq!(may("abc"), [true, false, false]);
        assert_eq!(may("b"), [false, true, false]);
        assert_eq!(may("c"), [true, true, true]);
        assert_eq!(may("d"), [false, false, false]);
        let code = |right, name| permit.check(right, &room(name)).unwrap_err().code;
        assert_eq!(code(Right::Write, "abc"), ErrorCode::Forbidden);
        assert_eq!(code(Right::Read, "d"), ErrorCode::NotFound);
        assert_eq!(code(Right::Manage, "d"), ErrorCode::Forbidden);
        assert_eq!(permit.check(Right::Read, &room("d")).unwrap_err(), nothing_here());
    }

    #[test]
    fn where_access_is_open_everybody_reads_and_writes_and_only_a_token_manages() {
        let guest = Permit::new(Access::Open, None);
        assert!(guest.has(Right::Read, &room("tea")) && guest.has(Right::Write, &room("tea")));
        assert!(!guest.has(Right::Manage, &room("tea")));
        let backend = permit(Access::Open, json!({"manage": ["*"]}));
        assert!(backend.has(Right::Manage, &room("tea")));
        assert!(backend.check_everywhere(Right::Manage).is_ok());
        let part = permit(Access::Open, json!({"manage": ["t*"]}));
        assert!(part.check_everywhere(Right::Manage).is_err());
    }

    #[test]
    fn a_claim_that_is_wrong_in_part_holds_for_nothing_and_says_where() {
        let many: Vec<_> = (0..101).map(|n| format!("room-{n}")).collect();
        for (claim, place) in [
            (json!("*"), "`hubbub` is no object"),
            (json!({"read": "*"}), "`hubbub.read` is no list"),
            (json!({"read": ["a", 1]}), "`hubbub.read[1]` is no string"),
            (json!({"write": [""]}), "`hubbub.write[0]`"),
            (json!({"manage": ["a/b"]}), "`hubbub.manage[0]`"),
            (json!({"read": ["x".repeat(65)]}), "`hubbub.read[0]`"),
            (json!({"read": many}), "more than 100 patterns"),
        ] {
            let error = Rights::read(&claim).unwrap_err();
            assert!(error.contains(place), "{error}");
        }
        let claim = json!({"read": ["a*"], "manage": ["b"]});
        assert_eq!(Rights::read(&claim).unwrap().claim(), claim);
    }

    proptest! {
        /// Against the plainest way to say it: the parts between stars are found one behind the other.
        #[test]
        fn a_pattern_matches_as_its_parts_do(pattern in "[ab*]{1,8}", name in "[ab]{0,10}") {
            fn matches(pattern: &[u8], name: &[u8]) -> bool {
                match pattern.split_first() {
                    None => name.is_empty(),
                    Some((b'*', rest)) => (0..=name.len()).any(|n| matches(rest, &name[n..])),
                    Some((byte, rest)) => name.first() == Some(byte) && matches(rest, &name[1..]),
                }
            }
            let expected = matches(pattern.as_bytes(), name.as_bytes());
            prop_assert_eq!(pattern.parse::<Pattern>().unwrap().matches(&name), expected);
        }
    }
}
