//! The ReplicaSets of a deployment while a plan is made: as they are, and as they shall be.

use std::{collections::BTreeMap, sync::Arc};

use api_types::plan::{Note, PatchStyle, Step, Target, Write, reference};
use jiff::Timestamp;
use serde_json::json;

use super::revision;
use crate::workload::{Deployment, ReplicaSet};

#[derive(Clone, Debug)]
pub(super) struct Set {
    pub seen: Arc<ReplicaSet>,
    /// `spec.replicas` as it shall be.
    pub replicas: i32,
    /// Annotations to set.
    pub annotations: BTreeMap<String, String>,
    pub min_ready_seconds: Option<i32>,
}

/// Sorted by age, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Sets {
    pub new: Option<Set>,
    pub old: Vec<Set>,
}

impl Set {
    pub fn new(seen: Arc<ReplicaSet>) -> Self {
        let replicas = wanted(&seen);
        Self { seen, replicas, annotations: BTreeMap::new(), min_ready_seconds: None }
    }

    pub fn name(&self) -> &str {
        self.seen.metadata.name.as_deref().unwrap_or_default()
    }

    pub fn uid(&self) -> &str {
        self.seen.metadata.uid.as_deref().unwrap_or_default()
    }

    pub fn created(&self) -> Option<Timestamp> {
        self.seen.metadata.creation_timestamp.as_ref().map(|time| time.0)
    }

    pub fn annotation(&self, key: &str) -> Option<&str> {
        let present = || self.seen.metadata.annotations.as_ref()?.get(key);
        self.annotations.get(key).or_else(present).map(String::as_str)
    }

    pub fn revision(&self) -> i64 {
        self.annotation(revision::REVISION).and_then(|text| text.parse().ok()).unwrap_or_default()
    }

    /// Pods that exist, by the set's own report.
    pub fn actual(&self) -> i32 {
        self.seen.status.as_ref().map_or(0, |status| status.replicas)
    }

    pub fn available(&self) -> i32 {
        self.seen.status.as_ref().and_then(|status| status.available_replicas).unwrap_or_default()
    }

    pub fn ready(&self) -> i32 {
        self.seen.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or_default()
    }

    pub fn terminating(&self) -> i32 {
        self.seen.status.as_ref().and_then(|status| status.terminating_replicas).unwrap_or_default()
    }

    pub fn observed(&self) -> bool {
        let observed = self.seen.status.as_ref().and_then(|status| status.observed_generation).unwrap_or_default();
        self.seen.metadata.generation.unwrap_or_default() <= observed
    }

    pub fn annotate(&mut self, key: &str, value: String) {
        if self.annotation(key) != Some(&value) {
            self.annotations.insert(key.to_owned(), value);
        }
    }

    fn changed(&self) -> bool {
        self.replicas != wanted(&self.seen) || !self.annotations.is_empty() || self.min_ready_seconds.is_some()
    }

    /// The patch that makes it so, with the event that tells of scaling.
    pub fn step(&self, deployment: &Deployment) -> Option<Step> {
        if !self.changed() {
            return None;
        }
        let before = wanted(&self.seen);
        let mut body = json!({});
        if !self.annotations.is_empty() {
            body["metadata"]["annotations"] = json!(self.annotations);
        }
        if self.replicas != before {
            body["spec"]["replicas"] = json!(self.replicas);
        }
        if let Some(seconds) = self.min_ready_seconds {
            body["spec"]["minReadySeconds"] = json!(seconds);
        }
        let version = self.seen.metadata.resource_version.as_deref().unwrap_or_default();
        let target = Target::of(&*self.seen).unchanged(version);
        let step = Step::from(Write::Patch { target, subresource: None, style: PatchStyle::Merge, body });
        Some(match self.replicas.cmp(&before) {
            std::cmp::Ordering::Equal => step,
            direction => step.done(scaled(deployment, direction.is_gt(), self.name(), before, self.replicas)),
        })
    }
}

pub(super) fn scaled(deployment: &Deployment, up: bool, name: &str, from: i32, to: i32) -> Note {
    let direction = if up { "up" } else { "down" };
    let text = format!("Scaled {direction} replica set {name} from {from} to {to}");
    Note::normal(reference(deployment), "ScalingReplicaSet", text)
}

pub(super) fn wanted(set: &ReplicaSet) -> i32 {
    set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

impl Sets {
    pub fn all(&self) -> impl Iterator<Item = &Set> {
        self.old.iter().chain(&self.new)
    }

    pub fn all_mut(&mut self) -> impl Iterator<Item = &mut Set> {
        self.old.iter_mut().chain(&mut self.new)
    }

    /// The patches of all sets that shall be other than they are.
    pub fn steps(&self, deployment: &Deployment) -> Vec<Step> {
        self.all().filter_map(|set| set.step(deployment)).collect()
    }

    pub fn changed(&self) -> bool {
        self.all().any(Set::changed)
    }

    pub fn replicas(&self) -> i32 {
        self.all().map(|set| set.replicas).sum()
    }
}
