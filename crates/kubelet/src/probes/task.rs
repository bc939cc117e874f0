//! One probe of one container, from its first run to its last.

use super::check;
use crate::{context::Context, metrics, note, pods::Report};
use pod_lifecycle::{
    ContainerSeen,
    core::{Container, Pod, Probe},
    probe::{Counter, Kind, Outcome, Timing},
};
use std::{sync::Arc, time::Duration};
use tokio::{sync::mpsc, time::MissedTickBehavior};

/// A container that has run for longer than this was there before us.
const ADOPTED_AFTER: Duration = Duration::from_secs(10);

pub struct Task {
    pub context: Arc<Context>,
    pub pod: Arc<Pod>,
    pub spec: Container,
    pub probe: Probe,
    pub kind: Kind,
    pub container: ContainerSeen,
    pub reports: mpsc::Sender<Report>,
}

impl Task {
    pub async fn run(self) {
        let timing = Timing::of(&self.probe);
        let now = self.context.clock.now();
        let started = self.container.started_at.unwrap_or(now);
        let mut first = timing.first_in(started, now);
        if first.is_zero() && Duration::try_from(now.duration_since(started)).unwrap_or_default() > ADOPTED_AFTER {
            // After a restart of the kubelet not everything is probed in the same instant.
            first = self.context.jitter.spread(Duration::from_millis(1), timing.period.as_millis() as f64);
        }
        tokio::time::sleep(first).await;
        let mut ticks = tokio::time::interval(timing.period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut counter = Counter::new(timing.clone());
        loop {
            ticks.tick().await;
            let outcome = self.once(&timing).await;
            let Some(verdict) = counter.record(outcome) else { continue };
            let report = Report::Probe { container: self.container.id.clone(), kind: self.kind, verdict };
            if self.reports.send(report).await.is_err() {
                return;
            }
            // A startup probe that has succeeded is done; a container about to be killed is not asked again.
            match (self.kind, verdict) {
                (Kind::Startup, _) | (Kind::Liveness, Outcome::Failure) => return,
                _ => {}
            }
        }
    }

    async fn once(&self, timing: &Timing) -> Outcome {
        let result =
            check::run(&self.context, &self.pod, &self.spec, &self.container, &self.probe, timing.timeout).await;
        let (outcome, label) = match &result {
            Ok(()) => (Outcome::Success, "successful"),
            Err(_) => (Outcome::Failure, "failed"),
        };
        metrics::PROBES.with_label_values(&[self.kind.as_str(), label]).inc();
        if let Err(text) = result {
            let text = format!("{} probe failed: {text}", self.kind.as_str());
            self.context.warn(note::container(&self.pod, &self.spec.name), "Unhealthy", &text);
        }
        outcome
    }
}
