//! What operators of TURN servers write, and what they are told.

use std::fs;

use secrecy::ExposeSecret;

use crate::config::{Config, TurnCredentials};

const URL: (&str, &str) = ("TURN_SERVER_URL", "turn:turn.example.org:3478");
const SECRET: (&str, &str) = ("TURN_STATIC_SECRET", "s");

fn read<const N: usize>(vars: [(&str, &str); N]) -> Config {
    Config::from_vars(vars).unwrap()
}

fn errors<const N: usize>(vars: [(&str, &str); N]) -> String {
    Config::from_vars(vars).unwrap_err().to_string()
}

#[test]
fn turn_credentials_come_whole_and_with_a_server() {
    assert_eq!(errors([URL, ("TURN_USERNAME", "u")]), "TURN_USERNAME: is set without TURN_CREDENTIAL");
    assert_eq!(errors([URL, ("TURN_CREDENTIAL", "c")]), "TURN_CREDENTIAL: is set without TURN_USERNAME");
    assert_eq!(errors([SECRET]), "TURN_STATIC_SECRET: is set without TURN_SERVER_URL");
    let pair = [URL, ("TURN_USERNAME", "u"), ("TURN_CREDENTIAL", "c")];
    assert!(matches!(read(pair).ice.turn, TurnCredentials::Static { .. }));
    assert!(matches!(read([URL, SECRET]).ice.turn, TurnCredentials::Secret(_)));
    assert_eq!(read([URL]).warnings.len(), 1);
    let [username, credential] = [("TURN_USERNAME", "u"), ("TURN_CREDENTIAL", "c")];
    assert_eq!(read([URL, SECRET, username, credential]).warnings.len(), 1);
}

#[test]
fn ice_urls_have_their_schemes() {
    let several = "turn:h:3478?transport=udp, turns:h:443?transport=tcp,";
    let config = read([("TURN_SERVER_URL", several), SECRET]);
    assert_eq!(config.ice.turn_urls, ["turn:h:3478?transport=udp", "turns:h:443?transport=tcp"]);
    for bad in ["h:3478", "stun:h", "turn:", "turn:a b", ",", "turn:a,b"] {
        assert!(errors([("TURN_SERVER_URL", bad)]).starts_with("TURN_SERVER_URL: got"), "{bad}");
    }
    assert!(errors([("STUN_SERVER_URL", "turn:h")]).starts_with("STUN_SERVER_URL: got"));
}

#[test]
fn what_a_browser_would_throw_at_is_no_url() {
    for good in ["turn:h", "turns:10.0.0.1:443", "turn:[::1]:3478?transport=tcp", "turn:a_b-c.example?transport=UDP"] {
        assert_eq!(read([("TURN_SERVER_URL", good), SECRET]).ice.turn_urls, [good]);
    }
    let hosts = [
        "//h",
        "//h:3478",
        "user@h",
        "user:password@h",
        "h/path",
        "h#f",
        "",
        ":3478",
        "?transport=udp",
        "[h]",
        "[::1",
        "::1",
    ];
    let ports = ["h:", "h:0", "h:65536", "h:x", "h:+1"];
    let queries = ["h?", "h?transport=", "h?transport=sctp", "h?foo=bar", "h?transport=tcp&x=1"];
    for bad in hosts.into_iter().chain(ports).chain(queries) {
        let url = format!("turn:{bad}");
        assert!(errors([("TURN_SERVER_URL", &url), SECRET]).starts_with("TURN_SERVER_URL: got"), "{bad}");
        let regions = errors([URL, SECRET, ("TURN_REGIONS", &format!("eu={url}"))]);
        assert!(regions.starts_with("TURN_REGIONS: region \"eu\" has \"turn:"), "{regions}");
    }
    for bad in ["stun://h", "stun:h:99999", "stun:a,b", "stun:h?transport=udp"] {
        assert!(errors([("STUN_SERVER_URL", bad)]).starts_with("STUN_SERVER_URL: got"), "{bad}");
    }
}

#[test]
fn regions_have_names_and_servers() {
    let text = "eu=turn:a?transport=udp, turns:a:443?transport=tcp;\n US-1 = turn:b ;";
    let regions = read([URL, SECRET, ("TURN_REGIONS", text)]).ice.turn_regions;
    let regions: Vec<_> = regions.iter().map(|region| (&*region.name, region.urls.join(" "))).collect();
    let expected = [("eu", "turn:a?transport=udp turns:a:443?transport=tcp"), ("us-1", "turn:b")];
    assert_eq!(regions, expected.map(|(name, urls)| (name, urls.to_owned())));
}

#[test]
fn everything_wrong_with_the_regions_is_listed() {
    let text = errors([
        URL,
        SECRET,
        ("TURN_REGIONS", "turn:a; e u=turn:a; eu=turn:a,stun:b; us=; ap=turn:a; AP=turn:b; =turn:c"),
    ]);
    let no_name = "does not begin with the name of a region, up to 32 letters, digits, - and _, and an equals sign";
    let expected = [
        format!("TURN_REGIONS: \"turn:a\" {no_name}"),
        format!("TURN_REGIONS: \"e u=turn:a\" {no_name}"),
        "TURN_REGIONS: region \"eu\" has \"stun:b\", which is no TURN URL such as turn:a.example.org:3478?transport=udp".into(),
        "TURN_REGIONS: region \"us\" has no URL".into(),
        "TURN_REGIONS: region \"ap\" is there twice".into(),
        format!("TURN_REGIONS: \"=turn:c\" {no_name}"),
    ];
    assert_eq!(text.lines().collect::<Vec<_>>(), expected);
    assert_eq!(errors([URL, SECRET, ("TURN_REGIONS", ";")]), "TURN_REGIONS: names no region");
    let alone = errors([("TURN_REGIONS", "eu=turn:a")]);
    assert!(alone.starts_with("TURN_REGIONS: is set without TURN_SERVER_URL"), "{alone}");
    assert!(errors([URL, SECRET, ("TURN_REGIONS", &format!("{}=turn:a", "x".repeat(33)))]).contains(no_name));
}

#[test]
fn the_secret_may_be_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    let file = ("TURN_STATIC_SECRET_FILE", path.to_str().unwrap());
    let missing = errors([URL, file]);
    assert!(missing.starts_with("TURN_STATIC_SECRET_FILE: cannot be read: "), "{missing}");
    fs::write(&path, "\n  \n").unwrap();
    assert_eq!(errors([URL, file]), "TURN_STATIC_SECRET_FILE: names an empty file");
    fs::write(&path, "\n the-new one \r\nthe-old-one\n").unwrap();
    let TurnCredentials::Secret(secret) = read([URL, file]).ice.turn else { panic!("no secret") };
    assert_eq!(secret.expose_secret(), "the-new one");
    fs::write(&path, "\u{feff}as Windows writes it\r\n").unwrap();
    let TurnCredentials::Secret(secret) = read([URL, file]).ice.turn else { panic!("no secret") };
    assert_eq!(secret.expose_secret(), "as Windows writes it");
    let both = "TURN_STATIC_SECRET_FILE: is set beside TURN_STATIC_SECRET; only one of them may hold the secret";
    assert_eq!(errors([URL, SECRET, file]), both);
    assert_eq!(errors([file]), "TURN_STATIC_SECRET_FILE: is set without TURN_SERVER_URL");
}

#[test]
fn what_would_not_end_is_no_file_of_a_secret() {
    let folder = tempfile::tempdir().unwrap();
    let large = folder.path().join("large");
    fs::write(&large, "x".repeat(65_537)).unwrap();
    let error = |path: &str| errors([URL, ("TURN_STATIC_SECRET_FILE", path)]);
    assert_eq!(error(large.to_str().unwrap()), "TURN_STATIC_SECRET_FILE: names a file of more than 65536 bytes");
    for other in ["/dev/zero", folder.path().to_str().unwrap()] {
        assert_eq!(error(other), "TURN_STATIC_SECRET_FILE: names something that is no file");
    }
}
