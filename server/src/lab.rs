//! `hubbub lab`: races the roads that a program can take, over a server that runs somewhere.
//!
//! WebRTC is for browsers; the page at `/lab` races it too.

use std::{ops::RangeInclusive, time::Duration};

use clap::{Args, builder::TypedValueParser, value_parser};
use client::{Change, Event, native};
use common::{Audience, MessageId, Publish};
use futures_util::future::join_all;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use lab::{Failed, Outcome, Plan, Race, Road, Run, Traffic, round};
use tokio::time::{Instant, sleep_until, timeout};
use uuid::Uuid;

use crate::clock::now_ms;

/// How long a road may take to open.
const OPEN_WITHIN: Duration = Duration::from_secs(15);
/// How long the server may take to answer what is not raced.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// The room in which it is raced. Only the session that says something there gets it.
const ROOM: &str = "lab";

// These comments are what `--help` prints.
#[allow(clippy::doc_markdown)]
mod asked {
    use super::*;

    /// What to race.
    #[derive(Clone, Debug, Args)]
    pub struct Asked {
        /// The server: scheme, host and port. Nothing here speaks TLS; for https, go through a proxy on this side.
        #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:3000", value_parser = parse_url)]
        pub url: String,

        /// The roads, with commas between.
        #[arg(long, value_name = "ROAD", value_delimiter = ',', value_parser = parse_road,
              default_value = "poll,longpoll,sse,websocket")]
        pub roads: Vec<Road>,

        /// Messages on each road.
        #[arg(long, short = 'n', value_name = "N", default_value_t = 50, value_parser = within(Plan::COUNT))]
        pub count: u32,

        /// Bytes in each.
        #[arg(long, value_name = "BYTES", default_value_t = 100, value_parser = within(Plan::SIZE))]
        pub size: u32,

        /// Messages a second.
        #[arg(long, value_name = "N", default_value_t = 5, value_parser = within(Plan::RATE))]
        pub rate: u32,

        /// Milliseconds between two polls.
        #[arg(long, value_name = "MS", default_value_t = 1_000, value_parser = within(Plan::POLL))]
        pub poll: u32,

        /// What the order of the roads is drawn from.
        #[arg(long, value_name = "N", default_value_t = 1)]
        pub seed: u32,

        /// All roads at once; else one after the other.
        #[arg(long)]
        pub together: bool,

        /// Print all that was measured as JSON instead of a table.
        #[arg(long)]
        pub json: bool,
    }
}

pub use asked::Asked;

fn within(bounds: RangeInclusive<u32>) -> impl TypedValueParser<Value = u32> {
    value_parser!(u32).range(i64::from(*bounds.start())..=i64::from(*bounds.end()))
}

fn parse_url(url: &str) -> Result<String, String> {
    let host = url.strip_prefix("http://").map(|host| host.trim_end_matches('/'));
    match host {
        Some(host) if !host.is_empty() && !host.contains(['/', '?', '#']) => {
            Ok(format!("http://{host}"))
        }
        _ => Err("an address is http://, a host and maybe a port, as http://127.0.0.1:3000".into()),
    }
}

fn parse_road(word: &str) -> Result<Road, String> {
    match Road::parse(word) {
        Some(Road::Direct) => Err("webrtc is for browsers; the page /lab races it".to_owned()),
        Some(road) => Ok(road),
        None => Err("a road is poll, longpoll, sse or websocket".to_owned()),
    }
}

/// Runs the race. How far it has got is shown on standard error, if that is a terminal.
///
/// # Errors
///
/// The server can't be reached.
pub async fn run(asked: &Asked) -> Result<Race, String> {
    let Asked { url, roads, count, size, rate, poll, seed, together, json: _ } = asked.clone();
    let plan = Plan { roads, count, size, rate, poll, seed, together, ..Plan::default() };
    let http = reqwest::Client::new();
    let there = http.get(format!("{url}/healthz")).timeout(ANSWER_WITHIN).send().await;
    there.map_err(|error| format!("can't reach {url}: {}", root(&error)))?;
    let course = Course { url, plan: plan.clone(), http, start: Instant::now() };
    let at = now_ms();
    let bars = MultiProgress::new();
    let roads = plan.order().into_iter().map(|road| {
        let bar = bars.add(ProgressBar::new(plan.count.into()).with_style(style()));
        bar.set_message(road.word());
        course.run(road, bar)
    });
    let outcomes = if together {
        join_all(roads).await
    } else {
        let mut outcomes = Vec::new();
        for road in roads {
            outcomes.push(road.await);
        }
        outcomes
    };
    let by = format!("hubbub {} on {}", env!("CARGO_PKG_VERSION"), std::env::consts::OS);
    Ok(Race { v: 1, plan, at, by, tick: 0.001, outcomes })
}

/// What is behind all the other words.
fn root(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), root)
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{msg:10} {wide_bar} {pos:>4}/{len}  {elapsed}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

struct Course {
    url: String,
    plan: Plan,
    http: reqwest::Client,
    start: Instant,
}

impl Course {
    /// Milliseconds since the beginning.
    fn clock(&self) -> f64 {
        self.start.elapsed().as_secs_f64() * 1_000.0
    }

    async fn run(&self, road: Road, bar: ProgressBar) -> Outcome {
        let mut outcome = Outcome::none(road);
        let mark = fastrand::u32(..);
        let meter = format!("{mark:08x}");
        let began = self.clock();
        let mut joining =
            native::join(&self.url, ROOM).poll_every(self.plan.poll.into()).meter(&meter);
        if let Some(transport) = road.transport() {
            joining = joining.transport(transport);
        }
        let Ok(Ok(mut room)) = timeout(OPEN_WITHIN, joining.into_future()).await else {
            bar.abandon();
            return Outcome { failed: Some(Failed::NotOpened), ..outcome };
        };
        outcome.opened = Some(round(self.clock() - began));
        let mut run = Run::new(road, &self.plan, mark, self.clock());
        loop {
            while let Some(text) = run.next(self.clock()) {
                room.tell(Event::Say(say(&text))).await;
            }
            if run.is_over(self.clock()) {
                break;
            }
            let until = self.start + Duration::from_secs_f64(run.deadline() / 1_000.0);
            tokio::select! {
                change = room.event() => match change {
                    Some(Change::Arrived { message, mine: true }) => {
                        run.back(message.value.as_str().unwrap_or_default(), self.clock());
                        bar.set_position(run.progress().1.into());
                    }
                    Some(_) => {}
                    None => break,
                },
                () = sleep_until(until) => {}
            }
        }
        room.leave().await;
        bar.finish();
        outcome.hub = self.counted(&meter).await;
        run.outcome(outcome)
    }

    /// What the hub has counted.
    async fn counted(&self, meter: &str) -> Option<Traffic> {
        let asked = self.http.get(format!("{}/api/lab/{meter}", self.url)).timeout(ANSWER_WITHIN);
        let answer = asked.send().await.ok()?.error_for_status().ok()?;
        serde_json::from_slice(&answer.bytes().await.ok()?).ok()
    }
}

fn say(text: &str) -> Publish {
    let id = MessageId::parse(&Uuid::now_v7().to_string()).ok();
    Publish { value: text.into(), id, event: None, to: Audience::Own, of: None, from: None }
}
