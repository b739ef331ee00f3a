//! Real keys, made by `openssl`, tokens signed with them, and a stand-in for the key server of an identity provider.

use std::collections::VecDeque;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::Response;
use axum::routing::get;
use futures_util::StreamExt;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::auth::Authenticator;
use crate::clock::{Clock, Timestamp};
use crate::config::Config;

/// What the clocks of these tests say.
pub(super) const NOW: Timestamp = Timestamp(1_700_000_000_000);
pub(super) const NOW_SECONDS: u64 = NOW.0 / 1000;

/// How long anything may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// A key pair.
pub(super) struct TestKey {
    algorithm: Algorithm,
    encoding_key: EncodingKey,
    /// The public half, as PEM.
    pub(super) pem: String,
}

/// Three pairs that tokens are signed with, a second one of RSA, and two that are too short or rarely used.
pub(super) static RSA: LazyLock<TestKey> = LazyLock::new(|| TestKey::rsa(2048));
pub(super) static OTHER_RSA: LazyLock<TestKey> = LazyLock::new(|| TestKey::rsa(2048));
pub(super) static SHORT_RSA: LazyLock<TestKey> = LazyLock::new(|| TestKey::rsa(1024));
pub(super) static P256: LazyLock<TestKey> = LazyLock::new(|| TestKey::ec("P-256", Algorithm::ES256));
pub(super) static P384: LazyLock<TestKey> = LazyLock::new(|| TestKey::ec("P-384", Algorithm::ES384));
pub(super) static ED25519: LazyLock<TestKey> = LazyLock::new(TestKey::ed);

impl TestKey {
    fn rsa(bits: u32) -> Self {
        let private = openssl(&["genrsa", "-traditional", &bits.to_string()], b"");
        let der = openssl(&["rsa", "-traditional", "-outform", "DER"], &private);
        Self::new(Algorithm::RS256, EncodingKey::from_rsa_der(&der), &private)
    }

    fn ec(curve: &str, algorithm: Algorithm) -> Self {
        let curve = format!("ec_paramgen_curve:{curve}");
        let private = openssl(&["genpkey", "-algorithm", "EC", "-pkeyopt", &curve], b"");
        let der = openssl(&["pkcs8", "-topk8", "-nocrypt", "-outform", "DER"], &private);
        Self::new(algorithm, EncodingKey::from_ec_der(&der), &private)
    }

    fn ed() -> Self {
        let private = openssl(&["genpkey", "-algorithm", "ED25519"], b"");
        let der = openssl(&["pkcs8", "-topk8", "-nocrypt", "-outform", "DER"], &private);
        Self::new(Algorithm::EdDSA, EncodingKey::from_ed_der(&der), &private)
    }

    fn new(algorithm: Algorithm, encoding_key: EncodingKey, private: &[u8]) -> Self {
        let pem = String::from_utf8(openssl(&["pkey", "-pubout"], private)).unwrap();
        Self { algorithm, encoding_key, pem }
    }

    /// A token with these claims, by the usual algorithm of the key.
    pub(super) fn sign(&self, kid: Option<&str>, claims: &Value) -> String {
        self.sign_with(&Header { kid: kid.map(str::to_owned), ..Header::new(self.algorithm) }, claims)
    }

    pub(super) fn sign_with(&self, header: &Header, claims: &Value) -> String {
        encode(header, claims, &self.encoding_key).unwrap()
    }

    /// The public half as a provider publishes it, with `fields` beside.
    pub(super) fn jwk(&self, kid: &str, fields: &Value) -> Value {
        let mut jwk =
            serde_json::to_value(Jwk::from_encoding_key(&self.encoding_key, self.algorithm).unwrap()).unwrap();
        jwk["kid"] = kid.into();
        for (name, value) in fields.as_object().unwrap() {
            jwk[name] = value.clone();
        }
        jwk
    }
}

/// What `openssl` makes of `input`.
pub(super) fn openssl(args: &[&str], input: &[u8]) -> Vec<u8> {
    let spawned =
        Command::new("openssl").args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut child = spawned.expect("openssl is missing: tests/run installs it");
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "openssl {args:?}");
    output.stdout
}

/// A key set of these keys.
pub(super) fn key_set(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

/// Claims of alice that are good for an hour, with `fields` beside.
pub(super) fn claims(fields: &Value) -> Value {
    let mut claims = json!({ "sub": "alice", "iat": NOW_SECONDS, "exp": NOW_SECONDS + 3600 });
    for (name, value) in fields.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

/// An authenticator with these settings.
pub(super) fn authenticator_with(vars: &[(&str, &str)], clock: Clock) -> Authenticator {
    Authenticator::new(&Config::from_vars(vars.iter().copied()).unwrap().auth, clock)
}

/// What a key server answers.
#[derive(Clone)]
pub(super) enum Answer {
    /// This, which may be kept as long as it says.
    Keys(String, &'static str),
    /// This status, and nothing.
    Status(u16),
    /// To look there.
    Redirect(String),
    /// This without end.
    Endless(&'static [u8]),
    /// Nothing, ever.
    Silence,
}

/// A key server: a real one, on a port of this machine. It gives the answers of its script, and then the last of them for ever.
pub(super) struct StandIn {
    script: Arc<Script>,
    /// Its address.
    pub(super) url: String,
    _serving: AbortOnDropHandle<()>,
}

struct Script {
    answers: Mutex<VecDeque<Answer>>,
    asked: watch::Sender<usize>,
}

impl StandIn {
    pub(super) async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let answers = Mutex::new(answers.into_iter().collect());
        let script = Arc::new(Script { answers, asked: watch::Sender::new(0) });
        let router = Router::new().route("/keys", get(answer)).with_state(script.clone());
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { script, url, _serving: AbortOnDropHandle::new(serving) }
    }

    /// Answers like this from here on.
    pub(super) fn answers(&self, answer: Answer) {
        *self.script.answers.lock() = [answer].into();
    }

    /// How often it has been asked.
    pub(super) fn times(&self) -> usize {
        *self.script.asked.borrow()
    }

    /// Waits until it has been asked so often.
    pub(super) async fn asked(&self, times: usize) {
        let mut asked = self.script.asked.subscribe();
        let waited = asked.wait_for(|asked| *asked >= times);
        tokio::time::timeout(PATIENCE, waited).await.expect("the key server is not asked").unwrap();
    }
}

async fn answer(State(script): State<Arc<Script>>) -> Response<Body> {
    script.asked.send_modify(|asked| *asked += 1);
    let answer = {
        let mut answers = script.answers.lock();
        if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() }
    };
    let response = Response::builder();
    match answer.unwrap() {
        Answer::Keys(keys, cache_control) => response.header("cache-control", cache_control).body(Body::from(keys)),
        Answer::Status(status) => response.status(status).body(Body::empty()),
        Answer::Redirect(to) => response.status(302).header("location", to).body(Body::empty()),
        Answer::Endless(bytes) => {
            let stream = futures_util::stream::repeat(bytes).map(Ok::<_, std::io::Error>);
            response.body(Body::from_stream(stream))
        }
        Answer::Silence => std::future::pending().await,
    }
    .unwrap()
}
