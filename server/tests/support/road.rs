//! One traveller, whatever the road: reads a room, says things in it, and keeps its position.

use std::collections::{HashMap, VecDeque};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::timeout,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{
        Message,
        client::IntoClientRequest,
        http::{HeaderValue, header},
    },
};

use super::PATIENCE;

/// A way to read a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Road {
    WebSocket,
    Events,
    LongPoll,
    Poll,
    SocketIo,
    /// The tests' own, which only a server within the test has.
    Toy,
}

pub const ROADS: [Road; 5] =
    [Road::WebSocket, Road::Events, Road::LongPoll, Road::Poll, Road::SocketIo];

enum Leg {
    Socket(Box<WebSocketStream<MaybeTlsStream<TcpStream>>>),
    Events(reqwest::Response, String),
    Polls(String),
    /// Socket.IO over one WebSocket, and how many acknowledgements were asked for.
    SocketIo(Box<WebSocketStream<MaybeTlsStream<TcpStream>>>, u64),
    Toy(BufReader<TcpStream>),
}

/// The connection is lost, or never was.
#[derive(Debug)]
pub struct Lost;

type Result<T> = std::result::Result<T, Lost>;

impl From<reqwest::Error> for Lost {
    fn from(_: reqwest::Error) -> Self {
        Self
    }
}

pub struct Traveller {
    pub road: Road,
    pub hello: Value,
    /// Where it has read up to.
    pub position: String,
    address: String,
    room: String,
    http: reqwest::Client,
    leg: Leg,
    frames: VecDeque<Value>,
    read: Vec<String>,
}

impl Traveller {
    /// Joins; `query` may have `after`, `session`, `token`, and where messages come by themselves `fields`.
    pub async fn join(address: &str, road: Road, room: &str, query: &str) -> Result<Self> {
        let token = query.split('&').find_map(|pair| pair.strip_prefix("token="));
        let bearer = token.map(|token| format!("Bearer {token}").parse().unwrap());
        let headers = bearer.map(|bearer| (header::AUTHORIZATION, bearer)).into_iter().collect();
        // Each request on a connection of its own: where there are several hubs it comes to the next.
        let http = reqwest::Client::builder().default_headers(headers).pool_max_idle_per_host(0);
        let http = http.build().unwrap();
        let leg = match road {
            Road::WebSocket => {
                let url = format!("ws://{address}/ws?room={room}&{query}");
                let mut request = url.into_client_request().unwrap();
                let protocol = HeaderValue::from_static("hubbub.v1");
                request.headers_mut().insert("sec-websocket-protocol", protocol);
                let connected = timeout(PATIENCE, connect_async(request)).await.unwrap();
                Leg::Socket(Box::new(connected.map_err(|_| Lost)?.0))
            }
            Road::Events => {
                let url = format!("http://{address}/api/rooms/{room}/events?{query}");
                let answer = http.get(url).send().await?.error_for_status()?;
                assert_eq!(answer.headers()["content-type"], "text/event-stream");
                Leg::Events(answer, String::new())
            }
            Road::LongPoll | Road::Poll => Leg::Polls(String::new()),
            Road::Toy => {
                let pairs: HashMap<_, _> =
                    query.split('&').filter_map(|pair| pair.split_once('=')).collect();
                let (after, session) = (pairs.get("after"), pairs.get("session"));
                let wish = json!({"room": room, "after": after, "session": session});
                let mut stream = TcpStream::connect(address).await.map_err(|_| Lost)?;
                stream.write_all(format!("{wish}\n").as_bytes()).await.map_err(|_| Lost)?;
                Leg::Toy(BufReader::new(stream))
            }
            Road::SocketIo => {
                let url = format!("ws://{address}/socket.io/?EIO=4&transport=websocket");
                let connected = timeout(PATIENCE, connect_async(url)).await.unwrap();
                let mut socket = connected.map_err(|_| Lost)?.0;
                let pairs: HashMap<_, _> =
                    query.split('&').filter_map(|pair| pair.split_once('=')).collect();
                let auth = match (pairs.get("session"), pairs.get("after")) {
                    (Some(pid), offset) => {
                        json!({"room": room, "pid": pid, "offset": offset, "token": token})
                    }
                    (None, after) => {
                        let fields = pairs.get("fields");
                        json!({"room": room, "after": after, "fields": fields, "token": token})
                    }
                };
                socket.send(Message::text(format!("40{auth}"))).await.map_err(|_| Lost)?;
                Leg::SocketIo(Box::new(socket), 0)
            }
        };
        let mut traveller = Self {
            road,
            hello: Value::Null,
            position: String::new(),
            address: address.to_owned(),
            room: room.to_owned(),
            http,
            leg,
            frames: VecDeque::new(),
            read: Vec::new(),
        };
        if let Leg::Polls(_) = traveller.leg {
            traveller.poll(query).await?;
        }
        traveller.hello = traveller.frame_of("hello").await?;
        if traveller.position.is_empty() {
            traveller.position = traveller.hello["position"].as_str().unwrap().to_owned();
        }
        Ok(traveller)
    }

    pub fn session(&self) -> &str {
        self.hello["session"].as_str().unwrap()
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    /// The part of the session that others may know.
    pub fn public(&self) -> &str {
        self.session().split('.').next().unwrap()
    }

    /// The next frame, of any type; it is remembered for [`Traveller::skipped`].
    pub async fn read_frame(&mut self) -> Value {
        let frame = match self.frames.pop_front() {
            Some(frame) => frame,
            None => self.read().await.unwrap(),
        };
        self.read.push(frame["type"].as_str().unwrap().to_owned());
        frame
    }

    /// How many frames of this type [`Traveller::read_frame`] has read.
    pub fn skipped(&self, kind: &str) -> usize {
        self.read.iter().filter(|read| *read == kind).count()
    }

    /// Sends a frame that is no message; returns the params of what refuses it.
    pub async fn refused(&mut self, frame: Value) -> Value {
        match &mut self.leg {
            Leg::Events(..) | Leg::Polls(_) => {
                serde_json::from_str(&self.post(&frame).await.unwrap()).unwrap()
            }
            _ => {
                self.tell(frame).await.unwrap();
                self.frame_of("error").await.unwrap()
            }
        }
    }

    pub fn recovery(&self) -> &str {
        self.hello["recovery"].as_str().unwrap()
    }

    /// The next message.
    pub async fn message(&mut self) -> Result<Value> {
        let message = self.frame_of("message").await?;
        let epoch = self.position.split(':').next().unwrap();
        self.position = format!("{epoch}:{}", message["offset"]);
        Ok(message)
    }

    /// The value of the next message, which must be a text.
    pub async fn hear(&mut self) -> String {
        self.message().await.unwrap()["value"].as_str().unwrap().to_owned()
    }

    /// Sends a frame; returns the params of the `ack`, or of what refuses it.
    pub async fn send(&mut self, frame: Value) -> Result<Value> {
        let id = frame["params"]["id"].clone();
        if let Leg::SocketIo(socket, acks) = &mut self.leg {
            *acks += 1;
            let wanted = json!(acks);
            let params = &frame["params"];
            let event = params["event"].as_str().unwrap_or("message");
            let to = params.get("to").unwrap_or(&Value::Null);
            let args = json!([event, params["value"], {"id": id, "to": to, "of": params["of"]}]);
            socket.send(Message::text(format!("42{acks}{args}"))).await.map_err(|_| Lost)?;
            loop {
                let frame = self.read().await?;
                if frame["type"] == "acknowledged" && frame["id"] == wanted {
                    let answer = &frame["params"];
                    let refused = answer.get("error").cloned();
                    let taken = || json!({"id": answer["id"], "offset": answer["offset"]});
                    return Ok(refused.unwrap_or_else(taken));
                }
                self.frames.push_back(frame);
            }
        }
        if let Leg::Socket(_) | Leg::Toy(_) = &self.leg {
            self.write(&frame).await?;
            loop {
                let frame = self.read().await?;
                let about = id.is_null() || frame["params"]["id"] == id;
                match frame["type"].as_str() {
                    Some("ack" | "error") if about => return Ok(frame["params"].clone()),
                    _ => self.frames.push_back(frame),
                }
            }
        }
        let answer: Value = serde_json::from_str(&self.post(&frame).await?).unwrap();
        Ok(if answer["type"] == "ack" { answer["params"].clone() } else { answer })
    }

    /// Sends a frame that nothing answers.
    pub async fn tell(&mut self, frame: Value) -> Result<()> {
        match &mut self.leg {
            Leg::Socket(_) | Leg::Toy(_) => self.write(&frame).await,
            Leg::SocketIo(socket, _) => {
                let event = format!("hubbub:{}", frame["type"].as_str().unwrap());
                let packet = format!("42{}", json!([event, frame["params"]]));
                socket.send(Message::text(packet)).await.map_err(|_| Lost)
            }
            _ => self.post(&frame).await.map(|answer| assert_eq!(answer, "")),
        }
    }

    async fn write(&mut self, frame: &Value) -> Result<()> {
        match &mut self.leg {
            Leg::Socket(socket) => {
                socket.send(Message::text(frame.to_string())).await.map_err(|_| Lost)
            }
            Leg::Toy(stream) => {
                stream.write_all(format!("{frame}\n").as_bytes()).await.map_err(|_| Lost)
            }
            _ => unreachable!("the others have ways of their own"),
        }
    }

    async fn post(&self, frame: &Value) -> Result<String> {
        let Self { address, room, .. } = self;
        let session = self.session();
        let url = format!("http://{address}/api/rooms/{room}/frames?session={session}");
        Ok(self.http.post(url).body(frame.to_string()).send().await?.text().await?)
    }

    /// Says something, under an id of its own.
    pub async fn say(&mut self, value: &str, to: Value) -> Value {
        let id = uuid::Uuid::new_v4().to_string();
        let params = json!({"value": value, "id": id, "to": to});
        self.send(json!({"type": "message", "params": params})).await.unwrap()
    }

    /// The params of the next frame of this type; others are skipped.
    pub async fn frame_of(&mut self, kind: &str) -> Result<Value> {
        loop {
            let frame = match self.frames.pop_front() {
                Some(frame) => frame,
                None => self.read().await?,
            };
            if frame["type"] == kind {
                return Ok(frame["params"].clone());
            }
        }
    }

    async fn read(&mut self) -> Result<Value> {
        timeout(PATIENCE, self.read_on()).await.expect("the server said nothing")
    }

    async fn read_on(&mut self) -> Result<Value> {
        loop {
            if let Leg::Polls(state) = &self.leg {
                let wait = if self.road == Road::LongPoll { "&wait=9" } else { "" };
                let after = format!(
                    "after={}&session={}&state={state}{wait}",
                    self.position,
                    self.session()
                );
                self.poll(&after).await?;
                if let Some(frame) = self.frames.pop_front() {
                    return Ok(frame);
                }
                // This is what polling is: asking again after a while.
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                continue;
            }
            match &mut self.leg {
                Leg::Socket(socket) => match socket.next().await {
                    Some(Ok(Message::Text(text))) => {
                        return Ok(serde_json::from_str(&text).unwrap());
                    }
                    Some(Ok(Message::Ping(_))) => {}
                    _ => return Err(Lost),
                },
                Leg::Events(answer, text) => {
                    if let Some((event, rest)) = text.split_once("\n\n") {
                        let data = event.lines().find_map(|line| line.strip_prefix("data: "));
                        let frame = data.map(|data| serde_json::from_str(data).unwrap());
                        *text = rest.to_owned();
                        if let Some(frame) = frame {
                            return Ok(frame);
                        }
                        continue;
                    }
                    let chunk = answer.chunk().await?.ok_or(Lost)?;
                    text.push_str(str::from_utf8(&chunk).unwrap());
                }
                Leg::SocketIo(socket, _) => match socket.next().await {
                    Some(Ok(Message::Text(text))) if text.as_str() == "2" => {
                        socket.send(Message::text("3")).await.map_err(|_| Lost)?;
                    }
                    // It is not let in.
                    Some(Ok(Message::Text(text))) if text.starts_with("44") => return Err(Lost),
                    Some(Ok(Message::Text(text))) => {
                        if let Some(frame) = packet(&text) {
                            return Ok(frame);
                        }
                    }
                    _ => return Err(Lost),
                },
                Leg::Toy(stream) => {
                    let mut line = String::new();
                    match stream.read_line(&mut line).await {
                        Ok(1..) => return Ok(serde_json::from_str(&line).unwrap()),
                        Ok(0) | Err(_) => return Err(Lost),
                    }
                }
                Leg::Polls(_) => unreachable!("polls are above"),
            }
        }
    }

    /// One poll.
    async fn poll(&mut self, query: &str) -> Result<()> {
        let Self { address, room, .. } = self;
        let url = format!("http://{address}/api/rooms/{room}/frames?{query}");
        let answer = self.http.get(url).send().await?.error_for_status()?;
        let mut answer: Value = serde_json::from_str(&answer.text().await?).unwrap();
        let Leg::Polls(state) = &mut self.leg else { unreachable!("only polls poll") };
        answer["state"].as_str().unwrap().clone_into(state);
        // Up to here it was looked at, for me or not.
        answer["position"].as_str().unwrap().clone_into(&mut self.position);
        let Value::Array(frames) = answer["frames"].take() else { panic!("{answer}") };
        self.frames.extend(frames);
        Ok(())
    }
}

/// The frame that a Socket.IO packet stands for.
fn packet(text: &str) -> Option<Value> {
    if let Some(args) = text.strip_prefix("42") {
        let args: Vec<Value> = serde_json::from_str(args).unwrap();
        let name = args[0].as_str().unwrap();
        if let Some(kind) = name.strip_prefix("hubbub:") {
            return Some(json!({"type": kind, "params": args[1]}));
        }
        let mut params = args[2].clone();
        params["value"] = args[1].clone();
        assert!(args[3].as_str().unwrap().ends_with(&format!(":{}", params["offset"])));
        return Some(json!({"type": "message", "params": params}));
    }
    let answer = text.strip_prefix("43")?;
    let (id, args) = answer.split_at(answer.find('[')?);
    let args: Vec<Value> = serde_json::from_str(args).unwrap();
    let id: u64 = id.parse().unwrap();
    Some(json!({"type": "acknowledged", "id": id, "params": args[0]}))
}
