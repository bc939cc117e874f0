//! NetworkPolicy: which connections pods of a namespace take and make.

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::{
        api::networking::v1::{self, IPBlock, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec},
        apimachinery::pkg::util::intstr::IntOrString,
    },
};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{fields, validate_label_selector};
use crate::{
    kind::{Names, Scope, Storage},
    names::{self, one_of, report},
    table::{cells, duration},
    typed::Resource,
    value,
};

const TYPES: [&str; 2] = ["Ingress", "Egress"];

pub struct NetworkPolicy;

impl Resource for NetworkPolicy {
    type Object = v1::NetworkPolicy;

    const NAMES: Names = Names {
        group: "networking.k8s.io",
        version: "v1",
        kind: "NetworkPolicy",
        list_kind: "NetworkPolicyList",
        plural: "networkpolicies",
        singular: "networkpolicy",
        short_names: &["netpol"],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Namespaced;
    const STORAGE: Option<Storage> = Some(Storage { prefix: "networkpolicies", cached: true });
    const GENERATION: bool = true;
    const NOT_ENFORCED: Option<&'static str> = Some("connections of pods are not filtered");

    fn set_defaults(object: &mut Value) {
        let spec = value::child(object, "spec");
        value::child(spec, "podSelector");
        for rules in ["ingress", "egress"] {
            value::each(spec, rules, |rule| {
                value::each(rule, "ports", |port| value::default(port, "protocol", "TCP"));
            });
        }
        if value::items(spec, &["policyTypes"]).is_empty() {
            let types = if value::items(spec, &["egress"]).is_empty() { &TYPES[..1] } else { &TYPES[..] };
            value::set(spec, &["policyTypes"], json!(types));
        }
    }

    fn validate(object: &v1::NetworkPolicy, errors: &mut Vec<FieldError>) {
        validate_spec(&object.spec.clone().unwrap_or_default(), &Path::new("spec"), errors);
    }

    fn cells(object: &v1::NetworkPolicy, now: Timestamp) -> Vec<Value> {
        let selector = object.spec.as_ref().and_then(|s| s.pod_selector.as_ref());
        vec![cells::name(&object.metadata), cells::selector(selector).into(), duration::age(&object.metadata, now)]
    }
}

fn validate_spec(spec: &NetworkPolicySpec, path: &Path, errors: &mut Vec<FieldError>) {
    if let Some(selector) = &spec.pod_selector {
        validate_label_selector(selector, &path.child("podSelector"), errors);
    }
    for (i, rule) in spec.ingress.iter().flatten().enumerate() {
        let at = path.child("ingress").index(i);
        rule_parts(rule.ports.as_deref(), "from", rule.from.as_deref(), &at, errors);
    }
    for (i, rule) in spec.egress.iter().flatten().enumerate() {
        let at = path.child("egress").index(i);
        rule_parts(rule.ports.as_deref(), "to", rule.to.as_deref(), &at, errors);
    }
    let types = spec.policy_types.as_deref().unwrap_or_default();
    let at = path.child("policyTypes");
    if types.len() > TYPES.len() {
        errors.push(FieldError::invalid(&at, json!(types), "may not specify more than two policyTypes"));
        return;
    }
    for (i, type_) in types.iter().enumerate() {
        one_of(type_, &TYPES, &at.index(i), errors);
    }
}

fn rule_parts(
    ports: Option<&[NetworkPolicyPort]>,
    side: &str,
    peers: Option<&[NetworkPolicyPeer]>,
    path: &Path,
    errors: &mut Vec<FieldError>,
) {
    for (i, port) in ports.into_iter().flatten().enumerate() {
        validate_port(port, &path.child("ports").index(i), errors);
    }
    for (i, peer) in peers.into_iter().flatten().enumerate() {
        validate_peer(peer, &path.child(side).index(i), errors);
    }
}

fn validate_port(port: &NetworkPolicyPort, path: &Path, errors: &mut Vec<FieldError>) {
    if let Some(protocol) = &port.protocol {
        one_of(protocol, &["TCP", "UDP", "SCTP"], &path.child("protocol"), errors);
    }
    let (at, end) = (path.child("port"), path.child("endPort"));
    let number = |n: i32, at: &Path, errors: &mut Vec<FieldError>| {
        errors.extend(names::port_number(n.into()).into_iter().map(|why| FieldError::invalid(at, n, why)));
    };
    let misplaced = |why: &str| port.end_port.map(|last| FieldError::invalid(&end, last, why));
    match &port.port {
        None => errors.extend(misplaced("may not be specified when `port` is not specified")),
        Some(IntOrString::String(name)) => {
            errors.extend(misplaced("may not be specified when `port` is non-numeric"));
            report(names::port_name(name), &at, name, errors);
        }
        Some(IntOrString::Int(first)) => {
            number(*first, &at, errors);
            if let Some(last) = port.end_port {
                if last < *first {
                    errors.push(FieldError::invalid(&end, last, "must be greater than or equal to `port`"));
                }
                number(last, &end, errors);
            }
        }
    }
}

fn validate_peer(peer: &NetworkPolicyPeer, path: &Path, errors: &mut Vec<FieldError>) {
    let selectors = [("podSelector", &peer.pod_selector), ("namespaceSelector", &peer.namespace_selector)];
    for (member, selector) in selectors {
        if let Some(selector) = selector {
            validate_label_selector(selector, &path.child(member), errors);
        }
    }
    let selects = selectors.iter().any(|(_, selector)| selector.is_some());
    match &peer.ip_block {
        None if !selects => errors.push(FieldError::required(path, "must specify a peer")),
        None => {}
        Some(block) => {
            validate_block(block, &path.child("ipBlock"), errors);
            if selects {
                errors.push(FieldError::forbidden(path, "may not specify both ipBlock and another peer"));
            }
        }
    }
}

fn validate_block(block: &IPBlock, path: &Path, errors: &mut Vec<FieldError>) {
    let at = path.child("cidr");
    if block.cidr.is_empty() {
        errors.push(FieldError::required(&at, ""));
        return;
    }
    report(names::cidr(&block.cidr), &at, &block.cidr, errors);
    let Some((_, bits, first)) = fields::network(&block.cidr) else { return };
    for (i, except) in block.except.iter().flatten().enumerate() {
        let at = path.child("except").index(i);
        report(names::cidr(except), &at, except, errors);
        let Some((address, narrower, _)) = fields::network(except) else { continue };
        let within = fields::network(&format!("{address}/{bits}")).is_some_and(|(.., start)| start == first);
        if !within || narrower <= bits {
            errors.push(FieldError::invalid(&at, except.as_str(), "must be a strict subset of `cidr`"));
        }
    }
}
