//! Finding the pod and the container that a request names, with upstream's words when there is none.

use http::StatusCode;
use pod_lifecycle::{ContainerPhase, ContainerSeen, core::ContainerStatus, core::Pod, names};

use super::route::{ContainerRef, PodRef};
use super::{Refusal, refuse};
use crate::context::Context;
use crate::directory::Entry;

pub fn pod(context: &Context, wanted: &PodRef) -> Result<Entry, Refusal> {
    let found = context.directory.find(&wanted.namespace, &wanted.name);
    let found = found.filter(|entry| wanted.uid.as_deref().is_none_or(|uid| uid == names::uid(&entry.pod)));
    found.ok_or_else(|| refuse(StatusCode::NOT_FOUND, format!("pod {:?} does not exist\n", wanted.name)))
}

/// A container that runs.
pub fn running(context: &Context, wanted: &ContainerRef) -> Result<ContainerSeen, Refusal> {
    let entry = pod(context, &wanted.pod)?;
    let found = entry.container(&wanted.container, false).filter(|c| c.phase == ContainerPhase::Running);
    let missing = || refuse(StatusCode::NOT_FOUND, format!("container not found ({:?})", wanted.container));
    found.cloned().ok_or_else(missing)
}

/// The container whose log is wanted.
pub fn logged(context: &Context, wanted: &ContainerRef, previous: bool) -> Result<ContainerSeen, Refusal> {
    let entry = pod(context, &wanted.pod)?;
    let (name, pod) = (&wanted.container, names::name(&entry.pod));
    if !is_declared(&entry.pod, name) {
        return Err(refuse(StatusCode::NOT_FOUND, format!("container {name:?} not found in pod {pod:?}\n")));
    }
    let found = match previous {
        // A container that ended and is not made again yet is the previous one of the next.
        true => entry.container(name, true),
        false => entry.container(name, false),
    };
    if let Some(container) = found.filter(|c| c.phase != ContainerPhase::Created) {
        return Ok(container.clone());
    }
    let bad = |why: String| refuse(StatusCode::BAD_REQUEST, why);
    if previous {
        return Err(bad(format!("previous terminated container {name:?} in pod {pod:?} not found")));
    }
    // While it waits for its next start the log of its last run is what there is.
    if let Some(last) = entry.container(name, true) {
        return Ok(last.clone());
    }
    Err(bad(match waiting_reason(&entry.pod, name) {
        Some(reason) => format!("container {name:?} in pod {pod:?} is waiting to start: {reason}"),
        None => format!("container {name:?} in pod {pod:?} is not available"),
    }))
}

fn is_declared(pod: &Pod, container: &str) -> bool {
    let Some(spec) = &pod.spec else { return false };
    let ordinary = spec.containers.iter().map(|c| &c.name);
    let init = spec.init_containers.iter().flatten().map(|c| &c.name);
    let ephemeral = spec.ephemeral_containers.iter().flatten().map(|c| &c.name);
    ordinary.chain(init).chain(ephemeral).any(|name| name == container)
}

fn waiting_reason<'a>(pod: &'a Pod, container: &str) -> Option<&'a str> {
    let status = pod.status.as_ref()?;
    let mut all = [&status.container_statuses, &status.init_container_statuses, &status.ephemeral_container_statuses]
        .into_iter()
        .flatten()
        .flatten();
    let status: &ContainerStatus = all.find(|status| status.name == container)?;
    let waiting = status.state.as_ref()?.waiting.as_ref()?;
    waiting.reason.as_deref().filter(|reason| !reason.is_empty())
}
