//! The quality of service class of a pod: what its requests and limits promise and demand.

use std::collections::BTreeMap;

use api_types::{
    Quantity,
    k8s_openapi::{
        api::core::v1::{PodSpec, ResourceRequirements},
        apimachinery::pkg::api::resource::Quantity as Text,
    },
};

/// Only these two decide.
const DECIDING: [&str; 2] = ["cpu", "memory"];

/// `Guaranteed`, `Burstable` or `BestEffort`.
pub fn class(spec: &PodSpec) -> &'static str {
    if let Some(resources) = spec.resources.as_ref().filter(|r| r.limits.is_some() || r.requests.is_some()) {
        return of([resources].into_iter());
    }
    let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let empty = ResourceRequirements::default();
    of(containers.map(|c| c.resources.as_ref().unwrap_or(&empty)).collect::<Vec<_>>().into_iter())
}

fn of<'a>(all: impl Iterator<Item = &'a ResourceRequirements>) -> &'static str {
    let (mut any, mut guaranteed) = (false, true);
    for resources in all {
        let limits = positive(resources.limits.as_ref());
        let requests = positive(resources.requests.as_ref());
        any |= !limits.is_empty() || !requests.is_empty();
        guaranteed &= DECIDING.iter().all(|name| {
            let limit = limits.get(name);
            limit.is_some() && requests.get(name).is_none_or(|request| Some(request) == limit)
        });
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

fn positive(list: Option<&BTreeMap<String, Text>>) -> BTreeMap<&'static str, Quantity> {
    let Some(list) = list else { return BTreeMap::new() };
    DECIDING
        .into_iter()
        .filter_map(|name| Some((name, Quantity::try_from(list.get(name)?).ok()?)))
        .filter(|(_, quantity)| quantity.signum() > 0)
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(containers: serde_json::Value, wanted: &str) {
        let spec: PodSpec = serde_json::from_value(json!({"containers": containers})).unwrap();
        assert_eq!(class(&spec), wanted);
    }

    #[test]
    fn classes() {
        let limits = json!({"cpu": "1", "memory": "1Gi"});
        check(json!([{"name": "a"}]), "BestEffort");
        check(json!([{"name": "a", "resources": {"requests": {"cpu": "0"}}}]), "BestEffort");
        check(json!([{"name": "a", "resources": {"requests": {"cpu": "1m"}}}]), "Burstable");
        check(json!([{"name": "a", "resources": {"limits": limits}}]), "Guaranteed");
        check(
            json!([{"name": "a", "resources": {"limits": limits, "requests": {"cpu": "1000m", "memory": "1Gi"}}}]),
            "Guaranteed",
        );
        check(json!([{"name": "a", "resources": {"limits": limits}}, {"name": "b"}]), "Burstable");
        check(json!([{"name": "a", "resources": {"limits": limits, "requests": {"cpu": "1m"}}}]), "Burstable");
    }
}
