//! What goes over the sockets for those who ask to know it: `?lab=` on a request names whom it is counted for, and
//! `GET /api/lab/{lab}` tells.
//!
//! Counted below HTTP, so with all headers; browsers can't see these bytes. A connection carries one request after the
//! other: what comes after an answer is of the next one.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

use axum::{
    Json,
    extract::{Path, Request, State},
    http::{StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use common::{ErrorCode, Refusal};
use parking_lot::Mutex;
use quick_cache::sync::Cache;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    body::holding,
    problem::{Document, Problem},
    state::ServerState,
    wire::Wire,
};

/// How many there are to count for. With one more the one that was asked for the longest ago is forgotten.
const KEPT: usize = 1_024;
/// The longest name of one, in characters.
const NAME_CHARS: usize = 16;

/// What is counted.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    requests: AtomicU64,
    up: AtomicU64,
    down: AtomicU64,
}

/// All that are counted for, by name.
#[derive(Debug)]
pub(crate) struct Labs(Cache<String, Arc<Counts>>);

impl Labs {
    pub(crate) fn new() -> Self {
        Self(Cache::new(KEPT))
    }

    fn of(&self, name: &str) -> Arc<Counts> {
        let made =
            self.0.get_or_insert_with(name, || Ok::<_, std::convert::Infallible>(Arc::default()));
        let Ok(counts) = made;
        counts
    }
}

/// The bytes of one connection.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    /// Somebody is counted for.
    is_on: AtomicBool,
    state: Mutex<Metered>,
}

#[derive(Debug, Default)]
struct Metered {
    counts: Option<Arc<Counts>>,
    /// Of the request that is coming in: nobody knows yet whose it is.
    coming: u64,
    is_answered: bool,
}

impl Meter {
    /// So many bytes were read.
    pub(crate) fn read(&self, bytes: usize) {
        let mut state = self.state.lock();
        if std::mem::take(&mut state.is_answered) {
            state.counts = None;
            self.is_on.store(false, Relaxed);
        }
        match &state.counts {
            Some(counts) => _ = counts.up.fetch_add(bytes as u64, Relaxed),
            None => state.coming += bytes as u64,
        }
    }

    /// So many bytes were written.
    pub(crate) fn wrote(&self, bytes: usize) {
        if self.is_on.load(Relaxed)
            && let Some(counts) = &self.state.lock().counts
        {
            counts.down.fetch_add(bytes as u64, Relaxed);
        }
    }

    /// The request that has come is to be counted for somebody.
    fn count_for(&self, counts: Arc<Counts>) {
        let mut state = self.state.lock();
        counts.requests.fetch_add(1, Relaxed);
        counts.up.fetch_add(std::mem::take(&mut state.coming), Relaxed);
        state.counts = Some(counts);
        self.is_on.store(true, Relaxed);
    }

    /// The request that has come is nobody's.
    fn count_for_nobody(&self) {
        self.state.lock().coming = 0;
    }
}

/// The answer to a request, as long as it is sent.
struct Answering(Arc<Meter>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.state.lock().is_answered = true;
    }
}

/// Counts what a request takes, if it says for whom.
pub(crate) async fn measure(
    State(server): State<ServerState>,
    request: Request,
    next: Next,
) -> Response {
    // There is none over HTTP/2, where many requests share a socket, and in tests without one.
    let Some(meter) = request.extensions().get::<Arc<Wire>>().map(|wire| wire.meter.clone()) else {
        return next.run(request).await;
    };
    #[derive(Deserialize)]
    struct Query {
        lab: String,
    }
    let query = request.uri().query().unwrap_or_default();
    let Ok(Query { lab }) = serde_urlencoded::from_str(query) else {
        meter.count_for_nobody();
        return next.run(request).await;
    };
    if let Err(refusal) = check(&lab) {
        meter.count_for_nobody();
        return Problem(refusal).into_response();
    }
    meter.count_for(server.labs.of(&lab));
    let response = next.run(request).await;
    match response.status() {
        // A connection that is a WebSocket from now on has no next request.
        StatusCode::SWITCHING_PROTOCOLS => response,
        _ => holding(response, Answering(meter)),
    }
}

fn check(lab: &str) -> Result<(), Refusal> {
    let is_name =
        (1..=NAME_CHARS).contains(&lab.len()) && lab.bytes().all(|b| b.is_ascii_alphanumeric());
    is_name.then_some(()).ok_or_else(|| {
        let message = format!("`lab` is not 1 to {NAME_CHARS} letters and digits of ASCII");
        Refusal::field("lab", message)
    })
}

/// What has gone over the hub's sockets for one `lab`: bytes with all headers, below HTTP and above TLS.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Counted {
    /// How many requests were made; a WebSocket and an event stream are one.
    requests: u64,
    /// How many bytes came in.
    up: u64,
    /// How many bytes went out.
    down: u64,
}

/// Tells what was counted for those requests that said `?lab=` with this name.
#[utoipa::path(
    get,
    path = "/api/lab/{lab}",
    params(("lab" = String, Path, description = "The name that the requests said, 1 to 16 letters and digits")),
    responses(
        (status = 200, body = Counted),
        (status = "default", body = Document, content_type = "application/problem+json; charset=utf-8"),
    )
)]
pub(crate) async fn tell(
    State(server): State<ServerState>,
    Path(lab): Path<String>,
) -> Result<Response, Problem> {
    check(&lab)?;
    let counts = server.labs.0.get(&lab).ok_or_else(|| {
        Refusal::new(
            ErrorCode::NotFound,
            "nothing was counted under this name, as over HTTP/2 nothing is, or it is long ago",
        )
    })?;
    let load = |count: &AtomicU64| count.load(Relaxed);
    let counted = Counted {
        requests: load(&counts.requests),
        up: load(&counts.up),
        down: load(&counts.down),
    };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(counted)).into_response())
}
