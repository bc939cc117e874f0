//! Which objects a controller's object may call its own: adopting those that match its selector and have no controller,
//! releasing those of its own that match no longer.

use std::{collections::BTreeMap, sync::Arc};

use api_types::{
    k8s_openapi::{
        api::apps::v1::ControllerRevision,
        apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
    },
    object::Watched,
    plan::{PatchStyle, Target, Write},
    selector::Selector,
};
use serde_json::json;

use crate::{view::Pod, workload::ReplicaSet};

/// Answer of a live read of the owner: what a cache says of it may be too old to adopt by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    /// None when it is gone.
    pub uid: Option<String>,
    pub deleting: bool,
}

impl Live {
    /// Whether it is still the same, and may adopt.
    pub fn may_adopt(&self, uid: &str) -> bool {
        self.uid.as_deref() == Some(uid) && !self.deleting
    }
}

/// The object that adopts.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    pub uid: &'a str,
    pub deleting: bool,
    pub selector: &'a Selector,
}

/// The object in question.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    pub controller: Option<&'a OwnerReference>,
    pub labels: &'a BTreeMap<String, String>,
    pub deleting: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    Mine,
    Adopt,
    Release,
    Foreign,
}

/// Something a controller's object can own.
pub trait Owned: Watched {
    fn candidate(&self) -> Candidate<'_>;
}

impl Owned for Pod {
    fn candidate(&self) -> Candidate<'_> {
        let metadata = &self.metadata;
        Candidate { controller: metadata.controller(), labels: &metadata.labels, deleting: metadata.deleting() }
    }
}

macro_rules! owned {
    ($($type:ty),*) => {$(
        impl Owned for $type {
            fn candidate(&self) -> Candidate<'_> {
                candidate(&self.metadata)
            }
        }
    )*};
}
owned!(ReplicaSet, ControllerRevision);

/// The owner of an object that manages it.
pub fn controller(metadata: &ObjectMeta) -> Option<&OwnerReference> {
    metadata.owner_references.as_ref()?.iter().find(|owner| owner.controller == Some(true))
}

fn candidate(metadata: &ObjectMeta) -> Candidate<'_> {
    static NONE: BTreeMap<String, String> = BTreeMap::new();
    Candidate {
        controller: controller(metadata),
        labels: metadata.labels.as_ref().unwrap_or(&NONE),
        deleting: metadata.deletion_timestamp.is_some(),
    }
}

/// What an owner may call its own, and the writes that make it so.
pub struct Claims<K> {
    pub mine: Vec<Arc<K>>,
    pub writes: Vec<Write>,
}

/// Claims among `objects`; none when the owner must be read live before it adopts.
///
/// An object that is no `member` is treated as one that the selector does not match.
pub fn claim<O: Watched, K: Owned>(
    owner: &O,
    claiming: Owner<'_>,
    objects: &[Arc<K>],
    member: impl Fn(&K) -> bool,
    live: Option<&Live>,
) -> Option<Claims<K>> {
    let mut claims = Claims { mine: Vec::new(), writes: Vec::new() };
    for object in objects {
        match claiming.claim_if(object.candidate(), member(object)) {
            Claim::Mine => claims.mine.push(object.clone()),
            Claim::Foreign => {}
            Claim::Release => claims.writes.push(release(&**object, claiming.uid)),
            Claim::Adopt => {
                if live?.may_adopt(claiming.uid) {
                    claims.writes.push(adopt(&**object, controller_reference(owner)));
                    claims.mine.push(object.clone());
                }
            }
        }
    }
    Some(claims)
}

impl Owner<'_> {
    pub fn claim(&self, candidate: Candidate<'_>) -> Claim {
        self.claim_if(candidate, true)
    }

    fn claim_if(&self, candidate: Candidate<'_>, member: bool) -> Claim {
        let matches = member && self.selector.matches(candidate.labels);
        match candidate.controller {
            Some(controller) if controller.uid != self.uid => Claim::Foreign,
            Some(_) if matches => Claim::Mine,
            Some(_) if self.deleting => Claim::Foreign,
            Some(_) => Claim::Release,
            None if self.deleting || !matches || candidate.deleting => Claim::Foreign,
            None => Claim::Adopt,
        }
    }
}

/// The reference by which `owner` controls an object.
pub fn controller_reference<K: Watched>(owner: &K) -> OwnerReference {
    OwnerReference {
        api_version: K::RESOURCE.api_version(),
        kind: K::RESOURCE.kind.into_owned(),
        name: owner.name().to_owned(),
        uid: owner.uid().to_owned(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

pub fn adopt<K: Watched>(object: &K, owner: OwnerReference) -> Write {
    patch(object, json!({"metadata": {"ownerReferences": [owner]}}))
}

pub fn release<K: Watched>(object: &K, owner_uid: &str) -> Write {
    patch(object, json!({"metadata": {"ownerReferences": [{"$patch": "delete", "uid": owner_uid}]}}))
}

fn patch<K: Watched>(object: &K, body: serde_json::Value) -> Write {
    Write::Patch { target: Target::of(object), subresource: None, style: PatchStyle::Strategic, body }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims() {
        let selector = Selector::parse("app=a").unwrap();
        let check = |owner: Option<&str>, app: &str, deleting: bool, owner_deleting: bool, expected: Claim| {
            let controller = owner.map(|uid| OwnerReference { uid: uid.into(), ..OwnerReference::default() });
            let labels = BTreeMap::from([("app".to_owned(), app.to_owned())]);
            let candidate = Candidate { controller: controller.as_ref(), labels: &labels, deleting };
            let claim = Owner { uid: "me", deleting: owner_deleting, selector: &selector }.claim(candidate);
            assert_eq!(claim, expected, "{owner:?} {app} {deleting} {owner_deleting}");
        };
        check(Some("me"), "a", false, false, Claim::Mine);
        check(Some("me"), "a", true, true, Claim::Mine);
        check(Some("me"), "b", false, false, Claim::Release);
        check(Some("me"), "b", false, true, Claim::Foreign);
        check(Some("you"), "a", false, false, Claim::Foreign);
        check(None, "a", false, false, Claim::Adopt);
        check(None, "a", true, false, Claim::Foreign);
        check(None, "a", false, true, Claim::Foreign);
        check(None, "b", false, false, Claim::Foreign);
    }
}
