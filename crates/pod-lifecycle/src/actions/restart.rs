//! Whether a container that is not running is to be started again, and which attempt that is.

use crate::{
    core::{Container, Pod},
    names,
    observed::{ContainerPhase, ContainerSeen, PodSeen},
};

/// By the pod's restart policy; a sidecar always, an init container unless it succeeded.
pub(super) fn wanted(pod: &Pod, container: &Container, seen: &ContainerSeen) -> bool {
    match seen.phase {
        ContainerPhase::Running => false,
        ContainerPhase::Created | ContainerPhase::Unknown => true,
        ContainerPhase::Exited => exited(pod, container, seen.exit_code),
    }
}

/// Whether a container that ended with this code comes back: container rules first, then the policy
/// of the container, then that of the pod.
pub fn will_restart(pod: &Pod, container: &Container, exit_code: i32) -> bool {
    exited(pod, container, exit_code)
}

fn exited(pod: &Pod, container: &Container, exit_code: i32) -> bool {
    for rule in container.restart_policy_rules.iter().flatten() {
        let Some(codes) = &rule.exit_codes else { continue };
        let listed = codes.values.iter().flatten().any(|v| *v == exit_code);
        let hit = match codes.operator.as_str() {
            "In" => listed,
            "NotIn" => !listed,
            _ => false,
        };
        if hit && rule.action == "Restart" {
            return true;
        }
    }
    let is_init = names::init_containers(pod).iter().any(|c| c.name == container.name);
    match container.restart_policy.as_deref().unwrap_or(names::restart_policy(pod)) {
        "Never" => false,
        "OnFailure" => exit_code != 0,
        _ if is_init && !names::is_sidecar(container) => exit_code != 0,
        _ => true,
    }
}

/// The attempt number of the next start. The API's count is the memory of last resort: a node that
/// lost its runtime's records must not count backwards.
pub fn restart_count(pod: &Pod, seen: &PodSeen, container: &str) -> u32 {
    if let Some(last) = seen.container(container) {
        return last.attempt + 1;
    }
    let Some(status) = &pod.status else { return 0 };
    let all = [&status.container_statuses, &status.init_container_statuses];
    let found = all.into_iter().flatten().flatten().find(|s| s.name == container);
    match found {
        Some(status) if status.container_id.as_deref().is_some_and(|id| !id.is_empty()) => {
            u32::try_from(status.restart_count).unwrap_or(0) + 1
        }
        _ => 0,
    }
}
