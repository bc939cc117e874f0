//! Who owns whom.

use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    sync::Arc,
};

use api_types::{
    k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference, names::split_api_version, object::Resource,
};

use super::{ORPHAN, Object, ObjectMeta};

type Uid = Box<str>;

/// Owners that were seen to be gone; the oldest are forgotten beyond this number, and would be asked for again.
const REMEMBERED: usize = 10_000;

/// Shares both with whoever watches.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub resource: Arc<Resource>,
    object: Arc<Object>,
}

impl Node {
    pub fn meta(&self) -> &ObjectMeta {
        &self.object.metadata
    }
}

/// All objects that exist, and the references between them.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    nodes: HashMap<Uid, Node>,
    /// By the uid of the owner, whether that one has been seen or not.
    dependents: HashMap<Uid, BTreeSet<Uid>>,
    gone: HashSet<Uid>,
    gone_order: VecDeque<Uid>,
}

impl Graph {
    pub(super) fn node(&self, uid: &str) -> Option<&Node> {
        self.nodes.get(uid)
    }

    pub(super) fn is_gone(&self, uid: &str) -> bool {
        self.gone.contains(uid)
    }

    pub(super) fn dependents(&self, uid: &str) -> impl Iterator<Item = &Node> {
        self.dependents.get(uid).into_iter().flatten().filter_map(|uid| self.nodes.get(uid))
    }

    /// Objects there are.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// An object is there, new or changed. Returns the uids that may have work by now.
    pub fn seen(&mut self, resource: &Arc<Resource>, object: &Arc<Object>) -> Vec<Uid> {
        let meta = &object.metadata;
        let uid = meta.uid.clone();
        let before = self.nodes.insert(uid.clone(), Node { resource: resource.clone(), object: object.clone() });
        self.gone.remove(&uid);
        let was = before.as_ref().map(|node| node.meta().owner_references.as_slice()).unwrap_or_default();
        if was != meta.owner_references {
            self.link(&uid, was, &meta.owner_references);
        }
        let mut work = Vec::new();
        if self.owners_need_a_look(meta) || meta.in_foreground() || (meta.deleting() && meta.has(ORPHAN)) {
            work.push(uid.clone());
        }
        let began = meta.in_foreground() && before.as_ref().is_none_or(|node| !node.meta().in_foreground());
        if began {
            work.extend(self.dependents.get(&uid).into_iter().flatten().cloned());
        }
        // An owner that waits for its dependents may have waited for this one's reference.
        work.extend(was.iter().filter(|owner| self.waits(owner)).map(|owner| Uid::from(owner.uid.as_str())));
        work
    }

    /// An object is gone. Returns the uids that may have work by now.
    pub fn removed(&mut self, uid: &str) -> Vec<Uid> {
        let Some(node) = self.nodes.remove(uid) else { return Vec::new() };
        self.link(uid, &node.meta().owner_references, &[]);
        self.known_gone(uid);
        let mut work: Vec<Uid> = self.dependents.get(uid).into_iter().flatten().cloned().collect();
        let owners = node.meta().owner_references.iter();
        work.extend(owners.filter(|owner| self.waits(owner)).map(|owner| Uid::from(owner.uid.as_str())));
        work
    }

    /// A kind is no longer served. Its objects are not known any more, which does not mean that they are gone.
    pub fn unwatched(&mut self, resource: &Resource) {
        let of_kind: Vec<Uid> =
            self.nodes.iter().filter(|(_, node)| *node.resource == *resource).map(|(uid, _)| uid.clone()).collect();
        for uid in of_kind {
            if let Some(node) = self.nodes.remove(&uid) {
                self.link(&uid, &node.meta().owner_references, &[]);
            }
        }
    }

    /// A kind is served from now on. Returns the uids of those whose owners of that kind nobody could ask for before.
    pub fn watched(&self, resource: &Resource) -> Vec<Uid> {
        let names_it = |owner: &OwnerReference| {
            owner.kind == *resource.kind
                && split_api_version(&owner.api_version).0 == resource.group
                && !self.nodes.contains_key(owner.uid.as_str())
        };
        let waiting = self.nodes.iter().filter(|(_, node)| node.meta().owner_references.iter().any(names_it));
        waiting.map(|(uid, _)| uid.clone()).collect()
    }

    /// The API said that this owner does not exist.
    pub fn known_gone(&mut self, uid: &str) {
        if self.gone.insert(uid.into()) {
            self.gone_order.push_back(uid.into());
        }
        while self.gone_order.len() > REMEMBERED {
            if let Some(oldest) = self.gone_order.pop_front() {
                self.gone.remove(&oldest);
            }
        }
    }

    fn link(&mut self, uid: &str, before: &[OwnerReference], after: &[OwnerReference]) {
        for owner in before {
            if let Some(set) = self.dependents.get_mut(owner.uid.as_str()) {
                set.remove(uid);
                if set.is_empty() {
                    self.dependents.remove(owner.uid.as_str());
                }
            }
        }
        for owner in after {
            self.dependents.entry(owner.uid.as_str().into()).or_default().insert(uid.into());
        }
    }

    fn owners_need_a_look(&self, meta: &ObjectMeta) -> bool {
        meta.owner_references
            .iter()
            .any(|owner| self.nodes.get(owner.uid.as_str()).is_none_or(|owner| owner.meta().in_foreground()))
    }

    fn waits(&self, owner: &OwnerReference) -> bool {
        self.nodes.get(owner.uid.as_str()).is_some_and(|owner| owner.meta().in_foreground())
    }
}
