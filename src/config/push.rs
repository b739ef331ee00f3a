//! The settings of the push services, and the keys in the files they name: whether those can be read, and sign. What the files
//! hold is shown to nobody.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use pkcs8::{ObjectIdentifier, PrivateKeyInfo, SecretDocument};
use secrecy::SecretString;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::Url;

use super::Mode;
use super::file::text_of;
use super::reader::Reader;
use super::service_url::{given_service, service_url};
use super::variables::Kind;

const APNS_PRODUCTION: &str = "https://api.push.apple.com";
const APNS_SANDBOX: &str = "https://api.sandbox.push.apple.com";
/// What PushKit adds to the bundle id of an app.
const VOIP: &str = ".voip";

/// RFC 8017, appendix A.1: rsaEncryption.
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// RFC 5480, section 2.1.1: ecPublicKey.
const ELLIPTIC_CURVE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");

/// Push services.
#[derive(Clone, Debug)]
pub struct PushConfig {
    /// Firebase Cloud Messaging, if it is configured.
    pub fcm: Option<FcmConfig>,
    /// Apple's push service for PushKit (VoIP), if it is configured.
    pub apns: Option<ApnsConfig>,
    /// Whether devices that are connected are left out.
    pub skip_online: bool,
}

/// Firebase Cloud Messaging, by a service account. Keys show nothing of themselves.
#[derive(Clone, Debug)]
pub struct FcmConfig {
    /// The project.
    pub project: String,
    /// The name of the service account.
    pub client_email: String,
    /// The name of its key.
    pub key_id: Option<String>,
    /// Its RSA key; it has signed RS256 once.
    pub key: EncodingKey,
    /// What the text of the key is hashed to: a secret that every node has which pushes by this key.
    pub digest: SecretString,
    /// Where it gets access tokens.
    pub token_uri: Url,
    /// Where messages go.
    pub endpoint: Url,
}

/// Apple's push service.
#[derive(Clone, Debug)]
pub struct ApnsConfig {
    /// The P-256 key; it has signed ES256 once.
    pub key: EncodingKey,
    /// What the text of the key is hashed to: a secret that every node has which pushes by this key.
    pub digest: SecretString,
    /// The name of the key.
    pub key_id: String,
    /// Whose key it is.
    pub team_id: String,
    /// The bundle id of the app, with the ending of PushKit.
    pub topic: String,
    /// Where messages go.
    pub endpoint: Url,
}

impl PushConfig {
    /// A secret that every node has which pushes by the same keys.
    pub fn shared_secret(&self) -> Option<&SecretString> {
        let fcm = self.fcm.as_ref().map(|fcm| &fcm.digest);
        fcm.or(self.apns.as_ref().map(|apns| &apns.digest))
    }
}

/// The push services, as far as they are configured.
pub(super) fn push_config(reader: &mut Reader, mode: Mode, warnings: &mut Vec<String>) -> PushConfig {
    PushConfig {
        fcm: fcm(reader, mode, warnings),
        apns: apns(reader, mode, warnings),
        skip_online: reader.flag("PUSH_SKIP_ONLINE"),
    }
}

fn fcm(reader: &mut Reader, mode: Mode, warnings: &mut Vec<String>) -> Option<FcmConfig> {
    const KEY: &str = "FIREBASE_PRIVATE_KEY_PATH";
    let project = reader.parsed("FIREBASE_PROJECT_ID", word);
    let endpoint = endpoint(reader, "FCM_ENDPOINT", mode);
    let Some(path) = reader.text(KEY) else {
        ignored(reader, &["FIREBASE_PROJECT_ID", "FCM_ENDPOINT"], KEY, warnings);
        return None;
    };
    let text = text_of(&path).map_err(|error| error.to_string());
    match text.and_then(|text| service_account(&text, mode)) {
        Ok(ServiceAccount { project_id, client_email, key_id, key, digest, token_uri }) => {
            let Some(project) = project.or(project_id) else {
                reader.conflict("FIREBASE_PROJECT_ID", format!("is not set, and the file of {KEY} names no project"));
                return None;
            };
            Some(FcmConfig { project, client_email, key_id, key, digest, token_uri, endpoint: endpoint? })
        }
        Err(problem) => {
            reader.conflict(KEY, problem);
            None
        }
    }
}

struct ServiceAccount {
    project_id: Option<String>,
    client_email: String,
    key_id: Option<String>,
    key: EncodingKey,
    digest: SecretString,
    token_uri: Url,
}

/// Reads the file of a service account. The problem in words, without anything that the file holds.
fn service_account(text: &str, mode: Mode) -> Result<ServiceAccount, String> {
    // What the parser has to say may repeat a piece of the file.
    let file: Value = serde_json::from_str(text).map_err(|_| "the file is no JSON")?;
    let field = |name: &str| file.get(name).and_then(Value::as_str).filter(|text| !text.trim().is_empty());
    let needed = |name: &str| field(name).ok_or_else(|| format!("the file is that of no service account: no {name}"));
    let token_uri = needed("token_uri")?;
    Ok(ServiceAccount {
        project_id: field("project_id").and_then(|text| word(text, Kind::Text)),
        client_email: needed("client_email")?.to_owned(),
        key_id: field("private_key_id").map(str::to_owned),
        key: rsa_key(needed("private_key")?).ok_or("the private_key in the file is no RSA key in PKCS #8")?,
        digest: digest(needed("private_key")?),
        token_uri: service_url(token_uri, mode).ok_or("the token_uri in the file wants to start with https://")?,
    })
}

fn apns(reader: &mut Reader, mode: Mode, warnings: &mut Vec<String>) -> Option<ApnsConfig> {
    const KEY: &str = "APNS_KEY_PATH";
    const ABOUT: [&str; 3] = ["APNS_KEY_ID", "APNS_TEAM_ID", "APNS_TOPIC"];
    let [key_id, team_id, topic] = ABOUT.map(|name| reader.parsed(name, word));
    let usual = match reader.choice("APNS_ENVIRONMENT") {
        Some("sandbox") => APNS_SANDBOX,
        _ => APNS_PRODUCTION,
    };
    let endpoint = endpoint(reader, "APNS_ENDPOINT", mode).or_else(|| Url::parse(usual).ok());
    let Some(path) = reader.text(KEY) else {
        ignored(reader, &["APNS_KEY_ID", "APNS_TEAM_ID", "APNS_TOPIC", "APNS_ENDPOINT"], KEY, warnings);
        return None;
    };
    for name in ABOUT {
        if !reader.is_given(name) {
            reader.conflict(name, format!("is needed beside {KEY}"));
        }
    }
    let text = text_of(&path).map_err(|error| error.to_string());
    let key = text.and_then(|text| match ec_key(&text) {
        Some(key) => Ok((key, digest(&text))),
        None => Err("the file holds no P-256 key in PKCS #8".to_owned()),
    });
    if let Err(problem) = &key {
        reader.conflict(KEY, problem.clone());
    }
    let topic = topic.map(|topic| if topic.ends_with(VOIP) { topic } else { topic + VOIP });
    let (key, digest) = key.ok()?;
    Some(ApnsConfig { key, digest, key_id: key_id?, team_id: team_id?, topic: topic?, endpoint: endpoint? })
}

/// Says which of `names` were given although they are of no use without `wanted`.
fn ignored(reader: &Reader, names: &[&str], wanted: &str, warnings: &mut Vec<String>) {
    let given: Vec<_> = names.iter().copied().filter(|name| reader.is_given(name)).collect();
    if !given.is_empty() {
        let are = if given.len() == 1 { "is" } else { "are" };
        warnings.push(format!("{} {are} ignored: {wanted} is not set, so there are no such pushes", given.join(", ")));
    }
}

fn endpoint(reader: &mut Reader, name: &str, mode: Mode) -> Option<Url> {
    given_service(reader, name, mode, |url| url.query().is_none())
}

/// A name that may stand in a header, in a path and in a token.
fn word(text: &str, _: Kind) -> Option<String> {
    let is_word = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':'));
    (is_word && !text.is_empty()).then(|| text.to_owned())
}

/// The key, if it can sign as Google wants it.
fn rsa_key(pem: &str) -> Option<EncodingKey> {
    let (_, document) = SecretDocument::from_pem(pem.trim()).ok()?;
    let info = PrivateKeyInfo::try_from(document.as_bytes()).ok().filter(|info| info.algorithm.oid == RSA)?;
    signs(Algorithm::RS256, EncodingKey::from_rsa_der(info.private_key))
}

/// The key, if it can sign as Apple wants it.
fn ec_key(pem: &str) -> Option<EncodingKey> {
    let (_, document) = SecretDocument::from_pem(pem.trim()).ok()?;
    PrivateKeyInfo::try_from(document.as_bytes()).ok().filter(|info| info.algorithm.oid == ELLIPTIC_CURVE)?;
    signs(Algorithm::ES256, EncodingKey::from_ec_der(document.as_bytes()))
}

/// What the text of a key is hashed to, whatever white space is around it.
fn digest(pem: &str) -> SecretString {
    STANDARD_NO_PAD.encode(Sha256::digest(pem.trim())).into()
}

fn signs(algorithm: Algorithm, key: EncodingKey) -> Option<EncodingKey> {
    encode(&Header::new(algorithm), &json!({}), &key).ok().map(|_| key)
}

#[cfg(test)]
mod tests;
