//! The conditions a kubelet owns. Those of others (readiness gates) are read and left alone.

use super::Inputs;
use crate::{
    core::{Container, ContainerStatus, PodCondition, PodStatus},
    names, resize,
};

struct Finding {
    met: bool,
    reason: Option<&'static str>,
    message: Option<String>,
}

fn met() -> Finding {
    Finding { met: true, reason: None, message: None }
}

fn unmet(reason: &'static str, message: Option<String>) -> Finding {
    Finding { met: false, reason: Some(reason), message }
}

pub(super) fn generate(inputs: &Inputs, status: &PodStatus, old: &[PodCondition]) -> Vec<PodCondition> {
    let phase = status.phase.as_deref().unwrap_or_default();
    let containers_ready = containers_ready(inputs, status, phase);
    let ready = ready(inputs, &containers_ready, old);
    let mut all = vec![
        ("PodReadyToStartContainers", ready_to_start(inputs)),
        ("Initialized", initialized(inputs, status, phase)),
        ("Ready", ready),
        ("ContainersReady", containers_ready),
        ("PodScheduled", met()),
    ];
    if let Some(verdict) = inputs.verdict
        && let Some(reason) = verdict.disruption
    {
        all.push((
            "DisruptionTarget",
            Finding { met: true, reason: Some(reason), message: Some(verdict.message.clone()) },
        ));
    }
    if let Some(pending) = &inputs.resize.pending {
        let message = Some(pending.message.clone());
        all.push((resize::PENDING, Finding { met: true, reason: Some(pending.reason), message }));
    }
    if let Some(error) = inputs.resize.in_progress.as_ref().filter(|_| !inputs.over) {
        let reason = error.as_ref().map(|_| "Error");
        all.push((resize::IN_PROGRESS, Finding { met: true, reason, message: error.clone() }));
    }
    all.into_iter().map(|(name, finding)| condition(inputs, old, name, finding)).collect()
}

fn condition(inputs: &Inputs, old: &[PodCondition], name: &str, finding: Finding) -> PodCondition {
    let status = if finding.met { "True" } else { "False" };
    let before = old.iter().find(|c| c.type_ == name && c.status == status);
    let since = before.and_then(|c| c.last_transition_time.clone()).unwrap_or_else(|| super::wire(inputs.now));
    PodCondition {
        type_: name.to_owned(),
        status: status.to_owned(),
        reason: finding.reason.map(str::to_owned),
        message: finding.message,
        last_transition_time: Some(since),
        observed_generation: names::generation(inputs.pod),
        ..PodCondition::default()
    }
}

fn ready_to_start(inputs: &Inputs) -> Finding {
    let sandbox = inputs.seen.ready_sandbox();
    let ready = !inputs.over && sandbox.is_some_and(|s| s.host_network || !s.ips.is_empty());
    Finding { met: ready, reason: None, message: None }
}

fn initialized(inputs: &Inputs, status: &PodStatus, phase: &str) -> Finding {
    if phase == "Succeeded" {
        return Finding { met: true, reason: Some("PodCompleted"), message: None };
    }
    let statuses = status.init_container_statuses.as_deref().unwrap_or_default();
    let ran = status.container_statuses.iter().flatten().any(|s| s.state.as_ref().is_some_and(|s| s.running.is_some()));
    let unmet_names: Vec<_> = names::init_containers(inputs.pod)
        .iter()
        .filter(|c| {
            let found = statuses.iter().find(|s| s.name == c.name);
            let done = if names::is_sidecar(c) {
                found.is_some_and(|s| s.started == Some(true))
            } else {
                found.is_some_and(|s| s.ready)
            };
            !done && !ran
        })
        .map(|c| c.name.clone())
        .collect();
    if unmet_names.is_empty() {
        return met();
    }
    unmet("ContainersNotInitialized", Some(format!("containers with incomplete status: {}", list(&unmet_names))))
}

fn containers_ready(inputs: &Inputs, status: &PodStatus, phase: &str) -> Finding {
    match phase {
        "Succeeded" => return unmet("PodCompleted", None),
        "Failed" => return unmet("PodFailed", None),
        _ => {}
    }
    let sidecars = names::init_containers(inputs.pod).iter().filter(|c| names::is_sidecar(c));
    let mut unready = pending(sidecars, status.init_container_statuses.as_deref());
    unready.extend(pending(names::containers(inputs.pod).iter(), status.container_statuses.as_deref()));
    if unready.is_empty() {
        return met();
    }
    unmet("ContainersNotReady", Some(format!("containers with unready status: {}", list(&unready))))
}

fn pending<'a>(containers: impl Iterator<Item = &'a Container>, statuses: Option<&[ContainerStatus]>) -> Vec<String> {
    let ready = |name: &str| statuses.unwrap_or_default().iter().any(|s| s.name == name && s.ready);
    containers.filter(|c| !ready(&c.name)).map(|c| c.name.clone()).collect()
}

/// Containers ready, and every readiness gate's condition true.
fn ready(inputs: &Inputs, containers: &Finding, old: &[PodCondition]) -> Finding {
    if !containers.met {
        return Finding { met: false, reason: containers.reason, message: containers.message.clone() };
    }
    let gates = inputs.pod.spec.as_ref().and_then(|s| s.readiness_gates.as_deref()).unwrap_or_default();
    let messages: Vec<String> = gates
        .iter()
        .filter_map(|gate| match old.iter().find(|c| c.type_ == gate.condition_type) {
            None => {
                Some(format!("corresponding condition of pod readiness gate {:?} does not exist.", gate.condition_type))
            }
            Some(c) if c.status != "True" => Some(format!(
                "the status of pod readiness gate {:?} is not \"True\", but {}",
                gate.condition_type, c.status
            )),
            Some(_) => None,
        })
        .collect();
    if messages.is_empty() { met() } else { unmet("ReadinessGatesNotReady", Some(messages.join(", "))) }
}

/// A list as Go prints it: `[a b]`.
fn list(names: &[String]) -> String {
    format!("[{}]", names.join(" "))
}
