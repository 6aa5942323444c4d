//! The edge: connections are accepted as long as there is room for them, and served with deadlines.
//!
//! Start at [`serve`]. The rule to keep: whatever a connection does not do in time, or has too much of, ends that
//! connection and no other; and there are always descriptors left for the log.

use std::{
    convert::Infallible,
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::ConnectInfo,
    http::Request,
    response::IntoResponse,
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    time::{sleep, timeout},
};
use tower::ServiceExt;

use crate::{
    address::{self, Address, Full},
    identity::FORWARDED_PROTO,
    lasting::{self, Slot},
    problem::Problem,
    state::ServerState,
    wire::Socket,
};

/// How much of a request's head is held, in bytes, and how many fields it may have.
const HEAD_BYTES: usize = 16 * 1024;
const HEAD_FIELDS: usize = 100;
/// How many who find no room are told so at one time; the others are just gone.
const TELLING: usize = 32;
/// How long they get to take that in.
const FAREWELL: Duration = Duration::from_secs(1);
/// How many descriptors are not for connections: the log, its readers, the listener, the system's own.
const RESERVED: u64 = 64;

/// Accepts connections until the server stops. Those there are then end by themselves: each holds a receiver of
/// [`stopping`](crate::state::Parts::stopping).
pub(crate) async fn serve(server: ServerState, listener: TcpListener, app: Router) {
    let mut stopping = server.stopping.subscribe();
    let telling = Arc::new(Semaphore::new(TELLING));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(&mut stopping) => return,
        };
        match accepted {
            Ok((stream, peer)) => match server.connections.take(counted(&server, peer)) {
                Ok(place) => {
                    tune(&server, &stream);
                    let socket = Socket::new(stream, place);
                    tokio::spawn(talk(server.clone(), socket, peer, app.clone()));
                }
                Err(full) => {
                    tracing::debug!(?full, "no room for a connection");
                    if let Ok(permit) = telling.clone().try_acquire_owned() {
                        tokio::spawn(async move {
                            let _ = timeout(FAREWELL, turn_away(stream, full)).await;
                            drop(permit);
                        });
                    }
                }
            },
            Err(error) if is_of_one(&error) => {}
            Err(error) => {
                // None are left, which places should have seen to; some will be.
                tracing::warn!(%error, "can't accept connections");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Waits until the server stops.
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // The sender lives as long as the server.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

/// What the connection is counted under: a trusted proxy has as many as it needs.
fn counted(server: &ServerState, peer: SocketAddr) -> Option<Address> {
    let trusted = address::is_trusted(peer.ip(), &server.config.trusted_proxies);
    (!trusted).then(|| peer.ip().into())
}

/// Whether only the connection that was about to be accepted is meant.
fn is_of_one(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// How many bytes the system takes of us that it can't send yet: without a bound it takes megabytes for a client that
/// reads nothing, and that is no memory of ours (tcp(7), `TCP_NOTSENT_LOWAT`).
#[cfg(target_os = "linux")]
const NOT_SENT: u32 = 128 * 1024;

fn tune(server: &ServerState, stream: &TcpStream) {
    // Small frames go out at once (RFC 896 would hold them back).
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "can't set TCP_NODELAY");
    }
    // An event stream hears nothing from its client: that one is gone, or reads nothing, shows here.
    #[cfg(target_os = "linux")]
    {
        let unacknowledged = server.config.timing.silence;
        let socket = socket2::SockRef::from(stream);
        if let Err(error) = socket.set_tcp_user_timeout(Some(unacknowledged)) {
            tracing::debug!(%error, "can't set TCP_USER_TIMEOUT");
        }
        if let Err(error) = socket.set_tcp_notsent_lowat(NOT_SENT) {
            tracing::debug!(%error, "can't set TCP_NOTSENT_LOWAT");
        }
    }
}

/// Serves the requests of one connection.
async fn talk(server: ServerState, socket: Socket, peer: SocketAddr, app: Router) {
    let mut stopping = server.stopping.subscribe();
    let mut stopped = pin!(stopped(&mut stopping));
    let trusted = server.clone();
    let wire = socket.wire.clone();
    let (clear, lasting) = (wire.clone(), Slot::default());
    let slot = lasting.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        let proxies = &trusted.config.trusted_proxies;
        let client = address::client(peer.ip(), request.headers(), proxies);
        if !address::is_trusted(peer.ip(), proxies) {
            trusted.warn_of_proxy(peer.ip(), request.headers());
            // From here on it is the word of a proxy of ours.
            request.headers_mut().remove(FORWARDED_PROTO);
        }
        request.extensions_mut().insert(wire.clone());
        request.extensions_mut().insert(ConnectInfo(SocketAddr::new(client, peer.port())));
        let (slot, answered) = (slot.clone(), app.clone().oneshot(request));
        async move {
            let Ok(response) = answered.await;
            Ok::<_, Infallible>(slot.sift(response).await)
        }
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // The time for the first request, and for each next one: a head that is sent slowly, and idling.
        .header_read_timeout(server.config.timing.head)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEAD_FIELDS)
        .serve_connection(TokioIo::new(socket), service)
        .with_upgrades();
    let mut is_stopping = false;
    let ended = poll_fn(|cx| {
        if !is_stopping && stopped.as_mut().poll(cx).is_ready() {
            is_stopping = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
        match Pin::new(&mut connection).poll(cx) {
            // What was answered before has gone out.
            Poll::Pending if lasting.is_filled() && clear.is_clear() => Poll::Ready(Ok(())),
            polled => polled,
        }
    });
    if let Err(error) = ended.await {
        tracing::debug!(%error, "a connection ended");
    }
    if let (Some(response), Some(parts)) = (lasting.take(), connection.into_parts()) {
        // A task of its own, for this one is as large as HTTP's machine.
        tokio::spawn(async move {
            if let Err(error) = lasting::write(parts.io.into_inner(), response).await {
                tracing::debug!(%error, "a stream ended");
            }
        });
    }
}

/// Tells one for whom there is no room, and reads what it has sent, so that it gets to read the answer.
async fn turn_away(mut stream: TcpStream, full: Full) -> io::Result<()> {
    let problem = Problem(full.too_many("connections")).into_response();
    let body = to_bytes(problem.into_body(), HEAD_BYTES).await.map_err(io::Error::other)?;
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json; charset=utf-8\r\n\
         content-length: {}\r\nretry-after: 10\r\nconnection: close\r\n\r\n{}",
        body.len(),
        String::from_utf8_lossy(&body),
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    let mut unread = [0; 1024];
    while stream.read(&mut unread).await? > 0 {}
    Ok(())
}

/// How many connections there may be: as many as the operator wants, and the process may have descriptors for.
pub(crate) fn room_for(wanted: usize) -> usize {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current < limit.maximum || limit.maximum.is_none() {
        let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
        match setrlimit(Resource::Nofile, raised) {
            Ok(()) => limit = raised,
            Err(error) => tracing::debug!(%error, "can't have more descriptors"),
        }
    }
    let descriptors = limit.current.unwrap_or(u64::MAX).saturating_sub(RESERVED).max(16);
    let room = wanted.min(usize::try_from(descriptors).unwrap_or(usize::MAX));
    if room < wanted {
        tracing::info!(
            wanted,
            room,
            "the process may not have descriptors for so many connections; raise `ulimit -n`"
        );
    }
    room
}
