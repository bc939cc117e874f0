//! Minimum, maximum and the ratio of limit to request, in upstream's words.

use api_types::{
    Quantity,
    quota::{Amounts, amount, amounts, pod_total},
};
use serde_json::Value;

use super::limits;
use crate::value;

/// What a pod violates of one LimitRange.
pub(super) fn pod(pod: &Value, range: &Value) -> Vec<String> {
    let mut errors = Vec::new();
    for limit in limits(range, "Container") {
        for list in ["containers", "initContainers"] {
            for container in value::items(pod, &["spec", list]) {
                let of = |which: &str| amounts(&container["resources"][which]);
                check(limit, "Container", &of("requests"), &of("limits"), &mut errors);
            }
        }
    }
    for limit in limits(range, "Pod") {
        check(limit, "Pod", &pod_total(pod, "requests"), &pod_total(pod, "limits"), &mut errors);
    }
    errors
}

/// What a claim violates of one LimitRange: it has requests only.
pub(super) fn claim(claim: &Value, range: &Value) -> Vec<String> {
    let kind = "PersistentVolumeClaim";
    let requests = amounts(&claim["spec"]["resources"]["requests"]);
    let mut errors = Vec::new();
    for limit in limits(range, kind) {
        for (name, least) in amounts(&limit["min"]) {
            errors.extend(minimum(kind, &name, least, &requests, &Amounts::new()));
        }
        for (name, most) in amounts(&limit["max"]) {
            errors.extend(match requests.get(&name) {
                None => Some(format!("maximum {name} usage per {kind} is {most}.  No request is specified")),
                Some(request) => above(kind, &name, most, "request", *request),
            });
        }
    }
    errors
}

fn check(limit: &Value, kind: &str, requests: &Amounts, limits: &Amounts, errors: &mut Vec<String>) {
    for (name, least) in amounts(&limit["min"]) {
        errors.extend(minimum(kind, &name, least, requests, limits));
    }
    for (name, most) in amounts(&limit["max"]) {
        errors.extend(match limits.get(&name) {
            None => Some(format!("maximum {name} usage per {kind} is {most}.  No limit is specified")),
            Some(limit) => above(kind, &name, most, "limit", *limit)
                .or_else(|| above(kind, &name, most, "request", *requests.get(&name)?)),
        });
    }
    for (name, value) in limit["maxLimitRequestRatio"].as_object().into_iter().flatten() {
        if let Some(most) = amount(value) {
            errors.extend(ratio(kind, name, most, requests.get(name), limits.get(name)));
        }
    }
}

fn minimum(kind: &str, name: &str, least: Quantity, requests: &Amounts, limits: &Amounts) -> Option<String> {
    let start = format!("minimum {name} usage per {kind} is {least}");
    let Some(request) = requests.get(name) else { return Some(format!("{start}.  No request is specified")) };
    if *request < least {
        return Some(format!("{start}, but request is {request}"));
    }
    let limit = limits.get(name).filter(|limit| **limit < least)?;
    Some(format!("{start}, but limit is {limit}"))
}

fn above(kind: &str, name: &str, most: Quantity, what: &str, value: Quantity) -> Option<String> {
    (value > most).then(|| format!("maximum {name} usage per {kind} is {most}, but {what} is {value}"))
}

fn ratio(
    kind: &str,
    name: &str,
    most: Quantity,
    request: Option<&Quantity>,
    limit: Option<&Quantity>,
) -> Option<String> {
    let start = format!("{name} max limit to request ratio per {kind} is {most}");
    let Some(request) = request.filter(|request| !request.is_zero()) else {
        return Some(format!("{start}, but no request is specified or request is 0"));
    };
    let Some(limit) = limit.filter(|limit| !limit.is_zero()) else {
        return Some(format!("{start}, but no limit is specified or limit is 0"));
    };
    let found = limit.as_f64() / request.as_f64();
    (found > most.as_f64()).then(|| format!("{start}, but provided ratio is {found:.6}"))
}
