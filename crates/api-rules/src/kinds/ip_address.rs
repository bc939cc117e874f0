//! IPAddress: an address of the service range that is taken, and by whom. Its name is the address.

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::networking::v1,
};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    kind::{Names, Scope, Storage},
    metadata::NameRule,
    table::cells,
    typed::Resource,
};

pub struct IPAddress;

impl Resource for IPAddress {
    type Object = v1::IPAddress;

    const NAMES: Names = Names {
        group: "networking.k8s.io",
        version: "v1",
        kind: "IPAddress",
        list_kind: "IPAddressList",
        plural: "ipaddresses",
        singular: "ipaddress",
        short_names: &["ip"],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Cluster;
    const STORAGE: Option<Storage> = Some(Storage { prefix: "ipaddresses", cached: true });
    const FIELDS: &'static [&'static str] =
        &["spec.parentRef.group", "spec.parentRef.resource", "spec.parentRef.namespace", "spec.parentRef.name"];
    const NAME_RULE: NameRule = canonical_ip;

    fn validate(object: &v1::IPAddress, errors: &mut Vec<FieldError>) {
        let path = Path::new("spec").child("parentRef");
        let parent = &object.spec.parent_ref;
        for (member, text) in [("resource", &parent.resource), ("name", &parent.name)] {
            if text.is_empty() {
                errors.push(FieldError::required(&path.child(member), ""));
            }
        }
    }

    fn validate_update(new: &v1::IPAddress, old: &v1::IPAddress, _: Option<&str>, errors: &mut Vec<FieldError>) {
        if new.spec.parent_ref != old.spec.parent_ref {
            errors.push(FieldError::invalid(
                &Path::new("spec").child("parentRef"),
                json!(new.spec.parent_ref),
                "field is immutable",
            ));
        }
    }

    fn cells(object: &v1::IPAddress, _: Timestamp) -> Vec<Value> {
        let p = &object.spec.parent_ref;
        let parts =
            [p.group.as_deref().unwrap_or_default(), &p.resource, p.namespace.as_deref().unwrap_or_default(), &p.name];
        let shown = parts.into_iter().filter(|s| !s.is_empty()).collect::<Vec<_>>().join("/");
        vec![cells::name(&object.metadata), shown.into()]
    }
}

/// The name must be the address in its shortest form.
fn canonical_ip(name: &str, _: bool) -> Vec<String> {
    match name.parse::<std::net::IpAddr>() {
        Ok(ip) if ip.to_string() == name => Vec::new(),
        _ => vec!["must be a canonical form IP address".to_owned()],
    }
}
