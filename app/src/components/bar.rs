//! The bar on top of every page, what can be set in it, and the one banner about the connection.

use client::Line;
use common::MemberName;
use leptos::{ev::SubmitEvent, html, prelude::*};

use super::{
    dropdown::{close, closes},
    icon::Icon,
    notices::Notices,
};
use crate::{
    base, browser,
    lang::Lang,
    page::Theme,
    room::{RoomStateStoreFields, room},
    room_client::room_client,
    shell::strings,
};

/// What can be done in a room: on a phone it lies behind one button.
pub(crate) const MENU: &str = "bar-menu";

/// The bar, with the way home in front.
#[component]
pub(crate) fn Bar(children: Children) -> impl IntoView {
    view! {
        <header class="bar">
            <a class="wordmark" href=base::path("/") aria-label=format!("Hubbub: {}", strings().home)>
                <Wordmark/>
            </a>
            {children()}
        </header>
    }
}

/// The name, drawn: of its three bowls one is square, as programs are among people.
#[component]
pub(crate) fn Wordmark() -> impl IntoView {
    view! {
        <svg viewBox="0 0 89 21" aria-hidden="true">
            <path d="M2 2v17M2 14a5 5 0 0 1 10 0v5M17 9v5a5 5 0 0 0 10 0V9M32 2v12a5 5 0 1 0 5-5 5 5 0 0 0-5 5M62 9v5a5 5 0 0 0 10 0V9M77 2v12a5 5 0 1 0 5-5 5 5 0 0 0-5 5"/>
            <path class="square" d="M47 2v17h10V9H47"/>
        </svg>
    }
}

/// Language and appearance; plain forms, so they work without JavaScript.
#[component]
pub(crate) fn Preferences(theme: Theme, path: String) -> impl IntoView {
    let lang = expect_context::<Lang>();
    let strings = strings();
    let next = match theme {
        Theme::System => Theme::Light,
        Theme::Light => Theme::Dark,
        Theme::Dark => Theme::System,
    };
    let icon = match theme {
        Theme::System => Icon::System,
        Theme::Light => Icon::Light,
        Theme::Dark => Icon::Dark,
    };
    let other = lang.other();
    view! {
        <form class="preferences" action=base::path("/settings") method="post">
            <input type="hidden" name="back" value=path/>
            <button
                class="icon"
                name="theme"
                value=next.as_str()
                title=(strings.theme)(theme)
                aria-label=(strings.theme)(theme)
            >
                {icon.draw()}
            </button>
            <button class="icon" name="lang" value=other.tag() lang=other.tag() title=strings.switch_language
                aria-label=strings.switch_language>
                <span aria-hidden="true">{match other { Lang::Ko => "한", Lang::En => "EN" }}</span>
            </button>
        </form>
    }
}

/// What I am called, and a form to change it.
#[component]
pub(crate) fn NameForm(path: String) -> impl IntoView {
    let strings = strings();
    let (room, client) = (room(), room_client());
    let details = NodeRef::<html::Details>::new();
    let input = NodeRef::<html::Input>::new();
    let problem = RwSignal::new(None::<String>);
    let name_now = move || room.me().with_untracked(|me| me.member.name.to_string());
    // It opens with the name of now, which may be another than the page came with.
    let opens = move |_| {
        if let Some(input) = input.get_untracked() {
            input.set_value(&name_now());
        }
    };
    // That is told when it has opened, to somebody who may be typing by then.
    let toggled = move |_| {
        if let Some(input) = input.get_untracked()
            && input.value() == name_now()
        {
            input.select();
        }
    };
    let press = closes(details, "me");
    let rename = move |event: SubmitEvent| {
        let Some(input) = input.get_untracked() else { return };
        event.prevent_default();
        match MemberName::parse(&input.value()) {
            Ok(name) => {
                client.rename(name);
                problem.set(None);
                close(details);
                browser::focus("me");
            }
            Err(refusal) => problem.set(Some(strings.refusal(&refusal))),
        }
    };
    let name = move || room.me().with(|me| me.member.name.to_string());
    view! {
        <details class="me" node_ref=details on:toggle=toggled on:keydown=press>
            <summary id="me" title=strings.change_name on:click=opens>
                <span class="visually-hidden">{strings.your_name}": "</span>
                <span class="me-name" dir="auto">{name}</span>
                {Icon::Pencil.draw()}
            </summary>
            <form class="card" action=base::path("/settings") method="post" on:submit=rename>
                <input type="hidden" name="back" value=path/>
                <label for="my-name">{strings.your_name}</label>
                <div class="row">
                    <input
                        id="my-name"
                        node_ref=input
                        name="name"
                        required
                        maxlength="64"
                        autocomplete="nickname"
                        value=room.me().get_untracked().member.name.to_string()
                        dir="auto"
                    />
                    <button class="primary">{strings.save}</button>
                </div>
                <p class="problem" role="alert">{problem}</p>
                <Notices/>
            </form>
        </details>
    }
}

/// The one honest word about the connection: nothing while it is well.
#[component]
pub(crate) fn Banner() -> impl IntoView {
    let strings = strings();
    let (room, client) = (room(), room_client());
    let waiting = move || matches!(room.line().get(), Line::Waiting { .. } | Line::Over);
    let text = move || match room.line().get() {
        _ if room.offline().get() => strings.offline.to_owned(),
        Line::Idle | Line::Open | Line::Connecting { again: false } => String::new(),
        Line::Waiting { seconds } if seconds >= 5 => (strings.retrying_in)(seconds),
        Line::Waiting { .. } | Line::Connecting { again: true } => strings.retrying.to_owned(),
        Line::Over => strings.access_over.to_owned(),
    };
    let word = move || match room.line().get() {
        Line::Idle => "idle",
        Line::Connecting { .. } => "connecting",
        Line::Open => "open",
        Line::Waiting { .. } => "waiting",
        Line::Over => "over",
    };
    view! {
        <div
            class="banner"
            role="status"
            data-conn=word
            data-says=move || (!text().is_empty()).then_some("")
            data-road=move || room.transport().get().word()
        >
            <span>{text}</span>
            <Show when=waiting>
                <button
                    type="button"
                    on:click=move |_| {
                        client.retry_now();
                        // This button is about to go.
                        browser::focus("composer-text");
                    }
                >
                    {strings.retry_now}
                </button>
            </Show>
        </div>
    }
}
