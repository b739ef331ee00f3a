//! Accepts connections, with TLS or without, and serves HTTP on them; can close any one of them.
//!
//! A [`Connection`] stays known to what runs over it, websocket included: there is no other way to end a single Engine.IO
//! transport, and what arrives on it is the sign that its client is alive.
//!
//! What it does not do: it does not look at requests.

mod connection;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::lifecycle::Lifecycle;

pub use connection::{Connection, Io, Signs};
pub use tls::Tls;

/// How long a client may take to send the head of a request.
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(15);
/// Largest head of a request, in bytes: browsers send about 1 KB, a token in the query up to 8 KB more.
const MAX_HEAD_BYTES: usize = 32 * 1024;
/// How long sent bytes may stay unacknowledged before the connection counts as lost.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED_TIMEOUT: Duration = Duration::from_secs(30);
/// Connections waiting to be accepted; a reconnect storm fills the usual 128.
const BACKLOG: u32 = 4096;
/// How many connections above the limit are still answered, so that they are told why they are refused.
const MARGIN: usize = 256;
/// How long to wait when no connection can be accepted, usually for lack of file descriptors.
const ACCEPT_RETRY_AFTER: Duration = Duration::from_millis(50);

/// What answers requests. The request's extensions hold its [`Connection`].
pub trait Answer: Send + Sync + 'static {
    /// Answers a request.
    fn answer(self: Arc<Self>, request: Request<Incoming>) -> impl Future<Output = Response<Body>> + Send;
}

/// A bound port.
pub struct Listener {
    tcp: TcpListener,
    open: OpenConnections,
    limit: ConnectionLimit,
    tls: Option<Tls>,
    clock: Clock,
}

/// How many connections there may be. Copies are the same limit.
#[derive(Clone)]
pub struct ConnectionLimit(Arc<AtomicUsize>);

impl ConnectionLimit {
    /// So many.
    pub fn new(most: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(most)))
    }

    /// So many from here on. Nobody who is connected is sent away.
    pub fn set(&self, most: usize) {
        self.0.store(most, Ordering::Relaxed);
    }

    fn most(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// How many connections are open. Copies count the same ones.
#[derive(Clone, Default)]
pub struct OpenConnections(Arc<AtomicUsize>);

impl OpenConnections {
    /// The number.
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

struct Counted(OpenConnections);

impl Counted {
    fn new(open: &OpenConnections) -> Self {
        open.0.fetch_add(1, Ordering::Relaxed);
        Self(open.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Listener {
    /// Binds `address`; port 0 takes any that is free. Without `tls` nothing is encrypted.
    ///
    /// # Errors
    /// Where the address cannot be bound.
    pub fn bind(address: SocketAddr, limit: ConnectionLimit, tls: Option<Tls>, clock: Clock) -> io::Result<Self> {
        let socket = match address {
            SocketAddr::V4(_) => tokio::net::TcpSocket::new_v4()?,
            SocketAddr::V6(_) => tokio::net::TcpSocket::new_v6()?,
        };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let tcp = socket.listen(BACKLOG)?;
        Ok(Self { tcp, open: OpenConnections::default(), limit, tls, clock })
    }

    /// The address that was bound.
    ///
    /// # Errors
    /// Where the operating system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// The count of open connections.
    pub fn open_connections(&self) -> OpenConnections {
        self.open.clone()
    }

    /// Serves until the node stops; then no more connections are accepted.
    pub async fn serve<A: Answer>(self, answer: Arc<A>, lifecycle: Lifecycle) {
        loop {
            // Waits for a connection, or for the node to stop.
            let accepted = tokio::select! {
                accepted = self.tcp.accept() => accepted,
                () = lifecycle.stopping().cancelled() => return,
            };
            match accepted {
                Ok((stream, _)) if self.open.count() < self.limit.most() + MARGIN => {
                    self.serve_connection(stream, answer.clone(), &lifecycle);
                }
                // Dropped: the client sees a closed connection and tries again later.
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "no connection can be accepted");
                    let _ = tokio::time::timeout(ACCEPT_RETRY_AFTER, lifecycle.stopping().cancelled()).await;
                }
            }
        }
    }

    fn serve_connection<A: Answer>(&self, stream: TcpStream, answer: Arc<A>, lifecycle: &Lifecycle) {
        let _ = stream.set_nodelay(true);
        #[cfg(target_os = "linux")]
        let _ = socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(UNACKNOWLEDGED_TIMEOUT));
        let counted = Counted::new(&self.open);
        let (connection, wire) = Connection::open(stream, self.clock, counted);
        let stopping = lifecycle.stopping().clone();
        let Some(tls) = self.tls.clone() else {
            lifecycle.spawn(serve_http(Io::plain(wire), connection, answer, stopping));
            return;
        };
        lifecycle.spawn(async move {
            // Waits for the handshake, or for the node to stop.
            let encrypted = tokio::select! {
                encrypted = tls.accept(wire) => encrypted,
                () = stopping.cancelled() => None,
            };
            if let Some(encrypted) = encrypted {
                serve_http(Io::encrypted(encrypted), connection, answer, stopping).await;
            }
        });
    }
}

async fn serve_http<A: Answer>(io: Io, connection: Arc<Connection>, answer: Arc<A>, stopping: CancellationToken) {
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Arc::downgrade(&connection));
        let answer = answer.clone();
        async move { Ok::<_, std::convert::Infallible>(answer.answer(request).await) }
    });
    let serving = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(io), service)
        .with_upgrades();
    let mut serving = std::pin::pin!(serving);
    // Waits for the connection to end or be upgraded, or for the node to stop.
    tokio::select! {
        _ = serving.as_mut() => return,
        () = stopping.cancelled() => serving.as_mut().graceful_shutdown(),
    }
    let _ = serving.await;
}
