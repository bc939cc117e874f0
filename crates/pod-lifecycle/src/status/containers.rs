//! One `ContainerStatus` per container of the spec.

use super::Inputs;
use crate::{
    core::{
        Container, ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting,
        ContainerStatus, ResourceRequirements, VolumeMountStatus,
    },
    names,
    observed::{ContainerPhase, ContainerSeen},
};

const UNKNOWN: &str = "ContainerStatusUnknown";

pub(super) fn statuses(
    inputs: &Inputs,
    containers: &[Container],
    old: Option<&[ContainerStatus]>,
    ephemeral: bool,
) -> Option<Vec<ContainerStatus>> {
    if containers.is_empty() {
        return None;
    }
    let before = |name: &str| old.unwrap_or_default().iter().find(|s| s.name == name);
    Some(containers.iter().map(|c| status(inputs, c, before(&c.name), ephemeral)).collect())
}

fn status(inputs: &Inputs, container: &Container, old: Option<&ContainerStatus>, ephemeral: bool) -> ContainerStatus {
    let mut history = inputs.seen.containers.iter().filter(|c| c.name == container.name);
    let mut status = match history.next() {
        Some(newest) => from_runtime(inputs, container, newest, history.next(), old),
        None => unseen(inputs, container, old),
    };
    if inputs.over && !ephemeral {
        give_up(&mut status);
    }
    if let Some(mounts) = container.volume_mounts.as_deref().filter(|m| !m.is_empty()) {
        status.volume_mounts = Some(mounts.iter().map(mount_status).collect());
    }
    status
}

fn from_runtime(
    inputs: &Inputs,
    container: &Container,
    newest: &ContainerSeen,
    previous: Option<&ContainerSeen>,
    old: Option<&ContainerStatus>,
) -> ContainerStatus {
    let id = format!("{}://{}", inputs.runtime, newest.id);
    let mut status = ContainerStatus {
        name: container.name.clone(),
        image: newest.image.clone(),
        image_id: newest.image_id.clone(),
        container_id: Some(id.clone()),
        restart_count: i32::try_from(newest.attempt).unwrap_or(i32::MAX),
        started: Some(false),
        ..ContainerStatus::default()
    };
    let mut state = state(inputs, newest);
    let mut last = previous.filter(|p| p.has_exited()).map(|p| terminated(inputs, p)).or_else(|| remembered(old, &id));
    if newest.is_running() {
        let (started, ready) = (inputs.health.started(&newest.id), inputs.health.ready(&newest.id));
        status.started = Some(started);
        status.ready = ready;
        resources(inputs, container, &newest.id, &mut status);
    } else if let Some((reason, message)) = inputs.waiting.get(&container.name) {
        if let Some(ended) = state.terminated.take() {
            last = Some(ended);
        }
        state = waiting(reason, message);
    }
    let is_init = names::init_containers(inputs.pod).iter().any(|c| c.name == container.name);
    if is_init && !names::is_sidecar(container) {
        status.ready = state.terminated.as_ref().is_some_and(|t| t.exit_code == 0);
    }
    status.last_state = Some(ContainerState { terminated: last, ..ContainerState::default() });
    status.state = Some(state);
    status
}

/// The end of an earlier attempt whose container has been collected, as the API remembers it.
fn remembered(old: Option<&ContainerStatus>, current: &str) -> Option<ContainerStateTerminated> {
    let old = old?;
    let last = || old.last_state.as_ref().and_then(|s| s.terminated.clone());
    if old.container_id.as_deref() == Some(current) {
        return last();
    }
    old.state.as_ref().and_then(|s| s.terminated.clone()).or_else(last)
}

fn state(inputs: &Inputs, seen: &ContainerSeen) -> ContainerState {
    match seen.phase {
        ContainerPhase::Running => {
            let started = seen.started_at.map(super::wire);
            ContainerState { running: Some(ContainerStateRunning { started_at: started }), ..ContainerState::default() }
        }
        ContainerPhase::Exited => {
            ContainerState { terminated: Some(terminated(inputs, seen)), ..ContainerState::default() }
        }
        ContainerPhase::Created => waiting(default_reason(inputs), ""),
        ContainerPhase::Unknown => {
            let message = "The container could not be located when the pod was terminated".to_owned();
            let lost = ContainerStateTerminated {
                exit_code: 137,
                reason: Some(UNKNOWN.into()),
                message: Some(message),
                ..Default::default()
            };
            ContainerState { terminated: Some(lost), ..ContainerState::default() }
        }
    }
}

fn terminated(inputs: &Inputs, seen: &ContainerSeen) -> ContainerStateTerminated {
    ContainerStateTerminated {
        exit_code: seen.exit_code,
        reason: Some(if seen.reason.is_empty() {
            if seen.exit_code == 0 { "Completed" } else { "Error" }.into()
        } else {
            seen.reason.clone()
        }),
        message: (!seen.message.is_empty()).then(|| seen.message.clone()),
        started_at: Some(super::wire(seen.started_at.unwrap_or(jiff::Timestamp::UNIX_EPOCH))),
        finished_at: seen.finished_at.map(super::wire),
        container_id: Some(format!("{}://{}", inputs.runtime, seen.id)),
        signal: None,
    }
}

fn unseen(inputs: &Inputs, container: &Container, old: Option<&ContainerStatus>) -> ContainerStatus {
    let mut status = ContainerStatus {
        name: container.name.clone(),
        image: container.image.clone().unwrap_or_default(),
        started: Some(false),
        ..ContainerStatus::default()
    };
    if let Some(old) = old {
        status.restart_count = old.restart_count;
        status.last_state = old.last_state.clone();
        let state = old.state.clone().unwrap_or_default();
        if state.terminated.is_some() {
            // It has ended and its remains are gone: what the API says is all that is left of it.
            return ContainerStatus { started: Some(false), ..old.clone() };
        }
        if let Some(running) = state.running {
            let message =
                "The container could not be located when the pod was deleted.  The container used to be Running"
                    .to_owned();
            let lost = ContainerStateTerminated {
                exit_code: 137,
                reason: Some(UNKNOWN.into()),
                message: Some(message),
                started_at: running.started_at,
                container_id: old.container_id.clone(),
                ..ContainerStateTerminated::default()
            };
            status.last_state = Some(ContainerState { terminated: Some(lost), ..ContainerState::default() });
            status.restart_count += 1;
        }
    }
    let (reason, message) = match inputs.waiting.get(&container.name) {
        Some((reason, message)) => (reason.as_str(), message.as_str()),
        None => (default_reason(inputs), ""),
    };
    status.state = Some(waiting(reason, message));
    status.last_state.get_or_insert_default();
    status
}

fn default_reason(inputs: &Inputs) -> &'static str {
    if names::init_containers(inputs.pod).is_empty() { "ContainerCreating" } else { "PodInitializing" }
}

fn waiting(reason: &str, message: &str) -> ContainerState {
    let message = (!message.is_empty()).then(|| message.to_owned());
    ContainerState {
        waiting: Some(ContainerStateWaiting { reason: Some(reason.to_owned()), message }),
        ..ContainerState::default()
    }
}

/// The pod is over: what is not known to have ended is declared so.
fn give_up(status: &mut ContainerStatus) {
    status.ready = false;
    status.started = Some(false);
    let state = status.state.get_or_insert_default();
    if state.terminated.is_some() {
        return;
    }
    let message = "The container could not be located when the pod was terminated".to_owned();
    let last = status.last_state.as_ref().and_then(|s| s.terminated.clone());
    let end = match (state.waiting.take(), last) {
        // It waited for a restart that will not come: its last end is its end.
        (Some(_), Some(last)) => {
            status.last_state = Some(ContainerState::default());
            last
        }
        _ => ContainerStateTerminated {
            exit_code: 137,
            reason: Some(UNKNOWN.into()),
            message: Some(message),
            ..Default::default()
        },
    };
    *state = ContainerState { terminated: Some(end), ..ContainerState::default() };
}

/// What it was given, and what it has.
fn resources(inputs: &Inputs, container: &Container, id: &str, status: &mut ContainerStatus) {
    let given = container.resources.clone().unwrap_or_default();
    status.allocated_resources = given.requests.clone().filter(|r| !r.is_empty());
    let actual = inputs.resize.actual.get(id).cloned().unwrap_or(given);
    status.resources = Some(ResourceRequirements { claims: None, ..actual });
}

fn mount_status(mount: &crate::core::VolumeMount) -> VolumeMountStatus {
    let read_only = mount.read_only.unwrap_or(false);
    VolumeMountStatus {
        mount_path: mount.mount_path.clone(),
        name: mount.name.clone(),
        read_only: Some(read_only),
        recursive_read_only: read_only.then(|| "Disabled".to_owned()),
        ..VolumeMountStatus::default()
    }
}
