//! In-place resize (KEP-1287): what a pod is given of the processor and memory it asks for, and how its containers get
//! there.
//!
//! Everything else on the node sees the pod with what it was *given*; only here the wish and the gift are two. Setting
//! cgroups is the kubelet's.

use crate::{
    admission,
    core::{Container, Pod, ResourceRequirements},
    names,
    resources::{self, Resources},
};
use std::collections::BTreeMap;

/// Upstream's condition types.
pub const PENDING: &str = "PodResizePending";
pub const IN_PROGRESS: &str = "PodResizeInProgress";
const RESIZABLE: [&str; 2] = ["cpu", "memory"];

/// Why a pod is not given what it asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// `Deferred` until there is room, or `Infeasible`: this node will never have so much.
    pub reason: &'static str,
    pub message: String,
}

/// What the status says of a resize, and what containers really have.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    pub pending: Option<Pending>,
    /// Some container does not have yet what it was given; with the error of the last try.
    pub in_progress: Option<Option<String>>,
    /// By container id, where it differs from what was given.
    pub actual: BTreeMap<String, ResourceRequirements>,
}

/// How a running container comes to other resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Update,
    /// Its `resizePolicy` says that it would not notice.
    Restart,
}

/// The pod as asked for, with what `given` has of resources.
pub fn with_resources_of(asked: &Pod, given: &Pod) -> Pod {
    let mut pod = asked.clone();
    let Some(spec) = pod.spec.as_mut() else { return pod };
    for container in spec.containers.iter_mut().chain(spec.init_containers.iter_mut().flatten()) {
        let all = names::containers(given).iter().chain(names::init_containers(given));
        if let Some(known) = all.into_iter().find(|c| c.name == container.name) {
            container.resources = known.resources.clone();
        }
    }
    pod
}

/// The pod with what it was given before this kubelet began, by its status in the API.
pub fn last_given(pod: &Pod) -> Pod {
    let mut given = pod.clone();
    let Some(spec) = given.spec.as_mut() else { return given };
    let statuses = pod
        .status
        .iter()
        .flat_map(|s| s.container_statuses.iter().flatten().chain(s.init_container_statuses.iter().flatten()));
    for status in statuses {
        let all = spec.containers.iter_mut().chain(spec.init_containers.iter_mut().flatten());
        let Some(container) = all.into_iter().find(|c| c.name == status.name) else { continue };
        let (Some(requests), Some(shown)) = (&status.allocated_resources, &status.resources) else { continue };
        let known = ResourceRequirements { requests: Some(requests.clone()), ..shown.clone() };
        container.resources = Some(known);
    }
    given
}

/// What the pod has from now on: all it asks for, if that fits, else what it had.
pub fn give(asked: &Pod, given: &Pod, allocatable: &Resources, others: &[&Pod]) -> (Pod, Option<Pending>) {
    if is_same(asked, given) {
        return (asked.clone(), None);
    }
    match pending(asked, allocatable, others) {
        None => (asked.clone(), None),
        Some(pending) => (with_resources_of(asked, given), Some(pending)),
    }
}

/// By amounts, however they are written.
fn is_same(asked: &Pod, given: &Pod) -> bool {
    let all = |pod: &Pod| -> Vec<Container> {
        names::containers(pod).iter().chain(names::init_containers(pod)).cloned().collect()
    };
    let given = all(given);
    all(asked).iter().all(|container| {
        let known = given.iter().find(|known| known.name == container.name);
        known.is_some_and(|known| change(container, &known.resources.clone().unwrap_or_default()).is_none())
    })
}

fn pending(asked: &Pod, allocatable: &Resources, others: &[&Pod]) -> Option<Pending> {
    for (name, wanted) in resources::pod_requests(asked) {
        let number = |q: &api_types::Quantity| if name == "cpu" { q.milli_value() } else { q.value() };
        let capacity = resources::quantity(Some(allocatable), &name).map_or(0, |q| number(&q));
        if number(&wanted) > capacity {
            let message = format!(
                "Node didn't have enough capacity: {name}, requested: {}, capacity: {capacity}",
                number(&wanted)
            );
            return Some(Pending { reason: "Infeasible", message });
        }
    }
    let refused = admission::resources_fit(asked, allocatable, others).err()?;
    let message = refused.message.trim_start_matches("Pod was rejected: ").to_owned();
    Some(Pending { reason: "Deferred", message })
}

/// What has to be done to a container that runs with `actual`; `None` when it has what it was given.
pub fn change(container: &Container, actual: &ResourceRequirements) -> Option<How> {
    let given = container.resources.clone().unwrap_or_default();
    let amount = |of: &Option<Resources>, name: &str| resources::quantity(of.as_ref(), name);
    let changed: Vec<&str> = RESIZABLE
        .into_iter()
        .filter(|name| {
            amount(&given.requests, name) != amount(&actual.requests, name)
                || amount(&given.limits, name) != amount(&actual.limits, name)
        })
        .collect();
    if changed.is_empty() {
        return None;
    }
    let restarts = |name: &&str| {
        let policies = container.resize_policy.as_deref().unwrap_or_default();
        policies.iter().any(|p| p.resource_name == *name && p.restart_policy == "RestartContainer")
    };
    Some(if changed.iter().any(restarts) { How::Restart } else { How::Update })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;
    use serde_json::{Value, json};

    fn pod(cpu: &str) -> Pod {
        let mut pod = samples::pod("Always", &[], &["a"]);
        pod.spec.as_mut().unwrap().containers[0].resources =
            serde_json::from_value(json!({"requests": {"cpu": cpu}, "limits": {"cpu": "4"}})).unwrap();
        pod
    }

    fn check(asked: &str, others: &[&str], want: &str) {
        let allocatable = serde_json::from_value(json!({"cpu": "2", "pods": "9"})).unwrap();
        let others: Vec<Pod> = others.iter().map(|cpu| pod(cpu)).collect();
        let (given, pending) = give(&pod(asked), &pod("1"), &allocatable, &others.iter().collect::<Vec<_>>());
        let cpu = resources::pod_requests(&given)["cpu"];
        let pending = pending.map(|p| format!(" {}: {}", p.reason, p.message)).unwrap_or_default();
        assert_eq!(format!("{cpu}{pending}"), want);
    }

    #[test]
    fn wishes() {
        check("1", &["1"], "1");
        check("500m", &["1500m"], "500m");
        check("1500m", &["500m"], "1500m");
        check(
            "1500m",
            &["1"],
            "1 Deferred: Node didn't have enough resource: cpu, requested: 1500, used: 1000, capacity: 2000",
        );
        check("3", &[], "1 Infeasible: Node didn't have enough capacity: cpu, requested: 3000, capacity: 2000");
    }

    #[test]
    fn a_container_is_changed_as_its_policy_says() {
        let container = |policy: Value| Container {
            resize_policy: serde_json::from_value(policy).unwrap(),
            ..pod("1").spec.unwrap().containers.remove(0)
        };
        let actual = |value: Value| serde_json::from_value::<ResourceRequirements>(value).unwrap();
        let restart = json!([{"resourceName": "memory", "restartPolicy": "RestartContainer"}]);
        let same = json!({"requests": {"cpu": "1000m"}, "limits": {"cpu": "4"}});
        let less = json!({"requests": {"cpu": "500m"}, "limits": {"cpu": "4"}});
        let memory = json!({"requests": {"cpu": "1"}, "limits": {"cpu": "4", "memory": "1Gi"}});
        assert_eq!(change(&container(json!([])), &actual(same)), None);
        assert_eq!(change(&container(restart.clone()), &actual(less)), Some(How::Update));
        assert_eq!(change(&container(restart), &actual(memory.clone())), Some(How::Restart));
        assert_eq!(change(&container(json!([])), &actual(memory)), Some(How::Update));
    }

    #[test]
    fn the_status_remembers_what_was_given() {
        let mut asked = pod("2");
        let status = json!({"containerStatuses": [{"name": "a", "image": "", "imageID": "", "ready": true, "restartCount": 0,
            "allocatedResources": {"cpu": "1"}, "resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "4"}}}]});
        asked.status = Some(serde_json::from_value(status).unwrap());
        assert_eq!(resources::pod_requests(&last_given(&asked))["cpu"].milli_value(), 1000);
        assert_eq!(last_given(&pod("2")), pod("2"), "nothing is remembered of a new one");
    }
}
