//! Engine.IO 4: sessions of messages over HTTP long-polling and WebSocket, behind one axum handler.
//!
//! Start at [`Engine::handle`], which checks a request in the reference's order and gives it to
//! `polling` or `websocket`; what they share is a `session`. The rule to keep: one task a
//! session (its application, with the heartbeat beside it) and one a WebSocket; all of them end with
//! the session.

use std::{any::Any, fmt, future::Future, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, FromRequestParts, Query, Request, ws::WebSocketUpgrade},
    http::{HeaderMap, HeaderValue, Method, Version, header, request::Parts},
    response::{IntoResponse, Response},
    routing::any,
};
use serde_json::json;

mod outbox;
pub mod packet;
mod polling;
mod queue;
mod refusal;
mod session;
mod socket;
mod table;
mod websocket;

pub use packet::Message;
pub use session::CloseReason;
pub use socket::{Below, Closed, EngineSender, EngineSocket, Handshake, Permit};
pub use table::Sid;

use packet::Packet;
use refusal::Refusal;
use session::{Session, Transport};
use table::Table;

/// What an [`Engine`] is set to. The defaults are the reference's.
#[derive(Debug, Clone)]
pub struct Config {
    /// How long after the last pong a client is pinged again: 25 s.
    pub ping_interval: Duration,
    /// How long it has for its pong: 20 s. A session ends when this and the interval have passed.
    pub ping_timeout: Duration,
    /// How long a WebSocket that wants to take a session over has for it: 10 s.
    pub upgrade_timeout: Duration,
    /// How long a client on polling may stay away between two polls: 45 s, when it would be missed anyway. One
    /// that is there asks again at once.
    pub poll_within: Duration,
    /// The bytes that a client may send in one request or frame: 1 000 000. An answer to a poll takes
    /// no further message once it has this many.
    pub max_payload: usize,
    /// How many sessions there may be at a time: 10 000.
    pub max_sessions: usize,
    /// How many messages the client may be behind its application; then sending waits: 32.
    pub outgoing: usize,
    /// How many messages the application may be behind its client; then reading waits: 32.
    pub incoming: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            upgrade_timeout: Duration::from_secs(10),
            poll_within: Duration::from_secs(45),
            max_payload: 1_000_000,
            max_sessions: 10_000,
            outgoing: 32,
            incoming: 32,
        }
    }
}

type App =
    dyn Fn(Handshake, EngineSocket) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync;
type Admit = dyn Fn(&Parts, bool) -> Result<Pass, Box<Response>> + Send + Sync;

/// What a session was let in with; it is dropped when the session has ended.
pub type Pass = Box<dyn Any + Send + Sync>;

/// An Engine.IO server. A clone is the same one.
#[derive(Clone)]
pub struct Engine {
    config: Arc<Config>,
    table: Arc<Table<Session>>,
    app: Arc<App>,
    admit: Arc<Admit>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Engine {
    /// A server that runs `app` in a task of its own for each session. The session ends when the app
    /// returns; an app whose session ends is told ([`EngineSocket::recv`]) and should return.
    pub fn new<A, F>(config: Config, app: A) -> Self
    where
        A: Fn(Handshake, EngineSocket) -> F + Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        Self {
            table: Arc::new(Table::new(config.max_sessions)),
            config: Arc::new(config),
            app: Arc::new(move |handshake, socket| Box::pin(app(handshake, socket))),
            admit: Arc::new(|_, _| Ok(Box::new(()))),
        }
    }

    /// Asks `admit` about every request first: whether it begins a session, and so needs a [`Pass`], is its
    /// second argument. Here origins are checked, and sessions counted.
    #[must_use]
    pub fn admit<C, R>(mut self, admit: C) -> Self
    where
        C: Fn(&Parts, bool) -> Result<Pass, R> + Send + Sync + 'static,
        R: IntoResponse,
    {
        self.admit = Arc::new(move |parts, new| {
            admit(parts, new).map_err(|refusal| Box::new(refusal.into_response()))
        });
        self
    }

    /// How many sessions there are.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.table.len()
    }

    /// A router that serves all requests at `path`, for example `/socket.io/`.
    pub fn router(&self, path: &str) -> Router {
        let engine = self.clone();
        Router::new().route(
            path,
            any(move |request: Request| {
                let engine = engine.clone();
                async move { engine.handle(request).await }
            }),
        )
    }

    /// Answers one request, whatever its path.
    pub async fn handle(&self, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let query = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri);
        let new = query
            .as_ref()
            .is_ok_and(|query| socket::last(&query.0, "sid").is_none_or(str::is_empty));
        let pass = match (self.admit)(&parts, new) {
            Ok(pass) => pass,
            Err(refusal) => return *refusal,
        };
        match query {
            Ok(query) => self.route(parts, body, query.0, pass).await,
            Err(_) => Err(Refusal::BadRequest),
        }
        .unwrap_or_else(IntoResponse::into_response)
    }

    async fn route(
        &self,
        mut parts: Parts,
        body: Body,
        query: Vec<(String, String)>,
        pass: Pass,
    ) -> Result<Response, Refusal> {
        let target = self.verify(&parts, query, is_upgrade(&parts))?;
        match target {
            Target::Poll(session) => Ok(polling::poll(session, self.config.max_payload).await),
            Target::Post(session) => {
                let max_payload = self.config.max_payload;
                Ok(polling::post(session, &parts.headers, body, max_payload).await)
            }
            Target::Upgrade(session) => {
                let upgrade = self.websocket(&mut parts).await?;
                let below = parts.extensions.get().cloned();
                let (patience, max_payload) =
                    (self.config.upgrade_timeout, self.config.max_payload);
                Ok(upgrade.on_upgrade(move |socket| {
                    websocket::upgrade(session, socket, below, patience, max_payload)
                }))
            }
            Target::OpenPolling(query) => self.open_polling(parts, query, pass),
            Target::OpenWebSocket(query) => self.open_websocket(parts, query, pass).await,
        }
    }

    /// Checks in the order of the reference, so that a request with several mistakes is told the
    /// same one.
    fn verify(
        &self,
        parts: &Parts,
        query: Vec<(String, String)>,
        upgrade: bool,
    ) -> Result<Target, Refusal> {
        let method = match parts.method {
            // Over HTTP/2 this is what GET is for an upgrade.
            Method::CONNECT if upgrade => &Method::GET,
            ref method => method,
        };
        let transport = match socket::last(&query, "transport") {
            Some("polling") => Transport::Polling,
            Some("websocket") => Transport::WebSocket,
            _ => return Err(Refusal::UnknownTransport),
        };
        if let Some(sid) = socket::last(&query, "sid").filter(|sid| !sid.is_empty()) {
            let session = self.find(sid)?;
            return match (transport, method) {
                (Transport::WebSocket, &Method::GET) if upgrade => Ok(Target::Upgrade(session)),
                _ if upgrade || transport != session.transport() => Err(Refusal::BadRequest),
                (Transport::Polling, &Method::GET) => Ok(Target::Poll(session)),
                (Transport::Polling, &Method::POST) => Ok(Target::Post(session)),
                _ => Err(Refusal::BadRequest),
            };
        }
        if method != Method::GET {
            return Err(Refusal::BadHandshakeMethod);
        }
        if upgrade != (transport == Transport::WebSocket) {
            return Err(Refusal::BadRequest);
        }
        if socket::last(&query, "EIO") != Some("4") {
            return Err(Refusal::UnsupportedVersion);
        }
        Ok(match transport {
            Transport::Polling => Target::OpenPolling(query),
            Transport::WebSocket => Target::OpenWebSocket(query),
        })
    }

    fn find(&self, sid: &str) -> Result<Arc<Session>, Refusal> {
        let session = self.table.get(sid).ok_or(Refusal::UnknownSid)?;
        if session.is_overdue() {
            session.close(CloseReason::PingTimeout);
            return Err(Refusal::UnknownSid);
        }
        Ok(session)
    }

    fn open_polling(
        &self,
        parts: Parts,
        query: Vec<(String, String)>,
        pass: Pass,
    ) -> Result<Response, Refusal> {
        let opening = self.open(parts, query, Transport::Polling, pass)?;
        let open = self.greeting(&opening.session, &["websocket"]);
        self.start(opening);
        Ok(polling::packets(&[open]))
    }

    async fn open_websocket(
        &self,
        mut parts: Parts,
        query: Vec<(String, String)>,
        pass: Pass,
    ) -> Result<Response, Refusal> {
        let upgrade = self.websocket(&mut parts).await?;
        let below = parts.extensions.get().cloned();
        let opening = self.open(parts, query, Transport::WebSocket, pass)?;
        opening.session.set_below(below);
        let engine = self.clone();
        Ok(upgrade.on_upgrade(move |mut socket| async move {
            let session = Arc::clone(&opening.session);
            let open = engine.greeting(&session, &[]).encode();
            if socket.send(axum::extract::ws::Message::Text(open.into())).await.is_ok() {
                engine.start(opening);
                // A task of its own, or what there was before it would stay as long.
                tokio::spawn(websocket::run(session, socket, engine.config.max_payload));
            }
        }))
    }

    /// Makes a session and puts it into the table.
    fn open(
        &self,
        parts: Parts,
        query: Vec<(String, String)>,
        transport: Transport,
        pass: Pass,
    ) -> Result<Opening, Refusal> {
        let (session, outgoing, incoming) =
            Session::new(&self.config, Arc::clone(&self.table), transport);
        if !self.table.insert(session.sid(), &session) {
            tracing::warn!(limit = self.config.max_sessions, "too many sessions");
            return Err(Refusal::TooManySessions);
        }
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
        let handshake =
            Handshake { sid: session.sid().clone(), headers: owned(&parts.headers), query, peer };
        let socket = EngineSocket::new(Arc::clone(&session), outgoing, incoming);
        let guard = CloseOnDrop(Arc::clone(&session), pass);
        Ok(Opening { guard, session, handshake, socket })
    }

    /// Runs the application of a session, and its heartbeat.
    fn start(&self, opening: Opening) {
        let Opening { session, guard, handshake, socket } = opening;
        let app = (self.app)(handshake, socket);
        tokio::spawn(async move {
            let _guard = guard;
            let app = async {
                app.await;
                session.end();
            };
            tokio::join!(app, session.keep());
        });
    }

    fn greeting(&self, session: &Session, upgrades: &[&str]) -> Packet {
        let handshake = json!({
            "sid": session.sid().as_str(),
            "upgrades": upgrades,
            "pingInterval": millis(self.config.ping_interval),
            "pingTimeout": millis(self.config.ping_timeout),
            "maxPayload": self.config.max_payload,
        });
        Packet::Open(handshake.to_string())
    }

    async fn websocket(&self, parts: &mut Parts) -> Result<WebSocketUpgrade, Refusal> {
        // Just over the limit it is still read, so that the client is told; longer ones end at the header.
        let most = self.config.max_payload.saturating_add(1024);
        let upgrade = WebSocketUpgrade::from_request_parts(parts, &())
            .await
            .map_err(|_| Refusal::BadRequest)?;
        Ok(upgrade
            // A quiet connection should cost little: the defaults are 128 KiB each way. What is to be read into is filled
            // with zeros each time it is looked whether there is something (tungstenite 0.29, `read_in`).
            .read_buffer_size(512)
            .write_buffer_size(16 * 1024)
            .max_frame_size(most)
            .max_message_size(most))
    }
}

/// What a request is for.
enum Target {
    OpenPolling(Vec<(String, String)>),
    OpenWebSocket(Vec<(String, String)>),
    Poll(Arc<Session>),
    Post(Arc<Session>),
    Upgrade(Arc<Session>),
}

/// A session that is in the table and has no task yet.
struct Opening {
    session: Arc<Session>,
    guard: CloseOnDrop,
    handshake: Handshake,
    socket: EngineSocket,
}

/// A session does not outlive its task, also if the application panics; nor does its pass.
struct CloseOnDrop(Arc<Session>, #[allow(dead_code, reason = "held")] Pass);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close(CloseReason::ServerClosed);
    }
}

/// Whether a WebSocket is asked for: by an upgrade, or over HTTP/2 by a CONNECT (RFC 8441), which axum looks at closer.
fn is_upgrade(parts: &Parts) -> bool {
    let upgrade = parts.headers.get(header::UPGRADE);
    parts.version == Version::HTTP_2 && parts.method == Method::CONNECT
        || upgrade.is_some_and(|upgrade| upgrade.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The same headers for themselves: as they come, each is a part of the buffer that the request was read into, and keeps
/// all of that.
fn owned(headers: &HeaderMap) -> HeaderMap {
    let own = |value: &HeaderValue| HeaderValue::from_bytes(value.as_bytes()).ok();
    headers.iter().filter_map(|(name, value)| Some((name.clone(), own(value)?))).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn what_is_kept_of_a_request_holds_no_part_of_its_buffer() {
        let read = Bytes::from(vec![b'x'; 8 * 1024]);
        let mut headers = HeaderMap::new();
        for part in [read.slice(..4), read.slice(4..8)] {
            let value = HeaderValue::from_maybe_shared(part);
            headers.append(header::COOKIE, value.expect("letters are a value"));
        }
        let own = owned(&headers);
        assert_eq!(own, headers);
        assert!(!read.is_unique());
        drop(headers);
        assert!(read.is_unique());
    }
}
