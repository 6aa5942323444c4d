//! `hubbub admin`: what backends do over HTTP, from the shell. It is a client like any other, with a token for a few
//! minutes.

use std::time::Duration;

use axum::http::Method;
use clap::{Args, Subcommand};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Url;
use serde_json::{Map, Value, json};

use crate::{config::Config, fetch, mint};

/// How long it is waited for an answer.
const WITHIN: Duration = Duration::from_secs(30);
/// The longest answer that is read, in bytes.
const ANSWER_BYTES: usize = 4 * 1024 * 1024;
/// What a part of a path may have as it is (RFC 3986 section 2.3).
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What `hubbub admin` is asked for.
#[derive(Clone, Debug, Args)]
pub struct Asked {
    /// The server's address, with its base path if it has one: https, or http on this machine.
    #[arg(long, env = "HUBBUB_URL", value_name = "URL", default_value = "http://127.0.0.1:3000", value_parser = fetch::parse_url)]
    url: Url,
    /// A token that grants to manage what this is about; one for all rooms is made with the server's key
    /// unless it is told.
    #[arg(long, env = "HUBBUB_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// What to do.
    #[command(subcommand)]
    what: What,
}

/// What can be done.
#[derive(Clone, Debug, Subcommand)]
enum What {
    /// The liveliest hundred rooms.
    Rooms,
    /// Who is in a room.
    Members { room: String },
    /// Who is connected: to a room, or in all.
    Connections {
        room: Option<String>,
        /// Only those with a higher number.
        #[arg(long, default_value_t = 0)]
        behind: u64,
    },
    /// Say something in a room.
    Say {
        room: String,
        text: String,
        /// As whom: an id, and what they go by.
        #[arg(long, num_args = 2, value_names = ["ID", "NAME"])]
        from: Option<Vec<String>>,
    },
    /// Take back the message at an offset.
    TakeBack { room: String, offset: u64 },
    /// Let go of all that was said in a room.
    Clear { room: String },
    /// What holds in a room; with settings, change them, as in `set tea slow_mode_ms=5000 read_only=false`.
    Set {
        room: String,
        #[arg(value_name = "NAME=VALUE", value_parser = parse_setting)]
        settings: Vec<(String, Value)>,
    },
    /// Who is put out: of a room, or of all.
    Out { room: Option<String> },
    /// Put a member out of all rooms, or of one.
    PutOut {
        member: String,
        #[arg(long)]
        room: Option<String>,
        /// For how long.
        #[arg(long, default_value_t = 3_600)]
        seconds: u64,
    },
    /// Let a member in again.
    LetIn {
        member: String,
        #[arg(long)]
        room: Option<String>,
    },
}

fn parse_setting(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("a setting is NAME=VALUE")?;
    let value = serde_json::from_str(value).map_err(|_| format!("`{value}` is no JSON"))?;
    Ok((name.to_owned(), value))
}

/// A request: how, where behind `/api`, and with what.
type Request = (Method, String, Option<Value>);

impl What {
    fn request(&self) -> Request {
        let part = |text: &str| utf8_percent_encode(text, ESCAPED).to_string();
        let room = |room: &str, rest: &str| format!("rooms/{}{rest}", part(room));
        let out = |of: &Option<String>| {
            of.as_ref().map_or_else(|| "out".to_owned(), |name| room(name, "/out"))
        };
        match self {
            Self::Rooms => (Method::GET, "rooms".to_owned(), None),
            Self::Members { room: of } => (Method::GET, room(of, "/members"), None),
            Self::Connections { room: of, behind } => {
                let connections = match of {
                    Some(of) => room(of, "/connections"),
                    None => "connections".to_owned(),
                };
                (Method::GET, format!("{connections}?limit=1000&behind={behind}"), None)
            }
            Self::Say { room: of, text, from } => {
                let mut message = json!({"value": text});
                if let Some([id, name]) = from.as_deref() {
                    message["from"] = json!({"id": id, "name": name});
                }
                (Method::POST, room(of, "/messages"), Some(message))
            }
            Self::TakeBack { room: of, offset } => {
                (Method::DELETE, room(of, &format!("/messages/{offset}")), None)
            }
            Self::Clear { room: of } => (Method::DELETE, room(of, "/messages"), None),
            Self::Set { room: of, settings } => match settings[..] {
                [] => (Method::GET, room(of, "/settings"), None),
                _ => {
                    let settings: Map<_, _> = settings.iter().cloned().collect();
                    (Method::PUT, room(of, "/settings"), Some(settings.into()))
                }
            },
            Self::Out { room } => (Method::GET, out(room), None),
            Self::PutOut { member, room, seconds } => {
                let path = format!("{}/{}", out(room), part(member));
                (Method::PUT, path, Some(json!({"seconds": seconds})))
            }
            Self::LetIn { member, room } => {
                (Method::DELETE, format!("{}/{}", out(room), part(member)), None)
            }
        }
    }
}

/// Does it; returns what the server answers, as JSON for people.
///
/// # Errors
///
/// Why it can't be done: the server's words, if it was there.
pub async fn run(config: &Config, asked: &Asked) -> Result<String, String> {
    let token = match &asked.token {
        Some(token) => token.clone(),
        None => mint::managing(config).await?,
    };
    let (method, path, body) = asked.what.request();
    let url = format!("{}/api/{path}", asked.url.as_str().trim_end_matches('/'));
    let url = url.parse().map_err(|error| format!("`{url}`: {error}"))?;
    let headers = [("authorization", format!("Bearer {token}"))];
    let body = body.map(|body| body.to_string()).unwrap_or_default();
    let answer = fetch::ask(method, &url, &headers, body, ANSWER_BYTES, WITHIN).await;
    let answer = answer.map_err(|error| format!("{}: {error}", asked.url))?;
    let told: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    if !answer.status.is_success() {
        let why = told["detail"].as_str().unwrap_or("it did not say why");
        return Err(format!("{}: {why}", answer.status));
    }
    match told {
        Value::Null => Ok("done".to_owned()),
        told => serde_json::to_string_pretty(&told).map_err(|error| error.to_string()),
    }
}
