//! A connection's socket, as far as it is written to: by whoever owns the connection, and by passes of a room that have
//! something for it ([`hub::Outlet`]).
//!
//! The rule to keep: nothing is pushed between the bytes of the owner. It counts as writing from when it begins
//! to, until it has flushed all of it; and what could be pushed only in part goes out
//! before anything else.

use std::{
    fmt,
    future::poll_fn,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use futures_util::future::BoxFuture;
use hub::Pushed;
use parking_lot::{Mutex, MutexGuard};
use socketio::Below;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf, WriteHalf},
    net::{tcp, unix},
};
use tokio_rustls::server::TlsStream;

use crate::{address::Place, listener::Stream, meter::Meter, telemetry::Traffic};

/// What is written to.
trait Half: AsyncWrite + Send + Unpin {
    /// Writes what the system takes now.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize>;
}

impl Half for tcp::OwnedWriteHalf {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.try_write(bytes)
    }
}

impl Half for unix::OwnedWriteHalf {
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.try_write(bytes)
    }
}

/// What is written has to be sealed first, and that is for the owner.
impl Half for WriteHalf<TlsStream<Stream>> {
    fn try_write(&self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

pub(crate) struct Wire {
    pub(crate) meter: Arc<Meter>,
    traffic: Traffic,
    out: Mutex<Out>,
}

struct Out {
    half: Box<dyn Half>,
    /// The owner has written, and flushed, all that it was given.
    is_clear: bool,
    /// What was pushed and the system did not take.
    rest: Bytes,
}

impl Wire {
    fn read(&self, bytes: usize) {
        self.traffic.received.increment(bytes as u64);
        self.meter.read(bytes);
    }

    fn wrote(&self, bytes: usize) {
        self.traffic.sent.increment(bytes as u64);
        self.meter.wrote(bytes);
    }

    /// Whether the owner has nothing to write.
    pub(crate) fn is_clear(&self) -> bool {
        let out = self.out.lock();
        out.is_clear && out.rest.is_empty()
    }

    /// Writes this between what the owner writes, if the system takes it now.
    pub(crate) fn push(&self, bytes: &Bytes) -> Pushed {
        let mut out = self.out.lock();
        if !out.is_clear || !out.rest.is_empty() {
            return Pushed::None;
        }
        // An error is the owner's to find out.
        let Ok(written) = out.half.try_write(bytes) else { return Pushed::None };
        self.wrote(written);
        match bytes.len() - written {
            0 => Pushed::All,
            _ if written == 0 => Pushed::None,
            _ => {
                out.rest = bytes.slice(written..);
                Pushed::Some
            }
        }
    }

    /// Writes this for the owner, who has flushed all that it wrote by itself, and flushes again after it: it may have
    /// answered a ping meanwhile. If the writing is given up, what is left goes out before anything else: it is never cut.
    pub(crate) async fn write_all(&self, bytes: Vec<u8>) -> io::Result<()> {
        poll_fn(|cx| self.poll_out(cx).map_ok(drop)).await?;
        self.out.lock().rest = bytes.into();
        poll_fn(|cx| {
            let mut out = ready!(self.poll_out(cx))?;
            Pin::new(&mut out.half).poll_flush(cx)
        })
        .await
    }

    /// The socket, once it has taken the rest of what was pushed.
    fn poll_out(&self, cx: &mut Context<'_>) -> Poll<io::Result<MutexGuard<'_, Out>>> {
        let mut out = self.out.lock();
        out.is_clear = false;
        while !out.rest.is_empty() {
            let Out { half, rest, .. } = &mut *out;
            let written = ready!(Pin::new(half).poll_write(cx, rest))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            rest.advance(written);
            self.wrote(written);
        }
        out.rest = Bytes::new();
        Poll::Ready(Ok(out))
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wire")
    }
}

impl Below for Wire {
    fn write(&self, frames: Vec<u8>) -> BoxFuture<'_, io::Result<()>> {
        Box::pin(self.write_all(frames))
    }
}

/// A connection for its owner, with its place: a WebSocket has both for longer than its request takes.
pub(crate) struct Socket {
    half: Box<dyn AsyncRead + Send + Unpin>,
    pub(crate) wire: Arc<Wire>,
    /// Both sides have agreed on HTTP/2 (RFC 7301): there nobody but the owner may write.
    pub(crate) is_http2: bool,
    _place: Place,
}

impl Socket {
    pub(crate) fn new(stream: Stream, place: Place, traffic: Traffic) -> Self {
        match stream {
            Stream::Left(stream) => Self::of(stream.into_split(), place, traffic),
            Stream::Right(stream) => Self::of(stream.into_split(), place, traffic),
        }
    }

    /// One that is read and written through TLS.
    pub(crate) fn secure(stream: TlsStream<Stream>, place: Place, traffic: Traffic) -> Self {
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Self { is_http2, ..Self::of(tokio::io::split(stream), place, traffic) }
    }

    fn of(
        (read, write): (impl AsyncRead + Send + Unpin + 'static, impl Half + 'static),
        place: Place,
        traffic: Traffic,
    ) -> Self {
        let out = Out { half: Box::new(write), is_clear: true, rest: Bytes::new() };
        let wire = Arc::new(Wire { meter: Arc::default(), traffic, out: Mutex::new(out) });
        Self { half: Box::new(read), wire, is_http2: false, _place: place }
    }

    fn poll_out<R>(
        &self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut Box<dyn Half>>, &mut Context<'_>) -> Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        let mut out = ready!(self.wire.poll_out(cx))?;
        write(Pin::new(&mut out.half), cx)
    }

    fn wrote(&self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = polled {
            self.wire.wrote(bytes);
        }
        polled
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.half).poll_read(cx, buf);
        match buf.filled().len() - before {
            0 => {}
            bytes => self.wire.read(bytes),
        }
        polled
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = self.poll_out(cx, |half, cx| half.poll_write(cx, bytes));
        self.wrote(polled)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = self.poll_out(cx, |half, cx| half.poll_write_vectored(cx, slices));
        self.wrote(polled)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut out = ready!(self.wire.poll_out(cx))?;
        ready!(Pin::new(&mut out.half).poll_flush(cx))?;
        // Whoever owns this flushes it last.
        out.is_clear = true;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_out(cx, |half, cx| half.poll_shutdown(cx))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use axum::{body::Body, response::Response};
    use metrics::Counter;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };

    use super::*;
    use crate::{address::Places, lasting};

    async fn pair() -> (Socket, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let place = Places::new(1, 1).take(None).unwrap();
        let traffic = Traffic { received: Counter::noop(), sent: Counter::noop() };
        (Socket::new(Stream::Left(stream), place, traffic), client)
    }

    async fn reads(client: &mut TcpStream, expected: &[u8]) {
        let mut read = vec![0; expected.len()];
        client.read_exact(&mut read).await.unwrap();
        assert!(read == expected, "{} bytes came otherwise", expected.len());
    }

    #[tokio::test]
    async fn what_could_be_pushed_in_part_goes_out_before_anything_else() {
        let (mut socket, mut client) = pair().await;
        // More than any socket takes at once.
        let long: Bytes = (0..32 << 20).map(|n| (n >> 10) as u8).collect();
        let wire = socket.wire.clone();
        assert_eq!(wire.push(&long), Pushed::Some);
        assert_eq!(wire.push(&Bytes::from_static(b"too early")), Pushed::None);
        let owner = async {
            socket.write_all(b"of the owner").await.unwrap();
            assert_eq!(wire.push(&Bytes::from_static(b"not flushed")), Pushed::None);
            socket.flush().await.unwrap();
            assert_eq!(wire.push(&Bytes::from_static(b"pushed")), Pushed::All);
        };
        let client = async {
            reads(&mut client, &long).await;
            reads(&mut client, b"of the ownerpushed").await;
        };
        tokio::join!(owner, client);
    }

    #[tokio::test]
    async fn what_is_written_for_the_owner_goes_behind_what_was_pushed_and_before_what_is() {
        let (mut socket, mut client) = pair().await;
        let long: Bytes = (0..32 << 20).map(|n| (n >> 10) as u8).collect();
        let wire = socket.wire.clone();
        assert_eq!(wire.push(&long), Pushed::Some);
        let owner = async {
            let mut write = Box::pin(wire.write_all(long.to_vec()));
            assert!(futures_util::poll!(&mut write).is_pending());
            assert_eq!(wire.push(&Bytes::from_static(b"in between")), Pushed::None);
            write.await.unwrap();
            assert_eq!(wire.push(&Bytes::from_static(b"not flushed")), Pushed::None);
            // Given up in the middle of it.
            let mut write = Box::pin(wire.write_all(long.to_vec()));
            assert!(futures_util::poll!(&mut write).is_pending());
            drop(write);
            wire.write_all(b"behind it".to_vec()).await.unwrap();
            socket.flush().await.unwrap();
            assert_eq!(wire.push(&Bytes::from_static(b"pushed")), Pushed::All);
        };
        let client = async {
            for _ in 0..3 {
                reads(&mut client, &long).await;
            }
            reads(&mut client, b"behind itpushed").await;
        };
        tokio::join!(owner, client);
    }

    #[tokio::test]
    async fn behind_each_piece_of_an_answer_that_lasts_there_is_pushed() {
        let (socket, mut client) = pair().await;
        let wire = socket.wire.clone();
        let (pieces, body) = tokio::sync::mpsc::channel::<io::Result<Bytes>>(1);
        let body = futures_util::stream::unfold(body, async |mut body| {
            body.recv().await.map(|piece| (piece, body))
        });
        let answer = Response::new(Body::from_stream(body));
        let writing = tokio::spawn(lasting::write(socket, answer, Duration::from_secs(9)));
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(client.read_u8().await.unwrap());
        }
        for _ in 0..2 {
            // The client has it a moment before the writer has flushed it.
            let pushed = async {
                while wire.push(&Bytes::from_static(b"pushed")) != Pushed::All {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(Duration::from_secs(9), pushed).await.unwrap();
            reads(&mut client, b"pushed").await;
            pieces.send(Ok(Bytes::from_static(b"piece"))).await.unwrap();
            reads(&mut client, b"5\r\npiece\r\n").await;
        }
        drop(pieces);
        reads(&mut client, b"0\r\n\r\n").await;
        writing.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn flushing_alone_sends_the_rest() {
        let (mut socket, mut client) = pair().await;
        let long = Bytes::from(vec![7; 32 << 20]);
        assert_eq!(socket.wire.push(&long), Pushed::Some);
        tokio::join!(async { socket.flush().await.unwrap() }, reads(&mut client, &long));
        assert_eq!(socket.wire.push(&Bytes::from_static(b"next")), Pushed::All);
        reads(&mut client, b"next").await;
    }
}
