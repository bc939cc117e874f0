//! ResourceClaim: devices that pods ask for, and which they were given.

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::resource::v1::{self, AllocationResult, DeviceClaim, ResourceClaimStatus},
};
use jiff::Timestamp;
use serde_json::Value;

use super::{
    device_claim::{self, RequestNames, at_most},
    fields::{self, kept, named, required},
    pod::validation::scheduling,
};
use crate::{
    kind::{Names, Scope, Storage, Subresource},
    names::{self, one_of},
    table::{cells, duration},
    typed::{Resource, status_of},
    value,
};

type Errors = Vec<FieldError>;

const CONSUMERS_MAX: usize = 256;
const RESULTS_MAX: usize = 32;

pub struct ResourceClaim;

impl Resource for ResourceClaim {
    type Object = v1::ResourceClaim;

    const NAMES: Names = Names {
        group: "resource.k8s.io",
        version: "v1",
        kind: "ResourceClaim",
        list_kind: "ResourceClaimList",
        plural: "resourceclaims",
        singular: "resourceclaim",
        short_names: &[],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Namespaced;
    const STORAGE: Option<Storage> = Some(Storage { prefix: "resourceclaims", cached: true });
    const SUBRESOURCES: &'static [Subresource] = &[status_of(&Self::NAMES)];
    const RETURNS_DELETED: bool = true;
    const NOT_ENFORCED: Option<&'static str> = Some(device_claim::NOT_ALLOCATED);

    fn set_defaults(object: &mut Value) {
        device_claim::defaults(value::child(object, "spec"));
    }

    fn validate(object: &v1::ResourceClaim, errors: &mut Errors) {
        let devices = object.spec.devices.clone().unwrap_or_default();
        device_claim::validate(&devices, &Path::new("spec").child("devices"), errors);
    }

    fn validate_update(
        new: &v1::ResourceClaim,
        old: &v1::ResourceClaim,
        subresource: Option<&str>,
        errors: &mut Errors,
    ) {
        kept(&new.spec, &old.spec, &Path::new("spec"), errors);
        if subresource == Some("status") {
            let devices = new.spec.devices.clone().unwrap_or_default();
            let deleted = new.metadata.deletion_timestamp.is_some();
            let (new, old) = (new.status.clone().unwrap_or_default(), old.status.clone().unwrap_or_default());
            validate_status(&new, &old, &devices, deleted, errors);
        }
    }

    fn cells(object: &v1::ResourceClaim, now: Timestamp) -> Vec<Value> {
        vec![cells::name(&object.metadata), state(object).into(), duration::age(&object.metadata, now)]
    }
}

fn state(object: &v1::ResourceClaim) -> String {
    let status = object.status.clone().unwrap_or_default();
    let deleted = object.metadata.deletion_timestamp.is_some();
    let mut words = Vec::new();
    if deleted {
        words.push("deleted");
    }
    match status.allocation {
        None if deleted => {}
        None => words.push("pending"),
        Some(_) => {
            words.push("allocated");
            if status.reserved_for.is_some_and(|r| !r.is_empty()) {
                words.push("reserved");
            }
        }
    }
    words.join(",")
}

fn validate_status(
    new: &ResourceClaimStatus,
    old: &ResourceClaimStatus,
    devices: &DeviceClaim,
    deleted: bool,
    errors: &mut Errors,
) {
    let path = Path::new("status");
    consumers(new, old, deleted, &path.child("reservedFor"), errors);
    let at = path.child("devices");
    let reports = new.devices.as_deref().unwrap_or_default();
    for (i, one) in reports.iter().enumerate() {
        let at = at.index(i);
        fields::driver(&one.driver, &at.child("driver"), errors);
        required(&one.pool, &at.child("pool"), errors);
        named(&one.device, names::dns_label, &at.child("device"), errors);
        let key = (&one.driver, &one.pool, &one.device, &one.share_id);
        if reports[..i].iter().any(|o| (&o.driver, &o.pool, &o.device, &o.share_id) == key) {
            errors.push(FieldError::duplicate(&at, format!("{}/{}/{}", one.driver, one.pool, one.device)));
        }
        let results = new.allocation.iter().filter_map(|a| a.devices.as_ref()).flat_map(|d| d.results.iter().flatten());
        if !results.into_iter().any(|r| (&r.driver, &r.pool, &r.device, &r.share_id) == key) {
            let given = format!("{}/{}/{}", one.driver, one.pool, one.device);
            errors.push(FieldError::invalid(&at, given, "must be an allocated device in the claim"));
        }
    }
    let at = path.child("allocation");
    match (&new.allocation, &old.allocation) {
        (Some(_), Some(_)) => kept(&new.allocation, &old.allocation, &at, errors),
        (Some(allocation), None) => {
            let names = RequestNames::of(devices.requests.as_deref().unwrap_or_default());
            validate_allocation(allocation, &names, &at, errors);
        }
        (None, _) => {}
    }
}

fn consumers(new: &ResourceClaimStatus, old: &ResourceClaimStatus, deleted: bool, path: &Path, errors: &mut Errors) {
    let list = new.reserved_for.as_deref().unwrap_or_default();
    if list.is_empty() {
        return;
    }
    if at_most(list.len(), CONSUMERS_MAX, path, errors) {
        for (i, one) in list.iter().enumerate() {
            let at = path.index(i);
            for (member, text) in [("resource", &one.resource), ("name", &one.name), ("uid", &one.uid)] {
                required(text, &at.child(member), errors);
            }
            if list[..i].iter().any(|other| other.uid == one.uid) {
                errors.push(FieldError::duplicate(&at, one.uid.as_str()));
            }
        }
    }
    let before = old.reserved_for.as_deref().unwrap_or_default();
    if new.allocation.is_none() {
        errors.push(FieldError::forbidden(path, "may not be specified when `allocated` is not set"));
    } else if deleted && list.iter().any(|one| !before.contains(one)) {
        let why = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set";
        errors.push(FieldError::forbidden(path, why));
    }
}

fn validate_allocation(allocation: &AllocationResult, names_of: &RequestNames, path: &Path, errors: &mut Errors) {
    let devices = allocation.devices.clone().unwrap_or_default();
    let (results, at) = (devices.results.unwrap_or_default(), path.child("devices").child("results"));
    if at_most(results.len(), RESULTS_MAX, &at, errors) {
        for (i, one) in results.iter().enumerate() {
            let at = at.index(i);
            device_claim::reference(&one.request, names_of, &at.child("request"), errors);
            fields::driver(&one.driver, &at.child("driver"), errors);
            required(&one.pool, &at.child("pool"), errors);
            named(&one.device, names::dns_label, &at.child("device"), errors);
            for (j, toleration) in one.tolerations.iter().flatten().enumerate() {
                device_claim::toleration(toleration, &at.child("tolerations").index(j), errors);
            }
        }
    }
    let (configs, at) = (devices.config.unwrap_or_default(), path.child("devices").child("config"));
    if at_most(configs.len(), 2 * device_claim::CONFIGS_MAX, &at, errors) {
        for (i, config) in configs.iter().enumerate() {
            let at = at.index(i);
            match config.source.as_str() {
                "" => errors.push(FieldError::required(&at.child("source"), "")),
                source => one_of(source, &["FromClaim", "FromClass"], &at.child("source"), errors),
            }
            let requests = config.requests.as_deref().unwrap_or_default();
            device_claim::references(requests, names_of, &at.child("requests"), errors);
            device_claim::opaque(config.opaque.as_ref(), &at, errors);
        }
    }
    if let Some(selector) = &allocation.node_selector {
        scheduling::node_selector(selector, &path.child("nodeSelector"), errors);
    }
}
