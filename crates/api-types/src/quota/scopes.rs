//! The scopes of a quota: which pods (and claims) it is about.

use serde_json::Value;

use super::pod::is_best_effort;
use crate::GroupResource;

/// One requirement; of the plain list `scopes` each means "exists".
struct Scope<'a> {
    name: &'a str,
    operator: &'a str,
    values: Vec<&'a str>,
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn scopes(spec: &Value) -> impl Iterator<Item = Scope<'_>> {
    let plain = spec["scopes"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let plain = plain.map(|name| Scope { name, operator: "Exists", values: Vec::new() });
    let selected = spec["scopeSelector"]["matchExpressions"].as_array().into_iter().flatten();
    plain.chain(selected.map(|expression| Scope {
        name: expression["scopeName"].as_str().unwrap_or_default(),
        operator: expression["operator"].as_str().unwrap_or_default(),
        values: texts(&expression["values"]),
    }))
}

/// Whether a quota with this `spec` is about the object: all its scopes are.
pub fn matches(spec: &Value, resource: &GroupResource, object: &Value) -> bool {
    let is = |name: &str| resource.group.is_empty() && resource.resource == name;
    scopes(spec).all(|scope| {
        if is("pods") {
            matches_pod(&scope, object)
        } else {
            is("persistentvolumeclaims") && scope.name == "VolumeAttributesClass" && selects(&scope, &classes(object))
        }
    })
}

fn matches_pod(scope: &Scope<'_>, pod: &Value) -> bool {
    let terminating = pod["spec"]["activeDeadlineSeconds"].as_i64().is_some_and(|seconds| seconds >= 0);
    match scope.name {
        "Terminating" => terminating,
        "NotTerminating" => !terminating,
        "BestEffort" => is_best_effort(pod),
        "NotBestEffort" => !is_best_effort(pod),
        "PriorityClass" => {
            let class = pod["spec"]["priorityClassName"].as_str().filter(|name| !name.is_empty());
            selects(scope, class.as_slice())
        }
        "CrossNamespacePodAffinity" => crosses_namespaces(&pod["spec"]["affinity"]),
        _ => false,
    }
}

fn selects(scope: &Scope<'_>, names: &[&str]) -> bool {
    let listed = names.iter().any(|name| scope.values.contains(name));
    match scope.operator {
        "Exists" => !names.is_empty(),
        "DoesNotExist" => names.is_empty(),
        "In" => listed,
        "NotIn" => !listed,
        _ => false,
    }
}

/// The classes that a claim has, is getting, or wants.
fn classes(claim: &Value) -> Vec<&str> {
    let status = &claim["status"];
    let all = [
        &claim["spec"]["volumeAttributesClassName"],
        &status["currentVolumeAttributesClassName"],
        &status["modifyVolumeStatus"]["targetVolumeAttributesClassName"],
    ];
    all.into_iter().filter_map(Value::as_str).filter(|name| !name.is_empty()).collect()
}

fn crosses_namespaces(affinity: &Value) -> bool {
    let crosses = |term: &Value| {
        term["namespaces"].as_array().is_some_and(|names| !names.is_empty()) || !term["namespaceSelector"].is_null()
    };
    ["podAffinity", "podAntiAffinity"].iter().any(|kind| {
        let rules = &affinity[*kind];
        let required = rules["requiredDuringSchedulingIgnoredDuringExecution"].as_array().into_iter().flatten();
        let preferred = rules["preferredDuringSchedulingIgnoredDuringExecution"].as_array().into_iter().flatten();
        required.chain(preferred.map(|weighted| &weighted["podAffinityTerm"])).any(crosses)
    })
}
