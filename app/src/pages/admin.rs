//! The operator's page: how the hub is, who is there, and what can be done about it.
//!
//! The rule to keep: it is one more client. Its numbers are those at `/metrics`, and what it does is what backends do over
//! HTTP.

mod lists;
mod plots;

use std::collections::VecDeque;

use leptos::{prelude::*, task::spawn_local};
use serde_json::Value;

use self::{lists::Lists, plots::Plots};
use crate::{
    browser,
    components::{Bar, Preferences},
    lang::grouped,
    listing::Listing,
    page::PageData,
    scrape::Scrape,
    shell::strings,
};

/// How many seconds are drawn.
const SECONDS: usize = 120;

/// How the hub was in one second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Second {
    sessions: f64,
    messages: f64,
    requests: f64,
    refusals: f64,
    /// In milliseconds; none, if nothing was published or committed.
    publish: Option<f64>,
    commit: Option<f64>,
    memory: f64,
}

/// What is known of the hub; cheap to copy.
#[derive(Clone, Copy)]
struct Admin {
    scrape: RwSignal<Option<Scrape>>,
    seconds: RwSignal<VecDeque<Second>>,
    hub: RwSignal<Listing>,
    /// How often it was asked what there is, and which of these is shown: answers may come in another order.
    asked: StoredValue<u32>,
    shown: StoredValue<u32>,
    /// It did not answer last.
    is_away: RwSignal<bool>,
    /// Why what was asked for last was not done.
    problem: RwSignal<Option<String>>,
}

impl Admin {
    fn new() -> Self {
        Self {
            scrape: RwSignal::new(None),
            seconds: RwSignal::new(VecDeque::new()),
            hub: RwSignal::new(Listing::default()),
            asked: StoredValue::new(0),
            shown: StoredValue::new(0),
            is_away: RwSignal::new(false),
            problem: RwSignal::new(None),
        }
    }

    fn see(self, seen: Result<Scrape, ()>) {
        self.is_away.try_set(seen.is_err());
        let Ok(now) = seen else { return };
        let Some(before) = self.scrape.try_get_untracked() else { return };
        if let Some(before) = before {
            let ms = |name| now.quantile(&before, name, 0.95).map(|seconds| seconds * 1_000.0);
            let second = Second {
                sessions: now.value("hubbub_sessions"),
                messages: now.rate(&before, "hubbub_published_total"),
                requests: now.rate(&before, "hubbub_requests_total"),
                refusals: now.rate(&before, "hubbub_refusals_total"),
                publish: ms("hubbub_publish_seconds"),
                commit: ms("hubbub_commit_seconds"),
                memory: now.value("process_resident_memory_bytes") / 1_048_576.0,
            };
            self.seconds.update(|seconds| {
                seconds.push_back(second);
                if seconds.len() > SECONDS {
                    seconds.pop_front();
                }
            });
        }
        self.scrape.set(Some(now));
    }

    /// Asks what there is, and shows it unless something newer is shown by then.
    async fn list(self) {
        self.asked.try_update_value(|asked| *asked += 1);
        let Some(number) = self.asked.try_get_value() else { return };
        let Ok(hub) = browser::list_hub().await else { return };
        if self.shown.try_get_value().is_some_and(|shown| shown < number) {
            self.shown.set_value(number);
            self.hub.set(hub);
        }
    }

    /// Has something done, and looks what came of it.
    fn act(self, method: &'static str, path: String, body: Option<Value>) {
        spawn_local(async move {
            let done = browser::act(method, &path, body).await;
            self.problem.try_set(done.err());
            self.list().await;
        });
    }
}

#[component]
pub(crate) fn AdminPage(data: PageData) -> impl IntoView {
    let texts = strings().admin;
    let admin = Admin::new();
    provide_context(admin);
    Effect::new(move || {
        browser::watch_hub(move |seen| admin.see(seen), async move || admin.list().await);
    });
    view! {
        <div class="page">
            <Bar>
                <span class="grow"></span>
                <Preferences theme=data.theme path=data.path/>
            </Bar>
            <main class="admin">
                <h1>{texts.title}</h1>
                <noscript><p class="recorded">{texts.no_script}</p></noscript>
                <p class="problem" role="alert">
                    {move || admin.is_away.get().then_some(texts.away)}
                </p>
                <Figures/>
                <Plots/>
                <p class="problem" role="alert">{move || admin.problem.get()}</p>
                <Lists/>
            </main>
        </div>
    }
}

/// How it is now, in numbers.
#[component]
fn Figures() -> impl IntoView {
    let texts = strings().admin;
    let admin = expect_context::<Admin>();
    let figures = move || {
        let scrape = admin.scrape.get()?;
        let last = admin.seconds.with(|seconds| seconds.back().copied()).unwrap_or_default();
        let value = |name: &str| scrape.value(name);
        let count = |name: &str| grouped(value(name) as u64);
        let sessions = |carrier| scrape.labelled("hubbub_sessions", carrier);
        let carriers = ["websocket", "events", "poll", "socketio"];
        let carriers = carriers.map(|carrier| format!("{carrier} {}", sessions(carrier)));
        let ms = |value: Option<f64>| value.map_or("–".to_owned(), |ms| format!("{ms:.1} ms"));
        let (open, most) = (value("process_open_fds"), value("process_max_fds"));
        let most = if most.is_finite() { grouped(most as u64) } else { "∞".to_owned() };
        let ready = value("hubbub_ready") == 1.0;
        let mut figures = vec![
            (
                texts.state,
                if ready { texts.ready } else { texts.not_ready }.to_owned(),
                String::new(),
            ),
            (texts.sessions, count("hubbub_sessions"), carriers.join(" · ")),
            (
                texts.connections,
                count("hubbub_connections"),
                format!("{} / {most} {}", grouped(open as u64), texts.descriptors),
            ),
            (
                texts.rooms,
                count("hubbub_rooms"),
                format!("{} {}", count("hubbub_members"), texts.members),
            ),
            (
                texts.messages,
                format!("{:.0}", last.messages),
                format!("{:.0} {}", last.requests, texts.requests),
            ),
            (texts.publish, ms(last.publish), format!("{} {}", texts.commit, ms(last.commit))),
            (
                texts.memory,
                format!("{:.0} MiB", last.memory),
                format!("{} {:.0} MiB", texts.log, value("hubbub_log_bytes") / 1_048_576.0),
            ),
            (
                texts.refusals,
                format!("{:.0}", last.refusals),
                (texts.in_all)(&count("hubbub_refusals_total")),
            ),
        ];
        let expires = value("hubbub_certificate_expires_timestamp_seconds");
        if expires.is_finite() && expires > 0.0 {
            let days = (expires - browser::now() / 1_000.0) / 86_400.0;
            figures.push((texts.certificate, (texts.days)(days.floor() as i64), String::new()));
        }
        let figure = |(name, value, more): (&'static str, String, String)| {
            view! { <div><dt>{name}</dt><dd>{value}</dd><dd class="besides">{more}</dd></div> }
        };
        Some(figures.into_iter().map(figure).collect_view())
    };
    view! { <dl class="figures">{figures}</dl> }
}
