//! The file of public keys: what kinds of keys there may be, and what is wrong with a file that has others.

use pkcs1::RsaPublicKey;
use spki::der::Document;
use spki::{ObjectIdentifier, SubjectPublicKeyInfoRef};

use super::file::text_of;

/// Most keys of a file: a token without a name of its key is tried with each that fits.
const KEYS_MAX: usize = 8;
/// What is safe, and what can be checked.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

// RFC 8017, RFC 5480 and RFC 8410.
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// A public key that tokens may be signed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// What it is.
    pub kind: PublicKeyKind,
    /// The key: a PKCS#1 `RSAPublicKey`, an uncompressed point, or the 32 bytes of Ed25519.
    pub bytes: Vec<u8>,
}

/// What a public key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublicKeyKind {
    /// RSA, of 2048 to 4096 bits.
    Rsa,
    /// The curve P-256.
    P256,
    /// The curve P-384.
    P384,
    /// Ed25519.
    Ed25519,
}

impl PublicKeyKind {
    /// The algorithms that such a key is good for, spelled as in a token.
    pub fn algorithms(self) -> &'static [&'static str] {
        match self {
            Self::Rsa => &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"],
            Self::P256 => &["ES256"],
            Self::P384 => &["ES384"],
            Self::Ed25519 => &["EdDSA"],
        }
    }
}

/// The keys of a PEM file.
///
/// # Errors
/// What the operator has to mend. Nothing of the file is repeated: it may hold a private key by mistake.
pub(super) fn public_keys(path: &str) -> Result<Vec<PublicKey>, String> {
    let text = text_of(path).map_err(|error| error.to_string())?;
    let keys = blocks(&text).into_iter().map(|(label, pem)| key(label, &pem)).collect::<Result<Vec<_>, _>>()?;
    match keys.len() {
        0 => Err("holds no public key; it wants PEM, -----BEGIN PUBLIC KEY-----".into()),
        1..=KEYS_MAX => Ok(keys),
        count => Err(format!("holds {count} keys, more than {KEYS_MAX}")),
    }
}

/// The blocks of a PEM file and what each calls itself. What stands between them is nobody's concern.
fn blocks(text: &str) -> Vec<(&str, String)> {
    let mut found = Vec::new();
    let mut open: Option<(&str, String)> = None;
    for line in text.lines().map(str::trim_end) {
        if let Some(label) = line.strip_prefix("-----BEGIN ").and_then(|rest| rest.strip_suffix("-----")) {
            open = Some((label, String::new()));
        }
        if let Some((_, block)) = &mut open {
            block.push_str(line);
            block.push('\n');
        }
        if line.starts_with("-----END ") {
            found.extend(open.take());
        }
    }
    // One that does not end is no block, and its decoding says so.
    found.extend(open);
    found
}

fn key(label: &str, pem: &str) -> Result<PublicKey, String> {
    const UNREADABLE: &str = "holds a block that cannot be read as PEM";
    match label {
        "PUBLIC KEY" | "RSA PUBLIC KEY" => {}
        "CERTIFICATE" => {
            return Err("holds a certificate; `openssl x509 -pubkey -noout` makes its public key of it".into());
        }
        label if label.ends_with("PRIVATE KEY") => {
            return Err(
                "holds a PRIVATE key, which belongs to whoever makes the tokens and nowhere else; `openssl pkey \
                        -pubout` makes the public one of it"
                    .into(),
            );
        }
        _ => return Err("holds something that is no public key".into()),
    }
    let (_, document) = Document::from_pem(pem).map_err(|_| UNREADABLE)?;
    if label == "RSA PUBLIC KEY" {
        return rsa(document.as_bytes());
    }
    let info = SubjectPublicKeyInfoRef::try_from(document.as_bytes()).map_err(|_| UNREADABLE)?;
    let bytes = info.subject_public_key.as_bytes().ok_or(UNREADABLE)?;
    let curve = || info.algorithm.parameters_oid().ok();
    match info.algorithm.oid {
        RSA => rsa(bytes),
        EC if curve() == Some(P256) => of_length(PublicKeyKind::P256, bytes, 65),
        EC if curve() == Some(P384) => of_length(PublicKeyKind::P384, bytes, 97),
        ED25519 => of_length(PublicKeyKind::Ed25519, bytes, 32),
        _ => Err("holds a key that is neither RSA, nor P-256, P-384 or Ed25519".into()),
    }
}

fn rsa(bytes: &[u8]) -> Result<PublicKey, String> {
    let key = RsaPublicKey::try_from(bytes).map_err(|_| "holds an RSA key that cannot be read")?;
    let modulus = key.modulus.as_bytes();
    let bits = modulus.len() * 8 - modulus.first().map_or(0, |first| first.leading_zeros() as usize);
    if !RSA_BITS.contains(&bits) {
        let (least, most) = (RSA_BITS.start(), RSA_BITS.end());
        return Err(format!("holds an RSA key of {bits} bits; it wants {least} to {most}"));
    }
    Ok(PublicKey { kind: PublicKeyKind::Rsa, bytes: bytes.to_vec() })
}

fn of_length(kind: PublicKeyKind, bytes: &[u8], length: usize) -> Result<PublicKey, String> {
    if bytes.len() != length {
        return Err("holds a key of the wrong length; points on a curve are wanted uncompressed".into());
    }
    Ok(PublicKey { kind, bytes: bytes.to_vec() })
}
