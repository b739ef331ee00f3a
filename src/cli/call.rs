//! `switchboard call`: asks a node for the timeline of a call, and prints it for a person or as it came.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::Deserialize;
use url::Url;

use crate::config::Config;
use crate::ids::CallId;
use crate::lifecycle::run_to_end;
use crate::outbound::header::HeaderMap;
use crate::outbound::{Client, Manner};
use crate::timeline::{self, Account};

/// Longest answer that is read: many times the longest timeline.
const BYTES_MAX: usize = 1 << 20;

/// There is nothing to print.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Nobody said where the node is.
    #[error(
        "METRICS_PORT names no port here: say where a node answers the inside, such as --node http://10.0.0.7:9464"
    )]
    NoPort,
    /// It does not answer.
    #[error("no node answers at {0}: {1}")]
    Unreachable(Url, String),
    /// It has no timeline of this call.
    #[error("{0}: {1}")]
    Refused(Url, String),
    /// Whatever answers is no node, or one of another release.
    #[error("what answers at {0} is not a timeline; does METRICS_PORT of a node listen there?")]
    NoTimeline(Url),
}

/// Where the node of this configuration answers the inside.
///
/// # Errors
/// If it does not, or at a port of its own choice.
pub fn own_node(config: &Config) -> Result<Url, CallError> {
    let port = config.server.metrics_port.filter(|port| *port != 0).ok_or(CallError::NoPort)?;
    let host = if config.server.host.is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { config.server.host };
    Url::parse(&format!("http://{}", SocketAddr::new(host, port))).map_err(|_| CallError::NoPort)
}

/// The timeline of a call as the node at `node` has it: as text, or as JSON.
///
/// # Errors
/// [`CallError`].
pub fn call(node: &Url, id: CallId, as_json: bool) -> Result<String, CallError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| CallError::Unreachable(node.clone(), error.to_string()))?;
    let (status, body) = run_to_end(runtime, ask(node, id))?;
    if status != 200 {
        #[derive(Deserialize)]
        struct Refusal {
            error: String,
        }
        let refusal: Refusal = serde_json::from_slice(&body).map_err(|_| CallError::NoTimeline(node.clone()))?;
        return Err(CallError::Refused(node.clone(), harmless(&refusal.error)));
    }
    let account: Account = serde_json::from_slice(&body).map_err(|_| CallError::NoTimeline(node.clone()))?;
    let text = if as_json { String::from_utf8_lossy(&body).into_owned() } else { timeline::lines(&account) };
    Ok(harmless(&text))
}

async fn ask(node: &Url, id: CallId) -> Result<(u16, Vec<u8>), CallError> {
    let nowhere = || CallError::NoTimeline(node.clone());
    let url =
        Url::parse(&format!("{}/calls/{id}/timeline", node.as_str().trim_end_matches('/'))).map_err(|_| nowhere())?;
    let answer = Client::new(node, Manner::Inside).get(url, HeaderMap::new(), BYTES_MAX).await;
    let answer = answer.map_err(|failure| CallError::Unreachable(node.clone(), failure.reason()))?;
    Ok((answer.status.as_u16(), answer.body.ok_or_else(nowhere)?))
}

/// A text without what a terminal would obey, whoever has answered.
fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_node_is_where_the_configuration_has_it() {
        let at = |vars: &[(&'static str, &'static str)]| {
            own_node(&Config::from_vars(vars.iter().copied()).unwrap()).map(|url| url.to_string())
        };
        assert_eq!(at(&[]), Ok("http://127.0.0.1:9464/".into()));
        assert_eq!(at(&[("HOST", "10.0.0.7"), ("METRICS_PORT", "9000")]), Ok("http://10.0.0.7:9000/".into()));
        assert_eq!(at(&[("HOST", "::1"), ("METRICS_PORT", "9000")]), Ok("http://[::1]:9000/".into()));
        for off in ["off", "0"] {
            assert_eq!(at(&[("METRICS_PORT", off)]), Err(CallError::NoPort));
        }
    }

    #[test]
    fn a_node_that_is_not_there_is_said_so() {
        // A port that was free a moment ago.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let node = Url::parse(&format!("http://127.0.0.1:{port}")).unwrap();
        let error = call(&node, CallId::from_u128(7), false).unwrap_err().to_string();
        assert_eq!(harmless("a\u{1b}[2J\nb\u{9b}"), "a [2J\nb ");
        assert!(error.contains("no node answers") && error.contains("refused"), "{error}");
    }
}
