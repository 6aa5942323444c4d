//! An answer that lasts as long as its connection. HTTP's own machine would hold its buffers for a next request that never
//! comes; so it is let go, and the answer is written here: its head, and each piece of its body as a chunk (RFC 9112,
//! sections 4 and 7.1).

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, SystemTime},
};

use axum::response::Response;
use headers::{Connection, Date, HeaderMapExt};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWriteExt, ReadBuf},
    time::timeout,
};

use crate::wire::Socket;

/// Marks an answer that is to be written here. For clients that know chunks: not those of HTTP/1.0.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lasting;

/// The answer of one connection that lasts, once there is one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slot(Arc<Mutex<Option<Response>>>);

impl Slot {
    /// The answer, unless it lasts: that is kept here, and never comes back.
    pub(crate) async fn sift(self, response: Response) -> Response {
        if response.extensions().get::<Lasting>().is_none() {
            return response;
        }
        *self.0.lock() = Some(response);
        std::future::pending().await
    }

    pub(crate) fn is_filled(&self) -> bool {
        self.0.lock().is_some()
    }

    pub(crate) fn take(&self) -> Option<Response> {
        self.0.lock().take()
    }
}

/// Writes all of it, until its body ends or the client is gone.
///
/// # Errors
///
/// When the client is gone, or has taken nothing `within` this time.
pub(crate) async fn write(
    mut socket: Socket,
    response: Response,
    within: Duration,
) -> io::Result<()> {
    let (parts, mut body) = response.into_parts();
    let (status, mut fields) = (parts.status, parts.headers);
    fields.typed_insert(Date::from(SystemTime::now()));
    fields.typed_insert(Connection::close());
    let mut head = format!("HTTP/1.1 {status}\r\n").into_bytes();
    for (name, value) in &fields {
        head.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    head.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n");
    drop(fields);
    let wire = socket.wire.clone();
    // Where TCP has given up before, this comes to nothing; a Unix socket gives up nobody.
    let write_all = async |socket: &mut Socket, bytes| {
        // Nothing is pushed before it is flushed.
        let written = async {
            wire.write_all(bytes).await?;
            socket.flush().await
        };
        timeout(within, written).await?
    };
    write_all(&mut socket, head).await?;
    loop {
        let piece = tokio::select! {
            piece = body.frame() => piece,
            () = std::future::poll_fn(|cx| poll_gone(&mut socket, cx)) => return Ok(()),
        };
        match piece.map(|piece| piece.map_err(io::Error::other)).transpose()? {
            Some(piece) => {
                if let Ok(piece) = piece.into_data() {
                    // An empty one has what was pushed in part go out.
                    write_all(&mut socket, chunk(&piece)).await?;
                }
            }
            None => break,
        }
    }
    write_all(&mut socket, b"0\r\n\r\n".to_vec()).await?;
    socket.shutdown().await
}

/// One chunk; nothing for nothing, which would end the answer.
pub(crate) fn chunk(bytes: &[u8]) -> Vec<u8> {
    if bytes.is_empty() {
        return Vec::new();
    }
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

/// Waits until the client has closed its side. What it sends meanwhile is for nobody.
fn poll_gone(socket: &mut Socket, cx: &mut Context<'_>) -> Poll<()> {
    loop {
        let mut unread = [0; 512];
        let mut unread = ReadBuf::new(&mut unread);
        let read = ready!(Pin::new(&mut *socket).poll_read(cx, &mut unread));
        if read.is_err() || unread.filled().is_empty() {
            return Poll::Ready(());
        }
    }
}
