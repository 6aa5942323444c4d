//! Naming somebody in a text: `@` and the first letters bring those who are here.

use common::Member;
use leptos::{ev::KeyboardEvent, html, prelude::*};

use super::member_list::Avatar;
use crate::{
    room::{RoomStateStoreFields, room},
    shell::strings,
};

/// How many are offered at once.
const OFFERED: usize = 6;
/// The longest beginning of a name that is looked for, in characters.
const LONGEST: usize = 24;

/// The beginning of a name behind the last `@` of what is before the caret: where the `@` is, in bytes, and the name so far.
pub(crate) fn begun(before_caret: &str) -> Option<(usize, &str)> {
    let at = before_caret.rfind('@')?;
    let name = &before_caret[at + 1..];
    let stands_alone = before_caret[..at].chars().next_back().is_none_or(char::is_whitespace);
    let is_name = !name.contains('\n') && name.chars().count() <= LONGEST;
    (stands_alone && is_name).then_some((at, name))
}

/// Those who are offered, and which of them is next to be taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mention {
    offered: RwSignal<Vec<Member>>,
    chosen: RwSignal<usize>,
    /// Where the `@` is, in bytes.
    at: StoredValue<usize>,
}

impl Mention {
    pub(crate) fn new() -> Self {
        Self { offered: RwSignal::default(), chosen: RwSignal::new(0), at: StoredValue::new(0) }
    }

    /// The text before the caret is another.
    pub(crate) fn look(self, before_caret: &str) {
        let room = room();
        let Some((at, name)) = begun(before_caret) else { return self.close() };
        let (name, me) = (name.to_lowercase(), room.me().with_untracked(|me| me.member.id.clone()));
        let fits = |member: &Member| {
            let full = member.name.to_string().to_lowercase();
            member.id != me && (full.starts_with(&name) || full.contains(&format!(" {name}")))
        };
        let offered: Vec<_> = room.members().with_untracked(|members| {
            let here = members.members.iter().map(|listed| &listed.member);
            here.filter(|member| fits(member)).take(OFFERED).cloned().collect()
        });
        self.at.set_value(at);
        if self.offered.with_untracked(|now| *now != offered) {
            self.chosen.set(0);
            self.offered.set(offered);
        }
    }

    pub(crate) fn close(self) {
        // A field that goes loses the focus, too, and then these are gone already.
        if self.offered.try_with_untracked(|offered| !offered.is_empty()) == Some(true) {
            self.offered.set(Vec::new());
        }
    }

    /// What is offered is moved through, taken or put away by a key: whether this one does that.
    pub(crate) fn press(self, event: &KeyboardEvent, field: NodeRef<html::Textarea>) -> bool {
        let count = self.offered.with_untracked(Vec::len);
        if count == 0 || event.is_composing() {
            return false;
        }
        match event.key().as_str() {
            "ArrowDown" => self.chosen.update(|chosen| *chosen = (*chosen + 1) % count),
            "ArrowUp" => self.chosen.update(|chosen| *chosen = (*chosen + count - 1) % count),
            "Enter" | "Tab" => _ = self.take_chosen(field),
            "Escape" => self.close(),
            _ => return false,
        }
        event.prevent_default();
        true
    }

    /// Takes the one that is next to be taken; whether there is one.
    pub(crate) fn take_chosen(self, field: NodeRef<html::Textarea>) -> bool {
        let chosen = self.chosen.get_untracked();
        let member = self.offered.with_untracked(|offered| offered.get(chosen).cloned());
        if let Some(member) = &member {
            self.take(member, field);
        }
        member.is_some()
    }

    /// Puts the name into the field.
    fn take(self, member: &Member, field: NodeRef<html::Textarea>) {
        if let Some(field) = field.get_untracked() {
            let text = field.value();
            let before = before_caret(&field);
            let after = &text[before.len()..];
            let Some(kept) = before.get(..self.at.get_value()) else { return self.close() };
            let named = format!("{kept}@{} ", member.name);
            let caret = named.encode_utf16().count() as u32;
            field.set_value(&format!("{named}{after}"));
            let _ = field.set_selection_range(caret, caret);
            let _ = field.focus();
        }
        self.close();
    }

    /// The one that is next to be taken, for screen readers.
    pub(crate) fn active(self) -> Option<String> {
        let is_open = self.offered.with(|offered| !offered.is_empty());
        is_open.then(|| format!("mention-{}", self.chosen.get()))
    }
}

/// What stands before the caret. Browsers count in UTF-16.
pub(crate) fn before_caret(field: &web_sys::HtmlTextAreaElement) -> String {
    let text = field.value();
    let caret = field.selection_start().ok().flatten().unwrap_or_default() as usize;
    let mut units = 0;
    text.chars()
        .take_while(|letter| {
            units += letter.len_utf16();
            units <= caret
        })
        .collect()
}

/// The list of those who are offered.
#[component]
pub(crate) fn Mentions(mention: Mention, field: NodeRef<html::Textarea>) -> impl IntoView {
    let strings = strings();
    let each = move || mention.offered.get().into_iter().enumerate().collect::<Vec<_>>();
    view! {
        <Show when=move || mention.offered.with(|offered| !offered.is_empty())>
            <ul class="mentions" id="mentions" role="listbox" aria-label=strings.mention>
                <For each=each key=Clone::clone let((n, member))>
                    <li
                        id=format!("mention-{n}")
                        role="option"
                        aria-selected=move || (mention.chosen.get() == n).to_string()
                        on:pointerdown={
                            let member = member.clone();
                            move |event| {
                                // The field keeps the focus.
                                event.prevent_default();
                                mention.take(&member, field);
                            }
                        }
                    >
                        <Avatar id=member.id.to_string() name=member.name.to_string()/>
                        <span dir="auto">{member.name.to_string()}</span>
                    </li>
                </For>
            </ul>
        </Show>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_begins_behind_an_at_that_stands_alone() {
        for (text, expected) in [
            ("@", Some((0, ""))),
            ("@민", Some((0, "민"))),
            ("hi @Ada L", Some((3, "Ada L"))),
            ("mail@example", None),
            ("@a\nb", None),
            ("nothing", None),
            ("@aaaaaaaaaaaaaaaaaaaaaaaaa", None),
        ] {
            assert_eq!(begun(text), expected, "{text}");
        }
    }
}
