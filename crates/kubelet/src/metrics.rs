//! The kubelet's metrics under upstream's names.

use crate::directory::Directory;
use prometheus::{
    GaugeVec, Histogram, HistogramOpts, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    core::{Collector, Desc},
    proto::MetricFamily,
};
use std::sync::{Arc, LazyLock};

pub static POD_START: LazyLock<Histogram> = LazyLock::new(|| {
    let buckets = vec![0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0];
    let help = "Duration in seconds from kubelet seeing a pod for the first time to the pod starting to run";
    let opts = HistogramOpts::new("kubelet_pod_start_duration_seconds", help).buckets(buckets);
    register(Histogram::with_opts(opts).expect("a valid metric"))
});

pub static PROBES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let opts = Opts::new(
        "prober_probe_total",
        "Cumulative number of a liveness, readiness or startup probe for a container by result.",
    );
    register(IntCounterVec::new(opts, &["probe_type", "result"]).expect("a valid metric"))
});

fn register<C: Collector + Clone + 'static>(metric: C) -> C {
    if let Err(error) = prometheus::default_registry().register(Box::new(metric.clone())) {
        tracing::debug!(%error, "a metric is registered already");
    }
    metric
}

/// Shows what runs, counted when asked.
pub fn init(node: &str, context: &Arc<crate::context::Context>) {
    LazyLock::force(&POD_START);
    LazyLock::force(&PROBES);
    let name = GaugeVec::new(Opts::new("kubelet_node_name", "The node's name. The count is always 1."), &["node"])
        .expect("a valid metric");
    register(name).with_label_values(&[node]).set(1.0);
    let containers = Opts::new("kubelet_running_containers", "Number of containers currently running");
    let running = Running {
        context: Arc::downgrade(context),
        pods: IntGauge::new("kubelet_running_pods", "Number of pods that have a running pod sandbox")
            .expect("a valid metric"),
        containers: IntGaugeVec::new(containers, &["container_state"]).expect("a valid metric"),
    };
    if let Err(error) = prometheus::default_registry().register(Box::new(running)) {
        tracing::debug!(%error, "a metric is registered already");
    }
}

struct Running {
    context: std::sync::Weak<crate::context::Context>,
    pods: IntGauge,
    containers: IntGaugeVec,
}

impl Running {
    fn count(&self, directory: &Directory) {
        let entries = directory.list();
        let sandboxes = entries.iter().filter(|e| e.sandbox().is_some()).count();
        self.pods.set(i64::try_from(sandboxes).unwrap_or(i64::MAX));
        for (label, wanted) in [
            ("created", pod_lifecycle::ContainerPhase::Created),
            ("running", pod_lifecycle::ContainerPhase::Running),
            ("exited", pod_lifecycle::ContainerPhase::Exited),
            ("unknown", pod_lifecycle::ContainerPhase::Unknown),
        ] {
            let count = entries.iter().flat_map(|e| &e.seen.containers).filter(|c| c.phase == wanted).count();
            self.containers.with_label_values(&[label]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }
}

impl Collector for Running {
    fn desc(&self) -> Vec<&Desc> {
        [self.pods.desc(), self.containers.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        if let Some(context) = self.context.upgrade() {
            self.count(&context.directory);
        }
        [self.pods.collect(), self.containers.collect()].concat()
    }
}
