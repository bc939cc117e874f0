//! A pod reduced to what decides about its place. Pods of one shape fit the same nodes with the same scores, so one
//! evaluation serves them all (a ReplicaSet's pods, a Job's, …).
//!
//! A [`Shape`] is what a waiting pod asks; a [`Footprint`] is what a placed pod holds. Both are shared by all pods that
//! have them. What pods are to each other is in [`crate::peers`].

use std::{borrow::Borrow, collections::HashSet, hash::Hash, sync::Arc};

use api_types::k8s_openapi::api::core::v1::Toleration;

use crate::{
    features::Features,
    node_selector::{Preferred, Required},
    object::{Container, Pod},
    resources::{self, Resources},
    spread::Spread,
};

/// A port of the node itself. No address means all of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    pub address: Option<Arc<str>>,
    pub protocol: Arc<str>,
    pub port: u16,
}

impl HostPort {
    pub fn conflicts_with(&self, other: &Self) -> bool {
        self.port == other.port
            && self.protocol == other.protocol
            && (self.address.is_none() || other.address.is_none() || self.address == other.address)
    }
}

/// What a pod takes from its node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Footprint {
    pub requests: Resources,
    /// With defaults for containers that ask for nothing; for scoring.
    pub non_zero_milli_cpu: i64,
    pub non_zero_memory: i64,
    pub ports: Vec<HostPort>,
}

impl Footprint {
    pub fn of(pod: &Pod) -> Self {
        let (non_zero_milli_cpu, non_zero_memory) = resources::of_pod_non_zero(pod);
        Self { requests: resources::of_pod(pod), non_zero_milli_cpu, non_zero_memory, ports: host_ports(pod) }
    }
}

fn host_ports(pod: &Pod) -> Vec<HostPort> {
    let sidecars = pod.spec.init_containers.iter().filter(|c| c.restart_policy.as_deref() == Some("Always"));
    let ports = pod.spec.containers.iter().chain(sidecars).flat_map(|c| &c.ports);
    ports
        .filter_map(|p| {
            let port = p.host_port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0)?;
            let address = p.host_ip.as_deref().filter(|ip| !ip.is_empty() && *ip != "0.0.0.0").map(Arc::from);
            Some(HostPort { address, protocol: p.protocol.as_deref().unwrap_or("TCP").into(), port })
        })
        .collect()
}

/// A toleration in a form that can be compared and hashed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tolerates {
    key: String,
    exists: bool,
    value: String,
    effect: String,
}

impl Tolerates {
    fn compile(t: &Toleration) -> Self {
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        Self {
            key: text(&t.key),
            exists: t.operator.as_deref() == Some("Exists"),
            value: text(&t.value),
            effect: text(&t.effect),
        }
    }

    pub fn matches(&self, key: &str, value: &str, effect: &str) -> bool {
        (self.effect.is_empty() || self.effect == effect)
            && (self.key.is_empty() || self.key == key)
            && (self.exists || (!self.key.is_empty() && self.value == value))
    }
}

/// All of a pod that matters to a node for itself, whatever other pods there are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Shape {
    pub footprint: Arc<Footprint>,
    pub node_name: Option<String>,
    pub required: Required,
    pub preferred: Preferred,
    pub tolerations: Vec<Tolerates>,
    pub spread: Spread,
    /// Of every container, normalised, in order.
    pub images: Vec<String>,
    pub has_resource_claims: bool,
    pub features: Features,
}

impl Shape {
    pub fn of(pod: &Pod) -> Self {
        let node_affinity = pod.spec.affinity.as_ref().and_then(|a| a.node_affinity.as_ref());
        let selector = node_affinity.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
        let wishes = node_affinity.map(|a| a.preferred_during_scheduling_ignored_during_execution.as_slice());
        let labels = pod.metadata.labels.iter().map(|(k, v)| (k.as_str().into(), v.as_str().into())).collect();
        let containers = pod.spec.init_containers.iter().chain(&pod.spec.containers);
        Self {
            footprint: Arc::new(Footprint::of(pod)),
            node_name: pod.node().map(str::to_owned),
            required: Required::compile(&pod.spec.node_selector, selector),
            preferred: Preferred::compile(wishes.unwrap_or_default()),
            tolerations: pod.spec.tolerations.iter().map(Tolerates::compile).collect(),
            spread: Spread::of(pod, &labels),
            images: containers.filter_map(image).collect(),
            has_resource_claims: !pod.spec.resource_claims.is_empty(),
            features: Features::of_pod(pod),
        }
    }

    pub fn tolerates(&self, key: &str, value: &str, effect: &str) -> bool {
        self.tolerations.iter().any(|t| t.matches(key, value, effect))
    }
}

fn image(container: &Container) -> Option<String> {
    container.image.as_deref().filter(|name| !name.is_empty()).map(normalized_image)
}

/// A name without a tag means `latest`.
pub fn normalized_image(name: &str) -> String {
    let tagged = name.rfind(':').is_some_and(|colon| name.rfind('/').is_none_or(|slash| colon > slash));
    if tagged { name.to_owned() } else { format!("{name}:latest") }
}

/// One copy of each equal value. Values that nobody else holds are dropped when the table has doubled.
#[derive(Debug)]
pub struct Shared<T: ?Sized> {
    values: HashSet<Arc<T>>,
    purge_at: usize,
}

impl<T: ?Sized> Default for Shared<T> {
    fn default() -> Self {
        Self { values: HashSet::new(), purge_at: 1024 }
    }
}

impl<T: Eq + Hash + ?Sized> Shared<T> {
    pub fn share<Q: Borrow<T> + Into<Arc<T>>>(&mut self, value: Q) -> Arc<T> {
        if let Some(known) = self.values.get(value.borrow()) {
            return known.clone();
        }
        if self.values.len() >= self.purge_at {
            self.values.retain(|value| Arc::strong_count(value) > 1);
            self.purge_at = (self.values.len() * 2).max(1024);
        }
        let value: Arc<T> = value.into();
        self.values.insert(value.clone());
        value
    }

    pub fn len(&self) -> usize {
        self.values.len()
    }

    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

impl Shared<str> {
    pub fn pair(&mut self, key: &str, value: &str) -> (Arc<str>, Arc<str>) {
        (self.share(key), self.share(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_names() {
        for (name, want) in [
            ("nginx", "nginx:latest"),
            ("nginx:1", "nginx:1"),
            ("reg:5000/nginx", "reg:5000/nginx:latest"),
            ("reg:5000/a/nginx:2", "reg:5000/a/nginx:2"),
        ] {
            assert_eq!(normalized_image(name), want);
        }
    }

    #[test]
    fn equal_values_are_one_and_unused_ones_go() {
        let mut shared = Shared::<i32>::default();
        let first = shared.share(7);
        assert!(Arc::ptr_eq(&first, &shared.share(7)));
        for n in 0..10_000 {
            shared.share(n);
        }
        assert!(shared.len() <= 2048, "{}", shared.len());
        assert!(Arc::ptr_eq(&first, &shared.share(7)));
    }
}
