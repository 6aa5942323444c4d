//! Which Enter sends, also while text is being composed (Korean, Japanese, Chinese).
//!
//! Hangul has no candidate window: its last syllable is always still composing when Enter comes, and
//! that Enter means "send". Kana and pinyin do have one, and there Enter belongs to the input method.
//! Browsers differ in the order of events; the sequences are those reported in
//! hermes-webui#7348 (two Enters needed), omnigent#243 (last syllable sent twice), hermes-agent#44278
//! (Windows sends a second, clean Enter) and ironclaw#1139 (Safari ends composing before the Enter, which then ended it:
//! Hangul is sent by it there as well).

/// How long after composed text was sent another Enter is the echo of the same key press, in
/// milliseconds.
const ECHO_MS: f64 = 60.0;
/// How long after the end of composing an Enter with key code 229 is still part of it, in
/// milliseconds.
const SAFARI_MS: f64 = 30.0;
/// The key code of a key the input method has taken (UI Events section 7.3.1).
const TAKEN: u32 = 229;

/// A key press of Enter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EnterPress {
    /// Shift or Alt is held: a new line.
    pub(crate) modified: bool,
    /// `KeyboardEvent.isComposing`.
    pub(crate) composing: bool,
    /// `KeyboardEvent.keyCode`.
    pub(crate) key_code: u32,
}

/// What to do with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Leave it to the browser or the input method.
    Leave,
    /// Prevent the default and do nothing.
    Swallow,
    /// Prevent the default and send.
    Send,
    /// Prevent the default; the end of composing will tell to send.
    SendAfterComposing,
}

/// Remembers what an Enter has to be judged by.
#[derive(Clone, Debug, Default)]
pub(crate) struct EnterRule {
    composing: Option<String>,
    send_after: bool,
    composed_at: Option<f64>,
    was_hangul: bool,
    composed_sent_at: Option<f64>,
}

impl EnterRule {
    /// `compositionstart` or `compositionupdate` with this text.
    pub(crate) fn composing(&mut self, text: &str) {
        // Composing goes on: the Enter before did not end it, and meant something else.
        if self.composing.as_deref() != Some(text) {
            self.send_after = false;
        }
        self.composing = Some(text.to_owned());
    }

    /// `compositionend` with this text at `now` (milliseconds); true when to send, once the browser
    /// has put the text into the field.
    pub(crate) fn composed(&mut self, text: &str, now: f64) -> bool {
        self.composing = None;
        self.composed_at = Some(now);
        // Hanja: the syllable became a Chinese character, and the Enter chose it.
        self.was_hangul = is_hangul(text);
        let send = std::mem::take(&mut self.send_after) && self.was_hangul;
        if send {
            self.composed_sent_at = Some(now);
        }
        send
    }

    /// An Enter at `now` (milliseconds).
    pub(crate) fn press(&mut self, press: EnterPress, now: f64) -> Decision {
        let within = |then: Option<f64>, limit| then.is_some_and(|then| now - then < limit);
        if press.modified {
            return Decision::Leave;
        }
        if within(self.composed_sent_at, ECHO_MS) {
            return Decision::Swallow;
        }
        match &self.composing {
            Some(text) if is_hangul(text) => {
                self.send_after = true;
                Decision::SendAfterComposing
            }
            Some(_) => Decision::Leave,
            None if press.composing => Decision::Leave,
            None if press.key_code == TAKEN && within(self.composed_at, SAFARI_MS) => {
                match self.was_hangul {
                    true => {
                        self.composed_sent_at = Some(now);
                        Decision::Send
                    }
                    false => Decision::Swallow,
                }
            }
            None => Decision::Send,
        }
    }
}

/// Whether a text is Hangul and nothing else.
fn is_hangul(text: &str) -> bool {
    !text.is_empty()
        && text.chars().all(|c| {
            matches!(c,
                '\u{1100}'..='\u{11ff}' | '\u{3130}'..='\u{318f}' | '\u{a960}'..='\u{a97f}'
                | '\u{ac00}'..='\u{d7ff}')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: EnterPress = EnterPress { modified: false, composing: false, key_code: 13 };
    const IN_IME: EnterPress = EnterPress { modified: false, composing: true, key_code: TAKEN };

    #[test]
    fn a_plain_enter_sends_and_shift_enter_is_a_new_line() {
        let mut rule = EnterRule::default();
        assert_eq!(rule.press(EnterPress { modified: true, ..PLAIN }, 0.0), Decision::Leave);
        assert_eq!(rule.press(PLAIN, 0.0), Decision::Send);
    }

    #[test]
    fn whoever_is_quick_may_send_as_often_as_they_press() {
        let mut rule = EnterRule::default();
        for now in 0..10 {
            assert_eq!(rule.press(PLAIN, f64::from(now)), Decision::Send);
        }
    }

    #[test]
    fn one_enter_sends_hangul_whole_and_once() {
        let mut rule = EnterRule::default();
        rule.composing("ㅇ");
        rule.composing("요");
        assert_eq!(rule.press(IN_IME, 100.0), Decision::SendAfterComposing);
        assert!(rule.composed("요", 101.0));
        // Windows: the second, clean Enter of the same key press.
        assert_eq!(rule.press(PLAIN, 105.0), Decision::Swallow);
        assert_eq!(rule.press(PLAIN, 1_000.0), Decision::Send);
    }

    #[test]
    fn an_enter_that_chooses_kana_or_hanja_does_not_send() {
        let mut rule = EnterRule::default();
        rule.composing("にほん");
        assert_eq!(rule.press(IN_IME, 0.0), Decision::Leave);
        assert!(!rule.composed("日本", 1.0));
        assert_eq!(rule.press(PLAIN, 500.0), Decision::Send);

        let mut rule = EnterRule::default();
        rule.composing("한");
        assert_eq!(rule.press(IN_IME, 0.0), Decision::SendAfterComposing);
        assert!(!rule.composed("韓", 1.0));
    }

    #[test]
    fn an_enter_that_does_not_end_composing_is_forgotten() {
        let mut rule = EnterRule::default();
        rule.composing("가");
        assert_eq!(rule.press(IN_IME, 0.0), Decision::SendAfterComposing);
        rule.composing("각");
        assert!(!rule.composed("각", 500.0));
    }

    #[test]
    fn safari_ends_composing_before_the_enter_that_ended_it() {
        let mut rule = EnterRule::default();
        rule.composing("にほん");
        assert!(!rule.composed("日本", 100.0));
        let late = EnterPress { composing: false, ..IN_IME };
        assert_eq!(rule.press(late, 105.0), Decision::Swallow);
        assert_eq!(rule.press(PLAIN, 500.0), Decision::Send);
        // Hangul goes by one Enter, whoever is first.
        rule.composing("네");
        assert!(!rule.composed("네", 1_000.0));
        assert_eq!(rule.press(late, 1_005.0), Decision::Send);
        assert_eq!(rule.press(PLAIN, 1_010.0), Decision::Swallow);
        assert_eq!(rule.press(PLAIN, 2_000.0), Decision::Send);
    }
}
