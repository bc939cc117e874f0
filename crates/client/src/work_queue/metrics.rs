//! The work queue's metrics, under upstream's names.

use std::sync::LazyLock;

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, exponential_buckets,
};

pub(super) struct Metrics {
    pub depth: IntGauge,
    pub adds: IntCounter,
    pub retries: IntCounter,
    pub waited: Histogram,
    pub worked: Histogram,
}

struct Families {
    depth: IntGaugeVec,
    adds: IntCounterVec,
    retries: IntCounterVec,
    waited: HistogramVec,
    worked: HistogramVec,
}

static FAMILIES: LazyLock<Families> = LazyLock::new(|| {
    let opts = |name: &str, help: &str| Opts::new(name.to_owned(), help.to_owned());
    let times = |name: &str, help: &str| {
        let buckets = exponential_buckets(1e-6, 10.0, 10).expect("a positive start and factor");
        HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets), &["name"]).expect("a valid metric")
    };
    let families = Families {
        depth: IntGaugeVec::new(opts("workqueue_depth", "Current depth of workqueue"), &["name"])
            .expect("a valid metric"),
        adds: IntCounterVec::new(opts("workqueue_adds_total", "Total number of adds handled by workqueue"), &["name"])
            .expect("a valid metric"),
        retries: IntCounterVec::new(
            opts("workqueue_retries_total", "Total number of retries handled by workqueue"),
            &["name"],
        )
        .expect("a valid metric"),
        waited: times(
            "workqueue_queue_duration_seconds",
            "How long in seconds an item stays in workqueue before being requested.",
        ),
        worked: times(
            "workqueue_work_duration_seconds",
            "How long in seconds processing an item from workqueue takes.",
        ),
    };
    crate::metrics::register(families.depth.clone());
    crate::metrics::register(families.adds.clone());
    crate::metrics::register(families.retries.clone());
    crate::metrics::register(families.waited.clone());
    crate::metrics::register(families.worked.clone());
    families
});

impl Metrics {
    pub(super) fn new(name: &str) -> Self {
        let name = &[name];
        Self {
            depth: FAMILIES.depth.with_label_values(name),
            adds: FAMILIES.adds.with_label_values(name),
            retries: FAMILIES.retries.with_label_values(name),
            waited: FAMILIES.waited.with_label_values(name),
            worked: FAMILIES.worked.with_label_values(name),
        }
    }
}
