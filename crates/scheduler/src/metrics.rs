//! The scheduler's metrics, under upstream's names and labels.

use std::{collections::BTreeMap, sync::OnceLock, time::Duration};

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, core::Collector,
    exponential_buckets,
};
use scheduling::{framework::Point, queue::Counts};

pub struct Metrics {
    pub attempts: IntCounterVec,
    pub attempt_duration: HistogramVec,
    pub algorithm_duration: Histogram,
    pub pod_attempts: Histogram,
    pub sli_duration: HistogramVec,
    pub preemption_attempts: IntCounter,
    pub preemption_victims: Histogram,
    extension_point_duration: HistogramVec,
    pending: IntGaugeVec,
    incoming: IntCounterVec,
    cache: IntGaugeVec,
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

fn buckets(start: f64, factor: f64, count: usize) -> Vec<f64> {
    exponential_buckets(start, factor, count).expect("valid buckets")
}

impl Metrics {
    fn new() -> Self {
        let histogram = |name: &str, help: &str, buckets| HistogramOpts::new(name, help).buckets(buckets);
        Self {
            attempts: registered(IntCounterVec::new(
                Opts::new(
                    "scheduler_schedule_attempts_total",
                    "Number of attempts to schedule pods, by the result. 'unschedulable' means a pod could not be scheduled, while 'error' means an internal scheduler problem.",
                ),
                &["result", "profile"],
            )),
            attempt_duration: registered(HistogramVec::new(
                histogram(
                    "scheduler_scheduling_attempt_duration_seconds",
                    "Scheduling attempt latency in seconds (scheduling algorithm + binding)",
                    buckets(0.001, 2.0, 15),
                ),
                &["result", "profile"],
            )),
            algorithm_duration: registered(Histogram::with_opts(histogram(
                "scheduler_scheduling_algorithm_duration_seconds",
                "Scheduling algorithm latency in seconds",
                buckets(0.001, 2.0, 15),
            ))),
            pod_attempts: registered(Histogram::with_opts(histogram(
                "scheduler_pod_scheduling_attempts",
                "Number of attempts to successfully schedule a pod.",
                buckets(1.0, 2.0, 5),
            ))),
            sli_duration: registered(HistogramVec::new(
                histogram(
                    "scheduler_pod_scheduling_sli_duration_seconds",
                    "E2e latency for a pod being scheduled, from the time the pod enters the scheduling queue and might involve multiple scheduling attempts.",
                    buckets(0.01, 2.0, 20),
                ),
                &["attempts"],
            )),
            preemption_attempts: registered(IntCounter::new(
                "scheduler_preemption_attempts_total",
                "Total preemption attempts in the cluster till now",
            )),
            preemption_victims: registered(Histogram::with_opts(histogram(
                "scheduler_preemption_victims",
                "Number of selected preemption victims",
                buckets(1.0, 2.0, 7),
            ))),
            extension_point_duration: registered(HistogramVec::new(
                histogram(
                    "scheduler_framework_extension_point_duration_seconds",
                    "Latency for running all plugins of a specific extension point.",
                    buckets(0.0001, 2.0, 12),
                ),
                &["extension_point", "status", "profile"],
            )),
            pending: registered(IntGaugeVec::new(
                Opts::new(
                    "scheduler_pending_pods",
                    "Number of pending pods, by the queue type. 'active' means number of pods in activeQ; 'backoff' means number of pods in backoffQ; 'unschedulable' means number of pods in unschedulablePods that the scheduler attempted to schedule and failed; 'gated' is the number of unschedulable pods that the scheduler never attempted to schedule because they are gated.",
                ),
                &["queue"],
            )),
            incoming: registered(IntCounterVec::new(
                Opts::new(
                    "scheduler_queue_incoming_pods_total",
                    "Number of pods added to scheduling queues by event and queue type.",
                ),
                &["queue", "event"],
            )),
            cache: registered(IntGaugeVec::new(
                Opts::new(
                    "scheduler_cache_size",
                    "Number of nodes, pods, and assumed (bound) pods in the scheduler cache.",
                ),
                &["type"],
            )),
        }
    }

    pub fn queue(&self, counts: Counts, incoming: BTreeMap<(&'static str, &'static str), u64>) {
        let queues = [
            ("active", counts.active),
            ("backoff", counts.backoff),
            ("unschedulable", counts.unschedulable),
            ("gated", counts.gated),
        ];
        for (name, count) in queues {
            self.pending.with_label_values(&[name]).set(count as i64);
        }
        for ((queue, event), count) in incoming {
            self.incoming.with_label_values(&[queue, event]).inc_by(count);
        }
    }

    pub fn cache(&self, nodes: usize, pods: usize) {
        self.cache.with_label_values(&["nodes"]).set(nodes as i64);
        self.cache.with_label_values(&["pods"]).set(pods as i64);
    }

    pub fn extension_point(&self, point: Point, succeeded: bool, profile: &str, took: Duration) {
        let status = if succeeded { "Success" } else { "Unschedulable" };
        self.extension_point_duration
            .with_label_values(&[point.to_string().as_str(), status, profile])
            .observe(took.as_secs_f64());
    }
}
