//! Bootstrap tokens: what a person gives to a machine so that it may join, in upstream's form.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use component::Clock;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use sha2::{Digest, Sha256};

use super::files::PKI;
use super::record::Root;

const NAMESPACE: &str = "kube-system";
const TYPE: &str = "bootstrap.kubernetes.io/token";
/// Whom the roles of `deploy/addons/node-join.yaml` are bound to.
const GROUP: &str = "system:bootstrappers:kogge:default-node-token";
const ALPHABET: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A token to be made.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// `ID.SECRET`; a random one if absent.
    pub token: Option<String>,
    /// Zero makes one that never ends.
    pub ttl: Duration,
    pub description: String,
    pub groups: Vec<String>,
    /// Of `signing` and `authentication`.
    pub usages: Vec<String>,
}

impl Default for NewToken {
    fn default() -> Self {
        Self {
            token: None,
            ttl: DAY,
            description: String::new(),
            groups: vec![GROUP.into()],
            usages: vec!["signing".into(), "authentication".into()],
        }
    }
}

/// A token that there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub token: String,
    pub expires: Option<Timestamp>,
    pub usages: Vec<String>,
    pub description: String,
    pub groups: Vec<String>,
}

/// Id and secret of a token.
///
/// # Errors
/// When it has another form.
pub fn split(token: &str) -> anyhow::Result<(&str, &str)> {
    let of = |part: &str, length: usize| part.len() == length && part.bytes().all(|byte| ALPHABET.contains(&byte));
    match token.split_once('.') {
        Some((id, secret)) if of(id, 6) && of(secret, 16) => Ok((id, secret)),
        _ => bail!("the bootstrap token \"{token}\" was not of the form \"[a-z0-9]{{6}}.[a-z0-9]{{16}}\""),
    }
}

pub async fn create(client: &kube::Client, new: &NewToken) -> anyhow::Result<String> {
    let token = match &new.token {
        Some(token) => token.clone(),
        None => format!("{}.{}", random(6)?, random(16)?),
    };
    let secret = secret(new, &token, component::SystemClock.now())?;
    let secrets: Api<Secret> = Api::namespaced(client.clone(), NAMESPACE);
    secrets.create(&PostParams::default(), &secret).await.map_err(crate::addons::in_a_line)?;
    Ok(token)
}

fn secret(new: &NewToken, token: &str, now: Timestamp) -> anyhow::Result<Secret> {
    let (id, key) = split(token)?;
    let mut data = BTreeMap::from([("token-id", id.to_owned()), ("token-secret", key.to_owned())]);
    for usage in &new.usages {
        match usage.as_str() {
            "signing" => data.insert("usage-bootstrap-signing", "true".into()),
            "authentication" => data.insert("usage-bootstrap-authentication", "true".into()),
            other => bail!("invalid bootstrap token usage string: {other:?} (signing, authentication)"),
        };
    }
    for group in &new.groups {
        ensure!(
            group.starts_with("system:bootstrappers:"),
            "group {group:?} does not begin with system:bootstrappers:"
        );
    }
    if !new.groups.is_empty() {
        data.insert("auth-extra-groups", new.groups.join(","));
    }
    if !new.ttl.is_zero() {
        let ends = now.checked_add(new.ttl).context("--ttl is too long")?;
        data.insert("expiration", ends.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    }
    if !new.description.is_empty() {
        data.insert("description", new.description.clone());
    }
    let mut secret = Secret { type_: Some(TYPE.into()), ..Secret::default() };
    secret.metadata.name = Some(format!("bootstrap-token-{id}"));
    secret.metadata.namespace = Some(NAMESPACE.into());
    secret.data = Some(data.into_iter().map(|(key, text)| (key.to_owned(), ByteString(text.into_bytes()))).collect());
    Ok(secret)
}

/// Every token, in the order of their ids.
pub async fn list(client: &kube::Client) -> anyhow::Result<Vec<Token>> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), NAMESPACE);
    let only = ListParams::default().fields(&format!("type={TYPE}"));
    let found = secrets.list(&only).await.map_err(crate::addons::in_a_line)?;
    Ok(found.items.iter().filter_map(read).collect())
}

fn read(secret: &Secret) -> Option<Token> {
    let data = secret.data.as_ref()?;
    let text = |key: &str| data.get(key).and_then(|value| String::from_utf8(value.0.clone()).ok());
    let on = |key: &str| text(key).as_deref() == Some("true");
    let usages = ["authentication", "signing"].into_iter().filter(|usage| on(&format!("usage-bootstrap-{usage}")));
    let groups = text("auth-extra-groups").unwrap_or_default();
    Some(Token {
        token: format!("{}.{}", text("token-id")?, text("token-secret")?),
        expires: text("expiration").and_then(|ends| ends.parse().ok()),
        usages: usages.map(str::to_owned).collect(),
        description: text("description").unwrap_or_default(),
        groups: groups.split(',').filter(|group| !group.is_empty()).map(str::to_owned).collect(),
    })
}

/// Deletes the token with this id, or of this whole form.
pub async fn delete(client: &kube::Client, token: &str) -> anyhow::Result<String> {
    let id = if token.contains('.') { split(token)?.0 } else { token };
    ensure!(
        id.len() == 6 && id.bytes().all(|byte| ALPHABET.contains(&byte)),
        "given token {token:?} does not match id \"[a-z0-9]{{6}}\" or token \"[a-z0-9]{{6}}.[a-z0-9]{{16}}\""
    );
    let secrets: Api<Secret> = Api::namespaced(client.clone(), NAMESPACE);
    let name = format!("bootstrap-token-{id}");
    secrets.delete(&name, &DeleteParams::default()).await.map_err(crate::addons::in_a_line)?;
    Ok(id.to_owned())
}

/// What to type on a machine that is to join.
pub fn join_command(server: &str, root: &Path, token: &str) -> anyhow::Result<String> {
    let ca = Root(root.to_owned()).at(PKI).join("ca.crt");
    let ca = std::fs::read(&ca).with_context(|| format!("reading {}", ca.display()))?;
    let address = server.trim_start_matches("https://");
    let hash = ca_hash(&ca)?;
    Ok(format!("kctl cluster join {address} --token {token} --discovery-token-ca-cert-hash {hash}"))
}

/// `sha256:` and the digest of the authority's public key (SubjectPublicKeyInfo), as kubeadm pins it.
pub fn ca_hash(pem: &[u8]) -> anyhow::Result<String> {
    let (_, pem) = x509_parser::pem::parse_x509_pem(pem).context("the authority's certificate")?;
    let certificate = pem.parse_x509().context("the authority's certificate")?;
    let digest = Sha256::digest(certificate.tbs_certificate.subject_pki.raw);
    Ok(digest.iter().fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}")))
}

fn random(length: usize) -> anyhow::Result<String> {
    let mut text = String::with_capacity(length);
    while text.len() < length {
        let mut bytes = [0; 32];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| anyhow::anyhow!("the system gives no random numbers"))?;
        // Those beyond the last multiple of the alphabet's length would favour its first letters.
        let fair = bytes.iter().filter(|byte| **byte < 252).map(|byte| char::from(ALPHABET[usize::from(byte % 36)]));
        text.extend(fair.take(length - text.len()));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_becomes_a_secret_and_back() {
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let new = NewToken { description: "for tests".into(), ..NewToken::default() };
        let made = secret(&new, "abcdef.0123456789abcdef", now).unwrap();
        assert_eq!(made.metadata.name.as_deref(), Some("bootstrap-token-abcdef"));
        let token = read(&made).unwrap();
        assert_eq!(token.token, "abcdef.0123456789abcdef");
        assert_eq!(token.expires, Some("2026-01-02T00:00:00Z".parse().unwrap()));
        assert_eq!(
            (token.usages.join(","), token.description.as_str()),
            ("authentication,signing".into(), "for tests")
        );
        assert_eq!(token.groups, [GROUP]);
        let for_ever = NewToken { ttl: Duration::ZERO, ..NewToken::default() };
        assert_eq!(read(&secret(&for_ever, "abcdef.0123456789abcdef", now).unwrap()).unwrap().expires, None);
    }

    #[test]
    fn what_cannot_be_a_token_is_refused() {
        let now = Timestamp::UNIX_EPOCH;
        for token in ["abcdef", "abcdef.0123", "ABCDEF.0123456789abcdef"] {
            assert!(secret(&NewToken::default(), token, now).is_err(), "{token}");
        }
        let token = "abcdef.0123456789abcdef";
        for new in [
            NewToken { usages: vec!["all".into()], ..NewToken::default() },
            NewToken { groups: vec!["system:masters".into()], ..NewToken::default() },
        ] {
            assert!(secret(&new, token, now).is_err(), "{new:?}");
        }
    }

    #[test]
    fn random_parts_have_the_form() {
        let token = format!("{}.{}", random(6).unwrap(), random(16).unwrap());
        assert!(split(&token).is_ok(), "{token}");
        assert_ne!(random(16).unwrap(), random(16).unwrap());
    }
}
