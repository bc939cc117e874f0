//! `Impersonate-*` headers: acting as somebody else, each part of whom must be allowed by the authorizer.

use std::collections::BTreeMap;

use api_rules::authz::{ANONYMOUS, Attributes, Decision, SYSTEM_AUTHENTICATED, SYSTEM_UNAUTHENTICATED, User};
use api_types::{GroupResource, Status};
use http::HeaderMap;

use crate::{authz::forbidden, query::unescape};

const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";
const UID: &str = "impersonate-uid";
const EXTRA: &str = "impersonate-extra-";
const EXTRA_GROUP: &str = "authentication.k8s.io";

/// Whom the request wants to be taken for; `None` for whom it came from.
///
/// `authorize` answers whether the sender may; a refusal is 403 in upstream's words.
pub fn impersonated(
    sender: &User,
    headers: &HeaderMap,
    authorize: impl Fn(&User, &Attributes) -> Decision,
) -> Result<Option<User>, Status> {
    let Some(wanted) = read(headers)? else { return Ok(None) };
    let allowed = |api_group: &str, resource: &str, subresource: &str, namespace: &str, name: &str| {
        let verb = "impersonate";
        let asked = Attributes { verb, api_group, resource, subresource, namespace, name, ..Attributes::default() };
        match authorize(sender, &asked) {
            Decision::Allow(_) => Ok(()),
            Decision::NoOpinion(reason) => Err(forbidden(sender, &asked, &reason)),
        }
    };
    match wanted.as_service_account() {
        Some((namespace, name)) => allowed("", "serviceaccounts", "", namespace, name)?,
        None => allowed("", "users", "", "", &wanted.name)?,
    }
    for group in &wanted.groups {
        allowed("", "groups", "", "", group)?;
    }
    if !wanted.uid.is_empty() {
        allowed(EXTRA_GROUP, "uids", "", "", &wanted.uid)?;
    }
    for (key, values) in &wanted.extra {
        for value in values {
            allowed(EXTRA_GROUP, "userextras", key, "", value)?;
        }
    }
    Ok(Some(completed(wanted)))
}

fn read(headers: &HeaderMap) -> Result<Option<User>, Status> {
    let all = |name: &str| -> Vec<String> {
        headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).map(str::to_owned).collect()
    };
    let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for name in headers.keys() {
        if let Some(key) = name.as_str().strip_prefix(EXTRA) {
            // Header names cannot hold all characters: they come percent-encoded.
            extra.insert(unescape(key).into_owned(), all(name.as_str()));
        }
    }
    let user = User {
        name: all(USER).pop().unwrap_or_default(),
        uid: all(UID).pop().unwrap_or_default(),
        groups: all(GROUP),
        extra,
    };
    if !user.name.is_empty() {
        return Ok(Some(user));
    }
    if user == User::default() {
        return Ok(None);
    }
    let what = GroupResource::new("", "users");
    Err(Status::forbidden(&what, "", "requested to impersonate groups, a uid or extra without impersonating a user"))
}

/// The groups that follow from the name, unless groups were named.
fn completed(mut user: User) -> User {
    if user.groups.is_empty()
        && let Some((namespace, name)) = user.as_service_account()
    {
        user.groups = User::service_account(namespace, name, "").groups;
    }
    let last = if user.name == ANONYMOUS { SYSTEM_UNAUTHENTICATED } else { SYSTEM_AUTHENTICATED };
    if !user.is_in(SYSTEM_AUTHENTICATED) && !user.is_in(SYSTEM_UNAUTHENTICATED) {
        user.groups.push(last.to_owned());
    }
    user
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Headers as `name: value` lines; the sender may impersonate whatever `may` lists as `resource/name`.
    fn check(lines: &[&str], may: &[&str]) -> Result<Option<User>, String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            headers.append(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        let authorize = |_: &User, asked: &Attributes| {
            let target = format!("{}/{}", asked.resource, asked.name);
            if may.contains(&target.as_str()) { Decision::allow() } else { Decision::no_opinion() }
        };
        impersonated(&User::new("ann", ["x"]), &headers, authorize).map_err(|status| status.message)
    }

    #[test]
    fn users_and_groups() {
        assert_eq!(check(&["accept: */*"], &[]), Ok(None));
        let bob = check(&["Impersonate-User: bob", "Impersonate-Group: devs"], &["users/bob", "groups/devs"]);
        assert_eq!(bob, Ok(Some(User::new("bob", ["devs", "system:authenticated"]))));
        assert_eq!(
            check(&["Impersonate-User: bob"], &[]).unwrap_err(),
            r#"users "bob" is forbidden: User "ann" cannot impersonate resource "users" in API group "" at the cluster scope"#
        );
        assert!(check(&["Impersonate-Group: devs"], &["groups/devs"]).is_err());
        assert!(check(&["Impersonate-User: bob", "Impersonate-Group: devs"], &["users/bob"]).is_err());
    }

    #[test]
    fn service_accounts_bring_their_groups() {
        let till =
            check(&["Impersonate-User: system:serviceaccount:shop:till"], &["serviceaccounts/till"]).unwrap().unwrap();
        assert_eq!(till.groups, ["system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated"]);
    }

    #[test]
    fn extra_is_unescaped_and_checked() {
        let lines = ["Impersonate-User: bob", "Impersonate-Extra-example.com%2fscope: view"];
        let bob = check(&lines, &["users/bob", "userextras/view"]).unwrap().unwrap();
        assert_eq!(bob.extra["example.com/scope"], ["view"]);
        assert!(check(&lines, &["users/bob"]).is_err());
    }
}
