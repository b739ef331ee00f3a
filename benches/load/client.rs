//! One client connection: Engine.IO 4 and Socket.IO 5 spelled by hand over a websocket, so that a frame costs little more than
//! its system call. Knows packets and registration, nothing of calls.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::{SinkExt, StreamExt};
use jsonwebtoken::{EncodingKey, Header};
use serde_json::json;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::Failure;
use crate::subject::SECRET;

const STEP_DEADLINE: Duration = Duration::from_secs(10);
const TOKEN_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// A loopback address has some 28,000 ports to connect from: every so many clients take the next address.
const CLIENTS_PER_ADDRESS: u32 = 8_000;

pub(crate) struct Client {
    socket: WebSocketStream<TcpStream>,
}

/// What a server sends that matters to a call.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Packet<'a> {
    /// `43<id>[…]`
    Ack {
        id: &'a str,
        body: &'a str,
    },
    /// `42["name",…]`
    Event {
        name: &'a str,
        body: &'a str,
    },
    Other,
}

impl<'a> Packet<'a> {
    pub(crate) fn parse(text: &'a str) -> Self {
        if let Some(event) = text.strip_prefix("42[\"") {
            return event.split_once('"').map_or(Self::Other, |(name, body)| Self::Event { name, body });
        }
        let ack = text.strip_prefix("43").and_then(|ack| ack.split_once('['));
        ack.map_or(Self::Other, |(id, body)| Self::Ack { id, body })
    }
}

/// The text value of a field, found without parsing: enough for ids, which have no escapes.
pub(crate) fn text_field<'a>(body: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = body.split_once(key)?;
    let (value, _) = rest.strip_prefix("\":\"")?.split_once('"')?;
    Some(value)
}

/// The numeric value of a field, likewise.
pub(crate) fn number_field(body: &str, key: &str) -> Option<u64> {
    let (_, rest) = body.split_once(key)?;
    let digits = rest.strip_prefix("\":")?;
    let end = digits.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}

impl Client {
    /// Connects and registers `user`. `number` tells clients apart: it decides the device and the source address.
    pub(crate) async fn registered(server: SocketAddr, user: &str, number: u32) -> Result<Self, Failure> {
        let mut client = Self::connect(server, user, number).await?;
        client.register(user, number).await?;
        Ok(client)
    }

    /// Connects as `user`, who is not registered by that.
    pub(crate) async fn connect(server: SocketAddr, user: &str, number: u32) -> Result<Self, Failure> {
        let opened = timeout(STEP_DEADLINE, Self::open(server, number)).await;
        let mut client = opened.map_err(|_| format!("{user}: no websocket in {STEP_DEADLINE:?}"))??;
        client.handshake(user).await.map_err(|error| format!("{user}: {error}"))?;
        Ok(client)
    }

    pub(crate) async fn register(&mut self, user: &str, number: u32) -> Result<(), Failure> {
        let device = json!({ "userId": user, "deviceId": format!("device-{number}"), "platform": "bench" });
        self.send(format!("42{}", json!(["register", device]))).await?;
        self.expect("42[\"registered\"").await.map_err(|error| format!("{user}: {error}").into())
    }

    pub(crate) async fn send(&mut self, packet: String) -> Result<(), Failure> {
        Ok(self.socket.send(Message::text(packet)).await?)
    }

    /// The next packet; pings are answered on the way. May be dropped while it waits.
    pub(crate) async fn receive(&mut self) -> Result<Utf8Bytes, Failure> {
        loop {
            match self.socket.next().await.ok_or("connection closed")?? {
                Message::Text(text) if text.as_str() == "2" => self.socket.send(Message::text("3")).await?,
                Message::Text(text) if text.as_str() == "41" => return Err("disconnected by the server".into()),
                Message::Text(text) => return Ok(text),
                Message::Close(_) => return Err("connection closed".into()),
                Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    }

    async fn open(server: SocketAddr, number: u32) -> Result<Self, Failure> {
        let source = Ipv4Addr::from(u32::from(Ipv4Addr::LOCALHOST) + 1 + number / CLIENTS_PER_ADDRESS);
        let socket = TcpSocket::new_v4()?;
        socket.bind((source, 0).into())?;
        let stream = socket.connect(server).await?;
        stream.set_nodelay(true)?;
        let config = WebSocketConfig::default().read_buffer_size(4096).write_buffer_size(0);
        let url = format!("ws://{server}/socket.io/?EIO=4&transport=websocket");
        let (socket, _) = client_async_with_config(url, stream, Some(config)).await?;
        Ok(Self { socket })
    }

    async fn handshake(&mut self, user: &str) -> Result<(), Failure> {
        self.expect("0{").await?;
        self.send(format!("40{}", json!({ "token": token(user)? }))).await?;
        self.expect("40").await
    }

    async fn expect(&mut self, prefix: &str) -> Result<(), Failure> {
        let packet =
            timeout(STEP_DEADLINE, self.receive()).await.map_err(|_| format!("no {prefix} in {STEP_DEADLINE:?}"))??;
        if packet.starts_with(prefix) { Ok(()) } else { Err(format!("wanted {prefix}, got {packet}").into()) }
    }
}

fn token(user: &str) -> Result<String, Failure> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let claims = json!({ "userId": user, "iat": now, "exp": now + TOKEN_LIFETIME.as_secs() });
    Ok(jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET.as_bytes()))?)
}
