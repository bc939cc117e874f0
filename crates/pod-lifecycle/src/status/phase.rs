//! The pod's phase from its container statuses, as upstream's `getPhase`.

use super::Inputs;
use crate::{
    actions::will_restart,
    core::{Container, ContainerStatus, PodStatus},
    names,
};

pub(super) fn of(inputs: &Inputs, status: &PodStatus, before: Option<&str>) -> &'static str {
    match before {
        Some("Failed") => return "Failed",
        Some("Succeeded") => return "Succeeded",
        _ => {}
    }
    let pod = inputs.pod;
    let policy = names::restart_policy(pod);
    let (mut pending_init, mut failed_init) = (0, 0);
    for container in names::init_containers(pod) {
        let found = find(container, status.init_container_statuses.as_deref());
        if names::is_sidecar(container) {
            pending_init +=
                usize::from(!found.is_some_and(|s| s.started == Some(true) || ended(s).is_some() && inputs.over));
            continue;
        }
        match found.and_then(ended) {
            Some(0) => {}
            Some(code) if !will_restart(pod, container, code) => failed_init += 1,
            _ => pending_init += 1,
        }
    }
    let counts = Counts::of(inputs, status);
    // No phase is final while a sidecar still runs.
    let sidecar_runs =
        status.init_container_statuses.iter().flatten().any(|s| s.state.as_ref().is_some_and(|s| s.running.is_some()));
    if failed_init > 0 {
        return "Failed";
    }
    // Regular containers that have run prove that initialization was complete.
    if pending_init > 0 && counts.running + counts.stopped == 0 && !inputs.over {
        return "Pending";
    }
    if counts.waiting > 0 && !inputs.over {
        return "Pending";
    }
    if counts.running > 0 && counts.unknown == 0 {
        return "Running";
    }
    if counts.running == 0 && counts.stopped > 0 && counts.unknown == 0 {
        if inputs.over {
            return if counts.stopped == counts.succeeded { "Succeeded" } else { "Failed" };
        }
        if counts.restarting > 0 || policy == "Always" || sidecar_runs {
            return "Running";
        }
        if counts.stopped == counts.succeeded {
            return "Succeeded";
        }
        return if policy == "Never" { "Failed" } else { "Running" };
    }
    if inputs.over { "Failed" } else { "Pending" }
}

#[derive(Default)]
struct Counts {
    unknown: usize,
    running: usize,
    waiting: usize,
    stopped: usize,
    succeeded: usize,
    restarting: usize,
}

impl Counts {
    fn of(inputs: &Inputs, status: &PodStatus) -> Self {
        let mut counts = Counts::default();
        for container in names::containers(inputs.pod) {
            let Some(found) = find(container, status.container_statuses.as_deref()) else {
                counts.unknown += 1;
                continue;
            };
            let state = found.state.clone().unwrap_or_default();
            if state.running.is_some() {
                counts.running += 1;
            } else if let Some(terminated) = state.terminated {
                counts.stopped += 1;
                counts.succeeded += usize::from(terminated.exit_code == 0);
                counts.restarting += usize::from(will_restart(inputs.pod, container, terminated.exit_code));
            } else if found.last_state.as_ref().is_some_and(|l| l.terminated.is_some()) {
                counts.stopped += 1;
                counts.restarting += 1;
            } else {
                counts.waiting += 1;
            }
        }
        counts
    }
}

fn find<'a>(container: &Container, statuses: Option<&'a [ContainerStatus]>) -> Option<&'a ContainerStatus> {
    statuses.unwrap_or_default().iter().find(|s| s.name == container.name)
}

fn ended(status: &ContainerStatus) -> Option<i32> {
    status.state.as_ref().and_then(|s| s.terminated.as_ref()).map(|t| t.exit_code)
}
