//! What can be watched of a running server: counts, gauges and times, as Prometheus reads them
//! ([text format 0.0.4](https://prometheus.io/docs/instrumenting/exposition_formats/)).
//!
//! The rule to keep: labels are words of our own, of which there are few. No room, member, address, pattern or text is
//! ever one, so that there are as many series after a million members as after one.

mod process;
pub(crate) mod traces;

use std::{
    collections::VecDeque,
    fmt,
    sync::atomic::AtomicBool,
    time::{Duration, Instant},
};

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use common::{ErrorCode, Recovery, Refusal};
use metrics::{
    Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder, SharedString, Unit,
};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use parking_lot::Mutex;
use serde::Serialize;
use utoipa::ToSchema;

use self::traces::Traces;
use crate::{
    clock::now_ms,
    problem::{Problem, refusal},
    state::ServerState,
};

/// The bounds of times, in seconds.
const SECONDS: [f64; 16] = [
    0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0,
    10.0,
];

const METADATA: Metadata<'static> = Metadata::new("hubbub", Level::INFO, None);

/// By what a session is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// A WebSocket.
    WebSocket,
    /// An event stream.
    Events,
    /// One request for frames.
    Poll,
    /// A stock Socket.IO client.
    SocketIo,
}

impl Carrier {
    const ALL: [Self; 4] = [Self::WebSocket, Self::Events, Self::Poll, Self::SocketIo];

    /// Its word for programs.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Events => "events",
            Self::Poll => "poll",
            Self::SocketIo => "socketio",
        }
    }
}

/// What is counted; cheap to count with.
pub(crate) struct Telemetry {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    /// The sessions there are, by what carries them.
    sessions: [Gauge; 4],
    /// Frames that came in, whatever became of them.
    pub(crate) frames: Counter,
    /// Bytes of all connections.
    pub(crate) traffic: Traffic,
    /// Messages that were kept.
    pub(crate) published: Counter,
    /// How long that took, of each request or frame.
    pub(crate) publish: Histogram,
    /// How long one transaction of the log took.
    pub(crate) commit: Histogram,
    /// When the certificate that is shown ends.
    pub(crate) certificate: Gauge,
    /// What is done for whom, and how long that takes.
    pub(crate) traces: Traces,
    last_refusals: Mutex<VecDeque<Refused>>,
    /// The server will stop soon: whoever asks whether it is ready should ask another.
    pub(crate) is_leaving: AtomicBool,
}

/// Bytes of connections, as they come from HTTP and go to it: within TLS, with all headers.
#[derive(Clone)]
pub(crate) struct Traffic {
    pub(crate) received: Counter,
    pub(crate) sent: Counter,
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Telemetry(…)")
    }
}

/// Something that was refused, to whomever.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Refused {
    /// Its number, from 1 on.
    number: u64,
    /// When: milliseconds since 1970, UTC.
    at: u64,
    /// What.
    code: ErrorCode,
    /// Over what: `http`, or what carries the session.
    over: &'static str,
}

/// How many refusals are remembered.
const REFUSALS: usize = 100;

/// A session that is there, counted as long as this is.
#[derive(Debug)]
pub(crate) struct Counted {
    gauge: Gauge,
    /// What carries it.
    pub(crate) carrier: Carrier,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.gauge.decrement(1.0);
    }
}

impl Telemetry {
    /// Nothing was counted yet; what is traced is told there.
    pub(crate) fn new(traces: Traces) -> Self {
        let builder = PrometheusBuilder::new().set_buckets(&SECONDS);
        let recorder = builder.expect("there are bounds").build_recorder();
        let described = [
            ("hubbub_sessions", "Sessions there are, by what carries them."),
            ("hubbub_connections", "Connections there are, below HTTP."),
            ("hubbub_rooms", "Rooms that are in memory."),
            ("hubbub_members", "Members in those rooms; one in two rooms counts twice."),
            (
                "hubbub_readers_behind",
                "Readers for whom a message has waited for more than a second.",
            ),
            (
                "hubbub_reader_lag_messages",
                "Messages that wait for the reader for whom most do, as far as they are in memory.",
            ),
            (
                "hubbub_reader_lag_seconds",
                "How long the oldest message has waited for the reader for whom one has waited longest.",
            ),
            ("hubbub_tail_bytes", "Bytes of the newest messages that are in memory."),
            ("hubbub_log_bytes", "Bytes of the log: of its files, or of the stream; 0 in memory."),
            (
                "hubbub_broker_connected",
                "1 while the log can be reached; always, where it is here.",
            ),
            ("hubbub_info", "1, with the version."),
            ("hubbub_ready", "1 while the server takes newcomers and can keep messages."),
            (
                "hubbub_certificate_expires_timestamp_seconds",
                "When the certificate that is shown is no good any more: seconds since 1970; without TLS, never; 0 until an ordered one is there.",
            ),
            ("process_cpu_seconds_total", "Processor time of the process, in seconds."),
            ("process_resident_memory_bytes", "Resident memory of the process."),
            ("process_open_fds", "Descriptors the process has."),
            ("process_max_fds", "Descriptors the process may have."),
            ("process_start_time_seconds", "When the process started: seconds since 1970."),
        ];
        for (name, text) in described {
            recorder.describe_gauge(name.into(), None, text.into());
        }
        let described = [
            (
                "hubbub_joins_total",
                "Sessions that began, by what carries them and how their reading starts.",
            ),
            ("hubbub_frames_received_total", "Frames that came in, good or not."),
            ("hubbub_received_bytes_total", "Bytes that came in, with all headers."),
            ("hubbub_sent_bytes_total", "Bytes that went out, with all headers."),
            ("hubbub_published_total", "Messages that were kept."),
            ("hubbub_refusals_total", "What was refused, by its code."),
            ("hubbub_closed_total", "Sessions that the server ended, by close code."),
            ("hubbub_webhook_batches_total", "Batches for webhooks, by what came of them."),
            ("hubbub_publish_hook_total", "What the publish hook was asked, by what came of it."),
            ("hubbub_requests_total", "Requests that were answered, by the class of their status."),
            (
                "hubbub_broker_gaps_total",
                "How often something was missing in what was heard of a room, and was read.",
            ),
            (
                "hubbub_broker_found_total",
                "How often only looking found that something was not heard of.",
            ),
        ];
        for (name, text) in described {
            recorder.describe_counter(name.into(), None, text.into());
        }
        let seconds = |name: &'static str, text: &'static str| {
            recorder.describe_histogram(name.into(), Some(Unit::Seconds), text.into());
            recorder.register_histogram(&Key::from_static_name(name), &METADATA)
        };
        let publish =
            seconds("hubbub_publish_seconds", "From hearing a message to having it kept.");
        let commit =
            seconds("hubbub_commit_seconds", "One transaction of the log, or one answer of it.");
        let plain = |name| recorder.register_counter(&Key::from_static_name(name), &METADATA);
        let (frames, published) =
            (plain("hubbub_frames_received_total"), plain("hubbub_published_total"));
        let traffic = Traffic {
            received: plain("hubbub_received_bytes_total"),
            sent: plain("hubbub_sent_bytes_total"),
        };
        let sessions = Carrier::ALL.map(|carrier| {
            recorder
                .register_gauge(&key("hubbub_sessions", [("transport", carrier.word())]), &METADATA)
        });
        for (name, outcomes) in [
            ("hubbub_webhook_batches_total", &["taken", "failed", "left_out"][..]),
            ("hubbub_publish_hook_total", &["passed", "changed", "refused", "late"]),
        ] {
            for outcome in outcomes {
                let key = key(name, [("outcome", *outcome)]);
                recorder.register_counter(&key, &METADATA).absolute(0);
            }
        }
        let certificate = Key::from_static_name("hubbub_certificate_expires_timestamp_seconds");
        let certificate = recorder.register_gauge(&certificate, &METADATA);
        certificate.set(f64::INFINITY);
        let (handle, is_leaving) = (recorder.handle(), AtomicBool::new(false));
        Self {
            recorder,
            handle,
            sessions,
            frames,
            traffic,
            published,
            publish,
            commit,
            certificate,
            traces,
            last_refusals: Mutex::default(),
            is_leaving,
        }
    }

    /// Counts a session that begins, and is there as long as what this returns.
    pub(crate) fn join(&self, carrier: Carrier, recovery: Option<Recovery>) -> Counted {
        let how = match recovery {
            Some(Recovery::Fresh) => "fresh",
            Some(Recovery::Replayed) => "replayed",
            Some(Recovery::Reset) => "reset",
            None => "goes_on",
        };
        self.count("hubbub_joins_total", [("transport", carrier.word()), ("recovery", how)]);
        let gauge = self.sessions[carrier as usize].clone();
        gauge.increment(1.0);
        Counted { gauge, carrier }
    }

    /// Counts what came of having `messages` kept, which began then.
    pub(crate) fn kept<T, E>(&self, messages: u64, began: Instant, taken: &Result<T, E>) {
        self.publish.record(began.elapsed());
        if taken.is_ok() {
            self.published.increment(messages);
        }
    }

    /// Counts what was refused, over what.
    pub(crate) fn refused(&self, code: ErrorCode, over: &'static str) {
        self.count("hubbub_refusals_total", [("code", code_word(code))]);
        let mut last = self.last_refusals.lock();
        let number = last.front().map_or(1, |newest| newest.number + 1);
        last.push_front(Refused { number, at: now_ms(), code, over });
        last.truncate(REFUSALS);
    }

    /// What was refused last, the newest first.
    pub(crate) fn last_refusals(&self) -> Vec<Refused> {
        self.last_refusals.lock().iter().cloned().collect()
    }

    /// Counts a session that the server ends.
    pub(crate) fn closed(&self, code: u16) {
        self.count("hubbub_closed_total", [("code", code.to_string())]);
    }

    /// Counts what came of a batch for a webhook: `taken`, `failed` and to be tried again, `left_out`.
    pub(crate) fn hooked(&self, outcome: &'static str) {
        self.count("hubbub_webhook_batches_total", [("outcome", outcome)]);
    }

    /// Counts what the publish hook made of what it was asked about: `passed`, `changed`, `refused`; or it was `late`.
    pub(crate) fn asked(&self, outcome: &'static str) {
        self.count("hubbub_publish_hook_total", [("outcome", outcome)]);
    }

    /// Counts a request that was answered.
    pub(crate) fn answered(&self, status: StatusCode) {
        let class = match status.as_u16() / 100 {
            1 => "1xx",
            2 => "2xx",
            3 => "3xx",
            4 => "4xx",
            _ => "5xx",
        };
        self.count("hubbub_requests_total", [("status", class)]);
    }

    /// Sorts in what was measured; to be called every few seconds, or it grows.
    pub(crate) fn sort_in(&self) {
        self.handle.run_upkeep();
    }

    fn count<const N: usize>(
        &self,
        name: &'static str,
        labels: [(&'static str, impl Into<SharedString>); N],
    ) {
        self.recorder.register_counter(&key(name, labels), &METADATA).increment(1);
    }

    fn set(&self, name: &'static str, value: f64) {
        self.recorder.register_gauge(&Key::from_static_name(name), &METADATA).set(value);
    }
}

/// The code's word for programs.
fn code_word(code: ErrorCode) -> String {
    let word = serde_json::to_value(code).ok();
    word.as_ref().and_then(serde_json::Value::as_str).unwrap_or("other").to_owned()
}

fn key<const N: usize>(
    name: &'static str,
    labels: [(&'static str, impl Into<SharedString>); N],
) -> Key {
    let labels = labels.map(|(name, word)| Label::new(name, word));
    Key::from_parts(name, labels.to_vec())
}

/// `GET /metrics`.
pub(crate) async fn metrics(State(server): State<ServerState>) -> Response {
    let telemetry = &server.telemetry;
    let version = key("hubbub_info", [("version", env!("CARGO_PKG_VERSION"))]);
    telemetry.recorder.register_gauge(&version, &METADATA).set(1.0);
    let figures = server.hub.figures();
    let lag = server.hub.lag(now_ms()).await;
    let ready = server.check_ready().await.is_ok();
    let health = server.hub.broker().health();
    let log = health.bytes.unwrap_or_else(|| match server.config.uses_data() {
        true => file_bytes(&server.config.data),
        false => 0,
    });
    for (name, count) in
        [("hubbub_broker_gaps_total", health.gaps), ("hubbub_broker_found_total", health.found)]
    {
        let key = Key::from_static_name(name);
        telemetry.recorder.register_counter(&key, &METADATA).absolute(count);
    }
    for (name, value) in [
        ("hubbub_connections", server.connections.taken() as f64),
        ("hubbub_rooms", figures.rooms as f64),
        ("hubbub_members", figures.members as f64),
        ("hubbub_readers_behind", lag.behind as f64),
        ("hubbub_reader_lag_messages", lag.messages as f64),
        ("hubbub_reader_lag_seconds", lag.oldest.as_secs_f64()),
        ("hubbub_tail_bytes", figures.tail_bytes as f64),
        ("hubbub_log_bytes", log as f64),
        ("hubbub_ready", f64::from(u8::from(ready))),
        ("hubbub_broker_connected", f64::from(u8::from(health.is_connected))),
    ] {
        telemetry.set(name, value);
    }
    for (name, value) in process::figures() {
        telemetry.set(name, value);
    }
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, [(header::CACHE_CONTROL, "no-store")], telemetry.handle.render()).into_response()
}

/// How large the files of the log are.
fn file_bytes(dir: &std::path::Path) -> u64 {
    let files = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let logs = files.filter(|file| file.file_name().to_string_lossy().contains(".db"));
    logs.filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum()
}

/// `GET /readyz`: 200 `ready`, or 503 while the server is about to stop, or can't keep messages.
pub(crate) async fn ready(State(server): State<ServerState>) -> Result<&'static str, Problem> {
    server.check_ready().await?;
    Ok("ready\n")
}

impl crate::state::Parts {
    /// Whether the server takes newcomers and can keep messages.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::ShuttingDown`], [`ErrorCode::Unavailable`].
    pub(crate) async fn check_ready(&self) -> Result<(), Refusal> {
        let is_leaving = self.telemetry.is_leaving.load(std::sync::atomic::Ordering::Relaxed);
        if is_leaving || *self.stopping.borrow() {
            return Err(Refusal::new(ErrorCode::ShuttingDown, "the server is stopping"));
        }
        // Whoever asks has waited long enough then.
        let checked = tokio::time::timeout(Duration::from_secs(5), self.hub.check()).await;
        match checked {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(refusal(error.into())),
            Err(_) => Err(Refusal::new(ErrorCode::Unavailable, "the log does not answer")),
        }
    }
}
