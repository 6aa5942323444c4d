//! Traces: what was done for a request, and how long each part of it took, told to a collector
//! ([OTLP over HTTP](https://opentelemetry.io/docs/specs/otlp/#otlphttp)).
//!
//! The rule to keep: a span says words of our own, and numbers. What anybody sent, which room, whose name or which address
//! is in none; so spans are begun here, by name, and what libraries tell by the crate `tracing` makes none.

mod collector;

use std::{fmt, time::Duration};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, Method, StatusCode},
    middleware::Next,
    response::Response,
};
use common::ErrorCode;
use futures_util::future::Either;
use opentelemetry::{
    Context, KeyValue,
    propagation::{Extractor, TextMapPropagator},
    trace::{
        FutureExt, SpanBuilder, SpanKind, Status, TraceContextExt, Tracer, TracerProvider as _,
    },
};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider},
};

use self::collector::Collector;
pub(crate) use self::collector::parse_url;
use super::code_word;
use crate::{config::Config, state::ServerState};

/// How many spans may wait to be sent; what is more is dropped.
const WAITING: usize = 4_096;
/// How many are sent at once, and how long one waits for others.
const BATCH: usize = 512;
const WAITS: Duration = Duration::from_secs(2);
/// How long the last of them have at a stop.
const LAST: Duration = Duration::from_secs(2);

/// Where spans begin; nowhere, unless they were asked for.
#[derive(Clone, Default)]
pub(crate) struct Traces(Option<On>);

#[derive(Clone)]
struct On {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

/// What is traced besides requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// A message is taken, or several are: whoever has to be asked is, and they are kept.
    Publish,
    /// They are kept.
    Append,
    /// Somebody is asked before that.
    PublishHook,
    /// Somebody is told of what was kept; each try is one.
    Webhook,
}

impl Work {
    fn name(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Append => "append",
            Self::PublishHook => "publish hook",
            Self::Webhook => "webhook",
        }
    }

    fn kind(self) -> SpanKind {
        match self {
            Self::Publish | Self::Append => SpanKind::Internal,
            Self::PublishHook | Self::Webhook => SpanKind::Client,
        }
    }
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Traces").field(&self.is_on()).finish()
    }
}

impl Traces {
    /// Those that `config` asks for. To be called in a runtime: they are sent on it.
    pub(crate) fn of(config: &Config) -> Self {
        let Some(url) = config.otlp.clone() else { return Self::default() };
        let resource = Resource::builder_empty().with_attributes([
            KeyValue::new("service.name", "hubbub"),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            // Another each time it starts: several of one name are told apart.
            KeyValue::new("service.instance.id", uuid::Uuid::new_v4().to_string()),
        ]);
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(WAITING)
            .with_max_export_batch_size(BATCH)
            .with_scheduled_delay(WAITS)
            .build();
        let batches =
            BatchSpanProcessor::builder(Collector::at(url)).with_batch_config(batches).build();
        let part = Sampler::TraceIdRatioBased(config.otlp_sample);
        let provider = SdkTracerProvider::builder()
            .with_resource(resource.build())
            .with_sampler(Sampler::ParentBased(Box::new(part)))
            .with_span_processor(batches)
            .build();
        Self(Some(On { tracer: provider.tracer("hubbub"), provider }))
    }

    /// Whether they are asked for.
    pub(crate) fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Begins a span, as a part of the one that this is called in.
    pub(crate) fn begin(&self, work: Work) -> Span {
        let begin = |On { tracer, .. }: &On| {
            let span = tracer.build(SpanBuilder::from_name(work.name()).with_kind(work.kind()));
            Context::current_with_span(span)
        };
        Span(self.0.as_ref().map(begin))
    }

    /// Begins the span of a request to such a route: as a part of what its sender does, if it says so.
    fn begin_request(&self, method: &Method, route: Option<&str>, headers: &HeaderMap) -> Span {
        let Some(On { tracer, .. }) = &self.0 else { return Span(None) };
        let parent =
            TraceContextPropagator::new().extract_with_context(&Context::new(), &Parent(headers));
        // Of methods anybody can make up their own.
        let known = known(method);
        let name = known.unwrap_or("HTTP");
        let name = route.map_or(name.to_owned(), |route| format!("{name} {route}"));
        let mut said = vec![KeyValue::new("http.request.method", known.unwrap_or("_OTHER"))];
        said.extend(route.map(|route| KeyValue::new("http.route", route.to_owned())));
        let span = SpanBuilder::from_name(name).with_kind(SpanKind::Server).with_attributes(said);
        Span(Some(parent.with_span(tracer.build_with_context(span, &parent))))
    }

    /// Sends what has not been sent, or gives it up after [`LAST`]. Nothing is traced from then on.
    pub(crate) async fn close(&self) {
        let Some(On { provider, .. }) = self.0.clone() else { return };
        // It waits for a thread of its own.
        let closed = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(LAST));
        if !matches!(closed.await, Ok(Ok(()))) {
            tracing::warn!("the last traces could not be delivered");
        }
    }
}

/// A method that is not of somebody's own.
fn known(method: &Method) -> Option<&'static str> {
    ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"]
        .into_iter()
        .find(|known| method == known)
}

/// What a request is a part of ([Trace Context](https://www.w3.org/TR/trace-context/)). What its `tracestate` says is
/// somebody's words, and goes nowhere.
struct Parent<'a>(&'a HeaderMap);

impl Extractor for Parent<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        let value = self.0.get(key).filter(|_| key == "traceparent");
        value.and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent"]
    }
}

/// Something that is traced, until this is dropped; nothing, where traces were not asked for.
pub(crate) struct Span(Option<Context>);

impl Span {
    /// Does this; what is begun meanwhile is a part of it.
    pub(crate) fn over<F: Future>(&self, doing: F) -> impl Future<Output = F::Output> + use<F> {
        match &self.0 {
            Some(context) => Either::Left(doing.with_context(context.clone())),
            None => Either::Right(doing),
        }
    }

    /// The header by which what somebody else does is a part of it.
    pub(crate) fn parent(&self) -> Option<(&'static str, String)> {
        let span = self.0.as_ref()?.span().span_context().clone();
        let (trace, id, flags) = (span.trace_id(), span.span_id(), span.trace_flags().to_u8());
        span.is_valid().then(|| ("traceparent", format!("00-{trace}-{id}-{flags:02x}")))
    }

    /// Says of it what came of it.
    pub(crate) fn came_to(&self, outcome: &'static str) {
        self.say(|| KeyValue::new("hubbub.outcome", outcome));
    }

    /// Says of it of how many messages it is.
    pub(crate) fn of_messages(&self, count: usize) {
        self.say(|| KeyValue::new("hubbub.messages", count as i64));
    }

    /// Says of it what was answered.
    pub(crate) fn answered(&self, status: u16) {
        self.say(|| KeyValue::new("http.response.status_code", i64::from(status)));
    }

    /// Says of it that this was refused.
    pub(crate) fn refused(&self, code: ErrorCode) {
        self.say(|| KeyValue::new("error.type", code_word(code)));
        if matches!(code, ErrorCode::Internal | ErrorCode::Unavailable) {
            self.fail();
        }
    }

    /// It went wrong, and not by what whoever asked has sent.
    pub(crate) fn fail(&self) {
        if let Some(context) = &self.0 {
            context.span().set_status(Status::error(""));
        }
    }

    fn say(&self, what: impl FnOnce() -> KeyValue) {
        if let Some(context) = &self.0 {
            context.span().set_attribute(what());
        }
    }
}

/// Traces each request, from its head until there is the head of an answer: what a WebSocket or an event stream carries
/// after that is no part of it.
pub(crate) async fn trace(
    State(server): State<ServerState>,
    request: Request,
    next: Next,
) -> Response {
    let route = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    // The same is the same, whether a proxy leaves that out or not.
    let base = &server.config.base_path;
    let route = route.map(|route| route.strip_prefix(base.as_str()).unwrap_or(route));
    let traces = &server.telemetry.traces;
    let span = traces.begin_request(request.method(), route, request.headers());
    let response = span.over(next.run(request)).await;
    span.answered(response.status().as_u16());
    if let Some(code) = response.extensions().get::<ErrorCode>() {
        span.refused(*code);
    }
    if response.status() >= StatusCode::INTERNAL_SERVER_ERROR {
        span.fail();
    }
    response
}
