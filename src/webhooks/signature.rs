//! By what a receiver knows that an event is from here, whole, and of this hour.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use secrecy::{ExposeSecret, SecretSlice};
use sha2::Sha256;

/// Signs with every key there is: while one is exchanged for another, receivers may know either.
pub(super) struct Signer(Vec<Arc<SecretSlice<u8>>>);

impl Signer {
    pub(super) fn new(keys: Vec<Arc<SecretSlice<u8>>>) -> Self {
        Self(keys)
    }

    /// The signatures of what is sent at this second, separated by blanks.
    pub(super) fn sign(&self, id: &str, seconds: u64, body: &[u8]) -> String {
        let sign = |key: &Arc<SecretSlice<u8>>| {
            // HMAC takes keys of any length.
            let mut hmac = Hmac::<Sha256>::new_from_slice(key.expose_secret()).expect("a key of any length");
            hmac.update(format!("{id}.{seconds}.").as_bytes());
            hmac.update(body);
            format!("v1,{}", STANDARD.encode(hmac.finalize().into_bytes()))
        };
        self.0.iter().map(sign).collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the reference implementations of Standard Webhooks.
    #[test]
    fn the_published_example_comes_out_as_published() {
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let body = br#"{"test": 2432232314}"#;
        let signer = Signer::new(vec![Arc::new(key.into())]);
        let expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(signer.sign(id, 1_614_265_330, body), expected);
        assert_ne!(signer.sign(id, 1_614_265_331, body), expected);
    }

    #[test]
    fn two_keys_make_two_signatures() {
        let signer = |keys: &[u8]| Signer::new(keys.iter().map(|key| Arc::new(vec![*key; 24].into())).collect());
        let [first, second] = [1, 2].map(|key| signer(&[key]).sign("id", 1, b"{}"));
        assert_eq!(signer(&[1, 2]).sign("id", 1, b"{}"), format!("{first} {second}"));
    }
}
