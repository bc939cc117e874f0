//! The keys of service account tokens: elliptic curve P-256, read from PEM.
//!
//! A key's id is upstream's: the SHA-256 of its SubjectPublicKeyInfo, so that clients and servers agree on it without
//! being told.

use std::path::Path;

use anyhow::{Context, anyhow, bail};
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rustls_pki_types::{
    PrivateKeyDer, SubjectPublicKeyInfoDer,
    pem::{PemObject, SectionKind},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// What precedes the uncompressed point in the SubjectPublicKeyInfo of a P-256 key.
const SPKI_LEAD: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// 0x04, x, y.
const POINT: usize = 65;

pub struct SigningKey {
    pair: EcdsaKeyPair,
    id: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyingKey {
    point: [u8; POINT],
    id: String,
}

impl SigningKey {
    /// From PEM, PKCS#8 or SEC 1.
    pub fn from_pem(pem: &[u8]) -> anyhow::Result<Self> {
        let key = PrivateKeyDer::from_pem_slice(pem).context("no private key in PEM form")?;
        Self::from_der(&key)
    }

    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let pem = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::from_pem(&pem).with_context(|| format!("{} cannot sign service account tokens", path.display()))
    }

    /// A new one, for a server that was given none: tokens then end with the process.
    pub fn generate() -> anyhow::Result<Self> {
        let pair =
            EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| anyhow!("cannot make a key"))?;
        Self::new(pair)
    }

    fn from_der(key: &PrivateKeyDer<'_>) -> anyhow::Result<Self> {
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pair = match key {
            PrivateKeyDer::Pkcs8(der) => EcdsaKeyPair::from_pkcs8(algorithm, der.secret_pkcs8_der()),
            PrivateKeyDer::Sec1(der) => EcdsaKeyPair::from_private_key_der(algorithm, der.secret_sec1_der()),
            _ => bail!("not an elliptic curve key; only P-256 is supported"),
        };
        Self::new(pair.map_err(|why| anyhow!("not a P-256 key: {why}"))?)
    }

    fn new(pair: EcdsaKeyPair) -> anyhow::Result<Self> {
        let id = VerifyingKey::from_point(pair.public_key().as_ref())?.id;
        Ok(Self { pair, id })
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    /// The signature as JWS has it: r and s of 32 bytes each.
    pub fn sign(&self, message: &[u8]) -> anyhow::Result<Vec<u8>> {
        let signature = self.pair.sign(&SystemRandom::new(), message).map_err(|_| anyhow!("cannot sign"))?;
        Ok(signature.as_ref().to_vec())
    }

    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey::from_point(self.pair.public_key().as_ref()).expect("checked when the key was made")
    }
}

impl VerifyingKey {
    /// All keys of a PEM file; a private key stands for its public half.
    pub fn read_all(path: &Path) -> anyhow::Result<Vec<Self>> {
        let pem = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let keys = Self::all_from_pem(&pem).with_context(|| format!("in {}", path.display()))?;
        if keys.is_empty() {
            bail!("{} holds no key", path.display());
        }
        Ok(keys)
    }

    fn all_from_pem(pem: &[u8]) -> anyhow::Result<Vec<Self>> {
        let mut keys = Vec::new();
        for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(pem) {
            let (kind, der) = section.map_err(|why| anyhow!("not PEM: {why}"))?;
            let private = match kind {
                SectionKind::PublicKey => {
                    keys.push(Self::from_spki(&SubjectPublicKeyInfoDer::from(der))?);
                    continue;
                }
                SectionKind::PrivateKey => PrivateKeyDer::Pkcs8(der.into()),
                SectionKind::EcPrivateKey => PrivateKeyDer::Sec1(der.into()),
                _ => bail!("only P-256 keys (PUBLIC KEY, PRIVATE KEY, EC PRIVATE KEY) are supported"),
            };
            keys.push(SigningKey::from_der(&private)?.verifying_key());
        }
        Ok(keys)
    }

    fn from_spki(der: &SubjectPublicKeyInfoDer<'_>) -> anyhow::Result<Self> {
        let point = der.strip_prefix(&SPKI_LEAD[..]).context("not a public key on P-256")?;
        Self::from_point(point)
    }

    fn from_point(point: &[u8]) -> anyhow::Result<Self> {
        let point: [u8; POINT] = point.try_into().context("not an uncompressed point on P-256")?;
        let digest = Sha256::new().chain_update(SPKI_LEAD).chain_update(point).finalize();
        Ok(Self { point, id: URL_SAFE_NO_PAD.encode(digest) })
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.point).verify(message, signature).is_ok()
    }

    /// As a member of a JSON Web Key Set.
    pub fn to_jwk(&self) -> Value {
        let (x, y) = self.point[1..].split_at(32);
        json!({
            "use": "sig",
            "kty": "EC",
            "kid": self.id,
            "crv": "P-256",
            "alg": "ES256",
            "x": URL_SAFE_NO_PAD.encode(x),
            "y": URL_SAFE_NO_PAD.encode(y),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The public half of what `openssl ecparam -name prime256v1 -genkey` made.
    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEXDVu8iC/mxgdm733JeltzmEcQ/B3
/3zVVAcT1gZRiwQmN6bYUk3bY9cc5voZAu8i9aFo47Jt4yIVb+WStejp8w==
-----END PUBLIC KEY-----
";
    /// SHA-256 of the public key's DER as `openssl pkey -pubin -outform der | sha256sum` has it, in base64url.
    const ID: &str = "kz887KN4wnUFV0JzMfRUriNwsHrxdscWRyohCqJvwN4";

    fn private_pem() -> String {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let der = pair.to_pkcs8v1().unwrap();
        let body = base64::engine::general_purpose::STANDARD.encode(der.as_ref());
        let label = "PRIVATE KEY";
        format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
    }

    #[test]
    fn ids_are_upstreams() {
        let keys = VerifyingKey::all_from_pem(PUBLIC.as_bytes()).unwrap();
        assert_eq!(keys[0].id(), ID);
        assert_eq!(keys[0].to_jwk()["kid"], ID);
    }

    #[test]
    fn both_halves_agree() {
        let pem = private_pem();
        let signing = SigningKey::from_pem(pem.as_bytes()).unwrap();
        let verifying = VerifyingKey::all_from_pem(pem.as_bytes()).unwrap();
        assert_eq!(verifying, [signing.verifying_key()]);
        assert_eq!(verifying[0].id(), signing.id());
        let signature = signing.sign(b"hello").unwrap();
        assert!(verifying[0].verifies(b"hello", &signature));
        assert!(!verifying[0].verifies(b"hullo", &signature));
    }

    #[test]
    fn several_keys_in_one_file() {
        let both = format!("{PUBLIC}{}", private_pem());
        assert_eq!(VerifyingKey::all_from_pem(both.as_bytes()).unwrap().len(), 2);
    }

    #[test]
    fn other_keys_are_refused() {
        assert!(SigningKey::from_pem(b"nothing").is_err());
        assert!(VerifyingKey::all_from_pem(b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n").is_err());
    }
}
