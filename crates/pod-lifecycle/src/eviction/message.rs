//! What an evicted pod is told, in upstream's words.

use super::{Amount, Observation, Threshold, Usage};
use crate::{core::Pod, names, resources};
use api_types::{Quantity, quantity::Format};

/// The shortage, and the containers that had more than they asked for. Each sentence ends with a blank, as upstream's.
pub fn evicted(pod: &Pod, usage: Option<&Usage>, threshold: &Threshold, seen: Observation) -> String {
    let resource = threshold.signal.resource();
    let limit = match threshold.amount {
        Amount::Quantity(quantity) => quantity.to_string(),
        Amount::Percent(_) => bytes(threshold.amount.of(seen.capacity)),
    };
    let mut text = format!(
        "The node was low on resource: {resource}. Threshold quantity: {limit}, available: {}. ",
        bytes(seen.available)
    );
    let sidecars = names::init_containers(pod).iter().filter(|c| names::is_sidecar(c));
    for container in names::containers(pod).iter().chain(sidecars) {
        let Some(used) = usage.and_then(|u| u.containers.get(&container.name)) else { continue };
        let used = match resource {
            "memory" => used.memory,
            "ephemeral-storage" => used.root + used.logs,
            _ => continue,
        };
        let requests = container.resources.as_ref().and_then(|r| r.requests.as_ref());
        let request = resources::quantity(requests, resource);
        if i128::from(used) > request.as_ref().map_or(0, |q| i128::from(q.value())) {
            let request = request.map_or_else(|| "0".to_owned(), |q| q.to_string());
            text += &format!(
                "Container {} was using {}, request is {request}, has larger consumption of {resource}. ",
                container.name,
                bytes(used)
            );
        }
    }
    text
}

fn bytes(amount: u64) -> String {
    Quantity::from_value(i64::try_from(amount).unwrap_or(i64::MAX), Format::BinarySi).to_string()
}
