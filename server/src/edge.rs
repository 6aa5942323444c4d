//! The edge: connections are accepted as long as there is room for them, and served with deadlines.
//!
//! Start at [`serve`]. The rule to keep: whatever a connection does not do in time, or has too much of, ends that
//! connection and no other; and there are always descriptors left for the log.

mod http2;

use std::{
    convert::Infallible,
    future::poll_fn,
    io,
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
    sync::{Semaphore, watch},
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use crate::{
    acme,
    address::{Address, Full, Place},
    config::Config,
    lasting::{self, Slot},
    listener::{Listener, Stream},
    peer::{Peer, ProxyHeader, read_proxy_header},
    problem::Problem,
    state::ServerState,
    wire::Socket,
};

/// How much of a request's head is held, in bytes, and how many fields it may have.
const HEAD_BYTES: usize = 16 * 1024;
const HEAD_FIELDS: usize = 100;
/// How many who find no room are told so at one time; the others are just gone.
const TELLING: usize = 32;
/// How long one gets to take in that it is to go.
const FAREWELL: Duration = Duration::from_secs(1);
/// How many descriptors are not for connections: the log, its readers, the listener, hooks, the system's own.
const RESERVED: u64 = 96;

/// Accepts connections until the server stops. Those there are then end by themselves: each holds a receiver of
/// [`stopping`](crate::state::Parts::stopping).
///
/// # Errors
///
/// When TLS can't be had.
pub(crate) fn serve(
    server: ServerState,
    listener: Listener,
    app: Router,
) -> io::Result<impl Future<Output = ()>> {
    let tls =
        listener.certificate.as_ref().map(|own| own.acceptor(&[b"h2", b"http/1.1"])).transpose()?;
    Ok(accept(server, listener, tls, app))
}

async fn accept(server: ServerState, listener: Listener, tls: Option<TlsAcceptor>, app: Router) {
    let mut stopping = server.stopping.subscribe();
    let telling = Arc::new(Semaphore::new(TELLING));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(&mut stopping) => return,
        };
        match accepted {
            Ok((stream, address)) => {
                let peer = Peer { address, is_secure: false };
                match server.connections.take(counted(&server, peer)) {
                    Ok(place) => {
                        tune(&server, &stream);
                        let (server, tls, app) = (server.clone(), tls.clone(), app.clone());
                        tokio::spawn(async move {
                            let within = server.config.timing.head;
                            let greeted = Box::pin(greet(&server, stream, peer, place, tls));
                            match timeout(within, greeted).await.map_err(io::Error::from) {
                                Ok(Ok((socket, peer))) => talk(server, socket, peer, app).await,
                                Ok(Err(error)) | Err(error) => {
                                    tracing::debug!(%error, "a connection did not begin as it has to");
                                }
                            }
                        });
                    }
                    Err(full) => {
                        tracing::debug!(?full, "no room for a connection");
                        // With TLS there is no word before hands are shaken.
                        if tls.is_none()
                            && let Ok(permit) = telling.clone().try_acquire_owned()
                        {
                            tokio::spawn(async move {
                                let _ = timeout(FAREWELL, turn_away(stream, full)).await;
                                drop(permit);
                            });
                        }
                    }
                }
            }
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
fn counted(server: &ServerState, peer: Peer) -> Option<Address> {
    let address = peer.address.filter(|_| !peer.is_trusted(&server.config.trusted_proxies));
    address.map(|address| address.ip().into())
}

/// What comes before HTTP: whom a proxy speaks for, and shaking hands.
async fn greet(
    server: &ServerState,
    mut stream: Stream,
    mut peer: Peer,
    mut place: Place,
    tls: Option<TlsAcceptor>,
) -> io::Result<(Socket, Peer)> {
    if server.config.proxy_header == ProxyHeader::ProxyProtocol {
        if !peer.is_trusted(&server.config.trusted_proxies) {
            return Err(io::Error::other("it comes from no proxy that was told"));
        }
        peer = read_proxy_header(&mut stream, peer).await?;
        // From here on it is one of its own address.
        drop(place);
        let full = |full| io::Error::other(format!("no room for it: {full:?}"));
        place = server.connections.take(counted(server, peer)).map_err(full)?;
    }
    let traffic = server.telemetry.traffic.clone();
    match tls {
        None => Ok((Socket::new(stream, place, traffic), peer)),
        Some(tls) => {
            let stream = tls.accept(stream).await?;
            if stream.get_ref().1.alpn_protocol() == Some(acme::PROTOCOL) {
                // Who asked has seen what it wanted (RFC 8737 section 3).
                return Err(io::Error::other("it was for a challenge"));
            }
            Ok((Socket::secure(stream, place, traffic), Peer { is_secure: true, ..peer }))
        }
    }
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

fn tune(server: &ServerState, stream: &Stream) {
    let Stream::Left(stream) = stream else { return };
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

/// The request as the handlers get it, with whom it is from.
fn dressed(server: &ServerState, peer: Peer, request: Request<Incoming>) -> Request<Body> {
    let mut request = request.map(Body::new);
    let Config { trusted_proxies, proxy_header, .. } = &server.config;
    if let Some(address) = peer.address.filter(|_| !peer.is_trusted(trusted_proxies)) {
        server.warn_of_proxy(address.ip(), request.headers());
    }
    let client = peer.speaks_for(request.headers_mut(), *proxy_header, trusted_proxies);
    if let Some(address) = client.address {
        request.extensions_mut().insert(ConnectInfo(address));
    }
    request
}

/// Serves the requests of one connection.
async fn talk(server: ServerState, socket: Socket, peer: Peer, app: Router) {
    if socket.is_http2 {
        // Its machine is larger, and nobody else is to have room for it.
        return Box::pin(http2::talk(server, socket, peer, app)).await;
    }
    let mut stopping = server.stopping.subscribe();
    let mut stopped = pin!(stopped(&mut stopping));
    let trusted = server.clone();
    let wire = socket.wire.clone();
    let (clear, lasting) = (wire.clone(), Slot::default());
    let slot = lasting.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = dressed(&trusted, peer, request);
        request.extensions_mut().insert(wire.clone());
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
        let within = server.config.timing.silence;
        // A task of its own, for this one is as large as HTTP's machine.
        tokio::spawn(async move {
            if let Err(error) = lasting::write(parts.io.into_inner(), response, within).await {
                tracing::debug!(%error, "a stream ended");
            }
        });
    }
}

/// Tells one for whom there is no room, and reads what it has sent, so that it gets to read the answer.
async fn turn_away(mut stream: Stream, full: Full) -> io::Result<()> {
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
