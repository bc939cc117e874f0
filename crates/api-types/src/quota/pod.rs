//! What a pod takes: the larger of its containers together and its largest init container, and its overhead.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Amounts, amounts, number};

const NATIVE: &[&str] = &["cpu", "memory", "ephemeral-storage"];
/// Under these names every container has to say what it wants.
const DEMANDING: &[&str] = &["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];

pub(super) fn is_charged(name: &str) -> bool {
    let plain = name.strip_prefix("requests.").or_else(|| name.strip_prefix("limits."));
    name == "pods"
        || NATIVE.contains(&plain.unwrap_or(name))
        || name.starts_with("hugepages-")
        || name.strip_prefix("requests.").is_some_and(|name| name.starts_with("hugepages-") || is_extended(name))
}

/// A resource that is not Kubernetes' own.
fn is_extended(name: &str) -> bool {
    match name.split_once('/') {
        None => false,
        Some((domain, _)) => domain != "kubernetes.io" && !domain.ends_with(".kubernetes.io"),
    }
}

pub(super) fn charge(pod: &Value, into: &mut Amounts) {
    if matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed")) {
        return;
    }
    into.insert("pods".to_owned(), number(1));
    into.extend(named(&total(pod, "requests"), &total(pod, "limits")));
}

/// By the names that quotas have for requests and limits.
fn named(requests: &Amounts, limits: &Amounts) -> Amounts {
    let mut named = Amounts::new();
    for (name, amount) in requests {
        if NATIVE.contains(&name.as_str()) || name.starts_with("hugepages-") {
            named.insert(name.clone(), *amount);
            named.insert(format!("requests.{name}"), *amount);
        } else if is_extended(name) {
            named.insert(format!("requests.{name}"), *amount);
        }
    }
    for name in NATIVE {
        if let Some(amount) = limits.get(*name) {
            named.insert(format!("limits.{name}"), *amount);
        }
    }
    named
}

fn list<'a>(pod: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    pod["spec"][field].as_array().into_iter().flatten()
}

/// What the pod has in all; `which`: requests or limits.
pub fn total(pod: &Value, which: &str) -> Amounts {
    let of = |container: &Value| amounts(&container["resources"][which]);
    let mut sum = Amounts::new();
    list(pod, "containers").for_each(|container| add(&mut sum, &of(container)));
    let (mut sidecars, mut largest) = (Amounts::new(), Amounts::new());
    for container in list(pod, "initContainers") {
        let own = of(container);
        let mut at_once = sidecars.clone();
        add(&mut at_once, &own);
        if container["restartPolicy"] == "Always" {
            // It runs on beside all that start after it.
            add(&mut sum, &own);
            sidecars = at_once.clone();
        }
        raise(&mut largest, &at_once);
    }
    raise(&mut sum, &largest);
    for (name, amount) in amounts(&pod["spec"]["resources"][which]) {
        sum.insert(name, amount);
    }
    for (name, amount) in amounts(&pod["spec"]["overhead"]) {
        // A limit that there is none of does not begin with the overhead.
        if which == "requests" || sum.contains_key(&name) {
            add(&mut sum, &BTreeMap::from([(name, amount)]));
        }
    }
    sum
}

fn add(into: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        into.entry(name.clone()).and_modify(|sum| *sum += *amount).or_insert(*amount);
    }
}

fn raise(into: &mut Amounts, to: &Amounts) {
    for (name, amount) in to {
        into.entry(name.clone()).and_modify(|sum| *sum = (*sum).max(*amount)).or_insert(*amount);
    }
}

/// What containers have to say and do not, if a quota has these names: `cpu for: a,b; memory for: b`.
pub fn missing<'a>(pod: &Value, quota: impl IntoIterator<Item = &'a str>) -> Option<String> {
    if pod["spec"]["resources"].as_object().is_some_and(|resources| !resources.is_empty()) {
        return None;
    }
    let demanded: BTreeSet<&str> = quota.into_iter().filter(|name| DEMANDING.contains(name)).collect();
    let mut silent: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for container in list(pod, "containers").chain(list(pod, "initContainers")) {
        let said = named(&amounts(&container["resources"]["requests"]), &amounts(&container["resources"]["limits"]));
        for name in demanded.iter().filter(|name| !said.contains_key(**name)) {
            silent.entry(name).or_default().insert(container["name"].as_str().unwrap_or_default());
        }
    }
    let parts = silent
        .iter()
        .map(|(name, containers)| format!("{name} for: {}", containers.iter().copied().collect::<Vec<_>>().join(",")));
    let text = parts.collect::<Vec<_>>().join("; ");
    (!text.is_empty()).then_some(text)
}

/// No container asks for or limits processor or memory.
pub(super) fn is_best_effort(pod: &Value) -> bool {
    let asks = |resources: &Value| {
        ["requests", "limits"].iter().any(|which| {
            let amounts = amounts(&resources[*which]);
            ["cpu", "memory"].iter().any(|name| amounts.get(*name).is_some_and(|amount| !amount.is_zero()))
        })
    };
    let mut containers = list(pod, "containers").chain(list(pod, "initContainers"));
    !asks(&pod["spec"]["resources"]) && !containers.any(|container| asks(&container["resources"]))
}
