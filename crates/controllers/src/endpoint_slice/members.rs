//! Which pods are endpoints of a service, with which address, ports and conditions.

use std::collections::BTreeMap;

use api_types::{
    k8s_openapi::{
        api::{
            core::v1::{ObjectReference, ServicePort},
            discovery::v1::{Endpoint, EndpointConditions, EndpointHints, EndpointPort, ForNode, ForZone},
        },
        apimachinery::pkg::util::intstr::IntOrString,
    },
    object::Object,
};
use jiff::Timestamp;

use super::Observed;
use crate::view::{Node, Pod, Service};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum AddressType {
    V4,
    V6,
}

impl AddressType {
    pub fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    /// Of the service's families, the first one first.
    pub fn of(service: &Service) -> Vec<Self> {
        let mut types: Vec<Self> =
            service.spec.ip_families.iter().map(|f| if &**f == "IPv6" { Self::V6 } else { Self::V4 }).collect();
        if types.is_empty() {
            types.push(if service.spec.cluster_ip.contains(':') { Self::V6 } else { Self::V4 });
        }
        types
    }

    /// The pod's address of this family.
    pub fn address(self, pod: &Pod) -> Option<&str> {
        let fits = |ip: &&str| !ip.is_empty() && ip.contains(':') == (self == Self::V6);
        let all = pod.status.pod_ips.iter().map(|ip| ip.ip.as_str());
        all.chain([&*pod.status.pod_ip]).find(fits)
    }
}

/// Ports that endpoints have in common; the key by which they share slices.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ports(pub Vec<(String, String, Option<i32>, Option<String>)>);

impl Ports {
    pub fn of_slice(ports: &[EndpointPort]) -> Self {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let mut ports: Vec<_> = ports
            .iter()
            .map(|port| (text(&port.name), text(&port.protocol), port.port, port.app_protocol.clone()))
            .collect();
        ports.sort();
        Self(ports)
    }

    pub fn to_wire(&self) -> Vec<EndpointPort> {
        let wire =
            |(name, protocol, port, app_protocol): &(String, String, Option<i32>, Option<String>)| EndpointPort {
                name: Some(name.clone()),
                protocol: Some(protocol.clone()),
                port: *port,
                app_protocol: app_protocol.clone(),
            };
        self.0.iter().map(wire).collect()
    }
}

/// An endpoint's identity: address and pod.
pub(super) type Key = (String, String);

pub(super) struct Member {
    pub endpoint: Endpoint,
    /// When the pod last became ready or unready.
    pub changed: Option<Timestamp>,
}

pub(super) fn key(endpoint: &Endpoint) -> Key {
    let uid = endpoint.target_ref.as_ref().and_then(|target| target.uid.clone()).unwrap_or_default();
    (endpoint.addresses.first().cloned().unwrap_or_default(), uid)
}

/// The endpoints wanted, by the ports they share.
pub(super) fn wanted(seen: &Observed<'_>, family: AddressType) -> BTreeMap<Ports, BTreeMap<Key, Member>> {
    let mut wanted: BTreeMap<Ports, BTreeMap<Key, Member>> = BTreeMap::new();
    for pod in seen.pods.iter().filter(|pod| !pod.finished()) {
        let Some(address) = family.address(pod) else { continue };
        let node = (seen.node)(&pod.spec.node_name);
        // On a node that is gone nothing answers.
        if node.is_none() && !pod.spec.node_name.is_empty() && !seen.service.spec.publish_not_ready_addresses {
            continue;
        }
        let ports = seen.service.spec.ports.iter().filter_map(|port| {
            let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".into());
            let name = port.name.clone().unwrap_or_default();
            Some((name, protocol, Some(port_of(pod, port)?), port.app_protocol.clone()))
        });
        let mut ports = Ports(ports.collect());
        ports.0.sort();
        let endpoint = endpoint(seen.service, pod, address, node.as_deref());
        let changed = pod.condition("Ready").and_then(|ready| ready.last_transition_time.as_ref()).map(|time| time.0);
        wanted.entry(ports).or_default().insert(key(&endpoint), Member { endpoint, changed });
    }
    wanted
}

/// The number that a service's port means on this pod; none when the pod has no port of that name.
pub(crate) fn port_of(pod: &Pod, port: &ServicePort) -> Option<i32> {
    let name = match &port.target_port {
        None | Some(IntOrString::Int(0)) => return Some(port.port),
        Some(IntOrString::Int(number)) => return Some(*number),
        Some(IntOrString::String(name)) => name,
    };
    let protocol = port.protocol.as_deref().unwrap_or("TCP");
    let sidecars = pod.spec.init_containers.iter().filter(|c| c.restart_policy.as_deref() == Some("Always"));
    pod.spec
        .containers
        .iter()
        .chain(sidecars)
        .flat_map(|container| &container.ports)
        .find(|port| port.name.as_ref() == Some(name) && port.protocol.as_deref().unwrap_or("TCP") == protocol)
        .map(|port| port.container_port)
}

fn endpoint(service: &Service, pod: &Pod, address: &str, node: Option<&Node>) -> Endpoint {
    let (serving, terminating) = (pod.ready(), pod.metadata.deleting());
    let ready = service.spec.publish_not_ready_addresses || (serving && !terminating);
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let zone = node.and_then(Node::zone).map(str::to_owned);
    let node_name = text(&pod.spec.node_name);
    Endpoint {
        addresses: vec![address.to_owned()],
        conditions: Some(EndpointConditions {
            ready: Some(ready),
            serving: Some(serving),
            terminating: Some(terminating),
        }),
        deprecated_topology: None,
        hints: if ready { hints(service, zone.as_deref(), node_name.as_deref()) } else { None },
        hostname: has_hostname(service, pod).then(|| pod.spec.hostname.to_string()),
        node_name,
        target_ref: Some(pod_reference(pod)),
        zone,
    }
}

pub(crate) fn has_hostname(service: &Service, pod: &Pod) -> bool {
    !pod.spec.hostname.is_empty() && *pod.spec.subdomain == *service.name()
}

pub(crate) fn pod_reference(pod: &Pod) -> ObjectReference {
    ObjectReference {
        kind: Some("Pod".into()),
        namespace: Some(pod.namespace().to_owned()),
        name: Some(pod.name().to_owned()),
        uid: Some(pod.uid().to_owned()),
        ..ObjectReference::default()
    }
}

/// Who should prefer the endpoint, by the service's `trafficDistribution`.
fn hints(service: &Service, zone: Option<&str>, node: Option<&str>) -> Option<EndpointHints> {
    let distribution = service.spec.traffic_distribution.as_deref()?;
    let for_zones = zone.map(|zone| vec![ForZone { name: zone.to_owned() }]);
    let for_nodes = match distribution {
        "PreferSameNode" => node.map(|node| vec![ForNode { name: node.to_owned() }]),
        "PreferClose" | "PreferSameZone" => None,
        _ => return None,
    };
    (for_zones.is_some() || for_nodes.is_some()).then_some(EndpointHints { for_nodes, for_zones })
}
