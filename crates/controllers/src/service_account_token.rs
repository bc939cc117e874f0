//! Tokens without end in Secrets of type `kubernetes.io/service-account-token`.
//!
//! A Secret that names a service account is filled with a token, the authority and the namespace; one whose account is
//! gone, or is another one of that name, is deleted. Signing is the caller's; whether a token holds, the API server's.

use api_types::{
    k8s_openapi::{
        ByteString,
        api::core::v1::{Secret, ServiceAccount},
    },
    object::{Object, Watched},
    plan::{Decision, Plan, Target, Write},
};
use serde_json::{Value, json};

use crate::replica_set::Live;

pub const KIND: &str = "kubernetes.io/service-account-token";
pub const ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";
const ACCOUNT_UID: &str = "kubernetes.io/service-account.uid";
/// The issuer of such tokens, whatever the issuer of others is.
const ISSUER: &str = "kubernetes/serviceaccount";

/// All that a decision depends on.
pub struct Observed<'a> {
    pub secret: &'a Secret,
    /// The uid of the account that it names, if that is to be seen.
    pub account: Option<&'a str>,
    /// That account as the API has it now; asked for before a Secret is deleted.
    pub live: Option<&'a Live>,
    /// The authority's certificate, if the Secret is to have it.
    pub ca: Option<&'a str>,
}

pub fn account(secret: &Secret) -> Option<&str> {
    let annotations = secret.metadata.annotations.as_ref().filter(|_| secret.type_.as_deref() == Some(KIND))?;
    annotations.get(ACCOUNT_NAME).map(String::as_str)
}

/// `sign` makes a token of claims.
///
/// # Errors
/// Those of `sign`.
pub fn reconcile<E>(seen: &Observed<'_>, sign: impl FnOnce(&Value) -> Result<String, E>) -> Result<Decision, E> {
    let secret = seen.secret;
    let mut plan = Plan::default();
    let Some(name) = account(secret).filter(|_| secret.metadata.deletion_timestamp.is_none()) else {
        return Ok(Decision::Do(plan));
    };
    let bound_to =
        secret.metadata.annotations.as_ref().and_then(|all| all.get(ACCOUNT_UID)).filter(|uid| !uid.is_empty());
    let fits = |uid: &str| bound_to.is_none_or(|bound| bound == uid);
    let known = seen.account.filter(|uid| fits(uid));
    let Some(uid) = known.or_else(|| seen.live.and_then(|live| live.uid.as_deref()).filter(|uid| fits(uid))) else {
        if seen.live.is_none() {
            return Ok(Decision::Need(Target::named(ServiceAccount::RESOURCE, secret.namespace(), name)));
        }
        let target = Target::of(secret).unchanged(secret.resource_version());
        plan.write(Write::Delete { target, propagation: None, grace_seconds: None });
        return Ok(Decision::Do(plan));
    };
    let mut filled = secret.clone();
    let data = filled.data.get_or_insert_default();
    if let Some(ca) = seen.ca {
        data.insert("ca.crt".to_owned(), ByteString(ca.as_bytes().to_vec()));
    }
    if data.get("namespace").is_none_or(|known| known.0.is_empty()) {
        data.insert("namespace".to_owned(), ByteString(secret.namespace().as_bytes().to_vec()));
    }
    if data.get("token").is_none_or(|known| known.0.is_empty()) {
        data.insert("token".to_owned(), ByteString(sign(&claims(secret, name, uid))?.into_bytes()));
    }
    filled.metadata.annotations.get_or_insert_default().insert(ACCOUNT_UID.to_owned(), uid.to_owned());
    if filled != *secret {
        plan.write(Write::Replace { target: Target::of(secret), subresource: None, object: json!(filled) });
    }
    Ok(Decision::Do(plan))
}

fn claims(secret: &Secret, account: &str, uid: &str) -> Value {
    let namespace = secret.namespace();
    json!({
        "iss": ISSUER,
        "kubernetes.io/serviceaccount/namespace": namespace,
        "kubernetes.io/serviceaccount/secret.name": secret.name(),
        "kubernetes.io/serviceaccount/service-account.name": account,
        "kubernetes.io/serviceaccount/service-account.uid": uid,
        "sub": format!("system:serviceaccount:{namespace}:{account}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(kind: &str, annotations: Value, data: Value) -> Secret {
        serde_json::from_value(json!({"metadata": {"name": "s", "namespace": "n", "uid": "s", "resourceVersion": "5",
            "annotations": annotations}, "type": kind, "data": data}))
        .unwrap()
    }

    fn decide(secret: &Secret, account: Option<&str>, live: Option<Option<&str>>) -> Decision {
        let live = live.map(|uid| Live { uid: uid.map(str::to_owned), deleting: false });
        let seen = Observed { secret, account, live: live.as_ref(), ca: Some("ca") };
        reconcile(&seen, |claims| Ok::<_, ()>(claims["sub"].as_str().unwrap().to_owned())).unwrap()
    }

    fn write(decision: Decision) -> Option<Write> {
        match decision {
            Decision::Do(plan) => plan.writes().next().cloned(),
            Decision::Need(_) => panic!("asks"),
        }
    }

    #[test]
    fn fills_what_is_missing() {
        let named = json!({ACCOUNT_NAME: "a"});
        let empty = secret(KIND, named.clone(), json!(null));
        let Some(Write::Replace { object, .. }) = write(decide(&empty, Some("u"), None)) else { panic!("no write") };
        let filled: Secret = serde_json::from_value(object).unwrap();
        let data = filled.data.clone().unwrap_or_default();
        let text = |field: &str| std::str::from_utf8(&data[field].0).unwrap().to_owned();
        assert_eq!((&*text("token"), &*text("ca.crt"), &*text("namespace")), ("system:serviceaccount:n:a", "ca", "n"));
        assert_eq!(filled.metadata.annotations.as_ref().unwrap()[ACCOUNT_UID], "u");
        assert_eq!(write(decide(&filled, Some("u"), None)), None);
        assert_eq!(write(decide(&secret("Opaque", named, json!(null)), Some("u"), None)), None);
    }

    #[test]
    fn goes_with_its_account() {
        let bound = secret(KIND, json!({ACCOUNT_NAME: "a", ACCOUNT_UID: "u"}), json!(null));
        assert!(matches!(decide(&bound, None, None), Decision::Need(_)));
        assert!(matches!(decide(&bound, Some("other"), None), Decision::Need(_)));
        assert!(matches!(write(decide(&bound, None, Some(None))), Some(Write::Delete { .. })));
        assert!(matches!(write(decide(&bound, None, Some(Some("other")))), Some(Write::Delete { .. })));
        assert!(matches!(write(decide(&bound, None, Some(Some("u")))), Some(Write::Replace { .. })));
    }
}
