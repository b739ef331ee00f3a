//! Public keys: what each of them may verify, and which one a token means.
//!
//! The algorithm is never the token's to choose. A key has a list of its own: what its kind is good for, what it says of itself, and
//! what the configuration allows. A key set holds public keys only; one that offers secrets is not believed.

use std::collections::HashSet;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, Validation, crypto, decode};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::config::{PublicKey, PublicKeyKind};

/// Most keys of a key set: providers have two to six.
const KEYS_MAX: usize = 64;
/// What is safe, and what can be checked.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

/// A public key and what it may verify.
pub(super) struct VerifyingKey {
    key: DecodingKey,
    validation: Validation,
}

impl VerifyingKey {
    /// `None` if the key is broken or good for none of these algorithms.
    fn new(key: DecodingKey, algorithms: Vec<Algorithm>) -> Option<Self> {
        // An empty signature is never good; a key that cannot even be asked is broken.
        crypto::verify("", b"", &key, *algorithms.first()?).ok()?;
        Some(Self { key, validation: claims_unread(algorithms) })
    }

    /// A key of the configured file.
    pub(super) fn from_file(key: &PublicKey, allowed: &[Algorithm]) -> Option<Self> {
        let decoding_key = match key.kind {
            PublicKeyKind::Rsa => DecodingKey::from_rsa_der(&key.bytes),
            PublicKeyKind::P256 | PublicKeyKind::P384 => DecodingKey::from_ec_der(&key.bytes),
            PublicKeyKind::Ed25519 => DecodingKey::from_ed_der(&key.bytes),
        };
        let good_for = key.kind.algorithms().iter().filter_map(|name| name.parse().ok());
        Self::new(decoding_key, good_for.filter(|algorithm| allowed.contains(algorithm)).collect())
    }

    fn from_jwk(jwk: &Jwk, allowed: &[Algorithm]) -> Option<Self> {
        let common = &jwk.common;
        let is_for_signatures = common.public_key_use.as_ref().is_none_or(|to| *to == PublicKeyUse::Signature)
            && common.key_operations.as_ref().is_none_or(|to| to.contains(&KeyOperations::Verify));
        if !is_for_signatures {
            return None;
        }
        let good_for: &[Algorithm] = match &jwk.algorithm {
            AlgorithmParameters::RSA(key) if is_sound_rsa(&key.n) => AlgorithmFamily::Rsa.algorithms(),
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => &[Algorithm::ES256],
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => &[Algorithm::ES384],
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => &[Algorithm::EdDSA],
            _ => &[],
        };
        // One that names no algorithm is good for all of its kind; one that names another, for none.
        let own: Option<Option<Algorithm>> = common.key_algorithm.map(|own| own.try_into().ok());
        let fits = |algorithm: &Algorithm| allowed.contains(algorithm) && own.is_none_or(|own| own == Some(*algorithm));
        Self::new(DecodingKey::from_jwk(jwk).ok()?, good_for.iter().copied().filter(fits).collect())
    }

    /// Whether a token that was signed by `algorithm` may be verified with this key.
    pub(super) fn fits(&self, algorithm: Algorithm) -> bool {
        self.validation.algorithms.contains(&algorithm)
    }

    /// The claims of `token`, if this key has signed it.
    pub(super) fn verify(&self, token: &str) -> Option<Map<String, Value>> {
        Some(decode(token, &self.key, &self.validation).ok()?.claims)
    }
}

/// Has the library check the signature and nothing else: it would judge claims by the system's clock.
pub(super) fn claims_unread(algorithms: Vec<Algorithm>) -> Validation {
    Validation {
        algorithms,
        required_spec_claims: HashSet::new(),
        validate_exp: false,
        validate_nbf: false,
        validate_aud: false,
        ..Validation::default()
    }
}

fn is_sound_rsa(modulus: &str) -> bool {
    let Ok(bytes) = URL_SAFE_NO_PAD.decode(modulus) else {
        return false;
    };
    let leading_zeros: usize =
        bytes.iter().position(|byte| *byte != 0).map_or(0, |at| 8 * at + bytes[at].leading_zeros() as usize);
    RSA_BITS.contains(&(8 * bytes.len() - leading_zeros))
}

/// The keys of an identity provider.
#[derive(Default)]
pub(super) struct KeySet(Vec<(Option<String>, Arc<VerifyingKey>)>);

/// What a key set has for a token.
pub(super) enum Found {
    /// This key.
    Key(Arc<VerifyingKey>),
    /// A key of that name that is not for this algorithm, or several without a name: no key that may yet come changes that.
    Misfit,
    /// Nothing.
    Unknown,
}

/// What was sent in place of a key set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeySetError {
    /// It is not JSON of the form `{"keys": […]}`.
    #[error("the answer is not a JSON Web Key Set")]
    Malformed,
    /// There are more keys than [`KEYS_MAX`].
    #[error("the key set has more than {KEYS_MAX} keys")]
    TooMany,
    /// None of its keys is of any use here.
    #[error("the key set has no key for the algorithms that are allowed")]
    Useless,
}

impl KeySet {
    /// Reads a JSON Web Key Set. Keys that are for something else, or that nothing is known about, are left out.
    pub(super) fn parse(json: &[u8], allowed: &[Algorithm]) -> Result<Self, KeySetError> {
        #[derive(Deserialize)]
        struct Document {
            keys: Vec<Value>,
        }
        let Document { keys } = serde_json::from_slice(json).map_err(|_| KeySetError::Malformed)?;
        if keys.len() > KEYS_MAX {
            return Err(KeySetError::TooMany);
        }
        let jwks = keys.into_iter().filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
        let usable = jwks.filter_map(|jwk| {
            let key = VerifyingKey::from_jwk(&jwk, allowed)?;
            Some((jwk.common.key_id, Arc::new(key)))
        });
        let set = Self(usable.collect());
        if set.0.is_empty() { Err(KeySetError::Useless) } else { Ok(set) }
    }

    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// By which of `allowed` something may be signed so that one of these keys verifies it.
    pub(super) fn algorithms(&self, allowed: &[Algorithm]) -> Vec<Algorithm> {
        let fits = |algorithm: &&Algorithm| self.0.iter().any(|(_, key)| key.fits(**algorithm));
        allowed.iter().filter(fits).copied().collect()
    }

    /// Whether both have keys of the same names, in the same order.
    pub(super) fn has_names_of(&self, other: &Self) -> bool {
        self.0.iter().map(|(name, _)| name).eq(other.0.iter().map(|(name, _)| name))
    }

    /// The key of a token with this name of its key, signed by `algorithm`. A token that names none is taken only where one key alone
    /// fits: it is not tried with one after the other.
    pub(super) fn find(&self, name: Option<&str>, algorithm: Algorithm) -> Found {
        let named = || self.0.iter().filter(|(own, _)| name.is_none() || own.as_deref() == name);
        let mut fitting = named().filter(|(_, key)| key.fits(algorithm));
        match (fitting.next(), fitting.next()) {
            (Some((_, key)), None) => Found::Key(key.clone()),
            (Some(_), Some(_)) => Found::Misfit,
            (None, _) if name.is_some() && named().next().is_some() => Found::Misfit,
            (None, _) => Found::Unknown,
        }
    }
}
