//! What an object takes from a ResourceQuota: which of its resources, how much of each, and whether its scopes are about
//! the object at all.
//!
//! Admission charges by these rules, and the controller recounts by them. Nothing here knows limits or refuses.

mod pod;
mod scopes;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{GroupResource, Quantity};

pub use pod::{missing, total as pod_total};
pub use scopes::matches;

/// Amounts by the names of `spec.hard`.
pub type Amounts = BTreeMap<String, Quantity>;

const CLASS_SUFFIX: &str = ".storageclass.storage.k8s.io/";

/// What a quota names objects of a resource by: `count/deployments.apps`.
pub fn count_name(resource: &GroupResource) -> String {
    format!("count/{resource}")
}

/// The resource behind a name of `spec.hard`; None for a name that nothing served counts for.
pub fn resource_of(name: &str) -> Option<GroupResource> {
    let core = |resource: &str| Some(GroupResource { group: "".into(), resource: resource.to_owned().into() });
    if let Some(counted) = name.strip_prefix("count/") {
        let (resource, group) = counted.split_once('.').unwrap_or((counted, ""));
        return Some(GroupResource { group: group.to_owned().into(), resource: resource.to_owned().into() });
    }
    match name {
        "services" | "services.nodeports" | "services.loadbalancers" => core("services"),
        "persistentvolumeclaims" | "requests.storage" => core("persistentvolumeclaims"),
        "configmaps" | "secrets" | "replicationcontrollers" | "resourcequotas" => core(name),
        _ if name.contains(CLASS_SUFFIX) => core("persistentvolumeclaims"),
        _ if pod::is_charged(name) => core("pods"),
        _ => None,
    }
}

/// Whether objects of the resource are charged under this name.
pub fn covers(resource: &GroupResource, name: &str) -> bool {
    // Events come and go on their own.
    resource.resource != "events" && resource_of(name).as_ref() == Some(resource)
}

/// What one object takes.
pub fn usage(resource: &GroupResource, object: &Value) -> Amounts {
    let mut amounts = Amounts::new();
    let one = Quantity::from_value(1, crate::quantity::Format::DecimalSi);
    amounts.insert(count_name(resource), one);
    if !resource.group.is_empty() {
        return amounts;
    }
    match &*resource.resource {
        "pods" => pod::charge(object, &mut amounts),
        "services" => service(object, &mut amounts),
        "persistentvolumeclaims" => claim(object, &mut amounts),
        "configmaps" | "secrets" | "replicationcontrollers" | "resourcequotas" => {
            amounts.insert(resource.resource.to_string(), one);
        }
        _ => {}
    }
    amounts
}

fn number(value: usize) -> Quantity {
    Quantity::from_value(i64::try_from(value).unwrap_or(i64::MAX), crate::quantity::Format::DecimalSi)
}

fn service(object: &Value, amounts: &mut Amounts) {
    let spec = &object["spec"];
    let ports = spec["ports"].as_array().map(Vec::as_slice).unwrap_or_default();
    let set = ports.iter().filter(|port| port["nodePort"].as_i64().is_some_and(|port| port != 0)).count();
    let (balancers, node_ports) = match spec["type"].as_str() {
        Some("NodePort") => (0, ports.len()),
        Some("LoadBalancer") if spec["allocateLoadBalancerNodePorts"] == false => (1, set),
        Some("LoadBalancer") => (1, ports.len()),
        _ => (0, 0),
    };
    amounts.insert("services".to_owned(), number(1));
    amounts.insert("services.nodeports".to_owned(), number(node_ports));
    amounts.insert("services.loadbalancers".to_owned(), number(balancers));
}

fn claim(object: &Value, amounts: &mut Amounts) {
    let class = object["metadata"]["annotations"]["volume.beta.kubernetes.io/storage-class"].as_str();
    let class = class.or(object["spec"]["storageClassName"].as_str()).filter(|class| !class.is_empty());
    let storage = &object["spec"]["resources"]["requests"]["storage"];
    let storage = amount(storage);
    for prefix in [Some(String::new()), class.map(|class| format!("{class}{CLASS_SUFFIX}"))].into_iter().flatten() {
        amounts.insert(format!("{prefix}persistentvolumeclaims"), number(1));
        if let Some(storage) = storage {
            amounts.insert(format!("{prefix}requests.storage"), storage);
        }
    }
}

/// A quantity of an object; None for one that is not there, or that validation will refuse.
pub fn amount(value: &Value) -> Option<Quantity> {
    match value {
        Value::String(text) => Quantity::parse(text).ok(),
        Value::Number(number) => Quantity::parse(&number.to_string()).ok(),
        _ => None,
    }
}

/// A list of amounts as `spec.hard` and container resources have it.
pub fn amounts(value: &Value) -> Amounts {
    let fields = value.as_object().into_iter().flatten();
    fields.filter_map(|(name, value)| Some((name.clone(), amount(value)?))).collect()
}

#[cfg(test)]
mod tests;
