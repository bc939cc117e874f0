//! Bootstrap tokens: ended ones are deleted, and the `cluster-info` that joining machines read without credentials is signed
//! with each of the others (a detached JWS, HS256), so that who knows a token can trust it.

use std::{collections::BTreeMap, sync::Arc};

use api_types::{
    k8s_openapi::api::core::v1::{ConfigMap, Secret},
    object::Object,
    plan::{Plan, Target, Write},
};
use jiff::Timestamp;
use serde_json::json;
use sha2::{Digest, Sha256};

pub const KIND: &str = "bootstrap.kubernetes.io/token";
const SIGNATURE: &str = "jws-kubeconfig-";
const CONTENT: &str = "kubeconfig";
/// Of SHA-256, in bytes.
const BLOCK: usize = 64;

fn text<'a>(secret: &'a Secret, field: &str) -> Option<&'a str> {
    std::str::from_utf8(&secret.data.as_ref()?.get(field)?.0).ok().filter(|text| !text.is_empty())
}

/// When the token ends; the beginning of time for one whose end cannot be read.
fn ends(secret: &Secret) -> Option<Timestamp> {
    let text = text(secret, "expiration")?;
    Some(text.parse().unwrap_or(Timestamp::MIN))
}

fn is_token(secret: &Secret) -> bool {
    secret.type_.as_deref() == Some(KIND)
}

/// Deletes the token when its time has come.
pub fn clean(secret: &Secret, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let Some(ends) = ends(secret).filter(|_| is_token(secret)) else { return plan };
    match std::time::Duration::try_from(ends.duration_since(now)) {
        Ok(left) if !left.is_zero() => plan.again(left),
        _ => plan.write(Write::Delete { target: Target::of(secret), propagation: None, grace_seconds: None }),
    }
    plan
}

/// Keeps the signatures of `info` to the tokens there are.
pub fn sign(info: &ConfigMap, secrets: &[Arc<Secret>], now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let mut data = info.data.clone().unwrap_or_default();
    let Some(content) = data.get(CONTENT).cloned() else { return plan };
    data.retain(|name, _| !name.starts_with(SIGNATURE));
    for (id, secret) in keys(secrets, now) {
        data.insert(format!("{SIGNATURE}{id}"), signature(&id, &secret, &content));
    }
    if info.data.as_ref() != Some(&data) {
        let object = ConfigMap { data: Some(data), ..info.clone() };
        plan.write(Write::Replace { target: Target::of(info), subresource: None, object: json!(object) });
    }
    plan
}

/// Ids and secrets of the tokens that may sign.
fn keys(secrets: &[Arc<Secret>], now: Timestamp) -> BTreeMap<String, String> {
    let valid = secrets.iter().filter(|secret| {
        is_token(secret)
            && secret.metadata.deletion_timestamp.is_none()
            && text(secret, "usage-bootstrap-signing") == Some("true")
            && ends(secret).is_none_or(|ends| ends > now)
    });
    let read = valid.filter_map(|secret| {
        let (id, key) = (text(secret, "token-id")?, text(secret, "token-secret")?);
        (secret.name() == format!("bootstrap-token-{id}")).then(|| (id.to_owned(), key.to_owned()))
    });
    read.collect()
}

/// A JWS without its payload.
fn signature(id: &str, key: &str, content: &str) -> String {
    let header = base64(format!("{{\"alg\":\"HS256\",\"kid\":\"{id}\"}}").as_bytes());
    let signed = hmac(key.as_bytes(), format!("{header}.{}", base64(content.as_bytes())).as_bytes());
    format!("{header}..{}", base64(&signed))
}

/// HMAC-SHA-256 (RFC 2104).
fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0_u8; BLOCK];
    if key.len() > BLOCK {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let padded = |with: u8| block.map(|byte| byte ^ with);
    let inner = Sha256::new().chain_update(padded(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(padded(0x5c)).chain_update(inner).finalize().into()
}

/// The URL-safe alphabet, without padding.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().enumerate().fold(0_u32, |group, (n, byte)| group | u32::from(*byte) << (16 - 8 * n));
        for n in 0..=chunk.len() {
            text.push(char::from(ALPHABET[(group >> (18 - 6 * n) & 63) as usize]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    const NOW: &str = "2026-01-01T00:00:00Z";

    fn token(id: &str, more: &[(&str, &str)]) -> Arc<Secret> {
        let mut data = BTreeMap::from([
            ("token-id", id),
            ("token-secret", "0123456789abcdef"),
            ("usage-bootstrap-signing", "true"),
        ]);
        data.extend(more.iter().copied());
        let mut secret: Secret = serde_json::from_value(json!({
            "metadata": {"name": format!("bootstrap-token-{id}"), "namespace": "kube-system", "uid": id}, "type": KIND,
        }))
        .unwrap();
        let bytes = |text: &str| api_types::k8s_openapi::ByteString(text.as_bytes().to_vec());
        secret.data = Some(data.into_iter().map(|(name, value)| (name.to_owned(), bytes(value))).collect());
        Arc::new(secret)
    }

    /// RFC 4231, test cases 2 and 6; RFC 4648 without padding.
    #[test]
    fn signs_as_the_standards_say() {
        let hex = |bytes: [u8; 32]| bytes.map(|byte| format!("{byte:02x}")).concat();
        assert_eq!(
            hex(hmac(b"Jefe", b"what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(
            hex(hmac(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First")),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
        for (text, expected) in [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(text.as_bytes()), expected);
        }
    }

    #[test]
    fn one_signature_for_each_token() {
        let info: ConfigMap = serde_json::from_value(json!({
            "metadata": {"name": "cluster-info", "namespace": "kube-public"},
            "data": {CONTENT: "x", "jws-kubeconfig-gone00": "old"},
        }))
        .unwrap();
        let secrets = [
            token("abcdef", &[]),
            token("ended0", &[("expiration", "2025-01-01T00:00:00Z")]),
            token("authen", &[("usage-bootstrap-signing", "false")]),
        ];
        let plan = sign(&info, &secrets, NOW.parse().unwrap());
        let Some(Write::Replace { object, .. }) = plan.writes().next() else { panic!("{plan:?}") };
        let names: Vec<&String> = object["data"].as_object().unwrap().keys().collect();
        assert_eq!(names, ["jws-kubeconfig-abcdef", CONTENT]);
        let parts: Vec<&str> = object["data"]["jws-kubeconfig-abcdef"].as_str().unwrap().split('.').collect();
        assert_eq!((parts.len(), parts[1]), (3, ""));
        let signed: ConfigMap = serde_json::from_value(object.clone()).unwrap();
        assert!(sign(&signed, &secrets, NOW.parse().unwrap()).is_empty());
    }

    #[test]
    fn ended_tokens_go() {
        let check = |expiration: Option<&str>, writes: usize, wait: Option<u64>| {
            let more: Vec<(&str, &str)> = expiration.map(|end| ("expiration", end)).into_iter().collect();
            let plan = clean(&token("abcdef", &more), NOW.parse().unwrap());
            assert_eq!((plan.writes().count(), plan.again_in.map(|wait| wait.as_secs())), (writes, wait));
        };
        check(None, 0, None);
        check(Some("2026-01-01T01:00:00Z"), 0, Some(3600));
        check(Some("2026-01-01T00:00:00Z"), 1, None);
        check(Some("someday"), 1, None);
        let other: Secret = serde_json::from_value(json!({"metadata": {"name": "s"}, "type": Value::Null})).unwrap();
        assert!(clean(&other, NOW.parse().unwrap()).is_empty());
    }
}
