//! Endpoints: the addresses behind a Service in their older form.

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::core::v1,
};
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    kind::{Names, Scope, Storage},
    names,
    table::{cells, duration},
    typed::Resource,
    value,
};

/// How many addresses `get` shows before it counts the rest.
const SHOWN: usize = 3;

pub struct Endpoints;

impl Resource for Endpoints {
    type Object = v1::Endpoints;

    const NAMES: Names = Names {
        group: "",
        version: "v1",
        kind: "Endpoints",
        list_kind: "EndpointsList",
        plural: "endpoints",
        singular: "endpoints",
        short_names: &["ep"],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Namespaced;
    const STORAGE: Option<Storage> = Some(Storage { prefix: "services/endpoints", cached: true });
    const CREATES_ON_UPDATE: bool = true;

    fn set_defaults(object: &mut Value) {
        value::each(object, "subsets", |subset| {
            value::each(subset, "ports", |port| value::default(port, "protocol", "TCP"));
        });
    }

    fn validate(object: &v1::Endpoints, errors: &mut Vec<FieldError>) {
        for (i, subset) in object.subsets.iter().flatten().enumerate() {
            let path = Path::new("subsets").index(i);
            let ready = subset.addresses.as_deref().unwrap_or_default();
            let unready = subset.not_ready_addresses.as_deref().unwrap_or_default();
            if ready.is_empty() && unready.is_empty() {
                errors.push(FieldError::required(&path, "must specify `addresses` or `notReadyAddresses`"));
            }
            for (member, addresses) in [("addresses", ready), ("notReadyAddresses", unready)] {
                for (j, address) in addresses.iter().enumerate() {
                    let at = path.child(member).index(j).child("ip");
                    errors.extend(
                        endpoint_ip(&address.ip).into_iter().map(|e| FieldError::invalid(&at, address.ip.as_str(), e)),
                    );
                }
            }
            let ports = subset.ports.as_deref().unwrap_or_default();
            for (j, port) in ports.iter().enumerate() {
                let at = path.child("ports").index(j);
                let name = port.name.as_deref().unwrap_or_default();
                if name.is_empty() && ports.len() > 1 {
                    errors.push(FieldError::required(&at.child("name"), ""));
                } else if !name.is_empty() {
                    errors.extend(
                        names::dns_label(name).into_iter().map(|e| FieldError::invalid(&at.child("name"), name, e)),
                    );
                }
                errors.extend(
                    names::port_number(port.port.into())
                        .into_iter()
                        .map(|e| FieldError::invalid(&at.child("port"), port.port, e)),
                );
                super::validate_protocol(port.protocol.as_deref(), &at.child("protocol"), errors);
            }
        }
    }

    fn warnings(_: &v1::Endpoints) -> Vec<String> {
        vec!["v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice".to_owned()]
    }

    fn cells(object: &v1::Endpoints, now: Timestamp) -> Vec<Value> {
        vec![cells::name(&object.metadata), shown(object).into(), duration::age(&object.metadata, now)]
    }
}

/// An address traffic may be sent to; upstream refuses those that would reach into the node.
pub fn endpoint_ip(text: &str) -> Vec<String> {
    let Ok(ip) = text.parse::<std::net::IpAddr>() else { return names::ip(text) };
    let link_local = match ip {
        std::net::IpAddr::V4(ip) => ip.is_link_local(),
        std::net::IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    let mut errors = Vec::new();
    if ip.is_unspecified() {
        errors.push(format!("may not be unspecified ({text})"));
    }
    if ip.is_loopback() {
        errors.push("may not be in the loopback range (127.0.0.0/8, ::1/128)".to_owned());
    }
    if link_local {
        errors.push("may not be in the link-local range (169.254.0.0/16, fe80::/10)".to_owned());
    }
    if ip.is_multicast() {
        errors.push("may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)".to_owned());
    }
    errors
}

fn shown(object: &v1::Endpoints) -> String {
    let mut all = Vec::new();
    for subset in object.subsets.iter().flatten() {
        for address in subset.addresses.iter().flatten() {
            match subset.ports.as_deref() {
                None | Some([]) => all.push(address.ip.clone()),
                Some(ports) => all.extend(ports.iter().map(|port| {
                    if address.ip.contains(':') {
                        format!("[{}]:{}", address.ip, port.port)
                    } else {
                        format!("{}:{}", address.ip, port.port)
                    }
                })),
            }
        }
    }
    let more = all.len().saturating_sub(SHOWN);
    let text = cells::list(all.into_iter().take(SHOWN));
    if more > 0 { format!("{text} + {more} more...") } else { text }
}
