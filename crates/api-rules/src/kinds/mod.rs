//! The list of kinds that are served. There is no other.

mod config_map;
mod namespace;

use crate::{kind::Kind, typed::Typed};

/// Every kind, in the order of discovery: the core group first, then the groups as upstream ranks them.
pub fn all() -> &'static [&'static dyn Kind] {
    static ALL: &[&dyn Kind] = &[
        &Typed::<config_map::ConfigMap>::NEW,
        &Typed::<namespace::Namespace>::NEW,
    ];
    ALL
}

/// The kind served at a path.
pub fn find(group: &str, version: &str, resource: &str) -> Option<&'static dyn Kind> {
    by(|n| !resource.is_empty() && (n.group, n.version, n.plural) == (group, version, resource))
}

/// The kind of a body, including those that have no path of their own.
pub fn find_kind(group: &str, version: &str, kind: &str) -> Option<&'static dyn Kind> {
    by(|n| (n.group, n.version, n.kind) == (group, version, kind))
}

fn by(matches: impl Fn(&crate::kind::Names) -> bool) -> Option<&'static dyn Kind> {
    all().iter().copied().find(|kind| matches(kind.names()))
}
