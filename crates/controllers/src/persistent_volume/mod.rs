//! Persistent volumes: binds claims to volumes that are there, and says what becomes of both.
//!
//! A binding is four writes, each decided on what the one before left: the volume names the claim, the claim names the
//! volume, and both report it. Whoever dies between two of them, the next round goes on. A claim gets the smallest volume
//! that will do; one whose class waits for a consumer is left to the scheduler, which names the claim in a volume itself.
//!
//! Volumes are neither made nor deleted here: provisioners do that. A released volume is kept; where its policy is to delete
//! it and no provisioner owns it, it has failed, and says so.

mod claim;
mod matching;
mod volume;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use api_types::{
    k8s_openapi::api::{
        core::v1::{ObjectReference, PersistentVolume, PersistentVolumeClaim},
        storage::v1::StorageClass,
    },
    object::{Object, Watched},
    plan::{Target, Write},
};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;

pub use claim::reconcile as reconcile_claim;
pub use volume::reconcile as reconcile_volume;

const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
const STORAGE_PROVISIONER: &str = "volume.kubernetes.io/storage-provisioner";
const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";

/// What a decision about a claim depends on.
#[derive(Clone, Copy)]
pub struct ObservedClaim<'a> {
    pub claim: &'a PersistentVolumeClaim,
    pub volumes: &'a [Arc<PersistentVolume>],
    /// The class that the claim names, if there is one of that name.
    pub class: Option<&'a StorageClass>,
}

/// What a decision about a volume depends on.
#[derive(Clone, Copy, Debug)]
pub struct ObservedVolume<'a> {
    pub volume: &'a PersistentVolume,
    /// The claim of the name that the volume names.
    pub claim: Option<&'a PersistentVolumeClaim>,
    pub now: Timestamp,
}

/// The class that a claim names; empty for none.
pub fn class_of_claim(claim: &PersistentVolumeClaim) -> &str {
    let annotated = claim.metadata.annotations.as_ref().and_then(|annotations| annotations.get(CLASS_ANNOTATION));
    let named = claim.spec.as_ref().and_then(|spec| spec.storage_class_name.as_ref());
    annotated.or(named).map_or("", String::as_str)
}

pub fn class_of_volume(volume: &PersistentVolume) -> &str {
    let annotated = volume.metadata.annotations.as_ref().and_then(|annotations| annotations.get(CLASS_ANNOTATION));
    let named = volume.spec.as_ref().and_then(|spec| spec.storage_class_name.as_ref());
    annotated.or(named).map_or("", String::as_str)
}

pub fn claim_reference(volume: &PersistentVolume) -> Option<&ObjectReference> {
    volume.spec.as_ref()?.claim_ref.as_ref()
}

/// Whether the claim still looks for its volume.
pub fn is_unbound(claim: &PersistentVolumeClaim) -> bool {
    !has_annotation(claim.metadata.annotations.as_ref(), BIND_COMPLETED)
}

/// Whether the volume names this claim, by uid if it knows that already.
fn names(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> bool {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    claim_reference(volume).is_some_and(|reference| {
        let uid = text(&reference.uid);
        text(&reference.name) == claim.name()
            && text(&reference.namespace) == claim.namespace()
            && (uid.is_empty() || uid == claim.uid())
    })
}

fn has_annotation(annotations: Option<&std::collections::BTreeMap<String, String>>, name: &str) -> bool {
    annotations.is_some_and(|annotations| annotations.contains_key(name))
}

fn replace<K: Watched + Serialize>(object: &K, subresource: Option<&'static str>) -> Write {
    Write::Replace { target: Target::of(object), subresource, object: json!(object) }
}
