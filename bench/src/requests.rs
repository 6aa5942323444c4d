//! What a request over HTTP costs the server, of a room with 50 messages: a page, polls, a message.
//!
//! The server has one core for itself, the client the other, and asks for one thing after the other.

use serde_json::{Value, json};
use tokio::time::{Duration, Instant};

use crate::{
    Result,
    hubbub::{Http, Hubbub, TEXT},
    process::{CLIENTS, Pinned, on_core},
    report::{Report, figure},
};

const MESSAGES: usize = 50;
const ROOM: &str = "requests";

/// What is asked for, how, and with which fields.
const CASES: [(&str, &str, &str); 6] = [
    ("first page, packed", "GET /rooms/requests", "Accept-Encoding: gzip\r\n"),
    ("first page", "GET /rooms/requests", ""),
    ("home page", "GET /", ""),
    ("poll, 50 messages", "GET /api/rooms/requests/messages?limit=50", ""),
    ("poll, the newest value", "GET /api/rooms/requests/messages?limit=1&fields=value", ""),
    ("frames by poll", "GET /api/rooms/requests/frames?limit=1", ""),
];

/// Measures each binary, for so long a figure.
pub(crate) async fn run(report: &mut Report, servers: &[String], length: Duration) -> Result {
    let _pinned = Pinned::to(CLIENTS)?;
    report.table(
        "Processor time of the server for a request",
        &["server", "request", "µs a request", "requests/s", "bytes"],
    );
    for server in servers {
        let hubbub = Hubbub::spawn(on_core(server).arg("--ephemeral")).await?;
        let mut http = Http::connect(&hubbub.address).await?;
        let texts = Value::from(vec![json!({ "value": TEXT }); MESSAGES]);
        http.post(ROOM, &texts.to_string()).await?;
        for (name, target, fields) in CASES {
            let (started, before) = (Instant::now(), hubbub.cpu()?);
            let (mut asked, mut bytes) = (0_u32, 0);
            while started.elapsed() < length {
                bytes = http.ask(target, fields, "").await?.len();
                asked += 1;
            }
            let asked = f64::from(asked);
            report.row([
                server.as_str().into(),
                name.into(),
                figure((hubbub.cpu()? - before).as_secs_f64() * 1e6 / asked, 0),
                figure(asked / started.elapsed().as_secs_f64(), 0),
                figure(bytes as f64, 0),
            ]);
        }
    }
    Ok(())
}
