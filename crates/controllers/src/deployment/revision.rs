//! Which ReplicaSet has the deployment's template, its name, and the revisions by which `kubectl rollout` knows it.

use std::{collections::BTreeMap, sync::Arc};

use api_types::{
    k8s_openapi::api::core::v1::PodTemplateSpec,
    object::Watched,
    plan::{Note, Step, Write, reference},
};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{
    rolling,
    sets::{Set, Sets, scaled},
    status,
};
use crate::{
    adoption::controller_reference,
    workload::{Deployment, DeploymentSpec, ReplicaSet},
};

pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
const HISTORY: &str = "deployment.kubernetes.io/revision-history";
pub(super) const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
pub(super) const MAX: &str = "deployment.kubernetes.io/max-replicas";
const HASH: &str = "pod-template-hash";
/// Annotations of the deployment that its sets do not take over.
const OWN: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    HISTORY,
    DESIRED,
    MAX,
    "deprecated.deployment.rollback.to",
];
const HISTORY_LIMIT: usize = 2000;
/// Without vowels and look-alikes, so that no hash is a word.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// Finds the set with the deployment's template (the oldest of several) among those that are its own.
pub(super) fn sort(template: &PodTemplateSpec, mut own: Vec<Arc<ReplicaSet>>) -> Sets {
    let order = |set: &ReplicaSet| (set.metadata.creation_timestamp.as_ref().map(|t| t.0), set.metadata.name.clone());
    own.sort_by_key(|set| order(set));
    let wanted = bare(template.clone());
    let newest =
        own.iter().position(|set| set.spec.as_ref().is_some_and(|spec| bare(spec.template.decode()) == wanted));
    let new = newest.map(|index| Set::new(own.remove(index)));
    Sets { new, old: own.into_iter().map(Set::new).collect() }
}

/// What the hash does not change, and unset and empty being the same.
fn bare(mut template: PodTemplateSpec) -> PodTemplateSpec {
    if let Some(metadata) = &mut template.metadata {
        if let Some(labels) = &mut metadata.labels {
            labels.remove(HASH);
        }
        metadata.labels = metadata.labels.take().filter(|labels| !labels.is_empty());
        metadata.annotations = metadata.annotations.take().filter(|annotations| !annotations.is_empty());
        metadata.creation_timestamp = None;
    }
    template
}

/// Same template and collision count, same hash: of a program's life and of the next one's.
pub(super) fn hash(template: &PodTemplateSpec, collisions: i32) -> String {
    let mut hasher = Sha256::new();
    // Types of the API always encode; were it not so, the collision count would still tell hashes apart.
    hasher.update(serde_json::to_vec(template).unwrap_or_default());
    if collisions > 0 {
        hasher.update(collisions.to_le_bytes());
    }
    hasher.finalize()[..10].iter().map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()])).collect()
}

/// A ReplicaSet for the deployment's template, and its size.
pub(super) struct Fresh {
    pub name: String,
    hash: String,
    replicas: i32,
}

pub(super) fn fresh(deployment: &Deployment, spec: &DeploymentSpec, template: &PodTemplateSpec, sets: &Sets) -> Fresh {
    let collisions = deployment.status.as_ref().and_then(|status| status.collision_count).unwrap_or_default();
    let hash = hash(template, collisions);
    let name = format!("{}-{hash}", deployment.metadata.name.as_deref().unwrap_or_default());
    Fresh { name, hash, replicas: rolling::new_size(spec, sets, 0) }
}

impl Fresh {
    pub fn step(
        &self,
        deployment: &Deployment,
        spec: &DeploymentSpec,
        mut template: PodTemplateSpec,
        sets: &Sets,
    ) -> Step {
        let hash = BTreeMap::from([(HASH.to_owned(), self.hash.clone())]);
        let with_hash = |labels: &Option<BTreeMap<String, String>>| {
            let mut labels = labels.clone().unwrap_or_default();
            labels.extend(hash.clone());
            labels
        };
        let metadata = template.metadata.get_or_insert_default();
        let labels = with_hash(&metadata.labels);
        metadata.labels = Some(labels.clone());
        let mut selector = spec.selector.clone();
        selector.match_labels = Some(with_hash(&selector.match_labels));

        let mut annotations = taken_over(deployment);
        annotations.insert(REVISION.into(), next_revision(sets).to_string());
        annotations.extend(size_annotations(spec));
        let namespace = deployment.metadata.namespace.clone().unwrap_or_default();
        let object = json!({
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {
                "name": self.name,
                "namespace": namespace,
                "labels": labels,
                "annotations": annotations,
                "ownerReferences": [controller_reference(deployment)],
            },
            "spec": {
                "replicas": self.replicas,
                "minReadySeconds": spec.min_ready_seconds.unwrap_or_default(),
                "selector": selector,
                "template": template,
            },
        });
        let failed = format!("Failed to create new replica set {:?}: {{error}}", self.name);
        let step = Step::from(Write::Create { resource: ReplicaSet::RESOURCE, namespace, object })
            .failed(Note::warning(reference(deployment), status::SET_CREATE_ERROR, failed));
        if self.replicas > 0 { step.done(scaled(deployment, true, &self.name, 0, self.replicas)) } else { step }
    }
}

/// The revision of a template that is new, or used again.
fn next_revision(sets: &Sets) -> i64 {
    sets.old.iter().map(Set::revision).max().unwrap_or_default() + 1
}

/// Gives the new set its revision and annotations.
pub(super) fn annotate_new(deployment: &Deployment, spec: &DeploymentSpec, sets: &mut Sets) {
    let next = next_revision(sets);
    let Some(new) = &mut sets.new else { return };
    let current = new.revision();
    if current < next {
        if current > 0 {
            let mut history: Vec<&str> =
                new.annotation(HISTORY).unwrap_or_default().split(',').filter(|r| !r.is_empty()).collect();
            let text = current.to_string();
            history.push(&text);
            while history.join(",").len() > HISTORY_LIMIT {
                history.remove(0);
            }
            let history = history.join(",");
            new.annotate(HISTORY, history);
        }
        new.annotate(REVISION, next.to_string());
    }
    for (key, value) in taken_over(deployment) {
        new.annotate(&key, value);
    }
    let wanted = spec.min_ready_seconds.unwrap_or_default();
    if new.seen.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or_default() != wanted {
        new.min_ready_seconds = Some(wanted);
    }
}

fn taken_over(deployment: &Deployment) -> BTreeMap<String, String> {
    let mut annotations = deployment.metadata.annotations.clone().unwrap_or_default();
    annotations.retain(|key, _| !OWN.contains(&key.as_str()));
    annotations
}

/// What a set remembers of the deployment's size, to tell a scaling from a rollout.
pub(super) fn size_annotations(spec: &DeploymentSpec) -> [(String, String); 2] {
    let replicas = rolling::wanted(spec);
    [(DESIRED.to_owned(), replicas.to_string()), (MAX.to_owned(), (replicas + rolling::limits(spec).surge).to_string())]
}

/// Old sets beyond the history limit that have no pods and owe no report, the oldest revisions first.
pub(super) fn forgotten<'a>(spec: &DeploymentSpec, sets: &'a Sets) -> Vec<&'a Set> {
    let Some(limit) = spec.revision_history_limit.and_then(|limit| usize::try_from(limit).ok()) else {
        return Vec::new();
    };
    let mut alive: Vec<&Set> = sets.old.iter().filter(|set| set.seen.metadata.deletion_timestamp.is_none()).collect();
    let excess = alive.len().saturating_sub(limit);
    alive.sort_by_key(|set| (set.revision(), set.created()));
    alive.into_iter().take(excess).filter(|set| set.replicas == 0 && set.actual() == 0 && set.observed()).collect()
}
