//! The proxy's metrics, under upstream's names.

use std::sync::OnceLock;

use prometheus::{Gauge, Histogram, HistogramOpts, IntCounter, IntGauge, core::Collector, exponential_buckets};

pub struct Metrics {
    pub sync: Histogram,
    pub full_sync: Histogram,
    pub partial_sync: Histogram,
    pub network_programming: Histogram,
    pub last_sync: Gauge,
    pub last_queued: Gauge,
    pub service_changes: IntCounter,
    pub endpoint_changes: IntCounter,
    pub failures: IntCounter,
    pub services: IntGauge,
    pub endpoints: IntGauge,
    pub stale_flows: IntCounter,
}

pub fn metrics() -> &'static Metrics {
    static METRICS: OnceLock<Metrics> = OnceLock::new();
    METRICS.get_or_init(Metrics::new)
}

fn registered<C: Collector + Clone + 'static>(family: prometheus::Result<C>) -> C {
    let family = family.expect("a valid metric");
    prometheus::register(Box::new(family.clone())).expect("the name is used once in the process");
    family
}

fn histogram(name: &str, help: &str, start: f64, factor: f64, count: usize) -> Histogram {
    let buckets = exponential_buckets(start, factor, count).expect("valid buckets");
    registered(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets)))
}

fn counter(name: &str, help: &str) -> IntCounter {
    registered(IntCounter::new(name, help))
}

impl Metrics {
    fn new() -> Self {
        Self {
            sync: histogram(
                "kubeproxy_sync_proxy_rules_duration_seconds",
                "SyncProxyRules latency in seconds",
                0.001,
                2.0,
                15,
            ),
            full_sync: histogram(
                "kubeproxy_sync_full_proxy_rules_duration_seconds",
                "SyncProxyRules latency in seconds for full resyncs",
                0.001,
                2.0,
                15,
            ),
            partial_sync: histogram(
                "kubeproxy_sync_partial_proxy_rules_duration_seconds",
                "SyncProxyRules latency in seconds for partial resyncs",
                0.001,
                2.0,
                15,
            ),
            network_programming: histogram(
                "kubeproxy_network_programming_duration_seconds",
                "In Cluster Network Programming Latency in seconds",
                0.001,
                2.0,
                20,
            ),
            last_sync: registered(Gauge::new(
                "kubeproxy_sync_proxy_rules_last_timestamp_seconds",
                "The last time proxy rules were successfully synced",
            )),
            last_queued: registered(Gauge::new(
                "kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds",
                "The last time a sync of proxy rules was queued",
            )),
            service_changes: counter(
                "kubeproxy_sync_proxy_rules_service_changes_total",
                "Cumulative proxy rules Service changes",
            ),
            endpoint_changes: counter(
                "kubeproxy_sync_proxy_rules_endpoint_changes_total",
                "Cumulative proxy rules Endpoint changes",
            ),
            failures: counter(
                "kubeproxy_sync_proxy_rules_nftables_sync_failures_total",
                "Cumulative proxy nftables sync failures",
            ),
            services: registered(IntGauge::new("kogge_proxy_services", "Services whose rules are kept")),
            endpoints: registered(IntGauge::new("kogge_proxy_endpoints", "Endpoints of these services")),
            stale_flows: counter(
                "kogge_proxy_stale_udp_flows_total",
                "Groups of UDP flows deleted because they contradicted the rules",
            ),
        }
    }
}
