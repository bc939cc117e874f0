//! Probes of running containers: one task each, reporting a verdict only when it changes.

mod check;
mod grpc;
pub mod http;
mod task;

use crate::{context::Context, pods::Report};
use pod_lifecycle::{
    PodSeen,
    actions::{Failed, Verdicts},
    core::{Pod, PodStatus},
    names,
    probe::{Health, Kind, Outcome},
    status::Healths,
};
use std::{collections::HashMap, sync::Arc};
use tokio::{sync::mpsc, task::AbortHandle};

/// The probes of one pod.
#[derive(Default)]
pub struct Group {
    tracked: HashMap<String, Tracked>,
}

struct Tracked {
    health: Health,
    tasks: HashMap<Kind, AbortHandle>,
}

impl Drop for Tracked {
    fn drop(&mut self) {
        self.tasks.values().for_each(AbortHandle::abort);
    }
}

impl Group {
    /// Begins to probe what has started and ends the probes of what has stopped.
    pub fn follow(
        &mut self,
        context: &Arc<Context>,
        pod: &Arc<Pod>,
        seen: &PodSeen,
        status: &PodStatus,
        reports: &mpsc::Sender<Report>,
    ) {
        self.tracked.retain(|id, _| seen.running().any(|c| c.id == *id));
        for running in seen.running() {
            let spec =
                names::containers(pod).iter().chain(names::init_containers(pod)).find(|c| c.name == running.name);
            let Some(spec) = spec.filter(|s| Kind::ALL.into_iter().any(|k| k.of(s).is_some())) else { continue };
            let tracked = self.tracked.entry(running.id.clone()).or_insert_with(|| {
                let mut health = Health::of(spec);
                let all = [&status.container_statuses, &status.init_container_statuses];
                let known = all
                    .into_iter()
                    .flatten()
                    .flatten()
                    .find(|s| s.container_id.as_deref().is_some_and(|id| id.ends_with(&running.id)));
                if let Some(known) = known {
                    health.adopt(known.started == Some(true), known.ready);
                }
                Tracked { health, tasks: HashMap::new() }
            });
            for kind in Kind::ALL {
                let Some(probe) = kind.of(spec) else { continue };
                if tracked.health.runs(kind) && !tracked.tasks.contains_key(&kind) {
                    let task = task::Task {
                        context: context.clone(),
                        pod: pod.clone(),
                        spec: spec.clone(),
                        probe: probe.clone(),
                        kind,
                        container: running.clone(),
                        reports: reports.clone(),
                    };
                    tracked.tasks.insert(kind, tokio::spawn(task.run()).abort_handle());
                }
            }
        }
    }

    /// Takes a verdict; whether it is news.
    pub fn record(&mut self, container: &str, kind: Kind, verdict: Outcome) -> bool {
        let Some(tracked) = self.tracked.get_mut(container) else { return false };
        tracked.health.record(kind, verdict);
        true
    }

    /// A pod that is being stopped is not killed by its probes, but its readiness still counts.
    pub fn end_all_but_readiness(&mut self) {
        for tracked in self.tracked.values_mut() {
            tracked.tasks.retain(|kind, task| {
                if *kind != Kind::Readiness {
                    task.abort();
                }
                *kind == Kind::Readiness
            });
        }
    }
}

impl Verdicts for Group {
    fn started(&self, container_id: &str) -> bool {
        self.tracked.get(container_id).is_none_or(|t| t.health.started())
    }

    fn failed(&self, container_id: &str) -> Option<Failed> {
        self.tracked.get(container_id).and_then(|t| t.health.failed())
    }
}

impl Healths for Group {
    fn ready(&self, container_id: &str) -> bool {
        self.tracked.get(container_id).is_none_or(|t| t.health.ready())
    }

    fn started(&self, container_id: &str) -> bool {
        self.tracked.get(container_id).is_none_or(|t| t.health.started())
    }
}
