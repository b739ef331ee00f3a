//! Whether a service is on this machine, or in this network.

use url::{Host, Url};

/// How names end that only a cluster knows.
const CLUSTER_ENDINGS: &[&str] = &[".svc", ".cluster.local"];

/// Whether the service at `url` is on this machine.
pub fn is_here(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Whether it is on this machine, or has a name that only this network knows: one without dots, or one of a cluster.
pub fn is_near(url: &Url) -> bool {
    let is_inside = |name: &str| !name.contains('.') || CLUSTER_ENDINGS.iter().any(|ending| name.ends_with(ending));
    is_here(url) || matches!(url.host(), Some(Host::Domain(name)) if is_inside(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_this_machine_or_has_a_name_of_this_network_is_near() {
        let place = |url: &str| {
            let url = url.parse().unwrap();
            (is_here(&url), is_near(&url))
        };
        for here in ["http://localhost:1", "http://127.0.0.2", "https://[::1]/"] {
            assert_eq!(place(here), (true, true), "{here}");
        }
        for near in ["http://hooks", "https://hooks.apps.svc:8080/x", "http://hooks.apps.svc.cluster.local"] {
            assert_eq!(place(near), (false, true), "{near}");
        }
        for far in ["https://localhost.example.com", "https://svc.example.com", "http://10.0.0.1", "https://[fe80::1]"]
        {
            assert_eq!(place(far), (false, false), "{far}");
        }
    }
}
