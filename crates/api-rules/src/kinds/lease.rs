//! Lease: who leads, and since when; heartbeats of nodes.

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::coordination::v1,
};
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    kind::{Names, Scope, Storage},
    table::{cells, duration},
    typed::Resource,
};

pub struct Lease;

impl Resource for Lease {
    type Object = v1::Lease;

    const NAMES: Names = Names {
        group: "coordination.k8s.io",
        version: "v1",
        kind: "Lease",
        list_kind: "LeaseList",
        plural: "leases",
        singular: "lease",
        short_names: &[],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Namespaced;
    const STORAGE: Option<Storage> = Some(Storage { prefix: "leases", cached: true });
    const CREATES_ON_UPDATE: bool = true;
    const UPDATES_UNCONDITIONALLY: bool = false;

    fn validate(object: &v1::Lease, errors: &mut Vec<FieldError>) {
        let Some(spec) = &object.spec else { return };
        let path = Path::new("spec");
        if let Some(seconds) = spec.lease_duration_seconds.filter(|s| *s <= 0) {
            errors.push(FieldError::invalid(&path.child("leaseDurationSeconds"), seconds, "must be greater than 0"));
        }
        if let Some(count) = spec.lease_transitions.filter(|n| *n < 0) {
            errors.push(FieldError::invalid(
                &path.child("leaseTransitions"),
                count,
                "must be greater than or equal to 0",
            ));
        }
    }

    fn cells(object: &v1::Lease, now: Timestamp) -> Vec<Value> {
        let holder = object.spec.as_ref().and_then(|s| s.holder_identity.clone()).unwrap_or_default();
        vec![cells::name(&object.metadata), holder.into(), duration::age(&object.metadata, now)]
    }
}
