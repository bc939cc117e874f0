//! Amounts of resources as plain integers, and what a pod asks for in sum.
//!
//! Limits play no part here: the API server has already defaulted requests from them.

use std::sync::Arc;

use api_types::Quantity;

use crate::object::{Container, Pod, ResourceList};

/// What a container that asks for nothing is taken to use when nodes are scored (not when they are filtered).
pub const DEFAULT_MILLI_CPU: i64 = 100;
pub const DEFAULT_MEMORY: i64 = 200 * 1024 * 1024;

/// Processor time in thousandths of a core, memory and disk in bytes; everything else by name, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Resources {
    pub milli_cpu: i64,
    pub memory: i64,
    pub ephemeral_storage: i64,
    pub extended: Vec<(Arc<str>, i64)>,
}

impl Resources {
    pub fn from_list(list: &ResourceList) -> Self {
        let mut sum = Self::default();
        for (name, quantity) in list.iter() {
            sum.add(name, amount(name, quantity));
        }
        sum
    }

    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }

    /// The amount of a resource by its API name.
    pub fn get(&self, name: &str) -> i64 {
        match name {
            "cpu" => self.milli_cpu,
            "memory" => self.memory,
            "ephemeral-storage" => self.ephemeral_storage,
            _ => self.extended(name),
        }
    }

    pub fn extended(&self, name: &str) -> i64 {
        self.extended.iter().find(|(have, _)| **have == *name).map_or(0, |(_, amount)| *amount)
    }

    fn slot(&mut self, name: &str) -> Option<&mut i64> {
        match name {
            "cpu" => Some(&mut self.milli_cpu),
            "memory" => Some(&mut self.memory),
            "ephemeral-storage" => Some(&mut self.ephemeral_storage),
            // The number of pods is a limit of the node, never a request.
            "pods" => None,
            _ => {
                let at = match self.extended.binary_search_by(|(have, _)| (**have).cmp(name)) {
                    Ok(at) => at,
                    Err(at) => {
                        self.extended.insert(at, (name.into(), 0));
                        at
                    }
                };
                Some(&mut self.extended[at].1)
            }
        }
    }

    fn add(&mut self, name: &str, amount: i64) {
        if let Some(slot) = self.slot(name) {
            *slot = slot.saturating_add(amount);
        }
    }

    pub fn add_all(&mut self, other: &Self) {
        self.for_each_of(other, i64::saturating_add);
    }

    pub fn subtract_all(&mut self, other: &Self) {
        self.for_each_of(other, i64::saturating_sub);
        self.extended.retain(|(_, amount)| *amount != 0);
    }

    pub fn max_all(&mut self, other: &Self) {
        self.for_each_of(other, i64::max);
    }

    fn for_each_of(&mut self, other: &Self, combine: fn(i64, i64) -> i64) {
        self.milli_cpu = combine(self.milli_cpu, other.milli_cpu);
        self.memory = combine(self.memory, other.memory);
        self.ephemeral_storage = combine(self.ephemeral_storage, other.ephemeral_storage);
        for (name, amount) in &other.extended {
            if let Some(slot) = self.slot(name) {
                *slot = combine(*slot, *amount);
            }
        }
    }
}

fn amount(name: &str, quantity: &Quantity) -> i64 {
    if name == "cpu" { quantity.milli_value() } else { quantity.value() }
}

/// A pod's requests: the larger of what its containers need together and what any moment of its initialisation needs.
/// Restartable init containers run on beside all that follow them (KEP-753).
pub fn of_pod(pod: &Pod) -> Resources {
    let mut sum = total(pod, |container| Resources::from_list(&container.resources.requests));
    if let Some(own) = &pod.spec.resources {
        for (name, quantity) in own.requests.iter() {
            if let Some(slot) = sum.slot(name) {
                *slot = amount(name, quantity);
            }
        }
    }
    sum.add_all(&Resources::from_list(&pod.spec.overhead));
    sum.extended.retain(|(_, amount)| *amount != 0);
    sum
}

/// As [`of_pod`] for processor and memory, with a default for each container that asks for none.
pub fn of_pod_non_zero(pod: &Pod) -> (i64, i64) {
    let mut sum = total(pod, |container| {
        let requests = &container.resources.requests;
        Resources {
            milli_cpu: requests.get("cpu").map_or(DEFAULT_MILLI_CPU, Quantity::milli_value),
            memory: requests.get("memory").map_or(DEFAULT_MEMORY, Quantity::value),
            ..Resources::default()
        }
    });
    if let Some(own) = &pod.spec.resources {
        sum.milli_cpu = own.requests.get("cpu").map_or(sum.milli_cpu, Quantity::milli_value);
        sum.memory = own.requests.get("memory").map_or(sum.memory, Quantity::value);
    }
    sum.add_all(&Resources::from_list(&pod.spec.overhead));
    (sum.milli_cpu, sum.memory)
}

fn total(pod: &Pod, of: impl Fn(&Container) -> Resources) -> Resources {
    let mut running = Resources::default();
    let mut peak = Resources::default();
    for container in &pod.spec.init_containers {
        let own = of(container);
        if container.restart_policy.as_deref() == Some("Always") {
            running.add_all(&own);
            peak.max_all(&running);
        } else {
            let mut moment = running.clone();
            moment.add_all(&own);
            peak.max_all(&moment);
        }
    }
    for container in &pod.spec.containers {
        running.add_all(&of(container));
    }
    running.max_all(&peak);
    running
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(spec: serde_json::Value, milli_cpu: i64, memory: i64, non_zero: (i64, i64)) {
        let pod: Pod = serde_json::from_value(json!({ "spec": spec })).unwrap();
        let got = of_pod(&pod);
        assert_eq!((got.milli_cpu, got.memory), (milli_cpu, memory), "{spec}");
        assert_eq!(of_pod_non_zero(&pod), non_zero, "{spec}");
    }

    fn container(cpu: &str, memory: &str) -> serde_json::Value {
        json!({"resources": {"requests": {"cpu": cpu, "memory": memory}}})
    }

    #[test]
    fn sums_of_pods() {
        const M: i64 = 1 << 20;
        check(json!({"containers": [container("1", "1Mi"), container("250m", "3Mi")]}), 1250, 4 * M, (1250, 4 * M));
        check(json!({"containers": [{}]}), 0, 0, (DEFAULT_MILLI_CPU, DEFAULT_MEMORY));
        check(
            json!({"containers": [container("1", "1Mi")], "initContainers": [container("2", "1Mi"), container("1", "5Mi")]}),
            2000,
            5 * M,
            (2000, 5 * M),
        );
        let mut sidecar = container("500m", "1Mi");
        sidecar["restartPolicy"] = json!("Always");
        check(
            json!({"containers": [container("1", "1Mi")], "initContainers": [container("3", "1Mi"), sidecar, container("1", "9Mi")]}),
            3000,
            10 * M,
            (3000, 10 * M),
        );
        check(
            json!({"containers": [container("1", "1Mi")], "overhead": {"cpu": "10m"}, "resources": {"requests": {"cpu": "4"}}}),
            4010,
            M,
            (4010, M),
        );
    }

    #[test]
    fn extended_resources_come_and_go() {
        let pod: Pod = serde_json::from_value(json!({"spec": {"containers": [
            {"resources": {"requests": {"example.com/gpu": "2", "pods": "1"}}},
            {"resources": {"requests": {"example.com/gpu": "1", "hugepages-2Mi": "4Mi"}}}]}}))
        .unwrap();
        let mut sum = of_pod(&pod);
        assert_eq!((sum.get("example.com/gpu"), sum.get("hugepages-2Mi"), sum.extended.len()), (3, 4 << 20, 2));
        sum.subtract_all(&of_pod(&pod));
        assert!(sum.is_zero());
    }
}
