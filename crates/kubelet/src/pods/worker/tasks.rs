//! The tasks that carry out what a worker decided: one that starts, one that stops.

use super::{Work, Worker};
use crate::{
    note,
    pods::{report::Report, resize::Change, start, stop},
};
use jiff::Timestamp;
use pod_lifecycle::{actions::Actions, names, worker::Event};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

impl Worker {
    /// Everything to be done, refreshed volumes included, as one task.
    pub(super) fn start(&mut self, actions: Actions, changes: Vec<Change>) {
        let idle = changes.is_empty()
            && actions.start.is_empty()
            && actions.kill.is_empty()
            && actions.stop_sandboxes.is_empty();
        if idle && !self.has_api_volumes() {
            return;
        }
        let cancel = CancellationToken::new();
        let job = start::Job {
            context: self.context.clone(),
            pod: self.pod.clone(),
            seen: self.seen.clone(),
            actions,
            changes,
            objects: self.objects.clone(),
            backoffs: self.backoffs.clone(),
            cancel: cancel.clone(),
            reports: self.reports.0.clone(),
        };
        let reports = self.reports.0.clone();
        if idle {
            // Only the volumes' content is looked after; nothing of the pod waits for it.
            let renewed = async move {
                if let Err(error) = job.refresh_volumes().await {
                    job.context.warn(note::pod(&job.pod), "FailedMount", &error);
                }
            };
            tokio::spawn(renewed);
            return;
        }
        self.work = Work::Starting(cancel);
        tokio::spawn(async move {
            let started = job.run().await;
            drop(reports.send(Report::Started(started)).await);
        });
    }

    fn has_api_volumes(&self) -> bool {
        let volumes = self.pod.spec.as_ref().and_then(|s| s.volumes.as_deref()).unwrap_or_default();
        volumes
            .iter()
            .any(|v| v.config_map.is_some() || v.secret.is_some() || v.downward_api.is_some() || v.projected.is_some())
    }

    /// Stops now, moves a stop's deadline, or waits for a start under way to give up.
    pub(super) async fn ask_to_stop(&mut self, by: Timestamp) -> Option<Event> {
        self.pods.release(names::uid(&self.pod));
        self.wake_at = None;
        match &mut self.work {
            Work::Starting(cancel) => {
                cancel.cancel();
                self.work = Work::Ending { by };
                None
            }
            Work::Ending { by: before } => {
                *before = by.min(*before);
                None
            }
            Work::Stopping(deadline) => {
                deadline.send_replace(by);
                None
            }
            Work::Nothing => {
                if !self.look().await {
                    return None;
                }
                if self.seen.alive() == 0 {
                    return Some(Event::RuntimeSays { alive: 0 });
                }
                self.stop(by);
                None
            }
        }
    }

    pub(super) fn stop(&mut self, by: Timestamp) {
        let (sender, deadline) = watch::channel(by);
        self.work = Work::Stopping(sender);
        let (context, pod, seen, reports) =
            (self.context.clone(), self.pod.clone(), self.seen.clone(), self.reports.0.clone());
        self.probes.end_all_but_readiness();
        tokio::spawn(async move {
            let good = stop::everything(context, pod, seen, deadline).await;
            drop(reports.send(Report::Stopped { failed: !good }).await);
        });
    }
}
