//! One TCP connection, shared between what reads and writes it and whoever may have to close it.

use std::fmt;
use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio_rustls::server::TlsStream;

use crate::clock::{Clock, Timestamp};
use crate::listener::Counted;

/// A TCP connection.
pub struct Connection {
    /// Half of the stream, because only the other half, [`Io`]'s, can be read without a second system call that finds nothing.
    stream: OwnedWriteHalf,
    signs: Arc<Signs>,
    clock: Clock,
    _counted: Counted,
}

/// The signs of life of the client at the other end. They outlive the connection: its last ones count when it is gone.
pub struct Signs {
    reads: AtomicU64,
    last_read_at: AtomicU64,
}

impl Signs {
    /// How often bytes have come.
    pub fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    /// When bytes last came; at first, when the client connected.
    pub fn last_read_at(&self) -> Timestamp {
        Timestamp(self.last_read_at.load(Ordering::Relaxed))
    }

    fn note_read(&self, now: Timestamp) {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.last_read_at.store(now.0, Ordering::Relaxed);
    }
}

impl Connection {
    /// The connection over `stream`, and what reads and writes it.
    pub(super) fn open(stream: TcpStream, clock: Clock, counted: Counted) -> (Arc<Self>, Wire) {
        let (read, write) = stream.into_split();
        let signs = Signs { reads: AtomicU64::new(0), last_read_at: AtomicU64::new(clock.now().0) };
        let connection = Arc::new(Self { stream: write, signs: Arc::new(signs), clock, _counted: counted });
        let wire = Wire { read, connection: connection.clone(), is_blocked: false, reader: None };
        (connection, wire)
    }

    /// The signs of life of its client.
    pub fn signs(&self) -> &Arc<Signs> {
        &self.signs
    }

    /// Closes the connection, whatever is under way on it.
    pub fn close(&self) {
        // Fails only where the client was faster.
        let _ = socket2::SockRef::from(self.stream.as_ref()).shutdown(Shutdown::Both);
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connection")
    }
}

/// Reads and writes what is said over a [`Connection`], encrypted or not. There must be one reader and one writer at a time.
#[derive(Debug)]
pub struct Io {
    road: Road,
    /// What was read beyond the end of the last request before the connection changed hands. Boxed: rarely there.
    already_read: Option<Box<Bytes>>,
}

/// Boxed where it is encrypted: a plain one is a tenth of that.
#[derive(Debug)]
enum Road {
    Plain(Wire),
    Encrypted(Box<TlsStream<Wire>>),
}

impl Io {
    pub(super) fn plain(wire: Wire) -> Self {
        Self { road: Road::Plain(wire), already_read: None }
    }

    pub(super) fn encrypted(stream: TlsStream<Wire>) -> Self {
        Self { road: Road::Encrypted(Box::new(stream)), already_read: None }
    }

    /// The same connection with a copy of `already_read` in front of what comes: even an empty slice would keep the whole
    /// buffer alive that it was read into.
    #[must_use]
    pub fn with_already_read(self, already_read: &[u8]) -> Self {
        let already_read = (!already_read.is_empty()).then(|| Box::new(Bytes::copy_from_slice(already_read)));
        Self { already_read, ..self }
    }
}

impl AsyncRead for Io {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if let Some(mut bytes) = self.already_read.take() {
            let length = bytes.len().min(buf.remaining());
            buf.put_slice(&bytes.split_to(length));
            self.already_read = (!bytes.is_empty()).then_some(bytes);
            return Poll::Ready(Ok(()));
        }
        match &mut self.road {
            Road::Plain(wire) => Pin::new(wire).poll_read(cx, buf),
            Road::Encrypted(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.road {
            Road::Plain(wire) => Pin::new(wire).poll_write(cx, bytes),
            Road::Encrypted(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.road {
            Road::Plain(wire) => Pin::new(wire).poll_write_vectored(cx, slices),
            Road::Encrypted(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.road {
            Road::Plain(wire) => Pin::new(wire).poll_flush(cx),
            Road::Encrypted(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.road {
            Road::Plain(wire) => Pin::new(wire).poll_shutdown(cx),
            Road::Encrypted(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// Reads and writes the bytes of a [`Connection`], as they are.
#[derive(Debug)]
pub(super) struct Wire {
    read: OwnedReadHalf,
    connection: Arc<Connection>,
    /// Whether the client does not take what it is sent. It is not listened to either until it does: a websocket answers pings
    /// on its own, and would keep the answers without bound.
    is_blocked: bool,
    /// Who waits to read until then.
    reader: Option<Waker>,
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.is_blocked {
            self.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.read).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            self.connection.signs.note_read(self.connection.clock.now());
        }
        Poll::Ready(Ok(()))
    }
}

impl Wire {
    fn poll_try_write(
        &mut self,
        cx: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let stream = self.connection.stream.as_ref();
        let written = loop {
            match stream.poll_write_ready(cx) {
                Poll::Pending => {
                    self.is_blocked = true;
                    return Poll::Pending;
                }
                Poll::Ready(Err(error)) => break Err(error),
                Poll::Ready(Ok(())) => match write(stream) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    written => break written,
                },
            }
        };
        self.is_blocked = false;
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
        Poll::Ready(written)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_try_write(cx, |stream| stream.try_write(bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_try_write(cx, |stream| stream.try_write_vectored(slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(match socket2::SockRef::from(self.connection.stream.as_ref()).shutdown(Shutdown::Write) {
            Err(error) if error.kind() != io::ErrorKind::NotConnected => Err(error),
            _ => Ok(()),
        })
    }
}
