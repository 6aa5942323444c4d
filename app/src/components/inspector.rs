//! The inspector: `readyState`, every event of the connection, and bytes both ways.

use client::{Fault, Happening, Transport};
use leptos::{ev::KeyboardEvent, html, prelude::*};

use crate::{
    browser,
    journal::{Event, Journal},
    room::{RoomStateStoreFields, room},
    room_client::room_client,
    shell::strings,
    snippets::snippets,
};

#[component]
pub(crate) fn Inspector(shown: RwSignal<bool>) -> impl IntoView {
    let strings = strings();
    let room = room();
    let title = NodeRef::<html::H2>::new();
    // Focus goes where the person looks, and comes back to what opened it.
    Effect::new(move |before: Option<bool>| {
        let now = shown.get();
        if now && let Some(title) = title.get() {
            let _ = title.focus();
        }
        if before == Some(true) && !now {
            browser::focus("open-inspector");
        }
        now
    });
    let close_on_escape = move |event: KeyboardEvent| {
        if event.key() == "Escape" {
            shown.set(false);
        }
    };
    let counter = move |count: fn(&Journal) -> usize| move || room.journal().with(count);
    let (wanted, paused) = (RwSignal::new(String::new()), RwSignal::new(false));
    let held = StoredValue::new(Vec::new());
    // Paused, it stands still, and goes on writing down.
    Effect::new(move || {
        if paused.get() {
            held.set_value(room.journal().with_untracked(Journal::newest_first));
        }
    });
    let events = move || {
        let mut events = match (shown.get(), paused.get()) {
            // Nothing is drawn that nobody looks at.
            (false, _) => Vec::new(),
            (true, true) => held.get_value(),
            (true, false) => room.journal().with(Journal::newest_first),
        };
        let wanted = wanted.get().trim().to_lowercase();
        events.retain(|event| event.has(&wanted));
        events
    };
    let export = move |_| {
        let lines: String = events().iter().rev().map(|event| event.line() + "\n").collect();
        browser::download(&lines, "hubbub-events.ndjson");
    };
    let dropped = move || {
        let dropped = room.journal().with(Journal::dropped);
        (dropped > 0).then(|| (strings.dropped_events)(dropped))
    };
    view! {
        <aside
            id="inspector"
            class="inspector"
            aria-labelledby="inspector-title"
            hidden=move || !shown.get()
            on:keydown=close_on_escape
        >
            <div class="row">
                <h2 id="inspector-title" tabindex="-1" node_ref=title>{strings.inspector}</h2>
                <span class="grow"></span>
                <button type="button" on:click=move |_| room.journal().update(Journal::clear)>
                    {strings.clear}
                </button>
                <button type="button" on:click=move |_| shown.set(false)>{strings.close}</button>
            </div>
            <dl class="facts">
                <dt>
                    <label for="road">{strings.transport}</label>
                </dt>
                <dd>
                    <TransportChoice/>
                </dd>
                <dt>{strings.ready_state}</dt>
                <dd>
                    <ol class="states">
                        <For
                            each=move || (0_u16..).zip(room.transport().get().states())
                            key=|state| *state
                            let((state, name))
                        >
                            <li aria-current=move || {
                                (room.ready().get() == state).then_some("step")
                            }>{*name}" "{state}</li>
                        </For>
                    </ol>
                </dd>
                <dt>{strings.bytes_in}</dt>
                <dd data-fact="bytes-in">{counter(Journal::bytes_in)}</dd>
                <dt>{strings.bytes_out}</dt>
                <dd data-fact="bytes-out">{counter(Journal::bytes_out)}</dd>
            </dl>
            <details class="programs">
                <summary>{strings.from_programs}</summary>
                {move || shown.get().then(|| view! { <Programs/> })}
            </details>
            <h3>{strings.events}</h3>
            <div class="row events-tools">
                <input
                    type="search"
                    aria-label=strings.filter
                    placeholder=strings.filter
                    prop:value=move || wanted.get()
                    on:input=move |event| wanted.set(event_target_value(&event))
                />
                <button
                    type="button"
                    aria-pressed=move || paused.get().to_string()
                    on:click=move |_| paused.update(|on| *on = !*on)
                >
                    {strings.pause}
                </button>
                <button type="button" on:click=export>{strings.export}</button>
            </div>
            <Show when=move || room.journal().with(Journal::is_empty)>
                <p class="quiet-text">{strings.no_events}</p>
            </Show>
            <ol class="events" reversed>
                <For
                    each=events
                    key=|event| event.number
                    let(event)
                >
                    <EventRow event/>
                </For>
            </ol>
            <p class="quiet-text">{dropped}</p>
        </aside>
    }
}

/// How to join this room from a program, to be copied.
#[component]
fn Programs() -> impl IntoView {
    let strings = strings();
    let room = room().name().get_untracked();
    snippets(&browser::origin(), room.as_str())
        .into_iter()
        .map(|snippet| {
            let id = format!("snippet-{}", snippet.word);
            let code = snippet.code.clone();
            view! {
                <section class="snippet" aria-labelledby=id.clone()>
                    <div class="row">
                        <h3 id=id.clone() translate="no">{snippet.name}</h3>
                        <span class="grow"></span>
                        <button
                            type="button"
                            aria-describedby=id.clone()
                            on:click=move |_| _ = browser::copy(&code)
                        >
                            {strings.copy}
                        </button>
                    </div>
                    <pre tabindex="0" translate="no"><code data-snippet=snippet.word>{snippet.code}</code></pre>
                </section>
            }
        })
        .collect_view()
}

/// Which transport to use: the client's choice, or one's own.
#[component]
fn TransportChoice() -> impl IntoView {
    let strings = strings();
    let (room, client) = (room(), room_client());
    let choose = move |event| client.choose(Transport::parse(&event_target_value(&event)));
    let automatic = move || match room.chosen().get() {
        None => {
            let now = (strings.transport_name)(room.transport().get());
            format!("{} ({now})", strings.automatic)
        }
        Some(_) => strings.automatic.to_owned(),
    };
    let chosen = move || room.chosen().get().map_or("", Transport::word);
    let name = strings.transport_name;
    view! {
        <select id="road" on:change=choose prop:value=chosen>
            <option value="">{automatic}</option>
            {Transport::ALL
                .map(|transport| view! { <option value=transport.word()>{name(transport)}</option> })
                .collect_view()}
        </select>
    }
}

#[component]
fn EventRow(event: Event) -> impl IntoView {
    let strings = strings();
    let (time, clock) = (browser::iso(event.at), browser::local_clock(event.at));
    let name = event.what.name();
    let (arrow, detail, frame) = match event.what {
        Happening::Connect(url) => ("→", url, None),
        Happening::Open(protocol) => ("•", protocol, None),
        Happening::Received(frame) => ("↓", format!("{} B", event.bytes), Some(frame)),
        Happening::Sent(frame) => ("↑", format!("{} B", event.bytes), Some(frame)),
        Happening::Failed(fault) => {
            let words = match fault {
                Fault::Untold => strings.error_event.to_owned(),
                Fault::Told(what) => what,
                Fault::Unanswered(method) => (strings.no_answer)(method),
                Fault::Answered(status) => (strings.bad_answer)(status),
            };
            ("•", words, None)
        }
        Happening::Transport(transport) => ("⇄", transport.word().to_owned(), None),
        Happening::Close { code, reason, was_clean } => {
            let meaning = (strings.close_code)(code);
            ("•", format!("{code} {meaning} “{reason}” wasClean={was_clean}"), None)
        }
        Happening::Abandoned => ("•", String::new(), None),
    };
    view! {
        <li class="event" data-event=name>
            <span class="event-head">
                <time datetime=time>{clock}</time>
                <span class="event-name">{arrow}" "{name}</span>
                <span class="event-detail">{detail}</span>
            </span>
            {frame.map(|frame| view! { <code class="frame">{frame}</code> })}
        </li>
    }
}
