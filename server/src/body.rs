//! Bodies of requests, and of answers.

use std::ops::Deref;

use axum::{
    body::{Body, HttpBody},
    http::header,
    response::Response,
};
use common::{ErrorCode, Refusal};
use futures_util::StreamExt;
use http_body_util::BodyExt;
use tokio::time::timeout;

use crate::{
    address::{Address, Full, Place},
    state::ServerState,
};

/// A body is counted in steps of so many bytes; one that is shorter is not.
const STEP: usize = 64 * 1024;

/// A whole body, counted against what may be under way as long as it is held.
#[derive(Debug)]
pub(crate) struct Whole {
    bytes: Vec<u8>,
    _places: Vec<Place>,
}

impl Deref for Whole {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The same answer, which holds on to `what` until it is sent.
pub(crate) fn holding<T: Send + 'static>(response: Response, what: T) -> Response {
    let (mut parts, body) = response.into_parts();
    match body.size_hint().exact() {
        // There is nothing to send.
        Some(0) => return Response::from_parts(parts, body),
        Some(bytes) => _ = parts.headers.entry(header::CONTENT_LENGTH).or_insert(bytes.into()),
        None => {}
    }
    let body = body.map_frame(move |frame| {
        let _held = &what;
        frame
    });
    Response::from_parts(parts, Body::new(body))
}

/// Reads a whole body of at most `limit` bytes, which comes in time.
///
/// # Errors
///
/// [`ErrorCode::TooLong`], [`ErrorCode::TooSlow`], or [`ErrorCode::RateLimited`] where too much is under way.
pub(crate) async fn whole(
    server: &ServerState,
    address: Option<Address>,
    body: Body,
    limit: usize,
) -> Result<Whole, Refusal> {
    let within = server.config.timing.body;
    let read = async {
        // In blocks, for a buffer that grows is there twice, and the allocator keeps what it was for a while.
        let (mut full, mut block, mut places) = (Vec::new(), Vec::new(), Vec::new());
        let mut length = 0;
        let mut chunks = body.into_data_stream();
        while let Some(chunk) = chunks.next().await {
            // What can go wrong is that the client is gone, and then nobody reads the answer.
            let chunk = chunk.map_err(|_| Refusal::field("body", "the body can't be read"))?;
            length += chunk.len();
            if length > limit {
                return Err(Refusal::too_long("body", limit, "bytes"));
            }
            let mut rest = &chunk[..];
            while !rest.is_empty() {
                if block.len() == STEP {
                    let place = server.in_flight.take_some(address, STEP / 1024);
                    places.push(place.map_err(Full::too_much_under_way)?);
                    full.push(std::mem::replace(&mut block, Vec::with_capacity(STEP)));
                }
                let (now, then) = rest.split_at(rest.len().min(STEP - block.len()));
                block.extend_from_slice(now);
                rest = then;
            }
        }
        if !full.is_empty() {
            full.push(block);
            block = full.concat();
        }
        Ok(Whole { bytes: block, _places: places })
    };
    timeout(within, read).await.unwrap_or_else(|_| {
        let seconds = within.as_secs();
        let message = format!("the body did not come within {seconds} seconds");
        Err(Refusal { limit: Some(seconds), ..Refusal::new(ErrorCode::TooSlow, message) })
    })
}
