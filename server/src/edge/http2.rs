//! HTTP/2 (RFC 9113), and the WebSocket in it (RFC 8441). Its streams share a connection, so none of them has the socket:
//! nothing is pushed past the library here.
//!
//! The rule to keep: how many streams there are, and what each has us hold, is bounded.

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    http::{HeaderValue, Request, StatusCode, header},
    response::IntoResponse,
};
use hyper::{body::Incoming, rt::Executor, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{sync::watch, time::timeout};
use tower::ServiceExt;

use super::{FAREWELL, HEAD_BYTES, HEAD_FIELDS, dressed, stopped};
use crate::{peer::Peer, state::ServerState, wire::Socket};

/// How many streams a connection may have at a time: as many as section 5.1.2 wants at the least.
const STREAMS: u32 = 100;
/// How much of what is said on one stream is held until its client takes it, in bytes.
const SEND_BYTES: usize = 64 * 1024;
/// How much a client may send on one stream before that is read, and on all of them, in bytes. The first is HTTP/2's own.
const STREAM_WINDOW: u32 = 65_535;
const CONNECTION_WINDOW: u32 = 256 * 1024;
/// How many streams that were opened and reset at once may wait to be seen; with more the connection ends
/// (CVE-2023-44487). h2's own.
const RESET_STREAMS: usize = 20;

/// Serves the streams of one connection.
pub(super) async fn talk(server: ServerState, socket: Socket, peer: Peer, app: Router) {
    let timing = server.config.timing;
    let mut stopping = server.stopping.subscribe();
    let open = Open::default();
    let service = service_fn(move |request: Request<Incoming>| {
        let has_too_many = request.headers().len() > HEAD_FIELDS;
        let answered = app.clone().oneshot(with_host(dressed(&server, peer, request)));
        async move {
            if has_too_many {
                return Ok(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE.into_response());
            }
            let Ok(response) = answered.await;
            Ok::<_, Infallible>(response)
        }
    });
    let connection = http2::Builder::new(open.clone())
        .timer(TokioTimer::new())
        .max_header_list_size(HEAD_BYTES as u32)
        .max_concurrent_streams(STREAMS)
        .max_send_buf_size(SEND_BYTES)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_pending_accept_reset_streams(RESET_STREAMS)
        .keep_alive_interval(timing.ping_interval)
        .keep_alive_timeout(timing.silence.saturating_sub(timing.ping_interval))
        .enable_connect_protocol()
        .serve_connection(TokioIo::new(socket), service);
    let mut connection = pin!(connection);
    let going = async {
        tokio::select! {
            () = stopped(&mut stopping) => FAREWELL,
            () = open.idle(timing.head) => timing.write,
        }
    };
    let ended = tokio::select! {
        ended = &mut connection => ended,
        patience = going => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = &mut connection => ended,
                // It does not hear that it is to go, or does not take the end of what was said.
                () = open.idle(patience) => Ok(()),
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended");
    }
}

/// The same request with a `Host`, as all look for it there: `:authority` stands for it (section 8.3.1).
fn with_host(mut request: Request<Body>) -> Request<Body> {
    let authority = request.uri().authority().map(|authority| authority.as_str());
    let host = authority.and_then(|authority| HeaderValue::from_str(authority).ok());
    if let Some(host) = host {
        // One that is another is refused as it is over HTTP/1.1.
        request.headers_mut().entry(header::HOST).or_insert(host);
    }
    request
}

/// How many streams are open: each is a task of its own until it is answered, and a WebSocket's another until it is closed.
#[derive(Clone, Debug, Default)]
struct Open(Arc<watch::Sender<usize>>);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Open {
    fn execute(&self, stream: F) {
        let counted = Counted::new(self.clone());
        tokio::spawn(async move {
            stream.await;
            drop(counted);
        });
    }
}

/// One of them.
struct Counted(Open);

impl Counted {
    fn new(open: Open) -> Self {
        open.0.send_modify(|count| *count += 1);
        Self(open)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| *count -= 1);
    }
}

impl Open {
    /// Waits until there were none for so long.
    async fn idle(&self, within: Duration) {
        let mut count = self.0.subscribe();
        loop {
            let is_idle = *count.borrow_and_update() == 0;
            // The sender is here. What comes and goes meanwhile is a change, too.
            let changed = count.changed();
            if !is_idle {
                let _ = changed.await;
            } else if timeout(within, changed).await.is_err() {
                return;
            }
        }
    }
}
