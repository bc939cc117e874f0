//! Endpoint slice mirroring: the addresses of Endpoints that people or other programs keep, as EndpointSlices, for Services
//! without a selector.
//!
//! At most 1,000 addresses of a subset are mirrored, ready ones first; Endpoints of Services with a selector, with the label
//! `skip-mirror`, or of leader elections are not.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use api_types::{
    k8s_openapi::api::{
        core::v1::{EndpointAddress, EndpointSubset, Endpoints},
        discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice},
    },
    object::{Object, Watched},
    plan::{Pace, Plan, Step, Target, Write},
};
use serde_json::{Value, json};

use crate::{adoption::controller_reference, view::Service};

pub const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
pub const MANAGER: &str = "endpointslicemirroring-controller.k8s.io";
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";
const SKIP: &str = "endpointslice.kubernetes.io/skip-mirror";
const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";
/// Annotations that are about the Endpoints object alone.
const OWN_ANNOTATIONS: &[&str] =
    &["kubectl.kubernetes.io/last-applied-configuration", "endpoints.kubernetes.io/last-change-trigger-time"];
const PER_SUBSET: usize = 1000;
const PER_SLICE: usize = 100;

/// `slices` are those of the service that this controller made.
pub fn reconcile(service: Option<&Service>, endpoints: Option<&Endpoints>, slices: &[Arc<EndpointSlice>]) -> Plan {
    let mut plan = Plan::default();
    let mirrored = endpoints.filter(|endpoints| service.is_some_and(has_no_selector) && is_mirrored(endpoints));
    let mut left: Vec<&Arc<EndpointSlice>> = slices.iter().collect();
    left.sort_by_key(|slice| slice.name().to_owned());
    let mut steps = Vec::new();
    if let Some(endpoints) = mirrored.filter(|endpoints| endpoints.metadata.deletion_timestamp.is_none()) {
        for wanted in wanted(endpoints) {
            let same_shape = |slice: &&Arc<EndpointSlice>| {
                slice.address_type == wanted.family && slice.ports.as_deref().unwrap_or_default() == wanted.ports
            };
            // A slice that says it all already, before one that has to be written.
            let found = left.iter().position(|slice| same_shape(slice) && wanted.is_in(slice, endpoints));
            match found.or_else(|| left.iter().position(same_shape)) {
                Some(index) => steps.extend(wanted.update(left.remove(index), endpoints).map(Step::from)),
                None => steps.push(Step::from(wanted.create(endpoints))),
            }
        }
    }
    plan.stage(Pace::Together, steps);
    let gone = left.iter().map(|slice| Write::Delete {
        target: Target::of(&***slice),
        propagation: None,
        grace_seconds: None,
    });
    plan.stage(Pace::Together, gone.map(Step::from));
    plan
}

fn has_no_selector(service: &Service) -> bool {
    !service.metadata.deleting() && service.spec.selector.as_ref().is_none_or(BTreeMap::is_empty)
}

fn is_mirrored(endpoints: &Endpoints) -> bool {
    let labels = endpoints.metadata.labels.as_ref();
    let annotations = endpoints.metadata.annotations.as_ref();
    labels.is_none_or(|labels| labels.get(SKIP).is_none_or(|value| value != "true"))
        && annotations.is_none_or(|annotations| !annotations.contains_key(LEADER))
}

/// A slice as it shall be.
struct Wanted {
    family: &'static str,
    ports: Vec<EndpointPort>,
    endpoints: Vec<Endpoint>,
}

fn wanted(endpoints: &Endpoints) -> Vec<Wanted> {
    let mut slices = Vec::new();
    for subset in endpoints.subsets.iter().flatten() {
        let ports = ports(subset);
        for (family, members) in members(subset) {
            slices.extend(members.chunks(PER_SLICE).map(|chunk| Wanted {
                family,
                ports: ports.clone(),
                endpoints: chunk.to_vec(),
            }));
        }
    }
    slices
}

fn ports(subset: &EndpointSubset) -> Vec<EndpointPort> {
    let ports = subset.ports.iter().flatten().map(|port| EndpointPort {
        name: Some(port.name.clone().unwrap_or_default()),
        port: Some(port.port),
        protocol: Some(port.protocol.clone().unwrap_or_else(|| "TCP".to_owned())),
        app_protocol: port.app_protocol.clone(),
    });
    ports.collect()
}

fn members(subset: &EndpointSubset) -> BTreeMap<&'static str, Vec<Endpoint>> {
    let ready = subset.addresses.iter().flatten().map(|address| (true, address));
    let unready = subset.not_ready_addresses.iter().flatten().map(|address| (false, address));
    let mut members: BTreeMap<&'static str, Vec<Endpoint>> = BTreeMap::new();
    for (ready, address) in ready.chain(unready).take(PER_SUBSET) {
        let family = match address.ip.parse() {
            Ok(IpAddr::V4(_)) => "IPv4",
            Ok(IpAddr::V6(_)) => "IPv6",
            Err(_) => continue,
        };
        members.entry(family).or_default().push(endpoint(ready, address));
    }
    for list in members.values_mut() {
        list.sort_by(|a, b| a.addresses.cmp(&b.addresses));
    }
    members
}

fn endpoint(ready: bool, address: &EndpointAddress) -> Endpoint {
    Endpoint {
        addresses: vec![address.ip.clone()],
        conditions: Some(EndpointConditions { ready: Some(ready), ..EndpointConditions::default() }),
        hostname: address.hostname.clone(),
        node_name: address.node_name.clone(),
        target_ref: address.target_ref.clone(),
        ..Endpoint::default()
    }
}

fn labels(endpoints: &Endpoints) -> BTreeMap<String, String> {
    let mut labels = endpoints.metadata.labels.clone().unwrap_or_default();
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    labels.insert(SERVICE_NAME.to_owned(), endpoints.name().to_owned());
    labels
}

fn annotations(endpoints: &Endpoints) -> BTreeMap<String, String> {
    let mut annotations = endpoints.metadata.annotations.clone().unwrap_or_default();
    annotations.retain(|name, _| !OWN_ANNOTATIONS.contains(&name.as_str()));
    annotations
}

impl Wanted {
    fn is_in(&self, slice: &EndpointSlice, of: &Endpoints) -> bool {
        slice.endpoints.as_deref().unwrap_or_default() == self.endpoints
            && slice.metadata.labels.clone().unwrap_or_default() == labels(of)
            && slice.metadata.annotations.clone().unwrap_or_default() == annotations(of)
    }

    fn update(&self, slice: &EndpointSlice, of: &Endpoints) -> Option<Write> {
        if self.is_in(slice, of) {
            return None;
        }
        let mut new = slice.clone();
        new.endpoints = Some(self.endpoints.clone());
        new.metadata.labels = Some(labels(of));
        new.metadata.annotations = Some(annotations(of));
        Some(Write::Replace { target: Target::of(slice), subresource: None, object: json!(new) })
    }

    fn create(&self, of: &Endpoints) -> Write {
        let object: Value = json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "generateName": format!("{}-", of.name()),
                "labels": labels(of),
                "annotations": annotations(of),
                "ownerReferences": [controller_reference(of)],
            },
            "addressType": self.family,
            "endpoints": self.endpoints,
            "ports": self.ports,
        });
        Write::Create { resource: EndpointSlice::RESOURCE, namespace: of.namespace().to_owned(), object }
    }
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use super::*;
    use crate::world::{World, converges};

    fn plan(world: &World) -> Plan {
        let service = world.get::<Service>("n", "s");
        reconcile(service.as_ref(), world.get::<Endpoints>("n", "s").as_ref(), &world.all())
    }

    fn check(service: Value, endpoints: Value, present: &[Value], expected: &[&str]) {
        let mut start = World::new();
        let metadata = json!({"name": "s", "namespace": "n"});
        start.put::<Service>(json!({"metadata": metadata, "spec": service}));
        let mut endpoints = endpoints;
        for (field, value) in metadata.as_object().unwrap() {
            endpoints["metadata"][field] = value.clone();
        }
        start.put::<Endpoints>(endpoints);
        for slice in present {
            start.put::<EndpointSlice>(slice.clone());
        }
        let round = |world: &mut World| {
            let plan = plan(world);
            let _ = world.run(&plan);
            !plan.is_empty()
        };
        converges(&start, 6, round, |world| {
            let mut shown: Vec<String> = world
                .all::<EndpointSlice>()
                .iter()
                .map(|slice| {
                    let endpoints = slice.endpoints.as_deref().unwrap_or_default();
                    let ready = endpoints.iter().filter(|e| e.conditions.as_ref().unwrap().ready == Some(true)).count();
                    format!("{} {ready}/{}", slice.address_type, endpoints.len())
                })
                .collect();
            shown.sort();
            assert_eq!(shown, expected);
        });
    }

    fn addresses(number: usize) -> Value {
        (0..number).map(|n| json!({"ip": format!("10.0.{}.{}", n / 250, n % 250 + 1)})).collect()
    }

    #[test]
    fn mirrors() {
        let ports = json!([{"port": 80}]);
        let subset =
            |ready: usize| json!({"metadata": {}, "subsets": [{"addresses": addresses(ready), "ports": ports}]});
        check(json!({}), subset(2), &[], &["IPv4 2/2"]);
        check(json!({}), subset(150), &[], &["IPv4 100/100", "IPv4 50/50"]);
        let both = json!({"metadata": {}, "subsets": [
            {"addresses": [{"ip": "10.0.0.1"}], "notReadyAddresses": [{"ip": "10.0.0.2"}, {"ip": "fd00::1"}], "ports": ports}]});
        check(json!({}), both, &[], &["IPv4 1/2", "IPv6 0/1"]);
    }

    #[test]
    fn leaves_and_removes() {
        let labels = json!({MANAGED_BY: MANAGER, SERVICE_NAME: "s"});
        let old = json!({"metadata": {"name": "s-1", "namespace": "n", "labels": labels}, "addressType": "IPv4",
            "endpoints": [{"addresses": ["10.9.9.9"], "conditions": {"ready": true}}], "ports": []});
        let subsets = json!([{"addresses": [{"ip": "10.0.0.1"}]}]);
        let endpoints = |metadata: Value| json!({"metadata": metadata, "subsets": subsets});
        check(json!({"selector": {"a": "b"}}), endpoints(json!({})), from_ref(&old), &[]);
        check(json!({}), endpoints(json!({"labels": {SKIP: "true"}})), from_ref(&old), &[]);
        check(json!({}), endpoints(json!({"annotations": {LEADER: "me"}})), from_ref(&old), &[]);
        check(json!({}), endpoints(json!({})), &[old], &["IPv4 1/1"]);
    }
}
