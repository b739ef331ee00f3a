//! The settings of the Redis backplane: where Redis is, who the node is to it, and how the connections are protected.
//! Decides whether they fit together; whether such a Redis can be reached is found out elsewhere.

use std::net::Ipv6Addr;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use secrecy::SecretString;
use url::Url;

use super::reader::{Reader, comma_list, whole_number};
use super::variables::Kind;
use super::{RedisConfig, RedisServers, RedisTls};

/// The variables that say where Redis is. One of them is enough, and all there may be.
const NAMING: [&str; 3] = ["REDIS_URL", "REDIS_HOST", "REDIS_SENTINELS"];
const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;
/// RFC 1035, section 2.3.4, without the length bytes.
const HOST_CHARS_MAX: usize = 253;

/// Whether the environment says where Redis is.
pub(super) fn names_a_server(reader: &Reader) -> bool {
    NAMING.iter().any(|name| reader.is_given(name))
}

/// The Redis settings; `None` if they do not say where Redis is, which is noted.
pub(super) fn redis_config(reader: &mut Reader) -> Option<RedisConfig> {
    one_is_enough(reader);
    let url = reader.text("REDIS_URL").map(|text| RedisUrl::parse(&text)).transpose();
    if let Err(reason) = url {
        reader.conflict("REDIS_URL", reason);
    }
    // Of a URL that cannot be read it is not known what it lacks, so nothing is said to be missing.
    let (known, url) = (url.is_ok(), url.ok().flatten());
    let (host, sentinel) = (tcp(reader), sentinel(reader));
    let RedisUrl { servers, username, password, db, tls: encrypted } = url.unwrap_or_default();

    let beside_url = [
        ("REDIS_USERNAME", username.is_some(), "a user"),
        ("REDIS_PASSWORD", password.is_some(), "a password"),
        ("REDIS_DB", db.is_some(), "a database"),
    ];
    for (name, in_url, what) in beside_url {
        if in_url && reader.is_given(name) {
            reader.conflict(name, format!("REDIS_URL names {what} already"));
        }
    }
    let user_in_url = username.is_some();
    let username = username.or(reader.text("REDIS_USERNAME"));
    let password = password.or(reader.text("REDIS_PASSWORD").map(SecretString::from));
    if known && username.is_some() && password.is_none() {
        if user_in_url {
            reader.conflict("REDIS_URL", "names a user without a password; REDIS_PASSWORD may hold it");
        } else {
            reader.conflict("REDIS_USERNAME", "is set without REDIS_PASSWORD");
        }
    }
    let db_outside = reader.number("REDIS_DB");
    let tls = match &servers {
        Some(RedisServers::Unix(_)) => no_tls(reader),
        _ => tls(reader, encrypted, known),
    };
    let key_prefix = reader.parsed("REDIS_KEY_PREFIX", printable).unwrap_or_default();
    let timeout = reader.duration("REDIS_TIMEOUT");
    let servers = servers.or(host).or(sentinel)?;
    Some(RedisConfig { servers, username, password, db: db.unwrap_or(db_outside), tls, key_prefix, timeout })
}

/// Notes if nothing says where Redis is, or more than one variable does.
fn one_is_enough(reader: &mut Reader) {
    let named: Vec<_> = NAMING.into_iter().filter(|name| reader.is_given(name)).collect();
    let Some((first, others)) = named.split_first() else {
        reader.conflict("BACKPLANE", "is redis, but nothing says where: set REDIS_URL, REDIS_HOST or REDIS_SENTINELS");
        return;
    };
    for other in others {
        reader.conflict(other, format!("is set beside {first}; only one of them may say where Redis is"));
    }
    if !reader.is_given("REDIS_HOST") && reader.is_given("REDIS_PORT") {
        reader.conflict("REDIS_PORT", format!("is set beside {first}, where the port has its place"));
    }
}

fn tcp(reader: &mut Reader) -> Option<RedisServers> {
    let port = reader.number("REDIS_PORT");
    let host = reader.parsed("REDIS_HOST", |text, _| host(text))?;
    Some(RedisServers::Tcp { host, port })
}

fn sentinel(reader: &mut Reader) -> Option<RedisServers> {
    const ABOUT: [&str; 3] = ["REDIS_SENTINEL_MASTER", "REDIS_SENTINEL_USERNAME", "REDIS_SENTINEL_PASSWORD"];
    let [master, username, password] = ABOUT.map(|name| reader.text(name));
    if !reader.is_given("REDIS_SENTINELS") {
        for name in ABOUT {
            if reader.is_given(name) {
                reader.conflict(name, "is set without REDIS_SENTINELS");
            }
        }
        return None;
    }
    if master.is_none() {
        reader.conflict("REDIS_SENTINELS", "is set without REDIS_SENTINEL_MASTER");
    }
    if username.is_some() && password.is_none() {
        reader.conflict("REDIS_SENTINEL_USERNAME", "is set without REDIS_SENTINEL_PASSWORD");
    }
    let servers = |text: &str, _| {
        let servers: Option<Vec<_>> = comma_list(text).map(server).collect();
        servers.filter(|servers| !servers.is_empty())
    };
    let sentinels = reader.parsed("REDIS_SENTINELS", servers)?;
    Some(RedisServers::Sentinel { sentinels, master: master?, username, password: password.map(SecretString::from) })
}

/// A Sentinel, with its port or without.
fn server(text: &str) -> Option<(String, u16)> {
    if let Some(host) = host(text) {
        return Some((host, SENTINEL_PORT));
    }
    let (name, port) = text.rsplit_once(':')?;
    // Without its brackets an IPv6 address does not show where it ends.
    let ends = name.ends_with(']') || !name.contains(':');
    let port = whole_number(port).and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0)?;
    if ends { Some((host(name)?, port)) } else { None }
}

/// A host name or an IP address, without the brackets of an IPv6 address.
fn host(text: &str) -> Option<String> {
    let in_brackets = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if let Ok(address) = in_brackets.unwrap_or(text).parse::<Ipv6Addr>() {
        return Some(address.to_string());
    }
    let is_name = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'));
    (is_name && (1..=HOST_CHARS_MAX).contains(&text.len())).then(|| text.to_owned())
}

fn printable(text: &str, kind: Kind) -> Option<String> {
    let Kind::Printable(most) = kind else {
        return None;
    };
    let is_printable = !text.contains(char::is_control) && text.chars().count() <= most;
    is_printable.then(|| text.to_owned())
}

const TLS_FILES: [&str; 3] = ["REDIS_TLS_CA", "REDIS_TLS_CERT", "REDIS_TLS_KEY"];

/// What is said about TLS beside a socket of this machine is a mistake.
fn no_tls(reader: &mut Reader) -> Option<RedisTls> {
    const NO_TLS: &str = "a Unix socket, which REDIS_URL names, has no TLS";
    if reader.optional_flag("REDIS_TLS") == Some(true) {
        reader.conflict("REDIS_TLS", NO_TLS);
    }
    for name in TLS_FILES {
        if reader.is_given(name) {
            reader.conflict(name, NO_TLS);
        }
    }
    None
}

/// `encrypted` is what the URL says, and `known` whether it could be read. Of what cannot be read only that is said.
fn tls(reader: &mut Reader, encrypted: bool, known: bool) -> Option<RedisTls> {
    let flag = reader.optional_flag("REDIS_TLS");
    if encrypted && flag == Some(false) {
        reader.conflict("REDIS_TLS", "is false, but REDIS_URL starts with rediss://");
    }
    let on = encrypted || flag == Some(true);
    let known = known && flag.is_some() == reader.is_given("REDIS_TLS");
    if known && !on {
        for name in TLS_FILES {
            if reader.is_given(name) {
                reader.conflict(name, "is set without TLS: set REDIS_TLS=true, or use rediss://");
            }
        }
    }
    let [ca, certificate, key] = TLS_FILES.map(|name| reader.text(name).map(PathBuf::from));
    match (&certificate, &key) {
        (Some(_), None) => reader.conflict("REDIS_TLS_CERT", "is set without REDIS_TLS_KEY"),
        (None, Some(_)) => reader.conflict("REDIS_TLS_KEY", "is set without REDIS_TLS_CERT"),
        (Some(_), Some(_)) | (None, None) => {}
    }
    on.then(|| RedisTls { ca, client: certificate.zip(key) })
}

/// What a `REDIS_URL` says; what it leaves out is `None`.
#[derive(Default)]
struct RedisUrl {
    servers: Option<RedisServers>,
    username: Option<String>,
    password: Option<SecretString>,
    db: Option<u16>,
    tls: bool,
}

impl RedisUrl {
    /// Reads a URL. It may hold a password anywhere, also where none belongs, so a refusal repeats nothing of it.
    fn parse(text: &str) -> Result<Self, &'static str> {
        const UNREADABLE: &str = "is not a URL that can be read; in a user name and a password, \
             characters such as / ? # and % stand percent-encoded (%2F, %3F, %23, %25)";
        let url = Url::parse(&with_host(text)).map_err(|_| UNREADABLE)?;
        let tls = url.scheme() == "rediss";
        let (servers, in_path) = match url.scheme() {
            "redis" | "rediss" => (tcp_of(&url)?, url.path().trim_start_matches('/')),
            "unix" | "redis+unix" => (unix_of(&url)?, ""),
            _ => return Err("wants a URL that starts with redis://, rediss:// or unix://"),
        };
        if url.fragment().is_some() {
            return Err(UNREADABLE);
        }
        let decoded = |text: &str| match percent_decode_str(text).decode_utf8() {
            Ok(text) if text.is_empty() => Ok(None),
            Ok(text) => Ok(Some(text.into_owned())),
            Err(_) => Err("has a user name or a password that is not UTF-8"),
        };
        let username = decoded(url.username())?;
        let password = decoded(url.password().unwrap_or_default())?.map(SecretString::from);
        Ok(Self { servers: Some(servers), username, password, db: db_of(&url, in_path)?, tls })
    }
}

/// The URL of a socket with a user has no host, which not every parser takes: `unix://user:password@/path/to.sock`.
fn with_host(text: &str) -> String {
    let parts = text.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.split_once('/')?)));
    match parts {
        Some((scheme, (user, path))) if scheme.ends_with("unix") && user.ends_with('@') => {
            format!("{scheme}://{user}localhost/{path}")
        }
        _ => text.to_owned(),
    }
}

fn tcp_of(url: &Url) -> Result<RedisServers, &'static str> {
    let host = url.host_str().and_then(host).ok_or("names no host; it has the form redis://host:6379")?;
    let port = url.port().unwrap_or(PORT);
    if port == 0 {
        return Err("names port 0, at which nobody listens");
    }
    Ok(RedisServers::Tcp { host, port })
}

fn unix_of(url: &Url) -> Result<RedisServers, &'static str> {
    let path = url.to_file_path().ok().filter(|path| path.file_name().is_some());
    path.map(RedisServers::Unix).ok_or("names no socket; it has the form unix:///path/to.sock")
}

/// The database, which stands in the path of the URL or in its query.
fn db_of(url: &Url, in_path: &str) -> Result<Option<u16>, &'static str> {
    let number = |text: &str| {
        let number = whole_number(text).and_then(|number| u16::try_from(number).ok());
        number.ok_or("wants a number from 0 to 65535 for the database, /0 or ?db=0")
    };
    let mut db = if in_path.is_empty() { None } else { Some(number(in_path)?) };
    for (name, value) in url.query_pairs() {
        if name != "db" {
            return Err("may have ?db=0 behind it, but no other parameter");
        }
        if db.replace(number(&value)?).is_some() {
            return Err("names the database twice");
        }
    }
    Ok(db)
}

#[cfg(test)]
mod tests;
