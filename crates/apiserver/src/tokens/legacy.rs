//! Tokens without end that stand in a Secret of their service account: they hold as long as that Secret exists and holds
//! them, and the account is the one they were made for.

use std::sync::Arc;

use api_rules::authz::{SYSTEM_AUTHENTICATED, User};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::Value;

use super::{
    Holder, TokenError, Tokens,
    claims::{ClaimsError, Issuer, Ref},
    jwt,
};

pub(super) const ISSUER: &str = "kubernetes/serviceaccount";
const KIND: &str = "kubernetes.io/service-account-token";

#[derive(Debug, Deserialize)]
pub(super) struct Claims {
    sub: String,
    #[serde(rename = "kubernetes.io/serviceaccount/namespace")]
    namespace: String,
    #[serde(rename = "kubernetes.io/serviceaccount/secret.name")]
    secret: String,
    #[serde(rename = "kubernetes.io/serviceaccount/service-account.name")]
    account: String,
    #[serde(rename = "kubernetes.io/serviceaccount/service-account.uid")]
    uid: String,
}

impl Tokens {
    /// The claims of a token of this sort whose signature holds; none for a token of another sort.
    pub(super) fn legacy(&self, token: &str) -> Result<Option<Claims>, TokenError> {
        if jwt::peek::<Issuer>(token).is_none_or(|claims| claims.iss != ISSUER) {
            return Ok(None);
        }
        Ok(Some(jwt::verify(token, &self.verifying)?))
    }

    pub(super) async fn authenticate_legacy(
        &self,
        token: &str,
        claims: &Claims,
        audiences: &[String],
    ) -> Result<Holder, TokenError> {
        let Claims { sub, namespace, secret, account, uid } = claims;
        if *sub != format!("system:serviceaccount:{namespace}:{account}") {
            return Err(ClaimsError::Subject.into());
        }
        // It names no audience: it is for this server.
        let shared: Vec<String> = self.audiences.iter().filter(|own| audiences.contains(own)).cloned().collect();
        if shared.is_empty() {
            return Err(ClaimsError::Audience { have: self.audiences.clone(), wanted: audiences.to_vec() }.into());
        }
        self.check_secret(token, namespace, secret).await?;
        let bound = Ref { name: account.clone(), uid: uid.clone() };
        self.check_bound("serviceaccounts", namespace, &bound, "service account").await?;
        let mut user = User::service_account(namespace, account, uid);
        user.groups.push(SYSTEM_AUTHENTICATED.to_owned());
        Ok(Holder { user: Arc::new(user), audiences: shared })
    }

    async fn check_secret(&self, token: &str, namespace: &str, name: &str) -> Result<(), TokenError> {
        let gone = |why: &str| TokenError::Unbound(format!("secret {name} {why}"));
        let holds = |secret: &Value| {
            let text = secret["data"]["token"].as_str().unwrap_or_default();
            secret["type"] == KIND && STANDARD.decode(text).is_ok_and(|known| known == token.as_bytes())
        };
        let cached = self.core.cached("", "secrets", namespace, name);
        if cached.is_some_and(|secret| !secret.is_ending() && holds(&secret.value())) {
            return Ok(());
        }
        // What the cache lacks may just have been written through another server.
        let secret = self.newest("secrets", namespace, name).await.ok_or_else(|| gone("has been deleted"))?;
        if secret.is_ending() {
            return Err(gone("has been deleted"));
        }
        if holds(&secret.value()) { Ok(()) } else { Err(gone("holds another token")) }
    }
}
