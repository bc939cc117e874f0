//! The question put to an authorizer: a user and what they want to do.

use std::collections::BTreeMap;

use api_types::selector::FieldSelector;

/// Prefix of the user name of a kubelet; what follows is the node's name.
const NODE_USER_PREFIX: &str = "system:node:";
/// The group a kubelet must be in besides.
const NODES_GROUP: &str = "system:nodes";
/// Prefix of the user name of a service account: `system:serviceaccount:<namespace>:<name>`.
const SERVICE_ACCOUNT_PREFIX: &str = "system:serviceaccount:";

/// Somebody who was identified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    pub name: String,
    /// Empty where the way of authentication knows none.
    pub uid: String,
    pub groups: Vec<String>,
    /// Further facts about the credentials, such as the pod a token is bound to.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    pub fn new(name: impl Into<String>, groups: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { name: name.into(), groups: groups.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// Who shows no credentials at all.
    pub fn anonymous() -> Self {
        Self::new(super::ANONYMOUS, [super::SYSTEM_UNAUTHENTICATED])
    }

    /// The API server itself, for what it writes on its own account.
    pub fn loopback() -> Self {
        Self::new("system:apiserver", [super::SYSTEM_MASTERS, super::SYSTEM_AUTHENTICATED])
    }

    /// A service account's user, with the groups every service account is in.
    pub fn service_account(namespace: &str, name: &str, uid: &str) -> Self {
        Self {
            name: format!("{SERVICE_ACCOUNT_PREFIX}{namespace}:{name}"),
            uid: uid.to_owned(),
            groups: vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")],
            extra: BTreeMap::new(),
        }
    }

    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|have| have == group)
    }

    /// The node this user is the kubelet of. `None` for anybody else; an empty name is a kubelet that does not say
    /// which node it is.
    pub fn node_name(&self) -> Option<&str> {
        self.name.strip_prefix(NODE_USER_PREFIX).filter(|_| self.is_in(NODES_GROUP))
    }

    /// Namespace and name of the service account this user is.
    pub fn as_service_account(&self) -> Option<(&str, &str)> {
        self.name.strip_prefix(SERVICE_ACCOUNT_PREFIX)?.split_once(':')
    }
}

/// What somebody wants to do. Either a resource request (`resource` is set) or one to a plain `path`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attributes<'a> {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`, or any other word of a review.
    pub verb: &'a str,
    /// Empty for requests that concern the cluster or all namespaces.
    pub namespace: &'a str,
    pub api_group: &'a str,
    pub api_version: &'a str,
    /// Plural name; empty for a request that is not about a resource.
    pub resource: &'a str,
    /// Empty for none.
    pub subresource: &'a str,
    /// Empty for a collection.
    pub name: &'a str,
    /// The path of a request that is not about a resource.
    pub path: &'a str,
    /// Of a list, watch or deletecollection.
    pub field_selector: Option<&'a FieldSelector>,
}

impl Attributes<'_> {
    pub fn is_resource(&self) -> bool {
        !self.resource.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_needs_name_and_group() {
        assert_eq!(User::new("system:node:a", ["system:nodes"]).node_name(), Some("a"));
        assert_eq!(User::new("system:node:a", ["other"]).node_name(), None);
        assert_eq!(User::new("a", ["system:nodes"]).node_name(), None);
        assert_eq!(User::new("system:node:", ["system:nodes"]).node_name(), Some(""));
    }

    #[test]
    fn a_service_account_is_recognised() {
        let user = User::service_account("shop", "till", "u1");
        assert_eq!(user.name, "system:serviceaccount:shop:till");
        assert_eq!(user.as_service_account(), Some(("shop", "till")));
        assert!(user.is_in("system:serviceaccounts:shop"));
        assert_eq!(User::new("till", ["x"]).as_service_account(), None);
    }
}
