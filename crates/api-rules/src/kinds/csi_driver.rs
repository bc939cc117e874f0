//! CSIDriver: what the cluster should know of a storage driver. Its name is the driver's.

use std::collections::BTreeSet;

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::storage::v1::{self, CSIDriverSpec, TokenRequest},
};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::fields::kept;
use crate::{
    kind::{Context, Names, Scope, Storage},
    names::one_of,
    table::{
        cells::{self, NONE},
        duration,
    },
    typed::Resource,
    value,
};

const TOKEN_MIN_SECONDS: i64 = 600;
const TOKEN_MAX_SECONDS: i64 = 1 << 32;
const UPDATE_PERIOD_MIN: i64 = 10;

pub struct CSIDriver;

impl Resource for CSIDriver {
    type Object = v1::CSIDriver;

    const NAMES: Names = Names {
        group: "storage.k8s.io",
        version: "v1",
        kind: "CSIDriver",
        list_kind: "CSIDriverList",
        plural: "csidrivers",
        singular: "csidriver",
        short_names: &[],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Cluster;
    const STORAGE: Option<Storage> = Some(Storage { prefix: "csidrivers", cached: true });
    const RETURNS_DELETED: bool = true;
    const UPDATES_UNCONDITIONALLY: bool = false;
    const NOT_ENFORCED: Option<&'static str> = Some("kubelets mount no volumes of CSI drivers");

    fn set_defaults(object: &mut Value) {
        let spec = value::child(object, "spec");
        value::default(spec, "attachRequired", true);
        value::default(spec, "podInfoOnMount", false);
        value::default(spec, "storageCapacity", false);
        value::default(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
        value::default(spec, "requiresRepublish", false);
        value::default(spec, "seLinuxMount", false);
        if value::items(spec, &["volumeLifecycleModes"]).is_empty() {
            value::set(spec, &["volumeLifecycleModes"], json!(["Persistent"]));
        }
    }

    /// Generations count changes alone: a new driver has none.
    fn prepare_update(new: &mut Value, old: &Value, _: Option<&str>, _: &Context) {
        if new.get("spec") != old.get("spec") {
            let generation = value::at(old, &["metadata", "generation"]).and_then(Value::as_i64).unwrap_or(0);
            value::set(new, &["metadata", "generation"], (generation + 1).into());
        }
    }

    fn validate(object: &v1::CSIDriver, errors: &mut Vec<FieldError>) {
        let (spec, path) = (&object.spec, Path::new("spec"));
        for (member, given) in [
            ("attachedRequired", spec.attach_required),
            ("podInfoOnMount", spec.pod_info_on_mount),
            ("storageCapacity", spec.storage_capacity),
            ("seLinuxMount", spec.se_linux_mount),
        ] {
            if given.is_none() {
                errors.push(FieldError::required(&path.child(member), ""));
            }
        }
        if let Some(policy) = &spec.fs_group_policy {
            one_of(policy, &["File", "None", "ReadWriteOnceWithFSType"], &path.child("fsGroupPolicy"), errors);
        }
        tokens(spec.token_requests.as_deref().unwrap_or_default(), &path.child("tokenRequests"), errors);
        for mode in spec.volume_lifecycle_modes.iter().flatten() {
            one_of(mode, &["Persistent", "Ephemeral"], &path.child("volumeLifecycleModes"), errors);
        }
        if let Some(period) = spec.node_allocatable_update_period_seconds.filter(|p| *p < UPDATE_PERIOD_MIN) {
            errors.push(FieldError::invalid(
                &path.child("nodeAllocatableUpdatePeriodSeconds"),
                period,
                "must be greater than or equal to 10 seconds",
            ));
        }
    }

    fn validate_update(new: &v1::CSIDriver, old: &v1::CSIDriver, _: Option<&str>, errors: &mut Vec<FieldError>) {
        let path = Path::new("spec");
        let (new, old): (&CSIDriverSpec, &CSIDriverSpec) = (&new.spec, &old.spec);
        kept(&new.attach_required, &old.attach_required, &path.child("attachedRequired"), errors);
        kept(&new.volume_lifecycle_modes, &old.volume_lifecycle_modes, &path.child("volumeLifecycleModes"), errors);
    }

    fn cells(object: &v1::CSIDriver, now: Timestamp) -> Vec<Value> {
        let spec = &object.spec;
        let tokens = spec.token_requests.as_ref().map_or_else(
            || "<unset>".to_owned(),
            |tokens| tokens.iter().map(|t| t.audience.as_str()).collect::<Vec<_>>().join(","),
        );
        let modes = spec.volume_lifecycle_modes.clone().unwrap_or_default().join(",");
        vec![
            cells::name(&object.metadata),
            spec.attach_required.unwrap_or(true).into(),
            spec.pod_info_on_mount.unwrap_or(false).into(),
            spec.storage_capacity.unwrap_or(false).into(),
            tokens.into(),
            spec.requires_republish.unwrap_or(false).into(),
            if modes.is_empty() { NONE.to_owned() } else { modes }.into(),
            duration::age(&object.metadata, now),
        ]
    }
}

fn tokens(requests: &[TokenRequest], path: &Path, errors: &mut Vec<FieldError>) {
    let mut audiences = BTreeSet::new();
    for (i, request) in requests.iter().enumerate() {
        let at = path.index(i);
        if !audiences.insert(&request.audience) {
            errors.push(FieldError::duplicate(&at.child("audience"), request.audience.as_str()));
            continue;
        }
        let Some(seconds) = request.expiration_seconds else { continue };
        let why = match seconds {
            ..TOKEN_MIN_SECONDS => "may not specify a duration less than 10 minutes",
            TOKEN_MIN_SECONDS..=TOKEN_MAX_SECONDS => continue,
            _ => "may not specify a duration larger than 2^32 seconds",
        };
        errors.push(FieldError::invalid(&at.child("expirationSeconds"), seconds, why));
    }
}
