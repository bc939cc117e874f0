//! Service account tokens: made by `serviceaccounts/token`, proven on every request, published for others to prove.
//!
//! A token is valid as long as its signature, time, issuer and audience hold *and* every object it is bound to exists
//! with the same uid; so deleting a pod ends its token. Proven signatures are remembered, the rest is looked at each time.

mod claims;
mod issue;
mod jwt;
mod keys;
mod legacy;
mod openid;

use std::collections::HashMap;
use std::sync::Arc;

use api_rules::authz::{SYSTEM_AUTHENTICATED, User};
use parking_lot::Mutex;
use serde_json::Value;
use store::{Freshness, Object};

use crate::core::Core;

use claims::{Claims, ClaimsError, Issuer, Ref};
use jwt::JwtError;
use keys::{SigningKey, VerifyingKey};

/// Tokens whose signature is remembered as proven; at the limit all are forgotten.
const REMEMBERED: usize = 8192;
/// Seconds after an object's deletionTimestamp in which its tokens still count: it may need them to end well.
const DELETION_LEEWAY: i64 = 60;

/// Extra facts about a token's user.
const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";
const NODE_NAME: &str = "authentication.kubernetes.io/node-name";
const NODE_UID: &str = "authentication.kubernetes.io/node-uid";
const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
const POD_UID: &str = "authentication.kubernetes.io/pod-uid";

pub struct Tokens {
    core: Arc<Core>,
    signing: SigningKey,
    verifying: Vec<VerifyingKey>,
    issuer: String,
    /// Audiences of tokens for this server itself.
    audiences: Vec<String>,
    /// By the end of the signature, which tells tokens apart as well as the whole.
    proven: Mutex<HashMap<Box<str>, Arc<Proven>>>,
}

/// A token whose signature holds.
struct Proven {
    token: Box<str>,
    claims: Claims,
    user: Arc<User>,
}

/// Who holds a token, and for which of the wanted audiences.
#[derive(Debug, PartialEq, Eq)]
pub struct Holder {
    pub user: Arc<User>,
    pub audiences: Vec<String>,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TokenError {
    #[error("invalid bearer token")]
    Jwt(#[from] JwtError),
    #[error(transparent)]
    Claims(#[from] ClaimsError),
    /// The service account, pod, secret or node is gone, or is another one of the same name.
    #[error("service account token has been invalidated: {0}")]
    Unbound(String),
}

impl Tokens {
    /// # Errors
    /// When a key file cannot be read or holds no P-256 key.
    pub fn new(core: Arc<Core>) -> anyhow::Result<Self> {
        let config = &core.config;
        let signing = match &config.service_account_signing_key_file {
            Some(path) => SigningKey::read(path)?,
            None => SigningKey::generate()?,
        };
        let mut verifying = vec![signing.verifying_key()];
        for path in &config.service_account_key_file {
            for key in VerifyingKey::read_all(path)? {
                if !verifying.contains(&key) {
                    verifying.push(key);
                }
            }
        }
        let issuer = config.service_account_issuer.clone();
        let audiences = match config.api_audiences.as_slice() {
            [] => vec![issuer.clone()],
            given => given.to_vec(),
        };
        Ok(Self { signing, verifying, issuer, audiences, proven: Mutex::default(), core })
    }

    /// The audiences of tokens that are good for this server.
    pub fn audiences(&self) -> &[String] {
        &self.audiences
    }

    /// Whether the token claims to be one of ours, without any proof.
    pub fn is_ours(&self, token: &str) -> bool {
        jwt::peek::<Issuer>(token).is_some_and(|claims| claims.iss == self.issuer || claims.iss == legacy::ISSUER)
    }

    /// The holder of a token that is good for one of `audiences`.
    pub async fn authenticate(&self, token: &str, audiences: &[String]) -> Result<Holder, TokenError> {
        if let Some(claims) = self.legacy(token)? {
            return self.authenticate_legacy(token, &claims, audiences).await;
        }
        let proven = self.prove(token)?;
        let audiences = proven.claims.check(self.core.clock.now().as_second(), &self.issuer, audiences)?;
        self.check_bindings(&proven.claims).await?;
        Ok(Holder { user: proven.user.clone(), audiences })
    }

    fn prove(&self, token: &str) -> Result<Arc<Proven>, TokenError> {
        let end = signature_end(token);
        if let Some(known) = self.proven.lock().get(end)
            && *known.token == *token
        {
            return Ok(Arc::clone(known));
        }
        let claims: Claims = jwt::verify(token, &self.verifying)?;
        let user = Arc::new(user(&claims));
        let known = Arc::new(Proven { token: token.into(), claims, user });
        let mut proven = self.proven.lock();
        if proven.len() >= REMEMBERED {
            proven.clear();
        }
        proven.insert(end.into(), Arc::clone(&known));
        Ok(known)
    }

    async fn check_bindings(&self, claims: &Claims) -> Result<(), TokenError> {
        let private = &claims.kubernetes;
        let namespace = &private.namespace;
        self.check_bound("serviceaccounts", namespace, &private.serviceaccount, "service account").await?;
        // A token of a pod names its node for information only; the node counts where the token is bound to it alone.
        match (&private.pod, &private.secret, &private.node) {
            (Some(pod), _, _) => self.check_bound("pods", namespace, pod, "pod").await,
            (None, Some(secret), _) => self.check_bound("secrets", namespace, secret, "secret").await,
            (None, None, Some(node)) => self.check_bound("nodes", "", node, "node").await,
            (None, None, None) => Ok(()),
        }
    }

    async fn check_bound(&self, resource: &str, namespace: &str, bound: &Ref, what: &str) -> Result<(), TokenError> {
        let gone = |why: &str| TokenError::Unbound(format!("{what} {} {why}", bound.name));
        let cached = self.core.cached("", resource, namespace, &bound.name);
        let found = match cached {
            Some(object) if object.uid() == bound.uid => Some(object),
            // What the cache lacks may just have been created through another server.
            _ => self.newest(resource, namespace, &bound.name).await,
        };
        let object = found.ok_or_else(|| gone("has been deleted"))?;
        if object.uid() != bound.uid {
            return Err(gone("has another UID"));
        }
        if deleted_at(&object).is_some_and(|at| self.core.clock.now().as_second() > at + DELETION_LEEWAY) {
            return Err(gone("has been deleted"));
        }
        Ok(())
    }

    async fn newest(&self, resource: &str, namespace: &str, name: &str) -> Option<Arc<Object>> {
        let id = self.core.resource("", resource)?;
        self.core.store.get(&id, namespace, name, Freshness::Latest).await.ok().flatten()
    }
}

/// Most objects are not being deleted; only those that are get decoded.
fn deleted_at(object: &Object) -> Option<i64> {
    if !object.is_ending() {
        return None;
    }
    let value: Value = object.value();
    let at: jiff::Timestamp = value["metadata"]["deletionTimestamp"].as_str()?.parse().ok()?;
    Some(at.as_second())
}

/// The last characters of a token; all of a short one.
fn signature_end(token: &str) -> &str {
    const LENGTH: usize = 24;
    token.len().checked_sub(LENGTH).and_then(|at| token.get(at..)).unwrap_or(token)
}

fn user(claims: &Claims) -> User {
    let private = &claims.kubernetes;
    let mut user = User::service_account(&private.namespace, &private.serviceaccount.name, &private.serviceaccount.uid);
    let mut note = |key: &str, value: &str| user.extra.insert(key.to_owned(), vec![value.to_owned()]);
    if !claims.jti.is_empty() {
        note(CREDENTIAL_ID, &format!("JTI={}", claims.jti));
    }
    if let Some(node) = &private.node {
        note(NODE_NAME, &node.name);
        note(NODE_UID, &node.uid);
    }
    if let Some(pod) = &private.pod {
        note(POD_NAME, &pod.name);
        note(POD_UID, &pod.uid);
    }
    user.groups.push(SYSTEM_AUTHENTICATED.to_owned());
    user
}
