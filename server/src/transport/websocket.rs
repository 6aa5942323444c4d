//! The WebSocket (RFC 6455) with its two faces: a client that asks for the subprotocol
//! [`PROTOCOL`] gets all frames, one that asks for none gets `message` frames only.
//!
//! Start at [`open`], then [`Connection::run`]: one task a connection, in which reading the room,
//! hearing the client, pinging and stopping are four arms of one loop. The rule to keep: nothing but
//! a frame over the size limit, silence, or a stop ends a connection from this side.

use std::time::{Duration, Instant};

use axum::{
    extract::{
        FromRequestParts, Query, Request, State,
        ws::{CloseFrame, Message as Leg, Utf8Bytes, WebSocket, WebSocketUpgrade},
    },
    http::{HeaderMap, HeaderValue, Method, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use common::{
    After, ErrorCode, Position, Recovery, Refusal, RoomName, ServerFrame, limits::FRAME_BYTES,
};
use futures_util::{SinkExt, StreamExt, future::BoxFuture, stream::FuturesOrdered};
use hub::{Author, Delivery, Reader};
use serde::Deserialize;
use tokio::{
    sync::watch,
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use crate::{
    config::Timing,
    origin,
    problem::Problem,
    seat::{Outcome, Seat},
    state::ServerState,
};

/// The subprotocol of clients that want all frames.
pub(crate) const PROTOCOL: &str = "hubbub.v1";

/// Frames up to this size are read whole, so that the close code 1009 reaches whoever sent one that
/// is over [`FRAME_BYTES`]; a longer one ends the reading at its header.
const READ_BYTES: usize = 4 * FRAME_BYTES;

/// How long a client gets to take in why it is closed.
const CLOSING: Duration = Duration::from_secs(1);

/// How much of what a client says may be on its way to the log; then it is not read on.
const APPENDING: usize = 64;

/// Close codes: RFC 6455 section 7.4.1, and one of our own.
mod close {
    pub(super) const PROTOCOL_ERROR: u16 = 1002;
    pub(super) const NOT_UTF8: u16 = 1007;
    pub(super) const TOO_BIG: u16 = 1009;
    pub(super) const SERVER_ERROR: u16 = 1011;
    pub(super) const RESTART: u16 = 1012;
    /// What the client had not read yet is gone. Only for the plain face, which gets no `hello` that
    /// could say so.
    pub(super) const POSITION_LOST: u16 = 4001;
}

/// The query of `/ws`.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Params {
    room: Option<String>,
    after: Option<String>,
    session: Option<String>,
    token: Option<String>,
}

/// Whether a request asks for a WebSocket.
pub(crate) fn is_upgrade(headers: &HeaderMap) -> bool {
    headers
        .get(header::UPGRADE)
        .is_some_and(|upgrade| upgrade.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// `GET /ws?room=&after=&session=&token=`: joins a room.
pub(crate) async fn open(State(server): State<ServerState>, request: Request) -> Response {
    if !is_upgrade(request.headers()) || request.method() != Method::GET {
        let message = "this address is for WebSocket upgrades only";
        return Problem(Refusal::new(ErrorCode::UpgradeRequired, message)).into_response();
    }
    upgrade(server, request).await.unwrap_or_else(IntoResponse::into_response)
}

async fn upgrade(server: ServerState, request: Request) -> Result<Response, Problem> {
    let (mut parts, _) = request.into_parts();
    origin::check(&parts.headers, &server.config.allow_origins)?;
    let stopping = server.stopping.subscribe();
    if *stopping.borrow() {
        return Err(Refusal::new(ErrorCode::ShuttingDown, "the server is stopping").into());
    }
    let query = Query::<Params>::try_from_uri(&parts.uri)
        .map_err(|_| Refusal::field("query", "the query can't be read"))?;
    let Params { room, after, session, token } = query.0;
    let room = room.map_or_else(|| Ok(RoomName::lobby()), |room| RoomName::parse(&room))?;
    let after = after.map_or(Ok(After::Now), |after| after.parse())?;

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

    let visitor = server.identity.caller(&parts.headers, token.as_deref())?;
    let (visitor, session) = server.identity.recognise(visitor, session.as_deref());
    let author = Author { session, member: visitor.member() };
    let seat = Seat::take(&server, &room, author)?;
    let (reader, recovery) = seat.read(&after, all_frames).await?;

    Ok(tune(upgrade, READ_BYTES)
        .on_failed_upgrade(|error| tracing::debug!(%error, "websocket upgrade failed"))
        .on_upgrade(move |socket| {
            let timing = server.config.timing;
            let appending = FuturesOrdered::new();
            Connection { socket, seat, all_frames, timing, appending }
                .run(reader, recovery, stopping)
        }))
}

/// How every WebSocket here is read and written: messages of at most `most` bytes.
pub(crate) fn tune(upgrade: WebSocketUpgrade, most: usize) -> WebSocketUpgrade {
    upgrade
        // A quiet connection should cost little: the defaults are 128 KiB each way.
        .read_buffer_size(4 * 1024)
        .write_buffer_size(16 * 1024)
        .max_frame_size(most)
        .max_message_size(most)
}

/// One network leg.
struct Connection {
    socket: WebSocket,
    seat: Seat,
    all_frames: bool,
    timing: Timing,
    /// What is being kept, in the order it was said; each comes to the frame that answers it.
    appending: FuturesOrdered<BoxFuture<'static, ServerFrame>>,
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

impl Connection {
    async fn run(
        mut self,
        reader: Reader,
        recovery: Recovery,
        mut stopping: watch::Receiver<bool>,
    ) {
        let Err(end) = self.talk(reader, recovery, &mut stopping).await;
        // What was received is kept, also from a client that says something and leaves at once.
        let _ = self.finish().await;
        match end {
            End::Gone => {}
            // The library has the answer ready; it only has to go out.
            End::Left => {
                self.seat.leave();
                let _ = timeout(CLOSING, self.socket.flush()).await;
            }
            End::Close(code, reason) => {
                tracing::debug!(room = %self.seat.room, code, reason, "closing");
                self.close(code, reason).await;
            }
        }
    }

    /// Never returns but with the reason for the end.
    async fn talk(
        &mut self,
        mut reader: Reader,
        recovery: Recovery,
        stopping: &mut watch::Receiver<bool>,
    ) -> Result<std::convert::Infallible, End> {
        self.greet(reader.position(), recovery).await?;
        let mut ping = interval(self.timing.ping_interval);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                delivery = reader.next() => {
                    let delivery = delivery.map_err(|_| {
                        End::Close(close::SERVER_ERROR, "the log can't be read now")
                    })?;
                    self.deliver(delivery).await?;
                }
                Some(answer) = self.appending.next() => self.tell(&answer).await?,
                leg = self.socket.recv(), if self.appending.len() < APPENDING => {
                    heard = Instant::now();
                    self.hear(leg).await?;
                }
                _ = ping.tick() => {
                    if heard.elapsed() > self.timing.silence {
                        return Err(End::Gone);
                    }
                    self.write([Leg::Ping(Bytes::new())]).await?;
                    // A page does not see pings; this is what tells it that the line is alive.
                    reader.repeat_state();
                }
                _ = stopping.changed() => {
                    self.finish().await?;
                    let bye = self.seat.server.bye();
                    self.tell(&ServerFrame::Bye(bye)).await?;
                    return Err(End::Close(close::RESTART, "the server is restarting"));
                }
            }
        }
    }

    /// Waits until all that was said is kept, and answers it.
    async fn finish(&mut self) -> Result<(), End> {
        let mut answers = Vec::new();
        while let Some(answer) = self.appending.next().await {
            answers.push(answer);
        }
        for answer in answers {
            self.tell(&answer).await?;
        }
        Ok(())
    }

    async fn greet(&mut self, position: Position, recovery: Recovery) -> Result<(), End> {
        self.tell(&self.seat.hello(position, recovery)).await
    }

    /// Passes on what the reader took, in one write.
    async fn deliver(&mut self, delivery: Delivery) -> Result<(), End> {
        if let Some(position) = delivery.reset {
            if !self.all_frames {
                return Err(End::Close(close::POSITION_LOST, "messages were missed"));
            }
            self.greet(position, Recovery::Reset).await?;
        }
        let state = delivery.members.into_iter().chain(delivery.typing);
        let messages = delivery.messages.into_iter().map(|message| message.frame);
        self.write(messages.chain(state).map(text)).await
    }

    async fn hear(&mut self, leg: Option<Result<Leg, axum::Error>>) -> Result<(), End> {
        match leg {
            Some(Ok(Leg::Text(text))) if text.len() <= FRAME_BYTES => {
                match self.seat.handle(&text) {
                    Outcome::Answer(answer) => self.tell(&answer).await?,
                    Outcome::Keeping(answer) => self.appending.push_back(answer),
                    Outcome::Done => {}
                }
                Ok(())
            }
            Some(Ok(Leg::Binary(bytes))) if bytes.len() <= FRAME_BYTES => {
                let message = "binary frames are not read; every frame is text";
                self.tell(&ServerFrame::Error(Refusal::new(ErrorCode::BinaryFrame, message))).await
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

    /// Sends a frame that is no message; the plain face gets none of these.
    async fn tell(&mut self, frame: &ServerFrame) -> Result<(), End> {
        if !self.all_frames {
            return Ok(());
        }
        self.write([Leg::Text(frame.encode().into())]).await
    }

    async fn write(&mut self, legs: impl IntoIterator<Item = Leg>) -> Result<(), End> {
        let write = async {
            for leg in legs {
                self.socket.feed(leg).await?;
            }
            self.socket.flush().await
        };
        match timeout(self.timing.write, write).await {
            Ok(written) => Ok(written?),
            // Whoever reads nothing for so long is gone, or will come back to its position.
            Err(_) => Err(End::Gone),
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

/// Frames come from our own encoder, so they are UTF-8; anything else would be a defect and is not
/// sent.
fn text(frame: Bytes) -> Leg {
    Leg::Text(Utf8Bytes::try_from(frame).unwrap_or_default())
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
