//! The parts of a `stun:`, `stuns:`, `turn:` or `turns:` URL (RFC 7064, RFC 7065). The configuration has checked its form.

/// How a server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Udp,
    Tcp,
    Tls,
    Dtls,
}

impl Transport {
    /// What a firewall calls it.
    pub(super) fn protocol(self) -> &'static str {
        match self {
            Self::Udp | Self::Dtls => "UDP",
            Self::Tcp | Self::Tls => "TCP",
        }
    }
}

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServerUrl {
    /// A name or an address, an IPv6 address without its brackets.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) transport: Transport,
}

impl ServerUrl {
    pub(super) fn parse(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once(':')?;
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let is_encrypted = scheme.ends_with('s');
        let named = query.strip_prefix("transport=").map(str::to_ascii_lowercase);
        let transport = match (named.as_deref(), is_encrypted) {
            (Some("tcp"), false) => Transport::Tcp,
            (Some("udp"), true) => Transport::Dtls,
            (_, true) => Transport::Tls,
            (_, false) => Transport::Udp,
        };
        let (host, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, port)) => (host, port.strip_prefix(':')),
            None => place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
        };
        let usual = if is_encrypted { 5349 } else { 3478 };
        Some(Self { host: host.to_owned(), port: port.map_or(Some(usual), |port| port.parse().ok())?, transport })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_have_the_usual_ports_and_transports() {
        for (url, host, port, transport) in [
            ("stun:a.example.org", "a.example.org", 3478, Transport::Udp),
            ("stuns:a", "a", 5349, Transport::Tls),
            ("turn:a:3479?transport=TCP", "a", 3479, Transport::Tcp),
            ("turn:[::1]:3479?transport=udp", "::1", 3479, Transport::Udp),
            ("turns:[::1]", "::1", 5349, Transport::Tls),
            ("turns:a:443?transport=tcp", "a", 443, Transport::Tls),
            ("turns:a?transport=udp", "a", 5349, Transport::Dtls),
        ] {
            let expected = ServerUrl { host: host.into(), port, transport };
            assert_eq!(ServerUrl::parse(url), Some(expected), "{url}");
        }
    }
}
