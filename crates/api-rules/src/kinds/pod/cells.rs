//! A pod as `get pods` shows it: upstream's `printPod`.

use std::collections::BTreeSet;

use api_types::k8s_openapi::{
    api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus, Pod, PodSpec, PodStatus},
    apimachinery::pkg::apis::meta::v1::Time,
};
use jiff::Timestamp;
use serde_json::Value;

use crate::table::{
    cells::{self, NONE},
    duration,
};

pub fn row(pod: &Pod, now: Timestamp) -> Vec<Value> {
    let spec = pod.spec.clone().unwrap_or_default();
    let status = pod.status.clone().unwrap_or_default();
    let summary = summarize(pod, &spec, &status);
    let restarts = match summary.last_restart {
        Some(last) if summary.restarts != 0 => {
            format!("{} ({} ago)", summary.restarts, duration::since(Some(last), now))
        }
        _ => summary.restarts.to_string(),
    };
    let or_none = |text: Option<String>| Value::from(text.filter(|t| !t.is_empty()).unwrap_or_else(|| NONE.to_owned()));
    let ip = status.pod_ips.as_ref().and_then(|ips| ips.first()).map(|ip| ip.ip.clone());
    vec![
        cells::name(&pod.metadata),
        format!("{}/{}", summary.ready, summary.total).into(),
        summary.reason.into(),
        restarts.into(),
        duration::age(&pod.metadata, now),
        or_none(ip),
        or_none(spec.node_name.clone()),
        or_none(status.nominated_node_name.clone()),
        or_none(gates(&spec, &status)),
    ]
}

struct Summary {
    reason: String,
    ready: usize,
    total: usize,
    restarts: i32,
    last_restart: Option<Timestamp>,
}

impl Summary {
    fn restarted(&mut self, container: &ContainerStatus) {
        self.restarts += container.restart_count;
        let ended =
            container.last_state.as_ref().and_then(|s| s.terminated.as_ref()).and_then(|t| t.finished_at.as_ref());
        self.last_restart = self.last_restart.max(ended.map(|Time(t)| *t));
    }
}

fn summarize(pod: &Pod, spec: &PodSpec, status: &PodStatus) -> Summary {
    let phase = status.phase.clone().unwrap_or_default();
    let sidecars: BTreeSet<_> = spec
        .init_containers
        .iter()
        .flatten()
        .filter(|c| c.restart_policy.as_deref() == Some("Always"))
        .map(|c| c.name.as_str())
        .collect();
    let mut all = Summary {
        reason: status.reason.clone().filter(|r| !r.is_empty()).unwrap_or_else(|| phase.clone()),
        ready: 0,
        total: spec.containers.len() + sidecars.len(),
        restarts: 0,
        last_restart: None,
    };
    if status
        .conditions
        .iter()
        .flatten()
        .any(|c| c.type_ == "PodScheduled" && c.reason.as_deref() == Some("SchedulingGated"))
    {
        all.reason = "SchedulingGated".to_owned();
    }
    let initializing = init(&mut all, spec, status, &sidecars);
    if !initializing || condition_is_true(status, "Initialized") {
        containers(&mut all, status, &sidecars);
    }
    if pod.metadata.deletion_timestamp.is_some() {
        if status.reason.as_deref() == Some("NodeLost") {
            all.reason = "Unknown".to_owned();
        } else if !matches!(phase.as_str(), "Succeeded" | "Failed") {
            all.reason = "Terminating".to_owned();
        }
    }
    all
}

/// Goes through the init containers up to the one that is not done; answers whether there is one.
fn init(all: &mut Summary, spec: &PodSpec, status: &PodStatus, sidecars: &BTreeSet<&str>) -> bool {
    for (i, container) in status.init_container_statuses.iter().flatten().enumerate() {
        all.restarted(container);
        let ContainerState { terminated, waiting, .. } = container.state.clone().unwrap_or_default();
        let waits_for = waiting.and_then(|w| w.reason).filter(|r| !r.is_empty() && r != "PodInitializing");
        if terminated.as_ref().is_some_and(|t| t.exit_code == 0) {
            continue;
        }
        if sidecars.contains(container.name.as_str()) && container.started == Some(true) {
            all.ready += usize::from(container.ready);
            continue;
        }
        all.reason = match (terminated, waits_for) {
            (Some(end), _) => format!("Init:{}", ending(&end)),
            (None, Some(reason)) => format!("Init:{reason}"),
            (None, None) => format!("Init:{i}/{}", spec.init_containers.as_ref().map_or(0, Vec::len)),
        };
        return true;
    }
    false
}

fn containers(all: &mut Summary, status: &PodStatus, sidecars: &BTreeSet<&str>) {
    (all.restarts, all.last_restart) = (0, None);
    for container in status.init_container_statuses.iter().flatten().filter(|c| sidecars.contains(c.name.as_str())) {
        all.restarted(container);
    }
    let mut any_running = false;
    for container in status.container_statuses.iter().flatten().rev() {
        all.restarted(container);
        let ContainerState { terminated, waiting, running } = container.state.clone().unwrap_or_default();
        match (waiting.and_then(|w| w.reason).filter(|r| !r.is_empty()), terminated) {
            (Some(reason), _) => all.reason = reason,
            (None, Some(end)) => all.reason = ending(&end),
            (None, None) if container.ready && running.is_some() => {
                any_running = true;
                all.ready += 1;
            }
            (None, None) => {}
        }
    }
    if all.reason == "Completed" && any_running {
        all.reason = if condition_is_true(status, "Ready") { "Running" } else { "NotReady" }.to_owned();
    }
}

/// Why a container ended, in one word.
fn ending(end: &ContainerStateTerminated) -> String {
    match (end.reason.as_deref().unwrap_or_default(), end.signal.unwrap_or(0)) {
        ("", 0) => format!("ExitCode:{}", end.exit_code),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

fn condition_is_true(status: &PodStatus, type_: &str) -> bool {
    status.conditions.iter().flatten().any(|c| c.type_ == type_ && c.status == "True")
}

fn gates(spec: &PodSpec, status: &PodStatus) -> Option<String> {
    let gates = spec.readiness_gates.as_ref().filter(|g| !g.is_empty())?;
    let open = gates.iter().filter(|g| condition_is_true(status, &g.condition_type)).count();
    Some(format!("{open}/{}", gates.len()))
}
