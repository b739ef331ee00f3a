//! The certificate that clients are shown: whether the files hold one, with its key, that is good at present. What they hold is shown to
//! nobody.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_cert::Certificate;
use x509_cert::der::Decode;

use super::file::text_of;
use super::reader::Reader;
use crate::clock::{Clock, Timestamp};

const CERTIFICATE: &str = "TLS_CERT";
const KEY: &str = "TLS_KEY";
/// Most certificates of a file: the server's own and some in between.
const CHAIN_MAX: usize = 10;
/// How long before its end a certificate is worth a warning: those that are renewed by machines are by then.
const WARNED_BEFORE: Duration = Duration::from_secs(7 * 86_400);

/// A certificate with its key, which shows nothing of itself.
#[derive(Clone)]
pub struct TlsIdentity {
    /// What connections are encrypted with.
    pub key: Arc<CertifiedKey>,
    /// From when on clients refuse it.
    pub expires_at: Timestamp,
    /// Its serial number, by which it is told from the one before.
    pub serial: String,
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TlsIdentity({}, until {})", self.serial, self.expires_at.to_iso8601())
    }
}

impl PartialEq for TlsIdentity {
    /// A certificate may be made again for another key, but not with the same signature.
    fn eq(&self, other: &Self) -> bool {
        self.key.cert == other.key.cert
    }
}

/// The certificate that is configured, if one is. Where the files give none, that of `kept` counts, and why is the second.
pub(super) fn tls_identity(
    reader: &mut Reader,
    kept: Option<&TlsIdentity>,
    warnings: &mut Vec<String>,
) -> (Option<TlsIdentity>, Option<(&'static str, String)>) {
    let [certificate, key] = [CERTIFICATE, KEY].map(|name| reader.text(name));
    let (certificate, key) = match (certificate, key) {
        (Some(certificate), Some(key)) => (certificate, key),
        (None, None) => return (None, None),
        (Some(_), None) => {
            reader.conflict(CERTIFICATE, format!("is set without {KEY}"));
            return (None, None);
        }
        (None, Some(_)) => {
            reader.conflict(KEY, format!("is set without {CERTIFICATE}"));
            return (None, None);
        }
    };
    let now = Clock::system().now();
    match (identity(&certificate, &key, now), kept) {
        (Ok(identity), _) => {
            if now.plus(WARNED_BEFORE) >= identity.expires_at {
                warnings.push(format!("{CERTIFICATE} is good until {} only", identity.expires_at.to_iso8601()));
            }
            (Some(identity), None)
        }
        (Err(problem), Some(kept)) => (Some(kept.clone()), Some(problem)),
        (Err((name, problem)), None) => {
            reader.conflict(name, problem);
            (None, None)
        }
    }
}

/// The certificate of one file with the key of another; or which variable names the wrong one, and what is wrong with it.
fn identity(certificate: &str, key: &str, now: Timestamp) -> Result<TlsIdentity, (&'static str, String)> {
    let bad_certificate = |problem: &str| (CERTIFICATE, problem.to_owned());
    let bad_key = |problem: &str| (KEY, problem.to_owned());
    let text = text_of(certificate).map_err(|error| (CERTIFICATE, error.to_string()))?;
    let chain: Vec<CertificateDer> = CertificateDer::pem_slice_iter(text.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|_| bad_certificate("names a file that is not PEM throughout"))?;
    if chain.len() > CHAIN_MAX {
        return Err(bad_certificate("names a file of more certificates than a server shows"));
    }
    let own = chain.first().ok_or_else(|| bad_certificate("names a file without a certificate in PEM"))?;
    let own =
        Certificate::from_der(own).map_err(|_| bad_certificate("names a file whose first certificate is none"))?;
    let own = own.tbs_certificate;
    let text = text_of(key).map_err(|error| (KEY, error.to_string()))?;
    let key = PrivateKeyDer::from_pem_slice(text.as_bytes())
        .map_err(|_| bad_key("names a file without a private key in PEM that has no password"))?;
    let certified = CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => bad_key("names a key that is not that of the certificate"),
        rustls::Error::InvalidCertificate(_) => bad_certificate(
            "names a file whose first certificate is of no use to a server; it has to be of version 3, for one thing",
        ),
        _ => bad_key("names a key of a kind that is not known; RSA, P-256, P-384 and Ed25519 are"),
    })?;
    let expires_at = Timestamp(own.validity.not_after.to_unix_duration().as_secs() * 1000);
    if expires_at <= now {
        return Err(bad_certificate(&format!("names a certificate that was good until {}", expires_at.to_iso8601())));
    }
    Ok(TlsIdentity { key: Arc::new(certified), expires_at, serial: own.serial_number.to_string() })
}

#[cfg(test)]
mod tests;
