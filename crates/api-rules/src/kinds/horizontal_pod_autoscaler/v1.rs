//! HorizontalPodAutoscaler as it was first: the processor's use, and nothing else, in fields of its own.

use api_types::{
    field::{FieldError, Path},
    k8s_openapi::api::autoscaling::{v1, v2},
};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{convert, v2::HorizontalPodAutoscaler as Stored, validation};
use crate::{
    kind::{Context, Names, Scope, Storage, Subresource},
    table::cells,
    typed::{GET_PATCH_UPDATE, Resource},
    value,
};

pub struct HorizontalPodAutoscaler;

impl Resource for HorizontalPodAutoscaler {
    type Object = v1::HorizontalPodAutoscaler;

    const NAMES: Names = Names {
        group: "autoscaling",
        version: "v1",
        kind: "HorizontalPodAutoscaler",
        list_kind: "HorizontalPodAutoscalerList",
        plural: "horizontalpodautoscalers",
        singular: "horizontalpodautoscaler",
        short_names: &["hpa"],
        categories: &["all"],
    };
    const SCOPE: Scope = Scope::Namespaced;
    const STORAGE: Option<Storage> = super::STORAGE;
    const NOT_ENFORCED: Option<&'static str> = super::NOT_SCALED;
    const SUBRESOURCES: &'static [Subresource] = &[Subresource {
        name: "status",
        group: "autoscaling",
        version: "v1",
        kind: "HorizontalPodAutoscaler",
        verbs: GET_PATCH_UPDATE,
    }];
    const STORAGE_VERSION: bool = false;

    /// That the processor's use counts when nothing else does is said in the form of v2.
    fn set_defaults(object: &mut Value) {
        value::default(value::child(object, "spec"), "minReplicas", 1);
    }

    fn prepare_create(object: &mut Value, _: &Context) {
        convert::drop_annotations_of_status(object);
        value::set(object, &["status"], json!({"currentReplicas": 0, "desiredReplicas": 0}));
    }

    /// The annotations about the status belong to it: they change where it does.
    fn prepare_update(new: &mut Value, old: &Value, subresource: Option<&str>, _: &Context) {
        if subresource.is_none() {
            convert::keep_annotations_of_status(new, old);
        }
    }

    fn validate(object: &v1::HorizontalPodAutoscaler, errors: &mut Vec<FieldError>) {
        match v2::HorizontalPodAutoscaler::deserialize(&convert::to_v2(json!(object))) {
            Ok(object) => validation::spec(&object.spec, errors),
            Err(why) => errors.push(FieldError::internal(&Path::new("metadata").child("annotations"), why.to_string())),
        }
    }

    fn validate_update(
        new: &v1::HorizontalPodAutoscaler,
        _: &v1::HorizontalPodAutoscaler,
        subresource: Option<&str>,
        errors: &mut Vec<FieldError>,
    ) {
        if let (Some("status"), Some(status)) = (subresource, &new.status) {
            validation::status(status.current_replicas, status.desired_replicas, errors);
        }
    }

    fn cells(object: &v1::HorizontalPodAutoscaler, now: Timestamp) -> Vec<Value> {
        match v2::HorizontalPodAutoscaler::deserialize(&convert::to_v2(json!(object))) {
            Ok(stored) => Stored::cells(&stored, now),
            Err(_) => std::iter::once(cells::name(&object.metadata))
                .chain(std::iter::repeat_n("<unknown>".into(), 6))
                .collect(),
        }
    }

    fn to_storage(object: Value) -> Value {
        let mut stored = convert::to_v2(object);
        Stored::set_defaults(&mut stored);
        stored
    }

    fn from_storage(object: Value) -> Value {
        convert::to_v1(object)
    }
}
