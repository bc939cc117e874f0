//! What the parts of the server tell each other about a request: who asks, for what, and what admission sees.

use std::collections::BTreeMap;

use api_types::{GroupResource, GroupVersionKind, GroupVersionResource};
use serde_json::Value;

/// Who sent a request, as the authenticator found out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    pub name: String,
    pub uid: String,
    pub groups: Vec<String>,
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    pub fn anonymous() -> Self {
        Self {
            name: "system:anonymous".into(),
            groups: vec!["system:unauthenticated".into()],
            ..Self::default()
        }
    }

    /// The server itself, for what it writes on its own account.
    pub fn loopback() -> Self {
        Self {
            name: "system:apiserver".into(),
            groups: vec!["system:masters".into(), "system:authenticated".into()],
            ..Self::default()
        }
    }

    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|g| g == group)
    }
}

/// What a path and method ask for, as upstream's `RequestInfo`. Parsed without copying by `request_info`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestInfo<'a> {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`; the method in lower case for
    /// paths that are no resource.
    pub verb: &'a str,
    pub path: &'a str,
    /// Whether the path names a resource; if not, only `verb` and `path` are set.
    pub is_resource: bool,
    /// Empty for the core group.
    pub group: &'a str,
    pub version: &'a str,
    /// Empty for cluster-scoped requests and those across namespaces.
    pub namespace: &'a str,
    pub resource: &'a str,
    pub subresource: &'a str,
    pub name: &'a str,
    /// What follows a proxy subresource, without the leading slash.
    pub rest: &'a str,
}

impl RequestInfo<'_> {
    pub fn group_resource(&self) -> GroupResource {
        GroupResource::new(self.group.to_owned(), self.resource.to_owned())
    }

    pub fn group_version_resource(&self) -> GroupVersionResource {
        GroupVersionResource::new(self.group.to_owned(), self.version.to_owned(), self.resource.to_owned())
    }
}

/// The question put to the authorizer; access reviews ask it too.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a> {
    pub user: &'a User,
    pub info: RequestInfo<'a>,
}

/// What is about to happen to an object, for admission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Create,
    Update,
    Delete,
    Connect,
}

/// The circumstances of a write; the object itself is passed beside it.
#[derive(Clone, Debug)]
pub struct AdmissionRequest<'a> {
    pub operation: Operation,
    pub user: &'a User,
    /// Of the object (for subresources with a body of their own: of that body).
    pub kind: GroupVersionKind,
    pub resource: GroupVersionResource,
    pub subresource: &'a str,
    pub namespace: &'a str,
    /// Empty on a create with generateName.
    pub name: &'a str,
    /// On update and delete.
    pub old: Option<&'a Value>,
    pub dry_run: bool,
}
