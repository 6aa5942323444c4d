//! Requests that we make of others ourselves: to addresses that the operator names, and no further.

use std::{error::Error, io, sync::OnceLock, time::Duration};

use axum::http::{Method, Request, Response, StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use reqwest::Url;
use tokio::time::timeout;

/// How long one may take, in all.
const WITHIN: Duration = Duration::from_secs(10);

/// And how long until something that is posted is taken.
const TAKEN_WITHIN: Duration = Duration::from_secs(20);

/// It follows no redirect and asks no proxy: an address is the operator's word, and that of nobody else.
type Asking = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// What is idle is let go of after a while: each is a descriptor.
fn pool() -> hyper_util::client::legacy::Builder {
    let mut pool = Client::builder(TokioExecutor::new());
    pool.pool_timer(TokioTimer::new()).pool_max_idle_per_host(8);
    pool
}

/// The one there is, trusting whom the system trusts.
fn client() -> io::Result<&'static Asking> {
    static CLIENT: OnceLock<Asking> = OnceLock::new();
    if let Some(client) = CLIENT.get() {
        return Ok(client);
    }
    let roots = HttpsConnectorBuilder::new().with_native_roots()?;
    let connector = roots.https_or_http().enable_http1().build();
    Ok(CLIENT.get_or_init(|| pool().build(connector)))
}

/// Reads an address of the operator's: https, or http to this very machine.
///
/// # Errors
///
/// What is wrong with it.
pub(crate) fn parse_url(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|error| format!("`{text}`: {error}"))?;
    let is_own = url.host_str().is_some_and(|host| {
        let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    });
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_own => Ok(url),
        _ => Err(format!("`{text}` is not https, and not on this machine")),
    }
}

/// What is at `url`, if it is no longer than `most` bytes.
///
/// # Errors
///
/// Why it can't be had.
pub(crate) async fn get(url: &Url, most: usize) -> Result<Bytes, String> {
    let Whole { status, body } = ask(Method::GET, url, &[], String::new(), most, WITHIN).await?;
    if status.is_success() { Ok(body) } else { Err(format!("it answered {status}")) }
}

/// Headers of ours.
pub(crate) type Headers = [(&'static str, String)];

/// What came of something that was posted.
pub(crate) struct Answered {
    pub(crate) status: u16,
    /// After how long it wants to be asked again.
    pub(crate) retry_after: Option<Duration>,
}

/// What is sent.
pub(crate) struct Body {
    kind: &'static str,
    bytes: Bytes,
}

impl Body {
    /// An encoded message of Protocol Buffers.
    pub(crate) fn protobuf(bytes: Vec<u8>) -> Self {
        Self { kind: "application/x-protobuf", bytes: bytes.into() }
    }
}

/// JSON.
impl From<String> for Body {
    fn from(json: String) -> Self {
        Self { kind: "application/json", bytes: json.into() }
    }
}

/// Posts something to `url`. What is answered is not read, but for its head.
///
/// # Errors
///
/// Why there was no answer.
pub(crate) async fn post(
    url: &Url,
    headers: &Headers,
    body: impl Into<Body>,
) -> Result<Answered, String> {
    let late = |_| format!("no answer within {} seconds", TAKEN_WITHIN.as_secs());
    let posting = send(Method::POST, url, headers, body.into());
    let answer = timeout(TAKEN_WITHIN, posting).await.map_err(late)??;
    let retry_after = answer.headers().get(header::RETRY_AFTER);
    let seconds = retry_after.and_then(|seconds| seconds.to_str().ok()?.parse().ok());
    Ok(Answered { status: answer.status().as_u16(), retry_after: seconds.map(Duration::from_secs) })
}

/// What was answered, whole.
pub(crate) struct Whole {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

/// Sends JSON to `url`, and reads what is answered within this time, if it is no longer than `most` bytes.
///
/// # Errors
///
/// Why it can't be had.
pub(crate) async fn ask(
    method: Method,
    url: &Url,
    headers: &Headers,
    body: String,
    most: usize,
    within: Duration,
) -> Result<Whole, String> {
    let asking = async {
        let answer = send(method, url, headers, body.into()).await?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), most).collect().await;
        Ok(Whole { status, body: body.map_err(|error| plain(&*error))?.to_bytes() })
    };
    let late = |_| format!("no answer within {within:?}");
    timeout(within, asking).await.map_err(late)?
}

async fn send(
    method: Method,
    url: &Url,
    headers: &Headers,
    Body { kind, bytes }: Body,
) -> Result<Response<Incoming>, String> {
    let request = Request::builder().method(method).uri(url.as_str());
    let mut request = request.header(header::CONTENT_TYPE, kind);
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let request = request.body(Full::from(bytes)).map_err(|error| plain(&error))?;
    let answer = client().map_err(|error| plain(&error))?.request(request).await;
    answer.map_err(|error| plain(&error))
}

/// What went wrong, with its causes.
pub(crate) fn plain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_https_or_on_this_machine() {
        for good in [
            "https://id.example/keys",
            "http://127.0.0.1:1/x",
            "http://localhost/",
            "http://[::1]:2/",
        ] {
            assert!(parse_url(good).is_ok(), "{good}");
        }
        for bad in
            ["http://id.example/keys", "ftp://localhost/", "keys", "http://127.0.0.1.example/"]
        {
            assert!(parse_url(bad).is_err(), "{bad}");
        }
    }
}
