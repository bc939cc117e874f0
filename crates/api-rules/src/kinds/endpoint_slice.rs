//! EndpointSlice: some of the addresses behind a Service, with their conditions.

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::discovery::v1,
};
use jiff::Timestamp;
use serde_json::Value;

use super::endpoints::endpoint_ip;
use crate::{
    kind::{Names, Scope, Storage},
    names,
    table::{cells, duration},
    typed::Resource,
    value,
};

const MAX_ENDPOINTS: usize = 1000;
const MAX_ADDRESSES: usize = 100;
const MAX_PORTS: usize = 20_000;
const SHOWN: usize = 3;

pub struct EndpointSlice;

impl Resource for EndpointSlice {
    type Object = v1::EndpointSlice;

    const NAMES: Names = Names {
        group: "discovery.k8s.io",
        version: "v1",
        kind: "EndpointSlice",
        list_kind: "EndpointSliceList",
        plural: "endpointslices",
        singular: "endpointslice",
        short_names: &[],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Namespaced;
    const STORAGE: Option<Storage> = Some(Storage { prefix: "endpointslices", cached: true });

    fn set_defaults(object: &mut Value) {
        value::each(object, "ports", |port| {
            value::default(port, "name", "");
            value::default(port, "protocol", "TCP");
        });
    }

    fn prepare_create(object: &mut Value, _: &crate::kind::Context) {
        value::set(object, &["metadata", "generation"], 1.into());
    }

    fn prepare_update(new: &mut Value, old: &Value, _: Option<&str>, _: &crate::kind::Context) {
        let changed = ["addressType", "endpoints", "ports"].iter().any(|m| new.get(m) != old.get(m))
            || value::at(new, &["metadata", "labels"]) != value::at(old, &["metadata", "labels"]);
        if changed {
            let generation = value::at(old, &["metadata", "generation"]).and_then(Value::as_i64).unwrap_or(0);
            value::set(new, &["metadata", "generation"], (generation + 1).into());
        }
    }

    fn validate(object: &v1::EndpointSlice, errors: &mut Vec<FieldError>) {
        let supported = ["FQDN", "IPv4", "IPv6"];
        if object.address_type.is_empty() {
            errors.push(FieldError::required(&Path::new("addressType"), ""));
        } else if !supported.contains(&object.address_type.as_str()) {
            errors.push(FieldError::not_supported(&Path::new("addressType"), object.address_type.as_str(), &supported));
        }
        let endpoints = object.endpoints.as_deref().unwrap_or_default();
        if endpoints.len() > MAX_ENDPOINTS {
            errors.push(FieldError::too_many(&Path::new("endpoints"), endpoints.len(), MAX_ENDPOINTS));
            return;
        }
        for (i, endpoint) in endpoints.iter().enumerate() {
            validate_endpoint(endpoint, &object.address_type, &Path::new("endpoints").index(i), errors);
        }
        let ports = object.ports.as_deref().unwrap_or_default();
        if ports.len() > MAX_PORTS {
            errors.push(FieldError::too_many(&Path::new("ports"), ports.len(), MAX_PORTS));
            return;
        }
        let mut seen = std::collections::BTreeSet::new();
        for (i, port) in ports.iter().enumerate() {
            let path = Path::new("ports").index(i);
            let name = port.name.as_deref().unwrap_or_default();
            if !name.is_empty() {
                errors.extend(
                    names::dns_label(name).into_iter().map(|e| FieldError::invalid(&path.child("name"), name, e)),
                );
            }
            if !seen.insert(name) {
                errors.push(FieldError::duplicate(&path.child("name"), name));
            }
            super::validate_protocol(port.protocol.as_deref(), &path.child("protocol"), errors);
        }
    }

    fn validate_update(
        new: &v1::EndpointSlice,
        old: &v1::EndpointSlice,
        _: Option<&str>,
        errors: &mut Vec<FieldError>,
    ) {
        if new.address_type != old.address_type {
            errors.push(FieldError::invalid(
                &Path::new("addressType"),
                new.address_type.as_str(),
                "field is immutable",
            ));
        }
    }

    fn cells(object: &v1::EndpointSlice, now: Timestamp) -> Vec<Value> {
        let ports = object.ports.as_deref().unwrap_or_default();
        let ports = if ports.is_empty() {
            "<unset>".to_owned()
        } else {
            more(ports.iter().map(|p| p.port.map_or_else(|| "*".to_owned(), |n| n.to_string())).collect())
        };
        let addresses = object.endpoints.iter().flatten().flat_map(|e| e.addresses.clone()).collect::<Vec<_>>();
        let addresses = if addresses.is_empty() { "<unset>".to_owned() } else { more(addresses) };
        vec![
            cells::name(&object.metadata),
            object.address_type.as_str().into(),
            ports.into(),
            addresses.into(),
            duration::age(&object.metadata, now),
        ]
    }
}

fn validate_endpoint(endpoint: &v1::Endpoint, address_type: &str, path: &Path, errors: &mut Vec<FieldError>) {
    let at = path.child("addresses");
    if endpoint.addresses.is_empty() {
        errors.push(FieldError::required(&at, "must contain at least 1 address"));
    } else if endpoint.addresses.len() > MAX_ADDRESSES {
        errors.push(FieldError::too_many(&at, endpoint.addresses.len(), MAX_ADDRESSES));
    }
    for (i, address) in endpoint.addresses.iter().enumerate() {
        let at = at.index(i);
        let mut wrong = match address_type {
            "FQDN" => names::dns_subdomain(address),
            _ => endpoint_ip(address),
        };
        let family = address.parse::<std::net::IpAddr>().map(|ip| if ip.is_ipv4() { "IPv4" } else { "IPv6" });
        if let (true, Ok(family)) = (["IPv4", "IPv6"].contains(&address_type), family)
            && family != address_type
        {
            wrong.push(format!("must be an {address_type} address"));
        }
        errors.extend(wrong.into_iter().map(|e| FieldError::invalid(&at, address.as_str(), e)));
    }
    if let Some(node) = &endpoint.node_name {
        errors.extend(
            names::dns_subdomain(node)
                .into_iter()
                .map(|e| FieldError::invalid(&path.child("nodeName"), node.as_str(), e)),
        );
    }
    if let Some(hostname) = &endpoint.hostname {
        errors.extend(
            names::dns_label(hostname)
                .into_iter()
                .map(|e| FieldError::invalid(&path.child("hostname"), hostname.as_str(), e)),
        );
    }
}

/// The first few and how many follow.
fn more(all: Vec<String>) -> String {
    let rest = all.len().saturating_sub(SHOWN);
    let text = cells::list(all.into_iter().take(SHOWN));
    if rest > 0 { format!("{text} + {rest} more...") } else { text }
}
