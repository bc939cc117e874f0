//! What a worker tells the API of its pod, after every look.

use super::Worker;
use crate::metrics;
use pod_lifecycle::{core::PodStatus, resize, status, worker::State};
use std::sync::Arc;

impl Worker {
    pub(super) fn report_status(&mut self) {
        let over = matches!(self.state, State::Terminated { .. } | State::Ended | State::Finished | State::Gone);
        let mut pod = (*self.pod).clone();
        pod.status = Some(self.known_status());
        let resize = self.resize_view();
        let status = status::generate(&status::Inputs {
            pod: &pod,
            seen: &self.seen,
            waiting: &self.waiting,
            health: &self.probes,
            host_ips: &self.context.host_ips,
            runtime: &self.context.runtime_name,
            over,
            verdict: self.verdict.as_ref(),
            resize: &resize,
            now: self.context.clock.now(),
        });
        if !self.running_seen && status.phase.as_deref() == Some("Running") {
            self.running_seen = true;
            metrics::POD_START.observe(self.begun.elapsed().as_secs_f64());
        }
        self.status = status.clone();
        pod.status = Some(status.clone());
        let pod = Arc::new(pod);
        self.context.directory.put(pod.clone(), self.seen.clone());
        self.writer.write(pod, status);
    }

    /// Ours, but conditions of other writers as the API has them.
    fn known_status(&self) -> PodStatus {
        let mut known = self.status.clone();
        let api = self.pod.status.as_ref().and_then(|s| s.conditions.clone()).unwrap_or_default();
        let conditions = known.conditions.get_or_insert_default();
        for condition in api {
            let ours = [resize::PENDING, resize::IN_PROGRESS].contains(&condition.type_.as_str());
            if !ours && !conditions.iter().any(|c| c.type_ == condition.type_) {
                conditions.push(condition);
            }
        }
        known
    }
}
