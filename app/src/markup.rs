//! What is in a text: links, code, and everything else as it is. Nothing is made of it but parts; escaping is the views'.

use linkify::{LinkFinder, LinkKind};

/// A piece of a text that stands by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Block {
    /// Text as it was written, with its line breaks.
    Text(Vec<Span>),
    /// What stands between two lines of three backticks.
    Code(String),
}

/// A part of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Span {
    Plain(String),
    /// What stands between two backticks in one line.
    Code(String),
    /// An address of the web, which is what it shows.
    Link(String),
}

const FENCE: &str = "```";

/// The parts of `text`, in order. All of it is in them, but for the backticks.
pub(crate) fn blocks(text: &str) -> Vec<Block> {
    let (mut blocks, mut plain) = (Vec::new(), Vec::new());
    let mut lines = text.split('\n');
    while let Some(line) = lines.next() {
        let rest = lines.clone();
        let opens = line.trim_start().strip_prefix(FENCE).is_some_and(|kind| !kind.contains('`'));
        let closes = |line: &&str| line.trim() == FENCE;
        if !opens || !rest.clone().any(|line| closes(&line)) {
            plain.push(line);
            continue;
        }
        take_plain(&mut plain, &mut blocks);
        let code: Vec<_> = lines.by_ref().take_while(|line| !closes(line)).collect();
        blocks.push(Block::Code(code.join("\n")));
    }
    take_plain(&mut plain, &mut blocks);
    blocks
}

fn take_plain(lines: &mut Vec<&str>, blocks: &mut Vec<Block>) {
    let text = std::mem::take(lines).join("\n");
    let text = text.trim_matches('\n');
    if !text.is_empty() || blocks.is_empty() {
        blocks.push(Block::Text(spans(text)));
    }
}

fn spans(mut text: &str) -> Vec<Span> {
    let mut spans = Vec::new();
    while let Some((before, code, after)) = next_code(text) {
        link(before, &mut spans);
        spans.push(Span::Code(code.to_owned()));
        text = after;
    }
    link(text, &mut spans);
    spans
}

/// The first code of a text, and what is before and behind it.
fn next_code(text: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    loop {
        let start = from + text[from..].find('`')?;
        let rest = &text[start + 1..];
        match rest.find(['`', '\n']) {
            Some(end) if end > 0 && rest[end..].starts_with('`') => {
                return Some((&text[..start], &rest[..end], &rest[end + 1..]));
            }
            _ => from = start + 1,
        }
    }
}

/// Finds addresses. The library knows of brackets, and of full stops at the end of a sentence.
fn link(text: &str, spans: &mut Vec<Span>) {
    let mut finder = LinkFinder::new();
    finder.kinds(&[LinkKind::Url]);
    let mut plain = String::new();
    for part in finder.spans(text) {
        let address = part.kind().map(|_| without_particle(part.as_str()));
        match address.filter(|address| is_plain_address(address)) {
            Some(address) => {
                if !plain.is_empty() {
                    spans.push(Span::Plain(std::mem::take(&mut plain)));
                }
                spans.push(Span::Link(address.to_owned()));
                plain.push_str(&part.as_str()[address.len()..]);
            }
            None => plain.push_str(part.as_str()),
        }
    }
    if !plain.is_empty() {
        spans.push(Span::Plain(plain));
    }
}

/// What Korean puts behind a word without a blank.
const PARTICLES: [&str; 16] = [
    "에서는",
    "에서",
    "에는",
    "에도",
    "에",
    "으로",
    "로",
    "를",
    "을",
    "는",
    "은",
    "이랑",
    "랑",
    "하고",
    "와",
    "의",
];

/// An address that is ASCII up to a particle ends there.
fn without_particle(address: &str) -> &str {
    let rest = PARTICLES.iter().find_map(|particle| address.strip_suffix(particle));
    rest.filter(|rest| rest.is_ascii()).unwrap_or(address)
}

/// Whether it is what it seems: of the web, without somebody's name in front of the host, and each part of the host in
/// one script that people here read.
fn is_plain_address(address: &str) -> bool {
    let (scheme, rest) = address.split_once("://").unwrap_or_default();
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    let is_hangul = |c: char| matches!(c, '가'..='힣' | '0'..='9' | '-');
    let is_label = |label: &str| label.is_ascii() || label.chars().all(is_hangul);
    let is_web = ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    // Characters that turn or hide what follows are format characters (Unicode, section 23.2).
    let hides = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
    };
    is_web
        && !host.is_empty()
        && !host.contains('@')
        && host.split('.').all(is_label)
        && !address.contains(hides)
}

/// So many emoji alone are shown large.
const LARGE: usize = 6;

/// Whether `text` is a few emoji and nothing else ([UTS #51](https://www.unicode.org/reports/tr51/), as far as it takes).
pub(crate) fn is_emoji(text: &str) -> bool {
    const JOINER: char = '\u{200d}';
    const KEYCAP: &str = "\u{fe0f}\u{20e3}";
    let (mut count, mut joined, mut flags) = (0, false, 0);
    let mut chars = text.trim().chars();
    while let Some(c) = chars.next() {
        match c {
            '0'..='9' | '#' | '*' if chars.as_str().starts_with(KEYCAP) => {
                chars.by_ref().take(2).for_each(drop);
                count += 1;
            }
            // Two letters are one flag.
            '\u{1f1e6}'..='\u{1f1ff}' => {
                flags += 1;
                count += flags % 2;
            }
            '\u{1f3fb}'..='\u{1f3ff}' | '\u{fe0f}' | '\u{e0020}'..='\u{e007f}' if count > 0 => {}
            JOINER if count > 0 => {
                joined = true;
                continue;
            }
            '\u{2600}'..='\u{27bf}' | '\u{2b50}' | '\u{2b55}' | '\u{1f300}'..='\u{1faff}' => {
                count += usize::from(!joined);
            }
            ' ' => {}
            _ => return false,
        }
        joined = false;
    }
    (1..=LARGE).contains(&count)
}

/// `text` in parts, each with whether it is one of `words`, in whatever case; of a long one, about `most` characters around
/// the first of them.
pub(crate) fn parts(text: &str, words: &[String], most: usize) -> Vec<(String, bool)> {
    // One for one, so that what is found there is found here.
    let small = |letter: char| letter.to_lowercase().next().unwrap_or(letter);
    let letters: Vec<char> = text.chars().collect();
    let folded: Vec<char> = letters.iter().copied().map(small).collect();
    let mut found = vec![false; letters.len()];
    for word in words {
        let word: Vec<char> = word.chars().map(small).collect();
        for at in 0..(folded.len() + 1).saturating_sub(word.len().max(1)) {
            if !word.is_empty() && folded[at..].starts_with(&word) {
                found[at..at + word.len()].fill(true);
            }
        }
    }
    let first = found.iter().position(|found| *found).unwrap_or_default();
    let start = if letters.len() <= most { 0 } else { first.saturating_sub(most / 4) };
    let end = letters.len().min(start + most);
    let mut parts: Vec<(String, bool)> = Vec::new();
    let rest = |more: bool| more.then(|| ("…".to_owned(), false));
    parts.extend(rest(start > 0));
    for at in start..end {
        match parts.last_mut() {
            Some((part, is_found)) if *is_found == found[at] => part.push(letters[at]),
            _ => parts.push((letters[at].to_string(), found[at])),
        }
    }
    match (parts.last_mut(), end < letters.len()) {
        (Some((part, false)), true) => part.push('…'),
        (_, more) => parts.extend(rest(more)),
    }
    parts
}

/// Whether `text` names whoever goes by `name`.
pub(crate) fn names(text: &str, name: &str) -> bool {
    let mut rest = text;
    while let Some(at) = rest.find('@') {
        let before = rest[..at].chars().next_back();
        rest = &rest[at + 1..];
        // In Korean a particle may follow at once; in what is written in ASCII another letter makes another name.
        let goes_on = |rest: &str| {
            let next = rest[name.len()..].chars().next();
            next.is_some_and(|next| next.is_ascii_alphanumeric())
        };
        if before.is_none_or(|before| !before.is_alphanumeric())
            && rest.starts_with(name)
            && !goes_on(rest)
        {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> Span {
        Span::Plain(text.to_owned())
    }

    fn link(text: &str) -> Span {
        Span::Link(text.to_owned())
    }

    fn one(text: &str) -> Vec<Span> {
        match blocks(text).as_slice() {
            [Block::Text(spans)] => spans.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn addresses_are_found_where_people_see_their_ends() {
        for (text, before, address, after) in [
            ("see https://a.example/x.", "see ", "https://a.example/x", "."),
            ("(http://a.example/(x))", "(", "http://a.example/(x)", ")"),
            ("https://a.example/x에서 봐", "", "https://a.example/x", "에서 봐"),
            ("https://a.example을", "", "https://a.example", "을"),
            ("https://ko.example/위키", "", "https://ko.example/위키", ""),
            ("https://한국.example/", "", "https://한국.example/", ""),
            ("HTTPS://A.EXAMPLE:8080/?q=1#x", "", "HTTPS://A.EXAMPLE:8080/?q=1#x", ""),
        ] {
            let parts = [plain(before), link(address), plain(after)];
            let expected: Vec<_> = parts.into_iter().filter(|part| *part != plain("")).collect();
            assert_eq!(one(text), expected, "{text}");
        }
    }

    #[test]
    fn what_could_mislead_is_text() {
        for text in [
            "javascript:alert(1)",
            "data:text/html,x",
            "ftp://a.example/",
            "file:///etc/passwd",
            "https://bank.example@evil.example/",
            // A Cyrillic letter among Latin ones.
            "https://p\u{430}ypal.example/",
            "https://a.example/\u{202e}gpj.exe",
            "a.example/x",
        ] {
            assert_eq!(one(text), [plain(text)], "{text}");
        }
    }

    #[test]
    fn code_is_what_stands_between_backticks_and_holds_no_links() {
        let code = |text: &str| Span::Code(text.to_owned());
        assert_eq!(
            one("run `ls https://a.example` now"),
            [plain("run "), code("ls https://a.example"), plain(" now")]
        );
        for text in ["it`s", "``", "a ` b\nc ` d", "```"] {
            assert_eq!(one(text), [plain(text)], "{text}");
        }
        let fenced = blocks("look:\n```rust\nlet a = `1`;\n\n<b>\n```\nthat");
        assert_eq!(
            fenced,
            [
                Block::Text(vec![plain("look:")]),
                Block::Code("let a = `1`;\n\n<b>".to_owned()),
                Block::Text(vec![plain("that")]),
            ]
        );
        assert_eq!(one("```\nnever closed"), [plain("```\nnever closed")]);
    }

    #[test]
    fn a_few_emoji_alone_are_known() {
        for text in ["👍", "🎉 🎉", "👩‍👩‍👧", "🇰🇷", "👍🏽", "1️⃣", "❤️", "🏴󠁧󠁢󠁥󠁮󠁧󠁿"]
        {
            assert!(is_emoji(text), "{text}");
        }
        for text in ["", "1", "👍 yes", "©", "™", "👍👍👍👍👍👍👍", "ㅋㅋ", "#", "\u{200d}"]
        {
            assert!(!is_emoji(text), "{text}");
        }
    }

    #[test]
    fn what_is_looked_for_is_marked_and_of_a_long_text_what_is_around_it_is_shown() {
        let marked = |text: &str, words: &[&str], most| {
            let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
            let mark = |(part, is_found)| if is_found { format!("[{part}]") } else { part };
            parts(text, &words, most).into_iter().map(mark).collect::<String>()
        };
        assert_eq!(marked("회의록을 공유", &["회의", "유"], 99), "[회의]록을 공[유]");
        assert_eq!(marked("Hello hELLo", &["ell"], 99), "H[ell]o h[ELL]o");
        assert_eq!(marked("aaa", &["aa"], 99), "[aaa]");
        assert_eq!(marked("abc", &["x", ""], 99), "abc");
        assert_eq!(marked("", &["x"], 99), "");
        let long = format!("{}needle{}", "a".repeat(20), "b".repeat(20));
        assert_eq!(marked(&long, &["needle"], 12), "…aaa[needle]bbb…");
        assert_eq!(marked(&long, &["b"], 12), "…dle[bbbbbbbbb]…");
    }

    #[test]
    fn a_text_names_somebody_by_the_whole_name() {
        for (text, name, expected) in [
            ("@Ada look", "Ada", true),
            ("hi, @Ada!", "Ada", true),
            ("@민준님 봐 주세요", "민준", true),
            ("@민준이", "민준", true),
            ("@Adam", "Ada", false),
            ("Ada", "Ada", false),
            ("mail@Ada", "Ada", false),
            ("@Ada Lovelace", "Ada Lovelace", true),
            ("@Adam and @Ada", "Ada", true),
        ] {
            assert_eq!(names(text, name), expected, "{text}");
        }
    }
}
