//! What the parts of the server tell each other about a request: who asks, for what, and what admission sees.

pub use api_rules::admission::{AdmissionRequest, Operation};
pub use api_rules::authz::User;
use api_types::{GroupResource, GroupVersionResource};

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
    /// As in the URL: a kubelet must select the pods of its own node.
    pub query: &'a str,
}
