//! The quality-of-service class of a pod.

use crate::{
    core::{Pod, ResourceRequirements},
    names,
    resources::quantity,
};
use std::{collections::BTreeMap, fmt};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Guaranteed,
    Burstable,
    BestEffort,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Class::Guaranteed => "Guaranteed",
            Class::Burstable => "Burstable",
            Class::BestEffort => "BestEffort",
        })
    }
}

/// What the API server computed, else from processor and memory of all (init) containers.
pub fn class(pod: &Pod) -> Class {
    match pod.status.as_ref().and_then(|s| s.qos_class.as_deref()) {
        Some("Guaranteed") => return Class::Guaranteed,
        Some("Burstable") => return Class::Burstable,
        Some("BestEffort") => return Class::BestEffort,
        _ => {}
    }
    let pod_level = pod.spec.as_ref().and_then(|s| s.resources.as_ref());
    let all: Vec<&ResourceRequirements> = match pod_level {
        Some(resources) => vec![resources],
        None => {
            let none = || names::containers(pod).iter().chain(names::init_containers(pod));
            let empty = none().any(|c| c.resources.is_none());
            let mut all: Vec<_> = none().filter_map(|c| c.resources.as_ref()).collect();
            if empty {
                static EMPTY: ResourceRequirements =
                    ResourceRequirements { claims: None, limits: None, requests: None };
                all.push(&EMPTY);
            }
            all
        }
    };
    let get = |map: &Option<BTreeMap<_, _>>, name: &str| quantity(map.as_ref(), name).filter(|q| !q.is_zero());
    let mut any = false;
    let mut guaranteed = true;
    for resources in all {
        for name in ["cpu", "memory"] {
            let (request, limit) = (get(&resources.requests, name), get(&resources.limits, name));
            any |= request.is_some() || limit.is_some();
            guaranteed &= limit.is_some() && (request.is_none() || request == limit);
        }
    }
    match (any, guaranteed) {
        (false, _) => Class::BestEffort,
        (true, true) => Class::Guaranteed,
        (true, false) => Class::Burstable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::pod;
    use serde_json::{Value, json};

    fn check(resources: &[Value], want: Class) {
        let names: Vec<_> = ["a", "b"].into_iter().take(resources.len()).collect();
        let mut pod = pod("Always", &[], &names);
        for (container, resources) in pod.spec.as_mut().unwrap().containers.iter_mut().zip(resources) {
            container.resources = serde_json::from_value(resources.clone()).unwrap();
        }
        assert_eq!(class(&pod), want, "{resources:?}");
    }

    #[test]
    fn classes() {
        let full = json!({"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1000m", "memory": "1Gi"}});
        check(&[json!({})], Class::BestEffort);
        check(std::slice::from_ref(&full), Class::Guaranteed);
        check(&[json!({"limits": {"cpu": "1", "memory": "1Gi"}})], Class::Guaranteed);
        check(&[full.clone(), json!({})], Class::Burstable);
        check(&[json!({"requests": {"cpu": "1"}})], Class::Burstable);
        check(&[json!({"requests": {"cpu": "0"}})], Class::BestEffort);
    }
}
