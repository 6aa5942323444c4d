//! Files on their way from browser to browser, and those that were.

use std::collections::HashMap;

use client::{File, Stage};
use common::{Member, MessageId};
use leptos::{html, prelude::*};

use super::icon::Icon;
use crate::{
    browser,
    room::{RoomStateStoreFields, room},
    room_client::room_client,
    shell::strings,
};

#[component]
pub(crate) fn FileList() -> impl IntoView {
    let strings = strings();
    let room = room();
    let said = RwSignal::new(String::new());
    // How far a file has got is heard once it has got there; a percentage that changes all the time is not.
    Effect::new(move |before: Option<HashMap<MessageId, Stage>>| {
        room.files().with(|files| {
            let before = before.unwrap_or_default();
            let changed = files.iter().rfind(|file| before.get(&file.id) != Some(&file.stage));
            if let Some(file) = changed {
                said.set(format!("{}: {}", file.name, (strings.file_stage)(file)));
            }
            files.iter().map(|file| (file.id.clone(), file.stage)).collect()
        })
    });
    let ids = move || {
        room.files().with(|files| files.iter().map(|file| file.id.clone()).collect::<Vec<_>>())
    };
    view! {
        <Show when=move || !room.files().with(Vec::is_empty)>
            <ul class="files" tabindex="0" aria-label=strings.files>
                <For each=ids key=MessageId::clone let(id)>
                    <Item id/>
                </For>
            </ul>
        </Show>
        <p class="visually-hidden" id="files-said" role="status">{said}</p>
    }
}

/// One of them.
#[component]
fn Item(id: MessageId) -> impl IntoView {
    let strings = strings();
    let (room, client) = (room(), room_client());
    let find =
        |files: &Vec<File>, id: &MessageId| files.iter().find(|file| file.id == *id).cloned();
    let Some(first) = room.files().with_untracked(|files| find(files, &id)) else {
        return ().into_any();
    };
    let last = first.clone();
    // One that is gone may be asked once more before it is taken down.
    let file = Memo::new(move |before: Option<&File>| {
        let found = room.files().with(|files| find(files, &last.id));
        found.unwrap_or_else(|| before.unwrap_or(&last).clone())
    });
    let stage = Memo::new(move |_| file.with(|file| file.stage));
    let is_offer = move || !first.outgoing && stage.get() == Stage::Offered;
    let fits = first.size <= browser::BLOB_BYTES || browser::writes_to_disk();
    let close_label = move || match stage.get() {
        Stage::Offered if !first.outgoing => strings.decline,
        Stage::Offered | Stage::Waiting | Stage::Flowing => strings.cancel,
        Stage::Done | Stage::Ended(_) => strings.dismiss,
    };
    let close_id = format!("close-{id}");
    let (focused, accepted) = (close_id.clone(), first.clone());
    let is_taken = StoredValue::new(false);
    let accept = move |_| {
        is_taken.set_value(true);
        client.take_file(accepted.clone());
    };
    // Once it is taken the button is gone; before, the one beside it would decline.
    Effect::new(move || {
        if stage.get() != Stage::Offered && is_taken.get_value() {
            is_taken.set_value(false);
            browser::focus(&focused);
        }
    });
    let close = move |_| {
        if matches!(stage.get_untracked(), Stage::Done | Stage::Ended(_)) {
            browser::focus("composer-text");
        }
        client.close_file(id.clone());
    };
    let with_whom = match first.outgoing {
        true => (strings.file_to)(first.member.name.as_str()),
        false => (strings.file_from)(first.member.name.as_str()),
    };
    let size = bytes(first.size);
    let name = first.name.clone();
    view! {
        <li class="file" data-stage=move || stage_word(stage.get()) data-id=first.id.to_string()>
            <p class="file-what">
                <span class="file-name" dir="auto">{name.clone()}</span>
                <span class="quiet-text">{size}</span>
                <span class="quiet-text" dir="auto">{with_whom}</span>
            </p>
            <span class="file-buttons">
                <Show when=move || is_offer() && fits>
                    <button type="button" class="primary accept" on:click=accept.clone()>
                        {strings.accept}
                    </button>
                </Show>
                <button type="button" class="close" id=close_id on:click=close>{close_label}</button>
            </span>
            <p class="file-stage quiet-text">
                {move || file.with(|file| (strings.file_stage)(file))}
                {move || is_offer().then(|| match fits {
                    true => format!(" {}", strings.accepting_connects),
                    false => format!(" {}", (strings.file_too_big)(&bytes(browser::BLOB_BYTES))),
                })}
            </p>
            <Show when=move || stage.get() == Stage::Flowing>
                <p class="file-pace quiet-text">{move || file.with(pace)}</p>
            </Show>
            <Show when=move || matches!(stage.get(), Stage::Waiting | Stage::Flowing)>
                <progress
                    max=first.size.max(1).to_string()
                    aria-label=name.clone()
                    prop:value=move || file.with(|file| file.done as f64)
                ></progress>
            </Show>
        </li>
    }
    .into_any()
}

/// How much has come, how fast it is, and how long it takes.
fn pace(file: &File) -> String {
    let strings = strings();
    let mut parts = vec![format!("{} / {}", bytes(file.done), bytes(file.size))];
    if let Some(seconds) = file.size.saturating_sub(file.done).checked_div(file.rate) {
        parts.push(format!("{}/s", bytes(file.rate)));
        parts.push((strings.time_left)(seconds));
    }
    parts.join(" · ")
}

/// So many bytes, in units of a thousand (ISO 80000-13). Without fractions: what writes those is large.
fn bytes(count: u64) -> String {
    if count < 1_000 {
        return format!("{count} B");
    }
    let mut thousandths = count;
    for unit in ["kB", "MB", "GB"] {
        if thousandths < 9_950 {
            let tenths = (thousandths + 50) / 100;
            return format!("{}.{} {unit}", tenths / 10, tenths % 10);
        }
        if thousandths < 999_500 {
            return format!("{} {unit}", (thousandths + 500) / 1_000);
        }
        thousandths /= 1_000;
    }
    format!("{} TB", (thousandths + 500) / 1_000)
}

fn stage_word(stage: Stage) -> &'static str {
    match stage {
        Stage::Offered => "offered",
        Stage::Waiting => "waiting",
        Stage::Flowing => "flowing",
        Stage::Done => "done",
        Stage::Ended(_) => "ended",
    }
}

/// A button to pick files for a member.
#[component]
pub(crate) fn SendFiles(to: Member) -> impl IntoView {
    let strings = strings();
    let client = room_client();
    let input = NodeRef::<html::Input>::new();
    let pick = move |_| {
        if let Some(input) = input.get_untracked() {
            input.click();
        }
    };
    let picked = move |_| {
        let Some(input) = input.get_untracked() else { return };
        let files = input.files();
        let files =
            files.iter().flat_map(|files| (0..files.length()).filter_map(|at| files.get(at)));
        files.for_each(|file| client.send_file(file, &to));
        // The same one may be picked again.
        input.set_value("");
    };
    view! {
        <input type="file" multiple hidden node_ref=input on:change=picked/>
        <button
            type="button"
            class="icon send-files"
            aria-label=strings.send_file
            title=strings.send_file
            on:click=pick
        >
            {Icon::File.draw()}
        </button>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        for (count, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (9_960, "10 kB"),
            (999_400, "999 kB"),
            (999_600, "1.0 MB"),
            (50_000_000, "50 MB"),
            (1 << 30, "1.1 GB"),
            (1 << 40, "1 TB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }
}
