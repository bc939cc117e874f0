//! ServiceCIDR: ranges that addresses of Services come from.

use std::net::IpAddr;

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::networking::v1,
};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::fields;
use crate::{
    kind::{Names, Scope, Storage, Subresource},
    table::{cells, duration},
    typed::{Resource, not_enforced, status_of},
};

const RANGES_MAX: usize = 2;
/// The one that the server makes of its own configuration.
const DEFAULT: &str = "kubernetes";

pub struct ServiceCIDR;

impl Resource for ServiceCIDR {
    type Object = v1::ServiceCIDR;

    const NAMES: Names = Names {
        group: "networking.k8s.io",
        version: "v1",
        kind: "ServiceCIDR",
        list_kind: "ServiceCIDRList",
        plural: "servicecidrs",
        singular: "servicecidr",
        short_names: &[],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Cluster;
    const STORAGE: Option<Storage> = Some(Storage { prefix: "servicecidrs", cached: true });
    const SUBRESOURCES: &'static [Subresource] = &[status_of(&Self::NAMES)];

    fn validate(object: &v1::ServiceCIDR, errors: &mut Vec<FieldError>) {
        ranges(&of(object), &Path::new("spec").child("cidrs"), errors);
    }

    /// A second range of the other family may be added; nothing else changes.
    fn validate_update(new: &v1::ServiceCIDR, old: &v1::ServiceCIDR, _: Option<&str>, errors: &mut Vec<FieldError>) {
        let (new, old) = (of(new), of(old));
        let path = Path::new("spec").child("cidrs");
        if new.len() != old.len() && (old.len(), new.len()) != (1, 2) {
            errors.push(FieldError::invalid(&path, json!(new), "field is immutable"));
            return;
        }
        for (i, (after, _)) in new.iter().zip(&old).enumerate().filter(|(_, (after, before))| after != before) {
            errors.push(FieldError::invalid(&path.index(i), after.as_str(), "field is immutable"));
        }
    }

    fn warnings(object: &v1::ServiceCIDR) -> Vec<String> {
        if object.metadata.name.as_deref() == Some(DEFAULT) {
            return Vec::new();
        }
        vec![not_enforced(&Self::NAMES, "addresses come from the range of the server's configuration alone")]
    }

    fn cells(object: &v1::ServiceCIDR, now: Timestamp) -> Vec<Value> {
        vec![cells::name(&object.metadata), of(object).join(",").into(), duration::age(&object.metadata, now)]
    }
}

fn of(object: &v1::ServiceCIDR) -> Vec<String> {
    object.spec.as_ref().and_then(|s| s.cidrs.clone()).unwrap_or_default()
}

fn ranges(cidrs: &[String], path: &Path, errors: &mut Vec<FieldError>) {
    if cidrs.is_empty() {
        errors.push(FieldError::required(path, "at least one CIDR required"));
        return;
    }
    if cidrs.len() > RANGES_MAX {
        errors.push(FieldError::invalid(path, json!({"CIDRs": cidrs}), "may only hold up to 2 values"));
        return;
    }
    for (i, cidr) in cidrs.iter().enumerate() {
        fields::canonical_cidr(cidr, &path.index(i), errors);
    }
    let families: Vec<_> =
        cidrs.iter().filter_map(|c| fields::network(c)).map(|(ip, ..)| IpAddr::is_ipv4(&ip)).collect();
    if let [first, second] = families[..]
        && first == second
    {
        errors.push(FieldError::invalid(
            path,
            json!(cidrs),
            "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64",
        ));
    }
}
