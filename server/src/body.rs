//! Bodies of requests.

use axum::body::{Body, Bytes, to_bytes};
use common::Refusal;

/// A whole body of at most `limit` bytes.
pub(crate) async fn whole(body: Body, limit: usize) -> Result<Bytes, Refusal> {
    // What else can go wrong is that the client is gone, and then nobody reads the answer.
    to_bytes(body, limit).await.map_err(|_| Refusal::too_long("body", limit, "bytes"))
}
