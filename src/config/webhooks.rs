//! Where what happens to calls is told, and by which secrets that is signed.

use std::sync::Arc;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use secrecy::SecretSlice;
use url::Url;

use super::Mode;
use super::reader::{Reader, comma_list};
use super::service_url::given_receiver;
use super::variables::{Kind, WEBHOOK_EVENTS};

/// What a secret begins with whose key is written in Base64 behind it (Standard Webhooks).
const ENCODED: &str = "whsec_";
/// Whether it ends in `=`, generators do not agree about.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// Standard Webhooks wants 24 bytes.
const KEY_BYTES_MIN: usize = 24;
/// One signs, and another one while it is exchanged.
const SECRETS_MAX: usize = 2;

/// Webhooks.
#[derive(Clone, Debug)]
pub struct WebhookConfig {
    /// Where they go.
    pub url: Url,
    /// The keys that sign: one or two. Each is shown to nobody.
    pub keys: Vec<Arc<SecretSlice<u8>>>,
    /// Which events are told, by their names.
    pub events: Vec<&'static str>,
}

/// The webhooks, if they are configured.
pub(super) fn webhook_config(reader: &mut Reader, mode: Mode, warnings: &mut Vec<String>) -> Option<WebhookConfig> {
    const URL: &str = "WEBHOOK_URL";
    const SECRET: &str = "WEBHOOK_SECRET";
    let url = given_receiver(reader, URL, mode);
    let keys = keys(reader, SECRET, warnings);
    let events = reader.parsed("WEBHOOK_EVENTS", events);
    if !reader.is_given(URL) {
        let given: Vec<_> = [SECRET, "WEBHOOK_EVENTS"].into_iter().filter(|name| reader.is_given(name)).collect();
        if !given.is_empty() {
            let are = if given.len() == 1 { "is" } else { "are" };
            warnings.push(format!("{} {are} ignored: {URL} is not set, so nobody is told", given.join(", ")));
        }
        return None;
    }
    if !reader.is_given(SECRET) {
        let how =
            "is needed beside WEBHOOK_URL: by it the receiver knows who sends (`openssl rand -base64 32` makes one)";
        reader.conflict(SECRET, how);
    }
    Some(WebhookConfig { url: url?, keys, events: events.unwrap_or_else(|| WEBHOOK_EVENTS.to_vec()) })
}

fn keys(reader: &mut Reader, name: &str, warnings: &mut Vec<String>) -> Vec<Arc<SecretSlice<u8>>> {
    let texts = reader.text(name).unwrap_or_default();
    let texts: Vec<_> = texts.split_whitespace().collect();
    if texts.len() > SECRETS_MAX {
        reader.conflict(name, "holds more than two secrets: the new one, and the old one while it is exchanged");
    }
    let mut keys = Vec::new();
    for text in texts {
        let Some(key) = key(text) else {
            reader.conflict(name, format!("holds a secret that begins with {ENCODED} and goes on with no Base64"));
            continue;
        };
        if key.len() < KEY_BYTES_MIN {
            warnings.push(format!("{name} holds a secret of less than {KEY_BYTES_MIN} bytes, which may be guessed"));
        }
        keys.push(Arc::new(SecretSlice::from(key)));
    }
    keys
}

/// The key that a secret stands for; `None` where it cannot be read.
fn key(text: &str) -> Option<Vec<u8>> {
    match text.strip_prefix(ENCODED) {
        Some(encoded) => BASE64.decode(encoded).ok().filter(|key| !key.is_empty()),
        None => Some(text.as_bytes().to_vec()),
    }
}

fn events(text: &str, kind: Kind) -> Option<Vec<&'static str>> {
    let Kind::Choices(words) = kind else { return None };
    let known = |item: &str| words.iter().copied().find(|word| item.eq_ignore_ascii_case(word));
    let list: Vec<_> = comma_list(text).map(known).collect::<Option<_>>()?;
    (!list.is_empty()).then_some(list)
}

#[cfg(test)]
mod tests;
