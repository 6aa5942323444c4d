//! Names and ids, checked when they are made: whoever holds one need not check it again.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize, Serializer};

use crate::{Refusal, limits::NAME_CHARS};

/// What a name may be made of.
struct Rule {
    /// The field named in a refusal.
    field: &'static str,
    /// Names are typed by people: blanks at the ends go, and `/` would break addresses.
    typed: bool,
}

impl Rule {
    /// The text without what does not count.
    fn check<'t>(&self, text: &'t str) -> Result<&'t str, Refusal> {
        let Self { field, typed } = *self;
        let text = if typed { text.trim() } else { text };
        if text.is_empty() {
            return Err(Refusal::field(field, format!("`{field}` is empty")));
        }
        if text.chars().count() > NAME_CHARS {
            return Err(Refusal::too_long(field, NAME_CHARS, "characters"));
        }
        if text.chars().any(char::is_control) {
            return Err(Refusal::field(field, format!("`{field}` has a control character")));
        }
        // As a part of an address these two would lead elsewhere (RFC 3986 section 5.2.4).
        if typed && matches!(text, "." | "..") {
            return Err(Refusal::field(field, format!("`{field}` is only dots")));
        }
        if typed && text.contains('/') {
            return Err(Refusal::field(field, format!("`{field}` has a `/`")));
        }
        Ok(text)
    }

    /// A typed name looks like what it is: nothing in it is invisible or turns the direction of what follows
    /// (Unicode Technical Standard 39, section 5), but for joiners where a script or an emoji needs them.
    fn check_visible(&self, text: &str) -> Result<(), Refusal> {
        let hidden = |(before, c): (char, char)| match c {
            '\u{200c}' | '\u{200d}' => !takes_joiners(before),
            c => is_invisible(c),
        };
        let before = std::iter::once(' ').chain(text.chars());
        let ends = text.ends_with(['\u{200c}', '\u{200d}']);
        if self.typed && (ends || before.zip(text.chars()).any(hidden)) {
            let field = self.field;
            return Err(Refusal::field(field, format!("`{field}` has an invisible character")));
        }
        Ok(())
    }
}

/// Whether a joiner behind this shows: behind a symbol, such as an emoji, and in scripts from Arabic to Sinhala.
fn takes_joiners(c: char) -> bool {
    matches!(c, '\u{600}'..='\u{dff}')
        || !(c.is_alphanumeric() || c.is_whitespace() || c.is_ascii())
}

/// Formats, fillers and blanks that leave no mark.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}'
        | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $field:literal, typed: $typed:literal) => {
        $(#[$doc])*
        ///
        /// Cloning shares the text: of one that many hold there is one.
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
        #[serde(try_from = "String")]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = String))]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks `text` against the rule of this type.
            ///
            /// # Errors
            ///
            /// A [`Refusal`] that names the field and, where it is a length, the limit.
            pub fn parse(text: &str) -> Result<Self, Refusal> {
                let rule = Rule { field: $field, typed: $typed };
                let text = rule.check(text)?;
                rule.check_visible(text)?;
                Ok(Self(text.into()))
            }

            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = Refusal;
            /// What was kept before it was refused stays readable: invisible characters are let pass.
            fn try_from(text: String) -> Result<Self, Refusal> {
                Rule { field: $field, typed: $typed }.check(&text).map(|text| Self(text.into()))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

checked_text! {
    /// The name of a room: 1 to 64 characters of any language, no control or invisible characters, no `/`,
    /// and not `.` or `..`. Blanks at the ends are dropped.
    RoomName, "room", typed: true
}

checked_text! {
    /// The name a member goes by; the same rule as for a room. Two members may have the same one.
    MemberName, "name", typed: true
}

checked_text! {
    /// The id of a message, chosen by its sender (a UUIDv7 serves well) so that a retry is safe:
    /// 1 to 64 characters, no control characters.
    MessageId, "id", typed: false
}

checked_text! {
    /// What kind of message this is, for programs: 1 to 64 characters, no control characters.
    EventName, "event", typed: false
}

checked_text! {
    /// Who a member is: given by the server, and not a secret.
    MemberId, "member", typed: false
}

checked_text! {
    /// One tab or program: given by the server. Whoever has no token is known by it alone, so only its
    /// [public part](SessionId::public) is for others.
    SessionId, "session", typed: false
}

impl SessionId {
    /// The part before the signature: enough to write to a session, and not to be it.
    pub fn public(&self) -> &str {
        public_part(&self.0)
    }

    /// That part alone: what is kept, and shown to others.
    #[must_use]
    pub fn to_public(&self) -> Self {
        Self(self.public().into())
    }
}

/// What of an id others may see: all of it, but of a session only the part before the signature.
pub fn public_part(id: &str) -> &str {
    id.split_once('.').map_or(id, |(public, _)| public)
}

impl RoomName {
    /// The room one lands in without naming any.
    pub fn lobby() -> Self {
        Self("lobby".into())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ErrorCode;

    #[test]
    fn a_name_in_any_language_is_a_name() {
        for name in ["lobby", "다방", "お茶", "чай", "شاي", "🍵 tea", "a.b"] {
            assert_eq!(RoomName::parse(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn blanks_at_the_ends_of_a_name_are_dropped() {
        assert_eq!(MemberName::parse("  Ada \n").unwrap().as_str(), "Ada");
    }

    #[test]
    fn a_refused_name_tells_the_field_and_the_limit() {
        let long = MemberName::parse(&"가".repeat(65)).unwrap_err();
        assert_eq!((long.code, long.limit), (ErrorCode::TooLong, Some(64)));
        assert_eq!(long.field.as_deref(), Some("name"));
        for bad in ["", "   ", ".", "..", "a/b", "a\0b", "a\u{7f}", "a\u{85}b"] {
            let refusal = RoomName::parse(bad).unwrap_err();
            assert_eq!(refusal.code, ErrorCode::InvalidField, "{bad:?}");
            assert_eq!(refusal.field.as_deref(), Some("room"), "{bad:?}");
        }
    }

    #[test]
    fn others_see_of_a_session_what_comes_before_its_signature() {
        let session = SessionId::parse("tab.secret").unwrap();
        assert_eq!((session.public(), session.to_public().as_str()), ("tab", "tab"));
        assert_eq!((public_part("a.b.c"), public_part("member")), ("a", "member"));
    }

    #[test]
    fn sixty_four_characters_are_allowed_however_many_bytes_they_take() {
        assert!(RoomName::parse(&"👩".repeat(64)).is_ok());
    }

    proptest! {
        #[test]
        fn a_parsed_name_parses_to_itself(text in ".{0,80}") {
            if let Ok(name) = RoomName::parse(&text) {
                prop_assert_eq!(RoomName::parse(name.as_str()).unwrap(), name);
            }
        }
    }
}
