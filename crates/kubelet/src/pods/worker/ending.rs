//! What a worker takes away: remains of restarts, a finished pod's volumes, and at the end everything.

use super::Worker;
use crate::{
    pods::{report::Report, stop},
    probes, volumes,
};
use pod_lifecycle::{gc, names};
use std::sync::Arc;

impl Worker {
    /// Ended containers beyond the one that is kept of each name, and empty old sandboxes.
    pub(super) fn collect_garbage(&mut self) {
        let seen = self.seen.clone();
        self.collecting.retain(|id| seen.containers.iter().any(|c| c.id == *id));
        let mut containers: Vec<_> = gc::dead_containers(&self.seen, gc::KEPT).into_iter().cloned().collect();
        containers.retain(|c| self.collecting.insert(c.id.clone()));
        let sandboxes: Vec<String> = gc::dead_sandboxes(&self.seen).into_iter().map(str::to_owned).collect();
        if containers.is_empty() && sandboxes.is_empty() {
            return;
        }
        let (context, pod) = (self.context.clone(), self.pod.clone());
        tokio::spawn(async move {
            let ids: Vec<String> = containers.iter().map(|c| c.id.clone()).collect();
            stop::remove_all(&context, &ids, &sandboxes).await;
            for container in containers {
                crate::logs::remove_container(&context, &pod, &container);
            }
        });
    }

    /// Volumes and cgroups of a pod nothing of which runs. What explains its end stays until the object goes.
    pub(super) fn clean_up(&mut self) {
        self.pods.changed.notify_waiters();
        self.objects = Arc::default();
        self.probes = probes::Group::default();
        let (context, reports, uid) = (self.context.clone(), self.reports.0.clone(), names::uid(&self.pod).to_owned());
        tokio::task::spawn_blocking(move || {
            if let Err(error) = volumes::unmount(&context, &uid) {
                tracing::warn!(uid, "cannot take a pod's volumes away: {error:#}");
            }
            if let Some(cgroups) = &context.cgroups {
                cgroups.remove_pod(&uid);
            }
            drop(reports.blocking_send(Report::CleanedUp));
        });
    }

    /// The object is gone: nothing of the pod is kept.
    pub(super) fn forget(&mut self) {
        let uid = names::uid(&self.pod).to_owned();
        self.context.images.forget_pod(&uid);
        self.context.tokens.forget_pod(&uid);
        self.context.directory.remove(&uid);
        let (context, pods, pod, seen) = (self.context.clone(), self.pods.clone(), self.pod.clone(), self.seen.clone());
        tokio::spawn(async move {
            let containers: Vec<String> = seen.containers.iter().map(|c| c.id.clone()).collect();
            let sandboxes: Vec<String> = seen.sandboxes.iter().map(|s| s.id.clone()).collect();
            stop::remove_all(&context, &containers, &sandboxes).await;
            crate::logs::remove_pod(&context, &pod, &seen);
            if let Err(error) = volumes::remove(&context, &uid) {
                tracing::warn!(uid, "cannot remove a pod's directory: {error:#}");
            }
            pods.forget(&pod);
        });
    }
}
