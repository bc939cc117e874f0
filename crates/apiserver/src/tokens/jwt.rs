//! JSON Web Tokens signed with ES256, and nothing else: compact serialization, one algorithm, no header options.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use super::keys::{SigningKey, VerifyingKey};

/// Longer ones are not looked at.
const LONGEST: usize = 16 << 10;

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum JwtError {
    #[error("not a token of three parts")]
    Malformed,
    #[error("signed with {0:?}, not with ES256")]
    Algorithm(String),
    #[error("signed with a key that is not known here")]
    UnknownKey,
    #[error("the signature does not fit")]
    Signature,
}

#[derive(Serialize, Deserialize)]
struct Header<'a> {
    alg: &'a str,
    #[serde(default)]
    kid: &'a str,
}

/// # Errors
/// When the system's random numbers are exhausted.
pub fn sign(claims: &impl Serialize, key: &SigningKey) -> anyhow::Result<String> {
    let header = serde_json::to_vec(&Header { alg: "ES256", kid: key.id() })?;
    let mut token = URL_SAFE_NO_PAD.encode(header);
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(serde_json::to_vec(claims)?, &mut token);
    let signature = key.sign(token.as_bytes())?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    Ok(token)
}

/// What the token says, once its signature is proven; whether it is still valid is for the reader to see.
pub fn verify<T: for<'de> Deserialize<'de>>(token: &str, keys: &[VerifyingKey]) -> Result<T, JwtError> {
    if token.len() > LONGEST {
        return Err(JwtError::Malformed);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(JwtError::Malformed)?;
    let (header, claims) = signed.split_once('.').ok_or(JwtError::Malformed)?;
    let header = decode(header)?;
    let header: Header = serde_json::from_slice(&header).map_err(|_| JwtError::Malformed)?;
    if header.alg != "ES256" {
        return Err(JwtError::Algorithm(header.alg.to_owned()));
    }
    let signature = decode(signature)?;
    let mut candidates = keys.iter().filter(|key| header.kid.is_empty() || key.id() == header.kid).peekable();
    if candidates.peek().is_none() {
        return Err(JwtError::UnknownKey);
    }
    if !candidates.any(|key| key.verifies(signed.as_bytes(), &signature)) {
        return Err(JwtError::Signature);
    }
    serde_json::from_slice(&decode(claims)?).map_err(|_| JwtError::Malformed)
}

/// The claims of a token without any proof: only to see whether it concerns us.
pub fn peek<T: for<'de> Deserialize<'de>>(token: &str) -> Option<T> {
    let mut parts = token.split('.');
    let (_, claims) = (parts.next()?, parts.next()?);
    serde_json::from_slice(&decode(claims).ok()?).ok()
}

fn decode(part: &str) -> Result<Vec<u8>, JwtError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| JwtError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn keys() -> (SigningKey, Vec<VerifyingKey>) {
        let key = SigningKey::generate().unwrap();
        let public = key.verifying_key();
        (key, vec![public])
    }

    #[test]
    fn round_trip() {
        let (key, public) = keys();
        let claims = json!({"sub": "me", "exp": 5});
        let token = sign(&claims, &key).unwrap();
        assert_eq!(verify::<Value>(&token, &public), Ok(claims.clone()));
        assert_eq!(peek::<Value>(&token), Some(claims));
    }

    #[test]
    fn every_changed_character_is_noticed() {
        let (key, public) = keys();
        let token = sign(&json!({"sub": "me"}), &key).unwrap();
        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            // The last character of the signature carries bits that mean nothing; a strict decoder refuses them.
            assert!(verify::<Value>(&changed, &public).is_err(), "position {at}");
        }
    }

    #[test]
    fn other_keys_and_algorithms_are_refused() {
        let ((key, public), (other, _)) = (keys(), keys());
        let stranger = sign(&json!({}), &other).unwrap();
        assert_eq!(verify::<Value>(&stranger, &public), Err(JwtError::UnknownKey));
        let unsigned = format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#), URL_SAFE_NO_PAD.encode("{}"));
        assert_eq!(verify::<Value>(&unsigned, &public), Err(JwtError::Algorithm("none".into())));
        let token = sign(&json!({"a": 1}), &key).unwrap();
        let (_, rest) = token.split_once('.').unwrap();
        let nameless = format!("{}.{rest}", URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256"}"#));
        assert_eq!(verify::<Value>(&nameless, &public), Err(JwtError::Signature));
        for junk in ["", "a", "a.b", "a.b.c", "..", "é.é.é"] {
            assert_eq!(verify::<Value>(junk, &public), Err(JwtError::Malformed), "{junk:?}");
        }
    }
}
