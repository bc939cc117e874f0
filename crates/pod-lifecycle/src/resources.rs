//! Resource requests and limits as the kernel takes them.

use crate::{
    core::{Container, Pod, ResourceRequirements},
    names,
    qos::{self, Class},
};
use api_types::{Quantity, k8s_openapi::apimachinery::pkg::api::resource::Quantity as Wire};
use std::collections::BTreeMap;

pub type Resources = BTreeMap<String, Wire>;

/// The kernel's default period of processor quotas, in microseconds.
pub const CPU_PERIOD: i64 = 100_000;
const MIN_SHARES: i64 = 2;
const MAX_SHARES: i64 = 262_144;
const MIN_QUOTA: i64 = 1_000;

/// Limits of one cgroup; 0 means unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CgroupValues {
    pub cpu_shares: i64,
    pub cpu_quota: i64,
    /// Bytes.
    pub memory: i64,
}

impl CgroupValues {
    /// What holds both; no limit is the widest.
    pub fn or_wider(self, other: Self) -> Self {
        let limit = |a: i64, b: i64| if a == 0 || b == 0 { 0 } else { a.max(b) };
        Self {
            cpu_shares: self.cpu_shares.max(other.cpu_shares),
            cpu_quota: limit(self.cpu_quota, other.cpu_quota),
            memory: limit(self.memory, other.memory),
        }
    }
}

pub fn quantity(map: Option<&Resources>, name: &str) -> Option<Quantity> {
    map.and_then(|m| m.get(name)).and_then(|q| Quantity::try_from(q).ok())
}

pub fn milli(map: Option<&Resources>, name: &str) -> i64 {
    quantity(map, name).map_or(0, |q| q.milli_value())
}

pub fn value(map: Option<&Resources>, name: &str) -> i64 {
    quantity(map, name).map_or(0, |q| q.value())
}

pub fn container(container: &Container) -> CgroupValues {
    of(container.resources.as_ref())
}

fn of(resources: Option<&ResourceRequirements>) -> CgroupValues {
    let requests = resources.and_then(|r| r.requests.as_ref());
    let limits = resources.and_then(|r| r.limits.as_ref());
    let has_request = requests.is_some_and(|r| r.contains_key("cpu"));
    let cpu_request = if has_request { milli(requests, "cpu") } else { milli(limits, "cpu") };
    CgroupValues {
        cpu_shares: shares(cpu_request),
        cpu_quota: quota(milli(limits, "cpu")),
        memory: value(limits, "memory"),
    }
}

/// The pod's cgroup: shares of all requests, and limits only where every container has one.
pub fn pod(pod: &Pod) -> CgroupValues {
    if let Some(resources) = pod.spec.as_ref().and_then(|s| s.resources.as_ref()) {
        return of(Some(resources));
    }
    let requests = total(pod, false);
    let limits = total(pod, true);
    let all_have = |name: &str| {
        let running =
            names::containers(pod).iter().chain(names::init_containers(pod).iter().filter(|c| names::is_sidecar(c)));
        running.into_iter().all(|c| milli(c.resources.as_ref().and_then(|r| r.limits.as_ref()), name) > 0)
    };
    CgroupValues {
        cpu_shares: shares(requests.get("cpu").map_or(0, Quantity::milli_value)),
        cpu_quota: if all_have("cpu") { quota(limits.get("cpu").map_or(0, Quantity::milli_value)) } else { 0 },
        memory: if all_have("memory") { limits.get("memory").map_or(0, Quantity::value) } else { 0 },
    }
}

/// What a pod takes of a node: containers and sidecars together, or an init container if that is
/// more, and the pod's overhead.
pub fn pod_requests(pod: &Pod) -> BTreeMap<String, Quantity> {
    let mut total = match pod.spec.as_ref().and_then(|s| s.resources.as_ref()).and_then(|r| r.requests.as_ref()) {
        Some(requests) => {
            let mut whole = total(pod, false);
            whole.extend(requests.iter().filter_map(|(k, v)| Some((k.clone(), Quantity::try_from(v).ok()?))));
            whole
        }
        None => total(pod, false),
    };
    for (name, extra) in pod.spec.as_ref().and_then(|s| s.overhead.as_ref()).into_iter().flatten() {
        if let Ok(extra) = Quantity::try_from(extra) {
            add(&mut total, name, extra);
        }
    }
    total
}

fn total(pod: &Pod, limits: bool) -> BTreeMap<String, Quantity> {
    let pick = |c: &Container| {
        let resources = c.resources.as_ref()?;
        if limits { resources.limits.clone() } else { resources.requests.clone() }
    };
    let parsed = |c: &Container| -> Vec<(String, Quantity)> {
        pick(c).unwrap_or_default().iter().filter_map(|(k, v)| Some((k.clone(), Quantity::try_from(v).ok()?))).collect()
    };
    let mut running: BTreeMap<String, Quantity> = BTreeMap::new();
    for container in names::containers(pod) {
        for (name, amount) in parsed(container) {
            add(&mut running, &name, amount);
        }
    }
    let (mut sidecars, mut peak) = (BTreeMap::new(), BTreeMap::new());
    for container in names::init_containers(pod) {
        let mut now: BTreeMap<String, Quantity> = sidecars.clone();
        for (name, amount) in parsed(container) {
            add(&mut now, &name, amount);
        }
        if names::is_sidecar(container) {
            sidecars = now.clone();
        }
        raise(&mut peak, &now);
    }
    for (name, amount) in sidecars {
        add(&mut running, &name, amount);
    }
    raise(&mut running, &peak);
    running
}

fn add(map: &mut BTreeMap<String, Quantity>, name: &str, amount: Quantity) {
    let sum = match map.remove(name) {
        Some(before) => before + amount,
        None => amount,
    };
    map.insert(name.to_owned(), sum);
}

fn raise(map: &mut BTreeMap<String, Quantity>, other: &BTreeMap<String, Quantity>) {
    for (name, amount) in other {
        if map.get(name).is_none_or(|have| have < amount) {
            map.insert(name.clone(), *amount);
        }
    }
}

pub fn shares(milli: i64) -> i64 {
    if milli <= 0 { MIN_SHARES } else { (milli * 1024 / 1000).clamp(MIN_SHARES, MAX_SHARES) }
}

/// 0 for no limit.
pub fn quota(milli: i64) -> i64 {
    if milli <= 0 { 0 } else { (milli * CPU_PERIOD / 1000).max(MIN_QUOTA) }
}

/// cgroup v2's `cpu.weight` for v1's `cpu.shares`, by the formula of KEP-2254.
pub fn weight(shares: i64) -> i64 {
    1 + (shares.clamp(MIN_SHARES, MAX_SHARES) - 2) * 9_999 / 262_142
}

/// How soon the kernel kills a container's processes when memory runs out; `capacity` in bytes.
pub fn oom_score_adj(pod: &Pod, container: &Container, capacity: i64) -> i64 {
    const GUARANTEED: i64 = -997;
    if pod.spec.as_ref().and_then(|s| s.priority).is_some_and(|p| p >= 2_000_000_000) {
        return GUARANTEED;
    }
    match qos::class(pod) {
        Class::Guaranteed => GUARANTEED,
        Class::BestEffort => 1000,
        Class::Burstable => {
            let request = value(container.resources.as_ref().and_then(|r| r.requests.as_ref()), "memory");
            let adjusted =
                1000 - i64::try_from(1000 * i128::from(request) / i128::from(capacity.max(1))).unwrap_or(1000);
            adjusted.clamp(1000 + GUARANTEED, 999)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;
    use serde_json::json;

    fn with(resources: serde_json::Value) -> Pod {
        let mut pod = samples::pod("Always", &[], &["a"]);
        pod.spec.as_mut().unwrap().containers[0].resources = serde_json::from_value(resources).unwrap();
        pod
    }

    #[test]
    fn processor_and_memory() {
        let values = pod(&with(
            json!({"requests": {"cpu": "250m", "memory": "64Mi"}, "limits": {"cpu": "500m", "memory": "128Mi"}}),
        ));
        assert_eq!(values, CgroupValues { cpu_shares: 256, cpu_quota: 50_000, memory: 128 << 20 });
        assert_eq!(pod(&with(json!({}))), CgroupValues { cpu_shares: 2, cpu_quota: 0, memory: 0 });
        assert_eq!(container(&with(json!({"limits": {"cpu": "5m"}})).spec.unwrap().containers[0]).cpu_quota, 1000);
    }

    #[test]
    fn weights_span_their_range() {
        assert_eq!((weight(2), weight(1024), weight(262_144)), (1, 39, 10_000));
    }

    #[test]
    fn scores_by_class() {
        let score = |resources| {
            let pod = with(resources);
            oom_score_adj(&pod, &names::containers(&pod)[0], 4 << 30)
        };
        assert_eq!(score(json!({})), 1000);
        assert_eq!(score(json!({"limits": {"cpu": "1", "memory": "1Gi"}})), -997);
        assert_eq!(score(json!({"requests": {"memory": "1Gi"}})), 750);
        assert_eq!(score(json!({"requests": {"cpu": "1"}})), 999);
    }

    #[test]
    fn init_containers_count_when_they_need_more() {
        let mut pod = samples::pod("Always", &["i"], &["a", "b"]);
        let spec = pod.spec.as_mut().unwrap();
        for (container, cpu) in
            spec.containers.iter_mut().chain(spec.init_containers.iter_mut().flatten()).zip(["1", "1", "3"])
        {
            container.resources = serde_json::from_value(json!({"requests": {"cpu": cpu}})).unwrap();
        }
        assert_eq!(pod_requests(&pod)["cpu"].milli_value(), 3000);
    }
}
