//! Upstream's metrics of requests. What a request counts as is decided here; when, in `server` and `rest::watch`.

use std::{sync::LazyLock, time::Duration};

use http::StatusCode;
use prometheus::{HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, histogram_opts, opts};

use crate::{core::Served, request::RequestInfo};

static REQUESTS: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let help = "Counter of apiserver requests broken out for each verb, dry run value, group, version, resource, scope, component, and HTTP response code.";
    let labels = ["verb", "dry_run", "group", "version", "resource", "subresource", "scope", "component", "code"];
    let counter = IntCounterVec::new(opts!("apiserver_request_total", help), &labels).expect("valid name and labels");
    let _ = prometheus::register(Box::new(counter.clone()));
    counter
});

static DURATION: LazyLock<HistogramVec> = LazyLock::new(|| {
    let help = "Response latency distribution in seconds for each verb, dry run value, group, version, resource, subresource, scope and component.";
    let buckets = vec![
        0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0,
        30.0, 45.0, 60.0,
    ];
    let opts = histogram_opts!("apiserver_request_duration_seconds", help, buckets);
    let labels = ["verb", "dry_run", "group", "version", "resource", "subresource", "scope", "component"];
    let histogram = HistogramVec::new(opts, &labels).expect("valid name and labels");
    let _ = prometheus::register(Box::new(histogram.clone()));
    histogram
});

static INFLIGHT: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    let help =
        "Maximal number of currently used inflight request limit of this apiserver per request kind in last second.";
    let opts = opts!("apiserver_current_inflight_requests", help);
    let gauge = IntGaugeVec::new(opts, &["request_kind"]).expect("valid name and labels");
    let _ = prometheus::register(Box::new(gauge.clone()));
    gauge
});

static LONGRUNNING: LazyLock<IntGaugeVec> = LazyLock::new(|| {
    let help = "Gauge of all active long-running apiserver requests broken out by verb, group, version, resource, scope and component. Not all requests are tracked this way.";
    let labels = ["verb", "group", "version", "resource", "subresource", "scope", "component"];
    let opts = opts!("apiserver_longrunning_requests", help);
    let gauge = IntGaugeVec::new(opts, &labels).expect("valid name and labels");
    let _ = prometheus::register(Box::new(gauge.clone()));
    gauge
});

const COMPONENT: &str = "apiserver";

fn verb(info: RequestInfo<'_>) -> &str {
    match info.verb {
        "get" => "GET",
        "list" => "LIST",
        "watch" => "WATCH",
        "create" => "POST",
        "update" => "PUT",
        "patch" => "PATCH",
        "delete" => "DELETE",
        "deletecollection" => "DELETECOLLECTION",
        other => other,
    }
}

/// `resource` for a single object, `namespace` for a collection within one, `cluster` for one across all.
fn scope(info: RequestInfo) -> &'static str {
    if !info.is_resource {
        ""
    } else if !info.name.is_empty() || info.verb == "create" {
        "resource"
    } else if !info.namespace.is_empty() {
        "namespace"
    } else {
        "cluster"
    }
}

/// Counts an answered request.
pub fn record(info: RequestInfo, dry_run: bool, code: StatusCode, took: Duration) {
    let dry_run = if dry_run { "All" } else { "" };
    let labels =
        [verb(info), dry_run, info.group, info.version, info.resource, info.subresource, scope(info), COMPONENT];
    let [a, b, c, d, e, f, g, h] = labels;
    REQUESTS.with_label_values(&[a, b, c, d, e, f, g, h, code.as_str()]).inc();
    if info.verb != "watch" {
        DURATION.with_label_values(&labels).observe(took.as_secs_f64());
    }
}

/// Counts up while it lives.
pub struct Counted(IntGauge);

impl Counted {
    fn new(gauge: IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }

    /// A request in flight that is no watch or stream.
    pub fn inflight(info: RequestInfo) -> Self {
        let reads = matches!(info.verb, "get" | "list" | "watch" | "head" | "options");
        Self::new(INFLIGHT.with_label_values(&[if reads { "readOnly" } else { "mutating" }]))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A watch or stream, counted while it lives.
pub struct LongRunning {
    _counted: Counted,
}

impl LongRunning {
    pub fn enter(verb: &str, served: &Served, info: RequestInfo) -> Self {
        let verb = verb.to_ascii_uppercase();
        let resource = &*served.group_resource.resource;
        let labels = [&verb, info.group, info.version, resource, info.subresource, scope(info), COMPONENT];
        Self { _counted: Counted::new(LONGRUNNING.with_label_values(&labels)) }
    }
}
