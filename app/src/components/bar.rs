//! The bar on top of every page, what can be set in it, and the one banner about the connection.

use common::MemberName;
use leptos::{ev::SubmitEvent, prelude::*};
use web_sys::HtmlInputElement;

use crate::{
    client::{browser, connection::Phase, room_client::RoomClient},
    lang::Lang,
    page::Theme,
    shell::strings,
};

/// The bar, with the way home in front.
#[component]
pub(crate) fn Bar(children: Children) -> impl IntoView {
    view! {
        <header class="bar">
            <a class="wordmark" href="/" aria-label=format!("Hubbub: {}", strings().home)>
                "Hubbub"
            </a>
            {children()}
        </header>
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
        Theme::System => "◐",
        Theme::Light => "☀",
        Theme::Dark => "☾",
    };
    let other = lang.other();
    view! {
        <form class="preferences" action="/settings" method="post">
            <input type="hidden" name="back" value=path/>
            <button
                class="icon"
                name="theme"
                value=next.as_str()
                title=(strings.theme)(theme)
                aria-label=(strings.theme)(theme)
            >
                <span aria-hidden="true">{icon}</span>
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
pub(crate) fn NameForm(client: RoomClient, path: String) -> impl IntoView {
    let strings = strings();
    let details = NodeRef::<leptos::html::Details>::new();
    let problem = RwSignal::new(None::<String>);
    let rename = move |event: SubmitEvent| {
        let Some(input) = browser::element::<HtmlInputElement>("my-name") else { return };
        event.prevent_default();
        match MemberName::parse(&input.value()) {
            Ok(name) => {
                client.rename(name);
                problem.set(None);
                if let Some(details) = details.get_untracked() {
                    details.set_open(false);
                }
            }
            Err(refusal) => problem.set(Some(strings.refusal(&refusal))),
        }
    };
    let name = move || client.me.with(|me| me.member.name.to_string());
    view! {
        <details class="me" node_ref=details>
            <summary title=strings.change_name>
                <span class="visually-hidden">{strings.your_name}": "</span>
                <span class="me-name" dir="auto">{name}</span>
            </summary>
            <form class="card" action="/settings" method="post" on:submit=rename>
                <input type="hidden" name="back" value=path/>
                <label for="my-name">{strings.your_name}</label>
                <div class="row">
                    <input
                        id="my-name"
                        name="name"
                        required
                        maxlength="64"
                        autocomplete="nickname"
                        value=client.me.get_untracked().member.name.to_string()
                        dir="auto"
                    />
                    <button class="primary">{strings.save}</button>
                </div>
                <p class="problem" role="alert">{problem}</p>
            </form>
        </details>
    }
}

/// The one honest word about the connection: nothing while it is well.
#[component]
pub(crate) fn Banner(client: RoomClient) -> impl IntoView {
    let strings = strings();
    let waiting = move || matches!(client.phase.get(), Phase::Waiting { .. });
    let text = move || match client.phase.get() {
        Phase::Idle | Phase::Open { .. } | Phase::Connecting { again: false, .. } => String::new(),
        Phase::Connecting { again: true, .. } => strings.retrying.to_owned(),
        Phase::Waiting { .. } => match client.seconds_left.get() {
            Some(seconds) if seconds >= 5 => (strings.retrying_in)(seconds),
            _ => strings.retrying.to_owned(),
        },
    };
    let word = move || match client.phase.get() {
        Phase::Idle => "idle",
        Phase::Connecting { .. } => "connecting",
        Phase::Open { .. } => "open",
        Phase::Waiting { .. } => "waiting",
    };
    view! {
        <div
            class="banner"
            role="status"
            data-conn=word
            data-road=move || client.rung.get().word()
        >
            <span>{text}</span>
            <Show when=waiting>
                <button type="button" on:click=move |_| client.retry_now()>{strings.retry_now}</button>
            </Show>
        </div>
    }
}
