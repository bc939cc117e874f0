//! The `PodStatus` that the API shows: phase, conditions and container statuses, with upstream's
//! reasons and messages, and the patch from one to the next.
//!
//! It derives everything from the spec, what the runtime shows and what the kubelet remembers (why a
//! container is not started, what probes say). When to send it is the kubelet's business.

mod conditions;
mod containers;
mod patch;
mod phase;
#[cfg(test)]
mod tests;

use crate::{
    core::{HostIP, Pod, PodIP, PodStatus},
    names,
    observed::PodSeen,
    qos,
    resize::View,
};
use api_types::k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use jiff::Timestamp;
use std::collections::BTreeMap;

pub use patch::{differs, patch};

/// What the status is made of.
pub struct Inputs<'a> {
    /// With the status last known, whose times and foreign fields are kept.
    pub pod: &'a Pod,
    pub seen: &'a PodSeen,
    /// Why a container is not running: reason and message by container name.
    pub waiting: &'a BTreeMap<String, (String, String)>,
    pub health: &'a dyn Healths,
    pub host_ips: &'a [String],
    /// `containerd`, the scheme of container ids.
    pub runtime: &'a str,
    /// Nothing runs any more and nothing will be started.
    pub over: bool,
    /// Set when the node refused or evicted the pod.
    pub verdict: Option<&'a Verdict>,
    pub resize: &'a View,
    pub now: Timestamp,
}

/// What probes say of a running container, by its id.
pub trait Healths {
    fn ready(&self, container_id: &str) -> bool;
    fn started(&self, container_id: &str) -> bool;
}

/// Why the node gave up on a pod: it fails with this reason and message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    pub reason: String,
    pub message: String,
    /// The node took it away (eviction, shutdown): a `DisruptionTarget` condition says so.
    pub disruption: Option<&'static str>,
}

impl Verdict {
    /// The reason as events carry it: one of a fixed set.
    pub fn event_reason(&self) -> &'static str {
        const KNOWN: [&str; 12] = [
            "OutOfcpu",
            "OutOfmemory",
            "OutOfpods",
            "OutOfephemeral-storage",
            "NodeAffinity",
            "NodePorts",
            "TaintToleration",
            "SysctlForbidden",
            "PodOSNotSupported",
            "DeadlineExceeded",
            "Evicted",
            "AppArmor",
        ];
        KNOWN.into_iter().find(|known| *known == self.reason).unwrap_or("UnexpectedAdmissionError")
    }

    pub fn rejected(reason: &str, message: &str) -> Self {
        Self { reason: reason.to_owned(), message: format!("Pod was rejected: {message}"), disruption: None }
    }

    pub fn deadline_exceeded() -> Self {
        let message = "Pod was active on the node longer than the specified deadline".to_owned();
        Self { reason: "DeadlineExceeded".into(), message, disruption: None }
    }
}

pub fn generate(inputs: &Inputs) -> PodStatus {
    let pod = inputs.pod;
    let old = pod.status.clone().unwrap_or_default();
    let mut status = PodStatus {
        observed_generation: names::generation(pod),
        qos_class: Some(qos::class(pod).to_string()),
        start_time: old.start_time.clone().or(Some(wire(inputs.now))),
        nominated_node_name: old.nominated_node_name.clone(),
        resource_claim_statuses: old.resource_claim_statuses.clone(),
        extended_resource_claim_status: old.extended_resource_claim_status.clone(),
        resize: old.resize.clone(),
        ..PodStatus::default()
    };
    status.init_container_statuses =
        containers::statuses(inputs, names::init_containers(pod), old.init_container_statuses.as_deref(), false);
    status.container_statuses =
        containers::statuses(inputs, names::containers(pod), old.container_statuses.as_deref(), false);
    status.ephemeral_container_statuses = containers::statuses(
        inputs,
        &names::ephemeral_containers(pod),
        old.ephemeral_container_statuses.as_deref(),
        true,
    );
    let refused = inputs.verdict.is_some() || is_terminal(pod);
    if refused && inputs.seen.containers.is_empty() && old.container_statuses.is_none() {
        // Refused before anything was tried: there is nothing to say of its containers.
        status.init_container_statuses = None;
        status.container_statuses = None;
        status.ephemeral_container_statuses = None;
    }
    status.phase = Some(phase::of(inputs, &status, old.phase.as_deref()).to_owned());
    if let Some(verdict) = inputs.verdict {
        status.phase = Some("Failed".into());
        status.reason = Some(verdict.reason.clone());
        status.message = Some(verdict.message.clone());
    } else if matches!(old.phase.as_deref(), Some("Failed" | "Succeeded")) {
        status.reason = old.reason.clone();
        status.message = old.message.clone();
    }
    addresses(inputs, &mut status);
    status.conditions = Some(conditions::generate(inputs, &status, old.conditions.as_deref().unwrap_or_default()));
    status
}

fn addresses(inputs: &Inputs, status: &mut PodStatus) {
    let hosts = inputs.host_ips;
    status.host_ip = hosts.first().cloned();
    status.host_ips = (!hosts.is_empty()).then(|| hosts.iter().map(|ip| HostIP { ip: ip.clone() }).collect());
    let mut ips: Vec<String> = if names::host_network(inputs.pod) {
        hosts.to_vec()
    } else {
        inputs.seen.sandboxes.first().map(|s| s.ips.clone()).unwrap_or_default()
    };
    if ips.is_empty() && inputs.over {
        // A pod that has ended keeps showing the address it had.
        let old = inputs.pod.status.as_ref().and_then(|s| s.pod_ips.clone()).unwrap_or_default();
        ips = old.into_iter().map(|p| p.ip).collect();
    }
    status.pod_ip = ips.first().cloned();
    status.pod_ips = (!ips.is_empty()).then(|| ips.into_iter().map(|ip| PodIP { ip }).collect());
}

/// The API's times are whole seconds: what is finer would differ from itself after a round trip.
fn wire(time: Timestamp) -> Time {
    Time(Timestamp::from_second(time.as_second()).unwrap_or(time))
}

/// Whether a status says that the pod is over for good.
pub fn is_terminal(pod: &Pod) -> bool {
    matches!(pod.status.as_ref().and_then(|s| s.phase.as_deref()), Some("Failed" | "Succeeded"))
}
