//! PriorityClass: a name for a number that says which pods go first. Numbers never change once given.

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::scheduling::v1,
};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    kind::{Names, Scope, Storage},
    table::{cells, duration},
    typed::Resource,
    value,
};

/// Above this, only the system's own classes.
const HIGHEST_USER_PRIORITY: i32 = 1_000_000_000;
const SYSTEM_PREFIX: &str = "system-";
const SYSTEM_CLASSES: [(&str, i32); 2] =
    [("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)];

pub struct PriorityClass;

impl Resource for PriorityClass {
    type Object = v1::PriorityClass;

    const NAMES: Names = Names {
        group: "scheduling.k8s.io",
        version: "v1",
        kind: "PriorityClass",
        list_kind: "PriorityClassList",
        plural: "priorityclasses",
        singular: "priorityclass",
        short_names: &["pc"],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Cluster;
    const STORAGE: Option<Storage> = Some(Storage { prefix: "priorityclasses", cached: true });

    fn set_defaults(object: &mut Value) {
        value::default(object, "preemptionPolicy", "PreemptLowerPriority");
    }

    fn validate(object: &v1::PriorityClass, errors: &mut Vec<FieldError>) {
        let name = object.metadata.name.as_deref().unwrap_or_default();
        if name.starts_with(SYSTEM_PREFIX) {
            let known = SYSTEM_CLASSES.iter().find(|(class, _)| *class == name);
            if known.is_none_or(|(_, number)| Some(*number) != object.value) {
                errors.push(FieldError::forbidden(
                    &Path::new("metadata").child("name"),
                    format!("priority class names with '{SYSTEM_PREFIX}' prefix are reserved for system use only. error: {name} is not a known system priority class"),
                ));
            }
        } else if object.value.is_some_and(|v| v > HIGHEST_USER_PRIORITY) {
            errors.push(FieldError::forbidden(
                &Path::new("value"),
                format!("maximum allowed value of a user defined priority is {HIGHEST_USER_PRIORITY}"),
            ));
        }
        let policy = object.preemption_policy.as_deref().unwrap_or_default();
        if !["", "PreemptLowerPriority", "Never"].contains(&policy) {
            errors.push(FieldError::not_supported(
                &Path::new("preemptionPolicy"),
                policy,
                &["Never", "PreemptLowerPriority"],
            ));
        }
    }

    fn validate_update(
        new: &v1::PriorityClass,
        old: &v1::PriorityClass,
        _: Option<&str>,
        errors: &mut Vec<FieldError>,
    ) {
        if new.value != old.value {
            errors.push(FieldError::forbidden(&Path::new("value"), "may not be changed in an update."));
        }
        if new.preemption_policy != old.preemption_policy {
            errors.push(FieldError::invalid(
                &Path::new("preemptionPolicy"),
                json!(new.preemption_policy),
                "field is immutable",
            ));
        }
    }

    fn cells(object: &v1::PriorityClass, now: Timestamp) -> Vec<Value> {
        vec![
            cells::name(&object.metadata),
            object.value.unwrap_or(0).into(),
            object.global_default.unwrap_or(false).into(),
            duration::age(&object.metadata, now),
            object.preemption_policy.clone().unwrap_or_default().into(),
        ]
    }
}
