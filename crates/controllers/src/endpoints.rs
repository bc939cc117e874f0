//! Endpoints (core/v1): the same addresses in the older form, for clients that still read it.
//!
//! At most 1,000 addresses, ready ones first; what is left out shows in an annotation.

use std::{collections::BTreeMap, sync::Arc};

use api_types::{
    k8s_openapi::api::core::v1::{EndpointAddress, EndpointPort, EndpointSubset, Endpoints},
    object::{Object, Watched},
    plan::{Note, Plan, Step, Target, Write, reference},
};
use serde_json::json;

use crate::{
    endpoint_slice::{AddressType, HEADLESS, has_hostname, pod_reference, port_of},
    view::{Pod, Service},
};

const CAPACITY: usize = 1000;
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
pub const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const MANAGER: &str = "endpoint-controller";

/// `pods` are those of the namespace that the service selects; `present` is the object of the service's name.
pub fn reconcile(service: &Service, pods: &[Arc<Pod>], present: Option<&Endpoints>) -> Plan {
    let mut plan = Plan::default();
    if service.spec.selector.as_ref().is_none_or(BTreeMap::is_empty) || &*service.spec.type_ == "ExternalName" {
        return plan;
    }
    let (subsets, truncated) = subsets(service, pods);
    let labels = labels(service);
    let namespace = service.namespace().to_owned();
    let failed = |verb: &str| {
        let text = format!("Failed to {verb} endpoint {namespace}/{}: {{error}}", service.name());
        Note::warning(reference(service), "FailedToUpdateEndpoint", text)
    };
    let Some(present) = present else {
        let mut metadata = json!({"name": service.name(), "labels": labels});
        if truncated {
            metadata["annotations"] = json!({OVER_CAPACITY: "truncated"});
        }
        let object = json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": metadata, "subsets": subsets});
        let create = Write::Create { resource: Endpoints::RESOURCE, namespace: namespace.clone(), object };
        plan.stage(api_types::plan::Pace::InOrder, [Step::from(create).failed(failed("create"))]);
        return plan;
    };
    let marked = present.metadata.annotations.as_ref().is_some_and(|a| a.contains_key(OVER_CAPACITY));
    let same = present.subsets.as_deref().unwrap_or_default() == subsets
        && present.metadata.labels.as_ref() == Some(&labels)
        && marked == truncated;
    if same {
        return plan;
    }
    let mut object = present.clone();
    object.metadata.labels = Some(labels);
    let annotations = object.metadata.annotations.get_or_insert_default();
    if truncated {
        annotations.insert(OVER_CAPACITY.to_owned(), "truncated".to_owned());
    } else {
        annotations.remove(OVER_CAPACITY);
    }
    object.subsets = Some(subsets);
    let replace = Write::Replace { target: Target::of(present), subresource: None, object: json!(object) };
    plan.stage(api_types::plan::Pace::InOrder, [Step::from(replace).failed(failed("update"))]);
    plan
}

fn labels(service: &Service) -> BTreeMap<String, String> {
    let mut labels = service.metadata.labels.clone();
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    if &*service.spec.cluster_ip == "None" {
        labels.insert(HEADLESS.to_owned(), String::new());
    } else {
        labels.remove(HEADLESS);
    }
    labels
}

type Port = (String, String, i32, Option<String>);

/// Addresses by the ports they share, in a stable order, and whether some were left out.
fn subsets(service: &Service, pods: &[Arc<Pod>]) -> (Vec<EndpointSubset>, bool) {
    let family = AddressType::of(service)[0];
    let publish = service.spec.publish_not_ready_addresses;
    let mut members: Vec<(bool, Vec<Port>, EndpointAddress)> = Vec::new();
    for pod in pods.iter().filter(|pod| !pod.finished() && (publish || !pod.metadata.deleting())) {
        let Some(ip) = family.address(pod) else { continue };
        let address = EndpointAddress {
            ip: ip.to_owned(),
            hostname: has_hostname(service, pod).then(|| pod.spec.hostname.to_string()),
            node_name: (!pod.spec.node_name.is_empty()).then(|| pod.spec.node_name.to_string()),
            target_ref: Some(pod_reference(pod)),
        };
        let ports = service.spec.ports.iter().filter_map(|port| {
            let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".into());
            Some((port.name.clone().unwrap_or_default(), protocol, port_of(pod, port)?, port.app_protocol.clone()))
        });
        let mut ports: Vec<Port> = ports.collect();
        ports.sort();
        if ports.is_empty() && !service.spec.ports.is_empty() {
            continue;
        }
        members.push((publish || pod.ready(), ports, address));
    }
    // Ready ones have the first claim on the room there is.
    members.sort_by(|(a, _, x), (b, _, y)| b.cmp(a).then_with(|| x.ip.cmp(&y.ip)));
    let truncated = members.len() > CAPACITY;
    members.truncate(CAPACITY);

    let mut by_ports: BTreeMap<Vec<Port>, (Vec<EndpointAddress>, Vec<EndpointAddress>)> = BTreeMap::new();
    for (ready, ports, address) in members {
        let (addresses, unready) = by_ports.entry(ports).or_default();
        if ready { addresses.push(address) } else { unready.push(address) }
    }
    let some = |addresses: Vec<EndpointAddress>| (!addresses.is_empty()).then_some(addresses);
    let subsets = by_ports.into_iter().map(|(ports, (ready, unready))| EndpointSubset {
        addresses: some(ready),
        not_ready_addresses: some(unready),
        ports: (!ports.is_empty()).then(|| ports.into_iter().map(wire).collect()),
    });
    (subsets.collect(), truncated)
}

fn wire((name, protocol, port, app_protocol): Port) -> EndpointPort {
    EndpointPort { name: (!name.is_empty()).then_some(name), protocol: Some(protocol), port, app_protocol }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service() -> Service {
        serde_json::from_value(json!({
            "metadata": {"name": "s", "namespace": "n", "uid": "1"},
            "spec": {"selector": {"app": "a"}, "clusterIP": "10.0.0.1", "ipFamilies": ["IPv4"],
                     "ports": [{"port": 80, "targetPort": 8080}]},
        }))
        .unwrap()
    }

    fn pod(number: usize, ready: bool) -> Arc<Pod> {
        let condition = json!({"type": "Ready", "status": if ready { "True" } else { "False" }});
        Arc::new(
            serde_json::from_value(json!({
                "metadata": {"name": format!("p{number}"), "namespace": "n", "uid": format!("u{number}")},
                "spec": {"nodeName": "node"},
                "status": {"phase": "Running", "podIP": format!("10.1.{}.{}", number / 250, number % 250), "conditions": [condition]},
            }))
            .unwrap(),
        )
    }

    fn written(plan: &Plan) -> Endpoints {
        match plan.writes().next() {
            Some(Write::Create { object, .. } | Write::Replace { object, .. }) => {
                serde_json::from_value(object.clone()).unwrap()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn splits_ready_from_unready_and_settles() {
        let pods = [pod(1, true), pod(2, false)];
        let made = written(&reconcile(&service(), &pods, None));
        let subset = &made.subsets.as_ref().unwrap()[0];
        assert_eq!(subset.addresses.as_ref().unwrap().len(), 1);
        assert_eq!(subset.not_ready_addresses.as_ref().unwrap().len(), 1);
        assert_eq!(subset.ports.as_ref().unwrap()[0].port, 8080);
        assert!(reconcile(&service(), &pods, Some(&made)).is_empty());
    }

    #[test]
    fn leaves_out_what_is_too_much() {
        let pods: Vec<_> = (0..CAPACITY + 5).map(|number| pod(number, number != 7)).collect();
        let made = written(&reconcile(&service(), &pods, None));
        let subset = &made.subsets.as_ref().unwrap()[0];
        assert_eq!(subset.addresses.as_ref().unwrap().len(), CAPACITY);
        assert!(subset.not_ready_addresses.is_none());
        assert_eq!(made.metadata.annotations.as_ref().unwrap()[OVER_CAPACITY], "truncated");
        assert!(reconcile(&service(), &pods, Some(&made)).is_empty());
        assert!(!reconcile(&service(), &pods[..3], Some(&made)).is_empty());
    }

    #[test]
    fn without_a_selector_it_is_somebody_elses() {
        let mut service = service();
        service.spec.selector = None;
        assert!(reconcile(&service, &[pod(1, true)], None).is_empty());
    }
}
