//! Bodies of requests.

use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use common::{ErrorCode, Refusal};
use tokio::time::timeout;

/// A whole body of at most `limit` bytes, which comes `within` that time.
pub(crate) async fn whole(body: Body, limit: usize, within: Duration) -> Result<Bytes, Refusal> {
    let read = timeout(within, to_bytes(body, limit)).await.map_err(|_| {
        let seconds = within.as_secs();
        let message = format!("the body did not come within {seconds} seconds");
        Refusal { limit: Some(seconds), ..Refusal::new(ErrorCode::TooSlow, message) }
    })?;
    // What else can go wrong is that the client is gone, and then nobody reads the answer.
    read.map_err(|_| Refusal::too_long("body", limit, "bytes"))
}
