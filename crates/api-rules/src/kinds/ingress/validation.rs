//! What an Ingress may say.

use std::net::IpAddr;

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::{
        core::v1::TypedLocalObjectReference,
        networking::v1::{
            HTTPIngressPath, IngressBackend, IngressLoadBalancerStatus, IngressRule, IngressServiceBackend,
            IngressSpec, IngressTLS,
        },
    },
};
use serde_json::json;

use crate::{
    kinds::fields::named,
    names::{self, report},
};

type Errors = Vec<FieldError>;

const PATH_TYPES: [&str; 3] = ["Exact", "ImplementationSpecific", "Prefix"];
const BAD_SEQUENCES: [&str; 5] = ["//", "/./", "/../", "%2f", "%2F"];
const BAD_ENDS: [&str; 2] = ["/..", "/."];
const NO_ADDRESS: &str = "must be a DNS name, not an IP address";

pub fn spec(spec: &IngressSpec, path: &Path, errors: &mut Errors) {
    let rules = spec.rules.as_deref().unwrap_or_default();
    if rules.is_empty() && spec.default_backend.is_none() {
        errors.push(FieldError::invalid(
            path,
            json!(spec.rules),
            "either `defaultBackend` or `rules` must be specified",
        ));
    }
    if let Some(default) = &spec.default_backend {
        backend(default, &path.child("defaultBackend"), errors);
    }
    for (i, one) in rules.iter().enumerate() {
        rule(one, &path.child("rules").index(i), errors);
    }
    for (i, one) in spec.tls.iter().flatten().enumerate() {
        tls(one, &path.child("tls").index(i), errors);
    }
    if let Some(class) = &spec.ingress_class_name {
        report(names::dns_subdomain(class), &path.child("ingressClassName"), class, errors);
    }
}

fn rule(rule: &IngressRule, path: &Path, errors: &mut Errors) {
    if let Some(name) = rule.host.as_deref().filter(|h| !h.is_empty()) {
        let at = path.child("host");
        if name.parse::<IpAddr>().is_ok() {
            errors.push(FieldError::invalid(&at, name, NO_ADDRESS));
        }
        host(name, &at, errors);
    }
    let Some(http) = &rule.http else { return };
    let at = path.child("http").child("paths");
    if http.paths.is_empty() {
        errors.push(FieldError::required(&at, ""));
    }
    for (i, one) in http.paths.iter().enumerate() {
        http_path(one, &at.index(i), errors);
    }
}

/// A name, which may stand for all names below a domain.
fn host(name: &str, path: &Path, errors: &mut Errors) {
    let wrong = if name.contains('*') { names::wildcard_dns_subdomain(name) } else { names::dns_subdomain(name) };
    report(wrong, path, name, errors);
}

fn tls(tls: &IngressTLS, path: &Path, errors: &mut Errors) {
    for (i, name) in tls.hosts.iter().flatten().enumerate() {
        host(name, &path.child("hosts").index(i), errors);
    }
    if let Some(secret) = tls.secret_name.as_deref().filter(|s| !s.is_empty()) {
        report(names::dns_subdomain(secret), &path.child("secretName"), secret, errors);
    }
}

fn http_path(given: &HTTPIngressPath, path: &Path, errors: &mut Errors) {
    let at = path.child("path");
    let text = given.path.as_deref().unwrap_or_default();
    let absolute = |errors: &mut Errors| {
        if !text.starts_with('/') {
            errors.push(FieldError::invalid(&at, text, "must be an absolute path"));
        }
    };
    match given.path_type.as_str() {
        "" => {
            errors.push(FieldError::required(&path.child("pathType"), "pathType must be specified"));
            return;
        }
        "Exact" | "Prefix" => {
            absolute(errors);
            for bad in BAD_SEQUENCES.iter().filter(|bad| text.contains(**bad)) {
                errors.push(FieldError::invalid(&at, text, format!("must not contain '{bad}'")));
            }
            for bad in BAD_ENDS.iter().filter(|bad| text.ends_with(**bad)) {
                errors.push(FieldError::invalid(&at, text, format!("cannot end with '{bad}'")));
            }
        }
        "ImplementationSpecific" if text.is_empty() => {}
        "ImplementationSpecific" => absolute(errors),
        other => errors.push(FieldError::not_supported(&path.child("pathType"), other, &PATH_TYPES)),
    }
    backend(&given.backend, &path.child("backend"), errors);
}

fn backend(backend: &IngressBackend, path: &Path, errors: &mut Errors) {
    match (&backend.resource, &backend.service) {
        (Some(_), Some(_)) => {
            errors.push(FieldError::invalid(path, "", "cannot set both resource and service backends"));
        }
        (None, None) => errors.push(FieldError::invalid(path, "", "resource or service backend is required")),
        (Some(resource), None) => reference(resource, &path.child("resource"), errors),
        (None, Some(given)) => service(given, path, errors),
    }
}

fn reference(resource: &TypedLocalObjectReference, path: &Path, errors: &mut Errors) {
    if let Some(group) = &resource.api_group {
        report(names::dns_subdomain(group), &path.child("apiGroup"), group, errors);
    }
    named(&resource.kind, names::path_segment, &path.child("kind"), errors);
    named(&resource.name, names::path_segment, &path.child("name"), errors);
}

fn service(service: &IngressServiceBackend, path: &Path, errors: &mut Errors) {
    let at = path.child("service");
    named(&service.name, names::dns_label, &at.child("name"), errors);
    let port = service.port.clone().unwrap_or_default();
    let name = port.name.filter(|n| !n.is_empty());
    match (name, port.number.filter(|n| *n != 0)) {
        (Some(_), Some(_)) => {
            errors.push(FieldError::invalid(path, "", "cannot set both port name & port number"));
        }
        (Some(name), None) => report(names::port_name(&name), &at.child("port").child("name"), &name, errors),
        (None, Some(number)) => {
            let at = at.child("port").child("number");
            let wrong = names::port_number(number.into());
            errors.extend(wrong.into_iter().map(|why| FieldError::invalid(&at, number, why)));
        }
        (None, None) => errors.push(FieldError::required(path, "port name or number is required")),
    }
}

pub fn load_balancer(status: &IngressLoadBalancerStatus, path: &Path, errors: &mut Errors) {
    for (i, point) in status.ingress.iter().flatten().enumerate() {
        let at = path.child("ingress").index(i);
        if let Some(ip) = point.ip.as_deref().filter(|ip| !ip.is_empty()) {
            report(names::ip(ip), &at.child("ip"), ip, errors);
        }
        if let Some(name) = point.hostname.as_deref().filter(|h| !h.is_empty()) {
            let at = at.child("hostname");
            report(names::dns_subdomain(name), &at, name, errors);
            if name.parse::<IpAddr>().is_ok() {
                errors.push(FieldError::invalid(&at, name, NO_ADDRESS));
            }
        }
    }
}
