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
        true => last_ended(&entry.pod, name).and_then(|id| entry.seen.containers.iter().find(|c| c.id == id)),
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

fn status_of<'a>(pod: &'a Pod, container: &str) -> Option<&'a ContainerStatus> {
    let status = pod.status.as_ref()?;
    let all = [&status.container_statuses, &status.init_container_statuses, &status.ephemeral_container_statuses];
    all.into_iter().flatten().flatten().find(|status| status.name == container)
}

/// The container that the status calls the last one. While the next start waits that is the newest there is: it ended,
/// and nothing has taken its place.
fn last_ended<'a>(pod: &'a Pod, container: &str) -> Option<&'a str> {
    let ended = status_of(pod, container)?.last_state.as_ref()?.terminated.as_ref()?;
    let id = ended.container_id.as_deref()?;
    Some(id.split_once("://").map_or(id, |(_, bare)| bare))
}

fn waiting_reason<'a>(pod: &'a Pod, container: &str) -> Option<&'a str> {
    let waiting = status_of(pod, container)?.state.as_ref()?.waiting.as_ref()?;
    waiting.reason.as_deref().filter(|reason| !reason.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(state: serde_json::Value, last: serde_json::Value, expected: Option<&str>) {
        let pod = serde_json::json!({"status": {"containerStatuses": [{
            "name": "main", "image": "", "imageID": "", "ready": false, "restartCount": 1, "state": state, "lastState": last,
        }]}});
        let pod: Pod = serde_json::from_value(pod).unwrap();
        assert_eq!(last_ended(&pod, "main"), expected);
        assert_eq!(last_ended(&pod, "other"), None);
    }

    #[test]
    fn previous_is_what_the_status_calls_last() {
        let ended = |id: &str| serde_json::json!({"terminated": {"exitCode": 1, "containerID": id}});
        let none = serde_json::json!({});
        let back_off = serde_json::json!({"waiting": {"reason": "CrashLoopBackOff"}});
        check(serde_json::json!({"running": {}}), none.clone(), None);
        check(ended("containerd://b"), none, None);
        check(ended("containerd://b"), ended("containerd://a"), Some("a"));
        check(back_off, ended("containerd://b"), Some("b"));
    }
}
