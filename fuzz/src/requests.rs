//! Whole requests: a first line of a method and a target, lines of headers, an empty line, the body. Nothing that
//! comes in may be the server's own fault.
#![no_main]

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::connect_info::MockConnectInfo, http::Request};
use hub::broker::{Retention, memory::MemoryBroker};
use libfuzzer_sys::fuzz_target;
use server::{Config, Server, identity::Identity};
use tower::ServiceExt;

thread_local! {
    // Never dropped: what it needs for that is gone when the process ends.
    static SERVER: &'static (tokio::runtime::Runtime, Router) = Box::leak(Box::new(start()));
}

fn start() -> (tokio::runtime::Runtime, Router) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    let router = runtime.block_on(async {
        let config = Config { publish_rate: 0, ..Config::ephemeral() };
        let broker = Arc::new(MemoryBroker::new(Retention::default()));
        let router = Server::over(config, Identity::ephemeral(), broker).router();
        router.layer(MockConnectInfo(SocketAddr::from(([127, 0, 0, 1], 1))))
    });
    (runtime, router)
}

fn read(data: &[u8]) -> Option<Request<Body>> {
    let end = data.windows(2).position(|two| two == b"\n\n").unwrap_or(data.len());
    let (head, body) = data.split_at(end);
    let mut lines = head.split(|byte| *byte == b'\n');
    let mut first = lines.next()?.splitn(2, |byte| *byte == b' ');
    let (method, target) = (first.next()?, first.next()?);
    let mut request = Request::builder().method(method).uri(target).header("host", "localhost");
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':')?;
        request = request.header(&line[..colon], &line[colon + 1..]);
    }
    request.body(Body::from(body.get(2..).unwrap_or_default().to_vec())).ok()
}

fuzz_target!(|data: &[u8]| {
    let Some(request) = read(data) else { return };
    SERVER.with(|(runtime, router)| {
        runtime.block_on(async {
            let answer = router.clone().oneshot(request);
            if let Ok(Ok(answer)) = tokio::time::timeout(Duration::from_secs(90), answer).await {
                assert_ne!(answer.status().as_u16(), 500);
            }
        });
    });
});
