//! Metrics under CoreDNS's names, so that its dashboards and alerts work.

use std::sync::LazyLock;
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use prometheus::{Histogram, IntCounterVec, histogram_opts, opts, register_histogram, register_int_counter_vec};

static RESPONSES: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let options = opts!("coredns_dns_responses_total", "Answers given, by their code.");
    register_int_counter_vec!(options, &["server", "rcode"]).expect("registered once, with a valid name")
});
static DURATION: LazyLock<Histogram> = LazyLock::new(|| {
    let options = histogram_opts!(
        "coredns_dns_request_duration_seconds",
        "Time from a question to its answer.",
        prometheus::exponential_buckets(0.000_25, 2.0, 16).expect("a positive start and factor")
    );
    register_histogram!(options).expect("registered once, with a valid name")
});
static FORWARDED: LazyLock<IntCounterVec> = LazyLock::new(|| {
    let options = opts!("coredns_forward_responses_total", "Answers of other servers, by their code.");
    register_int_counter_vec!(options, &["rcode"]).expect("registered once, with a valid name")
});
static FORWARD_DURATION: LazyLock<Histogram> = LazyLock::new(|| {
    let options = histogram_opts!("coredns_forward_request_duration_seconds", "Time that other servers took.");
    register_histogram!(options).expect("registered once, with a valid name")
});

pub fn answered(code: ResponseCode, took: Duration) {
    RESPONSES.with_label_values(&["dns://:53", name(code)]).inc();
    DURATION.observe(took.as_secs_f64());
}

pub fn forwarded(code: ResponseCode, took: Duration) {
    FORWARDED.with_label_values(&[name(code)]).inc();
    FORWARD_DURATION.observe(took.as_secs_f64());
}

fn name(code: ResponseCode) -> &'static str {
    match code {
        ResponseCode::NoError => "NOERROR",
        ResponseCode::FormErr => "FORMERR",
        ResponseCode::ServFail => "SERVFAIL",
        ResponseCode::NXDomain => "NXDOMAIN",
        ResponseCode::NotImp => "NOTIMP",
        ResponseCode::Refused => "REFUSED",
        _ => "OTHER",
    }
}
