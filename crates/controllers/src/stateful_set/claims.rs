//! The volume claims of a set's pods: what they are called, which are missing, and who owns them.
//!
//! A claim without an owner outlives everything. `persistentVolumeClaimRetentionPolicy` gives it to the set (it goes
//! with the set) or, when the pod is scaled away, to the pod (it goes with the pod).

use std::sync::Arc;

use api_types::{
    k8s_openapi::{
        api::{apps::v1::StatefulSet, core::v1::PersistentVolumeClaim},
        apimachinery::pkg::apis::meta::v1::OwnerReference,
    },
    object::Watched,
    plan::{Note, Step, Target, Write, reference},
};
use serde_json::{Value, json};

use super::{Observed, identity};
use crate::{adoption::controller_reference, view::Pod};

fn templates(set: &StatefulSet) -> impl Iterator<Item = &PersistentVolumeClaim> {
    set.spec.iter().flat_map(|spec| spec.volume_claim_templates.iter().flatten())
}

fn claim_name(template: &PersistentVolumeClaim, pod: &str) -> String {
    format!("{}-{pod}", template.metadata.name.as_deref().unwrap_or_default())
}

/// Whether a claim of this name is one of the set's pods'.
pub fn has_claim(set: &StatefulSet, claim: &str) -> bool {
    templates(set).any(|template| {
        let prefix = template.metadata.name.as_deref().unwrap_or_default();
        let pod = claim.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('-'));
        pod.is_some_and(|pod| identity::ordinal(set, pod).is_some())
    })
}

/// The pod's volumes: those of the claims, and those of the template whose names they do not take.
pub(super) fn volumes(set: &StatefulSet, ordinal: i32, of_template: Option<&Vec<Value>>) -> Vec<Value> {
    let pod = identity::pod_name(set, ordinal);
    let mut volumes: Vec<Value> = templates(set)
        .map(|template| {
            json!({
                "name": template.metadata.name,
                "persistentVolumeClaim": {"claimName": claim_name(template, &pod), "readOnly": false},
            })
        })
        .collect();
    let claims = volumes.len();
    for volume in of_template.into_iter().flatten() {
        if volumes[..claims].iter().all(|claim| claim["name"] != volume["name"]) {
            volumes.push(volume.clone());
        }
    }
    volumes
}

/// Whether the pod that is to be made must wait for the end of a claim: one that is being deleted, or that still
/// belongs to a former pod of its name and goes with it.
pub(super) fn blocked(seen: &Observed<'_>, ordinal: i32) -> bool {
    let pod = identity::pod_name(seen.set, ordinal);
    let ends = |claim: &PersistentVolumeClaim| {
        let owners = claim.metadata.owner_references.iter().flatten();
        claim.metadata.deletion_timestamp.is_some() || owners.into_iter().any(|o| o.kind == "Pod" && o.name == pod)
    };
    templates(seen.set).any(|template| (seen.claim)(&claim_name(template, &pod)).is_some_and(|claim| ends(&claim)))
}

/// The claims that the pod of this ordinal lacks.
pub(super) fn missing(seen: &Observed<'_>, ordinal: i32) -> Vec<Step> {
    let pod = identity::pod_name(seen.set, ordinal);
    templates(seen.set)
        .filter(|template| (seen.claim)(&claim_name(template, &pod)).is_none())
        .map(|template| create(seen.set, template, &pod))
        .collect()
}

fn create(set: &StatefulSet, template: &PersistentVolumeClaim, pod: &str) -> Step {
    let (name, owner) = (claim_name(template, pod), identity::set_name(set));
    let namespace = set.metadata.namespace.clone().unwrap_or_default();
    let mut object = json!(template);
    if let Some(fields) = object.as_object_mut() {
        fields.remove("status");
    }
    object["metadata"]["name"] = json!(name);
    object["metadata"]["namespace"] = json!(namespace);
    for (key, value) in set.spec.iter().flat_map(|spec| spec.selector.match_labels.iter().flatten()) {
        object["metadata"]["labels"][key] = json!(value);
    }
    if Policy::of(set).deleted {
        object["metadata"]["ownerReferences"] = json!([controller_reference(set)]);
    }
    let about = reference(set);
    let done = format!("create Claim {name} Pod {pod} in StatefulSet {owner} success");
    let failed = format!("create Claim {name} for Pod {pod} in StatefulSet {owner} failed error: {{error}}");
    Step::from(Write::Create { resource: PersistentVolumeClaim::RESOURCE, namespace, object })
        .done(Note::normal(about.clone(), "SuccessfulCreate", done))
        .failed(Note::warning(about, "FailedCreate", failed))
}

/// When claims are deleted; they are kept otherwise.
#[derive(Clone, Copy)]
struct Policy {
    scaled: bool,
    deleted: bool,
}

impl Policy {
    fn of(set: &StatefulSet) -> Self {
        let policy = set.spec.as_ref().and_then(|spec| spec.persistent_volume_claim_retention_policy.as_ref());
        let deletes = |when: Option<&String>| when.is_some_and(|when| when == "Delete");
        Self {
            scaled: deletes(policy.and_then(|policy| policy.when_scaled.as_ref())),
            deleted: deletes(policy.and_then(|policy| policy.when_deleted.as_ref())),
        }
    }
}

/// The writes that give the claims of a living pod the owners that the policy wants. `condemned`: the pod is scaled away.
pub(super) fn owners(seen: &Observed<'_>, pod: &Pod, condemned: bool) -> Vec<Step> {
    let policy = Policy::of(seen.set);
    let wanted = if condemned && policy.scaled {
        Some(OwnerReference {
            api_version: Pod::RESOURCE.api_version(),
            kind: Pod::RESOURCE.kind.into_owned(),
            name: pod.metadata.name.to_string(),
            uid: pod.metadata.uid.to_string(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        })
    } else {
        policy.deleted.then(|| controller_reference(seen.set))
    };
    templates(seen.set)
        .filter_map(|template| (seen.claim)(&claim_name(template, &pod.metadata.name)))
        .filter(|claim| claim.metadata.deletion_timestamp.is_none())
        .filter_map(|claim| give(seen.set, pod, &claim, wanted.clone()))
        .collect()
}

fn give(
    set: &StatefulSet,
    pod: &Pod,
    claim: &Arc<PersistentVolumeClaim>,
    wanted: Option<OwnerReference>,
) -> Option<Step> {
    let present = claim.metadata.owner_references.clone().unwrap_or_default();
    let ours =
        |owner: &OwnerReference| Some(&owner.uid) == set.metadata.uid.as_ref() || *owner.uid == *pod.metadata.uid;
    let mut owners: Vec<OwnerReference> = present.iter().filter(|owner| !ours(owner)).cloned().collect();
    // A claim that another controller manages is left to it.
    if owners.iter().all(|owner| owner.controller != Some(true)) {
        owners.extend(wanted);
    }
    let same = present.len() == owners.len() && owners.iter().all(|owner| present.contains(owner));
    if same {
        return None;
    }
    let mut object = PersistentVolumeClaim::clone(claim);
    object.metadata.owner_references = Some(owners);
    Some(Write::Replace { target: Target::of(&**claim), subresource: None, object: json!(object) }.into())
}
