//! Upstream's metrics of the storage.

use std::sync::LazyLock;

use prometheus::{HistogramVec, IntGaugeVec, histogram_opts, opts};

pub static STORAGE_OBJECTS: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    let opts = opts!("apiserver_storage_objects", "Number of stored objects at the time of last check split by kind.");
    let gauge = IntGaugeVec::new(opts, &["resource"]).expect("the name and labels are valid");
    let _ = prometheus::register(Box::new(gauge.clone()));
    gauge
});

pub static ETCD_DURATION: LazyLock<HistogramVec> = LazyLock::new(|| {
    let buckets = vec![0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
    let opts = histogram_opts!(
        "etcd_request_duration_seconds",
        "Etcd request latency in seconds for each operation.",
        buckets
    );
    let histogram = HistogramVec::new(opts, &["operation"]).expect("the name and labels are valid");
    let _ = prometheus::register(Box::new(histogram.clone()));
    histogram
});
