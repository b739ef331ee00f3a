//! Certificates as openssl makes them, and what operators put in their place by mistake.

use std::fs;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::config::Config;

const CERTIFICATE: &str = "cert.pem";
const KEY: &str = "key.pem";

/// A folder with a certificate and its key of this kind, good for so many days.
fn folder(kind: &str, days: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let request =
        format!("openssl req -x509 -newkey {kind} -nodes -subj /CN=localhost -keyout {KEY} -out {CERTIFICATE}");
    run(&folder, &format!("{request} {days}"));
    folder
}

fn run(folder: &TempDir, command: &str) {
    let quiet = Command::new("sh").args(["-c", command]).current_dir(folder).stderr(Stdio::null()).status().unwrap();
    assert!(quiet.success(), "openssl is missing: tests/run installs it");
}

fn p256() -> TempDir {
    folder("ec -pkeyopt ec_paramgen_curve:P-256", "-days 30")
}

fn read(certificate: (&TempDir, &str), key: (&TempDir, &str)) -> Result<Config, String> {
    let [certificate, key] = [certificate, key].map(|(folder, name)| folder.path().join(name));
    let vars = [("TLS_CERT", certificate.to_str().unwrap()), ("TLS_KEY", key.to_str().unwrap())];
    Config::from_vars(vars).map_err(|errors| errors.to_string())
}

#[test]
fn certificates_of_the_usual_kinds_are_taken() {
    for kind in ["rsa:2048", "ec -pkeyopt ec_paramgen_curve:P-256", "ec -pkeyopt ec_paramgen_curve:P-384", "ed25519"] {
        let folder = folder(kind, "-days 30");
        let config = read((&folder, CERTIFICATE), (&folder, KEY)).unwrap();
        let identity = config.server.tls.clone().unwrap();
        assert_eq!(identity.key.cert.len(), 1, "{kind}");
        assert!(config.warnings.is_empty(), "{:?}", config.warnings);
        assert!(!format!("{config:?}").contains("PRIVATE KEY"));
    }
}

#[test]
fn other_forms_of_keys_and_chains_are_read() {
    let folder = folder("rsa:2048", "-days 30");
    run(
        &folder,
        &format!("openssl rsa -traditional -in {KEY} -out pkcs1.pem && cat {CERTIFICATE} {CERTIFICATE} > chain.pem"),
    );
    let config = read((&folder, "chain.pem"), (&folder, "pkcs1.pem")).unwrap();
    assert_eq!(config.server.tls.unwrap().key.cert.len(), 2);
    run(&folder, &format!("cat {KEY} {CERTIFICATE} > both.pem"));
    assert!(read((&folder, "both.pem"), (&folder, "both.pem")).is_ok());
}

#[test]
fn what_does_not_fit_is_told_apart() {
    let (one, other) = (p256(), p256());
    let error = |certificate, key| read(certificate, key).unwrap_err();
    assert_eq!(error((&one, CERTIFICATE), (&other, KEY)), "TLS_KEY: names a key that is not that of the certificate");
    assert_eq!(error((&one, KEY), (&one, KEY)), "TLS_CERT: names a file without a certificate in PEM");
    assert_eq!(
        error((&one, CERTIFICATE), (&one, CERTIFICATE)),
        "TLS_KEY: names a file without a private key in PEM that has no password"
    );
    assert!(error((&one, "nothing"), (&one, KEY)).starts_with("TLS_CERT: cannot be read: "));
    assert!(error((&one, CERTIFICATE), (&one, "nothing")).starts_with("TLS_KEY: cannot be read: "));
    fs::write(one.path().join("broken"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    assert_eq!(error((&one, "broken"), (&one, KEY)), "TLS_CERT: names a file whose first certificate is none");
    run(&one, &format!("openssl pkcs8 -topk8 -in {KEY} -passout pass:hunter2 -out locked.pem"));
    run(
        &one,
        &format!(
            "openssl req -new -key {KEY} -subj /CN=x | openssl x509 -req -signkey {KEY} -set_serial 1 -out v1.pem"
        ),
    );
    assert!(error((&one, "v1.pem"), (&one, KEY)).contains("version 3"));
    assert!(error((&one, CERTIFICATE), (&one, "locked.pem")).contains("has no password"));
}

#[test]
fn both_are_needed() {
    let folder = p256();
    let path = folder.path().join(CERTIFICATE);
    let alone = |name| Config::from_vars([(name, path.to_str().unwrap())]).unwrap_err().to_string();
    assert_eq!(alone("TLS_CERT"), "TLS_CERT: is set without TLS_KEY");
    assert_eq!(alone("TLS_KEY"), "TLS_KEY: is set without TLS_CERT");
}

#[test]
fn a_certificate_that_has_expired_stops_the_start_and_one_that_will_soon_is_told() {
    let soon = folder("ec -pkeyopt ec_paramgen_curve:P-256", "-days 3");
    let config = read((&soon, CERTIFICATE), (&soon, KEY)).unwrap();
    assert!(config.warnings.iter().any(|warning| warning.starts_with("TLS_CERT is good until ")));
    // Older releases of openssl make no certificate that has expired, except by signing a request as an authority.
    let expired = p256();
    run(
        &expired,
        &format!(
            "mkdir ca && touch ca/index && echo 01 > ca/serial && openssl req -new -key {KEY} -subj /CN=localhost -out request.pem && \
             printf '[ca]\\ndefault_ca=x\\n[x]\\ndatabase=ca/index\\nserial=ca/serial\\nnew_certs_dir=ca\\ndefault_md=sha256\\npolicy=p\\nx509_extensions=v3\\n[p]\\ncommonName=supplied\\n[v3]\\nbasicConstraints=CA:FALSE\\n' > ca.cnf && \
             openssl ca -batch -config ca.cnf -selfsign -keyfile {KEY} -in request.pem -startdate 20200101000000Z -enddate 20210101000000Z -notext -out expired.pem"
        ),
    );
    assert_eq!(
        read((&expired, "expired.pem"), (&expired, KEY)).unwrap_err(),
        "TLS_CERT: names a certificate that was good until 2021-01-01T00:00:00.000Z"
    );
}
