//! What each transport takes on tokio.

use std::time::Duration;

use common::MemberName;
use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use tokio::{
    sync::mpsc::{Sender, UnboundedReceiver},
    time::timeout,
};
use tokio_tungstenite::{
    connect_async,
    tungstenite::{ClientRequestBuilder, Error, Message, protocol::CloseFrame},
};

use super::sse::Lines;
use crate::{Event, LegId, Method, RequestId};

/// How long a server may take to answer a close.
const CLOSE_WITHIN: Duration = Duration::from_millis(500);

/// How long a server may take to give a token.
const TOKEN_WITHIN: Duration = Duration::from_secs(5);

/// Asks for a token of this name; a server that gives none may still let a guest in.
pub(super) async fn introduce(origin: &str, name: &MemberName) -> Option<String> {
    #[derive(Deserialize)]
    struct Given {
        token: String,
    }
    let url = format!("{}/api/token", origin.trim_end_matches('/'));
    let asked = reqwest::Client::new().post(url).timeout(TOKEN_WITHIN);
    let asked = asked.header("content-type", "application/json");
    let answer = asked.body(serde_json::json!({ "name": name }).to_string()).send().await.ok()?;
    let given: Given = serde_json::from_str(&answer.text().await.ok()?).ok()?;
    Some(given.token)
}

/// Nobody hears it where the room was left.
async fn hear(heard: &Sender<Event>, event: Event) -> bool {
    heard.send(event).await.is_ok()
}

fn closed(leg: LegId, frame: Option<CloseFrame>) -> Event {
    let was_clean = frame.is_some();
    let (code, reason) =
        frame.map_or((1006, String::new()), |frame| (frame.code.into(), frame.reason.to_string()));
    Event::Closed { leg, code, reason, was_clean }
}

/// A WebSocket, until it closes or nobody has anything to send on it any more.
pub(super) async fn websocket(
    leg: LegId,
    url: String,
    mut to_send: UnboundedReceiver<String>,
    heard: Sender<Event>,
) {
    let connected = tokio::select! {
        connected = connect(&url) => connected,
        // Nothing is sent before it is open: this is the end of it.
        _ = to_send.recv() => return,
    };
    let mut socket = match connected {
        Ok(socket) => socket,
        Err(error) => {
            let why = match error {
                Error::Http(answer) => {
                    let body = answer.into_body().unwrap_or_default();
                    Event::Refused { leg, body: String::from_utf8_lossy(&body).into_owned() }
                }
                error => Event::Failed { leg, what: error.to_string() },
            };
            if hear(&heard, why).await {
                hear(&heard, closed(leg, None)).await;
            }
            return;
        }
    };
    let mut end = None;
    let open = Event::Opened { leg, protocol: PROTOCOL.to_owned() };
    let mut goes_on = hear(&heard, open).await;
    while goes_on {
        tokio::select! {
            frame = socket.next() => match frame {
                Some(Ok(Message::Text(text))) => {
                    goes_on = hear(&heard, Event::Received { leg, text: text.to_string() }).await;
                }
                Some(Ok(Message::Close(frame))) => end = frame,
                Some(Ok(_)) => {}
                Some(Err(_)) | None => {
                    hear(&heard, closed(leg, end)).await;
                    return;
                }
            },
            text = to_send.recv() => match text {
                Some(text) => {
                    if socket.send(Message::text(text)).await.is_err() {
                        hear(&heard, closed(leg, end)).await;
                        return;
                    }
                }
                None => goes_on = false,
            },
        }
    }
    let close = async {
        // It fails where the other side was faster.
        let _ = socket.close(None).await;
        while let Some(Ok(_)) = socket.next().await {}
    };
    let _ = timeout(CLOSE_WITHIN, close).await;
}

/// The subprotocol that gets all frames.
const PROTOCOL: &str = "hubbub.v1";

type Socket =
    tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

async fn connect(url: &str) -> Result<Socket, Error> {
    let uri = url.parse().map_err(|_| {
        Error::Url(tokio_tungstenite::tungstenite::error::UrlError::UnsupportedUrlScheme)
    })?;
    let request = ClientRequestBuilder::new(uri).with_sub_protocol(PROTOCOL);
    Ok(connect_async(request).await?.0)
}

/// An event stream, until it ends.
pub(super) async fn events(http: reqwest::Client, leg: LegId, url: String, heard: Sender<Event>) {
    let what = match stream(&http, leg, &url, &heard).await {
        Ok(()) => String::new(),
        Err(error) => error.to_string(),
    };
    hear(&heard, Event::Failed { leg, what }).await;
}

async fn stream(
    http: &reqwest::Client,
    leg: LegId,
    url: &str,
    heard: &Sender<Event>,
) -> Result<(), reqwest::Error> {
    let request = http.get(url).header("accept", "text/event-stream");
    let mut answer = request.send().await?;
    if !answer.status().is_success() {
        let body = answer.text().await?;
        hear(heard, Event::Refused { leg, body }).await;
        return Ok(());
    }
    let open = Event::Opened { leg, protocol: "text/event-stream".to_owned() };
    let mut goes_on = hear(heard, open).await;
    let mut lines = Lines::default();
    while let (true, Some(bytes)) = (goes_on, answer.chunk().await?) {
        for text in lines.read(&bytes) {
            goes_on = hear(heard, Event::Received { leg, text }).await;
        }
    }
    Ok(())
}

/// One request.
pub(super) async fn fetch(
    http: reqwest::Client,
    leg: LegId,
    request: RequestId,
    method: Method,
    url: String,
    body: Option<String>,
) -> Event {
    let asked = match method {
        Method::Get => http.get(url),
        Method::Post => http.post(url).header("content-type", "application/json"),
    };
    let asked = body.into_iter().fold(asked, reqwest::RequestBuilder::body);
    let answered = async {
        let answer = asked.send().await?;
        let kind = answer.headers().get("content-type").and_then(|kind| kind.to_str().ok());
        let problem = kind.is_some_and(|kind| kind.starts_with("application/problem+json"));
        let status = answer.status().as_u16();
        let body = answer.text().await?;
        Ok::<_, reqwest::Error>(Event::Answered { leg, request, status, problem, body })
    };
    answered.await.unwrap_or(Event::Unanswered { leg, request })
}
