//! The handshake: who connects, and whether they may.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use socketioxide::adapter::LocalAdapter;
use socketioxide::handler::{ConnectMiddleware, DisconnectHandler, MessageHandler, Value};
use socketioxide::socket::{DisconnectReason, Socket};

use crate::auth::{AuthError, HandshakeToken, Identity, token_from_handshake};
use crate::ids::SessionId;
use crate::metrics::{Connect, Left};
use crate::socket::hub::{Hub, TooManyConnections};
use crate::socket::session::Session;
use crate::socket::wire::Wire;

/// How long a client waits for the key of its token to be fetched before it is sent away. It comes back a second later, so this
/// sets how often it does while the keys cannot be had.
const KEY_PATIENCE: Duration = Duration::from_secs(5);

type Verdict = Result<(), Box<dyn fmt::Display + Send>>;

/// Checks the token of a connection and makes it a session. Runs before the client is told that it is connected, so that
/// nothing a fast client sends is missed.
#[derive(Clone)]
pub(super) struct Admission(pub(super) Arc<Hub>);

impl ConnectMiddleware<LocalAdapter, Admission> for Admission {
    async fn call<'a>(&'a self, socket: Arc<Socket>, auth: &'a Option<Value>) -> Verdict {
        let identity = match identify(&self.0, &socket, auth.as_ref()).await {
            Err(error @ AuthError::Unavailable) => {
                self.0.metrics.connects.inc(Connect::KeysUnavailable);
                // A stock client takes every refusal for final; it comes back when its connection breaks.
                self.send_back(&socket).await;
                return Err(Box::new(error));
            }
            Err(error) => {
                self.0.metrics.connects.inc(refused(error));
                return Err(Box::new(error));
            }
            Ok(identity) => identity,
        };
        let admitted = admit(&self.0, &socket, identity);
        let result = if admitted.is_ok() { Connect::Accepted } else { Connect::UserHasTooMany };
        self.0.metrics.connects.inc(result);
        admitted.map_err(|error| Box::new(error) as _)
    }
}

impl Admission {
    /// Breaks the connection of a client that may be let in a little later.
    async fn send_back(&self, socket: &Arc<Socket>) {
        if let Some(id) = SessionId::parse(socket.id.as_str()) {
            let wire = Wire::new(id, socket, &self.0);
            wire.close_transport_at_once().await;
        }
    }
}

fn refused(error: AuthError) -> Connect {
    match error {
        AuthError::Missing => Connect::TokenMissing,
        AuthError::Invalid => Connect::TokenInvalid,
        AuthError::Expired => Connect::TokenExpired,
        AuthError::NotYetValid => Connect::TokenNotYetValid,
        AuthError::Unavailable => Connect::KeysUnavailable,
    }
}

async fn identify(hub: &Hub, socket: &Socket, auth: Option<&Value>) -> Result<Option<Identity>, AuthError> {
    let auth = auth.and_then(Value::as_str).and_then(|auth| serde_json::from_str(auth).ok());
    let token = token_from_handshake(auth.as_ref(), socket.req_parts().uri.query());
    if token == HandshakeToken::Missing && !hub.settings.auth_required {
        return Ok(None);
    }
    hub.authenticator.authenticate_handshake(&token, KEY_PATIENCE).await.map(Some)
}

fn admit(hub: &Arc<Hub>, socket: &Arc<Socket>, identity: Option<Identity>) -> Result<(), TooManyConnections> {
    let Some(id) = SessionId::parse(socket.id.as_str()) else {
        return Err(TooManyConnections);
    };
    let session = Session::new(id, hub.clone(), socket, identity);
    session.open()?;
    socket.on_fallback(OnEvent(session.clone()));
    socket.on_disconnect(OnDisconnect(session));
    Ok(())
}

/// Takes every event where it arrives, in order. Must not block or panic: it runs in the task that reads the socket.
struct OnEvent(Arc<Session>);

impl MessageHandler<LocalAdapter, OnEvent> for OnEvent {
    fn call(&self, socket: Arc<Socket>, value: Value, ack_id: Option<i64>) {
        self.0.receive(&socket, value, ack_id);
    }
}

struct OnDisconnect(Arc<Session>);

impl DisconnectHandler<LocalAdapter, OnDisconnect> for OnDisconnect {
    fn call_with_defer(&self, socket: Arc<Socket>, reason: DisconnectReason, defer: fn(Arc<Socket>)) {
        self.0.hub().metrics.disconnects.inc(left_by(reason));
        self.0.gone();
        if reason == DisconnectReason::ClientNSDisconnect {
            self.0.left(&socket);
        }
        defer(socket);
    }
}

fn left_by(reason: DisconnectReason) -> Left {
    match reason {
        DisconnectReason::TransportClose => Left::TransportClosed,
        DisconnectReason::TransportError => Left::TransportFailed,
        DisconnectReason::HeartbeatTimeout => Left::HeartbeatMissed,
        DisconnectReason::ClientNSDisconnect => Left::Client,
        DisconnectReason::ServerNSDisconnect | DisconnectReason::ClosingServer => Left::Server,
        DisconnectReason::MultipleHttpPollingError | DisconnectReason::PacketParsingError => Left::Malformed,
    }
}
