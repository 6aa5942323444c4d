//! The WebSocket (RFC 6455) with its two faces: a client that asks for the subprotocol
//! [`PROTOCOL`] gets all frames, one that asks for none gets `message` frames only.
//!
//! Start at [`open`], then [`Connection::talk`]. The rule to keep: nothing but a frame over the size limit,
//! silence, or a stop ends a connection from this side.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    extract::{
        FromRequestParts, Request, State,
        ws::{CloseFrame, Message as Leg, Utf8Bytes, WebSocket, WebSocketUpgrade},
    },
    http::{HeaderValue, Method, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use common::{
    ClientFrame, Epoch, ErrorCode, Hello, Recovery, Refusal, ServerFrame, limits::FRAME_BYTES,
};
use futures_util::SinkExt;
use hub::{Burst, Outlet, Pushed};
use hyper::ext::Protocol;
use tokio::time::{sleep, timeout};

use crate::{
    caller::Caller,
    config::Timing,
    fields::Fields,
    problem::Problem,
    session::{Answer, End as Over, Out, Session, Wants},
    state::ServerState,
    telemetry::Carrier,
    wire::Wire,
};

/// The subprotocol of clients that want all frames.
pub(crate) const PROTOCOL: &str = "hubbub.v1";

/// Frames up to this size are read whole; a longer one ends the reading at its header. Whoever sends half of one
/// holds so much.
const READ_BYTES: usize = FRAME_BYTES + 1024;

/// How long a client gets to take in why it is closed.
const CLOSING: Duration = Duration::from_secs(1);

/// Close codes: RFC 6455 section 7.4.1, and one of our own.
mod close {
    pub(super) const PROTOCOL_ERROR: u16 = 1002;
    pub(super) const NOT_UTF8: u16 = 1007;
    pub(super) const TOO_BIG: u16 = 1009;
    /// What the client had not read yet is gone. Only for the plain face, which gets no `hello` that
    /// could say so.
    pub(super) const POSITION_LOST: u16 = 4001;
}

/// Whether a request asks for a WebSocket: by an upgrade, or over HTTP/2 by an extended CONNECT (RFC 8441 section 4).
pub(crate) fn is_upgrade(request: &Request) -> bool {
    let upgrade = request.headers().get(header::UPGRADE).map(HeaderValue::as_bytes);
    let protocol = request.extensions().get().map(Protocol::as_ref);
    upgrade.or(protocol).is_some_and(|asked| asked.eq_ignore_ascii_case(b"websocket"))
}

/// `GET /ws?room=&after=&session=&token=`: joins a room.
pub(crate) async fn open(State(server): State<ServerState>, request: Request) -> Response {
    if !is_upgrade(&request) || ![Method::GET, Method::CONNECT].contains(request.method()) {
        let message = "this address is for WebSocket upgrades only";
        return Problem(Refusal::new(ErrorCode::UpgradeRequired, message)).into_response();
    }
    upgrade(server, request).await.unwrap_or_else(IntoResponse::into_response)
}

async fn upgrade(server: ServerState, request: Request) -> Result<Response, Problem> {
    let (mut parts, _) = request.into_parts();
    let caller = Caller::from_request_parts(&mut parts, &server).await?;
    let mut upgrade = WebSocketUpgrade::from_request_parts(&mut parts, &server)
        .await
        .map_err(|error| Refusal::new(ErrorCode::UpgradeRequired, error.body_text()))?;
    let asks_for_any = upgrade.requested_protocols().next().is_some();
    let all_frames = upgrade.requested_protocols().any(|protocol| protocol == PROTOCOL);
    if asks_for_any && !all_frames {
        let message = format!("ask for the subprotocol `{PROTOCOL}`, or for none");
        return Err(Refusal::field("Sec-WebSocket-Protocol", message).into());
    }
    if all_frames {
        upgrade.set_selected_protocol(HeaderValue::from_static(PROTOCOL));
    }
    let wire = parts.extensions.get::<Arc<Wire>>().cloned();
    let wants = if all_frames { Wants::Everything } else { Wants::Messages };
    let mut session = Session::enter(caller, wants).await?.over(Carrier::WebSocket);
    if let Some(wire) = wire.clone() {
        let frames = Frames { wire, fields: session.fields() };
        session = session.pushing_to(Arc::new(frames));
    }
    let timing = server.config.timing;
    let session = Box::new(session);
    Ok(tune(upgrade, READ_BYTES)
        .on_failed_upgrade(|error| tracing::debug!(%error, "websocket upgrade failed"))
        .on_upgrade(move |socket| {
            let (fields, greeted) = (session.fields(), false);
            let connection = Connection { socket, wire, all_frames, fields, greeted, timing };
            // A task of its own, or what there was before it would stay as long.
            tokio::spawn(Box::new(connection).run(session));
            std::future::ready(())
        }))
}

/// How every WebSocket here is read and written: messages of at most `most` bytes.
pub(crate) fn tune(upgrade: WebSocketUpgrade, most: usize) -> WebSocketUpgrade {
    upgrade
        // A quiet connection should cost little: the defaults are 128 KiB each way. What is to be read into is filled
        // with zeros each time it is looked whether there is something (tungstenite 0.29, `read_in`).
        .read_buffer_size(512)
        .write_buffer_size(16 * 1024)
        .max_frame_size(most)
        .max_message_size(most)
}

/// Where messages are pushed to: each a frame of its own.
struct Frames {
    wire: Arc<Wire>,
    fields: Fields,
}

/// The face of messages that are such frames.
const FACE: usize = 2;

impl Outlet for Frames {
    fn push(&self, burst: &Burst<'_>) -> Pushed {
        self.wire.push(&burst.face(self.fields.face(FACE), |burst| {
            let mut bytes = Vec::new();
            for record in burst.records {
                frame([&self.fields.frame(record, burst.epoch), &[]], &mut bytes);
            }
            shared(bytes)
        }))
    }
}

/// Bytes that many may hold for a while, and no more than they are.
pub(super) fn shared(bytes: Vec<u8>) -> Bytes {
    bytes.into_boxed_slice().into()
}

/// A ping without a text, as a frame.
const PING: [u8; 2] = [0x89, 0];

/// A text frame of a server: whole, and not masked (RFC 6455 section 5.2).
pub(super) fn frame(text: [&[u8]; 2], bytes: &mut Vec<u8>) {
    const FINAL_TEXT: u8 = 0x81;
    bytes.push(FINAL_TEXT);
    match text[0].len() + text[1].len() {
        short @ ..126 => bytes.push(short as u8),
        long => match u16::try_from(long) {
            Ok(long) => {
                bytes.push(126);
                bytes.extend(long.to_be_bytes());
            }
            Err(_) => {
                bytes.push(127);
                bytes.extend((long as u64).to_be_bytes());
            }
        },
    }
    text.iter().for_each(|part| bytes.extend_from_slice(part));
}

/// One network leg.
struct Connection {
    /// What is heard, and what answers that by itself: pings, closing.
    socket: WebSocket,
    /// What is said is written here, whole frames at a time: the library would hold on to a buffer as large as the
    /// largest of them. Over HTTP/2 the connection is of others, too, and there is no way past the library.
    wire: Option<Arc<Wire>>,
    all_frames: bool,
    fields: Fields,
    /// The first hello is over.
    greeted: bool,
    timing: Timing,
}

/// What goes out in one go.
enum Going<'a> {
    /// Frames for the wire.
    Frames(&'a Wire, Vec<u8>),
    /// The same for the library.
    Legs(Vec<Leg>),
}

impl Going<'_> {
    fn text(&mut self, text: &[u8]) {
        match self {
            Self::Frames(_, bytes) => frame([text, &[]], bytes),
            // It is JSON.
            Self::Legs(legs) => legs.extend(str::from_utf8(text).map(Leg::text)),
        }
    }

    /// A ping without a text.
    fn ping(&mut self) {
        match self {
            Self::Frames(_, bytes) => bytes.extend(PING),
            Self::Legs(legs) => legs.push(Leg::Ping(Bytes::new())),
        }
    }
}

/// Why a connection ends. Whatever it is, the client can come back to its position.
enum End {
    /// Its network is gone.
    Gone,
    /// The client has closed it, and is to be answered.
    Left,
    /// We close it, with this code and reason.
    Close(u16, &'static str),
}

impl From<axum::Error> for End {
    fn from(_: axum::Error) -> Self {
        Self::Gone
    }
}

impl From<Over> for End {
    fn from(over: Over) -> Self {
        Self::Close(over.code(), over.reason())
    }
}

impl Connection {
    async fn run(mut self: Box<Self>, mut session: Box<Session>) {
        let Err(end) = self.talk(&mut session).await;
        // Boxed, as all that is seldom done: each client's task is as large as the most it ever does.
        Box::pin(self.end(session, end)).await;
    }

    async fn end(mut self: Box<Self>, mut session: Box<Session>, mut end: End) {
        // Nothing may come behind a close frame (RFC 6455 section 5.5.1): a client that has sent one is answered with
        // another and no more.
        session.stop_pushing();
        // What was received is kept, also from a client that says something and leaves at once.
        while let Some(answer) = session.answer().await {
            if matches!(end, End::Close(..))
                && let Err(sooner) =
                    self.deliver(vec![Out::Answer(answer)], &session.position().epoch).await
            {
                end = sooner;
            }
        }
        match end {
            End::Gone => {}
            // The library has the answer ready; it only has to go out.
            End::Left => {
                session.leave().await;
                let _ = timeout(CLOSING, self.socket.flush()).await;
            }
            End::Close(code, reason) => {
                tracing::debug!(code, reason, "closing");
                if !session.has_said_bye() {
                    session.telemetry().closed(code);
                }
                self.close(code, reason).await;
            }
        }
    }

    /// Never returns but with the reason for the end.
    async fn talk(&mut self, session: &mut Session) -> Result<std::convert::Infallible, End> {
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                // What has come is heard before silence is judged.
                biased;
                leg = self.socket.recv(), if !session.is_full() => {
                    heard = Instant::now();
                    hear(leg, session)?;
                }
                burst = session.next() => {
                    if heard.elapsed() > self.timing.silence {
                        return Err(End::Gone);
                    }
                    let burst = burst?;
                    Box::pin(self.deliver(burst, &session.position().epoch)).await?;
                }
            }
        }
    }

    /// Writes a burst in one go.
    async fn deliver(&mut self, burst: Vec<Out>, epoch: &Epoch) -> Result<(), End> {
        let mut going = match &self.wire {
            Some(wire) => Going::Frames(wire, Vec::new()),
            None => Going::Legs(Vec::new()),
        };
        for out in burst {
            match out {
                Out::Message(record) => going.text(&self.fields.frame(&record, epoch)),
                Out::State(state) => going.text(state.frame.bytes()),
                Out::Frame(ServerFrame::Beat {}) => {
                    going.ping();
                    // A page does not see pings; this is what tells it that the line is alive.
                    self.own(&ServerFrame::Beat {}, &mut going);
                }
                Out::Frame(ServerFrame::Hello(Hello { recovery: Recovery::Reset, .. }))
                    if self.greeted && !self.all_frames =>
                {
                    return Err(End::Close(close::POSITION_LOST, "messages were missed"));
                }
                Out::Frame(own) => {
                    self.greeted = true;
                    self.own(&own, &mut going);
                }
                Out::Answer(Answer { frame, .. }) => {
                    frame.iter().for_each(|own| self.own(own, &mut going));
                }
            }
        }
        let write = async {
            self.socket.flush().await.map_err(End::from)?;
            match going {
                Going::Frames(wire, bytes) => {
                    wire.write_all(bytes).await.map_err(|_| End::Gone)?;
                }
                Going::Legs(legs) => {
                    for leg in legs {
                        self.socket.feed(leg).await?;
                    }
                }
            }
            self.socket.flush().await.map_err(End::from)
        };
        // Whoever reads nothing for so long is gone, or will come back to its position.
        timeout(self.timing.write, write).await.unwrap_or(Err(End::Gone))
    }

    /// A frame for this client alone; the plain face gets none of these.
    fn own(&self, own: &ServerFrame, going: &mut Going<'_>) {
        if self.all_frames {
            going.text(own.encode().as_bytes());
        }
    }

    /// Sends the close frame and gives the client a moment to answer it: closing at once would reset
    /// the connection under a client that is still sending, and it would never see the code.
    async fn close(&mut self, code: u16, reason: &'static str) {
        let frame = CloseFrame { code, reason: Utf8Bytes::from_static(reason) };
        let unreadable = matches!(code, close::TOO_BIG | close::NOT_UTF8 | close::PROTOCOL_ERROR);
        let answer = async {
            self.socket.send(Leg::Close(Some(frame))).await?;
            if unreadable {
                // Reading on would read the frame that is refused, and the library keeps no limit
                // once it has complained.
                sleep(CLOSING).await;
            }
            while self.socket.recv().await.transpose()?.is_some() {}
            Ok::<_, axum::Error>(())
        };
        let _ = timeout(CLOSING, answer).await;
    }
}

fn hear(leg: Option<Result<Leg, axum::Error>>, session: &mut Session) -> Result<(), End> {
    match leg {
        Some(Ok(Leg::Text(text))) if text.len() <= FRAME_BYTES => {
            session.take(ClientFrame::parse(&text), text.len(), None);
            Ok(())
        }
        Some(Ok(Leg::Binary(bytes))) if bytes.len() <= FRAME_BYTES => {
            let message = "binary frames are not read; every frame is text";
            let refusal = Refusal::new(ErrorCode::BinaryFrame, message);
            session.take(Err(refusal), bytes.len(), None);
            Ok(())
        }
        Some(Ok(Leg::Text(_) | Leg::Binary(_))) => {
            Err(End::Close(close::TOO_BIG, "a frame is over 65536 bytes"))
        }
        // The library answers pings, and closes when the client does.
        Some(Ok(Leg::Ping(_) | Leg::Pong(_))) => Ok(()),
        Some(Ok(Leg::Close(_))) => Err(End::Left),
        None => Err(End::Gone),
        Some(Err(error)) => Err(why_unreadable(&error)),
    }
}

/// What a frame that can't be read is closed with (RFC 6455 section 7.4.1).
fn why_unreadable(error: &axum::Error) -> End {
    use tungstenite::{Error, error::ProtocolError::ResetWithoutClosingHandshake};
    let source = std::error::Error::source(error);
    match source.and_then(|source| source.downcast_ref()) {
        Some(Error::Capacity(_)) => End::Close(close::TOO_BIG, "a frame is over 65536 bytes"),
        Some(Error::Utf8(_)) => End::Close(close::NOT_UTF8, "a text frame is not UTF-8"),
        Some(Error::Protocol(ResetWithoutClosingHandshake)) => End::Gone,
        Some(Error::Protocol(_)) => End::Close(close::PROTOCOL_ERROR, "not a WebSocket frame"),
        _ => End::Gone,
    }
}
