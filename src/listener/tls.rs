//! TLS on the way in: the handshake, under a time-out, and the certificate that is shown, which may be exchanged while connections are open.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config::TlsIdentity;
use crate::listener::connection::Wire;

/// How long a handshake may take. Who connects and says nothing holds its place for so long.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// The one protocol that is spoken inside: websockets are opened over HTTP/1.1 only.
const ALPN: &[u8] = b"http/1.1";

/// Encrypts what comes in. Copies show the same certificate.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    shown: Arc<Shown>,
    failures: Arc<Failures>,
}

/// The certificate that is shown.
struct Shown(RwLock<Arc<CertifiedKey>>);

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shown")
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.read().clone())
    }
}

#[derive(Default)]
struct Failures {
    failed: AtomicU64,
    timed_out: AtomicU64,
}

impl Tls {
    /// Shows this certificate.
    ///
    /// # Errors
    /// Where the operating system has no randomness.
    pub fn new(identity: &TlsIdentity) -> io::Result<Self> {
        let shown = Arc::new(Shown(RwLock::new(identity.key.clone())));
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_cert_resolver(shown.clone());
        config.alpn_protocols = vec![ALPN.to_vec()];
        // Who comes back is spared the costly half of the handshake: after a restart of a node beside this one, many do at once.
        config.ticketer = ring::Ticketer::new().map_err(io::Error::other)?;
        config.send_tls13_tickets = 1;
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), shown, failures: Arc::default() })
    }

    /// Shows this certificate to whoever connects from here on.
    pub fn show(&self, identity: &TlsIdentity) {
        *self.shown.0.write() = identity.key.clone();
    }

    /// How many handshakes came to nothing, and how many took too long.
    pub fn failures(&self) -> (u64, u64) {
        let Failures { failed, timed_out } = &*self.failures;
        (failed.load(Ordering::Relaxed), timed_out.load(Ordering::Relaxed))
    }

    /// The connection with TLS around it; `None` where nothing came of that, and it ends.
    pub(super) async fn accept(&self, wire: Wire) -> Option<TlsStream<Wire>> {
        // Waits for the client to say hello, and to agree.
        match tokio::time::timeout(HANDSHAKE_TIMEOUT, self.acceptor.accept(wire)).await {
            Ok(Ok(stream)) => Some(stream),
            Ok(Err(error)) => {
                self.failures.failed.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(%error, "no TLS came about");
                None
            }
            Err(_) => {
                self.failures.timed_out.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }
}
