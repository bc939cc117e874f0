//! What a ReplicaSet and a ReplicationController have in common, which is all but their form.

use std::{collections::BTreeMap, time::Duration};

use api_types::{
    k8s_openapi::{
        api::{
            apps::v1::{ReplicaSetCondition, ReplicaSetStatus},
            core::v1::{
                PodTemplateSpec, ReplicationController, ReplicationControllerCondition, ReplicationControllerStatus,
            },
        },
        apimachinery::pkg::apis::meta::v1::ObjectMeta,
    },
    object::Watched,
    plan::Write,
    selector::Selector,
};

use crate::{
    time::from_seconds,
    workload::{ReplicaSet, write_status},
};

/// An object that wants a number of pods of one template.
pub trait Replicated: Watched {
    /// Whether its status has `terminatingReplicas`.
    const COUNTS_TERMINATING: bool;

    fn metadata(&self) -> &ObjectMeta;
    /// None for one that validation would not let in: there is nothing to do for it.
    fn selector(&self) -> Option<Selector>;
    fn wanted(&self) -> usize;
    fn min_ready(&self) -> Duration;
    fn template(&self) -> PodTemplateSpec;
    fn template_labels(&self) -> BTreeMap<String, String>;
    fn status(&self) -> ReplicaSetStatus;
    fn write(&self, status: ReplicaSetStatus) -> Write;
}

impl Replicated for ReplicaSet {
    const COUNTS_TERMINATING: bool = true;

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }
    fn selector(&self) -> Option<Selector> {
        Selector::from_label_selector(&self.spec.as_ref()?.selector).ok()
    }
    fn wanted(&self) -> usize {
        count(self.spec.as_ref().and_then(|spec| spec.replicas))
    }
    fn min_ready(&self) -> Duration {
        from_seconds(self.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or_default())
    }
    fn template(&self) -> PodTemplateSpec {
        self.spec.as_ref().map(|spec| spec.template.decode()).unwrap_or_default()
    }
    fn template_labels(&self) -> BTreeMap<String, String> {
        self.spec.as_ref().map(|spec| spec.template.labels()).unwrap_or_default()
    }
    fn status(&self) -> ReplicaSetStatus {
        self.status.clone().unwrap_or_default()
    }
    fn write(&self, status: ReplicaSetStatus) -> Write {
        write_status(self, &self.metadata, &status)
    }
}

impl Replicated for ReplicationController {
    const COUNTS_TERMINATING: bool = false;

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }
    fn selector(&self) -> Option<Selector> {
        let selector = self.spec.as_ref()?.selector.as_ref().filter(|selector| !selector.is_empty())?;
        Some(Selector::from_map(selector))
    }
    fn wanted(&self) -> usize {
        count(self.spec.as_ref().and_then(|spec| spec.replicas))
    }
    fn min_ready(&self) -> Duration {
        from_seconds(self.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or_default())
    }
    fn template(&self) -> PodTemplateSpec {
        self.spec.as_ref().and_then(|spec| spec.template.clone()).unwrap_or_default()
    }
    fn template_labels(&self) -> BTreeMap<String, String> {
        let template = self.spec.as_ref().and_then(|spec| spec.template.as_ref());
        template.and_then(|template| template.metadata.as_ref()?.labels.clone()).unwrap_or_default()
    }
    fn status(&self) -> ReplicaSetStatus {
        let status = self.status.clone().unwrap_or_default();
        let condition = |condition: ReplicationControllerCondition| ReplicaSetCondition {
            type_: condition.type_,
            status: condition.status,
            reason: condition.reason,
            message: condition.message,
            last_transition_time: condition.last_transition_time,
        };
        ReplicaSetStatus {
            replicas: status.replicas,
            fully_labeled_replicas: status.fully_labeled_replicas,
            ready_replicas: status.ready_replicas,
            available_replicas: status.available_replicas,
            terminating_replicas: None,
            observed_generation: status.observed_generation,
            conditions: status.conditions.map(|all| all.into_iter().map(condition).collect()),
        }
    }
    fn write(&self, status: ReplicaSetStatus) -> Write {
        let condition = |condition: ReplicaSetCondition| ReplicationControllerCondition {
            type_: condition.type_,
            status: condition.status,
            reason: condition.reason,
            message: condition.message,
            last_transition_time: condition.last_transition_time,
        };
        let status = ReplicationControllerStatus {
            replicas: status.replicas,
            fully_labeled_replicas: status.fully_labeled_replicas,
            ready_replicas: status.ready_replicas,
            available_replicas: status.available_replicas,
            observed_generation: status.observed_generation,
            conditions: status.conditions.map(|all| all.into_iter().map(condition).collect()),
        };
        write_status(self, &self.metadata, &status)
    }
}

fn count(replicas: Option<i32>) -> usize {
    usize::try_from(replicas.unwrap_or(1)).unwrap_or_default()
}
