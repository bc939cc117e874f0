//! Who may do what: the decision of RBAC and of the Node authorizer over data that others feed in.
//!
//! Both are indexes that change object by object, so that a decision costs a few hash look-ups whatever the size of
//! the cluster. Nothing here reads a store, and nothing here knows how a user proved who they are.

pub mod attributes;
pub mod escalation;
pub mod node;
pub mod rbac;
pub mod rules;

pub use attributes::{Attributes, User};
pub use rules::Rule;

use std::sync::Arc;

/// The group whose members are never asked anything: they pass before any rule is looked at.
pub const SYSTEM_MASTERS: &str = "system:masters";
/// The group of everybody who proved an identity.
pub const SYSTEM_AUTHENTICATED: &str = "system:authenticated";
/// The group of everybody who did not.
pub const SYSTEM_UNAUTHENTICATED: &str = "system:unauthenticated";
/// The user name of a request without credentials.
pub const ANONYMOUS: &str = "system:anonymous";

/// Upstream's bootstrap policy: a JSON object of lists of objects (`clusterroles`, `roles`, their bindings, and the other
/// things a cluster starts with: `namespaces`, `priorityclasses`, …).
pub const BOOTSTRAP: &str = include_str!("../../data/bootstrap.json");

/// What one authorizer says. Authorizers only ever add permissions, so there is no "deny".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Allowed, with the reason as an access review shows it.
    Allow(Arc<str>),
    /// This authorizer has nothing that allows it; the reason is empty when there is nothing to add.
    NoOpinion(Arc<str>),
}

impl Decision {
    /// Allowed without more to say.
    pub fn allow() -> Self {
        Self::Allow(Arc::from(""))
    }

    /// Nothing known that allows it, and no more to say.
    pub fn no_opinion() -> Self {
        Self::NoOpinion(Arc::from(""))
    }

    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allow(_))
    }

    pub fn reason(&self) -> &str {
        match self {
            Self::Allow(reason) | Self::NoOpinion(reason) => reason,
        }
    }
}
