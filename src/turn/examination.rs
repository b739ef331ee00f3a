//! A look at the STUN and TURN servers that are handed out: each is asked for what a phone would ask for, with credentials that a phone
//! would get.

use std::net::IpAddr;
use std::time::Duration;

use futures_util::future::join_all;

use crate::clock::Stopwatch;
use crate::config::TurnCredentials;
use crate::finding::{Finding, spoken};
use crate::turn::IceServers;
use crate::turn::message::{Answer, Ask, Request, Signed};
use crate::turn::url::{ServerUrl, Transport};
use crate::turn::wire::{Lost, Wire};

/// How long giving back a relay may take.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(1);
/// Whose credentials are tried.
const USER: &str = "doctor";

impl IceServers {
    /// What is to be said about the servers.
    pub async fn examine(&self) -> Vec<Finding> {
        let stun = examine_stun(&self.config.stun_url);
        let Some(credentials) = self.credentials(USER).filter(|_| self.has_turn()) else {
            let found = "not configured: calls in mobile networks and offices often have no sound";
            return vec![stun.await, Finding::absent("TURN", found)];
        };
        let is_shared = matches!(self.config.turn, TurnCredentials::Secret { .. });
        let turn = self.places().into_iter().map(|(subject, url)| {
            let credentials = &credentials;
            async move { examine_turn(subject, url, credentials, is_shared).await }
        });
        let (stun, mut findings) = tokio::join!(stun, join_all(turn));
        findings.insert(0, stun);
        findings
    }

    /// Every TURN server once, with the region that names it first.
    fn places(&self) -> Vec<(String, &str)> {
        let everybody = self.config.turn_urls.iter().map(|url| (String::new(), url));
        let regions = self.config.turn_regions.iter();
        let regional = regions.flat_map(|region| region.urls.iter().map(|url| (format!("{} ", region.name), url)));
        let mut places: Vec<(String, &str)> = Vec::new();
        for (region, url) in everybody.chain(regional) {
            if places.iter().all(|(_, other)| other != url) {
                places.push((format!("{region}{url}"), url));
            }
        }
        places
    }
}

async fn examine_stun(url: &str) -> Finding {
    let stopwatch = Stopwatch::start();
    let answer = async {
        let server = ServerUrl::parse(url).ok_or(Lost::Unknown)?;
        let mut wire = Wire::open(&server).await?;
        wire.ask(&Request::new(Ask::Binding, None).ok_or(Lost::Stranger)?).await
    };
    let advice = "Set STUN_SERVER_URL to a server that answers, unless only this machine is kept from it by a firewall";
    match answer.await {
        Ok(Answer { mapped: Some(mapped), .. }) => Finding::ok(
            url,
            format!("answers in {}, and sees this machine at {}", spoken(stopwatch.elapsed()), mapped.ip()),
        ),
        Ok(_) => Finding::warning(url, "answers, and not with an address", advice),
        Err(lost) => Finding::warning(url, format!("{lost}; phones may find no direct way to each other"), advice),
    }
}

async fn examine_turn(subject: String, url: &str, credentials: &(String, String), is_shared: bool) -> Finding {
    let Some(server) = ServerUrl::parse(url).filter(|server| server.transport != Transport::Dtls) else {
        return Finding::absent(subject, "not tried: TURN over DTLS is left to phones");
    };
    match allocate(&server, credentials).await {
        Ok(Allocated { answer, server: address, is_open, took }) => {
            judged(subject, &answer, address, is_open, is_shared, &took)
        }
        Err(lost) => unanswered(subject, &server, &lost),
    }
}

/// What came of asking for a relay.
struct Allocated {
    answer: Answer,
    server: IpAddr,
    /// Nobody was asked who they are.
    is_open: bool,
    took: String,
}

/// Asks for a relay, and gives it back.
async fn allocate(server: &ServerUrl, credentials: &(String, String)) -> Result<Allocated, Lost> {
    let request = |ask, signed: Option<&Signed>| Request::new(ask, signed).ok_or(Lost::Stranger);
    let mut wire = Wire::open(server).await?;
    let stopwatch = Stopwatch::start();
    let mut answer = wire.ask(&request(Ask::Allocate, None)?).await?;
    let is_open = answer.is_success;
    let mut signed = None;
    // The first answer says in which realm; the next may say that this took too long (438).
    for _ in 0..2 {
        if !matches!(answer.code, Some(401 | 438)) || (answer.code == Some(401) && signed.is_some()) {
            break;
        }
        let Some(challenged) = Signed::new(credentials, &answer) else { break };
        answer = wire.ask(&request(Ask::Allocate, Some(&challenged))?).await?;
        signed = Some(challenged);
    }
    let took = spoken(stopwatch.elapsed());
    if answer.is_success {
        // One that is not given back ends by itself after ten minutes.
        let release = request(Ask::Release, signed.as_ref())?;
        let _ = tokio::time::timeout(RELEASE_TIMEOUT, wire.ask(&release)).await;
    }
    Ok(Allocated { answer, server: wire.address.ip(), is_open, took })
}

fn judged(subject: String, answer: &Answer, server: IpAddr, is_open: bool, is_shared: bool, took: &str) -> Finding {
    if let Some(code) = answer.code {
        return refused(subject, code, is_shared);
    }
    let Some(relayed) = answer.relayed.map(|address| address.ip()).filter(|_| answer.is_success) else {
        return Finding::problem(subject, "the answer has no relay in it", "Look into the log of the TURN server");
    };
    let found = format!("gives a relay at {relayed}, in {took}");
    if is_private(relayed) && !is_private(server) {
        return Finding::problem(
            subject,
            format!("{found}, which is a private address: nobody outside reaches it"),
            "Set external-ip=<public address> in turnserver.conf",
        );
    }
    if is_open {
        let advice =
            "Set use-auth-secret in turnserver.conf: whoever finds this server sends what they like through it";
        return Finding::warning(subject, format!("{found}, to anybody, without credentials"), advice);
    }
    if is_private(relayed) {
        return Finding::warning(
            subject,
            format!("{found}, which is a private address, as that of the server is: phones outside do not reach it"),
            "Name the server by its public address or name, and set external-ip in turnserver.conf, unless all phones are in this network",
        );
    }
    Finding::ok(subject, found)
}

fn refused(subject: String, code: u16, is_shared: bool) -> Finding {
    let (found, advice) = match code {
        401 | 441 if is_shared => (
            "the secret does not match",
            "Give the TURN server the secret that nodes sign with, in its realm (turnadmin -s, or static-auth-secret in turnserver.conf), and compare the clocks of both",
        ),
        401 | 441 => (
            "the user name or the password is wrong",
            "Set TURN_USERNAME and TURN_CREDENTIAL to a user of the TURN server (lt-cred-mech and user= in turnserver.conf)",
        ),
        403 => (
            "it is forbidden",
            "Allow relays to this machine's network in turnserver.conf (allowed-peer-ip, denied-peer-ip)",
        ),
        437 => ("it thinks that it has given us a relay already", "Try again in a minute"),
        438 => ("it calls every nonce stale", "Set stale-nonce=600 in turnserver.conf"),
        442 => ("it relays no UDP", "Take no-udp-relay out of turnserver.conf"),
        486 => ("the quota is used up", "Raise user-quota or total-quota in turnserver.conf"),
        508 => (
            "it has no port left for a relay",
            "Widen min-port to max-port in turnserver.conf, and open them in the firewall",
        ),
        300 => (
            "it sends everybody to another server",
            "Name that server in TURN_SERVER_URL (alternate-server in turnserver.conf)",
        ),
        400 | 420 => ("it does not understand the request", "Check that this is a TURN server, and a recent one"),
        _ => ("it is in trouble", "Look into the log of the TURN server"),
    };
    Finding::problem(subject, format!("{found} ({code})"), advice)
}

fn unanswered(subject: String, server: &ServerUrl, lost: &Lost) -> Finding {
    let ServerUrl { host, port, transport } = server;
    let advice = match lost {
        Lost::Unknown => format!("Correct the name {host}, or enter it in DNS"),
        Lost::Tls(_) => {
            "Give the TURN server a certificate for this name that phones trust (cert= and pkey= in turnserver.conf)"
                .to_owned()
        }
        Lost::Unreachable(_) | Lost::Silent => {
            let protocol = transport.protocol();
            let own = if *transport == Transport::Tls { ", with tls-listening-port in turnserver.conf" } else { "" };
            format!(
                "Open port {port} for {protocol} in the firewalls of {host}, and see that the TURN server runs and listens there{own}"
            )
        }
        Lost::Stranger => format!("Correct the port {port}: something else listens there"),
    };
    Finding::problem(subject, lost.to_string(), advice)
}

/// Whether an address means something only within one network or machine.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            // 100.64.0.0/10 is what providers share among customers (RFC 6598).
            let is_shared = a == 100 && (64..128).contains(&b);
            ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_unspecified() || is_shared
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unspecified() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, Timestamp};
    use crate::config::Config;
    use crate::finding::Mark;

    fn of(answer: &Answer, server: &str, is_open: bool) -> Finding {
        judged("turn".into(), answer, server.parse().unwrap(), is_open, true, "3 ms")
    }

    fn relay(address: &str) -> Answer {
        Answer { is_success: true, relayed: Some(format!("{address}:50000").parse().unwrap()), ..Answer::default() }
    }

    #[test]
    fn a_relay_has_to_be_where_phones_reach_it() {
        let good = of(&relay("203.0.113.7"), "203.0.113.7", false);
        assert_eq!(good, Finding::ok("turn", "gives a relay at 203.0.113.7, in 3 ms"));
        let hidden = of(&relay("10.0.0.5"), "203.0.113.7", false);
        assert!(hidden.mark == Mark::Problem && hidden.advice.unwrap().contains("external-ip"));
        assert_eq!(of(&relay("10.0.0.5"), "10.0.0.5", false).mark, Mark::Warning);
        let open = of(&relay("203.0.113.7"), "203.0.113.7", true);
        assert!(open.mark == Mark::Warning && open.advice.unwrap().contains("use-auth-secret"));
    }

    #[test]
    fn each_refusal_is_told_in_words() {
        for (code, words, change) in [
            (401, "the secret does not match (401)", "turnadmin -s"),
            (403, "forbidden", "denied-peer-ip"),
            (437, "already", "minute"),
            (486, "quota", "user-quota"),
            (508, "no port left", "min-port"),
            (500, "in trouble (500)", "log"),
        ] {
            let found = of(&Answer { code: Some(code), ..Answer::default() }, "203.0.113.7", false);
            assert!(found.mark == Mark::Problem && found.found.contains(words), "{found:?}");
            assert!(found.advice.as_ref().unwrap().contains(change), "{found:?}");
        }
        let fixed = refused("turn".into(), 401, false);
        assert!(fixed.advice.unwrap().contains("TURN_CREDENTIAL"));
    }

    #[test]
    fn every_server_is_asked_once() {
        let vars = [
            ("TURN_SERVER_URL", "turn:a,turn:b"),
            ("TURN_STATIC_SECRET", "turn-secret"),
            ("TURN_REGIONS", "eu=turn:a,turns:eu; us=turns:eu,turn:us"),
        ];
        let config = Config::from_vars(vars).unwrap();
        let servers = IceServers::new(&config.ice, Clock::following_tokio(Timestamp(0)));
        let subjects: Vec<_> = servers.places().into_iter().map(|(subject, _)| subject).collect();
        assert_eq!(subjects, ["turn:a", "turn:b", "eu turns:eu", "us turn:us"]);
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_told_with_its_port() {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let found = examine_turn(
            "turn".into(),
            &format!("turn:127.0.0.1:{port}?transport=tcp"),
            &("u".into(), "p".into()),
            true,
        )
        .await;
        assert!(found.mark == Mark::Problem && found.found.contains("refused"), "{found:?}");
        assert!(found.advice.unwrap().contains(&format!("port {port} for TCP")));
    }
}
