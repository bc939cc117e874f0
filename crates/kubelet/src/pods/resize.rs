//! In-place resize, carried out: what a pod is given is settled where all pods are known; its worker brings the running
//! containers there, the pod's cgroup widened first and narrowed last.

use super::{Handle, Pods, start::Job, worker::Worker};
use crate::{note, spec};
use pod_lifecycle::{
    ContainerSeen,
    actions::{Actions, Kill, KillReason},
    core::{Container, Pod, ResourceRequirements},
    names,
    resize::{self, How, Pending, View},
};
use std::{collections::BTreeMap, sync::Arc};

/// A running container that is to have other resources.
#[derive(Clone, Debug)]
pub struct Change {
    pub id: String,
    pub name: String,
    pub actual: ResourceRequirements,
    /// One that restarts has been killed already; the next is made with what it is to have.
    pub how: How,
}

impl Pods {
    /// The pod with what it is given now, and why that is not all it asks for.
    pub(super) fn give(
        &self,
        asked: &Arc<Pod>,
        uid: &str,
        workers: &BTreeMap<String, Handle>,
    ) -> (Arc<Pod>, Option<Pending>) {
        let given = match workers.get(uid) {
            Some(handle) => resize::with_resources_of(asked, &handle.pod),
            None => resize::last_given(asked),
        };
        if given == **asked {
            return (asked.clone(), None);
        }
        let others: Vec<&Pod> =
            workers.iter().filter(|(other, h)| h.active && *other != uid).map(|(_, h)| &*h.pod).collect();
        let (given, pending) = resize::give(asked, &given, &self.context.machine.allocatable, &others);
        (Arc::new(given), pending)
    }

    /// There may be room now for what was deferred.
    pub(super) fn retry_deferred(self: &Arc<Self>) {
        let waiting: Vec<Arc<Pod>> =
            self.workers.lock().values().filter(|h| h.active).filter_map(|h| h.deferred.clone()).collect();
        for asked in waiting {
            self.apply(asked);
        }
    }
}

impl Worker {
    /// What the running containers lack; those that must restart for it are added to the kills.
    pub(super) fn changes(&self, actions: &mut Actions) -> Vec<Change> {
        let mut changes = vec![];
        for (container, seen) in self.resizable() {
            let Some(actual) = self.actual(seen) else { continue };
            if actions.kill.iter().any(|kill| kill.id == seen.id) {
                continue;
            }
            let Some(how) = resize::change(container, actual) else { continue };
            if how == How::Restart {
                actions.kill.push(Kill { id: seen.id.clone(), name: seen.name.clone(), why: KillReason::Resize });
            }
            changes.push(Change { id: seen.id.clone(), name: seen.name.clone(), actual: actual.clone(), how });
        }
        changes
    }

    pub(super) fn resize_view(&self) -> View {
        let behind = self.resizable().filter_map(|(container, seen)| {
            let actual = self.actual(seen)?;
            resize::change(container, actual).map(|_| (seen.id.clone(), actual.clone()))
        });
        let actual: BTreeMap<_, _> = behind.collect();
        View {
            pending: self.pending.clone(),
            in_progress: (!actual.is_empty()).then(|| self.resize_error.clone()),
            actual,
        }
    }

    /// Regular containers and sidecars that run.
    fn resizable(&self) -> impl Iterator<Item = (&Container, &ContainerSeen)> {
        let sidecars = names::init_containers(&self.pod).iter().filter(|c| names::is_sidecar(c));
        let all = names::containers(&self.pod).iter().chain(sidecars);
        all.filter_map(|container| Some((container, self.seen.container(&container.name).filter(|s| s.is_running())?)))
    }

    fn actual<'a>(&'a self, seen: &'a ContainerSeen) -> Option<&'a ResourceRequirements> {
        self.resized.get(&seen.id).or(seen.made_with.as_ref())
    }
}

impl Job {
    /// Each container's outcome, by id.
    pub(super) async fn resize(&self) -> Vec<(String, Result<ResourceRequirements, String>)> {
        if self.changes.is_empty() {
            return vec![];
        }
        if let Err(error) = self.pod_cgroup(true) {
            return self.changes.iter().map(|change| (change.id.clone(), Err(format!("{error:#}")))).collect();
        }
        let mut outcomes = vec![];
        for change in self.changes.iter().filter(|change| change.how == How::Update) {
            let Some(container) = names::all_containers(&self.pod).into_iter().find(|c| c.name == change.name) else {
                continue;
            };
            let limits = spec::container::limits(&self.context, &self.pod, &container);
            let outcome = self.context.runtime.update_container_resources(&change.id, limits).await;
            let regarding = note::container(&self.pod, &change.name);
            let outcome = match outcome {
                Ok(()) => {
                    self.context.event(regarding, "ResizeCompleted", "Container resized");
                    Ok(container.resources.unwrap_or_default())
                }
                Err(error) => {
                    let text = format!("failed to resize container {:?}: {error}", change.name);
                    self.context.warn(regarding, "ResizeError", &text);
                    Err(text)
                }
            };
            outcomes.push((change.id.clone(), outcome));
        }
        if let Err(error) = self.pod_cgroup(false) {
            tracing::warn!(pod = names::formatted(&self.pod), "cannot set the limits of a pod's cgroup: {error:#}");
        }
        outcomes
    }

    /// The pod's cgroup as wide as its containers need it: before they change, what they had counts, too.
    fn pod_cgroup(&self, before: bool) -> anyhow::Result<()> {
        let Some(cgroups) = &self.context.cgroups else { return Ok(()) };
        let mut former = (*self.pod).clone();
        if let Some(spec) = former.spec.as_mut().filter(|_| before) {
            for container in spec.containers.iter_mut().chain(spec.init_containers.iter_mut().flatten()) {
                if let Some(change) = self.changes.iter().find(|change| change.name == container.name) {
                    container.resources = Some(change.actual.clone());
                }
            }
        }
        cgroups.resize_pod(&self.pod, &former)
    }
}
