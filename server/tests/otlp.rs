//! What a collector of traces is told: what was done, as a part of what, and nothing of who, where, or what was said.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    body::Bytes,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use clap::Parser;
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::any_value::Value as Said,
    trace::v1::{Span, span::SpanKind, status::StatusCode as Status},
};
use prost::Message as _;
use serde_json::{Value, json};
use server::{
    Config, Server,
    webhook::{Secret, Webhook},
};
use support::{process::Hubbub, *};
use tokio::{net::TcpListener, time::timeout};

/// Takes traces, and is a webhook and a publish hook as well.
#[derive(Default)]
struct Collector {
    bodies: Mutex<Vec<Bytes>>,
    /// What those who told it something, or asked it, said that was a part of.
    parents: Mutex<Vec<(&'static str, String)>>,
}

impl Collector {
    /// It, and its address.
    async fn start() -> (Arc<Self>, String) {
        let collector = Arc::<Self>::default();
        let take = |collector: Arc<Self>| {
            post(async move |headers: HeaderMap, body: Bytes| {
                assert_eq!(headers["content-type"], "application/x-protobuf");
                collector.bodies.lock().unwrap().push(body);
            })
        };
        let hook = |collector: Arc<Self>, what: &'static str| {
            post(async move |headers: HeaderMap, body: String| {
                let told: Value = serde_json::from_str(&body).unwrap();
                let parent = headers["traceparent"].to_str().unwrap().to_owned();
                if told["type"] != "rooms" {
                    collector.parents.lock().unwrap().push((what, parent));
                }
                match told["data"]["messages"][0]["value"] == "the-bad-words" {
                    true => json!({"refuse": "the-refusal"}).to_string(),
                    false => String::new(),
                }
            })
        };
        let app = axum::Router::new()
            .route("/v1/traces", take(collector.clone()))
            .route("/asked", hook(collector.clone(), "publish hook"))
            .route("/told", hook(collector.clone(), "webhook"));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async { axum::serve(listener, app).await.unwrap() });
        (collector, url)
    }

    /// All spans that it was told of, the earliest first.
    fn spans(&self) -> Vec<Span> {
        let bodies = self.bodies.lock().unwrap();
        let told = bodies.iter().map(|body| ExportTraceServiceRequest::decode(&body[..]).unwrap());
        let scopes = told.flat_map(|told| told.resource_spans).flat_map(|one| one.scope_spans);
        let mut spans: Vec<_> = scopes.flat_map(|scope| scope.spans).collect();
        spans.sort_by_key(|span| span.start_time_unix_nano);
        spans
    }
}

/// Of these the ones by this name.
fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

/// What a span says.
fn said(span: &Span) -> BTreeSet<(&str, String)> {
    let words = span.attributes.iter().map(|one| {
        let value = match one.value.as_ref().unwrap().value.as_ref().unwrap() {
            Said::StringValue(text) => text.clone(),
            Said::IntValue(number) => number.to_string(),
            other => panic!("{other:?}"),
        };
        (one.key.as_str(), value)
    });
    words.collect()
}

fn set<const N: usize>(words: [(&'static str, &str); N]) -> BTreeSet<(&'static str, String)> {
    words.map(|(key, value)| (key, value.to_owned())).into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A server that tells a collector of what it does.
async fn server(url: &str, flags: &[&str], change: impl FnOnce(&mut Config)) -> TestServer {
    let own = ["hubbub", "--ephemeral", "--listen", "127.0.0.1:0", "--otlp", url];
    let mut config = Config::try_parse_from([&own, flags].concat()).unwrap();
    change(&mut config);
    let server = Server::open(config.clone()).await.unwrap();
    TestServer::of(config, |_| server).await
}

/// Stops it: what was not sent yet is, or is given up.
async fn stop(mut server: TestServer) {
    server.stop();
    timeout(PATIENCE, &mut server.serving).await.expect("it does not end").unwrap().unwrap();
}

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

fn part_of(request: reqwest::RequestBuilder, sampled: &str) -> reqwest::RequestBuilder {
    request.header("traceparent", format!("00-{TRACE}-{PARENT}-{sampled}"))
}

const SAY: &str = "POST /api/rooms/{room}/messages";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_done_is_told_with_what_it_is_a_part_of_and_nothing_that_anybody_sent() {
    let (collector, url) = Collector::start().await;
    let server = server(&url, &[], |config| {
        config.publish_hooks = vec![Webhook::parse(&format!("{url}/asked?the-hook")).unwrap()];
        config.webhooks = vec![Webhook::parse(&format!("{url}/told?the-hook")).unwrap()];
        config.webhook_secret = Some(Secret::of(b"thirty-two bytes, for a webhook!"));
    })
    .await;
    let http = reqwest::Client::new();
    let token = http.post(server.url("/api/token")).header("content-type", "application/json");
    let token = token.body(r#"{"name": "the-name"}"#).send().await.unwrap().text().await.unwrap();
    let token: Value = serde_json::from_str(&token).unwrap();
    let token = token["token"].as_str().unwrap().to_owned();

    let say = async |words: &str| {
        let path = format!("/api/rooms/the-room/messages?session=the-session&token={token}");
        let request = part_of(http.post(server.url(&path)), "01")
            .header("tracestate", "vendor=the-state")
            .header("user-agent", "the-agent")
            .header("idempotency-key", format!("the-key-{words}"))
            .header("content-type", "application/json");
        let body = json!({"value": words, "event": "the-event"}).to_string();
        request.body(body).send().await.unwrap().status().as_u16()
    };
    assert_eq!((say("the-words").await, say("the-bad-words").await), (200, 403));
    let mut ada = server.join(&format!("?room=the-room&token={token}")).await;
    ada.say("the-words").await;
    ada.next_of("ack").await;
    ada.leave().await;
    let made_up = reqwest::Method::from_bytes(b"THE-METHOD").unwrap();
    let made_up = http.request(made_up, server.url("/the-path?the-query"));
    made_up.header("host", "localhost").send().await.unwrap();
    http.get(server.url("/rooms/the-room?lang=ko")).send().await.unwrap();
    let is_told = || collector.parents.lock().unwrap().iter().any(|(what, _)| *what == "webhook");
    let telling = async {
        while !is_told() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, telling).await.expect("the webhook is told nothing");
    stop(server).await;

    let spans = collector.spans();
    let told = |name: &str| named(&spans, name);
    let [good, bad] = told(SAY)[..] else { panic!("{spans:#?}") };
    for (request, status) in [(good, "200"), (bad, "403")] {
        assert_eq!(
            (hex(&request.trace_id), hex(&request.parent_span_id)),
            (TRACE.into(), PARENT.into())
        );
        assert_eq!(request.kind(), SpanKind::Server);
        assert!(said(request).contains(&("http.response.status_code", status.to_owned())));
    }
    let post = [("http.request.method", "POST"), ("http.route", "/api/rooms/{room}/messages")];
    assert_eq!(said(good), set([post[0], post[1], ("http.response.status_code", "200")]));
    assert!(said(bad).contains(&("error.type", "declined".to_owned())));
    let part = |whole: &Span, name: &str| {
        let parts = told(name).into_iter().filter(|span| span.parent_span_id == whole.span_id);
        let [part] = parts.collect::<Vec<_>>()[..] else { panic!("{name} of {}", whole.name) };
        assert_eq!(part.trace_id, whole.trace_id);
        part.clone()
    };
    let publish = part(good, "publish");
    assert_eq!(said(&publish), set([("hubbub.messages", "1")]));
    assert_eq!(said(&part(&publish, "append")), set([]));
    let asked = part(&publish, "publish hook");
    let passed = [("hubbub.outcome", "passed"), ("http.response.status_code", "200")];
    assert_eq!((said(&asked), asked.kind()), (set(passed), SpanKind::Client));
    let refused = part(&part(bad, "publish"), "publish hook");
    assert!(said(&refused).contains(&("hubbub.outcome", "refused".to_owned())));
    // What a frame asks for is a part of nothing; and of what was refused nothing was kept.
    let alone = told("publish").into_iter().filter(|span| span.parent_span_id.is_empty());
    assert_eq!((alone.count(), told("publish").len(), told("append").len()), (1, 3, 2));
    assert!(!told("GET /ws").is_empty() && !told("GET /rooms/{room}").is_empty());
    assert!(
        told("HTTP")
            .iter()
            .all(|span| said(span).contains(&("http.request.method", "_OTHER".to_owned())))
    );
    assert_eq!(told("HTTP").len(), 1);

    // Who is asked, or told, hears what that is a part of.
    for (what, parent) in collector.parents.lock().unwrap().iter() {
        let is_it = |span: &&Span| {
            *parent == format!("00-{}-{}-01", hex(&span.trace_id), hex(&span.span_id))
        };
        assert!(told(what).iter().any(is_it), "{what} {parent}");
    }

    let all = collector.bodies.lock().unwrap().concat();
    let all = String::from_utf8_lossy(&all);
    assert!(all.contains("service.name") && all.contains("hubbub"));
    let session = token.rsplit('.').next().unwrap();
    for word in ["the-", "127.0.0.1", "localhost", "vendor", session] {
        assert!(!all.contains(word), "{word} is told");
    }
}

#[tokio::test]
async fn whether_it_is_traced_is_decided_by_whoever_began_it() {
    for (ratio, sampled, traced) in
        [("0", None, 0), ("0", Some("01"), 1), ("1", None, 1), ("1", Some("00"), 0)]
    {
        let (collector, url) = Collector::start().await;
        let server = server(&url, &["--otlp-sample", ratio], |_| ()).await;
        let asking = reqwest::Client::new().get(server.url("/api/rooms"));
        let asking = match sampled {
            Some(sampled) => part_of(asking, sampled),
            None => asking,
        };
        assert_eq!(asking.send().await.unwrap().status(), StatusCode::OK);
        stop(server).await;
        assert_eq!(collector.spans().len(), traced, "{ratio} {sampled:?}");
    }
}

#[tokio::test]
async fn what_goes_wrong_here_is_told_as_that() {
    let (collector, url) = Collector::start().await;
    let server = server(&url, &[], |config| {
        // Nobody is there, and nothing is kept without them.
        config.publish_hooks = vec![Webhook::parse("http://127.0.0.1:1/").unwrap()];
        config.webhook_secret = Some(Secret::of(b"thirty-two bytes, for a webhook!"));
    })
    .await;
    let say = reqwest::Client::new().post(server.url("/api/rooms/tea/messages"));
    let say = say.header("content-type", "application/json").body(r#"{"value": "hi"}"#);
    assert_eq!(say.send().await.unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
    stop(server).await;
    let spans = collector.spans();
    for name in [SAY, "publish", "publish hook"] {
        let [span] = named(&spans, name)[..] else { panic!("{name} of {spans:#?}") };
        assert_eq!(span.status.as_ref().unwrap().code(), Status::Error, "{name}");
    }
}

#[tokio::test]
async fn a_collector_that_is_away_or_says_nothing_holds_up_nobody() {
    // The system takes connections for it, and nobody reads from them.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_url = format!("http://{}", silent.local_addr().unwrap());
    for url in [silent_url.as_str(), "http://127.0.0.1:1"] {
        let server = server(url, &[], |config| config.publish_rate = 0).await;
        let mut ada = server.join("?room=tea").await;
        for _ in 0..1_000 {
            ada.say("hi").await;
            ada.next_of("ack").await;
        }
        ada.leave().await;
        stop(server).await;
    }
}

#[tokio::test]
async fn the_binary_tells_a_collector_too() {
    let (collector, url) = Collector::start().await;
    let dir = std::env::temp_dir().join(format!("hubbub-otlp-{}", uuid::Uuid::new_v4()));
    let flags = ["--otlp", &url, "--base-path", "/hub"];
    let mut hubbub = Hubbub::start_with(dir.clone(), "127.0.0.1:0", &flags).await;
    for base in ["", "/hub"] {
        let url = format!("http://{}{base}/api/rooms/tea/messages", hubbub.address);
        let say = reqwest::Client::new().post(url).header("content-type", "text/plain");
        assert_eq!(say.body("hi").send().await.unwrap().status(), StatusCode::OK);
        let nowhere = format!("http://{}{base}/nowhere", hubbub.address);
        assert_eq!(reqwest::get(nowhere).await.unwrap().status(), StatusCode::NOT_FOUND);
    }
    hubbub.stop().await;
    let spans = collector.spans();
    let names: Vec<_> = spans.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(names, [[SAY, "publish", "append", "GET"]; 2].concat());
    std::fs::remove_dir_all(dir).unwrap();
}
