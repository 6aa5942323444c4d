//! What stands for a name where there is room for two letters.

use crate::names::GUEST;

/// Family names of one syllable, of most people in Korea: left out, for they tell nobody apart.
const FAMILIES: &str =
    "김이박최정강조윤장임한오서신권황안송류전홍고문양손배백허유남심노곽성차주우구민진";

/// Family names of two syllables.
const LONG_FAMILIES: [&str; 6] = ["남궁", "황보", "제갈", "사공", "선우", "독고"];

/// One or two letters, or syllables, of a name.
pub(crate) fn initials(name: &str) -> String {
    let name = name.trim();
    // All guests are guests.
    let name = name.strip_prefix(GUEST).filter(|rest| !rest.is_empty()).unwrap_or(name);
    let letters: Vec<char> = name.chars().collect();
    if letters.iter().all(|letter| ('가'..='힣').contains(letter)) {
        let given = match letters.as_slice() {
            [_, _, _, _] if LONG_FAMILIES.iter().any(|family| name.starts_with(family)) => 2,
            [first, _, _] if FAMILIES.contains(*first) => 1,
            _ => 0,
        };
        return letters[given..].iter().take(2).collect();
    }
    let words = name.split(|letter: char| letter.is_whitespace() || letter == '-');
    let mut firsts = words.filter_map(|word| word.chars().find(|letter| letter.is_alphanumeric()));
    let (first, second) = (firsts.next(), firsts.next());
    // What is not written in letters stands for itself.
    let Some(first) = first else { return letters.into_iter().take(1).collect() };
    first.to_uppercase().chain(second.into_iter().flat_map(char::to_uppercase)).collect()
}

#[cfg(test)]
mod tests {
    use super::initials;

    #[test]
    fn they_tell_people_apart() {
        for (name, expected) in [
            ("김민준", "민준"),
            ("김서연", "서연"),
            ("남궁민수", "민수"),
            ("독고탁", "독고"),
            ("민준", "민준"),
            ("무지개곰", "무지"),
            ("별", "별"),
            ("Ada", "A"),
            ("ada lovelace", "AL"),
            ("Ada King Lovelace", "AK"),
            ("guest-otter-385", "O3"),
            ("guest-", "G"),
            ("김 Ada", "김A"),
            ("🦊", "🦊"),
            ("🦊 Fox", "F"),
            ("ß", "SS"),
        ] {
            assert_eq!(initials(name), expected, "{name}");
        }
    }
}
