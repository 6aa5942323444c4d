//! The inspector: `readyState`, every event of the connection, and bytes both ways.

use leptos::{ev::KeyboardEvent, html, prelude::*};

use crate::{
    client::{
        browser,
        journal::{Event, Happening, Journal},
        ladder::Rung,
        room_client::RoomClient,
    },
    shell::strings,
    snippets::snippets,
};

#[component]
pub(crate) fn Inspector(client: RoomClient, shown: RwSignal<bool>) -> impl IntoView {
    let strings = strings();
    let title = NodeRef::<html::H2>::new();
    // Focus goes where the person looks, and comes back to what opened it.
    Effect::new(move |before: Option<bool>| {
        let now = shown.get();
        if now && let Some(title) = title.get() {
            let _ = title.focus();
        }
        if before == Some(true)
            && !now
            && let Some(opener) = browser::element::<web_sys::HtmlElement>("open-inspector")
        {
            let _ = opener.focus();
        }
        now
    });
    let close_on_escape = move |event: KeyboardEvent| {
        if event.key() == "Escape" {
            shown.set(false);
        }
    };
    let counter = move |count: fn(&Journal) -> usize| move || client.journal.with(count);
    let dropped = move || {
        let dropped = client.journal.with(Journal::dropped);
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
                <button type="button" on:click=move |_| client.journal.update(Journal::clear)>
                    {strings.clear}
                </button>
                <button type="button" on:click=move |_| shown.set(false)>{strings.close}</button>
            </div>
            <dl class="facts">
                <dt>
                    <label for="road">{strings.road}</label>
                </dt>
                <dd>
                    <RoadChoice client/>
                </dd>
                <dt>{strings.ready_state}</dt>
                <dd>
                    <ol class="states">
                        <For
                            each=move || (0_u16..).zip(client.rung.get().states())
                            key=|state| *state
                            let((state, name))
                        >
                            <li aria-current=move || {
                                (client.ready_state.get() == state).then_some("step")
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
                {move || shown.get().then(|| view! { <Programs client/> })}
            </details>
            <h3>{strings.events}</h3>
            <Show when=move || client.journal.with(Journal::is_empty)>
                <p class="quiet-text">{strings.no_events}</p>
            </Show>
            <ol class="events" reversed>
                // Nothing is drawn that nobody looks at.
                <For
                    each=move || match shown.get() {
                        true => client.journal.with(Journal::newest_first),
                        false => Vec::new(),
                    }
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
fn Programs(client: RoomClient) -> impl IntoView {
    let strings = strings();
    let room = client.room.get_value();
    snippets(&browser::origin(), room.as_str())
        .into_iter()
        .map(|snippet| {
            let id = format!("snippet-{}", snippet.word);
            let code = snippet.code.clone();
            view! {
                <section class="snippet" aria-labelledby=id.clone()>
                    <div class="row">
                        <h4 id=id.clone() translate="no">{snippet.name}</h4>
                        <span class="grow"></span>
                        <button
                            type="button"
                            aria-describedby=id.clone()
                            on:click=move |_| browser::copy(&code)
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

/// Which road to take: the page's choice, or one's own.
#[component]
fn RoadChoice(client: RoomClient) -> impl IntoView {
    let strings = strings();
    let choose = move |event| client.choose_road(Rung::parse(&event_target_value(&event)));
    let automatic = move || match client.chosen.get() {
        None => format!("{} ({})", strings.automatic, (strings.road_name)(client.rung.get())),
        Some(_) => strings.automatic.to_owned(),
    };
    view! {
        <select id="road" on:change=choose prop:value=move || client.chosen.get().map_or("", Rung::word)>
            <option value="">{automatic}</option>
            {Rung::ALL
                .map(|rung| view! { <option value=rung.word()>{(strings.road_name)(rung)}</option> })
                .collect_view()}
        </select>
    }
}

#[component]
fn EventRow(event: Event) -> impl IntoView {
    let strings = strings();
    let time = js_sys::Date::new(&event.at.into()).to_iso_string().as_string();
    let clock = time.as_deref().and_then(|time| time.get(11..23)).unwrap_or_default().to_owned();
    let name = event.what.name();
    let (arrow, detail, frame) = match event.what {
        Happening::Connect(url) => ("→", url, None),
        Happening::Open(protocol) => ("•", protocol, None),
        Happening::Received(frame) => ("↓", format!("{} B", event.bytes), Some(frame)),
        Happening::Sent(frame) => ("↑", format!("{} B", event.bytes), Some(frame)),
        Happening::Error(what) if what.is_empty() => ("•", strings.error_event.to_owned(), None),
        Happening::Error(what) => ("•", what, None),
        Happening::Road(rung) => ("⇄", rung.to_owned(), None),
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
