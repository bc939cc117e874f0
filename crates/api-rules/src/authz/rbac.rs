//! RBAC: an index from subjects to the roles bound to them, kept up to date object by object.
//!
//! It decides by the rules as the roles have them. Filling the rules of an aggregated ClusterRole is not done here:
//! that is a write, and the index sees its result.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;

use super::rules::{Rule, null_is_empty};
use super::{Attributes, Decision, User};

/// What the index needs of a RoleBinding or ClusterRoleBinding.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Binding {
    #[serde(deserialize_with = "null_is_empty")]
    pub subjects: Vec<Subject>,
    pub role_ref: RoleRef,
}

/// Whom a binding is for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Subject {
    /// `User`, `Group` or `ServiceAccount`.
    pub kind: String,
    pub name: String,
    /// Of a service account.
    pub namespace: String,
}

/// The role a binding grants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct RoleRef {
    /// `Role` or `ClusterRole`.
    pub kind: String,
    pub name: String,
}

/// What the index needs of a Role or ClusterRole.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Role {
    #[serde(deserialize_with = "null_is_empty")]
    pub rules: Vec<Rule>,
}

/// The roles and bindings of a cluster. In every call an empty namespace stands for the cluster's own
/// ClusterRoles and ClusterRoleBindings.
#[derive(Default)]
pub struct Rbac {
    roles: HashMap<String, HashMap<String, Arc<[Rule]>>>,
    scopes: HashMap<String, Scope>,
}

/// The bindings of one namespace, or of the cluster.
#[derive(Default)]
struct Scope {
    /// The subjects of each binding, to find its grants again when it changes.
    bindings: HashMap<String, Vec<Key>>,
    users: HashMap<String, Vec<Grant>>,
    groups: HashMap<String, Vec<Grant>>,
}

enum Key {
    User(String),
    Group(String),
}

/// One subject's share in a binding.
struct Grant {
    binding: Arc<str>,
    role: Arc<RoleRef>,
    reason: Arc<str>,
}

impl Rbac {
    pub fn set_role(&mut self, namespace: &str, name: &str, role: Role) {
        self.roles.entry(namespace.to_owned()).or_default().insert(name.to_owned(), role.rules.into());
    }

    pub fn remove_role(&mut self, namespace: &str, name: &str) {
        if let Some(roles) = self.roles.get_mut(namespace) {
            roles.remove(name);
            if roles.is_empty() {
                self.roles.remove(namespace);
            }
        }
    }

    pub fn set_binding(&mut self, namespace: &str, name: &str, binding: Binding) {
        self.remove_binding(namespace, name);
        let scope = self.scopes.entry(namespace.to_owned()).or_default();
        let (role, binding_name) = (Arc::new(binding.role_ref), Arc::<str>::from(name));
        let mut keys = Vec::with_capacity(binding.subjects.len());
        for subject in &binding.subjects {
            let Some(key) = Key::of(subject, namespace) else { continue };
            let grant = Grant {
                binding: Arc::clone(&binding_name),
                role: Arc::clone(&role),
                reason: reason(namespace, name, &role, subject).into(),
            };
            scope.grants_mut(&key).push(grant);
            keys.push(key);
        }
        scope.bindings.insert(name.to_owned(), keys);
    }

    pub fn remove_binding(&mut self, namespace: &str, name: &str) {
        let Some(scope) = self.scopes.get_mut(namespace) else { return };
        for key in scope.bindings.remove(name).unwrap_or_default() {
            let grants = scope.grants_mut(&key);
            grants.retain(|grant| &*grant.binding != name);
            if grants.is_empty() {
                scope.forget(&key);
            }
        }
        if scope.bindings.is_empty() {
            self.scopes.remove(namespace);
        }
    }

    /// Whether some role bound to the user, or to a group of theirs, allows the request.
    pub fn authorize(&self, user: &User, asked: &Attributes) -> Decision {
        let mut missing = Vec::new();
        for (namespace, grant) in self.grants(user, asked.namespace) {
            match self.rules(namespace, &grant.role) {
                Some(rules) if rules.iter().any(|rule| rule.allows(asked)) => {
                    return Decision::Allow(Arc::clone(&grant.reason));
                }
                Some(_) => {}
                None => missing.push(not_found(&grant.role)),
            }
        }
        match summary(missing) {
            None => Decision::no_opinion(),
            Some(text) => Decision::NoOpinion(format!("RBAC: {text}").into()),
        }
    }

    /// All rules that hold for the user in a namespace (or, with an empty one, in the cluster), and what is wrong with
    /// the bindings that led to none.
    pub fn rules_for(&self, user: &User, namespace: &str) -> (Vec<Rule>, Option<String>) {
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for (namespace, grant) in self.grants(user, namespace) {
            match self.rules(namespace, &grant.role) {
                Some(rules) => found.extend_from_slice(rules),
                None => missing.push(not_found(&grant.role)),
            }
        }
        (found, summary(missing))
    }

    /// The rules a reference from a binding in `namespace` stands for.
    pub fn rules(&self, namespace: &str, role: &RoleRef) -> Option<&Arc<[Rule]>> {
        let scope = if role.kind == "Role" { namespace } else { "" };
        self.roles.get(scope)?.get(&role.name)
    }

    /// Grants of the cluster first, then of the namespace.
    fn grants<'a>(&'a self, user: &'a User, namespace: &'a str) -> impl Iterator<Item = (&'a str, &'a Grant)> {
        let cluster = std::iter::once("");
        let own = (!namespace.is_empty()).then_some(namespace);
        cluster.chain(own).filter_map(|name| Some((name, self.scopes.get(name)?))).flat_map(move |(name, scope)| {
            let by_user = scope.users.get(&user.name);
            let by_group = user.groups.iter().filter_map(|group| scope.groups.get(group));
            by_user.into_iter().chain(by_group).flatten().map(move |grant| (name, grant))
        })
    }
}

impl Scope {
    fn grants_mut(&mut self, key: &Key) -> &mut Vec<Grant> {
        match key {
            Key::User(name) => self.users.entry(name.clone()).or_default(),
            Key::Group(name) => self.groups.entry(name.clone()).or_default(),
        }
    }

    fn forget(&mut self, key: &Key) {
        match key {
            Key::User(name) => self.users.remove(name),
            Key::Group(name) => self.groups.remove(name),
        };
    }
}

impl Key {
    /// A service account without a namespace is one of the binding's own; a subject of an unknown kind is nobody.
    fn of(subject: &Subject, binding_namespace: &str) -> Option<Self> {
        match subject.kind.as_str() {
            "User" => Some(Self::User(subject.name.clone())),
            "Group" => Some(Self::Group(subject.name.clone())),
            "ServiceAccount" => {
                let namespace = if subject.namespace.is_empty() { binding_namespace } else { &subject.namespace };
                (!namespace.is_empty()).then(|| Self::User(User::service_account(namespace, &subject.name, "").name))
            }
            _ => None,
        }
    }
}

fn reason(namespace: &str, name: &str, role: &RoleRef, subject: &Subject) -> String {
    let whom = match subject.kind.as_str() {
        "ServiceAccount" if subject.namespace.is_empty() => format!("{:?}", format!("{}/{namespace}", subject.name)),
        "ServiceAccount" => format!("{:?}", format!("{}/{}", subject.name, subject.namespace)),
        _ => format!("{:?}", subject.name),
    };
    let (kind, full) = match namespace {
        "" => ("ClusterRoleBinding", name.to_owned()),
        _ => ("RoleBinding", format!("{name}/{namespace}")),
    };
    format!("RBAC: allowed by {kind} {full:?} of {} {:?} to {} {whom}", role.kind, role.name, subject.kind)
}

fn not_found(role: &RoleRef) -> String {
    format!("{}.rbac.authorization.k8s.io {:?} not found", role.kind.to_ascii_lowercase(), role.name)
}

/// Several failures in the form of an aggregated Go error.
fn summary(mut errors: Vec<String>) -> Option<String> {
    let mut seen = std::collections::HashSet::new();
    errors.retain(|error| seen.insert(error.clone()));
    match errors.len() {
        0 => None,
        1 => errors.pop(),
        _ => Some(format!("[{}]", errors.join(", "))),
    }
}

#[cfg(test)]
mod tests;
