//! Bootstrap tokens (`ID.SECRET`): Secrets in `kube-system` with which machines that have nothing yet ask for a certificate.
//!
//! A token stands for `system:bootstrap:ID`. It is looked at on every request, so that one that is deleted ends at once.

use std::{collections::BTreeMap, sync::Arc};

use api_rules::authz::{SYSTEM_AUTHENTICATED, User};
use aws_lc_rs::constant_time;
use base64::{Engine, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use serde_json::Value;
use store::Freshness;

use crate::core::Core;

const NAMESPACE: &str = "kube-system";
const TYPE: &str = "bootstrap.kubernetes.io/token";
const GROUP: &str = "system:bootstrappers";
/// Characters of the group behind `system:bootstrappers:`.
const LONGEST_GROUP: usize = 256;

/// Id and secret of a token that has the form of one.
pub fn split(token: &str) -> Option<(&str, &str)> {
    let of = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    token.split_once('.').filter(|(id, secret)| of(id, 6) && of(secret, 16))
}

/// Whom the token stands for, unless it is not known, has ended, or is for something else.
pub async fn authenticate(core: &Core, token: &str) -> Option<Arc<User>> {
    let (id, secret) = split(token)?;
    let name = format!("bootstrap-token-{id}");
    // What the cache lacks may just have been created through another server.
    let object = match core.cached("", "secrets", NAMESPACE, &name) {
        Some(object) => object,
        None => {
            let secrets = core.resource("", "secrets")?;
            core.store.get(&secrets, NAMESPACE, &name, Freshness::Latest).await.ok().flatten()?
        }
    };
    match user(&object.value(), id, secret, core.clock.now()) {
        Ok(user) => Some(Arc::new(user)),
        Err(why) => {
            tracing::debug!(secret = %name, "a bootstrap token is not accepted: {why}");
            None
        }
    }
}

fn user(object: &Value, id: &str, secret: &str, now: Timestamp) -> Result<User, &'static str> {
    if object["type"] != TYPE {
        return Err("the secret has another type");
    }
    if !object["metadata"]["deletionTimestamp"].is_null() {
        return Err("the secret is being deleted");
    }
    let data = decoded(&object["data"]);
    let field = |name: &str| data.get(name).map(String::as_str).unwrap_or_default();
    if constant_time::verify_slices_are_equal(field("token-secret").as_bytes(), secret.as_bytes()).is_err() {
        return Err("the secret does not match");
    }
    if field("token-id") != id {
        return Err("the id does not match");
    }
    let end = Some(field("expiration")).filter(|end| !end.is_empty());
    if end.is_some_and(|end| end.parse::<Timestamp>().map_or(true, |end| end <= now)) {
        return Err("the token has expired");
    }
    if field("usage-bootstrap-authentication") != "true" {
        return Err("the token is not for authentication");
    }
    let more = field("auth-extra-groups").split(',').map(str::trim).filter(|group| !group.is_empty());
    let more: Vec<&str> = more.collect();
    if !more.iter().all(|group| is_bootstrap_group(group)) {
        return Err("auth-extra-groups has a group that is not one of bootstrappers");
    }
    let groups = [GROUP].into_iter().chain(more).chain([SYSTEM_AUTHENTICATED]);
    Ok(User::new(format!("system:bootstrap:{id}"), groups.map(str::to_owned)))
}

fn decoded(data: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| String::from_utf8(BASE64_STANDARD.decode(value.as_str()?).ok()?).ok();
    let entries = data.as_object().into_iter().flatten();
    entries.filter_map(|(name, value)| Some((name.clone(), text(value)?))).collect()
}

/// `system:bootstrappers:` and letters, digits, colons and dashes, of which the last is neither a colon nor a dash.
fn is_bootstrap_group(group: &str) -> bool {
    let Some(name) = group.strip_prefix("system:bootstrappers:") else { return false };
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.len() <= LONGEST_GROUP
        && name.bytes().all(|byte| plain(byte) || byte == b':' || byte == b'-')
        && name.bytes().last().is_some_and(plain)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn secret(changes: &[(&str, Option<&str>)]) -> Value {
        let mut data = BTreeMap::from([
            ("token-id", "abcdef"),
            ("token-secret", "0123456789abcdef"),
            ("usage-bootstrap-authentication", "true"),
        ]);
        for (name, value) in changes {
            match value {
                Some(value) => data.insert(name, value),
                None => data.remove(name),
            };
        }
        let data: BTreeMap<_, _> = data.into_iter().map(|(name, text)| (name, BASE64_STANDARD.encode(text))).collect();
        json!({"metadata": {"name": "bootstrap-token-abcdef"}, "type": TYPE, "data": data})
    }

    fn check(object: &Value, expected: Result<&[&str], &str>) {
        let found = user(object, "abcdef", "0123456789abcdef", "2026-01-01T00:00:00Z".parse().unwrap());
        let expected = expected.map(|groups| User::new("system:bootstrap:abcdef", groups.iter().copied()));
        assert_eq!(found.map_err(str::to_owned), expected.map_err(str::to_owned), "{object}");
    }

    #[test]
    fn who_holds_a_token() {
        let all = "system:authenticated";
        check(&secret(&[]), Ok(&[GROUP, all]));
        check(&secret(&[("expiration", Some("2026-01-01T00:00:01Z"))]), Ok(&[GROUP, all]));
        check(&secret(&[("expiration", Some("2026-01-01T00:00:00Z"))]), Err("the token has expired"));
        check(&secret(&[("expiration", Some("tomorrow"))]), Err("the token has expired"));
        check(&secret(&[("token-secret", Some("0123456789abcdeX"))]), Err("the secret does not match"));
        check(&secret(&[("token-secret", None)]), Err("the secret does not match"));
        check(&secret(&[("token-id", Some("fedcba"))]), Err("the id does not match"));
        check(&secret(&[("usage-bootstrap-authentication", None)]), Err("the token is not for authentication"));
        let groups = "system:bootstrappers:a:b, system:bootstrappers:worker-1";
        check(
            &secret(&[("auth-extra-groups", Some(groups))]),
            Ok(&[GROUP, "system:bootstrappers:a:b", "system:bootstrappers:worker-1", all]),
        );
        for foreign in ["system:masters", "system:bootstrappers:", "system:bootstrappers:a-", "system:bootstrappers:A"]
        {
            check(
                &secret(&[("auth-extra-groups", Some(foreign))]),
                Err("auth-extra-groups has a group that is not one of bootstrappers"),
            );
        }
        let mut other = secret(&[]);
        other["type"] = "Opaque".into();
        check(&other, Err("the secret has another type"));
        let mut ending = secret(&[]);
        ending["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        check(&ending, Err("the secret is being deleted"));
    }

    #[test]
    fn the_form_of_a_token() {
        assert_eq!(split("abcdef.0123456789abcdef"), Some(("abcdef", "0123456789abcdef")));
        for text in ["abcdef", "abcdef.0123", "ABCDEF.0123456789abcdef", "abcde/.0123456789abcdef", "a.b.c"] {
            assert_eq!(split(text), None, "{text}");
        }
    }
}
