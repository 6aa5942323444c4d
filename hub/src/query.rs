//! Finding what was said: each word of what is looked for has to be somewhere in it, also inside another word, as Korean
//! asks for ("회의" is in "회의록을").

use common::Refusal;
use unicode_normalization::UnicodeNormalization;

/// The longest query, in Unicode characters.
const CHARS: usize = 100;
/// The most words of one.
const WORDS: usize = 8;

/// What is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    words: Vec<String>,
}

impl Query {
    /// Reads what somebody looks for: words with blanks between them. Of capitals and small letters, and of letters in one
    /// piece or in several (Unicode's NFC and NFD), both are the same.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] about the field `q`: nothing but blanks, over 100 characters, or over 8 words.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        if text.chars().count() > CHARS {
            return Err(Refusal::too_long("q", CHARS, "characters"));
        }
        let words: Vec<_> = fold(text).split_whitespace().map(str::to_owned).collect();
        match words.len() {
            0 => Err(Refusal::field("q", "`q` is empty")),
            1..=WORDS => Ok(Self { words }),
            _ => Err(Refusal::too_long("q", WORDS, "words")),
        }
    }

    /// Whether all of its words are in `text`.
    pub fn is_in(&self, text: &str) -> bool {
        let text = fold(text);
        self.words.iter().all(|word| text.contains(word))
    }
}

fn fold(text: &str) -> String {
    // Most of all text has letters in one piece, and no capitals but those of ASCII.
    let is_plain = |letter: char| letter.is_ascii() || ('가'..='힣').contains(&letter);
    if text.chars().all(is_plain) {
        return text.to_ascii_lowercase();
    }
    text.nfc().flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_may_stand_inside_another_whatever_its_length_and_case() {
        for (query, text, is_in) in [
            ("록", "회의록을 공유합니다", true),
            ("회의", "회의록을 공유합니다", true),
            ("회의록", "회의록을 공유합니다", true),
            ("공유 회의", "회의록을 공유합니다", true),
            ("회의 없음", "회의록을 공유합니다", false),
            ("결재", "결제 오류", false),
            ("ELL", "hello", true),
            ("straße", "STRASSE", false),
            ("İ", "i̇stanbul", true),
            // As macOS names files: each syllable in its letters.
            ("\u{1112}\u{116c}\u{110b}\u{1174}", "회의록", true),
            ("회의", "\u{1112}\u{116c}\u{110b}\u{1174}\u{1105}\u{1169}\u{11a8}", true),
            (r#""quoted""#, r#"a "quoted" word"#, true),
            ("*", "2 * 3", true),
            ("NEAR(a)", "near", false),
        ] {
            assert_eq!(Query::parse(query).unwrap().is_in(text), is_in, "{query} in {text}");
        }
    }

    #[test]
    fn a_query_has_words_and_not_too_many() {
        for (text, limit) in [
            ("", None),
            (" \t", None),
            (&"x".repeat(101), Some(100)),
            ("a b c d e f g h i", Some(8)),
        ] {
            let refusal = Query::parse(text).unwrap_err();
            assert_eq!((refusal.field.as_deref(), refusal.limit), (Some("q"), limit), "{text:?}");
        }
        assert!(Query::parse(&"가".repeat(100)).is_ok());
    }
}
