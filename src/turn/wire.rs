//! The way to one STUN or TURN server: over UDP, TCP or TLS, bounded in time and size.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket, lookup_host};
use tokio_rustls::TlsConnector;

use crate::turn::message::{Answer, Request};
use crate::turn::url::{ServerUrl, Transport};

/// How long a name may take to be found, and a connection to be made.
const OPEN_TIMEOUT: Duration = Duration::from_secs(3);
/// When a datagram is sent again, and at the end given up (RFC 8489, section 6.2.1, in short).
const PAUSES: [Duration; 3] = [Duration::from_millis(500), Duration::from_secs(1), Duration::from_millis(1500)];
/// How long an answer over a stream may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// Answers have a few hundred bytes.
const ANSWER_BYTES_MAX: usize = 2048;
/// What stands before each message, and where in that the length of the rest is.
const HEADER_BYTES: usize = 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Lost {
    /// The name is not known.
    #[error("the name cannot be found")]
    Unknown,
    /// Nobody is there.
    #[error("{0}")]
    Unreachable(io::Error),
    /// Nobody answers.
    #[error("no answer in time")]
    Silent,
    /// The certificate is of no use, or there is no TLS.
    #[error("no TLS connection: {0}")]
    Tls(io::Error),
    /// What answers speaks something else.
    #[error("what listens there is no STUN or TURN server")]
    Stranger,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection to a server.
pub(super) struct Wire {
    way: Way,
    /// Who was connected to.
    pub(super) address: SocketAddr,
}

enum Way {
    Datagrams(UdpSocket),
    Stream(Box<dyn Stream>),
}

impl Wire {
    /// Connects to `url`.
    ///
    /// # Errors
    /// Why that failed.
    pub(super) async fn open(url: &ServerUrl) -> Result<Self, Lost> {
        tokio::time::timeout(OPEN_TIMEOUT, open(url)).await.unwrap_or(Err(Lost::Silent))
    }

    /// The answer to `request`.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn ask(&mut self, request: &Request) -> Result<Answer, Lost> {
        match &mut self.way {
            Way::Datagrams(socket) => ask_by_datagrams(socket, request).await,
            Way::Stream(stream) => {
                let asking = ask_by_stream(stream, request);
                tokio::time::timeout(ANSWER_TIMEOUT, asking).await.unwrap_or(Err(Lost::Silent))
            }
        }
    }
}

async fn open(url: &ServerUrl) -> Result<Wire, Lost> {
    let found = lookup_host((url.host.as_str(), url.port)).await.map_err(|_| Lost::Unknown)?;
    // One that a node without IPv6 can reach, if there is one.
    let address = found.min_by_key(SocketAddr::is_ipv6).ok_or(Lost::Unknown)?;
    let way = match url.transport {
        Transport::Udp | Transport::Dtls => {
            let any: SocketAddr =
                if address.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
            let socket = UdpSocket::bind(any).await.map_err(Lost::Unreachable)?;
            socket.connect(address).await.map_err(Lost::Unreachable)?;
            Way::Datagrams(socket)
        }
        Transport::Tcp => Way::Stream(Box::new(TcpStream::connect(address).await.map_err(Lost::Unreachable)?)),
        Transport::Tls => {
            let stream = TcpStream::connect(address).await.map_err(Lost::Unreachable)?;
            let name = ServerName::try_from(url.host.clone()).map_err(|_| Lost::Unknown)?;
            // Reads certificates from disk, while others measure how long an answer takes.
            let connector = tokio::task::spawn_blocking(connector).await.map_err(|error| Lost::Tls(error.into()))?;
            Way::Stream(Box::new(connector.connect(name, stream).await.map_err(Lost::Tls)?))
        }
    };
    Ok(Wire { way, address })
}

/// Trusts the public authorities, as phones do, and those of this system.
fn connector() -> TlsConnector {
    let mut roots: RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has all versions of TLS")
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

async fn ask_by_datagrams(socket: &UdpSocket, request: &Request) -> Result<Answer, Lost> {
    let mut buffer = [0; ANSWER_BYTES_MAX];
    for pause in PAUSES {
        socket.send(&request.bytes).await.map_err(Lost::Unreachable)?;
        let answered = async {
            // Waits for the answer; what else comes, such as a late one to an earlier request, is passed over.
            loop {
                let length = socket.recv(&mut buffer).await.map_err(Lost::Unreachable)?;
                if let Some(answer) = request.answer(&buffer[..length]) {
                    return Ok(answer);
                }
            }
        };
        if let Ok(answer) = tokio::time::timeout(pause, answered).await {
            return answer;
        }
    }
    Err(Lost::Silent)
}

async fn ask_by_stream(stream: &mut Box<dyn Stream>, request: &Request) -> Result<Answer, Lost> {
    stream.write_all(&request.bytes).await.map_err(Lost::Unreachable)?;
    stream.flush().await.map_err(Lost::Unreachable)?;
    let mut message = vec![0; HEADER_BYTES];
    stream.read_exact(&mut message).await.map_err(Lost::Unreachable)?;
    let rest = usize::from(u16::from_be_bytes([message[2], message[3]]));
    if HEADER_BYTES + rest > ANSWER_BYTES_MAX {
        return Err(Lost::Stranger);
    }
    message.resize(HEADER_BYTES + rest, 0);
    stream.read_exact(&mut message[HEADER_BYTES..]).await.map_err(Lost::Unreachable)?;
    request.answer(&message).ok_or(Lost::Stranger)
}
