//! What is served at this moment: the built-in kinds, and those that definitions brought.
//!
//! A registry never changes: a definition that comes, changes or goes makes another one, which takes its place at once. A
//! request looks up its kind in the registry of the moment and keeps it to its end.

use std::{collections::HashMap, sync::Arc};

use api_rules::{Kind, KindRef, Scope, names};
use api_types::GroupResource;
use store::ResourceRef;

use crate::protobuf::{MessageId, messages};

/// A resource in one version, with all that answering for it needs, looked up once per request.
pub struct Served {
    pub kind: KindRef,
    /// Where it is stored; `None` for what is answered and forgotten.
    pub id: Option<ResourceRef>,
    pub group_resource: GroupResource,
    pub api_version: String,
    /// Its protobuf form; custom resources have none.
    pub message: Option<MessageId>,
}

impl Served {
    pub fn new(kind: KindRef, id: Option<ResourceRef>) -> Self {
        let names = kind.names();
        let (group_resource, api_version) = (names.group_resource(), names.api_version());
        let message = match kind {
            KindRef::BuiltIn(_) => messages::of_kind(&api_version, names.kind),
            KindRef::Custom(_) => None,
        };
        Self { group_resource, api_version, message, id, kind }
    }

    pub fn is_namespaced(&self) -> bool {
        self.kind.scope() == Scope::Namespaced
    }
}

pub struct Registry {
    /// By plural name.
    served: HashMap<&'static str, Vec<Arc<Served>>>,
    groups: Vec<Group>,
}

/// The versions of one group; the first is preferred.
pub struct Group {
    pub name: &'static str,
    pub versions: Vec<Arc<GroupVersion>>,
}

/// The resources of a group in one version.
pub struct GroupVersion {
    pub group: &'static str,
    pub version: &'static str,
    /// By plural name.
    pub served: Vec<Arc<Served>>,
}

impl Group {
    pub fn root(&self) -> &'static str {
        if self.name.is_empty() { "/api" } else { "/apis" }
    }
}

impl GroupVersion {
    pub fn kinds(&self) -> Vec<&dyn Kind> {
        self.served.iter().map(|served| &*served.kind).collect()
    }
}

impl Registry {
    /// Built-in groups come in the order of the list of kinds, all others by name; versions of custom kinds by their age
    /// and stability. What is the same as `before` is taken over from there.
    pub fn new(built_in: &[Arc<Served>], custom: &[Arc<Served>], before: Option<&Self>) -> Self {
        let mut served: HashMap<_, Vec<_>> = HashMap::new();
        for entry in built_in.iter().chain(custom) {
            served.entry(entry.kind.names().plural).or_default().push(entry.clone());
        }
        Self { served, groups: groups(built_in, custom, before) }
    }

    /// What a path names.
    pub fn served(&self, group: &str, version: &str, resource: &str) -> Option<&Arc<Served>> {
        let named = |served: &&Arc<Served>| {
            let names = served.kind.names();
            names.group == group && names.version == version
        };
        self.served.get(resource)?.iter().find(named)
    }

    /// The stored resource behind a group and plural name; `None` for what is not served or not stored.
    pub fn resource(&self, group: &str, resource: &str) -> Option<&ResourceRef> {
        self.served.get(resource)?.iter().find(|served| served.group_resource.group == group)?.id.as_ref()
    }

    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    pub fn group_versions(&self) -> impl Iterator<Item = &Arc<GroupVersion>> {
        self.groups.iter().flat_map(|group| &group.versions)
    }
}

fn groups(built_in: &[Arc<Served>], custom: &[Arc<Served>], before: Option<&Registry>) -> Vec<Group> {
    let mut groups: Vec<(&'static str, Vec<GroupVersion>)> = Vec::new();
    let mut custom: Vec<_> = custom.iter().collect();
    custom.sort_by(|a, b| {
        let (a, b) = (a.kind.names(), b.kind.names());
        a.group.cmp(b.group).then_with(|| names::compare_versions(b.version, a.version))
    });
    for entry in built_in.iter().chain(custom) {
        let names = entry.kind.names();
        let at = groups.iter().position(|(name, _)| *name == names.group).unwrap_or_else(|| {
            groups.push((names.group, Vec::new()));
            groups.len() - 1
        });
        let versions = &mut groups[at].1;
        match versions.iter_mut().find(|of| of.version == names.version) {
            Some(of) => of.served.push(entry.clone()),
            None => {
                versions.push(GroupVersion { group: names.group, version: names.version, served: vec![entry.clone()] })
            }
        }
    }
    let known = |of: GroupVersion| {
        let same = |known: &&Arc<GroupVersion>| {
            (known.group, known.version) == (of.group, of.version)
                && known.served.len() == of.served.len()
                && known.served.iter().zip(&of.served).all(|(a, b)| Arc::ptr_eq(a, b))
        };
        match before.and_then(|before| before.group_versions().find(same)) {
            Some(known) => known.clone(),
            None => Arc::new(of),
        }
    };
    let finish = |mut of: GroupVersion| {
        of.served.sort_by_key(|served| served.kind.names().plural);
        known(of)
    };
    groups
        .into_iter()
        .map(|(name, versions)| Group { name, versions: versions.into_iter().map(finish).collect() })
        .collect()
}
