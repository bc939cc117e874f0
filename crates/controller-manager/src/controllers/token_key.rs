//! The key that signs tokens without end: elliptic curve P-256, as the API server's own.

use std::path::Path;

use anyhow::{Context, anyhow, bail};
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rustls_pki_types::{PrivateKeyDer, pem::PemObject};
use serde_json::{Value, json};

pub struct TokenKey(EcdsaKeyPair);

impl TokenKey {
    /// # Errors
    /// When the file holds no P-256 key.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let pem = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::from_pem(&pem).with_context(|| format!("{} cannot sign service account tokens", path.display()))
    }

    fn from_pem(pem: &[u8]) -> anyhow::Result<Self> {
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pair = match PrivateKeyDer::from_pem_slice(pem).context("no private key in PEM form")? {
            PrivateKeyDer::Pkcs8(der) => EcdsaKeyPair::from_pkcs8(algorithm, der.secret_pkcs8_der()),
            PrivateKeyDer::Sec1(der) => EcdsaKeyPair::from_private_key_der(algorithm, der.secret_sec1_der()),
            _ => bail!("not an elliptic curve key; only P-256 is supported"),
        };
        pair.map(Self).map_err(|why| anyhow!("not a P-256 key: {why}"))
    }

    /// A JSON Web Token (ES256). It names no key: the reader tries those that it knows.
    ///
    /// # Errors
    /// When the system's random numbers are exhausted.
    pub fn sign(&self, claims: &Value) -> anyhow::Result<String> {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&json!({"alg": "ES256"})), part(claims));
        let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes()).map_err(|_| anyhow!("cannot sign"))?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref())))
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, KeyPair, UnparsedPublicKey};

    use super::*;

    #[test]
    fn signs_with_the_key_of_a_file() {
        let pem = rcgen::KeyPair::generate().unwrap().serialize_pem();
        let key = TokenKey::from_pem(pem.as_bytes()).unwrap();
        let token = key.sign(&json!({"sub": "a"})).unwrap();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.0.public_key().as_ref());
        public.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
        assert!(TokenKey::from_pem(b"nothing").is_err());
    }
}
