//! The settings of STUN and TURN: which servers there are, in which region, and the credentials that users show them.

use std::net::Ipv6Addr;

use super::problem::shortened;
use super::reader::{Reader, comma_list};
use super::{IceConfig, TurnCredentials, TurnRegion};

/// Longest name of a region, in characters.
const REGION_CHARS_MAX: usize = 32;

/// The STUN and TURN settings.
pub(super) fn ice_config(reader: &mut Reader, warnings: &mut Vec<String>) -> IceConfig {
    let stun = |text: &str, _| is_stun(text).then(|| text.to_owned());
    IceConfig {
        stun_url: reader.parsed("STUN_SERVER_URL", stun).unwrap_or_default(),
        turn_urls: reader.parsed("TURN_SERVER_URL", |text, _| turn_urls(text)).unwrap_or_default(),
        turn_regions: regions(reader),
        turn: credentials(reader, warnings),
        turn_ttl: reader.duration("TURN_TTL"),
        public: reader.flag("ICE_SERVERS_PUBLIC"),
    }
}

/// A URL as RFC 7064 has it. What is none must not get to a browser: it throws at the whole list, and the call fails.
fn is_stun(url: &str) -> bool {
    url.strip_prefix("stun:").or_else(|| url.strip_prefix("stuns:")).is_some_and(is_host_with_port)
}

/// A URL as RFC 7065 has it, with the transports that browsers know.
fn is_turn(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("turn:").or_else(|| url.strip_prefix("turns:")) else { return false };
    let Some((host, query)) = rest.split_once('?') else { return is_host_with_port(rest) };
    let transport = query.strip_prefix("transport=");
    is_host_with_port(host) && transport.is_some_and(|it| ["udp", "tcp"].iter().any(|one| it.eq_ignore_ascii_case(one)))
}

fn is_host_with_port(text: &str) -> bool {
    let is_port =
        |port: &str| port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0);
    if let Some((address, port)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return address.parse::<Ipv6Addr>().is_ok() && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port));
    }
    let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
    let is_host = !host.is_empty() && host.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'));
    is_host && port.is_none_or(is_port)
}

fn turn_urls(text: &str) -> Option<Vec<String>> {
    let urls: Vec<String> = comma_list(text).map(str::to_owned).collect();
    (!urls.is_empty() && urls.iter().all(|url| is_turn(url))).then_some(urls)
}

/// The regions; each that cannot be read is noted, and left out.
fn regions(reader: &mut Reader) -> Vec<TurnRegion> {
    const NAME: &str = "TURN_REGIONS";
    let Some(text) = reader.text(NAME) else { return Vec::new() };
    if !reader.is_given("TURN_SERVER_URL") {
        reader.conflict(
            NAME,
            "is set without TURN_SERVER_URL, the servers of clients that name no region or another one",
        );
    }
    let mut regions: Vec<TurnRegion> = Vec::new();
    let mut count = 0;
    for item in text.split(';').map(str::trim).filter(|item| !item.is_empty()) {
        count += 1;
        match region(item) {
            Ok(region) if regions.iter().any(|other| other.name == region.name) => {
                reader.conflict(NAME, format!("region {:?} is there twice", region.name));
            }
            Ok(region) => regions.push(region),
            Err(reason) => reader.conflict(NAME, reason),
        }
    }
    if count == 0 {
        reader.conflict(NAME, "names no region");
    }
    regions
}

/// One region, as `eu=turn:a.example.org,turns:a.example.org`; or what is wrong with it.
fn region(item: &str) -> Result<TurnRegion, String> {
    let is_name = |name: &str| {
        let chars = name.chars().count();
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        (1..=REGION_CHARS_MAX).contains(&chars) && name.chars().all(fits)
    };
    let Some((name, urls)) = item.split_once('=').map(|(name, urls)| (name.trim(), urls)).filter(|(n, _)| is_name(n))
    else {
        return Err(format!(
            "{:?} does not begin with the name of a region, up to {REGION_CHARS_MAX} letters, digits, - and _, and an equals sign",
            shortened(item)
        ));
    };
    if let Some(bad) = comma_list(urls).find(|url| !is_turn(url)) {
        let bad = shortened(bad);
        return Err(format!(
            "region {name:?} has {bad:?}, which is no TURN URL such as turn:a.example.org:3478?transport=udp"
        ));
    }
    let urls = turn_urls(urls).ok_or_else(|| format!("region {name:?} has no URL"))?;
    Ok(TurnRegion { name: name.to_ascii_lowercase(), urls })
}

fn credentials(reader: &mut Reader, warnings: &mut Vec<String>) -> TurnCredentials {
    const PARTS: [&str; 3] = ["TURN_USERNAME", "TURN_CREDENTIAL", "TURN_STATIC_SECRET"];
    let any = PARTS.iter().any(|name| reader.is_given(name));
    match (reader.is_given("TURN_SERVER_URL"), any) {
        (true, false) => warnings.push(
            "TURN_SERVER_URL is ignored: browsers refuse a TURN server without credentials, \
             set TURN_STATIC_SECRET or TURN_USERNAME and TURN_CREDENTIAL"
                .into(),
        ),
        (false, true) => {
            for name in PARTS {
                if reader.is_given(name) {
                    reader.conflict(name, "is set without TURN_SERVER_URL");
                }
            }
        }
        (true, true) | (false, false) => {}
    }
    let [username, credential, secret] = PARTS.map(|name| reader.text(name));
    if secret.is_some() && username.is_some() && credential.is_some() {
        warnings.push("TURN_USERNAME and TURN_CREDENTIAL are ignored beside TURN_STATIC_SECRET".into());
    }
    match (username, credential, secret) {
        (Some(_), None, _) => {
            reader.conflict("TURN_USERNAME", "is set without TURN_CREDENTIAL");
            TurnCredentials::None
        }
        (None, Some(_), _) => {
            reader.conflict("TURN_CREDENTIAL", "is set without TURN_USERNAME");
            TurnCredentials::None
        }
        (_, _, Some(secret)) => TurnCredentials::Secret(first_line(&secret).into()),
        (Some(username), Some(credential), None) => TurnCredentials::Static { username, credential: credential.into() },
        (None, None, None) => TurnCredentials::None,
    }
}

/// The settings of a TURN server are lines: what stands below the first one in a file is a remark, such as the secret before.
fn first_line(secret: &str) -> &str {
    secret.lines().next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests;
