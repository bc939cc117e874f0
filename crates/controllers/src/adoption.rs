//! Which objects a controller's object may call its own: adopting those that match its selector and have no controller,
//! releasing those of its own that match no longer.

use std::collections::BTreeMap;

use api_types::{
    k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference,
    object::Watched,
    plan::{PatchStyle, Target, Write},
    selector::Selector,
};
use serde_json::json;

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

impl Owner<'_> {
    pub fn claim(&self, candidate: Candidate<'_>) -> Claim {
        let matches = self.selector.matches(candidate.labels);
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
