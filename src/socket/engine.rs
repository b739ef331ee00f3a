//! Between HTTP and Socket.IO: hands requests to the engine in the form that costs least, and its answers to the client in
//! the form the contract has.
//!
//! A websocket is opened here rather than by the engine, so that what is left of the request and of hyper's buffers is freed:
//! measured at 10,000 idle connections, that is several KB each.

use std::sync::{Arc, Weak};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE,
};
use axum::http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use socketioxide::extract::SocketRef;
use socketioxide::handler::ConnectHandler;
use socketioxide::service::SocketIoService;
use socketioxide::{ParserConfig, SocketIo};
use tower::{Service, ServiceExt};
use tungstenite::handshake::derive_accept_key;

use crate::listener::{Connection, Io, OpenConnections};
use crate::metrics::Connect;
use crate::socket::connect::Admission;
use crate::socket::hub::Hub;

/// The path of Socket.IO.
const PATH: &str = "/socket.io";
/// Bytes read from a websocket at once. Every connection keeps such a buffer; candidates and acks fit.
const READ_BUFFER_BYTES: usize = 512;
/// The query parameter that finds a websocket's connection; ours is the last one of that name.
const OPENED: &str = "opened";
/// Most binary attachments of one packet.
pub const MAX_ATTACHMENTS: usize = 10;
/// Largest error answer of the engine, in bytes.
const MAX_ERROR_BYTES: usize = 1024;
/// The headers the engine looks at. The others are not kept for as long as the connection lives.
const KEPT_HEADERS: [HeaderName; 3] = [CONTENT_TYPE, CONTENT_LENGTH, ORIGIN];

/// The engine as a service.
pub(super) type EngineService = SocketIoService<Router>;

/// The Socket.IO side of the node.
pub struct Engine {
    service: EngineService,
    hub: Arc<Hub>,
    open_connections: OpenConnections,
}

impl Engine {
    /// An engine whose clients become sessions of `hub`.
    pub fn new(hub: Arc<Hub>, open_connections: OpenConnections) -> Self {
        let settings = &hub.settings;
        let max_payload = settings.limits.max_payload;
        let (service, io) = SocketIo::builder()
            .req_path(PATH)
            .ping_interval(settings.socket.ping_interval)
            .ping_timeout(settings.socket.ping_timeout)
            .connect_timeout(settings.socket.connect_timeout)
            .max_buffer_size(settings.socket.send_queue)
            .max_payload(max_payload as u64)
            .ws_max_message_size(max_payload)
            .ws_max_frame_size(max_payload)
            .ws_read_buffer_size(READ_BUFFER_BYTES)
            .with_parser(ParserConfig::common().max_incoming_binaries(MAX_ATTACHMENTS))
            // Nothing passes the engine by: other paths do not get here.
            .build_with_inner_svc(Router::new());
        let connected = hub.clone();
        let on_connected = async move |socket: SocketRef| connected.start(socket.id.as_str());
        io.ns("/", on_connected.with(Admission(hub.clone())));
        hub.transports.set_service(service.clone());
        Self { service, hub, open_connections }
    }

    /// Whether `path` is the engine's.
    pub fn is_at(path: &str) -> bool {
        path.strip_prefix(PATH).is_some_and(|rest| rest.is_empty() || rest == "/")
    }

    /// Whether `request` opens a websocket.
    pub fn is_upgrade<B>(request: &Request<B>) -> bool {
        request.method() == Method::GET
            && request.headers().get(UPGRADE).is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket"))
            && query_value(request.uri(), "transport") == Some("websocket")
            && query_value(request.uri(), "EIO") == Some("4")
    }

    /// Opens a websocket.
    pub async fn upgrade(&self, mut request: Request<Incoming>) -> Response<Body> {
        if self.is_full(request.uri()) {
            return full();
        }
        if query_value(request.uri(), "sid").is_some() {
            return self.upgrade_polling(request).await;
        }
        let Some(key) = request.headers().get(SEC_WEBSOCKET_KEY) else {
            return bad_request();
        };
        let Ok(accept) = HeaderValue::try_from(derive_accept_key(key.as_bytes())) else {
            return bad_request();
        };
        let upgrade = hyper::upgrade::on(&mut request);
        let mut compact = compact(&request);
        if let Some(connection) = request.extensions().get::<Weak<Connection>>() {
            let number = self.hub.transports.open(connection);
            if let Ok(uri) = format!("{}&{OPENED}={number}", compact.uri()).parse() {
                *compact.uri_mut() = uri;
            }
        }
        self.hub.lifecycle.spawn(run_websocket(self.service.clone(), upgrade, compact));
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        response
    }

    /// Opens a websocket for a session that polls. The engine does it: should the websocket fail, it ends the session, which
    /// would otherwise hang between the two.
    async fn upgrade_polling(&self, mut request: Request<Incoming>) -> Response<Body> {
        let mut compact = compact(&request);
        if let Some(key) = request.headers_mut().remove(SEC_WEBSOCKET_KEY) {
            compact.headers_mut().insert(SEC_WEBSOCKET_KEY, key);
        }
        if let Some(upgrade) = request.extensions_mut().remove::<OnUpgrade>() {
            compact.extensions_mut().insert(upgrade);
        }
        if let Some(sid) = query_value(compact.uri(), "sid")
            && let Some(connection) = request.extensions().get::<Weak<Connection>>()
            && !self.hub.transports.claim(sid, connection)
        {
            return bad_request();
        }
        let Ok(response) = self.service.clone().oneshot(compact.map(|()| Body::empty())).await;
        with_numeric_code(response.map(Body::new)).await
    }

    /// Answers everything at the engine's path that does not open a websocket.
    pub fn polling(self: &Arc<Self>) -> Router {
        let engine = self.clone();
        Router::new().fallback(move |request: Request<Body>| async move { engine.poll(request).await })
    }

    async fn poll(&self, request: Request<Body>) -> Response<Body> {
        if self.is_full(request.uri()) {
            return full();
        }
        if query_value(request.uri(), "transport") == Some("websocket")
            && query_value(request.uri(), "EIO") == Some("4")
        {
            return bad_request();
        }
        if let Some(sid) = query_value(request.uri(), "sid") {
            self.hub.note_poll(sid);
        }
        let request = compact(&request).map(|()| request.into_body());
        let Ok(response) = self.service.clone().oneshot(request).await;
        with_numeric_code(response.map(Body::new)).await
    }

    /// Whether this is a new client and there is no room for one, or no time; counts it then.
    fn is_full(&self, uri: &Uri) -> bool {
        // The connection that asks is among the open ones.
        let (clients, connections) = (self.hub.connected(), self.open_connections.count());
        let max = self.hub.limits.get(|limits| limits.max_connections);
        if query_value(uri, "sid").is_some() {
            return false;
        }
        let why = if self.hub.is_draining() {
            Connect::Draining
        } else if clients >= max || connections > max {
            Connect::Full
        } else {
            return false;
        };
        self.hub.metrics.connects.inc(why);
        true
    }
}

/// Runs Socket.IO over the connection once it is a websocket.
async fn run_websocket(mut service: EngineService, upgrade: OnUpgrade, request: Request<()>) {
    // Fails where the client is gone.
    let Ok(upgraded) = upgrade.await else { return };
    let Ok(parts) = upgraded.downcast::<TokioIo<Io>>() else { return };
    // What a fast client has sent already is not lost.
    let io = parts.io.into_inner().with_already_read(&parts.read_buf);
    let _ = Service::<(Io, Request<()>)>::call(&mut service, (io, request)).await;
}

/// What the engine needs of `request`, in memory of its own: the original's is one large buffer, kept alive by any part of it.
fn compact<B>(request: &Request<B>) -> Request<()> {
    let mut compact = Request::new(());
    *compact.method_mut() = request.method().clone();
    if request.uri().query().is_some_and(|query| query == "EIO=4&transport=websocket") {
        // What nearly every client asks for takes no memory at all.
        *compact.uri_mut() = Uri::from_static("/socket.io/?EIO=4&transport=websocket");
    } else if let Some(path) = request.uri().path_and_query().and_then(|path| path.as_str().to_owned().parse().ok()) {
        *compact.uri_mut() = path;
    }
    for name in KEPT_HEADERS {
        if let Some(value) =
            request.headers().get(&name).and_then(|value| HeaderValue::from_bytes(value.as_bytes()).ok())
        {
            compact.headers_mut().insert(name, value);
        }
    }
    compact
}

/// The first value of a query parameter.
fn query_value<'a>(uri: &'a Uri, name: &str) -> Option<&'a str> {
    let pairs = uri.query()?.split('&').filter_map(|pair| pair.split_once('='));
    pairs.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// The number under which the websocket of a handshake was opened.
pub(super) fn opened_number(uri: &Uri) -> Option<u64> {
    let pairs = uri.query()?.rsplit('&').filter_map(|pair| pair.split_once('='));
    pairs.into_iter().find(|(key, _)| *key == OPENED)?.1.parse().ok()
}

fn full() -> Response<Body> {
    let mut response =
        refusal(StatusCode::SERVICE_UNAVAILABLE, r#"{"success":false,"error":"Server is full or shutting down"}"#);
    // Whoever comes back over the same connection would meet the same node.
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

fn bad_request() -> Response<Body> {
    refusal(StatusCode::BAD_REQUEST, r#"{"code":3,"message":"Bad request"}"#)
}

fn refusal(status: StatusCode, json: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(json));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The engine writes `{"code":"1",…}`; the contract has a number there.
async fn with_numeric_code(response: Response<Body>) -> Response<Body> {
    if response.status() != StatusCode::BAD_REQUEST {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let text = to_bytes(body, MAX_ERROR_BYTES).await.ok();
    let error = text.and_then(|text| serde_json::from_slice::<serde_json::Value>(&text).ok());
    let code = error.as_ref().and_then(|error| error.get("code")?.as_str()?.parse::<u8>().ok());
    let (Some(mut error), Some(code)) = (error, code) else {
        return bad_request();
    };
    error["code"] = code.into();
    parts.headers.remove(CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(error.to_string()))
}
