//! What a kubelet may say of a pod: addresses of each family once, and no container that ran to its end runs again unless it
//! is to.

use std::collections::BTreeSet;

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod, PodSpec, PodStatus},
};
use serde_json::json;

use super::Errors;
use crate::names::{dns_subdomain, ip, not_negative, qualified_name, report};

pub fn validate(new: &Pod, old: &Pod, errors: &mut Errors) {
    let path = Path::new("status");
    let empty = PodStatus::default();
    let (status, before) = (new.status.as_ref().unwrap_or(&empty), old.status.as_ref().unwrap_or(&empty));
    let nominated = status.nominated_node_name.as_deref().unwrap_or_default();
    if !nominated.is_empty() && status.nominated_node_name != before.nominated_node_name {
        report(dns_subdomain(nominated), &path.child("nominatedNodeName"), nominated, errors);
    }
    if before.qos_class.is_some() && status.qos_class != before.qos_class {
        errors.push(FieldError::invalid(&path.child("qosClass"), json!(status.qos_class), "field is immutable"));
    }
    if let Some(generation) = status.observed_generation {
        not_negative(generation, &path.child("observedGeneration"), errors);
    }
    conditions(status, &path.child("conditions"), errors);
    addresses(status, &path, errors);
    if let Some(spec) = &old.spec {
        transitions(status, before, spec, &path, errors);
    }
}

fn conditions(status: &PodStatus, path: &Path, errors: &mut Errors) {
    for (i, condition) in status.conditions.iter().flatten().enumerate() {
        let at = path.index(i);
        report(qualified_name(&condition.type_), &at.child("type"), &condition.type_, errors);
        if let Some(generation) = condition.observed_generation {
            not_negative(generation, &at.child("observedGeneration"), errors);
        }
    }
}

fn addresses(status: &PodStatus, path: &Path, errors: &mut Errors) {
    let pods: Vec<_> = status.pod_ips.iter().flatten().map(|ip| ip.ip.as_str()).collect();
    let hosts: Vec<_> = status.host_ips.iter().flatten().map(|ip| ip.ip.as_str()).collect();
    for (member, all) in [("podIPs", pods), ("hostIPs", hosts)] {
        let at = path.child(member);
        let mut families = BTreeSet::new();
        for (i, address) in all.iter().enumerate() {
            report(ip(address), &at.index(i), address, errors);
            families.insert(address.contains(':'));
        }
        if families.len() < all.len() {
            let why = "may specify no more than one IP for each IP family";
            errors.push(FieldError::invalid(&at, json!(all), why));
        }
    }
}

fn transitions(status: &PodStatus, before: &PodStatus, spec: &PodSpec, path: &Path, errors: &mut Errors) {
    let policy = spec.restart_policy.as_deref().unwrap_or("Always");
    if policy != "Always" {
        let may_restart = |containers: &[Container], name: &str, code: i32| {
            let own = containers.iter().find(|c| c.name == name);
            own.is_some_and(|c| c.restart_policy.is_some()) || (code != 0 && policy == "OnFailure")
        };
        let (new, old) = (&status.container_statuses, &before.container_statuses);
        let may = |name: &str, code| may_restart(&spec.containers, name, code);
        check_ended(new, old, may, &path.child("containerStatuses"), errors);
        let (new, old) = (&status.init_container_statuses, &before.init_container_statuses);
        let init = spec.init_containers.as_deref().unwrap_or_default();
        let may = |name: &str, code| may_restart(init, name, code);
        check_ended(new, old, may, &path.child("initContainerStatuses"), errors);
    }
    let (new, old) = (&status.ephemeral_container_statuses, &before.ephemeral_container_statuses);
    check_ended(new, old, |_, _| false, &path.child("ephemeralContainerStatuses"), errors);
}

fn check_ended(
    new: &Option<Vec<ContainerStatus>>,
    old: &Option<Vec<ContainerStatus>>,
    may_restart: impl Fn(&str, i32) -> bool,
    path: &Path,
    errors: &mut Errors,
) {
    for (i, before) in old.iter().flatten().enumerate() {
        let Some(ended) = before.state.as_ref().and_then(|s| s.terminated.as_ref()) else { continue };
        if may_restart(&before.name, ended.exit_code) {
            continue;
        }
        let runs = |status: &&ContainerStatus| {
            status.name == before.name && status.state.as_ref().is_none_or(|state| state.terminated.is_none())
        };
        if new.iter().flatten().any(|status| runs(&status)) {
            let at = path.index(i).child("state");
            errors.push(FieldError::forbidden(&at, "may not be transitioned to non-terminated state"));
        }
    }
}
