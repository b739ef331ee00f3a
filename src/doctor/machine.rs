//! This machine: the ports of a node, and how many connections it may have open.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::config::Config;
use crate::finding::Finding;

/// What a node has open beside its clients: Redis, push services, a scraper, log files.
const BESIDE_CLIENTS: u64 = 100;
/// How long what listens at a port may take to say what it is.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Answers to `/readyz` have some hundred bytes.
const ANSWER_BYTES_MAX: u64 = 4096;

/// What is to be said about this machine.
pub(super) async fn findings(config: &Config) -> Vec<Finding> {
    let host = config.server.host;
    let public = port("PORT", host, config.server.port, config.server.tls.is_some()).await;
    let inside = match config.server.metrics_port {
        Some(number) => port("METRICS_PORT", host, number, false).await,
        None => Finding::absent("METRICS_PORT", "off: no metrics, and probes have to ask PORT"),
    };
    vec![public, inside, descriptors(config.limits.max_connections)]
}

async fn port(name: &str, host: IpAddr, number: u16, is_encrypted: bool) -> Finding {
    if number == 0 {
        return Finding::absent(name, "0: the system chooses a free port");
    }
    let address = SocketAddr::new(host, number);
    let Err(error) = TcpListener::bind(address).await else {
        return Finding::ok(name, format!("{address} is free"));
    };
    match error.kind() {
        // The certificate is made for the name that clients use, and not for this machine's.
        ErrorKind::AddrInUse if is_encrypted => Finding::warning(
            name,
            format!("{address} is in use (by a node that runs already?)"),
            format!("Set {name} to another port, or end what listens there (ss -ltnp), unless it is a node"),
        ),
        ErrorKind::AddrInUse => match tokio::time::timeout(ANSWER_TIMEOUT, ask(address)).await {
            Ok(Some(ready)) => in_use(name, address, &ready),
            Ok(None) | Err(_) => Finding::problem(
                name,
                format!("{address} is in use, and not by a switchboard that answers"),
                format!("Set {name} to another port, or end what listens there (ss -ltnp)"),
            ),
        },
        ErrorKind::PermissionDenied => Finding::problem(
            name,
            format!("{address} may not be used by this user"),
            format!("Set {name} to a port of 1024 or above, and put a proxy in front"),
        ),
        ErrorKind::AddrNotAvailable => Finding::problem(
            name,
            format!("{host} is no address of this machine"),
            "Set HOST to an address that this machine has, or to 0.0.0.0",
        ),
        _ => Finding::problem(
            name,
            format!("cannot listen on {address}: {error}"),
            format!("Set HOST or {name} to what can be used"),
        ),
    }
}

/// What a node says of itself.
#[derive(Deserialize)]
struct Ready {
    status: String,
    #[serde(default)]
    reasons: Vec<String>,
}

/// What the node that listens there says, if it is one.
async fn ask(address: SocketAddr) -> Option<Ready> {
    let here = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    let mut stream = TcpStream::connect((here, address.port())).await.ok()?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await.ok()?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer).await.ok()?;
    ready(&answer)
}

/// What stands in an answer over HTTP, which may come in chunks.
fn ready(answer: &str) -> Option<Ready> {
    let body = answer.split_once("\r\n\r\n")?.1;
    serde_json::from_str(body.get(body.find('{')?..=body.rfind('}')?)?).ok()
}

fn in_use(name: &str, address: SocketAddr, ready: &Ready) -> Finding {
    let Ready { status, reasons } = ready;
    if reasons.is_empty() {
        return Finding::ok(name, format!("{address} is in use by a node that runs already, and is {status}"));
    }
    Finding::warning(
        name,
        format!("{address} is in use by a node that runs already, and is not ready: {}", reasons.join(", ")),
        "Mend what is told below, or wait if the node is draining",
    )
}

fn descriptors(connections: usize) -> Finding {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    judged(open_files(&limits), connections)
}

/// The soft limit of open files; `None` where there is none, or nobody knows.
fn open_files(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

fn judged(limit: Option<u64>, connections: usize) -> Finding {
    const SUBJECT: &str = "open files";
    let Some(limit) = limit else {
        return Finding::absent(SUBJECT, "no limit, or none that this system tells of");
    };
    let needed = connections as u64 + BESIDE_CLIENTS;
    let found = format!("{limit} for a process that is started here");
    if limit >= needed {
        return Finding::ok(SUBJECT, found);
    }
    Finding::warning(
        SUBJECT,
        format!("{found}, fewer than MAX_CONNECTIONS={connections} needs"),
        format!(
            "Set LimitNOFILE={needed} or more in the systemd unit (ulimit -n in a shell), or lower MAX_CONNECTIONS"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Mark;

    const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn the_soft_limit_of_open_files_is_read_and_judged() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max processes             7000                 7000                 processes \n\
                      Max open files            1024                 524288               files     \n";
        assert_eq!(open_files(limits), Some(1024));
        assert_eq!(open_files("Max open files            unlimited            unlimited            files"), None);
        assert_eq!(
            [judged(Some(1024), 924).mark, judged(Some(1024), 925).mark, judged(None, 1).mark],
            [Mark::Ok, Mark::Warning, Mark::Absent]
        );
    }

    #[tokio::test]
    async fn a_free_port_is_free_and_one_of_a_stranger_is_a_problem() {
        let stranger = TcpListener::bind((LOCALHOST, 0)).await.unwrap();
        let number = stranger.local_addr().unwrap().port();
        let answer = tokio::spawn(async move {
            let (mut stream, _) = stranger.accept().await.unwrap();
            stream.write_all(b"SSH-2.0-stranger\r\n").await.unwrap();
        });
        assert_eq!(port("PORT", LOCALHOST, number, true).await.mark, Mark::Warning);
        assert_eq!(port("PORT", LOCALHOST, number, false).await.mark, Mark::Problem);
        answer.await.unwrap();
        assert_eq!(
            port("PORT", LOCALHOST, number, false).await,
            Finding::ok("PORT", format!("127.0.0.1:{number} is free"))
        );
        assert_eq!(port("PORT", LOCALHOST, 0, false).await.mark, Mark::Absent);
        assert!(port("PORT", [192, 0, 2, 1].into(), number, false).await.advice.unwrap().contains("HOST"));
    }

    #[test]
    fn only_what_a_node_says_is_understood() {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n";
        let is_node = |body: &str| ready(&format!("{head}{body}")).is_some();
        assert!(is_node(r#"{"status":"ready"}"#) && is_node("12\r\n{\"status\":\"ready\"}\r\n0\r\n\r\n"));
        assert!(!is_node("} {") && !is_node("{}") && !is_node("hello") && ready("SSH-2.0-x").is_none());
    }

    #[test]
    fn a_node_that_is_not_ready_says_why() {
        let address = SocketAddr::new(LOCALHOST, 3000);
        let said = |text| in_use("PORT", address, &serde_json::from_str(text).unwrap());
        assert_eq!(said(r#"{"status":"ready"}"#).mark, Mark::Ok);
        let found = said(r#"{"status":"not_ready","reasons":["redis","keys"]}"#);
        assert!(found.mark == Mark::Warning && found.found.ends_with("not ready: redis, keys"), "{found:?}");
    }
}
