//! What a Service may say.

use std::collections::BTreeSet;

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::{
        api::core::v1::{Service, ServicePort, ServiceSpec},
        apimachinery::pkg::util::intstr::IntOrString,
    },
};
use serde_json::json;

use crate::{
    kinds::validate_protocol,
    metadata,
    names::{self, one_of, report},
};

type Errors = Vec<FieldError>;

const TYPES: [&str; 4] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const HEADLESS: &str = "None";
const MAX_AFFINITY_SECONDS: i32 = 86_400;

pub fn spec(spec: &ServiceSpec, errors: &mut Errors) {
    let path = Path::new("spec");
    let type_ = spec.type_.as_deref().unwrap_or_default();
    let ports = spec.ports.as_deref().unwrap_or_default();
    let headless = spec.cluster_ip.as_deref() == Some(HEADLESS);
    if ports.is_empty() && !headless && type_ != "ExternalName" {
        errors.push(FieldError::required(&path.child("ports"), ""));
    }
    match type_ {
        "LoadBalancer" if headless => {
            errors.push(FieldError::invalid(
                &path.child("clusterIPs").index(0),
                HEADLESS,
                "may not be set to 'None' for LoadBalancer services",
            ));
        }
        "NodePort" if headless => {
            errors.push(FieldError::invalid(
                &path.child("clusterIPs").index(0),
                HEADLESS,
                "may not be set to 'None' for NodePort services",
            ));
        }
        "ExternalName" => external_name(spec, &path, errors),
        "" => errors.push(FieldError::required(&path.child("type"), "")),
        other => one_of(other, &TYPES, &path.child("type"), errors),
    }
    all_ports(ports, type_, &path.child("ports"), errors);
    metadata::validate_labels(spec.selector.as_ref(), &path.child("selector"), errors);
    affinity(spec, &path, errors);
    if type_ != "ExternalName" {
        addresses(spec, &path, errors);
    }
    policies(spec, type_, &path, errors);
}

fn external_name(spec: &ServiceSpec, path: &Path, errors: &mut Errors) {
    let forbidden =
        |member: &str| FieldError::forbidden(&path.child(member), "may not be set for ExternalName services");
    if spec.cluster_ips.as_ref().is_some_and(|c| !c.is_empty())
        || spec.cluster_ip.as_ref().is_some_and(|c| !c.is_empty())
    {
        errors.push(forbidden("clusterIPs"));
    }
    let at = path.child("externalName");
    match spec.external_name.as_deref().unwrap_or_default() {
        "" => errors.push(FieldError::required(&at, "")),
        name => report(names::dns_subdomain(name.strip_suffix('.').unwrap_or(name)), &at, name, errors),
    }
}

fn all_ports(ports: &[ServicePort], type_: &str, path: &Path, errors: &mut Errors) {
    let (mut names_seen, mut ports_seen, mut node_ports) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for (i, port) in ports.iter().enumerate() {
        let at = path.index(i);
        let name = port.name.as_deref().unwrap_or_default();
        if name.is_empty() {
            if ports.len() > 1 {
                errors.push(FieldError::required(&at.child("name"), ""));
            }
        } else {
            report(names::dns_label(name), &at.child("name"), name, errors);
            if !names_seen.insert(name) {
                errors.push(FieldError::duplicate(&at.child("name"), name));
            }
        }
        number(port.port, &at.child("port"), errors);
        validate_protocol(port.protocol.as_deref(), &at.child("protocol"), errors);
        if let Some(app) = &port.app_protocol {
            report(names::qualified_name(app), &at.child("appProtocol"), app, errors);
        }
        target(port, &at, errors);
        let protocol = port.protocol.as_deref().unwrap_or_default();
        if !ports_seen.insert((port.port, protocol)) {
            errors.push(FieldError::duplicate(&at, json!({"port": port.port, "protocol": protocol})));
        }
        let Some(node) = port.node_port.filter(|n| *n != 0) else { continue };
        if matches!(type_, "ClusterIP" | "ExternalName") {
            errors.push(FieldError::forbidden(
                &at.child("nodePort"),
                format!("may not be used when `type` is '{type_}'"),
            ));
        } else if !node_ports.insert((node, protocol)) {
            errors.push(FieldError::duplicate(&at.child("nodePort"), json!(node)));
        }
    }
}

fn number(port: i32, path: &Path, errors: &mut Errors) {
    errors.extend(names::port_number(port.into()).into_iter().map(|why| FieldError::invalid(path, port, why)));
}

fn target(port: &ServicePort, path: &Path, errors: &mut Errors) {
    let at = path.child("targetPort");
    match &port.target_port {
        Some(IntOrString::Int(n)) => number(*n, &at, errors),
        Some(IntOrString::String(name)) => report(names::port_name(name), &at, name, errors),
        None => {}
    }
}

fn affinity(spec: &ServiceSpec, path: &Path, errors: &mut Errors) {
    let at = path.child("sessionAffinity");
    let config = path.child("sessionAffinityConfig");
    match (spec.session_affinity.as_deref().unwrap_or_default(), &spec.session_affinity_config) {
        ("", _) => errors.push(FieldError::required(&at, "")),
        ("None", Some(_)) => {
            errors.push(FieldError::forbidden(&config, "must not be set when session affinity is None"))
        }
        ("None", None) => {}
        ("ClientIP", given) => {
            let seconds = given.as_ref().and_then(|c| c.client_ip.as_ref()).and_then(|c| c.timeout_seconds);
            let at = config.child("clientIP").child("timeoutSeconds");
            match seconds {
                None => errors.push(FieldError::required(&config, "when session affinity type is ClientIP")),
                Some(seconds) if !(1..=MAX_AFFINITY_SECONDS).contains(&seconds) => {
                    errors.push(FieldError::invalid(
                        &at,
                        seconds,
                        format!("must be greater than 0 and less than {MAX_AFFINITY_SECONDS}"),
                    ));
                }
                Some(_) => {}
            }
        }
        (other, _) => errors.push(FieldError::not_supported(&at, other, &["ClientIP", "None"])),
    }
}

fn addresses(spec: &ServiceSpec, path: &Path, errors: &mut Errors) {
    let one = spec.cluster_ip.as_deref().unwrap_or_default();
    let many = spec.cluster_ips.as_deref().unwrap_or_default();
    let at = path.child("clusterIPs");
    if many.is_empty() && !one.is_empty() {
        errors.push(FieldError::required(&at, ""));
    }
    if many.first().is_some_and(|first| first != one) {
        errors.push(FieldError::invalid(&at, json!(many), "first value must match `clusterIP`"));
    }
    if many.len() > 2 {
        errors.push(FieldError::too_many(&at, many.len(), 2));
    }
    for (i, ip) in many.iter().enumerate() {
        if ip == HEADLESS {
            if many.len() > 1 {
                errors.push(FieldError::invalid(&at, json!(many), "'None' must be the first and only value"));
            }
            continue;
        }
        report(names::ip(ip), &at.index(i), ip, errors);
    }
    for (i, family) in spec.ip_families.iter().flatten().enumerate() {
        one_of(family, &["IPv4", "IPv6"], &path.child("ipFamilies").index(i), errors);
    }
    if let Some(policy) = spec.ip_family_policy.as_deref() {
        one_of(policy, &["SingleStack", "PreferDualStack", "RequireDualStack"], &path.child("ipFamilyPolicy"), errors);
    }
    for (i, ip) in spec.external_ips.iter().flatten().enumerate() {
        report(crate::kinds::endpoints::endpoint_ip(ip), &path.child("externalIPs").index(i), ip, errors);
    }
}

fn policies(spec: &ServiceSpec, type_: &str, path: &Path, errors: &mut Errors) {
    let external =
        matches!(type_, "NodePort" | "LoadBalancer") || spec.external_ips.as_ref().is_some_and(|e| !e.is_empty());
    let at = path.child("externalTrafficPolicy");
    match spec.external_traffic_policy.as_deref().filter(|p| !p.is_empty()) {
        Some(policy) if external => one_of(policy, &["Cluster", "Local"], &at, errors),
        Some(policy) => {
            errors.push(FieldError::invalid(&at, policy, "may only be set for externally-accessible services"))
        }
        None if external => errors.push(FieldError::required(&at, "")),
        None => {}
    }
    if let Some(policy) = spec.internal_traffic_policy.as_deref() {
        one_of(policy, &["Cluster", "Local"], &path.child("internalTrafficPolicy"), errors);
    }
    if let Some(distribution) = spec.traffic_distribution.as_deref() {
        one_of(
            distribution,
            &["PreferClose", "PreferSameNode", "PreferSameZone"],
            &path.child("trafficDistribution"),
            errors,
        );
    }
    for (i, range) in spec.load_balancer_source_ranges.iter().flatten().enumerate() {
        if type_ == "LoadBalancer" {
            report(names::cidr(range.trim()), &path.child("loadBalancerSourceRanges").index(i), range, errors);
        } else {
            errors.push(FieldError::forbidden(
                &path.child("loadBalancerSourceRanges"),
                "may only be used when `type` is 'LoadBalancer'",
            ));
        }
    }
    for (member, given) in [
        ("loadBalancerClass", spec.load_balancer_class.is_some()),
        ("allocateLoadBalancerNodePorts", spec.allocate_load_balancer_node_ports.is_some()),
    ] {
        if given && type_ != "LoadBalancer" {
            errors.push(FieldError::forbidden(&path.child(member), "may only be used when `type` is 'LoadBalancer'"));
        }
    }
}

/// An address that was given once stays.
pub fn update(new: &Service, old: &Service, errors: &mut Errors) {
    let spec = |service: &Service| service.spec.clone().unwrap_or_default();
    let (new, old) = (spec(new), spec(old));
    let keeps_address = |spec: &ServiceSpec| spec.type_.as_deref() != Some("ExternalName");
    if !keeps_address(&new) || !keeps_address(&old) {
        return;
    }
    let before = old.cluster_ip.as_deref().unwrap_or_default();
    let now = new.cluster_ip.as_deref().unwrap_or_default();
    if !before.is_empty() && before != now {
        errors.push(FieldError::invalid(
            &Path::new("spec").child("clusterIPs").index(0),
            now,
            "may not change once set",
        ));
    }
}
