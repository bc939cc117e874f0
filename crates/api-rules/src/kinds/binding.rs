//! Binding: gives a pod its node (see `pod::binding`). Acted upon, never stored.

use api_types::{field::FieldError, k8s_openapi::api::core::v1};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    kind::{Names, Scope, Storage},
    table::{cells, duration},
    typed::{ANSWERED, Resource},
};

pub struct Binding;

impl Resource for Binding {
    type Object = v1::Binding;

    const NAMES: Names = Names {
        group: "",
        version: "v1",
        kind: "Binding",
        list_kind: "",
        plural: "bindings",
        singular: "binding",
        short_names: &[],
        categories: &[],
    };
    const SCOPE: Scope = Scope::Namespaced;
    const VERBS: &'static [&'static str] = ANSWERED;
    const STORAGE: Option<Storage> = None;

    fn validate(object: &v1::Binding, errors: &mut Vec<FieldError>) {
        errors.extend(super::pod::binding::validate(&json!(object)));
    }

    fn cells(object: &v1::Binding, _: Timestamp) -> Vec<Value> {
        vec![cells::name(&object.metadata), duration::created(&object.metadata)]
    }
}
